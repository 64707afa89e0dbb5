"""The guard's two sockets with everything real but the guard itself, turned by a thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from waguard import varlink
from waguard.decide.restart import PolicyState
from waguard.guard.events import History
from waguard.guard.methods import Methods
from waguard.guard.sockets import Listener
from waguard.settings import Settings
from waguard.varlink import Connection

from .conftest import Disk, Turning

Answer = Callable[[str, str], None]


class FakeGuard:
    """What the methods ask of a guard. ``orders``: what it was told; ``refusal``: what it says to the next order."""

    def __init__(self) -> None:
        self.settings = Settings()
        self.orders: list[tuple[Any, ...]] = []
        self.refusal = ""
        self.error: Optional[Exception] = None
        self.verbose = self
        self.memory = self
        self.policy = PolicyState()
        self.visits: Any = None

    def turn_on(self, seconds: Optional[float], restart: bool, by: str, answer: Answer) -> None:
        self._told("on", seconds, restart, by)
        answer("" if self.refusal else "done", self.refusal)

    def turn_off(self, by: str, answer: Answer) -> None:
        self._told("off", by)
        answer("" if self.refusal else "done", self.refusal)

    def ask_restart(self, why: str, force: bool, answer: Callable[[str], None]) -> None:
        self._told("restart", why, force)
        answer(self.refusal)

    def pause(self, seconds: Optional[float], by: str) -> None:
        self._told("pause", seconds, by)

    def resume(self, by: str) -> bool:
        self._told("resume", by)
        return not self.refusal

    def _told(self, *order: Any) -> None:
        if self.error is not None:
            raise self.error
        self.orders.append(order)


SNAPSHOT = {"agent": {"versions": {"daemon": "2.7.3.0", "goal_state": None, "distro": None}}}


class Serving:
    """Both listeners, as waguard.guard.main puts them together."""

    def __init__(self, root: Path) -> None:
        self.root, self.loop, self.warnings = root, Turning(), []
        self.guard = FakeGuard()
        self.snapshot: Mapping[str, Any] = SNAPSHOT
        for name in ("run", "lib"):
            (root / name).mkdir()
        self.disk = Disk()
        self.history = History(root / "run", root / "lib", self.disk, 2000)
        self.history.load()
        self.diagnosed = 0
        self.methods = Methods(self.guard, self.history, lambda: self.snapshot, self._diagnosis)  # type: ignore[arg-type]
        self.listeners = [
            Listener(self.loop, root / "status", 0o666, None, self.methods.service(acting=False), self.warnings.append),
            Listener(self.loop, root / "control", 0o660, None, self.methods.service(acting=True), self.warnings.append)]
        self.methods.who, self.methods.settle = self._who, self._settle
        self._thread = threading.Thread(target=self.loop.run)

    def _diagnosis(self) -> Mapping[str, Any]:
        self.diagnosed += 1
        return {"number": self.diagnosed}

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        if self._thread.ident is not None:
            self.loop.stop()
            self._thread.join()
        for listener in self.listeners:
            listener.close()
        self.disk.finish()
        self.loop.close()

    def call(self, method: str, parameters: Mapping[str, Any] = {}, control: bool = True) -> dict[str, Any]:
        path = self.root / ("control" if control else "status")
        return varlink.call(path, f"io.waguard.{method}", parameters, 30.0)

    def error(self, method: str, parameters: Mapping[str, Any] = {}, control: bool = True) -> tuple[str, Any]:
        """The error that a call is answered with."""
        try:
            answer = self.call(method, parameters, control)
        except varlink.RemoteError as error:
            return error.name.rpartition(".")[2], error.parameters
        raise AssertionError(f"{method} {parameters} was answered {answer}")

    def event(self, message: str) -> None:
        """Make an event in the loop."""
        self.loop.soon(lambda: self._add(message))

    def _add(self, message: str) -> None:
        self.history.add(time.time(), "guard-trouble", message, {})

    @property
    def clients(self) -> int:
        return sum(listener.clients for listener in self.listeners)

    def _who(self, connection: Connection) -> str:
        peers = [listener.peer(connection) for listener in self.listeners]
        return next(f"uid {peer.uid}" for peer in peers if peer is not None)

    def _settle(self, connection: Connection) -> None:
        for listener in self.listeners:
            if listener.has(connection):
                listener.settle(connection)


def wait(found: Callable[[], object], what: str = "it", seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not found():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.005)
