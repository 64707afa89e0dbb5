"""waguard.varlink: the codec by itself, and a connection and its service over a socket pair."""

from __future__ import annotations

import contextlib
import json
import os
import select
import selectors
import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard import varlink

DESCRIPTION = """\
# Things to try a Varlink server with
interface io.waguard.test

type Weight (grams: int, exact: ?bool)

# Returns what it was given
method Echo(text: string) -> (text: string)

# Counts up from 1; one reply a number
method Count(to: int) -> (number: int)

# Replies when somebody says so
method Later() -> (weights: [string]Weight)

# Fails in a way that it declares
method Fail() -> ()

# Described, and not there
method Planned() -> ()

# Remembers that it was called
method Note(text: string) -> ()

error Refused (why: string, colour: (red, green))
"""


class Things:
    """The methods of io.waguard.test."""

    def __init__(self) -> None:
        self.later: list[tuple[varlink.Connection, varlink.Call]] = []
        self.notes: list[str] = []
        methods = {"Echo": self.echo, "Count": self.count, "Later": self.wait, "Fail": self.fail, "Note": self.note}
        interface = varlink.Interface(DESCRIPTION, methods)
        self.service = varlink.Service("us", "test", "1", "https://example.org", [interface])

    def echo(self, connection: varlink.Connection, call: varlink.Call) -> None:
        if not isinstance(call.parameters.get("text"), str):
            raise varlink.invalid_parameter("text")
        connection.reply(call, {"text": call.parameters["text"]})

    def count(self, connection: varlink.Connection, call: varlink.Call) -> None:
        last = call.parameters["to"]
        for number in range(1, last + 1):
            connection.reply(call, {"number": number}, continues=number < last)

    def wait(self, connection: varlink.Connection, call: varlink.Call) -> None:
        self.later.append((connection, call))

    def fail(self, connection: varlink.Connection, call: varlink.Call) -> None:
        raise varlink.RemoteError("io.waguard.test.Refused", {"why": "because"})

    def note(self, connection: varlink.Connection, call: varlink.Call) -> None:
        self.notes.append(call.parameters["text"])


class Pair:
    """A Connection and the raw socket of its client."""

    def __init__(self, **options: int) -> None:
        ours, self.client = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self.connection = varlink.Connection(ours, **options)
        self.things = Things()
        self.client.settimeout(10)
        self._decoder = varlink.Decoder(varlink.REPLY_LIMIT)

    def close(self) -> None:
        self.connection.close()
        self.client.close()

    def send(self, *messages: Any) -> None:
        self.client.sendall(b"".join(json.dumps(message).encode() + b"\0" for message in messages))

    def turn(self) -> None:
        """What an event loop does, until there is nothing left to do without waiting."""
        for _ in range(1000):
            with selectors.DefaultSelector() as selector:
                wanted = selectors.EVENT_READ * self.connection.wants_read
                wanted |= selectors.EVENT_WRITE * self.connection.wants_write
                if not wanted:
                    return
                selector.register(self.connection, wanted)
                ready = selector.select(0)
            if not ready:
                return
            calls = []
            if ready[0][1] & selectors.EVENT_READ:
                calls += self.connection.on_readable()
            if ready[0][1] & selectors.EVENT_WRITE:
                calls += self.connection.on_writable()
            for call in calls:
                self.things.service.dispatch(self.connection, call)
        raise AssertionError("the connection spins")

    def replies(self) -> list[dict[str, Any]]:
        """What has come to the client since it was last asked."""
        self.client.setblocking(False)
        try:
            while data := self.client.recv(1 << 20):
                self._decoder.feed(data)
        except BlockingIOError:
            pass
        return list(self._decoder)

    def ask(self, *messages: Any) -> list[dict[str, Any]]:
        self.send(*messages)
        self.turn()
        return self.replies()


@pytest.fixture
def pair() -> Iterator[Pair]:
    with contextlib.closing(Pair()) as pair:
        yield pair


@pytest.fixture
def tight() -> Iterator[Pair]:
    """A connection that lets a client leave no more than 10 kB unread."""
    with contextlib.closing(Pair(pending_limit=10000)) as pair:
        yield pair


def echo(text: Any, **flags: Any) -> dict[str, Any]:
    return {"method": "io.waguard.test.Echo", "parameters": {"text": text}, **flags}


# The codec

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(), children, max_size=4),
    max_leaves=12,
)


