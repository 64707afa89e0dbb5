"""Orders and the guard's own keeper: restart, reload, systemd's watchdog, the shipped units."""

from __future__ import annotations

import json

from .agent import UNIT, Agent
from .guard import SETTINGS, Guard
from .machine import Machine


def test_restart_waits_for_the_proof_and_is_rationed(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install("restart:\n  live_per_hour: 1\n  backoff_first: 0s\n")
    before = agent.daemon_pid()
    done = json.loads(machine.run(["waguardctl", "restart", "--json"], timeout=150).out)["result"]
    assert done["proved"] is True
    assert agent.daemon_pid() not in (0, before)
    refused = guard.ctl("restart", check=False)
    assert refused.rc == 1 and "ration" in refused.err and "--force" in refused.err
    second = agent.daemon_pid()
    machine.run(["waguardctl", "restart", "--force"], timeout=150)
    assert agent.daemon_pid() not in (0, second)
    assert guard.snapshot()["counters"]["restarts"]["waguard"] == 2
    assert guard.snapshot()["counters"]["agent_exits"] == 0


def test_reload_takes_good_settings_and_refuses_bad_ones(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install("restart:\n  live_per_hour: 5\n")
    assert guard.snapshot()["policy"]["budget"]["per_hour"] == 5
    guard.settings("restart:\n  live_per_hour: 7\n")
    machine.wait_until(lambda: guard.snapshot()["policy"]["budget"]["per_hour"] == 7, 20, "the new settings")
    guard.settings("restart:\n  live_per_hour: 9\n  backof_cap: 1m\n")
    event = guard.wait_for("settings-refused")
    assert f"{SETTINGS}:3" in event["message"] and "did you mean 'backoff_cap'" in event["message"]
    found = guard.snapshot()
    assert found["policy"]["budget"]["per_hour"] == 7
    assert found["guard"]["settings_valid"] is False
    assert guard.ctl("config", "check", check=False).rc == 1


def test_systemd_revives_a_guard_that_stands_still(machine: Machine) -> None:
    guard = Guard(machine)
    machine.write("/etc/systemd/system/waguard.service.d/lab.conf", "[Service]\nWatchdogSec=6\n")
    guard.install()
    own = guard.pid()
    machine.run("sleep 15")  # fed in time while it works
    assert guard.pid() == own
    machine.run(["kill", "-STOP", str(own)])
    machine.wait_until(lambda: guard.pid() not in (0, own), 60, "the watchdog to act")
    guard.wait_ready()
    assert machine.show("waguard.service", "NRestarts")["NRestarts"] == "1"


def test_the_shipped_units_are_sound(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    ran = machine.run("systemd-analyze verify --man=no waguard.service waguard-exporter.service waguard-exporter.socket", check=False)
    complaints = [line for line in (ran.out + ran.err).splitlines() if "waguard" in line]
    assert not complaints, complaints
    for unit, threshold in (("waguard.service", 18), ("waguard-exporter.service", 12)):
        machine.run(["systemd-analyze", "security", f"--threshold={threshold}", "--no-pager", unit])
    status = machine.read(f"/proc/{guard.pid()}/status")
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert f"{kind}:\t0000000000000000" in status, f"the guard has a capability: {kind}"
    machine.reboot()
    guard.wait_ready()
    assert "ordering cycle" not in machine.journal()
    assert machine.show(UNIT, "ActiveState")["ActiveState"] == "active"
