"""The restart policy: one pure state machine with the clock handed in.

The contract (README.md, "What it never does"):

- a dead agent is started, at once the first time, then at a growing and capped pace, for ever;
- a live agent (hung, without its handler, or asked for) is restarted at most ``live_per_hour`` and ``live_per_day`` times;
- nothing is done while paused, switched off, held back by a gate, or while systemd's own Restart= has the unit; a forced
  request overrides all of that and the ration, but not a wall (the kernel holds the agent), and it is tried once;
- every action is an *intent* first. The guard persists the state that holds the intent before it acts, so that a guard killed
  in between finds it again: either the agent's run has changed since (then it was done) or not (then it is done now,
  on the same charge). No action is lost and none is charged or carried out twice.

All moments are CLOCK_BOOTTIME seconds; ``rebase`` moves a state into another boot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import Enum
from typing import Any, Optional

from waguard.decide.term import told
from waguard.i18n import message, say
from waguard.settings import RestartSettings

HOUR, DAY = 3600.0, 86400.0
_UNSETTLED = message("the service manager is at work on it")
_BY_SYSTEMD = message("systemd restarts it")
PASSING = frozenset((_UNSETTLED, _BY_SYSTEMD))
"""Reasons for waiting that are nobody's concern: they pass by themselves."""


class Condition(str, Enum):
    """What the judge says of the agent, as far as the policy cares."""

    FINE = "fine"  # working, or not known to be broken
    DOWN = "down"  # it ended, nobody asked for it, and nothing else will bring it back
    SYSTEMD = "systemd"  # it ended and systemd's Restart= is about to bring it back
    BROKEN = "broken"  # alive and of no use: hung, or without its handler
    RESTING = "resting"  # somebody wants it so, or it is not known whether


class Action(str, Enum):
    """What to ask of the service manager. START of a failed unit includes reset-failed. A dead unit that waits for systemd's
    own restart needs RESTART: a start would wait with it (systemd src/core/service.c, service_start)."""

    START = "start"
    RESTART = "restart"


class Stage(str, Enum):
    """How far a start has been proved."""

    ACTIVE = "active"
    HANDLER = "handler"
    HEARTBEAT = "heartbeat"


_AWAITED = {
    Stage.ACTIVE: message("waiting for the active stage of the last start"),
    Stage.HANDLER: message("waiting for the handler stage of the last start"),
    Stage.HEARTBEAT: message("waiting for the heartbeat stage of the last start"),
}


@dataclass(frozen=True)
class Facts:
    """What the policy is told at one moment.

    ``run`` identifies the agent's present run (systemd's invocation id, or pid and start time); it changes with each start.
    ``gates`` hold back the restart of a live agent, ``start_gates`` also the start of a dead one: each a reason for a person.
    ``walls`` hold back everything, also what is forced. ``settled``: no job and no passage of the unit is under way.
    ``proved``: stages the present run has reached.
    """

    now: float
    condition: Condition
    run: str
    why: str = ""
    settled: bool = True
    paused: bool = False
    gates: tuple[str, ...] = ()
    start_gates: tuple[str, ...] = ()
    walls: tuple[str, ...] = ()
    systemd_delay: float = 0.0
    proved: frozenset[Stage] = frozenset()


@dataclass(frozen=True)
class Request:
    """A restart that somebody asked for: an administrator, or a verbose lease. ``force`` overrides ration and gates."""

    why: str
    at: float
    force: bool = False


@dataclass(frozen=True)
class Intent:
    """An action decided on and charged, carried out or not. ``run_before``: the run it is to end."""

    number: int
    action: Action
    why: str
    at: float
    run_before: str


@dataclass(frozen=True)
class Verification:
    """A start being proved. ``since``: when it was carried out."""

    since: float
    action: Action
    stage: Stage
    run: str = ""


@dataclass(frozen=True)
class PolicyState:
    """All the policy remembers. Immutable; goes to disk as JSON. ``healthy_run``: the run that ``healthy_since`` is of."""

    attempts: int = 0
    last_attempt: Optional[float] = None
    live_restarts: tuple[float, ...] = ()
    intent: Optional[Intent] = None
    verification: Optional[Verification] = None
    healthy_since: Optional[float] = None
    healthy_run: str = ""
    systemd_since: Optional[float] = None
    request: Optional[Request] = None
    number: int = 0


