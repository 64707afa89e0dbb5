"""D-Bus, as much of it as asking systemd takes: method calls whose arguments are strings, and what comes back. Pure.

Source: D-Bus Specification, "Message Protocol" and "Authentication Protocol". By hand: no D-Bus library is in every target
distribution, and a ``systemctl`` costs ten milliseconds where a call costs one.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Any, NamedTuple, Optional

BUS = "org.freedesktop.DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"
LIMIT = 4 << 20
"""Longest message that is read, in bytes; systemd's longest is about 30 KiB."""

_CALL, _RETURN, _ERROR = 1, 2, 3
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_SIZES = {"y": 1, "b": 4, "n": 2, "q": 2, "i": 4, "u": 4, "x": 8, "t": 8, "d": 8, "h": 4}
_FORMATS = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_ALIGNMENTS = {**_SIZES, "s": 4, "o": 4, "g": 1, "v": 1, "a": 4, "(": 8, "{": 8}
_DEEPEST = 64


class ProtocolError(Exception):
    """The other side does not speak D-Bus."""


class Reply(NamedTuple):
    """What came back. ``error``: the error's name, "" for a return. ``order``: "<" or ">"."""

    serial: int
    error: str
    signature: str
    body: bytes
    order: str

    @property
    def text(self) -> str:
        """The first argument, if it is a string, as with errors: the sentence that explains. Raises ProtocolError."""
        return str(_values(self)[0]) if self.signature[:1] in ("s", "o") else ""

    def properties(self, wanted: Collection[str]) -> dict[str, Any]:
        """Of a GetAll: the values of those wanted that are there; structs as tuples, arrays as lists, ``ay`` as bytes.

        Raises ProtocolError.
        """
        if self.signature != "a{sv}":
            raise ProtocolError(f"properties are of type {self.signature!r}")
        try:
            return _Reader(self.body, self.order).properties(wanted)
        except (struct.error, LookupError, ValueError, RecursionError) as error:
            raise ProtocolError(f"properties cannot be read: {error}") from error


def greeting(uid: int) -> bytes:
    """What a connection begins with: who we are, which the kernel confirms, and the call that makes it known to the bus."""
    who = str(uid).encode().hex().encode()
    return b"\0AUTH EXTERNAL " + who + b"\r\nBEGIN\r\n" + call(1, BUS, "/org/freedesktop/DBus", BUS, "Hello")


def call(serial: int, destination: str, path: str, interface: str, member: str, *arguments: str) -> bytes:
    """A method call. ``serial``: 1 and up, and told again in the reply."""
    body = bytearray()
    for argument in arguments:
        body += bytes(-len(body) % 4) + _string(argument)
    fields = bytearray()
    for code, kind, text in ((_PATH, b"o", path), (_INTERFACE, b"s", interface), (_MEMBER, b"s", member),
                             (_DESTINATION, b"s", destination)):
        fields += bytes(-len(fields) % 8) + bytes((code, 1)) + kind + b"\0" + _string(text)
    if arguments:
        signature = b"s" * len(arguments)
        fields += bytes(-len(fields) % 8) + bytes((_SIGNATURE, 1)) + b"g\0" + bytes((len(signature),)) + signature + b"\0"
    head = struct.pack("<cBBBIII", b"l", _CALL, 0, 1, len(body), serial, len(fields)) + fields
    return head + bytes(-len(head) % 8) + bytes(body)


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<I", len(data)) + data + b"\0"


def unit_path(name: str) -> str:
    """The object path of a systemd unit (systemd src/basic/bus-label.c): letters and digits stay, the rest is ``_xx``."""
    escaped = "".join(letter if letter.isascii() and letter.isalnum() and not (number == 0 and letter.isdigit())
                      else "".join(f"_{byte:02x}" for byte in letter.encode()) for number, letter in enumerate(name))
    return f"/org/freedesktop/systemd1/unit/{escaped or '_'}"


