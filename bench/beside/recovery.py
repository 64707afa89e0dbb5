"""The agent's daemon is killed: how long until its unit is active again, by systemd's own clock?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import GUARD, UNIT, VM

SETTINGS = "restart:\n  backoff_first: 0s\n  reset_after: 1s\n"
"""Each end counts as the first one, whose start waits for nothing; the pace of the next ones is no matter of speed."""
LIMIT = "systemd, Restart=always RestartSec=0"
FAST = "monit, 1 s cycle"
ALWAYS = "[Unit]\nStartLimitIntervalSec=0\n[Service]\nRestart=always\nRestartSec=0\n"
LOOK = 0.3


@contextmanager
def by_waguard(vm: VM) -> Iterator[Callable[[], int]]:
    vm.configure(SETTINGS)

    def done() -> int:
        return int(vm.guard.snapshot()["counters"]["restarts"]["waguard"])

    yield done


@contextmanager
def by_systemd(vm: VM) -> Iterator[Callable[[], int]]:
    vm.stop(GUARD)
    vm.drop_in(UNIT, "bench-restart", ALWAYS)
    try:
        yield lambda: int(vm.machine.show(UNIT, "NRestarts")["NRestarts"])
    finally:
        vm.drop_in(UNIT, "bench-restart", None)
        vm.start(GUARD)


@contextmanager
def by_monit(vm: VM, cycle: int = 1) -> Iterator[Callable[[], int]]:
    vm.stop(GUARD)
    try:
        with peers.monit(vm, cycle):
            yield lambda: vm.machine.read(peers.MONIT_LOG).count(f"start: '/usr/bin/systemctl start {UNIT}'")
    finally:
        vm.start(GUARD)


def kill(vm: VM, count: int, look: float = LOOK, timeout: float = 30) -> list[float]:
    """Seconds of each recovery."""
    return [float(seconds) for seconds in vm.inside("kill", UNIT, count, look, timeout, timeout=count * (timeout + 10))]


CONTENDERS = ((OURS, by_waguard), (LIMIT, by_systemd), (FAST, by_monit))


def measure(vm: VM, rounds: int, each: int) -> Comparison:
    """``rounds`` times, in turn, ``each`` kills for each contender. Raises NotDone if somebody else brought the agent back."""
    taken: dict[str, list[float]] = {who: [] for who, _ in CONTENDERS}
    for _ in range(rounds):
        for who, contender in CONTENDERS:
            vm.settled()
            with contender(vm) as done:
                before = done()
                taken[who] += kill(vm, each)
                vm.wait(lambda: done() - before >= each, 10, f"{who} to say that it started the agent {each} times")
                if done() - before != each:
                    raise NotDone(f"{who} started the agent {done() - before} times, not {each}")
    vm.settled()
    figures = tuple(Figure(who, tuple(values)) for who, values in taken.items())
    return Comparison("recovery", "agent killed → its unit active again", "s", figures,
                      (Goal(LIMIT, 2.0), Goal(FAST, 0.2), Goal("", 1.0, budget=0.1, gates=False)),
                      "each contender's own count of its starts is the number of kills; the moment is systemd's "
                      "ActiveEnterTimestampMonotonic")


def slow_monit(vm: VM, count: int) -> Figure:
    """monit as Debian ships it. Mind that this waits for a minute at each kill, on average."""
    with by_monit(vm, peers.MONIT_DEFAULT) as done:
        before = done()
        values = kill(vm, count, look=1.0, timeout=2 * peers.MONIT_DEFAULT)
        if done() - before != count:
            raise NotDone(f"monit started the agent {done() - before} times, not {count}")
    vm.settled()
    return Figure("monit, 120 s cycle (Debian's)", tuple(values), f"{count} kills only: each waits for the next cycle")
