"""Proves the lab itself. If one of these fails, what the other files say about waguard means nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .agent import UNIT, Agent
from .copies import cgroup_of, loop_devices, sweep
from .disk import Disk
from .fabric import CHASSIS_TAG, Fabric
from .goalstate import GoalState
from .lab import Lab
from .machine import CommandError, Machine, Ran
from .waiting import InVainError, wait_until

VERSIONS = "http://168.63.129.16/?comp=versions"
HOSTPLUGIN = "http://168.63.129.16:32526/versions"
METADATA = "http://169.254.169.254/metadata/instance?api-version=2018-02-01"
TIMED_OUT = 28  # curl's exit status


def get(machine: Machine, url: str, max_time: float = 5) -> Ran:
    """A GET as waguard would do one. stderr ends in "STATUS SECONDS-TO-CONNECT"."""
    return machine.run(["curl", "--silent", "--max-time", f"{max_time:g}", "--header", "Metadata: true",
                        "--write-out", "%{stderr}%{http_code} %{time_connect}", url], check=False)


def status(ran: Ran) -> int:
    return int(ran.err.split()[0])


def connected(ran: Ran) -> bool:
    return float(ran.err.split()[1]) > 0


# -- the agent


def test_the_agent_turns_its_loop(machine: Machine, fabric: Fabric, agent: Agent) -> None:
    unit = machine.show(UNIT)
    assert (unit["ActiveState"], unit["SubState"], unit["Restart"]) == ("active", "running", "no")
    assert len(agent.heartbeats()) == 1
    assert agent.daemon_pid() not in agent.handler_pids()
    assert len(agent.handler_pids()) == 1

    since = time.time()
    agent.wait_for_turn()

    assert agent.status_mtime() > since
    assert fabric.goal_states_asked(since) >= 1
    assert {(put.method, put.status) for put in fabric.requests("hostplugin", "/status", since)} == {("PUT", 201)}
    assert " ERROR " not in agent.log()
    assert machine.run("systemctl --failed --no-legend").out == ""


def test_the_agent_takes_up_a_new_goal_state(fabric: Fabric, agent: Agent) -> None:
    fabric.publish(GoalState(incarnation=2))

    agent.machine.wait_until(lambda: "Fetching goal state [incarnation 2]" in agent.log(), 30, "incarnation 2")
    assert fabric.requests("wireserver", "type=extensionsConfig&incarnation=2")


def test_the_agent_can_be_put_in_again_without_a_network(machine: Machine, agent: Agent, lab_root: Path) -> None:
    before, since = agent.daemon_pid(), time.time()
    (deb,) = (lab_root / "srv/debs").glob("waagent_*.deb")

    machine.install_deb(deb)  # the maintainer scripts restart the service, for which they need a real systemd

    assert agent.daemon_pid() not in (0, before)
    machine.run("apt-get install --yes --reinstall /srv/debs/waagent_*.deb", timeout=120)  # as a scenario would
    agent.wait_for_turn(since)


# -- the fabric


@pytest.fixture(scope="module")
def quiet(lab: Lab) -> Iterator[Machine]:
    """A machine with a fabric and nobody who talks to it but the test."""
    with lab.machine(agent=False) as machine:
        yield machine


@pytest.mark.parametrize("url", [VERSIONS, HOSTPLUGIN, METADATA])
def test_well(quiet: Machine, url: str) -> None:
    Fabric(quiet).behave("well")

    assert status(get(quiet, url)) == 200


def test_slow(quiet: Machine) -> None:
    fabric = Fabric(quiet)
    fabric.behave("slow", delay=1.5)

    assert get(quiet, VERSIONS, max_time=1).rc == TIMED_OUT
    answered = get(quiet, VERSIONS, max_time=20)

    assert (status(answered), answered.out[:5]) == (200, "<?xml")


def test_error500(quiet: Machine) -> None:
    Fabric(quiet).behave("error500")

    assert [status(get(quiet, url)) for url in (VERSIONS, HOSTPLUGIN, METADATA)] == [500, 500, 500]


def test_garbage(quiet: Machine) -> None:
    Fabric(quiet).behave("garbage")

    answered = get(quiet, VERSIONS)

    assert status(answered) == 200
    assert "neither XML nor JSON" in answered.out


def test_silent(quiet: Machine) -> None:
    fabric = Fabric(quiet)
    fabric.behave("silent")
    since = time.time()

    answered = get(quiet, VERSIONS, max_time=1)

    assert (answered.rc, connected(answered)) == (TIMED_OUT, True)
    (request,) = fabric.requests(since=since)
    assert (request.path, request.mode, request.status) == ("/?comp=versions", "silent", None)


def test_blackhole(quiet: Machine) -> None:
    fabric = Fabric(quiet)
    fabric.behave("blackhole")
    since = time.time()

    answered = get(quiet, VERSIONS, max_time=1)

    assert (answered.rc, connected(answered)) == (TIMED_OUT, False)
    assert fabric.requests(since=since) == []
    fabric.behave("well")
    assert status(get(quiet, VERSIONS)) == 200


def test_a_mood_is_of_one_service_and_outlives_a_reboot(quiet: Machine) -> None:
    fabric = Fabric(quiet)
    fabric.behave("well")
    fabric.behave("error500", "hostplugin")
    fabric.behave("blackhole", "imds")

    quiet.reboot()

    assert status(get(quiet, VERSIONS)) == 200
    assert status(get(quiet, HOSTPLUGIN)) == 500
    assert get(quiet, METADATA, max_time=1).rc == TIMED_OUT


def test_there_is_no_way_out(quiet: Machine) -> None:
    """192.0.2.1 is nobody's (RFC 5737); what matters is that no route leads to the host, let alone further."""
    assert not connected(get(quiet, "http://192.0.2.1/", max_time=1))
    assert quiet.run("ip -json link").out.count('"ifname"') == 2  # lo and eth0, whose other end is the fabric