@dataclass(frozen=True)
class Step:
    """One decision. ``act``: the intent to carry out now. ``look_again``: the moment at which waiting may be over.
    ``outcome``: a verification that ended (True: proved, False: not), with its stage and action in ``outcome_of``."""

    state: PolicyState
    act: Optional[Intent] = None
    holding: str = ""
    look_again: Optional[float] = None
    outcome: Optional[bool] = None
    outcome_of: Optional[Verification] = None


def delay(attempts: int, rules: RestartSettings) -> float:
    """Seconds between attempt number ``attempts`` and the next; none before the first."""
    if attempts <= 0:
        return 0.0
    first, times = rules.backoff_first, attempts - 1
    if not first and times:
        first, times = 1.0, times - 1  # Nothing does not grow, and a start after start without a pause is no pace.
    grown: float = first * float(rules.backoff_factor) ** min(times, 64)
    return min(grown, rules.backoff_cap)


def budget(state: PolicyState, now: float, rules: RestartSettings) -> tuple[int, int, Optional[float]]:
    """(live restarts left this hour, this day, when the next one frees up if none is left)."""
    hour = sorted(at for at in state.live_restarts if at > now - HOUR)
    day = sorted(at for at in state.live_restarts if at > now - DAY)
    hour_left, day_left = max(0, rules.live_per_hour - len(hour)), max(0, rules.live_per_day - len(day))
    frees = []
    if not hour_left:
        frees.append(hour[-rules.live_per_hour] + HOUR if rules.live_per_hour else now + HOUR)
    if not day_left:
        frees.append(day[-rules.live_per_day] + DAY if rules.live_per_day else now + DAY)
    return hour_left, day_left, max(frees, default=None)


def step(state: PolicyState, facts: Facts, rules: RestartSettings) -> Step:
    """The policy's answer to the facts."""
    state = _remember(state, facts, rules)
    if state.intent is not None:
        return _resume(state, state.intent, facts, rules)
    if state.verification is not None:
        ended = _verify(state, state.verification, facts, rules)
        if ended is not None:
            return ended
    if facts.condition is Condition.DOWN:
        return _start(state, facts, rules)
    if facts.condition is Condition.SYSTEMD:
        return _leave_to_systemd(state, facts, rules)
    forced = state.request is not None and state.request.force
    if facts.condition is Condition.BROKEN and rules.restart_hung and not forced:
        return _restart(state, facts, rules, facts.why, force=False)
    if state.request is not None:
        return _requested(state, state.request, facts, rules)
    due = state.healthy_since + rules.reset_after if state.healthy_since is not None and state.attempts else None
    return Step(state, look_again=due, holding=say("paused") if facts.paused else "")


def carried_out(state: PolicyState, at: float) -> PolicyState:
    """The intent reached the service manager: now it has to prove itself."""
    intent = state.intent
    assert intent is not None
    # What was asked for while the action was under way may want something of a run that begins after it.
    later = state.request if state.request is not None and state.request.at > intent.at else None
    return replace(state, intent=None, request=later, healthy_since=None,
                   verification=Verification(at, intent.action, Stage.ACTIVE, intent.run_before))


def failed(state: PolicyState) -> PolicyState:
    """The service manager refused or did not answer. The attempt stays charged, so that the next one waits its turn.

    A forced request is not tried again: nothing but the person who forced it would ever hold it back.
    """
    live = state.intent is not None and _charged_live(state, state.intent)
    request = None if state.request is not None and state.request.force else state.request
    return replace(state, intent=None, verification=None, request=request, attempts=state.attempts + live)


def ask(state: PolicyState, request: Request) -> PolicyState:
    """Remember a request for a restart. A forced one replaces an unforced one."""
    if state.request is not None and state.request.force and not request.force:
        return state
    return replace(state, request=request)


def restarted_by_others(state: PolicyState) -> PolicyState:
    """Somebody else started the agent anew: a requested restart is thereby done."""
    return replace(state, request=None)


def rebase(state: PolicyState, shift: float) -> PolicyState:
    """The state with its moments moved by ``shift`` seconds: into the clock of another boot.

    An intent and a verification belong to the boot they were made in and are dropped: the boot has started the agent anew.
    """
    def moved(at: Optional[float]) -> Optional[float]:
        return None if at is None else at + shift

    return replace(state, last_attempt=moved(state.last_attempt), intent=None, verification=None, healthy_since=None,
                   systemd_since=None, request=None, live_restarts=tuple(at + shift for at in state.live_restarts))


