"""Which files a log went through since it was last read: renamed, copied and truncated, compressed, shortened, begun anew.

A place in a log is a ``Spot``: an inode, an offset, and check sums of the file's first bytes and of those before the offset. The
inode alone would not do, since file systems give a deleted file's inode to the next one. Check sums (CRC-32) and not the bytes,
since a log may hold secrets and the place is remembered on disk.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.i18n import say
from waguard.observe.files import Unusable

PRINT = 256
"""First bytes that a check sum is made of, or fewer where there are fewer."""
LAST = 2048
"""The same of the bytes before an offset: enough for some time stamps."""
SIBLINGS = 64
"""With more rotated files than this they are not looked at. The agent's own rule keeps 50."""
_SPARE = 8
_NAMES = 20000
_INFLATE = 64 << 20
_SHIFT = 16 << 20
_SHIFT_PRINT = 128
_WINDOW = 1 << 20
_AGE = r"[.-](?:\d[\d.:TZ_-]{0,40}|old)"


class LogFile:
    """An open regular file, perhaps compressed by gzip. ``size`` is that of the look; None for a compressed one."""

    def __init__(self, path: Path, fd: int, info: os.stat_result, packed: bool = False) -> None:
        self.name = path.name
        self.inode = info.st_ino
        self.mtime = info.st_mtime_ns
        self.size: Optional[int] = None if packed else info.st_size
        self.packed = packed
        self._fd = fd
        self._stream: Optional[io.BufferedIOBase] = None
        self._start: Optional[bytes] = None

    def read(self, offset: int, length: int) -> bytes:
        """Bytes at an offset; fewer only at the end. OSError, EOFError or zlib.error where they cannot be had."""
        if not self.packed:
            return os.pread(self._fd, length, offset)
        if self._stream is None:
            import gzip

            self._stream = gzip.GzipFile(fileobj=os.fdopen(os.dup(self._fd), "rb"))
        if offset > _INFLATE or self._stream.seek(offset) != offset:
            return b""
        return self._stream.read(length)

    @property
    def start(self) -> bytes:
        """The first bytes, b"" where they cannot be had."""
        if self._start is None:
            try:
                self._start = self.read(0, PRINT)
            except (OSError, EOFError, zlib.error):
                self._start = b""
        return self._start

    def same_start(self, other: LogFile) -> bool:
        """Is one the beginning of the other, as far as looked?"""
        length = min(len(self.start), len(other.start))
        return length > 0 and self.start[:length] == other.start[:length]

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        os.close(self._fd)


