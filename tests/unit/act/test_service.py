"""The two service managers: what they are asked, and what is made of their answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Callable, Optional

import pytest

from waguard.act import service
from waguard.act.service import Command, Systemd
from waguard.decide.restart import Action
from waguard.guard.children import Finished
from waguard.observe import Known, Observation, Unknown
from waguard.observe.unit import UnitState

NOW = 500.0
SHOWN = "Id=walinuxagent.service\nLoadState=not-found\n\nId=waagent.service\nLoadState=loaded\nActiveState=active\nMainPID=7\n"


class Programs:
    """In the place of guard.children.Children: notes what is to be run, and answers as it was told to."""

    def __init__(self) -> None:
        self.ran: list[tuple[str, ...]] = []
        self.answers: dict[str, Finished] = {}

    def answer(self, program: str, code: Optional[int] = 0, output: str = "", errors: str = "", problem: str = "") -> None:
        """How a command line with this word in it ends."""
        self.answers[program] = Finished((program,), code, output, errors, 0.1, problem)

    def run(self, argv: Sequence[str], timeout: float, done: Callable[[Finished], None]) -> None:
        assert timeout > 0
        self.ran.append(tuple(argv))
        found = next((self.answers[word] for word in argv if word in self.answers), None)
        done(found or Finished(tuple(argv), 0, "", "", 0.1))


@pytest.fixture
def programs() -> Programs:
    return Programs()


def looked(manager: Any) -> Observation[UnitState]:
    answers: list[Observation[UnitState]] = []
    manager.look(answers.append)
    answer, = answers
    return answer


def ordered(manager: Any, action: Action, state: UnitState) -> tuple[bool, str]:
    answers: list[tuple[bool, str]] = []
    manager.carry_out(action, state, lambda ok, trouble: answers.append((ok, trouble)))
    answer, = answers
    return answer


class TestSystemd:
    @pytest.fixture
    def systemd(self, programs: Programs) -> Systemd:
        return Systemd(programs, lambda: NOW, service.service_name("auto"), 120.0)  # type: ignore[arg-type]

    def test_both_names_are_probed_and_one_is_taken(self, systemd: Systemd, programs: Programs) -> None:
        programs.answer("show", output=SHOWN)
        seen = looked(systemd)
        assert isinstance(seen, Known) and (seen.value.name, seen.value.main_pid, seen.at) == ("waagent.service", 7, NOW)
        assert programs.ran[0][-2:] == ("walinuxagent.service", "waagent.service")

    def test_neither_is_there(self, systemd: Systemd, programs: Programs) -> None:
        programs.answer("show", output="Id=walinuxagent.service\nLoadState=not-found\n\nId=waagent.service\nLoadState=not-found\n")
        seen = looked(systemd)
        assert isinstance(seen, Known) and not seen.value.loaded

    @pytest.mark.parametrize(("code", "output", "errors", "problem", "why"), [
        (1, "", "Failed to connect to bus: Connection refused\n", "", "exit status 1: Failed to connect to bus"),
        (None, "", "", "no answer within 10 s", "no answer within 10 s"), (-9, "", "", "", "signal 9"), (0, "\n", "", "", "printed nothing")])
    def test_no_answer_is_not_known(self, systemd: Systemd, programs: Programs, code: Optional[int], output: str, errors: str,
                                    problem: str, why: str) -> None:
        programs.answer("show", code, output, errors, problem)
        seen = looked(systemd)
        assert isinstance(seen, Unknown) and why in seen.why

    @pytest.mark.parametrize("action", list(Action))
    def test_one_order_for_one_action(self, systemd: Systemd, programs: Programs, action: Action) -> None:
        assert ordered(systemd, action, UnitState("waagent.service", active="inactive")) == (True, "")
        assert programs.ran == [("systemctl", action.value, "waagent.service")]

    @pytest.mark.parametrize("result", ["start-limit-hit", "exit-code", "signal"])
    def test_a_unit_that_failed_is_reset_first(self, systemd: Systemd, programs: Programs, result: str) -> None:
        """systemd 252 keeps the last end's Result= when a unit runs into its limit, and refuses the start (test_unit.py)."""
        ordered(systemd, Action.START, UnitState("waagent.service", active="failed", result=result))
        assert programs.ran == [("systemctl", "reset-failed", "waagent.service"), ("systemctl", "start", "waagent.service")]

    def test_a_reset_that_fails_does_not_keep_it_from_trying(self, systemd: Systemd, programs: Programs) -> None:
        programs.answer("reset-failed", 1)
        assert ordered(systemd, Action.START, UnitState("waagent.service", active="failed")) == (True, "")

    def test_a_refusal_says_why(self, systemd: Systemd, programs: Programs) -> None:
        programs.answer("restart", 1, errors="Failed to restart waagent.service: Unit waagent.service is masked.\n")
        ok, trouble = ordered(systemd, Action.RESTART, UnitState("waagent.service", active="active"))
        assert not ok and "Unit waagent.service is masked." in trouble


