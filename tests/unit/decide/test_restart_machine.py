"""The restart policy against a simulated agent, service manager, administrator and clock, with a guard that is killed
at any point. What must hold is checked at every look and at every action, whatever led to it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Optional

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from waguard.decide import restart
from waguard.decide.restart import DAY, HOUR, Action, Condition, Facts, Intent, PolicyState, Request, Stage, Step
from waguard.settings import RestartSettings

SPANS = st.sampled_from([0.01, 0.5, 1.0, 4.0, 6.0, 11.0, 31.0, 70.0, 200.0, 601.0, 950.0, 1900.0, 3601.0, 20000.0, 90000.0])
RULES = st.sampled_from([
    RestartSettings(),
    RestartSettings(live_per_hour=1, live_per_day=2, backoff_first=1.0, backoff_factor=10),
    RestartSettings(live_per_hour=5, live_per_day=3, backoff_first=0.0, backoff_cap=60.0),
    RestartSettings(live_per_hour=0, backoff_factor=1, reset_after=60.0),
    RestartSettings(restart_hung=False, live_per_hour=2),
])
FATES = ("reaches the manager", "is refused", "guard killed before", "guard killed after")


@dataclass(frozen=True)
class Acted:
    """An action that reached the service manager, or that it refused."""

    at: float
    live: bool
    forced: bool
    accepted: bool


class Agents(RuleBasedStateMachine):
    """The whole little world."""

    # -- the world

    @initialize(rules=RULES, by_systemd=st.booleans(), delay=st.sampled_from([0.1, 5.0, 300.0, float("inf")]))
    def born(self, rules: RestartSettings, by_systemd: bool, delay: float) -> None:
        self.rules, self.by_systemd, self.systemd_delay = rules, by_systemd, delay
        self.now = 5000.0
        self.run, self.began = 1, self.now
        self.up, self.hung, self.stopped, self.waits_for_systemd = True, False, False, False
        self.job_until: Optional[float] = None
        self.job_then = "runs"
        self.manager = "runs"
        self.paused = self.gated = self.start_gated = self.walled = False
        self.memory: Optional[PolicyState] = PolicyState()
        self.disk = json.dumps(restart.to_json(PolicyState()))
        self.last_step: Optional[Step] = None
        # What the checks remember, told from what happened and never from the policy's own state:
        self.acted: list[Acted] = []
        self.done: dict[int, int] = {}
        self.healthy_since: Optional[float] = None
        self.healthy_run = 0
        self.failures = 0  # starts in a row, and refused restarts, without lasting health since
        self.systemd_since: Optional[float] = None

    def settle(self) -> None:
        """A job of the service manager whose time has come ends."""
        if self.job_until is not None and self.now >= self.job_until:
            self.job_until = None
            self.outcome(self.job_then)

    def outcome(self, kind: str) -> None:
        if kind == "has no effect":
            self.up = False
            return
        self.run += 1
        self.began, self.up, self.hung, self.stopped, self.waits_for_systemd = self.now, True, False, False, False
        if kind == "dies at once":
            self.die()

    def taken_for_ours(self) -> None:
        """Somebody else starts the agent while an action waits to be found again: nobody could tell that from its being done."""
        state = self.load()
        if state.intent is not None and self.done.get(state.intent.number, 0) == 0:
            live = state.intent.at in state.live_restarts
            self.acted.append(Acted(state.intent.at, live, False, True))
            self.failures += not live
            self.done[state.intent.number] = 1

    def die(self) -> None:
        self.up, self.hung = False, False
        self.waits_for_systemd = self.by_systemd

    def condition(self) -> Condition:
        if self.stopped:
            return Condition.RESTING
        if not self.up:
            return Condition.SYSTEMD if self.waits_for_systemd else Condition.DOWN
        return Condition.BROKEN if self.hung else Condition.FINE

    def facts(self) -> Facts:
        self.settle()
        proved = set()
        if self.up and self.job_until is None:
            age = self.now - self.began
            proved = {stage for stage, after in ((Stage.ACTIVE, 0.0), (Stage.HANDLER, 2.0), (Stage.HEARTBEAT, 5.0))
                      if age >= after and not (self.hung and stage is Stage.HEARTBEAT)}
        condition = self.condition()
        return Facts(
            now=self.now, condition=condition, run=str(self.run), why="as seen",
            settled=self.job_until is None and condition is not Condition.SYSTEMD,
            paused=self.paused, gates=("an extension pass is open",) if self.gated else (),
            start_gates=("a filesystem is frozen",) if self.start_gated else (),
            walls=("state D",) if self.walled else (), systemd_delay=self.systemd_delay, proved=frozenset(proved))

    # -- what happens in it

    @rule(seconds=SPANS)
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def time_passes_until_the_policy_wants_to_look_again(self) -> None:
        if self.last_step is not None and self.last_step.look_again is not None:
            self.now = max(self.now, self.last_step.look_again)

    @precondition(lambda self: self.up and self.job_until is None)
    @rule()
    def the_agent_dies(self) -> None:
        self.die()

    @precondition(lambda self: self.up and self.job_until is None)
    @rule()
    def the_agent_hangs(self) -> None:
        self.hung = True

    @precondition(lambda self: self.hung)
    @rule()
    def the_agent_recovers(self) -> None:
        self.hung = False

    @precondition(lambda self: self.waits_for_systemd and not self.up and self.job_until is None)
    @rule()
    def systemd_restarts_it(self) -> None:
        self.taken_for_ours()
        self.outcome("runs")

    @precondition(lambda self: self.waits_for_systemd and not self.up and self.job_until is None)
    @rule()
    def systemd_gives_up(self) -> None:
        self.waits_for_systemd = False

    @precondition(lambda self: self.job_until is None)
    @rule()
    def an_administrator_stops_it(self) -> None:
        self.up, self.hung, self.stopped, self.waits_for_systemd = False, False, True, False

    @precondition(lambda self: self.job_until is None)
    @rule()
    def an_administrator_starts_it(self) -> None:
        self.taken_for_ours()
        self.outcome("runs")

    @rule(kind=st.sampled_from(["runs", "runs", "dies at once", "has no effect", "job runs", "job dies at once"]))
    def what_the_manager_does_with_orders(self, kind: str) -> None:
        self.manager = kind

    @rule(which=st.sampled_from(["paused", "gated", "start_gated", "walled"]))
    def something_gets_or_leaves_the_way(self, which: str) -> None:
        setattr(self, which, not getattr(self, which))

    @rule()
    def nothing_is_in_the_way(self) -> None:
        self.paused = self.gated = self.start_gated = self.walled = False

    @rule(enabled=st.booleans())
    def the_policy_is_switched(self, enabled: bool) -> None:
        self.rules = replace(self.rules, enabled=enabled)

    @rule(force=st.sampled_from([False, False, True]))
    def somebody_asks_for_a_restart(self, force: bool) -> None:
        self.remember(restart.ask(self.load(), Request("asked for", self.now, force)))

    @rule()
    def the_guard_is_killed(self) -> None:
        self.memory = None

    @precondition(lambda self: self.job_until is None)
    @rule(away=SPANS)
    def the_machine_reboots(self, away: float) -> None:
        self.taken_for_ours()
        state = restart.from_json(json.loads(self.disk))
        uptime_before, self.now = self.now, 20.0
        shift = -(uptime_before + away - self.now)
        self.memory = restart.rebase(state, shift)
        self.disk = json.dumps(restart.to_json(self.memory))
        self.acted = [replace(action, at=action.at + shift) for action in self.acted]
        self.outcome("runs")
        self.healthy_since, self.systemd_since, self.last_step = None, None, None

    # -- the guard

    def load(self) -> PolicyState:
        if self.memory is None:
            self.memory = restart.from_json(json.loads(self.disk))
        return self.memory

    def remember(self, state: PolicyState) -> None:
        self.memory = state
        self.disk = json.dumps(restart.to_json(state))

    @rule(fate=st.sampled_from(FATES))
    def the_guard_looks(self, fate: str) -> None:
        self.now += 0.001  # No two looks are at the same moment.
        before, facts = self.load(), self.facts()
        self.watch_health(before, facts)
        step = self.last_step = restart.step(before, facts, self.rules)
        assert step.look_again is None or step.look_again > facts.now, "a look in the past would spin the loop"
        self.remember(step.state)
        if step.act is None:
            self.check_idle(before, facts, step)
        else:
            assert step.state.intent == step.act, "what is acted on is what was written down"
            self.act(step.act, facts, step.state, fate)
        self.check_charges()

    def act(self, intent: Intent, facts: Facts, state: PolicyState, fate: str) -> None:
        forced = state.request is not None and state.request.force
        self.check_action(intent, facts, forced)
        self.healthy_since = None
        if fate == "guard killed before":
            self.memory = None
            return
        accepted = fate != "is refused"
        live = facts.condition in (Condition.FINE, Condition.BROKEN)
        if fate != "guard killed after" or self.manager != "has no effect":
            # Else it is found not to have been done, and done on the charge it has.
            self.acted.append(Acted(self.now, live, forced, accepted))
            self.failures += not (live and accepted)
            self.done[intent.number] = self.done.get(intent.number, 0) + 1
            assert self.done[intent.number] == 1, f"action {intent.number} was carried out twice"
            self.check_ration()
        if not accepted:
            self.remember(restart.failed(state))
            return
        self.stopped = self.waits_for_systemd = False
        if self.manager.startswith("job "):
            self.job_until, self.job_then, self.up = self.now + 20.0, self.manager[4:], False
        else:
            self.outcome(self.manager)
        if fate == "guard killed after":
            self.memory = None
        else:
            self.remember(restart.carried_out(state, self.now))

    # -- what must hold

    def watch_health(self, before: PolicyState, facts: Facts) -> None:
        """What somebody beside the guard would note down at its looks."""
        healthy = facts.condition is Condition.FINE and Stage.ACTIVE in facts.proved and before.intent is None
        if not healthy:
            self.healthy_since = None
        elif self.healthy_since is None or self.healthy_run != self.run:
            self.healthy_since, self.healthy_run = self.now, self.run
        if self.healthy_since is not None and self.now - self.healthy_since >= self.rules.reset_after:
            self.failures = 0
        if facts.condition is not Condition.SYSTEMD:
            self.systemd_since = None
        elif self.systemd_since is None:
            self.systemd_since = self.now

    def check_action(self, intent: Intent, facts: Facts, forced: bool) -> None:
        """Nothing is done that must not be done now."""
        assert not facts.walls
        assert facts.condition is not Condition.RESTING
        if forced:
            return
        assert self.rules.enabled and not facts.paused and not facts.start_gates
        if facts.condition in (Condition.FINE, Condition.BROKEN):
            assert intent.action is Action.RESTART and not facts.gates and facts.settled
        elif facts.condition is Condition.DOWN:
            assert intent.action is Action.START and facts.settled
        else:
            assert intent.action is Action.RESTART, "a start would wait for systemd as well"
            own = self.systemd_delay if self.systemd_delay < float("inf") else 0.0
            assert self.systemd_since is not None
            assert self.now >= self.systemd_since + own + self.rules.systemd_grace, "systemd's own time is not over"

    def check_ration(self) -> None:
        """The ration binds every restart that is not forced; the forced ones before it count."""
        newest = self.acted[-1]
        if newest.live and not newest.forced:
            for span, most in ((HOUR, self.rules.live_per_hour), (DAY, self.rules.live_per_day)):
                assert sum(action.live and action.at > self.now - span for action in self.acted) <= most

    def check_charges(self) -> None:
        """Every live restart is charged once, and nothing else is, but for the one that waits to be found again."""
        state = self.load()
        charged = [at for at in state.live_restarts if at > self.now - DAY]
        if state.intent is not None and state.intent.at in charged and self.done.get(state.intent.number, 0) == 0:
            charged.remove(state.intent.at)
        acted = [action.at for action in self.acted if action.live and action.at > self.now - DAY]
        assert len(charged) == len(acted) and all(abs(a - b) < 1e-3 for a, b in zip(sorted(charged), sorted(acted)))

    def check_idle(self, before: PolicyState, facts: Facts, step: Step) -> None:
        """A dead agent is not left dead: it is started at once the first time, and at the latest after the cap."""
        free = self.rules.enabled and not (facts.paused or facts.start_gates or facts.walls)
        if facts.condition is Condition.DOWN and facts.settled and free and step.state.verification is None:
            assert step.state.attempts > 0, "the first start is at once"
            last = step.state.last_attempt
            assert last is not None and self.now < last + restart.delay(step.state.attempts, self.rules)
            assert step.look_again is not None and step.look_again <= last + self.rules.backoff_cap
        healthy = facts.condition is Condition.FINE and Stage.ACTIVE in facts.proved
        if healthy and step.state.intent is None and before.intent is None:
            assert (step.state.attempts == 0) == (self.failures == 0), "the delay starts anew after lasting health, not before"


Agents.TestCase.settings = hypothesis_settings(max_examples=250, stateful_step_count=40, deadline=None)
TestTheWholeLittleWorld = Agents.TestCase
