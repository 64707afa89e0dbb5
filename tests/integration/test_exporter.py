"""The real waguard-exporter process on a loopback port, with a stand-in for the guard on a real status socket."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from exporting import DATA, ROOT, Exporter, FakeGuard
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from waguard import __version__, varlink
from waguard.exporter import main as exporter_main

GONE = b"waguard_guard_up 0.0\n"
HERE = b"waguard_guard_up 1.0\n"


@pytest.fixture
def status(tmp_path: Path) -> Path:
    return tmp_path / "status"


@pytest.fixture
def guard(status: Path) -> Iterator[FakeGuard]:
    with contextlib.closing(FakeGuard(status, json.loads((DATA / "snapshot.json").read_text()))) as guard:
        yield guard


@pytest.fixture
def exporter(status: Path) -> Iterator[Exporter]:
    arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={status}"]
    with contextlib.closing(Exporter(*arguments)) as exporter:
        yield exporter
        assert "Traceback" not in exporter.log


def golden() -> bytes:
    return (DATA / "metrics.prom").read_text().replace('version="0.1.0"', f'version="{__version__}"', 1).encode()


def test_scrape(guard: FakeGuard, exporter: Exporter) -> None:
    answer = exporter.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.body == golden()
    assert exporter.get("/metrics?name=x").body == golden()


def test_openmetrics_and_gzip(guard: FakeGuard, exporter: Exporter) -> None:
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
    answer = exporter.get("/metrics", Accept=accept, Accept_Encoding="gzip")
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=")
    assert answer.headers["Content-Encoding"] == "gzip"
    families = {family.name for family in parse_openmetrics(gzip.decompress(answer.body).decode())}
    assert "waguard_agent_state" in families
    assert gzip.decompress(exporter.get("/metrics", Accept_Encoding="br, GZIP;q=0.5").body) == golden()
    for coding in ("gzip;q=0", "gzip; q=0.000", "identity", "x"):
        assert exporter.get("/metrics", Accept_Encoding=coding).body == golden()


def test_head(guard: FakeGuard, exporter: Exporter) -> None:
    answer = exporter.get("/metrics", method="HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(golden()))


def test_pages(guard: FakeGuard, exporter: Exporter) -> None:
    landing = exporter.get("/")
    assert landing.headers["Content-Type"].startswith("text/html")
    links = re.findall('href="([^"#:]+)"', landing.body.decode())
    assert links == ["./", "metrics", "-/healthy", "-/ready"]
    assert [exporter.get(f"/{link}").status for link in ("", *links[1:])] == [200, 200, 200, 200]
    assert __version__ in landing.body.decode()
    for path in ("/nope", "/metrics/", "/metrics/x", "/-/", "//metrics", "/%6detrics", "/../metrics"):
        assert exporter.get(path).status == 404, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"])
def test_other_methods(exporter: Exporter, method: str) -> None:
    answer = exporter.get("/metrics", method=method, data=b"x" * 100000 if method == "POST" else None)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"
    assert exporter.get("/nope", method=method).status == 404


def test_the_guard_goes_and_comes_back(status: Path, exporter: Exporter) -> None:
    snapshot = json.loads((DATA / "snapshot.json").read_text())
    assert GONE in exporter.get("/metrics").body
    for _ in range(2):
        assert exporter.get("/-/ready").status == 503
        assert exporter.get("/-/healthy").status == 200
        with contextlib.closing(FakeGuard(status, snapshot)):
            assert exporter.get("/metrics").body == golden()
            assert exporter.get("/-/ready").status == 200
        body = exporter.get("/metrics").body
        assert GONE in body
        assert b"waguard_agent" not in body
    assert len(re.findall("WARNING: the guard is gone", exporter.log)) in (2, 3)  # no such file, refused, refused
    assert len(re.findall("INFO: the guard answers", exporter.log)) == 2


def test_one_connection_to_the_guard_does_for_many_scrapes(guard: FakeGuard, exporter: Exporter) -> None:
    for exits in range(5):
        guard.snapshot["counters"]["agent_exits"] = exits
        for _ in range(2):
            answer = exporter.get("/metrics", Accept_Encoding="gzip")
            assert f"waguard_agent_exits_total {exits}.0\n".encode() in gzip.decompress(answer.body)
            assert gzip.decompress(answer.body) == exporter.get("/metrics").body
    assert guard.connections == 1


def test_a_restart_of_the_guard_costs_no_scrape(status: Path, exporter: Exporter) -> None:
    snapshot = json.loads((DATA / "snapshot.json").read_text())
    for exits in range(5):
        snapshot["counters"]["agent_exits"] = exits
        with contextlib.closing(FakeGuard(status, snapshot)):
            assert f"waguard_agent_exits_total {exits}.0\n".encode() in exporter.get("/metrics").body
    assert "the guard is gone" not in exporter.log


@pytest.mark.parametrize("rest", [b"", b'{"parameters":{"snap', b"junk\0"], ids=["nothing", "half", "junk"])
def test_a_connection_that_goes_wrong_is_not_used_again(status: Path, rest: bytes) -> None:
    answer = varlink.encode({"parameters": {"snapshot": {"schema": 1}}})
    served: list[int] = []

    def serve() -> None:
        for words in ((answer, rest), (answer, answer)):
            with listener.accept()[0] as peer:
                for word in words:
                    peer.recv(65536)
                    peer.sendall(word)
                    served.append(len(word))

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(status))
        listener.listen(64)
        thread = threading.Thread(target=serve)
        thread.start()
        with contextlib.closing(exporter_main.Guard(str(status), timeout=30)) as behind:
            answers = [behind.snapshot() for _ in range(4 if rest.startswith(b"junk") else 3)]
        thread.join()
    sound = {"schema": 1}
    assert answers == ([sound, None, sound, sound] if rest.startswith(b"junk") else [sound, sound, sound])
    assert len(served) == 4


def test_a_guard_that_is_late_is_asked_over_a_new_connection(status: Path) -> None:
    """Its late answer must not be taken for that to the next question."""
    now = [100.0]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(status))
        listener.listen(64)
        listener.settimeout(30)
        with contextlib.closing(exporter_main.Guard(str(status), timeout=0.2, clock=lambda: now[0])) as behind:
            assert behind.snapshot() is None
            now[0] += 10
            with ThreadPoolExecutor(1) as pool:
                asked = pool.submit(behind.snapshot)
                late, fresh = listener.accept()[0], listener.accept()[0]
                for peer, at in ((late, 1), (fresh, 2)):
                    with peer, contextlib.suppress(OSError):
                        peer.recv(65536)
                        peer.sendall(varlink.encode({"parameters": {"snapshot": {"at": at}}}))
                assert asked.result(30) == {"at": 2}


def test_a_guard_that_never_answers(status: Path, exporter: Exporter) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(status))
        listener.listen(64)
        with ThreadPoolExecutor(40) as scrapers:
            bodies = [answer.body for answer in scrapers.map(lambda _: exporter.get("/metrics"), range(40))]
        assert all(GONE in body for body in bodies)
        assert exporter.get("/-/healthy").status == 200


@pytest.mark.parametrize("snapshot", [None, [], "hello", 7])
def test_a_guard_without_a_snapshot(guard: FakeGuard, exporter: Exporter, snapshot: Any) -> None:
    guard.snapshot = snapshot
    assert GONE in exporter.get("/metrics").body
    exporter.says("gave no snapshot")


def test_a_guard_with_another_protocol(status: Path, exporter: Exporter) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(status))
        listener.listen(64)

        def serve() -> None:
            with listener.accept()[0] as peer:
                peer.recv(65536)
                peer.sendall(b"\0" * 1000)

        thread = threading.Thread(target=serve)
        thread.start()
        assert GONE in exporter.get("/metrics").body
        thread.join()


def test_a_snapshot_that_is_wrong_in_one_place_is_said_once(guard: FakeGuard, exporter: Exporter) -> None:
    guard.snapshot["agent"]["daemon"]["pid"] = "four"
    guard.snapshot["policy"] = 3
    for _ in range(3):
        body = exporter.get("/metrics").body
        assert HERE in body
        assert b"waguard_agent_up" not in body
        assert b"waguard_agent_heartbeat_timestamp_seconds" in body
    assert exporter.log.count("waguard_agent_up is left out: agent.daemon.pid is str, not a number") == 1
    assert exporter.log.count("WARNING: waguard_agent_restart_budget_remaining is left out") == 1


def test_a_large_snapshot(guard: FakeGuard, exporter: Exporter) -> None:
    guard.snapshot["events"] = [{"message": "x" * 1000}] * 2000
    assert exporter.get("/metrics").body == golden()


def test_clients_that_do_nothing_or_little_hold_nobody_up(guard: FakeGuard, exporter: Exporter) -> None:
    address = exporter.address
    with contextlib.ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(socket.create_connection(address, timeout=30))
            if number % 2:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for _ in range(20):
            assert exporter.get("/metrics").body == golden()
        threads = re.search(r"Threads:\s+(\d+)", Path(f"/proc/{exporter.process.pid}/status").read_text())
        assert threads is not None
        assert int(threads[1]) <= 5


@pytest.mark.parametrize(
    ("request_", "status_line"),
    [
        (b"\0\0\0\0\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),  # TLS, by mistake
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/3.0\r\nHost: x\r\n\r\n", b"505"),
        (b"GET /" + b"a" * 1_000_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 100_000, b"431"),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", b"405"),
        (b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", b"200"),
    ],
    ids=["zeros", "tls", "http0.9", "no-host", "http3", "long-target", "many-headers", "body", "chunked"],
)
def test_hostile_requests(guard: FakeGuard, exporter: Exporter, request_: bytes, status_line: bytes) -> None:
    with socket.create_connection(exporter.address, timeout=30) as client:
        with contextlib.suppress(ConnectionError):
            client.sendall(request_)
        answer = b""
        with contextlib.suppress(ConnectionError):
            while data := client.recv(65536):
                answer += data
    assert not answer or answer.split(b" ")[1] == status_line  # a megabyte too much may be reset away
    assert answer or len(request_) > 100_000
    assert exporter.get("/metrics").body == golden()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly(guard: FakeGuard, exporter: Exporter, number: int) -> None:
    assert exporter.get("/metrics").status == 200
    with socket.create_connection(exporter.address):
        assert exporter.end(number) == 0
    assert "Traceback" not in exporter.log


def test_another_telemetry_path(guard: FakeGuard, status: Path) -> None:
    arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={status}", "--web.telemetry-path=/a/agent"]
    with contextlib.closing(Exporter(*arguments)) as exporter:
        assert exporter.get("/a/agent").body == golden()
        assert exporter.get("/metrics").status == 404
        assert b'href="a/agent"' in exporter.get("/").body


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
def test_several_addresses(guard: FakeGuard, status: Path) -> None:
    arguments = [f"--web.listen-address={address}" for address in ("[::1]:0", "127.0.0.1:0", ":0")]
    with contextlib.closing(Exporter(*arguments, f"--status-socket={status}")) as exporter:
        assert exporter.get("/metrics").body == golden()
        assert exporter.address[0] == "::1"
        port = int(exporter.says(r"http://127.0.0.1:(\d+)")[1])
        both = int(exporter.says(r"http://\[::\]:(\d+)")[1])
        for address in (("127.0.0.1", port), ("127.0.0.1", both), ("::1", both)):
            socket.create_connection(address, timeout=30).close()


def test_an_address_that_is_taken(status: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with contextlib.closing(Exporter(f"--web.listen-address={address}")) as exporter:
            assert exporter.process.wait(30) == 1
            exporter.says(f"ERROR: cannot listen on {address}: Address already in use")


HAND_OVER = """\
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")
os.execv(sys.executable, [sys.executable, "-m", "waguard.exporter.main", *sys.argv[2:]])
"""


class Inherited:
    """An exporter that got its listening socket as descriptor 3, the way systemd hands one over."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        number = self.socket.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", HAND_OVER, str(number), *arguments], cwd=ROOT, env={**os.environ, **environment},
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, pass_fds=(number,),
        )  # fmt: skip

    def close(self) -> None:
        self.socket.close()
        self.process.terminate()
        assert self.process.wait(30) == 0


