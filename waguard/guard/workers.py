"""Threads for what may block: one a job name, each with a deadline, and none able to harm another.

A read from a dead mount or a write to a frozen filesystem can sleep for ever and cannot be interrupted. So a job that is
late is reported late, its name stays taken until it comes back, and the loop goes on.
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


class TimedOut(Exception):
    """The job did not come back in time."""


class Worker:
    """One thread, at most one job at a time."""

    def __init__(self, name: str, loop: Loop, now: Callable[[], float]) -> None:
        self.name = name
        self._loop = loop
        self._now = now
        self._busy_since: Optional[float] = None
        self._work: deque[Callable[[], Any]] = deque()
        self._ready = threading.Semaphore(0)
        self._thread: Optional[threading.Thread] = None
        self._native_id = 0

    @property
    def busy_since(self) -> Optional[float]:
        """When the running job began; None when idle."""
        return self._busy_since

    def run(self, job: Callable[[], Any], timeout: float, done: Done) -> bool:
        """Run ``job`` in the thread and ``done(result, error)`` in the loop; a late job gives TimedOut. False when still busy."""
        if self._busy_since is not None:
            return False
        if self._thread is None and not self._begin(done):
            return True
        self._busy_since = self._now()
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

        def work() -> None:
            try:
                result, error = job(), None
            except Exception as caught:
                result, error = None, caught
            self._loop.soon(lambda: finish(result, error))

        late = say("no answer within {seconds:g} s", seconds=timeout)
        timer: Timer = self._loop.after(timeout, lambda: answer(None, TimedOut(late)))
        self._work.append(work)
        self._ready.release()
        return True

    def blocked_in_kernel(self) -> bool:
        """The thread sleeps uninterruptibly (state D), as on a frozen filesystem or a dead NFS server."""
        try:
            stat = Path(f"/proc/self/task/{self._native_id}/stat").read_text("utf-8", "replace")
        except OSError:
            return False
        return stat[stat.rindex(")") + 2:][:1] == "D"

    def _begin(self, done: Done) -> bool:
        """Start the thread. Where none is to be had the job has failed, and the next one tries again."""
        thread = threading.Thread(target=self._turn, name=self.name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            failure = error  # The name of an except clause ends with it.
            self._loop.soon(lambda: done(None, failure))
            return False
        self._thread = thread
        return True

    def _turn(self) -> None:
        self._native_id = threading.get_native_id()
        while True:
            self._ready.acquire()
            self._work.popleft()()
