"""Asking the reader process, and going on without it when it does not answer."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Optional, Union

from waguard.bundle import reader
from waguard.bundle.members import Tree
from waguard.bundle.walk import Found, Left
from waguard.i18n import say

PATIENCE = 10.0
"""Seconds without a sign of life after which the reader hangs."""
_HANGS = 8
_PACKAGES = str(Path(__file__).resolve().parents[2])
_PROGRAM = "import sys; sys.path.append(sys.argv[1]); from waguard.bundle import reader; sys.exit(reader.main())"
_undead: list[subprocess.Popen[bytes]] = []


class Silent(Exception):
    """The reader said nothing for too long, or died. ``at``: the folder that it went into last."""

    def __init__(self, why: str, at: tuple[str, ...]) -> None:
        super().__init__(why)
        self.at = at


class Looking:
    """Lists trees and reads files of them. To be closed."""

    def __init__(self, patience: float = PATIENCE, argv: Optional[list[str]] = None) -> None:
        self._patience = patience
        self._argv = argv or [sys.executable, "-I", "-c", _PROGRAM, _PACKAGES]
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._data = bytearray()
        self.pid = 0

    def list(self, tree: Tree) -> tuple[list[Union[Found, Left]], str, bool]:
        """What is in a tree, why it cannot be seen ("" if it can), and whether it is not there at all."""
        avoid: set[tuple[str, ...]] = set()
        for _ in range(_HANGS):
            told: list[Any] = []
            hear = partial(_entries, told)
            try:
                end = self._ask({"do": "list", "tree": tree.dump(), "avoid": [list(parts) for parts in avoid]}, hear)
                return [reader.load(one) for one in told], str(end["problem"]), bool(end["missing"])
            except Silent as error:
                if not error.at or error.at in avoid:
                    return [], str(error), False
                avoid.add(error.at)
        return [], say("too much of it did not answer in time"), False

    def read(self, tree: Tree, found: Found, most: int, take: Callable[[bytes], None]) -> dict[str, Any]:
        """The redacted content of a file, handed to ``take`` piece by piece, and content.Report as JSON with a ``problem``."""
        try:
            request = {"do": "read", "tree": tree.dump(), "parts": list(found.parts), "mode": found.rule.mode, "most": most}
            return self._ask(request, lambda kind, body: take(body) if kind == b"D" else None)
        except Silent as error:
            return {"problem": str(error)}

    def close(self) -> None:
        """End the reader, without waiting for one that hangs."""
        process, self._process = self._process, None
        if process is None:
            return
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                try:
                    stream.close()
                except OSError:
                    pass
        process.kill()
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            _undead.append(process)  # In state D; it dies when its filesystem answers.

    def _ask(self, request: dict[str, Any], hear: Callable[[bytes, bytes], None]) -> dict[str, Any]:
        process = self._start()
        at: tuple[str, ...] = ()
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(request).encode("ascii") + b"\n")
            process.stdin.flush()
            for kind, body in self._frames(process):
                if kind == b"Z":
                    return dict(json.loads(body))
                if kind == b"A":
                    at = tuple(json.loads(body))
                hear(kind, body)
            ended = process.poll()
            why = say("it did not answer in time") if ended is None else \
                say("reading it failed (exit status {code})", code=ended)
        except BrokenPipeError:
            why = say("reading it failed")
        except BaseException:
            self.close()
            raise
        self.close()
        raise Silent(why, at)

    def _frames(self, process: subprocess.Popen[bytes]) -> Iterator[tuple[bytes, bytes]]:
        assert process.stdout is not None
        fd = process.stdout.fileno()
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        data = self._data
        while True:
            while len(data) >= reader.FRAME.size:
                kind, length = reader.FRAME.unpack_from(data)
                if len(data) < reader.FRAME.size + length:
                    break
                body = bytes(data[reader.FRAME.size:reader.FRAME.size + length])
                del data[:reader.FRAME.size + length]
                yield kind, body
            until = time.monotonic() + self._patience
            if not poll.poll(max(0.0, until - time.monotonic()) * 1000):
                return
            piece = os.read(fd, 1 << 20)
            if not piece:
                try:
                    process.wait(0.5)
                except subprocess.TimeoutExpired:
                    pass
                return
            data += piece

    def _start(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._data = bytearray()
            self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                             cwd="/", start_new_session=True)
            self.pid = self._process.pid
        return self._process


def _entries(told: list[Any], kind: bytes, body: bytes) -> None:
    if kind == b"E":
        told += json.loads(body)
