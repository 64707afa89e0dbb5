"""Lines of waagent.log: the five formats of its history, heartbeats, counts by level.

Source: azurelinuxagent/common/logger.py at every tag since 2.2.0; the order of attempts is that of the agent's own
tests (tests_e2e/tests/lib/agent_log.py). Daemon and child may be of different versions, so formats mix in one file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import NamedTuple, Optional

from waguard.agent.versions import AgentVersion, from_name

Offset = Callable[[float], float]
"""Seconds east of UTC for a local time, which is given as the seconds since the epoch it would be if it were UTC."""

MAX_TEXT = 64 * 1024
"""Characters kept of one record, continuation lines included."""

_LINE = re.compile(
    rb"((?:\d{4}-\d\d-\d\dT|\d{4}/\d\d/\d\d )[0-2]\d:[0-5]\d):([0-6]\d(?:\.\d{1,9})?)(Z?) "
    rb"(?:(VERBOSE|INFO|WARNING|ERROR) )?(.*)",
    re.DOTALL,
)
_LEVELS = {None: "", b"VERBOSE": "VERBOSE", b"INFO": "INFO", b"WARNING": "WARNING", b"ERROR": "ERROR"}
PREFIXES = frozenset(("Daemon", "ExtHandler", "LogCollector", "Firewall"))
_EXTENSION = re.compile(r"\[[^\s\[\]]+-\d[\w.]*\]")
_BRACKET = re.compile(r"\[[^\[\]]+\]")
_THREAD = re.compile(r"MainThread|Thread-\d+\S*|\w+Handler|TelemetryEventsCollector|Dummy-\d+")
_EPOCH_DAY = date(1970, 1, 1).toordinal()


class Record(NamedTuple):
    """One record of the log. A named tuple, not a dataclass: a busy log makes hundreds of thousands a second."""

    at: Optional[float]
    """Seconds since the epoch; None for a local time that no offset was handed in for."""
    level: str
    """VERBOSE, INFO, WARNING or ERROR; "" for a line that an extension wrote into the file."""
    thread: str
    """The thread (2.2.47 and newer), else ""."""
    prefix: str
    """Daemon, ExtHandler, LogCollector, Firewall, "[extension-version]", or "" where the agent had not set one yet."""
    text: str
    """The message; continuation lines follow after LF once `joined`."""
    local_time: bool
    """Written in local time (agents before 2.2.46, extensions)."""

    @property
    def of_extension(self) -> bool:
        """Is it about one extension or written by one? Its text is then not the agent's own word."""
        return not self.level or self.prefix.startswith("[")


@lru_cache(maxsize=64)
def minute_at(text: bytes) -> float:
    """Seconds of "2025-11-19T12:41", once for all lines of a minute."""
    day = date(int(text[:4]), int(text[5:7]), int(text[8:10])).toordinal() - _EPOCH_DAY
    return day * 86400.0 + int(text[11:13]) * 3600 + int(text[14:16]) * 60


def parse(line: bytes, offset: Offset | None = None) -> Record | None:
    """Read one line, with or without its line end; None when it starts no record but continues the last one.

    UTC formats give `at` by themselves. For a local time `offset` is asked; without it `at` is None and `local_time`
    says why. Bytes that are no UTF-8 appear as escapes. Never raises, whatever the bytes.
    """
    found = _LINE.match(line)
    if found is None:
        return None
    minute, second, zulu, level, rest = found.groups()
    utc = minute[4:5] == b"-"
    if utc is not bool(zulu) or (utc and level is None):
        return None
    try:
        at: float | None = minute_at(minute) + float(second)
    except ValueError:  # no such day
        return None
    if not utc and at is not None:
        at = at - offset(at) if offset else None
    text = rest[:MAX_TEXT].rstrip(b"\r\n").decode("utf-8", "backslashreplace")
    if level is None:
        bracket = _BRACKET.match(text)
        prefix, text = (bracket.group(), text[bracket.end() :].lstrip(" ")) if bracket else ("", text)
        return Record(at, "", "", prefix, text[:MAX_TEXT], True)
    thread, prefix, start = _attribute(text, utc)
    return Record(at, _LEVELS[level], thread, prefix, text[start : start + MAX_TEXT], not utc)


def _attribute(rest: str, threads: bool) -> tuple[str, str, int]:
    """Thread and prefix in what follows the level, and where the text begins."""
    end = rest.find(" ")
    end = len(rest) if end < 0 else end
    first = rest[:end]
    if first.startswith("["):
        return ("", first, end + 1) if _EXTENSION.fullmatch(first) else ("", "", 0)
    if threads:
        second_end = rest.find(" ", end + 1)
        second_end = len(rest) if second_end < 0 else second_end
        second = rest[end + 1 : second_end]
        if second in PREFIXES or (second.startswith("[") and _EXTENSION.fullmatch(second)):
            return first, second, second_end + 1
    if first in PREFIXES:
        return "", first, end + 1
    return (first, "", end + 1) if threads and _THREAD.fullmatch(first) else ("", "", 0)


