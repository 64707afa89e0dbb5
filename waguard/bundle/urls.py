"""User information in URLs and proxies: what stands between the user's name and the ``@``, however the URL is written."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Optional

from waguard.bundle import ends
from waguard.bundle.hit import LOOK, Finder, Hit
from waguard.bundle.spelling import PERHAPS_QUOTED, QUOTED, SIGN

_USER = re.compile(rb"(?:[^\s/:\"'<>%]+|%(?!(?:25)?3a))*")
_COLON = re.compile(rb":|%(?:25)?3a")
_VALUE = re.compile(rb"(?:[^\s\"'<>]+|'(?![,;:)\]}\s]|\Z)|<(?!/))*")
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
    """What comes next in a text that is gone through from its beginning: each byte is looked at once, however often one asks."""

    def __init__(self, find: Callable[[int], int]) -> None:
        self._find = find
        self._next = -1

    def __call__(self, at: int) -> int:
        if self._next < at:
            self._next = self._find(at)
        return self._next


def hits(low: bytes, start: int, stop: int, there: set[bytes]) -> Iterator[Hit]:
    """The passwords of URLs whose needles are in ``low[start:stop]``."""
    never = len(low) + LOOK

    def place(found: int) -> int:
        return found if found >= 0 else never

    def blank_from(begin: int) -> int:
        found = _BLANK.search(low, begin)
        return found.start() if found else never

    plain = low.find(b"@", start) >= 0 or _endless(low, start)
    for needle, pattern in PATTERNS:
        at = low.find(needle, start) if needle in there and (plain or needle == b"2f%") else -1
        sign, blank = _Ahead(lambda begin: place(low.find(b"@", begin))), _Ahead(blank_from)
        encoded = _Ahead(lambda begin: place(low.find(b"40", begin))) if needle == b"2f%" else sign
        while 0 <= at < stop:
            found = pattern.match(low, at)
            end = found.end() if found else 0
            near = found and min(sign(end), encoded(end)) < min(blank(end), at + LOOK)
            if found and (near or (needle != b"2f%" and blank(end) - at > _MOST)):
                hit = _hit(low, found)
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


def _hit(low: bytes, found: re.Match[bytes]) -> Optional[Hit]:
    """The password behind what one of PATTERNS found, if there is one."""
    at, start = found.start(), found.end()
    if found[0][:2] == b"2f":
        encoded = _ENCODED.match(low, at, at + LOOK)
        return Hit(encoded.end(1), "url-password", ends.Exact(len(encoded[2] or encoded[3]))) if encoded else None
    if found[0][:1] == b"p":
        return _password(low, start, True)
    token = _TOKEN.match(low, start, at + LOOK)
    if token:
        return Hit(start, "url-password", ends.Exact(len(token[0]) - 1))
    return _password(low, start, bool(_PROXY_BEFORE.search(low[max(0, at - 120):at])))


def _password(low: bytes, start: int, proxy: bool) -> Optional[Hit]:
    user = _USER.match(low, start, start + _MOST_USER)
    stop = user.end() if user else start
    if stop - start >= _MOST_USER - 9:
        return Hit(start, "url-password", ends.Until(_LONG_END))
    colon = _COLON.match(low, stop)
    if not colon or (not proxy and low[colon.end():colon.end() + 1] == b"/"):
        return None
    value = _VALUE.match(low, colon.end(), colon.end() + _MOST)
    if value is None:
        return None
    finder = _finder(value[0].rstrip(b"\\"), b"@" in low[start:stop], low[start:start + 1] == b"[", proxy)
    return Hit(value.start(), "url-password", finder) if finder else None


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
