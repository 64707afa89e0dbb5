"""waguard.guard.workers and eyes: jobs that are late, that raise, and that never come back."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Optional

import pytest

from waguard.clock import Clock
from waguard.guard.eyes import Eyes
from waguard.guard.workers import Crew, TimedOut, Worker
from waguard.observe import Known, Unknown

from .conftest import Turning

Ends = list[tuple[Any, Optional[BaseException]]]


@pytest.fixture
def worker(loop: Turning) -> Worker:
    return Worker(Crew(loop), loop, Clock().now)


def test_a_job_runs_in_its_thread_and_its_end_is_told_in_the_loop(loop: Turning, worker: Worker) -> None:
    ends: list[tuple[Any, int]] = []
    assert worker.run(threading.get_ident, 60.0, lambda result, _error: ends.append((result, threading.get_ident())))
    assert worker.busy_since is not None
    loop.until(lambda: ends)
    (where, told), = ends
    assert where != told == threading.get_ident()
    assert worker.busy_since is None


def test_one_thread_for_all_jobs(loop: Turning, worker: Worker) -> None:
    ends: Ends = []
    for _ in range(20):
        assert worker.run(threading.get_ident, 60.0, lambda *end: ends.append(end))
        loop.until(lambda: worker.busy_since is None)
    assert len(ends) == 20
    assert len(set(ends)) == 1


@pytest.mark.parametrize("error", [RuntimeError("no"), OSError(5, "I/O"), KeyError(), MemoryError()])
def test_a_job_that_raises(loop: Turning, worker: Worker, error: Exception) -> None:
    def fail() -> None:
        raise error

    ends: Ends = []
    for _ in range(2):
        assert worker.run(fail, 60.0, lambda *end: ends.append(end))
        loop.until(lambda: worker.busy_since is None)
    assert ends == [(None, error)] * 2


def test_a_late_job_is_told_late_once_and_keeps_its_name_taken(loop: Turning, worker: Worker) -> None:
    free = threading.Event()
    ends: Ends = []
    assert worker.run(free.wait, 0.05, lambda *end: ends.append(end))
    loop.until(lambda: ends)
    assert isinstance(ends[0][1], TimedOut)
    assert str(ends[0][1]) == "no answer within 0.05 s"
    assert worker.busy_since is not None
    assert not worker.run(lambda: None, 60.0, lambda *end: ends.append(end))
    free.set()
    loop.until(lambda: worker.busy_since is None)
    assert len(ends) == 1
    assert worker.run(lambda: "again", 60.0, lambda *end: ends.append(end))
    loop.until(lambda: len(ends) == 2)
    assert ends[1] == ("again", None)


def test_a_job_in_time_is_not_told_late_afterwards(loop: Turning, worker: Worker) -> None:
    ends: Ends = []
    worker.run(lambda: 1, 0.2, lambda *end: ends.append(end))
    loop.until(lambda: ends)
    gone = threading.Event()
    loop.after(0.3, gone.set)
    loop.until(gone.is_set)
    assert ends == [(1, None)]


def test_the_next_job_can_be_given_when_the_last_one_ends(loop: Turning, worker: Worker) -> None:
    begun: list[bool] = []
    worker.run(lambda: None, 60.0, lambda *_: begun.append(worker.run(lambda: None, 60.0, lambda *_: None)))
    loop.until(lambda: begun)
    assert begun == [True]


def test_one_that_never_comes_back_harms_no_other(loop: Turning) -> None:
    never = threading.Event()
    crew = Crew(loop)
    stuck, sound = Worker(crew, loop, Clock().now), Worker(crew, loop, Clock().now)
    ends: Ends = []
    stuck.run(never.wait, 60.0, lambda *_: None)
    sound.run(lambda: 1, 60.0, lambda *end: ends.append(end))
    loop.until(lambda: ends)
    assert ends == [(1, None)]
    assert not sound.blocked_in_kernel()
    assert not stuck.blocked_in_kernel()  # it sleeps, but can be woken
    never.set()
    loop.until(lambda: stuck.busy_since is None)


def _jobs(crew: Crew, loop: Turning, *jobs: Callable[[], Any]) -> tuple[list[Worker], Ends]:
    """A worker for each, all given at once, and what they tell."""
    workers, ends = [Worker(crew, loop, Clock().now) for _ in jobs], Ends()
    for worker, job in zip(workers, jobs):
        worker.run(job, 60.0, lambda *end: ends.append(end))
    return workers, ends


def test_jobs_that_do_not_wait_share_a_thread_and_a_wake_up(loop: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew(loop)
    _, ends = _jobs(crew, loop, threading.get_ident)  # The thread is there.
    loop.until(lambda: ends)
    free = threading.Event()
    _, ends = _jobs(crew, loop, lambda: (free.wait(), threading.get_ident())[1], *[threading.get_ident] * 5)
    woken: list[int] = []
    monkeypatch.setattr(loop, "_wake", lambda: (woken.append(1), Turning._wake(loop)))
    free.set()
    loop.until(lambda: len(ends) == 6)
    assert len(set(ends)) == 1 and woken == [1]


def test_what_was_done_before_one_hangs_is_told_without_it_and_so_is_what_comes_after(loop: Turning) -> None:
    crew, never = Crew(loop), threading.Event()
    before = threading.active_count()
    workers, ends = _jobs(crew, loop, lambda: 1, never.wait, lambda: 3, never.wait, lambda: 5, never.wait)
    loop.until(lambda: len(ends) == 3)
    assert ends == [(1, None), (3, None), (5, None)]
    assert [worker.busy_since is not None for worker in workers] == [False, True] * 3
    # Who comes next needs not wait any more, and no thread is begun for it.
    _, more = _jobs(crew, loop, threading.get_ident, threading.get_ident)
    loop.until(lambda: len(more) == 2)
    assert more[0] == more[1] and threading.active_count() <= before + 4
    never.set()
    loop.until(lambda: len(ends) == 6)
    loop.until(lambda: threading.active_count() <= before + 1, "only one thread is left")
    _, last = _jobs(crew, loop, lambda: 7)
    loop.until(lambda: last)


@pytest.mark.parametrize("comes_back", [True, False])
def test_no_thread_for_those_who_wait(loop: Turning, monkeypatch: pytest.MonkeyPatch, comes_back: bool) -> None:
    """Those are late then; when there are threads again, or the one that hung comes back, they are done."""
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    crew, never, begun = Crew(loop), threading.Event(), threading.Event()
    _, ends = _jobs(crew, loop, lambda: (begun.set(), never.wait()))
    loop.until(begun.is_set)
    waits, late = Worker(crew, loop, Clock().now), Ends()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert waits.run(lambda: 1, 0.3, lambda *end: late.append(end))
        loop.until(lambda: late)
        assert isinstance(late[0][1], TimedOut)
        if comes_back:
            never.set()
            loop.until(lambda: waits.busy_since is None)
    loop.until(lambda: waits.busy_since is None)
    assert comes_back or not ends
    never.set()
    loop.until(lambda: ends)


def test_one_that_waits_for_a_thread_is_not_blocked_where_that_is(loop: Turning) -> None:
    crew, free = Crew(loop), threading.Event()
    workers, ends = _jobs(crew, loop, free.wait, lambda: 1)
    assert workers[1].native_id == 0 and not workers[1].blocked_in_kernel()
    free.set()
    loop.until(lambda: len(ends) == 2)


def test_no_thread_to_be_had(loop: Turning, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when TasksMax= is reached: that job has failed, and the next one may do better."""
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ends: Ends = []
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert worker.run(lambda: 1, 60.0, lambda *end: ends.append(end))
    loop.until(lambda: ends)
    assert str(ends[0][1]) == "can't start new thread"
    assert worker.busy_since is None
    assert worker.run(lambda: 2, 60.0, lambda *end: ends.append(end))
    loop.until(lambda: len(ends) == 2)
    assert ends[1] == (2, None)


