"""One machine of the lab with the agent and the guard: what its services use, and programs run in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional, TypeVar

from bench.beside.figures import NotDone
from tests.lab.agent import DROP_INS, UNIT, Agent
from tests.lab.fabric import Fabric
from tests.lab.guard import METRICS, Guard
from tests.lab.lab import Lab
from tests.lab.machine import Machine, Ran

__all__ = ["DROP_INS", "EXPORTER", "GUARD", "METRICS", "UNIT", "VM", "booted"]

GUARD = "waguard.service"
EXPORTER = "waguard-exporter.service"
INSIDE = Path(__file__).with_name("inside")
HOME = "/opt/bench"
_MANY = "bench-many"
T = TypeVar("T")


class VM:
    """The machine, its agent, and its guard. Units are named as in systemd."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.agent = Agent(machine)
        self.fabric = Fabric(machine)
        self.guard = Guard(machine)
        self._cgroups: dict[str, Path] = {}
        self._programs: set[str] = set()

    # -- programs in the machine

    def run(self, *argv: str, timeout: float = 60, check: bool = True) -> Ran:
        return self.machine.run(list(argv), timeout=timeout, check=check)

    def inside(self, program: str, *arguments: object, timeout: float = 120) -> Any:
        """What a program of ``inside/`` prints, as JSON."""
        argv = ["python3", self.program(program), *map(str, arguments)]
        return json.loads(self.machine.run(argv, timeout=timeout).out)

    def program(self, name: str) -> str:
        """The path in the machine of a program of ``inside/``."""
        path = f"{HOME}/{name}.py"
        if name not in self._programs:
            self.machine.write(path, (INSIDE / f"{name}.py").read_bytes())
            self._programs.add(name)
        return path

    def spawn(self, rounds: int, commands: Sequence[Mapping[str, Any]], timeout: float = 300) -> list[dict[str, Any]]:
        """What ``inside/spawn.py`` tells of each."""
        found: list[dict[str, Any]] = self.inside("spawn", rounds, json.dumps(commands), timeout=timeout)
        return found

    def unit(self, name: str, *argv: str, properties: Sequence[str] = ()) -> None:
        """Starts a service of our own, which ``systemctl stop`` ends and forgets."""
        options = [f"--property={line}" for line in properties]
        self.run("systemd-run", "--quiet", f"--unit={name}", "--collect", *options, *argv)

    def stop(self, *units: str) -> None:
        self.run("systemctl", "stop", *units, timeout=120)

    def start(self, *units: str) -> None:
        self.run("systemctl", "start", *units, timeout=120)

    def drop_in(self, unit: str, name: str, text: Optional[str]) -> None:
        """Puts a drop-in of a unit in place, or takes it away."""
        path = f"/etc/systemd/system/{unit}.d/{name}.conf"
        if text is None:
            self.run("rm", "-f", path)
        else:
            self.machine.write(path, text)
        self.run("systemctl", "daemon-reload")

    def wait(self, predicate: Callable[[], T], timeout: float, what: str, every: float = 0.1) -> T:
        return self.machine.wait_until(predicate, timeout, what, every=every)

    # -- what services use

    def pids(self, unit: str) -> list[int]:
        """All processes of a unit, numbered as on this host. Raises NotDone when there is none."""
        found = [int(pid) for pid in (self._cgroup(unit) / "cgroup.procs").read_text().split()]
        if not found:
            raise NotDone(f"{unit} does not run")
        return found

    def cpu(self, unit: str) -> float:
        """CPU seconds of all that ever ran in the unit, by the kernel's own account (cgroup v2, cpu.stat)."""
        lines = (self._cgroup(unit) / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["usage_usec"]) / 1e6

    def memory(self, unit: str) -> tuple[int, int]:
        """(RSS, PSS) in bytes, of all its processes together."""
        rss = pss = 0
        for pid in self.pids(unit):
            values = dict(line.split()[:2] for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
            rss, pss = rss + int(values["Rss:"]) * 1024, pss + int(values["Pss:"]) * 1024
        return rss, pss

    def switches(self, unit: str) -> int:
        """How often threads of the unit that live now have gone to sleep: each time but the last ended in a wake-up."""
        total = 0
        for pid in self.pids(unit):
            for status in Path(f"/proc/{pid}/task").glob("*/status"):
                lines = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
                total += int(lines["voluntary_ctxt_switches"])
        return total

    def _cgroup(self, unit: str) -> Path:
        known = self._cgroups.get(unit)
        if known is None or not known.is_dir():
            top = Path("/sys/fs/cgroup/unified")
            top = top if top.is_dir() else Path("/sys/fs/cgroup")
            found = list((top / f"waguard-{self.machine.name}").rglob(unit if "." in unit else f"{unit}.service"))
            if len(found) != 1:
                raise NotDone(f"{unit} has {len(found)} control groups")
            known = self._cgroups[unit] = found[0]
        return known

    @contextmanager
    def sleepers(self, count: int) -> Iterator[None]:
        """So many processes more in the machine."""
        self.unit(_MANY, "/usr/bin/python3", self.program("many"), str(count), properties=("TasksMax=infinity",))
        try:
            self.wait(lambda: len(self.pids(_MANY)) > count, 120, f"{count} processes")
            yield
        finally:
            self.stop(_MANY)

    # -- the guard

    def configure(self, settings: str) -> None:
        """Gives the guard other settings by a restart, and waits until it sees the agent."""
        self.machine.write("/etc/waguard/conf.d/bench.yaml", settings)
        self.run("systemctl", "restart", GUARD)
        self.guard.wait_ready()

    def settled(self) -> None:
        """Until the agent turns its loop again."""
        self.run("systemctl", "start", UNIT)
        self.agent.wait_for_turn()


@contextmanager
def booted(lab: Lab, hurry: bool = False) -> Iterator[VM]:
    """A machine with the agent at work and the guard watching it. ``hurry``: its loop turns every second, not every six."""
    with lab.machine(boot=False) as machine:
        vm = VM(machine)
        for unit in (UNIT, EXPORTER):  # What is started again and again here, systemd's limit would stop.
            machine.write(f"/etc/systemd/system/{unit}.d/bench-limit.conf", "[Unit]\nStartLimitIntervalSec=0\n")
        if hurry:
            vm.agent.hurry()
        machine.boot()
        vm.agent.wait_for_turn(since=0)
        vm.guard.install()
        vm.wait(lambda: vm.run("curl", "-sfS", METRICS, check=False).rc == 0, 20, "the exporter to answer")
        yield vm
