"""waguard.exporter.server: the grammar by itself, and a real server with small limits on a loopback port."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.exporter.server import BadRequest, Door, Limits, Request, Response, Server, parse, wire
from waguard.exporter.tls import Channel, Secure
from waguard.exporter.webconfig import TLS

LIMITS = Limits()


def get(target: str = "/", *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


# The grammar


def test_parse() -> None:
    request = parse(get("/metrics?a=b?c", "Accept: text/plain", "ACCEPT:  */*\t", "X-Empty:"), LIMITS, "peer")
    headers = {"host": "x", "accept": "text/plain, */*", "x-empty": ""}
    assert request == Request("GET", "/metrics", "a=b?c", headers, True, False, "peer")


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("/", "/", ""),
        ("/a%20b", "/a%20b", ""),
        ("http://10.0.0.4:10168/metrics?x", "/metrics", "x"),
        ("HTTP://x", "/", ""),
        ("https://x?y", "/", "y"),
        ("/metrics?from=http://x/y", "/metrics", "from=http://x/y"),
        ("*", "*", ""),
    ],
)
def test_targets(target: str, path: str, query: str) -> None:
    request = parse(get(target), LIMITS)
    assert (request.path, request.query) == (path, query)


@pytest.mark.parametrize(
    ("version", "headers", "keep"),
    [
        ("1.1", [], True),
        ("1.1", ["Connection: close"], False),
        ("1.1", ["Connection: Upgrade, Close"], False),
        ("1.1", ["Content-Length: 0"], True),
        ("1.1", ["Content-Length: 5"], False),
        ("1.1", ["Content-Length: 0", "Content-Length: 0"], False),
        ("1.1", ["Transfer-Encoding: chunked"], False),
        ("1.0", [], False),
        ("1.0", ["Connection: keep-alive"], True),
        ("1.0", ["Connection: keep-alive", "Content-Length: 5"], False),
    ],
)
def test_which_connections_are_kept(version: str, headers: list[str], keep: bool) -> None:
    assert parse(get("/", *headers, version=version), LIMITS).keep is keep


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / x HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xe9 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G(T / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/11\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"PRI * HTTP/2.0\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA:" + b" " * 15000 + b"\0\r\n\r\n", 400),
        (get("/" + "x" * LIMITS.target_bytes), 414),
        (get("/", *["A: b"] * LIMITS.headers), 431),
    ],
)
def test_what_is_no_request(head: bytes, status: int) -> None:
    with pytest.raises(BadRequest) as caught:
        parse(head, LIMITS)
    assert caught.value.status == status


@given(st.binary(max_size=300))
def test_parse_of_anything_is_a_request_or_a_bad_request(head: bytes) -> None:
    for data in (head, b"GET / HTTP/1.1\r\nHost: x\r\n" + head, get("/", head.decode("latin-1"))):
        try:
            assert parse(data, LIMITS).path
        except BadRequest as error:
            assert 400 <= error.status < 600


def test_wire() -> None:
    request = parse(get(), LIMITS)
    response = Response(405, b"no\n", headers=(("Allow", "GET"),))
    head, _, body = wire(response, request, keep=True).partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 405 Method Not Allowed"
    assert {"Content-Length: 3", "Content-Type: text/plain; charset=utf-8", "Allow: GET"} <= set(lines)
    assert not any(line.startswith("Connection:") for line in lines)
    assert body == b"no\n"
    assert b"\r\nConnection: close\r\n" in wire(response, request, keep=False)
    assert b"\r\nConnection: close\r\n" in wire(response, None, keep=False)
    old = parse(get("/", version="1.0"), LIMITS)
    assert b"\r\nConnection: keep-alive\r\n" in wire(response, old, keep=True)
    head, _, body = wire(response, parse(get(method="HEAD"), LIMITS), keep=True).partition(b"\r\n\r\n")
    assert b"Content-Length: 3" in head
    assert body == b""


def test_a_response_is_cautious_unless_it_says_otherwise() -> None:
    usual = wire(Response(200), None, keep=True).decode()
    assert re.findall("X-Content-Type-Options: .*|X-Frame-Options: .*|Content-Security-Policy: .*|Cache-Control: .*", usual) == [
        "X-Content-Type-Options: nosniff\r", "X-Frame-Options: deny\r",
        "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r", "Cache-Control: no-store\r",
    ]  # fmt: skip
    headers = (("X-Frame-Options", "sameorigin"), ("Content-Security-Policy", "x"), ("Content-Security-Policy", ""))
    own = wire(Response(200, headers=headers), None, keep=True).decode()
    assert "X-Frame-Options: sameorigin\r\n" in own
    assert "deny" not in own
    assert "Content-Security-Policy" not in own


# A server


class Served:
    """A server in a thread. Pages: / echoes the method, /big never fits a socket's buffer, /wait waits, /fail fails."""

    def __init__(self, limits: Limits, door: Callable[[], Optional[Door]] = lambda: None) -> None:
        self.waiting = threading.Semaphore(0)
        self.go_on = threading.Event()
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.address = listener.getsockname()
        self.server = Server([listener], self.respond, limits, door)
        self.thread = threading.Thread(target=self.server.serve)
        self.thread.start()

    def respond(self, request: Request) -> Response:
        if request.path == "/wait":
            self.waiting.release()
            assert self.go_on.wait(30)
        if request.path == "/fail":
            raise KeyError("on purpose")
        if request.path == "/big":
            return Response(200, b"x" * 64_000_000)
        return Response(200, f"{request.method} {request.path}\n".encode())

    def connect(self) -> Client:
        return Client(self.address)

    def close(self) -> None:
        self.go_on.set()
        self.server.stop()
        self.thread.join(30)
        assert not self.thread.is_alive()


