"""Proves the extension side of the lab: the real agent downloads, installs and runs a handler of ours from our fabric,
and Azure is told what the agent would tell it. waguard is not in these machines.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .agent import LIB, UNIT, Agent
from .disk import Disk
from .extensions import LOCK, VERSION, VMSNAPSHOT, Handler, inner, snapshot
from .fabric import Fabric
from .goalstate import STATUS_BLOB, Extension, package_path
from .lab import Lab
from .machine import Machine

MOUNT = "/mnt/data"


class Backup:
    """Azure Backup, as far as the VM can tell: it asks for snapshots, by way of the goal state."""

    def __init__(self, machine: Machine) -> None:
        self.fabric = Fabric(machine)
        self.agent = Agent(machine)

    def ask(self, behaviour: str, version: str = VERSION, **public: Any) -> int:
        """Returns the request's sequence number, when the agent has done its part."""
        sequence = self.fabric.goal_state().incarnation  # a number that was not there before
        self.serve(snapshot(behaviour, sequence, version=version, **public))
        return sequence

    def serve(self, extension: Extension) -> None:
        self.agent.wait_for_goal_state(self.fabric.serve_extension(extension))

    def told(self) -> dict[str, Any]:
        """What Azure knows of the extension."""
        handler = self.fabric.reported_handler(VMSNAPSHOT)
        assert handler, "Azure was told nothing of the extension"
        return handler

    def told_status(self) -> dict[str, Any]:
        """The same, of the request: the outer status."""
        status: dict[str, Any] = self.told()["runtimeSettingsStatus"]["settingsStatus"]["status"]
        return status


@pytest.fixture(scope="module")
def vm(lab: Lab) -> Iterator[Machine]:
    """One machine for all: what a test needs of it, it brings about itself."""
    with lab.machine(boot=False) as machine:
        Agent(machine).hurry()
        machine.boot()
        Agent(machine).wait_for_turn(since=0)
        yield machine


@pytest.fixture
def backup(vm: Machine) -> Backup:
    return Backup(vm)


@pytest.fixture
def handler(vm: Machine) -> Handler:
    return Handler(vm)


def test_it_is_downloaded_installed_and_enabled_and_azure_is_told(vm: Machine, backup: Backup, handler: Handler) -> None:
    if vm.exists(handler.folder):
        backup.agent.wait_for_goal_state(backup.fabric.withdraw_extension(VMSNAPSHOT))
    odd = "<&>\"'ä\n"
    since, before = time.time(), len(backup.agent.log())

    sequence = backup.ask("succeed", objectStr=odd)

    assert handler.state() == "Enabled"
    word = handler.status()
    assert (word["status"], word["code"], word["message"]) == ("Ready", 0, "Plugin enabled")
    assert handler.settings(sequence)["publicSettings"]["objectStr"] == odd
    downloads = {request.path for request in backup.fabric.requests("storage", since=since) if request.status == 200}
    assert downloads >= {snapshot().manifest, package_path(VMSNAPSHOT, VERSION)}
    assert vm.exists("/etc/azure/workload.conf")  # by its install command
    handler.wait_for_code(sequence, 1)
    backup.agent.wait_for_turn()
    told = backup.told()
    assert (told["handlerVersion"], told["status"], told["code"]) == (VERSION, "Ready", 0)
    assert told["runtimeSettingsStatus"]["sequenceNumber"] == sequence
    assert inner(backup.told_status())["status"] == "success"
    assert handler.daemons() == []
    log = backup.agent.log()[before:]
    assert "All extensions in the goal state have reached a terminal state" in log
    assert not [line for line in log.splitlines() if " ERROR " in line]


