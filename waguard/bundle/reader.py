"""The half of ``waguardctl collect`` that touches files: a process of its own, so that a filesystem that does not answer holds
up this one alone, and only redacted bytes ever leave it.

Requests come as JSON lines on standard input, answers go to standard output in frames: a letter, a length (4 bytes, big endian),
the body. ``A`` the folder that is opened next, ``E`` entries found or left out, ``D`` redacted data, ``Z`` the end of an answer.
"""

from __future__ import annotations

import json
import os
import struct
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO, Union

from waguard.bundle import content, members, walk
from waguard.bundle.members import Tree
from waguard.bundle.walk import Found, Left
from waguard.i18n import say

FRAME = struct.Struct("!cI")
BATCH = 200


class Reader:
    """One process's work. ``out``: where frames go."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._mounts = Mounts()

    def serve(self, line: bytes) -> None:
        """One request: ``list`` a tree or ``read`` a file of it."""
        request = json.loads(line)
        tree = Tree.load(request["tree"])
        if request["do"] == "list":
            self._list(tree, {tuple(parts) for parts in request["avoid"]})
        else:
            self._read(tree, tuple(request["parts"]), request["mode"], request["most"])

    def _list(self, tree: Tree, avoid: set[tuple[str, ...]]) -> None:
        batch: list[Any] = []
        problem, missing = "", False
        try:
            real = os.path.realpath(tree.root)
            for one in walk.walk(tree, avoid, lambda parts: self._frame(b"A", list(parts)),
                                 lambda parts: self._mounts.why("/".join((real, *parts)))):
                batch.append(dump(one))
                if len(batch) >= BATCH:
                    self._frame(b"E", batch)
                    batch = []
        except FileNotFoundError:
            missing = True
        except walk.Refused as error:
            problem = str(error)
        self._frame(b"E", batch)
        self._frame(b"Z", {"problem": problem, "missing": missing})

    def _read(self, tree: Tree, parts: tuple[str, ...], mode: str, most: int) -> None:
        report = content.Report()
        problem = members.forbidden(parts)
        if not problem:
            try:
                problem = self._send(tree, parts, mode, most, report)
            except FileNotFoundError:
                problem = "it was gone when its turn came"
            except (walk.Refused, content.Unfit) as error:
                problem = str(error)
            except OSError as error:
                problem = error.strerror or str(error)
            except Exception as error:  # Whatever a library says of a broken file.
                problem = f"{type(error).__name__}: {error}"[:200]
        self._frame(b"Z", {"problem": problem, **vars(report)})

    def _send(self, tree: Tree, parts: Sequence[str], mode: str, most: int, report: content.Report) -> str:
        top = walk.root(tree.root)
        try:
            fd, info = walk.open_file(top, parts)
        finally:
            os.close(top)
        try:
            for piece in content.pieces(fd, info.st_size, parts[-1], mode, most, report):
                if piece:
                    self._out.write(FRAME.pack(b"D", len(piece)))
                    self._out.write(piece)
                else:
                    self._frame(b"A", [])  # Still at work.
                self._out.flush()
        finally:
            os.close(fd)
        return ""

    def _frame(self, kind: bytes, body: Any) -> None:
        data = json.dumps(body).encode("ascii")
        self._out.write(FRAME.pack(kind, len(data)) + data)
        self._out.flush()


class Mounts:
    """Folders that another machine or program answers for."""

    def __init__(self, table: str = "/proc/self/mountinfo") -> None:
        from waguard.agent import mountinfo

        try:
            with open(table, "rb") as file:
                text = file.read(8 << 20).decode("utf-8", "surrogateescape")
        except OSError:
            text = ""
        self._points = {mount.point: mount.type for mount in mountinfo.parse(text) if mount.network or mount.type == "autofs"}

    def why(self, path: str) -> str:
        kind = self._points.get(path)
        return say("a filesystem of type {kind} is mounted there, which may not answer", kind=kind) if kind else ""


def dump(one: Union[Found, Left]) -> list[Any]:
    """As JSON; ``load`` reads it."""
    if isinstance(one, Found):
        return ["found", list(one.parts), one.size, one.mtime, one.rule.pattern, one.rule.mode, one.rule.order]
    return ["left", list(one.parts), one.why, one.count, one.asked]


def load(told: list[Any]) -> Union[Found, Left]:
    if told[0] == "found":
        return Found(tuple(told[1]), told[2], told[3], members.Rule(*told[4:7]))
    return Left(tuple(told[1]), told[2], told[3], told[4])


def main() -> int:
    """The program; ends with its input."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Who started it is asked first, and closes the pipe.
    out = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=1 << 20)
    reader = Reader(out)
    try:
        for line in sys.stdin.buffer:
            reader.serve(line)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
