"""The drop-in by which systemd restarts the agent: written and removed by ``waguardctl autorestart``, never by the guard.

Only Debian 12's unit has no Restart= of its own. Drop-ins: systemd.unit(5); Restart=, RestartSec=: systemd.service(5).
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.act.files import replace_file
from waguard.i18n import say
from waguard.observe import files, programs, unit

DIRECTORY = Path("/etc/systemd/system")
NAME = "50-waguard.conf"
TEXT = """\
# Written by "waguardctl autorestart enable", removed by "waguardctl autorestart disable". Do not edit: add a file of your own.

[Service]
# As in the units that WALinuxAgent itself ships. always, not on-failure: the agent exits with status 0 when its configuration is
# missing or broken (azurelinuxagent/agent.py). Stopping, masking and failed conditions are respected all the same.
Restart=always
# With 5 s between two starts the default start limit (5 starts in 10 s) is never reached. With systemd's own 100 ms it is, and
# then the unit stays down until somebody calls reset-failed (WALinuxAgent #804, #842). So StartLimitIntervalSec= is left alone:
# the limit still guards against whatever else starts the unit again and again.
RestartSec=5
"""
_EARLIER: tuple[str, ...] = ()
"""Texts of earlier versions of waguard, which may be replaced and removed like the present one. The SHA-256 of each is in
packaging/debian/waguard.postrm."""

_LIMIT = 65536
_TIMEOUT = 30.0
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]{1,200}\.service")
_DETAILS = "Restart,RestartUSec,FragmentPath,DropInPaths,NeedDaemonReload"


class Refused(Exception):
    """Nothing was done. The text says why, ``hint`` what to do, both for a person."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True)
class Effective:
    """What systemd will do when the agent ends. ``delay``: seconds. ``source``: the file that says so, "" for systemd's default.

    ``by``: "waguard", "unit", "drop-in" of somebody else, or "default". ``stale``: systemd has not read a changed file yet.
    """

    unit: str
    restart: str
    delay: float
    source: str
    by: str
    stale: bool
    masked: bool


def path_of(name: str, directory: Path = DIRECTORY) -> Path:
    """Where the drop-in of a unit is. Raises Refused for what is no name of a service."""
    if not _UNIT.fullmatch(name):
        raise Refused(say("{name!r} is no name of a service", name=name[:60]))
    return directory / f"{name}.d" / NAME


def look(names: Sequence[str], directory: Path = DIRECTORY) -> Effective:
    """The agent's unit, the first that exists among ``names``, and its Restart=. Raises Refused when systemd cannot tell."""
    state = unit.choose(unit.parse(_systemctl(unit.show_argv(names))))
    if state is None:
        raise Refused(say("there is no {unit} and no {other}", unit=names[0], other=", ".join(names[1:])) if len(names) > 1 else
                      say("there is no {unit}", unit=names[0]), say("is the agent installed? waguardctl versions"))
    path = path_of(state.name, directory)
    told = dict(line.split("=", 1) for line in
                _systemctl(["systemctl", "show", "--no-pager", "-p", _DETAILS, state.name]).splitlines() if "=" in line)
    source = _source([*reversed(_paths(told.get("DropInPaths", ""))), told.get("FragmentPath", "")])
    by = "default" if not source else "unit" if source == told.get("FragmentPath") else "drop-in"
    if source == str(path) and ours(path):
        by = "waguard"
    return Effective(state.name, told.get("Restart", state.restart) or "no", state.restart_delay, source, by,
                     told.get("NeedDaemonReload") == "yes", state.masked)


def ours(path: Path) -> Optional[bool]:
    """Is the file exactly as waguard writes it? None when there is none. Raises Refused when that cannot be told."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        data = files.read(path, _LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, files.Unusable) as error:
        raise Refused(_reason(error, path), _hint(error) if isinstance(error, OSError) else "") from None
    return data in [text.encode() for text in (TEXT, *_EARLIER)]


def write(name: str, directory: Path = DIRECTORY) -> bool:
    """Write the drop-in of a unit, whole or not at all. True if it was not there already. Raises Refused.

    A file of that name which is not as waguard writes it belongs to somebody else, and is left as it is.
    """
    path = path_of(name, directory)
    known = ours(path)
    if known is False:
        raise _foreign(path)
    try:
        if known and files.read(path, _LIMIT) == TEXT.encode():
            return False
        path.parent.mkdir(mode=0o755, exist_ok=True)
        replace_file(path, TEXT.encode(), durable=True, mode=0o644)
        os.chmod(path, 0o644)  # Whatever the umask: systemctl cat is for everybody.
    except (OSError, files.Unusable) as error:
        raise Refused(say("{said_reason}; nothing was written", said_reason=_reason(error, path)), _hint(error)) from None
    return True


def remove(name: str, directory: Path = DIRECTORY) -> bool:
    """Remove the drop-in, and its folder if that is empty then. True if it was there. Raises Refused, as ``write``."""
    path = path_of(name, directory)
    known = ours(path)
    if known is None:
        return False
    if not known:
        raise _foreign(path)
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise Refused(say("{said_reason}; it was not removed", said_reason=_reason(error, path)), _hint(error)) from None
    try:
        path.parent.rmdir()
    except OSError:
        pass  # Others have drop-ins there.
    return True


def _foreign(path: Path) -> Refused:
    return Refused(say("{path} is not as waguard writes it and was left alone", path=path),
                   say("look at it; if it may go: rm {path}", path=path))


def reload() -> None:
    """Have systemd read its files again. Restarts nothing. Raises Refused."""
    ran = programs.run(["systemctl", "daemon-reload"], _TIMEOUT)
    if not ran.ok:
        raise Refused(say("systemd has not read its files again: systemctl daemon-reload: {said_trouble}",
                          said_trouble=ran.trouble), say("as root: systemctl daemon-reload"))


def _systemctl(argv: Sequence[str]) -> str:
    ran = programs.run(argv, _TIMEOUT)
    if not ran.ok:
        raise Refused(say("systemd cannot be asked: systemctl show: {said_trouble}", said_trouble=ran.trouble),
                      say("autorestart is for machines that run systemd"))
    return ran.output


def _paths(text: str) -> list[str]:
    """DropInPaths= has blanks between the paths, which are escaped as a shell would (systemctl(1)); later ones override."""
    import shlex

    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _source(paths: Sequence[str]) -> str:
    """The first of the files that sets Restart= in [Service]; "" when none does."""
    for path in paths:
        if not path:
            continue
        try:
            text = files.read(Path(path), _LIMIT).decode("utf-8", "replace")
        except (OSError, files.Unusable):
            continue
        section = ""
        for line in (line.strip() for line in text.splitlines()):
            if line.startswith("["):
                section = line
            elif section == "[Service]" and re.match(r"Restart\s*=", line):
                return path
    return ""


def _reason(error: Exception, path: Path) -> str:
    text = str(error) if isinstance(error, files.Unusable) else ""
    return text or f"{path}: {getattr(error, 'strerror', None) or error}"


def _hint(error: Exception) -> str:
    if isinstance(error, PermissionError):
        return say("this needs root: use sudo")
    return say("is the file system of /etc full or read-only?")
