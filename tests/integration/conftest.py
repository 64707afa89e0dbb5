"""A throw-away VM for each test, with everything in it ended afterwards by its pid."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.programs import Missing, program
from demo.standin import StandIn

Make = Callable[..., StandIn]


@pytest.fixture
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """``make({"restart.enabled": False})``: a VM with these settings. It is readable for all users, as a VM's folders are."""
    machines: list[StandIn] = []

    def build(settings: Any = None) -> StandIn:
        folder = Path(tempfile.mkdtemp(prefix="waguard-vm-"))
        folder.chmod(0o755)
        machines.append(StandIn(folder, settings))
        return machines[-1]

    yield build
    for machine in machines:
        failed = getattr(request.node, "failed", False)
        log = machine.folder / "guard.log"
        if failed and log.exists():
            print(f"--- {log}\n{log.read_text()}")
        machine.close()
        pids = machine.agent_pids()
        shutil.rmtree(machine.folder)
        assert pids == []


@pytest.fixture
def vm(make: Make) -> StandIn:
    """A VM where the agent and the guard run, and the guard has seen it work."""
    machine = make()
    machine.start_agent()
    machine.start_guard()
    machine.wait_for("running")
    return machine


@pytest.fixture(scope="session")
def promtool() -> str:
    """Path of Prometheus' promtool. In CI a missing one fails; elsewhere it skips."""
    try:
        return program("promtool")
    except Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome: Any = yield
    if outcome.get_result().failed:
        item.failed = True  # type: ignore[attr-defined]
