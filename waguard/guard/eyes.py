"""Runs the observers and keeps what each saw last.

An observer is a function without arguments that returns a value or raises. It runs in a thread with a deadline; what it raises
becomes ``Unknown(why)``. A late one stays late alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Optional

from waguard.clock import Clock
from waguard.guard.loop import Loop
from waguard.guard.workers import Crew, Worker
from waguard.i18n import say
from waguard.observe import Known, Observation, Unknown

DEADLINE = 5.0


@dataclass
class Record:
    """How an observer has fared. Moments are wall-clock seconds; ``failures`` counts the ones in a row."""

    success: Optional[bool] = None
    duration: float = 0.0
    last_success: Optional[float] = None
    error: Optional[str] = None
    failures: int = 0
    stuck: bool = False


class Eyes:
    """All observers of the guard by name."""

    def __init__(self, loop: Loop, clock: Clock) -> None:
        self._loop, self._clock, self._crew = loop, clock, Crew(loop)
        self._workers: dict[str, Worker] = {}
        self.records: dict[str, Record] = {}
        self.seen: dict[str, Observation[Any]] = {}

    def look(self, name: str, observer: Callable[[], Any], then: Optional[Callable[[], None]] = None,
             deadline: float = DEADLINE) -> bool:
        """Run an observer in a thread; ``then`` is called in the loop when its observation is in. False: still busy."""
        worker = self._workers.get(name)
        if worker is None:
            worker = self._workers[name] = Worker(self._crew, self._loop, self._clock.now)
        started = self._clock.now()

        def done(value: Any, error: Optional[BaseException]) -> None:
            now = self._clock.now()
            self.note(name, Unknown(_say(error), now) if error is not None else Known(value, now), now - started)
            if then is not None:
                then()

        begun, record = worker.run(observer, deadline, done), self._record(name)
        record.stuck = not begun
        if not begun and worker.busy_since is not None and started - worker.busy_since > deadline:
            record.failures += 1
        return begun

    def note(self, name: str, observation: Observation[Any], duration: float) -> None:
        """Keep an observation that came from elsewhere (a child program)."""
        record = self._record(name)
        self.seen[name] = observation
        record.duration = duration
        record.success = isinstance(observation, Known)
        if isinstance(observation, Known):
            record.last_success, record.error, record.failures = self._clock.wall(), None, 0
        else:
            record.error, record.failures = observation.why, record.failures + 1

    def get(self, name: str) -> Observation[Any]:
        return self.seen.get(name) or Unknown(say("not looked at yet"), 0.0)

    def blocked_in_kernel(self) -> list[str]:
        """Names of observers that sleep uninterruptibly."""
        return [name for name, worker in self._workers.items() if worker.busy_since is not None and worker.blocked_in_kernel()]

    def _record(self, name: str) -> Record:
        return self.records.setdefault(name, Record())


def _say(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) < 300 else f"{text[:300]}…"
