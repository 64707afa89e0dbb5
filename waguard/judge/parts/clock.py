"""Clock: is it synchronised, and was it set?"""

from __future__ import annotations

from waguard import durations
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.clocksync import ClockSync

_FAR = 30.0
_SETTLING = 600.0
"""Seconds after the boot in which a clock need not be synchronised yet."""


def judge(case: Case) -> Part:
    """The part of the case about the clock."""
    if not isinstance(case.clocksync, Known):
        return Part("clock", "Clock", case.clocksync.why, None)
    clock = case.clocksync.value
    facts = {"synchronised": clock.synchronised, "by": clock.by or None, "offset": clock.offset, "stepped": clock.stepped,
             "hyperv": clock.hyperv}
    evidence = _evidence(clock)
    if clock.synchronised is False and not _far(clock) and case.now < _SETTLING:
        return Part("clock", "Clock", f"not synchronised yet, {durations.show(case.now)} after the boot", None, (), facts)
    if evidence:
        return Part("clock", "Clock", evidence, False, (Finding("clock-skew", evidence),), facts)
    if clock.synchronised is None:
        return Part("clock", "Clock", clock.why, None, (), facts)
    offset = "" if clock.offset is None else f", {_amount(abs(clock.offset))} off"
    stepped = f"; it was set {_step(clock.stepped)} since the last look" if clock.stepped else ""
    return Part("clock", "Clock", f"synchronised, says {clock.by}{offset}{stepped}", True, (), facts)


def _evidence(clock: ClockSync) -> str:
    """What is wrong; "" if nothing is. A clock that was set and is synchronised now was put right."""
    told = []
    if clock.synchronised is False:
        told.append(clock.why or "the clock is not synchronised")
    if _far(clock) and clock.offset is not None:
        told.append(f"the clock is {abs(clock.offset):.0f} s {'ahead' if clock.offset > 0 else 'behind'}, says {clock.by}")
    if clock.stepped and clock.synchronised is not True:
        told.append(f"the clock was set {_step(clock.stepped)} since the last look, and nobody says that it is right")
    return "; ".join(told)


def _far(clock: ClockSync) -> bool:
    return clock.offset is not None and abs(clock.offset) > _FAR


def _amount(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _step(seconds: float) -> str:
    return f"{durations.show(abs(seconds))} {'forward' if seconds > 0 else 'back'}"
