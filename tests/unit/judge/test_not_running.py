"""The unit is not up: is that somebody's wish? Facts: "What a watcher must get right" (1, 5, 8, 9, 10), systemd 252."""

from __future__ import annotations

from dataclasses import replace

import pytest

from waguard.agent.logstate import LogState
from waguard.judge.liveness import AgentState, Rest
from waguard.observe.unit import UnitState

from .world import (
    BOOT_GRACE,
    DIED,
    NOW,
    RUNNING,
    STOPPED,
    WALL,
    daemon,
    down,
    evidence,
    handler,
    libdir,
    log,
    look,
    mark,
    seen,
    terminated,
    unseen,
)

NEVER = UnitState("waagent.service", file_state="enabled", restart="always")
CONDITION = replace(NEVER, condition_failed=True)
RUN_0 = replace(RUNNING, active="inactive", sub="dead", main_pid=0, restart="no", exit_code=1, exit_status=0,
                main_exit=50.0, active_exit=50.1)


@pytest.mark.parametrize(("unit", "rest"), [
    (replace(DIED, load="masked", file_state="masked"), Rest.MASKED),
    (replace(STOPPED, file_state="masked-runtime"), Rest.MASKED),
    (replace(DIED, file_state="disabled"), Rest.DISABLED),
    (replace(STOPPED, file_state="disabled"), Rest.DISABLED),
    (STOPPED, Rest.STOPPED),
    (replace(STOPPED, restart="no"), Rest.STOPPED),
    (replace(STOPPED, active="failed", result="timeout", exit_status=9), Rest.STOPPED),
    (CONDITION, Rest.CONDITION),  # Debian 12 off Hyper-V: inactive, not failed
    (replace(DIED, condition_failed=True), Rest.CONDITION),
    (replace(NEVER, file_state="static"), Rest.NEVER_STARTED),
    (replace(NEVER, file_state=""), Rest.NEVER_STARTED),
])
def test_somebody_wants_it_so(unit: UnitState, rest: Rest) -> None:
    verdict = look(down(unit))
    assert (verdict.state, verdict.rest) == (AgentState.RESTING, rest)
    assert unit.name in verdict.why


@pytest.mark.parametrize(("unit", "how"), [
    (DIED, "killed by signal 9"),
    (replace(DIED, exit_code=3, exit_status=11, result="core-dump"), "killed by signal 11"),
    (replace(DIED, exit_code=1, exit_status=1, result="exit-code"), "exit status 1"),
    (RUN_0, "exit status 0"),  # conf errors and "already running" exit 0: that is not health
    (replace(DIED, result="oom-kill"), "killed by signal 9"),
    (replace(DIED, n_restarts=5), "gave up after 5 restarts"),
    (replace(RUN_0, active="failed", result="start-limit-hit", restart="always", n_restarts=5), "gave up after 5 restarts"),
])
def test_it_ended_by_itself(unit: UnitState, how: str) -> None:
    verdict = look(down(unit))
    assert (verdict.state, verdict.rest) == (AgentState.DOWN, None)
    assert how in verdict.why


def test_it_was_stopped_by_systemds_own_watchdog_and_nobody_wanted_that() -> None:
    unit = replace(DIED, result="watchdog", exit_status=6, active_exit=49.9)
    assert look(down(unit)).state is AgentState.DOWN


@pytest.mark.parametrize("sub", ["auto-restart", "auto-restart-queued"])
def test_systemd_is_about_to_restart_it(sub: str) -> None:
    verdict = look(down(replace(DIED, active="activating", sub=sub)))
    assert verdict.state is AgentState.DOWN and "systemd restarts it" in verdict.why


def test_its_own_end_is_still_under_way() -> None:
    unit = replace(DIED, active="deactivating", sub="stop-post")
    verdict = look(down(unit))
    assert verdict.state is AgentState.DOWN and "is ending" in verdict.why and not unit.settled


def test_a_stop_is_under_way() -> None:
    unit = replace(RUNNING, active="deactivating", sub="stop-sigterm", active_exit=50.0)
    assert look(evidence(unit=seen(unit))).rest is Rest.STOPPED


@pytest.mark.parametrize("unit", [DIED, STOPPED, RUN_0, CONDITION, NEVER])
def test_a_package_manager_is_at_work(unit: UnitState) -> None:
    verdict = look(down(unit, transaction="a package manager (pid 7) holds /var/lib/dpkg/lock"))
    assert verdict.rest is Rest.PACKAGES and "pid 7" in verdict.why


@pytest.mark.parametrize("unit", [DIED, RUN_0])
def test_disable_agent_wants_it_to_sleep(unit: UnitState) -> None:
    verdict = look(down(unit, libdir=seen(libdir(disable_agent=True))))
    assert verdict.rest is Rest.SLEEPING and "/var/lib/waagent/disable_agent" in verdict.why


