"""Running programs: how they end, what they say, and that none of them holds the caller up."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from waguard.observe import programs
from waguard.observe.programs import Ran, run


def sh(script: str, timeout: float = 20.0, limit: int = 65536, **environment: str) -> Ran:
    return run(["sh", "-c", script], timeout, limit, environment)


def test_what_a_program_says_and_how_it_ends() -> None:
    assert sh("echo out; echo err >&2; exit 3") == Ran(3, "out\n", "err\n", "")
    assert sh("exit 0").ok and not sh("exit 3").ok


@pytest.mark.parametrize(("script", "trouble"), [
    ("exit 0", ""),
    ("exit 3", "exit status 3"),
    ("echo a; echo b; exit 3", "exit status 3: b"),
    ("echo a; echo first >&2; echo last >&2; exit 1", "exit status 1: last"),
    ("kill -9 $$", "signal 9"),
])
def test_trouble_is_one_line_for_a_person(script: str, trouble: str) -> None:
    assert sh(script).trouble == trouble


@pytest.mark.parametrize(("argv", "problem"), [
    (["no-such-program"], "cannot be started: No such file or directory"),
    (["/"], "cannot be started: Permission denied"),
    (["a\0b"], "cannot be started: embedded null byte"),
    ([], "cannot be started"),
    (["\ud800"], "cannot be started"),
])
def test_what_cannot_be_started_is_said_and_not_raised(argv: list[str], problem: str) -> None:
    ran = run(argv, 5.0)
    assert ran.code is None and ran.problem.startswith(problem) and ran.trouble


def test_it_is_closed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """No terminal, no input, no variables of the caller but one, a session of its own, the root directory."""
    monkeypatch.setenv("SECRET", "secret")
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    ran = sh("cat; pwd; echo $LC_ALL $HOME $SECRET $MORE $TMPDIR; ps -o sid= -p $$; echo $$", MORE="more")
    directory, variables, session, pid = ran.output.split("\n")[:4]
    assert (directory, variables) == ("/", "C.UTF-8 / more /var/tmp")
    assert session.strip() == pid.strip() != str(os.getsid(0))


def test_one_that_takes_too_long_is_killed_with_all_its_children(tmp_path: Path) -> None:
    ran = sh(f"echo begun; sleep 987 & echo $! > {tmp_path}/pid; wait", 0.5)
    assert (ran.code, ran.output, ran.problem) == (None, "begun\n", "no answer within 0.5 s")
    pid = int((tmp_path / "pid").read_text())
    for _ in range(200):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.02)
    pytest.fail("its child lives on")


def test_one_that_ignores_everything_but_the_kill_is_not_waited_for_either() -> None:
    assert sh("trap '' TERM INT HUP; while :; do sleep 0.05; done", 0.3).problem == "no answer within 0.3 s"


def test_one_that_closed_its_output_and_goes_on_is_still_bounded() -> None:
    assert sh("exec >&- 2>&-; sleep 987", 0.3).problem == "no answer within 0.3 s"


def test_a_child_left_in_the_background_is_not_waited_for(tmp_path: Path) -> None:
    ran = sh(f"sleep 30 & echo $! > {tmp_path}/pid; echo done", 25.0)
    os.kill(int((tmp_path / "pid").read_text()), 9)
    assert ran == Ran(0, "done\n", "", "")


def test_what_it_writes_just_before_its_end_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when it writes and ends in the very moment between two looks, while something else holds the pipes open."""
    real = select.poll

    class Late:
        """A poll that waits and sees nothing, and by the time it says so the program has ended."""

        def __init__(self) -> None:
            self.real, self.waited = real(), False
            self.register, self.unregister = self.real.register, self.real.unregister

        def poll(self, milliseconds: float) -> list[tuple[int, int]]:
            if self.waited or not milliseconds:
                return self.real.poll(milliseconds)
            self.waited = True
            time.sleep(0.5)
            return []

    monkeypatch.setattr("select.poll", Late)
    assert sh("sleep 3 & echo said") == Ran(0, "said\n", "", "")


class TestMuch:
    def test_more_output_than_the_limit_ends_it(self) -> None:
        ran = sh("yes", limit=2048)
        assert (ran.code, len(ran.output), ran.problem) == (None, 2048, "more than 2 KiB of output")

    def test_as_much_as_the_limit_is_not_too_much(self) -> None:
        assert sh("head -c 2048 /dev/zero", limit=2048) == Ran(0, "\0" * 2048, "", "")
        assert sh("head -c 2049 /dev/zero", limit=2048).code is None

    def test_of_its_complaints_the_rest_is_dropped(self) -> None:
        ran = sh("head -c 1000000 /dev/zero >&2; echo fine")
        assert (ran.code, ran.output, len(ran.errors)) == (0, "fine\n", 4096)

    def test_more_than_a_pipe_holds_is_read(self) -> None:
        assert len(sh("head -c 300000 /dev/zero", limit=1 << 20).output) == 300000

    def test_what_is_not_text_is_replaced(self) -> None:
        assert sh("printf '\\377x'").output == "\ufffdx"


class TestUndead:
    """State D cannot be made here: a process that its caller may not signal stands for it."""

    def test_what_does_not_die_is_left_behind_and_collected_later(self, monkeypatch: pytest.MonkeyPatch) -> None:
        killed: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(programs.os, "killpg", lambda pid, _signal: killed.append(pid))
            assert sh("sleep 987", 0.2).problem == "no answer within 0.2 s"
        assert [process.pid for process in programs._undead] == killed
        os.killpg(killed[0], 9)
        programs._undead[0].wait()
        assert sh("true").ok and programs._undead == []


def test_no_descriptor_stays_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for script in ("true", "yes", "sleep 9"):
        sh(script, 0.1, 1024)
    run(["no-such-program"], 1.0)
    assert len(os.listdir("/proc/self/fd")) == before


def test_importing_it_is_cheap() -> None:
    code = "import sys, waguard.observe.programs; print('subprocess' in sys.modules or 'select' in sys.modules)"
    assert subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True,
                          cwd=Path(__file__).parents[3]).stdout == "False\n"


def test_whoever_is_interrupted_leaves_nothing_running(tmp_path: Path) -> None:
    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            run(["sh", "-c", f"echo $$ >{tmp_path}/pid; exec sleep 1000"], timeout=60)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not Path(f"/proc/{int((tmp_path / 'pid').read_text())}").exists()
