"""/metrics: how long a scrape takes, alone and among ten, and what a thousand cost."""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal
from bench.beside.vm import VM

PROCESSES = 200
_PEERS = tuple(who for who in peers.URLS if who != OURS)
# With so few processes a scrape of process-exporter is hardly more than its way there and back: the clock is no gate, CPU is.
TENTH = tuple(Goal(who, 0.1) for who in _PEERS)
PROOF = (f"with {PROCESSES} processes more on the machine, as a VM has them; each answer is 200 and its last one holds "
         + "; ".join(f"`{said}`" for said in peers.SAYS.values()))


def measure(vm: VM, rounds: int, alone: int, among: int) -> list[Comparison]:
    """In ``rounds`` rounds, for each: ``alone`` scrapes over one connection, then ``among`` on each of ten at once."""
    with vm.sleepers(PROCESSES):
        return _measure(vm, rounds, alone, among)


def _measure(vm: VM, rounds: int, alone: int, among: int) -> list[Comparison]:
    one: dict[str, list[float]] = {who: [] for who in peers.URLS}
    ten: dict[str, list[float]] = {who: [] for who in peers.URLS}
    cost: dict[str, list[float]] = {who: [] for who in peers.URLS}
    notes: dict[str, str] = {}
    for _ in range(rounds):
        for who, url in peers.URLS.items():
            before = _cpu(vm, who)
            told = vm.inside("scrape", url, 1, alone)
            cost[who].append((_cpu(vm, who) - before) / alone * 1000)
            peers.demand(who, told["text"])
            one[who] += told["seconds"]
            series = sum(1 for line in told["text"].splitlines() if line[:1] not in ("#", ""))
            notes[who] = f"{series} series, {told['bytes']} B in gzip"
            told = vm.inside("scrape", url, 10, among)
            peers.demand(who, told["text"])
            ten[who] += told["seconds"]
    return [
        Comparison("scrape", "/metrics, one connection", "s", _figures(one, notes),
                   (*TENTH[:-1], replace(TENTH[-1], gates=False),
                    Goal("", 1.0, budget=0.005, gates=False), Goal("", 1.0, "p99", 0.015, gates=False)), PROOF),
        Comparison("scrape-10", "/metrics, ten connections", "s", _figures(ten), TENTH, PROOF),
        Comparison("scrape-cpu", "CPU time of 1,000 scrapes", "s", _figures(cost), TENTH,
                   "of all processes that take part: for waguard exporter and guard (cgroup v2, cpu.stat)"),
    ]


def _cpu(vm: VM, who: str) -> float:
    return sum(vm.cpu(unit) for unit in peers.UNITS[who])


def _figures(found: dict[str, list[float]], notes: Optional[dict[str, str]] = None) -> tuple[Figure, ...]:
    return tuple(Figure(who, tuple(values), (notes or {}).get(who, "")) for who, values in found.items())
