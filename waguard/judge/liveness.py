"""Does the agent work? Pure: evidence and what was seen before in, a verdict out.

No single sign is enough. The status file is written at every turn of the loop, but a turn may legitimately take minutes (a
black-holed wire server) or an hour (an extension pass); the heartbeat line is certain but comes every 30 minutes; the handler's
CPU time says that something moves. So the agent is called hung only when two of them agree, the wire server answers, and no
extension is being worked on (rules and limits: WALinuxAgent azurelinuxagent/ga/update.py,
azurelinuxagent/common/protocol/goal_state.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple, Optional

from waguard import durations
from waguard.agent import versions
from waguard.agent.logstate import EndKind, Mark, Phase
from waguard.i18n import message, say
from waguard.judge.evidence import Evidence
from waguard.observe import Known
from waguard.observe.libdir import LibDir
from waguard.observe.unit import UnitState
from waguard.settings import LivenessSettings

EXIT_WINDOW = 900.0
_UNKILLABLE_LOOKS = 3


class AgentState(str, Enum):
    """The closed set of what the agent can be; also the labels of ``waguard_agent_state``."""

    RUNNING = "running"
    STARTING = "starting"
    PROVISIONING = "provisioning"
    BUSY = "busy"
    DOWN = "down"
    HUNG = "hung"
    HANDLER_MISSING = "handler-missing"
    RESTING = "resting"
    NOT_INSTALLED = "not-installed"
    UNKNOWN = "unknown"


class Rest(str, Enum):
    """Who or what wants the agent not to run."""

    STOPPED = "stopped"
    DISABLED = "disabled"
    MASKED = "masked"
    CONDITION = "condition"
    PACKAGES = "packages"
    SLEEPING = "disable_agent"
    NEVER_STARTED = "never-started"


@dataclass(frozen=True)
class History:
    """What liveness remembers from look to look. Moments are CLOCK_BOOTTIME seconds.

    Verdicts are made more often than rounds of looks; only a round that brought a new look at the lib dir counts as a look.

    ``log_since``: when the log was first read. ``pass_mark``, ``pass_since``: the open extension pass and when it was opened.
    ``exits``: unasked ends of the daemon within the last quarter of an hour, kept by the guard.
    """

    status_mtime: Optional[float] = None
    status_changed: Optional[float] = None
    beat: Optional[tuple[str, int, float]] = None
    beat_seen: Optional[float] = None
    handler_pid: int = 0
    handler_cpu: float = -1.0
    cpu_changed: Optional[float] = None
    suspect_looks: int = 0
    suspect_since: float = 0.0
    handler_missing_since: Optional[float] = None
    blocked_looks: int = 0
    blocked_at: float = 0.0
    log_since: Optional[float] = None
    pass_mark: Optional[Mark] = None
    pass_since: Optional[float] = None
    round_at: float = 0.0
    new_round: bool = True
    exits: tuple[float, ...] = ()


@dataclass(frozen=True)
class Liveness:
    """The verdict. ``why`` is one sentence with the evidence. ``seen_working`` is the newest proof of life, CLOCK_BOOTTIME.

    ``gates``: why not to restart it now; ``walls``: why a restart cannot work at all (decide/restart.py).
    """

    state: AgentState
    why: str
    history: History
    rest: Optional[Rest] = None
    busy: str = ""
    suspect: bool = False
    seen_working: Optional[float] = None
    seen_by: str = ""
    blocked: tuple[str, ...] = ()
    gates: tuple[str, ...] = ()
    walls: tuple[str, ...] = ()

    def why_at(self, now: float) -> str:
        """``why``, said at a later moment: how long ago a healthy agent was last seen working goes on growing."""
        if self.state is AgentState.RUNNING and not self.suspect and self.seen_working is not None:
            return _last_seen(now - self.seen_working, self.seen_by)
        return self.why


_STATUS_FILE, _HEARTBEAT = message("status file"), message("heartbeat line")


def _last_seen(ago: float, by: str) -> str:
    return say("last seen working {age} ago by its {said_sign}", age=durations.show(ago), said_sign=by)


class _Wait(NamedTuple):
    """What is said of a phase that may take long: of the agent, of its daemon, of its handler."""

    agent: str
    daemon: str
    handler: str


_WAITS = {
    Phase.PROVISIONING: _Wait(message("the agent is provisioning"), message("provisioning for {age}"),
                              message("handler {pid} is provisioning")),
    Phase.CLOUD_INIT: _Wait(message("the agent is waiting for cloud-init"), message("waiting for cloud-init for {age}"),
                            message("handler {pid} is waiting for cloud-init")),
    Phase.PROTOCOL_DETECTION: _Wait(
        message("the agent is looking for the wire server"), message("looking for the wire server for {age}"),
        message("handler {pid} is looking for the wire server"))}


def judge(evidence: Evidence, history: History, rules: LivenessSettings, boot_grace: float) -> Liveness:
    """The verdict of this look. ``history`` is that of the last look; the verdict carries the new one."""
    history = _remember(evidence, history, rules)
    if not isinstance(evidence.unit, Known):
        return Liveness(AgentState.UNKNOWN, evidence.unit.why, history)
    unit = evidence.unit.value
    if not unit.loaded:
        return Liveness(AgentState.NOT_INSTALLED, say("neither walinuxagent.service nor waagent.service exists"), history)
    if unit.active in ("active", "activating", "reloading", "refreshing") and not unit.awaits_restart:
        return _alive(evidence, unit, history, rules)
    return _not_running(evidence, unit, replace(history, suspect_looks=0, handler_missing_since=None), boot_grace)


def _remember(evidence: Evidence, history: History, rules: LivenessSettings) -> History:
    """When each sign of life last moved, by the steady clock: a wall clock that jumps must not make an agent look dead."""
    now, before = evidence.now, history.round_at

    def moved(wall: float, first: bool) -> float:
        """When it moved: by its own time, but neither before the last look nor after this one, whatever the wall clock did."""
        return min(now, evidence.from_wall(wall) if first else max(before, evidence.from_wall(wall)))

    history = replace(history, round_at=evidence.libdir.at, new_round=evidence.libdir.at > history.round_at)
    if isinstance(evidence.libdir, Known) and evidence.libdir.value.status_mtime != history.status_mtime:
        mtime = evidence.libdir.value.status_mtime
        if mtime is not None:
            history = replace(history, status_mtime=mtime, status_changed=moved(mtime, history.status_mtime is None))
    if isinstance(evidence.log, Known) and evidence.log.value.heartbeat is not None:
        beat = evidence.log.value.heartbeat
        mark = (beat.id or "", beat.counter if beat.counter is not None else -1, beat.at or 0.0)
        if mark != history.beat:
            seen = now if beat.at is None else moved(beat.at, history.beat is None)
            history = replace(history, beat=mark, beat_seen=seen)
    if isinstance(evidence.log, Known) and evidence.log.value.pass_open != history.pass_mark:
        history = replace(history, pass_mark=evidence.log.value.pass_open, pass_since=_opened(evidence, history, moved))
    if isinstance(evidence.log, Known) and history.log_since is None:
        history = replace(history, log_since=now)
    handler = evidence.handler
    if handler is None:
        history = replace(history, handler_pid=0, handler_cpu=-1.0, cpu_changed=None)
    elif (handler.pid, handler.cpu_seconds) != (history.handler_pid, history.handler_cpu):
        history = replace(history, handler_pid=handler.pid, handler_cpu=handler.cpu_seconds, cpu_changed=now)
    blocked = any(process is not None and process.blocked for process in (evidence.daemon, handler))
    if not blocked:
        history = replace(history, blocked_looks=0)
    elif now - history.blocked_at >= rules.check_interval / 2:
        # Counted by time: the filesystem that the agent sleeps on may hold up our own look at the lib dir as well.
        history = replace(history, blocked_looks=history.blocked_looks + 1, blocked_at=now)
    return replace(history, exits=tuple(at for at in history.exits if now - EXIT_WINDOW < at <= now))


def _opened(evidence: Evidence, history: History, moved: Callable[[float, bool], float]) -> Optional[float]:
    """When the open extension pass was opened; None where there is none, or where nobody knows of a log."""
    assert isinstance(evidence.log, Known)
    opened, child, handler, now = evidence.log.value.pass_open, evidence.log.value.child, evidence.handler, evidence.now
    if opened is None:
        return None
    if opened.at is None:
        return now
    first = history.log_since is None
    since = moved(opened.at, first)
    if handler is None or child is None or child.pid != handler.pid:
        return since
    if first and child.at is not None:
        # The clock may have been set since. How long after the handler's own start it was is told by the log alone; of the two
        # the later one counts: a pass that is thought to be younger than it is does no harm.
        since = max(since, min(now, handler.started + opened.at - child.at))
    # Said after this handler's start, so it was opened after it; where a clock that was set puts it before, nobody knows when.
    return since if since >= handler.started else now


def _not_running(evidence: Evidence, unit: UnitState, history: History, boot_grace: float) -> Liveness:
    """The unit is not up: is that somebody's wish?"""
    def rests(rest: Rest, why: str) -> Liveness:
        return Liveness(AgentState.RESTING, why, history, rest=rest)

    name = unit.name
    if unit.masked:
        return rests(Rest.MASKED, _masked(unit))
    if unit.awaits_restart:
        return Liveness(AgentState.DOWN, say("{unit} ended ({said_how}); systemd restarts it", unit=name, said_how=how(unit)),
                        history)
    if evidence.transaction is not None:
        return rests(Rest.PACKAGES, evidence.transaction)
    if unit.disabled:
        return rests(Rest.DISABLED, say("{unit} is disabled and was stopped", unit=name) if unit.stopped_on_request else
                     say("{unit} is disabled", unit=name))
    if unit.condition_failed:
        return rests(Rest.CONDITION, say("{unit} has a start condition that does not hold here "
                                         "(systemctl show -p Conditions {name})", unit=name, name=name))
    if stopped(evidence, unit):
        return rests(Rest.STOPPED, say("{unit} was stopped on request", unit=name))
    if isinstance(evidence.libdir, Known) and evidence.libdir.value.disable_agent:
        return rests(Rest.SLEEPING, _sleeping(evidence.libdir.value))
    if unit.active == "deactivating":
        return Liveness(AgentState.DOWN, say("{unit} is ending ({said_how})", unit=name, said_how=how(unit)), history)
    if not unit.started_ever and unit.kind == "systemd" and unit.result == "success":
        if not unit.file_state.startswith("enabled"):
            return rests(Rest.NEVER_STARTED, say(
                "{unit} is not enabled ({state}) and was not started since boot", unit=name, state=unit.file_state)
                if unit.file_state else say("{unit} is not enabled (state unknown) and was not started since boot", unit=name))
        if evidence.now < boot_grace:
            return rests(Rest.NEVER_STARTED, say("{unit} was not started since boot, {age} ago", unit=name,
                                                 age=durations.show(evidence.now)))
        return Liveness(AgentState.DOWN, say("{unit} is enabled but was not started since boot", unit=name), history)
    return Liveness(AgentState.DOWN, say("{unit} ended by itself ({said_how})", unit=name, said_how=how(unit)), history)


