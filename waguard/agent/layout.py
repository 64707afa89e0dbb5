"""Where things are: unit and package names, places of files, and which status file of many to look at.

Source: azurelinuxagent/common/osutil/*.py, setup.py, init/, config/**/waagent.conf, common/utils/archive.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from waguard.agent.versions import AgentVersion, StatusPlace, generation

UNITS = ("walinuxagent.service", "waagent.service")
"""Units in the order to probe for LoadState=loaded; upstream's own tests do the same. The first is Debian's and
Ubuntu's, the second everybody else's; no unit has an alias, and both at once must never be acted on."""

CONF = "/etc/waagent.conf"
LOG = "/var/log/waagent.log"
"""Fixed in the code (common/conf.py: get_agent_log_file)."""
LIB_DIR = "/var/lib/waagent"
"""Default of Lib.Dir."""
PID_FILE = "/var/run/waagent.pid"
"""Default of Pid.File: the daemon's pid. The child's is `<n>_waagent.pid` beside it."""
EXTENSION_LOG_DIR = "/var/log/azure"
"""Default of Extension.LogDir."""
HISTORY = "history"
"""Folder of the lib dir with one folder a goal state."""

PROVISIONED = "provisioned"
"""In the lib dir; absent while the first boot's work is still to be done (pa/provision/default.py)."""
DISABLE_AGENT = "disable_agent"
"""In the lib dir; while it is there the daemon sleeps for ever (daemon/main.py)."""

PROGRAMS = ("/usr/sbin/waagent", "/usr/bin/waagent", "/usr/share/oem/bin/waagent")
"""Where the agent's program is, commonest first."""

_CONF_OEM = "/usr/share/oem/waagent.conf"
_CONF_CLEAR = "/usr/share/defaults/waagent/waagent.conf"
_CONF_FIRST = {"coreos": _CONF_OEM, "flatcar": _CONF_OEM, "clear-linux-os": _CONF_CLEAR, "clearlinux": _CONF_CLEAR}

_DEB = ("walinuxagent", "waagent")
_RPM = ("WALinuxAgent",)
_RPM_SUSE = ("python-azure-agent", "python3-azure-agent")


def conf_places(ids: Sequence[str] = ()) -> tuple[str, ...]:
    """Where waagent.conf may be, likeliest first, unless the daemon's command line names it.

    `ids` are ID and ID_LIKE of os-release, in that order (common/osutil/{default,coreos,clearlinux}.py).
    """
    first = [_CONF_FIRST[name] for name in ids if name in _CONF_FIRST][:1] or [CONF]
    return tuple(dict.fromkeys((*first, CONF, _CONF_OEM, _CONF_CLEAR)))


def package_names(ids: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of the agent's package, likeliest first; `ids` are ID and ID_LIKE of os-release, in that order."""
    for name in ids:
        if name == "debian":
            return ("waagent", "walinuxagent")
        if name == "ubuntu":
            return _DEB
        if "suse" in name or name.startswith("sle"):
            return (*_RPM_SUSE, *_RPM)
        if name in ("rhel", "centos", "fedora", "mariner", "azurelinux", "ol", "almalinux", "rocky", "amzn"):
            return _RPM
    return (*_DEB, *_RPM, *_RPM_SUSE)


# Legacy folders have colons, fractions and "_incarnation"; .zip files are archives nobody writes to.
_GOAL_STATE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2})[:-]([0-9]{2})[:-]([0-9]{2})(?:\.([0-9]+))?"
    r"(?:(?:_incarnation)?_+(\w+?)(?:-.*)?)?"
)
_NUMBERED = re.compile(r"waagent_status\.([0-9]{1,18})\.json")
_STATUS = "waagent_status.json"


def history_folders(names: Iterable[str], limit: int = 3) -> tuple[str, ...]:
    """The newest folders of goal states among the names in `history`, newest first.

    The agent writes into the folder of the goal state that it holds, which need not be the newest: a fetch that failed
    half-way leaves a newer one without a status. So look at a few and take the newest file.
    """
    found = []
    for name in names:
        match = _GOAL_STATE.fullmatch(name)
        if match and not name.endswith(".zip"):
            day, hour, minute, second, fraction, tag = match.groups()
            number = int(tag) if tag and tag.isdecimal() and len(tag) <= 18 else -1
            found.append((f"{day}T{hour}{minute}{second}", fraction or "", number, name))
    return tuple(name for *_, name in sorted(found, reverse=True)[:limit])


def status_candidates(
    root: Iterable[str], history: Iterable[str] = (), version: AgentVersion | None = None
) -> tuple[str, ...]:
    """Status files to stat, relative to the lib dir; the one with the newest mtime is the loop's sign of life.

    `root` and `history` are the names in the lib dir and in its `history`. With a version only the places of that
    generation are given, else all: an update leaves the older generation's files behind, and a downgrade the newer's.
    """
    place = generation(version).status_file if version else None
    found: list[str] = []
    if place in (None, StatusPlace.HISTORY):
        found += [f"{HISTORY}/{name}/{_STATUS}" for name in history_folders(history)]
    names = list(root) if place in (None, StatusPlace.ROOT, StatusPlace.ROOT_NUMBERED) else []
    if place in (None, StatusPlace.ROOT_NUMBERED):
        numbered = [(int(match.group(1)), name) for name in names for match in [_NUMBERED.fullmatch(name)] if match]
        found += [name for _, name in sorted(numbered, reverse=True)[:3]]
    if place in (None, StatusPlace.ROOT) and _STATUS in names:
        found.append(_STATUS)
    return tuple(found)
