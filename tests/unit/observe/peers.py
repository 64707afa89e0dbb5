"""Peers on loopback for probes: each does one thing with whoever connects, and keeps what it was told."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Behaviour = Callable[[socket.socket, threading.Event], None]


class Peer:
    def __init__(self, address: str) -> None:
        self.address = address
        self.asked: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])


@contextlib.contextmanager
def peer(behaviour: Behaviour, host: str = "127.0.0.1", reads: bool = True) -> Iterator[Peer]:
    """A listener whose every connection, when its request is in, is handed to the behaviour, in a thread."""
    over = threading.Event()
    with socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        found = Peer(f"[{host}]:{listener.getsockname()[1]}" if ":" in host else f"{host}:{listener.getsockname()[1]}")

        def serve(connection: socket.socket) -> None:
            with connection, contextlib.suppress(OSError):
                if reads:
                    data = b""
                    while b"\r\n\r\n" not in data:
                        part = connection.recv(4096)
                        if not part:
                            break
                        data += part
                    found.asked.append(data)
                behaviour(connection, over)

        def accept() -> None:
            while not over.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield found
        finally:
            over.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(30)


@contextlib.contextmanager
def dropping() -> Iterator[str]:
    """The address of a listener with a full backlog: it drops what comes, as a firewall does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


def says(text: bytes) -> Behaviour:
    def behaviour(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(text)

    return behaviour


def http(status: str, body: bytes = b"") -> Behaviour:
    return says(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait(600)


def drips(text: bytes) -> Behaviour:
    """One byte at a time, for ever."""
    def behaviour(connection: socket.socket, over: threading.Event) -> None:
        for byte in text:
            connection.sendall(bytes((byte,)))
        while not over.wait(0.02):
            connection.sendall(b"x")

    return behaviour


def floods(connection: socket.socket, over: threading.Event) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while not over.is_set():
        connection.sendall(bytes(65536))


def resets(connection: socket.socket, over: threading.Event) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def certificate(folder: Path, name: str) -> Path:
    """A file with a key and a certificate of its own making."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                    "-addext", f"subjectAltName=DNS:{name},IP:127.0.0.1", "-keyout", str(folder / "key"), "-out", str(folder / "certificate")],
                   check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + (folder / "certificate").read_bytes())
    return both


def shakes(both: Path) -> Behaviour:
    def behaviour(connection: socket.socket, over: threading.Event) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(both)
        with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as wrapped:
            wrapped.recv(1)

    return behaviour


def until(done: Callable[[], bool], limit: float = 30.0) -> bool:
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.01)
    return False
