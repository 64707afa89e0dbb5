"""A package manager's lock: seen while another process holds it, and never taken."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard.observe import freeze, packages

HOLD = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(fd, fcntl.LOCK_SH if sys.argv[2] == "read" else fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def held(lock: Path, kind: str = "write") -> Iterator[int]:
    """Another process holds an fcntl lock on the file; its pid."""
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock), kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        assert child.stdout.readline() == b"held\n"
        yield child.pid
        child.stdin.close()


class TestHolder:
    def test_nobody_no_file(self, tmp_path: Path) -> None:
        assert packages.holder(tmp_path / "lock") is None

    def test_nobody_a_leftover(self, tmp_path: Path) -> None:
        (tmp_path / "lock").touch()
        assert packages.holder(tmp_path / "lock") is None

    @pytest.mark.parametrize("kind", ["write", "read"])
    def test_another_process(self, tmp_path: Path, kind: str) -> None:
        lock = tmp_path / "lock"
        with held(lock, kind) as pid:
            assert packages.holder(lock) == pid
        assert packages.holder(lock) is None

    def test_one_that_was_killed_holds_it_no_more(self, tmp_path: Path) -> None:
        with held(tmp_path / "lock") as pid:
            os.kill(pid, 9)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
            assert packages.holder(tmp_path / "lock") is None

    def test_looking_takes_nothing_away_and_keeps_nothing(self, tmp_path: Path) -> None:
        lock = tmp_path / "lock"
        with held(lock):
            for _ in range(3):
                packages.holder(lock)
            with lock.open("r+") as file, pytest.raises(BlockingIOError):
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with lock.open("r+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    @pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
    def test_odd_things_do_not_block(self, tmp_path: Path, kind: str) -> None:
        lock = tmp_path / "lock"
        if kind == "directory":
            lock.mkdir()
        elif kind == "fifo":
            os.mkfifo(lock)
        else:
            lock.symlink_to("/dev/null")
        assert packages.holder(lock) is None

    def test_what_cannot_be_told_is_raised(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to("lock")
        with pytest.raises(OSError):
            packages.holder(tmp_path / "lock")


class TestTransaction:
    def test_who_holds_which(self, tmp_path: Path) -> None:
        locks = [tmp_path / name for name in ("nowhere", "lock-frontend", "lock")]
        locks[1].touch()
        assert packages.transaction(locks) is None
        with held(locks[2]) as pid:
            assert packages.transaction(locks) == f"a package manager (pid {pid}) holds {locks[2]}"

    def test_those_of_dpkg_and_rpm_are_looked_at(self) -> None:
        """dpkg's moved once and rpm's database too; both places count."""
        assert {str(lock) for lock in packages.LOCKS} == {
            "/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock", "/usr/lib/sysimage/rpm/.rpm.lock"}


class TestFreeze:
    def test_only_while_the_lock_is_held(self, tmp_path: Path) -> None:
        lock = tmp_path / "SafeFreezeLockFile"
        assert not freeze.freezing(lock)
        with held(lock):
            assert freeze.freezing(lock)
        assert lock.exists() and not freeze.freezing(lock), "the file alone is a left-over"

    def test_what_cannot_be_told_is_no_freeze(self, tmp_path: Path) -> None:
        (tmp_path / "lock").symlink_to("lock")
        assert not freeze.freezing(tmp_path / "lock")
