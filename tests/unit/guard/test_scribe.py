"""waguard.guard.scribe: order, bounds, and being held back by a freeze."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from waguard.guard.scribe import Scribe

from .conftest import Disk


def gate(disk: Scribe) -> threading.Event:
    """Put a job that waits for the event, and wait until it has begun."""
    begun, go = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go.wait(30.0)

    disk.put("gate", wait)
    assert begun.wait(30.0)
    return go


def wait_for(found: Callable[[], bool]) -> None:
    until = time.monotonic() + 30.0
    while not found():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_jobs_run_in_order_in_another_thread(disk: Disk) -> None:
    done: list[tuple[int, int]] = []
    for number in range(1000):
        disk.put("job", lambda number=number: done.append((number, threading.get_ident())))  # type: ignore[misc]
    disk.finish()
    assert [number for number, _ in done] == list(range(1000))
    assert {thread for _, thread in done} != {threading.get_ident()}
    assert len({thread for _, thread in done}) == 1


def test_jobs_from_many_threads_all_run() -> None:
    disk, done = Disk(limit=100000), []
    threads = [threading.Thread(target=lambda: [disk.put("job", lambda: done.append(1)) for _ in range(1000)])
               for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    disk.finish()
    assert len(done) == 8000
    assert disk.dropped == 0


def test_latest_only_replaces_what_waits_and_nothing_else(disk: Disk) -> None:
    done: list[str] = []
    go = gate(disk)
    disk.put("state", lambda: done.append("state 1"), latest_only=True)
    disk.put("events", lambda: done.append("events 1"))
    disk.put("state", lambda: done.append("state 2"), latest_only=True)
    disk.put("events", lambda: done.append("events 2"))
    disk.put("state", lambda: done.append("state 3"), latest_only=True)
    go.set()
    disk.finish()
    assert done == ["events 1", "events 2", "state 3"]
    assert disk.dropped == 0


def test_the_bound_drops_the_oldest_and_counts() -> None:
    disk, done = Disk(limit=10), []
    go = gate(disk)
    for number in range(25):
        disk.put("job", lambda number=number: done.append(number))  # type: ignore[misc]
    assert disk.dropped == 15
    go.set()
    wait_for(lambda: len(done) == 10)
    assert done == list(range(15, 25))


def test_a_job_that_raises_is_told_and_the_next_one_runs(disk: Disk) -> None:
    done: list[int] = []
    error = OSError(28, "No space left on device")

    def fail() -> None:
        raise error

    disk.put("state", fail)
    disk.put("job", lambda: done.append(1))
    disk.finish()
    assert disk.errors == [("state", error)]
    assert done == [1]
    assert disk.working_since is None


def test_flush_says_when_it_is_not_done_in_time(disk: Disk) -> None:
    go = gate(disk)
    assert not disk.flush(0.05)
    assert disk.working_since is not None
    assert time.clock_gettime(time.CLOCK_BOOTTIME) >= disk.working_since
    assert not disk.blocked_in_kernel()  # it waits for a lock, and can be woken
    go.set()
    assert disk.flush(30.0)


def test_nothing_runs_while_it_is_held_and_everything_afterwards() -> None:
    held, done = True, []
    disk = Disk(hold=lambda: held)
    for number in range(5):
        disk.put("state", lambda number=number: done.append(number), latest_only=True)  # type: ignore[misc]
        disk.put("events", lambda number=number: done.append(-number))  # type: ignore[misc]
    assert not disk.flush(0.3)
    assert done == []
    assert disk.working_since is None
    held = False
    disk.finish()
    assert done == [0, -1, -2, -3, 4, -4]


def test_held_in_the_middle_of_a_queue() -> None:
    held, done = False, []

    def hold() -> bool:
        return held

    def freeze() -> None:
        nonlocal held
        done.append("before")
        held = True

    disk = Disk(hold=hold)
    disk.put("one", freeze)
    disk.put("two", lambda: done.append("after"))
    assert not disk.flush(0.3)
    assert done == ["before"]
    held = False
    disk.finish()
    assert done == ["before", "after"]


def test_a_held_scribe_stays_within_its_bound() -> None:
    """A freeze that never ends must not cost all memory."""
    disk = Disk(hold=lambda: True, limit=100)
    for _ in range(10000):
        disk.put("events", lambda: None)
    assert disk.dropped >= 9899


def test_a_job_may_put_the_next_one(disk: Disk) -> None:
    done = threading.Event()
    disk.put("one", lambda: disk.put("two", done.set))
    assert done.wait(30.0)
