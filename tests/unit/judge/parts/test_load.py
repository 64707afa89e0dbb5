"""The load part: what lasts is a finding, what does not is not."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Optional

import pytest

from waguard.agent.counters import Stall, Use
from waguard.judge.case import Case, Part
from waguard.judge.parts import load as part
from waguard.observe import Known, Unknown
from waguard.observe.load import Load, Throttle
from waguard.settings import ResourceSettings, Settings

DEFAULTS = ResourceSettings()
CALM = Load(Use(0.1, 0.0, 0.0), Use(0.2, 0.01, 0.0), 600.0, 1000, 600, 0.4, 0.4, 0, 0, None, None, None, 0, ())


def judge(settings: ResourceSettings = DEFAULTS, **changes: Any) -> Part:
    found = part.judge(Case(1.0, 1.0, True, True, Settings(resources=settings), load=Known(dataclasses.replace(CALM, **changes), 1.0)))
    json.dumps(dict(found.facts))
    return found


def ids(found: Part) -> list[str]:
    return [finding.id for finding in found.findings]


def stall(ten: float, sixty: float, more: float) -> Stall:
    return Stall((ten, sixty, more), None)


def test_calm() -> None:
    found = judge()
    assert (found.name, found.title, found.ok, found.findings, found.says) == ("load", "Load", True, (), "CPUs 20% busy over 10m; 40% of memory in use")


@pytest.mark.parametrize(("busy", "told"), [(0.899, []), (0.9, ["cpu-saturated"]), (1.0, ["cpu-saturated"])])
def test_cpus_that_have_been_busy_for_long(busy: float, told: list[str]) -> None:
    found = judge(sustained=Use(busy, 0.05, 0.25))
    assert ids(found) == told and found.ok is not bool(told)
    assert not told or found.findings[0].evidence == f"the CPUs were {busy:.0%} busy over 10m (25% taken by the host); 5% more waited for disks"


def test_the_limit_is_a_setting() -> None:
    assert ids(judge(ResourceSettings(cpu_limit=15))) == ["cpu-saturated"]
    assert ids(judge(ResourceSettings(memory_limit=30))) == ["memory-pressure"]


def test_waiting_for_disks_is_not_being_busy() -> None:
    assert ids(judge(sustained=Use(0.05, 0.95, 0.0))) == [] and "95% waiting for disks" in judge(sustained=Use(0.05, 0.95, 0.0)).says


def test_a_burst_is_no_finding() -> None:
    """Without a history it is not known whether it is one; with it, it is."""
    burst = Use(1.0, 0.0, 0.0)
    assert (ids(judge(momentary=burst)), judge(momentary=burst).ok) == ([], True)
    first = judge(momentary=burst, sustained=None, span=None, memory_sustained=None)
    assert (ids(first), first.ok, first.says) == ([], None, "CPUs 100% busy at the moment; 40% of memory in use")


@pytest.mark.parametrize(("changes", "ok"), [
    ({"momentary": Use(0.5, 0.0, 0.0)}, True), ({"momentary": None}, None), ({"memory_used": 0.95}, None), ({"memory_used": None}, None)])
def test_what_is_not_busy_at_a_first_look_is_well(changes: dict[str, Any], ok: Optional[bool]) -> None:
    found = judge(**{"sustained": None, "span": None, "memory_sustained": None, **changes})
    assert found.ok is ok and found.findings == ()


@pytest.mark.parametrize(("used", "sustained", "told"), [(0.95, 0.4, []), (0.95, None, []), (0.95, 0.9, ["memory-pressure"]), (0.95, 0.93, ["memory-pressure"])])
def test_memory_that_has_been_short_for_long(used: float, sustained: Optional[float], told: list[str]) -> None:
    found = judge(memory_used=used, memory_sustained=sustained)
    assert ids(found) == told and (not told or f"at least {sustained:.0%} of memory was in use at every look in 10m" == found.findings[0].evidence)


@pytest.mark.parametrize(("felt", "told"), [
    (stall(90, 80, 45), ["memory-pressure"]), (stall(90, 80, 39), []), (stall(0, 5, 60), []), (None, [])])
def test_tasks_that_stall_for_memory(felt: Optional[Stall], told: list[str]) -> None:
    """Five minutes' average remembers what is over: the last minute has to agree."""
    assert ids(judge(memory_stall=felt)) == told
    assert ids(judge(cpu_stall=felt, io_stall=felt)) == []


def test_kills_belong_to_the_evidence_and_are_no_finding_alone() -> None:
    """The agent's own log collector is killed in its cgroup without harm (WALinuxAgent #2749)."""
    assert ids(judge(oom_kills=2)) == [] and "2 killed for want of memory" in judge(oom_kills=2).says
    assert "the kernel killed 2 " in judge(oom_kills=2, memory_sustained=0.99).findings[0].evidence


def test_an_agent_that_is_held_back_is_said() -> None:
    throttle = Throttle("/azure.slice", 100, 10, 99.0, 61.0)
    assert "/azure.slice was held back by its CPU quota for 1m1s" in judge(throttles=(throttle,)).says
    for recent in (None, 0.5):
        assert "azure" not in judge(throttles=(dataclasses.replace(throttle, recent=recent),)).says


def test_not_looked_at() -> None:
    found = part.judge(Case(1.0, 1.0, True, True, Settings(), load=Unknown("late", 1.0)))
    assert (found.ok, found.says) == (None, "late")
