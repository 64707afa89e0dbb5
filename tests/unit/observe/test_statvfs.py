"""Asking filesystems in children, with real children: some answer, some fail, some never come back."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from waguard.observe import programs, statvfs
from waguard.observe.statvfs import Answer, Space

SLOW = """
import time
def look(path):
    if "dead" in path:
        time.sleep(600)
    if "gone" in path:
        raise OSError(116, "Stale file handle")
    if "odd" in path:
        raise RuntimeError(path)
    if "crash" in path:
        os._exit(3)
    return [path, 4096, 100, 50, 40, 30, 20]
"""


def test_the_numbers_are_those_of_statvfs(tmp_path: Path) -> None:
    answer = statvfs.ask([str(tmp_path)], 20.0)[str(tmp_path)]
    info = os.statvfs(tmp_path)
    assert answer.space is not None and (answer.space.size, answer.space.files) == (info.f_frsize * info.f_blocks, info.f_files)
    assert answer.real == os.path.realpath(tmp_path) and answer.problem == "" and not answer.late


def test_roots_part_is_told_apart() -> None:
    answer = statvfs.ask(["/x"], 20.0, SLOW)["/x"]
    assert answer.space == Space(size=409600, free=204800, available=163840, files=30, files_free=20)


def test_links_are_followed_and_what_is_missing_is_its_nearest_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    path = str(tmp_path / "link/not/there")
    assert statvfs.ask([path], 20.0)[path].real == os.path.realpath(tmp_path / "real")


def test_one_that_hangs_holds_up_no_other() -> None:
    answers = statvfs.ask(["/dead/1", "/fine", "/dead/2", "/gone"], 0.5, SLOW)
    assert [answers[path].late for path in ("/dead/1", "/fine", "/dead/2", "/gone")] == [True, False, True, False]
    assert answers["/dead/1"].problem == "no answer within 0.5 s" and answers["/dead/1"].pid == 0
    assert answers["/fine"].space is not None


def test_one_that_hangs_is_killed(tmp_path: Path) -> None:
    note = f"import time\ndef look(path):\n    open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\n    time.sleep(600)\n"
    statvfs.ask(["/dead"], 1.0, note)
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_an_error_is_an_answer() -> None:
    answer = statvfs.ask(["/gone"], 20.0, SLOW)["/gone"]
    assert (answer.errno, answer.problem, answer.space, answer.late) == (errno.ESTALE, os.strerror(errno.ESTALE), None, False)


@pytest.mark.parametrize(("path", "number"), [("/odd", errno.EINVAL), ("/crash", errno.EIO), ("/nul\0x", errno.EINVAL)])
def test_what_goes_wrong_in_a_child_stays_there(path: str, number: int) -> None:
    look = SLOW if "nul" not in path else statvfs.LOOK
    answers = statvfs.ask([path, "/"], 20.0, look)
    assert answers[path].errno == number and answers["/"].space is not None


def test_odd_names(tmp_path: Path) -> None:
    for name in ("with blank", "new\nline", "quote'\"", "{brace}", "ümlaut", "$(x)"):
        (tmp_path / name).mkdir()
        path = str(tmp_path / name)
        assert statvfs.ask([path], 20.0)[path].real == path


def test_nothing_is_asked_for_nothing() -> None:
    assert statvfs.ask([], 1.0) == {}


def test_no_more_than_64() -> None:
    answers = statvfs.ask([f"/{number}" for number in range(100)], 20.0, SLOW)
    assert len(answers) == 64 and all(answer.space is not None for answer in answers.values())


def test_a_child_that_could_not_be_killed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asleep in the kernel (state D), which no test can have at will: what the helper then says is handed in."""
    said = '{"answers": [null, [0.1, 13]], "left": [[0, 4711, 123456]]}'
    monkeypatch.setattr(programs, "run", lambda *_: programs.Ran(0, said, "", ""))
    assert statvfs.ask(["/dead", "/x"], 3.0) == {
        "/dead": Answer("/dead", problem="no answer within 3 s", duration=3.0, pid=4711, started=123456),
        "/x": Answer("/x", problem="Permission denied", errno=13, duration=0.1)}


@pytest.mark.parametrize("said", ["", "{", "[]", "{}", '{"answers": 3, "left": []}', '{"answers": [[1]], "left": []}',
                                  '{"answers": [[0, [1, 2]]], "left": []}', "[" * 100000])
def test_a_helper_that_fails_is_no_answer_and_no_verdict(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "run", lambda *_: programs.Ran(0, said, "", ""))
    answer = statvfs.ask(["/x"], 3.0)["/x"]
    assert answer.space is None and answer.errno == 0 and not answer.late and "could not be asked" in answer.problem


def test_without_an_interpreter_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert "cannot be started" in statvfs.ask(["/x"], 3.0)["/x"].problem
