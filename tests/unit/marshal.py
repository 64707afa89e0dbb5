"""The other end of D-Bus, for tests: messages as a bus writes them. By the specification, not by waguard/dbus.py."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

ALIGN = {"y": 1, "g": 1, "v": 1, "n": 2, "q": 2, "b": 4, "i": 4, "u": 4, "s": 4, "o": 4, "a": 4, "h": 4, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8}
CODE = {"y": "B", "n": "h", "q": "H", "b": "I", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}


def single(signature: str) -> list[str]:
    """The single complete types of a signature."""
    found, at = [], 0
    while at < len(signature):
        start = at
        while signature[at] == "a":
            at += 1
        depth = 0
        while True:
            depth += (signature[at] in "({") - (signature[at] in ")}")
            at += 1
            if depth == 0:
                break
        found.append(signature[start:at])
    return found


def put(out: bytearray, kind: str, value: Any, order: str = "<") -> None:
    """Append a value. A variant is (signature, value)."""
    out += bytes(-len(out) % ALIGN[kind[0]])
    if kind in CODE:
        out += struct.pack(order + CODE[kind], value)
    elif kind in ("s", "o"):
        out += struct.pack(f"{order}I", len(value.encode())) + value.encode() + b"\0"
    elif kind == "g":
        out += bytes((len(value),)) + value.encode() + b"\0"
    elif kind == "v":
        put(out, "g", value[0], order)
        put(out, value[0], value[1], order)
    elif kind[0] == "a":
        at = len(out)
        out += bytes(4)
        out += bytes(-len(out) % ALIGN[kind[1]])
        start = len(out)
        for item in value:
            put(out, kind[1:], item, order)
        out[at:at + 4] = struct.pack(f"{order}I", len(out) - start)
    else:
        for one, item in zip(single(kind[1:-1]), value):
            put(out, one, item, order)


def body(signature: str, values: Sequence[Any], order: str = "<") -> bytes:
    out = bytearray()
    for kind, value in zip(single(signature), values):
        put(out, kind, value, order)
    return bytes(out)


def message(kind: int, serial: int, signature: str = "", values: Sequence[Any] = (), error: str = "", order: str = "<") -> bytes:
    """``kind``: 2 a return, 3 an error, 4 a signal. ``serial``: of the call that it answers."""
    fields: list[tuple[int, tuple[str, Any]]] = [(5, ("u", serial))] if kind != 4 else [
        (1, ("o", "/a")), (2, ("s", "b.c")), (3, ("s", "D"))]
    fields += [(4, ("s", error))] if error else []
    fields += [(8, ("g", signature))] if signature else []
    content = body(signature, values, order)
    out = bytearray((ord("l") if order == "<" else ord("B"), kind, 1, 1)) + struct.pack(f"{order}II", len(content), 7)
    put(out, "a(yv)", fields, order)
    return bytes(out) + bytes(-len(out) % 8) + content


def read_call(data: bytes) -> tuple[int, dict[int, Any], list[str], int]:
    """(serial, header fields, arguments, length) of a call that begins there; only what ours are made of."""
    size, serial, fields = struct.unpack_from("<III", data, 4)
    at, told = 16, {}
    while at < 16 + fields:
        at += -at % 8
        code, kind = data[at], chr(data[at + 2])
        at += 4
        if kind == "g":
            told[code], at = data[at + 1:at + 1 + data[at]].decode(), at + 2 + data[at]
        else:
            length, = struct.unpack_from("<I", data, at)
            assert at % 4 == 0 and data[at + 4 + length] == 0
            told[code], at = data[at + 4:at + 4 + length].decode(), at + 5 + length
    at += -at % 8
    end, start, arguments = at + size, at, []
    while at < end:
        at += -(at - start) % 4
        length, = struct.unpack_from("<I", data, at)
        arguments.append(data[at + 4:at + 4 + length].decode())
        at += 5 + length
    return serial, told, arguments, end
