"""The exporter as a process of its own, a stand-in for its guard, and one Chromium for all tests."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from po import messages
from tests.unit.exporter import vms
from waguard.clock import Clock
from waguard.guard.loop import Loop
from waguard.guard.methods import DESCRIPTION
from waguard.guard.sockets import Listener
from waguard.varlink import Call, Connection, Interface, Service

from .webdriver import Browser

ROOT = Path(__file__).resolve().parents[2]
EXPORTER = [sys.executable, "-m", "waguard.exporter.main"]


class Guard:
    """A status socket in a thread that tells of one snapshot and its events."""

    def __init__(self, path: Path, snapshot: dict[str, Any]) -> None:
        self._snapshot = snapshot
        self._errors: list[BaseException] = []
        self._loop = Loop(Clock(), self._errors.append)
        interface = Interface(DESCRIPTION.read_text(), {"GetSnapshot": self._get_snapshot, "GetEvents": self._get_events})
        self._listener = Listener(self._loop, path, 0o600, None, Service("waguard", "waguard", "0", "", [interface]), print)
        self._thread = threading.Thread(target=self._loop.run)
        self._thread.start()

    def close(self) -> None:
        self._loop.stop()
        self._thread.join()
        self._listener.close()
        assert self._errors == []

    def _get_snapshot(self, connection: Connection, call: Call) -> None:
        connection.reply(call, {"snapshot": self._snapshot})

    def _get_events(self, connection: Connection, call: Call) -> None:
        connection.reply(call, {"events": self._snapshot["events"][-call.parameters["last"]:]})


class Site:
    """The exporter's address, and ``tell``: let its guard tell of another VM, or be gone."""

    def __init__(self, folder: Path, root: Path = ROOT) -> None:
        self._status, self._log = folder / "status", folder / "exporter.log"
        self._guard: Optional[Guard] = None
        arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={self._status}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen([*EXPORTER, *arguments], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
                                             stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.url = self._address()

    def _address(self) -> str:
        for _ in range(300):
            for word in self._log.read_text().split():
                if word.startswith("http://127.0.0.1:"):
                    return f"{word}/"
            time.sleep(0.1)
        raise AssertionError(self._log.read_text())

    def tell(self, snapshot: Optional[dict[str, Any]]) -> str:
        if self._guard is not None:
            self._guard.close()
        self._guard = None if snapshot is None else Guard(self._status, vms.lately(snapshot, time.time()))
        return self.url

    def close(self) -> None:
        self.tell(None)
        self._process.terminate()
        assert self._process.wait(30) == 0
        assert "Traceback" not in self._log.read_text()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with contextlib.closing(Site(tmp_path_factory.mktemp("site"))) as found:
        yield found


def installed(folder: Path) -> Path:
    """A folder with waguard as it is installed: with its translations, which the source tree has not."""
    package = folder / "waguard"
    package.mkdir(parents=True)
    for path in (ROOT / "waguard").iterdir():
        if path.name not in ("locale", "__pycache__"):
            (package / path.name).symlink_to(path)
    messages.compile_to(package / "locale")
    return folder


@pytest.fixture(scope="session")
def spanish_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An exporter that has translations."""
    folder = tmp_path_factory.mktemp("spanish")
    with contextlib.closing(Site(folder, installed(folder / "installed"))) as found:
        yield found


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with started(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture
def spanish_browser(tmp_path: Path) -> Iterator[Browser]:
    """The browser of somebody from Mexico who prefers Spanish."""
    with started(tmp_path, "--accept-lang=es-MX,es") as found:
        yield found


def started(folder: Path, *flags: str) -> contextlib.closing[Browser]:
    """A Chromium. Skips the test where there is none, but in CI."""
    programs = [shutil.which(name) for name in ("chromedriver", "chromium")]
    if None in programs:
        missing = "no chromium and chromedriver: run tools/browser"
        if os.environ.get("CI") == "true":
            pytest.fail(missing)
        pytest.skip(missing)
    return contextlib.closing(Browser(str(programs[0]), str(programs[1]), folder, flags))


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots stay."""
    folder = ROOT / "browser-artefacts"
    folder.mkdir(exist_ok=True)
    return folder
