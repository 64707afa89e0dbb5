"""waguard in a machine: installed from the package, asked from outside through its sockets, its CLI, its HTTP port and its files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from waguard import varlink

from .machine import Machine, Ran

SETTINGS = "/etc/waguard/conf.d/lab.yaml"
UNIT = "waguard.service"
METRICS = "http://127.0.0.1:10168/metrics"


def package() -> Path:
    """The newest built package. Raises AssertionError when there is none: `make deb` builds it."""
    found = sorted(Path("dist").glob("waguard_*_all.deb"), key=lambda path: path.stat().st_mtime)
    assert found, "dist/ holds no package: run `make deb` first (`make lab` does)"
    return found[-1]


class Guard:
    """A handle on the guard of `machine`. It holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self, settings: str = "") -> None:
        """Installs the package with its maintainer scripts, and waits until the guard has seen the agent."""
        if settings:
            self.machine.write(SETTINGS, settings)
        self.machine.install_deb(package())
        self.wait_ready()

    def wait_ready(self) -> None:
        self.machine.wait_until(lambda: self.snapshot()["agent"]["state"] != "unknown", 30, "the guard to see the agent")

    def settings(self, text: str) -> None:
        """Gives it settings and has it reload them."""
        self.machine.write(SETTINGS, text)
        self.machine.run(["systemctl", "reload", UNIT])

    def pid(self) -> int:
        return int(self.machine.show(UNIT, "MainPID")["MainPID"])

    def ctl(self, *words: str, check: bool = True) -> Ran:
        return self.machine.run(["waguardctl", *words], check=check)

    def snapshot(self) -> dict[str, Any]:
        """What `waguardctl status --json` shows. Tests ask often, so they ask the guard itself, without starting a program."""
        found: dict[str, Any] = self._call("GetSnapshot")["snapshot"]
        return found

    def state(self) -> str:
        return str(self.snapshot()["agent"]["state"])

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """All events, oldest first; of one kind if named."""
        events = self._call("GetEvents", last=10000)["events"]
        return [event for event in events if not kind or event["id"] == kind]

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Raises OSError, which to wait_until is "not yet", when there is no answer."""
        try:
            return varlink.call(self.machine.seen("/run/waguard/status"), f"io.waguard.{method}", parameters)
        except varlink.VarlinkError as error:
            raise OSError(str(error)) from error

    def metrics(self) -> dict[str, float]:
        """A scrape: series (name and labels as exposed) to value."""
        text = self.machine.run(["curl", "-sS", "--max-time", "5", METRICS]).out
        return {match[1]: float(match[2]) for match in re.finditer(r"^([a-z][^#\n]*?) (\S+)$", text, re.MULTILINE)}

    def wait_for(self, kind: str, count: int = 1, timeout: float = 30) -> dict[str, Any]:
        """Until there are `count` events of a kind. Returns the newest."""
        self.machine.wait_until(lambda: len(self.events(kind)) >= count, timeout, f"{count} event(s) {kind}")
        return self.events(kind)[-1]

    def wait_state(self, state: str, timeout: float = 30) -> dict[str, Any]:
        self.machine.wait_until(lambda: self.state() == state, timeout, f"the agent to be {state}")
        return self.snapshot()
