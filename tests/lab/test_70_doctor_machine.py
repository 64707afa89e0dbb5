"""What the doctor finds in waagent.conf and in the agent's versions: each fault is there for real, the only one in the
machine, and gone after its repair.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from .agent import CONF, LIB, UNIT, Agent
from .doctor import Doctor
from .guard import Guard
from .machine import Machine

VERSION = "/usr/lib/python3/dist-packages/azurelinuxagent/common/version.py"
SHIPPED = {"agent-autorestart-missing", "agent-autoupdate-off", "agent-behind-upstream", "backup-extension-absent"}
"""Worth knowing of every machine of the lab: Debian's unit, Debian's conf, Debian's version; and nobody has asked for a backup."""


@contextmanager
def edited(machine: Machine, path: str, old: str, new: str) -> Iterator[None]:
    """The file with other text in it, for a block."""
    before = machine.read(path)
    assert before.count(old) == 1, f"{path} has {old!r} {before.count(old)} times"
    machine.write(path, before.replace(old, new))
    try:
        yield
    finally:
        machine.write(path, before)


@contextmanager
def appended(machine: Machine, *lines: str) -> Iterator[None]:
    """waagent.conf with lines more, for a block."""
    before = machine.read(CONF)
    machine.write(CONF, before + "".join(f"{line}\n" for line in lines))
    try:
        yield
    finally:
        machine.write(CONF, before)


def line_of(machine: Machine, text: str) -> int:
    """The number of a line of waagent.conf."""
    return machine.read(CONF).splitlines().index(text) + 1


def line_after(machine: Machine) -> int:
    """The number of a line appended to waagent.conf."""
    return machine.read(CONF).count("\n") + 1


def test_a_healthy_machine_has_nothing_but_what_debian_ships(doctor: Doctor) -> None:
    told = doctor.diagnose()

    assert {one["id"]: one["severity"] for one in told["findings"]} == dict.fromkeys(SHIPPED, "info")
    # Whether CPUs that are busy now are busy for long is not known at once.
    assert [part for part in told["parts"] if part["ok"] is not True and part["name"] != "load"] == []
    assert told["backup"]["ready"] is True


# -- waagent.conf


@pytest.mark.parametrize(("name", "line", "words"), [
    ("conf-unknown-key", "Logs.Verbos=y", ("Logs.Verbos", "did you mean Logs.Verbose?")),
    ("conf-bad-value", "Extensions.WaitForCloudInit=yes", ("Extensions.WaitForCloudInit", "yes")),
    ("conf-bad-value", "HttpProxy.Port=many", ("HttpProxy.Port", "many")),
    ("conf-duplicate-key", "Logs.Collect=y", ("Logs.Collect",)),
    ("conf-trailing-comment", "OS.EnableRDMA=n # there is none", ("OS.EnableRDMA",)),
    ("proxy-incomplete", "HttpProxy.Host=proxy.example", ("HttpProxy.Host", "HttpProxy.Port")),
    ("proxy-incomplete", "HttpProxy.Port=3128", ("HttpProxy.Port", "HttpProxy.Host")),
])
def test_a_line_of_the_conf(vm: Machine, doctor: Doctor, name: str, line: str, words: tuple[str, ...]) -> None:
    with doctor.under(appended(vm, line), name, f"{CONF}:{line_after(vm)}: ", *words) as finding:
        assert finding["blocks"] is False


def test_extensions_switched_off(vm: Machine, doctor: Doctor) -> None:
    off = edited(vm, CONF, "\nExtensions.Enabled=y\n", "\nExtensions.Enabled=n\n")
    with doctor.under(off, "extensions-disabled", CONF, "Extensions.Enabled=n") as finding:
        assert finding["blocks"] is True
        assert f"set Extensions.Enabled=y in {CONF}" in finding["remedy"]


