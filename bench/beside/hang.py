"""The agent's handler is stopped (SIGSTOP): how long until that is told? Nobody else tells at all, which is tried as well."""

from __future__ import annotations

import time

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import GUARD, UNIT, VM

STALE, EVERY, LOOKS = 10.0, 1.0, 3
SETTINGS = f"""\
liveness: {{check_interval: {EVERY:g}s, status_stale: {STALE:g}s, status_stale_periods: 1, hung_checks: {LOOKS}}}
restart: {{enabled: false}}
doctor: {{enabled: false}}
"""
"""The threshold of fifteen minutes is made short: measured is how soon after it the hang is told. Nothing is restarted, and no
visit of the doctor asks the wire server just before."""
_ASKED = 61.0
"""The wire server is asked once a minute at most, and a hang is told only when it answers: the last question has to be older, as
it is after fifteen minutes of silence."""


def measure(vm: VM, count: int) -> Comparison:
    """The time beyond the last sign of life plus ``status_stale``: at most the looks that have to agree, and one more.

    The agent's loop has to turn every second (vm.booted, hurry)."""
    vm.machine.write("/etc/waguard/conf.d/bench.yaml", SETTINGS)
    vm.run("systemctl", "reload", GUARD)
    with peers.monit(vm, 1):
        values = [_once(vm) for _ in range(count)]
    vm.configure("")
    return Comparison(
        "hang", "agent hung → told, beyond the threshold", "s", (Figure(OURS, tuple(values)),),
        (Goal("", 1.0, budget=(LOOKS + 1) * EVERY),),
        f"with status_stale {STALE:g} s and a look every {EVERY:g} s, {LOOKS} of which have to agree; while it hung systemd "
        "called the unit active and monit called it OK: nobody to compare with")


def _once(vm: VM) -> float:
    vm.settled()
    vm.wait(lambda: vm.guard.state() == "running", 30, "the guard to see the agent at work")
    vm.wait(lambda: _probed(vm) < time.time() - _ASKED, 90, "the last question to the wire server to be a minute old", every=0.5)
    vm.wait(lambda: len(vm.agent.handler_pids()) == 1, 30, "one handler")
    (pid,) = vm.agent.handler_pids()
    vm.run("kill", "-STOP", str(pid))
    try:
        alive = vm.agent.status_mtime()
        vm.wait(lambda: vm.guard.state() == "hung", 120, "the hang to be told", every=0.05)
        told = time.time()
        active = vm.machine.show(UNIT, "ActiveState")["ActiveState"]
        summary = vm.run("monit", "-c", peers.MONITRC, "summary").out
        if active != "active" or "OK" not in summary:
            raise NotDone(f"somebody else noticed the hang: systemd says {active}, monit {summary!r}")
    finally:
        vm.run("kill", "-CONT", str(pid))
    return told - alive - STALE


def _probed(vm: VM) -> float:
    at = vm.guard.snapshot()["probes"]["wireserver"]["at"]
    return time.time() if at is None else float(at)
