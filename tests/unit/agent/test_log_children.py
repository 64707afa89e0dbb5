"""How children end: what was meant, what was a crash, and each crash counted once."""

from __future__ import annotations

import pytest

from waguard.agent import log
from waguard.agent.log import ExitKind, fold

from .story import CHILD, EXCEPTION, EXITED, FAILED, LAUNCH, PLANNED, RETURNED, START, Story, as_event


@pytest.fixture
def story() -> Story:
    return Story()


@pytest.mark.parametrize(("words", "kind"), PLANNED)
def test_ends_of_a_child_that_were_meant(story: Story, words: str, kind: ExitKind) -> None:
    story.child(*CHILD)
    state = story.child(words)
    assert state.child_exit == log.ChildExit(story.now, kind, words)
    assert kind.planned
    assert (state.child_running, state.child_crashes) == (False, 0)
    story.daemon("Agent WALinuxAgent-2.7.3.0 launched with command 'x' is successfully running")
    assert story.child(*CHILD).child_running


def test_a_crash_is_counted_once_however_many_lines_tell_of_it(story: Story) -> None:
    story.child(*CHILD)
    state = story.child(EXCEPTION, level="WARNING")
    assert state.child_exit == log.ChildExit(story.now, ExitKind.EXCEPTION, EXCEPTION)
    at = story.now
    story.daemon(FAILED, as_event(FAILED), RETURNED, level="WARNING")
    assert story.state.child_exit == log.ChildExit(at, ExitKind.EXCEPTION, EXCEPTION, 1)
    assert story.state.child_crashes == 1
    assert story.state.child_running is False


def test_a_late_crash_of_each_generation(story: Story) -> None:
    for n, late in enumerate((EXITED, RETURNED), 1):
        story.child(*CHILD, EXCEPTION)
        story.daemon(late, level="WARNING")
        assert story.state.child_crashes == 2 * n - 1
        story.child(*CHILD)
        story.daemon(late, level="WARNING")
        assert story.state.child_crashes == 2 * n
        assert story.state.child_exit is not None
        assert story.state.child_exit.kind is ExitKind.CODE
    assert story.state.child_exit is not None
    assert story.state.child_exit.code == 1
    story.child(*CHILD)
    assert story.daemon(EXITED).child_exit == log.ChildExit(story.now, ExitKind.CODE, EXITED)


def test_a_loop_of_children_that_never_say_a_word(story: Story) -> None:
    story.daemon(*START)
    for n in range(1, 6):
        story.daemon(FAILED, as_event(FAILED), RETURNED, level="WARNING")
        assert story.state.child_crashes == n
    story.child(*CHILD, EXCEPTION)
    story.daemon(FAILED, FAILED, level="WARNING")
    assert story.state.child_crashes == 7


def test_a_kill_by_signal_leaves_no_crash(story: Story) -> None:
    story.child(*CHILD)
    story.daemon("Agent WALinuxAgent-2.15.0.1 launched with command 'x' is successfully running",
                 "Determined Agent WALinuxAgent-2.15.0.1 to be the latest agent")
    words = "Agent did not terminate cleanly: [WALinuxAgent-2.15.0.1] [Unknown cause]"
    state = story.child(*CHILD[:3], words)
    assert state.child_crashes == 0
    assert state.unclean == log.Mark(story.now, words)


def test_a_child_that_cannot_be_launched(story: Story) -> None:
    story.daemon(LAUNCH, level="WARNING")
    assert story.state.child_exit is not None
    assert story.state.child_exit.kind is ExitKind.LAUNCH
    story.daemon(as_event(LAUNCH), level="ERROR")
    assert story.state.child_crashes == 1


def test_the_loop_that_disables_a_version(story: Story) -> None:
    loop = LAUNCH + "Agent WALinuxAgent-2.15.0.1 restarted more than 3 times in 300 seconds"
    for told in ([loop], [loop, as_event(loop)], [LAUNCH, as_event(loop)]):
        story = Story()
        story.daemon(*told, level="WARNING")
        assert story.state.child_exit is not None
        assert story.state.child_exit.kind is ExitKind.LOOP
        assert story.state.child_crashes == 1
    joined = log.joined(log.Record(1.0, "ERROR", "Daemon", "Daemon", as_event(LAUNCH)[:-12], False),
                        b" Agent WALinuxAgent-2.15.0.1 restarted more than 3 times in 300 seconds")
    assert fold(story.state, joined).child_crashes == 1


def test_a_child_that_fails_before_its_loop(story: Story) -> None:
    state = story.tell("ERROR MainThread", "Failed to run 'run-exthandlers': x")
    assert state.child_exit is not None
    assert (state.child_exit.kind, state.child_crashes, state.child_running) == (ExitKind.START, 1, False)
