"""User information in URLs and proxies: what stands between the user's name and the ``@``, however the URL is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Optional

from waguard.bundle import ends
from waguard.bundle.hit import LOOK, Finder, Hit
from waguard.bundle.spelling import PERHAPS_QUOTED, QUOTED, SIGN

_USER_END = re.compile(rb"[\s/:\"'<>]|%(?:25)?3a")
_COLON = re.compile(rb":|%(?:25)?3a")
_VALUE_END = re.compile(rb"[\s\">]|'(?=[,;:)\]}\s]|\Z)|</")
_LONG_END = re.compile(rb"[\s\"'<>]")
_MOST_USER, _MOST = 900, 3000
"""Bytes. What is longer is masked up to the next blank or quote, as nobody can see whether there is an ``@``."""
_BLANK = re.compile(rb"[\s\"]")
_PORT = re.compile(rb"[0-9]{1,5}(?:[/\\?#,;\"'<\s)\]}]|\Z)")
_ONLY_PORT = re.compile(rb"[0-9]{1,5}[/\\]{0,4}(?:[\"',;<\s)\]}]|\Z)")
_TOKEN = re.compile(rb"(?=[^\s/@:\"'<>\\]{20,256}@)[^\s/\"'<>]{1,1024}@")
_PROXY = rb"proxy[\w.-]{0,20}" + PERHAPS_QUOTED + rb"[ \t]{0,20}"
_PROXY_BEFORE = re.compile(_PROXY + rb"(?:" + SIGN + rb")?[ \t]{0,20}(?:[bu]?" + QUOTED + rb")?[a-z][a-z0-9+.-]{0,10}\Z")
_LETTER = rb"(?:[\w.~!*()@'+-]|%(?!(?:25){0,3}(?:"
_SLASH, _SIGN_AT = rb"%(?:25){0,3}2f", rb"(?:@|%(?:25){0,3}40)"
_ENCODED = re.compile(
    rb"2f" + _SLASH + rb"(" + _LETTER + rb"3a|2f|2[026]|0))[0-9a-f]{2}){0,400}(?::|%(?:25){0,3}3a))"
    rb"(?:(" + _LETTER + rb"2f|2[026]|0))[0-9a-f]{2}){1,1200})" + _SIGN_AT +
    rb"|(?![0-9]{1,5}" + _SLASH + rb"|" + _SLASH + rb")(" + _LETTER + rb"2[026]|0))[0-9a-f]{2}){1,1200})" + _SIGN_AT + rb")")

PATTERNS = (
    # Needle, what has to be there.
    (b"://", re.compile(rb"://")),
    (b":\\", re.compile(rb":\\{1,8}/\\{1,8}/")),
    (b"2f%", re.compile(rb"(?:(?<=3a%)|(?<=3a%25)|(?<=3a%2525)|(?<=:%)|(?<=:%25)|(?<=:%2525))2f%(?:25){0,3}2f")),
    (b"proxy", re.compile(_PROXY + SIGN + rb"[ \t]{0,20}(?:[bu]?" + QUOTED + rb")?"
                          rb"(?=[\w.@\\%+-])(?![a-z][a-z0-9+.-]{0,20}:\\{0,8}/)")),
)


class _Ahead:
    """Where something comes next in a text that is gone through from its beginning: each byte is looked at once, however often
    one asks."""

    def __init__(self, find: Callable[[int], int]) -> None:
        self._find = find
        self._asked = self._next = -1

    def __call__(self, at: int) -> int:
        if not self._asked <= at <= self._next:
            self._asked, self._next = at, self._find(at)
        return self._next


class _Line:
    """What comes next in ``low``, for one needle; far behind its end what does not come any more."""

    def __init__(self, low: bytes) -> None:
        self.low = low
        self.sign = _Ahead(self._literal(b"@"))
        self.sign_encoded = _Ahead(self._literal(b"40"))
        self.blank = _Ahead(self._any(_BLANK))
        self.user_end = _Ahead(self._any(_USER_END))
        self.value_end = _Ahead(self._any(_VALUE_END))

    def _literal(self, literal: bytes) -> Callable[[int], int]:
        def find(at: int) -> int:
            found = self.low.find(literal, at)
            return found if found >= 0 else len(self.low) + LOOK
        return find

    def _any(self, pattern: re.Pattern[bytes]) -> Callable[[int], int]:
        def find(at: int) -> int:
            found = pattern.search(self.low, at)
            return found.start() if found else len(self.low) + LOOK
        return find


def hits(low: bytes, start: int, stop: int, there: set[bytes]) -> Iterator[Hit]:
    """The passwords of URLs whose needles are in ``low[start:stop]``."""
    plain = low.find(b"@", start) >= 0 or _endless(low, start)
    for needle, pattern in PATTERNS:
        at = low.find(needle, start) if needle in there and (plain or needle == b"2f%") else -1
        line = _Line(low)
        sign_encoded = line.sign_encoded if needle == b"2f%" else line.sign
        while 0 <= at < stop:
            found = pattern.match(low, at)
            end = found.end() if found else 0
            near = found and min(line.sign(end), sign_encoded(end)) < min(line.blank(end), at + LOOK)
            if found and (near or (needle != b"2f%" and line.blank(end) - at > _MOST)):
                hit = _hit(line, found)
                if hit is not None:
                    yield hit
            at = low.find(needle, at + 1)


def _endless(low: bytes, at: int) -> bool:
    """There may be more than _MOST bytes without a blank."""
    while len(low) - at > _MOST:
        at = low.rfind(b"\n", at + 1, at + _MOST)
        if at < 0:
            return True
    return False


def _hit(line: _Line, found: re.Match[bytes]) -> Optional[Hit]:
    """The password behind what one of PATTERNS found, if there is one."""
    low, at, start = line.low, found.start(), found.end()
    if found[0][:2] == b"2f":
        encoded = _ENCODED.match(low, at, at + LOOK)
        return Hit(encoded.end(1), "url-password", ends.Exact(len(encoded[2] or encoded[3]))) if encoded else None
    if found[0][:1] == b"p":
        return _password(line, start, True)
    token = _TOKEN.match(low, start, at + LOOK)
    if token:
        return Hit(start, "url-password", ends.Exact(len(token[0]) - 1))
    return _password(line, start, bool(_PROXY_BEFORE.search(low[max(0, at - 120):at])))


def _password(line: _Line, start: int, proxy: bool) -> Optional[Hit]:
    low = line.low
    stop = min(line.user_end(start), start + _MOST_USER, len(low))
    if stop - start >= _MOST_USER - 9:
        return Hit(start, "url-password", ends.Until(_LONG_END))
    colon = _COLON.match(low, stop)
    if not colon or (not proxy and low[colon.end():colon.end() + 1] == b"/"):
        return None
    value = low[colon.end():min(line.value_end(colon.end()), colon.end() + _MOST)]
    finder = _finder(value.rstrip(b"\\"), b"@" in low[start:stop], low[start:start + 1] == b"[", proxy)
    return Hit(colon.end(), "url-password", finder) if finder else None


def _finder(value: bytes, address: bool, bracket: bool, proxy: bool) -> Optional[Finder]:
    """Where the password ends that begins ``value``; None if it is none. ``address``: the name has an ``@`` itself."""
    if proxy:
        if _ONLY_PORT.match(value):
            return None
        last = value.rfind(b"@")
    else:
        if _PORT.match(value):
            return None
        slash = value.find(b"/")
        last = value.rfind(b"@", 0, slash if slash >= 0 else len(value))
        if last < 0:
            if address or bracket or slash == 0:
                return None
            last = value.rfind(b"@")
    if len(value) >= _MOST - 9:
        return ends.Until(_LONG_END)
    return ends.Exact(last) if last > 0 else None