AGENT = "import threading; threading.Event().wait(600)"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like the agent's daemon."""
    script = tmp_path / "waagent"
    script.write_text(AGENT)
    with subprocess.Popen([sys.executable, "-u", str(script), "-daemon"]) as process:
        # For a moment after exec the kernel has no command line for it yet.
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():
            time.sleep(0.001)
        yield process
        process.kill()


class TestCommand:
    @pytest.fixture
    def pid_file(self, tmp_path: Path) -> Path:
        return tmp_path / "waagent.pid"

    @pytest.fixture
    def command(self, programs: Programs, pid_file: Path) -> Command:
        return Command(programs, lambda: NOW, "waagent", lambda: pid_file, ["service", "{name}", "start"],  # type: ignore[arg-type]
                       ["service", "{name}", "stop"], 120.0)

    def test_a_daemon_that_runs(self, command: Command, pid_file: Path, daemon: subprocess.Popen[bytes]) -> None:
        pid_file.write_text(f"{daemon.pid}\n")
        seen = looked(command)
        assert isinstance(seen, Known)
        assert (seen.value.active, seen.value.main_pid, seen.value.kind) == ("active", daemon.pid, "command")
        assert seen.value.invocation.startswith(f"{daemon.pid}@") and seen.value.started_ever and seen.value.settled

    @pytest.mark.parametrize("text", ["", "\n", "soon", "-1", "0", "4194305", "9" * 3000, "\u00b2", "1 2"])
    def test_a_pid_file_that_names_no_process(self, command: Command, pid_file: Path, text: str) -> None:
        pid_file.write_text(text, "utf-8")
        seen = looked(command)
        assert isinstance(seen, Unknown) or seen.value.active == "inactive"

    def test_no_pid_file(self, command: Command) -> None:
        seen = looked(command)
        assert isinstance(seen, Known) and (seen.value.active, seen.value.invocation) == ("inactive", "")

    def test_a_pid_that_belongs_to_another_program_now(self, command: Command, pid_file: Path) -> None:
        """Pids are recycled: the daemon itself falls for this one and exits 0 (facts §1.2)."""
        pid_file.write_text("1")
        seen = looked(command)
        assert isinstance(seen, Known) and seen.value.active == "inactive"

    @pytest.mark.parametrize("kind", ["directory", "huge"])
    def test_a_pid_file_that_cannot_be_read_tells_nothing(self, command: Command, pid_file: Path, kind: str) -> None:
        pid_file.mkdir() if kind == "directory" else pid_file.write_text("1" * 5000)
        assert isinstance(looked(command), Unknown)

    def test_a_start(self, command: Command, programs: Programs) -> None:
        assert ordered(command, Action.START, UnitState("waagent")) == (True, "")
        assert programs.ran == [("service", "waagent", "start")]

    def test_a_restart_is_a_stop_and_a_start_also_when_the_stop_fails(self, command: Command, programs: Programs) -> None:
        programs.answer("stop", 1)
        assert ordered(command, Action.RESTART, UnitState("waagent")) == (True, "")
        assert programs.ran == [("service", "waagent", "stop"), ("service", "waagent", "start")]

    def test_a_start_that_fails_says_why(self, command: Command, programs: Programs) -> None:
        programs.answer("start", None, problem="cannot be started: No such file or directory")
        ok, trouble = ordered(command, Action.START, UnitState("waagent"))
        assert not ok and "No such file or directory" in trouble

    def test_after_an_order_the_daemon_may_take_a_moment_to_write_its_pid(self, command: Command) -> None:
        ordered(command, Action.START, UnitState("waagent"))
        seen = looked(command)
        assert isinstance(seen, Known) and seen.value.active == "activating" and not seen.value.settled


@pytest.mark.parametrize(("setting", "names"), [
    ("auto", ("walinuxagent.service", "waagent.service")), ("waagent", ("waagent.service",)), ("my.service", ("my.service",))])
def test_unit_names(setting: str, names: tuple[str, ...]) -> None:
    assert service.service_name(setting) == names
