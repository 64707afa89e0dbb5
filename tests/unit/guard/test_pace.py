"""When waguard.guard.guard beats: seldom while the kernel would tell of everything, soon while it would not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from waguard.clock import Clock
from waguard.decide.restart import Intent
from waguard.decide.term import Term
from waguard.guard import guard as module
from waguard.guard.conversation import Doctor
from waguard.guard.guard import Guard
from waguard.guard.loop import Loop
from waguard.guard.memory import Memory
from waguard.guard.store import Store
from waguard.observe import Known
from waguard.observe.unit import UnitState
from waguard.settings import LivenessSettings, Settings

from .conftest import Disk

EVERY = Settings().liveness.check_interval
FINE = UnitState("x.service", active="active", sub="running", main_pid=7, invocation="a")


class Time(Clock):
    def __init__(self) -> None:
        self.at = 1000.0

    def now(self) -> float:
        return self.at


class World:
    """A guard of which only the beat is real. ``beats``: when it looked at the agent, and whether that was a round of all looks."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = Time()
        self.errors: list[BaseException] = []
        self.loop = Loop(self.time, self.errors.append)
        memory = Memory(Store("state", tmp_path, tmp_path, Disk(), lambda _warning: None), "boot")
        self.asked: list[float] = []
        manager: Any = SimpleNamespace(look=self._asked, name="systemd")
        self.guard = Guard(Settings(), self.loop, self.time, manager, Disk(), Doctor(self.loop, tmp_path, False), memory,
                           lambda *_words, **_fields: None, lambda: None)
        self.track: Any = SimpleNamespace(daemon=object(), handler=object())
        self.rounds: list[float] = []
        self.looks: list[float] = []
        sources: Any = SimpleNamespace(track=self.track, known_unit=FINE, unit=Known(FINE, 0.0), apply=lambda _settings: None,
                                       round=lambda *_then: self.rounds.append(self.time.at))
        self.guard.sources = sources
        self.sources = sources
        monkeypatch.setattr(self.guard.runs, "begun_by_others", lambda: self.looks.append(self.time.at))
        # The verdict itself is not asked for here: what it does to the beat is all.
        monkeypatch.setattr(self.guard, "evaluate", self.guard._pace)

    def _asked(self, _done: Any) -> None:
        self.asked.append(self.time.at)
        self.guard.runs._asking = False  # It is answered at once, with nothing new.

    def run(self, seconds: float) -> None:
        """Let time go on in small steps."""
        for _ in range(round(seconds * 10)):
            self.time.at += 0.1
            self.loop.turn(0.0)
        assert self.errors == []


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    made = World(tmp_path, monkeypatch)
    made.guard._pulse()
    yield made
    made.loop._epoll.close()
    for fd in (made.loop._wake_read, made.loop._wake_write):
        os.close(fd)


def test_while_all_is_held_a_beat_is_a_round(world: World) -> None:
    world.run(10 * EVERY)
    assert len(world.looks) == len(world.rounds) == 10  # Each a step late in a world of steps.
    gaps = [after - before for before, after in zip(world.rounds, world.rounds[1:])]
    assert all(EVERY - 0.01 < gap < EVERY + 0.2 for gap in gaps), gaps


def test_the_service_manager_is_asked_every_half_minute_along_with_a_round(world: World) -> None:
    world.run(20 * EVERY)
    assert len(world.looks) == len(world.rounds) >= 19
    gaps = [after - before for before, after in zip(world.asked, world.asked[1:])]
    assert len(gaps) >= 8 and all(28.9 < gap < 31.2 for gap in gaps), gaps


def test_also_where_rounds_are_rare(world: World) -> None:
    world.guard.apply(replace(Settings(), liveness=replace(LivenessSettings(), check_interval=600.0)))
    world.run(600)
    gaps = [after - before for before, after in zip(world.asked, world.asked[1:])]
    assert len(gaps) >= 18 and all(28.9 < gap < 31.2 for gap in gaps), gaps
    assert len(world.rounds) <= 2


def test_a_service_manager_that_does_not_answer_is_not_asked_in_a_hurry(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.guard.runs, "_asking", True)
    monkeypatch.setattr(World, "_asked", lambda *_: None)
    world.run(100)
    before = len(world.looks)
    world.run(100)
    assert len(world.looks) - before <= 60


def test_verdicts_neither_hasten_nor_delay_it(world: World) -> None:
    for _ in range(round(100 * EVERY)):
        world.run(0.1)
        world.guard.evaluate()
    assert len(world.looks) == len(world.rounds) == 10  # Each a step late in a world of steps.


@pytest.mark.parametrize("unheard", [
    lambda world: setattr(world.track, "daemon", None), lambda world: setattr(world.track, "handler", None),
    lambda world: setattr(world.sources, "known_unit", replace(FINE, active="failed")) or setattr(world.track, "daemon", None),
    lambda world: setattr(world.sources, "known_unit", None), lambda world: setattr(world.sources, "known_unit", replace(FINE, job=7)),
    lambda world: setattr(world.guard.memory, "pause", Term(None, None, "boot")),
    lambda world: setattr(world.guard.verbose, "lease", SimpleNamespace(phase=None)),
    lambda world: setattr(world.guard.memory, "policy", replace(world.guard.memory.policy, intent=Intent)),
], ids=["no daemon", "no handler", "down", "unknown", "job", "pause", "lease", "intent"])
def test_what_could_happen_unheard_is_looked_for_every_two_seconds(world: World, unheard: Callable[[World], None],
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.guard.verbose, "tick", lambda: None)
    monkeypatch.setattr(module.term, "over", lambda *_: False)
    monkeypatch.setattr(world.guard.runs, "look", lambda *_: None)
    world.run(1)
    unheard(world)
    world.guard.evaluate()  # As after everything that is told.
    before = len(world.looks)
    world.run(2.1)
    assert len(world.looks) == before + 1
    world.run(20)
    assert len(world.looks) >= before + 10
    assert len(world.rounds) == 2


def test_new_settings_count_at_once(world: World) -> None:
    world.run(5)
    world.guard.apply(replace(Settings(), liveness=replace(LivenessSettings(), check_interval=1.0)))
    rounds = len(world.rounds)
    world.run(10)
    assert 9 <= len(world.rounds) - rounds <= 11


def test_a_beat_that_fails_does_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(5, "I/O")

    with monkeypatch.context() as patch:
        patch.setattr(world.guard, "_round", fail)
        for _ in range(300):
            world.time.at += 0.1
            world.loop.turn(0.0)
    assert len(world.errors) > 3
    world.errors.clear()
    rounds = len(world.rounds)
    world.run(2 * EVERY)
    assert len(world.rounds) >= rounds + 2
