"""The guard: turns the wheel. Sees, has judged, has decided, acts, and says so.

Everything here runs in the event loop. Pure questions go to judge and decide; what may block goes to threads (eyes, scribes,
workers) or children.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Optional

from waguard import durations
from waguard.act import confwrite
from waguard.act.service import ServiceManager
from waguard.agent import layout, processes
from waguard.clock import Clock
from waguard.decide import restart, term
from waguard.decide.restart import Action, Condition, Facts, Intent, Request, Stage, Step
from waguard.decide.term import Moment
from waguard.guard.book import Book
from waguard.guard.eyes import Eyes
from waguard.guard.loop import Loop, Timer
from waguard.guard.memory import Memory
from waguard.guard.scribe import Scribe
from waguard.guard.track import Track
from waguard.guard.verbose import Hooks, Verbose
from waguard.guard.workers import Worker
from waguard.judge import findings as finding_rules
from waguard.judge import liveness
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, Liveness
from waguard.observe import Known, Observation, Unknown, azure, conf, diskversion, freeze, libdir, logs, packages
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import Settings

_SOON = 0.005
_SLOWEST = 1.0
_PULSE = 2.0
_UNIT_EVERY = 30.0
_FAILING = 3
_INVOCATION = Path("/run/systemd/units")


class Guard:
    """One agent's guard."""

    def __init__(self, settings: Settings, loop: Loop, clock: Clock, manager: ServiceManager, disk: Scribe,
                 memory: Memory, say: Callable[..., None], changed: Callable[[], None]) -> None:
        self.settings, self.loop, self.clock, self.manager = settings, loop, clock, manager
        self.disk, self.memory = disk, memory
        self._event, self._changed = say, changed
        self.eyes = Eyes(loop, clock)
        self.track = Track(loop, self._daemon_ended, self._handler_ended)
        self.unit: Observation[UnitState] = Unknown("not looked at yet", 0.0)
        self.live: Optional[Liveness] = None
        self.book = Book(say)
        self.holding = ""
        self.next_look: Optional[float] = None
        self.on_azure = azure.on_azure(settings.network.azure)
        self.verbose = Verbose(loop, Hooks(self.moment, self.save, self._event, self._want_restart, self._drop_restart,
                                           self.conf_path), Worker("conf", loop, clock.now))
        self.verbose.lease = memory.lease
        self._history = liveness.History(exits=memory.exits)
        self._follower = logs.Follower(Path(settings.agent.log))
        self._watcher = libdir.Watcher()
        self._acting = False
        self._all_seen: Optional[float] = None
        self._looking = False
        self._look_again = False
        self._ended: Optional[Process] = None
        self._wait = _SOON
        self._unit_at = 0.0
        self._tick_at = 0.0
        self._probe_at = 0.0
        self._invocation = ""
        self._timer: Optional[Timer] = None
        self._held = ""

    # -- life ---------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to turn."""
        confwrite.sweep(self.conf_path())
        self.verbose.recover()
        self.look()
        self.tick()
        self._pulse()

    def apply(self, settings: Settings) -> None:
        """Work with new settings from now on; the service backend and its unit are those of the start."""
        if settings.agent.log != self.settings.agent.log:
            self._follower = logs.Follower(Path(settings.agent.log))
        self.settings = settings
        self.on_azure = azure.on_azure(settings.network.azure)
        self.evaluate()

    @property
    def ticked(self) -> float:
        """When the last round of looks began, CLOCK_BOOTTIME: the main loop's sign of life."""
        return self._tick_at

    def moment(self) -> Moment:
        return Moment(self.clock.now(), self.clock.wall(), self.memory.boot_id)

    def save(self, durable: Optional[Callable[[], None]] = None) -> None:
        self.memory.lease = self.verbose.lease
        self.memory.save(self.clock.now(), self.clock.wall(), durable)

    # -- looking ------------------------------------------------------------------------------------------------

    def _pulse(self) -> None:
        """The slow beat: notices a start by others, runs the round of looks, ends what is due."""
        now = self.clock.now()
        if self._started_by_others() or now - self._unit_at >= _UNIT_EVERY or self._passing():
            self.look()
        if now - self._tick_at >= self.settings.liveness.check_interval:
            self.tick()
        self.verbose.tick()
        self._end_pause()
        self.loop.after(min(_PULSE, self.settings.liveness.check_interval), self._pulse)

    def tick(self) -> None:
        """One round of looks. Each comes back by itself; the verdict is made anew when the last of the quick ones is in."""
        now = self._tick_at = self.clock.now()
        path = self.conf_path()
        self.eyes.look("conf", lambda: conf.read(path), self._conf_seen)
        lib = self._lib_dir()
        self.eyes.look("libdir", lambda: self._watcher.look(lib))
        self.eyes.look("log", self._follower.look, self._log_seen)
        self._see_packages()
        if "version" not in self.eyes.seen:
            self.eyes.look("version", diskversion.read)
        if self.on_azure and now - self._probe_at >= self.settings.network.probe_interval:
            self._probe_at = now
            network = self.settings.network
            self.eyes.look("wireserver", lambda: azure.probe(network.wireserver, network.probe_timeout),
                           deadline=network.probe_timeout + 5.0)
        self._see_processes()
        self.loop.after(min(0.5, self.settings.liveness.check_interval / 2), self.evaluate)

    def look(self) -> None:
        """Ask the service manager, one question at a time."""
        if self._looking:
            self._look_again = True
            return
        self._looking, self._look_again = True, False
        started = self._unit_at = self.clock.now()

        def answered(observation: Observation[UnitState]) -> None:
            self._looking = False
            self.eyes.note("unit", observation, self.clock.now() - started)
            self._unit_seen(observation)
            if self._look_again:
                self.look()

        self.manager.look(answered)

    def _unit_seen(self, observation: Observation[UnitState]) -> None:
        if isinstance(observation, Known) and not isinstance(self.unit, Known) and observation.value.loaded:
            self._event("agent-found", f"watching {observation.value.name}", unit=observation.value.name)
        self.unit = observation
        if isinstance(observation, Known):
            if observation.value.active != "active":
                self._see_packages()
            self._see_processes()
            self._settle(observation.value)
        elif self._ended is not None:
            self._look_soon()
        self.evaluate()

    def _settle(self, unit: UnitState) -> None:
        """Hold what systemd says against what was known: a new run, an end, or a passage that has to be waited out."""
        known = self.memory.run
        self.memory.unit_name = unit.name
        if unit.main_pid and unit.invocation and unit.active == "active" and (unit.invocation != known or not known):
            self._new_run(unit)
        if self._ended is None:
            return
        stale = unit.main_pid == self._ended.pid and unit.active == "active"
        if unit.active == "active" and not stale:
            self._ended = None
        elif unit.active in ("inactive", "failed") or unit.awaits_restart:
            self._end_known(unit)
        elif not unit.stopped_on_request or stale:
            self._look_soon()

    def _look_soon(self) -> None:
        """Between the kernel's word and systemd's lie milliseconds, or a whole stop; ask again at a growing distance."""
        self.loop.after(self._wait, self.look)
        self._wait = min(_SLOWEST, self._wait * 2)

    def _see_processes(self) -> None:
        main_pid = self.unit.value.main_pid if isinstance(self.unit, Known) else 0
        if isinstance(self.unit, Known):
            self.track.look(main_pid)

    def _see_packages(self) -> None:
        self.eyes.look("packages", packages.transaction, self.evaluate)

    def _passing(self) -> bool:
        """Something is under way that is worth a closer look than every half minute."""
        policy = self.memory.policy
        unsettled = not isinstance(self.unit, Known) or not self.unit.value.settled or self.unit.value.awaits_restart
        return unsettled or policy.intent is not None or \
            (policy.verification is not None and policy.verification.stage is Stage.ACTIVE)

    def _started_by_others(self) -> bool:
        """systemd keeps a link with each unit's invocation id; a look at it costs nothing and tells of every start."""
        if not isinstance(self.unit, Known) or self.unit.value.kind != "systemd":
            return isinstance(self.unit, Known) and self.track.daemon is None
        try:
            invocation = str((_INVOCATION / f"invocation:{self.unit.value.name}").readlink())
        except OSError:
            invocation = ""
        changed, self._invocation = invocation != self._invocation, invocation
        return changed

    def conf_path(self) -> Path:
        daemon = self.track.daemon
        return conf.find(self.settings.agent.conf, processes.configuration_path(daemon.argv) or "" if daemon else "")

    def _lib_dir(self) -> Path:
        if self.settings.agent.lib_dir != "auto":
            return Path(self.settings.agent.lib_dir)
        seen: Observation[conf.ConfFacts] = self.eyes.get("conf")
        return seen.value.lib_dir if isinstance(seen, Known) else Path(layout.LIB_DIR)

    def _conf_seen(self) -> None:
        seen = self.eyes.get("conf")
        if not isinstance(seen, Known):
            return
        mark = seen.value.mark
        if self.memory.conf_mark is not None and mark not in (self.memory.conf_mark, self.verbose.own_mark):
            self.memory.count("conf_changes")
            self._event("conf-changed", f"{seen.value.path} was changed; the agent reads it at its next start",
                        path=str(seen.value.path))
        self.memory.conf_mark = mark

    def _log_seen(self) -> None:
        seen = self.eyes.get("log")
        if isinstance(seen, Known) and seen.value.behind:
            self.eyes.look("log", self._follower.look, self._log_seen)

    # -- ends and starts ----------------------------------------------------------------------------------------

    def _daemon_ended(self, process: Process) -> None:
        self._ended, self._wait = process, _SOON
        if isinstance(self.unit, Known) and self.unit.value.kind == "command":
            # Without systemd the daemon's last words tell a stop from a crash.
            self.eyes.look("log", self._follower.look, self.look)
        else:
            self.look()

    def _handler_ended(self, process: Process) -> None:
        """The daemon launches the next one about a second later; nothing is judged by the first look."""
        def look_again() -> None:
            self._see_processes()
            self.evaluate()

        self.loop.after(1.5, look_again)

    def _end_known(self, unit: UnitState) -> None:
        """The daemon's end, as systemd tells it."""
        ended, self._ended = self._ended, None
        if ended is None or self._acting:
            return  # The end that our own restart begins with is nobody's news.
        evidence = self.evidence()
        if liveness.stopped(evidence, unit):
            self._event("agent-stopped", f"the agent's daemon {ended.pid} was stopped on request", pid=ended.pid)
        else:
            self._count_exit(f"the agent's daemon {ended.pid} ended by itself ({liveness.how(unit)})", ended.pid)

    def _count_exit(self, message: str, pid: int) -> None:
        self.memory.count("agent_exits")
        self._history = replace(self._history, exits=(*self._history.exits, self.clock.now()))
        self.memory.exits = self._history.exits
        self._event("agent-exited", message, pid=pid)

    def _new_run(self, unit: UnitState) -> None:
        """A run of the daemon that was not known. Who started it?"""
        memory, before = self.memory, self.memory.run
        actor, times = self._actor(unit)
        ended, self._ended = self._ended, None
        if ended is not None and actor == "systemd":
            self._count_exit(f"the agent's daemon {ended.pid} ended by itself", ended.pid)
        memory.run, memory.n_restarts = unit.invocation, unit.n_restarts
        if before and actor:
            memory.count_restart(actor, times)
            self._event("agent-started", f"the agent runs again as pid {unit.main_pid}, started by "
                        f"{'an administrator' if actor == 'admin' else actor}", pid=unit.main_pid, actor=actor)
        policy = memory.policy
        if policy.intent is None and policy.verification is None:
            memory.policy = restart.restarted_by_others(policy)
        self.save()

    def _actor(self, unit: UnitState) -> tuple[str, int]:
        """(waguard, systemd or admin; how many starts). Empty when it is not known, as at the first look or after a boot."""
        memory, policy = self.memory, self.memory.policy
        if not memory.run:
            return "", 0
        ours = policy.intent is not None and policy.intent.run_before == memory.run
        proving = policy.verification is not None and policy.verification.run == memory.run
        if ours or proving or self._acting:
            return "waguard", 1
        if unit.n_restarts > memory.n_restarts:
            return "systemd", unit.n_restarts - memory.n_restarts
        return "admin", 1

    # -- judging and deciding -----------------------------------------------------------------------------------

    def evidence(self) -> Evidence:
        now = self.clock.now()
        since = self.disk.working_since if self.disk.blocked_in_kernel() else None
        log = self.eyes.get("log")
        transaction, version = self.eyes.get("packages"), self.eyes.get("version")
        return Evidence(
            now=now, wall=self.clock.wall(), unit=self.unit, daemon=self.track.daemon, handler=self.track.handler,
            processes_unknown=self.track.problem, conf=self.eyes.get("conf"),
            log=Known(log.value.state, log.at) if isinstance(log, Known) else log, libdir=self.eyes.get("libdir"),
            wireserver=self._fresh_probe(now), disk_version=version.value if isinstance(version, Known) else None,
            azure=self.on_azure, transaction=transaction.value if isinstance(transaction, Known) else None,
            freezing=freeze.freezing(), disk_blocked_for=now - since if since is not None else 0.0)

    def _fresh_probe(self, now: float) -> Observation[azure.Probe]:
        """A probe of more than two intervals ago says nothing of now."""
        seen: Observation[azure.Probe] = self.eyes.get("wireserver")
        if not self.on_azure:
            return Unknown("this machine is not known to be on Azure, so nothing is sent to Azure's addresses", now)
        limit = 2 * self.settings.network.probe_interval + self.settings.network.probe_timeout
        return seen if now - seen.at <= limit else Unknown("the last probe is too old", now)

    def evaluate(self) -> None:
        """The verdict of now, and what follows from it."""
        ready = self._ready()
        evidence = self.evidence()
        live = liveness.judge(evidence, self._history, self.settings.liveness, self.settings.restart.boot_grace)
        self.live, self._history = live, live.history
        self.memory.exits = live.history.exits
        # A package manager's lock is taken and let go within seconds: for a dead agent only a look after the last one counts.
        current = live.state is not AgentState.DOWN or self.eyes.get("packages").at >= self.unit.at
        if live.state is not AgentState.UNKNOWN and not self._acting and ready and current:
            self._decide(evidence, live)
        self._find(evidence, live)
        self._changed()

    def _ready(self) -> bool:
        """Nothing is decided before every source was looked at once (a late one counts, as unknown), the service last of all:
        where to look for it may stand in the conf."""
        if self._all_seen is None and all(name in self.eyes.seen for name in ("conf", "libdir", "log", "packages")):
            self._all_seen = self.clock.now()
            self.look()
        return self._all_seen is not None and self.unit.at > self._all_seen

    def _decide(self, evidence: Evidence, live: Liveness) -> None:
        before = self.memory.policy
        step = restart.step(before, self._facts(evidence, live), self.settings.restart)
        self.memory.policy, self.holding = step.state, step.holding
        if step.outcome is not None and step.outcome_of is not None:
            self._tell_outcome(step)
        self._tell_held(step, live)
        if step.state != before:
            self.save()
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
        if evidence.freezing or evidence.disk_blocked_for > 1.0:
            start_gates.append("a filesystem is frozen")
        if isinstance(evidence.conf, Known) and evidence.conf.value.missing and live.state is AgentState.DOWN:
            start_gates.append(evidence.conf.value.problem)
        return Facts(now=evidence.now, condition=by_state.get(live.state, Condition.FINE), why=live.why,
                     run=unit.invocation or self.memory.run,
                     settled=unit.settled, paused=self.memory.pause is not None, gates=live.gates,
                     start_gates=tuple(start_gates), systemd_delay=unit.restart_delay, proved=_proved(unit, evidence, live))

    def _tell_outcome(self, step: Step) -> None:
        check = step.outcome_of
        assert check is not None
        if step.outcome:
            self._event("agent-proved", f"the agent works again, proved by a new heartbeat after the {check.action.value}",
                        action=check.action.value)
        else:
            self.memory.count("restart_failures")
            self._event("agent-not-proved", f"the {check.action.value} did not bring a working agent: "
                        f"the {check.stage.value} stage was not reached", action=check.action.value, stage=check.stage.value)

    def _tell_held(self, step: Step, live: Liveness) -> None:
        """An action that is needed and held back is worth one event for each reason."""
        needed = live.state in (AgentState.DOWN, AgentState.HUNG, AgentState.HANDLER_MISSING)
        held = step.holding if needed and step.act is None and step.state.verification is None else ""
        if held and held != self._held and held not in restart.PASSING:
            self._event("agent-held", f"{live.why}; held back: {held}"
                        + (f" ({durations.show(step.look_again - self.clock.now())})" if step.look_again else ""), reason=held)
        self._held = held

    def _wake_at(self, moment: Optional[float]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.next_look = moment
        self._timer = self.loop.at(moment, self._wake) if moment is not None else None

    def _wake(self) -> None:
        if isinstance(self.unit, Known) and not (self.unit.value.active == "active" and self.unit.value.settled):
            self.look()
        else:
            self.evaluate()

    def _find(self, evidence: Evidence, live: Liveness) -> None:
        failing = tuple((name, record.error or "still busy") for name, record in self.eyes.records.items()
                        if record.failures >= _FAILING)
        hour, day, _ = restart.budget(self.memory.policy, evidence.now, self.settings.restart)
        needs = live.state in (AgentState.HUNG, AgentState.HANDLER_MISSING)
        standing = finding_rules.Standing(ration_used_up=needs and min(hour, day) <= 0, paused=self.memory.pause is not None,
                                          leased=self.verbose.lease is not None, failing=failing)
        self.book.enter(finding_rules.judge(evidence, live, standing, self.settings), evidence.now)

    # -- acting -------------------------------------------------------------------------------------------------

    def _act(self, intent: Intent) -> None:
        """Carry out an intent. It was saved before this is called."""
        assert isinstance(self.unit, Known)
        unit, again = self.unit.value, " again" if intent.action is Action.START else ""
        self._acting = True
        self.memory.count("restart_attempts")
        self._event("agent-action", f"{intent.action.value}ing {unit.name}{again}: {intent.why}", action=intent.action.value,
                    reason=intent.why, number=intent.number)

        def done(ok: bool, trouble: str) -> None:
            if ok:
                self.memory.policy = restart.carried_out(self.memory.policy, self.clock.now())
            else:
                self.memory.policy = restart.failed(self.memory.policy)
                self.memory.count("restart_failures")
                self._event("agent-action-failed", f"{unit.name} was not {intent.action.value}ed: {trouble}",
                            action=intent.action.value)
            self.save()
            # What the order did is seen before anything is decided again: the run it began counts as ours.
            self.manager.look(looked)

        def looked(observation: Observation[UnitState]) -> None:
            self._unit_at, self._wait = self.clock.now(), _SOON
            self.unit = observation
            if isinstance(observation, Known):
                self._see_processes()
                self._settle(observation.value)
            self._acting = False
            self.evaluate()

        self.manager.carry_out(intent.action, unit, done)

    def ask_restart(self, why: str, force: bool) -> str:
        """Restart on request. Returns why it is refused; empty when it is under way."""
        if self._acting:
            return "an action on the agent is under way already"
        if self.live is None or not isinstance(self.unit, Known):
            return "the state of the agent is not known yet"
        if self.memory.policy.verification is not None and not force:
            return "the last start of the agent has not proved itself yet"
        before, number = self.memory.policy.request, self.memory.policy.number
        self.memory.policy = restart.ask(replace(self.memory.policy, verification=None),
                                         Request(why, self.clock.now(), force))
        self.evaluate()
        if self.memory.policy.number > number:
            return ""
        self.memory.policy = replace(self.memory.policy, request=before)
        self.save()
        return self.holding or f"the agent is {self.live.state.value}: {self.live.why}"

    def _want_restart(self, why: str) -> None:
        """A lease wants the agent to read its conf anew, as soon as the policy lets it."""
        self.memory.policy = restart.ask(self.memory.policy, Request(why, self.clock.now()))
        self.loop.soon(self.evaluate)

    def _drop_restart(self) -> bool:
        """Take back a lease's restart that was not carried out yet. True if there was one."""
        waiting = self.memory.policy.request is not None and not self._acting
        if waiting:
            self.memory.policy = replace(self.memory.policy, request=None)
        return waiting

    def pause(self, seconds: Optional[float], by: str) -> None:
        """Start and restart nothing for so long; None: until resumed."""
        self.memory.pause = term.of(seconds, self.moment())
        self.save()
        self._event("paused", f"paused by {by} " + ("until resumed" if seconds is None else f"for {durations.show(seconds)}"), by=by)
        self.evaluate()

    def resume(self, by: str) -> bool:
        """End the pause. False when there was none."""
        if self.memory.pause is None:
            return False
        self.memory.pause = None
        self.save()
        self._event("resumed", f"resumed by {by}", by=by)
        self.look()
        return True

    def _end_pause(self) -> None:
        if self.memory.pause is not None and term.over(self.memory.pause, self.moment()):
            self.resume("the clock")


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

