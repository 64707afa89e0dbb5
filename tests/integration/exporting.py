"""The real exporter as a process, a stand-in for the guard behind a real status socket, and real certificates."""

from __future__ import annotations

import os
import re
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, NamedTuple, Optional

from waguard import varlink

DATA = Path(__file__).resolve().parents[1] / "data"
ROOT = Path(__file__).resolve().parents[2]


class FakeGuard:
    """A guard's status socket, turned by a thread, that answers with one snapshot, or with whatever ``reply`` is."""

    def __init__(self, path: Path, snapshot: Any) -> None:
        self.snapshot = snapshot
        self.connections = 0
        self._path = path
        description = "interface io.waguard\nmethod GetSnapshot() -> (snapshot: object)\n"
        interface = varlink.Interface(description, {"GetSnapshot": self._get_snapshot})
        self._service = varlink.Service("waguard", "waguard", "0", "https://example.org", [interface])
        self._selector = selectors.DefaultSelector()
        self._stop, self._stopped = socket.socketpair()
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._stopped, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.close()
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, (socket.socket, varlink.Connection)):
                key.fileobj.close()
        self._selector.close()

    def _get_snapshot(self, connection: varlink.Connection, call: varlink.Call) -> None:
        connection.reply(call, {"snapshot": self.snapshot})

    def _run(self) -> None:
        while True:
            for key, ready in self._selector.select():
                if key.fileobj is self._stopped:
                    return
                if key.fileobj is self._listener:
                    self._selector.register(varlink.Connection(self._listener.accept()[0]), selectors.EVENT_READ)
                    self.connections += 1
                elif isinstance(key.fileobj, varlink.Connection):
                    self._turn(key.fileobj, ready)

    def _turn(self, connection: varlink.Connection, ready: int) -> None:
        calls = connection.on_readable() if ready & selectors.EVENT_READ else []
        calls += connection.on_writable() if ready & selectors.EVENT_WRITE else []
        for call in calls:
            self._service.dispatch(connection, call)
        wanted = selectors.EVENT_READ * connection.wants_read | selectors.EVENT_WRITE * connection.wants_write
        if wanted:
            self._selector.modify(connection, wanted)
        else:
            self._selector.unregister(connection)
            connection.close()


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Exporter:
    """The process. ``log`` is what it has said on stderr so far; reading goes on in a thread."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        command = [sys.executable, "-m", "waguard.exporter.main", *arguments]
        self.process = subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.context: Optional[ssl.SSLContext] = None
        self.log = ""
        self._said = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._said:
                self.log += line
                self._said.notify_all()
        with self._said:
            self.log += "<end>"
            self._said.notify_all()

    def says(self, pattern: str) -> re.Match[str]:
        """The first match of a pattern in the log, waited for."""
        with self._said:
            assert self._said.wait_for(lambda: re.search(pattern, self.log) or self.log.endswith("<end>"), 30), self.log
            match = re.search(pattern, self.log)
        assert match is not None, self.log
        return match

    @property
    def address(self) -> tuple[str, int]:
        match = self.says(r"listening on https?://(.*):(\d+)")
        return match[1].strip("[]"), int(match[2])

    def get(self, path: str, method: str = "GET", data: Optional[bytes] = None, **headers: str) -> Answer:
        host, port = self.address
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        url = f"{'https' if self.context else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{path}"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self.context))
        try:
            with opener.open(urllib.request.Request(url, data, names, method=method), timeout=30) as answer:
                return Answer(answer.status, dict(answer.headers), answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), error.read())

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        try:
            return self.process.wait(30)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


class Pair(NamedTuple):
    """Files of a certificate and its key."""

    cert: Path
    key: Path


class Authority:
    """A certificate authority of a test, by the openssl program. Keys are on P-256: quick to make."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.ca = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                "-subj", f"/CN={name}", "-keyout", self.ca.key, "-out", self.ca.cert)

    def issue(self, name: str, sans: str = "IP:127.0.0.1,DNS:localhost", *key: str) -> Pair:
        """A certificate for a name with subject alternative names; ``key`` are openssl's words for another kind of key."""
        pair = Pair(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        request, extensions = self.folder / f"{name}.csr", self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={sans}\nbasicConstraints=CA:FALSE\n")
        kind = key or ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
        openssl("req", "-new", *kind, "-nodes", "-subj", f"/CN={name}", "-keyout", pair.key, "-out", request)
        openssl("x509", "-req", "-in", request, "-CA", self.ca.cert, "-CAkey", self.ca.key, "-CAcreateserial", "-days", "2",
                "-extfile", extensions, "-out", pair.cert)
        return pair

    def client(self, pair: Optional[Pair] = None) -> ssl.SSLContext:
        """What a client of a server of this authority has, with a certificate of its own or without."""
        context = ssl.create_default_context(cafile=str(self.ca.cert))
        if pair is not None:
            context.load_cert_chain(pair.cert, pair.key)
        return context


def openssl(*words: Any) -> str:
    run = subprocess.run(["openssl", *map(str, words)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout
