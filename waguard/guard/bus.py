"""The system bus: method calls to systemd from the event loop, never blocking, each with a deadline.

One connection, made at the first call and again when it was lost. Where there is no bus, or it does not answer, a call says so,
and whoever made it goes another way (act/systemd.py).
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import Optional

from waguard import dbus
from waguard.dbus import Decoder, ProtocolError, Reply
from waguard.guard.loop import Loop, Timer
from waguard.i18n import say

ADDRESS = "unix:path=/run/dbus/system_bus_socket"
_CHUNK = 64 * 1024
Done = Callable[[Optional[Reply], str], None]


class Bus:
    """``address``: as in DBUS_SYSTEM_BUS_ADDRESS; only sockets with a path are known."""

    def __init__(self, loop: Loop, address: str = ADDRESS) -> None:
        self._loop = loop
        self._path = next((word.partition("=")[2] for word in address.partition(";")[0].partition(":")[2].split(",")
                           if word.startswith("path=")), "") if address.startswith("unix:") else ""
        self._socket: Optional[socket.socket] = None
        self._decoder = Decoder()
        self._serial = 1
        self._waiting: dict[int, tuple[Done, Timer]] = {}

    def call(self, destination: str, path: str, interface: str, member: str, *arguments: str, timeout: float, done: Done) -> None:
        """``done(reply, "")`` or ``done(None, why)`` is called from the loop, exactly once. A reply may be an error."""
        trouble = self._connect()
        if not trouble:
            self._serial = self._serial % 0x7FFFFFFF + 1
            serial = self._serial
            self._waiting[serial] = (done, self._loop.after(timeout, lambda: self._lost(
                say("no answer within {seconds:g} s", seconds=timeout))))
            trouble = self._send(dbus.call(serial, destination, path, interface, member, *arguments))
            if trouble:
                self._lost(trouble)
            return
        self._loop.soon(lambda: done(None, trouble))

    def close(self) -> None:
        """Hang up. Who waits for an answer is told."""
        self._lost(say("the connection was closed"))

    def _connect(self) -> str:
        """Why there is no connection, "" when there is one."""
        if self._socket is not None:
            return ""
        if not self._path:
            return say("there is no system bus")
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            connection.connect(self._path)
        except OSError as error:
            connection.close()
            return f"{self._path}: {error.strerror}"
        self._socket, self._decoder, self._serial = connection, Decoder(), 1
        self._loop.watch(connection.fileno(), select.EPOLLIN, lambda _events: self._hear())
        return self._send(dbus.greeting(os.geteuid()))

    def _send(self, data: bytes) -> str:
        """Calls are short: what does not fit at once finds a bus that does not read."""
        assert self._socket is not None
        try:
            sent = self._socket.send(data)
        except OSError as error:
            return f"{self._path}: {error.strerror}"
        return "" if sent == len(data) else say("{path} does not read", path=self._path)

    def _hear(self) -> None:
        assert self._socket is not None
        try:
            data = self._socket.recv(_CHUNK)
            replies = self._decoder.feed(data)
        except BlockingIOError:
            return
        except (OSError, ProtocolError) as error:
            self._lost(f"{self._path}: {getattr(error, 'strerror', None) or error}")
            return
        if not data:
            self._lost(say("{path} hung up", path=self._path))
            return
        for reply in replies:
            done, timer = self._waiting.pop(reply.serial, (None, None))
            if done is not None and timer is not None:
                timer.cancel()
                done(reply, "")

    def _lost(self, why: str) -> None:
        """The connection is of no use any more."""
        if self._socket is not None:
            self._loop.unwatch(self._socket.fileno())
            self._socket.close()
            self._socket = None
        waiting, self._waiting = self._waiting, {}
        for done, timer in waiting.values():
            timer.cancel()
            done(None, why)
