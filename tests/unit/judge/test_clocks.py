"""A healthy agent is never called hung, whatever happens to the wall clock, to the machine's sleep and to the guard itself;
one that stands still is, sooner or later.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Optional

import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from waguard.agent.logstate import ChildStart, Mark
from waguard.agent.record import Heartbeat
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, History
from waguard.observe import Known
from waguard.observe.azure import Probe

from .world import LIB, NEWEST, RULES, TICK, conf, evidence, handler, libdir, log, look

HOUR, DAY = 3600.0, 86400.0
HEARTBEAT = 1800.0
EVENTS = st.sampled_from(["clock set", "sleep", "guard restarts", "extra verdicts", "pass"])
SCRIPTS = st.lists(st.tuples(
    st.integers(1, 120), EVENTS, st.sampled_from([DAY, -DAY, HOUR, -HOUR, 7 * DAY, 5.0])), max_size=8)


class Agent:
    """An agent's loop in slow motion: at every turn the status file, now and then a heartbeat, a little CPU time."""

    def __init__(self, period: float) -> None:
        self.period = period
        self.now, self.offset = 50_000.0, 1_700_000_000.0
        self.started = self.now - 30.0
        self.turned = self.beaten = self.now
        self.status = self.beat_at = self.now + self.offset
        self.counter, self.cpu = 0, 1.0
        self.probed = self.now
        self.in_pass: Optional[float] = None
        self.opened: Optional[float] = None
        self.child = ChildStart(self.started + self.offset, handler().pid, NEWEST)
        self.hung = False

    def live(self, seconds: float) -> None:
        """Time passes, turn by turn."""
        end = self.now + seconds
        while not self.hung and self.in_pass is None and self.turned + self.period <= end:
            self.turned += self.period
            self.status = self.turned + self.offset
            self.cpu += 0.01
            if self.turned - self.beaten >= HEARTBEAT:
                self.beaten, self.beat_at, self.counter = self.turned, self.turned + self.offset, self.counter + 1
        self.now = end
        if self.in_pass is not None and self.now >= self.in_pass:
            self.in_pass, self.opened, self.turned = None, None, self.now - self.period
            self.live(0.0)

    def sleep(self, seconds: float) -> None:
        """The machine is suspended: CLOCK_BOOTTIME goes on, the loop's own sleep does not."""
        self.now += seconds
        self.turned += seconds

    def open_pass(self, seconds: float) -> None:
        if self.in_pass is None:
            self.in_pass, self.opened = self.now + seconds, self.now + self.offset

    def evidence(self, libdir_at: float) -> Evidence:
        if self.now - self.probed >= 60.0:
            self.probed = self.now
        beat = Heartbeat(self.beat_at, NEWEST, "id", self.counter)
        opened = None if self.opened is None else Mark(self.opened, "started")
        return evidence(
            now=self.now, wall=self.now + self.offset, conf=Known(conf(period=self.period), self.now),
            handler=replace(handler(), started=self.started, cpu_seconds=round(self.cpu, 2)),
            log=Known(log(heartbeat=beat, pass_open=opened, child=self.child), self.now),
            libdir=Known(replace(libdir(), status_path=LIB / "waagent_status.json", status_mtime=self.status), libdir_at),
            wireserver=Known(Probe(True, 0.001), self.probed))


@pytest.mark.once
@hypothesis_settings(max_examples=25, deadline=None)
@given(period=st.sampled_from([6.0, 6.0, 300.0]), script=SCRIPTS)
@example(6.0, [(1, "sleep", DAY), (1, "pass", DAY), (1, "clock set", DAY), (1, "guard restarts", DAY)])
def test_a_healthy_agent_is_never_hung(period: float, script: list[tuple[int, str, float]]) -> None:
    agent, history, events = Agent(period), History(), {}
    tick = 0
    for after, event, amount in script:
        tick += after
        events[tick] = (event, amount)
    for tick in range(int(2.5 * HOUR / TICK)):
        event, amount = events.get(tick, ("", 0.0))
        verdicts = 1
        if event == "clock set":
            agent.offset += amount
        elif event == "sleep":
            agent.sleep(abs(amount))
        elif event == "guard restarts":
            history = History()
        elif event == "extra verdicts":
            verdicts = 5
        elif event == "pass":
            agent.open_pass(min(abs(amount), 5400.0))
        agent.live(TICK)
        at = agent.now
        for _ in range(verdicts):
            agent.now += 0.001
            verdict = look(agent.evidence(at), history)
            history = verdict.history
            assert verdict.state is not AgentState.HUNG, f"after {event} at round {tick}: {verdict.why}"


@pytest.mark.parametrize("period", [6.0, 300.0])
@pytest.mark.parametrize("jump", [0.0, DAY, -DAY])
def test_one_that_stands_still_is_found_out_whatever_the_clock_does(period: float, jump: float) -> None:
    agent, history = Agent(period), History()
    for _ in range(20):
        agent.live(TICK)
        history = look(agent.evidence(agent.now), history).history
    agent.hung, agent.offset, begun = True, agent.offset + jump, agent.now
    limit = max(RULES.status_stale, RULES.status_stale_periods * period)
    while agent.now - begun < limit + 2 * period + period + 120.0:
        agent.live(TICK)
        verdict = look(agent.evidence(agent.now), history)
        history = verdict.history
        if verdict.state is AgentState.HUNG:
            assert agent.now - begun > limit - period
            return
    raise AssertionError(verdict.why)


@pytest.mark.parametrize("jump", [DAY, -DAY, 0.0])
def test_a_guard_that_comes_to_an_agent_long_hung_finds_it_out_within_minutes(jump: float) -> None:
    agent = Agent(6.0)
    agent.hung = True
    agent.live(5 * HOUR)
    agent.offset += jump
    history, rounds = History(), 0
    while rounds < 80:
        rounds += 1
        agent.live(TICK)
        verdict = look(agent.evidence(agent.now), history)
        history = verdict.history
        if verdict.state is AgentState.HUNG:
            break
    # Set back by a day the file's age is not known: then it has to be seen not to change for the whole limit.
    assert verdict.state is AgentState.HUNG and (rounds <= 10 or jump < 0)
