"""Clock: is it synchronised, and was it set?"""

from __future__ import annotations

from waguard import durations
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.clocksync import ClockSync

_FAR = 30.0
_SETTLING = 600.0
"""Seconds after the boot in which a clock need not be synchronised yet."""


def judge(case: Case) -> Part:
    """The part of the case about the clock."""
    title = say("Clock")
    if not isinstance(case.clocksync, Known):
        return Part("clock", title, case.clocksync.why, None)
    clock = case.clocksync.value
    facts = {"synchronised": clock.synchronised, "by": clock.by or None, "offset": clock.offset, "stepped": clock.stepped,
             "hyperv": clock.hyperv}
    evidence = _evidence(clock)
    if clock.synchronised is False and not _far(clock) and case.now < _SETTLING:
        early = say("not synchronised yet, {age} after the boot", age=durations.show(case.now))
        return Part("clock", title, early, None, (), facts)
    if evidence:
        return Part("clock", title, evidence, False, (Finding("clock-skew", evidence),), facts)
    if clock.synchronised is None:
        return Part("clock", title, clock.why, None, (), facts)
    return Part("clock", title, _says(clock), True, (), facts)


def _says(clock: ClockSync) -> str:
    told = [say("synchronised, says {by}", by=clock.by) if clock.offset is None else
            say("synchronised, says {by}, {offset} off", by=clock.by, offset=_amount(abs(clock.offset)))]
    if clock.stepped:
        step = durations.show(abs(clock.stepped))
        told.append(say("it was set {step} forward since the last look", step=step) if clock.stepped > 0 else
                    say("it was set {step} back since the last look", step=step))
    return "; ".join(told)


def _evidence(clock: ClockSync) -> str:
    """What is wrong; "" if nothing is. A clock that was set and is synchronised now was put right."""
    told = []
    if clock.synchronised is False:
        told.append(clock.why or say("the clock is not synchronised"))
    if _far(clock) and clock.offset is not None:
        seconds = abs(clock.offset)
        told.append(say("the clock is {seconds:.0f} s ahead, says {by}", seconds=seconds, by=clock.by) if clock.offset > 0 else
                    say("the clock is {seconds:.0f} s behind, says {by}", seconds=seconds, by=clock.by))
    if clock.stepped and clock.synchronised is not True:
        step = durations.show(abs(clock.stepped))
        told.append(
            say("the clock was set {step} forward since the last look, and nobody says that it is right", step=step)
            if clock.stepped > 0 else
            say("the clock was set {step} back since the last look, and nobody says that it is right", step=step))
    return "; ".join(told)


def _far(clock: ClockSync) -> bool:
    return clock.offset is not None and abs(clock.offset) > _FAR


def _amount(seconds: float) -> str:
    return f"{seconds * 1000:.3f} ms" if seconds < 1 else f"{seconds:.1f} s"
