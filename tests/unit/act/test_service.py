"""A service manager that is not systemd: what it is asked, and what is made of its answers."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard.act import service
from waguard.act.service import Command
from waguard.decide.restart import Action
from waguard.observe import Known, Unknown
from waguard.observe.unit import UnitState

from .managers import NOW, Programs, looked, ordered

AGENT = "import threading; threading.Event().wait(600)"


@pytest.fixture
def programs() -> Programs:
    return Programs()


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
