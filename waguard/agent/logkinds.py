"""Lines of waagent.log by their kind, so that of very many lines only those are taken apart that may mean something.

The kind of a line is what is left of it without digits and the letters of hexadecimal numbers, which is where times, versions and
identifiers were. A long log has some dozens of kinds. A text can only be in a line if the text's kind is in the line's kind, so a
search is made once for a kind, not for each line; and what has to be done for each line is done by one call for a whole batch.
Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Optional

from waguard.agent.record import PREFIXES

ALIKE = 120
"""Characters of a text by which it is told whether it repeats another one."""
STEP = 10
"""Seconds that lines with the same start of their time have in common."""
_LINES = 512
_NUMBERS = b"0123456789abcdefABCDEF"
_LEVELS = ("VERBOSE", "INFO", "WARNING", "ERROR")
_MEMO = 256
_MEMO_LENGTH = 300


def bare(data: bytes) -> bytes:
    """The kind of a text. That of two texts put together is their kinds put together."""
    return data.translate(None, _NUMBERS)


def _any(texts: Iterable[str]) -> bytes:
    return b"|".join(re.escape(text.encode()) for text in texts)


# A day that there is, but for leap days: it is not worth it to count those fast too.
_DAY = (rb"[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
        rb"|02-(?:0[1-9]|1[0-9]|2[0-8]))")
# What agents since 2.2.47 write once they have a prefix, as far as ALIKE bytes of its text; of any other line nothing.
_PLAIN = re.compile(
    rb"\n(" + _DAY + rb"T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6}Z (?:" + _any(_LEVELS) + rb") [A-Za-z][\w-]{0,60} (?:" +
    _any(sorted(PREFIXES)) + rb"|\[[!-Z^-~]{1,120}-[0-9][\w.]{0,40}\]) .{0,%d}|)" % ALIKE)
_START = len("2025-11-19T12:41:2")
_SHORT = len("2025-11-19T12:41:22.123456Z INFO x Daemon ") + ALIKE
_LEVEL = {bare(level.encode()): level for level in _LEVELS}


class Sieve:
    """Which plain lines may mean something.

    ``loud``: by level, what is found in the kind of such a line, None where there are none. ``deep``: it may be behind the first
    ALIKE characters of a text.
    """

    def __init__(self, loud: Mapping[str, Optional[re.Pattern[bytes]]], deep: bool) -> None:
        self._loud = loud
        self.deep = deep
        self._memo: dict[bytes, bool] = {}

    def holds(self, kind: bytes) -> bool:
        """Does a line of this kind need a closer look?"""
        known = self._memo.get(kind)
        if known is None:
            loud = self._loud[_LEVEL[kind.split(b" ", 2)[1]]]
            # Characters are counted where a text is cut, and its line end may be of two: neither can be told of bytes like these.
            known = not kind.isascii() or kind.endswith(b"\r") or (loud is not None and loud.search(kind) is not None)
            if len(kind) <= _MEMO_LENGTH:
                if len(self._memo) >= _MEMO:
                    self._memo.clear()
                self._memo[kind] = known
        return known


class Batch:
    """Some lines, without their ends, in the order of the log. Before `sift` all of them are loud."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self._plain: list[bytes] = _PLAIN.findall(b"\n".join([b"", *lines]))
        self.quiet: dict[bytes, int] = {}
        """How many lines there are of each kind that are done with by being counted: records in the plain form, of one line."""
        self.loud: Sequence[bytes] = lines
        """The other lines."""

    def starts(self) -> Counter[bytes]:
        """How many plain lines have each time, without the last digit of its second: "2025-11-19T12:41:2"."""
        return Counter([line[:_START] for line in self._plain if line])

    def sift(self, sieve: Sieve, fresh: Optional[Callable[[bytes], bool]] = None) -> list[bytes]:
        """Part the lines. ``fresh``: does a quiet kind need a closer look all the same? Returns the loud plain lines' starts."""
        lines, plain = self._lines, self._plain
        if len(plain) != len(lines):
            return [line[:_START] for line in plain if line]  # There is a line end within a line.
        kinds = bare(b"\n".join(plain)).split(b"\n")
        counts = Counter(kinds)
        near = {kind for kind in counts if not kind or sieve.holds(kind) or (fresh is not None and fresh(kind))}
        # Of the last line it is not known what follows.
        found = {len(lines) - 1}
        if near:
            found.update([at for at, kind in enumerate(kinds) if kind in near])
        if sieve.deep:
            found.update(self._deep(sieve))
        if b"" in near:
            # What is not plain may continue the line before it.
            found.update([at - 1 for at in found if at and not kinds[at]])
        order = sorted(found)
        self.loud = [lines[at] for at in order]
        counts.subtract([kinds[at] for at in order])
        self.quiet = {kind: count for kind, count in counts.items() if count}
        return [plain[at][:_START] for at in order if plain[at]]

    def _deep(self, sieve: Sieve) -> list[int]:
        """Which of the long lines need a closer look for something in any part of them."""
        long = [at for at, line in enumerate(self._lines) if len(line) > _SHORT and self._plain[at]]
        kinds = bare(b"\n".join([self._lines[at] for at in long])).split(b"\n")
        near = {kind for kind in set(kinds) if kind and sieve.holds(kind)}
        return [at for at, kind in zip(long, kinds) if kind in near] if near else []


def batches(lines: Iterable[bytes]) -> Iterator[Batch]:
    """All lines. A batch is so small that its copies stay in a CPU's cache."""
    source = iter(lines)
    while True:
        some = list(islice(source, _LINES))
        if not some:
            return
        yield Batch(some)


def level_and_text(kind: bytes) -> tuple[str, str]:
    """Of a quiet kind: its level, and the kind of what the first ALIKE characters of its text are."""
    words = kind.split(b" ", 4)
    return _LEVEL[words[1]], words[4].decode("ascii")
