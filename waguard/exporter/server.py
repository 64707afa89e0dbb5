"""A small HTTP/1.1 server for GET and HEAD that clients cannot stall: one loop owns every socket, a few threads think.

A worker only ever sees a whole request and hands back a whole response, so a client that connects and is silent, that
sends a byte a second or that never reads costs a descriptor and a deadline, not a thread. Everything is bounded: bytes
and headers of a request, connections, requests under way, seconds for each step. Over the limit of connections the one
that has been idle longest goes, so that a flood of silent ones cannot lock a scraper out.

Not http.server: it and the email and ssl modules that it drags in take 7 MB, half as much as the whole exporter.
Grammar: RFC 9112. TLS belongs here as one more state before READING: a non-blocking handshake in the loop under the
same deadline.
"""

from __future__ import annotations

import errno
import logging
import re
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import NamedTuple, Optional, Union

log = logging.getLogger(__name__)

_CHUNK = 16 * 1024
_LINGER_BYTES = 256 * 1024
_BLANK_LINE = re.compile(rb"\r?\n\r?\n")
_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_AUTHORITY = re.compile(r"\A[Hh][Tt][Tt][Pp][Ss]?://[^/?]*")


class Limits(NamedTuple):
    """What one client, and all of them, may cost. Times are in seconds."""

    head_bytes: int = 16 * 1024
    """Request line and headers."""
    target_bytes: int = 4 * 1024
    headers: int = 64
    connections: int = 200
    requests: int = 40
    """Under way at once; one more is told 503."""
    workers: int = 4
    head_time: float = 10.0
    """From the first byte of a request (or from the connection) to the end of its headers."""
    idle_time: float = 180.0
    """Between requests on one connection; longer than any sensible scrape interval."""
    write_time: float = 10.0
    linger_time: float = 1.0
    """Reading on after a last response, so that what the client still sends does not reset the response away."""
    stop_time: float = 3.0
    """For requests under way when the server stops."""


class Request(NamedTuple):
    """A request without a body. Header names are in lower case; a repeated header's values are joined by ", "."""

    method: str
    path: str
    """As sent, not decoded, without the query."""
    query: str = ""
    headers: Mapping[str, str] = {}
    keep: bool = False
    """Whether the connection stays open after the response."""
    old: bool = False
    """HTTP/1.0."""
    peer: str = ""


class Response(NamedTuple):
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()


Respond = Callable[[Request], Response]


