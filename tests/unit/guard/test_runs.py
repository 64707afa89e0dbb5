"""waguard.guard.runs without systemd: the daemon's last words are read before its end is judged."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from waguard.clock import Clock
from waguard.guard import runs as module
from waguard.guard.conversation import Doctor
from waguard.guard.guard import Guard
from waguard.guard.memory import Memory
from waguard.guard.runs import Runs
from waguard.guard.sources import Sources
from waguard.guard.store import Store
from waguard.judge import liveness
from waguard.judge.liveness import AgentState
from waguard.observe import Known, logs
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import Settings

from .conftest import Disk, Turning

DAEMON = Process(4242, 1, ("python3", "waagent", "-daemon"), "S", 10.0, 0.1, 1000)


class Looked:
    """A service manager that says the service has ended, and what of the log was known when it was asked."""

    name = "command"

    def __init__(self) -> None:
        self.sources: Any = None
        self.logs: list[Any] = []
        self.events: list[str] = []

    def look(self, done: Any) -> None:
        self.logs.append(self.sources.eyes.get("log"))
        done(Known(UnitState("waagent", active="inactive", kind="command"), Clock().now()))


@pytest.fixture
def world(tmp_path: Path, loop: Turning) -> tuple[Runs, Looked]:
    manager, clock = Looked(), Clock()
    memory = Memory(Store("state", tmp_path, tmp_path, Disk(), lambda _warning: None), "boot")
    runs = Runs(loop, clock, manager, memory, lambda kind, *_words, **_fields: manager.events.append(kind),
                lambda: None, lambda: None)  # type: ignore[arg-type]
    sources = Sources(Settings(), loop, clock, Disk(), Doctor(loop, tmp_path, False), runs.daemon_ended, lambda _process: None)
    sources._follower = logs.Follower(tmp_path / "waagent.log")
    sources.unit = Known(UnitState("waagent", active="active", main_pid=4242, kind="command"), clock.now())
    runs.sources = manager.sources = sources
    return runs, manager


def test_the_log_is_read_first(loop: Turning, world: tuple[Runs, Looked]) -> None:
    runs, manager = world
    runs.daemon_ended(DAEMON)
    assert manager.logs == []
    loop.until(lambda: manager.logs, seconds=5.0)
    assert isinstance(manager.logs[0], Known)


def test_the_log_is_read_first_also_when_a_look_at_it_is_under_way(loop: Turning, world: tuple[Runs, Looked]) -> None:
    """That look may have passed the place before the last words stood there: a stop by hand would be taken for a crash."""
    runs, manager = world
    go = threading.Event()
    assert runs.sources is not None
    runs.sources.eyes.look("log", lambda: go.wait(30.0))
    runs.daemon_ended(DAEMON)
    loop.settle()
    assert manager.logs == []
    go.set()
    loop.until(lambda: manager.logs, seconds=5.0)
    assert isinstance(manager.logs[0], Known)
    assert isinstance(manager.logs[0].value, logs.LogLook)


def test_a_look_that_comes_first_does_not_judge(loop: Turning, world: tuple[Runs, Looked]) -> None:
    """The service manager is asked at other times, too, and its answer is that there is no daemon: that is no crash yet."""
    runs, manager = world
    go = threading.Event()
    assert runs.sources is not None
    runs.sources.eyes.look("log", lambda: go.wait(30.0))
    assert runs.settled
    runs.daemon_ended(DAEMON)
    runs.look()
    loop.settle()
    assert (manager.events, runs.settled) == ([], False)
    go.set()
    loop.until(lambda: manager.events, seconds=5.0)
    assert (manager.events, runs.settled) == (["agent-exited"], True)


def test_words_that_do_not_come_are_not_waited_for_for_ever(
    loop: Turning, world: tuple[Runs, Looked], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The log may be on a mount that is dead."""
    runs, manager = world
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    go = threading.Event()
    assert runs.sources is not None
    runs.sources.eyes.look("log", lambda: go.wait(30.0))
    runs.daemon_ended(DAEMON)
    loop.until(lambda: manager.events, seconds=5.0)
    assert (manager.events, runs.settled) == (["agent-exited"], True)
    go.set()


def test_nothing_is_started_meanwhile(tmp_path: Path, loop: Turning) -> None:
    """The policy is told that the service has not come to rest, as it is while systemd is at work on a unit."""
    manager, clock, disk = Looked(), Clock(), Disk()
    memory = Memory(Store("state", tmp_path, tmp_path, disk, lambda _warning: None), "boot")
    guard = Guard(Settings(), loop, clock, manager, disk, Doctor(loop, tmp_path, False), memory, lambda *_words, **_fields: None, lambda: None)  # type: ignore[arg-type]
    manager.sources = guard.sources
    guard.sources.unit = Known(UnitState("waagent", active="inactive", kind="command"), clock.now())
    go = threading.Event()
    guard.sources.eyes.look("log", lambda: go.wait(30.0))
    evidence = guard.sources.evidence()
    live = liveness.judge(evidence, liveness.History(), guard.settings.liveness, 0.0)

    assert live.state is AgentState.DOWN
    assert guard._facts(evidence, live).settled
    guard.runs.daemon_ended(DAEMON)
    assert not guard._facts(evidence, live).settled
    go.set()
    loop.until(lambda: guard.runs.settled, seconds=5.0)
    assert guard._facts(evidence, live).settled
