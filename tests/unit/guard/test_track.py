"""waguard.guard.track: real processes that come, end, and are not what they seem."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard.guard.track import Track
from waguard.observe.process import Process

from .conftest import Turning, descriptors

SCRIPT = """
import os, subprocess, sys, time
words = [sys.executable, *sys.argv[:1], "-run-exthandlers"]
for _ in range(int(os.environ.pop("HANDLERS", "0"))):
    subprocess.Popen(words, stdout=subprocess.DEVNULL)
print("ready", flush=True)
time.sleep(1000)
"""


class Agents:
    """Starts stand-ins for the agent's daemon, with handlers below them, and ends them all."""

    def __init__(self, folder: Path) -> None:
        self.script = folder / "waagent"
        self.script.write_text(SCRIPT)
        self.daemons: list[subprocess.Popen[str]] = []
        self.handlers: list[int] = []

    def start(self, handlers: int = 1, verb: str = "-daemon") -> subprocess.Popen[str]:
        words = [sys.executable, str(self.script), verb]
        environment = {**os.environ, "HANDLERS": str(handlers)}
        daemon = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment)
        self.daemons.append(daemon)
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        while len(handlers_of(daemon.pid)) < handlers:
            time.sleep(0.01)
        self.handlers += handlers_of(daemon.pid)
        return daemon

    def end(self) -> None:
        for pid in self.handlers:
            with contextlib.suppress(OSError):
                if os.fsencode(self.script) in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        for daemon in self.daemons:
            daemon.kill()
            end(daemon)


def end(daemon: subprocess.Popen[str]) -> None:
    """Wait for its end and let go of its pipe; its handlers live on."""
    daemon.wait(30)
    assert daemon.stdout is not None
    daemon.stdout.close()


