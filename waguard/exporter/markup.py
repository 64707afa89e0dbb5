"""HTML by construction: what is not ``Html`` is text, and text is made plain, cut and escaped. Pure.

Not the standard library's html module: it brings a table of two thousand entities along, and five characters are to be escaped.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from typing import Any, Union

from waguard.ctl import common

LONGEST = 600
"""Characters that one text may have; the rest is cut off, visibly."""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})
_PLACE = re.compile(r"\{([a-z_]+)\}")
_VOID = frozenset(("meta", "link"))
_NEAR = 72000.0
_LAST = 253402300799.0
"""The last second of the year 9999, the last that a datetime attribute of four digits can say."""


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


NOTHING = Html()
Child = Union[Html, str]


def text(value: object, longest: int = LONGEST) -> Html:
    """Any value as text for an element or a quoted attribute: one line, nothing in it that turns, hides or marks up."""
    if isinstance(value, Html):
        return value
    try:
        raw = str(value)
    except (ValueError, RecursionError):  # A number of thousands of digits, a list of thousands of floors.
        raw = "\ufffd"
    plain = common.plain(raw[: longest + 1])
    return Html((plain[:longest] + "…" if len(plain) > longest else plain).translate(_ESCAPES))


def said(value: object, longest: int = LONGEST) -> Html:
    """What the guard said, as text in the reader's language."""
    try:
        return text(common.shown(str(value)[: 2 * LONGEST]), longest)
    except (ValueError, RecursionError):
        return text(value, longest)


def fill(template: str, **children: Child) -> Html:
    """A message in the reader's language as markup: in place of its words in braces stand elements or texts."""
    return join(children[piece] if number % 2 else piece for number, piece in enumerate(_PLACE.split(template)))


def tag(name: str, /, *children: Child, **attributes: str) -> Html:
    """``tag("p", "a < b", class_="x")``. An underscore at the end of an attribute's name is dropped, others become hyphens."""
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{text(value, 4000)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>" if name in _VOID else f"<{name}{said}>{join(children)}</{name}>")


def join(children: Iterable[Child], between: str = "") -> Html:
    """Several one after the other; ``between`` is text."""
    return Html(text(between).join(text(child) for child in children))


def code(command: object) -> Html:
    """What is typed or is called by its name."""
    return tag("code", text(command))


def dotted(name: object) -> Html:
    """A long name that may be broken after its dots."""
    return Html(text(name, 120).replace(".", ".<wbr>"))


def moment(at: Any, now: float, past: bool = True) -> Html:
    """``3m ago 12:43:32 UTC``, with the date when it is not within the last day; not ``past``: without the ``3m ago``.

    Raises TypeError or ValueError for what is no moment.
    """
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise TypeError("no moment")
    if not 0 <= at <= _LAST:
        raise ValueError("no moment that a calendar has")
    broken = time.gmtime(at)
    clock = time.strftime("%H:%M:%S UTC" if abs(now - at) < _NEAR else "%Y-%m-%d %H:%M:%S UTC", broken)
    ago = (common.ago(at, now), " ") if past else ()
    return tag("time", *ago, tag("span", clock, class_="utc") if past else clock,
               datetime=time.strftime("%Y-%m-%dT%H:%M:%SZ", broken))


_SHAPES = (
    ("ok", '<circle cx="12" cy="12" r="10"/>', "M7.5 12.5l3 3 6-6.5"),
    ("warning", '<path d="M12 2.2 23 21.5H1z" stroke="currentColor" stroke-width="1.5" stroke-linejoin="round"/>',
     "M12 9v5.5m0 3.4v.1"),
    ("critical", '<path d="M7.8 2h8.4L22 7.8v8.4L16.2 22H7.8L2 16.2V7.8z"/>', "M8.5 8.5l7 7m0-7l-7 7"),
    ("info", '<rect x="3" y="3" width="18" height="18" rx="4"/>', "M12 11v5.5M12 7.4v.1"),
    ("unknown", '<path d="M12 .8 23.2 12 12 23.2.8 12z"/>', "M9.6 9.8a2.4 2.4 0 1 1 3.4 2.4c-.7.3-1 .8-1 1.6m0 3.1v.1"),
)
LEVELS = tuple(level for level, _, _ in _SHAPES)
SHAPES = Html('<svg class="hidden" aria-hidden="true" focusable="false">' + "".join(
    f'<symbol id="mark-{level}" viewBox="0 0 24 24">{shape}<path class="cut" d="{cut}"/></symbol>'
    for level, shape, cut in _SHAPES) + "</svg>")
"""To stand once in a page: what ``mark`` shows. Every level has a shape of its own: a colour is not for everybody to see."""


def mark(level: str) -> Html:
    """The shape of a level. Beside it always stands the word."""
    return Html(f'<svg class="mark" aria-hidden="true" focusable="false"><use href="#mark-{level}"/></svg>')


_COLOURS = {"ok": "19693f", "warning": "b26f00", "critical": "ad2018", "info": "1b5aa0", "unknown": "5a5470"}


def icon(level: str) -> str:
    """The page's icon as a data: address, so that a browser asks for no /favicon.ico and a tab shows how things are."""
    shape, cut = next((shape, cut) for name, shape, cut in _SHAPES if name == level)
    colour = f"%23{_COLOURS[level]}"
    drawn = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 24 24' fill='{colour}'>{shape}" \
            f"<path d='{cut}' fill='none' stroke='white' stroke-width='2.2' stroke-linecap='round'/></svg>"
    drawn = drawn.replace('"', "'").replace("currentColor", colour)
    return "data:image/svg+xml," + drawn.replace("<", "%3C").replace(">", "%3E").replace(" ", "%20").replace("'", "%27")
