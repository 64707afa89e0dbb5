"""The content of one file as it goes into the bundle: decompressed, cut to its newest part, every secret masked; in pieces."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Callable, Protocol

from waguard.bundle import members
from waguard.bundle.hit import LOOK
from waguard.bundle.redact import MASK, Redactor, redact

PIECE = 256 * 1024
LARGEST_TEXT = 16 << 20
LEAD = 1 << 20
"""Bytes before the newest part that are gone through as well: a secret may have begun there."""
_LARGEST_KEYS = 1 << 20
_HEAD = 4096
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f]")
_NOT_TEXT = (b"PK\x03\x04", b"\x7fELF", b"SQLite format 3\x00", b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd",
             b"\x89PNG", b"LPKSHHRH")
_WIDE = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_COMPRESSED = (".gz", ".xz", ".bz2")


class Unfit(Exception):
    """The content cannot be taken; the text says why."""


@dataclass
class Report:
    """How it went, good once all pieces were had. ``read``: bytes gone through, after decompression. ``skipped``: bytes of a
    log's older part that were not. ``cut``: why something is missing, "" if nothing is."""

    read: int = 0
    skipped: int = 0
    cut: str = ""
    decompressed: bool = False
    only_names: bool = False
    masked: dict[str, int] = field(default_factory=dict)


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def plain_name(name: str) -> str:
    """The name without what says that it is compressed."""
    for suffix in _COMPRESSED:
        if name.lower().endswith(suffix):
            return name[:-len(suffix)]
    return name


def pieces(fd: int, size: int, name: str, mode: str, most: int, report: Report) -> Iterator[bytes]:
    """What is stored of an open file of ``size`` bytes; ``most`` bytes of it at most. Raises Unfit, perhaps after pieces
    that are to be thrown away then, and OSError."""
    if mode == members.KEYS:
        yield _names_only(_whole(fd, _LARGEST_KEYS), report)
        return
    redactor = Redactor()
    if plain_name(name) != name:
        source = _bounded(_decompressed(fd, name, report), most, report)
    elif mode == members.LOG and size > most:
        yield from _newest(fd, size, most, redactor, report)
        return
    else:
        if size > min(most, LARGEST_TEXT) and mode != members.LOG:
            raise Unfit("no room for it" if size > most else f"larger than {LARGEST_TEXT >> 20} MiB")
        source = _plain(fd, size)  # What is written to it from now on is for another time.
    head = b""
    for piece in source:
        if len(head) < _HEAD:
            head += piece[:_HEAD]
            _check(head)
        report.read += len(piece)
        yield redactor.feed(piece)
    yield redactor.close_cut() if report.cut else redactor.close()
    report.masked = dict(redactor.masked)


def _plain(fd: int, length: int) -> Iterator[bytes]:
    while length > 0:
        piece = os.read(fd, min(PIECE, length))
        if not piece:
            return
        length -= len(piece)
        yield piece


def _newest(fd: int, size: int, most: int, redactor: Redactor, report: Report) -> Iterator[bytes]:
    """The last ``most`` bytes, from the beginning of a line on."""
    _check(os.pread(fd, _HEAD, 0))
    begin = size - most + 4 * LOOK  # Less than that is held back by the redactor.
    silent = True
    for position, out in _masked_from(fd, begin, size, redactor):
        if silent:  # What the redactor held back still belongs to the lead; the beginning of a line is soon enough.
            if position <= begin:
                continue
            _, newline, out = out.partition(b"\n")
            silent = not newline
        yield out
    if silent:
        raise Unfit("its newest part is a single line that is too long to be cut")
    report.read, report.skipped = size - begin, begin
    report.cut = f"only its newest {size - begin} bytes of {size}: no room for more"
    report.masked = dict(redactor.masked)