def joined(record: Record, line: bytes) -> Record:
    """`record` with a continuation line added to its text, up to MAX_TEXT characters in all."""
    room = MAX_TEXT - len(record.text) - 1
    if room <= 0:
        return record
    more = line.rstrip(b"\r\n")[:room].decode("utf-8", "backslashreplace")[:room]
    return record._replace(text=f"{record.text}\n{more}")


@dataclass(frozen=True)
class LevelCounts:
    """Records by level; an extension's own lines, which have none, are not counted."""

    verbose: int = 0
    info: int = 0
    warning: int = 0
    error: int = 0

    def plus(self, records: Iterable[Record]) -> LevelCounts:
        """With these records added."""
        counts = {"VERBOSE": self.verbose, "INFO": self.info, "WARNING": self.warning, "ERROR": self.error, "": 0}
        for record in records:
            counts[record.level] += 1
        return LevelCounts(counts["VERBOSE"], counts["INFO"], counts["WARNING"], counts["ERROR"])

    def __add__(self, other: LevelCounts) -> LevelCounts:
        return LevelCounts(
            self.verbose + other.verbose, self.info + other.info, self.warning + other.warning, self.error + other.error
        )

    def as_dict(self) -> dict[str, int]:
        """By the agent's names of the levels."""
        return {"VERBOSE": self.verbose, "INFO": self.info, "WARNING": self.warning, "ERROR": self.error}


@dataclass(frozen=True)
class Heartbeat:
    """The agent's own sign of life, each 30 minutes and once right after the child's start."""

    at: float | None
    version: AgentVersion | None
    id: str | None = None
    """Constant for one child process: a new one means the child was started anew. From 2.2.49 on."""
    counter: int | None = None
    """0 for the first one of a child."""
    update_gs_errors: int | None = None
    """Failed fetches of the goal state since the last heartbeat."""
    dropped_packets: int | None = None
    auto_update: bool | None = None
    update_mode: str | None = None
    """SelfUpdate or RSM, from 2.13 on."""
    by_loop: bool = True
    """Written by the main loop, so the loop turns; False for agents up to 2.2.26, where a helper thread wrote it."""


_HEARTBEAT = re.compile(
    r"\[HEARTBEAT\] Agent (WALinuxAgent-\S+) is running as the goal state agent(?: \[DEBUG ([^\]]*)\])?"
)
_EVENT = re.compile(r"Event: name=(?P<name>[^,]*), op=(?P<op>[^,]*), message=(?P<message>.*)", re.DOTALL)


def heartbeat(record: Record) -> Heartbeat | None:
    """The heartbeat in a record, of any generation; None for any other record.

    Source: azurelinuxagent/ga/update.py (_send_heartbeat_telemetry); up to 2.2.26 ga/monitor.py.
    """
    if record.text.startswith("[HEARTBEAT]"):
        found = _HEARTBEAT.match(record.text)
        return _detailed(record.at, found.group(1), found.group(2) or "") if found else None
    if record.text.startswith("Event: name=WALinuxAgent, op=HeartBeat,"):
        parts = event_message(record.text).split(";")
        if len(parts) >= 3:
            return Heartbeat(record.at, None, id=parts[2], counter=_number(parts[1]), by_loop=False)
        return Heartbeat(record.at, None, by_loop=False)
    return None


def _detailed(at: float | None, name: str, details: str) -> Heartbeat:
    values = dict(part.split(": ", 1) for part in details.split(";") if ": " in part)
    auto = values.get("AutoUpdate")
    return Heartbeat(
        at=at,
        version=from_name(name),
        id=values.get("HeartbeatId"),
        counter=_number(values.get("HeartbeatCounter")),
        update_gs_errors=_number(values.get("UpdateGSErrors")),
        dropped_packets=_number(values.get("DroppedPackets")),
        auto_update={"0": False, "1": True}.get(auto) if auto is not None else None,
        update_mode=values.get("UpdateMode"),
    )


def _number(text: str | None) -> int | None:
    return int(text) if text and len(text) <= 18 and text.isascii() and text.isdigit() else None


def event_message(text: str) -> str:
    """The message inside "Event: name=…, op=…, message=…, duration=N"; any other text as it is.

    Source: azurelinuxagent/common/event.py (_EVENT_MSG).
    """
    found = _EVENT.match(text) if text.startswith("Event: ") else None
    if found is None:
        return text
    message = found["message"]
    cut = message.rfind(", duration=")
    return message[:cut] if cut >= 0 else message
