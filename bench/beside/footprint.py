"""What it takes to be there: memory, CPU time and wake-ups, while a Prometheus scrapes every 15 seconds and nothing happens."""

from __future__ import annotations

import time

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import EXPORTER, GUARD, VM

EVERY = 15
_DOCTOR = "benchdoctor.slice"
"""Where the doctor's visits are for the bench, so that the kernel adds them up."""
MB = 1e6
INSTEAD = "node_exporter + process-exporter + monit"
_PEERS = {"node_exporter": peers.NODE, "process-exporter": peers.PROCESS, "monit, 120 s cycle": peers.MONIT}
_OURS = {"guard": GUARD, "exporter": EXPORTER}
_SCRAPED = (OURS, "node_exporter", "process-exporter")


def measure(vm: VM, seconds: float) -> list[Comparison]:
    """Exporters and monit run; ``seconds`` of peace. Each after a while of warming up, for memory grows at first."""
    units = {**_OURS, **_PEERS}
    urls = [peers.URLS[who] for who in _SCRAPED]
    vm.inside("pace", 3, 1, *urls)
    time.sleep(min(15.0, seconds))  # Whatever was done before is over by then.
    begun = time.monotonic()
    cpu = {name: vm.cpu(unit) for name, unit in units.items()}
    switches = {name: vm.switches(unit) for name, unit in units.items()}
    count = vm.inside("pace", seconds, EVERY, *urls, timeout=seconds + 60)
    took = time.monotonic() - begun
    cpu = {name: (vm.cpu(unit) - cpu[name]) / took * 100 for name, unit in units.items()}
    rates = {name: (vm.switches(unit) - switches[name]) / took for name, unit in units.items()}
    memory = {name: vm.memory(unit) for name, unit in units.items()}
    if count < seconds // EVERY:
        raise NotDone(f"only {count} scrapes in {seconds:g} s")
    proof = f"over {took:.0f} s with {count} scrapes of each; cgroup v2's cpu.stat, smaps_rollup, voluntary context switches"
    rss = {name: value[0] / MB for name, value in memory.items()}
    pss = {name: value[1] / MB for name, value in memory.items()}
    return [
        Comparison("rss-guard", "resident memory, guard", "MB", (Figure(OURS, (rss["guard"],)),), _goals(20.0)[1:], proof),
        Comparison("rss-exporter", "resident memory, exporter", "MB", (Figure(OURS, (rss["exporter"],)),), _goals(24.0)[1:],
                   proof),
        Comparison("pss", "memory, shared pages by share (PSS)", "MB", _sums(pss), _goals(30.0), proof),
        Comparison("idle-cpu", "CPU when nothing happens", "%", _sums(cpu), _goals(0.1), proof),
        Comparison("wakeups", "wake-ups a second", "1/s", _sums(rates), _goals(2.0), proof),
    ]


def _goals(budget: float) -> tuple[Goal, ...]:
    return Goal(INSTEAD, 1.0), Goal("", 1.0, budget=budget)


def _sums(found: dict[str, float]) -> tuple[Figure, ...]:
    """Ours together, what it replaces together, and each alone."""
    return (Figure(OURS, (sum(found[name] for name in _OURS),), ", ".join(f"{name} {found[name]:.3g}" for name in _OURS)),
            Figure(INSTEAD, (sum(found[name] for name in _PEERS),), ", ".join(f"{name} {found[name]:.3g}" for name in _PEERS)))


def visit(vm: VM, count: int) -> Comparison:
    """What one visit of the doctor costs, of which the idle figures have none or one. The first one, which has to ask the package
    manager and the interpreters, is not counted: those after it remember."""
    vm.drop_in("waguard-doctor@.service", "bench", f"[Service]\nSlice={_DOCTOR}\n")
    vm.start(_DOCTOR)
    vm.configure("doctor: {interval: 2s}\n")
    vm.wait(lambda: _visits(vm) > 1, 90, "a visit of the doctor")
    before, cpu = _visits(vm), vm.cpu(_DOCTOR)
    vm.wait(lambda: _visits(vm) >= before + count, 120, "the doctor's visits", every=0.5)
    each = (vm.cpu(_DOCTOR) - cpu) / (_visits(vm) - before)
    vm.configure("")
    vm.drop_in("waguard-doctor@.service", "bench", None)
    return Comparison("visit", "CPU time of a visit of the doctor, every ten minutes", "s", (Figure(OURS, (each,)),), (),
                      f"a mean of {count}; spread over ten minutes that is {each / 600:.3%} of a core")


def _visits(vm: VM) -> int:
    return int(vm.machine.show("waguard-doctor.socket", "NAccepted")["NAccepted"])