def _remember(state: PolicyState, facts: Facts, rules: RestartSettings) -> PolicyState:
    """Health and history, before anything is decided."""
    now = facts.now
    # A moment in the future comes from a damaged file or a clock that was wrong: taken as now, it binds, but not for ever.
    live = tuple(min(at, now) for at in state.live_restarts if at > now - DAY)
    last = None if state.last_attempt is None else min(state.last_attempt, now)
    intent = state.intent and replace(state.intent, at=min(state.intent.at, now))
    check = state.verification and replace(state.verification, since=min(state.verification.since, now))
    healthy = facts.condition is Condition.FINE and Stage.ACTIVE in facts.proved and intent is None
    begun = state.healthy_since if state.healthy_run == facts.run else None
    since = (now if begun is None else min(begun, now)) if healthy else None
    attempts = state.attempts
    if since is not None and now - since >= rules.reset_after:
        attempts = 0
    systemd = (min(state.systemd_since, now) if state.systemd_since is not None else now) \
        if facts.condition is Condition.SYSTEMD else None
    return replace(state, live_restarts=live, last_attempt=last, healthy_since=since, attempts=attempts,
                   healthy_run=facts.run if since is not None else "", systemd_since=systemd, intent=intent, verification=check)


def _resume(state: PolicyState, intent: Intent, facts: Facts, rules: RestartSettings) -> Step:
    """An intent found in the state: the guard ended between deciding and acting, or between acting and noting it."""
    if facts.run != intent.run_before:
        return Step(carried_out(state, intent.at))
    if not facts.settled and facts.condition is not Condition.SYSTEMD:
        return Step(state, holding=say("an earlier action is under way"), look_again=facts.now + 1.0)
    # It was not carried out. If it would be decided on again it is done now, and its charge is moved to now; else that is
    # given back.
    back = _withdrawn(state, intent)
    again = step(replace(back, last_attempt=None), facts, rules)
    if again.act is not None and again.act.action is intent.action:
        same = replace(again.act, number=intent.number)
        return replace(again, state=replace(again.state, intent=same, number=state.number), act=same)
    return step(back, facts, rules)


def _charged_live(state: PolicyState, intent: Intent) -> bool:
    """Is it charged to the ration, not to the pace of starts?"""
    return intent.action is Action.RESTART and intent.at in state.live_restarts


def _withdrawn(state: PolicyState, intent: Intent) -> PolicyState:
    """The state as if the intent had never been charged."""
    if _charged_live(state, intent):
        live = list(state.live_restarts)
        live.remove(intent.at)
        return replace(state, intent=None, live_restarts=tuple(live))
    return replace(state, intent=None, attempts=max(0, state.attempts - 1))


def _verify(state: PolicyState, check: Verification, facts: Facts, rules: RestartSettings) -> Optional[Step]:
    """Advance the verification; None when the facts call for a decision all the same."""
    if facts.condition is Condition.RESTING:
        return Step(replace(state, verification=None), holding=facts.why)
    limits = {Stage.ACTIVE: rules.verify_active, Stage.HANDLER: rules.verify_handler, Stage.HEARTBEAT: rules.verify_heartbeat}
    stages = list(Stage)
    fresh = facts.run != check.run or check.stage is not Stage.ACTIVE
    stage = check.stage
    while fresh and stage in facts.proved and facts.condition is not Condition.DOWN:
        if stage is stages[-1]:
            return Step(replace(state, verification=None), outcome=True, outcome_of=replace(check, stage=stage))
        stage = stages[stages.index(stage) + 1]
    check = replace(check, stage=stage)
    dead = fresh and (facts.condition is Condition.SYSTEMD or (facts.condition is Condition.DOWN and facts.settled))
    # A stop may take systemd's whole TimeoutStopSec (90 s) before the new run begins.
    deadline = check.since + limits[stage] + (0.0 if facts.settled else rules.command_timeout)
    if dead or facts.now >= deadline:
        state = replace(state, verification=None)
        # The same facts are decided on at once: a start that failed is followed by the next one when its time has come.
        after = step(state, facts, rules)
        return replace(after, outcome=False, outcome_of=check)
    return Step(replace(state, verification=check), holding=_AWAITED[stage], look_again=deadline)


def _never_now(facts: Facts, rules: RestartSettings, force: bool) -> str:
    """What forbids every action, or every one that is not forced; empty when nothing does."""
    if facts.walls:
        return facts.walls[0]
    if force:
        return ""
    if facts.paused:
        return say("paused")
    if not rules.enabled:
        return say("restart.enabled is false")
    return facts.start_gates[0] if facts.start_gates else ""