def open_file(path: Path, follow: bool = True, packed: bool = False) -> LogFile:
    """Opens a regular file without ever blocking. Raises FileNotFoundError, or Unusable with what is wrong."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(path, flags)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{str(path)!r}: {error}") from error
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise Unusable(say("{path}: not a regular file", path=path))
    return LogFile(path, fd, info, packed)


Head = tuple[int, int]
"""Length and check sum of some first bytes."""


@dataclass
class Spot:
    """How far a file was read. ``cut``: in the middle of a line whose beginning has been given out already."""

    inode: int
    offset: int = 0
    cut: bool = False
    head: Head = (0, 0)
    tail: Head = (0, 0)

    def mark(self, file: LogFile) -> None:
        """Remember what is before the offset."""
        self.head = head(file.read(0, min(PRINT, self.offset)))
        length = min(LAST, self.offset)
        self.tail = head(file.read(self.offset - length, length))

    def holds(self, file: LogFile) -> bool:
        """Is this the file, no less than it was?"""
        if file.size is not None and file.size < self.offset:
            return False
        try:
            return (head(file.start[:self.head[0]]) == self.head
                    and head(file.read(self.offset - self.tail[0], self.tail[0])) == self.tail)
        except (OSError, EOFError, zlib.error):
            return False


def head(data: bytes) -> Head:
    return len(data), zlib.crc32(data)


def known(file: LogFile, heads: Iterable[Head]) -> bool:
    """Has a file that begins like this one been there before?"""
    return any(length and head(file.start[:length]) == (length, value) for length, value in heads)


def siblings(path: Path, current: Optional[LogFile], wanted: Iterable[int]) -> list[LogFile]:
    """The rotated files beside a log, oldest first, and those with a wanted inode whatever their name. Not ``current``.

    The caller closes them. A directory that cannot be read has none.
    """
    inodes = frozenset(wanted)
    stem, dot, ending = path.name.rpartition(".")
    aged = re.escape(path.name) + _AGE + (f"|{re.escape(stem)}{_AGE}{re.escape(dot + ending)}" if stem else "")
    rotated = re.compile(rf"(?:{aged})(\.gz)?")
    found: list[LogFile] = []
    try:
        with os.scandir(path.parent) as entries:
            names = [(entry.name, entry.inode()) for entry, _ in zip(entries, range(_NAMES))]
    except (OSError, ValueError):
        return []
    for name, inode in sorted(names, key=lambda pair: pair[1] not in inodes):
        match = rotated.fullmatch(name)
        if name == path.name or (match is None and inode not in inodes):
            continue
        try:
            file = open_file(path.parent / name, follow=False, packed=match is not None and match[1] is not None)
        except (OSError, Unusable):
            continue
        if current is not None and file.inode == current.inode:
            file.close()
        else:
            found.append(file)
        if len(found) > SIBLINGS + _SPARE:
            break
    if len(names) == _NAMES or len(found) > SIBLINGS:
        close(file for file in found if file.inode not in inodes)
        found = [file for file in found if file.inode in inodes]
    return _in_order(path.name, found)


def _in_order(name: str, found: list[LogFile]) -> list[LogFile]:
    """Oldest first: log.2 is older than log.1, whatever the clock said; others by their time."""
    def number(file: LogFile) -> int:
        age = re.fullmatch(r"\.(\d{1,6})(?:\.gz)?", file.name[len(name):])
        return int(age[1]) if age else 0

    by_time = sorted(found, key=lambda file: (file.mtime, -number(file), file.name))
    numbered = iter(sorted((file for file in by_time if number(file)), key=number, reverse=True))
    return [next(numbered) if number(file) else file for file in by_time]


def close(found: Iterable[LogFile]) -> None:
    for file in found:
        file.close()


@dataclass(frozen=True)
class Link:
    """A file to read, and from where. ``tracked``: its place was remembered."""

    spot: Spot
    file: LogFile
    tracked: bool


@dataclass(frozen=True)
class Chain:
    """Files to read, oldest first. ``waiting``: a place whose file is not there while there is no new one either.

    ``lost``: a place was remembered whose file is not there any more, or is not what it was. ``goes_on``: the log is still the
    file that it was.
    """

    links: tuple[Link, ...]
    waiting: Optional[Spot] = None
    lost: bool = False
    goes_on: bool = False


def chain(current: Optional[LogFile], others: Sequence[LogFile], spots: Sequence[Spot], heads: Sequence[Head]) -> Chain:
    """What to read, given the places remembered (oldest first) and the first bytes of rotated files that were there before."""
    links = [Link(spot, file, True) for spot in spots[:-1] for file in _by_inode(spot, others)]
    newest = spots[-1] if spots else None
    at: Optional[LogFile] = None
    lost = False
    if newest is not None:
        at, lost = _find(newest, current, others)
        if at is not None and at is not current:
            links.append(Link(newest, at, True))
    goes_on = at is not None and at is current
    if not goes_on:
        taken = [link.file for link in links] + ([current] if current is not None else [])
        for file in others:
            if file.start and not known(file, heads) and not any(file is other or file.same_start(other) for other in taken):
                links.append(Link(Spot(file.inode), file, False))
                taken.append(file)
    if current is not None:
        links.append(Link(newest, current, True) if newest is not None and at is current
                     else Link(Spot(current.inode), current, False))
    gone = newest is not None and at is None
    younger = current is not None or any(not link.tracked for link in links)
    return Chain(tuple(links), newest if gone and not younger else None, lost or (gone and younger), goes_on)


def _by_inode(spot: Spot, others: Iterable[LogFile]) -> list[LogFile]:
    return [file for file in others if file.inode == spot.inode and not file.packed and spot.holds(file)][:1]


def _find(spot: Spot, current: Optional[LogFile], others: Sequence[LogFile]) -> tuple[Optional[LogFile], bool]:
    """Where the place is now, None if nowhere, and whether something was lost on the way there."""
    if current is not None and current.inode == spot.inode and spot.holds(current):
        return current, False
    found = _by_inode(spot, others) or [file for file in others if spot.holds(file)][:1]
    if found:
        return found[0], False
    if current is not None and _shortened(spot, current):
        return current, True
    return (current, False) if current is not None and _beheaded(spot, current) else (None, False)


def _shortened(spot: Spot, current: LogFile) -> bool:
    """The same file, but its end was cut off or altered: go on from there."""
    size = current.size or 0
    if current.inode != spot.inode or size < spot.head[0] or head(current.start[:spot.head[0]]) != spot.head:
        return False
    spot.offset = min(spot.offset, size)
    spot.cut = current.read(spot.offset - 1, 1) != b"\n"
    return True


def _beheaded(spot: Spot, current: LogFile) -> bool:
    """What was read last is further ahead: the agent keeps CommandExecution.log small by writing its last 10 MiB anew.

    Source: azurelinuxagent/ga/exthandlers.py (__truncate_file_head).
    """
    length, value = spot.tail
    if length < _SHIFT_PRINT or spot.cut:
        return False
    place = 0
    for start in range(0, min(current.size or 0, _SHIFT), _WINDOW):
        base = max(0, start - length)
        data = current.read(base, start - base + _WINDOW)
        end = data.find(b"\n", start - base)
        while end >= 0:
            if end + 1 >= length and zlib.crc32(data[end + 1 - length:end + 1]) == value:
                place = base + end + 1
            end = data.find(b"\n", end + 1)
    spot.offset = place or spot.offset
    return place > 0