def test_it_looks_like_azure(quiet: Machine) -> None:
    assert quiet.read("/sys/class/dmi/id/chassis_asset_tag").strip() == CHASSIS_TAG
    assert quiet.exists("/sys/class/net/eth0/address")


# -- the machine


def test_reboot_and_poweroff(machine: Machine, agent: Agent) -> None:
    first = machine.read("/proc/sys/kernel/random/boot_id")
    machine.write("/run/of-this-boot", "")
    machine.write("/var/lib/of-all-boots", "")
    since = time.time()

    machine.reboot()

    assert machine.read("/proc/sys/kernel/random/boot_id") != first
    assert not machine.exists("/run/of-this-boot")
    assert machine.exists("/var/lib/of-all-boots")
    agent.wait_for_turn(since)  # it comes back by itself

    machine.poweroff()

    assert not machine.running
    assert not cgroup_of(machine.home).paths[0].exists()
    assert "Started walinuxagent.service" in machine.journal("--unit", UNIT)
    assert agent.heartbeats()  # files can be read of a machine that is off

    since = time.time()
    machine.boot()
    agent.wait_for_turn(since)


def test_commands_in_a_machine_that_is_off_do_not_meet_the_host(lab: Lab) -> None:
    with lab.machine(boot=False) as machine:
        assert "waagent" in machine.read("/lib/systemd/system/walinuxagent.service")
        assert machine.run("ip -oneline link").out.count("\n") == 1  # lo
        assert machine.run(f"kill -0 {os.getpid()}", check=False).rc != 0


def test_a_command_that_takes_too_long_is_ended(quiet: Machine) -> None:
    with pytest.raises(CommandError, match="took more than 0.2 s"):
        quiet.run("sleep 4711; true", timeout=0.2)

    wait_until(lambda: not quiet.run(["pgrep", "-f", "sleep 4711"], check=False).out, 5, "the sleep to be gone")


def test_a_wait_in_vain_says_what_for(quiet: Machine) -> None:
    message = r"in vain for a miracle; last seen: \[\]\n--- console\n(.|\n)*--- journal\n(.|\n)*systemd"
    with pytest.raises(InVainError, match=message):
        quiet.wait_until(list, 0.2, "a miracle")


# -- frozen file systems

STUCK = "ps -C dd -o stat="


def write_in_the_background(machine: Machine, path: str) -> None:
    machine.run(f"dd if=/dev/zero of={path} bs=4096 count=1 >/dev/null 2>&1 &")
    machine.wait_until(lambda: "D" in machine.run(STUCK, check=False).out, 10, "the writer to hang")


def test_freeze_and_thaw(quiet: Machine) -> None:
    with Disk(quiet, "/mnt/data") as disk:
        disk.freeze()
        write_in_the_background(quiet, "/mnt/data/file")
        quiet.run("pkill -KILL -x dd")
        time.sleep(0.5)
        assert "D" in quiet.run(STUCK).out  # not even by SIGKILL

        disk.thaw()

        quiet.wait_until(lambda: not quiet.run(STUCK, check=False).out, 10, "the writer to end")
        quiet.run("touch /mnt/data/another")
    assert "/mnt/data" not in quiet.read("/proc/mounts")
    assert not loop_devices(quiet.home)


def assert_nothing_is_left(home: Path) -> None:
    assert not home.exists()
    assert home.name not in Path("/proc/self/mountinfo").read_text()
    assert not loop_devices(home)
    assert not any(path.exists() for path in cgroup_of(home).paths)
    assert not list(Path("/run/systemd/nspawn").glob(f"*/*{home.name}*"))


def test_close_leaves_nothing_behind_even_with_a_writer_stuck(lab: Lab) -> None:
    with lab.machine(agent=False) as machine:
        Disk(machine, "/mnt/data").freeze()
        write_in_the_background(machine, "/mnt/data/file")
    assert_nothing_is_left(machine.home)


def test_what_a_killed_run_leaves_is_found_and_cleaned_up(lab: Lab, tmp_path: Path) -> None:
    """The worst case: the run dies by SIGKILL with a machine up, and a writer stuck on a file system that the machine
    has already unmounted lazily."""
    script = f"""
import sys, time
from pathlib import Path
from {__package__}.disk import Disk
from {__package__}.machine import Machine
from {__package__}.test_00_lab import write_in_the_background
machine = Machine(Path({str(lab.root)!r}), Path({str(tmp_path)!r}))
machine.boot()
Disk(machine, "/mnt/data").freeze()
write_in_the_background(machine, "/mnt/data/file")
machine.run("umount --lazy /mnt/data")
print("up", flush=True)
time.sleep(600)
"""
    path = str(Path(__file__).parents[len(__package__.split("."))])
    run = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": path,
                           "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    assert run.stdout is not None
    assert run.stdout.readline() == "up\n"
    (home,) = tmp_path.glob("lab-*")

    assert sweep(tmp_path) == []  # its run lives: hands off
    assert cgroup_of(home).pids()

    run.send_signal(signal.SIGKILL)
    run.wait()

    assert sweep(tmp_path) == [home.name]
    assert_nothing_is_left(home)
