"""Pauses, permissions, a frozen disk, and a system that loses parts of itself."""

from __future__ import annotations

import time

from .agent import UNIT, Agent
from .disk import Disk
from .guard import Guard
from .machine import Machine

QUICK = "restart:\n  reset_after: 3s\n  backoff_first: 1s\nliveness:\n  check_interval: 2s\n"


def test_13_a_pause_is_a_pause(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    guard.ctl("pause", "--for", "15s")
    machine.run(["kill", "-9", str(agent.daemon_pid())])
    guard.wait_state("down")
    time.sleep(8)
    assert agent.daemon_pid() == 0
    assert guard.events("agent-action") == []
    assert "paused" in guard.ctl("status").out
    machine.wait_until(lambda: agent.daemon_pid() != 0, 30, "the agent to be started after the pause")
    assert guard.events("resumed") and guard.wait_for("agent-started")["fields"]["actor"] == "waguard"
    guard.ctl("pause")
    guard.ctl("resume")
    assert guard.ctl("resume", check=False).rc == 1


def test_14_anybody_may_look_but_not_touch(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    daemon = agent.daemon_pid()

    def as_nobody(*words: str) -> tuple[int, str]:
        ran = machine.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "waguardctl", *words], check=False)
        return ran.rc, ran.out + ran.err

    assert as_nobody("status")[0] == 0
    assert as_nobody("events")[0] == 0
    for words in (["restart"], ["verbose", "on"], ["pause"], ["resume"]):
        code, said = as_nobody(*words)
        assert code == 1 and "permission denied" in said and "waguard" in said, (words, said)
    assert agent.daemon_pid() == daemon
    machine.run(["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=waguard", "waguardctl", "pause", "--for", "5s"])
    event = guard.wait_for("paused")
    assert "nobody" in event["message"], "the event does not say who"


def test_15_var_frozen_for_a_minute(machine: Machine, agent: Agent) -> None:
    """All of /var on its own ext4, with the agent's log and the guard's state on it."""
    machine.run(["systemctl", "stop", UNIT], timeout=60)
    with Disk(machine, "/mnt/var", megabytes=400) as disk:
        machine.run("cp -a /var/. /mnt/var/", timeout=60)
        machine.run("mount --bind /mnt/var /var")
        machine.run(["systemctl", "start", UNIT])
        agent.wait_for_turn()
        guard = Guard(machine)
        # With visits of the doctor: systemd has to be able to start its processes as if nothing were.
        guard.install(QUICK + "  status_stale: 15s\n  status_stale_periods: 1\ndoctor:\n  interval: 2s\n")
        daemon, own = agent.daemon_pid(), guard.pid()
        events = len(guard.events())
        disk.freeze()
        machine.run(["systemctl", "kill", "--signal=KILL", "waguard-exporter.service"])
        try:
            begin = time.monotonic()
            slowest = 0.0
            while time.monotonic() - begin < 60:
                at = time.monotonic()
                assert guard.metrics()["waguard_guard_up"] == 1
                assert guard.ctl("status").rc == 0
                assert agent.daemon_pid() == daemon
                slowest = max(slowest, time.monotonic() - at)
                # Something to write about, so that the guard meets the frozen disk.
                guard.ctl("pause", "--for", "1s")
                time.sleep(1)
            assert slowest < 10, "status and scrape have to answer all the time"
            assert agent.daemon_pid() == daemon and guard.pid() == own
            assert guard.events("agent-action") == []
        finally:
            disk.thaw()
        agent.wait_for_turn(timeout=60)
        assert agent.daemon_pid() == daemon, "the agent was restarted for a freeze"
        assert guard.pid() == own, "the guard did not live through the freeze"
        assert len(guard.events()) > events + 10
        machine.wait_until(lambda: _numbers(machine, "/run/waguard") == _numbers(machine, "/var/lib/waguard"), 30,
                           "the disk to have caught up")
        machine.run(["systemctl", "stop", "waguard", "waguard-exporter", UNIT], timeout=60)
        machine.run("umount -l /var")


def _numbers(machine: Machine, directory: str) -> list[str]:
    """The sequence numbers of the events in a tier."""
    return machine.run(f"grep -o '\"seq\":[0-9]*' {directory}/events.jsonl").out.split()


def test_16_the_system_loses_parts_of_itself(machine: Machine, agent: Agent) -> None:
    guard = Guard(machine)
    guard.install(QUICK)
    own = guard.pid()
    for number, trouble in enumerate(("systemctl kill -s KILL dbus.service; systemctl stop dbus.socket dbus.service",
                                      "systemctl daemon-reexec", "systemctl stop systemd-journald.socket "
                                      "systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald"), 1):
        machine.run(trouble, check=False, timeout=60)
        time.sleep(3)
        assert guard.ctl("status").rc == 0, trouble
        machine.run(["kill", "-9", str(agent.daemon_pid())])
        guard.wait_for("agent-started", number)
        machine.wait_until(lambda: guard.snapshot()["policy"]["attempts"] == 0, 40, "the back-off to reset")
        assert guard.pid() == own, trouble
    machine.run("systemctl start systemd-journald dbus.socket dbus", check=False)
    assert guard.metrics()["waguard_agent_up"] == 1


def test_17_a_second_guard_refuses(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    ran = machine.run(["waguardd"], check=False)
    assert ran.rc == 1
    assert f"pid {guard.pid()}" in ran.err and "/run/waguard/lock" in ran.err
    assert guard.ctl("status").rc == 0


def test_18_removed_and_purged_without_residue(machine: Machine, agent: Agent) -> None:
    listing = "find / -xdev \\( -path /proc -o -path /sys -o -path /srv \\) -prune -o -name '*waguard*' -print"
    clean = machine.run(listing).out
    guard = Guard(machine)
    guard.install(QUICK)
    daemon = agent.daemon_pid()
    machine.run("apt-get remove --yes waguard", timeout=120)
    assert not machine.exists("/run/waguard/status")
    assert machine.exists("/etc/waguard/waguard.yaml"), "remove keeps the configuration"
    machine.run("apt-get purge --yes waguard", timeout=120)
    left = set(machine.run(listing).out.split()) - set(clean.split())
    left = {path for path in left if not path.startswith(("/var/tmp/waguard_", "/var/lib/dpkg", "/var/lib/systemd/deb-systemd"))}
    assert not left, left
    assert agent.daemon_pid() == daemon
