"""Trees made to mislead: whatever is in them, nothing outside is read, nothing blocks."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Union

import pytest

from waguard.bundle import members, walk
from waguard.bundle.members import ALL_LOGS, Tree
from waguard.bundle.walk import Found, Left

ROOT = os.geteuid() == 0
Powerless = Callable[[], contextlib.AbstractContextManager[None]]


def _walk(root: Path) -> dict[str, str]:
    """"taken" or why not, by path."""
    found: dict[str, str] = {}
    for one in walk.walk(Tree(str(root), ALL_LOGS), (), lambda _parts: None, lambda _parts: ""):
        found["/".join(one.parts)] = "taken" if isinstance(one, Found) else one.why
    return found


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "azure"
    (root / "Some.Ext").mkdir(parents=True)
    (root / "Some.Ext" / "extension.log").write_text("ok\n")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "file").write_text("outside\n")
    return root


def test_files_at_any_depth_are_found(tree: Path) -> None:
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "b" / "c.log").write_text("x")
    assert _walk(tree) == {"Some.Ext/extension.log": "taken", "a/b/c.log": "taken"}


@pytest.mark.parametrize("target", ["../secret/file", "../secret", "/etc/shadow", "loop", ".", "..", "Some.Ext/extension.log", "gone"])
def test_no_link_is_followed_even_one_that_stays_inside(tree: Path, target: str) -> None:
    (tree / "loop").symlink_to(target)
    assert _walk(tree)["loop"] == f"a symbolic link to {target}"
    assert set(_walk(tree)) == {"Some.Ext/extension.log", "loop"}


def test_what_is_no_regular_file_is_never_opened(tree: Path) -> None:
    os.mkfifo(tree / "fifo.log")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tree / "socket.log"))
        found = _walk(tree)
    assert found["fifo.log"] == "a FIFO" and found["socket.log"] == "a socket"
    top = walk.root(str(tree))
    for name in ("fifo.log", "socket.log"):
        with pytest.raises(walk.Refused):
            walk.open_file(top, (name,))
    os.close(top)


@pytest.mark.skipif(not ROOT, reason="only root makes devices")
def test_a_device_is_never_opened(tree: Path) -> None:
    os.mknod(tree / "zero.log", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
    assert _walk(tree)["zero.log"] == "a device"


def test_a_hard_link_is_left_out_whoever_made_it(tree: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "secret" / "file", tree / "innocent.log")
    assert "2 names" in _walk(tree)["innocent.log"]
    top = walk.root(str(tree))
    with pytest.raises(walk.Refused, match="names"):
        walk.open_file(top, ("innocent.log",))
    os.close(top)


@pytest.mark.parametrize("name", [b"new\nline.log", b"\xff\xfe.log", b"-rf.log", b"a" * 255, "ä.log".encode(), b"tab\t.log", b"%0A.log",
                                  b"..log", b"\x1b[31m.log"])
def test_any_name_can_be_listed_and_opened(tree: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(tree), name), "wb") as file:
        file.write(b"x")
    text = os.fsdecode(name)
    assert _walk(tree)[text] == "taken"
    top = walk.root(str(tree))
    fd, info = walk.open_file(top, (text,))
    assert os.read(fd, 9) == b"x" and info.st_size == 1
    os.close(fd)
    os.close(top)


def test_a_folder_swapped_for_a_link_after_the_look_is_not_followed(tree: Path, tmp_path: Path) -> None:
    (tree / "dir").mkdir()
    (tree / "dir" / "file").write_text("inside")
    assert _walk(tree)["dir/file"] == "taken"
    (tree / "dir").rename(tree / "old")
    (tree / "dir").symlink_to(tmp_path / "secret")
    top = walk.root(str(tree))
    with pytest.raises(walk.Refused, match="symbolic link"):
        walk.open_file(top, ("dir", "file"))
    os.close(top)


def test_a_file_swapped_for_a_link_or_a_fifo_after_the_look_is_not_read(tree: Path, tmp_path: Path,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    top = walk.root(str(tree))
    path = tree / "Some.Ext" / "extension.log"
    path.unlink()
    path.symlink_to(tmp_path / "secret" / "file")
    with pytest.raises(walk.Refused):
        walk.open_file(top, ("Some.Ext", "extension.log"))
    path.unlink()
    os.mkfifo(path)
    opened: list[str] = []
    monkeypatch.setattr(walk, "_open", lambda name, _fd: opened.append(name))
    with pytest.raises(walk.Refused, match="FIFO"):
        walk.open_file(top, ("Some.Ext", "extension.log"))
    assert not opened
    monkeypatch.undo()
    path.unlink()
    with pytest.raises(FileNotFoundError):
        walk.open_file(top, ("Some.Ext", "extension.log"))
    os.close(top)


def test_a_folder_swapped_between_two_steps_of_the_walk_is_not_entered(tree: Path, tmp_path: Path) -> None:
    (tree / "dir").mkdir()
    (tree / "dir" / "file").write_text("inside")

    def swap(parts: tuple[str, ...]) -> None:
        if parts == ("dir",):
            (tree / "dir").rename(tree / "old")
            (tree / "dir").symlink_to(tmp_path / "secret")

    found: list[Union[Found, Left]] = list(walk.walk(Tree(str(tree), ALL_LOGS), (), swap, lambda _parts: ""))
    assert [one.why for one in found if isinstance(one, Left)] == ["it became a symbolic link, or something else, meanwhile"]
    assert ("dir", "file") not in [one.parts for one in found]


def test_what_vanishes_meanwhile_is_no_error(tree: Path) -> None:
    (tree / "dir").mkdir()
    found = list(walk.walk(Tree(str(tree), ALL_LOGS), (), lambda parts: (tree / "dir").rmdir() if parts == ("dir",) else None,
                           lambda _parts: ""))
    assert [one.parts for one in found] == [("Some.Ext", "extension.log")]


def test_what_may_not_be_read_is_said(tree: Path, powerless: Powerless, monkeypatch: pytest.MonkeyPatch) -> None:
    (tree / "dir").mkdir(mode=0)
    (tree / "file.log").write_text("x")
    (tree / "file.log").chmod(0)
    monkeypatch.chdir(tree)
    with powerless():
        assert _walk(Path("."))["dir"] == "Permission denied"
        top = walk.root(".")
        with pytest.raises(walk.Refused, match="Permission denied"):
            walk.open_file(top, ("file.log",))
    os.close(top)


def test_a_tree_too_deep_or_too_wide_ends_somewhere(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tree
    for _ in range(members.DEEPEST + 5):
        path = path / "d"
        path.mkdir()
    assert "too deep" in _walk(tree).values()
    monkeypatch.setattr(members, "MOST_IN_FOLDER", 10)
    (tree / "many").mkdir()
    for number in range(30):
        (tree / "many" / str(number)).write_text("")
    found = _walk(tree)
    assert len([path for path in found if path.startswith("many/")]) == 10 and "more than 10 entries" in found["many"]


class TestRoot:
    def test_a_link_of_ones_own_is_followed(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tree)
        assert _walk(tmp_path / "link") == {"Some.Ext/extension.log": "taken"}

    @pytest.mark.skipif(not ROOT, reason="only root gives links away")
    def test_a_link_of_somebody_else_is_not(self, tree: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(tree)
        os.lchown(tmp_path / "link", 65534, 65534)
        with pytest.raises(walk.Refused, match="link of user 65534"):
            _walk(tmp_path / "link")

    @pytest.mark.parametrize("path", ["secret/file", "\0"])
    def test_what_is_no_folder_is_refused(self, tmp_path: Path, tree: Path, path: str) -> None:
        with pytest.raises(walk.Refused):
            walk.root(str(tmp_path / path))

    def test_what_is_not_there_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            walk.root(str(tmp_path / "none"))


def test_folders_that_hung_or_are_mounts_are_not_touched(tree: Path) -> None:
    (tree / "hung").mkdir()
    (tree / "mount").mkdir()
    opened: list[tuple[str, ...]] = []
    found = {"/".join(one.parts): one for one in walk.walk(
        Tree(str(tree), ALL_LOGS), {("hung",)}, opened.append, lambda parts: "nfs" if parts == ("mount",) else "")}
    assert isinstance(found["hung"], Left) and found["hung"].why == "did not answer in time"
    assert isinstance(found["mount"], Left) and found["mount"].why == "nfs"
    assert opened == [(), ("Some.Ext",)]
