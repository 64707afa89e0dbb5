"""waguard.guard.bus before a bus of the test's own: it answers well, badly, late, or not at all."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

import pytest

from tests.unit.marshal import message, read_call
from waguard.dbus import Reply
from waguard.guard.bus import Bus

from .conftest import Turning, descriptors

Answer = Callable[[int, str], bytes]
OK = b"OK 00\r\n"


class Server:
    """Answers each call with what ``answer(serial, member)`` gives; b"" for nothing, None hangs up."""

    def __init__(self, path: Path) -> None:
        self.answer: Callable[[int, str], Optional[bytes]] = lambda serial, member: message(2, serial, "s", [member])
        self.greets, self.members = OK, []
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    members: list[str]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with connection, contextlib.suppress(OSError):  # who was told garbage may have hung up by now
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        data = b""
        while b"BEGIN\r\n" not in data:
            data += connection.recv(4096)
        connection.sendall(self.greets)
        data = data.partition(b"BEGIN\r\n")[2]
        while True:
            while len(data) > 16:
                serial, fields, _, length = read_call(data)
                data = data[length:]
                self.members.append(fields[3])
                answer = message(2, serial, "s", [":1.1"]) if fields[3] == "Hello" else self.answer(serial, fields[3])
                if answer is None:
                    return
                connection.sendall(answer)
            more = connection.recv(4096)
            if not more:
                return
            data += more

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(30)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    serving = Server(tmp_path / "bus")
    yield serving
    serving.close()


@pytest.fixture
def bus(loop: Turning, tmp_path: Path, server: Server) -> Iterator[Bus]:
    before = descriptors()
    found = Bus(loop, f"unix:path={tmp_path}/bus,guid=0")
    yield found
    found.close()
    loop.until(lambda: descriptors() <= before, "both ends to be closed")


def ask(loop: Turning, bus: Bus, *members: str, timeout: float = 30.0) -> list[tuple[Optional[Reply], str]]:
    """Calls that are made at the same time, and what each was answered, once."""
    answers: dict[str, tuple[Optional[Reply], str]] = {}

    def done(member: str) -> Callable[[Optional[Reply], str], None]:
        def told(reply: Optional[Reply], why: str) -> None:
            assert member not in answers
            answers[member] = (reply, why)

        return told

    for member in members:
        bus.call("a.b", "/p", "a.i", member, "word", timeout=timeout, done=done(member))
    assert answers == {} or loop is None, "a call must not answer before the loop turns"
    loop.until(lambda: len(answers) == len(members), "all answers")
    loop.settle()
    return [answers[member] for member in members]


def test_calls_are_answered_each_with_its_own_over_one_connection(loop: Turning, bus: Bus, server: Server) -> None:
    for _ in range(3):
        answers = ask(loop, bus, "One", "Two")
        assert [(reply.text if reply else None, why) for reply, why in answers] == [("One", ""), ("Two", "")]
    assert server.connections == 1 and server.members[0] == "Hello"


def test_an_error_is_a_reply(loop: Turning, bus: Bus, server: Server) -> None:
    server.answer = lambda serial, _: message(3, serial, "s", ["Unit is masked."], "org.freedesktop.systemd1.UnitMasked")
    ((reply, why),) = ask(loop, bus, "StartUnit")
    assert reply is not None and (reply.error, reply.text, why) == ("org.freedesktop.systemd1.UnitMasked", "Unit is masked.", "")


def test_signals_and_strange_serials_are_passed_over(loop: Turning, bus: Bus, server: Server) -> None:
    server.answer = lambda serial, member: message(4, 0, "s", ["x"]) + message(2, serial + 1000) + message(2, serial, "s", [member])
    ((reply, _),) = ask(loop, bus, "One")
    assert reply is not None and reply.text == "One"


@pytest.mark.parametrize("address", ["", "unix:abstract=/x", "tcp:host=localhost", "unix:path=/nonexistent/bus", f"unix:path=/{'x' * 200}"])
def test_no_bus(loop: Turning, address: str) -> None:
    (reply, why), = ask(loop, Bus(loop, address), "One")
    assert reply is None and why


@pytest.mark.parametrize("answer", [b"garbage" * 10, b"l\x02\0\x01\xff\xff\xff\x7f\1\0\0\0\0\0\0\0"])
def test_garbage_ends_the_connection_and_the_next_call_makes_another(loop: Turning, bus: Bus, server: Server, answer: bytes) -> None:
    good, server.answer = server.answer, lambda serial, member: answer
    first, second = ask(loop, bus, "One", "Two")
    assert first[0] is None and second[0] is None and first[1] and second[1]
    server.answer = good
    ((reply, _),) = ask(loop, bus, "Three")
    assert reply is not None and reply.text == "Three" and server.connections == 2


def test_a_bus_that_hangs_up(loop: Turning, bus: Bus, server: Server) -> None:
    good, server.answer = server.answer, lambda serial, member: None
    assert ask(loop, bus, "One")[0][0] is None
    server.answer = good
    assert ask(loop, bus, "Two")[0][0] is not None


def test_who_is_not_let_in(loop: Turning, bus: Bus, server: Server) -> None:
    server.greets = b"REJECTED EXTERNAL\r\n"
    ((reply, why),) = ask(loop, bus, "One")
    assert reply is None and "REJECTED" in why


def test_no_answer_in_time_and_a_late_one_harms_nobody(loop: Turning, bus: Bus, server: Server) -> None:
    good, server.answer = server.answer, lambda serial, member: b""
    ((reply, why),) = ask(loop, bus, "One", timeout=0.1)
    assert reply is None and "0.1 s" in why
    server.answer = good
    ((reply, _),) = ask(loop, bus, "Two")
    assert reply is not None and reply.text == "Two"


def test_a_bus_that_accepts_nobody_does_not_hold_the_loop(loop: Turning, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(tmp_path / "full"))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) for _ in range(8)]
        for one in waiting:
            one.connect_ex(str(tmp_path / "full"))
        bus = Bus(loop, f"unix:path={tmp_path}/full")
        ((reply, why),) = ask(loop, bus, "One", timeout=0.2)
        bus.close()
        assert reply is None and why
        for one in waiting:
            one.close()


def test_who_waits_is_told_of_the_end(loop: Turning, bus: Bus, server: Server) -> None:
    server.answer = lambda serial, member: b""
    answers: list[tuple[Optional[Reply], str]] = []
    bus.call("a.b", "/p", "a.i", "One", timeout=30, done=lambda reply, why: answers.append((reply, why)))
    bus.close()
    assert len(answers) == 1 and answers[0][0] is None
