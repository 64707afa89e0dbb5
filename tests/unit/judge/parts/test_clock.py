"""The clock part."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from waguard.judge.case import Case, Part
from waguard.judge.parts import clock as part
from waguard.observe import Known, Unknown
from waguard.observe.clocksync import ClockSync
from waguard.settings import Settings


def judge(synchronised: Optional[bool], offset: Optional[float] = None, stepped: Optional[float] = None, why: str = "", now: float = 5000.0) -> Part:
    clock: Any = Known(ClockSync(synchronised, "chrony", offset, stepped, why), now)
    return part.judge(Case(now, 1.0, True, True, Settings(), clocksync=clock))


@pytest.mark.parametrize(("found", "says"), [
    (judge(True), "synchronised, says chrony"), (judge(True, -0.0000068), "synchronised, says chrony, 0.007 ms off"),
    (judge(True, 29.0, 0.0), "synchronised, says chrony, 29.0 s off"),
    (judge(True, None, 312.0), "synchronised, says chrony; it was set 5m12s forward since the last look"),
    (judge(True, None, -60.0), "synchronised, says chrony; it was set 1m back since the last look")])
def test_well(found: Part, says: str) -> None:
    assert (found.name, found.title, found.says, found.ok, found.findings) == ("clock", "Clock", says, True, ())


@pytest.mark.parametrize(("found", "evidence"), [
    (judge(False, why="chrony has no source that it can follow"), "chrony has no source that it can follow"),
    (judge(True, 61.4), "the clock is 61 s ahead, says chrony"), (judge(True, -61.4), "the clock is 61 s behind, says chrony"),
    (judge(False, -61.4, why="x", now=1.0), "x; the clock is 61 s behind, says chrony"),
    (judge(None, None, 312.0, "y"), "the clock was set 5m12s forward since the last look, and nobody says that it is right")])
def test_skewed(found: Part, evidence: str) -> None:
    assert [(finding.id, finding.evidence) for finding in found.findings] == [("clock-skew", evidence)]
    assert found.ok is False and found.says == evidence


def test_right_after_the_boot_it_need_not_be_synchronised_yet() -> None:
    found = judge(False, why="x", now=599.0)
    assert (found.ok, found.findings, found.says) == (None, (), "not synchronised yet, 9m59s after the boot")
    assert judge(False, why="x", now=600.0).ok is False


@pytest.mark.parametrize("stepped", [None, 0.0])
def test_nobody_tells(stepped: Optional[float]) -> None:
    found = judge(None, None, stepped, "neither of both tells")
    assert (found.ok, found.findings, found.says) == (None, (), "neither of both tells")


def test_not_looked_at() -> None:
    found = part.judge(Case(1.0, 1.0, True, True, Settings(), clocksync=Unknown("late", 1.0)))
    assert (found.ok, found.says) == (None, "late")
