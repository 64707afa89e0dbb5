"""The logs of the agent and of its extensions: what is new in them, how large they are, whether they are rotated.

waagent.log, and for each handler that has a folder in the agent's library directory its extension.log, shell.log and
CommandExecution.log (agents before 2018-08 logged below a folder of the version). A visit reads a bounded number of bytes and
files and goes on from where the last one ended; one file that cannot be read harms no other.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from waguard.agent import handler, signatures
from waguard.agent.logtally import Match, Rate, Tally
from waguard.observe import files, logrotation, logsizes
from waguard.observe.logrotation import Rotation
from waguard.observe.logsizes import Sizes
from waguard.observe.tail import Tail
from waguard.settings import LogSettings

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts

BUDGET = 4 << 20
"""Bytes of all logs in one visit."""
FILES = 64
LOOK_BACK = 1 << 20
"""Bytes of waagent.log that the first visit looks back; of the others, the tailer's own bound."""
_LEAST = 64 * 1024
_CLOCK_OFF = 300.0
_LEFT = 32
_NAMES = 20000
_IN_FOLDER = 5000
_COMMAND = re.compile(r"CommandExecution(?:_[\w.-]{1,100})?\.log")
_VERSION = re.compile(r"\d+(?:\.\d+)+")
_FRESH: Mapping[str, Any] = {"v": 1, "spots": [], "heads": []}
_ROTATED = re.compile(r"[.-](?:\d|old)")


@dataclass(frozen=True)
class LogTree:
    """One look. Paths are as the agent knows them.

    ``records``: by source (signatures.SOURCES) and level, counted since the first visit; ``signatures``: matches of each in the
    same time. ``matches``: the most recent of each, newest first. ``rates``: fastest first. ``largest``: (path, bytes) largest
    first; ``over``: how many files reach the settings' ``file_limit``. ``handlers``: bytes of each folder below the log folder.
    ``tree_bytes``: all of it and waagent.log with its rotated files, None if nothing of it could be seen; at least that much if
    not ``complete``. ``growth``: bytes in the last ``growth_time`` seconds, None at the first visit. ``problems``: why files
    could not be read. ``orphans``: folders of logs without a handler; ``silent``: handlers without one. ``behind``: logs that
    hold more than one visit may read. ``waagent``: waagent.log is there and could be read.
    """

    records: Mapping[str, Mapping[str, int]]
    signatures: Mapping[str, int]
    matches: tuple[Match, ...]
    rates: tuple[Rate, ...]
    rotation: Rotation
    tree_bytes: Optional[int] = None
    lengths: int = 0
    count: int = 0
    complete: bool = True
    largest: tuple[tuple[str, int], ...] = ()
    over: int = 0
    handlers: Mapping[str, int] = field(default_factory=dict)
    growth: Optional[int] = None
    growth_time: float = 0.0
    problems: Mapping[str, str] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()
    silent: tuple[str, ...] = ()
    behind: tuple[str, ...] = ()
    waagent: bool = False
    state: Mapping[str, Any] = field(default_factory=dict)

    def recent(self, signature: str, within: float, wall: float) -> Optional[Match]:
        """The last match of a signature, if it is no older than ``within`` seconds at ``wall``; a clock may be a little off."""
        for match in self.matches:
            if match.signature == signature and match.at is not None and -_CLOCK_OFF <= wall - match.at <= within:
                return match
        return None


@dataclass(frozen=True)
class _Log:
    """One file to read. ``path``: as the agent knows it; ``file``: where it is."""

    source: str
    path: str
    file: Path
    mtime: float = 0.0


def look(agent: AgentFacts, settings: LogSettings, state: Optional[Mapping[str, Any]] = None, root: Path = Path("/"),
         wall: Optional[float] = None) -> LogTree:
    """Read what is new. ``state``: what the last visit left; ``wall``: epoch seconds. Never raises for what is in the logs."""
    wall = time.time() if wall is None else wall
    given: Mapping[str, Any] = state if isinstance(state, Mapping) else {}
    problems: dict[str, str] = {}
    logs, orphans, silent, listed = _discover(agent, root, problems)
    tally = Tally(given.get("tally"), wall)
    tails, behind = _read(logs, given, tally, problems)
    sizes = Sizes(settings.file_limit << 20)
    log_bytes, older = _measure(agent, root, sizes)
    before, since = _number(given.get("tree_bytes")), _number(given.get("at"))
    total = sizes.total if sizes.count or listed else None
    rates = tally.rates()
    return LogTree(
        records=tally.records, signatures=tally.signatures,
        matches=tuple(sorted(tally.matches.values(), key=lambda match: -(match.at or 0.0))), rates=tuple(rates),
        rotation=logrotation.look(agent.log, log_bytes, older, root), tree_bytes=total, lengths=sizes.lengths, count=sizes.count,
        complete=sizes.complete, largest=tuple(sizes.files), over=sizes.over, handlers=sizes.parts,
        growth=None if before is None or total is None else total - int(before),
        growth_time=max(0.0, wall - since) if since is not None else 0.0, problems=problems, orphans=orphans, silent=silent,
        behind=behind, waagent=log_bytes is not None and agent.log not in problems,
        state={"tails": tails, "tally": tally.dump(), "tree_bytes": total, "at": wall, "listed": listed})