def stopped(evidence: Evidence, unit: UnitState) -> bool:
    """Asked to stop. Without systemd the daemon's own last word tells: it logs the SIGTERM that a stop sends."""
    if unit.kind == "systemd":
        # systemd forgets a disabled unit as soon as it rests, and all moments with it; whoever disabled it wanted it so.
        return unit.stopped_on_request or (unit.disabled and unit.active == "inactive")
    if not isinstance(evidence.log, Known):
        return False
    end, start = evidence.log.value.daemon_end, evidence.log.value.daemon_started
    after_start = end is not None and (start is None or start.at is None or end.at is None or end.at >= start.at)
    return end is not None and end.kind is EndKind.TERMINATED and after_start


def how(unit: UnitState) -> str:
    """How the main process ended (waitid(2): CLD_EXITED 1, CLD_KILLED 2, CLD_DUMPED 3)."""
    if unit.exit_code == 1:
        ended = say("exit status {code}", code=unit.exit_status)
    elif unit.exit_code in (2, 3):
        ended = say("killed by signal {signal}", signal=unit.exit_status)
    elif unit.kind != "systemd":
        return say("its process is gone")
    else:
        ended = unit.result
    return f"{ended}; {say('systemd gave up after {count} restarts', count=unit.n_restarts)}" if unit.given_up else ended


