"""The policy's state as a file: read back whole, and whatever else the file may hold never crashes or locks the guard."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.decide import restart
from waguard.decide.restart import (
    DAY,
    Action,
    Condition,
    Facts,
    Intent,
    PolicyState,
    Request,
    Stage,
    Verification,
)
from waguard.settings import RestartSettings

RULES = RestartSettings()
MOMENTS = st.floats(-1e6, 1e9, allow_nan=False)
TEXTS = st.text(max_size=20)
STATES = st.builds(
    PolicyState, attempts=st.integers(0, 10**6), last_attempt=st.none() | MOMENTS,
    live_restarts=st.lists(MOMENTS, max_size=5).map(tuple),
    intent=st.none() | st.builds(Intent, st.integers(0, 10**6), st.sampled_from(Action), TEXTS, MOMENTS, TEXTS),
    verification=st.none() | st.builds(Verification, MOMENTS, st.sampled_from(Action), st.sampled_from(Stage), TEXTS),
    healthy_since=st.none() | MOMENTS, healthy_run=TEXTS, systemd_since=st.none() | MOMENTS,
    request=st.none() | st.builds(Request, TEXTS, MOMENTS, st.booleans()), number=st.integers(0, 10**6))

NONSENSE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS
    | st.sampled_from([10**400, -(10**400), 1e308, -1e308, 1e18, float("inf"), float("-inf"), float("nan"), "restart", "active"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=6)
FILES = st.fixed_dictionaries({}, optional={
    **{name: NONSENSE for name in ("attempts", "last_attempt", "live_restarts", "healthy_since", "healthy_run", "systemd_since",
                                   "number", "future")},
    "intent": NONSENSE | st.fixed_dictionaries({
        "number": NONSENSE, "action": NONSENSE, "why": NONSENSE, "at": NONSENSE, "run_before": NONSENSE}),
    "verification": NONSENSE | st.fixed_dictionaries({
        "since": NONSENSE, "action": st.sampled_from(["start", "restart"]) | NONSENSE,
        "stage": st.sampled_from(["active", "handler"]) | NONSENSE, "run": NONSENSE}),
    "request": NONSENSE | st.fixed_dictionaries({"why": NONSENSE, "at": NONSENSE, "force": NONSENSE})})


@given(STATES)
def test_what_was_written_is_read_back(state: PolicyState) -> None:
    assert restart.from_json(json.loads(json.dumps(restart.to_json(state)))) == state


@given(NONSENSE | FILES)
def test_nonsense_is_refused_in_the_promised_ways_or_harmless(data: Any) -> None:
    try:
        state = restart.from_json(data)
    except (ValueError, TypeError, KeyError):
        return
    assert_not_locked(state)


@given(STATES)
def test_no_state_locks_the_agent_down(state: PolicyState) -> None:
    """Moments long ago and far in the future, huge counts, anybody's intents: a dead agent is started within the cap."""
    assert_not_locked(state)


def assert_not_locked(state: PolicyState) -> None:
    """A dead agent with nothing in the way gets a start within the longest delay and one verification."""
    now, end = 5000.0, 5000.0 + RULES.backoff_cap + RULES.verify_heartbeat + 60.0
    while now <= end:
        step = restart.step(state, Facts(now, Condition.DOWN, "the run that died"), RULES)
        if step.act is not None:
            return
        assert step.look_again is None or step.look_again > now
        state, now = step.state, max(now + 1.0, step.look_again or 0.0)
    raise AssertionError(f"not started until {end}: {step}")


@given(STATES, st.sampled_from(Condition))
def test_no_state_makes_a_step_crash(state: PolicyState, condition: Condition) -> None:
    for settled in (True, False):
        step = restart.step(state, Facts(5000.0, condition, "run", settled=settled), RULES)
        assert step.look_again is None or step.look_again > 5000.0


@pytest.mark.parametrize("moment", ["systemd_since", "last_attempt", "healthy_since"])
def test_a_moment_in_the_future_binds_but_not_for_ever(moment: str) -> None:
    state = restart.from_json({moment: 1e12, "attempts": 30})
    condition = Condition.SYSTEMD if moment == "systemd_since" else Condition.DOWN
    step = restart.step(state, Facts(100.0, condition, "run", settled=condition is not Condition.SYSTEMD), RULES)
    assert step.act is None or moment == "healthy_since"
    later = restart.step(step.state, Facts(100.0 + RULES.backoff_cap, condition, "run",
                                           settled=condition is not Condition.SYSTEMD), RULES)
    assert step.act is not None or later.act is not None


def test_a_ration_spent_in_the_future_counts_as_spent_now() -> None:
    state = restart.from_json({"live_restarts": [1e12, 1e12, 1e12]})
    step = restart.step(state, Facts(100.0, Condition.BROKEN, "run"), RULES)
    assert step.act is None and step.look_again == 100.0 + 3600.0
    assert restart.step(step.state, Facts(3700.0, Condition.BROKEN, "run"), RULES).act is not None


def test_a_verification_begun_in_the_future_ends() -> None:
    state = restart.from_json({"verification": {"since": 1e12, "action": "start", "stage": "active", "run": "run"}})
    step = restart.step(state, Facts(100.0, Condition.DOWN, "run"), RULES)
    assert step.outcome is None and step.look_again == 100.0 + RULES.verify_active
    assert restart.step(step.state, Facts(110.0, Condition.DOWN, "run"), RULES).outcome is False


@pytest.mark.parametrize("data", [
    {"attempts": -1}, {"attempts": True}, {"attempts": 1.5}, {"attempts": float("inf")}, {"attempts": 10**400}, {"number": "1"},
    {"last_attempt": float("nan")}, {"last_attempt": 10**400}, {"last_attempt": "soon"}, {"live_restarts": {"1": 2}},
    {"live_restarts": "123"}, {"live_restarts": None}, {"live_restarts": [None]}, {"intent": []}, {"intent": {}}, {"intent": "x"},
    {"verification": {"since": 1.0, "action": "stop", "stage": "active", "run": ""}}, {"request": {"why": "x"}}, [], "x", None, 3,
])
def test_what_is_refused(data: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        restart.from_json(data)


def test_keys_of_a_newer_waguard_are_passed_over() -> None:
    assert restart.from_json({"attempts": 2, "colour": "blue"}) == PolicyState(attempts=2)


@given(STATES, st.floats(-1e7, 1e7))
def test_another_boots_clock_keeps_the_ages_of_what_is_kept(state: PolicyState, shift: float) -> None:
    moved = restart.rebase(state, shift)
    assert [at - shift for at in moved.live_restarts] == pytest.approx(list(state.live_restarts), abs=1e-6)
    assert moved.attempts == state.attempts and moved.number == state.number
    assert moved.intent is moved.verification is moved.request is moved.systemd_since is moved.healthy_since is None


def test_ages_are_what_counts_after_a_reboot() -> None:
    spent = PolicyState(live_restarts=(100.0, 200.0, 300.0))
    moved = restart.rebase(spent, -1000.0)
    assert restart.budget(moved, -1000.0 + 400.0, RULES) == (0, 3, -900.0 + 3600.0)
    assert restart.budget(moved, -1000.0 + 400.0 + DAY, RULES) == (3, 6, None)

