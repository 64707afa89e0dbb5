"""Which processes are the agent's, told from their command lines alone.

Source: azurelinuxagent/agent.py (parse_args), ga/update.py (run_latest), ga/guestagent.py, common/version.py
(set_current_agent), makepkg.py (HandlerManifest). A command line is told apart by the program it runs, never by a word
in it, so editors, greps, shells and wrappers that merely mention the agent are none of its processes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import Enum

from waguard.agent.versions import AgentVersion, from_name, try_parse


class Role(Enum):
    """What a process of the agent is there for."""

    DAEMON = "daemon"
    """The parent; the service manager's main process."""
    HANDLER = "run-exthandlers"
    """The child that turns the goal-state loop, of the package or of a downloaded version."""
    LOG_COLLECTOR = "collect-logs"
    """Runs for minutes, hourly, in a scope of its own."""
    FIREWALL = "setup-firewall"
    """Runs for a moment at boot, from the -network-setup unit."""
    OTHER = "other"
    """Any other verb: -start, -version, -deprovision, -help, …"""


# In the agent's own order: it takes the first that the word begins with. None: an option, no verb.
_WORDS: tuple[tuple[str, Role | None], ...] = (
    ("deprovision", Role.OTHER),
    ("daemon", Role.DAEMON),
    ("start", Role.OTHER),
    ("register-service", Role.OTHER),
    ("run-exthandlers", Role.HANDLER),
    ("version", Role.OTHER),
    ("verbose", None),
    ("debug", None),
    ("force", None),
    ("show-configuration", Role.OTHER),
    ("help", Role.OTHER),
    ("usage", Role.OTHER),
    ("?", Role.OTHER),
    ("collect-logs", Role.LOG_COLLECTOR),
    ("full", None),
    ("setup-firewall", Role.FIREWALL),
    ("dst_ip=", None),
    ("uid=", None),
)
_PYTHON = re.compile(r"(?:platform-)?(?:python|pypy)[0-9.]*[dmt]{0,2}(?:-[a-z]+)?")
_PYTHON_PAIRS = frozenset(("-W", "-X", "--check-hash-based-pycs"))
_PYTHON_NO_FILE = re.compile(r"-[a-zA-VYZ]*[cm]")
_EGG = re.compile(r"WALinuxAgent-([0-9.]+[0-9])(?:-py[0-9.]+)?\.egg")
_CONFIGURATION = re.compile(r"[-/]*configuration-path:([\w/.\-]+)")
_SCRIPTS = frozenset(("waagent", ".waagent-wrapped"))
_DELETED = " (deleted)"


def role(argv: Sequence[str]) -> Role | None:
    """What the process is there for; None when it does not run the agent's program at all.

    `argv` is /proc/PID/cmdline split at its NULs (a trailing empty word does no harm). As in the agent, words may carry
    any number of leading `-` or `/`, the last verb wins, and a word it does not know makes it print its help and end.
    """
    script = _script(argv)
    if script is None:
        return None
    found = Role.OTHER
    for word in argv[script + 1 :]:
        bare = word.lstrip("-/")
        if not word or _CONFIGURATION.match(word):
            continue
        for known, meaning in _WORDS:
            if bare.startswith(known):
                found = meaning or found
                break
        else:
            return found if found is Role.FIREWALL else Role.OTHER
    return found


def is_daemon(argv: Sequence[str]) -> bool:
    """Is it `waagent -daemon`?"""
    return role(argv) is Role.DAEMON


def is_handler(argv: Sequence[str]) -> bool:
    """Is it `… -run-exthandlers`, of the installed package or of a downloaded egg?"""
    return role(argv) is Role.HANDLER


def handler_version(argv: Sequence[str], cwd: str = "") -> AgentVersion | None:
    """The version of a handler that runs a downloaded agent; None for the installed one, whose version is the daemon's.

    The egg's path is relative, so its folder is the process's working directory (`/proc/PID/cwd`, also "… (deleted)"):
    that folder's name is what the agent itself takes for its version. Without it the egg's own name is taken.
    """
    script = _script(argv)
    egg = _EGG.fullmatch(_name(argv[script])) if script is not None else None
    if script is None or egg is None:
        return None
    folder = cwd[: -len(_DELETED)] if cwd.endswith(_DELETED) else cwd
    for part in reversed((*folder.split("/"), *argv[script].split("/")[:-1])):
        version = from_name(part)
        if version is not None:
            return version
    return try_parse(egg.group(1))


def configuration_path(argv: Sequence[str]) -> str | None:
    """The file given with `-configuration-path:FILE`, the last one as in the agent; None without or for no agent."""
    script = _script(argv)
    if script is None:
        return None
    found = [match.group(1) for match in map(_CONFIGURATION.match, argv[script + 1 :]) if match]
    return found[-1] if found else None


def _script(argv: Sequence[str]) -> int | None:
    """Which word is the agent's program: the first, or the one that Python runs."""
    if not argv:
        return None
    if _is_program(argv[0]):
        return 0
    if not _PYTHON.fullmatch(_name(argv[0])):
        return None
    index = 1
    while index < len(argv) and argv[index].startswith("-"):
        if argv[index] in _PYTHON_PAIRS:
            index += 1
        elif argv[index] == "-" or _PYTHON_NO_FILE.match(argv[index]):
            return None
        index += 1
    return index if index < len(argv) and _is_program(argv[index]) else None


def _is_program(word: str) -> bool:
    name = _name(word)
    return name in _SCRIPTS or _EGG.fullmatch(name) is not None


def _name(path: str) -> str:
    return path.rpartition("/")[2]
