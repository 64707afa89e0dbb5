"""The backup extension's last snapshot: its real result, who is at work, what is frozen, and how often backups succeed.

Nothing here judges by the outer status, which says "success" for a failure too (waguard/agent/vmsnapshot.py).
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import handler, vmsnapshot
from waguard.agent.facts import AgentFacts
from waguard.agent.handler import Unreadable
from waguard.agent.vmsnapshot import Outcome, Request, Result, Rhythm
from waguard.i18n import say
from waguard.observe import backupconf, extensions, files, packages
from waguard.observe.backupconf import Options, Scripts
from waguard.observe.extensions import Place, Reader

LOCK = "etc/azure/MicrosoftRecoverySvcsSafeFreezeLock/SafeFreezeLockFile"
_NAMES = 100000
_IN_FOLDER = 5000
_HISTORY = 60
_STATUS = 262144
_ARGV = 131072
_DAY = 86400.0
_EARLIEST = 1.4e9  # The extension is younger than that.
_TICKS = os.sysconf("SC_CLK_TCK")
# Reading a command line can hang on a process that is stuck with its memory map locked, reading its name cannot.
_COMM = re.compile(rb"(?:python|platform-python|pypy|sh\b|bash\b|dash\b|env\b|handle|safefreeze)")


@dataclass(frozen=True)
class Freezer:
    """A running safefreeze: it holds filesystems frozen until its parent thaws them or ``timeout`` is over. ``age``: seconds."""

    pid: int
    age: Optional[float]
    timeout: Optional[float] = None
    mounts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Lock:
    """The lock file of a freeze. ``holder``: pid that holds the lock, None for nobody. ``age``: seconds since it was opened."""

    present: bool = False
    holder: Optional[int] = None
    age: Optional[float] = None
    problem: str = ""


@dataclass(frozen=True)
class Processes:
    """The extension's processes, found by their command lines. ``problem``: why they could not be looked for."""

    daemon: Optional[int] = None
    enabling: Optional[int] = None
    freezers: tuple[Freezer, ...] = ()
    problem: str = ""

    @property
    def working(self) -> Optional[bool]:
        """Is one of them at a snapshot? None if that could not be told."""
        if self.daemon is not None or self.enabling is not None or self.freezers:
            return True
        return None if self.problem else False


@dataclass(frozen=True)
class History:
    """The results there are, old ones and the newest. Moments are epoch seconds by the VM's clock; ``rhythm`` needs 3 successes.

    ``results`` counts those that came to an end, ``last_ok`` says whether the last of them succeeded.
    """

    results: int = 0
    successes: int = 0
    last_success: Optional[float] = None
    last_ok: Optional[bool] = None
    rhythm: Optional[Rhythm] = None


@dataclass(frozen=True)
class Snapshots:
    """``present``: a folder of VMSnapshotLinux is there; ``version`` and ``folder`` are of the one the agent worked on last.

    ``outcome``: of the newest request, None if it could not be told. ``sequence`` and ``settings_at``: the newest settings;
    ``keys_missing``: what is not there of the certificate that they are encrypted for (".crt", ".prv"), None if not known.
    ``accepted``: the number the extension accepted last. ``result`` and ``result_at`` (file time): the status of that number.
    ``result_problem``: why the status file is none. ``problem``: what else could not be read.
    """

    present: bool = False
    installed: str = ""
    version: str = ""
    folder: str = ""
    outcome: Optional[Outcome] = Outcome.NONE
    sequence: Optional[int] = None
    settings_at: Optional[float] = None
    settings_protected: Optional[bool] = None
    accepted: Optional[int] = None
    result: Optional[Result] = None
    result_at: Optional[float] = None
    result_problem: str = ""
    processes: Processes = Processes()
    lock: Lock = Lock()
    history: History = History()
    options: Options = Options()
    scripts: Scripts = Scripts()
    problem: str = ""
    keys_missing: Optional[tuple[str, ...]] = None

    @property
    def last_success_ok(self) -> Optional[bool]:
        """Did the last request that came to an end succeed? None when there is none, or it could not be told."""
        if self.outcome is Outcome.SUCCESS:
            return True
        if self.outcome in (Outcome.FAILED, Outcome.STUCK, Outcome.NO_RESULT):
            return False
        return self.history.last_ok if self.outcome is Outcome.RUNNING else None


