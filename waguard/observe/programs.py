"""Running a program to read what it says: no shell, closed stdin, C locale, a deadline, bounded output.

For short-lived programs that may wait (the doctor, ``waguardctl``). The guard never waits: it has ``guard/children.py``.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from waguard.i18n import message, say

if TYPE_CHECKING:
    import subprocess

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "HOME": "/", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
_ERRORS = 4096
_CHUNK = 65536
_TICK = 0.05
_DYING = 0.2
SENTENCES = (message("signal {number}: {line}"), message("exit status {code}: {line}"),
             message("no answer within {seconds} s: {line}"), message("more than {size} KiB of output: {line}"))
"""What ``Ran.trouble`` says of a program that said something itself, as a reader's language finds it."""
_undead: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Ran:
    """How a program ended. ``code``: exit status, -N for signal N, None when there is a ``problem``.

    ``problem`` is for a person: it could not be started, did not end in time, or said too much. ``output`` and ``errors`` are
    what it wrote until then, of ``errors`` 4 KiB at most; what is not UTF-8 is replaced. ``full``: it said too much.
    """

    code: Optional[int]
    output: str
    errors: str
    problem: str
    full: bool = False

    @property
    def ok(self) -> bool:
        return self.code == 0

    @property
    def trouble(self) -> str:
        """Why it did not succeed, one line for a person; "" when it did."""
        if self.ok:
            return ""
        said = (self.errors.strip() or self.output.strip()).splitlines()
        code = self.code or 0
        ended = say("signal {number}", number=-code) if code < 0 else say("exit status {code}", code=self.code)
        return (self.problem or ended) + (f": {said[-1][:200]}" if said else "")


def _environment(more: Optional[Mapping[str, str]]) -> dict[str, str]:
    inherited = {"TMPDIR": os.environ["TMPDIR"]} if "TMPDIR" in os.environ else {}
    return {**inherited, "PATH": PATH, **ENVIRONMENT, **(more or {})}


def run(argv: Sequence[str], timeout: float, limit: int = 65536, environment: Optional[Mapping[str, str]] = None) -> Ran:
    """Run ``argv`` and wait for its end, ``timeout`` seconds at most and a fifth of a second for its death. Never raises.

    Its working directory is /, and it leads a session of its own, all of which is killed when the time is up or it has written
    more than ``limit`` bytes of output. What does not die, asleep in the kernel (state D), is left behind and not waited for;
    what it started and left in the background is not waited for either. ``environment`` is added to PATH, LC_ALL and HOME;
    only TMPDIR is inherited, the one place where waguard-doctor's sandbox lets its programs write. ``argv[0]`` has to lie on a
    filesystem that answers: nothing bounds the time of execve itself.
    """
    import subprocess

    _undead[:] = [process for process in _undead if process.poll() is None]
    try:
        process = subprocess.Popen(list(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env=_environment(environment), cwd="/", start_new_session=True)
    except (OSError, ValueError, IndexError, UnicodeError) as error:  # ValueError: a NUL in a word
        return Ran(None, "", "", say("cannot be started: {said_error}", said_error=getattr(error, "strerror", None) or error))
    heard = _Heard(process, limit)
    try:
        problem = heard.until(time.monotonic() + timeout)
        problem = say("no answer within {seconds:g} s", seconds=timeout) if problem == "late" else problem
        if problem:
            _kill(process)
        return Ran(None if problem else process.returncode, heard.text(0), heard.text(1), problem, heard.full)
    except BaseException:  # Ctrl-C while it runs: nobody is left to wait for it.
        _kill(process)
        raise
    finally:
        heard.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    import subprocess

    try:
        os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # It became somebody else (setuid): then it has to end by itself.
    try:
        process.wait(_DYING)
    except subprocess.TimeoutExpired:
        _undead.append(process)


class _Heard:
    """What a process writes to its two pipes."""

    def __init__(self, process: subprocess.Popen[bytes], limit: int) -> None:
        assert process.stdout is not None and process.stderr is not None
        self._process, self._limit = process, limit
        self._streams = (process.stdout, process.stderr)
        self._data = (bytearray(), bytearray())
        for stream in self._streams:
            os.set_blocking(stream.fileno(), False)

    def until(self, deadline: float) -> str:
        """Read until the process has ended: "". Else "late", or what is wrong with its output."""
        import select
        import subprocess

        poll = select.poll()
        where = {stream.fileno(): index for index, stream in enumerate(self._streams)}
        for fd in where:
            poll.register(fd, select.POLLIN)
        while where:
            left = deadline - time.monotonic()
            if left <= 0:
                return "late"
            # In this order: what it wrote until its end is in the pipes then. A child of its own may hold them open for longer.
            ended = self._process.poll() is not None
            ready = poll.poll(0 if ended else min(left, _TICK) * 1000)
            if ended and not ready:
                return ""
            for fd, _ in ready:
                if not self._read(fd, where[fd]):
                    poll.unregister(fd)
                    del where[fd]
            if self.full:
                return (say("more than {size} KiB of output", size=self._limit // 1024) if self._limit >= 1024
                        else say("too much output"))
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            return "late"
        return ""

    @property
    def full(self) -> bool:
        """It has written more than the limit to its output."""
        return len(self._data[0]) > self._limit

    def _read(self, fd: int, index: int) -> bool:
        """Read once. False at the end of the stream."""
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return True
        room = (self._limit + 1, _ERRORS)[index] - len(self._data[index])
        self._data[index].extend(data[:max(0, room)])
        return bool(data)

    def text(self, index: int) -> str:
        return bytes(self._data[index][:(self._limit, _ERRORS)[index]]).decode("utf-8", "replace")

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
