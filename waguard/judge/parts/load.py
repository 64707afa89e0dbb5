"""Load: are CPUs or memory short, and for how long? A burst is none of our business."""

from __future__ import annotations

from dataclasses import asdict
from typing import Optional

from waguard import durations
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.load import Load, Throttle
from waguard.settings import ResourceSettings

_FELT = 1.0
"""Seconds of throttling since the last look that are worth a word."""


def judge(case: Case) -> Part:
    """The part of the case about load."""
    if not isinstance(case.load, Known):
        return Part("load", "Load", case.load.why, None)
    load, settings = case.load.value, case.settings.resources
    findings = tuple(finding for finding in (_cpu(load, settings), _memory(load, settings)) if finding is not None)
    return Part("load", "Load", _says(load), False if findings else _calm(load, settings), findings, _facts(load))


def _cpu(load: Load, settings: ResourceSettings) -> Optional[Finding]:
    use, span = load.sustained, load.span
    if use is None or span is None or use.busy * 100 < settings.cpu_limit:
        return None
    return Finding("cpu-saturated", f"the CPUs were {use.busy:.0%} busy over {durations.show(span)} ({use.steal:.0%} taken "
                                    f"by the host); {use.iowait:.0%} more waited for disks")


def _memory(load: Load, settings: ResourceSettings) -> Optional[Finding]:
    """By the memory in use at every look, or by stalls; avg60 as well, since avg300 remembers what is over."""
    told = []
    # Databases keep most of a large memory in use for good, and have enough of it.
    scarce = load.memory_available is not None and load.memory_available < settings.memory_free << 20
    full = load.memory_sustained is not None and load.memory_sustained * 100 >= settings.memory_limit
    if scarce and full and load.span is not None:
        told.append(f"at least {load.memory_sustained:.0%} of memory was in use at every look in {durations.show(load.span)}")
    stall = load.memory_stall
    if stall is not None and min(stall.some[1:]) >= settings.pressure_limit:
        told.append(f"tasks were stalled for memory in {stall.some[2]:.0f} % of the last five minutes")
    if not told:
        return None
    kills = f"; the kernel killed {load.oom_kills} for want of memory since the last look" if load.oom_kills else ""
    return Finding("memory-pressure", "; ".join(told) + kills)


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
    use, over = load.momentary, " at the moment"
    if load.sustained is not None and load.span is not None:
        use, over = load.sustained, f" over {durations.show(load.span)}"
    told = ["the use of the CPUs is not known" if use is None else f"CPUs {use.busy:.0%} busy{over}"]
    if use is not None:
        told += [f"{share:.0%} {name}" for name, share in (("taken by the host", use.steal), ("waiting for disks", use.iowait))
                 if share >= 0.05]
    told.append("the use of memory is not known" if load.memory_used is None else f"{load.memory_used:.0%} of memory in use")
    felt = [one for one in load.throttles if one.recent is not None and one.recent >= _FELT]
    if felt:
        told.append(f"{felt[0].path} was held back by its CPU quota for {durations.show(felt[0].recent or 0.0)}")
    if load.oom_kills:
        told.append(f"{load.oom_kills} killed for want of memory since the last look")
    return ", ".join(told)


def _facts(load: Load) -> dict[str, object]:
    found = asdict(load)
    del found["state"]
    found["throttles"] = [_throttle(one) for one in load.throttles]
    return found


def _throttle(one: Throttle) -> dict[str, object]:
    return {"path": one.path, "periods": one.periods, "throttled": one.throttled, "seconds": one.seconds, "recent": one.recent}
