"""waguardctl lint: no guard is asked, and any user may."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from waguard.agent import layout

from .conftest import Ctl, Said


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "waagent.conf"


def test_a_good_file(ctl: Ctl, file: Path) -> None:
    file.write_text("Logs.Verbose=n\n# a comment\n")
    assert ctl("lint", str(file)) == (0, f"{file}: good\n", "")
    said = ctl("lint", str(file), "--json")
    assert (said.code, said.json) == (0, {"schema": 1, "result": {"file": str(file), "usable": True, "problems": []}, "warnings": []})


def test_each_problem_is_a_line_with_file_line_id_and_message(ctl: Ctl, file: Path) -> None:
    file.write_text("Logs.Verbos=y\n\nExtensions.Enabled=yes\n")
    assert ctl("lint", str(file)) == (
        2, f"{file}:1: conf-unknown-key: Logs.Verbos is no key the agent reads and has no effect: did you mean Logs.Verbose?\n"
           f"{file}:3: conf-bad-value: Extensions.Enabled=yes is not y or n, so the agent uses its default, y: write y or n.\n", "")
    said = ctl("lint", str(file), "--json")
    assert said.code == 2
    assert said.json["result"]["problems"][1] == {
        "line": 3, "id": "conf-bad-value", "key": "Extensions.Enabled",
        "message": "Extensions.Enabled=yes is not y or n, so the agent uses its default, y: write y or n."}


@pytest.mark.parametrize(("data", "line", "name"), [(b"", 1, "conf-missing"), (b"a=b\n\xff\n", 2, "conf-unreadable")], ids=["empty", "not-text"])
def test_a_file_that_the_agent_refuses(ctl: Ctl, file: Path, data: bytes, line: int, name: str) -> None:
    file.write_bytes(data)
    said = ctl("lint", str(file))
    assert said.code == 2
    assert f"{file}:{line}: {name}: " in said.out
    assert "the agent refuses to start" in said.out
    assert ctl("lint", str(file), "--json").json["result"]["usable"] is False


@pytest.mark.parametrize(("kind", "message"), [("missing", "there is no such file"), ("directory", "not a regular file"), ("fifo", "not a regular file"),
                                               ("huge", "larger than 1024 KiB")])
def test_a_file_that_cannot_be_read(ctl: Ctl, file: Path, kind: str, message: str) -> None:
    if kind == "directory":
        file.mkdir()
    elif kind == "fifo":
        os.mkfifo(file)
    elif kind == "huge":
        file.touch()
        os.truncate(file, 1 << 21)
    assert ctl("lint", str(file)) == (1, "", f"waguardctl: {file}: {message}\n")
    said = ctl("lint", str(file), "--json")
    assert (said.code, said.json["error"]) == (1, {"message": f"{file}: {message}", "hint": ""})


def test_without_a_file_the_machines_own(ctl: Ctl, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "conf_places", lambda: (str(file),))
    said = ctl("lint")
    assert (said.code, said.err) == (1, f"waguardctl: {file}: there is no such file\n  (name the file that the agent uses: waguardctl lint FILE)\n")
    file.write_text("Logs.Verbose=n\n")
    assert ctl("lint") == (0, f"{file}: good\n", "")


def test_a_file_whose_name_is_auto(ctl: Ctl, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "auto").write_text("Logs.Verbose=n\n")
    assert ctl("lint", "./auto") == (0, "auto: good\n", "")
    assert ctl("lint", "auto") == (0, "auto: good\n", "")


def test_nothing_of_the_file_moves_the_cursor_or_gives_a_secret_away(ctl: Ctl, file: Path) -> None:
    file.write_text("\x1b[2J=y\nHttpProxy.Port=user:hunter2@proxy\nLogs.Verbose=\x1b[2J\n")
    for words in ((), ("--json",)):
        said = ctl("lint", str(file), *words)
        assert said.code == 2
        assert "\x1b" not in said.out and "hunter2" not in said.out
    odd = file.with_name("a\x1b[2J.conf")
    odd.write_text("x=1\n")
    assert "\x1b" not in ctl("lint", str(odd)).out
    assert "\x1b" not in ctl("lint", str(odd.with_name("b\x1b[2J.conf"))).err


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become somebody else")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_as_an_ordinary_user(ctl: Ctl, file: Path) -> None:
    file.write_text("Logs.Verbos=y\n")
    as_root = ctl("lint", str(file))  # Also imports all that it takes, which may lie where nobody may read.
    for path in file.parents:
        if "pytest-" in str(path):
            path.chmod(0o711)

    assert as_nobody(ctl, "lint", str(file)) == as_root == Said(2, as_root.out, "")
    file.chmod(0o600)
    assert as_nobody(ctl, "lint", str(file)) == Said(1, "", f"waguardctl: {file}: Permission denied\n  (try it with sudo)\n")


def as_nobody(ctl: Ctl, *words: str) -> Said:
    """Run waguardctl in a child that is user nobody."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, json.dumps(ctl(*words)).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return Said(*json.loads(said))
