"""The daemon runs: with a handler that works, that is busy, that hangs, or without one. Facts: §7, rules 3–6, 10, 12–15."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from waguard.agent.logstate import LogState
from waguard.agent.versions import AgentVersion
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, History
from waguard.observe.azure import Probe
from waguard.settings import LivenessSettings

from .world import (
    BEFORE_HEARTBEATS,
    BEFORE_STATUS,
    NEWEST,
    NOW,
    RULES,
    TICK,
    Watch,
    conf,
    daemon,
    evidence,
    handler,
    hang,
    libdir,
    log,
    look,
    mark,
    seen,
    unseen,
)

HOUR = 3600.0
STANDS_STILL = evidence(libdir=seen(libdir(status_age=1.0)))
"""From now on nothing moves, and the wire server answers."""


class TestNoHandler:
    """A daemon without a child for more than five minutes is the main class of fault (rule 12)."""

    def test_a_new_daemon_has_none_yet(self) -> None:
        verdict = look(evidence(handler=None, daemon=daemon(age=20)))
        assert verdict.state is AgentState.STARTING

    def test_the_daemon_launches_the_next_one_by_itself(self) -> None:
        watch = Watch(evidence(handler=None))
        assert watch.see().state is AgentState.STARTING
        assert watch.go_on(times=19).state is AgentState.STARTING  # 4 min 45 s
        verdict = watch.go_on()
        assert verdict.state is AgentState.HANDLER_MISSING and "no handler process for 5m" in verdict.why

    def test_one_that_comes_back_resets_the_clock(self) -> None:
        watch = Watch(evidence(handler=None))
        watch.see()
        watch.go_on(times=10)
        watch.go_on(handler=handler(age=0))
        assert watch.go_on(times=15, handler=None).state is AgentState.STARTING

    def test_a_daemon_that_is_younger_than_the_gap_is_not_blamed_for_its_predecessors(self) -> None:
        history = replace(look(evidence()).history, handler_missing_since=NOW - HOUR)
        assert look(evidence(handler=None, daemon=daemon(age=10)), history).state is AgentState.STARTING

    @pytest.mark.parametrize(("told", "provisioned", "phase"), [
        (log(), False, "provisioning"),
        (log(provisioning=mark(60)), True, "provisioning"),
        (log(provisioning=mark(60)), False, "provisioning"),
        (log(detecting=mark(60)), True, "looking for the wire server"),
        (log(provisioning=mark(90), detecting=mark(60)), False, "looking for the wire server"),
    ])
    def test_provisioning_and_protocol_detection_have_none(self, told: LogState, provisioned: bool, phase: str) -> None:
        found = evidence(handler=None, log=seen(told), libdir=seen(libdir(provisioned=provisioned)), daemon=daemon(age=2 * HOUR))
        verdict = hang(found)
        assert verdict.state is AgentState.PROVISIONING
        assert verdict.gates == (f"the agent is {phase}",), "a restart would only begin it anew"

    def test_what_cannot_be_seen_does_not_provision_for_ever(self) -> None:
        assert hang(evidence(handler=None, libdir=unseen(), log=unseen())).state is AgentState.HANDLER_MISSING


class TestBusy:
    """An extension pass that is open means busy, however long the turn (rule 6)."""

    def test_an_open_pass_holds_a_restart_back(self) -> None:
        verdict = look(evidence(log=seen(log(pass_open=mark(180)))))
        assert (verdict.state, verdict.busy) == (AgentState.BUSY, "extensions are being worked on for 3m")
        assert verdict.gates == (verdict.busy,)

    def test_with_everything_else_standing_still_it_is_no_suspect(self) -> None:
        watch = Watch(evidence(log=seen(log(pass_open=mark(0))), libdir=seen(libdir(status_age=1))))
        watch.see()
        for _ in range(int(2 * HOUR / TICK)):
            verdict = watch.go_on()
            assert verdict.state is AgentState.BUSY and not verdict.suspect

    def test_up_to_the_limit(self) -> None:
        """Dependencies between extensions may take 90 minutes; after two hours it is as good as hung."""
        assert look(evidence(log=seen(log(pass_open=mark(7199))))).state is AgentState.BUSY
        assert look(evidence(log=seen(log(pass_open=mark(7201))))).state is AgentState.RUNNING
        assert hang(evidence(log=seen(log(pass_open=mark(0))), libdir=seen(libdir(status_age=1)))).state is AgentState.HUNG

    def test_one_that_an_earlier_handler_opened_will_never_be_closed(self) -> None:
        found = evidence(handler=handler(age=60), log=seen(log(pass_open=mark(120))))
        assert look(found).state is AgentState.RUNNING

    def test_a_pass_that_was_opened_between_two_looks_began_between_them(self) -> None:
        watch = Watch(evidence())
        watch.see()
        assert watch.go_on(log=seen(log(pass_open=mark(-5)))).busy == "extensions are being worked on for 10s"

    @pytest.mark.parametrize("jump", [86400.0, -86400.0])
    def test_a_wall_clock_that_is_set_does_not_end_it(self, jump: float) -> None:
        watch = Watch(evidence(log=seen(log(pass_open=mark(60)))))
        watch.see()
        watch.found = replace(watch.found, wall=watch.found.wall + jump)
        assert watch.go_on().busy == "extensions are being worked on for 1m15s"

    def test_a_log_that_cannot_be_read_for_a_while_does_not_end_it(self) -> None:
        watch = Watch(evidence(log=seen(log(pass_open=mark(60)))))
        watch.see()
        assert watch.go_on(log=unseen()).state is AgentState.BUSY

    def test_a_pass_whose_time_the_log_did_not_tell_counts_from_when_it_was_seen(self) -> None:
        assert look(evidence(log=seen(log(pass_open=replace(mark(0), at=None))))).state is AgentState.BUSY


class TestHung:
    """Two signs that agree, two looks, and a wire server that answers (rules 13 and 14)."""

    def test_an_agent_in_which_nothing_moves_is_hung(self) -> None:
        verdict = hang(STANDS_STILL)
        assert verdict.state is AgentState.HUNG
        assert "has not been written for 15m" in verdict.why and "has used no CPU time for" in verdict.why
        assert "though the wire server answers" in verdict.why
        assert verdict.suspect and not verdict.gates

    def test_not_before_the_status_file_is_stale(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        for _ in range(59):
            assert watch.go_on().state is AgentState.RUNNING
        assert not watch.history.suspect_looks

    def test_one_sign_is_not_enough_the_handler_uses_cpu(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        for number in range(int(HOUR / TICK)):
            verdict = watch.go_on(handler=handler(cpu=10.0 + number), log=seen(log(beat_age=600.0 - number * TICK), watch.found.now))
            assert verdict.state is AgentState.RUNNING
        assert verdict.suspect and "still works now and then" in verdict.why

    def test_one_sign_is_not_enough_the_status_file_is_written(self) -> None:
        watch = Watch(evidence(log=seen(log(beat_age=5 * HOUR))))
        watch.see()
        for number in range(int(HOUR / TICK)):
            verdict = watch.go_on(libdir=seen(libdir(status_age=-number * TICK), watch.found.now))
            assert verdict.state is AgentState.RUNNING and not verdict.suspect

    def test_the_other_sign_may_be_the_heartbeat(self) -> None:
        watch = Watch(evidence(libdir=seen(libdir(status_age=1.0)), log=seen(log(beat_age=0.0))))
        watch.see()
        for number in range(int(2 * HOUR / TICK)):
            verdict = watch.go_on(handler=handler(cpu=10.0 + number))
            if verdict.state is AgentState.HUNG:
                break
        assert "no [HEARTBEAT] line for 1h5m" in verdict.why

    def test_one_look_is_not_enough(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        verdict = watch.go_on(times=60)  # 15 min, the first look at which it is suspect
        assert verdict.suspect and "looking again" in verdict.why
        assert watch.go_on().state is AgentState.HUNG

    def test_two_verdicts_on_one_look_are_one_look(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        watch.go_on(times=60)
        for _ in range(10):
            assert watch.see().state is AgentState.RUNNING

    @pytest.mark.parametrize("checks", [1, 2, 5])
    def test_how_many_is_a_setting(self, checks: int) -> None:
        watch = Watch(STANDS_STILL, LivenessSettings(hung_checks=checks))
        watch.see()
        watch.go_on(times=59)
        states = [watch.go_on().state for _ in range(6)]
        assert states.index(AgentState.HUNG) == max(1, checks - 1)  # A whole turn of the loop has to fit in as well.

    @pytest.mark.parametrize("probe", [
        seen(Probe(False, 5.0, "no answer from 168.63.129.16:80 within 5 s")), unseen("not known to be on Azure")])
    def test_a_wire_server_that_does_not_answer_explains_it(self, probe: Any) -> None:
        """Black-holed: each call takes 91 s, a turn 4–6 min or more. A restart would not help."""
        verdict = hang(replace(STANDS_STILL, wireserver=probe))
        assert verdict.state is AgentState.RUNNING
        assert verdict.suspect and "the wire server is not known to answer" in verdict.why

    def test_an_answer_from_before_the_suspicion_is_none(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        watch.go_on(times=59)
        for _ in range(20):
            verdict = watch.go_on(wireserver=seen(Probe(True, 0.001), at=NOW - TICK))
            assert verdict.state is AgentState.RUNNING

    def test_a_handler_that_was_stopped_by_a_signal(self) -> None:
        """SIGSTOP: its CPU time may have moved a moment ago."""
        watch = Watch(evidence(libdir=seen(libdir(status_age=2000)), handler=handler(state="T")))
        watch.see()
        verdict = watch.go_on(handler=handler(state="T", cpu=99.0))
        assert verdict.state is AgentState.HUNG and "is stopped (state T)" in verdict.why

    def test_a_sleeping_loop_of_300_seconds_is_given_twenty_turns(self) -> None:
        """Extensions.Enabled=n."""
        found = replace(STANDS_STILL, conf=seen(conf(extensions_enabled=False, period=300.0)))
        watch = Watch(found)
        watch.see()
        for _ in range(int(100 * 60 / TICK) - 1):
            assert not watch.go_on().suspect
        assert hang(found).state is AgentState.HUNG

    def test_a_conf_that_cannot_be_read_means_the_usual_loop(self) -> None:
        assert hang(replace(STANDS_STILL, conf=unseen())).state is AgentState.HUNG

    def test_a_lib_dir_that_cannot_be_seen_tells_nothing(self) -> None:
        watch = Watch(STANDS_STILL)
        watch.see()
        for _ in range(int(2 * HOUR / TICK)):
            verdict = watch.go_on(libdir=unseen("/var/lib/waagent: more than 20000 entries", watch.found.now))
            assert verdict.state is AgentState.RUNNING and not verdict.suspect

    def test_a_handler_that_never_wrote_a_status_file(self) -> None:
        found = evidence(libdir=seen(libdir(status_age=None)), log=seen(log(beat_age=None)), handler=handler(age=0))
        assert look(found).state is AgentState.STARTING
        assert hang(found).state is AgentState.HUNG

    def test_its_age_counts_from_the_handlers_start(self) -> None:
        found = evidence(libdir=seen(libdir(status_age=5 * HOUR)), handler=handler(age=30))
        verdict = look(found)
        assert verdict.state is AgentState.STARTING and not verdict.suspect and verdict.seen_working is None


class TestGenerations:
    """What can be missed depends on the version (rule 13)."""

    @pytest.mark.parametrize("status_age", [None, 9000.0])
    @pytest.mark.parametrize("told", [log(beat_age=None, agent_version=BEFORE_STATUS), log(beat_age=None, agent_version=None)])
    def test_without_a_status_file_it_is_never_hung(self, told: LogState, status_age: Any) -> None:
        """Also where another version left a status file behind."""
        found = evidence(libdir=seen(libdir(status_age)), log=seen(told), disk_version=BEFORE_STATUS)
        verdict = hang(found, hours=2)
        assert verdict.state is AgentState.RUNNING and not verdict.suspect

    def test_of_a_version_that_is_not_known_a_status_file_is_the_proof_that_it_writes_one(self) -> None:
        unknown = log(beat_age=None, agent_version=None)
        assert hang(replace(STANDS_STILL, log=seen(unknown))).state is AgentState.HUNG
        none = evidence(libdir=seen(libdir(None)), log=seen(unknown))
        assert hang(none).state is AgentState.RUNNING

    @pytest.mark.parametrize(("version", "missed"), [(NEWEST, True), (BEFORE_HEARTBEATS, False)])
    def test_a_heartbeat_that_this_version_does_not_write_is_not_missed(self, version: AgentVersion, missed: bool) -> None:
        watch = Watch(evidence(libdir=seen(libdir(2000)), log=seen(log(beat_age=None, agent_version=version))))
        watch.see()
        for number in range(int(2 * HOUR / TICK)):
            verdict = watch.go_on(handler=handler(cpu=10.0 + number))
        assert (verdict.state is AgentState.HUNG) == missed

    def test_a_heartbeat_is_missed_only_from_when_it_was_looked_for(self) -> None:
        """A busy log: the last one lies before what is read of it at the first look."""
        watch = Watch(evidence(libdir=seen(libdir(2000)), log=seen(log(beat_age=None))))
        watch.see()
        for number in range(int(65 * 60 / TICK)):
            verdict = watch.go_on(handler=handler(cpu=10.0 + number))
            assert verdict.state is AgentState.RUNNING


class TestWaitsOfTheHandler:
    """It may wait for cloud-init for an hour, or look for the wire server without end, and writes no status then (rule 4)."""

    @pytest.mark.parametrize(("phase", "why"), [("cloud_init", "waiting for cloud-init"), ("detecting", "looking for the wire server")])
    def test_it_is_neither_hung_nor_restarted(self, phase: str, why: str) -> None:
        told = log(beat_age=None, **{phase: mark(0)})
        watch = Watch(evidence(handler=handler(age=1), libdir=seen(libdir(HOUR)), log=seen(told)))
        for _ in range(int(3 * HOUR / TICK)):
            verdict = watch.go_on()
            assert (verdict.state, verdict.gates) == (AgentState.PROVISIONING, (f"the agent is {why}",))

    def test_a_loop_that_turns_has_left_them_behind_whatever_the_log_says(self) -> None:
        assert look(evidence(log=seen(log(detecting=mark(HOUR))))).state is AgentState.RUNNING


class TestUnkillable:
    """A thread in state D: no signal reaches it, a restart would hang as well (rule 15)."""

    BLOCKED = evidence(handler=handler(blocked=("ExtHandler",)))

    def test_it_is_a_wall_at_once(self) -> None:
        verdict = look(self.BLOCKED)
        assert verdict.walls == ("a thread of the agent is in state D (101/ExtHandler)",)
        assert verdict.blocked == (), "any thread may be caught in the middle of a write"

    def test_and_unkillable_after_three_rounds(self) -> None:
        watch = Watch(self.BLOCKED)
        watch.see()
        assert not watch.go_on().blocked
        assert watch.go_on().blocked == ("101/ExtHandler",)

    def test_verdicts_are_no_rounds(self) -> None:
        watch = Watch(self.BLOCKED)
        for _ in range(10):
            assert not watch.see().blocked

    def test_it_counts_also_when_our_own_look_at_the_lib_dir_hangs_on_the_same_filesystem(self) -> None:
        watch = Watch(self.BLOCKED)
        watch.see()
        for _ in range(3):
            watch.found = replace(watch.found, now=watch.found.now + TICK)
            verdict = watch.see()
        assert verdict.blocked

    def test_one_look_without_begins_anew(self) -> None:
        watch = Watch(self.BLOCKED)
        watch.see()
        watch.go_on(times=2)
        assert not watch.go_on(handler=handler()).blocked
        assert not watch.go_on(handler=self.BLOCKED.handler, times=2).blocked

    def test_the_daemon_counts_too(self) -> None:
        assert look(evidence(daemon=daemon(blocked=("python3",)), handler=None)).walls


class TestProofOfLife:
    @pytest.mark.parametrize(("status_age", "beat_age", "by", "age"), [
        (3.0, 600.0, "status file", 3.0), (700.0, 600.0, "heartbeat line", 600.0), (None, 600.0, "heartbeat line", 600.0),
        (3.0, None, "status file", 3.0)])
    def test_the_newest_sign_counts(self, status_age: Any, beat_age: Any, by: str, age: float) -> None:
        verdict = look(evidence(libdir=seen(libdir(status_age)), log=seen(log(beat_age))))
        assert (verdict.seen_by, verdict.seen_working) == (by, pytest.approx(NOW - age))

    def test_signs_of_an_earlier_handler_prove_nothing(self) -> None:
        verdict = look(evidence(handler=handler(age=2)))
        assert (verdict.seen_by, verdict.seen_working) == ("", None)

    def test_a_heartbeat_without_a_time_counts_from_when_it_was_read(self) -> None:
        told = log(beat_age=0.0)
        assert told.heartbeat is not None
        told = replace(told, heartbeat=replace(told.heartbeat, at=None))
        assert look(evidence(libdir=seen(libdir(None)), log=seen(told))).seen_working == NOW


def test_ends_are_counted_for_a_quarter_of_an_hour() -> None:
    history = History(exits=(NOW - 901, NOW - 899, NOW - 1, NOW + 1e9))
    assert look(evidence(), history).history.exits == (NOW - 899, NOW - 1), "and one in the future is none"


def test_the_limits_of_this_file_are_those_of_the_settings() -> None:
    assert (RULES.status_stale, RULES.heartbeat_stale, RULES.handler_missing, RULES.pass_limit) == (900.0, 3900.0, 300.0, 7200.0)
    assert isinstance(STANDS_STILL, Evidence)
