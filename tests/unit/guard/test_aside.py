"""State files that cannot be used are kept: of a newer waguard, damaged, unreadable; through downgrades and upgrades, again and
again, and where nothing can be written."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waguard.guard import aside, events, store
from waguard.guard.events import History
from waguard.guard.memory import Memory
from waguard.guard.store import Store

from .conftest import Disk

Powerless = Callable[[], contextlib.AbstractContextManager[None]]


class Machine:
    """Both folders, and guards of either version that start on them one after the other."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.run, self.lib, self._patch = root / "run", root / "lib", patch
        for folder in (self.run, self.lib):
            folder.mkdir(parents=True, exist_ok=True)
        self.disk = Disk()
        self.said: list[str] = []

    def version(self, number: int) -> None:
        """The guards that start from now on know this version."""
        self._patch.setattr(store, "VERSION", number)
        self._patch.setattr(events, "VERSION", number)

    def store(self) -> Store:
        return Store("state", self.run, self.lib, self.disk, self.said.append)

    def state(self, data: dict[str, Any]) -> dict[str, Any]:
        """What a guard found, that then saved this."""
        one = self.store()
        found = one.load()
        one.save(data)
        self.disk.finish()
        assert self.disk.errors == []
        return found

    def history(self, *messages: str) -> list[str]:
        """What a guard found, that then added these."""
        history = self.loaded()
        found = [event["message"] for event in history.since()]
        for number, message in enumerate(messages):
            history.add(1000.0 + number, "guard-trouble", message, {})
        self.disk.finish()
        assert self.disk.errors == []
        return found

    def loaded(self) -> History:
        history = History(self.run, self.lib, self.disk, 50)
        history.load(self.said.append)
        return history

    def data(self, tier: Path, name: str = "state.json") -> Any:
        return json.loads((tier / name).read_bytes())["data"]

    def names(self, tier: Path, prefix: str) -> list[str]:
        return sorted(name for name in os.listdir(tier) if name.startswith(prefix))


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_a_downgrade_and_an_upgrade_keep_what_both_wrote(machine: Machine) -> None:
    machine.version(2)
    machine.state({"of": "two"})
    machine.version(1)
    assert machine.state({"of": "one"}) == {}
    where = [f"{tier}/state.json was written by a newer waguard; kept as state.json.version-2, starting without it"
             for tier in (machine.run, machine.lib)]
    assert machine.said == where
    machine.version(2)
    assert machine.state({"of": "two again"}) == {"of": "one"}  # an older schema is read
    assert machine.said == where
    for tier in (machine.run, machine.lib):
        assert machine.data(tier, "state.json.version-2") == {"of": "two"}
    machine.version(1)
    assert machine.state({"of": "one again"}) == {}
    for tier in (machine.run, machine.lib):
        assert machine.data(tier, "state.json.version-2") == {"of": "two"}
        assert machine.data(tier, "state.json.version-2.2") == {"of": "two again"}
        assert machine.data(tier) == {"of": "one again"}


def test_the_newest_nine_are_kept_and_none_takes_anothers_place(machine: Machine) -> None:
    for number in range(1, 16):
        machine.version(2)
        machine.state({"number": number})
        machine.version(1)
        machine.state({})
        (machine.lib / "state.json").write_bytes(b"torn %d" % number)
        machine.state({})
    kept = machine.names(machine.lib, "state.json.version-2")
    assert {machine.data(machine.lib, name)["number"] for name in kept} == set(range(7, 16))
    assert machine.data(machine.lib, "state.json.version-2.15") == {"number": 15}
    torn = {(machine.lib / name).read_bytes() for name in machine.names(machine.lib, "state.json.damaged")}
    assert torn == {b"torn %d" % number for number in range(7, 16)}


def test_names_of_others_do_not_count(machine: Machine) -> None:
    for name in ("state.json.damaged.", "state.json.damaged.x", "state.json.damaged.\u0663", "state.json.damaged.1234567890",
                 "state.json.damaged-5", "state.json.damagedx", "doctor.json.damaged.7"):
        (machine.lib / name).write_text("theirs")
    for number in range(aside.KEPT + 3):
        (machine.lib / "state.json").write_bytes(b"%d" % number)
        machine.state({})
    theirs = [name for name in os.listdir(machine.lib) if (machine.lib / name).read_bytes() == b"theirs"]
    assert len(theirs) == 7
    assert machine.names(machine.lib, "state.json.damaged.12") == ["state.json.damaged.12", "state.json.damaged.1234567890"]