def _masked(unit: UnitState) -> str:
    return say("{unit} is masked by an administrator", unit=unit.name)


def _alive(evidence: Evidence, unit: UnitState, history: History, rules: LivenessSettings) -> Liveness:
    if evidence.processes_unknown:
        return Liveness(AgentState.UNKNOWN, evidence.processes_unknown, history)
    daemon, handler = evidence.daemon, evidence.handler
    if unit.active == "activating" or daemon is None:
        return Liveness(AgentState.STARTING, say("{unit} is starting", unit=unit.name), replace(history, suspect_looks=0))
    blocked = tuple(f"{process.pid}/{name}" for process in (daemon, handler) if process is not None
                    for name in process.blocked_threads)
    walls = (say("a thread of the agent is in state D ({threads})", threads=", ".join(blocked)),) if blocked else ()
    if isinstance(evidence.libdir, Known) and evidence.libdir.value.disable_agent:
        return Liveness(AgentState.RESTING, _sleeping(evidence.libdir.value), history, rest=Rest.SLEEPING)
    verdict = (_without_handler(evidence, history, rules) if handler is None
               else _with_handler(evidence, replace(history, handler_missing_since=None), rules))
    masked = (_masked(unit),) if unit.masked else ()
    return replace(verdict, blocked=blocked if history.blocked_looks >= _UNKILLABLE_LOOKS else (), walls=walls,
                   gates=verdict.gates + masked)


