"""Reads what is new in a log, for a process that lives shortly: all that it has to remember is plain JSON.

Files that were rotated between two visits are read to their ends first, in their order, as long as they are still there,
compressed by gzip or not (``rotated.py`` finds them). A half line at the end is left for the next visit. Bounded in time, bytes
and memory, whatever is in the file's place.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from waguard.i18n import say
from waguard.observe import rotated
from waguard.observe.files import Unusable
from waguard.observe.rotated import Chain, Head, LogFile, Spot

LOOK_BACK = 256 * 1024
BUDGET = 1 << 20
LINE_LIMIT = 64 * 1024
"""Bytes kept of one line."""
LINES = 65536
"""Lines of one visit, give or take those of a chunk."""
_CHUNK = 64 * 1024
_SPOTS = 4
_VERSION = 1


@dataclass(frozen=True)
class TailRead:
    """What one visit read.

    ``lines`` are without line ends; empty ones are left out. ``state`` is for the next visit. ``skipped``: bytes passed over,
    which are those before the look-back and the rest of lines beyond LINE_LIMIT. ``problem``: why it could not be read, else "".
    ``first``: nothing was remembered, so the lines are history. ``behind``: the budget was used up and there is more to read now.
    ``lost``: the file that was being read is gone, and with it what was written to it after the last visit.
    ``used``: bytes read.
    """

    lines: list[bytes]
    state: dict[str, Any]
    skipped: int = 0
    problem: str = ""
    first: bool = False
    behind: bool = False
    lost: bool = False
    used: int = 0


@dataclass
class _Visit:
    """What is under way."""

    room: int
    lines: list[bytes] = field(default_factory=list)
    skipped: int = 0
    used: int = 0

    @property
    def full(self) -> bool:
        return self.used >= self.room or len(self.lines) >= LINES


class Tail:
    """One file, one visit: ``Tail(path, state).read()``. ``state`` is what the last visit gave; None or unusable: the first."""

    def __init__(self, path: Path, state: Optional[Mapping[str, Any]] = None, look_back: int = LOOK_BACK,
                 budget: int = BUDGET) -> None:
        self._path = path
        self._visit = _Visit(max(budget, 1))
        self._look_back = min(look_back, max(budget, 1))
        self._memory = _load(state)

    def read(self) -> TailRead:
        """Never raises for anything that a file system can do."""
        current: Optional[LogFile] = None
        others: list[LogFile] = []
        problem = ""
        try:
            current = rotated.open_file(self._path)
        except FileNotFoundError:
            pass
        except Unusable as error:
            problem = str(error)
        try:
            spots, heads = self._memory or ([], [])
            others = rotated.siblings(self._path, current, [spot.inode for spot in spots])
            if self._memory is None:
                return self._begin(current, others, problem)
            return self._go_on(rotated.chain(current, others, spots, heads), others, heads, problem)
        except OSError as error:
            return TailRead([], _dump(*self._memory) if self._memory else {}, 0, f"{self._path}: {error.strerror}",
                            self._memory is None)
        finally:
            rotated.close([*others, *([current] if current is not None else [])])

    def _begin(self, current: Optional[LogFile], others: list[LogFile], problem: str) -> TailRead:
        """What a file held before anybody looked informs, up to a bound. One that comes later is all new."""
        if problem:
            return TailRead([], {}, 0, problem, True)
        heads = _heads(others)
        if current is None:
            return TailRead([], _dump([], heads), 0, "", True)
        size = current.size or 0
        spot = Spot(current.inode, max(0, size - self._look_back))
        passed = spot.offset
        self._visit.room = size - passed + _CHUNK
        spot.cut = spot.offset > 0 and current.read(spot.offset - 1, 1) != b"\n"
        while not self._drain(current, spot, final=False, end=size):
            del self._visit.lines[:-LINES // 2]  # The older ones.
        spot.mark(current)
        visit = self._visit
        state = _dump([spot] if spot.offset else [], heads)
        return TailRead(visit.lines, state, passed + visit.skipped, "", True, used=visit.used)

    def _go_on(self, chain: Chain, others: list[LogFile], heads: list[Head], problem: str) -> TailRead:
        spots: list[Spot] = []
        seen = list(others) if chain.goes_on else [file for file in others if rotated.known(file, heads)]
        behind = False
        for link in chain.links:
            spot = link.spot
            if not behind:
                try:
                    behind = not self._drain(link.file, spot, final=link is not chain.links[-1])
                    spot.mark(link.file)
                except (OSError, EOFError, zlib.error) as error:
                    system = getattr(error, "strerror", None)
                    problem = problem or (f"{link.file.name}: {system}" if system else
                                          say("{name}: is not to be decompressed", name=link.file.name))
                if not behind or spot.offset:
                    seen.append(link.file)
                if link.file.packed and not behind:
                    continue  # It does not grow any more.
            if spot.offset and (link.tracked or link.file in seen):
                spots.append(spot)  # Where nothing was read yet there is nothing to remember: it will be found as a new file.
        if chain.waiting is not None:
            spots.append(chain.waiting)
        keep = [file for file in others if file in seen]
        visit = self._visit
        return TailRead(visit.lines, _dump(spots[-_SPOTS:], _heads(keep)), visit.skipped, problem, False, behind, chain.lost,
                        visit.used)

    def _drain(self, file: LogFile, spot: Spot, final: bool, end: Optional[int] = None) -> bool:
        """Take the lines from the spot on. True when the end was reached. ``final``: nobody will complete a half line."""
        visit = self._visit
        unused, began, at, carry = visit.used == 0, spot.offset, spot.offset, b""
        while not visit.full:
            data = file.read(at, min(_CHUNK, visit.room - visit.used, (end - at) if end is not None else _CHUNK))
            if not data:
                if final and carry:
                    visit.lines.append(carry)
                    spot.offset = at
                return True
            at += len(data)
            visit.used += len(data)
            carry = self._lines(spot, carry + data, at)
        if carry and unused and spot.offset == began:
            self._cut(spot, carry, at)  # Longer than all that may be read in one visit.
        return False

    def _lines(self, spot: Spot, data: bytes, at: int) -> bytes:
        """The whole lines of what was read up to ``at``; what is left is the beginning of one more."""
        visit = self._visit
        lines = data.split(b"\n")
        carry = lines.pop()
        if spot.cut and lines:
            visit.skipped += len(lines.pop(0))
            spot.cut = False
        if lines and len(lines[0]) > LINE_LIMIT:  # No other is longer than what was read at once.
            visit.skipped += len(lines[0]) - LINE_LIMIT
            lines[0] = lines[0][:LINE_LIMIT]
        visit.lines += [line for line in lines if line and line != b"\r"]
        spot.offset = at - len(carry)
        if spot.cut or len(carry) > LINE_LIMIT:
            self._cut(spot, carry, at)
            return b""
        return carry

    def _cut(self, spot: Spot, carry: bytes, at: int) -> None:
        """A line that is too long: its start is enough to know the record by, and the rest is passed over."""
        if spot.cut:
            self._visit.skipped += len(carry)
        else:
            self._visit.lines.append(carry[:LINE_LIMIT])
            self._visit.skipped += max(0, len(carry) - LINE_LIMIT)
        spot.cut, spot.offset = True, at


def _heads(found: list[LogFile]) -> list[Head]:
    return [rotated.head(file.start) for file in found if file.start]


def _dump(spots: list[Spot], heads: list[Head]) -> dict[str, Any]:
    return {"v": _VERSION, "spots": [[spot.inode, spot.offset, int(spot.cut), *spot.head, *spot.tail] for spot in spots],
            "heads": [list(known) for known in heads[:rotated.SIBLINGS]]}


def _load(state: Optional[Mapping[str, Any]]) -> Optional[tuple[list[Spot], list[Head]]]:
    """What `_dump` made; None where it is anything else."""
    if not isinstance(state, Mapping) or state.get("v") != _VERSION:
        return None
    spots, heads = _rows(state.get("spots"), 7, _SPOTS), _rows(state.get("heads"), 2, rotated.SIBLINGS)
    if spots is None or heads is None:
        return None
    found = [Spot(row[0], row[1], bool(row[2]), (row[3], row[4]), (row[5], row[6])) for row in spots]
    if any(spot.offset == 0 or spot.head[0] > rotated.PRINT or spot.tail[0] > min(rotated.LAST, spot.offset) for spot in found):
        return None
    return found, [(row[0], row[1]) for row in heads if row[0] <= rotated.PRINT]


def _rows(value: Any, width: int, limit: int) -> Optional[list[list[int]]]:
    if not isinstance(value, list) or len(value) > limit:
        return None
    good = all(isinstance(row, list) and len(row) == width and all(type(item) is int and 0 <= item < 1 << 64 for item in row)
               for row in value)
    return value if good else None