@pytest.mark.parametrize("version", [0, -1, True, 1.5, 2.0, "2", None, [2], 1 << 40])
def test_what_is_no_version_is_damage(machine: Machine, version: object) -> None:
    text = json.dumps({"version": version, "sequence": 5, "data": {"a": 1}})
    (machine.lib / "state.json").write_text(text)
    assert machine.state({"new": 1}) == {}
    assert (machine.lib / "state.json.damaged").read_text() == text
    assert machine.said == [f"{machine.lib}/state.json is damaged (ValueError); kept as state.json.damaged, starting without it"]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=60) | st.fixed_dictionaries(
    {}, optional={"version": st.integers(-1, 3) | st.none(), "sequence": st.integers(-1, 9) | st.text(max_size=2),
                  "data": st.dictionaries(st.text(max_size=2), st.integers(), max_size=2) | st.just([])}).map(
                      lambda one: json.dumps(one).encode()))
def test_whatever_is_in_a_state_file_is_used_or_kept(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as root:
        machine = Machine(Path(root), monkeypatch)
        (machine.lib / "state.json").write_bytes(data)
        found = machine.state({"new": 1})
        kept = [(machine.lib / name).read_bytes() for name in machine.names(machine.lib, "state.json.")]
        if machine.said:
            assert (kept, found, len(machine.said)) == ([data], {}, 1)
        else:
            assert (kept, found) == ([], json.loads(data)["data"])
        assert machine.data(machine.run) == machine.data(machine.lib) == {"new": 1}


# Where it cannot be set aside


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that a user without rights can come to."""
    with tempfile.TemporaryDirectory() as root:
        os.chmod(root, 0o755)
        yield Path(root)


@pytest.mark.parametrize("newer", [True, False], ids=["newer", "damaged"])
def test_an_unwritable_folder_loses_nothing(
        open_place: Path, monkeypatch: pytest.MonkeyPatch, powerless: Powerless, newer: bool) -> None:
    machine = Machine(open_place, monkeypatch)
    old = {tier: json.dumps({"version": 2 if newer else "x", "sequence": 3, "data": {"tier": str(tier)}})
           for tier in (machine.run, machine.lib)}
    for tier, text in old.items():
        (tier / "state.json").write_text(text)
        (tier / "state.json").chmod(0o644)
        tier.chmod(0o555)
    with powerless():
        one = machine.store()
        assert one.load() == {}
        assert [said.endswith("and cannot be set aside: Permission denied") for said in machine.said] == [True, True]
        with pytest.raises(PermissionError):
            one.save({"new": 1})
    for tier, text in old.items():
        assert os.listdir(tier) == ["state.json"]
        assert (tier / "state.json").read_text() == text
    # As root: the folder takes writes again.
    for tier in old:
        tier.chmod(0o755)
    one.save({"new": 2})
    machine.disk.finish()
    for tier, text in old.items():
        assert machine.data(tier) == {"new": 2}
        assert (tier / ("state.json.version-2" if newer else "state.json.damaged")).read_text() == text


def test_nothing_is_written_over_a_file_that_could_only_not_be_renamed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder takes writes, only the one rename fails: still nothing goes in the file's place."""
    (machine.lib / "state.json").write_text('{"version":2,"sequence":7,"data":{}}')
    (machine.lib / "events.jsonl").write_text('{"version":2}\n{"future":1}\n')
    one = machine.store()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _fail)
        assert one.load() == {}
        history = machine.loaded()
        one.save({"new": 1})
        history.add(5.0, "guard-trouble", "new", {})
        machine.disk.finish()
        assert machine.data(machine.run) == {"new": 1}
        assert json.loads((machine.lib / "state.json").read_text())["version"] == 2
        assert (machine.lib / "events.jsonl").read_text() == '{"version":2}\n{"future":1}\n'
        assert {error.errno for _, error in machine.disk.errors if isinstance(error, OSError)} == {errno.ENOSPC}
        assert all("cannot be set aside: No space left on device" in said for said in machine.said) and len(machine.said) == 2
    one.save({"new": 2})
    history.add(6.0, "guard-trouble", "newer", {})
    machine.disk.finish()
    assert machine.data(machine.lib) == {"new": 2}
    assert (machine.lib / "events.jsonl").read_bytes() == (machine.run / "events.jsonl").read_bytes()
    assert machine.names(machine.lib, "state.json.") == ["state.json.version-2"]
    assert (machine.lib / "events.jsonl.version-2").read_text() == '{"version":2}\n{"future":1}\n'