def test_a_second_request_runs_again_and_the_first_becomes_history(backup: Backup, handler: Handler) -> None:
    first = backup.ask("succeed")
    handler.wait_for_code(first, 1)
    second = backup.ask("succeed")
    handler.wait_for_code(second, 1)

    assert {f"{second}.settings", f"{first}_settings"} <= handler.names("config")
    assert {f"{second}.status", f"{first}_status"} <= handler.names("status")
    assert handler.machine.read(f"{handler.folder}/mrseq") == str(second)
    assert handler.log("extension").count("starting daemon initially") >= 2


def test_protected_settings_arrive_and_a_repeated_request_brings_them_back(backup: Backup, handler: Handler) -> None:
    sealed = backup.fabric.seal({"secret": "of the lab"})
    request = snapshot(sequence=backup.fabric.goal_state().incarnation, protected=sealed)

    backup.serve(request)

    handler.wait_for_code(request.sequence, 1)
    assert "removing the protected settings" in handler.log("extension")
    assert "protectedSettings" not in handler.settings(request.sequence)
    script = ("base64 -d | openssl cms -decrypt -inform DER "
              f"-recip {LIB}/{sealed.thumbprint}.crt -inkey {LIB}/{sealed.thumbprint}.prv")
    assert json.loads(handler.machine.run(script, stdin=sealed.text).out) == {"secret": "of the lab"}
    backup.serve(request)  # a new goal state in which it has not changed, as after any other extension's
    assert handler.log("extension").splitlines()[-1].endswith(f"so skip, current:{request.sequence}== last:{request.sequence}")
    assert handler.settings(request.sequence)["protectedSettings"] == sealed.text  # the agent writes the file each time


def test_a_failed_snapshot_is_a_success_to_the_agent(backup: Backup, handler: Handler) -> None:
    sequence = backup.ask("fail:76")
    handler.wait_for_code(sequence, 76)
    backup.agent.wait_for_turn()

    outer = backup.told_status()
    assert outer["status"] == "success"
    assert (inner(outer)["status"], inner(outer)["code"]) == ("error", "76")
    assert inner(handler.outer(sequence))["vmHealthInfo"] == {"vmHealthState": 256, "vmHealthStatusCode": 76}
    assert backup.told()["status"] == "Ready"
    assert backup.agent.log().splitlines()[-1].endswith(f"[('{VMSNAPSHOT}', 'success')]")


@pytest.mark.parametrize(("behaviour", "code", "shell_log", "stderr"), [
    ("import-crash", 1, "- 1 returned from handle.py", "ModuleNotFoundError: No module named 'imp'"),
    ("no-interpreter", 3, "- 3 returned from handle.py", ""),
    ("enable-error", 51, "- 51 returned from handle.py", ""),
])
def test_a_handler_that_cannot_be_enabled(backup: Backup, handler: Handler, behaviour: str, code: int, shell_log: str,
                                          stderr: str) -> None:
    if not handler.machine.exists(handler.folder):
        backup.ask("succeed")

    sequence = backup.ask(behaviour)

    assert handler.state() == "Enabled"  # as it was: that file does not tell
    word = handler.status()
    assert (word["status"], word["code"]) == ("NotReady", 1009)
    assert f"Non-zero exit code: {code}, " in word["message"] and stderr in word["message"]
    assert handler.log("shell").splitlines()[-1].endswith(shell_log)
    assert f"{sequence}.status" not in handler.names("status")
    assert (backup.told()["status"], backup.told()["code"]) == ("NotReady", 1009)
    assert (backup.told_status()["status"], backup.told_status()["code"]) == ("transitioning", 0)
    assert f"name={VMSNAPSHOT}, op=Enable, message=[ExtensionOperationError] Non-zero exit code: {code}, " in backup.agent.log()


def test_a_file_in_the_machine_goes_before_the_settings(vm: Machine, backup: Backup, handler: Handler) -> None:
    vm.write("/etc/azure/lab-behaviour.json", json.dumps({"labBehaviour": "fail:402"}))
    try:
        handler.wait_for_code(backup.ask("succeed"), 402)
    finally:
        vm.run(["rm", "/etc/azure/lab-behaviour.json"])


