"""How busy the machine is: CPUs, memory, stalls, and whether the agent is throttled by a quota.

One look says little about the last minutes. So samples of earlier looks are kept, and what is "sustained" is told only from a
history that reaches back far enough, without gaps.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from waguard.agent import counters
from waguard.agent.counters import Cpu, Stall, Use
from waguard.i18n import say
from waguard.observe import files
from waguard.settings import ResourceSettings

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts

_LIMIT = 1 << 20
_MOST = 12
_GAP = 4
_LONGEST_GAP = 3600.0


@dataclass(frozen=True)
class Throttle:
    """A cgroup with a CPU quota, the agent's or one above it. ``seconds``: how long it was held back since boot, ``recent`` since
    the last look (None without one)."""

    path: str
    periods: int
    throttled: int
    seconds: float
    recent: Optional[float]


@dataclass(frozen=True)
class Load:
    """``momentary``: since the last look if that is young, else over a moment. ``sustained``: over ``span`` seconds, at least as
    long as the settings want; None when the history does not reach back.

    Memory in bytes; ``memory_used`` is a share (not MemAvailable), ``memory_sustained`` the least of it over the same time.
    Stalls are None where the kernel does not tell (RHEL 8 has them off). ``oom_kills``: since the last look, of any cgroup.
    """

    momentary: Optional[Use]
    sustained: Optional[Use]
    span: Optional[float]
    memory_total: Optional[int]
    memory_available: Optional[int]
    memory_used: Optional[float]
    memory_sustained: Optional[float]
    swap_total: Optional[int]
    swap_free: Optional[int]
    cpu_stall: Optional[Stall]
    memory_stall: Optional[Stall]
    io_stall: Optional[Stall]
    oom_kills: Optional[int]
    throttles: tuple[Throttle, ...]
    state: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sample:
    at: float
    cpu: Cpu
    used: float


def look(settings: ResourceSettings, agent: AgentFacts, state: Optional[Mapping[str, Any]], now_boot: float,
         root: Path = Path("/"), sample: float = 0.5) -> Load:
    """``now_boot``: CLOCK_BOOTTIME seconds. Sleeps ``sample`` seconds if no earlier look is young enough for the momentary use.
    Raises files.Unusable when /proc/stat cannot be read.
    """
    proc = root / "proc"
    boot = _text(proc / "sys/kernel/random/boot_id").strip()
    kept = state if state is not None and state.get("boot") == boot else {}
    cpu = counters.cpu(_text(proc / "stat"))
    if cpu is None:
        raise files.Unusable(say("{path}: not understood or not readable", path=proc / "stat"))
    memory = counters.meminfo(_text(proc / "meminfo"))
    total, available = memory.get("MemTotal"), memory.get("MemAvailable")
    used = 1 - available / total if total and available is not None else None
    history = _history(kept, now_boot, settings.cpu_for)
    sustained, span, memory_sustained = _sustained(history, cpu, used, now_boot, settings.cpu_for)
    kills = counters.pairs(_text(proc / "vmstat")).get("oom_kill")
    throttles = _throttles(root, agent.daemon_pid, kept.get("throttled"))
    cpu_stall, memory_stall, io_stall = (counters.pressure(_text(proc / "pressure" / name)) for name in ("cpu", "memory", "io"))
    samples = _kept(history, _Sample(now_boot, cpu, -1.0 if used is None else used), settings.cpu_for)
    return Load(_momentary(history, cpu, now_boot, proc, sample), sustained, span, total, available, used, memory_sustained,
                memory.get("SwapTotal"), memory.get("SwapFree"), cpu_stall, memory_stall, io_stall,
                _since(kills, kept.get("oom_kills")), throttles,
                {"boot": boot, "samples": samples, "oom_kills": kills, "throttled": {one.path: one.seconds for one in throttles}})


def _momentary(history: list[_Sample], cpu: Cpu, now: float, proc: Path, sample: float) -> Optional[Use]:
    if history and sample <= now - history[-1].at <= 60:
        return counters.use(history[-1].cpu, cpu)
    time.sleep(sample)
    after = counters.cpu(_text(proc / "stat"))
    return counters.use(cpu, after) if after is not None else None


def _sustained(history: list[_Sample], cpu: Cpu, used: Optional[float], now: float,
               wanted: float) -> tuple[Optional[Use], Optional[float], Optional[float]]:
    """CPU use, its span, and the least memory in use, over the shortest time that is long enough."""
    start = next((index for index in range(len(history) - 1, -1, -1) if now - history[index].at >= wanted), None)
    if start is None:
        return None, None, None
    span = now - history[start].at
    found = [sample.used for sample in history[start:]]
    memory = min(*found, used) if used is not None and min(found) >= 0 else None
    return counters.use(history[start].cpu, cpu), span, memory


def _history(state: Mapping[str, Any], now: float, wanted: float) -> list[_Sample]:
    """Earlier samples of this boot, oldest first; only those behind the last gap that is too long to speak for."""
    found: list[_Sample] = []
    kept = state.get("samples")
    for one in kept[:_MOST + 4] if isinstance(kept, list) else ():
        try:
            at, total, idle, iowait, steal, used = one
            found.append(_Sample(float(at), Cpu(int(total), int(idle), int(iowait), int(steal)), float(used)))
        except (TypeError, ValueError, OverflowError):
            return []
    moments = [sample.at for sample in found] + [now]
    longest = max(_GAP * wanted, _LONGEST_GAP)
    for index in range(len(found) - 1, -1, -1):
        if not 0 <= moments[index + 1] - moments[index] <= longest:
            return found[index + 1:]
    return found


def _kept(history: list[_Sample], latest: _Sample, wanted: float) -> list[list[float]]:
    """What the next look gets: a sample that is old enough, those after it, and this one, not closer than a tenth of the time."""
    old = [index for index, sample in enumerate(history) if latest.at - sample.at >= wanted]
    found = history[old[-1]:] if old else list(history)
    if not found or latest.at - found[-1].at >= wanted / (_MOST - 2):
        found.append(latest)
    return [[round(one.at, 3), one.cpu.total, one.cpu.idle, one.cpu.iowait, one.cpu.steal, round(one.used, 4)]
            for one in found[-_MOST:]]


def _throttles(root: Path, pid: int, before: Any) -> tuple[Throttle, ...]:
    """The agent's cgroup and those above it, as far as they have a quota that was felt."""
    places = counters.cgroups(_text(root / "proc" / str(pid) / "cgroup")) if pid else {}
    tops = [(root / "sys/fs/cgroup/cpu", places.get("cpu")), (root / "sys/fs/cgroup", places.get(""))]
    found = []
    for top, path in tops:
        while path and path != "/":
            told = counters.pairs(_text(top / path.lstrip("/") / "cpu.stat"))
            throttled, periods = told.get("nr_throttled", 0), told.get("nr_periods", 0)
            if throttled:
                seconds = told["throttled_usec"] / 1e6 if "throttled_usec" in told else told.get("throttled_time", 0) / 1e9
                known = before.get(path) if isinstance(before, dict) else None
                recent = seconds - known if isinstance(known, (int, float)) and 0 <= known <= seconds else None
                found.append(Throttle(path, periods, throttled, seconds, recent))
            path = path.rpartition("/")[0]
    return tuple(found)


def _since(count: Optional[int], before: Any) -> Optional[int]:
    if count is None or not isinstance(before, int) or before > count:
        return None
    return count - before


def _text(path: Path) -> str:
    """"" when it cannot be read, also in a cgroup that is gone or where stalls are switched off (EOPNOTSUPP)."""
    try:
        return files.read(path, _LIMIT).decode("ascii", "replace")
    except (OSError, files.Unusable):
        return ""
