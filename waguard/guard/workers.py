"""Threads for what may block: jobs by name, each with a deadline, and none able to harm another.

A read from a dead mount or a write to a frozen filesystem can sleep for ever and cannot be interrupted. So a job that is
late is reported late, its name stays taken until it comes back, and the loop and all other jobs go on.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from waguard.guard.loop import Loop, Timer
from waguard.i18n import say

Done = Callable[[Any, Optional[BaseException]], None]
PATIENCE = 0.1
"""Seconds that jobs wait for the one that runs before they get another thread."""


class TimedOut(Exception):
    """The job did not come back in time."""


class _Job:
    """``worker``: who wants it. ``left``: its thread does this one to its end, and no other any more."""

    __slots__ = ("left", "over", "work", "worker")

    def __init__(self, worker: Worker, work: Callable[[], Callable[[], None]]) -> None:
        self.worker = worker
        self.work = work
        self.left = self.over = False


class Crew:
    """The threads of all workers: one that takes a job after the other, and those still in one that others could not wait for.

    A thread for each name would cost memory, and each round of looks as many wake-ups, in which they wait for each other.
    """

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self._jobs: deque[_Job] = deque()
        self._ready = threading.Semaphore(0)
        self._lock = threading.Lock()
        self._running: Optional[_Job] = None
        self._manned = False
        self._relief: Optional[Timer] = None
        self._given = 0
        """Jobs that the thread was not yet told of."""

    def add(self, worker: Worker, work: Callable[[], Callable[[], None]]) -> None:
        """Have ``work`` done in a thread, and what it returns called in the loop. Raises RuntimeError if there is no thread."""
        if not self._manned:
            self._begin()
        self._jobs.append(_Job(worker, work))
        self._given += 1
        if self._given == 1:
            # When the loop is done with what it is in: before, the two would only wait for each other.
            self._loop.soon(self._tell, wake=False)
        if self._relief is None:
            self._relief = self._loop.after(PATIENCE, self._relieve)

    def _tell(self) -> None:
        self._ready.release(self._given)
        self._given = 0

    def _begin(self) -> None:
        threading.Thread(target=self._turn, name="worker", daemon=True).start()
        self._manned = True

    def _relieve(self) -> None:
        """Jobs have waited: whoever is still in one is left to it, and another thread does the rest."""
        self._relief = None
        if not self._jobs:
            return
        self._relief = self._loop.after(PATIENCE, self._relieve)
        with self._lock:
            running = self._running
            if running is None and self._manned:
                return  # Just between two of them.
            if running is not None:
                running.left, self._running = True, None
        try:
            self._begin()
        except RuntimeError:
            with self._lock:
                if running is not None and not running.over:
                    running.left, self._running = False, running
                else:
                    self._manned = False  # Till a thread can be had; who waits is late by then.

    def _turn(self) -> None:
        alone = False
        while not alone:
            self._ready.acquire()
            with self._lock:
                job = self._running = self._jobs.popleft()
            job.worker.native_id = threading.get_native_id()
            finish = job.work()
            with self._lock:
                job.over, alone = True, job.left
                if not alone:
                    self._running = None
            # One wake-up for all that are done one after another; where the next one hangs, relief wakes the loop.
            self._loop.soon(self._told(finish), wake=alone or not self._jobs)

    def _told(self, finish: Callable[[], None]) -> Callable[[], None]:
        def tell() -> None:
            with self._lock:
                idle = not self._jobs and self._running is None
            if idle and self._relief is not None:
                self._relief.cancel()
                self._relief = None
            finish()
        return tell


class Worker:
    """A name for jobs, of which it has at most one at a time."""

    def __init__(self, crew: Crew, loop: Loop, now: Callable[[], float]) -> None:
        self._crew = crew
        self._loop = loop
        self._now = now
        self._busy_since: Optional[float] = None
        self.native_id = 0
        """Of the thread that does the job; 0 while it waits for one."""

    @property
    def busy_since(self) -> Optional[float]:
        """When the running job was given; None when idle."""
        return self._busy_since

    def run(self, job: Callable[[], Any], timeout: float, done: Done) -> bool:
        """Run ``job`` in a thread and ``done(result, error)`` in the loop; a late job gives TimedOut. False when still busy.

        Where no thread is to be had the job has failed, and the next one tries again.
        """
        if self._busy_since is not None:
            return False
        answered = False

        def answer(result: Any, error: Optional[BaseException]) -> None:
            nonlocal answered
            if not answered:
                answered = True
                timer.cancel()
                done(result, error)

        def finish(result: Any, error: Optional[BaseException]) -> None:
            self._busy_since = None
            answer(result, error)

        def work() -> Callable[[], None]:
            try:
                result, error = job(), None
            except Exception as caught:
                result, error = None, caught
            return lambda: finish(result, error)

        late = say("no answer within {seconds:g} s", seconds=timeout)
        timer: Timer = self._loop.after(timeout, lambda: answer(None, TimedOut(late)))
        self._busy_since, self.native_id = self._now(), 0
        try:
            self._crew.add(self, work)
        except RuntimeError as error:
            failure = error  # The name of an except clause ends with it.
            self._loop.soon(lambda: finish(None, failure))
        return True

    def blocked_in_kernel(self) -> bool:
        """The thread sleeps uninterruptibly (state D), as on a frozen filesystem or a dead NFS server."""
        try:
            stat = Path(f"/proc/self/task/{self.native_id}/stat").read_text("utf-8", "replace")
        except OSError:
            return False
        return stat[stat.rindex(")") + 2:][:1] == "D"
