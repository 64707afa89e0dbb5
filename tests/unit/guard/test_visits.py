"""The doctor's visits, against doctors of all kinds behind a real socket."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waguard.clock import Clock
from waguard.guard.conversation import Doctor
from waguard.guard.store import Store
from waguard.guard.visited import read
from waguard.guard.visits import Visits
from waguard.settings import DoctorSettings

from .conftest import Disk, Turning, descriptors
from .fakedoctor import FakeDoctor

RESULT = {"schema": 1, "at": 1.0, "took": 0.1, "privileged": True, "azure": True, "places": {}, "looks": {}, "state": {"load": {"x": 1}},
          "parts": [{"name": "filesystems", "title": "File systems", "says": "full", "ok": False, "facts": {"free": 0}, "findings": [
              {"id": "disk-full", "evidence": "/var is full", "values": {"mount": "/var"}, "blocks": None},
              {"id": "of-a-newer-doctor", "evidence": "x", "values": {}, "blocks": None}]}]}
GOOD = [{"progress": "the network"}, {"progress": "logs"}, {"result": RESULT}]
NEVER = 1e6


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[FakeDoctor]:
    with FakeDoctor(tmp_path / "doctor", GOOD) as fake:
        yield fake


class World:
    def __init__(self, tmp_path: Path, loop: Turning, disk: Disk, **rules: Any) -> None:
        self.changes, self.troubles = 0, [""][:0]
        self.loop = loop
        store = Store("doctor", tmp_path, tmp_path / "lib", disk, self.troubles.append)
        (tmp_path / "lib").mkdir(exist_ok=True)
        self.doctor = Doctor(loop, tmp_path, False)
        self.visits = Visits(DoctorSettings(**{"interval": NEVER, **rules}), loop, Clock(), self.doctor, store,
                             lambda: {"agent": {"unit": "waagent.service"}}, self._changed, self.troubles.append)

    def _changed(self) -> None:
        self.changes += 1

    def ask(self) -> tuple[list[str], str]:
        """What was said of progress, and in the end."""
        progress: list[str] = []
        ends: list[str] = []
        self.visits.ask(progress.append, ends.append)
        self.loop.until(lambda: ends, "the end of the visit")
        return progress, ends[0]


@pytest.fixture(autouse=True)
def _booted_long_ago(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._BOOTED", 0.0)
    monkeypatch.setattr("waguard.guard.visits._PAUSE", 0.0)


@pytest.fixture
def world(tmp_path: Path, loop: Turning, disk: Disk) -> World:
    return World(tmp_path, loop, disk)


def test_a_visit(world: World, doctor: FakeDoctor) -> None:
    before = descriptors()
    assert world.ask() == (["the network", "logs"], "")
    assert doctor.requests == [{"agent": {"unit": "waagent.service"}, "state": {}}]
    assert [(one.id, one.evidence, one.values) for one in world.visits.findings] == [("disk-full", "/var is full", (("mount", "/var"),))]
    assert world.visits.told == read(RESULT) and world.changes == 1 and world.visits.failures == 0
    world.loop.until(lambda: descriptors() <= before, "every descriptor closed, the fake doctor's too")


def test_what_a_visit_leaves_behind_is_given_to_the_next_and_survives_the_guard(
        world: World, doctor: FakeDoctor, tmp_path: Path, loop: Turning, disk: Disk) -> None:
    world.ask()
    later = World(tmp_path, loop, disk)
    later.visits.start()
    later.ask()
    assert doctor.requests[-1]["state"] == {"load": {"x": 1}}


def test_one_that_has_only_just_ended_will_do(world: World, doctor: FakeDoctor) -> None:
    world.ask()
    assert world.ask() == ([], "")
    assert len(doctor.requests) == 1


def test_who_asks_during_a_visit_waits_for_the_same(world: World, doctor: FakeDoctor) -> None:
    doctor.hold = threading.Event()
    ends: list[str] = []
    for _ in range(5):
        world.visits.ask(lambda _title: None, ends.append)
    world.loop.until(lambda: doctor.requests)
    doctor.hold.set()
    world.loop.until(lambda: len(ends) == 5)
    assert ends == [""] * 5 and len(doctor.requests) == 1


def test_who_looks_afresh_gets_no_visit_that_began_before(world: World, doctor: FakeDoctor) -> None:
    """What the last one found may just have been repaired."""
    world.ask()
    ends: list[str] = []
    doctor.hold = threading.Event()
    world.visits.ask(lambda _title: None, ends.append, afresh=True)
    world.loop.until(lambda: len(doctor.requests) == 2, "a visit for one that comes right after another")
    for name in ("b", "c"):
        world.visits.ask(lambda _title: None, lambda _problem, name=name: ends.append(name), afresh=True)  # type: ignore[misc]
    world.visits.ask(lambda _title: None, lambda _problem: ends.append("young"))
    doctor.hold.set()
    world.loop.until(lambda: len(ends) == 4)
    assert ends == ["", "young", "b", "c"] and len(doctor.requests) == 3
    assert world.ask() == ([], "") and len(doctor.requests) == 3


def test_who_looks_afresh_is_told_of_a_visit_that_failed(world: World, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._PAUSE", 0.2)
    doctor.answer, doctor.hold = b"", threading.Event()
    ends: list[str] = []
    world.visits.ask(lambda _title: None, ends.append, afresh=True)
    world.loop.until(lambda: doctor.requests)
    world.visits.ask(lambda _title: None, ends.append, afresh=True)
    doctor.hold.set()
    world.loop.until(lambda: ends)
    doctor.answer = GOOD
    world.loop.until(lambda: len(ends) == 2, "the second visit, after a pause")
    assert "ended without a word" in ends[0] and ends[1] == ""


@pytest.mark.parametrize(("answer", "problem"), [
    (b"", "ended without a word"),
    (b"Traceback (most recent call last):\n", "is no JSON"),
    (b"[1]\n", "is no JSON"),
    (b"[" * 100000 + b"\n", "is no JSON"),
    (b'{"result": 3}\n', "no result"),
    (b'{"error": "the settings cannot be used"}\n', "the settings cannot be used"),
    (b'{"result": {}}\n', "cannot be used"),
    (b'{"result": {"parts": 3}}\n', "cannot be used"),
    (b'{"result": {"parts": [{"findings": [{"id": "disk-full"}]}]}}\n', "cannot be used"),
    (json.dumps({"result": {**RESULT, "at": "noon"}}).encode() + b"\n", "cannot be used"),
    (b'{"progress": "x"}\n', "ended without a word"),
    (b'{"result": {"parts"', "ended without a word"),
    (b"x" * (9 << 20), "too long"),
], ids=["nothing", "text", "a list", "deep", "a number", "an error", "an empty result", "no parts", "half a finding", "no time", "only progress",
        "half a line", "9 MiB"])
def test_an_answer_that_is_none(world: World, doctor: FakeDoctor, answer: bytes, problem: str) -> None:
    doctor.answer = answer
    _, said = world.ask()
    assert problem in said
    assert (world.visits.told, world.visits.findings, world.visits.failures) == (None, (), 1)
    doctor.answer = GOOD
    assert world.ask()[1] == ""  # a visit that failed does not count as young
    assert world.visits.failures == 0 and world.visits.findings


def test_what_was_said_holds_for_two_failures_more(world: World, doctor: FakeDoctor) -> None:
    world.ask()
    doctor.answer = b""
    world.visits.ended = float("-inf")
    for number, kept in ((1, True), (2, True), (3, False)):
        assert "ended without a word" in world.ask()[1]
        assert world.visits.failures == number
        assert bool(world.visits.findings) is kept and (world.visits.told is not None) is kept


def test_nobody_listens(world: World) -> None:
    assert world.ask() == ([], "waguard-doctor cannot be started: No such file or directory (systemctl status waguard-doctor.socket)")


def test_it_does_not_come_to_an_end(tmp_path: Path, loop: Turning, disk: Disk, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits.GRACE", 0.05)
    world = World(tmp_path, loop, disk, deadline=0.05)
    doctor.hold = threading.Event()
    assert world.ask()[1] == "the doctor did not come to an end within 0.1 s"
    doctor.hold.set()


def test_a_visit_waits_while_the_wire_server_is_asked(world: World, doctor: FakeDoctor) -> None:
    """Or the visit would ask it again within the same minute."""
    doctor.hold = threading.Event()
    probed: list[Any] = []
    world.doctor.talk({"probe": {}}, 30.0, lambda _title: None, lambda result, _problem: probed.append(result))
    ends: list[str] = []
    world.visits.ask(lambda _title: None, ends.append)
    world.loop.settle()
    assert len(doctor.requests) == 1 and not ends
    doctor.hold.set()
    world.loop.until(lambda: ends, "the visit")
    assert [list(request) for request in doctor.requests] == [["probe"], ["agent", "state"]] and len(probed) == 1


def test_regular_visits(tmp_path: Path, loop: Turning, disk: Disk, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._FIRST", 0.01)
    world = World(tmp_path, loop, disk, interval=0.01)
    world.visits.start()
    loop.until(lambda: world.changes >= 3)
    world.visits.apply(DoctorSettings(enabled=False))
    loop.until(lambda: world.visits._open is None)
    changes = world.changes
    loop.settle()
    assert world.changes == changes


def test_news_is_looked_at_again_soon(world: World, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    """And then it is no news any more: the next visit is a regular one, which is far off here."""
    monkeypatch.setattr("waguard.guard.visits._AGAIN", 0.01)
    world.ask()
    world.loop.until(lambda: world.changes == 2, "the visit that confirms")
    world.loop.settle()
    assert world.changes == 2


def test_none_where_they_are_switched_off(tmp_path: Path, loop: Turning, disk: Disk, doctor: FakeDoctor,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._FIRST", 0.0)
    world = World(tmp_path, loop, disk, enabled=False)
    world.visits.start()
    loop.settle()
    assert doctor.requests == []
    assert world.ask()[1] == ""  # but when asked


def test_a_state_that_cannot_be_written_is_told(world: World, doctor: FakeDoctor, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("waguard.guard.store.replace_file", full)
    assert world.ask()[1] == ""
    assert world.troubles == ["what the doctor left behind cannot be written: No space left on device"]
    assert world.visits.findings


def test_after_a_visit_that_failed_the_next_one_waits_a_little_whoever_asks(
        world: World, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    doctor.answer = b""
    world.ask()
    monkeypatch.setattr("waguard.guard.visits._PAUSE", NEVER)
    ends: list[str] = []
    for _ in range(3):
        world.visits.ask(lambda _title: None, ends.append)
    world.visits.apply(DoctorSettings(interval=NEVER))
    world.loop.settle()
    assert len(doctor.requests) == 1 and not ends
    monkeypatch.setattr("waguard.guard.visits._PAUSE", 0.05)
    doctor.answer = GOOD
    assert world.ask()[1] == "" and len(ends) == 3 and len(doctor.requests) == 2


def test_the_first_regular_visit_waits_until_the_network_can_be_up(
        tmp_path: Path, loop: Turning, disk: Disk, doctor: FakeDoctor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._FIRST", 0.0)
    monkeypatch.setattr("waguard.guard.visits._BOOTED", Clock().now() + NEVER)
    world = World(tmp_path, loop, disk)
    world.visits.start()
    world.visits.apply(DoctorSettings())
    loop.settle()
    assert doctor.requests == []
    assert world.ask()[1] == ""  # but when asked


def test_what_was_said_is_forgotten_where_no_visit_follows(tmp_path: Path, loop: Turning, disk: Disk, doctor: FakeDoctor,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waguard.guard.visits._KEPT", 0.05)
    world = World(tmp_path, loop, disk, enabled=False)
    world.ask()
    assert world.visits.findings
    loop.until(lambda: not world.visits.findings, "the end of what was said")
    assert world.changes == 2
