"""waguard.guard.events: the ring in two tiers, and files that others have had their hands on."""

from __future__ import annotations

import json
import os
import re
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waguard.guard import events as module
from waguard.guard.events import KINDS, Event, History, catalogue
from waguard.i18n import Language

from .conftest import Disk


class Tiers:
    """Both directories, and histories on them, each as after a start of the guard."""

    def __init__(self, root: Path, keep: int = 20) -> None:
        self.run, self.lib, self.keep = root / "run", root / "lib", keep
        self.run.mkdir(exist_ok=True)
        self.lib.mkdir(exist_ok=True)
        self.disk = Disk()
        self.warnings: list[str] = []

    def history(self) -> History:
        history = History(self.run, self.lib, self.disk, self.keep)
        history.load(self.warnings.append)
        return history

    def numbers(self, tier: Path) -> list[int]:
        """Sequence numbers in a tier's file."""
        return [event["seq"] for event in self.events(tier)]

    def events(self, tier: Path) -> list[Any]:
        """What is in a tier's file, below the line with its version."""
        head, *lines = (tier / "events.jsonl").read_bytes().splitlines()
        assert json.loads(head) == {"version": 1}
        return [json.loads(line) for line in lines]


@pytest.fixture
def tiers(tmp_path: Path) -> Tiers:
    return Tiers(tmp_path)


def add(history: History, number: int, kind: str = "guard-trouble", **fields: Any) -> Event:
    return history.add(1000.0 + number, kind, f"event {number}", fields)


def numbers(history: History) -> list[int]:
    return [event["seq"] for event in history.since()]


def line(seq: object, **changes: Any) -> bytes:
    event = {"seq": seq, "at": 5.0, "id": "agent-exited", "message": "m", "fields": {}, **changes}
    return json.dumps(event).encode() + b"\n"


def test_an_event_is_in_memory_and_in_the_run_tier_at_once_and_on_disk_soon(tiers: Tiers) -> None:
    history = tiers.history()
    event = add(history, 1, "agent-exited", pid=412)
    found = {"seq": 1, "at": 1001.0, "id": "agent-exited", "message": "event 1", "fields": {"pid": 412}}
    assert event.to_json() == found
    assert history.since() == [found]
    assert tiers.events(tiers.run) == [found]
    tiers.disk.finish()
    assert tiers.events(tiers.lib) == [found]
    for tier in (tiers.run, tiers.lib):
        assert stat.S_IMODE((tier / "events.jsonl").stat().st_mode) == 0o600


def test_only_known_kinds(tiers: Tiers) -> None:
    history = tiers.history()
    with pytest.raises(KeyError):
        history.add(0.0, "no-such-kind", "x", {})


def test_the_sequence_goes_on_after_a_restart(tiers: Tiers) -> None:
    for start in range(4):
        history = tiers.history()
        assert numbers(history) == list(range(1, 3 * start + 1))
        for _ in range(3):
            add(history, 0)
        tiers.disk.finish()


def test_the_latest_are_those_of_now(tiers: Tiers) -> None:
    history = tiers.history()
    assert history.latest(3) == []
    for number in range(1, 30):
        add(history, number)
        for count in (3, 3, 5):
            assert history.latest(count) == history.since(last=count)
    history.resize(4)
    add(history, 30)
    assert [event["seq"] for event in history.latest(5)] == [27, 28, 29, 30]
    again = tiers.history()
    assert again.latest(3) == again.since(last=3) != []


def test_since_after_and_last(tiers: Tiers) -> None:
    history = tiers.history()
    for number in range(1, 8):
        add(history, number)
    assert [event["seq"] for event in history.since(at=1005.0)] == [5, 6, 7]
    assert [event["seq"] for event in history.since(after=5)] == [6, 7]
    assert [event["seq"] for event in history.since(last=2)] == [6, 7]
    assert history.since(last=0) == []
    assert history.since(last=-3) == []
    assert numbers(history) == [event["seq"] for event in history.since(last=10**9)]


def test_both_tiers_are_merged(tiers: Tiers) -> None:
    """After a power cut the run tier is gone and the lib tier may lag; after a full disk it is the other way about."""
    (tiers.lib / "events.jsonl").write_bytes(b"".join(line(number, message="lib") for number in (1, 2, 3, 5)))
    (tiers.run / "events.jsonl").write_bytes(b"".join(line(number, message="run") for number in (4, 5, 6)))
    history = tiers.history()
    assert [(event["seq"], event["message"]) for event in history.since()] == [
        (1, "lib"), (2, "lib"), (3, "lib"), (4, "run"), (5, "run"), (6, "run")]
    tiers.disk.finish()
    assert tiers.numbers(tiers.run) == tiers.numbers(tiers.lib) == [1, 2, 3, 4, 5, 6]
    assert add(history, 0).seq == 7