def test_a_handler_that_says_nothing_is_in_transition_to_the_agent(backup: Backup, handler: Handler) -> None:
    sequence = backup.ask("silent")

    assert handler.status()["status"] == "Ready"
    assert f"{sequence}.status" not in handler.names("status")
    assert backup.told_status()["status"] == "transitioning"
    assert "since no status file was reported by extension" in backup.told_status()["formattedMessage"]["message"]


def test_a_daemon_that_dies_leaves_code_4(backup: Backup, handler: Handler) -> None:
    sequence = backup.ask("die")

    handler.machine.wait_until(lambda: not handler.daemons(), 10, "the daemon to die")
    assert (handler.outer(sequence)["status"], handler.outer(sequence)["code"]) == ("success", "4")
    assert backup.told_status()["code"] == "4"
    assert f"{VMSNAPSHOT}', 'success')]" in backup.agent.log().splitlines()[-1]


def test_on_debian_a_restart_of_the_agent_takes_the_daemon_with_it(vm: Machine, backup: Backup, handler: Handler) -> None:
    sequence = backup.ask("hang")
    (daemon,) = handler.daemons()
    assert f"/system.slice/{UNIT}" in vm.read(f"/proc/{daemon}/cgroup")

    vm.run(["systemctl", "restart", UNIT])

    assert handler.daemons() == []
    backup.agent.wait_for_turn()
    assert handler.inner(sequence)["code"] == "4"  # the agent enables it again, but the number is the same


def frozen(vm: Machine) -> bool:
    """A second freeze is refused with EBUSY; an attempt on a thawed file system would freeze it, so that is undone."""
    if vm.run(["fsfreeze", "--freeze", MOUNT], check=False).rc:
        return True
    vm.run(["fsfreeze", "--unfreeze", MOUNT])
    return False


def locked(vm: Machine) -> bool:
    script = f"import fcntl; fcntl.lockf(open({LOCK!r}, 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"
    return vm.exists(LOCK) and vm.run(["python3", "-c", script], check=False).rc != 0


@pytest.fixture
def disk(vm: Machine) -> Iterator[Disk]:
    with Disk(vm, MOUNT) as disk:
        yield disk


def test_it_really_freezes_and_thaws(vm: Machine, backup: Backup, handler: Handler, disk: Disk) -> None:
    sequence = backup.ask(f"freeze:{MOUNT}:8")

    assert frozen(vm)
    assert locked(vm)
    (pid,) = vm.run("pgrep -x safefreeze").out.split()
    argv = vm.read(f"/proc/{pid}/cmdline").rstrip("\0").split("\0")
    assert argv == [f"{handler.folder}/main/safefreeze/bin/safefreeze", "60", MOUNT]
    assert handler.inner(sequence)["code"] == "4"
    handler.wait_for_code(sequence, 1)
    assert not vm.exists(LOCK)
    assert not frozen(vm)
    vm.run(["touch", f"{MOUNT}/writable"])
    assert f"Thawing: {MOUNT}" in handler.log("extension")


def test_on_debian_a_restart_of_the_agent_in_a_freeze_leaves_it_frozen(vm: Machine, backup: Backup, handler: Handler,
                                                                       disk: Disk) -> None:
    """What waguard must never bring about. (Ours dies of SIGTERM; the real safefreeze may not, but systemd has SIGKILL.)"""
    sequence = backup.ask(f"freeze:{MOUNT}:50")
    assert locked(vm)

    vm.run(["systemctl", "restart", UNIT])

    assert vm.run("pgrep -x safefreeze", check=False).out == ""
    assert vm.exists(LOCK) and not locked(vm)
    assert frozen(vm)
    backup.agent.wait_for_turn()
    assert handler.inner(sequence)["code"] == "4"