def test_a_file_that_somebody_else_took_away_is_no_trouble(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.lib / "state.json").write_bytes(b"x")
    one = machine.store()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", _fail)
        one.load()
    (machine.lib / "state.json").unlink()
    one.save({"new": 1})
    machine.disk.finish()
    assert (machine.disk.errors, machine.data(machine.lib)) == ([], {"new": 1})


def _fail(*_words: object, **_more: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# A state of which some cannot be used


def test_a_remembered_thing_that_cannot_be_used_is_kept_with_its_file(machine: Machine) -> None:
    machine.state({"policy": {"attempts": -5}, "lease": [], "counters": {"agent_exits": 7}})
    before = (machine.lib / "state.json").read_bytes()
    memory = Memory(machine.store(), "boot")
    memory.load(1.0, 2.0, machine.said.append)
    where = f"the file is kept as {machine.lib}/state.json.damaged"
    assert [(said.split(" cannot")[0], said.endswith(where)) for said in machine.said] == [
        ("the remembered policy", True), ("the remembered lease", True)]
    assert memory.counters["agent_exits"] == 7
    memory.save(3.0, 4.0)
    machine.disk.finish()
    assert machine.data(machine.lib)["lease"] is None
    for tier in (machine.run, machine.lib):
        assert (tier / "state.json.damaged").read_bytes() == before
        assert machine.names(tier, "state.json.") == ["state.json.damaged"]


def test_where_no_second_name_can_be_given_the_guard_goes_on(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.state({"lease": []})
    (machine.run / "events.jsonl").write_bytes(b"junk\n")
    monkeypatch.setattr(os, "link", _fail)
    memory = Memory(machine.store(), "boot")
    memory.load(1.0, 2.0, machine.said.append)
    assert machine.history("new") == []
    assert machine.said == [
        "the remembered lease cannot be used and is left out (TypeError: a lease and its edit have to be objects)",
        f"{machine.run}/events.jsonl has lines that are no events (1) and cannot be kept aside: No space left on device"]


# Events


def test_events_of_a_newer_waguard_are_kept_through_downgrade_and_upgrade(machine: Machine) -> None:
    machine.version(2)
    machine.history("two")
    newer = (machine.lib / "events.jsonl").read_bytes()
    assert newer.startswith(b'{"version":2}\n')
    machine.version(1)
    assert machine.history("one") == []
    where = [f"{tier}/events.jsonl was written by a newer waguard; kept as events.jsonl.version-2, starting without it"
             for tier in (machine.lib, machine.run)]
    assert machine.said == where
    machine.version(2)
    assert machine.history("two again") == ["one"]
    machine.version(1)
    assert machine.history() == []
    for tier in (machine.run, machine.lib):
        assert (tier / "events.jsonl.version-2").read_bytes() == newer
        assert b"two again" in (tier / "events.jsonl.version-2.2").read_bytes()
        assert b"two" not in (tier / "events.jsonl").read_bytes()


def test_one_tier_of_a_newer_waguard_leaves_the_other(machine: Machine) -> None:
    machine.history("mine")
    (machine.run / "events.jsonl").write_bytes(b'{"version":7}\nanything at all\n\x00\xff')
    assert machine.history("more") == ["mine"]
    assert (machine.run / "events.jsonl.version-7").read_bytes() == b'{"version":7}\nanything at all\n\x00\xff'
    assert len(machine.said) == 1


def test_a_file_from_before_there_were_versions_is_read_and_gets_one(machine: Machine) -> None:
    machine.history("one", "two")
    for tier in (machine.run, machine.lib):
        path = tier / "events.jsonl"
        path.write_bytes(path.read_bytes().split(b"\n", 1)[1])
    assert machine.history("three") == ["one", "two"]
    assert machine.said == []
    for tier in (machine.run, machine.lib):
        assert (tier / "events.jsonl").read_bytes().startswith(b'{"version":1}\n{"seq":1,')


SPOILT = {
    "binary": bytes(range(256)) * 100, "no line at all": b"\x00" * 4096, "an empty line": b"\n", "a second head": b'{"version":1}\n' * 2,
    "no version": b'{"version":0}\n', "text for a version": b'{"version":"2"}\n', "a list": b"[2]\n", "half a file of state":
    b'{"version":1,"sequence":7,"da\n', "deep": b"[" * 100000 + b"\n", "not utf-8": b"\xff\xfe\n"}


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize("which", ["run", "lib"])
def test_what_is_no_event_is_kept_and_the_events_are_used(machine: Machine, spoilt: str, which: str) -> None:
    machine.history("one", "two")
    tier, other = (machine.run, machine.lib) if which == "run" else (machine.lib, machine.run)
    if spoilt != "no line at all":
        (other / "events.jsonl").unlink()
    whole = b"" if spoilt == "no line at all" else (tier / "events.jsonl").read_bytes()
    (tier / "events.jsonl").write_bytes(whole + SPOILT[spoilt])
    assert machine.history("three") == ["one", "two"]
    assert (tier / "events.jsonl.damaged").read_bytes() == whole + SPOILT[spoilt]
    assert len(machine.said) == 1
    assert machine.said[0].startswith(f"{tier}/events.jsonl has lines that are no events (")
    assert machine.said[0].endswith("; kept as events.jsonl.damaged, what is sound in it is used")
    assert machine.history() == ["one", "two", "three"]
    assert len(machine.said) == 1


@pytest.mark.parametrize("tail", [b'{"seq":3,"at', b"\x00" * 500, b"\xff"])
def test_a_torn_end_is_what_a_power_cut_leaves_and_nothing_to_speak_of(machine: Machine, tail: bytes) -> None:
    machine.history("one")
    for tier in (machine.run, machine.lib):
        with (tier / "events.jsonl").open("ab") as file:
            file.write(tail)
    assert machine.history("two") == ["one"]
    assert machine.said == []
    assert machine.names(machine.run, "events.jsonl.") == machine.names(machine.lib, "events.jsonl.") == []


def test_huge_events_are_set_aside_unread_and_again(machine: Machine) -> None:
    for number in range(2):
        with (machine.lib / "events.jsonl").open("wb") as file:
            file.truncate((1 << 40) + number)
        machine.history()
    assert [(machine.lib / name).stat().st_size for name in ("events.jsonl.unusable", "events.jsonl.unusable.2")] == [
        1 << 40, (1 << 40) + 1]


LINE = b'{"seq":%d,"at":5.0,"id":"agent-exited","message":"m","fields":{}}\n'


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.sampled_from([b'{"version":1}\n', b'{"version":2}\n', LINE % 1, LINE % 2, LINE % 3, b"\n", b"junk"])
                      | st.binary(max_size=8), max_size=6))
def test_whatever_is_in_an_events_file_is_used_or_kept(monkeypatch: pytest.MonkeyPatch, parts: list[bytes]) -> None:
    data = b"".join(parts)
    with tempfile.TemporaryDirectory() as root:
        machine = Machine(Path(root), monkeypatch)
        (machine.lib / "events.jsonl").write_bytes(data)
        machine.history("new")
        kept = [(machine.lib / name).read_bytes() for name in machine.names(machine.lib, "events.jsonl.")]
        left = (machine.lib / "events.jsonl").read_bytes()
        assert kept == ([data] if machine.said else [])
        if not machine.said:
            lines = data.split(b"\n")[:-1]
            assert all(line in left.split(b"\n") for number, line in enumerate(lines) if number or not events._version(line))
        assert machine.history() == [json.loads(line)["message"] for line in left.split(b"\n")[1:-1]]
