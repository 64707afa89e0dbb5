"""Where a secret ends: each end is asked piece by piece, however far the secret goes.

``step(low, at, safe, final)`` looks at the small-letter text ``low`` from ``at`` on and says how far the secret reaches and
whether that is its end. Only what begins before ``safe`` is decided, since an end may need AHEAD bytes after it to be told;
so the answer never depends on how the text was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

AHEAD = 256
"""Bytes that an end may have to see."""
_BACK = 256
_RECORD = rb"\n(?=[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[t ][0-9]{2}:)"
"""A new record of a log: nothing that was opened in the one before reaches into it."""

BARE = re.compile(rb"[\s\"'<>\\]|[&;,](?=[\w%.-]{1,64}[=:])|[&;,](?=[\s\"'<>\\]|\Z)")
LINE = re.compile(rb"[\r\n]|[&;, \t](?=[ \t]{0,16}[\w%.-]{1,64}[=:])|[ \t]{1,64}(?=[\r\n]|\Z)|[,;](?=[ \t]{0,16}(?:[\r\n]|\Z))")
"""The value of a line that says nothing else: it may hold blanks."""
LITERAL = re.compile(rb"[\s,}\]\"'<>\\&]")
"""A number in JSON."""
REST = re.compile(rb"[\r\n\"'<>]|\\[rn\"']")
WORD = re.compile(rb"[\s\"'\\<>]")
SAS = re.compile(rb"[^a-z0-9+/=_.~%\\-]|\\(?!/)|%(?:25)?26|%(?![0-9a-f]{2})")
BEARER = re.compile(rb"[^\w~+/.=-]|[.](?![\w~+/=-])")
JWT = re.compile(rb"[^\w.-]|[.](?![\w.-])|[.]{3}")
HASH = re.compile(rb"[^./a-z0-9=,$+-]|[.,](?=\s|\Z)")
PEM = re.compile(rb"-{4,5} ?end [a-z0-9 ]{1,40}-{4,5}")
WIDE = re.compile(rb"[^\x00]{2}|\x00{2}")
ESCAPED_ELEMENT = re.compile(rb"&lt;/|" + _RECORD)
LONGEST_PEM = 64 * 1024
"""No key is longer. A mention of a key without its end hides no more than this."""

_TOKENS = re.compile(rb"[{}\[\]]|[\"']|&quot;|&#3[49];|" + _RECORD)
_BASE64 = re.compile(rb"[a-z0-9+/=]*")
_BREAK = rb"[ \t]{0,16}(?:\\{1,8}[rn]|[\r\n]){1,4}[ \t]{0,64}"
_NEXT_LINE = re.compile(_BREAK + rb"(?=[a-z0-9+/]{60})")
_LAST_LINE = re.compile(_BREAK + rb"(?=(?:[a-z0-9+/]{4}){0,15}(?:[a-z0-9+/]{4}|[a-z0-9+/]{3}=|[a-z0-9+/]{2}==)(?![a-z0-9+/=]))")


@lru_cache(maxsize=256)
def element(name: bytes) -> re.Pattern[bytes]:
    """The end of an XML element's content, whatever is in it."""
    return re.compile(rb"</(?:[\w.-]{1,40}:)?" + re.escape(name) + rb"\s{0,20}>|" + _RECORD)


@lru_cache(maxsize=16)
def _closing(quote: bytes) -> re.Pattern[bytes]:
    return re.compile(re.escape(quote) + rb"|[\r\n]")


class Until:
    """Up to the first place that fits a pattern; ``most`` bytes at most."""

    def __init__(self, pattern: re.Pattern[bytes], most: int = 0) -> None:
        self._pattern = pattern
        self._left = most
        self._bounded = most > 0

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        found = self._pattern.search(low, at)
        if found is not None and found.start() < safe:
            end, done = found.start(), True
        else:
            end, done = (len(low), True) if final else (max(at, safe), False)
        if self._bounded and end - at >= self._left:
            return at + self._left, True
        self._left -= end - at
        return end, done


class Exact:
    """A length that is known from the beginning; all of it is there."""

    def __init__(self, length: int) -> None:
        self._length = length

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        return at + self._length, True


class Quoted:
    """A string that was opened by so many backslashes and a quote; the line's end if nothing closes it."""

    def __init__(self, quote: bytes, escapes: int) -> None:
        self._quote = quote
        self._escapes = escapes

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        for found in _closing(self._quote).finditer(low, at):
            where = found.start()
            if where >= safe:
                break
            if found[0] != self._quote:
                return where, True
            length = escapes(low, where)
            if length <= self._escapes if self._escapes else length % 2 == 0:
                return max(at, where - length) if self._escapes else where, True
        return (len(low), True) if final else (max(at, safe - _BACK), False)


class Nested:
    """An object or a list, in JSON or as Python prints it, itself perhaps within a string."""

    def __init__(self, depth_of_escapes: int) -> None:
        self._escapes = depth_of_escapes
        self._depth = 0
        self._within = b""

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        for found in _TOKENS.finditer(low, at):
            where, word = found.start(), found[0]
            if where >= safe:
                break
            if word == b"\n":
                return where, True
            if word in (b"{", b"["):
                self._depth += not self._within
            elif word in (b"}", b"]"):
                self._depth -= not self._within
                if self._depth <= 0 and not self._within:
                    return found.end(), True
            elif self._structural(low, where, word):
                self._within = b"" if self._within == word else self._within or word
        return (len(low), True) if final else (max(at, safe), False)

    def _structural(self, low: bytes, where: int, word: bytes) -> bool:
        if word[:1] == b"&":
            return True
        length = escapes(low, where)
        return length == self._escapes if self._escapes else length % 2 == 0


class Der:
    """Base64 over several lines, also where the line ends are written as ``\\n``."""

    def __init__(self) -> None:
        self._last = False

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        while True:
            begin = at
            found = _BASE64.match(low, at)
            at = found.end() if found else at
            if at >= safe and not final:
                return max(begin, safe), False
            following = None if self._last else _NEXT_LINE.match(low, at) or _LAST_LINE.match(low, at)
            if following is None:
                return at, True
            self._last = following.re is _LAST_LINE
            at = following.end()


def escapes(low: bytes, at: int) -> int:
    """How many backslashes stand before ``at``, as far as that matters."""
    first, floor = at, max(0, at - _BACK)
    while first > floor and low[first - 1] == 0x5C:
        first -= 1
    return at - first


End = Callable[[bytes, int, int, bool], "tuple[int, bool]"]
