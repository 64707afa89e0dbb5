r"""How quotes, signs and backslashes are written where a text went through JSON, XML or a URL on its way into a log.

``"`` is also ``\"``, ``\u0022``, ``\x22``, ``&quot;``, ``&amp;quot;``, ``%22``, ``%2522``: patterns are made of these pieces, for
text in small letters. None of them has a group.
"""

from __future__ import annotations

ESCAPES = rb"(?:\\|%(?:25){0,3}5c){0,8}"
"""Backslashes before a quote; where the quote is ``u0022``, the one that belongs to it as well."""
QUOTE = rb"(?:[\"']|&(?:amp;){0,3}(?:quot|apos|#0{0,4}3[49]|#x0{0,4}2[27]);|%(?:25){0,3}2[27]|(?<=\\)(?:u002|x2)[27])"
QUOTED = ESCAPES + QUOTE
PERHAPS_QUOTED = rb"(?:" + QUOTED + rb")?"
SIGN = rb"(?:=>|[=:]|%(?:25){0,4}3[ad]|&(?:amp;){0,3}#(?:0{0,4}(?:58|61)|x0{0,4}3[ad]);|\\{1,8}(?:u003|x3)[ad])"
EQUALS = rb"(?:=|%(?:25){0,4}3d|&(?:amp;){0,3}#(?:0{0,4}61|x0{0,4}3d);|\\{1,8}(?:u003|x3)d)"
OPEN = rb"(?:[{\[]|%(?:25){0,3}(?:7b|5b))"
CLOSE = rb"(?:[}\]]|%(?:25){0,3}(?:7d|5d))"
LESS = rb"(?:<|&(?:amp;){0,3}lt;|\\{1,8}u003c|%(?:25){0,3}3c)"
BLANKS = rb"(?:\s|%(?:25){0,3}(?:20|0[9ad])|\+|\\{1,8}[nrt])"
"""A blank between a name and its value."""
EDGE = rb"(?:(?<![a-z])|(?<=\\[nrt])|(?<=%[0-9a-f]{2})|(?<=\\u00[0-9a-f]{2}))"
"""A word begins here: what stands before is no letter, or one that is only the end of an escaped sign."""
IN_BASE64 = rb"(?:\\{1,8}(?:/|u002[bf]|u003d)|%(?:25){0,4}(?:2[bf]|3d)|&(?:amp;){0,3}#(?:43|47|61|x2[bf]|x3d);)"
"""``+``, ``/`` and ``=`` as they are written where they must not stand as they are."""

_BACKSLASHES = (b"\\", b"%5c", b"%255c", b"%25255c", b"\\x5c", b"\\u005c")
_LONGEST = max(map(len, _BACKSLASHES))


def escapes(low: bytes, at: int, floor: int) -> tuple[int, int]:
    """How many backslashes stand before ``at``, not looking below ``floor``, and where the first of them does."""
    count, first = 0, at
    while first > floor:
        last = low[first - 1]
        if last == 0x5C:
            first -= 1
        elif last == 0x63 and low[first - 2:first] == b"5c":
            spelled = next((one for one in _BACKSLASHES[:0:-1] if low.endswith(one, max(floor, first - _LONGEST), first)), b"")
            if not spelled:
                break
            first -= len(spelled)
        else:
            break
        count += 1
    return count, first
