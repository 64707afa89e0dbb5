"""waguard.guard.sockets: modes and groups, hostile clients, and too many of them."""

from __future__ import annotations

import contextlib
import grp
import json
import os
import random
import resource
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from waguard import varlink
from waguard.guard import sockets as module
from waguard.guard.sockets import Listener
from waguard.varlink import Interface, Service

from .conftest import Turning, descriptors
from .serving import Serving, wait

SNAPSHOT = varlink.encode({"method": "io.waguard.GetSnapshot"})


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    before = descriptors()
    found = Serving(tmp_path)
    found.start()
    yield found
    found.stop()
    assert found.loop.errors == []
    assert descriptors() <= before


def connect(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(path))
    sock.settimeout(30.0)
    return sock


def gone(sock: socket.socket) -> bool:
    """It was hung up on, whatever came before that."""
    try:
        while sock.recv(65536):
            pass
    except ConnectionError:
        pass
    except socket.timeout:
        return False
    return True


@contextlib.contextmanager
def room_for(count: int) -> Iterator[None]:
    """Let this process open so many more descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = sorted(set(range(10000)) - descriptors())
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[count], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def listener(loop: Turning, path: Path, mode: int = 0o660, group: str = "") -> tuple[Listener, list[str]]:
    warnings: list[str] = []
    service = Service("v", "p", "0", "", [Interface("interface io.x\nmethod Do() -> ()\n", {
        "Do": lambda connection, call: connection.reply(call)})])
    return Listener(loop, path, mode, group or None, service, warnings.append), warnings


# The file


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o777, 0])
@pytest.mark.parametrize("mode", [0o666, 0o660, 0o600])
def test_mode_whatever_the_umask(loop: Turning, tmp_path: Path, mode: int, mask: int) -> None:
    before = os.umask(mask)
    try:
        found, _ = listener(loop, tmp_path / "sock", mode)
        assert os.umask(mask) == mask
    finally:
        os.umask(before)
    info = (tmp_path / "sock").stat()
    assert stat.S_ISSOCK(info.st_mode)
    assert stat.S_IMODE(info.st_mode) == mode
    found.close()
    assert not (tmp_path / "sock").exists()


def test_the_umask_is_left_alone(loop: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the whole process's: files that the disk's thread makes at that moment would have mode 0, and uid 0 without
    capabilities could not open them again."""
    asked: list[int] = []
    monkeypatch.setattr(os, "umask", lambda mask: asked.append(mask) or 0)  # type: ignore[func-returns-value]
    listener(loop, tmp_path / "sock")[0].close()
    assert asked == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a file to any group")
def test_group(loop: Turning, tmp_path: Path) -> None:
    group = grp.getgrall()[-1]
    found, warnings = listener(loop, tmp_path / "sock", group=group.gr_name)
    assert (tmp_path / "sock").stat().st_gid == group.gr_gid
    assert warnings == []
    found.close()


def test_a_group_that_does_not_exist_is_said_and_the_socket_works_for_root(loop: Turning, tmp_path: Path) -> None:
    found, warnings = listener(loop, tmp_path / "sock", group="no-such-group")
    assert warnings == [f"{tmp_path}/sock: group no-such-group cannot be given access: there is no such group"]
    assert stat.S_IMODE((tmp_path / "sock").stat().st_mode) == 0o660
    found.close()


def test_a_group_that_the_guard_is_no_member_of_is_said(
    loop: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refuse)
    found, warnings = listener(loop, tmp_path / "sock", group=grp.getgrall()[0].gr_name)
    assert warnings[0].endswith("cannot be given access: waguardd is not a member of it")
    found.close()


def test_a_socket_left_behind_is_replaced(loop: Turning, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(tmp_path / "sock"))
        found, _ = listener(loop, tmp_path / "sock")
    with connect(tmp_path / "sock"):
        loop.until(lambda: found.clients == 1)
    found.close()