@pytest.mark.parametrize("which", ["run", "lib"])
def test_a_torn_last_line_is_dropped(tiers: Tiers, which: str) -> None:
    whole = b"".join(line(number) for number in (1, 2, 3))
    for cut in range(1, len(line(3))):
        tier = tiers.run if which == "run" else tiers.lib
        (tiers.run / "events.jsonl").unlink(missing_ok=True)
        (tiers.lib / "events.jsonl").unlink(missing_ok=True)
        (tier / "events.jsonl").write_bytes(whole[:-cut])
        history = tiers.history()
        assert numbers(history) == [1, 2]
        assert add(history, 0).seq == 3
        tiers.disk.finish()
        assert tiers.numbers(tiers.run) == tiers.numbers(tiers.lib) == [1, 2, 3]


HOSTILE = [
    b"\n", b"{}\n", b"[]\n", b"null\n", b"7\n", b"\xff\xfe\n", b"\x00\x00\x00\n", b"[" * 100000 + b"\n",
    line("7"), line(None), line(0), line(-7), line(True), line(7.5), line(1 << 53), b'{"seq": 1e999}\n',
    line(7, at="5"), line(7, at=None), line(7, at=-1), line(7, at=True), line(7, at=[5]),
    line(7, id=None), line(7, id=5), line(7, message=None), line(7, message=["m"]),
    line(7, fields=None), line(7, fields=[]),
    line(7).replace(b"5.0", b"NaN"), line(7).replace(b"5.0", b"1e999"), line(7).replace(b"5.0", b"Infinity"),
    line(7, fields={"a": 1.5}).replace(b"1.5", b"NaN"), line(7, fields={"a": [1.5]}).replace(b"1.5", b"-Infinity"),
    b'{"seq": ' + b"9" * 5000 + b"}\n",
    line(7)[:-2] + b"\n",
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_line_is_passed_over(tiers: Tiers, number: int) -> None:
    (tiers.run / "events.jsonl").write_bytes(line(1) + HOSTILE[number] + line(2))
    history = tiers.history()
    assert numbers(history) == [1, 2]
    json.dumps(history.since(), allow_nan=False)
    assert add(history, 0).seq == 3
    assert tiers.numbers(tiers.run) == [1, 2, 3]


def test_events_of_a_kind_that_is_not_known_are_kept(tiers: Tiers) -> None:
    """A newer waguard wrote them before it was replaced by this one."""
    (tiers.lib / "events.jsonl").write_bytes(line(1, id="of-the-future", extra={"x": [1]}))
    assert tiers.history().since()[0]["id"] == "of-the-future"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["seq", "at", "id", "message", "fields", "x"]), inner, max_size=6),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400), lines=st.lists(VALUES, max_size=5))
def test_any_bytes_can_be_loaded_shown_and_added_to(tmp_path: Path, data: bytes, lines: list[object]) -> None:
    tiers = Tiers(tmp_path)
    whole = b"".join(json.dumps(item).encode() + b"\n" for item in lines)
    (tiers.run / "events.jsonl").write_bytes(data + b"\n" + whole)
    (tiers.lib / "events.jsonl").write_bytes(data)
    history = tiers.history()
    before = numbers(history)
    added = add(history, 0)
    assert numbers(history) == [*before, added.seq][-tiers.keep:]
    assert all(one < other for one, other in zip(numbers(history), numbers(history)[1:]))
    json.dumps(history.since(at=1.0), allow_nan=False)
    tiers.disk.finish()
    assert tiers.disk.errors == []


def test_bounded_in_memory_and_on_disk(tiers: Tiers) -> None:
    history = tiers.history()
    for number in range(500):
        add(history, number)
    tiers.disk.finish()
    assert numbers(history) == list(range(481, 501))
    for tier in (tiers.run, tiers.lib):
        found = tiers.numbers(tier)
        assert len(found) <= 2 * tiers.keep
        assert found[-20:] == list(range(481, 501))
    assert numbers(tiers.history()) == list(range(481, 501))


def test_a_file_that_is_too_long_is_cut_at_the_start(tiers: Tiers) -> None:
    (tiers.run / "events.jsonl").write_bytes(b"".join(line(number) for number in range(1, 1000)))
    assert numbers(tiers.history()) == list(range(980, 1000))
    assert tiers.numbers(tiers.run) == list(range(980, 1000))


@pytest.mark.parametrize("keep", [5, 20, 60])
def test_resize(tiers: Tiers, keep: int) -> None:
    history = tiers.history()
    for number in range(30):
        add(history, number)
    history.resize(keep)
    assert numbers(history) == list(range(31 - min(keep, 20), 31))
    for number in range(200):
        add(history, number)
    tiers.disk.finish()
    assert numbers(history) == list(range(231 - keep, 231))
    for tier in (tiers.run, tiers.lib):
        assert len(tiers.numbers(tier)) <= 2 * keep
        assert tiers.numbers(tier)[-keep:] == numbers(history)