def look(agent: AgentFacts, now_wall: float, root: Path = Path("/"), proc: Path = Path("/proc")) -> Snapshots:
    """Look at the last snapshot; ``now_wall``: epoch seconds. Raises files.Unusable if the library directory cannot be listed."""
    reader = Reader(time.sleep)
    found = extensions.places(extensions.under(root, agent.lib_dir), reader, vmsnapshot.NAME).get(vmsnapshot.NAME, [])
    running = processes(proc)
    held = lock(root / LOCK, now_wall)
    if not found:
        return Snapshots(processes=running, lock=held, options=backupconf.options(root))
    place = extensions.current(found)
    newest = _Newest(place, reader)
    past = [(newest.result, newest.result_at)]
    for name in vmsnapshot.history(_names(place.path / "status"))[:_HISTORY]:
        past.append((_result(place.path / "status" / name), extensions.modified(place.path / "status" / name)))
    request = Request(newest.sequence, newest.settings_at, newest.accepted, newest.result, newest.result_at, running.working)
    return Snapshots(
        present=True, installed=extensions.installed(found), version=place.folder.text, folder=str(place.path),
        outcome=None if newest.problem else vmsnapshot.outcome(request, now_wall),
        sequence=newest.sequence, settings_at=newest.settings_at, settings_protected=newest.protected,
        accepted=newest.accepted, result=newest.result, result_at=newest.result_at, result_problem=newest.result_problem,
        keys_missing=newest.keys_missing, processes=running, lock=held, history=_history(past, now_wall),
        options=backupconf.options(root), scripts=backupconf.scripts(place.path, root), problem=newest.problem or place.problem)


@dataclass
class _Newest:
    """The newest settings of one folder, and the status of the same number."""

    place: Place
    reader: Reader
    sequence: Optional[int] = None
    settings_at: Optional[float] = None
    protected: Optional[bool] = None
    keys_missing: Optional[tuple[str, ...]] = None
    accepted: Optional[int] = None
    result: Optional[Result] = None
    result_at: Optional[float] = None
    result_problem: str = ""
    problem: str = ""

    def __post_init__(self) -> None:
        problems: list[str] = []
        settings = extensions.numbered_in(self.place.path / "config", "settings", problems)
        statuses = extensions.numbered_in(self.place.path / "status", "status", problems)
        self.problem = "; ".join(problems)[:handler.MAX_MESSAGE]
        self.accepted = _mrseq(self.place.path / "mrseq")
        dated = [(at, number) for (extension, number), path in settings.items() if not extension
                 for at in [extensions.modified(path)] if at is not None]
        if dated:
            self.settings_at, self.sequence = max(dated)
            self._settings(settings["", self.sequence])
        wanted = self.sequence
        if wanted is None:
            wanted = max((number for extension, number in statuses if not extension), default=None)
        path = statuses.get(("", wanted)) if wanted is not None else None
        if path is not None:
            self._status(path)

    def _settings(self, path: Path) -> None:
        try:
            said = self.reader.read(path, handler.MAX_BYTES, handler.settings)
        except (FileNotFoundError, Unreadable, files.Unusable):
            return  # Not known; the status tells more.
        self.protected = said.protected
        if said.thumbprint:
            names = [self.place.path.parent / f"{said.thumbprint}{suffix}" for suffix in (".crt", ".prv")]
            self.keys_missing = tuple(one.suffix for one in names if not os.path.lexists(one))

    def _status(self, path: Path) -> None:
        self.result_at = extensions.modified(path)
        try:
            self.result = self.reader.read(path, handler.MAX_BYTES, vmsnapshot.read)
        except FileNotFoundError:
            self.result_at = None
        except files.Unusable as error:
            self.problem = self.problem or str(error)
        except Unreadable as error:
            self.result_problem = f"{path} {error}"


def _result(path: Path) -> Optional[Result]:
    try:
        return vmsnapshot.read(files.read(path, _STATUS))
    except (FileNotFoundError, files.Unusable, Unreadable):
        return None  # Of an old result nothing hangs on one.


def _mrseq(path: Path) -> Optional[int]:
    try:
        text = files.read(path, 4096).strip()
    except (FileNotFoundError, files.Unusable):
        return None
    return int(text) if re.fullmatch(rb"-?[0-9]{1,18}", text) else None


