"""What is wrong with the agent itself, and how doctor and status tell it: each fault is there for real, and gone after its repair.

That the guard repairs most of this at once is shown elsewhere (test_10); here it may not, so that there is something to find.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .agent import CONF, LIB, UNIT, Agent
from .disk import Disk
from .doctor import QUICK, Doctor, doctored
from .guard import Guard
from .lab import Lab
from .machine import Machine

NO_RESTARTS = """\
restart:
  {}
  backoff_first: 0s
  backoff_cap: 10s
  reset_after: 10s
liveness:
  check_interval: 1s
  status_stale: 10s
  status_stale_periods: 1
  handler_missing: 5s
  provisioning_limit: 10s
network:
  probe_timeout: 2s
"""
LIBRARY = "/usr/lib/python3/dist-packages/azurelinuxagent"


@pytest.fixture(scope="module")
def vm(lab: Lab) -> Iterator[Machine]:
    with doctored(lab) as machine:
        yield machine


@pytest.fixture
def agent(vm: Machine) -> Agent:
    return Agent(vm)


@pytest.fixture
def doctor(vm: Machine) -> Iterator[Doctor]:
    """One that only reports, unless a test says otherwise. After the test everything is well."""
    with policy(vm, "enabled: false"):
        yield Doctor(vm)
        Agent(vm).wait_for_turn()


@contextmanager
def policy(machine: Machine, rule: str) -> Iterator[None]:
    """Other rules for restarts, and short times for everything."""
    quick = "/etc/waguard/conf.d/quick.yaml"
    machine.write(quick, NO_RESTARTS.format(rule))
    machine.run(["systemctl", "reload", "waguard"])
    try:
        yield
    finally:
        machine.write(quick, QUICK)
        machine.run(["systemctl", "reload", "waguard"])


def causes(doctor: Doctor) -> tuple[object, list[str]]:
    """Whether a backup can be taken, and what stands in the way of it."""
    backup = doctor.diagnose()["backup"]
    return backup["ready"], sorted(backup["causes"])


def test_one_that_was_killed(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    vm.run(["kill", "-9", str(agent.daemon_pid())])
    with doctor.finds("agent-not-running", UNIT, "killed by signal 9") as finding:
        assert f"systemctl status {UNIT}" in finding["remedy"]
        assert causes(doctor) == (False, ["agent-not-running"])
        vm.run(["systemctl", "start", UNIT])


@pytest.mark.parametrize(("order", "name", "words", "undo"), [
    ("stop", "agent-stopped", "was stopped on request", "start"),
    ("mask --now", "agent-masked", "is masked by an administrator", "unmask"),
    ("disable --now", "agent-disabled", "is disabled", "enable"),
])
def test_one_that_rests(vm: Machine, doctor: Doctor, order: str, name: str, words: str, undo: str) -> None:
    vm.run(f"systemctl {order} {UNIT}", timeout=60)
    with doctor.finds(name, UNIT, words) as finding:
        assert UNIT in finding["remedy"]
        assert causes(doctor)[0] is False
        vm.run(f"systemctl {undo} {UNIT}; systemctl start {UNIT}")


def test_one_that_will_not_come_up_at_the_next_boot(vm: Machine, doctor: Doctor) -> None:
    vm.run(["systemctl", "disable", UNIT])
    with doctor.finds("agent-disabled", f"systemctl is-enabled {UNIT}: disabled") as finding:
        assert finding["severity"] == "warning"
        assert causes(doctor) == (True, []), "it works all the same"
        vm.run(["systemctl", "enable", UNIT])


def test_one_that_is_not_installed(vm: Machine, doctor: Doctor) -> None:
    vm.run("apt-get remove --yes waagent", timeout=120)
    with doctor.finds("agent-not-installed", "neither walinuxagent.service nor waagent.service exists") as finding:
        assert "apt-get install" in finding["remedy"] and "waagent" in finding["remedy"], finding
        assert causes(doctor) == (False, ["agent-not-installed"])
        vm.run("apt-get install --yes -o Dpkg::Options::=--force-confold /srv/debs/waagent_*.deb", timeout=120)


def test_one_that_is_stopped_amid_its_work(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    handler = agent.handler_pids()[0]
    vm.run(["kill", "-STOP", str(handler)])
    with doctor.finds("agent-hung", f"handler {handler} is stopped (state T)", "the wire server answers", timeout=100):
        assert causes(doctor) == (False, ["agent-hung"])
        vm.run(["kill", "-CONT", str(handler)])


def test_one_that_may_not_be_restarted_any_more(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    handler = agent.handler_pids()[0]
    with policy(vm, "live_per_hour: 0"):
        vm.run(["kill", "-STOP", str(handler)])
        with doctor.finds("agent-restart-exhausted", "the ration is used up", also=("agent-hung",), timeout=100) as finding:
            assert "waguardctl restart --force" in finding["remedy"]
            vm.run(["kill", "-CONT", str(handler)])


def test_a_daemon_without_its_handler(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    """The daemon, which would start another one, stands still."""
    daemon, handler = agent.daemon_pid(), agent.handler_pids()[0]
    vm.run(["kill", "-STOP", str(daemon)])
    vm.run(["kill", "-9", str(handler)])
    with doctor.finds("agent-handler-missing", f"daemon {daemon} has had no handler process for "):
        assert causes(doctor) == (False, ["agent-handler-missing"])
        vm.run(["kill", "-CONT", str(daemon)])


@contextmanager
def broken(machine: Machine) -> Iterator[None]:
    """Its code is not there any more."""
    machine.run(["mv", LIBRARY, f"{LIBRARY}.gone"])
    try:
        machine.run(["kill", "-9", str(Agent(machine).daemon_pid())])
        yield
    finally:
        machine.run(["mv", f"{LIBRARY}.gone", LIBRARY])


def test_one_that_ends_again_and_again(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    with policy(vm, "enabled: true"):
        with doctor.under(broken(vm), "agent-crash-loop", "the daemon ended by itself ", also=("agent-not-running",)) as finding:
            assert "apt-get install --reinstall" in finding["remedy"], finding
            assert causes(doctor)[0] is False


def test_one_that_waits_for_cloud_init_in_vain(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    vm.run(["systemctl", "stop", UNIT], timeout=60)
    agent.set("Provisioning.Agent", "cloud-init")
    vm.run(f"mv {LIB}/provisioned /root/ && systemctl start {UNIT}")
    with doctor.finds("agent-provisioning", "provisioning for ") as finding:
        assert finding["severity"] == "warning" and "cloud-init status" in finding["remedy"]
        assert causes(doctor) == (False, ["agent-provisioning"])
        vm.run(["systemctl", "stop", UNIT], timeout=60)
        agent.set("Provisioning.Agent", "disabled")
        vm.run(f"mv /root/provisioned {LIB}/ && systemctl start {UNIT}")


def test_one_that_sleeps_in_the_kernel(vm: Machine, agent: Agent, doctor: Doctor) -> None:
    """Its state directory is on a filesystem that somebody has frozen."""
    vm.run(["systemctl", "stop", UNIT], timeout=60)
    with Disk(vm, "/mnt/lib") as disk:
        vm.run(f"cp -a {LIB}/. /mnt/lib/ && mount --bind /mnt/lib {LIB} && systemctl start {UNIT}")
        agent.wait_for_turn()
        handler = agent.handler_pids()[0]
        disk.freeze()
        try:
            with doctor.finds("agent-unkillable", "in state D at ", str(handler), also=("filesystem-frozen",), timeout=60) as finding:
                assert re.search(rf"/proc/{handler}/task", finding["remedy"]), finding
                assert causes(doctor)[0] is False
                refused = Guard(vm).ctl("restart", "--force", check=False)
                assert refused.rc == 1 and "state D" in refused.err, refused
                disk.thaw()
        finally:
            disk.thaw()
        agent.wait_for_turn()
        vm.run(f"systemctl stop {UNIT}; cp -a --update /mnt/lib/. /tmp/lib/; umount {LIB} && cp -a /tmp/lib/. {LIB}/", timeout=60)
    vm.run(["systemctl", "start", UNIT])


def test_after_all_that_it_is_as_healthy_as_before(vm: Machine, doctor: Doctor) -> None:
    assert "\nProvisioning.Agent=disabled\n" in vm.read(CONF)
    told = doctor.diagnose()
    assert [one["id"] for one in told["findings"] if one["severity"] != "info"] == []
    assert told["backup"]["ready"] is True
