"""Hundreds of clients that mean harm, at once: who asks for metrics still gets them, and afterwards nothing is left of it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import re
import resource
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Optional

import bcrypt
import pytest
from exporting import DATA, Authority, Exporter, FakeGuard

IDLE, LORIS, SILENT_TLS, GREEDY = 500, 100, 50, 10
SCRAPES = 25
PATIENCE = 1.0
"""Seconds in which a scrape has to be answered, whatever goes on."""

HOSTILE = [
    b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 30_000,
    b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 100_000,
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 200,  # and never reads
    b"\0" * 1000 + b"\r\n\r\n",
    b"\r\n" * 10_000,
    b"HEAD / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAuthorization: Basic eDp5\r\n\r\n",
    b"\x16\x03\x01\xff\xff\x01\0\xff\xff" + b"\xff" * 1000,
    b"\x16\x03\x01\x00\x01\x02" * 1000,
]


class Mischief:
    """One hostile connection: what it says first, and whether it drips more."""

    def __init__(self, first: bytes = b"", drips: bool = False, context: Optional[ssl.SSLContext] = None) -> None:
        self.first = first
        self.drips = drips
        self.context = context
        self.sock: Any = None
        self.busy = False

    def connect(self, address: tuple[str, int]) -> None:
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.connect_ex(address)
        self.busy = True

    def turn(self) -> None:
        """It can write, or read. Raises OSError when the server has ended it."""
        if self.busy:
            if self.context is not None and not isinstance(self.sock, ssl.SSLSocket):
                self.sock = self.context.wrap_socket(self.sock, server_hostname="127.0.0.1", do_handshake_on_connect=False)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                if isinstance(self.sock, ssl.SSLSocket):
                    self.sock.do_handshake()
                if self.first:
                    self.sock.send(self.first)
                self.busy = False
            return
        if self.drips:
            self.sock.send(b"a")


class Flood:
    """All of them, turned by one thread. Who is thrown out comes back, a bounded number of them at a time."""

    def __init__(self, address: tuple[str, int], context: Optional[ssl.SSLContext]) -> None:
        start = b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: "
        self.clients = [Mischief() for _ in range(IDLE)]
        self.clients += [Mischief(start, True, context if number % 2 else None) for number in range(LORIS)]
        self.clients += [Mischief(b"\x16" if number % 2 else hello()) for number in range(SILENT_TLS)]
        self.clients += [Mischief(HOSTILE[number % len(HOSTILE)], False, context if number % 3 else None) for number in range(GREEDY * len(HOSTILE))]
        random.Random(7).shuffle(self.clients)
        self.comebacks = 0
        self.opened = 0
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive()
        for client in self.clients:
            if client.sock is not None:
                client.sock.close()

    def all_in(self) -> bool:
        return self.opened >= len(self.clients)

    def _run(self) -> None:
        while not self._stop.wait(0.05):
            budget = 60
            for client in self.clients:
                if client.sock is None and budget:
                    budget -= 1
                    self.opened += 1
                    with contextlib.suppress(OSError):
                        client.connect(self._address)
            with selectors.PollSelector() as selector:
                for client in self.clients:
                    if client.sock is not None:
                        selector.register(client.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, client)
                ready = selector.select(0)
            for key, events in ready:
                self._turn(key.data, events)

    def _turn(self, client: Mischief, events: int) -> None:
        try:
            if events & selectors.EVENT_READ and not client.busy and not client.sock.recv(100):
                raise ConnectionResetError
            client.turn()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
            pass
        except (OSError, ValueError):
            client.sock.close()
            client.sock = None
            self.comebacks += 1


def hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    context = ssl.create_default_context()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


class Use(NamedTuple):
    """What the process takes: RSS in kB, threads, descriptors."""

    memory: int
    threads: int
    descriptors: int


def use(exporter: Exporter) -> Use:
    status = Path(f"/proc/{exporter.process.pid}/status").read_text()
    memory, threads = (re.search(pattern, status) for pattern in (r"VmRSS:\s+(\d+)", r"Threads:\s+(\d+)"))
    assert memory is not None
    assert threads is not None
    return Use(int(memory[1]), int(threads[1]), len(os.listdir(f"/proc/{exporter.process.pid}/fd")))


class Target(NamedTuple):
    exporter: Exporter
    context: Optional[ssl.SSLContext]
    headers: dict[str, str]


@pytest.fixture(autouse=True)
def descriptors() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, before[1]), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture(params=["plain", "tls"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Target]:
    arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={tmp_path / 'status'}"]
    context, headers = None, {}
    if request.param == "tls":
        authority = Authority(tmp_path / "pki")
        authority.issue("server")
        secret = bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode()
        (tmp_path / "web.yml").write_text("tls_server_config: {cert_file: pki/server.pem, key_file: pki/server.key}\n"
                                          f"basic_auth_users: {{prometheus: {secret}}}\n")  # fmt: skip
        arguments.append(f"--web.config.file={tmp_path / 'web.yml'}")
        context, headers = authority.client(), {"Authorization": "Basic cHJvbWV0aGV1czpzZWNyZXQ="}
    snapshot = json.loads((DATA / "snapshot.json").read_text())
    with contextlib.closing(FakeGuard(tmp_path / "status", snapshot)):
        with contextlib.closing(Exporter(*arguments)) as exporter:
            exporter.context = context
            assert exporter.address
            yield Target(exporter, context, headers)
            assert "Traceback" not in exporter.log


def test_a_scrape_is_answered_through_all_of_it_and_afterwards_it_is_as_before(target: Target) -> None:
    exporter = target.exporter
    expected = exporter.get("/metrics", **target.headers).body
    before = use(exporter)
    most = before
    slowest = 0.0
    with contextlib.closing(Flood(exporter.address, target.context)) as flood:
        scrapes = 0
        while scrapes < SCRAPES or not flood.all_in():
            began = time.monotonic()
            answer = exporter.get("/metrics", **target.headers)
            slowest = max(slowest, time.monotonic() - began)
            assert (answer.status, answer.body == expected) == (200, True)
            scrapes += 1
            most = Use(*map(max, most, use(exporter)))
            threading.Event().wait(0.1)
        assert flood.comebacks > 0
    assert slowest < PATIENCE, slowest
    assert most.threads <= 6
    assert most.descriptors <= before.descriptors + 205
    assert most.memory <= before.memory + 16 * 1024
    deadline = time.monotonic() + 20
    while use(exporter).descriptors > before.descriptors and time.monotonic() < deadline:
        threading.Event().wait(0.1)
    assert use(exporter).descriptors <= before.descriptors
    assert exporter.get("/metrics", **target.headers).body == expected
    print(f"{scrapes} scrapes, the slowest {slowest:.3f} s; before {before}, at most {most}, after {use(exporter)}; "
          f"{flood.opened} connections, {flood.comebacks} of them ended by the server")


@pytest.mark.parametrize("target", ["tls"], indirect=True)
def test_guessing_passwords_costs_who_is_known_nothing(target: Target) -> None:
    exporter = target.exporter
    expected = exporter.get("/metrics", **target.headers).body
    done = threading.Event()
    told: list[int] = []

    def guess(number: int) -> None:
        while not done.is_set():
            word = base64.b64encode(f"prometheus:{number}{len(told)}".encode()).decode()
            told.append(exporter.get("/metrics", Authorization=f"Basic {word}").status)

    with ThreadPoolExecutor(8) as pool:
        guesses = [pool.submit(guess, number) for number in range(8)]
        try:
            slowest = 0.0
            while len(told) < 200:
                began = time.monotonic()
                assert exporter.get("/metrics", **target.headers).body == expected
                slowest = max(slowest, time.monotonic() - began)
        finally:
            done.set()
        for each in guesses:
            each.result(30)
    assert slowest < PATIENCE, slowest
    assert set(told) == {401, 503}
    assert use(exporter).threads <= 6


def test_sigterm_in_the_middle_of_it_ends_it(target: Target) -> None:
    with contextlib.closing(Flood(target.exporter.address, target.context)) as flood:
        while not flood.all_in():
            threading.Event().wait(0.05)
        assert target.exporter.end() == 0
