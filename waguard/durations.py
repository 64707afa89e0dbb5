"""Durations as people type them: ``90``, ``90s``, ``5m``, ``1h30m``, ``2d``."""

from __future__ import annotations

import re

from waguard.i18n import say

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d|w)")


def parse(text: str) -> float:
    """Seconds for a duration; a bare number is seconds. Raises ValueError with a hint."""
    text = text.strip()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(say("'{text}' is not a duration (write 90s, 5m, 1h30m or 2d)", text=text[:40]))
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def exact(seconds: float) -> str:
    """All of it, so that ``parse`` reads the same again: ``1d2h3m4s``, ``250ms``, ``1.5s``.

    Raises ValueError for what is no duration.
    """
    if not 0 <= seconds < 1e12:
        raise ValueError(f"{seconds} is not a duration")
    if seconds == int(seconds):
        return "".join(_counts(int(seconds))) or "0s"
    milliseconds = f"{round(seconds * 1000)}ms"
    if seconds < 1 and parse(milliseconds) == seconds:
        return milliseconds
    digits = repr(seconds)
    return f"{digits if 'e' not in digits else f'{seconds:.20f}'.rstrip('0').rstrip('.')}s"


def show(seconds: float) -> str:
    """The two largest units, for people: ``1 h 30 min`` is ``1h30m``. Negative durations read as ``0s``."""
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))}ms"
    return "".join(_counts(max(0, round(seconds)))[:2]) or "0s"


def _counts(rest: int) -> list[str]:
    """Days, hours, minutes and seconds, those there are."""
    parts = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return parts
