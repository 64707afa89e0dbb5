"""The kernel's counters of load: /proc/stat, meminfo, vmstat, pressure, and a cgroup's cpu.stat. Parsing only; raises nothing.

Source: proc_stat(5), proc_meminfo(5), proc_vmstat(5); Documentation/accounting/psi.rst, admin-guide/cgroup-v2.rst and
scheduler/sched-bwc.rst of the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

_DIGITS = 20


@dataclass(frozen=True)
class Cpu:
    """Clock ticks of all CPUs since boot. ``total`` counts guests once, as the kernel has them in user time as well."""

    total: int
    idle: int
    iowait: int
    steal: int


@dataclass(frozen=True)
class Use:
    """Shares between 0 and 1. ``busy`` is what is neither idle nor waiting for disks, ``steal`` (a part of it) the host's."""

    busy: float
    iowait: float
    steal: float


@dataclass(frozen=True)
class Stall:
    """Percent of time that tasks stalled: ``some`` of them over 10, 60 and 300 s, ``full`` all of them; None if not told."""

    some: tuple[float, float, float]
    full: Optional[tuple[float, float, float]]


def cpu(text: str) -> Optional[Cpu]:
    """The first line of /proc/stat."""
    words = text.split("\n", 1)[0].split()
    if len(words) < 9 or words[0] != "cpu" or not all(_number(word) for word in words[1:9]):
        return None
    ticks = [int(word) for word in words[1:9]]
    return Cpu(sum(ticks), ticks[3], ticks[4], ticks[7])


def use(before: Cpu, after: Cpu) -> Optional[Use]:
    """Between two looks; None when no time passed or the counters began anew."""
    total = after.total - before.total
    if total <= 0 or after.idle < before.idle:
        return None
    iowait, steal = max(0, after.iowait - before.iowait), max(0, after.steal - before.steal)  # iowait may go back: proc_stat(5).
    busy = total - (after.idle - before.idle) - iowait
    return Use(min(1.0, max(0.0, busy / total)), min(1.0, iowait / total), min(1.0, steal / total))


def meminfo(text: str) -> dict[str, int]:
    """Bytes by name, of the lines in kB."""
    found = {}
    for line in text.split("\n"):
        name, _, rest = line.partition(":")
        words = rest.split()
        if len(words) == 2 and words[1] == "kB" and _number(words[0]):
            found[name] = int(words[0]) * 1024
    return found


def pairs(text: str) -> dict[str, int]:
    """``name number`` lines: /proc/vmstat, cpu.stat."""
    found = {}
    for line in text.split("\n"):
        words = line.split()
        if len(words) == 2 and _number(words[1]):
            found[words[0]] = int(words[1])
    return found


def pressure(text: str) -> Optional[Stall]:
    """A file of /proc/pressure."""
    found: dict[str, tuple[float, float, float]] = {}
    for line in text.split("\n"):
        words = line.split()
        values = dict(word.split("=", 1) for word in words[1:] if "=" in word)
        try:
            ten, sixty, more = (float(values[name]) for name in ("avg10", "avg60", "avg300"))
        except (LookupError, ValueError):
            continue
        if all(0.0 <= value <= 1000.0 for value in (ten, sixty, more)):
            found[words[0]] = (ten, sixty, more)
    return Stall(found["some"], found.get("full")) if "some" in found else None


def cgroups(text: str) -> dict[str, str]:
    """Paths by controller of /proc/PID/cgroup; "" is version 2. What leads outside our namespace is left out."""
    found = {}
    for line in text.split("\n"):
        parts = line.split(":", 2)
        if len(parts) == 3 and parts[2].startswith("/") and ".." not in parts[2].split("/"):
            for controller in parts[1].split(","):
                found[controller] = parts[2]
    return found


def _number(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) <= _DIGITS