class BadRequest(Exception):
    """A request that cannot be answered, and the status that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def parse(head: bytes, limits: Limits, peer: str = "") -> Request:
    """A request from its head, up to and with the blank line. Raises BadRequest."""
    line, *fields = re.split("\r?\n", head.decode("latin-1").strip("\r\n"))
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed request line")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and 1.1 are spoken here")
    if len(target) > limits.target_bytes:
        raise BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "request target is too long")
    if len(fields) > limits.headers:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
    headers = _headers(fields)
    old = minor == "0"
    if not old and "host" not in headers:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "missing Host header")
    path, _, query = _AUTHORITY.sub("", target, count=1).partition("?")
    return Request(method, path or "/", query, headers, _keeps(headers, old), old, peer)


def _headers(fields: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for field in fields:
        match = _HEADER.fullmatch(field)
        name, value = (match[1].lower(), match[2].strip(" \t")) if match else ("", "")
        if match is None or (name == "host" and name in headers):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed header")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _keeps(headers: Mapping[str, str], old: bool) -> bool:
    """A body is nothing we read, so a request that has one is the last on its connection."""
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return False
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    return "keep-alive" in options if old else "close" not in options


def wire(response: Response, request: Optional[Request], keep: bool) -> bytes:
    """A response as it goes over the wire; without its body for HEAD."""
    fields = [
        ("Date", time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime())),
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("X-Content-Type-Options", "nosniff"),
        *response.headers,
    ]
    if not keep:
        fields.append(("Connection", "close"))
    elif request is not None and request.old:
        fields.append(("Connection", "keep-alive"))
    head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields)
    body = b"" if request is not None and request.method == "HEAD" else response.body
    return head.encode("latin-1") + b"\r\n" + body


class _Connection:
    """One client. READING a head, WORKING (not watched), WRITING a response, or LINGERING after the last one."""

    __slots__ = ("deadline", "inbox", "keep", "lingered", "outbox", "peer", "scanned", "since", "sock", "state")

    def __init__(self, sock: socket.socket, peer: str, now: float, deadline: float) -> None:
        self.sock = sock
        self.peer = peer
        self.state = "READING"
        self.inbox = bytearray()
        self.scanned = 0
        self.outbox = memoryview(b"")
        self.keep = False
        self.lingered = 0
        self.since = now
        self.deadline: Optional[float] = deadline


class Server:
    """Serves ``respond`` on listening sockets. It is called in worker threads and has to bound its own time."""

    def __init__(self, listeners: Sequence[socket.socket], respond: Respond, limits: Optional[Limits] = None) -> None:
        self._listeners = listeners
        self._respond = respond
        self._limits = limits or Limits()
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
            self._pool.shutdown()
            self._selector.close()
            for sock in (self._woken, self._waker, *self._listeners):
                sock.close()

    def _turn(self) -> bool:
        """One round of the loop. False when it was the last."""
        for key, _ in self._selector.select(self._patience()):
            if isinstance(key.data, _Connection):
                self._ready(key.data)
            elif key.data is not None:
                self._accept(key.data)
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
        for connection in [one for one in self._connections if one.state in ("READING", "LINGERING")]:
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

    def _accept(self, listener: socket.socket) -> None:
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                return  # The client has gone already.
            log.warning("cannot accept a connection: %s", error)
            if not self._evict():
                time.sleep(0.05)  # Nothing to give up: rather a pause than a spin.
            return
        if len(self._connections) >= self._limits.connections and not self._evict():
            sock.close()
            return
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        now = time.monotonic()
        connection = _Connection(sock, _peer(address), now, now + self._limits.head_time)
        self._connections[connection] = None
        self._selector.register(sock, selectors.EVENT_READ, connection)

    def _evict(self) -> bool:
        idle = [one for one in self._connections if one.state in ("READING", "LINGERING")]
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
        key = self._selector.get_map().get(connection.sock)
        if key is None and events:
            self._selector.register(connection.sock, events, connection)
        elif key is not None and not events:
            self._selector.unregister(connection.sock)
        elif key is not None and key.events != events:
            self._selector.modify(connection.sock, events, connection)

    # One connection's way: READING → WORKING → WRITING → READING …

    def _ready(self, connection: _Connection) -> None:
        if connection not in self._connections:
            return  # closed earlier in this round
        if connection.state == "WRITING":
            self._flush(connection)
            return
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
            if not connection.inbox:
                connection.since = time.monotonic()
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
            self._employ(connection, parse(head, self._limits, connection.peer))
        except BadRequest as error:
            self._refuse(connection, error)

    def _employ(self, connection: _Connection, request: Request) -> None:
        if self._working >= self._limits.requests:
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
        connection.since = time.monotonic()
        if connection.keep:
            connection.state, connection.deadline = "READING", connection.since + self._limits.idle_time
        else:
            connection.state, connection.deadline = "LINGERING", connection.since + self._limits.linger_time
            try:
                connection.sock.shutdown(socket.SHUT_WR)
            except OSError:
                self._close(connection)
                return
        self._watch(connection, selectors.EVENT_READ)
        if connection.keep and connection.inbox:
            connection.deadline = connection.since + self._limits.head_time
            self._advance(connection)


def _peer(address: Union[tuple[object, ...], str, bytes]) -> str:
    return ":".join(map(str, address[:2])) if isinstance(address, tuple) else "a local client"
