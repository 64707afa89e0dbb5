"""waguard.dbus against messages by the specification (marshal.py), cut anywhere and damaged anywhere."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.marshal import message, read_call, single
from waguard import dbus
from waguard.dbus import Decoder, ProtocolError, Reply

OK = b"OK 0123456789abcdef\r\n"
SIGNATURES = ("s", "o", "b", "y", "n", "q", "i", "u", "x", "t", "d", "g", "ay", "as", "(uo)", "a(ss)", "a(sasbttttuii)", "a{ss}", "v", "aas",
              "a(yay)", "(bas)", "at", "a(iiqs)", "av")


def value_of(kind: str) -> st.SearchStrategy[Any]:
    """Some value of a single complete type."""
    text = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)), max_size=9)
    numbers = {"y": 8, "q": 16, "u": 32, "t": 64, "h": 32}
    signed = {"n": 16, "i": 32, "x": 64}
    if kind in numbers:
        return st.integers(0, 2 ** numbers[kind] - 1)
    if kind in signed:
        return st.integers(-2 ** (signed[kind] - 1), 2 ** (signed[kind] - 1) - 1)
    if kind == "b":
        return st.integers(0, 1)
    if kind == "d":
        return st.floats(allow_nan=False)
    if kind in "so":
        return text
    if kind == "g":
        return st.sampled_from(["", "s", "a{sv}"])
    if kind == "v":
        return st.sampled_from(["s", "u", "as"]).flatmap(lambda inner: st.tuples(st.just(inner), value_of(inner)))
    if kind[0] == "a":
        return st.lists(value_of(kind[1:]), max_size=3)
    return st.tuples(*map(value_of, single(kind[1:-1])))


def seen(kind: str, value: Any) -> Any:
    """The value as waguard.dbus gives it: variants without their signature, ``ay`` as bytes."""
    if kind == "v":
        return seen(value[0], value[1])
    if kind == "ay":
        return bytes(value)
    if kind[0] == "a":
        return [seen(kind[1:], item) for item in value]
    if kind[0] in "({":
        return tuple(seen(one, item) for one, item in zip(single(kind[1:-1]), value))
    return value


PROPERTIES = st.lists(st.sampled_from(SIGNATURES).flatmap(lambda kind: st.tuples(st.just(kind), value_of(kind))), max_size=12)


@given(PROPERTIES, st.sets(st.integers(0, 11)), st.sampled_from("<>"))
def test_properties_that_are_wanted_are_told_and_the_others_passed_over(
        values: list[tuple[str, Any]], wanted: set[int], order: str) -> None:
    told = [(f"Name{number}", value) for number, value in enumerate(values)]
    data = message(2, 5, "a{sv}", [told], order=order)
    (reply,) = Decoder().feed(OK + data)
    assert (reply.serial, reply.error) == (5, "")
    found = reply.properties({f"Name{number}" for number in wanted})
    assert found == {f"Name{number}": seen(*value) for number, value in enumerate(values) if number in wanted}


@given(st.lists(st.integers(1, 200), max_size=30), st.sampled_from("<>"))
def test_however_the_bytes_come(cuts: list[int], order: str) -> None:
    data = OK + message(2, 1, "s", [":1.7"]) + message(4, 0, "s", ["a signal"]) + message(3, 2, "s", ["No such unit"], "a.NoSuchUnit", order) + \
        message(2, 3)
    decoder, replies = Decoder(), []
    for cut in cuts:
        replies += decoder.feed(data[:cut])
        data = data[cut:]
    replies += decoder.feed(data)
    assert [(reply.serial, reply.error) for reply in replies] == [(1, ""), (2, "a.NoSuchUnit"), (3, "")]
    assert [reply.text for reply in replies] == [":1.7", "No such unit", ""]


@given(st.data())
def test_damage_is_a_protocol_error_or_another_value_but_never_anything_else(data: st.DataObject) -> None:
    whole = bytearray(OK + message(2, 1, "a{sv}", [[("Id", ("s", "x.service")), ("Job", ("(uo)", (3, "/job/3"))), ("Many", ("as", ["a", "b"]))]]))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(len(OK), len(whole) - 1))] = data.draw(st.integers(0, 255))
    try:
        for reply in Decoder().feed(bytes(whole)):
            reply.properties({"Id", "Job"})
            assert isinstance(reply.text, str)
    except ProtocolError:
        pass


@pytest.mark.parametrize("answer", [b"REJECTED EXTERNAL\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"x" * 5000])
def test_who_is_not_let_in_is_told(answer: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(answer)


@pytest.mark.parametrize("data", [b"x" * 16, b"l\x02\0\x01\xff\xff\xff\x7f\1\0\0\0\0\0\0\0", b"l\x02\0\x01\0\0\0\0\1\0\0\0\xff\xff\xff\xff"])
def test_what_is_no_message_or_too_long(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        Decoder().feed(OK + data)


def test_variants_in_variants_come_to_an_end() -> None:
    kind: Any = ("s", "x")
    for _ in range(100):
        kind = ("v", kind)
    (reply,) = Decoder().feed(OK + message(2, 1, "a{sv}", [[("Deep", kind)]]))
    with pytest.raises(ProtocolError, match="deep"):
        reply.properties({"Deep"})


def test_other_types_than_a_map_have_no_properties() -> None:
    with pytest.raises(ProtocolError):
        Reply(1, "", "s", b"", "<").properties({"Id"})


def test_a_call_by_the_specification() -> None:
    data = dbus.call(7, "org.a", "/p", "org.i", "Do", "first", "", "third")
    serial, fields, arguments, length = read_call(data)
    assert (serial, arguments, length) == (7, ["first", "", "third"], len(data))
    assert fields == {1: "/p", 2: "org.i", 3: "Do", 6: "org.a", 8: "sss"}
    assert data[:4] == b"l\x01\0\x01" and read_call(dbus.call(8, "a.b", "/", "a.b", "X"))[1:3] == ({1: "/", 2: "a.b", 3: "X", 6: "a.b"}, [])


def test_the_greeting_tells_who_we_are_in_hexadecimal_digits() -> None:
    lines, _, hello = dbus.greeting(1000).partition(b"BEGIN\r\n")
    assert lines == b"\0AUTH EXTERNAL 31303030\r\n"
    assert read_call(hello)[1][3] == "Hello"


@pytest.mark.parametrize(("name", "path"), [
    ("walinuxagent.service", "walinuxagent_2eservice"), ("a-b@c.service", "a_2db_40c_2eservice"), ("7.mount", "_37_2emount"), ("", "_"),
    ("é.service", "_c3_a9_2eservice")])
def test_paths_of_units_as_systemd_escapes_them(name: str, path: str) -> None:
    assert dbus.unit_path(name) == f"/org/freedesktop/systemd1/unit/{path}"
