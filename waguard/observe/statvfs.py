"""Asking filesystems how they are without ever waiting for a dead one.

statvfs(2) on a dead NFS mount sleeps in the kernel, perhaps for ever. So a small program of its own (this interpreter, with next
to nothing imported) has one child a path, waits for all of them together, kills who is late and tells which could not be killed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

from waguard.i18n import say
from waguard.observe import programs

MOST = 64
_MARGIN = 1.5
_LIMIT = 1 << 20

LOOK = '''
def look(path):
    """The filesystem of the path, or of what is there of it."""
    real = os.path.realpath(path)
    while True:
        try:
            s = os.statvfs(real)
            break
        except (FileNotFoundError, NotADirectoryError):
            if real == "/":
                raise
            real = os.path.dirname(real)
    return [real, s.f_frsize or s.f_bsize, s.f_blocks, s.f_bfree, s.f_bavail, s.f_files, s.f_ffree]
'''
"""What each child does. Tests put something slower in its place."""

_HELPER = '''
import json, os, select, signal, sys, time
{look}
paths, timeout = json.loads(sys.argv[1]), float(sys.argv[2])

def start(path):
    reader, writer = os.pipe()
    try:
        pid = os.fork()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid:
        os.close(writer)
        return pid, reader
    try:
        said = look(path)
    except OSError as error:
        said = error.errno or 5
    except Exception:
        said = 22
    os.write(writer, json.dumps(said).encode("ascii"))
    os._exit(0)

def started(pid):
    try:
        with open("/proc/%d/stat" % pid) as stat:
            return int(stat.read().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0

answers, waiting, poll, begun = [None] * len(paths), {{}}, select.poll(), time.monotonic()
for number, path in enumerate(paths):
    try:
        pid, reader = start(path)
    except OSError as error:
        answers[number] = [0, error.errno]
        continue
    waiting[reader] = (number, pid)
    poll.register(reader, select.POLLIN)
while waiting:
    left = begun + timeout - time.monotonic()
    ready = poll.poll(left * 1000) if left > 0 else []
    if not ready:
        break
    for fd, _ in ready:
        number, pid = waiting.pop(fd)
        poll.unregister(fd)
        said = os.read(fd, 65536)
        os.close(fd)
        os.waitpid(pid, 0)
        answers[number] = [time.monotonic() - begun, json.loads(said) if said else 5]
left = {{}}
for number, pid in waiting.values():
    left[pid] = (number, started(pid))
    os.kill(pid, signal.SIGKILL)
until = time.monotonic() + 0.3
while left and time.monotonic() < until:
    for pid in list(left):
        if os.waitpid(pid, os.WNOHANG)[0]:
            del left[pid]
    time.sleep(0.01)
json.dump({{"answers": answers, "left": [[number, pid, at] for pid, (number, at) in left.items()]}}, sys.stdout)
'''


@dataclass(frozen=True)
class Space:
    """statvfs(3) in bytes. ``free`` is what root may use, ``available`` others. ``files`` 0: inodes are made as needed."""

    size: int
    free: int
    available: int
    files: int
    files_free: int


@dataclass(frozen=True)
class Answer:
    """One path. ``space`` or ``problem``, never both; ``errno`` is 0 when there was no answer in time.

    ``real``: the path itself or what exists of it, without symbolic links. ``pid`` and ``started`` (clock ticks since boot) name
    the child that could not be killed, 0 without one.
    """

    path: str
    space: Optional[Space] = None
    problem: str = ""
    errno: int = 0
    real: str = ""
    duration: Optional[float] = None
    pid: int = 0
    started: int = 0

    @property
    def late(self) -> bool:
        """It did not answer in its time."""
        return self.space is None and self.errno == 0 and self.duration is not None


def ask(paths: Sequence[str], timeout: float, look: str = LOOK) -> Mapping[str, Answer]:
    """Ask all paths (64 at most) at the same time; ``timeout`` seconds and a little more in all. Never raises.

    An answer that has neither a space nor an errno nor a duration could not be had for another reason.
    """
    paths = list(dict.fromkeys(paths))[:MOST]
    if not paths:
        return {}
    ran = programs.run((sys.executable, "-I", "-S", "-E", "-c", _HELPER.format(look=look), json.dumps(paths), str(timeout)),
                       timeout + _MARGIN, _LIMIT)
    try:
        said = json.loads(ran.output) if ran.ok else {}
        answers = [_answer(path, one, timeout) for path, one in zip(paths, said["answers"])]
        left = {int(number): (int(pid), int(at)) for number, pid, at in said["left"]}
    except (ValueError, TypeError, LookupError, RecursionError):
        why = say("the filesystem could not be asked: {said_why}", said_why=ran.trouble or say("no answer"))
        return {path: Answer(path, problem=why) for path in paths}
    return {one.path: Answer(one.path, problem=one.problem, duration=timeout, pid=left[number][0], started=left[number][1])
            if number in left else one for number, one in enumerate(answers)}


def _answer(path: str, said: Any, timeout: float) -> Answer:
    import os

    if said is None:
        return Answer(path, problem=say("no answer within {seconds:g} s", seconds=timeout), duration=timeout)
    duration, value = float(said[0]), said[1]
    if isinstance(value, int):
        return Answer(path, problem=os.strerror(value), errno=value, duration=duration)
    real, block, blocks, free, available, files, files_free = value
    return Answer(path, Space(block * blocks, block * free, block * available, files, files_free), "", 0, str(real),
                  duration)
