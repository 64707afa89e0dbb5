"""The restart policy, sentence by sentence: that of its module, and what the design says waguard must never do (§3)."""

from __future__ import annotations

import pytest

from waguard.decide import restart
from waguard.decide.restart import (
    DAY,
    HOUR,
    PASSING,
    Action,
    Condition,
    PolicyState,
    Request,
    Stage,
)
from waguard.settings import RestartSettings

from .story import ALL_PROVED, BOOT, Story, acted, held

LIVE = (Condition.FINE, Condition.BROKEN)


class TestADeadAgentIsStarted:
    def test_at_once_the_first_time(self) -> None:
        assert acted(Story().see(Condition.DOWN)).action is Action.START

    def test_then_at_a_growing_pace(self) -> None:
        story, starts = Story(backoff_first=5.0, backoff_factor=2, backoff_cap=600.0), []
        while len(starts) < 6:
            step = story.see(Condition.DOWN)
            if step.act is not None:
                starts.append(story.now)
                story.refuse(takes=0.0)
            else:
                assert step.look_again is not None
                story.now = step.look_again
        assert [round(b - a) for a, b in zip(starts, starts[1:])] == [5, 10, 20, 40, 80]

    def test_and_a_capped_pace_for_ever(self) -> None:
        story = Story(backoff_first=5.0, backoff_cap=60.0)
        story.state = PolicyState(attempts=10**9, last_attempt=BOOT)
        for _ in range(50):
            assert "waits its turn" in held(story.see(Condition.DOWN, after=59.9))
            acted(story.see(Condition.DOWN, after=0.2))
            story.refuse(takes=0.0)

    def test_also_when_it_dies_right_after_its_start(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.carry_out()
        step = story.see(Condition.DOWN, after=0.5)
        assert step.outcome is False and "start 2 waits its turn" in held(step)
        acted(story.see(Condition.DOWN, after=5.0))

    @pytest.mark.parametrize(("attempts", "seconds"), [(-3, 0), (0, 0), (1, 5), (2, 10), (7, 320), (8, 600), (10**12, 600)])
    def test_delays_by_number_of_attempts(self, attempts: int, seconds: float) -> None:
        assert restart.delay(attempts, RestartSettings()) == seconds

    @pytest.mark.parametrize(("factor", "seconds"), [(1, [0, 1, 1, 1]), (3, [0, 1, 3, 9])])
    def test_a_first_delay_of_nothing_grows_all_the_same(self, factor: int, seconds: list[float]) -> None:
        rules = RestartSettings(backoff_first=0.0, backoff_factor=factor)
        assert [restart.delay(attempts, rules) for attempts in (1, 2, 3, 4)] == seconds

    @pytest.mark.parametrize(("health", "attempts"), [(599.0, 1), (600.0, 0)])
    def test_the_pace_starts_anew_after_lasting_health_and_not_before(self, health: float, attempts: int) -> None:
        story = Story(reset_after=600.0)
        acted(story.see(Condition.DOWN))
        story.carry_out(takes=0.0)
        story.see(Condition.FINE, proved=ALL_PROVED)
        story.see(Condition.FINE, after=health)
        assert story.state.attempts == attempts

    def test_health_that_was_interrupted_between_two_looks_does_not_last(self) -> None:
        story = Story(reset_after=600.0)
        acted(story.see(Condition.DOWN))
        story.carry_out()
        story.see(Condition.FINE, proved=ALL_PROVED)
        story.run += 1  # systemd was quicker than the guard's look
        story.see(Condition.FINE, after=599.0)
        story.see(Condition.FINE, after=599.0)
        assert story.state.attempts == 1
        story.see(Condition.FINE, after=1.0)
        assert story.state.attempts == 0

    def test_a_live_restart_does_not_slow_the_next_start_down(self) -> None:
        story = Story()
        story.restart_of_a_broken_agent()
        acted(story.see(Condition.DOWN, after=1.0))


class TestALiveAgentIsRestartedWithinARation:
    def test_when_it_is_hung(self) -> None:
        assert acted(Story().see(Condition.BROKEN, why="hung")).action is Action.RESTART

    def test_when_somebody_asks(self) -> None:
        story = Story()
        story.ask("verbose logging was turned on")
        intent = acted(story.see(Condition.FINE))
        assert (intent.action, intent.why) == (Action.RESTART, "verbose logging was turned on")

    def test_so_often_an_hour(self) -> None:
        story = Story(live_per_hour=3)
        for _ in range(3):
            acted(story.restart_of_a_broken_agent(after=60.0))
        step = story.restart_of_a_broken_agent(after=60.0)
        assert "ration" in held(step)
        assert step.look_again == pytest.approx(BOOT + 60.0 + HOUR)

    def test_an_hour_is_any_hour_and_not_one_of_the_clock(self) -> None:
        story = Story(live_per_hour=2, live_per_day=100)
        for after in (0.0, 3500.0):
            acted(story.restart_of_a_broken_agent(after))
        held(story.restart_of_a_broken_agent(after=99.0))  # 3599 s after the first
        acted(story.restart_of_a_broken_agent(after=1.0))
        held(story.restart_of_a_broken_agent(after=HOUR - 200.0))

    def test_so_often_a_day(self) -> None:
        story = Story(live_per_hour=3, live_per_day=4)
        for _ in range(4):
            acted(story.restart_of_a_broken_agent(after=2 * HOUR))
        step = story.restart_of_a_broken_agent(after=2 * HOUR)
        held(step)
        assert step.look_again == pytest.approx(BOOT + 2 * HOUR + DAY)

    def test_the_ration_survives_the_guards_restart(self) -> None:
        story = Story(live_per_hour=1)
        acted(story.restart_of_a_broken_agent())
        story.guard_restarts()
        held(story.restart_of_a_broken_agent(after=60.0))

    def test_the_ration_survives_a_reboot(self) -> None:
        story = Story(live_per_hour=1, live_per_day=1)
        acted(story.restart_of_a_broken_agent())
        # The new boot's clock begins at 0, and one hour was spent switched off.
        story.state = restart.rebase(story.state, -(story.now + HOUR))
        story.now = 20.0
        held(story.restart_of_a_broken_agent())
        held(story.restart_of_a_broken_agent(after=DAY - HOUR - 60.0))
        acted(story.restart_of_a_broken_agent(after=60.0))

    def test_of_starts_of_a_dead_agent_there_is_no_ration(self) -> None:
        story = Story(live_per_hour=0, live_per_day=0)
        acted(story.see(Condition.DOWN))

    def test_a_ration_of_nothing_is_nothing(self) -> None:
        step = Story(live_per_hour=0).see(Condition.BROKEN)
        held(step)
        assert step.look_again == BOOT + HOUR

    def test_a_restart_that_was_refused_waits_its_turn_and_does_not_eat_up_the_ration(self) -> None:
        story = Story(live_per_hour=3, backoff_first=5.0)
        acted(story.see(Condition.BROKEN))
        story.refuse()
        assert "waits its turn" in held(story.see(Condition.BROKEN))
        acted(story.see(Condition.BROKEN, after=5.0))
        story.refuse()
        held(story.see(Condition.BROKEN, after=9.0))
        acted(story.see(Condition.BROKEN, after=1.0))

    @pytest.mark.parametrize("spent", range(5))
    def test_budget(self, spent: int) -> None:
        rules = RestartSettings(live_per_hour=2, live_per_day=4)
        state = PolicyState(live_restarts=tuple(BOOT + 1800.0 * number for number in range(spent)))
        now = BOOT + 1800.0 * max(0, spent - 1)
        hour, day, frees = restart.budget(state, now, rules)
        assert (hour, day) == (max(0, 2 - min(2, spent)), 4 - spent)
        assert frees == {2: BOOT + HOUR, 3: BOOT + 1800.0 + HOUR, 4: BOOT + DAY}.get(spent)


class TestNothingIsDoneWhile:
    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN, Condition.FINE])
    def test_paused(self, condition: Condition) -> None:
        story = Story()
        story.ask()
        assert held(story.see(condition, paused=True)) == "paused"
        acted(story.see(condition))

    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN, Condition.FINE])
    def test_switched_off(self, condition: Condition) -> None:
        story = Story(enabled=False)
        story.ask()
        assert held(story.see(condition)) == "restart.enabled is false"

    def test_hung_and_restart_hung_is_off(self) -> None:
        story = Story(restart_hung=False)
        assert story.see(Condition.BROKEN).act is None
        story.ask()
        acted(story.see(Condition.BROKEN))

    @pytest.mark.parametrize("gate", ["extensions are being worked on for 3m", "the agent is provisioning"])
    def test_a_gate_holds_back_the_restart_of_a_live_agent_but_not_the_start_of_a_dead_one(self, gate: str) -> None:
        story = Story()
        assert held(story.see(Condition.BROKEN, gates=(gate,))) == gate
        acted(story.see(Condition.DOWN, gates=(gate,)))

    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN])
    def test_a_start_gate_holds_back_both(self, condition: Condition) -> None:
        step = Story().see(condition, start_gates=("a package manager (pid 7) holds /var/lib/dpkg/lock",))
        assert "package manager" in held(step)

    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN, Condition.FINE])
    def test_the_service_manager_is_at_work(self, condition: Condition) -> None:
        story = Story()
        story.ask()
        step = story.see(condition, settled=False)
        assert held(step) in PASSING
        assert step.look_again is not None and step.look_again > story.now

    def test_the_agent_rests_not_even_by_force(self) -> None:
        story = Story()
        story.ask(force=True)
        assert "stopped on request" in held(story.see(Condition.RESTING, why="waagent.service was stopped on request"))


