"""The one place that starts programs: no shell, closed stdin, C locale, a deadline, bounded output, never blocking.

What is started lives in waguard's own cgroup, never in the agent's: a foreign process there makes the agent switch its
resource limits off (WALinuxAgent azurelinuxagent/ga/cgroupconfigurator.py).
"""

from __future__ import annotations

import os
import select
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Optional

from waguard.guard.loop import Loop
from waguard.i18n import say

_LIMIT = 256 * 1024
_CHUNK = 64 * 1024
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}


@dataclass(frozen=True)
class Finished:
    """How a program ended. ``code``: exit status, -N for signal N, None when it could not be started or ran out of time."""

    argv: tuple[str, ...]
    code: Optional[int]
    output: str
    errors: str
    duration: float
    problem: str = ""

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def trouble(self) -> str:
        """Why it did not succeed, for a person, with the command to repeat by hand."""
        said = (self.errors.strip() or self.output.strip()).splitlines()
        ended = say("signal {number}", number=-self.code) if self.code is not None and self.code < 0 else \
            say("exit status {code}", code=self.code)
        return f"'{' '.join(self.argv)}': {self.problem or ended}" + (f": {said[-1][:300]}" if said else "")


class Children:
    """Starts programs and tells how they ended, from the loop."""

    def __init__(self, loop: Loop, now: Callable[[], float], environment: Optional[dict[str, str]] = None) -> None:
        self._loop = loop
        self._now = now
        self._environment = ENVIRONMENT if environment is None else environment
        self._running: set[_Child] = set()

    def run(self, argv: Sequence[str], timeout: float, done: Callable[[Finished], None]) -> None:
        """Start ``argv``; ``done(Finished)`` is called from the loop, exactly once, also when it cannot be started."""
        started = self._now()
        try:
            process = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE, env=self._environment, cwd="/", start_new_session=True)
            child = _Child(self._loop, process, tuple(argv), started, self._now, done, self._running.discard)
        except (OSError, ValueError) as error:  # ValueError: a NUL in a word
            why = getattr(error, "strerror", None) or error
            finished = Finished(tuple(argv), None, "", "", 0.0, say("cannot be started: {said_error}", said_error=why))
            self._loop.soon(lambda: done(finished))
            return
        self._running.add(child)
        child.watch(timeout)

    @property
    def count(self) -> int:
        return len(self._running)


class _Child:
    def __init__(self, loop: Loop, process: subprocess.Popen[bytes], argv: tuple[str, ...], started: float,
                 now: Callable[[], float], done: Callable[[Finished], None], forget: Callable[[_Child], None]) -> None:
        self._loop, self._process, self._argv, self._started = loop, process, argv, started
        self._now, self._done, self._forget = now, done, forget
        self._output: dict[int, bytearray] = {}
        assert process.stdout is not None and process.stderr is not None
        self._streams = (process.stdout, process.stderr)
        try:
            self._pidfd = os.pidfd_open(process.pid)
        except OSError:
            process.kill()
            process.wait()
            for stream in self._streams:
                stream.close()
            raise

    def watch(self, timeout: float) -> None:
        for stream in self._streams:
            fd = stream.fileno()
            os.set_blocking(fd, False)
            self._output[fd] = bytearray()
            self._loop.watch(fd, select.EPOLLIN, lambda _events, fd=fd: self._hear(fd))  # type: ignore[misc]
        self._loop.watch(self._pidfd, select.EPOLLIN, lambda _events: self._ended())
        self._timer = self._loop.after(timeout, lambda: self._expired(timeout))

    def _hear(self, fd: int) -> None:
        self._read(fd)

    def _read(self, fd: int) -> bool:
        """Read once: a program that writes as fast as it is read must not hold up the loop. True: there may be more."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.unwatch(fd)
            return False
        # The rest is read and dropped: a program that talks too much must not hang on a full pipe.
        if len(self._output[fd]) < _LIMIT:
            self._output[fd] += data
        return True

    def _ended(self) -> None:
        # What is left in the pipes is read now, a pipe's fill at most; a grandchild that holds them open is not waited for.
        for stream in self._streams:
            for _ in range(_LIMIT // _CHUNK):
                if not self._read(stream.fileno()):
                    break
        self._close(self._process.wait(), "")

    def _expired(self, timeout: float) -> None:
        self._process.kill()
        try:
            self._process.wait(0)
        except subprocess.TimeoutExpired:
            pass  # In state D it dies later; subprocess reaps it at the next Popen.
        self._close(None, say("no answer within {seconds:g} s", seconds=timeout))

    def _close(self, code: Optional[int], problem: str) -> None:
        self._timer.cancel()
        self._loop.unwatch(self._pidfd)
        os.close(self._pidfd)
        texts = []
        for stream in self._streams:
            fd = stream.fileno()
            self._loop.unwatch(fd)
            texts.append(self._output[fd].decode("utf-8", "replace"))
            stream.close()
        self._forget(self)
        self._done(Finished(self._argv, code, texts[0], texts[1], self._now() - self._started, problem))
