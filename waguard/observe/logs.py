"""Follows waagent.log: what it says goes into a ``LogState``, how much it says into counters.

The agent opens the file for every record, and logrotate renames it, so a new inode is the normal case; the old one is read
to its end first. Truncation, a missing file and a file that cannot be read for a while are lived through. Each look reads a
bounded number of bytes; a line longer than the bound is cut, not kept.
"""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import log
from waguard.agent.logstate import LogState
from waguard.agent.record import LevelCounts
from waguard.i18n import say
from waguard.observe.files import Unusable

LOOK_BACK = 256 * 1024
BUDGET = 1 << 20
_LINE_LIMIT = 64 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class LogLook:
    """``counts``: records by level since the follower began, without the look-back. ``behind``: there is more to read now."""

    state: LogState
    counts: LevelCounts
    behind: bool


class Follower:
    """One file, one thread. ``look()`` after ``look()``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: Optional[int] = None
        self._inode: tuple[int, int] = (0, 0)
        self._offset = 0
        self._carry = b""
        self._cut = False
        self._state = LogState()
        self._counts = LevelCounts()
        self._silent_until = 0
        self._first = True

    def look(self) -> LogLook:
        """Read what is new, at most BUDGET bytes. Raises Unusable when the file cannot be read; what was read before is kept."""
        budget = BUDGET
        if self._fd is None:
            self._open()
        while self._fd is not None and budget > 0:
            budget = self._drain(budget)
            if budget <= 0 or not self._replaced():
                break
            budget = self._drain(budget)  # Who had it open when it was renamed may have written to it until just now.
            if budget <= 0:
                break
            self._close()
            self._open()
        return LogLook(self._state, self._counts, budget <= 0)

    def _open(self) -> None:
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        except FileNotFoundError:
            self._first = False
            return
        except OSError as error:
            raise Unusable(f"{self._path}: {error.strerror}") from error
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise Unusable(say("{path}: not a regular file", path=self._path))
        self._fd, self._inode = fd, (info.st_dev, info.st_ino)
        self._offset, self._carry, self._cut, self._silent_until = 0, b"", False, 0
        if self._first:
            self._first = False
            # What was there before us informs, but is not counted.
            self._offset = max(0, info.st_size - LOOK_BACK)
            self._cut = self._offset > 0
            self._silent_until = info.st_size

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
        self._fd = None

    def _replaced(self) -> bool:
        """The path leads to another file now. A missing path is a rotation half done: the old file may still grow."""
        try:
            info = os.stat(self._path)
        except OSError:
            return False
        return (info.st_dev, info.st_ino) != self._inode

    def _drain(self, budget: int) -> int:
        assert self._fd is not None
        try:
            if os.fstat(self._fd).st_size < self._offset:
                self._offset, self._carry, self._cut, self._silent_until = 0, b"", False, 0
            while budget > 0:
                data = os.pread(self._fd, min(_CHUNK, budget), self._offset)
                if not data:
                    break
                self._take(data)
                budget -= len(data)
        except OSError as error:
            self._close()
            raise Unusable(f"{self._path}: {error.strerror}") from error
        return budget

    def _take(self, data: bytes) -> None:
        counted = self._offset >= self._silent_until
        self._offset += len(data)
        self._state, counts = log.scan(self._state, self._lines(data), _offset)
        if counted:
            self._counts = self._counts + counts

    def _lines(self, data: bytes) -> list[bytes]:
        """The whole lines in carry plus data, each cut to the limit."""
        lines = (self._carry + data).split(b"\n")
        self._carry = lines.pop()
        if self._cut and lines:
            del lines[0]  # the end of a line whose start was read already, or lies before the look-back
            self._cut = False
        if len(self._carry) > _LINE_LIMIT and not self._cut:
            lines.append(self._carry)  # its start is enough to know the record by
            self._cut = True
        if self._cut:
            self._carry = b""
        if lines and len(lines[0]) > _LINE_LIMIT:  # No other is longer than what was read at once.
            lines[0] = lines[0][:_LINE_LIMIT]
        return lines


def _offset(local: float) -> float:
    """Seconds east of UTC for a local time given as if it were UTC."""
    return float(time.localtime(local).tm_gmtoff)
