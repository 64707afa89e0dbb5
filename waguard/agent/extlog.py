"""Records of the four kinds of logs: waagent.log, and of a handler extension.log, shell.log and CommandExecution.log.

waagent.log and CommandExecution.log have the agent's own forms (record.py). extension.log has no level: the words tell it. Its
lines are of Python 3, of Python 2, of ``hutil.error``, of the block that is written after a freeze, and of safefreeze in that
block. shell.log begins each line with what ``date -u`` says, in whatever language.
Source: VMBackup/main of azure-linux-extensions (Utils/HandlerUtil.py, backuplogger.py, handle.sh, safefreeze.c) and
azurelinuxagent/common/logger.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import date
from functools import lru_cache
from typing import NamedTuple, Optional

from waguard.agent import record
from waguard.agent.record import MAX_TEXT, Offset
from waguard.agent.signatures import COMMAND, EXTENSION, SHELL, WAAGENT, benign

MAX_LINES = 400
"""Lines kept of one record; MAX_TEXT bounds its characters. Further ones belong to it and are dropped."""

LEVELS = ("VERBOSE", "INFO", "WARNING", "ERROR")


class Entry(NamedTuple):
    """One record, or what follows one that an earlier batch ended with."""

    at: Optional[float]
    """Seconds since the epoch; None where the line has no time that can be read."""
    level: str
    """One of LEVELS, told by the words where the writer has no levels."""
    text: str
    """The message, with the lines that continue it after LF. Bytes that are no UTF-8 appear as escapes."""
    begins: bool
    """False for lines at the very start of a batch that continue a record counted before."""


_STAMPED = re.compile(
    rb"(\d{4})([-/])(\d\d)[-/](\d\d) ([0-2]\d):([0-5]\d):([0-6]\d(?:\.\d{1,9})?)"
    rb"(?:  (Info|Warning|Warn|Error|Critical|Verbose|Debug)  | (ERROR|WARNING):|(?=\[)| )(.*)", re.DOTALL | re.IGNORECASE)
_LEVEL = {b"info": "INFO", b"warning": "WARNING", b"warn": "WARNING", b"error": "ERROR", b"critical": "ERROR",
          b"verbose": "VERBOSE", b"debug": "VERBOSE"}
_PREFIX = re.compile(rb" ?\[[^\s\[\]]{1,200}\]")
_DATE = re.compile(rb"(?=.{8,90}?- )\D*[^-]{0,60}?([0-2]?\d):([0-5]\d):([0-6]\d)([^-]{0,60}?)- (.*)", re.DOTALL)
_C_DATE = re.compile(rb"\w{3} (\w{3}) {1,2}(\d{1,2}) (\d\d):(\d\d):(\d\d)(?: ([AP])M)? UTC (\d{4})- ")
_BRACKETED = re.compile(rb"\[(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?::\d+)?\] ?(.*)", re.DOTALL)
_MONTHS = {name: number for number, name in enumerate(
    (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"), 1)}

_FIRST_DAY = date(1970, 1, 1).toordinal()

_ERROR = re.compile(
    r"Traceback \(most recent call last\)|ERROR:|stack trace: |failed with|Failed to |Exception\b|Errno (?:28|13|30)\b"
    r"|No space left|Permission denied|Read-only file system|[Tt]imed[ -]out|ModuleNotFoundError|StatusCode\.Failed"
    r"|freeze failed|file open failed|python version unknown|(?<!\d)(?!0 )\d{1,3} returned from handle\.py"
    r"|Machine unable to sleep|Snapshots are inconsistent")
_WARNING = re.compile(r"WARNING:|[Rr]etry|df command executed for process")


def told(source: str, text: str) -> str:
    """The level that the words tell, for writers without levels. What is benign is INFO."""
    if benign(source, text):
        return "INFO"
    if _ERROR.search(text):
        return "ERROR"
    return "WARNING" if _WARNING.search(text) else "INFO"


def parse(source: str, line: bytes, offset: Optional[Offset] = None) -> Optional[Entry]:
    """The record that a line begins, or None when it continues the last one. Never raises, whatever the bytes.

    ``offset`` gives the seconds east of UTC for local times, which without it have no `at`.
    """
    if source in (WAAGENT, COMMAND):
        return _of_agent(line, offset)
    found = _of_shell(line) if source == SHELL else None
    return found or _of_extension(source, line, offset)


def records(source: str, lines: Iterable[bytes], offset: Optional[Offset] = None) -> Iterator[Entry]:
    """The records of a batch of lines, each with what continues it; the last one is taken to be complete."""
    head: Optional[Entry] = None
    more: list[str] = []
    room = MAX_TEXT
    for line in lines:
        entry = parse(source, line, offset)
        if entry is not None:
            if head is not None or more:
                yield _joined(source, head, more)
            head, more, room = entry, [], MAX_TEXT - len(entry.text)
        elif room > 0 and len(more) < MAX_LINES and line.strip():
            more.append(_text(line[:room]))
            room -= len(more[-1]) + 1
    if head is not None or more:
        yield _joined(source, head, more)


def _joined(source: str, head: Optional[Entry], more: list[str]) -> Entry:
    if head is None:
        text = "\n".join(more)
        return Entry(None, told(source, text), text, False)
    if not more:
        return head
    text = "\n".join((head.text, *more))[:MAX_TEXT]
    worded = source in (EXTENSION, SHELL) and head.level == "INFO"
    return head._replace(text=text, level=told(source, text) if worded else head.level)


def _text(data: bytes) -> str:
    return data[:MAX_TEXT].rstrip(b"\r\n").decode("utf-8", "backslashreplace")[:MAX_TEXT]


def _of_agent(line: bytes, offset: Optional[Offset]) -> Optional[Entry]:
    found = record.parse(line, offset)
    if found is None:
        return None
    level = found.level or told(EXTENSION, found.text)  # An extension's own line has none.
    return Entry(found.at, level, found.text, True)


def _of_extension(source: str, line: bytes, offset: Optional[Offset]) -> Optional[Entry]:
    if line[10:11] == b"T":
        return _of_agent(line, offset)
    found = _STAMPED.match(line)
    if found is None:
        return None
    year, sign, month, day, hour, minute, second, block, shout, rest = found.groups()
    prefix = _PREFIX.match(rest)
    at = _epoch(int(year), int(month), int(day), int(hour), int(minute), float(second))
    if at is None:
        return None
    # Python 3's own lines and the block are in UTC; Python 2's, hutil.error's and safefreeze's in local time.
    utc = bool(block) or (sign == b"-" and (prefix is not None or b"." in second))
    text = _text(rest[prefix.end():] if prefix else rest).strip(" ")
    if block:
        level = _LEVEL[block.lower()]
        level = "INFO" if level in ("WARNING", "ERROR") and benign(source, text) else level
    else:
        level = _LEVEL[shout.lower()] if shout else told(source, text)
    return Entry(at if utc else (at - offset(at) if offset else None), level, text, True)


def _of_shell(line: bytes) -> Optional[Entry]:
    found = _BRACKETED.match(line)
    if found:
        year, month, day, hour, minute, second, rest = found.groups()
        at = _epoch(int(year), int(month), int(day), int(hour), int(minute), int(second))
        return _told_entry(SHELL, at, rest) if at is not None else None
    head = line[:160]
    found = _DATE.match(head)
    if found is None or (head[:4].isdigit() and head[4:5] in b"-/" and head[10:11] == b" "):
        return None
    return _told_entry(SHELL, _date(head), line[found.start(5):])


def _told_entry(source: str, at: Optional[float], rest: bytes) -> Entry:
    text = _text(rest)
    return Entry(at, told(source, text), text, True)


def _date(head: bytes) -> Optional[float]:
    """What `date -u` says in English, with 24 or 12 hours; None in other languages."""
    found = _C_DATE.match(head)
    if found is None or found[1] not in _MONTHS:
        return None
    hour = int(found[3])
    if found[6]:
        hour = hour % 12 + (12 if found[6] == b"P" else 0)
    return _epoch(int(found[7]), _MONTHS[found[1]], int(found[2]), hour, int(found[4]), int(found[5]))


@lru_cache(maxsize=8)
def _day(year: int, month: int, day: int) -> Optional[float]:
    try:
        return (date(year, month, day).toordinal() - _FIRST_DAY) * 86400.0
    except ValueError:
        return None


def _epoch(year: int, month: int, day: int, hour: int, minute: int, second: float) -> Optional[float]:
    midnight = _day(year, month, day)
    return midnight + hour * 3600 + minute * 60 + second if midnight is not None and hour < 24 else None
