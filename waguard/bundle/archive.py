"""Writing a .tar.gz as it comes: no member's length is known before it is there, and none is held in memory.

A header goes out as a stored (uncompressed) deflate block, whose length is known, and is written again at the same place when
its member is complete. What follows is one ordinary gzip stream (RFC 1952, RFC 1951 §3.2.4) of one ordinary pax archive.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tarfile
import zlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Optional

LEVEL = 4
"""Logs become hardly larger than with 6, at half of the time."""
_BLOCK = 512
_LONGEST_HEADER = 65535


class Archive:
    """Writes to a file that is empty and can be written at any place. ``size``: bytes written so far."""

    def __init__(self, fd: int, level: int = LEVEL) -> None:
        self._fd = fd
        self._level = level
        self._crc = 0
        self._length = 0
        self.size = 0
        self.members = 0
        self._write(b"\x1f\x8b\x08\x00" + b"\x00" * 5 + b"\x03")

    def add(self, name: str, data: bytes, mtime: float) -> Member:
        """A member that is there at once."""
        member = self.begin(name, mtime)
        member.write(data)
        member.finish()
        return member

    def begin(self, name: str, mtime: float) -> Member:
        """Start a member; one at a time. ``name``: ASCII."""
        return Member(self, name, mtime)

    def finish(self) -> None:
        """The end of archive and stream."""
        machine = zlib.compressobj(self._level, zlib.DEFLATED, -15)
        tail = bytes(2 * _BLOCK)
        self._write(machine.compress(tail) + machine.flush())
        self.count(zlib.crc32(tail), len(tail))
        self._write(struct.pack("<II", self._crc, self._length & 0xFFFFFFFF))

    def count(self, crc: int, length: int) -> None:
        """Let so many bytes with this CRC be part of the stream."""
        self._crc = combine(self._crc, crc, length)
        self._length += length

    def _write(self, data: bytes) -> None:
        self.write_at(self.size, data)
        self.size += len(data)

    def write_at(self, at: int, data: bytes) -> None:
        view = memoryview(data)
        while view:
            done = os.pwrite(self._fd, view, at)
            view = view[done:]
            at += done

    def append(self, data: bytes) -> None:
        self._write(data)

    def back_to(self, size: int) -> None:
        """Forget what was written from there on."""
        os.ftruncate(self._fd, size)
        self.size = size

    @property
    def level(self) -> int:
        return self._level


class Member:
    """One file in the archive. ``length``, ``sha256``: of what was written to it."""

    def __init__(self, archive: Archive, name: str, mtime: float) -> None:
        self._archive = archive
        self._name = name
        self._mtime = max(0, int(mtime))
        self._at = archive.size
        self._machine: Optional[zlib._Compress] = zlib.compressobj(archive.level, zlib.DEFLATED, -15)
        self._crc = 0
        self._hash = hashlib.sha256()
        self.length = 0
        archive.append(_stored(self._header()))

    def write(self, data: bytes) -> None:
        assert self._machine is not None
        self._hash.update(data)
        self.length += len(data)
        self._add(data)

    def finish(self) -> None:
        """Complete it: padding, and the header with its length."""
        padding = bytes(-self.length % _BLOCK)
        length = self.length + len(padding)
        self._add(padding)
        assert self._machine is not None
        self._archive.append(self._machine.flush(zlib.Z_FULL_FLUSH))
        self._machine = None
        header = self._header()
        self._archive.write_at(self._at, _stored(header))
        self._archive.count(zlib.crc32(header), len(header))
        self._archive.count(self._crc, length)
        self._archive.members += 1

    def abandon(self) -> None:
        """As if it had never begun."""
        self._machine = None
        self._archive.back_to(self._at)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def _add(self, data: bytes) -> None:
        assert self._machine is not None
        self._crc = zlib.crc32(data, self._crc)
        self._archive.append(self._machine.compress(data))

    def _header(self) -> bytes:
        info = tarfile.TarInfo(self._name)
        info.mtime, info.mode = self._mtime, 0o600
        # Beyond 8 GiB pax would add a record; GNU's form of the field stays within it.
        if self.length < 8 << 30:
            info.size = self.length
            return info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict")
        header = bytearray(info.tobuf(tarfile.PAX_FORMAT, "ascii", "strict"))
        header[-_BLOCK + 124:-_BLOCK + 136] = b"\x80" + self.length.to_bytes(11, "big")
        header[-_BLOCK + 148:-_BLOCK + 156] = b" " * 8
        header[-_BLOCK + 148:-_BLOCK + 156] = b"%06o\x00 " % sum(header[-_BLOCK:])
        return bytes(header)


def _stored(data: bytes) -> bytes:
    if len(data) > _LONGEST_HEADER:
        raise ValueError("the name is too long")
    return struct.pack("<BHH", 0, len(data), len(data) ^ 0xFFFF) + data


def combine(first: int, second: int, length: int) -> int:
    """The CRC-32 of two texts, one after the other, from that of each and the second's length (as crc32_combine of zlib)."""
    bits = length * 8
    for operator in _operators():
        if bits & 1:
            first = _apply(operator, first)
        bits >>= 1
    return first ^ second


@lru_cache(maxsize=1)
def _operators() -> tuple[Sequence[int], ...]:
    """What 1, 2, 4, 8 … zero bits do to a CRC, as matrices over GF(2)."""
    found: list[Sequence[int]] = [[0xEDB88320, *(1 << bit for bit in range(31))]]
    for _ in range(63):
        last = found[-1]
        found.append([_apply(last, column) for column in last])
    return tuple(found)


def _apply(operator: Sequence[int], vector: int) -> int:
    result, bit = 0, 0
    while vector:
        if vector & 1:
            result ^= operator[bit]
        vector >>= 1
        bit += 1
    return result
