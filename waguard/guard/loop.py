"""The guard's event loop: descriptors, timers and calls from threads, in one thread.

asyncio would do, but costs the guard as much memory as everything else it imports (18 MB of a 20 MB budget).
"""

from __future__ import annotations

import heapq
import os
import select
import signal
from collections import deque
from collections.abc import Callable
from typing import Any, Optional

from waguard.clock import Clock

Callback = Callable[[], None]


class Timer:
    """A call to come. ``cancel()`` takes it back."""

    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Optional[Callback]) -> None:
        self.when = when
        self.callback = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    """Runs callbacks one after another. A callback that raises goes to ``on_error`` and the loop goes on."""

    def __init__(self, clock: Clock, on_error: Callable[[BaseException], None]) -> None:
        self._clock = clock
        self._on_error = on_error
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._calls: deque[Callback] = deque()
        self._signals: dict[int, Callback] = {}
        self._running = False
        self._woken = False
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.watch(self._wake_read, select.EPOLLIN, self._drain)

    def watch(self, fd: int, events: int, handler: Callable[[int], None]) -> None:
        """Call ``handler(events)`` whenever the descriptor is ready; replaces an earlier watch of it."""
        if fd in self._handlers:
            self._epoll.modify(fd, events)
        else:
            self._epoll.register(fd, events)
        self._handlers[fd] = handler

    def unwatch(self, fd: int) -> None:
        """Forget a descriptor. Call it before closing it."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def at(self, when: float, callback: Callback) -> Timer:
        """Call at a moment of ``clock.now()``."""
        timer = Timer(when, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def after(self, seconds: float, callback: Callback) -> Timer:
        return self.at(self._clock.now() + seconds, callback)

    def soon(self, callback: Callback, wake: bool = True) -> None:
        """Call in the loop's thread as soon as possible, or, without ``wake``, in its next round, whatever brings that about.

        The one method that other threads may use.
        """
        self._calls.append(callback)
        if wake:
            self._wake()

    def on_signal(self, number: int, callback: Callback) -> None:
        """Call when a signal comes, in the loop, not in a signal handler."""
        self._signals[number] = callback
        signal.signal(number, lambda *_: None)
        signal.siginterrupt(number, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def stop(self) -> None:
        self._running = False
        self._wake()

    def run(self) -> None:
        """Turn until ``stop``."""
        self._running = True
        while self._running:
            self.turn()

    def turn(self, longest: float = 60.0) -> None:
        """One round: wait for something, at most ``longest`` seconds, and call what is due."""
        ready = [(fd, events, self._handlers.get(fd)) for fd, events in self._epoll.poll(self._patience(longest), 64)]
        for fd, events, handler in ready:
            # One called before it in this round may have closed the descriptor and opened another of the same number.
            if handler is not None and self._handlers.get(fd) is handler:
                self._call(handler, events)
        for _ in range(len(self._calls)):
            self._call(self._calls.popleft())
        for timer in self._due(self._clock.now()):
            if timer.callback is not None:
                self._call(timer.callback)

    def _due(self, now: float) -> list[Timer]:
        """What is added while these are called comes in the next round, also when it is due at once: after descriptors."""
        due = []
        while self._timers and self._timers[0].when <= now:
            due.append(heapq.heappop(self._timers))
        return due

    def _patience(self, longest: float) -> float:
        if self._calls:
            return 0.0
        while self._timers and self._timers[0].callback is None:
            heapq.heappop(self._timers)
        if self._timers:
            longest = min(longest, max(0.0, self._timers[0].when - self._clock.now()))
        return longest

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            self._on_error(error)

    def _wake(self) -> None:
        # One byte is enough for any number of calls, and a pipe full of them would have no room for a signal.
        if self._woken:
            return
        self._woken = True
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            pass  # It is full, so the loop is about to wake anyway.

    def _drain(self, _events: int) -> None:
        try:
            numbers = os.read(self._wake_read, 4096)
        except BlockingIOError:
            return
        finally:
            self._woken = False  # After reading: a call that came before this is run in this round.
        for number in set(numbers) - {0}:
            if number in self._signals:
                self._call(self._signals[number])
