"""Varlink, both ends: JSON objects that end in a NUL byte, over a unix stream socket.

Sources: https://varlink.org/Method-Call (call and reply), https://varlink.org/Service (org.varlink.service) and, where
those leave room, systemd (``src/libsystemd/sd-varlink/sd-varlink.c``), whose ``varlinkctl`` is one of our clients.

``Decoder`` is the pure codec. ``Connection`` and ``Service`` are the server: no thread, no waiting, the caller's event
loop owns the descriptor. ``Client``, ``call`` and ``stream`` are the client. NamedTuples, not dataclasses: those import inspect,
9 ms and 1.4 MB of every waguardctl and of the exporter.
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn, Optional, Union

from waguard.i18n import say

REQUEST_LIMIT = 64 * 1024
"""Longest request that a server reads, and the most it keeps of calls whose turn has not come, in bytes."""
REPLY_LIMIT = 16 * 1024 * 1024
"""Longest reply that a client reads, in bytes: sd-varlink's own limit."""
PENDING_LIMIT = 1024 * 1024
"""A client that leaves more than this unread, in bytes, is dropped."""

_CHUNK = 64 * 1024
_INVALID_PARAMETER = "org.varlink.service.InvalidParameter"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
Address = Union[str, "os.PathLike[str]"]


class VarlinkError(Exception):
    """Anything that can go wrong with a call."""


class ProtocolError(VarlinkError):
    """The other side does not speak Varlink: not JSON, not an object, too long, too deep, a field of the wrong type."""


class TimedOut(VarlinkError):
    """The other side did not answer in time."""


class Unreachable(VarlinkError):
    """Nobody answers at ``path``; ``errno`` says why: ENOENT, ECONNREFUSED, EACCES; ECONNRESET: it left in mid-call."""

    def __init__(self, path: str, number: int) -> None:
        super().__init__(f"{path}: {os.strerror(number)}")
        self.path, self.errno = path, number


class RemoteError(VarlinkError):
    """An error reply: fully-qualified ``name`` and ``parameters``. A method of a ``Service`` raises it to send one."""

    def __init__(self, name: str, parameters: Mapping[str, Any] = _NOTHING) -> None:
        super().__init__(f"{name} {encode(parameters)[:-1].decode()}" if parameters else name)
        self.name, self.parameters = name, dict(parameters)


def invalid_parameter(parameter: str) -> RemoteError:
    """The error for a parameter that is missing, of the wrong type or out of range."""
    return RemoteError(_INVALID_PARAMETER, {"parameter": parameter})


def encode(message: Mapping[str, Any]) -> bytes:
    """One message as it goes over the wire. Raises TypeError or ValueError for what JSON cannot say, NaN included."""
    return _dump(dict(message)).encode("ascii") + b"\0"


class Decoder:
    """Bytes in by ``feed``, JSON objects out by iterating.

    Iterating stops where a whole message is no longer there and goes on after the next ``feed``. ProtocolError is for a
    message that is not a JSON object in UTF-8, or is longer than ``limit`` bytes, whether or not its end has come.
    """

    def __init__(self, limit: int = REQUEST_LIMIT) -> None:
        self._buffer = bytearray()
        self._limit, self._scanned = limit, 0

    def __len__(self) -> int:
        """Bytes that were fed and not yet given out."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def __iter__(self) -> Decoder:
        return self

    def __next__(self) -> dict[str, Any]:
        end = self._buffer.find(0, self._scanned)
        if (end if end >= 0 else len(self._buffer)) > self._limit:
            raise ProtocolError(say("message is longer than {count} bytes", count=self._limit))
        if end < 0:
            self._scanned = len(self._buffer)  # so that a message in a thousand pieces is not searched a thousand times
            raise StopIteration
        raw = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        self._scanned = 0
        return _object(raw)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        message = _LOADER.decode(raw.decode("utf-8"))
    except RecursionError:
        raise ProtocolError(say("message is nested too deeply")) from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, an integer of thousands of digits
        raise ProtocolError(say("message is not JSON: {error}", error=error)) from None
    if not isinstance(message, dict):
        raise ProtocolError(say("message is a JSON {type}, not an object", type=type(message).__name__))
    return message


def _not_json(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


_LOADER = json.JSONDecoder(parse_constant=_not_json)
_dump = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Peer(NamedTuple):
    """Who connected, as the kernel says."""

    pid: int
    uid: int
    gid: int


def peer_of(sock: socket.socket) -> Peer:
    """SO_PEERCRED (unix(7)): the other end's process and ids at the time it connected. Raises OSError."""
    return Peer(*struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)))


