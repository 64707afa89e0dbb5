"""The doctor finds what is wrong with backups. The real agent runs the lab's stand-in for the backup extension (handler/)."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

import pytest

from .agent import LIB, Agent
from .disk import Disk
from .doctor import Doctor
from .extensions import VERSION, VMSNAPSHOT, Handler, snapshot
from .fabric import HANDLER, Fabric
from .goalstate import Extension
from .guard import Guard
from .machine import Machine

MOUNT = "/mnt/data"
OTHER = "Lab.Extensions.Other"
SCRIPTS = "/etc/azure/VMSnapshotScriptPluginConfig.json"
HOST = "/etc/azure/VMSnapshotPluginHost.conf"
PYTHON = "/usr/lib/python3.11"
MODULES = "/root/modules"
BY_EXTENSION = "the agent cannot load or run the backup extension"
BY_RESULT = "the backup extension does not come to a result"
HOUR = 3600.0


class Backup:
    """Azure Backup, as far as the VM can tell: it asks for snapshots, by way of the goal state. Holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.fabric = Fabric(machine)
        self.agent = Agent(machine)

    def ask(self, behaviour: str, version: str = VERSION, package: Path = HANDLER, again: Optional[int] = None) -> int:
        """Returns the request's sequence number, when the agent has done its part.

        `again` repeats that number, which has a status already: as long as there is none, the agent tries for 8 s at every turn.
        """
        sequence = self.fabric.goal_state().incarnation if again is None else again  # a number that was not there before
        self.serve(snapshot(behaviour, sequence, version=version), package)
        return sequence

    def succeed(self, version: str = VERSION) -> int:
        """A snapshot that goes well, and its end."""
        sequence = self.ask("succeed", version)
        Handler(self.machine, version).wait_for_code(sequence, 1)
        return sequence

    def serve(self, extension: Extension, package: Path = HANDLER) -> None:
        self.agent.wait_for_goal_state(self.fabric.serve_extension(extension, package=package))

    def withdraw(self, name: str) -> None:
        self.agent.wait_for_goal_state(self.fabric.withdraw_extension(name))


@pytest.fixture
def azure(vm: Machine) -> Backup:
    """Azure Backup, not yet used."""
    return Backup(vm)


@pytest.fixture
def backup(vm: Machine, azure: Backup) -> Backup:
    """Azure Backup, with the extension there: its last snapshot may have gone any way."""
    if not vm.exists(Handler(vm).folder):
        azure.succeed()
    return azure


@pytest.fixture
def handler(vm: Machine) -> Handler:
    return Handler(vm)


def ready(told: dict[str, Any]) -> tuple[Optional[bool], list[str], Optional[str]]:
    """(ready, causes, link) of the backup."""
    found = told["backup"]
    return found["ready"], found["causes"], found["link"]


def grave(told: dict[str, Any]) -> set[str]:
    """The findings above info."""
    return {one["id"] for one in told["findings"] if one["severity"] != "info"}


def says(name: str, words: str) -> Callable[[dict[str, dict[str, Any]]], bool]:
    """Whether there is the finding, with these words in its evidence."""
    return lambda found: name in found and words in found[name]["evidence"]


