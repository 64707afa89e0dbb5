"""waguardctl as a process: terminals, pipes that close, full disks, odd encodings, Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

import pytest

from .conftest import FakeGuard, environment

COMMAND = [sys.executable, "-m", "waguard.ctl.main"]


def on_terminal(run_dir: Path, *words: str, **more: str) -> tuple[int, str]:
    """Run with stdout and stderr on a terminal. Returns exit status and what it showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, *words], stdin=slave, stdout=slave, stderr=slave, env=environment(run_dir, **more))
    os.close(slave)
    shown = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:  # EIO: the other end is closed
            break
        if not data:
            break
        shown += data
    os.close(master)
    return process.wait(60), shown.decode()


def run(run_dir: Path, *words: str, stdout: Any = subprocess.PIPE, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.PIPE,
                          timeout=60, encoding="utf-8", env=environment(run_dir, **more))


def test_colour_on_a_terminal(guard: FakeGuard, run_dir: Path) -> None:
    code, shown = on_terminal(run_dir, "status")
    assert code == 0
    assert "\x1b[32m● ok\x1b[0m  \x1b[1magent is running" in shown
    assert shown.count("\x1b[") % 2 == 0
    code, shown = on_terminal(run_dir, "verbose", "on")
    assert "\x1b[33mwarning:\x1b[0m tokens in clear" in shown


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_it_is_not_wanted(guard: FakeGuard, run_dir: Path, more: dict[str, str]) -> None:
    for words in (["status"], ["verbose", "on"], ["events"]):
        code, shown = on_terminal(run_dir, *words, **more)
        assert code == 0
        assert "\x1b" not in shown


def test_an_empty_no_color_is_none(guard: FakeGuard, run_dir: Path) -> None:
    assert "\x1b[" in on_terminal(run_dir, "status", NO_COLOR="")[1]


def test_no_colour_in_a_pipe_and_never_in_json(guard: FakeGuard, run_dir: Path) -> None:
    assert "\x1b" not in run(run_dir, "status").stdout
    assert "\x1b" not in on_terminal(run_dir, "status", "--json")[1]


def test_an_error_is_red_on_a_terminal_only(run_dir: Path) -> None:
    code, shown = on_terminal(run_dir, "status")
    assert code == 1
    assert "\x1b[31mwaguardctl:\x1b[0m the guard does not run" in shown
    assert "\x1b" not in run(run_dir, "status").stderr


def test_restart_says_on_a_terminal_what_it_waits_for(guard: FakeGuard, run_dir: Path) -> None:
    pending = {**guard.snapshot["policy"], "pending_restart": "asked for"}
    verifying = {**guard.snapshot["policy"], "verifying": {"action": "restart", "stage": "handler", "since": 1.0}}
    left = [pending, verifying, guard.snapshot["policy"]]

    def answer() -> dict[str, Any]:
        return {"snapshot": {**guard.snapshot, "policy": left.pop(0) if len(left) > 1 else left[0]}}

    guard.answers["GetSnapshot"] = answer
    code, shown = on_terminal(run_dir, "restart")
    assert shown.splitlines() == ["restarting …", "waiting for its handler …", "the agent works again as pid 412"]
    assert code == 0


@pytest.mark.parametrize(
    "words", [["status"], ["status", "--json"], ["events"], ["config", "show"], ["metrics"], ["--help"]])
def test_a_pipe_that_closes_is_nothing_to_complain_about(guard: FakeGuard, run_dir: Path, words: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        said = run(run_dir, *words, stdout=pipe)
    assert (said.returncode, said.stderr) == (0, "")


def test_a_pipe_that_closes_while_following(guard: FakeGuard, run_dir: Path) -> None:
    event = {"seq": 1, "at": 1763550002.9, "id": "agent-exited", "message": "x" * 1000, "fields": {}}
    guard.snapshot["events"] = [event] * 500
    process = subprocess.Popen([*COMMAND, "events", "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               env=environment(run_dir))
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("words", [["status"], ["metrics"], ["status", "--json"]])
def test_a_full_disk(guard: FakeGuard, run_dir: Path, words: list[str]) -> None:
    """metrics > file.prom on a full disk has to fail, not to leave half a file that looks whole."""
    with Path("/dev/full").open("wb") as full:
        said = run(run_dir, *words, stdout=full)
    assert said.returncode == 1
    assert said.stderr == "waguardctl: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", [["status"], ["resume"], ["metrics"]])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(guard: FakeGuard, run_dir: Path, words: list[str], closed: str) -> None:
    line = f'exec "$0" "$@" {closed}'
    said = subprocess.run(
        ["sh", "-c", line, *COMMAND, *words], capture_output=True, timeout=60, env=environment(run_dir))
    assert said.returncode == 0
    assert said.stderr == b""


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_an_output_that_is_not_utf_8(guard: FakeGuard, run_dir: Path, encoding: str) -> None:
    said = subprocess.run([*COMMAND, "status"], capture_output=True, timeout=60,
                          env=environment(run_dir, PYTHONIOENCODING=encoding))
    assert (said.returncode, said.stderr) == (0, b"")
    assert said.stdout.decode(encoding).startswith("● ok" if encoding == "utf-8" else "? ok")


def test_a_name_that_is_not_utf_8(run_dir: Path) -> None:
    said = subprocess.run([*COMMAND, "status", "--run-dir", b"/nowhere/\xff\xfe"], capture_output=True, timeout=60,
                          env=environment(run_dir))
    assert said.returncode == 1
    assert b"Traceback" not in said.stderr


@pytest.mark.parametrize("how", ["follow", "restart"])
def test_interrupted(guard: FakeGuard, run_dir: Path, how: str) -> None:
    """Following ends well with Ctrl-C, waiting for a restart does not; neither with a traceback."""
    told: Optional[bytes] = None
    if how == "follow":
        guard.answers["GetEvents"] = lambda: {"events": guard.snapshot["events"]}
        words = ["events", "--follow"]
    else:
        guard.snapshot["policy"]["pending_restart"] = "asked for"
        words = ["restart"]
    guard.keep_following = True
    process = subprocess.Popen(
        [*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(run_dir))
    if how == "follow":
        assert process.stdout is not None
        told = process.stdout.readline()
        assert b"SIGKILL" in told
    else:
        while not any(name == "GetSnapshot" for name, _ in guard.calls):
            assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (0 if how == "follow" else 130, b"")
