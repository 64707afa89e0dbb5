"""Distributions: who they are, how their package manager is called, and the exact commands for the agent's package.

Names of packages: layout.package_names. Nothing of os-release is ever put into a command.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from waguard.agent import layout
from waguard.i18n import say

_ASSIGNMENT = re.compile(r"([A-Z][A-Z0-9_]{0,63})=(.*)")
_ID = re.compile(r"[a-z0-9._-]{1,64}")
_PACKAGE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,99}")
_LIMIT = 65536
_IDS = 16

# A distribution's own ID stands before its ID_LIKE, so the first one known decides. yum is there on EL 7 to 10, dnf is not on 7.
_MANAGERS = {
    "debian": "apt", "ubuntu": "apt",
    "fedora": "dnf", "rhel": "yum", "centos": "yum", "almalinux": "yum", "rocky": "yum", "ol": "yum", "amzn": "yum",
    "mariner": "tdnf", "azurelinux": "tdnf",
    "suse": "zypper", "sles": "zypper", "opensuse": "zypper",
}
_IMAGES = ("flatcar", "coreos")
"""The agent is part of their image (waagent.conf under /usr/share/oem, layout.conf_places), not of a package."""


@dataclass(frozen=True)
class Commands:
    """What to type as root, for one distribution. ``manager`` is "" when it is not known; then the commands are words."""

    manager: str
    package: str
    install: str
    upgrade: str
    reinstall: str


_FORMS = {
    "apt": ("apt-get update && apt-get install {}", "apt-get update && apt-get install --only-upgrade {}",
            "apt-get update && apt-get install --reinstall {}"),
    "dnf": ("dnf --refresh install {}", "dnf --refresh upgrade {}", "dnf --refresh reinstall {}"),
    "yum": ("yum clean expire-cache && yum install {}", "yum clean expire-cache && yum upgrade {}",
            "yum clean expire-cache && yum reinstall {}"),
    "tdnf": ("tdnf --refresh install {}", "tdnf --refresh update {}", "tdnf --refresh reinstall {}"),
    "zypper": ("zypper refresh && zypper install {}", "zypper refresh && zypper update {}",
               "zypper refresh && zypper install --force {}"),
}
MANAGERS = tuple(_FORMS)


def ids_of(text: str) -> tuple[str, ...]:
    """ID and then the words of ID_LIKE in the text of os-release, without repetition; () when it says neither.

    As os-release(5) has it, IDs are lower case letters, digits and ``._-``; anything else is left out.
    """
    fields = _fields(text)
    words = [fields.get("ID", "").strip(), *fields.get("ID_LIKE", "").split()]
    return tuple(dict.fromkeys(word for word in words if _ID.fullmatch(word)))[:_IDS]


def manager(ids: Sequence[str]) -> str:
    """The package manager of a distribution: one of MANAGERS, or "" when it is not known or has none."""
    for name in ids:
        if name in _IMAGES:
            return ""
        if name in _MANAGERS:
            return _MANAGERS[name]
        if "suse" in name or name.startswith("sle"):
            return "zypper"
    return ""


def commands(ids: Sequence[str], package: str = "") -> Commands:
    """The commands of this distribution. ``package``: the one that is installed, or "" for the usual one."""
    used = manager(ids)
    name = package if _PACKAGE.fullmatch(package) else layout.package_names(ids)[0]
    if not used:
        if any(each in _IMAGES for each in ids):
            words = say("the agent is part of this operating system's image: update the operating system")
            return Commands("", "", words, words, words)
        return Commands("", package if name == package else "",
                        say("install the Azure Linux agent (WALinuxAgent) with this distribution's package manager"),
                        say("upgrade the Azure Linux agent (WALinuxAgent) with this distribution's package manager"),
                        say("reinstall the Azure Linux agent (WALinuxAgent) with this distribution's package manager"))
    return Commands(used, name, *(form.format(name) for form in _FORMS[used]))


def _fields(text: str) -> dict[str, str]:
    """Assignments of os-release(5): as a shell would read them, the last of a name counts. Never raises."""
    found = {}
    for line in text[:_LIMIT].split("\n"):
        match = _ASSIGNMENT.fullmatch(line.strip())
        if match:
            found[match[1]] = _unquoted(match[2])
    return found


def _unquoted(value: str) -> str:
    """A value without its quotes. Within double quotes, and without any, a backslash takes the next character as it is."""
    quote = value[:1] if value[:1] in ("'", '"') else ""
    if quote and (len(value) < 2 or value[-1] != quote):
        return ""
    inner = value[1:-1] if quote else value
    return inner if quote == "'" else re.sub(r"\\(.)", r"\1", inner)
