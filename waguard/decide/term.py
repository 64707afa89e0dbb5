"""A term: an end that is promised to a person in wall-clock time and has to survive a reboot and a clock that is set back.

Within the boot it was made in, CLOCK_BOOTTIME counts as well and the earlier of the two ends it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class Moment:
    """The clocks at one moment: CLOCK_BOOTTIME seconds, epoch seconds, and the boot they belong to."""

    now: float
    wall: float
    boot_id: str


@dataclass(frozen=True)
class Term:
    """``wall`` is None for a term without an end."""

    wall: Optional[float]
    now: float
    boot_id: str


def of(seconds: Optional[float], at: Moment) -> Term:
    """A term of ``seconds`` from ``at``; None for ever."""
    return Term(None if seconds is None else at.wall + seconds, at.now + (seconds or 0.0), at.boot_id)


def remaining(term: Term, at: Moment) -> Optional[float]:
    """Seconds to the end, never negative; None when there is none."""
    if term.wall is None:
        return None
    left = term.wall - at.wall
    if term.boot_id == at.boot_id:
        left = min(left, term.now - at.now)
    return max(0.0, left)


def over(term: Term, at: Moment) -> bool:
    left = remaining(term, at)
    return left is not None and left <= 0


def to_json(term: Term) -> dict[str, Any]:
    return asdict(term)


def from_json(data: Mapping[str, Any]) -> Term:
    """Raises ValueError, TypeError or KeyError on anything that ``to_json`` did not write."""
    wall = data["wall"]
    return Term(None if wall is None else told(wall), told(data["now"]), str(data["boot_id"]))


def told(value: Any) -> float:
    """A moment out of a file. Raises ValueError for what is none: text, infinity, NaN, a number too large for a float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not -1e15 < value < 1e15:
        raise ValueError(f"{str(value)[:40]!r} is no moment")
    return float(value)
