"""The agent's daemon is killed: how long until its unit is active again, by systemd's own clock?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import GUARD, UNIT, VM

SETTINGS = "liveness: {check_interval: 1s}\nrestart: {reset_after: 1s}\n"
"""The first start in a row waits for nothing, the next ones do, on purpose: so each kill comes after the pace has begun anew."""
LIMIT = "systemd, Restart=always RestartSec=0"
FAST = "monit, 1 s cycle"
ALWAYS = "[Service]\nRestart=always\nRestartSec=0\n"
LOOK = 0.3


@dataclass(frozen=True)
class Contender:
    """``done``: how many starts it counts; ``ready``: may the agent be killed?"""

    done: Callable[[], int]
    ready: Callable[[], bool] = lambda: True


@contextmanager
def by_waguard(vm: VM) -> Iterator[Contender]:
    vm.configure(SETTINGS)
    yield Contender(lambda: int(vm.guard.snapshot()["counters"]["restarts"]["waguard"]),
                    lambda: vm.guard.snapshot()["policy"]["attempts"] == 0)


@contextmanager
def by_systemd(vm: VM) -> Iterator[Contender]:
    vm.stop(GUARD)
    vm.drop_in(UNIT, "bench-restart", ALWAYS)
    try:
        yield Contender(lambda: int(vm.machine.show(UNIT, "NRestarts")["NRestarts"]))
    finally:
        vm.drop_in(UNIT, "bench-restart", None)
        vm.start(GUARD)


@contextmanager
def by_monit(vm: VM, cycle: int = 1) -> Iterator[Contender]:
    vm.stop(GUARD)
    try:
        with peers.monit(vm, cycle):
            yield Contender(lambda: vm.machine.read(peers.MONIT_LOG).count(f"start: '/usr/bin/systemctl start {UNIT}'"))
    finally:
        vm.start(GUARD)


def kill(vm: VM, who: str, contender: Contender, count: int, look: float = LOOK, timeout: float = 30) -> list[float]:
    """Seconds of each recovery. Raises NotDone if somebody else brought the agent back."""
    before, taken = contender.done(), []
    for _ in range(count):
        vm.wait(contender.ready, 30, f"{who} to be ready")
        taken.append(float(vm.inside("kill", UNIT, look, timeout, timeout=timeout + 40)))
    vm.wait(lambda: contender.done() - before >= count, 10, f"{who} to say that it started the agent {count} times")
    if contender.done() - before != count:
        raise NotDone(f"{who} started the agent {contender.done() - before} times, not {count}")
    return taken


CONTENDERS = ((OURS, by_waguard), (LIMIT, by_systemd), (FAST, by_monit))


def measure(vm: VM, rounds: int, each: int) -> Comparison:
    """``rounds`` times, in turn, ``each`` kills for each contender."""
    taken: dict[str, list[float]] = {who: [] for who, _ in CONTENDERS}
    for _ in range(rounds):
        for who, by in CONTENDERS:
            vm.settled()
            with by(vm) as contender:
                taken[who] += kill(vm, who, contender, each)
    vm.settled()
    vm.configure("")
    figures = tuple(Figure(who, tuple(values)) for who, values in taken.items())
    return Comparison("recovery", "agent killed → its unit active again", "s", figures,
                      (Goal(LIMIT, 2.0), Goal(FAST, 0.2), Goal("", 1.0, budget=0.1, gates=False)),
                      "each contender's own count of its starts is the number of kills; the moment is systemd's "
                      "ActiveEnterTimestampMonotonic")


def slow_monit(vm: VM, count: int) -> Figure:
    """monit as Debian ships it. Mind that this waits for a minute at each kill, on average."""
    who = "monit, 120 s cycle (Debian's)"
    with by_monit(vm, peers.MONIT_DEFAULT) as contender:
        values = kill(vm, who, contender, count, look=1.0, timeout=2 * peers.MONIT_DEFAULT)
    vm.settled()
    return Figure(who, tuple(values), f"{count} kills only: each waits for the next cycle")