def _masked_from(fd: int, begin: int, size: int, redactor: Redactor) -> Iterator[tuple[int, bytes]]:
    """From the first whole line of the lead on: (how far it was read, what is certain of it)."""
    lead = max(0, begin - LEAD)
    os.lseek(fd, lead, os.SEEK_SET)
    position, started = lead, lead == 0
    for piece in chain(_plain(fd, begin - lead), _plain(fd, size - begin)):
        position += len(piece)
        if not started:
            _, newline, piece = piece.partition(b"\n")
            started = bool(newline)
        yield position, redactor.feed(piece)
    yield size, redactor.close()


def _bounded(source: Iterator[bytes], most: int, report: Report) -> Iterator[bytes]:
    left = most
    for piece in source:
        if len(piece) > left:
            report.cut = f"only its first {most} bytes after decompression: no room for more"
            yield piece[:left]
            return
        left -= len(piece)
        yield piece


def _decompressed(fd: int, name: str, report: Report) -> Iterator[bytes]:
    """A compressed file's content, several streams one after the other as well. Memory is bounded whatever it expands to."""
    make = _decompressor(name)
    report.decompressed = True
    machine, fed, rest = make(), False, b""
    while True:
        data = rest or os.read(fd, 65536)
        if not data:
            if fed:
                report.cut = report.cut or "the compressed file ends early"
            return
        try:
            yield from _expanded(machine, data)
        except Exception as error:
            if not report.read:
                raise Unfit(f"cannot be decompressed: {error}") from error
            report.cut = f"cannot be decompressed further: {error}"
            return
        fed, rest = True, b""
        if machine.eof:
            rest = getattr(machine, "unused_data", b"").lstrip(b"\x00")
            machine, fed = make(), False


def _expanded(machine: _Decompressor, data: bytes) -> Iterator[bytes]:
    """What comes of these bytes, a piece at a time, however much that is."""
    while True:
        out = machine.decompress(data, PIECE)
        if out:
            yield out
        data = getattr(machine, "unconsumed_tail", b"")
        starved = not data and len(out) < PIECE if hasattr(machine, "unconsumed_tail") else getattr(machine, "needs_input", True)
        if machine.eof or starved:
            return


def _decompressor(name: str) -> Callable[[], _Decompressor]:
    if name.lower().endswith(".gz"):
        import zlib

        return lambda: zlib.decompressobj(31)
    if name.lower().endswith(".xz"):
        import lzma

        return lambda: lzma.LZMADecompressor(memlimit=128 << 20)
    import bz2

    return lambda: bz2.BZ2Decompressor()


def _check(head: bytes) -> None:
    """Raises Unfit for what is no text of one byte a letter: nothing could be found in it."""
    if head.startswith(_WIDE):
        raise Unfit("text in UTF-16 or UTF-32, which cannot be looked through")
    if head.startswith(_NOT_TEXT) or head[257:262] == b"ustar":
        raise Unfit("not text")
    if len(_CONTROL.findall(head)) > max(3, len(head) // 50):
        raise Unfit("not text")


def _whole(fd: int, limit: int) -> bytes:
    data = b"".join(_plain(fd, limit + 1))
    if len(data) > limit:
        raise Unfit(f"larger than {limit >> 20} MiB")
    return data


def _names_only(data: bytes, report: Report) -> bytes:
    """The JSON with every value masked."""
    report.read, report.only_names = len(data), True
    try:
        told = json.loads(data)
        return json.dumps(_masked(told, report), indent=2).encode("ascii") + b"\n"
    except (ValueError, RecursionError):
        raise Unfit("not JSON, so its secrets cannot be told from the rest") from None


def _masked(value: Any, report: Report) -> Any:
    if isinstance(value, dict):
        return {redact(key.encode("utf-8", "replace")).decode("utf-8", "replace"): _masked(item, report)
                for key, item in value.items()}
    if isinstance(value, list):
        return [_masked(item, report) for item in value]
    report.masked["settings"] = report.masked.get("settings", 0) + 1
    return MASK.decode("ascii")
