"""What the guard's tests share: a loop that is turned by hand, and a scribe whose errors are kept."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator

import pytest

from waguard.clock import Clock
from waguard.guard.loop import Loop
from waguard.guard.scribe import Scribe


class Turning(Loop):
    """A loop that is turned by the test. ``errors``: what its callbacks raised; a test that expects some empties it."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        super().__init__(Clock(), self.errors.append)

    def until(self, found: Callable[[], object], what: str = "it", seconds: float = 30.0) -> None:
        """Turn until ``found()`` is true. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while not found():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come true within {seconds:g} s")
            self.turn(0.05)

    def settle(self) -> None:
        """Turn a few times more, for what must not happen."""
        for _ in range(5):
            self.turn(0.01)

    def close(self) -> None:
        self._woken = True  # A thread that is late must not write to a descriptor that by then is another's.
        self._epoll.close()
        os.close(self._wake_read)
        os.close(self._wake_write)


@pytest.fixture
def loop() -> Iterator[Turning]:
    turning = Turning()
    yield turning
    turning.close()
    assert turning.errors == []


class Disk(Scribe):
    """A scribe that keeps its errors as ``(what, error)``."""

    def __init__(self, hold: Callable[[], bool] = lambda: False, limit: int = 4096) -> None:
        self.errors: list[tuple[str, BaseException]] = []
        super().__init__("disk", lambda what, error: self.errors.append((what, error)), limit, hold)

    def finish(self) -> None:
        assert self.flush(30.0)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def descriptors() -> set[int]:
    """What this process has open, but for what earlier tests left to the garbage collector. A thread that one of them left behind may
    still close what it has: compare with ``<=``."""
    gc.collect()
    found = set()
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            os.readlink(f"/proc/self/fd/{name}")
            found.add(int(name))
    return found