class Client:
    def __init__(self, address: Any) -> None:
        self.sock = socket.create_connection(address, timeout=30)
        self._file = self.sock.makefile("rb")

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def receive(self, head_only: bool = False) -> tuple[int, dict[str, str], bytes]:
        status = self._file.readline().split(b" ")
        if len(status) < 2:
            raise EOFError
        headers = {}
        while (line := self._file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        return int(status[1]), headers, b"" if head_only else self._file.read(int(headers["content-length"]))

    def ask(self, data: bytes) -> int:
        self.send(data)
        return self.receive()[0]

    def at_end(self) -> bool:
        try:
            return self._file.read(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self._file.close()
        self.sock.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


Serve = Callable[..., Served]


@pytest.fixture
def serve() -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:

        def start(limits: Optional[Limits] = None, door: Callable[[], Optional[Door]] = lambda: None) -> Served:
            return stack.enter_context(contextlib.closing(Served(limits or Limits(), door)))

        yield start


def test_a_connection_is_kept(serve: Serve) -> None:
    with serve().connect() as client:
        for _ in range(3):
            client.send(get("/a"))
            assert client.receive()[2] == b"GET /a\n"


def test_pipelined_requests_are_answered_in_order(serve: Serve) -> None:
    with serve().connect() as client:
        client.send(get("/a") + b"\r\n" + get("/b", method="HEAD") + get("/c", "Connection: close") + get("/d"))
        assert client.receive()[2] == b"GET /a\n"
        assert client.receive(head_only=True)[1]["content-length"] == "8"
        assert client.receive()[2] == b"GET /c\n"
        assert client.at_end()


def test_old_clients_get_their_answer_and_an_end(serve: Serve) -> None:
    served = serve()
    for request in (b"GET /a HTTP/1.0\r\n\r\n", b"\r\nGET /a HTTP/1.0\n\n"):
        with served.connect() as client:
            client.send(request)
            client.sock.shutdown(socket.SHUT_WR)
            assert client.receive()[2] == b"GET /a\n"
            assert client.at_end()


def test_a_request_in_single_bytes(serve: Serve) -> None:
    with serve().connect() as client:
        for byte in get("/a"):
            client.send(bytes([byte]))
        assert client.receive()[2] == b"GET /a\n"


def test_a_bad_request_is_told_and_ends_the_connection(serve: Serve) -> None:
    with serve().connect() as client:
        assert client.ask(b"hello\r\n\r\n" + get()) == 400
        assert client.at_end()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /" + b"x" * 40000, 414),
        (b"x" * 40000, 414),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 40000, 431),
        (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 9000 + b"\r\n", 431),
        (get("/", *["A: b"] * 100), 431),
    ],
)
def test_a_request_that_is_too_long_is_told_so(serve: Serve, data: bytes, status: int) -> None:
    with serve().connect() as client:
        assert client.ask(data) == status
        assert client.at_end()


