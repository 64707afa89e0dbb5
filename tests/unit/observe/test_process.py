"""Processes: real ones that the tests start, and a made-up /proc for what cannot be brought about at will."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable, Optional

import pytest

from waguard.agent import processes
from waguard.observe import process

AGENT = '''\
import os, subprocess, sys, threading
if "-daemon" in sys.argv:
    for _ in range(int(os.environ["HANDLERS"])):
        subprocess.Popen([sys.executable, "-u", __file__, "-run-exthandlers"], stdout=subprocess.DEVNULL)
    subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL)
    print("ready", flush=True)
threading.Event().wait(600)
'''


def until(true: Callable[[], object]) -> None:
    """Wait for what another process is about to do; how long that takes is not judged."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, "it does not come about"
        time.sleep(0.005)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], int]]:
    """Starts an agent's daemon with so many handlers and another child; gives its pid."""
    script = tmp_path / "waagent"
    script.write_text(AGENT)
    started: list[subprocess.Popen[str]] = []

    def begin(handlers: int) -> int:
        daemon = subprocess.Popen([sys.executable, "-u", str(script), "-daemon"], stdout=subprocess.PIPE, text=True,
                                  start_new_session=True, env={**os.environ, "HANDLERS": str(handlers)})
        started.append(daemon)
        assert daemon.stdout is not None and daemon.stdout.readline() == "ready\n"
        return daemon.pid

    yield begin
    for daemon in started:
        os.killpg(daemon.pid, signal.SIGKILL)
        daemon.communicate()


class TestRealOnes:
    def test_ourselves(self) -> None:
        found = process.read(os.getpid())
        assert found is not None
        assert (found.pid, found.parent, found.state) == (os.getpid(), os.getppid(), "R")
        assert 0 < found.started <= time.clock_gettime(time.CLOCK_BOOTTIME)
        assert found.resident_bytes > 1 << 20 and found.cpu_seconds > 0
        assert not found.blocked

    def test_a_daemon_and_its_handler(self, start: Callable[[int], int]) -> None:
        pid = start(1)
        daemon = process.read(pid)
        assert daemon is not None and processes.is_daemon(daemon.argv)
        until(lambda: process.handler_of(pid))
        handler = process.handler_of(pid)
        assert handler is not None and handler.parent == pid and processes.is_handler(handler.argv)
        assert set(process.children(pid)) > {handler.pid}, "the other child is none"

    def test_of_two_handlers_the_newest(self, start: Callable[[int], int]) -> None:
        """Two for up to 15 minutes are normal after a restart (rule 12)."""
        pid = start(2)
        handlers = lambda: [child for child in map(process.read, process.children(pid)) if child and processes.is_handler(child.argv)]
        until(lambda: len(handlers()) == 2)
        newest = process.handler_of(pid)
        assert newest is not None and newest.started == max(child.started for child in handlers())

    def test_no_handler(self, start: Callable[[int], int]) -> None:
        assert process.handler_of(start(0)) is None

    def test_a_handler_that_was_killed_and_not_reaped_is_none(self, start: Callable[[int], int]) -> None:
        pid = start(1)
        until(lambda: process.handler_of(pid))
        handler = process.handler_of(pid)
        assert handler is not None
        os.kill(handler.pid, signal.SIGKILL)
        until(lambda: process.handler_of(pid) is None)
        assert handler.pid in process.children(pid), "a zombie, still its child"

    def test_a_stopped_one(self, start: Callable[[int], int]) -> None:
        pid = start(0)
        os.kill(pid, signal.SIGSTOP)

        def state() -> Optional[str]:
            found = process.read(pid)
            return found.state if found else None

        until(lambda: state() == "T")
        os.kill(pid, signal.SIGCONT)
        until(lambda: state() == "S")

    @pytest.mark.parametrize("name", ["a b", ") R 1 1", "(((", "()", "x\ny", "é"])
    def test_a_command_name_that_looks_like_the_fields_after_it(self, name: str) -> None:
        script = "import sys; open('/proc/self/comm', 'w').write(sys.argv[1]); print(1, flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", script, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None and child.stdout.readline()
            found = process.read(child.pid)
            assert found is not None and found.parent == os.getpid() and found.state in "SR" and found.argv[-1] == name
            child.communicate()

    def test_a_kernel_thread_or_a_process_without_arguments(self) -> None:
        threads = [pid for pid in os.listdir("/proc") if pid.isdigit() and not _cmdline(pid)]
        for pid in threads[:3]:
            found = process.read(int(pid))
            assert found is None or found.argv == ("",)

    def test_the_same_process_is_told_from_a_successor(self, start: Callable[[int], int]) -> None:
        first, second = process.read(start(0)), process.read(start(0))
        assert first is not None and first.same(process.read(first.pid)) and not first.same(second) and not first.same(None)


def _cmdline(pid: str) -> bytes:
    try:
        return Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return b"gone"


class TestAnEnd:
    def test_makes_the_pidfd_readable(self) -> None:
        child = subprocess.Popen(["sleep", "600"])
        pidfd = process.open_pidfd(child.pid)
        assert pidfd is not None
        assert not select.select([pidfd], [], [], 0)[0]
        child.kill()
        assert select.select([pidfd], [], [], 30)[0]
        os.close(pidfd)
        child.wait()

    def test_a_process_that_is_gone_has_neither_pidfd_nor_anything(self) -> None:
        child = subprocess.Popen(["true"])
        child.wait()
        assert process.open_pidfd(child.pid) is None
        assert process.read(child.pid) is None
        assert process.children(child.pid) == [] and process.handler_of(child.pid) is None

    def test_a_zombie_is_none(self) -> None:
        child = subprocess.Popen(["true"])
        until(lambda: "Z" in Path(f"/proc/{child.pid}/stat").read_text().split(")")[1])
        assert process.read(child.pid) is None
        child.wait()


