"""What systemd says of a unit, read from what systemd 252 really printed (systemctl-252.txt) and from what it may print."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.observe import unit
from waguard.observe.unit import UnitState


def _samples() -> dict[str, str]:
    text = (Path(__file__).parent / "systemctl-252.txt").read_text("utf-8")
    parts = (part.split("\n", 1) for part in text.split("\n## ")[1:])
    return {title: shown for title, shown in parts}


SAMPLES = _samples()


def sample(title: str) -> UnitState:
    return unit.parse(SAMPLES[title])[-1]


ON_REQUEST = {
    "stopped", "stop under way", "stop timed out", "stopped, exit 1", "stopped, ExecStopPost under way", "restart under way",
    "always: stopped", "always: stopped, exit 1", "always: stopped between death and rebirth",
    "always: exit 0, stopped between death and rebirth", "on-failure: stopped between death and rebirth",
}
BY_ITSELF = {
    "exit 0", "exit 3", "killed", "terminated by a signal of somebody", "killed, reset-failed", "program missing",
    "program missing, Type=exec", "ExecStartPre failed", "stopped, then ExecStartPre failed", "killed by the watchdog",
    "killed, then stopped, which does nothing", "killed, ExecStopPost under way", "masked, then killed",
    "always: exit 1, start limit hit", "always: killed, start limit hit", "always: exit 0, start limit hit",
    "always: exit 1, start limit hit, reset-failed", "always: killed, start limit hit, reset-failed",
    "killed, then start condition does not hold", "always: exit 0, start limit hit, reset-failed",
}
AWAITS_RESTART = {
    "always: between death and rebirth", "always: death by watchdog, before rebirth", "always: RestartSec=infinity",
    "always: RestartSec=1h, a start waits for it",
}
UNSETTLED = {"activating", "stop under way", "stopped, ExecStopPost under way", "killed, ExecStopPost under way",
             "restart under way", *AWAITS_RESTART}


@pytest.mark.parametrize("title", sorted(ON_REQUEST))
def test_somebody_asked_for_the_stop(title: str) -> None:
    assert sample(title).stopped_on_request


@pytest.mark.parametrize("title", sorted(BY_ITSELF))
def test_nobody_asked_for_the_stop(title: str) -> None:
    assert not sample(title).stopped_on_request


def test_a_stop_between_death_and_rebirth_is_told_from_reset_failed_on_what_systemd_gave_up() -> None:
    """An administrator's way to end a loop, and what comes before a start, also one of ours. Both leave an agent that exits 0
    inactive and successful; only in the second case was a start tried after its end, for which systemd looks at the conditions."""
    stopped, reset = sample("always: exit 0, stopped between death and rebirth"), sample("always: exit 0, start limit hit, reset-failed")
    same = ("active", "sub", "result", "restart", "n_restarts", "exit_code", "exit_status")
    assert [getattr(stopped, name) for name in same] == [getattr(reset, name) for name in same]
    assert stopped.stopped_on_request and not reset.stopped_on_request


@pytest.mark.parametrize("title", sorted(SAMPLES))
class TestEverySample:
    def test_is_settled_or_not(self, title: str) -> None:
        assert sample(title).settled == (title not in UNSETTLED)

    def test_awaits_systemds_restart_or_not(self, title: str) -> None:
        assert sample(title).awaits_restart == (title in AWAITS_RESTART)

    def test_is_masked_or_not(self, title: str) -> None:
        assert sample(title).masked == title.startswith("masked")

    def test_has_a_start_condition_that_failed_or_not(self, title: str) -> None:
        assert sample(title).condition_failed == ("start condition does not hold" in title)

    def test_was_given_up_or_not(self, title: str) -> None:
        assert sample(title).given_up == title.endswith("start limit hit")

    def test_was_ever_started_or_not(self, title: str) -> None:
        never = ("never started", "not found", "masked", "start condition does not hold", "ExecStartPre failed",
                 "stopped, then ExecStartPre failed")
        assert sample(title).started_ever == (title not in never)

    def test_exists_or_not(self, title: str) -> None:
        assert unit.parse(SAMPLES[title])[0].loaded == ("not found" not in title and "removed" not in title)

    def test_looks_alike_when_the_text_ends_otherwise(self, title: str) -> None:
        assert unit.parse(SAMPLES[title].strip()) == unit.parse("\n" + SAMPLES[title] + "\n\n")


class TestAnAgentThatRuns:
    def test_all_of_it(self) -> None:
        assert sample("always: after rebirth") == UnitState(
            name="always.service", load="loaded", active="active", sub="running", result="success", file_state="enabled",
            restart="always", restart_delay=1.0, n_restarts=1, main_pid=sample("always: after rebirth").main_pid,
            invocation=sample("always: after rebirth").invocation, main_start=sample("always: after rebirth").main_start,
            active_enter=sample("always: after rebirth").active_enter, active_exit=sample("always: after rebirth").active_exit,
            condition_at=sample("always: after rebirth").condition_at)

    def test_moments_are_seconds(self) -> None:
        shown = sample("running")
        assert 1000 < shown.main_start < shown.active_enter < 1e5 and shown.main_pid > 1 and len(shown.invocation) == 32

    def test_a_disabled_one(self) -> None:
        assert sample("running, disabled").disabled and not sample("running").disabled


class TestHowItEnded:
    @pytest.mark.parametrize(("title", "code", "status"), [
        ("exit 0", 1, 0), ("exit 3", 1, 3), ("program missing", 1, 203), ("killed", 2, 9),
        ("terminated by a signal of somebody", 2, 15), ("killed by the watchdog", 2, 6), ("stopped, exit 1", 1, 1)])
    def test_codes_are_those_of_waitid(self, title: str, code: int, status: int) -> None:
        assert (sample(title).exit_code, sample(title).exit_status) == (code, status)


class TestTheOrderOfMoments:
    """A request makes the unit leave "active" before its process dies; an end of its own, after."""

    RAN = UnitState("waagent.service", active="inactive", restart="no", main_start=10.0, active_enter=10.1)

    @pytest.mark.parametrize(("active", "left_active", "died", "on_request"), [
        ("inactive", 50.0, 50.1, True),
        ("inactive", 50.1, 50.0, False),
        ("inactive", 50.0, 50.0, False),
        ("failed", 50.0, 50.1, True),
        ("failed", 50.1, 50.0, False),
        ("deactivating", 50.0, 0.0, True),  # the first run, its process still alive
        ("deactivating", 50.0, 5.0, True),  # an earlier run's death
        ("deactivating", 50.0, 50.1, True),
        ("deactivating", 50.1, 50.0, False),
        ("active", 50.0, 50.1, False),
        ("activating", 50.0, 50.1, False),
        ("reloading", 50.0, 50.1, False),
    ])
    def test_tells_them_apart(self, active: str, left_active: float, died: float, on_request: bool) -> None:
        assert replace(self.RAN, active=active, active_exit=left_active, main_exit=died).stopped_on_request == on_request

    @pytest.mark.parametrize("result", ["watchdog", "oom-kill"])
    @pytest.mark.parametrize("active", ["failed", "deactivating"])
    def test_is_that_of_a_request_when_systemd_itself_stops_the_unit(self, active: str, result: str) -> None:
        """The kernel killed a child for memory, or the watchdog was not fed: OOMPolicy=stop, WatchdogSec= (systemd.service(5))."""
        ended = replace(self.RAN, active=active, result=result, active_exit=50.0, main_exit=50.1)
        assert not ended.stopped_on_request

    def test_a_run_that_never_came_up_was_not_stopped(self) -> None:
        ended = replace(self.RAN, active="failed", main_start=60.0, main_exit=60.1, active_exit=50.0)
        assert not ended.stopped_on_request


class TestOtherSystemds:
    def test_properties_that_are_missing_take_harmless_values(self) -> None:
        """systemd 219 knows neither InvocationID nor NRestarts."""
        shown = unit.parse("Id=waagent.service\nLoadState=loaded\nActiveState=active\nSubState=running\nMainPID=7\n")[0]
        assert (shown.name, shown.main_pid, shown.invocation, shown.n_restarts) == ("waagent.service", 7, "", 0)
        assert shown.settled and not shown.stopped_on_request and not shown.masked and not shown.condition_failed

    def test_values_that_are_odd_are_as_good_as_missing(self) -> None:
        shown = unit.parse("Id=x\nMainPID=[not set]\nNRestarts=\nExecMainCode=²\nJob=-1\nRestartUSec=soon\nActiveEnterTimestampMonotonic=n/a")[0]
        assert (shown.main_pid, shown.n_restarts, shown.exit_code, shown.job, shown.active_enter) == (0, 0, 0, 0, 0.0)
        assert shown.restart_delay == 0.1

    def test_a_value_may_hold_an_equals_sign(self) -> None:
        assert unit.parse("Id=a=b.service\nno property here\n")[0].name == "a=b.service"

    def test_nothing(self) -> None:
        assert unit.parse("") == [] and unit.parse("\n\n") == []

    @given(st.text(max_size=300))
    def test_no_text_is_too_odd(self, text: str) -> None:
        for shown in unit.parse(text):
            assert isinstance(shown.stopped_on_request, bool) and isinstance(shown.settled, bool)

    @pytest.mark.parametrize(("text", "seconds"), [
        ("100ms", 0.1), ("5s", 5.0), ("1min 30s", 90.0), ("1h", 3600.0), ("2d 3h", 183600.0), ("1w", 604800.0), ("250us", 0.00025),
        ("1s 500ms", 1.5), ("infinity", float("inf")), ("", 0.0), ("1month", 2629800.0), ("1y", 31557600.0)])
    def test_restart_delay(self, text: str, seconds: float) -> None:
        assert unit.parse(f"Id=x\nRestartUSec={text}")[0].restart_delay == pytest.approx(seconds)


class TestWhichOfTwo:
    """Probed by name, walinuxagent first; never both (rule 1)."""

    FIRST, SECOND = UnitState("walinuxagent.service"), UnitState("waagent.service")
    MISSING = UnitState("walinuxagent.service", load="not-found")
    MASKED = replace(FIRST, load="masked")

    @pytest.mark.parametrize(("states", "chosen"), [
        ([FIRST, SECOND], FIRST), ([MISSING, SECOND], SECOND), ([MASKED, SECOND], SECOND), ([MASKED], MASKED), ([MISSING], None),
        ([MASKED, replace(SECOND, load="not-found")], MASKED), ([], None)])
    def test_choose(self, states: list[UnitState], chosen: UnitState) -> None:
        assert unit.choose(states) == chosen

    def test_as_systemd_prints_them(self) -> None:
        states = unit.parse(SAMPLES["not found, and one that runs"])
        assert [state.name for state in states] == ["nosuch.service", "norestart.service"]
        assert unit.choose(states) == states[1]


def test_every_property_that_is_asked_for_is_in_the_samples() -> None:
    argv = unit.show_argv(["a.service", "b.service"])
    assert argv[:4] == ["systemctl", "show", "--no-pager", "-p"] and argv[5:] == ["a.service", "b.service"]
    printed = {line.partition("=")[0] for line in SAMPLES["running"].splitlines() if "=" in line}
    assert set(argv[4].split(",")) == printed
