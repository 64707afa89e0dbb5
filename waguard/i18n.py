"""Texts in the reader's language, by gettext. English is what travels and what is kept; another language is only ever shown.

``say`` makes a text that goes into the journal, a snapshot, an answer or a file: always English. ``tr`` makes one that is shown
by this process to its reader. ``translated`` shows a text that another process said: it finds the message it was made from, and
puts the same words into that message's translation. So no process needs to know the language of the next one, and JSON, metrics
and ids are the same for everybody. What no message fits is shown as it is.

A message has its words in braces, as str.format takes them, by name: ``say("there is no route to {host}", host=host)``. A word
named ``said``, or ``said_`` and more, is itself a message, or several with "; " between them; any other is shown as it came.
Of several readings of a text the one counts that leaves the least of it in English; ": " may stand between two messages as well.

Messages and translations: po/, which po/messages.py keeps in step with the code.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

DOMAIN = "waguard"
_SYSTEM = "/usr/share/locale"
_VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
_DEEP = 5
_READINGS = 200
_LONGEST = 20000
_LIGHT = 16
"""A message with fewer letters of its own, ``{span} ago``, has no words with a blank in them: it would fit all kinds of texts."""


class Language:
    """A language, and how to say things in it. Without a catalogue that is English."""

    def __init__(self, catalogue: Any = None) -> None:
        self._catalogue = catalogue
        self._forms: Optional[list[_Form]] = None
        self.code: str = "en" if catalogue is None else catalogue.info().get("language") or "en"
        """As in HTML's lang: ``en``, ``es``."""

    def tr(self, message: str, values: Mapping[str, object]) -> str:
        template = message if self._catalogue is None or not message else str(self._catalogue.gettext(message))
        return template.format(**values) if values else template

    def trn(self, one: str, many: str, count: int, values: Mapping[str, object]) -> str:
        template = self._catalogue.ngettext(one, many, count) if self._catalogue is not None else one if count == 1 else many
        return str(template).format(count=count, **values)

    def translated(self, text: str) -> str:
        if self._catalogue is None or not text or len(text) > _LONGEST:
            return text
        if self._forms is None:
            self._forms = _forms(self._catalogue)
        return self._read(text, _DEEP, {})[1]

    def _read(self, text: str, depth: int, known: dict[str, tuple[int, str]]) -> tuple[int, str]:
        """How many characters no message accounts for, and the translation, by the reading that leaves the fewest."""
        if text and text in self._catalogue._catalog:
            return 0, str(self._catalogue.gettext(text))
        if depth == 0 or text in known or len(known) >= _READINGS:
            return known.get(text, (len(text), text))
        known[text] = (len(text), text)
        readings = [form.read(words, lambda word: self._read(word, depth - 1, known))
                    for form in self._forms or () for words in [form.words(text)] if words is not None]
        for mark, pieces in (("; ", text.split("; ")), (": ", text.split(": ", 1)), (": ", text.rsplit(": ", 1))):
            if len(pieces) > 1:
                read = [self._read(piece, depth - 1, known) for piece in pieces]
                left = sum(left for left, _ in read) + len(mark) * (len(pieces) - 1)
                readings.append((left, mark.join(translation for _, translation in read)))
        known[text] = min([known[text], *readings], key=lambda reading: reading[0])
        return known[text]


