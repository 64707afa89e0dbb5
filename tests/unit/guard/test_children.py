"""waguard.guard.children: real programs that end in every way there is."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import pytest

from waguard.guard import children as module
from waguard.guard.children import Children, Finished

from .conftest import Turning, descriptors


def run(
    loop: Turning, argv: Sequence[str], timeout: float = 60.0, environment: Optional[dict[str, str]] = None
) -> Finished:
    """Run to its end, and be sure that it is told once and nothing stays behind."""
    before = descriptors()
    children = Children(loop, time.monotonic, environment)
    ends: list[Finished] = []
    children.run(argv, timeout, ends.append)
    loop.until(lambda: ends, f"the end of {argv}")
    loop.settle()
    assert len(ends) == 1
    assert children.count == 0
    assert descriptors() <= before
    return ends[0]


def python(loop: Turning, code: str, timeout: float = 60.0) -> Finished:
    return run(loop, [sys.executable, "-c", code], timeout)


@pytest.mark.parametrize("code", [0, 1, 2, 127, 255])
def test_exit_status(loop: Turning, code: int) -> None:
    found = run(loop, ["sh", "-c", f"echo out; echo err >&2; exit {code}"])
    assert (found.code, found.output, found.errors, found.problem, found.ok) == (code, "out\n", "err\n", "", code == 0)
    assert found.trouble == f"'sh -c echo out; echo err >&2; exit {code}': exit status {code}: err"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_ended_by_a_signal(loop: Turning, number: signal.Signals) -> None:
    found = run(loop, ["sh", "-c", f"kill -{number.value} $$"])
    assert found.code == -number
    assert found.trouble.endswith(f": signal {number.value}")


@pytest.mark.parametrize(
    "argv", [["/nonexistent/waguard"], ["/etc/passwd"], ["/"], ["with\0nul"], ["sh", "a\0b"], [""]]
)
def test_cannot_be_started(loop: Turning, argv: list[str]) -> None:
    found = run(loop, argv)
    assert found.code is None
    assert "cannot be started: " in found.trouble
    assert not found.ok


def test_the_end_is_told_from_the_loop_also_when_it_cannot_be_started(loop: Turning) -> None:
    ends: list[Finished] = []
    Children(loop, time.monotonic).run(["/nonexistent/waguard"], 1.0, ends.append)
    assert ends == []
    loop.until(lambda: ends)


def test_no_descriptor_left_for_the_pidfd(loop: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is started already: it is ended again, and told like one that could not be started."""
    def refuse(_pid: int) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    found = run(loop, ["sleep", "1000"])
    assert found.code is None
    assert found.problem == "cannot be started: Too many open files"


def test_output_larger_than_a_pipe(loop: Turning) -> None:
    found = python(loop, "import os\nos.write(1, b'a' * 200000)\nos.write(2, b'b' * 200000)")
    assert (found.output, found.errors) == ("a" * 200000, "b" * 200000)


def test_output_beyond_the_bound_is_dropped_and_the_program_ends(loop: Turning) -> None:
    found = python(loop, "import os\nfor _ in range(100): os.write(1, b'a' * 100000)")
    assert found.ok
    assert 256 * 1024 <= len(found.output) <= 512 * 1024
    assert set(found.output) == {"a"}


def test_output_that_is_not_utf_8(loop: Turning) -> None:
    assert python(loop, r"import os; os.write(1, b'a\xff\xfeb\x00c')").output == "a\ufffd\ufffdb\x00c"


def test_stdin_is_closed_and_the_rest_is_clean(loop: Turning) -> None:
    code = "import os, sys; print([sys.stdin.read(), os.getcwd(), os.environ['LC_ALL'], os.getsid(0) == os.getpid()])"
    assert python(loop, code).output == "['', '/', 'C.UTF-8', True]\n"


def test_only_the_environment_that_was_given(loop: Turning) -> None:
    found = run(loop, ["env"], environment={"PATH": os.environ["PATH"], "ONE": "1"})
    assert "ONE=1" in found.output
    assert "HOME=" not in found.output