def test_listeners_are_told_each_new_event_once(tiers: Tiers) -> None:
    (tiers.run / "events.jsonl").write_bytes(line(1))
    history = History(tiers.run, tiers.lib, tiers.disk, 20)
    told: list[int] = []
    history.listeners.append(lambda event: told.append(event.seq))
    history.listeners.append(lambda event: told.append(-event.seq))
    history.load()
    assert told == []
    add(history, 0)
    add(history, 0)
    assert told == [2, -2, 3, -3]


def test_a_listener_may_leave_or_add_events_itself(tiers: Tiers) -> None:
    history = tiers.history()

    def listen(event: Event) -> None:
        history.listeners.remove(listen)
        add(history, 0)

    history.listeners.append(listen)
    add(history, 0)
    assert numbers(history) == [1, 2]


# When a tier fails


def test_what_the_disk_did_not_take_is_there_once_it_takes_writes_again(tiers: Tiers) -> None:
    history = tiers.history()
    add(history, 0)
    tiers.disk.finish()
    tiers.lib.rename(tiers.lib.with_name("away"))
    for _ in range(5):
        add(history, 0)
    tiers.disk.finish()
    assert {what for what, _ in tiers.disk.errors} == {"events"}
    tiers.lib.with_name("away").rename(tiers.lib)
    add(history, 0)
    tiers.disk.finish()
    assert tiers.numbers(tiers.lib) == tiers.numbers(tiers.run) == [1, 2, 3, 4, 5, 6, 7]


def test_an_unwritable_run_tier_loses_nothing_in_memory_and_catches_up(tiers: Tiers) -> None:
    history = tiers.history()
    add(history, 0)
    tiers.run.rename(tiers.run.with_name("away"))
    for _ in range(3):
        add(history, 0)
    assert numbers(history) == [1, 2, 3, 4]
    tiers.disk.finish()
    assert tiers.numbers(tiers.lib) == [1, 2, 3, 4]
    tiers.run.with_name("away").rename(tiers.run)
    add(history, 0)
    assert tiers.numbers(tiers.run) == [1, 2, 3, 4, 5]


def test_a_line_that_was_written_in_part_does_not_spoil_the_next(tiers: Tiers, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a tmpfs that is full for a moment."""
    history = tiers.history()
    add(history, 0)
    tiers.disk.finish()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: write(fd, data[:10]))
        add(history, 0)
        tiers.disk.finish()
    assert [str(error) for _, error in tiers.disk.errors] == ["[Errno 28] No space left on device"]
    add(history, 0)
    tiers.disk.finish()
    assert tiers.numbers(tiers.run) == tiers.numbers(tiers.lib) == [1, 2, 3]


def test_a_run_tier_that_cannot_be_written_at_the_start_is_said(tiers: Tiers) -> None:
    (tiers.lib / "events.jsonl").write_bytes(line(1))
    tiers.run.rmdir()
    history = tiers.history()
    assert numbers(history) == [1]
    assert tiers.warnings == [f"{tiers.run}/events.jsonl cannot be written: No such file or directory"]
    tiers.run.mkdir()
    add(history, 0)
    assert tiers.numbers(tiers.run) == [1, 2]


@pytest.mark.parametrize("which", ["run", "lib"])
@pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "huge"])
def test_a_file_that_cannot_be_used_is_set_aside_and_said(tiers: Tiers, which: str, kind: str) -> None:
    bad, good = (tiers.run, tiers.lib) if which == "run" else (tiers.lib, tiers.run)
    path = bad / "events.jsonl"
    if kind == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 40)
    else:
        {"directory": path.mkdir, "fifo": lambda: os.mkfifo(path), "loop": lambda: path.symlink_to(path)}[kind]()
    (good / "events.jsonl").write_bytes(line(1))
    history = tiers.history()
    assert len(tiers.warnings) == 1
    assert "kept as events.jsonl.unusable" in tiers.warnings[0]
    add(history, 0)
    tiers.disk.finish()
    assert tiers.disk.errors == []
    assert tiers.numbers(bad) == tiers.numbers(good) == [1, 2]


def test_a_missing_file_is_nothing_to_speak_of(tiers: Tiers) -> None:
    tiers.history()
    assert tiers.warnings == []


# The kinds


def test_message_ids_are_unique_and_well_formed() -> None:
    ids = [kind.message_id for kind in KINDS.values()]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch("[0-9a-f]{32}", one) for one in ids)
    assert all(3 <= kind.priority <= 6 for kind in KINDS.values())


def test_the_journals_catalogue_is_made_from_the_kinds() -> None:
    shipped = Path(module.__file__).parents[2] / "systemd" / "waguard.catalog"
    assert shipped.read_text() == catalogue(Language())
    assert catalogue(Language()).count("\n-- ") == len(KINDS)