class TestSystemdsOwnRestart:
    def test_is_left_alone_within_its_delay_and_the_grace(self) -> None:
        story = Story(systemd_grace=30.0)
        step = story.see(Condition.SYSTEMD, settled=False, systemd_delay=5.0)
        assert held(step) in PASSING and step.look_again == BOOT + 35.0
        held(story.see(Condition.SYSTEMD, after=34.9, settled=False, systemd_delay=5.0))

    def test_if_it_lets_its_time_pass_the_agent_is_simply_dead(self) -> None:
        story = Story(systemd_grace=30.0)
        story.see(Condition.SYSTEMD, settled=False, systemd_delay=5.0)
        intent = acted(story.see(Condition.SYSTEMD, after=35.0, settled=False, systemd_delay=5.0))
        # systemd 252 lets a start wait for its own timer, and obeys a restart at once.
        assert intent.action is Action.RESTART
        assert story.state.live_restarts == (), "it was dead: that is no live restart"

    def test_the_time_counts_from_each_death_anew(self) -> None:
        story = Story(systemd_grace=30.0)
        for _ in range(5):
            held(story.see(Condition.SYSTEMD, after=25.0, settled=False, systemd_delay=5.0))
            story.run += 1
            assert story.see(Condition.FINE, after=5.0).act is None

    def test_restart_sec_infinity_is_no_promise(self) -> None:
        story = Story(systemd_grace=30.0)
        step = story.see(Condition.SYSTEMD, settled=False, systemd_delay=float("inf"))
        assert step.look_again == BOOT + 30.0
        acted(story.see(Condition.SYSTEMD, after=30.0, settled=False, systemd_delay=float("inf")))

    def test_the_next_attempts_go_on_at_the_pace_of_starts(self) -> None:
        story = Story(systemd_grace=30.0, backoff_first=5.0)
        story.see(Condition.SYSTEMD, settled=False)
        acted(story.see(Condition.SYSTEMD, after=30.0, settled=False))
        story.refuse(takes=0.0)
        held(story.see(Condition.SYSTEMD, after=4.0, settled=False))
        acted(story.see(Condition.SYSTEMD, after=1.0, settled=False))


