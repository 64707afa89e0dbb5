"""A fake guard on real sockets, and waguardctl run within the test."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import pytest

from waguard import varlink
from waguard.bundle import asked
from waguard.clock import Clock
from waguard.ctl import main
from waguard.guard import methods
from waguard.guard.loop import Loop
from waguard.guard.sockets import Listener
from waguard.varlink import Call, Connection, Interface, RemoteError, Service

DATA = Path(__file__).resolve().parents[2] / "data" / "snapshot.json"
DIAGNOSIS = DATA.with_name("diagnosis.json")
Reply = Callable[[Connection, Call], None]
ORDERS = ("SetVerbose", "Restart", "Pause", "Resume")
FakeSystemd = Any
SECRET = "Pl4ntedS3cretZq"


class FakeGuard:
    """Both sockets in a thread. ``calls``: what came in. ``answers``: a method's reply, or what makes it."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.snapshot: Any = json.loads(DATA.read_text())
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, Any] = {
            "GetSnapshot": lambda: {"snapshot": self.snapshot},
            "GetEvents": lambda: {"events": self.snapshot["events"]},
            "Diagnose": [{"progress": "the network", "diagnosis": None},
                         {"progress": None, "diagnosis": json.loads(DIAGNOSIS.read_text())}],
            "SetVerbose": {"message": "verbose logging is on for 2h", "warnings": ["tokens in clear"]},
            "Restart": {"message": "the agent is being restarted"}, "Pause": {"message": "paused for 1h"},
            "Resume": {"message": "waguard works again"},
        }
        self.errors: list[BaseException] = []
        self.keep_following = False
        self._loop = Loop(Clock(), self.errors.append)
        interface = Interface(methods.DESCRIPTION.read_text(), {
            name: self._method for name in ("GetSnapshot", "GetEvents", "Diagnose", *ORDERS)})
        service = Service("waguard", "waguard", "0", "", [interface])
        self._listeners = [Listener(self._loop, run_dir / name, 0o600, None, service, lambda _warning: None)
                           for name in ("status", "control")]
        self._thread = threading.Thread(target=self._loop.run)
        self._thread.start()

    def close(self) -> None:
        self._loop.stop()
        self._thread.join()
        for listener in self._listeners:
            listener.close()
        assert self.errors == []

    def refuse(self, method: str, name: str, /, **parameters: Any) -> None:
        """Let a method answer with an error."""
        def fail() -> None:
            raise RemoteError(name, parameters)

        self.answers[method] = fail

    def _method(self, connection: Connection, call: Call) -> None:
        name = call.method.rpartition(".")[2]
        self.calls.append((name, call.parameters))
        answer = self.answers[name]
        found = answer() if callable(answer) else answer
        if call.parameters.get("follow"):
            for event in found["events"]:
                connection.reply(call, {"events": [event]}, continues=True)
            if not self.keep_following:
                connection.drop("that was all")
        elif isinstance(found, list):
            for number, reply in enumerate(found, 1):
                connection.reply(call, reply, continues=number < len(found))
        else:
            connection.reply(call, found)


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the sockets are; waguardctl knows it, and speaks English."""
    monkeypatch.setenv("WAGUARD_RUN_DIR", str(tmp_path))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("NO_COLOR", raising=False)
    time.tzset()
    return tmp_path


@pytest.fixture
def guard(run_dir: Path) -> Iterator[FakeGuard]:
    found = FakeGuard(run_dir)
    yield found
    found.close()


@contextlib.contextmanager
def odd_guard(run_dir: Path, answer: Optional[bytes]) -> Iterator[None]:
    """Takes calls on both sockets and sends these bytes whatever was asked; None: never says a word."""
    with contextlib.ExitStack() as stack:
        listeners = []
        for name in ("status", "control"):
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(run_dir / name))
            listener.listen(8)
            listener.settimeout(0.02)
            listeners.append(listener)
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                for listener in listeners:
                    with contextlib.suppress(OSError):
                        client = stack.enter_context(listener.accept()[0])
                        if answer is not None:
                            client.recv(65536)
                            client.sendall(answer)
                            client.shutdown(socket.SHUT_RDWR)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class Said(NamedTuple):
    """What waguardctl did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Ctl:
    """``ctl("status", "--json")`` runs a verb."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> Said:
        self._capsys.readouterr()
        try:
            code = main.main(words)
        except SystemExit as error:  # argparse
            code = int(error.code or 0)
        captured = self._capsys.readouterr()
        return Said(code, captured.out, captured.err)


@pytest.fixture
def ctl(capsys: pytest.CaptureFixture[str], run_dir: Path) -> Ctl:
    return Ctl(capsys)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a guard that says nothing."""
    call = varlink.call
    monkeypatch.setattr(varlink, "call", lambda path, method, parameters, _timeout: call(path, method, parameters, 0.2))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    """That of tests/unit/act, wherever pytest was started and however it imports."""
    spec = importlib.util.spec_from_file_location("waguard_tests_fakesystemd", Path(__file__).parents[1] / "act/fakesystemd.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FakeSystemd(tmp_path, monkeypatch)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A little agent; the programs that are asked are two."""
    root = tmp_path / "m"
    for name in ("etc", "lib/WALinuxAgent-2.15.0.1", "log/azure/Any.Ext", "settings", "out"):
        (root / name).mkdir(parents=True)
    (root / "etc/waagent.conf").write_text(f"Lib.Dir={root}/lib\nExtension.LogDir={root}/log/azure\n")
    (root / "settings/waguard.yaml").write_text(f"agent:\n  conf: {root}/etc/waagent.conf\n  log: {root}/log/waagent.log\n")
    (root / "log/waagent.log").write_text(f"x\nGET https://x/?sig={SECRET}&se=1\n")
    (root / "log/azure/Any.Ext/extension.log").write_text("y\n")
    (root / "lib/SharedConfig.xml").write_text("<a/>")
    (root / "lib/A.prv").write_text(SECRET)
    (root / "lib/ovf-env.xml").write_text(SECRET)
    monkeypatch.setattr(asked, "questions", lambda *_: (asked.Question("machine/uname.txt", ("uname", "-a")),
                                                        asked.Question("machine/bad.txt", ("false",))))
    return root


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor is not asked."""
    monkeypatch.setattr(asked, "doctor", lambda _run_dir: ("healthy\n", "{}", ""))


def environment(run_dir: Path, **more: str) -> dict[str, str]:
    """For waguardctl as a process."""
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM", "PYTHONIOENCODING")}
    root = str(Path(__file__).resolve().parents[3])
    return {**kept, "PYTHONPATH": root, "WAGUARD_RUN_DIR": str(run_dir), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}