def test_a_grandchild_that_holds_the_pipe_open_is_not_waited_for(loop: Turning, tmp_path: Path) -> None:
    """As a SysV start script leaves its daemon behind. It lives on."""
    found = run(loop, ["sh", "-c", f"sleep 1000 & echo $! > {tmp_path}/pid; echo said"])
    pid = int((tmp_path / "pid").read_text())
    assert (found.code, found.output) == (0, "said\n")
    os.kill(pid, 0)
    os.kill(pid, signal.SIGKILL)


def test_a_grandchild_that_goes_on_writing_does_not_hold_up_the_loop(loop: Turning, tmp_path: Path) -> None:
    found = run(loop, ["sh", "-c", f"yes & echo $! > {tmp_path}/pid; sleep 0.2"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert found.ok


def test_a_program_that_never_stops_writing_runs_out_of_time(loop: Turning) -> None:
    found = run(loop, ["yes"], timeout=0.3)
    assert found.code is None
    assert found.problem == "no answer within 0.3 s"


def test_time_out(loop: Turning, tmp_path: Path) -> None:
    found = run(loop, ["sh", "-c", f"echo $$ > {tmp_path}/pid; echo started; exec sleep 1000"], timeout=0.5)
    assert (found.code, found.output, found.problem) == (None, "started\n", "no answer within 0.5 s")
    assert "no answer within 0.5 s: started" in found.trouble
    pid = int((tmp_path / "pid").read_text())
    for _ in range(300):
        run(loop, ["true"])  # reaps it, as every next program does, once it is dead
        if not Path(f"/proc/{pid}").exists():
            return
        time.sleep(0.1)
    pytest.fail("the one that was late lives on")


def test_a_program_that_ignores_sigterm_runs_out_of_time_all_the_same(loop: Turning) -> None:
    assert run(loop, ["sh", "-c", "trap '' TERM; exec sleep 1000"], timeout=0.2).code is None


def test_closing_its_output_is_not_its_end(loop: Turning) -> None:
    found = run(loop, ["sh", "-c", "exec >&- 2>&-; sleep 0.2; exit 7"])
    assert found.code == 7


def test_a_callback_that_raises_leaves_nothing_behind(loop: Turning) -> None:
    before = descriptors()
    children = Children(loop, time.monotonic)

    def fail(_finished: Finished) -> None:
        raise RuntimeError("no")

    children.run(["true"], 60.0, fail)
    loop.until(lambda: loop.errors)
    loop.errors.clear()
    assert children.count == 0
    assert descriptors() <= before


def test_a_callback_can_start_the_next_one(loop: Turning) -> None:
    """stop, and then start: how a restart is done without systemd."""
    children, ends = Children(loop, time.monotonic), []

    def then(finished: Finished) -> None:
        ends.append(finished.output)
        if len(ends) < 5:
            children.run(["echo", str(len(ends))], 60.0, then)

    children.run(["echo", "0"], 60.0, then)
    loop.until(lambda: len(ends) == 5)
    assert ends == ["0\n", "1\n", "2\n", "3\n", "4\n"]


def test_two_hundred_runs_at_once_and_in_turn_leave_no_descriptor_and_no_zombie(loop: Turning) -> None:
    before = descriptors()
    children = Children(loop, time.monotonic)
    ends: list[Finished] = []
    for number in range(200):
        kind = number % 4
        argv = [["true"], ["sh", "-c", "echo x; exit 3"], ["/nonexistent/waguard"], ["sleep", "1000"]][kind]
        children.run(argv, 0.2 if kind == 3 else 60.0, ends.append)
        if number % 10 == 0:
            loop.until(lambda: children.count < 20)
    loop.until(lambda: len(ends) == 200)
    assert descriptors() <= before
    assert children.count == 0
    codes = [finished.code for finished in ends]
    assert (codes.count(0), codes.count(3), codes.count(None)) == (50, 50, 100)

    def zombies() -> list[int]:
        children.run(["true"], 60.0, ends.append)
        loop.until(lambda: children.count == 0)
        pids = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
        return [int(pid) for pid in pids if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"]

    loop.until(lambda: not zombies(), "no zombies")


def test_environment_of_the_house() -> None:
    assert module.ENVIRONMENT["LC_ALL"] == "C.UTF-8"
    assert "/usr/sbin" in module.ENVIRONMENT["PATH"].split(":")