def test_close_drops_every_client(loop: Turning, tmp_path: Path) -> None:
    found, _ = listener(loop, tmp_path / "sock")
    clients = [connect(tmp_path / "sock") for _ in range(5)]
    loop.until(lambda: found.clients == 5)
    found.close()
    assert all(gone(client) for client in clients)
    assert found.clients == 0
    for client in clients:
        client.close()


# Clients of all kinds

random.seed(1)
HOSTILE = {
    "nothing": b"",
    "one NUL": b"\0",
    "many NULs": b"\0" * 60000,
    "half a message": SNAPSHOT[:-5],
    "no JSON": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n\0",
    "noise": bytes(random.randrange(256) for _ in range(50000)),
    "too long": b'{"method": "' + b"x" * 200000,
    "deep": b"[" * 60000 + b"\0",
    "list": b"[]\0",
    "no method": b"{}\0",
    "method is a number": b'{"method": 7}\0',
    "parameters are a list": b'{"method": "io.waguard.GetSnapshot", "parameters": []}\0',
    "more is a number": b'{"method": "io.waguard.GetSnapshot", "more": 1}\0',
    "more and oneway": b'{"method": "io.waguard.GetEvents", "more": true, "oneway": true}\0',
    "upgrade": b'{"method": "io.waguard.GetSnapshot", "upgrade": true}\0',
    "no such interface": b'{"method": "org.example.Do"}\0',
    "no such method": b'{"method": "io.waguard.Do"}\0',
    "no name": b'{"method": ""}\0',
    "infinite": b'{"method": "io.waguard.GetEvents", "parameters": {"since": 1e999}}\0',
    "NaN": b'{"method": "io.waguard.GetEvents", "parameters": {"since": NaN}}\0',
    "surrogate": b'{"method": "io.waguard.\\ud800"}\0',
    "not utf-8": b'{"method": "\xff\xfe"}\0',
    "oneway order": b'{"method": "io.waguard.Restart", "oneway": true}\0',
    "many calls": SNAPSHOT * 1000,
    "many oneway calls": b'{"method": "io.waguard.GetSnapshot", "oneway": true}\0' * 1000,
}


@pytest.mark.parametrize("kind", HOSTILE, ids=lambda kind: kind.replace(" ", "-"))
@pytest.mark.parametrize("end", ["close", "half-close", "stay", "reset"])
def test_a_hostile_client_harms_nobody_else(serving: Serving, kind: str, end: str) -> None:
    serving.snapshot = {"filler": "x" * 3000, **serving.snapshot}
    sock = connect(serving.root / "status")
    try:
        sock.sendall(HOSTILE[kind])
        if end == "half-close":
            sock.shutdown(socket.SHUT_WR)
        elif end == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except ConnectionError:
        pass
    if end in ("close", "reset"):
        sock.close()
    assert serving.call("GetSnapshot", control=False)["snapshot"] == serving.snapshot
    assert serving.guard.orders == []
    sock.close()
    wait(lambda: serving.clients == 0, "its connection forgotten")


def test_bytes_in_any_pieces_are_one_call(serving: Serving) -> None:
    with connect(serving.root / "status") as sock:
        for byte in SNAPSHOT:
            sock.sendall(bytes((byte,)))
        decoder = varlink.Decoder(varlink.REPLY_LIMIT)
        while True:
            decoder.feed(sock.recv(100))
            found = next(decoder, None)
            if found:
                break
    assert found == {"parameters": {"snapshot": serving.snapshot}}


def test_pipelined_calls_are_all_answered_in_order(serving: Serving) -> None:
    with connect(serving.root / "status") as sock:
        calls = [varlink.encode({"method": "io.waguard.GetEvents", "parameters": {"last": number}}) + SNAPSHOT
                 for number in range(200)]
        sock.sendall(b"".join(calls))
        sock.shutdown(socket.SHUT_WR)
        data = b"".join(iter(lambda: sock.recv(65536), b""))
    replies = [json.loads(part) for part in data.split(b"\0")[:-1]]
    assert [list(reply["parameters"]) for reply in replies] == [["events"], ["snapshot"]] * 200


