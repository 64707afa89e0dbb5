"""Where a secret ends: each end is asked piece by piece, however far the secret goes.

``step(low, at, safe, final)`` looks at the small-letter text ``low`` from ``at`` on and says how far the secret reaches and
whether that is its end. Only what begins before ``safe`` is decided, since an end may need AHEAD bytes after it to be told;
so the answer never depends on how the text was cut.
"""

from __future__ import annotations

import re
from functools import lru_cache

from waguard.bundle.spelling import CLOSE, EQUALS, IN_BASE64, LESS, OPEN, QUOTE, escapes

AHEAD = 256
"""Bytes that an end may have to see."""
_BACK = 256
_RECORD = rb"\n(?=[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}[t ][0-9]{2}:)"
"""A new record of a log: nothing that was opened in the one before reaches into it."""

_NAMED = rb"(?=[ \t]{0,16}[\w%.-]{1,64}[=:])"
_ESCAPED = rb"\\(?=\\{0,8}(?:[\"'nrt\r\n]|u00(?:0[9ad]|2[027]|3[ce])|x(?:0[9ad]|2[27])|u0026[\w%.-]{1,64}[=:]))"
"""A backslash that belongs to a quote or a blank, not to the value: others do, as in ``\\/`` and ``\\u002b``."""
_ENTITY = rb"&(?=(?:amp;){0,3}(?:quot|apos|lt|gt|#0{0,4}3[49]|#x0{0,4}2[27]);)"
BARE = re.compile(rb"(?<!\\)[ \t]|[\r\n\f\v\"'<>]|" + _ESCAPED + rb"|" + _ENTITY + rb"|[&;,](?=(?:amp;)?[\w%.-]{1,64}[=:])"
                  rb"|[&;,](?=[\s\"'<>\\]|\Z)")
LINE = re.compile(rb"(?<!\\)(?<!\\\r)[\r\n]|[&;, \t]" + _NAMED + rb"|[ \t]{1,64}(?=[\r\n]|\Z)|[,;](?=[ \t]{0,16}(?:[\r\n]|\Z))"
                  rb"|[ \t]{0,64}\\(?=\r?\n[ \t]{0,64}[\w%.-]{1,64}[=:])")
"""The value of a line that says nothing else: it may hold blanks, and a backslash at its end continues it."""
LITERAL = re.compile(rb"[\s,}\]\"'<>&]|" + _ESCAPED)
"""A number in JSON."""
REST = re.compile(rb"[\r\n\"'<>]|" + _ENTITY + rb"|\\(?=\\{0,8}(?:[rn\"']|u00(?:0[ad]|2[27]|3[ce])|x2[27]))")
WORD = re.compile(rb"[\s\"'<>]|" + _ESCAPED + rb"|" + _ENTITY)
SAS = re.compile(rb"[^a-z0-9+/=_.~%\\&#;-]|\\(?!\\{0,7}(?:/|u002[bf]|u003d))|%(?:25){0,4}26|%(?![0-9a-f]{2})"
                 rb"|&(?!#(?:4[37]|61|x2[bf]|x3d);)|(?<!&)#|(?<!&#4[37])(?<!&#61)(?<!&#x2[bf])(?<!&#x3d);")
BEARER = re.compile(rb"[^\w~+/.=%\\-]|[.](?![\w~+/=-])|\\(?!\\{0,7}(?:/|u002[bf]|u003d))|%(?!(?:25){0,4}(?:2[bf]|3d))")
JWT = re.compile(rb"[^\w.-]|[.](?![\w.-])|[.]{3}")
URLSAFE = re.compile(rb"[^\w+/=-]")
HASH = re.compile(rb"[^./a-z0-9=,$+-]|[.,](?=\s|\Z)")
PEM = re.compile(rb"-{4,5} ?end(?: |%(?:25)?20|\+)[a-z0-9 %+]{1,80}-{4,5}")
WIDE = re.compile(rb"[^\x00]{2}|\x00{2}")
WIDER = re.compile(rb"[^\x00]{2}|\x00{4}")
ESCAPED_ELEMENT = re.compile(LESS + rb"(?:\\{0,8}/|%(?:25){0,3}2f)|" + _RECORD)
LONGEST_PEM = 64 * 1024
"""No key is longer. A mention of a key without its end hides no more than this."""