def _names(path: Path) -> list[str]:
    try:
        return files.names(path, _IN_FOLDER)
    except (FileNotFoundError, files.Unusable):
        return []


def _history(past: list[tuple[Optional[Result], Optional[float]]], now: float) -> History:
    """What (result, its file's time) tell; a result that claims to be of the future, or of long ago, has its file's time."""
    ended = []
    for result, changed in past:
        if result is None or result.in_progress:
            continue
        at = result.at if result.at is not None and _EARLIEST < result.at < now + _DAY else changed
        if at is not None and at < now + _DAY:
            ended.append((at, result))
    ended.sort(key=lambda one: one[0])
    moments = [at for at, result in ended if result.snapshot]
    return History(len(ended), len(moments), max(moments, default=None), ended[-1][1].success if ended else None,
                   vmsnapshot.rhythm(moments))


def lock(path: Path, now_wall: float) -> Lock:
    """Look at the freeze's lock file. It is there only during a freeze; without a holder it is a leftover of a crash."""
    try:
        opened = os.stat(path).st_mtime
        holder = packages.holder(path)
    except FileNotFoundError:
        return Lock()
    except OSError as error:
        return Lock(problem=f"{path}: {error.strerror}")
    return Lock(True, holder, now_wall - opened)


def processes(proc: Path = Path("/proc")) -> Processes:
    """Look for the extension's processes. Never raises."""
    try:
        pids = [int(name) for name in files.names(proc, _NAMES) if name.isascii() and name.isdigit()]
    except (FileNotFoundError, files.Unusable) as error:
        return Processes(problem=str(error)[:200])
    found: dict[str, int] = {}
    freezers = []
    for pid in sorted(pids):
        argv = _argv(proc / str(pid))
        if not argv:
            continue
        if _contained(proc / str(pid)):
            continue
        if argv[0].rpartition("/")[2] == "safefreeze":
            freezers.append(_freezer(pid, argv, proc))
        else:
            role = vmsnapshot.role(argv, _cwd(proc / str(pid)))
            if role:
                found.setdefault(role, pid)
    hidden = "" if 1 in pids else say("the processes of others are hidden (/proc is mounted with hidepid)")
    return Processes(found.get("daemon"), found.get("enable"), tuple(freezers[:20]), hidden)


def _argv(place: Path) -> tuple[str, ...]:
    """The command line of a process that may be one of ours; () for any other, and for one that is gone."""
    try:
        if not _COMM.match(files.read(place / "comm", 4096)):
            return ()
        data = files.read(place / "cmdline", _ARGV)
    except (OSError, files.Unusable):
        return ()
    return tuple(data.decode("utf-8", "replace").rstrip("\0").split("\0")) if data.strip(b"\0") else ()


def _contained(place: Path) -> bool:
    """Is it a container's, with a process number of its own in there (proc(5), NSpid)? Then its snapshots are not this VM's."""
    try:
        status = files.read(place / "status", 65536)
    except (OSError, files.Unusable):
        return False
    line = next((line for line in status.splitlines() if line.startswith(b"NSpid:")), b"")
    return len(line.split()) > 2


def _cwd(place: Path) -> Optional[str]:
    """Its working directory; None when it may not be seen, as of a process with more capabilities."""
    try:
        return os.readlink(place / "cwd")
    except OSError:
        return None


def _freezer(pid: int, argv: tuple[str, ...], proc: Path) -> Freezer:
    timeout = float(argv[1]) if len(argv) > 1 and re.fullmatch(r"[0-9]{1,6}", argv[1], re.ASCII) else None
    return Freezer(pid, _age(pid, proc), timeout, tuple(handler.clean(mount, 100) for mount in argv[2:12]))


def _age(pid: int, proc: Path) -> Optional[float]:
    """Seconds since a process was started (proc_pid_stat(5): field 22, ticks since boot)."""
    try:
        fields = files.read(proc / str(pid) / "stat", 4096).rpartition(b")")[2].split()
        up = float(files.read(proc / "uptime", 4096).split()[0])
        return max(0.0, up - int(fields[19]) / _TICKS)
    except (OSError, files.Unusable, ValueError, IndexError):
        return None
