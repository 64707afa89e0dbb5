"""The doctor's visits: when one is due, and what the last one said."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from waguard.clock import Clock
from waguard.guard.conversation import GRACE, Conversation, Doctor, Progress
from waguard.guard.loop import Loop, Timer
from waguard.guard.store import Store
from waguard.guard.visited import Told, read
from waguard.i18n import say
from waguard.judge.catalogue import Finding
from waguard.settings import DoctorSettings

_FIRST = 3.0
_YOUNG = 10.0
_MOMENT = 0.1
_PAUSE = 2.0
"""Seconds from a visit that failed to the next one that is asked for: anybody may ask."""
_KEPT = 3600.0
"""Seconds for which what a visit said holds at least."""
_AGAIN = 60.0
"""Seconds from a visit that found something new to the one that confirms it: a probe may have failed once by chance."""
_BOOTED = 90.0
"""Seconds after the boot in which the network need not be up yet, so that the first regular visit would tell of its absence."""
Done = Callable[[str], None]


class Visits:
    """Asks the doctor in, one visit at a time. ``changed`` is called after each; ``request`` says what is known already."""

    def __init__(self, settings: DoctorSettings, loop: Loop, clock: Clock, doctor: Doctor, store: Store,
                 request: Callable[[], dict[str, Any]], changed: Callable[[], None], trouble: Callable[[str], None]) -> None:
        self._settings, self._loop, self._clock, self._doctor = settings, loop, clock, doctor
        self._store, self._request, self._changed, self._trouble = store, request, changed, trouble
        self._state: dict[str, Any] = {}
        self._open: Optional[Conversation] = None
        self._waiting: list[tuple[Progress, Done]] = []
        self._next: list[tuple[Progress, Done]] = []
        """Who asked during a visit for one that begins after it."""
        self._timer: Optional[Timer] = None
        self._end: Optional[Timer] = None
        self.told: Optional[Told] = None
        """What the last visit said; None before the first, and after three that failed."""
        self.ended = float("-inf")
        """When the last visit ended, CLOCK_BOOTTIME seconds."""
        self.failures = 0
        self.problem = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.told.findings if self.told is not None else ()

    def start(self) -> None:
        """Begin with the regular visits."""
        loaded = self._store.load()
        state = loaded.get("state")
        self._state = state if isinstance(state, dict) else {}
        if state is not None and not isinstance(state, dict) and (kept := self._store.keep_loaded()) is not None:
            self._trouble(say("what the doctor left behind cannot be used; kept as {name}, starting without it", name=kept))
        self._plan(self._soon())

    def apply(self, settings: DoctorSettings) -> None:
        """New settings."""
        self._settings = settings
        if self._open is None and not self._waiting:
            self._plan(max(self._soon(), self.ended + settings.interval - self._clock.now()))

    def ask(self, progress: Progress, done: Done, afresh: bool = False) -> None:
        """Have one now; ``done`` is told why it failed, or nothing. One that has only just ended, or is under way, will do,
        unless it has to look ``afresh``."""
        if afresh and self._open is not None:
            self._next.append((progress, done))
            return
        if not afresh and self._open is None and not self.problem and self._clock.now() - self.ended < _YOUNG:
            self._loop.soon(lambda: done(""))
            return
        self._waiting.append((progress, done))
        self._hurry()

    def _hurry(self) -> None:
        """One that is asked for: at once, or a while after one that failed."""
        pause = self.ended + _PAUSE - self._clock.now() if self.problem else 0.0
        if self._open is None and pause > 0:
            self._after(pause)
        elif self._open is None:
            self._begin()

    def _soon(self) -> float:
        return max(_FIRST, _BOOTED - self._clock.now())

    def _plan(self, seconds: float) -> None:
        if self._settings.enabled:
            self._after(seconds)
        elif self._timer is not None:
            self._timer.cancel()

    def _after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.after(seconds, self._begin)

    def _begin(self) -> None:
        if self._open is not None:
            return
        if self._doctor.busy:  # It asks the wire server, and is soon done.
            self._after(_MOMENT)
            return
        self._plan(self._settings.interval)  # Whatever becomes of this one.
        request = {**self._request(), "state": self._state}
        try:
            self._open = self._doctor.talk(request, self._settings.deadline + GRACE, self._hear, self._over)
        except OSError as error:
            self._over(None, self._doctor.absent(error))

    def _hear(self, title: str) -> None:
        for progress, _ in self._waiting:
            progress(title)

    def _over(self, result: Optional[Mapping[str, Any]], problem: str) -> None:
        self._open, self.ended, self.problem = None, self._clock.now(), problem
        known = {one.id for one in self.findings}
        if result is not None:
            try:
                self.told, self.failures = read(result), 0
                self._keep_for(max(_KEPT, 3 * self._settings.interval) if self._settings.enabled else _KEPT)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                result = None
                self.problem = say("the doctor's answer cannot be used: {kind}: {error}", kind=type(error).__name__, error=error)
        if result is not None:
            self._state = dict(result["state"]) if isinstance(result.get("state"), dict) else {}
            self._keep()
        else:
            self.failures += 1
            if self.failures >= 3:
                self.told = None  # What was true half an hour ago need not be true now.
        news = any(one.id not in known for one in self.findings)
        self._plan(min(_AGAIN, self._settings.interval) if news else self._settings.interval)
        waiting, self._waiting, self._next = self._waiting, self._next, []
        self._changed()
        for _, done in waiting:
            done(self.problem)
        if self._waiting:
            self._hurry()

    def _keep_for(self, seconds: float) -> None:
        """Forget what was said when it is that old: where no regular visits come, nobody would ever say that it is over."""
        def forget() -> None:
            self.told = None
            self._changed()

        if self._end is not None:
            self._end.cancel()
        self._end = self._loop.after(seconds, forget)

    def _keep(self) -> None:
        try:
            self._store.save({"state": self._state})
        except OSError as error:
            self._trouble(say("what the doctor left behind cannot be written: {said}", said=error.strerror))
