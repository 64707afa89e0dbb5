"""Evidence in few words: a healthy agent, of which a test changes what it is about.

``NOW`` is CLOCK_BOOTTIME and ``WALL`` the epoch at the moment of the look. Ages are seconds before it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Optional

from waguard.agent import versions
from waguard.agent.logstate import DaemonEnd, EndKind, LogState, Mark
from waguard.agent.record import Heartbeat
from waguard.judge import liveness
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, History, Liveness
from waguard.observe import Known, Unknown
from waguard.observe.azure import Probe
from waguard.observe.conf import ConfFacts
from waguard.observe.libdir import LibDir
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import LivenessSettings

NOW, WALL = 1_000_000.0, 1_700_000_000.0
RULES = LivenessSettings()
BOOT_GRACE = 300.0
TICK = RULES.check_interval
NEWEST, BEFORE_HEARTBEATS, BEFORE_STATUS = versions.parse("2.15.0.1"), versions.parse("2.2.40"), versions.parse("2.2.34")
LIB = Path("/var/lib/waagent")
RUNNING = UnitState("waagent.service", active="active", sub="running", main_pid=100, invocation="run", restart="always",
                    main_start=10.0, active_enter=10.1)
DIED = replace(RUNNING, active="failed", sub="failed", result="signal", main_pid=0, exit_code=2, exit_status=9,
               main_exit=50.0, active_exit=50.1)
STOPPED = replace(RUNNING, active="inactive", sub="dead", main_pid=0, exit_code=2, exit_status=15, main_exit=50.1, active_exit=50.0)


def process(pid: int, role: str, age: float = 7200.0, cpu: float = 5.0, state: str = "S", blocked: tuple[str, ...] = ()) -> Process:
    argv = ("/usr/bin/python3", "-u", "/usr/sbin/waagent", role)
    return Process(pid, 1, argv, state, NOW - age, cpu, 30 << 20, blocked)


def daemon(**changes: Any) -> Process:
    return process(100, "-daemon", **changes)


def handler(**changes: Any) -> Process:
    return process(101, "-run-exthandlers", **changes)


def libdir(status_age: Optional[float] = 3.0, **changes: Any) -> LibDir:
    """``status_age`` None: there is no status file."""
    found = LibDir(LIB, provisioned=True, disable_agent=False)
    if status_age is not None:
        found = replace(found, status_path=LIB / "history" / "waagent_status.json", status_mtime=WALL - status_age)
    return replace(found, **changes)


def mark(age: float, text: str = "as the log says") -> Mark:
    return Mark(WALL - age, text)


def log(beat_age: Optional[float] = 600.0, **changes: Any) -> LogState:
    """``beat_age`` None: no heartbeat line was read."""
    beat = None if beat_age is None else Heartbeat(WALL - beat_age, NEWEST, "heartbeat-id", 7)
    return replace(LogState(heartbeat=beat, agent_version=NEWEST), **changes)


def terminated(age: float) -> DaemonEnd:
    return DaemonEnd(WALL - age, EndKind.TERMINATED, "forwarding signal 15")


def conf(**changes: Any) -> ConfFacts:
    facts = ConfFacts(Path("/etc/waagent.conf"), problem="", missing=False, mark=(1, 2), verbose=False, extensions_enabled=True,
                      period=6.0, lib_dir=LIB, pid_file=Path("/run/waagent.pid"))
    return replace(facts, **changes)


def seen(value: Any, at: float = NOW) -> Known[Any]:
    return Known(value, at)


def unseen(why: str = "cannot be read", at: float = NOW) -> Unknown:
    return Unknown(why, at)


def evidence(**changes: Any) -> Evidence:
    """A healthy agent on Azure, seen now."""
    healthy = Evidence(now=NOW, wall=WALL, unit=seen(RUNNING), daemon=daemon(), handler=handler(), conf=seen(conf()),
                       log=seen(log()), libdir=seen(libdir()), wireserver=seen(Probe(True, 0.001)), azure=True)
    return replace(healthy, **changes)


def look(found: Evidence, history: Optional[History] = None, rules: LivenessSettings = RULES) -> Liveness:
    """The verdict of one look, by default the first."""
    return liveness.judge(found, history or History(), rules, BOOT_GRACE)


def down(unit: UnitState, **changes: Any) -> Evidence:
    """An agent that does not run, with its unit in this state."""
    return evidence(unit=seen(unit), daemon=None, handler=None, **changes)


@dataclass
class Watch:
    """Looks in a row, a round apart, at an agent whose evidence does not change but for the clocks."""

    found: Evidence
    rules: LivenessSettings = RULES
    history: History = History()

    def go_on(self, seconds: float = TICK, times: int = 1, **changes: Any) -> Liveness:
        """``times`` more rounds of looks, each ``seconds`` later; ``changes`` are what the first of them sees anew."""
        self.found = replace(self.found, **changes)
        for _ in range(times):
            found = self.found
            moved = {name: replace(getattr(found, name), at=getattr(found, name).at + seconds)
                     for name in ("unit", "conf", "log", "libdir", "wireserver")}
            self.found = replace(found, now=found.now + seconds, wall=found.wall + seconds, **moved)
            verdict = self.see()
        return verdict

    def see(self) -> Liveness:
        """A verdict on what is known already."""
        verdict = look(self.found, self.history, self.rules)
        self.history = verdict.history
        return verdict


def hang(found: Evidence, rules: LivenessSettings = RULES, hours: float = 3.0) -> Liveness:
    """Watch an agent that does nothing at all for so long, or until it is called hung."""
    watch = Watch(found, rules)
    verdict = watch.see()
    for _ in range(int(hours * 3600 / TICK)):
        if verdict.state is AgentState.HUNG:
            break
        verdict = watch.go_on()
    return verdict