@given(messages=st.lists(st.dictionaries(st.text(), JSON, max_size=4), max_size=5), cuts=st.lists(st.integers(1, 40)))
def test_what_is_encoded_comes_out_again_however_it_is_cut(messages: list[dict[str, Any]], cuts: list[int]) -> None:
    wire = b"".join(map(varlink.encode, messages))
    decoder, out = varlink.Decoder(1 << 20), []
    while wire:
        cut = cuts.pop() if cuts else len(wire)
        decoder.feed(wire[:cut])
        wire = wire[cut:]
        out += list(decoder)
    assert out == messages
    assert len(decoder) == 0


@given(st.binary(max_size=200))
def test_any_bytes_give_objects_or_protocol_errors(data: bytes) -> None:
    decoder = varlink.Decoder(100)
    decoder.feed(data)
    try:
        assert all(isinstance(message, dict) for message in decoder)
    except varlink.ProtocolError:
        pass


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "not JSON"),
        (b"hello", "not JSON"),
        (b"{'a': 1}", "not JSON"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": "\xff"}', "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        ('{"a": 1}'.encode("utf-16"), "not JSON"),
        (b"[1]", "list, not an object"),
        (b"null", "NoneType, not an object"),
        (b'{"a":' * 30000, "nested too deeply"),
        (b"[" * 60000, "nested too deeply"),
    ],
)
def test_what_is_no_message_says_why(raw: bytes, says: str) -> None:
    decoder = varlink.Decoder(1 << 20)
    decoder.feed(raw.replace(b"\0", b" ") + b"\0")
    with pytest.raises(varlink.ProtocolError, match=says):
        next(decoder)


@pytest.mark.skipif(not hasattr(sys, "get_int_max_str_digits"), reason="this Python turns any digits into an integer")
def test_an_integer_without_end_is_an_error() -> None:
    decoder = varlink.Decoder()
    decoder.feed(b'{"a":' + b"9" * 60000 + b"}\0")
    with pytest.raises(varlink.ProtocolError):
        next(decoder)


def test_a_message_of_the_limit_is_read_and_one_byte_more_is_not() -> None:
    exact = b'{"a":"' + b"x" * (100 - 8) + b'"}'
    decoder = varlink.Decoder(100)
    decoder.feed(exact + b"\0")
    assert len(next(decoder)["a"]) == 92
    for data in (exact + b" \0", exact + b" "):
        decoder = varlink.Decoder(100)
        decoder.feed(data)
        with pytest.raises(varlink.ProtocolError, match="longer than 100 bytes"):
            next(decoder)


def test_encode_refuses_what_json_cannot_say() -> None:
    with pytest.raises(ValueError):
        varlink.encode({"a": float("nan")})
    with pytest.raises(TypeError):
        varlink.encode({"a": b""})


def test_encode_takes_names_that_are_not_unicode() -> None:
    assert varlink.encode({"path": os.fsdecode(b"\xff")}) == b'{"path":"\\udcff"}\0'


# A connection


def test_call_and_reply(pair: Pair) -> None:
    assert pair.ask(echo("hé")) == [{"parameters": {"text": "hé"}}]
    assert not pair.connection.wants_write


def test_a_call_in_single_bytes(pair: Pair) -> None:
    for byte in varlink.encode(echo("x")):
        pair.client.sendall(bytes([byte]))
        pair.turn()
    assert pair.replies() == [{"parameters": {"text": "x"}}]


def test_parameters_may_be_null_or_missing(pair: Pair) -> None:
    info = "org.varlink.service.GetInfo"
    (first, second) = pair.ask({"method": info}, {"method": info, "parameters": None, "vendor.extension": {}})
    assert first == second
    assert first["parameters"]["interfaces"] == ["io.waguard.test", "org.varlink.service"]


def test_more_streams_and_the_last_reply_does_not_continue(pair: Pair) -> None:
    call = {"method": "io.waguard.test.Count", "parameters": {"to": 3}, "more": True}
    replies = pair.ask(call, echo("after"))
    assert [reply.get("continues", False) for reply in replies] == [True, True, False, False]
    assert [reply["parameters"] for reply in replies[:3]] == [{"number": 1}, {"number": 2}, {"number": 3}]


def test_oneway_has_no_reply_not_even_an_error(pair: Pair) -> None:
    note = {"method": "io.waguard.test.Note", "parameters": {"text": "n"}, "oneway": True}
    nothing = {"method": "io.waguard.test.Nothing", "oneway": True}
    wrong = {"method": 7, "oneway": True}
    assert pair.ask(note, nothing, wrong, echo("x", oneway=True), note, echo("y")) == [{"parameters": {"text": "y"}}]
    assert pair.things.notes == ["n", "n"]


