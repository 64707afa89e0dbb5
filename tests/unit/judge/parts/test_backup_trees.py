"""From files to findings: a fake machine for each finding about extensions and backups, and a healthy one that has none."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from agent.vmstatus import status
from observe.vmtree import AGENT, DAY, HOUR, MINUTE, NOW, Extension, Proc, plain, put

from waguard.judge.case import Case
from waguard.judge.parts import extensions as extensions_part
from waguard.judge.parts import snapshot as snapshot_part
from waguard.observe import Known, backupconf, extensions, interpreters, snapshots
from waguard.settings import Settings

LIB = "import crypt\nfrom distutils.version import LooseVersion\n"
PYTHON = "#!/bin/sh\necho version 3.13.0\n%s\necho end\n"


class Machine:
    """A healthy VM that is backed up every day, with another extension beside."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.proc = Proc(root)
        self.other = Extension(root, "Microsoft.Azure.X", "1.2").state().report().settings(1).status(plain(), 1)
        self.backup = Extension(root).state().report().settings(9, HOUR + 60).status(status("1", at=NOW - HOUR), 9, HOUR).mrseq(9)
        for day in range(1, 6):
            self.backup.old(9 - day, status("1", at=NOW - HOUR - day * DAY), HOUR + day * DAY)
        put(self.backup.path / "main/WaagentLib.py", LIB)
        put(root / "usr/bin/python3", PYTHON % "", mode=0o755)

    def findings(self) -> dict[str, str]:
        seen = {"extensions": Known(extensions.look(AGENT, lambda seconds: None, self.root), 1.0),
                "snapshots": Known(snapshots.look(AGENT, NOW, self.root, self.proc.path), 1.0),
                "interpreters": Known(interpreters.look(AGENT, None, self.root, self.proc.path), 1.0)}
        case = Case(100.0, NOW, True, True, Settings(), AGENT, **seen)  # type: ignore[arg-type]
        return {one.id: one.evidence for part in (extensions_part.judge(case), snapshot_part.judge(case)) for one in part.findings}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(backupconf, "_ROOT", os.getuid())
    return Machine(tmp_path)


def absent(machine: Machine) -> None:
    machine.backup.path.rename(machine.root / "away")


def hidden_failure(machine: Machine) -> None:
    machine.backup.status(status("121", "error", outer="success", message="Failed to FIFREEZE: /data"), 9, HOUR)


def stopped_backups(machine: Machine) -> None:
    machine.backup.status(status("1", at=NOW - 3 * DAY), 9, 3 * DAY)
    for day in range(1, 4):
        (machine.backup.path / f"status/{9 - day}_status").unlink()


def frozen(machine: Machine) -> None:
    machine.backup.settings(10, 8 * MINUTE).status(status("4"), 10, 8 * MINUTE).mrseq(10)
    machine.proc.add(77, ["/x/main/safefreeze/bin/safefreeze", "60", "/data"], comm="safefreeze", age=400)


SPOILED: list[tuple[str, Callable[[Machine], object], str]] = [
    ("extension-not-ready", lambda vm: vm.other.report("NotReady", 1009, "Non-zero exit code: 1"), "Microsoft.Azure.X 1.2: NotReady with code 1009 (enable failed)"),
    ("extension-not-ready", lambda vm: vm.other.status(plain("error", 5, "no disk"), 1), "settings 1 ended in error with code 5: no disk"),
    ("extension-upgrade-failed", lambda vm: Extension(vm.root, "Microsoft.Azure.X", "1.3").state("FailedUpgrade", 60).report("NotReady", 1008, "x", 60), "1.2 is still installed"),
    ("extension-cannot-load", lambda vm: vm.backup.report("NotReady", 1009, "Non-zero exit code: 3"), "Non-zero exit code: 3"),
    ("extension-cannot-load", lambda vm: (vm.backup.path / "config/HandlerStatus").unlink(), "there is no HandlerStatus"),
    ("extension-cannot-load", lambda vm: put(vm.backup.path / "config/HandlerStatus", '{"status": "Rea'), "ends in the middle"),
    ("backup-extension-absent", absent, "has no folder"),
    ("backup-extension-python-incompatible", lambda vm: put(vm.root / "usr/bin/python3", PYTHON % "echo missing crypt", mode=0o755), "3.13.0 has no crypt"),
    ("snapshot-stuck", lambda vm: vm.backup.status(status("4"), 9, 20 * MINUTE), "code 4 since 20m"),
    ("snapshot-failed", hidden_failure, "code 121, FailedRetryableFsFreezeFailed"),
    ("snapshot-no-result", lambda vm: vm.backup.settings(10, 20 * MINUTE, protected="SECRET"), "settings 10 have no status since 20m, and they still hold"),
    ("filesystem-frozen", frozen, "safefreeze (pid 77) has been running for 6m40s, with /data"),
    ("backup-overdue", stopped_backups, "the last success was 3d ago"),
    ("backup-scripts-misconfigured", lambda vm: (put(vm.backup.path / "main/VMSnapshotPluginHost.conf", "[pre_post]\nnumberOfPlugins: 0\n", mode=0o644),
                                                 put(vm.root / backupconf.SCRIPTS, "{}", mode=0o600)), "lacks preScriptLocation (code 305)"),
]


@pytest.mark.parametrize("id, spoil, evidence", SPOILED, ids=[one[0] for one in SPOILED])
def test_one_fault_is_one_finding_with_its_evidence(machine: Machine, id: str, spoil: Callable[[Machine], object], evidence: str) -> None:
    spoil(machine)
    found = machine.findings()
    assert list(found) == [id] and evidence in found[id] and "SECRET" not in found[id]


def test_a_healthy_machine_has_none(machine: Machine) -> None:
    assert machine.findings() == {}


@pytest.mark.parametrize("what, spoil", [
    ("a snapshot being taken", lambda vm: (vm.backup.settings(10, 60).status(status("4"), 10, 30).mrseq(10),
                                           vm.proc.add(50, ["python3", "main/handle.py", "-seqNo:10", "-daemon"]),
                                           vm.proc.add(51, ["/x/safefreeze", "60", "/"], comm="safefreeze", age=20))),
    ("a request of this moment", lambda vm: vm.backup.settings(10, 5, protected="SECRET")),
    ("an agent that restarted", lambda vm: vm.backup.settings(9, 20 * MINUTE, protected="SECRET")),
    ("a lock that a crash left behind", lambda vm: put(vm.root / snapshots.LOCK, "", 30 * DAY)),
    ("an upload error of the status", lambda vm: vm.backup.status(status("1", message="statusBlobUploadError=true", at=NOW - HOUR), 9, HOUR)),
    ("no scripts (316)", lambda vm: vm.backup.status(status("1", health=316, at=NOW - HOUR), 9, HOUR)),
    ("a leftover of writing a status", lambda vm: vm.backup.status("", "tempStatusFile")),
    ("an old folder of the version before", lambda vm: Extension(vm.root, version="1.0.9218.0").state("NotInstalled", DAY)),
])
def test_what_is_normal_is_no_finding(machine: Machine, what: str, spoil: Callable[[Machine], object]) -> None:
    spoil(machine)
    assert machine.findings() == {}, what
