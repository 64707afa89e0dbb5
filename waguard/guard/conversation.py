"""What the guard has waguard-doctor do: a visit, or one probe of the wire server. The guard itself reaches no network.

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

from waguard.guard.loop import Loop
from waguard.i18n import say

GRACE = 10.0
"""Seconds that a request may take beyond what the doctor itself allows for it: to be started, on a busy machine."""
_LIMIT = 8 << 20
Progress = Callable[[str], None]
Over = Callable[[Optional[Mapping[str, Any]], str], None]


class Doctor:
    """Where the doctor is to be had: behind its socket, or as a program (``spawn``)."""

    def __init__(self, loop: Loop, run_dir: Path, spawn: bool) -> None:
        self._loop, self._path, self._spawn = loop, run_dir / "doctor", spawn
        self._children: list[subprocess.Popen[bytes]] = []
        self.busy = False
        """There is one conversation at a time: each may ask the wire server, which nobody shall ask twice at once."""

    def talk(self, request: Mapping[str, Any], timeout: float, hear: Progress, over: Over) -> Conversation:
        """Begin with a request; ``over`` is called once, later. Raises OSError when the doctor cannot be had."""
        connection, child = self._connect()
        self.busy = True

        def ended(result: Optional[Mapping[str, Any]], problem: str) -> None:
            if child is not None and result is None and child.poll() is None:
                child.kill()  # Without systemd nobody else would; one that hangs in the kernel dies when that lets go.
            self.busy = False
            over(result, problem)

        return Conversation(self._loop, connection, request, timeout, hear, ended)

    def absent(self, error: OSError) -> str:
        """What to say when it cannot be had."""
        said = error.strerror or str(error)
        if self._spawn:
            return say("waguard-doctor cannot be started: {said}", said=said)
        return say("waguard-doctor cannot be started: {said} (systemctl status waguard-doctor.socket)", said=said)

    def _connect(self) -> tuple[socket.socket, Optional[subprocess.Popen[bytes]]]:
        if not self._spawn:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
            try:
                connection.setblocking(False)
                connection.connect(str(self._path))
            except OSError:
                connection.close()
                raise
            return connection, None
        self._children = [child for child in self._children if child.poll() is None]
        ours, theirs = socket.socketpair()
        try:
            child = subprocess.Popen(
                [sys.executable, "-m", "waguard.doctor.main"], stdin=theirs.fileno(), stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL, cwd="/", start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2]), "LC_ALL": "C.UTF-8"})
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._children.append(child)  # So that it is reaped.
        ours.setblocking(False)
        return ours, child


class Conversation:
    """One request over its socket: the request out, lines in, a deadline. ``over`` is told the result, or None and why not."""

    def __init__(self, loop: Loop, connection: socket.socket, request: Mapping[str, Any], timeout: float, hear: Progress,
                 over: Over) -> None:
        self._loop, self._socket, self._hear, self._over = loop, connection, hear, over
        self._out = json.dumps(request, separators=(",", ":")).encode() + b"\n"
        self._parts: list[bytes] = []
        self._size = 0
        late = say("the doctor did not come to an end within {seconds:g} s", seconds=timeout)
        self._timer = loop.after(timeout, lambda: self._close(None, late))
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
            self._close(None, say("the doctor hung up: {said}", said=error.strerror))

    def _read(self) -> None:
        data = self._socket.recv(65536)
        if not data:
            self._close(None, say("the doctor ended without a word: journalctl -u 'waguard-doctor@*' -n 20"))
            return
        self._size += len(data)
        if self._size > _LIMIT:
            self._close(None, say("the doctor's answer is too long"))
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
            self._close(None, say("the doctor's answer is no JSON"))
            return True
        sound = isinstance(result, dict)
        self._close(result if sound else None, "" if sound else str(error or say("no result"))[:1000])
        return True

    def _close(self, result: Optional[Mapping[str, Any]], problem: str) -> None:
        self._timer.cancel()
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._over(result, problem)