def test_pipelined_calls_wait_for_the_answer_that_is_due(pair: Pair) -> None:
    later = {"method": "io.waguard.test.Later"}
    assert pair.ask(later, echo("a"), later, echo("b")) == []
    pair.connection.reply(pair.things.later.pop()[1], {"number": 1})
    pair.turn()
    assert [reply["parameters"] for reply in pair.replies()] == [{"number": 1}, {"text": "a"}]
    pair.connection.error(pair.things.later.pop()[1], "io.waguard.test.Refused", {})
    pair.turn()
    assert pair.replies() == [{"error": "io.waguard.test.Refused", "parameters": {}}, {"parameters": {"text": "b"}}]


def test_many_pipelined_calls_do_not_count_as_not_reading(tight: Pair) -> None:
    tight.send(*[echo("x" * 3000)] * 20)
    replies: list[Any] = []
    while len(replies) < 20:
        tight.turn()
        assert not tight.connection.closed
        replies += tight.replies()
    assert {reply["parameters"]["text"] for reply in replies} == {"x" * 3000}


def test_a_client_that_does_not_read_is_dropped(tight: Pair) -> None:
    tight.send({"method": "io.waguard.test.Later", "more": True})
    tight.turn()
    connection, call = tight.things.later[0]
    for _ in range(1000):
        connection.reply(call, {"text": "x" * 5000}, continues=True)
    assert connection.closed
    assert "unread" in connection.why
    connection.reply(call)  # harmless
    assert not connection.wants_read
    assert not connection.wants_write
    assert connection.on_readable() == connection.on_writable() == []


def test_one_long_reply_is_no_reason_to_drop(tight: Pair) -> None:
    tight.send(*[{"method": "io.waguard.test.Later"}] * 2)
    tight.turn()
    connection, call = tight.things.later[0]
    connection.reply(call, {"text": "x" * 3_000_000})
    replies: list[Any] = []
    while not replies:
        tight.turn()
        replies = tight.replies()
    assert len(replies[0]["parameters"]["text"]) == 3_000_000
    tight.turn()
    assert len(tight.things.later) == 2