def _sleeping(libdir: LibDir) -> str:
    return say("{path}/disable_agent makes the daemon sleep for ever", path=libdir.path)


def _without_handler(evidence: Evidence, history: History, rules: LivenessSettings) -> Liveness:
    daemon = evidence.daemon
    assert daemon is not None
    phase = _phase(evidence)
    since = history.handler_missing_since if history.handler_missing_since is not None else evidence.now
    history = replace(history, handler_missing_since=since, suspect_looks=0)
    if phase is not None:
        why = _WAITS[phase].daemon.format(age=durations.show(evidence.now - daemon.started))
        return Liveness(AgentState.PROVISIONING, why, history, gates=(_WAITS[phase].agent,))
    missing = evidence.now - max(since, daemon.started)
    if missing < rules.handler_missing:
        return Liveness(AgentState.STARTING, say("daemon {pid} runs, its handler is not there yet ({age})", pid=daemon.pid,
                                                 age=durations.show(missing)), history)
    return Liveness(AgentState.HANDLER_MISSING, say("daemon {pid} has had no handler process for {age}", pid=daemon.pid,
                                                    age=durations.show(missing)), history)


def _phase(evidence: Evidence) -> Optional[Phase]:
    """What legitimately keeps the daemon from launching a handler; None for nothing."""
    if isinstance(evidence.libdir, Known) and not evidence.libdir.value.provisioned:
        return _logged_phase(evidence) or Phase.PROVISIONING
    return _logged_phase(evidence)


def _logged_phase(evidence: Evidence) -> Optional[Phase]:
    """The long phase that is the last word of the log. The handler has such phases too: it may wait for cloud-init for an hour
    (Extensions.WaitForCloudInit) and looks for the wire server without end."""
    phase = evidence.log.value.phase if isinstance(evidence.log, Known) else None
    return phase if phase in _WAITS else None


