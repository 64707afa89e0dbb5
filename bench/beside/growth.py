"""How costs grow: with processes on the machine, lines a second in the agent's log, extensions, their history, waagent.conf."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence

from bench.beside import corpus, peers
from bench.beside.figures import OURS, Curve, NotDone
from bench.beside.vm import EXPORTER, GUARD, UNIT, VM

OFTEN = "liveness: {check_interval: 1s}\n"
"""A look a second instead of every fifteen, so that what looks cost can be seen within seconds."""
TREE = "/var/lib/bench-waagent"
LINES = "/var/tmp/bench-lines"
LOG = "/var/log/waagent.log"
CONF = "/var/tmp/bench-waagent.conf"


def processes(vm: VM, counts: Sequence[int], seconds: int) -> Curve:
    """CPU of each watcher for a scrape, one each second: guard and exporter, process-exporter, node_exporter."""
    vm.configure(OFTEN)
    watchers = {OURS: (GUARD, EXPORTER), "process-exporter": (peers.PROCESS,), "node_exporter": (peers.NODE,)}
    lines: dict[str, list[tuple[float, float]]] = {who: [] for who in watchers}
    with peers.exporters(vm):
        for count in counts:
            with vm.sleepers(count):
                urls = [peers.URLS[who] for who in watchers]
                vm.inside("pace", 1, 1, *urls, timeout=300)  # The first one after such a change has more to do.
                before = {who: sum(map(vm.cpu, units)) for who, units in watchers.items()}
                scrapes = vm.inside("pace", seconds, 1, *urls, timeout=300)
                for who, units in watchers.items():
                    lines[who].append((count, (sum(map(vm.cpu, units)) - before[who]) / scrapes * 1000))
    vm.configure("")
    return Curve("processes", "CPU of a scrape against processes on the machine", "processes", "ms", lines,
                 proof="one scrape a second; waguard's has its own looks in it, one a second, fifteen times as often as usual")


def log_rate(vm: VM, rates: Sequence[int], seconds: int) -> Curve:
    """CPU of the guard while the agent's log grows. The agent stands still, so that nobody else writes to it."""
    vm.configure(OFTEN + "restart: {enabled: false}\n")
    vm.machine.write(LINES, corpus.text(1 << 20)[0])
    vm.stop(UNIT)
    points = []
    vm.wait(lambda: _quiet(vm), 30, "the guard to have read what the agent said last")
    for rate in rates:
        counted = _records(vm)
        before, begun = vm.cpu(GUARD), time.monotonic()
        written, _ = vm.inside("write", LINES, LOG, rate, seconds, timeout=seconds + 60)
        vm.wait(lambda counted=counted, written=written: _records(vm) - counted >= written, 60,  # type: ignore[misc]
                f"the guard to have counted {written} records")
        took = time.monotonic() - begun
        if _records(vm) - counted != written:
            raise NotDone(f"the guard counted {_records(vm) - counted} records of {written}")
        points.append((written / took, (vm.cpu(GUARD) - before) / took * 1000))
    vm.run("truncate", "--size=0", LOG)
    vm.start(UNIT)
    vm.settled()
    vm.configure("")
    return Curve("log-rate", "CPU of the guard against lines a second in waagent.log", "lines/s", "ms a second", {OURS: points},
                 linear=True, proof="the guard's counters of records grew by just as many as were written")


def _quiet(vm: VM) -> bool:
    """Nothing new in the log for two looks."""
    before = _records(vm)
    time.sleep(2.5)
    return _records(vm) == before


def _records(vm: VM) -> int:
    return int(sum(vm.guard.snapshot()["counters"]["log_records"].get("waagent", {}).values()))


def extensions(vm: VM, counts: Sequence[int], rounds: int) -> Curve:
    """CPU of a visit of the doctor with so many handlers in the library directory."""
    points = []
    for count in counts:
        points.append((float(count), _visit(vm, count, 3, rounds)))
    return Curve("extensions", "CPU of a visit against extensions", "extensions", "ms", {OURS: points}, linear=True,
                 proof="the visit's report counts the extensions")


def history(vm: VM, counts: Sequence[int], rounds: int) -> Curve:
    """CPU of a visit with one handler that was never tidied up."""
    points = [(float(count), _visit(vm, 1, count // 2, rounds)) for count in counts]
    return Curve("history", "CPU of a visit against files of settings and status", "files", "ms", {OURS: points}, linear=True,
                 proof="half of them settings, half status, in one extension")


def _visit(vm: VM, handlers: int, files: int, rounds: int) -> float:
    vm.run("rm", "-rf", TREE)
    vm.inside("tree", TREE, handlers, files)
    vm.configure(f"agent: {{lib_dir: {TREE}}}\nrestart: {{enabled: false}}\ndoctor: {{enabled: false}}\n")
    (told,) = vm.spawn(rounds, [{"argv": ["waguardctl", "doctor", "--local"], "rc": [0, 2]}])
    vm.run("rm", "-rf", TREE)
    if not re.search(rf"Extensions +(?:all {handlers}|Extension000 is) ready", told["text"]):
        raise NotDone(f"the visit does not speak of {handlers} extensions: {told['text'][-500:]}")
    return float(sorted(told["cpu"])[len(told["cpu"]) // 2]) * 1000


def conf_size(vm: VM, sizes: Sequence[int], rounds: int) -> Curve:
    """CPU of `waguardctl lint` of a waagent.conf of so many bytes."""
    text = vm.machine.read("/etc/waagent.conf")
    points = []
    for size in sizes:
        vm.machine.write(CONF, (text + f"# {'x' * 70}\n" * (size // 73))[:max(size, len(text))] + "\n")
        (told,) = vm.spawn(rounds, [{"argv": ["waguardctl", "lint", CONF], "rc": [0, 2]}])
        points.append((float(max(size, len(text))), float(sorted(told["cpu"])[len(told["cpu"]) // 2]) * 1000))
    vm.run("rm", "-f", CONF)
    return Curve("conf-size", "CPU of a lint against bytes of waagent.conf", "bytes", "ms", {OURS: points}, linear=True,
                 proof="by `waguardctl lint`")


def measure(vm: VM, quick: bool) -> Iterator[Curve]:
    """All curves, one after the other."""
    yield processes(vm, (10, 2000) if quick else (10, 1000, 5000, 20000), 4 if quick else 5)
    yield log_rate(vm, (1, 1000, 10000) if quick else (1, 100, 1000, 10000, 100000), 2 if quick else 5)
    if not quick:
        yield extensions(vm, (1, 10, 25, 50), 3)
        yield history(vm, (60, 1000, 4000, 10000), 3)
        yield conf_size(vm, (2000, 20000, 100000, 500000), 3)


