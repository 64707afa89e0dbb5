r"""Manual pages in the macros of man(7), as groff and mandoc read them.

In text that is given to a Page, `words in backquotes` are typed as they stand (bold) and *words in stars* stand for others
(italic). Everything else in it is text: what roff would take as its own is escaped here and nowhere else. All hyphens are
written as \-, which stays the ASCII character that people search for and paste (groff_char(7)).
"""

from __future__ import annotations

import re
import textwrap
import unicodedata
from collections.abc import Iterable

_SPECIAL = {"\\": r"\(rs", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti", '"': r"\(dq", "…": "..."}
_MARKED = re.compile(r"`([^`]+)`|(?<![\w*/])\*([A-Za-z][^*\s]*)\*(?![\w*/])")
_WIDTH = 78


def escape(text: str) -> str:
    """One piece of a line in ASCII that roff prints as it stands, wherever in a line it is but at its start.

    But for the ellipsis, which a terminal without it would leave out: three full stops.
    """
    return "".join(_SPECIAL.get(char) or (char if " " <= char <= "~" else _beyond(char))
                   for char in unicodedata.normalize("NFC", text))


def _beyond(char: str) -> str:
    r"""\[uXXXX] (groff_char(7)), which mandoc knows, too; a blank for a control character."""
    return " " if unicodedata.category(char)[0] == "C" or char.isspace() else rf"\[u{ord(char):04X}]"


def bold(text: str) -> str:
    """As typed."""
    return rf"\fB{escape(text)}\fR"


def italic(text: str) -> str:
    """What stands for something else."""
    return rf"\fI{escape(text)}\fR"


def marked(text: str) -> str:
    """Escaped, with its backquotes and stars made bold and italic."""
    done, parts = 0, []
    for match in _MARKED.finditer(text):
        parts += [escape(text[done:match.start()]), bold(match[1]) if match[1] is not None else italic(match[2])]
        done = match.end()
    return "".join([*parts, escape(text[done:])])


def safe(line: str) -> str:
    """A line of the source that begins with a full stop or an apostrophe is no request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line


class Page:
    """One page, built from its top to its end. ``date``: YYYY-MM-DD or ""."""

    def __init__(self, name: str, section: int, summary: str, date: str, version: str) -> None:
        self.name, self.section, self.summary = name, section, summary
        title = f'"{escape(name)}" {section} "{date}" "{escape(f"waguard {version}")}" "waguard"'
        # No hyphenation, which groff begins anew with each paragraph, and no adjusting: what is copied has to be what is meant.
        self._lines = [".\\\" Made by: python3 -m waguard.reference man", ".nr HY 0", f".TH {title}", ".nh", ".ad l"]
        self.heading("NAME")
        self._lines.append(f"{escape(name)} \\- {escape(summary)}")

    def heading(self, text: str) -> None:
        self._lines.append(f'.SH "{escape(text)}"')

    def subheading(self, text: str) -> None:
        self._lines.append(f'.SS "{escape(text)}"')

    def text(self, *paragraphs: str) -> None:
        """Paragraphs with marks."""
        for number, paragraph in enumerate(paragraphs):
            self._lines += [*([".PP"] if number or not self._at_start() else []), *_wrapped(marked(paragraph))]

    def item(self, tag: str, *paragraphs: str) -> None:
        """A tag, which is roff already, and what there is to say of it."""
        self._lines += [".TP", safe(tag), *_wrapped(marked(paragraphs[0]))]
        for paragraph in paragraphs[1:]:
            self._lines += [".IP", *_wrapped(marked(paragraph))]

    def items(self, found: Iterable[tuple[str, str]]) -> None:
        """Words as they are typed, and what they mean."""
        for tag, paragraph in found:
            self.item(bold(tag), paragraph)

    def usage(self, command: str, words: Iterable[str]) -> None:
        """A synopsis: the command, and words that are roff already and are not broken."""
        self._lines += [f'.SY "{escape(command)}"', *(safe(word) for word in words), ".YS"]

    def code(self, text: str) -> None:
        """Lines as they are typed."""
        self._lines += [*([".PP"] if not self._at_start() else []), ".RS 4", ".EX",
                        *(safe(escape(line)) or r"\&" for line in text.splitlines()), ".EE", ".RE"]

    def done(self) -> str:
        """The source."""
        return "\n".join([*self._lines, ""])

    def _at_start(self) -> bool:
        return self._lines[-1].startswith((".SH", ".SS"))


def _wrapped(line: str) -> list[str]:
    """Broken at blanks into lines of the source. None is a request, nor the end of a sentence, where roff would add space."""
    lines = textwrap.wrap(line, _WIDTH, break_long_words=False, break_on_hyphens=False) or [r"\&"]
    return [*(safe(part) + (r"\&" if part[-1] in ".?!" else "") for part in lines[:-1]), safe(lines[-1])]
