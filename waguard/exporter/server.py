"""A small HTTP/1.1 server for GET and HEAD that clients cannot stall: one loop owns every socket, a few threads think.

A worker only ever sees a whole request and hands back a whole response, so a client that connects and is silent, that
sends a byte a second or that never reads costs a descriptor and a deadline, not a thread. Everything is bounded: bytes
and headers of a request, connections, requests under way, seconds for each step. Over the limit of connections the one
that has been idle longest goes, so that a flood of silent ones cannot lock a scraper out.

TLS is one more state before READING: the handshake is made in the loop, step by step, under the same deadline, and a
client that has not sent its first byte costs no TLS object yet. What speaks TLS is handed in (``Door``), so that the ssl
module is there only where it is used. Not http.server: it and the email and ssl modules that it drags in take 7 MB, half
as much as the whole exporter; and its TLS lets one silent client stop everybody.
"""

from __future__ import annotations

import errno
import logging
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import Optional, Protocol, Union

from waguard.exporter.messages import BadRequest, Limits, Request, Respond, Response, parse, wire

__all__ = ["BadRequest", "Channel", "Door", "Limits", "Request", "Respond", "Response", "Server", "parse", "wire"]

log = logging.getLogger(__name__)

_CHUNK = 16 * 1024
"""As much as a TLS record holds (RFC 8446, 5.1), so that nothing read stays behind inside a TLS object, unseen by select."""
_LINGER_BYTES = 256 * 1024
_ACCEPTS = 32
"""Connections taken in one round of the loop from one listening socket."""
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_TLS_HANDSHAKE = b"\x16"  # The first byte of a TLS connection: RFC 8446, 5.1


class Channel(Protocol):
    """A connection that is encrypted; what it shares with socket.socket behaves as there, without blocking."""

    def handshake(self) -> int:
        """One step: the events of selectors to wait for before the next one, 0 when it is done. Raises OSError."""

    def barred(self) -> str:
        """After the handshake: why this client gets no answer; empty when it may ask."""

    def fileno(self) -> int: ...
    def recv(self, size: int) -> bytes: ...
    def send(self, data: memoryview) -> int: ...
    def shutdown(self, how: int) -> None: ...
    def close(self) -> None: ...


class Door(Protocol):
    """What makes a fresh connection an encrypted one."""

    def wrap(self, sock: socket.socket) -> Channel: ...


class _Connection:
    """One client. GREETING (TLS only), READING a head, WORKING (not watched), WRITING a response, LINGERING after the last."""

    __slots__ = ("barred", "begun", "deadline", "door", "inbox", "keep", "lingered", "outbox", "peer", "scanned", "since", "sock",
                 "state", "watched")  # fmt: skip

    def __init__(self, sock: socket.socket, peer: str, door: Optional[Door], now: float, deadline: float) -> None:
        self.sock: Union[socket.socket, Channel] = sock
        self.watched = 0
        """The events that the selector waits for, 0 when it does not know of the socket."""
        self.peer = peer
        self.door = door
        self.barred = ""
        self.begun = False
        self.state = "READING" if door is None else "GREETING"
        self.inbox = bytearray()
        self.scanned = 0
        self.outbox = memoryview(b"")
        self.keep = False
        self.lingered = 0
        self.since = now
        self.deadline: Optional[float] = deadline


_IDLE = ("GREETING", "READING", "LINGERING")


