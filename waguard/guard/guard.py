"""The guard: turns the wheel. Has it seen (sources, runs), judged, decided, done, and says so.

Everything here runs in the event loop. Pure questions go to judge and decide; what may block goes to threads (eyes, scribes,
workers) or children.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Optional

from waguard import durations
from waguard.act import confwrite
from waguard.act.service import ServiceManager
from waguard.clock import Clock
from waguard.decide import restart, term
from waguard.decide.restart import Action, Condition, Facts, Intent, Request, Stage, Step
from waguard.decide.term import Moment, Term
from waguard.guard import confnews, words
from waguard.guard.book import Book
from waguard.guard.conversation import Doctor
from waguard.guard.loop import Loop, Timer
from waguard.guard.memory import Memory
from waguard.guard.runs import Runs
from waguard.guard.scribe import Scribe
from waguard.guard.sources import Sources
from waguard.guard.verbose import Hooks, Verbose
from waguard.guard.visits import Visits
from waguard.guard.workers import Crew, Worker
from waguard.i18n import say
from waguard.judge import findings as finding_rules
from waguard.judge import liveness
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, Liveness
from waguard.observe import Known
from waguard.observe.conf import ConfFacts
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import Settings

_PULSE = 2.0
_UNIT_EVERY = 30.0
_ALONG = 1.0
"""Seconds by which the service manager is asked sooner or later for it to be in one beat with a round of looks."""
_FAILING = 3
_RELAUNCH = 1.5
_FRESH = 2.0


class Guard:
    """One agent's guard."""

    def __init__(self, settings: Settings, loop: Loop, clock: Clock, manager: ServiceManager, disk: Scribe,
                 doctor: Doctor, memory: Memory, event: Callable[..., None], changed: Callable[[], None]) -> None:
        self.settings, self.loop, self.clock, self.manager, self.memory = settings, loop, clock, manager, memory
        self._event, self._changed = event, changed
        self.runs = Runs(loop, clock, manager, memory, event, self.keep, self.evaluate)
        self.sources = Sources(settings, loop, clock, disk, doctor, self.runs.daemon_ended, self._handler_ended)
        self.runs.sources = self.sources
        self.live: Optional[Liveness] = None
        self.book = Book(event)
        self.visits: Optional[Visits] = None
        self.holding = ""
        self.next_look: Optional[float] = None
        hooks = Hooks(self.moment, self._lease_saved, event, self._want_restart, self._drop_restart, self.sources.conf_path)
        self.verbose = Verbose(loop, hooks, Worker(Crew(loop), loop, clock.now))
        self.verbose.lease, self.verbose.own_mark = memory.lease, memory.own_mark
        self.ticked = 0.0
        """When the last round of looks began, CLOCK_BOOTTIME: the main loop's sign of life."""
        self._history = liveness.History()
        self._complete_at: Optional[float] = None
        self._timer: Optional[Timer] = None
        self._beat: Optional[Timer] = None
        self._verdict: Optional[Timer] = None
        self._conf: Optional[ConfFacts] = None
        self._held = ""
        self._kept = True

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to turn."""
        confwrite.sweep(self.sources.conf_path())
        self.verbose.recover()
        self.runs.look()
        self._round()
        self._pulse()
        if self.visits is not None:
            self.visits.start()

    def apply(self, settings: Settings) -> None:
        """Work with new settings from now on; the service backend and its unit are those of the start."""
        self.settings = settings
        self.sources.apply(settings)
        if self.visits is not None:
            self.visits.apply(settings.doctor)
        self.evaluate()

    def moment(self) -> Moment:
        return Moment(self.clock.now(), self.clock.wall(), self.memory.boot_id)

    def save(self, durable: Optional[Callable[[], None]] = None) -> None:
        self.memory.lease, self.memory.own_mark = self.verbose.lease, self.verbose.own_mark
        self.memory.save(self.clock.now(), self.clock.wall(), durable)

    def keep(self) -> bool:
        """Save, where nobody waits for it. False, and an event for the first time in a row, when it cannot be done."""
        try:
            self.save()
        except OSError as error:
            if self._kept:
                self._event("guard-trouble", say("the guard's state cannot be written: {said_error}", said_error=error.strerror))
            self._kept = False
        else:
            self._kept = True
        return self._kept

    def _pulse(self) -> None:
        """The slow beat: notices a start by others, begins the rounds of looks, ends what is due."""
        # First of all, so that nothing that goes wrong below can end it.
        self._beat = self.loop.after(min(_PULSE, self.settings.liveness.check_interval), self._pulse)
        now = self.clock.now()
        if self.runs.begun_by_others() or now >= self.runs.asked_at + _UNIT_EVERY - _ALONG or self._passing():
            self.runs.look()
        if now >= self._next_round():
            self._round()
        self.verbose.tick()
        if self.memory.pause is not None and term.over(self.memory.pause, self.moment()):
            self.memory.pause = None
            self.keep()
            self._resumed("the clock", say("resumed by the clock"))
        self._pace()

    def _next_round(self) -> float:
        return self.ticked + self.settings.liveness.check_interval

    def _pace(self) -> None:
        """Where nothing can happen unheard, the next beat is that of the next round, or question; else it is soon."""
        if self._beat is None:
            return
        now, when = self.clock.now(), self._beat.when
        due = min(self._next_round(), self.runs.asked_at + _UNIT_EVERY + _ALONG)
        soon = now + min(_PULSE, self.settings.liveness.check_interval)
        steady = due > now and self._steady()
        if when != due if steady else when > soon:
            self._beat.cancel()
            self._beat = self.loop.at(due if steady else soon, self._pulse)

    def _steady(self) -> bool:
        """The agent's processes are held, so that the kernel tells of their end, and nothing has to be ended by the clock."""
        return (not self._passing() and self.sources.track.daemon is not None and self.sources.track.handler is not None
                and self.memory.pause is None and self.verbose.lease is None)

    def _round(self) -> None:
        """One round of looks, and a verdict when they are in, or the quick ones among them are."""
        self.ticked = self.clock.now()

        def verdict() -> None:
            if self._verdict is not None:
                self._verdict.cancel()
                self._verdict = None
            self.evaluate()

        self._verdict = self.loop.after(min(0.5, self.settings.liveness.check_interval / 2), verdict)
        self.sources.round(self._conf_noted, self.live is not None and self.live.suspect, self.evaluate, verdict)

    def _passing(self) -> bool:
        """Something is under way that is worth a closer look than every half minute."""
        unit, policy = self.sources.known_unit, self.memory.policy
        unsettled = unit is None or not unit.settled or unit.awaits_restart
        return unsettled or policy.intent is not None or \
            (policy.verification is not None and policy.verification.stage is Stage.ACTIVE)

    def _handler_ended(self, _process: Process) -> None:
        """The daemon launches the next one about a second later; nothing is judged before that."""
        def look_again() -> None:
            self.sources.see_processes()
            self.evaluate()

        self.loop.after(_RELAUNCH, look_again)

    def _conf_seen(self) -> None:
        self._conf_noted()
        self.evaluate()

    def _conf_noted(self) -> None:
        seen = self.sources.eyes.get("conf")
        if not isinstance(seen, Known):
            return
        mark = seen.value.mark
        if self.memory.conf_mark is not None and mark not in (self.memory.conf_mark, self.verbose.own_mark):
            self.memory.count("conf_changes")
            message, fields = confnews.tell(self._conf, seen.value)
            self._event("conf-changed", message, **fields)
        self._conf = seen.value
        if mark != self.memory.conf_mark:
            self.memory.conf_mark = mark
            self.keep()

    def _lease_saved(self, durable: Optional[Callable[[], None]] = None) -> None:
        """The lease has changed, and with it the conf: look at it and judge anew."""
        self.save(durable)
        self.sources.see_conf(self._conf_seen)

    def look_along(self) -> None:
        """The doctor is about to look: what the guard tells of the same things has to be as fresh."""
        self.sources.see_conf(self._conf_seen)

    def visited(self) -> None:
        """A visit of the doctor is over. It asked the wire server as well."""
        told = self.visits.told if self.visits is not None else None
        if told is not None and told.wireserver is not None and self.visits is not None and not self.visits.problem:
            self.sources.wireserver.hear(told.wireserver, self.visits.ended - told.took - told.wireserver_age)
        self.evaluate()

    # -- judging and deciding -----------------------------------------------------------------------------------

    def evaluate(self) -> None:
        """The verdict of now, and what follows from it."""
        ready = self._ready()
        evidence = self.sources.evidence()
        history = replace(self._history, exits=self.memory.exits)
        live = liveness.judge(evidence, history, self.settings.liveness, self.settings.restart.boot_grace)
        self.live, self._history = live, live.history
        self.memory.exits = live.history.exits
        if live.state is not AgentState.UNKNOWN and not self.runs.acting and ready and self._current():
            self._decide(evidence, live)
        self._find(evidence, live)
        self._pace()
        self._changed()

    def _ready(self) -> bool:
        """Nothing is decided before every source was looked at once, the service last: where it is may stand in the conf."""
        if self._complete_at is None and self.sources.complete:
            self._complete_at = self.clock.now()
            self.runs.look()
        return self._complete_at is not None and self.sources.unit.at > self._complete_at

    def _current(self) -> bool:
        """Where an action may follow only fresh looks count: a package manager's lock and a snapshot come and go within seconds,
        and the conf may be what the agent died of."""
        unit, eyes = self.sources.known_unit, self.sources.eyes
        live = self.live is not None and self.live.state in (AgentState.HUNG, AgentState.HANDLER_MISSING)
        if unit is not None and unit.active != "active":
            names, since = ["conf", "packages"], self.sources.unit.at
        elif live or self.memory.policy.request is not None:
            names, since = ["packages", "snapshot"], self.clock.now() - _FRESH
        else:
            return True
        late = [name for name in names if eyes.get(name).at < since]
        if "conf" in late:
            self.sources.see_conf(self._conf_seen)
        if "packages" in late:
            self.sources.see_packages(self.evaluate)
        if "snapshot" in late:
            self.sources.see_snapshot(self.evaluate)
        return not late

    def _decide(self, evidence: Evidence, live: Liveness) -> None:
        before = self.memory.policy
        step = restart.step(before, self._facts(evidence, live), self.settings.restart)
        self.memory.policy = step.state
        # An intent has to be written down before it is carried out. If it cannot be, a dead agent is started all the same, but a
        # restart that could not be held against the ration later is not made.
        if step.state != before and not self.keep() and step.act is not None and step.act.action is Action.RESTART:
            self.memory.policy = before
            step = replace(step, state=before, act=None, holding=say("the guard's state cannot be written down"))
        self.holding = step.holding
        if step.outcome is not None and step.outcome_of is not None:
            self._tell_outcome(step)
        self._tell_held(step, live)
        self._wake_at(step.look_again)
        if step.act is not None:
            self._act(step.act)

    def _facts(self, evidence: Evidence, live: Liveness) -> Facts:
        unit = evidence.unit.value if isinstance(evidence.unit, Known) else UnitState("")
        by_state = {AgentState.DOWN: Condition.SYSTEMD if unit.awaits_restart else Condition.DOWN,
                    AgentState.HUNG: Condition.BROKEN, AgentState.HANDLER_MISSING: Condition.BROKEN,
                    AgentState.RESTING: Condition.RESTING, AgentState.NOT_INSTALLED: Condition.RESTING}
        start_gates = []
        if evidence.transaction:
            start_gates.append(evidence.transaction)
        walls = live.walls
        gates = (*live.gates, say("a snapshot is being taken")) if evidence.snapshot else live.gates
        if evidence.freezing or evidence.disk_blocked_for > 1.0:
            walls = (*walls, say("a filesystem is frozen"))
        if isinstance(evidence.conf, Known) and evidence.conf.value.missing and live.state is AgentState.DOWN:
            start_gates.append(evidence.conf.value.problem)
        return Facts(now=evidence.now, condition=by_state.get(live.state, Condition.FINE), why=live.why,
                     run=unit.invocation or self.memory.run,
                     settled=unit.settled and self.runs.settled, paused=self.memory.pause is not None, gates=gates,
                     start_gates=tuple(start_gates), walls=walls, systemd_delay=unit.restart_delay,
                     proved=_proved(unit, evidence, live))

    def _tell_outcome(self, step: Step) -> None:
        check = step.outcome_of
        assert check is not None
        if step.outcome:
            self._event("agent-proved", words.proved(check.action), action=check.action.value)
        else:
            self.memory.count("restart_failures")
            self._event("agent-not-proved", words.not_proved(check.action, check.stage), action=check.action.value,
                        stage=check.stage.value)

    def _tell_held(self, step: Step, live: Liveness) -> None:
        """An action that is needed and held back is worth one event for each reason."""
        needed = live.state in (AgentState.DOWN, AgentState.HUNG, AgentState.HANDLER_MISSING)
        held = step.holding if needed and step.act is None and step.state.verification is None else ""
        if held and held != self._held and held not in restart.PASSING:
            said = say("{said_why}; held back: {said_held}", said_why=live.why, said_held=held)
            if step.look_again:
                said = say("{said_why}; held back: {said_held}; to be looked at again in {time}", said_why=live.why,
                           said_held=held, time=durations.show(step.look_again - self.clock.now()))
            self._event("agent-held", said, reason=held)
        self._held = held

    def _wake_at(self, moment: Optional[float]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next_look = moment
        self._timer = self.loop.at(moment, self._wake) if moment is not None else None

    def _wake(self) -> None:
        unit = self.sources.known_unit
        if unit is not None and unit.active == "active" and unit.settled:
            self.evaluate()
        else:
            self.runs.look()

    def _find(self, evidence: Evidence, live: Liveness) -> None:
        failing = tuple((name, record.error or say("still busy")) for name, record in self.sources.eyes.records.items()
                        if record.failures >= _FAILING)
        if self.visits is not None and self.visits.failures >= _FAILING:
            failing += (("doctor", self.visits.problem),)
        hour, day, _ = restart.budget(self.memory.policy, evidence.now, self.settings.restart)
        needs = live.state in (AgentState.HUNG, AgentState.HANDLER_MISSING)
        standing = finding_rules.Standing(ration_used_up=needs and min(hour, day) <= 0, paused=self.memory.pause is not None,
                                          leased=self.verbose.lease is not None, failing=failing)
        own = finding_rules.judge(evidence, live, standing, self.settings)
        seen = self.visits.findings if self.visits is not None else ()
        self.book.enter((*own, *(one for one in seen if one.id not in finding_rules.OWN)), evidence.now)

    # -- acting -------------------------------------------------------------------------------------------------

    def _act(self, intent: Intent) -> None:
        """Carry out an intent. It was saved before this is called."""
        unit = self.sources.known_unit
        assert unit is not None
        self.runs.acting = True
        self.memory.count("restart_attempts")
        self._event("agent-action", words.acting(intent.action, unit.name, intent.why), action=intent.action.value,
                    reason=intent.why, number=intent.number)

        def done(ok: bool, trouble: str) -> None:
            if ok:
                self.memory.policy = restart.carried_out(self.memory.policy, self.clock.now())
            else:
                self.memory.policy = restart.failed(self.memory.policy)
                self.memory.count("restart_failures")
                self._event("agent-action-failed", words.not_done(intent.action, unit.name, trouble), action=intent.action.value)
            self.keep()
            # What the order did is seen before anything is decided again: the run it began counts as ours.
            self.runs.look(then=over)

        def over() -> None:
            self.runs.acting = False
            self.evaluate()

        self.manager.carry_out(intent.action, unit, done)

    def ask_restart(self, why: str, force: bool, answer: Callable[[str], None], tries: int = 40) -> None:
        """Restart on request. ``answer`` is told why it is refused; nothing when it is under way."""
        def now() -> None:
            answer(self._ask_restart(why, force))

        def again() -> None:
            if tries:
                self.loop.after(0.05, lambda: self.ask_restart(why, force, answer, tries - 1))
            else:
                answer(say("it cannot be told whether a package manager or a snapshot is at work"))

        # Whether a package manager or a snapshot is at work is looked up for this very moment.
        if not self.sources.see_packages(lambda: None if self.sources.see_snapshot(now) else again()):
            again()

    def _ask_restart(self, why: str, force: bool) -> str:
        if self.runs.acting:
            return say("an action on the agent is under way already")
        if self.live is None or self.sources.known_unit is None:
            return say("the state of the agent is not known yet")
        if self.memory.policy.verification is not None and not force:
            return say("the last start of the agent has not proved itself yet")
        before, number = self.memory.policy.request, self.memory.policy.number
        self.memory.policy = restart.ask(replace(self.memory.policy, verification=None),
                                         Request(why, self.clock.now(), force))
        self.evaluate()
        if self.memory.policy.number > number:
            return ""
        self.memory.policy = replace(self.memory.policy, request=before)
        self.keep()
        return self.holding or words.verdict(self.live.state, self.live.why)

    def _want_restart(self, why: str) -> None:
        """A lease wants the agent to read its conf anew, as soon as the policy lets it."""
        self.memory.policy = restart.ask(self.memory.policy, Request(why, self.clock.now()))
        self.sources.see_packages(self.evaluate)

    def _drop_restart(self) -> bool:
        """Take back a lease's restart that was not carried out yet. True if there was one."""
        waiting = self.memory.policy.request is not None and not self.runs.acting
        if waiting:
            self.memory.policy = replace(self.memory.policy, request=None)
        return waiting

    def pause(self, seconds: Optional[float], by: str) -> None:
        """Start and restart nothing for so long; None: until resumed."""
        self._set_pause(term.of(seconds, self.moment()))
        self._event("paused", say("paused by {said_by} until resumed", said_by=by) if seconds is None else
                    say("paused by {said_by} for {time}", said_by=by, time=durations.show(seconds)), by=by)
        self.evaluate()

    def _set_pause(self, pause: Optional[Term]) -> None:
        """Raises OSError when it cannot be written down; then it stays as it was."""
        before, self.memory.pause = self.memory.pause, pause
        try:
            self.save()
        except OSError:
            self.memory.pause = before
            raise

    def resume(self, by: str) -> bool:
        """End the pause. False when there was none."""
        if self.memory.pause is None:
            return False
        self._set_pause(None)
        self._resumed(by, say("resumed by {said_by}", said_by=by))
        return True

    def _resumed(self, by: str, said: str) -> None:
        self._event("resumed", said, by=by)
        self.runs.look()


def _proved(unit: UnitState, evidence: Evidence, live: Liveness) -> frozenset[Stage]:
    """How far the present run has come."""
    proved = set()
    if unit.active == "active" and evidence.daemon is not None:
        proved.add(Stage.ACTIVE)
        if evidence.handler is not None:
            proved.add(Stage.HANDLER)
            if live.seen_working is not None and live.seen_working >= evidence.daemon.started:
                proved.add(Stage.HEARTBEAT)
    return frozenset(proved)

