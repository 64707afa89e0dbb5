"""Which mounts are asked, which do not answer, and that nothing piles up in one that hangs."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard.observe import mounts
from waguard.observe.mounts import Asked, Mounts
from waguard.settings import ResourceSettings

from .trees import plant

TABLE = """27 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 27 0:50 / /mnt/nfs rw - nfs4 host:/export rw
31 27 0:51 / /mnt/share rw - cifs //host/share rw,username=u
32 27 8:17 / /data rw - xfs /dev/sdb1 rw
33 27 8:17 / /backup rw - xfs /dev/sdb1 rw
34 27 0:40 / /tmp rw - tmpfs tmpfs rw
35 27 0:41 / /mnt/auto rw - autofs systemd-1 rw
36 27 0:52 / /home/u/sftp rw - fuse.sshfs u@host: rw
"""
FINE = "def look(path):\n    return [path, 1, 2, 1, 1, 0, 0]\n"
DEAD = "import time\ndef look(path):\n    if path.endswith('/mnt/nfs'): time.sleep(600)\n    return [path, 1, 2, 1, 1, 0, 0]\n"
STALE = "def look(path):\n    if path.endswith('/mnt/nfs'): raise OSError(116, '')\n    return [path, 1, 2, 1, 1, 0, 0]\n"


def look(root: Path, asking: str = FINE, state: object = None, timeout: float = 20.0, now: float = 1000.0) -> Mounts:
    return mounts.look(ResourceSettings(mount_timeout=timeout), state, now, root, asking)  # type: ignore[arg-type]


def by_point(found: Mounts) -> dict[str, Asked]:
    return {one.point: one for one in found.mounts}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return plant(tmp_path, {"proc/1/mountinfo": TABLE, "proc/self/mountinfo": TABLE})


@pytest.fixture
def sleeper() -> Iterator[tuple[int, int]]:
    """A process, and its start in clock ticks."""
    with subprocess.Popen(["sleep", "600"]) as process:
        try:
            stat = Path(f"/proc/{process.pid}/stat").read_text()
            yield process.pid, int(stat.rpartition(")")[2].split()[19])
        finally:
            process.kill()


def test_network_mounts_and_what_a_backup_freezes_are_asked(root: Path) -> None:
    found = look(root)
    assert [one.point for one in found.mounts] == ["/home/u/sftp", "/mnt/nfs", "/mnt/share", "/", "/backup", "/data"]
    assert all(one.answers is True for one in found.mounts) and found.unasked == 0 and found.state == {"stuck": []}


def test_one_that_hangs_is_told_and_the_others_answer(root: Path) -> None:
    found = by_point(look(root, DEAD, timeout=1.0))
    assert found["/mnt/nfs"] == Asked("/mnt/nfs", "nfs4", True, False, 1.0, "no answer within 1 s")
    assert [one.answers for point, one in found.items() if point != "/mnt/nfs"] == [True] * 5


def test_an_error_is_told_with_its_number(root: Path) -> None:
    one = by_point(look(root, STALE))["/mnt/nfs"]
    assert one.answers is False and one.errno == 116 and one.problem == "Stale file handle"


def test_where_an_earlier_child_still_hangs_no_other_is_sent(root: Path, sleeper: tuple[int, int], tmp_path: Path) -> None:
    pid, started = sleeper
    plant(root, {f"proc/{pid}/stat": Path(f"/proc/{pid}/stat").read_text()})
    note = f"def look(path):\n    open({str(tmp_path)!r} + '/asked', 'a').write(path + chr(10))\n    return [path, 1, 2, 1, 1, 0, 0]\n"
    state = {"stuck": [{"mount": "/mnt/nfs", "pid": pid, "started": started}]}
    found = look(root, note, json.loads(json.dumps(state)), now=started / 100 + 700)
    one = by_point(found)["/mnt/nfs"]
    assert one.answers is False and one.since == pytest.approx(700, abs=1) and str(pid) in one.problem
    assert found.state == state, "and it is remembered on"
    asked = (tmp_path / "asked").read_text().splitlines()
    assert len(asked) == 5 and not any(path.endswith("/mnt/nfs") for path in asked)


@pytest.mark.parametrize("change", [{"pid": 4194305}, {"started": 1}, {"mount": "/other"}])
def test_when_it_is_gone_or_another_has_its_pid_the_mount_is_asked_again(root: Path, sleeper: tuple[int, int], change: dict[str, object]) -> None:
    pid, started = sleeper
    plant(root, {f"proc/{pid}/stat": Path(f"/proc/{pid}/stat").read_text()})
    found = look(root, FINE, {"stuck": [{"mount": "/mnt/nfs", "pid": pid, "started": started, **change}]})
    assert by_point(found)["/mnt/nfs"].answers is True


@pytest.mark.parametrize("state", [None, {}, {"stuck": None}, {"stuck": 3}, {"stuck": [1, None, {}, {"mount": 1, "pid": "x", "started": 1}]},
                                   {"stuck": [{"mount": "/", "pid": -1, "started": []}]}])
def test_a_state_that_makes_no_sense_is_none(root: Path, state: object) -> None:
    assert all(one.answers for one in look(root, FINE, state).mounts)


def test_a_mount_under_another_one_is_not_asked_in_its_stead(tmp_path: Path) -> None:
    plant(tmp_path, {"proc/1/mountinfo": TABLE + "40 30 0:60 / /mnt/nfs rw - tmpfs tmpfs rw\n"})
    assert "/mnt/nfs" not in by_point(look(tmp_path))


def test_what_the_sandbox_hides_is_not_asked_and_not_called_dead(tmp_path: Path) -> None:
    """ProtectHome=yes puts an empty folder over /home."""
    own = TABLE.replace("36 27 0:52 / /home/u/sftp rw - fuse.sshfs u@host: rw", "36 27 0:70 / /home ro - tmpfs tmpfs ro")
    found = look(plant(tmp_path, {"proc/1/mountinfo": TABLE, "proc/self/mountinfo": own}))
    assert by_point(found)["/home/u/sftp"] == Asked("/home/u/sftp", "fuse.sshfs", True, None, problem="waguard's sandbox hides it")


def test_no_more_than_64_are_asked_network_mounts_first(tmp_path: Path) -> None:
    lines = [f"{100 + number} 27 8:{number} / /disk{number:03} rw - ext4 /dev/x{number} rw" for number in range(200)]
    found = look(plant(tmp_path, {"proc/1/mountinfo": TABLE + "\n".join(lines) + "\n"}))
    assert len(found.mounts) == 64 and found.unasked == 142 and [one.network for one in found.mounts[:4]] == [True, True, True, False]


def test_filesystems_that_are_mounted_twice(root: Path) -> None:
    assert look(root).twice == (("/data", "/backup"),)


def test_the_state_is_plain_json(root: Path) -> None:
    found = look(root, DEAD, timeout=0.5)
    assert json.loads(json.dumps(found.state)) == found.state