@pytest.mark.parametrize("flags", [[], ["--web.systemd-socket"]], ids=["unasked", "asked"])
def test_sockets_from_systemd_and_readiness(guard: FakeGuard, status: Path, tmp_path: Path, flags: list[str]) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        arguments = [*flags, f"--status-socket={status}"]
        with contextlib.closing(Inherited(*arguments, NOTIFY_SOCKET=str(tmp_path / "notify"))) as exporter:
            assert manager.recv(4096).startswith(b"READY=1\n")
            address = exporter.socket.getsockname()
            with socket.create_connection(address, timeout=30) as client:
                client.sendall(b"GET /-/ready HTTP/1.0\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        assert manager.recv(4096) == b"STOPPING=1"


def test_systemd_socket_without_one(status: Path) -> None:
    with contextlib.closing(Exporter("--web.systemd-socket")) as exporter:
        assert exporter.process.wait(30) == 1
        exporter.says("there is no socket from systemd")


def test_sockets_for_another_process_are_left_alone(status: Path) -> None:
    arguments = ["--web.systemd-socket", f"--status-socket={status}"]
    with contextlib.closing(Exporter(*arguments, LISTEN_PID="1", LISTEN_FDS="1")) as exporter:
        assert exporter.process.wait(30) == 1


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "waguard.exporter.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_version_and_help() -> None:
    assert run("--version").stdout == f"waguard-exporter {__version__}\n"
    helped = run("--help")
    assert helped.returncode == 0
    options = {"--web.listen-address", "--web.systemd-socket", "--web.telemetry-path", "--web.config.file", "--web.max-requests",
               "--status-socket", "--log.level", "--log.format"}  # fmt: skip
    assert options <= set(helped.stdout.split())
    assert "http://127.0.0.1:10168/metrics" in helped.stdout


@pytest.mark.parametrize(
    "argument",
    ["10168", "localhost", "::1:10168", "[::1]", "127.0.0.1:x", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:", ""],
)
def test_addresses_that_are_none(argument: str) -> None:
    refused = run(f"--web.listen-address={argument}")
    assert refused.returncode == 2
    assert "host:port" in refused.stderr


@pytest.mark.parametrize("argument", ["", "-1", "1.5", "many", "1000000", "\u0661"])
def test_numbers_of_requests_that_are_none(argument: str) -> None:
    refused = run(f"--web.max-requests={argument}")
    assert refused.returncode == 2
    assert "0 to 999999" in refused.stderr


@pytest.mark.parametrize("limit", [1, 0])
def test_requests_over_the_limit_are_told_503(status: Path, limit: int) -> None:
    arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={status}", f"--web.max-requests={limit}"]
    with socket.socket(socket.AF_UNIX) as silent, contextlib.closing(Exporter(*arguments)) as exporter:
        silent.bind(str(status))
        silent.listen(64)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(socket.create_connection(exporter.address, timeout=30)) for _ in range(3)]
            for client in clients:
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            statuses = sorted(client.recv(65536).split(b" ")[1] for client in clients)
        assert statuses == ([b"200", b"503", b"503"] if limit else [b"200"] * 3)
        assert exporter.get("/-/healthy").status == 200


def test_log_formats(status: Path) -> None:
    for form in ("json", "logfmt"):
        arguments = ["--web.listen-address=127.0.0.1:0", f"--status-socket={status}", f"--log.format={form}"]
        with contextlib.closing(Exporter(*arguments)) as exporter:
            assert exporter.get("/-/ready").status == 503
            assert exporter.end() == 0
        listening, gone = exporter.log.replace("<end>", "").splitlines()
        if form == "json":
            assert json.loads(listening)["level"] == "INFO"
            assert json.loads(gone).keys() == {"time", "level", "msg"}
        else:
            assert re.fullmatch(r'time=\S+Z level=INFO msg="listening on http://127.0.0.1:\d+"', listening)
            assert re.fullmatch(r'time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=WARN msg="the guard is gone: .*"', gone)


@pytest.mark.parametrize("argument", ["metrics", "", "/a b", "/a?b", "/<script>", "/-/healthy", "/é"])
def test_paths_that_are_none(argument: str) -> None:
    assert run(f"--web.telemetry-path={argument}").returncode == 2


def test_threads_that_ask_together_share_one_call(guard: FakeGuard, status: Path) -> None:
    asked = []
    original = guard._get_snapshot
    hold = threading.Event()

    def slow(connection: varlink.Connection, call: varlink.Call) -> None:
        asked.append(call)
        hold.wait(30)
        original(connection, call)

    guard._service._interfaces["io.waguard"].methods["GetSnapshot"] = slow  # type: ignore[index]
    behind = exporter_main.Guard(str(status), timeout=30)
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(behind.snapshot) for _ in range(8)]
        while len(pool._threads) < 8 or not asked:
            threading.Event().wait(0.01)
        hold.set()
        assert all(answer.result(30) for answer in answers)
    assert len(asked) <= 2


def test_after_a_time_out_it_is_a_while_before_the_guard_is_asked_again(status: Path) -> None:
    now = [100.0]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(status))
        listener.listen(1)
        listener.settimeout(0.01)
        behind = exporter_main.Guard(str(status), timeout=0.05, clock=lambda: now[0])
        calls = 0
        for now[0] in (100.0, 100.5, 100.9, 101.1, 101.2):
            assert behind.snapshot() is None
            with contextlib.suppress(socket.timeout):
                listener.accept()[0].close()
                calls += 1
        assert calls == 2
