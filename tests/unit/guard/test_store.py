"""waguard.guard.store: two tiers, and every way in which a file can be spoilt."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from waguard.guard import store as module
from waguard.guard.store import Store, replace_file, sweep

from .conftest import Disk

DATA = {"lease": None, "counters": {"agent_exits": 3}}


class Tiers:
    """Both directories and what was warned of."""

    def __init__(self, root: Path) -> None:
        self.run, self.lib = root / "run", root / "lib"
        self.run.mkdir()
        self.lib.mkdir()
        self.disk = Disk()
        self.warnings: list[str] = []

    def store(self) -> Store:
        """As after a start of the guard."""
        return Store("state", self.run, self.lib, self.disk, self.warnings.append)

    def write(self, tier: Path, sequence: int, data: object, version: object = 1) -> None:
        (tier / "state.json").write_text(json.dumps({"version": version, "sequence": sequence, "data": data}))

    def read(self, tier: Path) -> Any:
        return json.loads((tier / "state.json").read_text())


@pytest.fixture
def tiers(tmp_path: Path) -> Tiers:
    return Tiers(tmp_path)


def test_nothing_yet(tiers: Tiers) -> None:
    assert tiers.store().load() == {}
    assert tiers.warnings == []


def test_what_is_saved_is_in_the_run_tier_at_once_and_on_disk_soon(tiers: Tiers) -> None:
    store = tiers.store()
    store.load()
    store.save(DATA)
    assert tiers.read(tiers.run)["data"] == DATA
    tiers.disk.finish()
    assert tiers.read(tiers.lib) == tiers.read(tiers.run) == {"version": 1, "sequence": 1, "data": DATA}
    assert tiers.store().load() == DATA
    for tier in (tiers.run, tiers.lib):
        assert (tier / "state.json").stat().st_mode & 0o777 == 0o600
        assert os.listdir(tier) == ["state.json"]


@pytest.mark.parametrize(
    ("run", "lib", "wins"), [(5, 4, "run"), (4, 5, "lib"), (5, 5, "run"), (5, None, "run"), (None, 5, "lib")]
)
def test_the_newer_one_wins(tiers: Tiers, run: Any, lib: Any, wins: str) -> None:
    for tier, name, sequence in ((tiers.run, "run", run), (tiers.lib, "lib", lib)):
        if sequence is not None:
            tiers.write(tier, sequence, {"from": name})
    store = tiers.store()
    assert store.load() == {"from": wins}
    store.save(DATA)
    assert tiers.read(tiers.run)["sequence"] == 6


SPOILT = {
    "empty": b"",
    "half-written": json.dumps({"version": 1, "sequence": 9, "data": {"a": "b"}}).encode()[:-5],
    "binary": bytes(range(256)) * 10,
    "zeroes": bytes(4096),
    "not utf-8": b'{"version": 1, "sequence": 9, "data": {"a": "\xff"}}',
    "list": b"[]",
    "number": b"7",
    "null": b"null",
    "text": b'"version"',
    "without version": b'{"sequence": 9, "data": {}}',
    "without sequence": b'{"version": 1, "data": {}}',
    "without data": b'{"version": 1, "sequence": 9}',
    "data is no object": b'{"version": 1, "sequence": 9, "data": []}',
    "version is no number": b'{"version": "1", "sequence": 9, "data": {}}',
    "version is null": b'{"version": null, "sequence": 9, "data": {}}',
    "sequence is text": b'{"version": 1, "sequence": "nine", "data": {}}',
    "sequence is negative": b'{"version": 1, "sequence": -9, "data": {}}',
    "sequence is null": b'{"version": 1, "sequence": null, "data": {}}',
    "sequence is infinite": b'{"version": 1, "sequence": 1e999, "data": {}}',
    "sequence is not a number": b'{"version": 1, "sequence": NaN, "data": {}}',
    "version is infinite": b'{"version": Infinity, "sequence": 9, "data": {}}',
    "thousands of digits": b'{"version": 1, "sequence": ' + b"9" * 5000 + b', "data": 1}',
    "deep": b'{"version": 1, "sequence": 9, "data": ' + b"[" * 200000,
    "two objects": b'{"version": 1, "sequence": 9, "data": {}}{}',
}


@pytest.mark.parametrize("spoilt", SPOILT, ids=lambda name: name.replace(" ", "-"))
@pytest.mark.parametrize("other", [True, False], ids=["other-tier-good", "other-tier-missing"])
@pytest.mark.parametrize("which", ["run", "lib"])
def test_a_damaged_file_is_set_aside_and_said(tiers: Tiers, spoilt: str, other: bool, which: str) -> None:
    bad, good = (tiers.run, tiers.lib) if which == "run" else (tiers.lib, tiers.run)
    (bad / "state.json").write_bytes(SPOILT[spoilt])
    if other:
        tiers.write(good, 3, DATA)
    store = tiers.store()
    assert store.load() == (DATA if other else {})
    assert len(tiers.warnings) == 1
    assert str(bad / "state.json") in tiers.warnings[0]
    assert "kept as state.json.damaged, starting without it" in tiers.warnings[0]
    assert (bad / "state.json.damaged").read_bytes() == SPOILT[spoilt]
    store.save({"new": True})
    tiers.disk.finish()
    assert tiers.store().load() == {"new": True}
    assert len(tiers.warnings) == 1


def test_a_file_of_a_newer_waguard_is_kept_under_its_version(tiers: Tiers) -> None:
    tiers.write(tiers.run, 9, {"new": "things"}, version=2)
    tiers.write(tiers.lib, 3, DATA)
    assert tiers.store().load() == DATA
    assert tiers.warnings == [f"{tiers.run}/state.json was written by a newer waguard; kept as state.json.version-2, "
                              "starting without it"]
    assert json.loads((tiers.run / "state.json.version-2").read_text())["data"] == {"new": "things"}


def test_a_huge_file_is_set_aside_unread(tiers: Tiers) -> None:
    with (tiers.lib / "state.json").open("wb") as file:
        file.truncate(1 << 40)
    store = tiers.store()
    assert store.load() == {}
    assert tiers.warnings == [f"{tiers.lib}/state.json cannot be used ({tiers.lib}/state.json: larger than 4096 KiB); "
                              "kept as state.json.unusable, starting without it"]
    assert (tiers.lib / "state.json.unusable").stat().st_size == 1 << 40


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop"])
def test_something_else_in_the_files_place_is_set_aside(tiers: Tiers, kind: str) -> None:
    path = tiers.lib / "state.json"
    {"directory": path.mkdir, "fifo": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[kind]()
    store = tiers.store()
    assert store.load() == {}
    assert len(tiers.warnings) == 1
    store.save(DATA)
    tiers.disk.finish()
    assert tiers.disk.errors == []
    assert tiers.read(tiers.lib)["data"] == DATA


def test_both_tiers_damaged(tiers: Tiers) -> None:
    for tier in (tiers.run, tiers.lib):
        (tier / "state.json").write_bytes(b"{")
    assert tiers.store().load() == {}
    assert len(tiers.warnings) == 2


def test_a_file_that_cannot_be_set_aside_is_said(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    (tiers.lib / "state.json").write_bytes(b"{")

    def fail(_path: Path, _to: Path) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "rename", fail)
    assert tiers.store().load() == {}
    assert tiers.warnings == [
        f"{tiers.lib}/state.json is damaged (JSONDecodeError) and cannot be set aside: Read-only file system"
    ]


def test_a_name_that_is_taken_is_left_to_who_has_it(tiers: Tiers) -> None:
    (tiers.lib / "state.json").write_bytes(b"{")
    (tiers.lib / "state.json.damaged").mkdir()
    assert tiers.store().load() == {}
    assert "kept as state.json.damaged.2," in tiers.warnings[0]


def test_an_unwritable_run_tier_raises_and_nothing_reaches_the_disk(tiers: Tiers) -> None:
    """Nobody may act on a state that is written down nowhere."""
    store, written = tiers.store(), []
    store.save(DATA)
    tiers.disk.finish()
    block(tiers.run)
    with pytest.raises(IsADirectoryError):
        store.save({"newer": True}, lambda: written.append(1))
    tiers.disk.finish()
    assert written == []
    assert tiers.read(tiers.run)["data"] == tiers.read(tiers.lib)["data"] == DATA
    unblock(tiers.run)
    store.save({"newest": True})
    assert tiers.store().load() == {"newest": True}


def test_a_run_directory_that_is_gone_raises(tiers: Tiers) -> None:
    store = tiers.store()
    tiers.run.rmdir()
    with pytest.raises(FileNotFoundError):
        store.save(DATA)


def test_a_failing_disk_is_told_and_the_run_tier_works_on(tiers: Tiers) -> None:
    store = tiers.store()
    block(tiers.lib)
    for number in range(3):
        store.save({"number": number})
        tiers.disk.finish()
    assert [what for what, _ in tiers.disk.errors] == ["store state lazily"] * 3
    assert tiers.store().load() == {"number": 2}
    unblock(tiers.lib)
    store.save({"number": 3})
    tiers.disk.finish()
    assert tiers.read(tiers.lib)["data"] == {"number": 3}


def test_on_disk_is_called_once_when_it_is_there(tiers: Tiers) -> None:
    store = tiers.store()
    seen: list[tuple[Any, int]] = []
    for number in range(3):
        store.save({"number": number}, lambda: seen.append((tiers.read(tiers.lib)["data"], threading.get_ident())))
    for number in range(3, 6):
        store.save({"number": number})
    tiers.disk.finish()
    assert [data for data, _ in seen] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert threading.get_ident() not in {thread for _, thread in seen}
    assert tiers.read(tiers.lib)["data"] == {"number": 5}


def test_on_disk_is_not_called_when_the_disk_failed(tiers: Tiers) -> None:
    store, seen = tiers.store(), []
    block(tiers.lib)
    store.save(DATA, lambda: seen.append(1))
    tiers.disk.finish()
    assert seen == []
    assert [what for what, _ in tiers.disk.errors] == ["store state"]


def test_the_last_of_many_saves_is_what_the_disk_has(tiers: Tiers) -> None:
    """However durable and lazy ones are mixed."""
    store, go = tiers.store(), threading.Event()
    tiers.disk.put("gate", lambda: None if go.wait(30.0) else None)
    for number in range(50):
        store.save({"number": number}, (lambda: None) if number % 7 == 0 else None)
    go.set()
    tiers.disk.finish()
    assert tiers.read(tiers.lib) == tiers.read(tiers.run)
    assert tiers.read(tiers.run)["data"] == {"number": 49}


def test_data_that_is_no_json_raises_and_leaves_the_file(tiers: Tiers) -> None:
    store = tiers.store()
    store.save(DATA)
    with pytest.raises(TypeError):
        store.save({"what": object()})
    assert tiers.read(tiers.run)["data"] == DATA


def test_replace_file_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    replace_file(path, b"one", durable=True)

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        replace_file(path, b"two", durable=True)
    assert path.read_bytes() == b"one"
    assert os.listdir(tmp_path) == ["file"]


def test_replace_file_does_not_write_through_a_link(tmp_path: Path) -> None:
    """Neither where the temporary file goes, nor at the file itself."""
    (tmp_path / "elsewhere").write_bytes(b"theirs")
    (tmp_path / "file").symlink_to("elsewhere")
    replace_file(tmp_path / "file", b"ours", durable=False)
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"
    assert not (tmp_path / "file").is_symlink()
    (tmp_path / f".file.{os.getpid()}.new").symlink_to("elsewhere")
    with pytest.raises(OSError, match="symbolic links"):
        replace_file(tmp_path / "file", b"more", durable=False)
    assert (tmp_path / "elsewhere").read_bytes() == b"theirs"


def test_sweep_removes_what_a_killed_guard_left(tmp_path: Path) -> None:
    for name in (".state.json.17.new", ".events.jsonl.4711.new", "state.json", "lock"):
        (tmp_path / name).touch()
    (tmp_path / ".a directory.new").mkdir()
    sweep(tmp_path, ".*.new")
    assert sorted(os.listdir(tmp_path)) == [".a directory.new", "lock", "state.json"]
    sweep(tmp_path / "missing", ".*.new")


def block(directory: Path) -> None:
    """Let no file be replaced there: a directory stands where the temporary file would go."""
    (directory / f".state.json.{os.getpid()}.new").mkdir()


def unblock(directory: Path) -> None:
    (directory / f".state.json.{os.getpid()}.new").rmdir()


def test_version_is_what_the_tests_think() -> None:
    assert module.VERSION == 1
