"""Processes by pid: a handful of small reads in /proc, whatever else the machine runs, and pidfds for their end.

Field numbers: proc(5). /proc/PID/task/TID/children needs CONFIG_PROC_CHILDREN, which every target distribution sets.
"""

from __future__ import annotations

import errno
import os
import select
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import processes
from waguard.i18n import say

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One process at one look. ``started`` is CLOCK_BOOTTIME seconds; (pid, started) identifies it for good."""

    pid: int
    parent: int
    argv: tuple[str, ...]
    state: str
    started: float
    cpu_seconds: float
    resident_bytes: int
    blocked_threads: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """Some thread is in uninterruptible sleep (state D): no signal reaches it before the kernel lets go."""
        return bool(self.blocked_threads)

    def same(self, other: Optional[Process]) -> bool:
        """Is it the same process, not a successor with a recycled pid?"""
        return other is not None and (self.pid, self.started) == (other.pid, other.started)


def read(pid: int, proc: Path = PROC) -> Optional[Process]:
    """The process, or None when there is none (a zombie counts as none). Raises OSError when it cannot be told."""
    folder = f"{proc}/{pid}"
    try:
        argv = _file(f"{folder}/cmdline")
        stat = _file(f"{folder}/stat").decode("utf-8", "replace")
        blocked = _blocked(folder)
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold blanks and brackets: what counts begins after the last one.
    fields = stat[stat.rindex(")") + 2:].split()
    state = fields[0]
    if state in ("Z", "X", "x"):
        return None
    return Process(
        pid=pid, parent=int(fields[1]), argv=tuple(argv.decode("utf-8", "replace").rstrip("\0").split("\0")),
        state=state, started=int(fields[19]) / _TICKS, cpu_seconds=(int(fields[11]) + int(fields[12])) / _TICKS,
        resident_bytes=int(fields[21]) * _PAGE, blocked_threads=blocked)


def children(pid: int, proc: Path = PROC) -> list[int]:
    """Pids of a process's children; empty when it is gone. Raises OSError, also where the kernel does not tell of children."""
    found: list[int] = []
    try:
        tasks = sorted((proc / str(pid) / "task").iterdir())
    except (FileNotFoundError, ProcessLookupError):
        return found
    for task in tasks:
        try:
            found += [int(word) for word in _file(f"{task}/children").split()]
        except (FileNotFoundError, ProcessLookupError):
            if task.exists():
                why = say("the kernel does not tell of children (CONFIG_PROC_CHILDREN)")
                raise OSError(errno.ENOSYS, why) from None
    return found


def handler_of(daemon: int, proc: Path = PROC) -> Optional[Process]:
    """The daemon's newest child that runs the goal-state loop (``-run-exthandlers``)."""
    found: Optional[Process] = None
    for pid in children(daemon, proc):
        child = read(pid, proc)
        if child is not None and processes.is_handler(child.argv) and (found is None or child.started >= found.started):
            found = child
    return found


def open_pidfd(pid: int) -> Optional[int]:
    """A pidfd that becomes readable when the process ends (pidfd_open(2)); None when it is already gone."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


def has_ended(pidfd: int) -> bool:
    """Has the process of this pidfd ended?"""
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))


def _blocked(folder: str) -> tuple[str, ...]:
    """Names of the threads in state D at this look."""
    names = []
    for task in sorted(os.listdir(f"{folder}/task"), key=int):
        try:
            stat = _file(f"{folder}/task/{task}/stat").decode("utf-8", "replace")
        except (FileNotFoundError, ProcessLookupError):
            continue
        end = stat.rindex(")")
        if stat[end + 2:end + 3] == "D":
            names.append(stat[stat.index("(") + 1:end])
    return tuple(names)


def _file(path: str) -> bytes:
    """A small file of /proc: a file object asks the kernel thrice as much, and this is done for each thread at each look."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        found = data = os.read(fd, 8192)
        while data:
            data = os.read(fd, 65536)
            found += data
        return found
    finally:
        os.close(fd)
