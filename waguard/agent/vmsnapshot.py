"""The backup extension, VMSnapshotLinux: its two-layer status, its error codes, what of Python it needs, and its rhythm.

Source: azure-linux-extensions VMBackup/main (handle.py, handle.sh, common.py, ExtensionErrorCodeHelper.py, WaagentLib.py,
Utils/HandlerUtil.py, Utils/WAAgentUtil.py, Utils/Status.py), from 2021-04 (1.0.9184.0) to 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Optional

from waguard.agent import handler
from waguard.agent.snapshotcodes import CODES, Code, explain

__all__ = ("CODES", "Code", "explain")

NAME = handler.VMSNAPSHOT
IN_PROGRESS = 4
"""The code that enable writes, with an outer "success", before the daemon has done anything."""
FREEZE_TIMEOUT = 60.0
"""Default of ``timeout`` in vmbackup.conf: seconds until safefreeze thaws by itself."""
FREEZE_WAIT = 66.0
"""Default of SafeFreezeWaitInSeconds: seconds that the extension waits for the freeze."""
_GOOD = frozenset((0, 1, 3))
_TELEMETRY = frozenset((
    "snapshotCreator", "hostStatusCodePreSnapshot", "hostStatusCodeDoSnapshot", "FreezeTime", "ThawTime", "snapshotTimeTaken",
    "extensionVersion", "guestAgentVersion", "pythonVersion", "extErrorCode", "consistencyType", "statusBlobUploadError",
    "networkFSTypePresentInMount", "isPrePostEnabled", "prePostEnabled"))


@dataclass(frozen=True)
class Result:
    """What one status file really says. ``word``: transitioning, success, error or warning of the inner layer where there is one.

    ``at``: epoch seconds, by the VM's clock. ``health``: vmHealthStatusCode. ``disks`` and ``disks_failed`` count snapshotInfo.
    ``inner``: was the inner layer there?
    """

    word: str
    code: Optional[int]
    message: str
    at: Optional[float]
    inner: bool
    health: Optional[int] = None
    disks: int = 0
    disks_failed: int = 0
    telemetry: Mapping[str, str] = field(default_factory=dict)

    @property
    def in_progress(self) -> bool:
        """Code 4: at work, or dead at work. Never a success, whatever its word says."""
        return self.code == IN_PROGRESS or (self.word == "transitioning" and self.code in (None, 0))

    @property
    def success(self) -> bool:
        """A snapshot was taken. 316 (no scripts are configured) is none of its faults."""
        taken = (self.word == "success" and (self.code is None or self.code in _GOOD)) or self.code == 316
        return taken and not self.disks_failed

    @property
    def snapshot(self) -> bool:
        """A success that is a backup: not the second time of a task that was done already."""
        return self.success and self.code != 3

    @property
    def failure(self) -> Optional[Code]:
        """The code of a failure; None for anything else."""
        return None if self.in_progress or self.success else explain(self.code, self.message, self.health)


def read(data: bytes) -> Result:
    """Read a status file of VMSnapshot: the layer inside ``substatus[0].name`` where there is one, else the outer.

    The outer one says "success" for every result, also a failure. Raises handler.Unreadable.
    """
    outer = handler.status(data)
    inner = _inner(outer.body)
    if inner is None:
        # Without an inner layer the code is what counts: the outer word is forced.
        word = "error" if outer.word == "success" and outer.code not in (None, IN_PROGRESS, *_GOOD, 316) else outer.word
        return Result(word, outer.code, outer.message, outer.at, False, **_details(outer.body))
    body = inner["status"]
    word = body.get("status")
    code = handler.code_of(body.get("code"))
    return Result(
        word=word if word in ("transitioning", "warning", "error", "success") else "error",
        code=outer.code if code is None else code, message=handler.formatted(body.get("formattedMessage")) or outer.message,
        at=handler.moment(inner.get("timestampUTC")) or outer.at, inner=True, **_details(body))


def _inner(body: Mapping[str, Any]) -> Optional[Mapping[str, Any]]:
    """The object of the inner layer, with a ``status`` object in it."""
    listed = body.get("substatus")
    first = listed[0] if isinstance(listed, list) and listed else None
    text = first.get("name") if isinstance(first, dict) else None
    tree = handler.loads(text) if isinstance(text, str) and text.lstrip().startswith(("[", "{")) else None
    tree = tree[0] if isinstance(tree, list) and tree else tree
    return tree if isinstance(tree, dict) and isinstance(tree.get("status"), dict) else None


def _details(body: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of Result that lie deeper in a status object: numbers and a few harmless words, no URI, no token."""
    health = body.get("vmHealthInfo")
    health = health if isinstance(health, dict) else {}
    disks = [one for one in _list(body.get("snapshotInfo")) if isinstance(one, dict)]
    failed = sum(1 for one in disks if not _true(one.get("isSuccessful")))
    telemetry = {str(one["Key"]): handler.clean(str(one.get("Value")), 80) for one in _list(body.get("telemetryData"))
                 if isinstance(one, dict) and isinstance(one.get("Key"), str) and one["Key"] in _TELEMETRY
                 and isinstance(one.get("Value"), (str, int, float, bool))}
    return {"health": handler.code_of(health.get("vmHealthStatusCode")), "disks": len(disks), "disks_failed": failed,
            "telemetry": telemetry}


