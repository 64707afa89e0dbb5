"""The last snapshot of a fake machine: result, processes, freeze, history."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from agent.vmstatus import disk, status

from waguard.agent.vmsnapshot import Outcome
from waguard.observe import snapshots
from waguard.observe.files import Unusable
from waguard.observe.snapshots import Freezer, Lock, Processes, Snapshots

from .vmtree import AGENT, DAY, HOUR, MINUTE, NOW, UP, Extension, Proc, plain, put

FOLDER = "/var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9220.0"
DAEMON = ["/usr/bin/python3", "main/handle.py", "-seqNo:7", "-daemon"]


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    return Proc(tmp_path)


@pytest.fixture
def vm(tmp_path: Path) -> Extension:
    return Extension(tmp_path).state().report()


def look(root: Path) -> Snapshots:
    return snapshots.look(AGENT, NOW, root, root / "proc")


class TestOutcome:
    """Each row of "What values mean for health" once more, with real files and a real walk over a fake /proc."""

    @pytest.mark.parametrize("what, data, age, daemon, wanted", [
        ("in progress", status("4"), 5 * MINUTE, True, Outcome.RUNNING),
        ("daemon died", status("4"), 16 * MINUTE, False, Outcome.STUCK),
        ("long scripts", status("4"), HOUR, True, Outcome.RUNNING),
        ("app consistent", status("0"), HOUR, False, Outcome.SUCCESS),
        ("fs consistent", status("1"), HOUR, False, Outcome.SUCCESS),
        ("duplicate", status("3"), HOUR, False, Outcome.SUCCESS),
        ("no network", status("76", "error"), HOUR, False, Outcome.FAILED),
        ("one disk failed", status("1", disks=[disk(), disk("false")]), HOUR, False, Outcome.FAILED),
    ])
    def test_of_a_request_with_a_status(self, tmp_path: Path, vm: Extension, proc: Proc, what: str, data: bytes, age: float, daemon: bool,
                                        wanted: Outcome) -> None:
        vm.settings(7, age + 1).status(data, 7, age).mrseq(7)
        if daemon:
            proc.add(4711, DAEMON, cwd=FOLDER)
        seen = look(tmp_path)
        assert seen.outcome is wanted, what
        assert seen.processes.daemon == (4711 if daemon else None)

    @pytest.mark.parametrize("there, missing", [((".crt", ".prv"), ()), ((".crt",), (".prv",)), ((), (".crt", ".prv"))])
    def test_the_certificate_of_the_settings(self, tmp_path: Path, vm: Extension, there: tuple[str, ...], missing: tuple[str, ...]) -> None:
        vm.settings(7, thumbprint="ABCDEF0123")
        for suffix in there:
            (vm.path.parent / f"ABCDEF0123{suffix}").touch(0o000)
        assert look(tmp_path).keys_missing == missing

    def test_settings_without_a_certificate(self, tmp_path: Path, vm: Extension) -> None:
        assert look(tmp_path).keys_missing is None
        vm.settings(7, thumbprint="")
        assert look(tmp_path).keys_missing is None

    @pytest.mark.parametrize("age, wanted", [(5 * MINUTE, Outcome.RUNNING), (11 * MINUTE, Outcome.NO_RESULT)])
    def test_newer_settings_without_a_status_of_theirs(self, tmp_path: Path, vm: Extension, proc: Proc, age: float, wanted: Outcome) -> None:
        vm.settings(8, age, protected="SECRET").status(status("1"), 7, DAY).old(6, status("1"), 2 * DAY).mrseq(7)
        seen = look(tmp_path)
        assert (seen.outcome, seen.sequence, seen.settings_protected, seen.accepted, seen.result) == (wanted, 8, True, 7, None)
        assert "SECRET" not in repr(seen)

    def test_an_agent_that_restarts_writes_the_settings_again_and_that_is_no_new_request(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings(7, 20 * MINUTE, protected="SECRET").status(status("1"), 7, DAY).mrseq(7)
        assert look(tmp_path).outcome is Outcome.SUCCESS

    def test_the_newest_request_is_the_one_written_last_not_the_highest_number(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings(12, DAY).status(status("76", "error"), 12, DAY).settings(1, HOUR).status(status("1"), 1, HOUR)
        seen = look(tmp_path)
        assert (seen.sequence, seen.settings_at, seen.outcome) == (1, NOW - HOUR, Outcome.SUCCESS)

    def test_no_request_yet(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        seen = look(tmp_path)
        assert (seen.present, seen.installed, seen.version, seen.outcome) == (True, "1.0.9220.0", "1.0.9220.0", Outcome.NONE)

    def test_not_installed(self, tmp_path: Path, proc: Proc) -> None:
        Extension(tmp_path, "Microsoft.Azure.RecoveryServices.VMSnapshot").state().settings().status(status("76", "error"))
        seen = look(tmp_path)
        assert (seen.present, seen.outcome, seen.result) == (False, Outcome.NONE, None)

    def test_a_status_that_is_none_is_no_result(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings().status('{"a": 1}').mrseq(7)
        seen = look(tmp_path)
        assert seen.outcome is Outcome.NO_RESULT and "is not a JSON array" in seen.result_problem

    def test_a_plain_status_has_one_layer_only(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings().status(plain("error", "16", "unable to load certificate"))
        seen = look(tmp_path)
        assert seen.outcome is Outcome.FAILED and seen.result is not None and (seen.result.code, seen.result.inner) == (16, False)

    def test_a_leftover_of_writing_is_no_status(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings().status(status("76", "error"), "tempStatusFile")
        assert look(tmp_path).outcome is Outcome.NO_RESULT

    def test_a_status_that_cannot_be_read_is_not_judged(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings()
        os.mkfifo(vm.path / "status/7.status")
        seen = look(tmp_path)
        assert seen.outcome is None and "not a regular file" in seen.problem

    def test_without_a_library_directory_it_is_not_known(self, tmp_path: Path, proc: Proc) -> None:
        with pytest.raises(Unusable):
            look(tmp_path)

    @pytest.mark.parametrize("outcome, before, wanted", [
        (Outcome.SUCCESS, None, True), (Outcome.FAILED, True, False), (Outcome.STUCK, True, False), (Outcome.NO_RESULT, True, False),
        (Outcome.RUNNING, True, True), (Outcome.RUNNING, False, False), (Outcome.RUNNING, None, None), (Outcome.NONE, None, None), (None, True, None)])
    def test_was_the_last_one_a_success(self, outcome: Optional[Outcome], before: Optional[bool], wanted: Optional[bool]) -> None:
        assert Snapshots(outcome=outcome, history=snapshots.History(last_ok=before)).last_success_ok is wanted


class TestProcesses:
    def test_the_daemon_the_enabling_one_and_the_freezer(self, proc: Proc) -> None:
        proc.add(20, DAEMON, cwd=FOLDER).add(21, ["sh", FOLDER + "/main/handle.sh", "daemon"], comm="sh")
        proc.add(30, ["/usr/bin/python3.11", "main/handle.py", "-seqNo:8", "-enable"], comm="python3.11", cwd=FOLDER)
        proc.add(40, [FOLDER + "/main/safefreeze/bin/safefreeze", "60", "/data", "/"], comm="safefreeze", age=12)
        seen = snapshots.processes(proc.path)
        assert (seen.daemon, seen.enabling, seen.working, seen.problem) == (20, 30, True, "")
        (freezer,) = seen.freezers
        assert freezer == Freezer(40, pytest.approx(12, abs=0.1), 60.0, ("/data", "/"))

    def test_others_are_none(self, proc: Proc) -> None:
        proc.add(20, DAEMON, cwd="/var/lib/waagent/Microsoft.Azure.Security.AzureDiskEncryptionForLinux-1.4")
        proc.add(21, ["vi", FOLDER + "/main/handle.py", "-daemon"], comm="vi").add(22, ["grep", "safefreeze"], comm="grep").add(23, [], comm="python3")
        assert snapshots.processes(proc.path) == Processes()

    def test_the_command_line_of_a_stranger_is_not_even_read(self, proc: Proc) -> None:
        """Reading it can hang, if that process is stuck on a frozen filesystem with its memory map locked."""
        proc.add(20, DAEMON, comm="postgres", cwd=FOLDER)
        assert snapshots.processes(proc.path).daemon is None

    def test_one_whose_directory_may_not_be_seen_is_told_by_its_mark(self, proc: Proc) -> None:
        proc.add(20, DAEMON)
        assert snapshots.processes(proc.path).daemon == 20

    def test_processes_that_end_meanwhile_do_no_harm(self, proc: Proc) -> None:
        (proc.path / "77").mkdir()
        proc.add(78, ["/x/safefreeze", "x"], comm="safefreeze")
        (proc.path / "78/stat").unlink()
        assert snapshots.processes(proc.path).freezers == (Freezer(78, None),)

    def test_hidden_processes_are_not_known_to_be_none(self, proc: Proc) -> None:
        (proc.path / "1").rename(proc.path / "gone")
        assert snapshots.processes(proc.path).working is None
        assert snapshots.processes(proc.path / "nowhere").working is None
        proc.add(20, DAEMON, cwd=FOLDER)
        assert snapshots.processes(proc.path).working is True

    @pytest.mark.parametrize(("numbers", "mine"), [("20", True), ("20\t7", False), ("20\t7\t3", False), ("", True)])
    def test_those_of_a_container_are_not_this_vms(self, proc: Proc, numbers: str, mine: bool) -> None:
        proc.add(20, DAEMON, cwd=FOLDER)
        (proc.path / "20/status").write_text(f"Name:\tpython3\nNSpid:\t{numbers}\nNSsid:\t1\t2\n")
        assert (snapshots.processes(proc.path).daemon == 20) is mine

    def test_a_real_one(self, tmp_path: Path) -> None:
        folder = tmp_path / FOLDER.rpartition("/")[2]
        put(folder / "main/handle.py", "import sys\nprint('up', flush=True)\nsys.stdin.read()\n")
        child = subprocess.Popen([sys.executable, "main/handle.py", "-seqNo:7", "-daemon"], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            assert child.stdout is not None and child.stdout.readline() == b"up\n"
            assert snapshots.processes().daemon == child.pid
        finally:
            child.kill()
            child.communicate()


class TestFreeze:
    @pytest.fixture
    def held(self, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
        path = put(tmp_path / snapshots.LOCK, "", 30)
        code = f"import fcntl, sys\nfile = open({str(path)!r}, 'r+')\nfcntl.lockf(file, fcntl.LOCK_EX)\nprint('held', flush=True)\nsys.stdin.read()\n"
        child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"held\n"
        yield child
        child.kill()
        child.communicate()

    def test_who_holds_the_lock_and_since_when(self, tmp_path: Path, vm: Extension, proc: Proc, held: Any) -> None:
        assert look(tmp_path).lock == Lock(True, held.pid, 30.0)

    def test_a_leftover_is_held_by_nobody(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        put(tmp_path / snapshots.LOCK, "", 30)
        assert look(tmp_path).lock == Lock(True, None, 30.0)

    def test_no_lock_file_no_freeze(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        assert look(tmp_path).lock == Lock()

    def test_one_that_cannot_be_opened_is_not_known_to_be_free(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        assert "symbolic links" in snapshots.lock(tmp_path / "loop", NOW).problem


class TestHistory:
    def test_successes_old_and_new(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings(9, HOUR).status(status("1", at=NOW - HOUR), 9, HOUR).mrseq(9)
        vm.old(8, status("76", "error", at=NOW - DAY), DAY).old(7, status("4"), 2 * DAY).old(6, b"[", 3 * DAY)
        vm.old(5, status("0", at=NOW - 4 * DAY), 4 * DAY).old(4, status("1", at=NOW - 5 * DAY), 5 * DAY).old(3, status("3", at=NOW - 6 * DAY), 6 * DAY)
        seen = look(tmp_path).history
        assert (seen.results, seen.successes, seen.last_success, seen.last_ok) == (5, 3, NOW - HOUR, True)
        assert seen.rhythm is not None and seen.rhythm.interval == pytest.approx((DAY + 4 * DAY - HOUR) / 2)

    def test_the_last_end_counts_while_the_next_is_at_work(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        vm.settings(9, MINUTE).status(status("4"), 9, MINUTE).old(8, status("76", "error", at=NOW - DAY), DAY).old(7, status("1", at=NOW - 2 * DAY), 2 * DAY)
        seen = look(tmp_path)
        assert (seen.outcome, seen.last_success_ok, seen.history.last_success) == (Outcome.RUNNING, False, NOW - 2 * DAY)

    @pytest.mark.parametrize("at, wanted", [(NOW + 10 * DAY, NOW - DAY), (1000.0, NOW - DAY), (NOW - 2 * DAY, NOW - 2 * DAY)])
    def test_a_time_that_cannot_be_is_replaced_by_the_files(self, tmp_path: Path, vm: Extension, proc: Proc, at: float, wanted: float) -> None:
        vm.old(5, status("1", at=at), DAY)
        assert look(tmp_path).history.last_success == wanted

    def test_sixty_at_most(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        for number in range(70):
            vm.old(number, status("1", at=NOW - (70 - number) * DAY), (70 - number) * DAY)
        seen = look(tmp_path).history
        assert (seen.successes, seen.last_success) == (60, NOW - DAY)

    def test_none_at_all(self, tmp_path: Path, vm: Extension, proc: Proc) -> None:
        assert look(tmp_path).history == snapshots.History()


def test_the_age_of_a_process_is_counted_from_boot(tmp_path: Path) -> None:
    proc = Proc(tmp_path).add(9, ["x"], comm="a) (b", age=UP - 5)
    assert snapshots._age(9, proc.path) == pytest.approx(UP - 5, abs=0.1)

