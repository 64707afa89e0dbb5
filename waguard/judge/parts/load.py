"""Load: are CPUs or memory short, and for how long? A burst is none of our business."""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional

from waguard import durations
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.load import Load, Throttle
from waguard.settings import ResourceSettings

_FELT = 1.0
"""Seconds of throttling since the last look that are worth a word."""
_WORTH = 0.05
"""The same of the CPUs' time that goes to others."""


def judge(case: Case) -> Part:
    """The part of the case about load."""
    title = say("Load")
    if not isinstance(case.load, Known):
        return Part("load", title, case.load.why, None)
    load, settings = case.load.value, case.settings.resources
    findings = tuple(finding for finding in (_cpu(load, settings), _memory(load, settings)) if finding is not None)
    return Part("load", title, _says(load), False if findings else _calm(load, settings), findings, _facts(load))


def _cpu(load: Load, settings: ResourceSettings) -> Optional[Finding]:
    use, span = load.sustained, load.span
    if use is None or span is None or use.busy * 100 < settings.cpu_limit:
        return None
    return Finding("cpu-saturated", say(
        "the CPUs were {busy:.0%} busy over {span} ({stolen:.0%} taken by the host); {waited:.0%} more waited for disks",
        busy=use.busy, span=durations.show(span), stolen=use.steal, waited=use.iowait))


def _memory(load: Load, settings: ResourceSettings) -> Optional[Finding]:
    """By the memory in use at every look, or by stalls; avg60 as well, since avg300 remembers what is over."""
    told = []
    # Databases keep most of a large memory in use for good, and have enough of it.
    scarce = load.memory_available is not None and load.memory_available < settings.memory_free << 20
    full = load.memory_sustained is not None and load.memory_sustained * 100 >= settings.memory_limit
    if scarce and full and load.span is not None:
        told.append(say("at least {used:.0%} of memory was in use at every look in {span}", used=load.memory_sustained,
                        span=durations.show(load.span)))
    stall = load.memory_stall
    if stall is not None and min(stall.some[1:]) >= settings.pressure_limit:
        told.append(say("tasks were stalled for memory in {percent:.0f} % of the last five minutes", percent=stall.some[2]))
    if not told:
        return None
    if load.oom_kills:
        told.append(say("the kernel killed {count} for want of memory since the last look", count=load.oom_kills))
    return Finding("memory-pressure", "; ".join(told))


def _calm(load: Load, settings: ResourceSettings) -> Optional[bool]:
    """What is not busy now is not busy for long; what is busy now, without a history, cannot be told."""
    if load.sustained is None and (load.momentary is None or load.momentary.busy * 100 >= settings.cpu_limit):
        return None
    roomy = load.memory_available is not None and load.memory_available >= settings.memory_free << 20
    if load.memory_sustained is None and not roomy and (
            load.memory_used is None or load.memory_used * 100 >= settings.memory_limit):
        return None
    return True


def _says(load: Load) -> str:
    told = _says_cpu(load)
    told.append(say("the use of memory is not known") if load.memory_used is None else
                say("{used:.0%} of memory in use", used=load.memory_used))
    felt = [one for one in load.throttles if one.recent is not None and one.recent >= _FELT]
    if felt:
        told.append(say("{path} was held back by its CPU quota for {age}", path=felt[0].path,
                        age=durations.show(felt[0].recent or 0.0)))
    if load.oom_kills:
        told.append(say("{count} killed for want of memory since the last look", count=load.oom_kills))
    return "; ".join(told)


def _says_cpu(load: Load) -> list[str]:
    use = load.momentary
    if load.sustained is not None and load.span is not None:
        use = load.sustained
        told = [say("CPUs {busy:.0%} busy over {span}", busy=use.busy, span=durations.show(load.span))]
    elif use is None:
        return [say("the use of the CPUs is not known")]
    else:
        told = [say("CPUs {busy:.0%} busy at the moment", busy=use.busy)]
    if use.steal >= _WORTH:
        told.append(say("{share:.0%} taken by the host", share=use.steal))
    if use.iowait >= _WORTH:
        told.append(say("{share:.0%} waiting for disks", share=use.iowait))
    return told


def _facts(load: Load) -> dict[str, object]:
    found = asdict(load)
    del found["state"]
    found["throttles"] = [_throttle(one) for one in load.throttles]
    return found


def _throttle(one: Throttle) -> dict[str, object]:
    return {"path": one.path, "periods": one.periods, "throttled": one.throttled, "seconds": one.seconds, "recent": one.recent}
