"""A secret that was found: where it begins, by which rule, and who knows its end."""

from __future__ import annotations

from typing import NamedTuple, Protocol

LOOK = 4096
"""Bytes that a rule may see from its needle on; every value begins within them."""
BACK = 512
"""Bytes that a rule may see before its needle."""


class Finder(Protocol):
    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]: ...


class Hit(NamedTuple):
    """A secret that begins at ``at``. ``crossing``: "" or what it is, if it may go on over the end of another one around it.
    ``frame``: bytes put around the mask, where quotes went with the value."""

    at: int
    rule: str
    end: Finder
    crossing: str = ""
    frame: bytes = b""