class Server:
    """Serves ``respond`` on listening sockets. It is called in worker threads and has to bound its own time."""

    def __init__(self, listeners: Sequence[socket.socket], respond: Respond, limits: Optional[Limits] = None,
                 door: Callable[[], Optional[Door]] = lambda: None) -> None:
        """``door`` is asked for each connection and each request. A connection that came in through another one than there
        is now ends at its next request, unanswered, which clients take as a cue to connect anew (RFC 9112, 9.3.1)."""
        self._listeners = listeners
        self._respond = respond
        self._limits = limits or Limits()
        self._door = door
        self._selector = selectors.DefaultSelector()
        self._connections: dict[_Connection, None] = {}
        self._done: deque[tuple[_Connection, bytes, bool]] = deque()
        self._working = 0
        self._stop_by: Optional[float] = None
        self._stopping = False
        self._woken, self._waker = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)

    def stop(self) -> None:
        """Make ``serve`` return soon. For any thread and for signal handlers."""
        self._stopping = True
        self._wake()

    def serve(self) -> None:
        """Serve until ``stop``; then requests under way are answered, and every socket closed, listeners too."""
        self._selector.register(self._woken, selectors.EVENT_READ)
        for listener in self._listeners:
            listener.setblocking(False)
            self._selector.register(listener, selectors.EVENT_READ, listener)
        self._pool = ThreadPoolExecutor(self._limits.workers, "http")
        try:
            while self._turn():
                pass
        finally:
            for connection in list(self._connections):
                self._close(connection)
            self._pool.shutdown(cancel_futures=True)
            self._selector.close()
            for sock in (self._woken, self._waker, *self._listeners):
                sock.close()

    def _turn(self) -> bool:
        """One round of the loop. False when it was the last."""
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, _Connection):
                self._ready(key.data)
            elif key.data is not None:
                for _ in range(_ACCEPTS):
                    if not self._accept(key.data):
                        break
            else:
                self._drain()
        while self._done:
            connection, data, keep = self._done.popleft()
            self._working -= 1
            if connection in self._connections:
                self._send(connection, data, keep and not self._stopping)
        now = time.monotonic()
        for connection in [one for one in self._connections if one.deadline is not None and one.deadline <= now]:
            self._expire(connection)
        return not self._stopping or self._winding_down(now)

    def _winding_down(self, now: float) -> bool:
        if self._stop_by is None:
            self._stop_by = now + self._limits.stop_time
            for listener in self._listeners:
                self._selector.unregister(listener)
        for connection in [one for one in self._connections if one.state in _IDLE]:
            self._close(connection)
        return bool(self._connections) and now < self._stop_by

    def _patience(self) -> Optional[float]:
        deadlines = [one.deadline for one in self._connections if one.deadline is not None]
        if self._stop_by is not None:
            deadlines.append(self._stop_by)
        return max(0.0, min(deadlines) - time.monotonic()) if deadlines else None

    def _wake(self) -> None:
        try:
            self._waker.send(b"\0")
        except OSError:
            pass  # Full: it is about to wake anyway. Closed: it has gone.

    def _drain(self) -> None:
        try:
            self._woken.recv(4096)
        except BlockingIOError:
            pass

    # Connections come and go

    def _accept(self, listener: socket.socket) -> bool:
        """Take one connection. False when there is none, or none can be taken now."""
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                return True  # The client has gone already.
            log.warning("cannot accept a connection: %s", error)
            if not self._evict():
                time.sleep(0.05)  # Nothing to give up: rather a pause than a spin.
            return False
        if len(self._connections) >= self._limits.connections and not self._evict():
            sock.close()
            return True
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = time.monotonic()
        connection = _Connection(sock, _peer(address), self._door(), now, now + self._limits.head_time)
        self._connections[connection] = None
        self._watch(connection, selectors.EVENT_READ)
        return True

    def _evict(self) -> bool:
        idle = [one for one in self._connections if one.state in _IDLE]
        if idle:
            oldest = min(idle, key=lambda one: one.since)
            log.debug("%s: dropped to make room", oldest.peer)
            self._close(oldest)
        return bool(idle)

    def _expire(self, connection: _Connection) -> None:
        if connection.state == "READING" and connection.inbox:
            self._refuse(connection, BadRequest(HTTPStatus.REQUEST_TIMEOUT, "request did not arrive in time"))
        else:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        del self._connections[connection]
        self._watch(connection, 0)
        connection.sock.close()

    def _watch(self, connection: _Connection, events: int) -> None:
        before, connection.watched = connection.watched, events
        if not before and events:
            self._selector.register(connection.sock, events, connection)
        elif before and not events:
            self._selector.unregister(connection.sock)
        elif before != events:
            self._selector.modify(connection.sock, events, connection)

    # One connection's way: GREETING → READING → WORKING → WRITING → READING …

    def _ready(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return  # closed earlier in this round
        if connection.state == "WRITING":
            self._flush(connection)
        elif connection.state == "GREETING":
            self._greet(connection)
        else:
            self._receive(connection)

    def _greet(self, connection: _Connection) -> None:
        """One step of the TLS handshake; before the first, a look at whether it is TLS at all."""
        assert connection.door is not None
        if isinstance(connection.sock, socket.socket):
            try:
                first = connection.sock.recv(1, socket.MSG_PEEK)
            except BlockingIOError:
                return
            except OSError:
                first = b""
            if first.isalpha():
                self._refuse(connection, BadRequest(HTTPStatus.BAD_REQUEST, "Client sent an HTTP request to an HTTPS server."))
                return
            if first != _TLS_HANDSHAKE:
                self._close(connection)
                return
            connection.sock = connection.door.wrap(connection.sock)
        try:
            events = connection.sock.handshake()
        except OSError as error:
            log.debug("%s: TLS handshake failed: %s", connection.peer, error)
            self._linger(connection)  # The client is to read why.
            return
        if events:
            self._watch(connection, events)
            return
        connection.barred = connection.sock.barred()
        connection.state, connection.since = "READING", time.monotonic()
        connection.deadline = connection.since + self._limits.head_time
        self._watch(connection, selectors.EVENT_READ)
        self._receive(connection)

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        connection.lingered += len(data) if connection.state == "LINGERING" else 0
        if not data or connection.lingered > _LINGER_BYTES:
            self._close(connection)
        elif connection.state == "READING":
            if not connection.begun:  # Once a request: empty lines before it are skipped, and buy no time.
                connection.begun, connection.since = True, time.monotonic()
                connection.deadline = connection.since + self._limits.head_time
            connection.inbox += data
            self._advance(connection)

    def _advance(self, connection: _Connection) -> None:
        """Take the next request out of what has been read, if it is all there."""
        inbox = connection.inbox
        while inbox[:1] in (b"\r", b"\n"):
            del inbox[0]
        blank = _BLANK_LINE.search(inbox, max(0, connection.scanned - 3))
        size = blank.end() if blank else len(inbox)
        if size > self._limits.head_bytes:
            long_line = b"\n" not in inbox[: self._limits.head_bytes]
            status = HTTPStatus.REQUEST_URI_TOO_LONG if long_line else HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            self._refuse(connection, BadRequest(status, "request is too long"))
            return
        connection.scanned = 0 if blank else size
        if blank is None:
            return
        head = bytes(inbox[:size])
        del inbox[:size]
        try:
            request = parse(head, self._limits, connection.peer)
            if connection.door is not self._door():
                self._close(connection)
            else:
                self._employ(connection, request)
        except BadRequest as error:
            self._refuse(connection, error)

    def _employ(self, connection: _Connection, request: Request) -> None:
        if connection.barred:
            raise BadRequest(HTTPStatus.FORBIDDEN, connection.barred)
        if 0 < self._limits.requests <= self._working:
            raise BadRequest(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at once")
        self._working += 1
        connection.state, connection.deadline = "WORKING", None
        self._watch(connection, 0)
        self._pool.submit(self._work, connection, request)

    def _work(self, connection: _Connection, request: Request) -> None:
        """In a worker thread."""
        keep = request.keep
        try:
            response = self._respond(request)
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            response, keep = Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"internal error\n"), False
        log.debug("%s: %s %s: %d", request.peer, request.method, request.path, response.status)
        self._done.append((connection, wire(response, request, keep), keep))
        self._wake()

    def _refuse(self, connection: _Connection, error: BadRequest) -> None:
        log.debug("%s: %d %s", connection.peer, error.status, error)
        response = Response(error.status, f"{error}\n".encode())
        self._send(connection, wire(response, None, keep=False), keep=False)

    def _send(self, connection: _Connection, data: bytes, keep: bool) -> None:
        connection.state, connection.keep = "WRITING", keep
        connection.outbox = memoryview(data)
        connection.deadline = time.monotonic() + self._limits.write_time
        self._flush(connection)

    def _flush(self, connection: _Connection) -> None:
        try:
            connection.outbox = connection.outbox[connection.sock.send(connection.outbox) :]
        except BlockingIOError:
            pass
        except OSError:
            self._close(connection)
            return
        if connection.outbox:
            self._watch(connection, selectors.EVENT_WRITE)
        else:
            self._sent(connection)

    def _sent(self, connection: _Connection) -> None:
        if not connection.keep:
            self._linger(connection)
            return
        connection.since = time.monotonic()
        connection.state, connection.deadline = "READING", connection.since + self._limits.idle_time
        connection.begun = bool(connection.inbox)
        self._watch(connection, selectors.EVENT_READ)
        if connection.inbox:
            connection.deadline = connection.since + self._limits.head_time
            self._advance(connection)

    def _linger(self, connection: _Connection) -> None:
        connection.since = time.monotonic()
        connection.state, connection.deadline = "LINGERING", connection.since + self._limits.linger_time
        try:
            connection.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close(connection)
        else:
            self._watch(connection, selectors.EVENT_READ)


def _peer(address: Union[tuple[object, ...], str, bytes]) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else "a local client"