class Tree:
    """A made-up /proc."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def add(self, pid: int, *, name: str = "python3", argv: tuple[str, ...] = ("waagent", "-daemon"), state: str = "S",
            ticks: int = 500, threads: tuple[tuple[str, str], ...] = (), children: str = "", utime: int = 3, stime: int = 4) -> None:
        home = self.root / str(pid)
        (home / "task").mkdir(parents=True)
        (home / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in argv))
        (home / "stat").write_text(self._stat(pid, name, state, ticks, utime, stime))
        for number, (thread, thread_state) in enumerate(((name, state), *threads)):
            task = home / "task" / str(pid + number)
            task.mkdir()
            (task / "stat").write_text(self._stat(pid + number, thread, thread_state, ticks, utime, stime))
            (task / "children").write_text(children if number == 0 else "")

    @staticmethod
    def _stat(pid: int, name: str, state: str, ticks: int, utime: int, stime: int) -> str:
        fields = [state, "1", "1", "1", "0", "-1", "4194560", "0", "0", "0", "0", str(utime), str(stime), "0", "0", "20", "0", "1", "0",
                  str(ticks), "1000000", "2048", *["0"] * 28]
        return f"{pid} ({name}) {' '.join(fields)}\n"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


class TestMadeUpOnes:
    def test_fields(self, tree: Tree) -> None:
        tree.add(7, argv=("/usr/bin/python3", "-u", "/usr/sbin/waagent", "-daemon"))
        found = process.read(7, tree.root)
        ticks = os.sysconf("SC_CLK_TCK")
        assert found == process.Process(7, 1, ("/usr/bin/python3", "-u", "/usr/sbin/waagent", "-daemon"), "S", 500 / ticks, 7 / ticks,
                                        2048 * os.sysconf("SC_PAGE_SIZE"))

    def test_threads_in_state_d(self, tree: Tree) -> None:
        tree.add(7, threads=(("MonitorHandler", "S"), ("Env) D (Handler", "D"), ("a b", "D")))
        found = process.read(7, tree.root)
        assert found is not None and found.blocked and found.blocked_threads == ("Env) D (Handler", "a b")

    def test_the_main_thread_too(self, tree: Tree) -> None:
        tree.add(7, name="waagent", state="D")
        found = process.read(7, tree.root)
        assert found is not None and found.blocked_threads == ("waagent",)

    @pytest.mark.parametrize("state", ["Z", "X", "x"])
    def test_the_dead_are_none(self, tree: Tree, state: str) -> None:
        tree.add(7, state=state)
        assert process.read(7, tree.root) is None

    @pytest.mark.parametrize("missing", ["cmdline", "stat", "task/7", "task", "."])
    def test_one_that_vanishes_while_it_is_read_is_gone_or_whole(self, tree: Tree, missing: str) -> None:
        tree.add(7)
        path = tree.root / "7" / missing
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        found = process.read(7, tree.root)
        assert found is None or (missing == "task/7" and found.blocked_threads == ())

    def test_bytes_that_are_no_text(self, tree: Tree) -> None:
        tree.add(7)
        (tree.root / "7" / "cmdline").write_bytes(b"/usr/bin/waagent\0\xff\xfe\0\0")
        found = process.read(7, tree.root)
        assert found is not None and found.argv[0] == "/usr/bin/waagent" and len(found.argv) == 2

    def test_children_of_all_threads(self, tree: Tree) -> None:
        tree.add(7, threads=(("helper", "S"),), children="101 102 ")
        (tree.root / "7" / "task" / "8" / "children").write_text("103 ")
        assert process.children(7, tree.root) == [101, 102, 103]

    def test_a_thread_that_ends_meanwhile_hides_no_children_of_the_others(self, tree: Tree) -> None:
        tree.add(7, threads=(("helper", "S"),), children="101 ")
        gone = tree.root / "7" / "task" / "6"
        gone.symlink_to("nowhere")
        assert process.children(7, tree.root) == [101]

    def test_a_kernel_that_does_not_tell_of_children_is_no_daemon_without_handler(self, tree: Tree) -> None:
        tree.add(7)
        (tree.root / "7" / "task" / "7" / "children").unlink()
        with pytest.raises(OSError, match="CONFIG_PROC_CHILDREN"):
            process.handler_of(7, tree.root)

    def test_only_handlers_count_and_the_newest_of_them(self, tree: Tree) -> None:
        handler = ("python3", "-u", "bin/WALinuxAgent-2.15.0.1-py3.12.egg", "-run-exthandlers")
        tree.add(7, children="20 30 40 50 60")
        tree.add(20, argv=handler, ticks=600)
        tree.add(30, argv=handler, ticks=900)
        tree.add(40, argv=("/usr/sbin/waagent", "-collect-logs"), ticks=950)
        tree.add(50, argv=("grep", "-run-exthandlers"), ticks=960)
        # 60 has ended meanwhile
        found = process.handler_of(7, tree.root)
        assert found is not None and found.pid == 30
