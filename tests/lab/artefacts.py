"""What is kept of a machine when a test has failed: all that a person would look at first, as plain files."""

from __future__ import annotations

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from . import agent, fabric
from .copies import loop_devices
from .machine import Machine

REPOSITORY = Path(__file__).parents[2]
ARTEFACTS = REPOSITORY / "lab-artefacts"

COMMANDS = {
    "waagent.log": f"cat {agent.LOG}",
    "fabric-requests.jsonl": f"cat {fabric.REQUESTS}",
    "fabric-control.json": f"cat {fabric.CONTROL}",
    "agent-unit.txt": f"systemctl status --no-pager --full {agent.UNIT}; systemctl show {agent.UNIT}",
    "processes.txt": "ps -eo pid,ppid,stat,wchan:20,lstart,args --forest",
    "mounts.txt": "cat /proc/self/mountinfo",
    "extensions.txt": f"tail -v -n +1 {agent.LIB}/*-*/config/HandlerSt* {agent.LIB}/*-*/status/*",
}
TREES = ("var/lib/waguard", "run/waguard", "var/log/azure")


def directory_for(test: str) -> Path:
    """Where the artefacts of the test with this node id belong."""
    return ARTEFACTS / re.sub(r"[^\w.-]+", "_", test.removeprefix("tests/lab/"))


def forget() -> None:
    """Removes those of the run before: what lies there is of one run. Of several workers (pytest-xdist) only the first does."""
    if os.environ.get("PYTEST_XDIST_WORKER", "gw0") != "gw0":
        return
    shutil.rmtree(ARTEFACTS, ignore_errors=True)


def save(machine: Machine, directory: Path) -> None:
    """Puts all there is into `directory`/<machine's name>. A piece that cannot be had says why in its file, and the
    others are had all the same: a machine is rarely well when a test has failed."""
    into = directory / machine.name
    into.mkdir(parents=True, exist_ok=True)
    _piece(into / "disks.txt", lambda: _thaw(machine))  # first, so that the others do not get stuck
    _piece(into / "console.txt", lambda: machine.console.read_text(errors="replace"))
    _piece(into / "journal.txt", machine.journal)
    for name, command in COMMANDS.items():
        _piece(into / name, lambda command=command: machine.run(command, check=False, timeout=10).out)  # type: ignore[misc]
    _piece(into / "trees.txt", lambda: _trees(machine, into))


def _piece(file: Path, content: Callable[[], str]) -> None:
    try:
        file.write_text(content())
    except Exception as error:  # see save(): whatever it was, it must not hide the test's own failure
        file.write_text(f"could not be had: {type(error).__name__}: {error}\n")


def _thaw(machine: Machine) -> str:
    machine.thaw()
    return "".join(f"{device}\n" for device in loop_devices(machine.home))


def _trees(machine: Machine, into: Path) -> str:
    """Copies TREES out; returns the list of what is in them, sockets included, which a copy leaves out."""
    tar = 'cd / && tar -cz --ignore-failed-read -- "$@" 2>/dev/null | base64'
    packed = machine.run(["sh", "-c", tar, "sh", *TREES])
    subprocess.run(["tar", "-xz", "-C", into], input=base64.b64decode(packed.out), check=True, capture_output=True)
    return machine.run(["sh", "-c", 'cd / && ls -lR -- "$@"', "sh", *TREES], check=False).out
