"""Changing one value of waagent.conf and nothing else, byte for byte, and putting it back.

What "the value" is comes from the grammar in conf.py; every edit is proved by parsing the result again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from waguard.agent import conf


@dataclass(frozen=True)
class Edit:
    """One change of one line: what is needed to undo it, and the new file."""

    key: str
    before: bytes | None
    """The line that counted, with its line end; None when the key was in no line."""
    after: bytes
    """The line that counts now, with its line end. Equal to `before` when there was nothing to change."""
    line: int
    """Its 1-based number in the new file."""
    glued: bool
    """The file had no final newline, and one was added in front of the new line."""
    data: bytes = field(default=b"", repr=False, compare=False)
    """The whole new file. Not part of the record: it may hold a proxy's address, and restoring needs only the line."""

    def to_json(self) -> dict[str, object]:
        """The record, fit for json.dumps; bytes are written as latin-1."""
        return {
            "key": self.key,
            "before": None if self.before is None else self.before.decode("latin-1"),
            "after": self.after.decode("latin-1"),
            "line": self.line,
            "glued": self.glued,
        }

    @staticmethod
    def from_json(record: Mapping[str, object]) -> Edit:
        """The inverse of `to_json`, with empty `data`. Raises ValueError for what `to_json` never makes."""
        key, before, after = record.get("key"), record.get("before"), record.get("after")
        line, glued = record.get("line"), record.get("glued")
        if not isinstance(key, str) or not isinstance(after, str) or not (before is None or isinstance(before, str)):
            raise ValueError("not a record of an edit: key, before and after have to be texts")
        if isinstance(line, bool) or not isinstance(line, int) or not isinstance(glued, bool):
            raise ValueError("not a record of an edit: line has to be a number and glued a boolean")
        try:
            return Edit(key, None if before is None else before.encode("latin-1"), after.encode("latin-1"), line, glued)
        except UnicodeEncodeError as error:
            raise ValueError("not a record of an edit: before and after have to be latin-1") from error


class Outcome(Enum):
    """What became of an attempt to undo an edit."""

    RESTORED = "restored"
    SUPERSEDED = "superseded"
    """Someone changed the key meanwhile; it is theirs now and nothing was done."""


@dataclass(frozen=True)
class Restored:
    """The file after an attempt to undo an edit; unchanged when it was superseded."""

    outcome: Outcome
    data: bytes


def set_value(data: bytes, key: str, value: str) -> Edit:
    """Make the agent read `value` for `key`.

    Only the last line that sets the key changes, and in it only the value: spelling, blanks, quotes, a trailing comment
    and the line end stay wherever the agent then still reads `value`; else the line becomes `key=value` with the same
    line end. Without such a line one is appended, after a newline where the file lacks its last one.
    Raises ValueError for a key or a value that no line can express (a `#`, a control character, outer blanks or quotes,
    `None`).
    """
    _check(key, value)
    parsed = conf.parse(data)
    found = parsed.assignment(key)
    if found is None:
        return _append(data, key, value)
    lines = _lines(data)
    before = lines[found.line - 1]
    if found.value == value:
        return Edit(key, before, before, found.line, False, data)
    for after in _rewritings(before, key, value):
        new = b"".join((*lines[: found.line - 1], after, *lines[found.line :]))
        again = conf.parse(new).assignment(key)
        if again is not None and (again.line, again.value) == (found.line, value):
            return Edit(key, before, after, found.line, False, new)
    raise AssertionError("a plain line always reads back, or _check would have refused it")


def restore(data: bytes, edit: Edit) -> Restored:
    """Undo `edit` in a file that may have changed meanwhile.

    If the line that counts for the key is still ours, the old line comes back byte for byte (or the appended bytes go);
    all other lines stay as they are now. A final newline that came or went since is no change of the line. Otherwise,
    and also when undoing would not bring the old value back, the outcome is SUPERSEDED and `data` comes back untouched.
    """
    superseded = Restored(Outcome.SUPERSEDED, data)
    found = conf.parse(data).assignment(edit.key)
    if found is None:
        return superseded
    lines = _lines(data)
    current = lines[found.line - 1]
    if _body(current) != _body(edit.after):
        return superseded
    head, tail = lines[: found.line - 1], lines[found.line :]
    if edit.before is not None:
        head.append(_body(edit.before) + current[len(_body(current)) :])
    elif edit.glued and not any(tail) and found.line == edit.line and head:
        head[-1] = _body(head[-1])
    new = b"".join((*head, *tail))
    if conf.parse(new).raw(edit.key) != _value_of(edit):
        return superseded
    return Restored(Outcome.RESTORED, new)


def _value_of(edit: Edit) -> str | None:
    return None if edit.before is None else conf.parse(edit.before).raw(edit.key)


def _check(key: str, value: str) -> None:
    try:
        read = conf.parse(f"{key}={value}".encode("utf-8", "surrogateescape")).assignments
    except UnicodeEncodeError as error:
        raise ValueError("neither key nor value can hold a lone surrogate") from error
    if not key or len(read) != 1 or read[0].key != key:
        raise ValueError(f"{key!r} cannot be the name of a key")
    if read[0].value != value or read[0].comment is not None or any(ch < " " or ch == "\x7f" for ch in key + value):
        raise ValueError(f"{value!r} cannot be written: the agent would read another value")


def _append(data: bytes, key: str, value: str) -> Edit:
    glued = bool(data) and not data.endswith(b"\n")
    end = b"\r\n" if data.endswith(b"\r\n") else b"\n"
    after = f"{key}={value}".encode("utf-8", "surrogateescape") + end
    # A bare LF, whatever the file's style: a CR would reach into the last line's value.
    new = data + (b"\n" if glued else b"") + after
    return Edit(key, None, after, new.count(b"\n"), glued, new)


def _rewritings(before: bytes, key: str, value: str) -> Iterator[bytes]:
    """New lines for `before`, best first; the last one always reads back."""
    line = _body(before).decode("utf-8", "surrogateescape")
    end = before[len(_body(before)) :]
    name, _, rest = line.partition("=")
    text, mark, comment = rest.partition("#")
    old = text.strip('" ').strip()
    if '"' not in old:
        start = text.index(old) if old else _gap(text)
        yield _encoded(f"{name}={text[:start]}{value}{text[start + len(old) :]}{mark}{comment}") + end
    carriage = "\r" if line.endswith("\r") else ""
    blanks = text[len(text.rstrip(" \t")) :]
    if mark:
        yield _encoded(f"{name}={value}{blanks}{mark}{comment}") + end
    yield _encoded(f"{key}={value}{carriage}") + end


def _gap(text: str) -> int:
    """Where a value goes in a text that has none: between quotes if there are any, else right behind the `=`."""
    return text.find('"') + 1


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _lines(data: bytes) -> list[bytes]:
    """The lines with their LF; they join to `data` again. The last one is empty when the file ends in LF."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + [parts[-1]]


def _body(line: bytes) -> bytes:
    return line[:-1] if line.endswith(b"\n") else line