def _discover(agent: AgentFacts, root: Path,
              problems: dict[str, str]) -> tuple[list[_Log], tuple[str, ...], tuple[str, ...], bool]:
    """The logs to read, waagent.log first, then the newest; folders without a handler, handlers without one; all seen?"""
    folder = _under(root, agent.extension_log_dir)
    try:
        named: Optional[set[str]] = {found.handler for name in files.names(_under(root, agent.lib_dir), _NAMES)
                                     for found in [handler.folder(name)] if found is not None}
    except FileNotFoundError:
        named = set()
    except files.Unusable as error:
        named = None
        problems[agent.lib_dir] = str(error)
    listed = True
    try:
        folders = {name for name in files.names(folder, _IN_FOLDER) if "." in name and (folder / name).is_dir()}
    except FileNotFoundError:
        folders = set()
    except (OSError, files.Unusable) as error:
        folders, listed = set(), False
        problems[agent.extension_log_dir] = str(error)
    found: list[_Log] = []
    for name in sorted(folders if named is None else folders & named):
        found += _of_handler(f"{agent.extension_log_dir}/{name}", folder / name, problems)
    found.sort(key=lambda log: -log.mtime)
    listed = listed and len(found) <= FILES
    orphans = sorted(folders - named) if named is not None else []
    silent = sorted(named - folders) if named is not None and listed else []
    first = _Log(signatures.WAAGENT, agent.log, _under(root, agent.log))
    return [first, *found[:FILES]], tuple(orphans[:FILES]), tuple(silent[:FILES]), listed


def _of_handler(path: str, folder: Path, problems: dict[str, str], below: bool = True) -> list[_Log]:
    found = []
    versions = []
    try:
        names = files.names(folder, _IN_FOLDER)
    except FileNotFoundError:
        return []
    except files.Unusable as error:
        problems[path] = str(error)
        return []
    for name in names:
        source = {"extension.log": signatures.EXTENSION, "shell.log": signatures.SHELL}.get(name)
        if source is None and _COMMAND.fullmatch(name):
            source = signatures.COMMAND
        if source is not None:
            try:
                mtime = os.lstat(folder / name).st_mtime
            except OSError:
                continue
            found.append(_Log(source, f"{path}/{name}", folder / name, mtime))
        elif below and _VERSION.fullmatch(name):
            versions.append(name)
    for name in sorted(versions, key=lambda text: [int(number[:18]) for number in text.split(".")])[-2:]:
        found += _of_handler(f"{path}/{name}", folder / name, problems, below=False)
    return found


def _read(logs: list[_Log], given: Mapping[str, Any], tally: Tally,
          problems: dict[str, str]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Tail each. Returns the tails' states, and the logs that hold more."""
    old = given.get("tails")
    left: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}
    known = bool(left) and given.get("listed") is True  # Then a log that nobody knew is a new one, and all of it is.
    tails: dict[str, Any] = {}
    room = BUDGET
    waiting = list(logs)
    for turn in (1, 2):
        again = []
        for number, log in enumerate(waiting):
            share = room // 2 if turn == 1 and number == 0 else room // (len(waiting) - number)
            if room <= 0 or (turn == 2 and share < _LEAST):
                again.append(log)
                tails.setdefault(log.path, left.get(log.path, {}))
                continue
            state = tails.get(log.path, left.get(log.path, _FRESH if known else None))
            back = LOOK_BACK if log is logs[0] else 256 * 1024
            read = Tail(log.file, state, back, max(share, _LEAST)).read()
            tails[log.path] = read.state
            room -= read.used
            if read.problem:
                problems[log.path] = read.problem.replace(str(log.file), log.path)
            whole = not read.behind and not (read.first and read.skipped)
            tally.read(log.source, log.path, read.lines, _east, not read.first, whole)
            if read.behind:
                again.append(log)
        waiting = again
    for path, state in list(left.items())[:_LEFT + FILES]:
        if path not in tails and len(tails) < len(logs) + _LEFT:
            tails[path] = state  # Its folder may come back.
    return tails, tuple(log.path for log in waiting)


def _measure(agent: AgentFacts, root: Path, sizes: Sizes) -> tuple[Optional[int], int]:
    """Sizes of everything. Returns the length of waagent.log (None: not there), and how many rotated files it has."""
    logsizes.walk(_under(root, agent.extension_log_dir), agent.extension_log_dir, sizes)
    log = _under(root, agent.log)
    length: Optional[int] = None
    older = 0
    try:
        names = files.names(log.parent, _NAMES)
    except (FileNotFoundError, files.Unusable):
        names = [log.name]
    for name in names:
        if name != log.name and not (name.startswith(log.name) and _ROTATED.match(name, len(log.name))):
            continue
        try:
            info = os.stat(log.parent / name) if name == log.name else os.lstat(log.parent / name)
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(info.st_mode):
            continue
        sizes.add(f"{agent.log.rpartition('/')[0]}/{name}", info)
        if name == log.name:
            length = info.st_size
        else:
            older += 1
    sizes.finish()
    return length, older


def _under(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _east(local: float) -> float:
    """Seconds east of UTC for a local time given as if it were UTC."""
    return float(time.localtime(local).tm_gmtoff)


def _number(value: Any) -> Optional[float]:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None