# Eyes: the observers' side of the same


@pytest.fixture
def eyes(loop: Turning) -> Eyes:
    return Eyes(loop, Clock())


def test_an_observation(loop: Turning, eyes: Eyes) -> None:
    assert isinstance(eyes.get("conf"), Unknown)
    called: list[int] = []
    assert eyes.look("conf", lambda: 7, lambda: called.append(1))
    loop.until(lambda: called)
    seen, record = eyes.get("conf"), eyes.records["conf"]
    assert isinstance(seen, Known)
    assert seen.value == 7
    assert (record.success, record.error, record.failures, record.stuck) == (True, None, 0, False)
    assert record.last_success is not None


def test_an_observer_that_raises_and_recovers(loop: Turning, eyes: Eyes) -> None:
    def fail() -> None:
        raise OSError(13, "Permission denied")

    for times in (1, 2, 3):
        eyes.look("conf", fail)
        loop.until(lambda times=times: "conf" in eyes.records and eyes.records["conf"].failures == times)  # type: ignore[misc]
    seen = eyes.get("conf")
    assert isinstance(seen, Unknown)
    assert seen.why == "[Errno 13] Permission denied"
    assert eyes.records["conf"].success is False
    eyes.look("conf", lambda: 1)
    loop.until(lambda: eyes.records["conf"].success)
    assert (eyes.records["conf"].failures, eyes.records["conf"].error) == (0, None)


def test_what_an_observer_says_is_bounded_and_never_empty(loop: Turning, eyes: Eyes) -> None:
    def long() -> None:
        raise ValueError("x" * 10000)

    def silent() -> None:
        raise ValueError

    eyes.look("long", long)
    eyes.look("silent", silent)
    loop.until(lambda: len(eyes.seen) == 2)
    long_one, silent_one = eyes.get("long"), eyes.get("silent")
    assert isinstance(long_one, Unknown)
    assert isinstance(silent_one, Unknown)
    assert len(long_one.why) == 301
    assert silent_one.why == "ValueError"


def test_an_observer_that_never_comes_back_fails_at_every_look(loop: Turning, eyes: Eyes) -> None:
    """A dead mount holds it for ever: after three looks the finding observer-failing says so, not never."""
    free = threading.Event()
    assert eyes.look("libdir", free.wait, deadline=0.05)
    loop.until(lambda: "libdir" in eyes.seen)
    assert eyes.records["libdir"].failures == 1
    for times in (2, 3, 4):
        assert not eyes.look("libdir", free.wait, deadline=0.05)
        assert eyes.records["libdir"].failures == times
    assert eyes.records["libdir"].stuck
    assert eyes.records["libdir"].error == "no answer within 0.05 s"
    free.set()
    loop.until(lambda: eyes.look("libdir", lambda: "back"))
    loop.until(lambda: eyes.records["libdir"].success)
    assert (eyes.records["libdir"].failures, eyes.records["libdir"].stuck) == (0, False)


def test_a_look_that_is_merely_still_running_is_no_failure(loop: Turning, eyes: Eyes) -> None:
    free = threading.Event()
    eyes.look("log", free.wait, deadline=60.0)
    assert not eyes.look("log", free.wait, deadline=60.0)
    assert eyes.records["log"].failures == 0
    free.set()
    loop.until(lambda: eyes.records["log"].success)
