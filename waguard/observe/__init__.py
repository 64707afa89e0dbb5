"""Observers: one a source. They read, never judge, and say "could not tell, because" as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar, Union

T = TypeVar("T")


@dataclass(frozen=True)
class Known(Generic[T]):
    """A fact that was seen. ``at`` is CLOCK_BOOTTIME seconds of the look."""

    value: T
    at: float


@dataclass(frozen=True)
class Unknown:
    """Could not tell. ``why`` is one sentence for a person, without secrets. ``at``: CLOCK_BOOTTIME seconds."""

    why: str
    at: float


Observation = Union[Known[T], Unknown]