class _Form:
    """A message with words in it, and how to find them in a text. No regular expression: a hostile text costs one pass."""

    __slots__ = ("_literals", "_names", "translation", "weight")

    def __init__(self, message: str, translation: str) -> None:
        from string import Formatter

        self._names: list[str] = []
        self._literals = [""]
        for literal, name, _, _ in Formatter().parse(message):
            self._literals[-1] += literal
            if name is not None:  # None: the literal ended with a brace of its own, or the message does.
                self._names.append(name)
                self._literals.append("")
        self.weight = sum(len(literal) for literal in self._literals)
        # The words are strings now, so that what says how a number is written no longer applies.
        self.translation = "".join(_escaped(literal) + ("" if name is None else "{" + name + "}")
                                   for literal, name, _, _ in Formatter().parse(translation))

    def read(self, words: Mapping[str, str], inner: Callable[[str], tuple[int, str]]) -> tuple[int, str]:
        """How many characters of these words are left as they are, and the translation with them in it."""
        read = {name: inner(word) if name.startswith("said") else (len(word), word) for name, word in words.items()}
        return sum(left for left, _ in read.values()), self.translation.format(**{name: word for name, (_, word) in read.items()})

    def words(self, text: str) -> Optional[dict[str, str]]:
        """The words in a text that was made from this message; None for any other text."""
        first, *middle, last = self._literals
        if not text.startswith(first) or not text.endswith(last) or len(text) < len(first) + len(last):
            return None
        at, end, found = len(first), len(text) - len(last), {}
        for name, literal in zip(self._names, middle):
            to = text.find(literal, at, end) if literal else -1
            if to < 0:
                return None
            found[name] = text[at:to]
            at = to + len(literal)
        found[self._names[-1]] = text[at:end]
        if self.weight < _LIGHT and any(" " in word for name, word in found.items() if not name.startswith("said")):
            return None
        return found


def _forms(catalogue: Any) -> list[_Form]:
    """All messages with words in them, those with the most letters of their own first: they are the surest."""
    # The gettext module has no public way to list a catalogue.
    pairs = [(message, translation) for message, translation in catalogue._catalog.items()
             if isinstance(message, str) and "{" in message]
    forms = [_Form(message, translation) for message, translation in pairs if _fit(message)]
    return sorted((form for form in forms if form.weight > 3), key=lambda form: -form.weight)


def _fit(message: str) -> bool:
    """Has it words, each with a name of its own, and something between two of them?"""
    from string import Formatter

    try:
        parts = list(Formatter().parse(message))
    except ValueError:
        return False
    names = [name for _, name, _, _ in parts if name is not None]
    apart = all(literal for literal, name, _, _ in parts[1:] if name is not None)
    return bool(names) and apart and all(name.isidentifier() for name in names) and len(set(names)) == len(names)


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")


_ENGLISH = Language()
_language: Union[Language, Callable[[], Language]] = _ENGLISH


def say(message: str, **values: object) -> str:
    """A message in English, for what travels or is kept. The call also marks it for translation, where it is shown."""
    return message.format(**values) if values else message


def message(text: str) -> str:
    """Marks a message for translation; whoever shows it calls ``tr``, or ``translated``."""
    return text


def tr(message: str, **values: object) -> str:
    """A message in the reader's language."""
    return _now().tr(message, values)


def trn(one: str, many: str, count: int, **values: object) -> str:
    """The same where the form depends on a number, which is ``{count}`` in both messages."""
    return _now().trn(one, many, count, values)


def translated(text: str) -> str:
    """What another process said in English, in the reader's language. See Language.translated."""
    return _now().translated(text)


def _now() -> Language:
    return _language if isinstance(_language, Language) else _language()


def use(language: Union[Language, Callable[[], Language]]) -> None:
    """Show everything in this language from now on; or in what the function says each time, as for a page's many readers."""
    global _language
    _language = language


def find(*codes: str, folder: Optional[str] = None) -> Language:
    """The first of these languages (``es_MX.UTF-8``, ``es``) that there is a catalogue of, or English.

    Looked for in ``folder``, else beside this file, where po/messages.py puts it in a source tree, and where the packages do.
    """
    beside = os.path.join(os.path.dirname(__file__), "locale")
    for code in codes:
        if code.partition("_")[0].partition(".")[0] in ("en", "C", "POSIX", ""):
            return _ENGLISH
        import gettext
        import struct

        for place in (beside, _SYSTEM) if folder is None else (folder,):
            try:
                return Language(gettext.translation(DOMAIN, place, [code]))
            except (OSError, ValueError, LookupError, struct.error):  # None there, or one that is damaged.
                continue
    return _ENGLISH


def from_environment(environ: Mapping[str, str] = os.environ) -> Language:
    """The language of locale(7): LC_ALL, LC_MESSAGES, LANG, and before them LANGUAGE where these do not say C."""
    locale = next((environ[name] for name in _VARIABLES if environ.get(name)), "C")
    if locale.partition(".")[0] in ("C", "POSIX"):
        return _ENGLISH
    return find(*(code for code in environ.get("LANGUAGE", "").split(":") if code), locale)