def handlers_of(pid: int) -> list[int]:
    """Children that have become what they are to be."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(word) for word in words if b"-run-exthandlers" in Path(f"/proc/{word}/cmdline").read_bytes()]
    except FileNotFoundError:
        return []


@pytest.fixture
def agents(tmp_path: Path) -> Iterator[Agents]:
    found = Agents(tmp_path)
    yield found
    found.end()


class Followed:
    """A track and the ends that it told."""

    def __init__(self, loop: Turning) -> None:
        self.daemons: list[Process] = []
        self.handlers: list[Process] = []
        self.track = Track(loop, self.daemons.append, self.handlers.append)


@pytest.fixture
def followed(loop: Turning) -> Followed:
    return Followed(loop)


def pid_of(process: object) -> int:
    assert isinstance(process, Process)
    return process.pid


def test_both_are_found_and_their_ends_told_once(loop: Turning, agents: Agents, followed: Followed) -> None:
    daemon = agents.start()
    handler, = handlers_of(daemon.pid)
    for _ in range(3):
        followed.track.look(daemon.pid)
    assert (pid_of(followed.track.daemon), pid_of(followed.track.handler)) == (daemon.pid, handler)
    os.kill(handler, signal.SIGKILL)
    loop.until(lambda: followed.handlers)
    assert followed.track.handler is None
    assert pid_of(followed.track.daemon) == daemon.pid
    daemon.kill()
    loop.until(lambda: followed.daemons)
    loop.settle()
    assert ([process.pid for process in followed.handlers], [process.pid for process in followed.daemons]) == (
        [handler], [daemon.pid])
    assert followed.track.daemon is None


def test_the_newest_of_several_handlers(agents: Agents, followed: Followed) -> None:
    daemon = agents.start(handlers=3)
    followed.track.look(daemon.pid)
    assert pid_of(followed.track.handler) in handlers_of(daemon.pid)


def test_a_pid_that_is_no_daemon_is_not_followed(agents: Agents, followed: Followed) -> None:
    """A stale pid file may name anything."""
    before = descriptors()
    other = agents.start(handlers=0, verb="-version")
    inside = descriptors()
    for pid in (os.getpid(), other.pid, 1, 4194303):
        followed.track.look(pid)
        assert followed.track.daemon is None
        assert followed.track.handler is None
        assert followed.track.problem == ""
    assert descriptors() <= inside
    assert len(inside) == len(before) + 1  # our pipe to it


def test_another_daemon_takes_the_place_of_the_first(loop: Turning, agents: Agents, followed: Followed) -> None:
    one, two = agents.start(), agents.start()
    followed.track.look(one.pid)
    followed.track.look(two.pid)
    assert pid_of(followed.track.daemon) == two.pid
    assert pid_of(followed.track.handler) in handlers_of(two.pid)
    one.kill()
    loop.settle()
    assert followed.daemons == []


def test_a_stopped_and_a_changed_process_are_read_anew(agents: Agents, followed: Followed) -> None:
    daemon = agents.start()
    handler, = handlers_of(daemon.pid)
    os.kill(handler, signal.SIGSTOP)
    while Path(f"/proc/{handler}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.01)
    followed.track.look(daemon.pid)
    assert followed.track.handler is not None
    assert followed.track.handler.state == "T"
    os.kill(handler, signal.SIGCONT)


def test_no_descriptor_is_left_behind(loop: Turning, agents: Agents, followed: Followed) -> None:
    before = descriptors()
    for _ in range(5):
        daemon = agents.start()
        followed.track.look(daemon.pid)
        daemon.kill()
        loop.until(lambda: followed.track.daemon is None)
        followed.track.look(0)
        end(daemon)
    assert descriptors() <= before


def test_an_end_that_a_look_finds_first_is_told_all_the_same(loop: Turning, agents: Agents, followed: Followed) -> None:
    """The daemon ends, and before the loop comes to its pidfd, a look is told that there is none any more."""
    daemon = agents.start()
    followed.track.look(daemon.pid)
    daemon.kill()
    end(daemon)
    followed.track.look(0)
    loop.settle()
    assert [process.pid for process in followed.daemons] == [daemon.pid]


HALF_GONE = """
import ctypes, sys, threading, time
threading.Thread(target=time.sleep, args=(1000,)).start()
print("ready", flush=True)
sys.stdin.readline()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.fixture
def half_gone(tmp_path: Path, followed: Followed) -> Iterator[subprocess.Popen[str]]:
    """A daemon that is followed and then is as one that is on its way out: without a command line, but not gone for its pidfd."""
    script = tmp_path / "half-gone" / "waagent"
    script.parent.mkdir()
    script.write_text(HALF_GONE)
    with subprocess.Popen([sys.executable, str(script), "-daemon"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdin is not None and daemon.stdout is not None
        assert daemon.stdout.readline() == "ready\n"
        followed.track.look(daemon.pid)
        assert pid_of(followed.track.daemon) == daemon.pid
        daemon.stdin.write("\n")
        daemon.stdin.flush()
        while Path(f"/proc/{daemon.pid}/cmdline").read_bytes():
            time.sleep(0.01)
        yield daemon
        daemon.kill()


def test_one_that_is_not_quite_gone_is_told_when_it_is(loop: Turning, half_gone: subprocess.Popen[str], followed: Followed) -> None:
    """On a busy machine a look comes between the two: the end would never be told, and a start be decided without it."""
    for _ in range(3):
        followed.track.look(0)
    loop.settle()
    assert (followed.daemons, followed.track.ending) == ([], True)
    half_gone.kill()
    loop.until(lambda: followed.daemons)
    loop.settle()
    assert ([process.pid for process in followed.daemons], followed.track.ending) == ([half_gone.pid], False)


def test_one_that_is_not_quite_gone_is_told_when_another_is_there(
    loop: Turning, agents: Agents, half_gone: subprocess.Popen[str], followed: Followed
) -> None:
    other = agents.start()
    followed.track.look(other.pid)
    assert [process.pid for process in followed.daemons] == [half_gone.pid]
    assert (pid_of(followed.track.daemon), followed.track.ending) == (other.pid, False)


def test_one_that_lives_on_without_its_service_is_left(agents: Agents, followed: Followed) -> None:
    daemon = agents.start()
    followed.track.look(daemon.pid)
    followed.track.look(0)
    assert (followed.track.daemon, followed.track.ending) == (None, False)
