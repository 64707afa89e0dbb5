"""The guard has the doctor ask the wire server: when, and what it makes of the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waguard.clock import Clock
from waguard.guard.conversation import Doctor
from waguard.guard.eyes import Eyes
from waguard.guard.wireserver import SELDOM, WireServer
from waguard.observe import Known, Unknown
from waguard.observe.azure import Probe
from waguard.settings import NetworkSettings

from .conftest import Turning
from .fakedoctor import FakeDoctor

WELL = [{"result": {"success": True, "duration": 0.002, "problem": "", "kind": "ok", "routable": None}}]
LOST = [{"result": {"success": False, "duration": 5.0, "problem": "1.2.3.4:80 is silent", "kind": "silent", "routable": True}}]
NEVER = 1e6


class Time(Clock):
    """Now is what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.at = 1000.0

    def now(self) -> float:
        return self.at


class World:
    def __init__(self, loop: Turning, folder: Path) -> None:
        self.loop, self.time = loop, Time()
        self.eyes = Eyes(loop, self.time)
        self.doctor = Doctor(loop, folder, False)
        self.wire = WireServer(NetworkSettings(), loop, self.time, self.doctor, self.eyes)
        self.answers = 0

    def tick(self, closely: bool = False) -> None:
        self.wire.tick(closely, self._answered)

    def _answered(self) -> None:
        self.answers += 1

    def ask(self, closely: bool = False) -> Any:
        """Tick until there is one answer more; what is known then."""
        before = self.answers
        self.tick(closely)
        self.loop.until(lambda: self.answers > before, "an answer")
        return self.wire.seen()


@pytest.fixture
def world(tmp_path: Path, loop: Turning) -> World:
    return World(loop, tmp_path)


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[FakeDoctor]:
    with FakeDoctor(tmp_path / "doctor", WELL) as fake:
        yield fake


def test_it_asks_at_once_and_says_what_to_ask(world: World, doctor: FakeDoctor) -> None:
    assert isinstance(world.wire.seen(), Unknown)
    assert world.ask() == Known(Probe(True, 0.002, "", "ok", None), 1000.0)
    assert doctor.requests == [{"probe": {"address": "168.63.129.16:80", "timeout": 5.0}}]
    assert world.eyes.records["wireserver"].success is True


@pytest.mark.parametrize(("answer", "closely", "wait"), [(WELL, False, 60.0 * SELDOM), (WELL, True, 60.0), (LOST, False, 60.0),
                                                         (b"", False, 60.0)], ids=["well", "in doubt", "lost", "not known"])
def test_how_often(world: World, doctor: FakeDoctor, answer: Any, closely: bool, wait: float) -> None:
    doctor.answer = answer
    world.ask(closely)
    world.time.at += wait - 0.1
    world.tick(closely)
    world.loop.settle()
    assert len(doctor.requests) == 1
    world.time.at += 0.1
    world.ask(closely)
    assert len(doctor.requests) == 2


def test_never_twice_at_once(world: World, doctor: FakeDoctor) -> None:
    doctor.hold = threading.Event()
    world.tick()
    world.time.at += NEVER
    world.tick(closely=True)
    world.loop.settle()
    doctor.hold.set()
    world.loop.until(lambda: world.answers, "an answer")
    assert len(doctor.requests) == 1


def test_while_the_doctor_is_on_a_visit_nobody_asks_beside_it(world: World, doctor: FakeDoctor) -> None:
    doctor.hold = threading.Event()
    over: list[Any] = []
    world.doctor.talk({"agent": {}}, 30.0, lambda _title: None, lambda result, _problem: over.append(result))
    world.tick()
    doctor.hold.set()
    world.loop.until(lambda: over, "the end of the visit")
    assert [list(request) for request in doctor.requests] == [["agent"]] and world.answers == 0
    world.ask()  # and then it is done at once


def test_no_answer_is_not_known_and_never_a_failure_of_the_wire_server(world: World) -> None:
    seen = world.ask()
    assert isinstance(seen, Unknown) and seen.why == \
        "waguard-doctor cannot be started: No such file or directory (systemctl status waguard-doctor.socket)"
    for failures in (2, 3):
        world.time.at += 60.0
        world.ask()
        assert world.eyes.records["wireserver"].failures == failures  # which makes observer-failing of it


@pytest.mark.parametrize("result", [{}, {"success": None, "duration": 1}, {"success": "yes", "duration": 1}, {"success": True, "duration": "x"},
                                    {"success": True, "duration": None}, {"success": False, "duration": 1, "routable": "no"}])
def test_an_answer_of_another_shape(world: World, doctor: FakeDoctor, result: Any) -> None:
    doctor.answer = [{"result": result}]
    seen = world.ask()
    assert isinstance(seen, Unknown) and "the doctor's answer cannot be used" in seen.why


def test_what_a_visit_saw_counts_when_it_is_newer(world: World, doctor: FakeDoctor) -> None:
    world.ask()
    lost = Probe(False, 5.0, "silent", "silent", True)
    world.wire.hear(lost, 999.0)
    assert world.wire.seen().value.success is True
    world.time.at = 1030.0
    world.wire.hear(lost, 1020.0)
    assert world.wire.seen() == Known(lost, 1020.0)
    world.time.at = 1079.0
    world.tick()  # one address at most once a minute, whoever asked it
    world.loop.settle()
    assert len(doctor.requests) == 1
    world.time.at = 1080.0
    assert world.ask().value.success is True


@pytest.mark.parametrize(("answer", "holds"), [(WELL, 60.0 * SELDOM * 2), (LOST, 120.0)])
def test_what_is_too_old_says_nothing_of_now(world: World, doctor: FakeDoctor, answer: Any, holds: float) -> None:
    doctor.answer = answer
    world.ask()
    world.time.at += holds
    assert isinstance(world.wire.seen(), Known)
    world.time.at += 30.0
    seen = world.wire.seen()
    assert isinstance(seen, Unknown) and seen.why == "the last probe is too old"
