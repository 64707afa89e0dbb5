"""From the start of the process until it is of use."""

from __future__ import annotations

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal
from bench.beside.vm import EXPORTER, GUARD, METRICS, VM

_NODE = "node_exporter, first scrape"
_EXPORTER = "waguard-exporter, first scrape"


def measure(vm: VM, rounds: int) -> Comparison:
    ready, first, node = [], [], []
    for _ in range(rounds):
        vm.run("systemctl", "restart", GUARD)
        times = vm.machine.show(GUARD, "ActiveEnterTimestampMonotonic", "ExecMainStartTimestampMonotonic")
        ready.append((int(times["ActiveEnterTimestampMonotonic"]) - int(times["ExecMainStartTimestampMonotonic"])) / 1e6)
        vm.guard.wait_ready()
        first.append(vm.inside("first", EXPORTER, METRICS))
        peers.node_exporter(vm)
        vm.wait(lambda: peers.check(vm, "node_exporter"), 30, "node_exporter to answer")
        node.append(vm.inside("first", f"{peers.NODE}.service", peers.URLS["node_exporter"]))
        vm.stop(peers.NODE)
    return Comparison("startup", "start → READY=1 (guard)", "s", (
        Figure(OURS, tuple(ready)), Figure(_EXPORTER, tuple(first)), Figure(_NODE, tuple(node))),
        (Goal("", 1.0, budget=0.5, gates=False),),
        "the guard's is systemd's own (Type=notify); the exporters are restarted and asked until they answer, from the moment "
        "systemd started them")