def test_verbose_that_nothing_will_turn_off(vm: Machine, doctor: Doctor) -> None:
    by_hand = edited(vm, CONF, "\nLogs.Verbose=n\n", "\nLogs.Verbose=y\n")
    number = line_of(vm, "Logs.Verbose=n")
    with doctor.under(by_hand, "verbose-left-on", f"{CONF}:{number}: Logs.Verbose=y"):
        pass


def test_verbose_on_a_lease_is_no_finding(vm: Machine, doctor: Doctor) -> None:
    guard, agent = Guard(vm), Agent(vm)

    def restarted(before: int) -> int:
        """Waits until it has been, and returns the new daemon."""
        return vm.wait_until(lambda: (pid := agent.daemon_pid()) not in (0, before) and pid, 60, "the agent to be restarted")

    daemon = agent.daemon_pid()
    guard.ctl("verbose", "on", "--for", "10m")
    try:
        daemon = restarted(daemon)
        vm.wait_until(lambda: "\nLogs.Verbose=y\n" in vm.read(CONF), 10, "the lease to begin")
        vm.wait_until(lambda: guard.snapshot()["agent"]["conf"]["verbose"], 10, "the guard to see it")
        assert set(doctor.findings()) == SHIPPED
    finally:
        guard.ctl("verbose", "off")
    vm.wait_until(lambda: "\nLogs.Verbose=n\n" in vm.read(CONF), 10, "the lease to end")
    restarted(daemon)
    agent.wait_for_turn()


@contextmanager
def away(machine: Machine, path: str) -> Iterator[None]:
    machine.run(["mv", path, f"{path}.away"])
    try:
        yield
    finally:
        machine.run(["mv", f"{path}.away", path])


@contextmanager
def locked(machine: Machine, path: str) -> Iterator[None]:
    machine.run(["chmod", "000", path])
    try:
        yield
    finally:
        machine.run(["chmod", "644", path])


def test_the_conf_is_gone_while_the_agent_runs(vm: Machine, doctor: Doctor) -> None:
    before = Agent(vm).daemon_pid()

    with doctor.under(away(vm, CONF), "conf-missing", CONF, "missing"):
        assert Agent(vm).daemon_pid() == before != 0


def test_the_conf_is_empty(vm: Machine, doctor: Doctor) -> None:
    text = vm.read(CONF)
    with doctor.under(edited(vm, CONF, text, ""), "conf-missing", CONF, "empty"):
        pass


def test_the_conf_may_not_be_read_by_a_root_without_capabilities(vm: Machine, doctor: Doctor) -> None:
    with doctor.under(locked(vm, CONF), "conf-unreadable", CONF, "Permission denied") as finding:
        assert f"chmod 0644 {CONF}" in finding["remedy"]


def test_the_agent_does_not_update_itself_as_debian_has_it(vm: Machine, doctor: Doctor) -> None:
    number = line_of(vm, "AutoUpdate.Enabled=n")
    try:
        with doctor.finds("agent-autoupdate-off", f"{CONF}:{number}: AutoUpdate.Enabled=n"):
            Agent(vm).set("AutoUpdate.Enabled", "y")
    finally:
        Agent(vm).set("AutoUpdate.Enabled", "n")


# -- versions


@contextmanager
def aged(machine: Machine) -> Iterator[None]:
    """An agent that runs and says that it is of 2019."""
    agent = Agent(machine)
    try:
        with edited(machine, VERSION, "AGENT_VERSION = '2.7.3.0'", "AGENT_VERSION = '2.2.45'"):
            machine.run(["systemctl", "restart", UNIT])
            agent.wait_for_turn()
            yield
    finally:
        machine.run(["systemctl", "restart", UNIT])
        agent.wait_for_turn()


def test_a_version_that_azure_supports_no_more(vm: Machine, doctor: Doctor) -> None:
    words = "the goal state agent is 2.2.45, older than 2.2.53.1"
    with doctor.under(aged(vm), "agent-version-unsupported", words) as finding:
        assert "apt-get install --only-upgrade waagent" in finding["remedy"]


