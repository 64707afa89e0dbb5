"""A term: an end in wall-clock time that survives a reboot, and a clock that is set back or forward."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.decide import term
from waguard.decide.term import Moment, Term

BEGUN = Moment(now=100.0, wall=1_700_000_000.0, boot_id="this boot")
HOUR, DAY = 3600.0, 86400.0


def later(seconds: float, clock_set_by: float = 0.0) -> Moment:
    return Moment(BEGUN.now + seconds, BEGUN.wall + seconds + clock_set_by, BEGUN.boot_id)


def after_reboot(seconds: float, clock_set_by: float = 0.0) -> Moment:
    return Moment(5.0, BEGUN.wall + seconds + clock_set_by, "next boot")


@pytest.mark.parametrize(("at", "left"), [
    (later(0), HOUR), (later(HOUR - 1), 1.0), (later(HOUR), 0.0), (later(2 * HOUR), 0.0),
    (later(60, clock_set_by=-DAY), HOUR - 60),  # set back: the boot's own clock ends it
    (later(HOUR, clock_set_by=-DAY), 0.0),
    (later(60, clock_set_by=DAY), 0.0),  # set forward: what was promised was the wall clock's time
    (after_reboot(60), HOUR - 60), (after_reboot(HOUR), 0.0),
])
def test_an_hour(at: Moment, left: float) -> None:
    granted = term.of(HOUR, BEGUN)
    assert term.remaining(granted, at) == left
    assert term.over(granted, at) == (left == 0.0)


@pytest.mark.parametrize("at", [later(0), later(400 * DAY), after_reboot(400 * DAY), later(0, clock_set_by=-DAY)])
def test_for_ever(at: Moment) -> None:
    granted = term.of(None, BEGUN)
    assert term.remaining(granted, at) is None and not term.over(granted, at)


@given(st.none() | st.floats(0, 1e8), st.floats(0, 1e8))
def test_what_was_written_is_read_back(seconds: float | None, elapsed: float) -> None:
    granted = term.of(seconds, BEGUN)
    again = term.from_json(json.loads(json.dumps(term.to_json(granted))))
    assert again == granted
    left = term.remaining(again, later(elapsed))
    assert left is None if seconds is None else left is not None and 0.0 <= left <= seconds + 1e-3


@pytest.mark.parametrize("data", [
    {}, [], None, "x", {"wall": "soon", "now": 1, "boot_id": ""}, {"wall": 10**400, "now": 1, "boot_id": ""},
    {"wall": 1.0, "now": float("inf"), "boot_id": ""}, {"wall": float("nan"), "now": 1.0, "boot_id": ""}, {"wall": 1.0, "now": 1.0},
    {"wall": True, "now": 1.0, "boot_id": ""},
])
def test_what_is_refused(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        term.from_json(data)


def test_no_end_is_told_from_an_end_at_the_epoch() -> None:
    assert term.over(Term(0.0, 0.0, ""), BEGUN)