class Decoder:
    """The incoming side of a connection that began with ``greeting``."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._known = False

    def feed(self, data: bytes) -> list[Reply]:
        """What these bytes complete; signals and whatever else is no reply are passed over. Raises ProtocolError."""
        self._data += data
        if not self._known and not self._let_in():
            return []
        replies: list[Reply] = []
        while True:
            reply, there = self._next()
            if not there:
                return replies
            if reply is not None:
                replies.append(reply)

    def _let_in(self) -> bool:
        line, end, rest = self._data.partition(b"\r\n")
        if not end:
            if len(line) > 4096:
                raise ProtocolError("no answer to the authentication")
            return False
        if not line.startswith(b"OK"):
            raise ProtocolError(f"not let in: {bytes(line[:100]).decode('ascii', 'replace')}")
        self._known, self._data = True, rest
        return True

    def _next(self) -> tuple[Optional[Reply], bool]:
        """The next message, if it is there as a whole; None for one that is no reply."""
        data = self._data
        if len(data) < 16:
            return None, False
        order = {0x6C: "<", 0x42: ">"}.get(data[0])
        if order is None:
            raise ProtocolError("not a message")
        body, _, fields = struct.unpack_from(f"{order}III", data, 4)
        start = 16 + fields + -fields % 8
        if start + body > LIMIT:
            raise ProtocolError(f"a message of {start + body} bytes")
        if len(data) < start + body:
            return None, False
        message = bytes(data[:start + body])
        del data[:start + body]
        if message[1] not in (_RETURN, _ERROR):
            return None, True
        try:
            told = dict(_Reader(message, order, 12).value("a(yv)"))
        except (struct.error, LookupError, ValueError, RecursionError) as error:
            raise ProtocolError(f"a header cannot be read: {error}") from error
        name = str(told.get(_ERROR_NAME, "unknown")) if message[1] == _ERROR else ""
        return Reply(int(told.get(_REPLY_SERIAL, 0)), name, str(told.get(_SIGNATURE, "")), message[start:], order), True


def _values(reply: Reply) -> list[Any]:
    reader, at, found = _Reader(reply.body, reply.order), 0, []
    try:
        while at < len(reply.signature):
            end = _complete(reply.signature, at)
            found.append(reader.value(reply.signature[at:end]))
            at = end
    except (struct.error, LookupError, ValueError, RecursionError) as error:
        raise ProtocolError(f"a body cannot be read: {error}") from error
    return found


def _complete(signature: str, at: int) -> int:
    """Where the single complete type ends that begins there."""
    while signature[at] == "a":
        at += 1
    if signature[at] not in "({":
        return at + 1
    depth = 0
    while True:
        depth += {"(": 1, "{": 1, ")": -1, "}": -1}.get(signature[at], 0)
        at += 1
        if depth == 0:
            return at


class _Reader:
    """Values out of a message, from ``at`` on. Raises struct.error, LookupError, ValueError, RecursionError."""

    def __init__(self, data: bytes, order: str, at: int = 0) -> None:
        self._data, self._order, self._at = data, order, at
        self._depth = 0

    def value(self, kind: str) -> Any:
        """One of this single complete type."""
        first = kind[0]
        if first in _SIZES:
            return self._number(first)
        if first in "so":
            return self._text(self._number("u"))
        if first == "g":
            return self._text(self._number("y"))
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("nested too deeply")
        try:
            if first == "a":
                return self._array(kind[1:])
            return self._fields(kind[1:-1]) if first in "({" else self.value(self.value("g"))
        finally:
            self._depth -= 1

    def properties(self, wanted: Collection[str]) -> dict[str, Any]:
        """A map of names to variants, of which only some are wanted. A unit has three hundred: the rest is passed over fast."""
        data, names, size_at = self._data, {name.encode(): name for name in wanted}, struct.Struct(f"{self._order}I").unpack_from
        found = {}
        end = 8 + size_at(data)[0]
        if end > len(data):
            raise ValueError("the map goes beyond the message")
        at = 8
        while at < end:
            at += -at % 8
            start, at = at + 4, at + 5 + size_at(data, at)[0]
            name, kind_size = names.get(data[start:at - 1]), data[at]
            kind, at = data[at + 1:at + 1 + kind_size].decode("ascii"), at + 2 + kind_size
            size = _SIZES.get(kind)
            if name is not None:
                self._at = at
                found[name] = self.value(kind)
                at = self._at
            elif size is not None:
                at += -at % size + size
            elif kind[0] in "soa":  # Those say how long they are.
                at += -at % 4
                length = size_at(data, at)[0]
                at += 4
                at += length + 1 if kind[0] != "a" else -at % _ALIGNMENTS[kind[1]] + length
            else:
                self._at = at
                self.value(kind)
                at = self._at
        return found

    def _number(self, kind: str) -> Any:
        self._align(_SIZES[kind])
        found = struct.unpack_from(self._order + _FORMATS[kind], self._data, self._at)[0]
        self._at += _SIZES[kind]
        return found

    def _text(self, length: int) -> str:
        text = self._data[self._at:self._at + length]
        self._at += length + 1
        if self._at > len(self._data):
            raise ValueError("a string goes beyond the message")
        return text.decode("utf-8", "replace")

    def _array(self, kind: str) -> Any:
        length = self._number("u")
        self._align(_ALIGNMENTS[kind[0]])
        end = self._at + length
        if end > len(self._data):
            raise ValueError("an array goes beyond the message")
        if kind == "y":
            self._at = end
            return self._data[end - length:end]
        found = []
        while self._at < end:
            found.append(self.value(kind))
        return found

    def _fields(self, kinds: str) -> tuple[Any, ...]:
        self._align(8)
        found, at = [], 0
        while at < len(kinds):
            end = _complete(kinds, at)
            found.append(self.value(kinds[at:end]))
            at = end
        return tuple(found)

    def _align(self, size: int) -> None:
        self._at += -self._at % size
