"""One value changes, nothing else, and it comes back byte for byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from waguard.agent import conf, confedit
from waguard.agent.confedit import Edit, Outcome, restore, set_value

from .strategies import FILES, KEY_NAMES, VALUES


def values(data: bytes) -> dict[str, str | None]:
    parsed = conf.parse(data)
    return {found.key: parsed.raw(found.key) for found in parsed.assignments}


@settings(max_examples=300)
@given(FILES, KEY_NAMES, VALUES)
def test_set_and_restore(data: bytes, key: str, value: str) -> None:
    edit = set_value(data, key, value)
    before, after = values(data), values(edit.data)
    assert after.pop(key) == value
    before.pop(key, None)
    assert after == before
    if edit.before is None:
        assert edit.data == data + (b"\n" if edit.glued else b"") + edit.after
    else:
        old, new = data.split(b"\n"), edit.data.split(b"\n")
        assert len(old) == len(new)
        assert [n for n, (a, b) in enumerate(zip(old, new), 1) if a != b] in ([edit.line], [])
        assert new[edit.line - 1] == edit.after.rstrip(b"\n")
        assert edit.before.endswith(b"\n") is edit.after.endswith(b"\n")
    found = conf.parse(edit.data).assignment(key)
    assert found is not None
    assert found.line == edit.line
    assert restore(edit.data, edit) == confedit.Restored(Outcome.RESTORED, data)


@given(FILES, KEY_NAMES, VALUES)
def test_setting_again_changes_nothing(data: bytes, key: str, value: str) -> None:
    once = set_value(data, key, value)
    again = set_value(once.data, key, value)
    assert again.data == once.data
    assert again.before == again.after
    assert restore(again.data, again) == confedit.Restored(Outcome.RESTORED, again.data)


@given(FILES, KEY_NAMES, VALUES)
def test_a_record_survives_json(data: bytes, key: str, value: str) -> None:
    edit = set_value(data, key, value)
    again = Edit.from_json(json.loads(json.dumps(edit.to_json())))
    assert again == edit
    assert restore(edit.data, again) == restore(edit.data, edit)


@settings(max_examples=200)
@given(FILES, KEY_NAMES, VALUES, FILES, FILES)
def test_edits_elsewhere_are_kept(data: bytes, key: str, value: str, above: bytes, below: bytes) -> None:
    """Whole lines that others put above and below come through; unless they set the key, then it is theirs."""
    assume(data)
    edit = set_value(data, key, value)
    assume(edit.data.endswith(b"\n"))
    above = above + b"\n"
    changed = above + edit.data + below
    restored = restore(changed, edit)
    if any(found.key == key for found in conf.parse(below).assignments):
        if restored.outcome is Outcome.SUPERSEDED:
            assert restored.data == changed
        return
    if edit.before is None and any(found.key == key for found in conf.parse(above).assignments):
        return
    assert restored.outcome is Outcome.RESTORED
    body = data if edit.before is not None or not edit.glued else data + b"\n"
    assert restored.data == above + body + below


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"Logs.Verbose=n\n", b"Logs.Verbose=y\n"),
        (b"Logs.Verbose=n", b"Logs.Verbose=y"),
        (b"Logs.Verbose=n\r\nA=1\r\n", b"Logs.Verbose=y\r\nA=1\r\n"),
        (b"  Logs.Verbose =  n   # quiet\n", b"  Logs.Verbose =  y   # quiet\n"),
        (b'Logs.Verbose="n"\n', b'Logs.Verbose="y"\n'),
        (b'Logs.Verbose=" n " #"\n', b'Logs.Verbose=" y " #"\n'),
        (b"Logs.Verbose=\n", b"Logs.Verbose=y\n"),
        (b'Logs.Verbose=""\n', b'Logs.Verbose="y"\n'),
        (b"Logs.Verbose=# nothing\n", b"Logs.Verbose=y# nothing\n"),
        (b"Logs.Verbose=None\n", b"Logs.Verbose=y\n"),
        (b"Logs.Verbose=nonsense\t\n", b"Logs.Verbose=y\t\n"),
        (b'Logs.Verbose="n"\r\n', b"Logs.Verbose=y\r\n"),
        (b'Logs.Verbose = "n"\t# q\r\n', b"Logs.Verbose =y\t# q\r\n"),
        (b"Logs.Verbose=n\nLogs.Verbose=n\n", b"Logs.Verbose=n\nLogs.Verbose=y\n"),
        (b"Logs.Verbose=y\nLogs.Verbose=n\nA=1\n", b"Logs.Verbose=y\nLogs.Verbose=y\nA=1\n"),
        (b"# Logs.Verbose=n\n", b"# Logs.Verbose=n\nLogs.Verbose=y\n"),
        (b" # Logs.Verbose=n\n", b" # Logs.Verbose=n\nLogs.Verbose=y\n"),
        (b"", b"Logs.Verbose=y\n"),
        (b"A=1", b"A=1\nLogs.Verbose=y\n"),
        (b'A="1"\r', b'A="1"\r\nLogs.Verbose=y\n'),
        (b"A=1\r\n", b"A=1\r\nLogs.Verbose=y\r\n"),
        (b"# caf\xe9\nLogs.Verbose=n # \xff\x00\n", b"# caf\xe9\nLogs.Verbose=y # \xff\x00\n"),
        (b"logs.verbose=n\n", b"logs.verbose=n\nLogs.Verbose=y\n"),
        (b"Logs.Verbose=y\n", b"Logs.Verbose=y\n"),
        (b"Logs.Verbose=Y\n", b"Logs.Verbose=y\n"),
        (b"Logs.Verbose=n=n\n", b"Logs.Verbose=y\n"),
    ],
)
def test_exactly_one_value_changes(data: bytes, expected: bytes) -> None:
    edit = set_value(data, "Logs.Verbose", "y")
    assert edit.data == expected
    assert restore(edit.data, edit) == confedit.Restored(Outcome.RESTORED, data)


@pytest.mark.parametrize("value", ["None", "a#b", " y", "y ", '"y"', 'y"', "a\nb", "y\r", "\ty", "a\x00b", "a\x1bb",
                                   "\u00a0y", "a\x7fb", "\ud800"])
def test_values_no_line_can_hold(value: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be written|surrogate"):
        set_value(b"", "Logs.Verbose", value)


@pytest.mark.parametrize("key", ["", "#a", " a", "a ", "a=b", "a\nb", "a\x00", "\ud800"])
def test_names_no_key_can_have(key: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be|surrogate"):
        set_value(b"", key, "y")


def test_the_administrator_wins() -> None:
    edit = set_value(b"A=1\nLogs.Verbose=n\n", "Logs.Verbose", "y")
    for theirs in (
        b"A=1\nLogs.Verbose=n\n",
        b"A=1\nLogs.Verbose=Y\n",
        b"A=1\nLogs.Verbose=y # mine\n",
        b"A=1\nLogs.Verbose = y\n",
        b"A=1\nLogs.Verbose=y\r\n",
        b"A=1\n",
        b"A=1\n#Logs.Verbose=y\n",
        b"A=1\nLogs.Verbose=y\nLogs.Verbose=n\n",
        b"",
    ):
        assert restore(theirs, edit) == confedit.Restored(Outcome.SUPERSEDED, theirs)


def test_our_line_is_found_wherever_it_went() -> None:
    edit = set_value(b"A=1\nLogs.Verbose=n\n", "Logs.Verbose", "y")
    assert restore(b"# new\nB=2\nA=9\nLogs.Verbose=y\nC=3", edit).data == b"# new\nB=2\nA=9\nLogs.Verbose=n\nC=3"
    assert restore(b"Logs.Verbose=n\nLogs.Verbose=y\n", edit).data == b"Logs.Verbose=n\nLogs.Verbose=n\n"


def test_a_final_newline_may_come_and_go() -> None:
    edit = set_value(b"Logs.Verbose=n", "Logs.Verbose", "y")
    assert restore(b"Logs.Verbose=y\nA=1\n", edit).data == b"Logs.Verbose=n\nA=1\n"
    edit = set_value(b"Logs.Verbose=n\n", "Logs.Verbose", "y")
    assert restore(b"Logs.Verbose=y", edit).data == b"Logs.Verbose=n"


def test_an_appended_line_goes_and_takes_its_newline_only_from_the_end() -> None:
    edit = set_value(b"A=1", "Logs.Verbose", "y")
    assert edit.glued
    assert restore(b"A=1\nLogs.Verbose=y\n", edit).data == b"A=1"
    assert restore(b"A=2\nLogs.Verbose=y\n", edit).data == b"A=2"
    assert restore(b"A=1\nLogs.Verbose=y\nB=2\n", edit).data == b"A=1\nB=2\n"
    assert restore(b"A=1\nB=2\nLogs.Verbose=y\n", edit).data == b"A=1\nB=2\n"
    assert restore(b"Logs.Verbose=y\n", edit).data == b""


def test_an_earlier_line_that_came_meanwhile_would_stay_in_force() -> None:
    edit = set_value(b"A=1\n", "Logs.Verbose", "y")
    data = b"Logs.Verbose=y\nA=1\nLogs.Verbose=y\n"
    assert restore(data, edit) == confedit.Restored(Outcome.SUPERSEDED, data)


@pytest.mark.parametrize(
    "change",
    [{"key": None}, {"after": None}, {"after": 1}, {"before": 1}, {"line": "1"}, {"line": True}, {"line": None},
     {"glued": 0}, {"glued": None}, {"before": "\u0100"}, {"after": "\u0100"}],
)
def test_broken_records(change: dict[str, object]) -> None:
    record = {**set_value(b"", "Logs.Verbose", "y").to_json(), **change}
    with pytest.raises(ValueError, match="not a record of an edit"):
        Edit.from_json(record)
    with pytest.raises(ValueError, match="not a record of an edit"):
        Edit.from_json({})


@given(st.binary())
def test_the_record_does_not_carry_the_file(data: bytes) -> None:
    edit = set_value(b"HttpProxy.Host=secret\n" + data + b"\n", "Logs.Verbose", "y")
    assert "secret" not in json.dumps(edit.to_json())
    assert "secret" not in repr(edit)
