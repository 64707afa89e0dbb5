"""A queue with a thread behind it, for disk and journal: the loop hands over and goes on.

During a backup's freeze the disk's scribe holds its jobs back (``hold``) or, when it is caught in the middle, sleeps in the
kernel until the thaw; either way nothing is lost and nobody waits. The queue is bounded: beyond it the oldest job that may be
dropped is dropped and counted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Optional


class Scribe:
    """Runs jobs in order in one thread."""

    def __init__(self, name: str, on_error: Callable[[str, BaseException], None], limit: int = 4096,
                 hold: Optional[Callable[[], bool]] = None) -> None:
        self._jobs: deque[tuple[str, Callable[[], None]]] = deque()
        self._limit = limit
        self._hold = hold
        self._on_error = on_error
        self._changed = threading.Condition()
        self._closing = False
        self._native_id = 0
        self._since: Optional[float] = None
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, what: str, job: Callable[[], None], latest_only: bool = False) -> None:
        """Queue a job. ``latest_only``: a job of the same name still waiting is replaced by this one."""
        with self._changed:
            if latest_only:
                self._jobs = deque(item for item in self._jobs if item[0] != what)
            if len(self._jobs) >= self._limit:
                self._jobs.popleft()
                self.dropped += 1
            self._append(what, job)

    def flush(self, timeout: float) -> bool:
        """Wait until everything queued is done. False when it is not within ``timeout`` seconds."""
        done = threading.Event()
        with self._changed:
            self._append("flush", done.set)
        return done.wait(timeout)

    def _append(self, what: str, job: Callable[[], None]) -> None:
        self._jobs.append((what, job))
        self._changed.notify()

    @property
    def working_since(self) -> Optional[float]:
        """CLOCK_BOOTTIME seconds at which the running job began; None when idle."""
        return self._since

    def blocked_in_kernel(self) -> bool:
        """The thread sleeps uninterruptibly: the filesystem is frozen or its device is gone."""
        if self._since is None:
            return False
        try:
            stat = Path(f"/proc/self/task/{self._native_id}/stat").read_text("utf-8", "replace")
        except OSError:
            return False
        return stat[stat.rindex(")") + 2:][:1] == "D"

    def _run(self) -> None:
        self._native_id = threading.get_native_id()
        while True:
            with self._changed:
                while not self._jobs:
                    self._changed.wait()
            while self._hold is not None and self._hold():
                time.sleep(0.5)
            with self._changed:
                if not self._jobs:
                    continue
                what, job = self._jobs.popleft()
            self._since = time.clock_gettime(time.CLOCK_BOOTTIME)
            try:
                job()
            except Exception as error:
                self._on_error(what, error)
            self._since = None