_TOKENS = re.compile(rb"(?P<open>" + OPEN + rb")|(?P<close>" + CLOSE + rb")|" + QUOTE + rb"|" + _RECORD)
_GOES_ON = re.compile(
    rb"\n[0-9/: t.,z+-]{16,40}[^\r\n\"'{}]{0,80}(?:[\"'][^\r\n\"']{0,60}(?:[\"'][ \t]{0,4}(?:[:,\r\n]|\Z)|[^\r\n\"']{20})"
    rb"|[{}\[\]][ \t,{\[]{0,4}(?:[\r\n]|\Z))")
"""A record that is but the next line of what was pretty-printed into the log."""
_MOST_RECORDS = 500
_BASE64 = re.compile(rb"(?:[a-z0-9+/=]+|" + IN_BASE64 + rb")*")
_BREAK = rb"[ \t]{0,16}(?:\\{1,8}[rn]|[\r\n]){1,4}[ \t]{0,64}"
_NEXT_LINE = re.compile(_BREAK + rb"(?=[a-z0-9+/]{60})")
_LAST_LINE = re.compile(_BREAK + rb"(?=(?:[a-z0-9+/]{4}){0,15}(?:[a-z0-9+/]{4}|[a-z0-9+/]{3}=|[a-z0-9+/]{2}==)(?![a-z0-9+/=]))")


@lru_cache(maxsize=256)
def element(name: bytes) -> re.Pattern[bytes]:
    """The end of an XML element's content, whatever is in it."""
    return re.compile(rb"</(?:[\w.-]{1,40}:)?" + re.escape(name) + rb"\s{0,20}>|" + _RECORD)


@lru_cache(maxsize=64)
def block(indent: int) -> re.Pattern[bytes]:
    """The end of the lines that are indented deeper than that."""
    return re.compile(rb"\r?\n(?=[ \t]{0,%d}[^\s]|\s{0,200}\Z)" % indent)


@lru_cache(maxsize=64)
def _closing(quote: bytes, assigned: bool) -> re.Pattern[bytes]:
    spelled = (rb"(?<=\\)" if quote[:1] in (b"u", b"x") else b"") + re.escape(quote)
    return re.compile(spelled + rb"|[\r\n]" + (rb"|[&;, \t](?=[ \t]{0,16}[\w%.-]{1,64}" + EQUALS + rb")" if assigned else b""))


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
    """A string that was opened by so many backslashes and a quote; the line's end if nothing closes it, unless a backslash
    continues the line. ``assigned``: what stands in it is ``name=value``, and others like it may follow."""

    def __init__(self, quote: bytes, depth: int, assigned: bool = False) -> None:
        self._quote = quote
        self._escapes = depth
        self._closing = _closing(quote, assigned)

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        for found in self._closing.finditer(low, at):
            where = found.start()
            if where >= safe:
                break
            if found[0] in (b"\r", b"\n"):
                if low[where - 1:where] != b"\\" and low[where - 2:where] != b"\\\r":
                    return where, True
                continue
            if found[0] != self._quote:
                return where, True
            count, first = escapes(low, where, max(0, where - _BACK))
            if count <= self._escapes if self._escapes else count % 2 == 0:
                return max(at, first) if self._escapes else where, True
        return (len(low), True) if final else (max(at, safe - _BACK), False)


class Nested:
    """An object or a list, in JSON or as Python prints it, itself perhaps within a string."""

    def __init__(self, depth_of_escapes: int) -> None:
        self._escapes = depth_of_escapes
        self._depth = 0
        self._within = b""
        self._records = 0

    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]:
        for found in _TOKENS.finditer(low, at):
            where, word = found.start(), found[0]
            if where >= safe:
                break
            if word == b"\n":
                self._records += 1
                if self._within or self._records > _MOST_RECORDS or not _GOES_ON.match(low, where):
                    return where, True
            elif found["open"]:
                self._depth += not self._within
            elif found["close"]:
                self._depth -= not self._within
                if self._depth <= 0 and not self._within:
                    return found.end(), True
            elif self._structural(low, where):
                self._within = b"" if self._within == word else self._within or word
        return (len(low), True) if final else (max(at, safe), False)

    def _structural(self, low: bytes, where: int) -> bool:
        count, _ = escapes(low, where, max(0, where - _BACK))
        return count == self._escapes if self._escapes else count % 2 == 0


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
                return max(begin, _unbroken(low, safe)), False
            following = None if self._last else _NEXT_LINE.match(low, at) or _LAST_LINE.match(low, at)
            if following is None:
                return at, True
            self._last = following.re is _LAST_LINE
            at = following.end()


def _unbroken(low: bytes, at: int) -> int:
    """The nearest place up to ``at`` that is not within ``&#43;`` or the like."""
    before = low.rfind(b"&", max(0, at - 24), at)
    return before if before >= 0 else at
