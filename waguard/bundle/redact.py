"""Masks secrets in a text of any length that comes in pieces: bytes in, bytes out, the same however it was cut.

Between two calls it holds what a rule may still have to see (hit.LOOK and hit.BACK bytes), never a secret's length.
"""

from __future__ import annotations

from collections import Counter
from typing import Optional

from waguard.bundle import ends, secrets
from waguard.bundle.hit import BACK, LOOK, Hit

MASK = b"***REDACTED***"
"""The agent's own word (WALinuxAgent common/protocol/goal_state.py): good in XML and JSON too."""


class _Span:
    """A secret that is being gone through. Masked until all of its ends are found."""

    def __init__(self, hit: Hit, quiet: bool) -> None:
        self.hit = hit
        self.quiet = quiet
        self.head = b""
        self.length = 0
        self.open = [_Open(hit)]
        self.waiting = False  # All that is known was gone through already.


class _Open:
    def __init__(self, hit: Hit) -> None:
        self.hit = hit
        self.at = hit.at
        self.done = False


class Redactor:
    """One text. ``masked``: how many secrets of each rule were masked so far."""

    def __init__(self) -> None:
        self.masked: Counter[str] = Counter()
        self._data = b""
        self._cut = 0
        self._at = 0
        self._scanned = 0
        self._later: list[Hit] = []
        self._span: Optional[_Span] = None
        self._reach: dict[str, int] = {}
        self._out: list[bytes] = []

    def feed(self, data: bytes) -> bytes:
        """More of the text; returns what is certain by now."""
        self._data += data
        return self._turn(False) if len(self._data) - self._scanned > 2 * LOOK else b""

    def close(self) -> bytes:
        """The rest."""
        return self._turn(True)

    def close_cut(self) -> bytes:
        """The rest of a text that was cut somewhere: without its last, unfinished line, in which half a secret may stand that
        nobody would know. Of a line that is longer than LOOK, its last LOOK bytes are left out."""
        newline = self._data.rfind(b"\n", max(self._scanned, len(self._data) - LOOK))
        if newline < 0 < len(self._data) - LOOK:
            out = self._turn(False)  # With all that may be seen behind it.
            self._data = self._data[:self._scanned]
            self._later.clear()
            return out + self._turn(True)
        self._data = self._data[:newline + 1]
        return self._turn(True)

    def _turn(self, final: bool) -> bytes:
        data = self._data
        low = data.lower()
        safe = len(data) + 1 if final else len(data) - ends.AHEAD
        limit = len(data) if final else len(data) - LOOK
        found = [*self._later, *secrets.hits(data, low, self._scanned, limit, self._cut == 0)]
        found.sort(key=lambda hit: (hit.at, hit.rule, hit.crossing))
        self._scanned = limit
        if self._span is not None:
            self._span.waiting = False
        self._later = [hit for hit in found if hit.at >= limit and not final]
        for hit in found[:len(found) - len(self._later)]:
            self._advance(low, safe, final)
            self._take(hit)
        self._advance(low, safe, final)
        if self._span is None and self._at < limit:
            self._out.append(data[self._at:limit])
            self._at = limit
        self._trim()
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _take(self, hit: Hit) -> None:
        if hit.crossing and hit.at < self._reach.get(hit.crossing, 0):
            return
        if self._span is not None:
            if hit.crossing:
                self._span.open.append(_Open(hit))
                self._span.waiting = False
            return
        if hit.at >= self._at:
            self._out.append(self._data[self._at:hit.at])
            self._at = hit.at
            self._span = _Span(hit, False)
        elif hit.crossing:
            self._span = _Span(hit, True)

    def _advance(self, low: bytes, safe: int, final: bool) -> None:
        """Go on with the open secret, to its end or to that of what is known."""
        span = self._span
        if span is None or span.waiting:
            return
        span.waiting = True
        for one in span.open:
            if not one.done:
                one.at, one.done = one.hit.end.step(low, one.at, safe, final)
                if one.hit.crossing:
                    self._reach[one.hit.crossing] = one.at
        to = max(one.at for one in span.open)
        if to > self._at:
            if not span.quiet and len(span.head) <= len(MASK):
                span.head += self._data[self._at:min(to, self._at + len(MASK) + 1)]
            span.length += to - self._at
            self._at = to
        if all(one.done for one in span.open):
            self._span = None
            self._close(span)

    def _close(self, span: _Span) -> None:
        if span.quiet:
            if span.length:
                self.masked[span.hit.rule] += 1
        elif span.head[:len(MASK) + 1] == MASK and span.length == len(MASK):
            self._out.append(MASK)  # Was masked before it came here.
        elif span.length:
            self.masked[span.hit.rule] += 1
            self._out += (span.hit.frame, MASK, span.hit.frame)

    def _trim(self) -> None:
        """Forget what nobody looks back at."""
        waiting = [one.at for one in self._span.open if not one.done] if self._span else []
        gone = min(self._at, self._scanned, *waiting) - BACK
        if gone <= 0:
            return
        self._data = self._data[gone:]
        self._cut += gone
        self._at -= gone
        self._scanned -= gone
        self._later = [hit._replace(at=hit.at - gone) for hit in self._later]
        self._reach = {kind: at - gone for kind, at in self._reach.items()}
        for one in self._span.open if self._span else ():
            one.at -= gone


def redact(data: bytes) -> bytes:
    """A whole text at once."""
    redactor = Redactor()
    return redactor.feed(data) + redactor.close()
