"""The verbose lease: exactly one value, exactly as long, exactly back."""

from __future__ import annotations

import time

from .agent import CONF, LOG, UNIT, Agent
from .guard import Guard
from .machine import Machine

ROOMY = "restart:\n  live_per_hour: 20\n  live_per_day: 100\n"


def verbose_lines(machine: Machine) -> int:
    return int(machine.run(f"grep -c ' VERBOSE ' {LOG}", check=False).out)


def started(machine: Machine) -> str:
    return machine.show(UNIT, "InvocationID")["InvocationID"]


def test_10_verbose_for_a_minute(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(ROOMY)
    before, stat, run = machine.read(CONF), machine.run(["stat", "-c", "%a %u %g", CONF]).out, started(machine)
    assert "\nLogs.Verbose=n\n" in before
    ran = guard.ctl("verbose", "on", "--for", "1m")
    assert "SAS tokens" in ran.err, "agents before 2.14 log SAS tokens when verbose, and nobody was told"
    assert machine.read(CONF) == before.replace("Logs.Verbose=n", "Logs.Verbose=y")
    assert machine.run(["stat", "-c", "%a %u %g", CONF]).out == stat
    machine.wait_until(lambda: started(machine) != run, 30, "the agent to be restarted")
    during = started(machine)
    machine.wait_until(lambda: verbose_lines(machine) > 0, 30, "VERBOSE lines")
    assert guard.metrics()["waguard_verbose_logging"] == 1
    assert guard.metrics()["waguard_verbose_lease_expiry_timestamp_seconds"] > time.time()
    assert "for another" in guard.ctl("verbose", "status").out
    time.sleep(20)
    assert started(machine) == during, "one restart, not two"
    machine.wait_until(lambda: machine.read(CONF) == before, 60, "the minute to be over")
    assert machine.run(["stat", "-c", "%a %u %g", CONF]).out == stat
    machine.wait_until(lambda: started(machine) != during, 30, "the agent to be restarted again")
    agent.wait_for_turn()
    lines = verbose_lines(machine)
    agent.wait_for_turn()
    time.sleep(7)
    assert verbose_lines(machine) == lines, "VERBOSE lines go on after the lease"
    assert [event["fields"]["action"] for event in guard.events("agent-action")] == ["restart", "restart"]
    assert guard.snapshot()["counters"]["conf_changes"] == 0, "our own edits were taken for an administrator's"
    assert guard.ctl("verbose", "off", check=False).rc == 1


def test_11_the_guard_killed_within_the_lease(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install(ROOMY)
    before = machine.read(CONF)
    guard.ctl("verbose", "on", "--for", "25s")
    old = guard.pid()
    machine.run(["kill", "-9", str(old)])
    machine.wait_until(lambda: guard.pid() not in (0, old), 20, "the guard to be back")
    guard.wait_ready()
    assert machine.read(CONF) == before.replace("Logs.Verbose=n", "Logs.Verbose=y")
    machine.wait_until(lambda: machine.read(CONF) == before, 60, "the lease to end")


def test_11_the_machine_rebooted_within_the_lease(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install(ROOMY)
    before = machine.read(CONF)
    guard.ctl("verbose", "on", "--for", "30s")
    guard.wait_for("agent-started")
    machine.reboot()
    guard.wait_ready()
    assert machine.read(CONF) == before.replace("Logs.Verbose=n", "Logs.Verbose=y")
    machine.wait_until(lambda: machine.read(CONF) == before, 90, "the lease to end after the reboot")
    guard.wait_for("verbose-off")


def test_11_an_admins_edit_within_the_lease_is_left_alone(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install(ROOMY)
    guard.ctl("verbose", "on", "--for", "15s", "--no-restart")
    edited = machine.read(CONF).replace("Logs.Verbose=y", "Logs.Verbose = y # the vendor wants it")
    machine.write(CONF, edited)
    guard.wait_for("verbose-superseded", timeout=60)
    assert machine.read(CONF) == edited
    assert guard.snapshot()["verbose"]["lease"] is None
    assert "verbose-left-on" in [finding["id"] for finding in guard.snapshot()["findings"]]


def test_11_other_edits_within_the_lease_are_kept(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install(ROOMY)
    before = machine.read(CONF)
    guard.ctl("verbose", "on", "--for", "15s", "--no-restart")
    machine.write(CONF, machine.read(CONF).replace("Logs.Collect=y", "Logs.Collect=n"))
    guard.wait_for("verbose-off", timeout=60)
    assert machine.read(CONF) == before.replace("Logs.Collect=y", "Logs.Collect=n")
    assert guard.snapshot()["counters"]["conf_changes"] == 1


def test_12_the_guard_killed_at_a_hundred_moments(machine: Machine) -> None:
    """Leases are toggled without pause while the guard is killed again and again; the conf is read all the time."""
    guard = Guard(machine)
    guard.install("restart:\n  live_per_hour: 2\n  live_per_day: 2\n")
    before = machine.read(CONF)
    allowed = {before, before.replace("Logs.Verbose=n", "Logs.Verbose=y")}
    # In the machine, so that the kills are close together and fall anywhere.
    script = """
import os, random, socket, subprocess, sys, time
random.seed(20161018)
conf, seen, kills = sys.argv[1], set(), 0
toggle = subprocess.Popen(['sh', '-c', 'while :; do waguardctl verbose on --for 1h; waguardctl verbose off; done'],
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
def answers():
    try:
        with socket.socket(socket.AF_UNIX) as client: client.connect('/run/waguard/status')
        return True
    except OSError:
        return False
def pid():
    argv = ['systemctl', 'show', '-p', 'MainPID', '--value', 'waguard']
    return int(subprocess.run(argv, capture_output=True, text=True).stdout)
try:
    last = 0
    while kills < 100:
        # Most kills are to fall into its work, the first ones into its start.
        while kills > 10 and not answers(): time.sleep(0.01)
        until = time.monotonic() + random.uniform(0.0, 1.2)
        while time.monotonic() < until:
            seen.add(open(conf).read()); time.sleep(0.001)
        now = pid()
        if now and now != last:
            try: os.kill(now, 9)
            except ProcessLookupError: continue
            kills += 1; last = now
finally:
    os.killpg(toggle.pid, 9)
sys.stdout.write(repr(sorted(seen)))
"""
    ran = machine.run(["python3", "-c", script, CONF], timeout=400)
    seen = set(eval(ran.out))
    assert seen <= allowed, "the conf was seen neither old nor new"
    assert seen == allowed, "no lease ever took effect: the test tested nothing"
    guard.wait_ready()
    if guard.snapshot()["verbose"]["lease"] is not None:
        guard.ctl("verbose", "off")
    machine.wait_until(lambda: machine.read(CONF) == before, 150, "the conf to be as it was")
    found = guard.snapshot()
    assert found["policy"]["budget"]["left"] >= 0
    restarts = [event for event in guard.events("agent-action") if event["fields"]["action"] == "restart"]
    assert len(restarts) <= 2 + 2, "an intent may be told twice after a kill, never charged twice"
    numbers = [event["seq"] for event in guard.events()]
    assert numbers == sorted(set(numbers)), "event numbers are not unique and growing"
    assert len(guard.events("guard-started")) >= 50, "most kills hit no working guard"
    assert machine.run("ls -A /etc | grep -c waguard-", check=False).out.strip() == "0", "temporary files left in /etc"