def _list(value: object) -> Sequence[Any]:
    return value[:1000] if isinstance(value, list) else ()


def _true(value: object) -> bool:
    """True, and the "true" that is copied from the host."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


class Outcome(str, Enum):
    """What became of the newest request for a snapshot."""

    NONE = "none"
    """There was none yet."""
    RUNNING = "running"
    STUCK = "stuck"
    """Code 4, and nobody is at work."""
    SUCCESS = "success"
    FAILED = "failed"
    NO_RESULT = "no-result"
    """The newest settings have no result of their own."""


STUCK_AFTER = 900.0
"""Seconds that code 4 may stand without a process: the agent starts the daemon, pre scripts and df may take their time."""
NO_RESULT_AFTER = 600.0
"""Seconds from new settings to a status: enable is killed after 300."""
_AHEAD = 300.0


@dataclass(frozen=True)
class Request:
    """The newest request, as its files tell of it. Moments are epoch seconds of file times.

    ``accepted``: the number in mrseq, None if there is none. ``result``: of the status with the number of the newest settings.
    ``working``: is a process of the extension at it? None if that could not be told.
    """

    sequence: Optional[int]
    settings_at: Optional[float]
    accepted: Optional[int]
    result: Optional[Result]
    result_at: Optional[float]
    working: Optional[bool]


def outcome(request: Request, now: float) -> Optional[Outcome]:
    """What became of it at epoch second ``now``; None if that cannot be told.

    Settings that are newer than their result do not make it void: an agent that restarts writes them again, and the extension
    skips a number that it has accepted (mrseq). A process at work makes a request running, however old: scripts may take long.
    """
    result = request.result
    if request.sequence is None and result is None:
        return Outcome.NONE
    if result is not None and result.in_progress:
        return _unfinished(request, request.result_at, STUCK_AFTER, Outcome.STUCK, now)
    skipped = request.accepted is None or request.accepted == request.sequence
    newer = (request.settings_at or 0.0) > (request.result_at or 0.0) + 1
    if result is None or (newer and not skipped):
        return _unfinished(request, request.settings_at, NO_RESULT_AFTER, Outcome.NO_RESULT, now)
    return Outcome.SUCCESS if result.success else Outcome.FAILED


def _unfinished(request: Request, since: Optional[float], limit: float, late: Outcome, now: float) -> Optional[Outcome]:
    if request.working:
        return Outcome.RUNNING
    if since is None or since > now + _AHEAD:
        return None  # Without its age, or with one in the future, nothing can be said.
    if now - since <= limit:
        return Outcome.RUNNING
    return late if request.working is False else None


_HISTORY = re.compile(r"([0-9]{1,18})_status")


def history(names: Iterable[str]) -> tuple[str, ...]:
    """Names of old statuses (``N_status``, of which the extension keeps 60), highest sequence number first."""
    found = [(int(match.group(1)), name) for name in names for match in [_HISTORY.fullmatch(name)] if match]
    return tuple(name for _, name in sorted(found, reverse=True))


@dataclass(frozen=True)
class Rhythm:
    """How often backups succeed. ``interval``: median seconds between two; ``limit``: seconds from which one is overdue."""

    interval: float
    limit: float


_SAME = 3600.0
_SHORTEST = 4 * 3600.0  # The shortest schedule that Azure Backup has.


def rhythm(moments: Iterable[float]) -> Optional[Rhythm]:
    """The rhythm of successes (epoch seconds, in any order); None with fewer than three.

    Successes within an hour count as one: a retry, or one on demand. A schedule may have a regular longer gap (nights, weekends),
    so the second longest gap is taken for normal too; the longest alone may have been an outage.
    """
    kept: list[float] = []
    for moment in sorted(moments):
        if not kept or moment - kept[-1] >= _SAME:
            kept.append(moment)
    if len(kept) < 3:
        return None
    gaps = sorted(later - earlier for earlier, later in zip(kept, kept[1:]))
    middle = len(gaps) // 2
    median = gaps[middle] if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) / 2
    usual = gaps[-2]
    return Rhythm(median, max(1.5 * max(median, _SHORTEST), 1.1 * usual))


def role(argv: Sequence[str], cwd: Optional[str]) -> str:
    """What a process does for the extension: "daemon" takes the snapshot, "enable" starts that one, "" is none of its own.

    The shell that waits for it has the handler folder in its command line; Python has a relative path and ``cwd``, its working
    directory. Where that may not be seen (None), ``-seqNo:``, which only this extension writes, tells it from others' handle.py.
    """
    for number, word in enumerate(argv[:8]):
        if word.endswith("main/handle.sh"):
            verbs = [one for one in argv[number + 1:number + 2] if one in ("daemon", "enable")]
            return verbs[0] if verbs and _ours(word, cwd) else ""
        if word.endswith("main/handle.py"):
            rest = argv[number + 1:number + 8]
            verbs = [one[1:] for one in rest if one in ("-daemon", "-enable")]
            marked = cwd is None and any(one.startswith("-seqNo:") for one in rest)
            return verbs[0] if verbs and (marked or _ours(word, cwd)) else ""
    return ""


def _ours(script: str, cwd: Optional[str]) -> bool:
    return f"/{NAME}-" in (script if script.startswith("/") else f"{cwd or ''}/{script}")


INTERPRETERS = ("python3.8", "python3.7", "python3.6", "python3.5", "python3.4", "python3.3", "python3", "python2.7", "python2.6",
                "python2", "python")
"""In the order of handle.sh, each looked for in DIRECTORIES; on a non-zero exit the next one is tried."""
DIRECTORIES = ("/usr/bin", "/usr/local/bin")
_NAMES = re.compile(rb'^\s*pythonVersionList="([A-Za-z0-9. _-]{1,400})"', re.MULTILINE)

PYTHON_312 = handler.version_of("1.0.9220.0")
"""The first version that does without ``imp.load_source`` (azure-linux-extensions #1922, #1920)."""
MODULES = ("array", "base64", "datetime", "fcntl", "glob", "inspect", "json", "logging.handlers", "multiprocessing", "os.path",
           "platform", "pwd", "random", "re", "shlex", "shutil", "signal", "socket", "stat", "string", "subprocess", "tempfile",
           "textwrap", "threading", "time", "traceback", "types", "uuid", "xml.dom.minidom", "xml.sax.saxutils", "zipfile",
           "configparser|ConfigParser", "http.client|httplib", "urllib.parse|urlparse", "socketserver|SocketServer",
           "queue|Queue")
"""What every version imports; ``a|b``: one of them is enough."""
PERISHABLE = ("crypt", "distutils.version", "imp.load_source")
"""What Python has lost (3.13, 3.12, 3.12) and some versions cannot do without; the last is a function, not a module."""
_LIB_IMPORTS = ((re.compile(rb"^(?:import crypt\b|from crypt import)", re.MULTILINE), "crypt"),
                (re.compile(rb"^from distutils\.version import", re.MULTILINE), "distutils.version"))


def interpreters(handle_sh: Optional[bytes]) -> tuple[str, ...]:
    """Names of interpreters in the order in which this handle.sh tries them; None stands for one that was not read."""
    found = _NAMES.search(handle_sh) if handle_sh is not None else None
    return tuple(found.group(1).decode("ascii").split())[:20] if found else INTERPRETERS


def needs(version: str, lib: Optional[bytes] = None, util: Optional[bytes] = None) -> tuple[str, ...]:
    """Which of PERISHABLE this version of the extension cannot do without.

    ``lib`` and ``util`` are its main/WaagentLib.py and main/Utils/WAAgentUtil.py. What they import counts before the number, for
    no version number is known of the fix that guards these imports (#2177).
    """
    wanted: list[str] = []
    if lib is None:
        wanted += ["crypt", "distutils.version"]
    else:
        wanted += [name for pattern, name in _LIB_IMPORTS if pattern.search(lib)]
    if util is None:
        old = () < handler.version_of(version) < PYTHON_312
    else:
        old = b"imp.load_source" in util and b"importlib.util" not in util
    return tuple(wanted + ["imp.load_source"] * old)
