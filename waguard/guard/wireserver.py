"""Does the wire server answer? The guard reaches no network: it has waguard-doctor ask (doctor/main.py), and keeps the answer.

Seldom while all is well, since a process has to be started for it; as often as ``network.probe_interval`` allows while something
is in doubt: the last answer was none, or the agent's loop may hang, or the agent itself says that it cannot fetch its goal state.
Each of the doctor's visits brings an answer as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Optional

from waguard.clock import Clock
from waguard.guard.conversation import GRACE, Doctor
from waguard.guard.eyes import Eyes
from waguard.guard.loop import Loop
from waguard.i18n import say
from waguard.observe import Known, Observation, Unknown
from waguard.observe.azure import Probe
from waguard.settings import NetworkSettings

NAME = "wireserver"
SELDOM = 5
"""While all is well the wire server is asked once in so many intervals."""


class WireServer:
    """Asks, and remembers. Everything here is called in the loop."""

    def __init__(self, settings: NetworkSettings, loop: Loop, clock: Clock, doctor: Doctor, eyes: Eyes) -> None:
        self.settings = settings
        self._loop, self._clock, self._doctor, self._eyes = loop, clock, doctor, eyes
        self._asked = float("-inf")

    def tick(self, closely: bool, then: Callable[[], None]) -> None:
        """Ask if it is time to. ``closely``: something is in doubt. ``then`` is called when it was answered, or cannot be."""
        now, last = self._clock.now(), self._eyes.get(NAME)
        doubted = closely or not (isinstance(last, Known) and last.value.success)
        if self._doctor.busy or now - self._asked < self.settings.probe_interval * (1 if doubted else SELDOM):
            return
        self._asked = now
        timeout = self.settings.probe_timeout

        def over(result: Optional[Mapping[str, Any]], problem: str) -> None:
            self._note(_answer(result, problem, self._clock.now()), self._clock.now() - now)
            then()

        try:
            self._doctor.talk({"probe": {"address": self.settings.wireserver, "timeout": timeout}}, timeout + GRACE,
                                           lambda _title: None, over)
        except OSError as error:
            over(None, self._doctor.absent(error))

    def hear(self, probe: Probe, at: float) -> None:
        """What one of the doctor's visits saw, CLOCK_BOOTTIME ``at``; it counts unless something later is known."""
        if at > self._eyes.get(NAME).at:
            self._asked = max(self._asked, at)
            self._note(Known(probe, at), probe.duration)

    def seen(self) -> Observation[Probe]:
        """The last answer; one that is older than two times of asking says nothing of now."""
        last: Observation[Probe] = self._eyes.get(NAME)
        often = SELDOM if isinstance(last, Known) and last.value.success else 1
        now = self._clock.now()
        fresh = now - last.at <= 2 * often * self.settings.probe_interval + self.settings.probe_timeout + GRACE
        return last if fresh or last.at == 0.0 else Unknown(say("the last probe is too old"), now)

    def _note(self, observation: Observation[Probe], duration: float) -> None:
        self._eyes.note(NAME, observation, duration)


def _answer(result: Optional[Mapping[str, Any]], problem: str, now: float) -> Observation[Probe]:
    if result is None:
        return Unknown(problem, now)
    try:
        return Known(Probe.of(result), now)
    except (LookupError, TypeError, ValueError) as error:
        return Unknown(say("the doctor's answer cannot be used: {kind}: {error}", kind=type(error).__name__, error=error), now)
