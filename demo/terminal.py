"""A terminal's output as an SVG picture: what was written with colours, drawn as text on a dark ground.

The picture is for a README: no scripts, no fonts from elsewhere, readable on a light page and on a dark one because it has a
ground of its own. Each run of characters is put at its column, so that a font with other widths moves nothing out of line.
"""

from __future__ import annotations

import os
import pty
import re
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from fcntl import ioctl
from html import escape
from typing import NamedTuple

COLUMNS = 128
_WIDTH, _HEIGHT, _SIZE, _MARGIN = 8.0, 18.0, 13.3, 16.0
_GROUND, _INK = "#0d1117", "#e6edf3"
_INKS = {"31": "#ff7b72", "32": "#3fb950", "33": "#d29922", "34": "#79c0ff"}
_BOLD, _DIM = "1", "2"
_SIGNS = "\u2000"
_FONTS = "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace"
_ESCAPE = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[^\[]")


class Cell(NamedTuple):
    """A character, and the numbers of the escape sequences that it was written under (ECMA-48, SGR)."""

    char: str
    style: tuple[str, ...] = ()


def capture(argv: Sequence[str], env: Mapping[str, str], columns: int = COLUMNS, timeout: float = 120.0) -> str:
    """What a program writes to a terminal of so many columns; what it writes to stderr is lost. Raises TimeoutError."""
    ours, theirs = pty.openpty()
    try:
        ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL,
                              env={**env, "TERM": "xterm-256color"}) as process:
            os.close(theirs)
            theirs = -1
            try:
                return _heard(ours, time.monotonic() + timeout).decode("utf-8", "replace").replace("\r\n", "\n")
            except TimeoutError:
                process.kill()
                raise
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def _heard(fd: int, until: float) -> bytes:
    parts: list[bytes] = []
    while True:
        if not select.select([fd], [], [], max(0.0, until - time.monotonic()))[0]:
            raise TimeoutError("the program did not end")
        try:
            part = os.read(fd, 65536)
        except OSError:  # EIO: nobody has the other end any more.
            part = b""
        if not part:
            return b"".join(parts)
        parts.append(part)


def cells(text: str, columns: int = COLUMNS) -> list[list[Cell]]:
    """Lines of cells, wrapped as a terminal wraps. Of the escape sequences only those for colours count."""
    lines: list[list[Cell]] = [[]]
    style: tuple[str, ...] = ()
    at = 0
    while at < len(text):
        found = _ESCAPE.match(text, at)
        if found:
            if found[2] == "m":
                codes = [code for code in (found[1] or "0").split(";") if code]
                style = () if "0" in codes else (*style, *codes)
            at = found.end()
            continue
        if text[at] == "\n":
            lines.append([])
        elif text[at] >= " ":
            if len(lines[-1]) >= columns:
                lines.append([])
            lines[-1].append(Cell(text[at], style))
        at += 1
    while len(lines) > 1 and not lines[-1]:
        lines.pop()
    return lines


def svg(text: str, title: str, columns: int = COLUMNS) -> str:
    """The picture. ``title``: what it shows, for who cannot see it."""
    lines = cells(text, columns)
    width, height = columns * _WIDTH + 2 * _MARGIN, len(lines) * _HEIGHT + 2 * _MARGIN
    drawn = "\n".join(part for number, line in enumerate(lines) for part in _line(line, _MARGIN + (number + 0.75) * _HEIGHT))
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}>
<title>{escape("".join(filter(str.isprintable, title)))}</title>
<!-- Made by: make picture -->
<rect width="100%" height="100%" rx="8" fill="{_GROUND}" stroke="#30363d"/>
<g font-family="{_FONTS}" font-size="{_SIZE:g}" fill="{_INK}">
{drawn}
</g>
</svg>
"""


def _line(line: Sequence[Cell], y: float) -> Iterator[str]:
    """A text element for each run of one style. Two blanks end a run too: what comes after them is a column of its own."""
    for start, end in _runs(line):
        chars = "".join(cell.char for cell in line[start:end])
        shown = chars.strip(" ")
        if shown:
            x = _MARGIN + (start + len(chars) - len(chars.lstrip(" "))) * _WIDTH
            fixed = f' textLength="{len(shown) * _WIDTH:g}"' if len(shown) > 1 else ""
            yield f'<text x="{x:g}" y="{y:g}"{fixed}{_look(line[start].style)}>{escape(shown, quote=False)}</text>'


def _runs(line: Sequence[Cell]) -> Iterator[tuple[int, int]]:
    """Where each begins and ends. Signs that are no letters may come from another font, with another width: they stand alone."""
    start = 0
    for end in range(1, len(line) + 1):
        if end < len(line):
            before, here = line[end - 1], line[end]
            gap = here.char == " " == before.char
            if here.style == before.style and before.char < _SIGNS and here.char < _SIGNS and not gap:
                continue
        yield start, end
        start = end


def _look(style: Sequence[str]) -> str:
    ink = next((_INKS[code] for code in reversed(style) if code in _INKS), "")
    return (f' fill="{ink}"' if ink else "") + (' font-weight="bold"' if _BOLD in style else "") \
        + (' opacity="0.6"' if _DIM in style else "")
