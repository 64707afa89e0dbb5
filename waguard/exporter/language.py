"""The language of a page's reader, by Accept-Language (RFC 9110, 12.5.4). Nothing that a client sends becomes the name of a file.

What is shown is said through waguard.i18n, also by the modules of ``waguardctl`` that the page shares; they ask for the language
of the page that this thread is at. Outside a page that is English: metrics and log stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Optional

from waguard import i18n
from waguard.i18n import Language

TRANSLATIONS = ("es",)
"""Those of po/, besides English."""
_MOST = 100
"""Choices of a header that are looked at."""
_RANGE = re.compile(r"(\*)|([A-Za-z]{1,8})(?:-[0-9A-Za-z]{1,8})*")
_WEIGHT = re.compile(r"[qQ]=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

_ENGLISH = Language()
_reader: ContextVar[Language] = ContextVar("reader", default=_ENGLISH)
_loaded: dict[str, Language] = {}


def wanted(accept: str) -> Language:
    """The best of what there is for this Accept-Language, English for none; a catalogue is loaded for the first who wants it."""
    code = choose(accept)
    if code == _ENGLISH.code:
        return _ENGLISH
    if code not in _loaded:
        _loaded[code] = i18n.find(code)  # Two threads at once both load it, and one of them is kept.
    return _loaded[code]


def choose(accept: str) -> str:
    """``en`` or one of TRANSLATIONS. Of those liked equally, the one that is said first; ``*``: those not said, English first."""
    liked: dict[str, tuple[float, int]] = {}
    others: Optional[tuple[float, int]] = None
    for place, choice in enumerate(accept.split(",", _MOST)[:_MOST]):
        tag, _, weight = (part.strip(" \t") for part in choice.partition(";"))
        match, quality = _RANGE.fullmatch(tag), _WEIGHT.fullmatch(weight or "q=1")
        if match is None or quality is None:
            continue
        rank = float(quality[1]), -place
        if match[1]:
            others = max(others or rank, rank)
        else:
            code = match[2].lower()
            liked[code] = max(liked.get(code, rank), rank)
    ranks = {code: liked.get(code, others or (0.0, -_MOST)) for code in (_ENGLISH.code, *TRANSLATIONS)}
    best = max(ranks, key=lambda code: ranks[code])
    return best if ranks[best][0] > 0 else _ENGLISH.code


def spoken() -> Language:
    """The language that this thread shows things in."""
    return _reader.get()


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """What this thread shows within is in this language."""
    i18n.use(spoken)
    token = _reader.set(language)
    try:
        yield
    finally:
        _reader.reset(token)