REPOSITORY = """\
set -eu
mkdir -p /opt/repo/waagent/DEBIAN
cd /opt/repo
cat >waagent/DEBIAN/control <<END
Package: waagent
Version: 99-1
Architecture: $(dpkg-query --show --showformat '${Architecture}' waagent)
Maintainer: lab <lab@lab.invalid>
Description: an agent of the future
END
dpkg-deb --build waagent waagent_99-1.deb
{
    dpkg-deb --field waagent_99-1.deb
    echo "Filename: ./waagent_99-1.deb"
    echo "Size: $(stat --format=%s waagent_99-1.deb)"
    echo "SHA256: $(sha256sum waagent_99-1.deb | cut -d ' ' -f 1)"
} >Packages
echo 'deb [trusted=yes] file:/opt/repo ./' >/etc/apt/sources.list.d/lab.list
# Of the others there is no mirror here; their lists shall stay as they are.
apt-get update -o Dir::Etc::sourcelist=sources.list.d/lab.list -o Dir::Etc::sourceparts=- -o APT::Get::List-Cleanup=0
"""


@contextmanager
def newer_package(machine: Machine) -> Iterator[None]:
    """A repository of the machine's own with a newer agent in it, known to apt by its own update."""
    try:
        machine.run(REPOSITORY)
        yield
    finally:
        machine.run("rm -rf /etc/apt/sources.list.d/lab.list /var/lib/apt/lists/_opt_repo_* /opt/repo")


def test_the_distribution_has_a_newer_agent(vm: Machine, doctor: Doctor) -> None:
    installed = vm.run(["dpkg-query", "--show", "--showformat", "${Version}", "waagent"]).out

    words = (f"waagent {installed} is installed", "apt's lists", "have 99-1")
    with doctor.under(newer_package(vm), "agent-behind-distro", *words) as finding:
        assert finding["remedy"] == "apt-get update && apt-get install --only-upgrade waagent"


def feed(machine: Machine, version: str) -> str:
    """Settings with a feed that has this release as its newest."""
    path = f"/opt/lab/releases-{version}.json"
    machine.write(path, json.dumps([{"tag_name": f"v{version}", "published_at": "2026-01-02T03:04:05Z"}]))
    return f"versions:\n  feed: file://{path}\n"


def test_upstream_has_a_newer_agent(vm: Machine, doctor: Doctor) -> None:
    with doctor.setting(feed(vm, "2.99.0.1")):
        doctor.wait_for(lambda found: "2.99.0.1" in found["agent-behind-upstream"]["evidence"], 30, "the feed's word")
        with doctor.finds("agent-behind-upstream", "the goal state agent is 2.7.3.0", "2.99.0.1 was released on 2026-01-02",
                          "AutoUpdate.Enabled is off"):
            vm.write("/etc/waguard/conf.d/scenario.yaml", feed(vm, "2.7.3.0"))


@contextmanager
def disabled(machine: Machine, folder: str) -> Iterator[None]:
    """A downloaded version that failed, as the agent itself leaves it (ga/guestagent.py)."""
    machine.write(f"{folder}/error.json", json.dumps({"last_failure": time.time(), "failure_count": 1, "was_fatal": True,
                                                      "reason": "Failed to launch"}))
    try:
        yield
    finally:
        machine.run(["rm", "-r", folder])


def test_the_agent_has_disabled_a_version_of_itself(vm: Machine, doctor: Doctor) -> None:
    folder = f"{LIB}/WALinuxAgent-2.9.1.1"
    with disabled(vm, folder), doctor.finds("agent-version-disabled", "2.9.1.1 is disabled by", f"{folder}/error.json",
                                            "the goal state agent is 2.7.3.0", "Failed to launch") as finding:
        move = f"mv {folder}/error.json {folder}/error.json.seen"
        assert move in finding["remedy"]
        vm.run(move)


def test_after_all_that_it_is_as_healthy_as_before(doctor: Doctor) -> None:
    assert set(doctor.wait_for(lambda found: set(found) == SHIPPED, 20, "a healthy machine")) == SHIPPED
