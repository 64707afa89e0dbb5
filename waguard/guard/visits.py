"""The doctor's visits: when one is due, the conversation with waguard-doctor, and what the last one said.

The doctor is a process of its own, in a sandbox of its own (doctor/main.py): systemd starts it when somebody connects to
``/run/waguard/doctor``. Without systemd it is started directly, with one end of a socket pair as its input and output.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from waguard.clock import Clock
from waguard.guard.loop import Loop, Timer
from waguard.guard.store import Store
from waguard.guard.visited import Told, read
from waguard.judge.catalogue import Finding
from waguard.settings import DoctorSettings

_LIMIT = 8 << 20
_FIRST = 3.0
_GRACE = 10.0
_YOUNG = 10.0
_PAUSE = 2.0
"""Seconds from a visit that failed to the next one that is asked for: anybody may ask."""
_KEPT = 3600.0
"""Seconds for which what a visit said holds at least."""
_AGAIN = 60.0
"""Seconds from a visit that found something new to the one that confirms it: a probe may have failed once by chance."""
_BOOTED = 90.0
"""Seconds after the boot in which the network need not be up yet, so that the first regular visit would tell of its absence."""
Progress = Callable[[str], None]
Done = Callable[[str], None]


class Visits:
    """Asks the doctor in, one visit at a time. ``changed`` is called after each; ``request`` says what is known already."""

    def __init__(self, settings: DoctorSettings, loop: Loop, clock: Clock, run_dir: Path, spawn: bool, store: Store,
                 request: Callable[[], dict[str, Any]], changed: Callable[[], None], trouble: Callable[[str], None]) -> None:
        self._settings, self._loop, self._clock, self._run_dir, self._spawn = settings, loop, clock, run_dir, spawn
        self._store, self._request, self._changed, self._trouble = store, request, changed, trouble
        self._state: dict[str, Any] = {}
        self._open: Optional[_Conversation] = None
        self._waiting: list[tuple[Progress, Done]] = []
        self._timer: Optional[Timer] = None
        self._end: Optional[Timer] = None
        self._child: Optional[subprocess.Popen[bytes]] = None
        self.told: Optional[Told] = None
        """What the last visit said; None before the first, and after three that failed."""
        self.ended = float("-inf")
        """When the last visit ended, CLOCK_BOOTTIME seconds."""
        self.failures = 0
        self.problem = ""

    @property
    def findings(self) -> tuple[Finding, ...]:
        return self.told.findings if self.told is not None else ()

    def start(self) -> None:
        """Begin with the regular visits."""
        loaded = self._store.load()
        state = loaded.get("state")
        self._state = state if isinstance(state, dict) else {}
        self._plan(self._soon())

    def apply(self, settings: DoctorSettings) -> None:
        """New settings."""
        self._settings = settings
        if self._open is None and not self._waiting:
            self._plan(max(self._soon(), self.ended + settings.interval - self._clock.now()))

    def ask(self, progress: Progress, done: Done) -> None:
        """Have one now; ``done`` is told why it failed, or nothing. One that has only just ended, or is under way, will do."""
        if self._open is None and not self.problem and self._clock.now() - self.ended < _YOUNG:
            self._loop.soon(lambda: done(""))
            return
        self._waiting.append((progress, done))
        pause = self.ended + _PAUSE - self._clock.now() if self.problem else 0.0
        if self._open is None and pause > 0:
            self._after(pause)
        elif self._open is None:
            self._begin()

    def _soon(self) -> float:
        return max(_FIRST, _BOOTED - self._clock.now())

    def _plan(self, seconds: float) -> None:
        if self._settings.enabled:
            self._after(seconds)
        elif self._timer is not None:
            self._timer.cancel()

    def _after(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.after(seconds, self._begin)

    def _begin(self) -> None:
        if self._open is not None:
            return
        self._plan(self._settings.interval)  # Whatever becomes of this one.
        request = {**self._request(), "state": self._state}
        try:
            self._open = _Conversation(self._loop, self._connect(), request, self._settings.deadline + _GRACE, self._hear,
                                       self._over)
        except OSError as error:
            hint = "" if self._spawn else " (systemctl status waguard-doctor.socket)"
            self._over(None, f"waguard-doctor cannot be started: {error.strerror or error}{hint}")

    def _connect(self) -> socket.socket:
        if not self._spawn:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.setblocking(False)
                connection.connect(str(self._run_dir / "doctor"))
            except OSError:
                connection.close()
                raise
            return connection
        ours, theirs = socket.socketpair()
        try:
            # Kept so that it is reaped: subprocess does so at the next start.
            self._child = subprocess.Popen(
                [sys.executable, "-m", "waguard.doctor.main"], stdin=theirs.fileno(), stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "LC_ALL": "C.UTF-8"})
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        ours.setblocking(False)
        return ours

    def _hear(self, title: str) -> None:
        for progress, _ in self._waiting:
            progress(title)

    def _over(self, result: Optional[Mapping[str, Any]], problem: str) -> None:
        self._open, self.ended, self.problem = None, self._clock.now(), problem
        if self._child is not None and self._child.poll() is None and result is None:
            self._child.kill()  # Without systemd nobody else would; one that hangs in the kernel dies when that lets go.
        known = {one.id for one in self.findings}
        if result is not None:
            try:
                self.told, self.failures = read(result), 0
                self._keep_for(max(_KEPT, 3 * self._settings.interval) if self._settings.enabled else _KEPT)
            except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
                result, self.problem = None, f"the doctor's answer cannot be used: {type(error).__name__}: {error}"
        if result is not None:
            self._state = dict(result["state"]) if isinstance(result.get("state"), dict) else {}
            self._keep()
        else:
            self.failures += 1
            if self.failures >= 3:
                self.told = None  # What was true half an hour ago need not be true now.
        news = any(one.id not in known for one in self.findings)
        self._plan(min(_AGAIN, self._settings.interval) if news else self._settings.interval)
        waiting, self._waiting = self._waiting, []
        self._changed()
        for _, done in waiting:
            done(self.problem)

    def _keep_for(self, seconds: float) -> None:
        """Forget what was said when it is that old: where no regular visits come, nobody would ever say that it is over."""
        def forget() -> None:
            self.told = None
            self._changed()

        if self._end is not None:
            self._end.cancel()
        self._end = self._loop.after(seconds, forget)

    def _keep(self) -> None:
        try:
            self._store.save({"state": self._state})
        except OSError as error:
            self._trouble(f"what the doctor left behind cannot be written: {error.strerror}")


class _Conversation:
    """One visit over its socket: the request out, lines in, a deadline."""

    def __init__(self, loop: Loop, connection: socket.socket, request: Mapping[str, Any], timeout: float, hear: Progress,
                 over: Callable[[Optional[Mapping[str, Any]], str], None]) -> None:
        self._loop, self._socket, self._hear, self._over = loop, connection, hear, over
        self._out = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        self._parts: list[bytes] = []
        self._size = 0
        self._timer = loop.after(timeout, lambda: self._close(None, f"the doctor did not come to an end within {timeout:g} s"))
        self._watch()

    def _watch(self) -> None:
        events = select.EPOLLIN | (select.EPOLLOUT if self._out else 0)
        self._loop.watch(self._socket.fileno(), events, self._ready)

    def _ready(self, events: int) -> None:
        try:
            if events & select.EPOLLOUT and self._out:
                self._out = self._out[self._socket.send(self._out):]
                if not self._out:
                    self._socket.shutdown(socket.SHUT_WR)
                    self._watch()
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                self._read()
        except BlockingIOError:
            return
        except OSError as error:
            self._close(None, f"the doctor hung up: {error.strerror}")

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            self._close(None, "the doctor ended without a word: journalctl -u 'waguard-doctor@*' -n 20")
            return
        self._size += len(data)
        if self._size > _LIMIT:
            self._close(None, "the doctor's answer is too long")
            return
        *lines, rest = data.split(b"\n")
        for line in lines:
            whole = b"".join((*self._parts, line))
            self._parts = []
            if self._take(whole):
                return
        self._parts.append(rest)

    def _take(self, line: bytes) -> bool:
        """One line. True when it was the last word."""
        try:
            message = json.loads(line)
            if "progress" in message:
                self._hear(str(message["progress"])[:100])
                return False
            result, error = message.get("result"), message.get("error")
        except (ValueError, TypeError, AttributeError, RecursionError):
            self._close(None, "the doctor's answer is no JSON")
            return True
        sound = isinstance(result, dict)
        self._close(result if sound else None, "" if sound else str(error or "no result")[:1000])
        return True

    def _close(self, result: Optional[Mapping[str, Any]], problem: str) -> None:
        self._timer.cancel()
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._over(result, problem)

