"""What is taken, what is never opened, and why: the one table of the bundle.

Base: facts of the agent's own log collector (azurelinuxagent/ga/logcollector_manifests.py), what Azure Backup's article asks for,
and where the agent keeps keys (common/protocol/{wire,goal_state}.py, common/utils/cryptutil.py).
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Optional

from waguard.agent import layout
from waguard.i18n import message

TEXT = "text"
"""Taken whole or not at all."""
LOG = "log"
"""Of a large one the newest part is taken. Also compressed: it is stored redacted, as plain text."""
KEYS = "keys"
"""JSON of which only the names are taken, no value."""
HISTORY = 5
"""Folders of goal states, newest first."""
DEEPEST = 16
MOST_IN_FOLDER = 20000
MOST = 100000


@dataclass(frozen=True)
class Rule:
    """``pattern``: a path below the tree, each part for fnmatch(3); ``**`` as the last part stands for all below."""

    pattern: str
    mode: str = TEXT
    order: int = 1

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self.pattern.split("/"))


@dataclass(frozen=True)
class Tree:
    """A folder and what is taken of it. ``quiet``: what is not asked for there is not even counted."""

    root: str
    rules: tuple[Rule, ...]
    quiet: bool = False

    def dump(self) -> dict[str, Any]:
        """As JSON; ``Tree.load`` reads it."""
        return {"root": self.root, "quiet": self.quiet, "rules": [[rule.pattern, rule.mode, rule.order] for rule in self.rules]}

    @staticmethod
    def load(told: dict[str, Any]) -> Tree:
        return Tree(told["root"], tuple(Rule(*rule) for rule in told["rules"]), told["quiet"])


_EXTENSION = ("HandlerManifest.json", "HandlerEnvironment.json", "mrseq", "heartbeat.log", "error.json", "config/HandlerState",
              "config/HandlerStatus", "status/*.status")
LIB_RULES = (
    *(Rule(f"{layout.HISTORY}/*/{name}") for name in ("*.xml", "waagent_status.json", "waagent_policy.json", "*.manifest.xml")),
    *(Rule(name) for name in (
        "*.xml", "waagent_status*.json", "event_status.json", "fast_track.json", "initial_goal_state", "waagent_initial_update",
        "waagent_rsm_update", "current_version", "provisioned", "disable_agent", "Protocol", "WireServerEndpoint",
        "published_hostname", "Incarnation", "*.agentsManifest")),
    *(Rule(f"WALinuxAgent-*/{name}") for name in ("HandlerManifest.json", "manifest.xml", "error.json", "update_attempt.json")),
    *(Rule(f"*.*-*/{name}") for name in _EXTENSION),
    Rule("*.*-*/config/*.settings", KEYS),
)
"""Of /var/lib/waagent only what is named here."""

ALL_LOGS = (Rule("**", LOG, 3),)

FORBIDDEN: tuple[tuple[tuple[str, ...], str], ...] = (
    (("*.prv", "*.pem", "*.pfx", "*.p7m", "*.p7b", "*.p12", "*.p8", "*.key", "*.crt", "*.cer", "*.der", "*.jks", "*.keytab",
      "*.ppk", "*.kdbx", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*"), message("may hold keys or certificates")),
    (("certificates*.xml", "certificates*.json"), message("holds the VM's certificates with their keys")),
    (("ovf-env*.xml*", "customdata*"), message("holds what the VM was provisioned with")),
    (("managedidentity-*",), message("holds identities")),
    (("remoteaccess*.xml",), message("holds passwords")),
    (("vmsettings*.json", "extensionsconfig.[0-9]*.xml", "goalstate.[0-9]*.xml", "*.[0-9].xml", "*.[0-9][0-9].xml",
      "*.[0-9][0-9][0-9].xml", "*.[0-9][0-9][0-9][0-9]*[0-9].xml"),
     message("a goal state as older agents kept it, with all secrets")),
    (("shadow*", "gshadow*", "passwd-", "*.htpasswd", ".netrc", ".pgpass", "credentials", "sudoers"), message("holds passwords")),
    (("*.zip", "*.tar", "*.tar.*", "*.tgz", "*.tbz*", "*.txz", "*.7z", "*.rar", "*.egg", "*.whl", "*.deb", "*.rpm", "*.jar",
      "*.iso", "*.vhd*", "*.cab"), message("an archive, which cannot be looked through")),
    (("*.so", "*.so.*", "*.pyc", "*.pyo", "*.o", "*.a", "*.db", "*.sqlite*", "*.core", "core.[0-9]*", "*.dmp", "*.journal",
      "*.png", "*.pcap*"), message("not text")),
    (("*.zst", "*.lz4", "*.lzma", "*.z", "*.br"), message("compressed in a way that cannot be read here")),
)
FORBIDDEN_FOLDERS = {"logcollector": message("the agent's own bundle, with secrets"), ".ssh": message("may hold keys"),
                     "private": message("may hold keys")}


def forbidden(parts: Sequence[str]) -> str:
    """Why this path is never opened; "" if it may be."""
    for folder in parts[:-1]:
        if folder.lower() in FORBIDDEN_FOLDERS:
            return FORBIDDEN_FOLDERS[folder.lower()]
    name = parts[-1].lower()
    for pattern, why in _forbidden():
        if pattern.fullmatch(name):
            return why
    return FORBIDDEN_FOLDERS.get(name, "")


@lru_cache(maxsize=1)
def _forbidden() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)), why) for patterns, why in FORBIDDEN)


@lru_cache(maxsize=512)
def _part(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def wanted(tree: Tree, parts: Sequence[str]) -> Optional[Rule]:
    """The rule that takes this path, None if none does."""
    for rule in tree.rules:
        want = rule.parts
        if want[-1] == "**":
            if len(parts) >= len(want) and _fits(want[:-1], parts):
                return rule
        elif len(want) == len(parts) and _fits(want, parts):
            return rule
    return None


def leads(tree: Tree, parts: Sequence[str]) -> bool:
    """Could something below this folder be taken?"""
    for rule in tree.rules:
        want = rule.parts
        if want[-1] == "**":
            if _fits(want[:-1], parts[:len(want) - 1]):
                return True
        elif len(want) > len(parts) and _fits(want[:len(parts)], parts):
            return True
    return False


def _fits(want: Sequence[str], parts: Sequence[str]) -> bool:
    return all(_part(pattern).fullmatch(part) for pattern, part in zip(want, parts))


def chosen(parts: Sequence[str], names: Sequence[str]) -> Sequence[str]:
    """The folders to look into of a folder's: of the agent's history the newest."""
    return layout.history_folders(names, HISTORY) if tuple(parts) == (layout.HISTORY,) else names