def _with_handler(evidence: Evidence, history: History, rules: LivenessSettings) -> Liveness:
    handler = evidence.handler
    assert handler is not None
    now = evidence.now
    busy = _busy(evidence, history, rules)
    signs = [(moment, by) for moment, by in ((history.status_changed, _STATUS_FILE), (history.beat_seen, _HEARTBEAT))
             if moment is not None and moment >= handler.started]
    seen, by = max(signs, default=(None, ""))
    limit = max(rules.status_stale, rules.status_stale_periods * _period(evidence))
    quiet = now - max(handler.started, history.status_changed or 0.0)
    stale = quiet > limit and _writes_status(evidence, history)
    phase = _logged_phase(evidence) if stale or seen is None else None
    suspect = stale and not busy and not phase
    since = history.suspect_since if history.suspect_looks else now
    looks = history.suspect_looks + history.new_round if suspect else 0
    history = replace(history, suspect_looks=looks, suspect_since=since)

    def verdict(state: AgentState, why: str) -> Liveness:
        return Liveness(state, why, history, busy=busy, suspect=suspect, seen_working=seen, seen_by=by,
                        gates=(busy,) if busy else (_WAITS[phase].agent,) if phase else ())

    if busy:
        return verdict(AgentState.BUSY, busy)
    if phase:
        return verdict(AgentState.PROVISIONING, _WAITS[phase].handler.format(pid=handler.pid))
    if suspect:
        age = durations.show(quiet)
        second = _second_sign(evidence, history, rules, limit)
        if not second:
            return verdict(AgentState.RUNNING, say(
                "the status file has not been written for {age}, but the handler still works now and then", age=age))
        probe = evidence.wireserver
        # An answer from before the suspicion proves nothing: the network may have gone since, and the loop with it.
        if not (isinstance(probe, Known) and probe.value.success and probe.at >= since):
            return verdict(AgentState.RUNNING, say("the status file has not been written for {age}; the wire server is not known "
                                                   "to answer, so the loop may just be slow", age=age))
        # A whole turn has to fit into the suspicion: a guard, a clock or a machine that slept may have come amid one. Looks are
        # counted, not seconds: those that the machine slept are none.
        if history.suspect_looks >= max(rules.hung_checks, 1 + 2 * _period(evidence) / rules.check_interval):
            return verdict(AgentState.HUNG, say(
                "the status file has not been written for {age}, and {said_sign}, though the wire server answers", age=age,
                said_sign=second))
        return verdict(AgentState.RUNNING, say(
            "the status file has not been written for {age}, and {said_sign}; looking again", age=age, said_sign=second))
    if seen is None:
        return verdict(AgentState.STARTING if now - handler.started < limit else AgentState.RUNNING,
                       say("handler {pid} runs, no sign of a finished turn yet", pid=handler.pid))
    return verdict(AgentState.RUNNING, _last_seen(now - seen, by))


def _busy(evidence: Evidence, history: History, rules: LivenessSettings) -> str:
    """An extension pass that is open: the loop is at work, however long the turn."""
    handler, begun = evidence.handler, history.pass_since
    if begun is None or (handler is not None and begun < handler.started - 1.0):
        return ""  # One that was opened by an earlier handler will never be closed.
    open_for = evidence.now - begun
    if open_for > rules.pass_limit:
        return ""
    return say("extensions are being worked on for {age}", age=durations.show(open_for))


def _second_sign(evidence: Evidence, history: History, rules: LivenessSettings, limit: float) -> str:
    """The sign that has to agree with a stale status file."""
    handler = evidence.handler
    assert handler is not None
    if handler.state == "T":
        return say("handler {pid} is stopped (state T)", pid=handler.pid)
    still = evidence.now - (history.cpu_changed if history.cpu_changed is not None else evidence.now)
    if still >= limit:
        return say("handler {pid} has used no CPU time for {age}", pid=handler.pid, age=durations.show(still))
    version = evidence.version
    if history.beat is not None or (version is not None and versions.generation(version).has_heartbeat_line):
        # One that was never seen is missed from when it began to be looked for.
        last = history.beat_seen if history.beat_seen is not None else history.log_since
        quiet = 0.0 if last is None else evidence.now - max(last, handler.started)
        if quiet > rules.heartbeat_stale:
            return say("no [HEARTBEAT] line for {age}", age=durations.show(quiet))
    return ""


def _period(evidence: Evidence) -> float:
    return evidence.conf.value.period if isinstance(evidence.conf, Known) else 6.0


def _writes_status(evidence: Evidence, history: History) -> bool:
    """Can a status file that does not change tell anything? Not when the lib dir cannot be seen; not when this generation of the
    agent writes none, whatever another one left behind."""
    if not isinstance(evidence.libdir, Known):
        return False
    version = evidence.version
    if version is None:
        return history.status_mtime is not None
    return versions.generation(version).status_file is not versions.StatusPlace.NONE