def test_a_body_is_not_read_and_does_not_cost_the_answer(serve: Serve) -> None:
    with serve().connect() as client:
        assert client.ask(get("/", "Content-Length: 100000", method="POST") + b"x" * 100000) == 200
        assert client.at_end()


def test_a_handler_that_fails_is_a_500_and_no_more(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    served = serve()
    with served.connect() as client:
        assert client.ask(get("/fail")) == 500
        assert client.at_end()
    with served.connect() as client:
        assert client.ask(get()) == 200
    assert "GET /fail failed" in caplog.text


def test_too_many_requests_at_once_are_told_503(serve: Serve) -> None:
    served = serve(Limits(requests=2, workers=1))
    clients = [served.connect() for _ in range(3)]
    for client in clients[:2]:
        client.send(get("/wait"))
    assert served.waiting.acquire(timeout=30)
    while clients[2].ask(get()) != 503:  # the second may not have been read yet
        clients[2].close()
        clients[2] = served.connect()
    served.go_on.set()
    assert [client.receive()[0] for client in clients[:2]] == [200, 200]
    with served.connect() as client:
        assert client.ask(get()) == 200
    for client in clients:
        client.close()


def test_silent_connections_make_room_for_one_that_asks(serve: Serve) -> None:
    served = serve(Limits(connections=5, head_time=300))
    silent = [served.connect() for _ in range(30)]
    with served.connect() as client:
        assert client.ask(get()) == 200
    assert silent[0].at_end()
    for each in silent:
        each.close()


def test_connections_at_work_are_not_dropped_for_new_ones(serve: Serve) -> None:
    served = serve(Limits(connections=2))
    working = [served.connect() for _ in range(2)]
    for each in working:
        each.send(get("/wait"))
        assert served.waiting.acquire(timeout=30)
    with served.connect() as client:
        assert client.at_end()
    served.go_on.set()
    for each in working:
        assert each.receive()[0] == 200
        each.close()


def test_a_request_that_does_not_come_to_its_end_is_told_408(serve: Serve) -> None:
    served = serve(Limits(head_time=0.2))
    with served.connect() as slow, served.connect() as silent:
        slow.send(get()[:-2])
        assert slow.receive()[0] == 408
        assert slow.at_end()
        assert silent.at_end()


@pytest.mark.parametrize(("first", "drip"), [(b"GET / HTTP/1.1\r\n", b"A: b\r\n"), (b"", b"\r\n")], ids=["headers", "empty lines"])
def test_dripping_bytes_does_not_buy_time(serve: Serve, first: bytes, drip: bytes) -> None:
    served = serve(Limits(head_time=0.3))
    with served.connect() as client:
        client.send(first)
        client.sock.settimeout(0.02)
        for _ in range(1000):
            try:
                client.send(drip)
                answer = client.sock.recv(100)
            except socket.timeout:
                continue
            except ConnectionError:
                break
            assert answer.startswith(b"HTTP/1.1 408 ") if first else answer == b""
            break
        else:
            raise AssertionError("it could go on for ever")


def test_a_kept_connection_ends_when_it_is_idle(serve: Serve) -> None:
    with serve(Limits(idle_time=0.1)).connect() as client:
        assert client.ask(get()) == 200
        assert client.at_end()


def test_a_client_that_does_not_read_costs_nobody_else(serve: Serve) -> None:
    served = serve(Limits(workers=1, write_time=0.5))
    with served.connect() as deaf, served.connect() as client:
        deaf.send(get("/big"))
        assert client.ask(get()) == 200
        received = 0
        deaf.sock.settimeout(30)
        threading.Event().wait(1.0)
        with contextlib.suppress(ConnectionResetError):
            while data := deaf.sock.recv(1 << 20):
                received += len(data)
        assert received < 64_000_000


def test_what_is_under_way_when_it_stops_is_answered(serve: Serve) -> None:
    served = serve()
    with served.connect() as client, served.connect() as idle:
        assert idle.ask(get()) == 200
        client.send(get("/wait"))
        assert served.waiting.acquire(timeout=30)
        served.server.stop()
        assert idle.at_end()
        served.go_on.set()
        assert client.receive()[0] == 200
        assert client.at_end()
    served.thread.join(30)
    assert not served.thread.is_alive()
    with pytest.raises(ConnectionRefusedError):
        served.connect()


def test_it_stops_though_a_request_never_ends(serve: Serve) -> None:
    served = serve(Limits(stop_time=0.1))
    with served.connect() as client:
        client.send(get("/wait"))
        assert served.waiting.acquire(timeout=30)
        served.server.stop()
        assert client.at_end()


def test_clients_that_vanish(serve: Serve) -> None:
    served = serve()
    for request in (b"", b"GET", get(), get("/big")):
        for _ in range(5):
            client = served.connect()
            client.send(request)
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset, not an end
            client.close()
    with served.connect() as client:
        assert client.ask(get()) == 200


@given(data=st.lists(st.binary(max_size=100), max_size=4))
def test_no_bytes_bring_it_down(data: list[bytes]) -> None:
    with contextlib.closing(Served(Limits())) as served, served.connect() as client:
        for piece in data:
            client.send(piece)
        client.sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while client.sock.recv(65536):
                pass
        with served.connect() as other:
            assert other.ask(get()) == 200


# TLS


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Secure:
    cert, key = (tmp_path_factory.mktemp("tls") / name for name in ("cert", "key"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return Secure(TLS(cert.read_bytes(), key.read_bytes()))


def trusting(secure: Secure) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=secure.config.cert.decode())


class TLSClient(Client):
    def __init__(self, address: Any, context: ssl.SSLContext) -> None:
        super().__init__(address)
        self.sock = context.wrap_socket(self.sock, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
        self._file = self.sock.makefile("rb")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_requests_over_tls_are_as_without(serve: Serve, secure: Secure, version: ssl.TLSVersion) -> None:
    context = trusting(secure)
    context.minimum_version = context.maximum_version = version
    with TLSClient(serve(None, lambda: secure).address, context) as client:
        client.send(get("/a") + get("/b", method="HEAD") + get("/c"))
        assert client.receive()[2] == b"GET /a\n"
        assert client.receive(head_only=True)[0] == 200
        assert client.receive()[2] == b"GET /c\n"
        for byte in get("/d"):
            client.send(bytes([byte]))
        assert client.receive()[2] == b"GET /d\n"
        client.send(get("/e", "Connection: close"))
        assert client.receive()[2] == b"GET /e\n"
        assert client.at_end()  # by a close_notify: ssl would raise otherwise


def test_a_large_response_over_tls_to_a_slow_reader(serve: Serve, secure: Secure) -> None:
    with TLSClient(serve(Limits(workers=1), lambda: secure).address, trusting(secure)) as client:
        client.send(get("/big"))
        threading.Event().wait(0.2)  # until the socket is full
        assert len(client.receive()[2]) == 64_000_000
        assert client.ask(get()) == 200


def hello(context: ssl.SSLContext) -> bytes:
    """A ClientHello."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="127.0.0.1").do_handshake()
    return outgoing.read()


def test_clients_that_stop_in_the_middle_of_a_handshake_are_dropped_and_hold_nobody_up(serve: Serve, secure: Secure) -> None:
    wrapped = []

    class Counting(Secure):
        def __init__(self) -> None: ...

        def wrap(self, sock: socket.socket) -> Channel:
            wrapped.append(sock)
            return secure.wrap(sock)

    door = Counting()
    served = serve(Limits(head_time=1.0), lambda: door)
    context = trusting(secure)
    greeting = hello(context)
    silent = [served.connect() for _ in range(3)]
    halfway = [served.connect() for _ in range(3)]
    for number, client in enumerate(halfway):
        client.send(greeting[: (1, 5, len(greeting))[number]])
    with TLSClient(served.address, context) as client:
        assert client.ask(get()) == 200
        assert len(wrapped) == 4  # who is silent costs no TLS object
    for client in silent:
        assert client.at_end()
    for client in halfway:
        client.sock.settimeout(30)
        with contextlib.suppress(ConnectionResetError):
            while client.sock.recv(65536):
                pass
    for client in (*silent, *halfway):
        client.close()


def test_a_handshake_in_single_bytes(serve: Serve, secure: Secure) -> None:
    served = serve(None, lambda: secure)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = trusting(secure).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    with served.connect() as client:
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                for byte in outgoing.read():
                    client.send(bytes([byte]))
                incoming.write(client.sock.recv(65536))
        tls.write(get("/a"))
        client.send(outgoing.read())
        answer = b""
        while b"GET /a" not in answer:
            incoming.write(client.sock.recv(65536))
            with contextlib.suppress(ssl.SSLWantReadError):
                answer += tls.read(65536)


def test_a_handshake_that_fails_is_told_by_an_alert(serve: Serve, secure: Secure) -> None:
    strict = Secure(secure.config._replace(min_version="TLS13"))
    served = serve(None, lambda: strict)
    context = trusting(secure)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with served.connect() as client:
        client.send(hello(context) + b"more that nobody will read" * 1000)
        data = b""
        while piece := client.sock.recv(65536):
            data += piece
    assert data[:1] == b"\x15"
    assert data[-2:] == b"\x02\x46"  # fatal, protocol_version: RFC 8446, 6.2


@settings(deadline=None)
@given(data=st.lists(st.one_of(st.binary(max_size=100), st.binary(max_size=50).map(lambda data: b"\x16\x03\x01\0\x32\x01\0\0\x2e" + data)), max_size=4))
def test_no_bytes_bring_tls_down(secure: Secure, data: list[bytes]) -> None:
    with contextlib.closing(Served(Limits(linger_time=0.1), lambda: secure)) as served:
        with served.connect() as client:
            with contextlib.suppress(OSError):
                for piece in data:
                    client.send(piece)
                client.sock.shutdown(socket.SHUT_WR)
                while client.sock.recv(65536):
                    pass
        with TLSClient(served.address, trusting(secure)) as other:
            assert other.ask(get()) == 200


def test_a_connection_through_a_door_that_is_no_more_ends_at_its_next_request(serve: Serve, secure: Secure) -> None:
    doors: list[Optional[Door]] = [None]
    served = serve(None, lambda: doors[0])
    with served.connect() as plain:
        assert plain.ask(get()) == 200
        doors[0] = secure
        plain.send(get())
        assert plain.at_end()
    with TLSClient(served.address, trusting(secure)) as client:
        assert client.ask(get()) == 200
        doors[0] = Secure(secure.config)
        client.send(get())
        with contextlib.suppress(ssl.SSLEOFError):
            assert client.at_end()


def test_it_stops_in_the_middle_of_handshakes(serve: Serve, secure: Secure) -> None:
    served = serve(None, lambda: secure)
    greeting = hello(trusting(secure))
    clients = [served.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.send(greeting[: (0, 1, 100, len(greeting))[number]])
    served.server.stop()
    served.thread.join(30)
    assert not served.thread.is_alive()
    for client in clients:
        client.close()


def test_no_limit_of_requests(serve: Serve) -> None:
    served = serve(Limits(requests=0, workers=1))
    clients = [served.connect() for _ in range(50)]
    for client in clients:
        client.send(get("/wait"))
    assert served.waiting.acquire(timeout=30)
    served.go_on.set()
    assert {client.receive()[0] for client in clients} == {200}
    for client in clients:
        client.close()