class TestAUnitThatWasNotStartedSinceBoot:
    def test_rests_while_the_boot_may_still_come_to_it(self) -> None:
        verdict = look(down(NEVER, now=BOOT_GRACE - 1))
        assert verdict.rest is Rest.NEVER_STARTED and "4m59s ago" in verdict.why

    def test_and_is_down_afterwards_if_it_is_enabled(self) -> None:
        verdict = look(down(NEVER, now=BOOT_GRACE))
        assert verdict.state is AgentState.DOWN and "enabled but was not started" in verdict.why

    def test_one_that_failed_to_start_is_down_at_once(self) -> None:
        assert look(down(replace(NEVER, active="failed", result="resources"), now=20.0)).state is AgentState.DOWN


def test_no_unit_no_agent() -> None:
    assert look(down(UnitState("waagent.service", load="not-found"))).state is AgentState.NOT_INSTALLED


def test_a_service_manager_that_does_not_answer_is_no_verdict_on_the_agent() -> None:
    verdict = look(evidence(unit=unseen("'systemctl show': no answer within 10 s")))
    assert (verdict.state, verdict.why) == (AgentState.UNKNOWN, "'systemctl show': no answer within 10 s")


class TestWithoutSystemd:
    """A process and a pid file: the daemon logs the SIGTERM that a stop sends, and nothing when it is killed."""

    UNIT = UnitState("waagent", restart="", kind="command")

    @pytest.mark.parametrize(("told", "stopped"), [
        (log(), False),
        (log(daemon_end=terminated(age=5)), True),
        (log(daemon_started=mark(age=9000), daemon_end=terminated(age=5)), True),
        (log(daemon_end=terminated(age=9000), daemon_started=mark(age=5)), False),
    ])
    def test_the_daemons_last_word_tells_a_stop_from_a_crash(self, told: LogState, stopped: bool) -> None:
        verdict = look(down(self.UNIT, log=seen(told)))
        assert (verdict.rest is Rest.STOPPED) == stopped
        assert stopped or (verdict.state is AgentState.DOWN and "its process is gone" in verdict.why)

    def test_a_log_that_cannot_be_read_tells_nothing(self) -> None:
        assert look(down(self.UNIT, log=unseen())).state is AgentState.DOWN


def test_what_was_suspected_of_a_run_is_forgotten_with_it() -> None:
    history = replace(look(evidence()).history, suspect_looks=5, handler_missing_since=NOW - 900)
    after = look(down(DIED), history).history
    assert (after.suspect_looks, after.handler_missing_since) == (0, None)


@pytest.mark.parametrize("active", ["active", "reloading", "refreshing"])
def test_a_unit_that_is_up_is_judged_by_its_processes(active: str) -> None:
    unit = replace(RUNNING, active=active)
    assert look(evidence(unit=seen(unit))).state is AgentState.RUNNING
    assert look(evidence(unit=seen(unit), daemon=None, handler=None)).state is AgentState.STARTING


def test_a_unit_that_comes_up_is_starting() -> None:
    assert look(evidence(unit=seen(replace(RUNNING, active="activating", sub="start")))).state is AgentState.STARTING


def test_processes_that_cannot_be_told_are_unknown() -> None:
    verdict = look(evidence(processes_unknown="/proc cannot be read: Input/output error", daemon=None, handler=None))
    assert (verdict.state, verdict.why) == (AgentState.UNKNOWN, "/proc cannot be read: Input/output error")


def test_disable_agent_is_a_wish_also_while_the_daemon_lives() -> None:
    verdict = look(evidence(handler=None, libdir=seen(libdir(disable_agent=True))))
    assert verdict.rest is Rest.SLEEPING


def test_a_masked_unit_that_still_runs_is_not_restarted() -> None:
    verdict = look(evidence(unit=seen(replace(RUNNING, load="masked", file_state="masked"))))
    assert verdict.state is AgentState.RUNNING and verdict.gates == ("waagent.service is masked by an administrator",)


def test_a_disabled_unit_that_runs_is_like_any_other() -> None:
    verdict = look(evidence(unit=seen(replace(RUNNING, file_state="disabled"))))
    assert verdict.state is AgentState.RUNNING and not verdict.gates


def test_the_helpers_describe_a_healthy_agent() -> None:
    verdict = look(evidence())
    assert (verdict.state, verdict.gates, verdict.walls, verdict.suspect, verdict.rest) == (AgentState.RUNNING, (), (), False, None)
    assert verdict.why == "last seen working 3s ago by its status file"
    assert daemon().same(daemon()) and not daemon().same(handler())
    assert evidence().to_wall(NOW - 5) == WALL - 5 and evidence().from_wall(WALL - 5) == NOW - 5


def test_how_long_ago_it_was_seen_goes_on_growing() -> None:
    """A snapshot is asked for between two looks."""
    verdict = look(evidence(unit=seen(RUNNING)))
    assert verdict.why == "last seen working 3s ago by its status file"
    assert verdict.seen_working is not None
    assert verdict.why_at(verdict.seen_working + 13.0) == "last seen working 13s ago by its status file"
    assert look(evidence(unit=seen(DIED))).why_at(1e6) == look(evidence(unit=seen(DIED))).why
