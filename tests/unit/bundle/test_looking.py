"""The reader process: what it does not answer for is left out, and the rest is had."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from waguard.bundle import members, reader
from waguard.bundle.looking import Looking
from waguard.bundle.members import ALL_LOGS, Rule, Tree
from waguard.bundle.walk import Found, Left

PACKAGES = str(Path(__file__).resolve().parents[3])
HANGING = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
from waguard.bundle import reader
really = os.open
def hang(path, *args, **more):
    if "hang" in str(path):
        open(sys.argv[2], "a").write(str(path) + "\\n")
        time.sleep(600)
    return really(path, *args, **more)
os.open = hang
sys.exit(reader.main())
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "azure"
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        (root / name / "x.log").write_text(f"{name} password=hunter2 n\n")
    return root


def _hanging(tmp_path: Path) -> Looking:
    return Looking(0.7, [sys.executable, "-c", HANGING, PACKAGES, str(tmp_path / "hung")])


def _read(looking: Looking, tree: Tree, *parts: str) -> tuple[bytes, dict[str, Any]]:
    data: list[bytes] = []
    end = looking.read(tree, Found(parts, 0, 0.0, Rule("**", "log")), 1 << 30, data.append)
    return b"".join(data), end


def test_a_tree_is_listed_and_read_by_another_process(tree: Path) -> None:
    looking = Looking()
    try:
        found, problem, missing = looking.list(Tree(str(tree), ALL_LOGS))
        assert [one.parts for one in found] == [("a", "x.log"), ("b", "x.log")] and (problem, missing) == ("", False)
        data, end = _read(looking, Tree(str(tree), ALL_LOGS), "a", "x.log")
        assert data == b"a password=***REDACTED*** n\n" and end["problem"] == "" and end["masked"] == {"named-value": 1}
        assert looking.list(Tree(str(tree / "gone"), ALL_LOGS)) == ([], "", True)
        assert looking.list(Tree(str(tree / "a" / "x.log"), ALL_LOGS))[1] == "Not a directory"
    finally:
        looking.close()
    assert not Path(f"/proc/{looking.pid}").exists()


def test_a_folder_that_does_not_answer_is_left_out_and_all_others_are_had(tree: Path, tmp_path: Path) -> None:
    for name in ("ahang", "bhang"):
        (tree / name).mkdir()
    looking = _hanging(tmp_path)
    try:
        found, problem, _ = looking.list(Tree(str(tree), ALL_LOGS))
    finally:
        looking.close()
    assert problem == ""
    assert {one.parts: one.why for one in found if isinstance(one, Left)} == {
        ("ahang",): "did not answer in time", ("bhang",): "did not answer in time"}
    assert [one.parts for one in found if isinstance(one, Found)] == [("a", "x.log"), ("b", "x.log")]
    assert (tmp_path / "hung").read_text().split() == ["ahang", "bhang"]  # Neither was touched twice.


def test_a_root_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "hang").mkdir()
    looking = _hanging(tmp_path)
    try:
        assert looking.list(Tree(str(tmp_path / "hang"), ALL_LOGS)) == ([], "it did not answer in time", False)
    finally:
        looking.close()


def test_a_file_that_does_not_answer_is_given_up_and_the_next_one_is_read(tree: Path, tmp_path: Path) -> None:
    (tree / "hang.log").write_text("x")
    looking, whole = _hanging(tmp_path), Tree(str(tree), ALL_LOGS)
    try:
        begin = time.monotonic()
        assert _read(looking, whole, "hang.log") == (b"", {"problem": "it did not answer in time"})
        assert time.monotonic() - begin < 60
        assert _read(looking, whole, "b", "x.log")[0].startswith(b"b password=***")
    finally:
        looking.close()


def test_a_reader_that_dies_is_replaced(tree: Path) -> None:
    looking, whole = Looking(), Tree(str(tree), ALL_LOGS)
    try:
        looking.list(whole)
        os.kill(looking.pid, 9)
        first = looking.pid
        while _read(looking, whole, "a", "x.log")[1]["problem"]:
            pass
        assert looking.pid != first
    finally:
        looking.close()


def test_a_reader_that_cannot_even_start_is_said() -> None:
    looking = Looking(5, [sys.executable, "-c", "raise SystemExit(3)"])
    try:
        assert "failed" in looking.list(Tree("/", (Rule("x"),)))[1]
    finally:
        looking.close()


@pytest.mark.parametrize("parts", [("x.prv",), ("a", "Certificates.xml"), ("ovf-env.xml",), ("logcollector", "x.log")])
def test_the_reader_itself_opens_nothing_that_is_forbidden(tree: Path, parts: tuple[str, ...]) -> None:
    (tree / "logcollector").mkdir()
    tree.joinpath(*parts).write_text("secret")
    looking = Looking()
    try:
        data, end = _read(looking, Tree(str(tree), ALL_LOGS), *parts)
    finally:
        looking.close()
    assert data == b"" and end["problem"] == members.forbidden(parts)


def test_folders_that_another_machine_answers_for_are_known(tmp_path: Path) -> None:
    (tmp_path / "mountinfo").write_text(
        "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n30 22 0:40 / /var/log/azure/a\\040b rw - nfs4 host:/x rw\n"
        "31 22 0:41 / /var/log/azure/f rw - fuse.sshfs x rw\n32 22 8:2 / /var/log rw - ext4 /dev/sdb rw\n")
    mounts = reader.Mounts(str(tmp_path / "mountinfo"))
    assert "nfs4" in mounts.why("/var/log/azure/a b") and "fuse.sshfs" in mounts.why("/var/log/azure/f")
    assert mounts.why("/var/log") == mounts.why("/var/log/azure") == "" == reader.Mounts("/nonexistent").why("/")


DEAD = """
import ctypes, os, sys, time
sys.path.insert(0, sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
assert libc.unshare(0x00020000) == 0                                                   # CLONE_NEWNS
assert libc.mount(b"none", b"/", None, 0x44000, None) == 0                             # MS_REC|MS_PRIVATE
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0".encode()
assert libc.mount(b"dead", sys.argv[2].encode(), b"fuse", 0, options) == 0, os.strerror(ctypes.get_errno())
from waguard.bundle.looking import Looking
from waguard.bundle.members import ALL_LOGS, Tree
looking = Looking(1.0)
print(looking.list(Tree(sys.argv[2], ALL_LOGS)))                                       # The mount itself.
above = os.path.dirname(sys.argv[2])
print(looking.list(Tree(above, ALL_LOGS)))                                             # A folder with it in.
looking.close()
os._exit(0)
"""


@pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="only root mounts a filesystem that nobody serves")
def test_a_mounted_filesystem_that_nobody_answers_for_holds_nothing_up(tree: Path) -> None:
    (tree / "dead").mkdir()
    ran = subprocess.run([sys.executable, "-c", DEAD, PACKAGES, str(tree / "dead")], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=60)
    lines = ran.stdout.splitlines()
    assert lines[0] == "([], 'it did not answer in time', False)", ran.stdout
    assert "a filesystem of type fuse is mounted there" in lines[1] and "x.log" in lines[1]