def _start(state: PolicyState, facts: Facts, rules: RestartSettings) -> Step:
    """A dead agent."""
    force = state.request is not None and state.request.force
    held = _never_now(facts, rules, force)
    if held:
        return Step(state, holding=held)
    overdue = facts.condition is Condition.SYSTEMD  # A passage that lasts until systemd ends it, or we.
    if not facts.settled and not overdue:
        return Step(state, holding=_UNSETTLED, look_again=facts.now + 1.0)
    due = _turn(state, rules)
    if facts.now < due and not force:
        return Step(state, holding=say("start {number} waits its turn", number=state.attempts + 1), look_again=due)
    return _intend(replace(state, attempts=state.attempts + 1), Action.RESTART if overdue else Action.START, facts)


def _turn(state: PolicyState, rules: RestartSettings) -> float:
    """The moment from which the pace allows the next attempt."""
    return -math.inf if state.last_attempt is None else state.last_attempt + delay(state.attempts, rules)


def _leave_to_systemd(state: PolicyState, facts: Facts, rules: RestartSettings) -> Step:
    """systemd's Restart= has the unit. Only when it lets its own time pass is the agent simply dead."""
    assert state.systemd_since is not None
    # RestartSec=infinity is no promise to bring it back.
    own = facts.systemd_delay if math.isfinite(facts.systemd_delay) else 0.0
    patience = state.systemd_since + own + rules.systemd_grace
    if facts.now < patience and not (state.request is not None and state.request.force):
        return Step(state, holding=_BY_SYSTEMD, look_again=patience)
    return _start(state, facts, rules)


def _restart(state: PolicyState, facts: Facts, rules: RestartSettings, why: str, force: bool) -> Step:
    """A live agent."""
    held = _never_now(facts, rules, force) or (facts.gates[0] if facts.gates and not force else "")
    if held:
        return Step(state, holding=held)
    if not facts.settled:
        return Step(state, holding=_UNSETTLED, look_again=facts.now + 1.0)
    hour_left, day_left, frees = budget(state, facts.now, rules)
    if min(hour_left, day_left) <= 0 and not force:
        return Step(state, holding=say("the ration of restarts is used up"), look_again=frees)
    due = _turn(state, rules)
    if facts.now < due and not force:
        return Step(state, holding=say("the restart waits its turn"), look_again=due)
    charged = replace(state, live_restarts=(*state.live_restarts, facts.now))
    return _intend(charged, Action.RESTART, replace(facts, why=why))


def _requested(state: PolicyState, request: Request, facts: Facts, rules: RestartSettings) -> Step:
    if facts.condition is Condition.RESTING:
        return Step(state, holding=say("the agent rests: {said_why}", said_why=facts.why))
    return _restart(state, facts, rules, request.why, request.force)


def _intend(state: PolicyState, action: Action, facts: Facts) -> Step:
    intent = Intent(state.number + 1, action, facts.why, facts.now, facts.run)
    state = replace(state, number=intent.number, intent=intent, last_attempt=facts.now, healthy_since=None,
                    verification=None)
    return Step(state, act=intent)


def to_json(state: PolicyState) -> dict[str, Any]:
    """A JSON object; ``from_json`` reads it back."""
    return asdict(state)


def from_json(data: Mapping[str, Any]) -> PolicyState:
    """Raises ValueError, TypeError or KeyError on anything that ``to_json`` did not write."""
    if not isinstance(data, Mapping):
        raise TypeError("the policy has to be an object")
    intent, check, request = data.get("intent"), data.get("verification"), data.get("request")
    live = data.get("live_restarts", ())
    if not isinstance(live, (list, tuple)):
        raise TypeError("live_restarts has to be a list")
    return PolicyState(
        attempts=_number(data.get("attempts", 0)), number=_number(data.get("number", 0)),
        last_attempt=_moment(data.get("last_attempt")), live_restarts=tuple(told(at) for at in live),
        healthy_since=_moment(data.get("healthy_since")), healthy_run=str(data.get("healthy_run", "")),
        systemd_since=_moment(data.get("systemd_since")),
        intent=None if intent is None else Intent(
            number=_number(intent["number"]), action=Action(intent["action"]), why=str(intent["why"]),
            at=told(intent["at"]), run_before=str(intent["run_before"])),
        verification=None if check is None else Verification(
            since=told(check["since"]), action=Action(check["action"]), stage=Stage(check["stage"]), run=str(check["run"])),
        request=None if request is None else Request(
            why=str(request["why"]), at=told(request["at"]), force=request["force"] is True))


def _moment(value: Any) -> Optional[float]:
    return None if value is None else told(value)


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return int(value)
