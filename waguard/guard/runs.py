"""The runs of the agent: when one ends, by whose will; when one begins, by whose hand.

The kernel tells of an end at once (guard/track.py); the service manager knows a little later what it was. Between the two lie
milliseconds, or a whole stop, so it is asked again at a growing distance until it knows.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

from waguard.act.service import ServiceManager
from waguard.clock import Clock
from waguard.decide import restart
from waguard.guard.loop import Loop
from waguard.guard.memory import Memory
from waguard.guard.sources import Sources
from waguard.i18n import say
from waguard.judge import liveness
from waguard.observe import Known, Observation
from waguard.observe.process import Process
from waguard.observe.unit import UnitState

_SOON = 0.005
_SLOWEST = 1.0
_LAST_WORDS = 0.05
_PATIENCE = 2.0
"""Seconds for the daemon's last words to be read in: a log on a dead mount must not keep the agent down."""
_INVOCATIONS = Path("/run/systemd/units")


class Runs:
    """Asks the service manager, and notes ends and starts in the memory. ``changed`` is called after every answer."""

    def __init__(self, loop: Loop, clock: Clock, manager: ServiceManager, memory: Memory, event: Callable[..., None],
                 save: Callable[[], object], changed: Callable[[], None]) -> None:
        self._loop, self._clock, self._manager, self._memory = loop, clock, manager, memory
        self._event, self._save, self._changed = event, save, changed
        self.sources: Optional[Sources] = None
        self.acting = False
        """An order of ours is under way: the end it begins with is nobody's news, and the run it makes is ours."""
        self.asked_at = 0.0
        self._asking = False
        self._again = False
        self._ended: Optional[Process] = None
        self._unheard = False
        """Its last words are still to be read; till then nobody knows by whose will it ended."""
        self._wait = _SOON
        self._invocation = ""

    @property
    def _sources(self) -> Sources:
        assert self.sources is not None
        return self.sources

    @property
    def settled(self) -> bool:
        """False while the daemon is ending, or has ended and it is not known yet by whose will: then nothing is to be done."""
        return not (self._ended is not None and self._unheard) and not self._sources.track.ending

    def look(self, then: Optional[Callable[[], None]] = None) -> None:
        """Ask the service manager, one question at a time. ``then`` comes in the place of ``changed``."""
        if self._asking and then is None:
            self._again = True
            return
        self._asking, self._again = True, False
        started = self.asked_at = self._clock.now()

        def answered(observation: Observation[UnitState]) -> None:
            self._asking = False
            self._sources.eyes.note("unit", observation, self._clock.now() - started)
            self._seen(observation)
            (then or self._changed)()
            if self._again:
                self.look()

        self._manager.look(answered)

    def daemon_ended(self, process: Process) -> None:
        """The kernel's word: find out what it was."""
        self._ended, self._wait = process, _SOON
        unit = self._sources.known_unit
        self._unheard = unit is not None and unit.kind == "command"
        if self._unheard:
            self._loop.after(_PATIENCE, lambda: self._heard(process))
            self._read_last_words(process)
        else:
            self.look()

    def _read_last_words(self, process: Process) -> None:
        """Without systemd the daemon's last words tell a stop from a crash. A look that is under way may have missed them."""
        if self._awaited(process) and not self._sources.see_log(lambda: self._heard(process)):
            self._loop.after(_LAST_WORDS, lambda: self._read_last_words(process))

    def _heard(self, process: Process) -> None:
        if self._awaited(process):
            self._unheard = False
            self.look()

    def _awaited(self, process: Process) -> bool:
        return self._unheard and self._ended is process

    def begun_by_others(self) -> bool:
        """Is there a start that was not told? systemd keeps a link with each unit's invocation id; to read it costs nothing."""
        unit = self._sources.known_unit
        if unit is None or unit.kind != "systemd":
            return unit is not None and self._sources.track.daemon is None
        try:
            invocation = str((_INVOCATIONS / f"invocation:{unit.name}").readlink())
        except OSError:
            invocation = ""
        changed, self._invocation = invocation != self._invocation, invocation
        return changed

    def _seen(self, observation: Observation[UnitState]) -> None:
        sources = self._sources
        if isinstance(observation, Known) and sources.known_unit is None and observation.value.loaded:
            self._event("agent-found", say("watching {unit}", unit=observation.value.name), unit=observation.value.name)
        sources.unit = observation
        if not isinstance(observation, Known):
            if self._ended is not None:
                self._look_soon()
            return
        unit = observation.value
        self._memory.unit_name = unit.name
        sources.see_processes()
        if unit.main_pid and unit.invocation and unit.active == "active" and unit.invocation != self._memory.run:
            self._begun(unit)
        if self._ended is not None and not self._unheard:
            self._settle(unit, self._ended)

    def _settle(self, unit: UnitState, ended: Process) -> None:
        """Does the service manager know of the end by now?"""
        stale = unit.main_pid == ended.pid and unit.active == "active"
        if unit.active == "active" and not stale:
            self._ended = None
        elif unit.active in ("inactive", "failed") or unit.awaits_restart:
            self._ended = None
            self._end_known(unit, ended)
        elif not unit.stopped_on_request or stale:
            self._look_soon()

    def _look_soon(self) -> None:
        self._loop.after(self._wait, self.look)
        self._wait = min(_SLOWEST, self._wait * 2)

    def _end_known(self, unit: UnitState, ended: Process) -> None:
        if self.acting:
            return
        if liveness.stopped(self._sources.evidence(), unit):
            self._event("agent-stopped", say("the agent's daemon {pid} was stopped on request", pid=ended.pid), pid=ended.pid)
        else:
            self._count_exit(say("the agent's daemon {pid} ended by itself ({said_how})", pid=ended.pid,
                                 said_how=liveness.how(unit)), ended.pid)

    def _count_exit(self, message: str, pid: int) -> None:
        self._memory.count("agent_exits")
        self._memory.exits = (*self._memory.exits, self._clock.now())
        self._save()
        self._event("agent-exited", message, pid=pid)

    def _begun(self, unit: UnitState) -> None:
        """A run that was not known. Who started it?"""
        memory = self._memory
        actor, times = self._actor(unit)
        ended, self._ended = self._ended, None
        if ended is not None and actor == "systemd":
            self._count_exit(say("the agent's daemon {pid} ended by itself", pid=ended.pid), ended.pid)
        memory.run, memory.n_restarts = unit.invocation, unit.n_restarts
        if actor:
            memory.count_restart(actor, times)
            self._event("agent-started", say(
                "the agent runs again as pid {pid}, started by an administrator", pid=unit.main_pid) if actor == "admin" else say(
                "the agent runs again as pid {pid}, started by {actor}", pid=unit.main_pid, actor=actor),
                pid=unit.main_pid, actor=actor)
        if memory.policy.intent is None and memory.policy.verification is None:
            memory.policy = restart.restarted_by_others(memory.policy)
        self._save()

    def _actor(self, unit: UnitState) -> tuple[str, int]:
        """(waguard, systemd or admin; how many starts). Empty when it is not known, as at the first look or after a boot."""
        memory, policy = self._memory, self._memory.policy
        ours = policy.intent is not None and policy.intent.run_before == memory.run
        proving = policy.verification is not None and policy.verification.run == memory.run
        if ours or proving or self.acting:
            return "waguard", 1
        if not memory.run:
            return "", 0
        if unit.n_restarts > memory.n_restarts:
            return "systemd", unit.n_restarts - memory.n_restarts
        return "admin", 1