def test_a_client_that_leaves_while_its_order_is_under_way_costs_no_time(serving: Serving) -> None:
    """The loop must sleep until the answer is there, also when the kernel goes on reporting the hang-up."""
    waiting = []
    serving.guard.turn_on = lambda *order: waiting.append(order)  # type: ignore[method-assign]
    before = os.times()
    with connect(serving.root / "control") as sock:
        sock.sendall(varlink.encode({"method": "io.waguard.SetVerbose", "parameters": {"on": True}}))
        wait(lambda: waiting)
        sock.shutdown(socket.SHUT_WR)
        assert serving.call("GetSnapshot", control=False)
    turns = 0
    turn = serving.loop.turn

    def counted(longest: float = 60.0) -> None:
        nonlocal turns
        turns += 1
        turn(longest)

    serving.loop.turn = counted  # type: ignore[method-assign]
    for _ in range(20):
        assert serving.call("GetSnapshot", control=False)
    assert turns < 500
    serving.loop.soon(lambda: waiting[0][-1]("done", ""))
    wait(lambda: serving.clients == 0)
    assert os.times().user - before.user < 30


# Too many


def test_two_hundred_connections(serving: Serving) -> None:
    """128 are served, the rest is hung up on, and when they go there is room again."""
    clients = [connect(serving.root / "status") for _ in range(200)]
    wait(lambda: serving.clients == 128)
    assert all(gone(client) for client in clients[128:])
    for client in clients[:128]:
        client.sendall(SNAPSHOT)
    for client in clients[:128]:
        assert client.recv(65536).endswith(b"\0")
    with pytest.raises(varlink.Unreachable):
        serving.call("GetSnapshot", control=False)
    assert serving.call("GetSnapshot", control=True)  # the other socket has its own
    for client in clients:
        client.close()
    wait(lambda: serving.clients == 0)
    for _ in range(200):
        assert serving.call("GetSnapshot", control=False)


def test_one_user_who_is_not_root_cannot_take_every_place(
    loop: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uids = [0]
    monkeypatch.setattr(module, "peer_of", lambda _sock: varlink.Peer(1, uids[-1], uids[-1]))
    found, _ = listener(loop, tmp_path / "sock", 0o666)
    clients: list[socket.socket] = []
    for uid, count, together in ((1000, 50, 32), (1001, 10, 42), (0, 50, 92), (1001, 50, 114), (0, 50, 128)):
        uids.append(uid)
        clients += [connect(tmp_path / "sock") for _ in range(count)]
        loop.until(lambda together=together: found.clients == together)  # type: ignore[misc]
        loop.settle()
        assert found.clients == together
    for client in clients:
        client.close()
    loop.until(lambda: found.clients == 0)
    found.close()


def test_out_of_descriptors_is_said_once_and_does_not_spin(loop: Turning, tmp_path: Path) -> None:
    found, warnings = listener(loop, tmp_path / "sock")
    clients = []
    turns = 0
    with room_for(4):
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                clients.append(connect(tmp_path / "sock"))
        loop.until(lambda: warnings)
        end: list[int] = []
        loop.after(2.5, lambda: end.append(1))
        while not end:
            loop.turn(60.0)
            turns += 1
    assert warnings == [f"{tmp_path}/sock: nobody can be let in: Too many open files"]
    assert turns < 20
    loop.until(lambda: found.clients == len(clients))
    found.close()
    for client in clients:
        client.close()


def test_closing_while_nobody_can_be_let_in(loop: Turning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    found, warnings = listener(loop, tmp_path / "sock")
    clients = []
    with room_for(2):
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                clients.append(connect(tmp_path / "sock"))
        loop.until(lambda: warnings)
    found.close()
    passed: list[int] = []
    loop.after(0.2, lambda: passed.append(1))
    loop.until(lambda: passed)
    for client in clients:
        client.close()