class Call(NamedTuple):
    """A call that came in. ``more``: several replies are welcome. ``oneway``: none is."""

    method: str
    parameters: dict[str, Any]
    more: bool = False
    oneway: bool = False


class Connection:
    """One client of ours, non-blocking. Nothing that a client does makes it raise: it replies with an error or closes.

    The loop watches ``fileno()`` for reading while ``wants_read``, for writing while ``wants_write``, and looks at both
    after every use of a method here. It answers the calls that ``on_readable`` and ``on_writable`` return by ``reply``
    or ``error``, at once or later. When ``closed`` it forgets the descriptor and calls ``close``.

    Replies go out in the order of the calls, so one call is open at a time: pipelined ones wait until it is answered
    and the answer is on its way, and then come from ``on_writable``.
    """

    def __init__(self, sock: socket.socket, pending_limit: int = PENDING_LIMIT) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._decoder = Decoder(REQUEST_LIMIT)
        self._out = bytearray()
        self._pending_limit = pending_limit
        self._open: Optional[Call] = None
        self._eof = self._more_to_decode = False
        self.closed = False
        self.why = ""
        """Why it was closed, when that was not the client's own wish."""

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def wants_read(self) -> bool:
        return not self.closed and not self._eof

    @property
    def wants_write(self) -> bool:
        return not self.closed and (bool(self._out) or (self._more_to_decode and self._open is None))

    def on_readable(self) -> list[Call]:
        """Read once. Returns calls whose turn it is: any number of oneway ones, at most one that wants an answer.

        Also for EPOLLHUP, which epoll reports whether or not it was asked to.
        """
        try:
            data = b"" if self.closed or self._eof else self._socket.recv(_CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            self.drop(str(error))
            return []
        self._eof = not data
        if self._eof and not self.closed and self._hung_up():
            self.drop("")
        self._decoder.feed(data)
        self._more_to_decode = len(self._decoder) > 0
        calls = self._due()
        if len(self._decoder) > REQUEST_LIMIT:
            self.drop(f"more than {REQUEST_LIMIT} bytes of calls are waiting")
        self._finish()
        return calls

    def on_writable(self) -> list[Call]:
        """Write what the kernel takes. Returns pipelined calls whose turn has come, as ``on_readable`` does."""
        self._flush()
        calls = self._due()
        self._finish()
        return calls

    def reply(self, call: Call, parameters: Mapping[str, Any] = _NOTHING, continues: bool = False) -> None:
        """Answer a call; with ``continues`` (only if it asked for ``more``) further answers follow.

        Does nothing for a oneway call or when the client has gone. ValueError: the call was answered already.
        """
        if continues and not call.more:
            raise ValueError(f"{call.method} did not ask for more than one reply")
        message = {"parameters": dict(parameters), **({"continues": True} if continues else {})}
        self._answer(call, message, final=not continues)

    def error(self, call: Call, name: str, parameters: Mapping[str, Any] = _NOTHING) -> None:
        """Answer a call with the error ``name`` (fully qualified). An error is final."""
        self._answer(call, {"error": name, "parameters": dict(parameters)}, final=True)

    def drop(self, why: str) -> None:
        """Be done with the client at once, whatever is still to be sent."""
        self.why = self.why or why
        self.closed = True
        self._out.clear()

    def close(self) -> None:
        """Let go of the socket. Harmless when done twice."""
        self.closed = True
        self._socket.close()

    def _answer(self, call: Call, message: Mapping[str, Any], final: bool) -> None:
        if self.closed or call.oneway:
            return
        if call is not self._open:
            raise ValueError(f"{call.method} was answered already")
        data = encode(message)
        if final:
            self._open = None
        self._send(data)
        self._finish()

    def _send(self, data: bytes) -> None:
        # One long reply to a client that reads is all right; piling more on top of what it leaves unread is not.
        if self._out and len(self._out) + len(data) > self._pending_limit:
            self.drop(f"client leaves more than {self._pending_limit} bytes unread")
            return
        self._out += data
        self._flush()

    def _flush(self) -> None:
        if self.closed or not self._out:
            return
        try:
            del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError as error:
            self.drop(str(error))

    def _due(self) -> list[Call]:
        calls: list[Call] = []
        while not self.closed and self._open is None and not self._out and self._more_to_decode:
            try:
                calls += self._calls_of(next(self._decoder))
            except StopIteration:
                self._more_to_decode = False
            except ProtocolError as error:
                self.drop(str(error))
        return calls

    def _calls_of(self, message: Mapping[str, Any]) -> list[Call]:
        """The call in a message, if it is one; an ill-formed one is answered here. Unknown fields may be extensions."""
        wrong, oneway = _fault(message), message.get("oneway", False)
        if wrong and oneway is not True:
            self._send(encode({"error": _INVALID_PARAMETER, "parameters": {"parameter": wrong}}))
        if wrong:
            return []
        call = Call(message["method"], message.get("parameters") or {}, message.get("more", False), oneway)
        self._open = None if oneway else call
        return [call]

    def _hung_up(self) -> bool:
        """Whether the client has closed, not merely said that it has no more calls."""
        poll = select.poll()
        poll.register(self._socket, 0)
        return bool(poll.poll(0))

    def _finish(self) -> None:
        # After "no more calls" (shutdown) a client may still wait for an answer, as ``nc -N`` does; not for a stream.
        waits = self._open is not None and not self._open.more
        self.closed |= self._eof and not self._out and not self._more_to_decode and not waits


def _fault(message: Mapping[str, Any]) -> str:
    """The field that keeps a message from being a call, or ""."""
    more, oneway = message.get("more", False), message.get("oneway", False)
    sound = {
        "method": isinstance(message.get("method"), str),
        "parameters": isinstance(message.get("parameters"), (dict, type(None))),
        "oneway": isinstance(oneway, bool),
        "more": isinstance(more, bool) and not (more and oneway),
        "upgrade": message.get("upgrade", False) is False,
    }
    return next((field for field, good in sound.items() if not good), "")


Method = Callable[[Connection, Call], None]
"""Answers a call through ``connection.reply``, now or later, or raises RemoteError."""


class Interface(NamedTuple):
    """An interface of a service: its text (https://varlink.org/Interface-Definition) and its methods by short name."""

    description: str
    methods: Mapping[str, Method]

    @property
    def name(self) -> str:
        """The name that the description gives itself, or ""."""
        found = re.search(r"^interface[ \t]+([a-z0-9.-]+)[ \t]*$", self.description, re.MULTILINE)
        return found[1] if found else ""

    @property
    def described(self) -> frozenset[str]:
        """Names of the methods that the description has."""
        return frozenset(re.findall(r"^method[ \t]+([A-Z][A-Za-z0-9]*)", self.description, re.MULTILINE))


_SERVICE = """\
# Every Varlink service has this interface. It tells what the service is and which interfaces it has.
interface org.varlink.service

method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)
method GetInterfaceDescription(interface: string) -> (description: string)

error InterfaceNotFound (interface: string)
error MethodNotFound (method: string)
# The interface has the method, the service does not have it yet
error MethodNotImplemented (method: string)
error InvalidParameter (parameter: string)
error PermissionDenied ()
# The method only makes sense with 'more'
error ExpectedMore ()
"""


class Service:
    """What one socket offers: some interfaces, and org.varlink.service about them.

    Checking the parameters of a call is the method's business (``invalid_parameter``). ValueError: an interface has no
    name, or a method that its description lacks.
    """

    def __init__(self, vendor: str, product: str, version: str, url: str, interfaces: Iterable[Interface]) -> None:
        own = Interface(_SERVICE, {"GetInfo": self._get_info, "GetInterfaceDescription": self._get_description})
        self._interfaces = {interface.name: interface for interface in (own, *interfaces)}
        for name, interface in self._interfaces.items():
            strange = sorted(set(interface.methods) - interface.described)
            if strange or not name:
                raise ValueError(f"interface {name!r} does not describe {strange}")
        self._info = {"vendor": vendor, "product": product, "version": version, "url": url}

    def dispatch(self, connection: Connection, call: Call) -> None:
        """Hand a call to its method. A RemoteError is answered; at any other exception the client is dropped."""
        try:
            self._method(call)(connection, call)
        except RemoteError as error:
            connection.error(call, error.name, error.parameters)
        except BaseException:
            connection.drop(f"{call.method} failed")  # rather than leave the client waiting for nothing
            raise

    def _method(self, call: Call) -> Method:
        name, _, short = call.method.rpartition(".")
        interface = self._interfaces.get(name)
        if interface is None:
            raise RemoteError("org.varlink.service.InterfaceNotFound", {"interface": name})
        if short not in interface.methods:
            error = "MethodNotImplemented" if short in interface.described else "MethodNotFound"
            raise RemoteError(f"org.varlink.service.{error}", {"method": call.method})
        return interface.methods[short]

    def _get_info(self, connection: Connection, call: Call) -> None:
        connection.reply(call, {**self._info, "interfaces": sorted(self._interfaces)})

    def _get_description(self, connection: Connection, call: Call) -> None:
        name = call.parameters.get("interface")
        if not isinstance(name, str):
            raise invalid_parameter("interface")
        if name not in self._interfaces:
            raise RemoteError("org.varlink.service.InterfaceNotFound", {"interface": name})
        connection.reply(call, {"description": self._interfaces[name].description})


def call(path: Address, method: str, parameters: Mapping[str, Any] = _NOTHING, timeout: float = 5.0) -> dict[str, Any]:
    """Call a method and return the parameters of its reply, all within ``timeout`` seconds.

    Raises Unreachable, TimedOut, RemoteError or ProtocolError.
    """
    with closing(Client(path, timeout)) as client:
        return client.call(method, parameters)


def stream(path: Address, method: str, parameters: Mapping[str, Any] = _NOTHING,
           timeout: Optional[float] = 5.0) -> Generator[dict[str, Any], None, None]:
    """Call a method with ``more`` and yield the parameters of each reply until the last one.

    ``timeout`` (seconds, None: for ever) is for each reply anew. Closing the generator closes the connection, which
    tells the service to stop. Raises as ``call`` does.
    """
    with closing(Client(path, timeout)) as client:
        client.send(method, parameters, more=True)
        continues = True
        while continues:
            answer, continues = client.receive()
            yield answer
            client.within(timeout)


class Client:
    """A connection to a service, for one call after another. All raises as ``call`` does; then it is only good to be closed."""

    def __init__(self, path: Address, timeout: Optional[float]) -> None:
        """Connects. Raises Unreachable or TimedOut."""
        self.within(timeout)
        self._path = os.fspath(path)
        self._decoder = Decoder(REPLY_LIMIT)
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            while number := self._try(lambda: self._socket.connect_ex(self._path)):
                if number != errno.EAGAIN:
                    raise Unreachable(self._path, number)
                time.sleep(0.01)  # A full backlog: connect() of a unix socket with a time-out does not wait.
        except BaseException:
            self.close()
            raise

    def within(self, timeout: Optional[float]) -> None:
        """Everything from now on has to be over in so many seconds; None: it has for ever."""
        self._deadline = None if timeout is None else time.monotonic() + timeout

    def close(self) -> None:
        self._socket.close()

    def call(self, method: str, parameters: Mapping[str, Any] = _NOTHING) -> dict[str, Any]:
        self.send(method, parameters)
        answer, continues = self.receive()
        if continues:
            raise ProtocolError(say("{method} sent a reply of many, where one was asked for", method=method))
        return answer

    def send(self, method: str, parameters: Mapping[str, Any], **flags: bool) -> None:
        data = encode({"method": method, "parameters": dict(parameters), **flags})
        self._try(lambda: self._socket.sendall(data))

    def receive(self) -> tuple[dict[str, Any], bool]:
        """The parameters of the next reply, and whether more follow."""
        while True:
            message = next(self._decoder, None)
            if message is not None:
                return _answer_of(message)
            data = self._try(lambda: self._socket.recv(_CHUNK))
            if not data:
                raise Unreachable(self._path, errno.ECONNRESET)
            self._decoder.feed(data)

    def _try(self, function: Callable[[], Any]) -> Any:
        left = None if self._deadline is None else self._deadline - time.monotonic()
        try:
            if left is not None and left <= 0:
                raise socket.timeout
            self._socket.settimeout(left)
            return function()
        except socket.timeout:
            raise TimedOut(say("{said_host}: no answer in time", said_host=self._path)) from None
        except OSError as error:  # Without a number: the path is longer than a unix socket's address may be.
            raise Unreachable(self._path, error.errno or errno.ENAMETOOLONG) from error


def _answer_of(reply: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    parameters, continues, error = reply.get("parameters") or {}, reply.get("continues", False), reply.get("error")
    if not (isinstance(parameters, dict) and isinstance(continues, bool) and isinstance(error, (str, type(None)))):
        raise ProtocolError(say("a reply has a field of the wrong type"))
    if error is not None:
        raise RemoteError(error, parameters)
    return parameters, continues