def part(told: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(part for part in told["parts"] if part["name"] == name)
    return found


def healthy(doctor: Doctor) -> dict[str, Any]:
    """A fresh diagnosis, in which nothing is in the way of a backup."""
    told = doctor.diagnose()
    assert ready(told) == (True, [], None), told["backup"]
    assert grave(told) == set(), told["findings"]
    return told


def age(machine: Machine, path: str, minutes: int) -> None:
    machine.run(["touch", f"--date={minutes} minutes ago", path])


def test_before_the_first_backup(doctor: Doctor, azure: Backup) -> None:
    with doctor.finds("backup-extension-absent", LIB, VMSNAPSHOT) as finding:
        assert finding["severity"] == "info"
        told = healthy(doctor)
        assert part(told, "snapshot")["says"] == "the backup extension is not installed"
        azure.succeed()
    told = healthy(doctor)
    assert part(told, "extensions")["facts"]["backup_extension"] == VERSION
    assert (part(told, "snapshot")["facts"]["outcome"], part(told, "snapshot")["facts"]["code"]) == ("success", 1)


def test_the_agent_cannot_run_the_extension(doctor: Doctor, backup: Backup) -> None:
    sequence = backup.succeed()
    for behaviour, code, word in (("no-interpreter", 3, ""), ("enable-error", 51, ""),
                                  ("import-crash", 1, "ModuleNotFoundError: No module named 'imp'")):
        backup.ask(behaviour, again=sequence)
        found = doctor.wait_for(says("extension-cannot-load", f"code: {code},"), 40, f"a handler that ends with {code}")
        assert word in found["extension-cannot-load"]["evidence"], found

    words = (f"{VMSNAPSHOT} {VERSION}", "NotReady with code 1009 (enable failed)", "Non-zero exit code: 1")
    with doctor.finds("extension-cannot-load", *words) as finding:
        told = doctor.diagnose()
        assert ready(told) == (False, ["extension-cannot-load"], BY_EXTENSION)
        assert grave(told) == {"extension-cannot-load"}
        assert f"/var/log/azure/{VMSNAPSHOT}/shell.log" in finding["remedy"]
        backup.succeed()
    healthy(doctor)


def test_another_extension_is_not_ready(vm: Machine, doctor: Doctor, backup: Backup) -> None:
    """Which may keep a backup from being begun, but not a snapshot from being taken."""
    incarnation = backup.fabric.serve_extension(Extension(OTHER, "1.2.3", 7, {"labBehaviour": "silent"}))
    folder = f"{LIB}/{OTHER}-1.2.3"
    vm.wait_until(lambda: vm.exists(f"{folder}/status"), 30, "the extension to be unpacked")
    status = {"status": "error", "code": 21, "operation": "Enable", "name": OTHER, "substatus": [],
              "formattedMessage": {"lang": "en-US", "message": "the lab wants it so"}}
    vm.write(f"{folder}/status/7.status", json.dumps([{"version": "1.0", "timestampUTC": "", "status": status}]))
    backup.agent.wait_for_goal_state(incarnation)
    with doctor.finds("extension-not-ready", f"{OTHER} 1.2.3: its run for settings 7 ended in error with code 21: the lab wants"):
        assert grave(doctor.diagnose()) == {"extension-not-ready"}
        vm.write(f"{folder}/status/7.status", json.dumps([{"version": "1.0", "timestampUTC": "", "status":
                                                           {**status, "status": "success", "code": 0}}]))
    backup.serve(Extension(OTHER, "1.2.3", 7, {"labBehaviour": "enable-error"}))
    with doctor.finds("extension-not-ready", f"{OTHER} 1.2.3: NotReady with code 1009", "Non-zero exit code: 51") as finding:
        told = doctor.diagnose()
        assert finding["severity"] == "warning"
        assert f"/var/log/azure/{OTHER}/CommandExecution.log" in finding["remedy"]
        assert grave(told) == {"extension-not-ready"}
        assert ready(told) == (True, [], None)
        backup.withdraw(OTHER)


def test_an_upgrade_that_fails(doctor: Doctor, backup: Backup, tmp_path: Path) -> None:
    """The update command of a newer version ends in error."""
    sequence = backup.succeed()
    package = shutil.copytree(HANDLER, tmp_path / "package")
    manifest = package / "HandlerManifest.json"
    manifest.write_text(manifest.read_text().replace("handle.sh update", "handle.sh to-update"))
    newer = "1.0.9301.0"
    backup.ask("succeed", newer, package, again=sequence)
    assert Handler(backup.machine, newer).state() == "FailedUpgrade"
    words = (f"{VMSNAPSHOT} {newer}: HandlerState is FailedUpgrade, {VERSION} is still installed", "1008 (update failed)")
    with doctor.finds("extension-upgrade-failed", *words):
        told = doctor.diagnose()
        assert grave(told) == {"extension-upgrade-failed"}
        assert ready(told) == (False, ["extension-upgrade-failed"], BY_EXTENSION)
        backup.succeed()  # of the old version: the new one is taken back
    healthy(doctor)


def test_a_snapshot_that_never_comes_to_an_end(vm: Machine, doctor: Doctor, backup: Backup, handler: Handler) -> None:
    sequence = backup.ask("die")
    vm.wait_until(lambda: not handler.daemons(), 10, "the daemon to die")
    assert part(healthy(doctor), "snapshot")["says"] == "one is being taken"  # as far as can be told this early
    age(vm, f"{handler.folder}/status/{sequence}.status", 20)
    with doctor.finds("snapshot-stuck", f"settings {sequence}: code 4 since 20m", VMSNAPSHOT) as finding:
        told = doctor.diagnose()
        assert finding["link"] == BY_RESULT
        assert f"/var/log/azure/{VMSNAPSHOT}/extension.log" in finding["remedy"]
        assert grave(told) == {"snapshot-stuck"}
        assert ready(told) == (True, [], None)  # the next one may well succeed
        backup.succeed()
    healthy(doctor)


def test_snapshots_that_failed(doctor: Doctor, backup: Backup, handler: Handler) -> None:
    """Though the agent calls all of them a success."""
    for code, written, name, blocks in (
            (761, 76, "FailedRetryableSnapshotFailedRestrictedNetwork", False), (121, 121, "FailedRetryableFsFreezeFailed", False),
            (402, 402, "FailedGuestAgentInvokedCommandTooLate", False), (85, 85, "FailedSnapshotLimitReached", True)):
        handler.wait_for_code(backup.ask(f"fail:{code}"), written)
        doctor.wait_for(says("snapshot-failed", f"code {code}, {name}: "), 40, name)
        assert ready(doctor.diagnose()) == ((False, ["snapshot-failed"], BY_RESULT) if blocks else (True, [], None)), name

    handler.wait_for_code(backup.ask("fail:76"), 76)
    doctor.wait_for(says("snapshot-failed", "code 76, "), 40, "code 76")
    words = ("code 76, FailedRetryableSnapshotFailedNoNetwork: ", "Snapshot failed in the lab")
    with doctor.finds("snapshot-failed", *words) as finding:
        assert finding["link"] == BY_RESULT
        assert grave(doctor.diagnose()) == {"snapshot-failed"}
        backup.succeed()
    healthy(doctor)


def test_settings_that_cannot_be_decrypted(vm: Machine, doctor: Doctor, backup: Backup, handler: Handler) -> None:
    """The private key that the agent has from the goal state is gone."""
    sealed = backup.fabric.seal({"sasUriList": []})
    request = snapshot("fail:16", backup.fabric.goal_state().incarnation, protected=sealed)
    backup.serve(request)
    handler.wait_for_code(request.sequence, 16)
    doctor.wait_for(says("snapshot-failed", "code 16, "), 40, "code 16")
    key = f"{LIB}/{sealed.thumbprint}.prv"
    vm.run(["mv", key, "/root/"])
    found = doctor.wait_for(says("snapshot-failed", f".prv is missing from {LIB}"), 40, "the key to be missed")
    assert sealed.thumbprint not in json.dumps(found)
    vm.run(["mv", f"/root/{sealed.thumbprint}.prv", key])
    doctor.wait_for(lambda found: ".prv is missing" not in found["snapshot-failed"]["evidence"], 40, "the key to be found")
    backup.succeed()
    healthy(doctor)


def test_a_request_without_a_result(vm: Machine, doctor: Doctor, backup: Backup, handler: Handler) -> None:
    before = backup.succeed()
    sequence = backup.ask("silent")
    healthy(doctor)  # there is still time
    # Since nothing was begun, those of the request before are still there.
    age(vm, f"{handler.folder}/config/{before}.settings", 60)
    age(vm, f"{handler.folder}/config/{sequence}.settings", 20)
    words = (f"settings {sequence} have no status since 20m", f"the extension's last number is {before}")
    with doctor.finds("snapshot-no-result", *words):
        told = doctor.diagnose()
        assert grave(told) == {"snapshot-no-result"}
        assert ready(told) == (False, ["snapshot-no-result"], BY_RESULT)
        backup.succeed()
    healthy(doctor)


def back_date(handler: Handler, sequence: int, hours: tuple[float, ...]) -> None:
    """Leaves successes that are so many hours old, the youngest of them the newest, and no others."""
    status = json.loads(handler.machine.read(f"{handler.folder}/status/{sequence}.status"))
    within = status[0]["status"]["substatus"][0]
    inner = json.loads(within["name"])
    handler.machine.run(f"rm -f {handler.folder}/status/*_status")
    for number, old in enumerate(sorted(hours)):
        inner[0]["timestampUTC"] = f"\\/Date({int((time.time() - old * HOUR) * 1000)})\\/"
        within["name"] = json.dumps(inner)
        name = f"{sequence}.status" if number == 0 else f"{sequence - number}_status"
        handler.machine.write(f"{handler.folder}/status/{name}", json.dumps(status))


def test_a_backup_that_is_overdue(doctor: Doctor, backup: Backup, handler: Handler) -> None:
    sequence = backup.succeed()
    back_date(handler, sequence, (30, 54, 78))
    told = healthy(doctor)
    assert part(told, "snapshot")["facts"]["interval"] == pytest.approx(24 * HOUR, abs=60)

    back_date(handler, sequence, (40, 64, 88))
    with doctor.finds("backup-overdue", "the last success was 1d16h ago", "1d in the middle of 3") as finding:
        told = doctor.diagnose()
        assert finding["severity"] == "warning"
        assert grave(told) == {"backup-overdue"}
        assert ready(told) == (True, [], None)
        backup.succeed()


def test_a_snapshot_at_work_is_not_disturbed_but_by_force(vm: Machine, doctor: Doctor, backup: Backup, handler: Handler) -> None:
    backup.ask("hang")
    (daemon,) = handler.daemons()
    pid = backup.agent.daemon_pid()
    told = healthy(doctor)
    assert part(told, "snapshot")["facts"]["outcome"] == "running"

    refused = Guard(vm).ctl("restart", check=False)

    assert refused.rc == 1 and "a snapshot is being taken" in refused.err
    assert backup.agent.daemon_pid() == pid and handler.daemons() == [daemon]
    Guard(vm).ctl("restart", "--force", "--no-wait")
    vm.wait_until(lambda: backup.agent.daemon_pid() not in (0, pid), 30, "the agent to be restarted")
    backup.agent.wait_for_turn()
    backup.succeed()
    healthy(doctor)


# -- That a freeze does not end can be told after 71 s; what does not depend on the snapshot is looked at meanwhile.


def stopped(vm: Machine, pid: str) -> bool:
    """Stops safefreeze, if it has frozen the file system: a second freeze is refused then, else it is undone."""
    vm.run(["kill", "-STOP", pid])
    if vm.run(["fsfreeze", "--freeze", MOUNT], check=False).rc:
        return True
    vm.run(f"fsfreeze --unfreeze {MOUNT}; kill -CONT {pid}")
    return False


@pytest.fixture(scope="module")
def frozen(vm: Machine) -> Iterator[tuple[int, str]]:
    """A file system that stays frozen: safefreeze, which should thaw it after 5 s by itself, is stopped. Yields the request's
    number and the pid of safefreeze."""
    if not vm.exists(Handler(vm).folder):
        Backup(vm).succeed()
    with Disk(vm, MOUNT):
        sequence = Backup(vm).ask(f"freeze:{MOUNT}:600:5")
        pid = vm.run("pgrep -x safefreeze").out.strip()
        vm.wait_until(lambda: stopped(vm, pid), 4, "safefreeze to have it frozen")
        yield sequence, pid
        vm.run(f"kill -CONT {pid}", check=False)


def meanwhile(told: dict[str, Any]) -> set[str]:
    """The findings above info, but for that of the freeze."""
    return grave(told) - {"filesystem-frozen"}


@contextmanager
def scripts(machine: Machine, *, mode: int = 0o600, owner: int = 0, script: int = 0o700, **more: Any) -> Iterator[None]:
    """A configuration of pre and post scripts. The stand-in has no configuration of the scripts' host; this is Azure's."""
    machine.write(HOST, f"[pre_post]\nnumberOfPlugins = 1\ntimeoutInSeconds = 1800\npluginName0 = ScriptRunner\n"
                  f"pluginPath0 = ScriptRunner.py\npluginConfigPath0 = {SCRIPTS}\n")
    for name in ("pre", "post"):
        machine.write(f"/etc/azure/{name}.sh", "#!/bin/sh\n", mode=script)
    config = {"pluginName": "ScriptRunner", "preScriptLocation": "/etc/azure/pre.sh", "postScriptLocation": "/etc/azure/post.sh",
              "timeoutInSeconds": 30, "continueBackupOnFailure": True, **more}
    machine.write(SCRIPTS, json.dumps(config), mode=mode)
    machine.run(["chown", str(owner), SCRIPTS])
    try:
        yield
    finally:
        machine.run(["rm", HOST, SCRIPTS, "/etc/azure/pre.sh", "/etc/azure/post.sh"])


@pytest.mark.parametrize(("wrong", "words", "blocks"), [
    ({"mode": 0o644}, (SCRIPTS, "uid 0, mode 0644", "(code 317)"), False),
    ({"owner": 1000}, (SCRIPTS, "uid 1000, mode 0600", "(code 317)"), False),
    ({"preScriptLocation": "/etc/azure/gone.sh", "script": 0o755, "continueBackupOnFailure": False},
     ("/etc/azure/gone.sh", "missing (code 302)", "/etc/azure/post.sh", "mode 0755 (code 307)"), True),
])
def test_scripts_that_are_not_usable(vm: Machine, doctor: Doctor, frozen: tuple[int, str], wrong: dict[str, Any],
                                     words: tuple[str, ...], blocks: bool) -> None:
    with doctor.under(scripts(vm, **wrong), "backup-scripts-misconfigured", *words, also=("filesystem-frozen",)) as finding:
        told = doctor.diagnose()
        assert finding["severity"] == "warning"
        assert meanwhile(told) == {"backup-scripts-misconfigured"}
        assert ("backup-scripts-misconfigured" in told["backup"]["causes"]) is blocks


def test_scripts_that_are_as_they_have_to_be(vm: Machine, doctor: Doctor, frozen: tuple[int, str]) -> None:
    with scripts(vm):
        told = doctor.diagnose()
        assert part(told, "snapshot")["facts"]["scripts"] is True
        assert meanwhile(told) == set()


@contextmanager
def without(machine: Machine, module: str) -> Iterator[None]:
    """As a newer Python, which does not have it."""
    machine.run(f"mkdir -p {MODULES} && mv {PYTHON}/{module}.py {MODULES}/")
    try:
        yield
    finally:
        machine.run(["mv", f"{MODULES}/{module}.py", PYTHON])


@pytest.mark.parametrize("module", ["crypt", "imp"])
def test_a_module_that_this_version_does_not_need(vm: Machine, doctor: Doctor, frozen: tuple[int, str], module: str) -> None:
    with without(vm, module):
        assert meanwhile(doctor.diagnose()) == set()


def test_a_file_system_that_stays_frozen(vm: Machine, doctor: Doctor, backup: Backup, handler: Handler,
                                         frozen: tuple[int, str]) -> None:
    sequence, pid = frozen
    words = (f"safefreeze (pid {pid}) has been running for 1m", f"with {MOUNT}", "a freeze is over after 1m11s")
    with doctor.finds("filesystem-frozen", *words, timeout=120):
        told = doctor.diagnose()
        assert grave(told) == {"filesystem-frozen"}
        assert ready(told) == (False, ["filesystem-frozen"], BY_RESULT)
        assert part(told, "snapshot")["says"] == "a freeze does not end"
        refused = Guard(vm).ctl("restart", "--force", check=False)
        assert refused.rc == 1 and "a filesystem is frozen" in refused.err, refused
        vm.run(["kill", "-CONT", pid])
    # Whether it takes the thaw for one in time depends on the moment at which it was stopped.
    vm.wait_until(lambda: handler.inner(sequence)["code"] in ("1", "2"), 30, "the snapshot to end")
    backup.succeed()
    healthy(doctor)


def test_a_python_without_what_the_extension_imports(vm: Machine, doctor: Doctor, backup: Backup, tmp_path: Path) -> None:
    """The stand-in itself imports none of what Python has lost, so it gets two of the real one's lines."""
    package = shutil.copytree(HANDLER, tmp_path / "package")
    (package / "main/WaagentLib.py").write_text("import crypt\n")
    (package / "main/Utils").mkdir()
    (package / "main/Utils/WAAgentUtil.py").write_text("import imp\nwaagent = imp.load_source('waagent', agent_path)\n")
    old, name = "1.0.9218.0", "backup-extension-python-incompatible"
    Handler(vm, old).wait_for_code(backup.ask("succeed", old, package), 1)
    healthy(doctor)
    for module, named in (("crypt", "crypt"), ("imp", "imp.load_source")):
        with doctor.under(without(vm, module), name, f"{VMSNAPSHOT} {old}: /usr/bin/python3 3.", f" has no {named}"):
            told = doctor.diagnose()
            assert grave(told) == {name}
            assert ready(told) == (False, [name], BY_EXTENSION)
            assert part(told, "extensions")["facts"]["python"] is None
    healthy(doctor)