class TestAForcedRequest:
    def test_overrides_the_ration(self) -> None:
        """It is what the remedy of agent-restart-exhausted tells people to do, and then the agent is broken."""
        story = Story(live_per_hour=0)
        held(story.see(Condition.BROKEN))
        story.ask(force=True)
        acted(story.see(Condition.BROKEN))

    @pytest.mark.parametrize("condition", [Condition.FINE, Condition.BROKEN, Condition.DOWN])
    def test_overrides_pause_switch_and_gates(self, condition: Condition) -> None:
        story = Story(enabled=False)
        story.ask(force=True)
        acted(story.see(condition, paused=True, gates=("busy",), start_gates=("a package manager",)))

    def test_overrides_the_pace_of_starts(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.refuse()
        held(story.see(Condition.DOWN))
        story.ask(force=True)
        assert acted(story.see(Condition.DOWN)).action is Action.START

    def test_does_not_wait_for_systemd(self) -> None:
        story = Story()
        story.ask(force=True)
        assert acted(story.see(Condition.SYSTEMD, settled=False, systemd_delay=300.0)).action is Action.RESTART

    @pytest.mark.parametrize("condition", [Condition.FINE, Condition.BROKEN, Condition.DOWN])
    def test_does_not_override_a_wall(self, condition: Condition) -> None:
        story = Story()
        story.ask(force=True)
        assert held(story.see(condition, walls=("a thread of the agent is in state D",))) == "a thread of the agent is in state D"

    def test_is_tried_once(self) -> None:
        story = Story()
        story.ask(force=True)
        acted(story.see(Condition.FINE))
        story.refuse()
        assert story.see(Condition.FINE, after=HOUR).act is None

    def test_is_charged_to_the_ration(self) -> None:
        story = Story(live_per_hour=1)
        story.ask(force=True)
        acted(story.see(Condition.FINE))
        story.carry_out()
        story.see(Condition.FINE, proved=ALL_PROVED)
        held(story.see(Condition.BROKEN, after=60.0))

    def test_replaces_an_unforced_one_and_is_not_replaced_by_it(self) -> None:
        story = Story()
        story.ask("lease")
        story.ask("admin", force=True)
        story.ask("lease again")
        assert story.state.request == Request("admin", BOOT, True)


class TestARequest:
    def test_waits_until_it_may(self) -> None:
        story = Story()
        story.ask()
        for way in ({"paused": True}, {"gates": ("busy",)}, {"settled": False}):
            assert story.see(Condition.FINE, after=HOUR, **way).act is None
        acted(story.see(Condition.FINE))

    def test_is_done_by_any_new_start(self) -> None:
        story = Story()
        story.ask()
        acted(story.see(Condition.DOWN))
        story.carry_out()
        assert story.state.request is None

    def test_is_done_when_somebody_else_started_the_agent_anew(self) -> None:
        story = Story()
        story.ask()
        story.state = restart.restarted_by_others(story.state)
        assert story.see(Condition.FINE).act is None

    def test_that_comes_while_an_action_is_under_way_is_not_lost(self) -> None:
        """A lease edits the conf while the service manager restarts the agent: which conf that run has read is not known."""
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.now += 30.0
        story.ask("verbose logging was turned on")
        story.carry_out()
        assert story.see(Condition.FINE, proved=ALL_PROVED).outcome is True
        assert acted(story.see(Condition.FINE)).why == "verbose logging was turned on"

    def test_that_was_refused_is_tried_again(self) -> None:
        story = Story()
        story.ask()
        acted(story.see(Condition.FINE))
        story.refuse()
        held(story.see(Condition.FINE))
        acted(story.see(Condition.FINE, after=10.0))


class TestEveryActionIsAnIntentFirst:
    """The state that holds it is saved before it is carried out, so wherever the guard is killed, it finds out."""

    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN])
    def test_killed_before_the_act_it_is_done_once_on_the_same_charge(self, condition: Condition) -> None:
        story = Story()
        first = acted(story.see(condition))
        charges = (story.state.attempts, len(story.state.live_restarts))
        story.guard_restarts()
        again = acted(story.see(condition, after=3.0))
        assert again.number == first.number
        assert (story.state.attempts, len(story.state.live_restarts)) == charges

    @pytest.mark.parametrize("condition", [Condition.DOWN, Condition.BROKEN])
    def test_killed_after_the_act_it_is_not_done_again(self, condition: Condition) -> None:
        story = Story()
        acted(story.see(condition))
        story.guard_restarts()
        story.run += 1
        step = story.see(Condition.FINE, after=3.0)
        assert step.act is None and step.state.verification is not None
        assert story.see(Condition.FINE, after=5.0, proved=ALL_PROVED).outcome is True

    def test_killed_while_the_manager_works_on_it_it_waits(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        step = story.see(Condition.RESTING, after=3.0, settled=False)
        assert held(step) == "an earlier action is under way" and step.look_again == story.now + 1.0
        story.run += 1
        assert story.see(Condition.FINE, after=20.0).act is None

    def test_killed_before_a_restart_that_is_not_needed_any_more_it_is_dropped_and_its_charge_given_back(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        assert story.see(Condition.FINE, after=3.0).act is None
        assert story.state.live_restarts == () and story.state.intent is None

    @pytest.mark.parametrize("way", [{"paused": True}, {"gates": ("busy",)}, {"start_gates": ("frozen",)}, {"walls": ("state D",)}])
    def test_killed_before_a_restart_that_is_held_back_now_it_is_charged_when_it_is_done(self, way: dict[str, object]) -> None:
        story = Story(live_per_hour=1)
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        held(story.see(Condition.BROKEN, after=3.0, **way))
        assert story.state.live_restarts == ()
        acted(story.see(Condition.BROKEN, after=60.0))
        assert len(story.state.live_restarts) == 1

    def test_killed_before_a_start_and_stopped_by_somebody_since_it_is_dropped(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.guard_restarts()
        assert story.see(Condition.RESTING, after=3.0, why="stopped on request").act is None
        assert story.state.intent is None and story.state.attempts == 0

    def test_killed_before_a_restart_of_an_agent_that_died_since_it_becomes_a_start(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        assert acted(story.see(Condition.DOWN, after=3.0)).action is Action.START
        assert story.state.live_restarts == ()

    def test_killed_before_a_restart_of_an_agent_that_died_since_it_is_left_to_systemd(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        assert held(story.see(Condition.SYSTEMD, after=3.0, settled=False)) in PASSING

    def test_a_charge_that_is_used_late_counts_from_when_it_is_used(self) -> None:
        story = Story(live_per_hour=1)
        acted(story.see(Condition.BROKEN))
        story.guard_restarts()
        acted(story.see(Condition.BROKEN, after=HOUR - 10.0))
        story.carry_out()
        story.see(Condition.FINE, proved=ALL_PROVED)
        held(story.see(Condition.BROKEN, after=60.0))  # more than an hour after the charge, a minute after the restart

    def test_after_a_reboot_it_is_forgotten_since_the_boot_has_started_the_agent(self) -> None:
        story = Story()
        story.ask()
        acted(story.see(Condition.BROKEN))
        story.state = restart.rebase(story.state, -5000.0)
        assert (story.state.intent, story.state.verification, story.state.request) == (None, None, None)
        assert len(story.state.live_restarts) == 1


class TestAStartIsProvedInStages:
    LIMITS = {Stage.ACTIVE: "verify_active", Stage.HANDLER: "verify_handler", Stage.HEARTBEAT: "verify_heartbeat"}

    def test_active_then_handler_then_a_new_heartbeat(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.carry_out()
        proved: set[Stage] = set()
        for stage in Stage:
            step = story.see(Condition.FINE, after=1.0, proved=frozenset(proved))
            assert held(step) == f"waiting for the {stage.value} stage of the last start"
            proved.add(stage)
        step = story.see(Condition.FINE, after=1.0, proved=frozenset(proved))
        assert step.outcome is True and step.outcome_of is not None and step.outcome_of.action is Action.START

    def test_proofs_of_the_old_run_prove_nothing(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.carry_out(new_run=False)
        assert "active stage" in held(story.see(Condition.FINE, proved=ALL_PROVED))

    @pytest.mark.parametrize("stage", list(Stage))
    def test_a_stage_that_is_late_ends_it(self, stage: Stage) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.carry_out(takes=0.0)
        limit = getattr(story.rules, self.LIMITS[stage])
        proved = frozenset(list(Stage)[:list(Stage).index(stage)])
        step = story.see(Condition.FINE, after=limit - 0.1, proved=proved)
        assert step.outcome is None and step.look_again == pytest.approx(BOOT + limit)
        step = story.see(Condition.FINE, after=0.2, proved=proved)
        assert step.outcome is False and step.outcome_of is not None and step.outcome_of.stage is stage

    def test_a_manager_that_is_still_at_work_gets_its_own_time_on_top(self) -> None:
        story = Story(verify_active=10.0, command_timeout=120.0)
        acted(story.see(Condition.BROKEN))
        story.carry_out(takes=0.0, new_run=False)
        step = story.see(Condition.FINE, after=60.0, settled=False)
        assert step.outcome is None and step.look_again == BOOT + 130.0

    def test_a_run_that_dies_is_not_waited_for(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.carry_out()
        assert story.see(Condition.DOWN, after=0.1).outcome is False
        assert story.state.verification is None

    def test_nor_one_that_systemd_is_to_restart(self) -> None:
        story = Story()
        acted(story.see(Condition.BROKEN))
        story.carry_out()
        step = story.see(Condition.SYSTEMD, after=0.1, settled=False)
        assert step.outcome is False and held(step) in PASSING

    def test_a_broken_agent_is_not_restarted_while_its_last_start_may_still_prove_itself(self) -> None:
        story = Story(verify_heartbeat=900.0)
        acted(story.see(Condition.BROKEN))
        story.carry_out()
        assert story.see(Condition.BROKEN, after=600.0, proved=frozenset({Stage.ACTIVE, Stage.HANDLER})).act is None
        acted(story.see(Condition.BROKEN, after=301.0, proved=frozenset({Stage.ACTIVE, Stage.HANDLER})))

    def test_a_stop_by_an_administrator_ends_it_without_a_verdict(self) -> None:
        story = Story()
        acted(story.see(Condition.DOWN))
        story.carry_out()
        step = story.see(Condition.RESTING, why="stopped on request")
        assert step.outcome is None and step.state.verification is None


class TestALookAgain:
    def test_is_when_the_delay_would_start_anew(self) -> None:
        story = Story(reset_after=600.0)
        acted(story.see(Condition.DOWN))
        story.carry_out()
        story.see(Condition.FINE, proved=ALL_PROVED)
        assert story.see(Condition.FINE, after=100.0).look_again == pytest.approx(BOOT + 600.1)

    def test_is_not_needed_when_all_is_well(self) -> None:
        assert Story().see(Condition.FINE).look_again is None