def test_a_freeze_that_nobody_ends_is_ended_by_safefreeze(vm: Machine, backup: Backup, handler: Handler, disk: Disk) -> None:
    sequence = backup.ask(f"freeze:{MOUNT}:600:4")

    handler.wait_for_code(sequence, 2)
    assert not frozen(vm)
    assert "Failed to receive timely Thaw from parent process" in handler.log("extension")


def test_a_mount_that_cannot_be_frozen(backup: Backup, handler: Handler) -> None:
    handler.wait_for_code(backup.ask("freeze:/proc:1"), 121)

    assert "Failed to FIFREEZE: /proc with error message: " in handler.log("extension")


def test_without_a_host_plugin_the_status_goes_to_the_blob(backup: Backup) -> None:
    backup.ask("succeed")
    backup.fabric.behave("notfound", "hostplugin")
    try:
        since = time.time()
        backup.agent.wait_for_turn()
        puts = backup.fabric.requests("storage", STATUS_BLOB, since)
        assert {(put.method, put.status) for put in puts} == {("PUT", 201)}
        assert backup.told()["status"] == "Ready"
    finally:
        backup.fabric.behave("well", "hostplugin")


def test_without_storage_an_upgrade_comes_through_the_host(vm: Machine, backup: Backup, handler: Handler) -> None:
    backup.ask("succeed")
    backup.fabric.behave("notfound", "storage")
    since = time.time()
    try:
        sequence = backup.ask("succeed", version="1.0.9221.0")
    finally:
        backup.fabric.behave("well", "storage")

    newer = Handler(vm, "1.0.9221.0")
    newer.wait_for_code(sequence, 1)
    assert newer.state() == "Enabled"
    assert not vm.exists(handler.folder)
    relayed = [request.headers["x-ms-artifact-location"] for request in
               backup.fabric.requests("hostplugin", "/extensionArtifact", since)]
    assert any(url.endswith("__1.0.9221.0.zip") for url in relayed), relayed


@pytest.mark.parametrize("how", ["uninstalled", "withdrawn"])
def test_it_is_removed_when_it_is(vm: Machine, backup: Backup, how: str) -> None:
    fresh = Handler(vm, "1.0.9222.0")
    backup.ask("succeed", version="1.0.9222.0")
    assert fresh.state() == "Enabled"

    if how == "withdrawn":
        incarnation = backup.fabric.withdraw_extension(VMSNAPSHOT)
    else:
        incarnation = backup.fabric.serve_extension(snapshot(version="1.0.9222.0", state="uninstall"))
    backup.agent.wait_for_goal_state(incarnation)

    assert not vm.exists(fresh.folder)
    assert backup.fabric.reported_handler(VMSNAPSHOT) is None
    asked = fresh.log("shell").splitlines()[-1].endswith("0 returned from handle.sh uninstall")
    assert asked == (how == "uninstalled")


def test_with_extensions_switched_off_nothing_is_even_tried(vm: Machine, backup: Backup) -> None:
    backup.agent.wait_for_goal_state(backup.fabric.withdraw_extension(VMSNAPSHOT))
    backup.agent.set("Extensions.Enabled", "n")
    vm.run(["systemctl", "stop", UNIT])
    try:
        backup.fabric.serve_extension(snapshot(version="1.0.9223.0"))
        vm.run(["systemctl", "start", UNIT])
        backup.agent.wait_for_turn()  # the first one; from then on it turns every 300 s, whatever the period set

        assert not vm.exists(Handler(vm, "1.0.9223.0").folder)
        assert backup.fabric.reported_handler(VMSNAPSHOT) is None
        assert f"No handler status found for {VMSNAPSHOT}. Not reporting anything for it." in backup.agent.log()
    finally:
        backup.fabric.withdraw_extension(VMSNAPSHOT)
        backup.agent.set("Extensions.Enabled", "y")
        vm.run(["systemctl", "restart", UNIT])
        backup.agent.wait_for_turn()