@pytest.mark.parametrize(
    ("message", "parameter"),
    [
        ({}, "method"),
        ({"method": None}, "method"),
        ({"method": "a.b", "parameters": []}, "parameters"),
        ({"method": "a.b", "parameters": "x"}, "parameters"),
        ({"method": "a.b", "oneway": 1}, "oneway"),
        ({"method": "a.b", "more": "yes"}, "more"),
        ({"method": "a.b", "upgrade": True}, "upgrade"),
    ],
)
def test_an_ill_formed_call_is_told_which_field(pair: Pair, message: dict[str, Any], parameter: str) -> None:
    error = {"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": parameter}}
    assert pair.ask(message, echo("next")) == [error, {"parameters": {"text": "next"}}]


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n\0", b"[]\0", b"[" * 40000 + b"\0", b"\0", b"\xff\0"])
def test_what_is_not_varlink_closes_after_earlier_calls_were_answered(pair: Pair, data: bytes) -> None:
    pair.client.sendall(varlink.encode(echo("x")) + data)
    pair.turn()
    assert pair.connection.closed
    assert pair.connection.why.startswith("message is")
    assert pair.replies() == [{"parameters": {"text": "x"}}]


def test_a_request_over_the_limit_closes(pair: Pair) -> None:
    pair.client.sendall(b'{"method":"' + b"x" * varlink.REQUEST_LIMIT)
    pair.turn()
    assert pair.connection.closed
    assert "longer than 65536" in pair.connection.why


def test_waiting_calls_over_the_limit_close(pair: Pair) -> None:
    pair.send({"method": "io.waguard.test.Later"})
    pair.turn()
    pair.send(*[echo("x" * 100)] * 600)
    pair.turn()
    assert pair.connection.closed
    assert "waiting" in pair.connection.why


def test_a_client_that_leaves(pair: Pair) -> None:
    pair.client.close()
    pair.turn()
    assert pair.connection.closed
    assert pair.connection.why == ""


@pytest.mark.parametrize("first", ["close", "shutdown"])
def test_a_client_that_leaves_with_calls_unanswered_does_not_spin_the_loop(pair: Pair, first: str) -> None:
    pair.send({"method": "io.waguard.test.Later"}, echo("x"))
    pair.turn()
    connection, call = pair.things.later[0]
    if first == "shutdown":
        pair.client.shutdown(socket.SHUT_WR)
        pair.turn()
        assert not connection.closed
    pair.client.close()
    with select.epoll() as epoll:
        epoll.register(connection, select.EPOLLIN if connection.wants_read else 0)
        assert epoll.poll(10)[0][1] & select.EPOLLHUP
    assert connection.on_readable() == []
    assert connection.closed
    assert connection.why == ""
    connection.reply(call)  # harmless
    connection.close()
    connection.close()


def test_a_client_that_has_no_more_calls_still_gets_its_answers(pair: Pair) -> None:
    later = {"method": "io.waguard.test.Later"}
    pair.send(later, echo("x"))
    pair.client.shutdown(socket.SHUT_WR)
    pair.turn()
    assert not pair.connection.closed
    assert not pair.connection.wants_read  # or the loop would spin
    pair.connection.reply(pair.things.later[0][1])
    pair.turn()
    assert pair.replies() == [{"parameters": {}}, {"parameters": {"text": "x"}}]
    assert pair.connection.closed


def test_a_client_that_no_longer_streams(pair: Pair) -> None:
    pair.send({"method": "io.waguard.test.Later", "more": True})
    pair.client.shutdown(socket.SHUT_WR)
    pair.turn()
    assert pair.connection.closed


def test_mistakes_of_the_guard_are_loud(pair: Pair) -> None:
    pair.send({"method": "io.waguard.test.Later"})
    pair.turn()
    connection, call = pair.things.later[0]
    with pytest.raises(ValueError, match="more than one"):
        connection.reply(call, continues=True)
    with pytest.raises(ValueError):
        connection.reply(call, {"a": float("nan")})
    connection.reply(call)
    with pytest.raises(ValueError, match="already"):
        connection.reply(call)


def test_a_method_that_fails_drops_its_client_and_says_so(pair: Pair) -> None:
    with pytest.raises(KeyError):
        pair.ask({"method": "io.waguard.test.Count"})
    assert pair.connection.closed
    assert "Count failed" in pair.connection.why


def test_peer() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert varlink.peer_of(ours) == (os.getpid(), os.getuid(), os.getgid())


# The service


def errors_of(pair: Pair, method: str, **parameters: Any) -> tuple[str, dict[str, Any]]:
    (reply,) = pair.ask({"method": method, "parameters": parameters})
    return reply["error"], reply["parameters"]


def test_errors_of_the_service(pair: Pair) -> None:
    base = "org.varlink.service."
    assert errors_of(pair, "io.nobody.Do") == (base + "InterfaceNotFound", {"interface": "io.nobody"})
    assert errors_of(pair, "Do") == (base + "InterfaceNotFound", {"interface": ""})
    missing = "io.waguard.test.Missing"
    assert errors_of(pair, missing) == (base + "MethodNotFound", {"method": missing})
    planned = "io.waguard.test.Planned"
    assert errors_of(pair, planned) == (base + "MethodNotImplemented", {"method": planned})
    assert errors_of(pair, "io.waguard.test.Echo") == (base + "InvalidParameter", {"parameter": "text"})
    assert errors_of(pair, "io.waguard.test.Fail") == ("io.waguard.test.Refused", {"why": "because"})


def test_descriptions(pair: Pair) -> None:
    method = "org.varlink.service.GetInterfaceDescription"
    (reply,) = pair.ask({"method": method, "parameters": {"interface": "io.waguard.test"}})
    assert reply["parameters"] == {"description": DESCRIPTION}
    (reply,) = pair.ask({"method": method, "parameters": {"interface": "org.varlink.service"}})
    assert "method GetInfo() ->" in reply["parameters"]["description"]
    assert errors_of(pair, method, interface=1)[1] == {"parameter": "interface"}
    assert errors_of(pair, method, interface="io.nobody")[0] == "org.varlink.service.InterfaceNotFound"


def test_a_method_that_is_not_described_is_refused() -> None:
    with pytest.raises(ValueError, match=r"io\.a\.b.*Strange"):
        varlink.Service("", "", "", "", [varlink.Interface("interface io.a.b\n", {"Strange": lambda *_: None})])
    with pytest.raises(ValueError):
        varlink.Service("", "", "", "", [varlink.Interface("method A() -> ()\n", {})])
