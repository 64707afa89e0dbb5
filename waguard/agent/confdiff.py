"""What an edit of waagent.conf means: which keys the agent will read otherwise, without secrets. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waguard.agent.conf import KEYS, Assignment, Conf, shown_key, spelt
from waguard.agent.shown import MASK, shown
from waguard.i18n import say

Values = tuple[tuple[str, str], ...]
"""(key, text) of every key in the file that is not at its default, sorted. May hold secrets: for comparing, not for showing."""

_UNREAD_KEYS = 100
_LOGIN = ("HttpProxy.Host",)
_DEFAULT = " (default)"
_UNREAD = " (not read by the agent)"


@dataclass(frozen=True)
class Change:
    """One key whose effective value changed, in words that may be shown: ``n (default)``, ``y``, ``300``.

    Of a key that the agent does not read only ``set`` and ``not set`` are told: its value may be anything.
    """

    key: str
    old: str
    new: str

    def __str__(self) -> str:
        key, old, new = self.key, self.old, self.new
        if key.endswith(_UNREAD):
            name = key[:-len(_UNREAD)]
            return (say("{key} (not read by the agent): not set -> set", key=name) if old != "set" else
                    say("{key} (not read by the agent): set -> not set", key=name) if new == "not set" else
                    say("{key} (not read by the agent): set -> set otherwise", key=name))
        if old.endswith(_DEFAULT):
            return say("{key}: {said_old} (default) -> {new}", key=key, said_old=old[:-len(_DEFAULT)], new=new)
        if new.endswith(_DEFAULT):
            return say("{key}: {old} -> {said_new} (default)", key=key, old=old, said_new=new[:-len(_DEFAULT)])
        return f"{key}: {old} -> {new}"  # Nothing in it is to be translated.


def values(conf: Conf) -> Values:
    """What a file sets. Of keys that the agent does not read the first hundred count."""
    found: dict[str, str] = {}
    unread = 0
    for key, line in conf.last.items():
        effective = conf.effective(key)
        if effective.line is None:
            continue
        unread += key not in KEYS
        if key in KEYS or unread <= _UNREAD_KEYS:
            found[key] = _with_login(line) if key in _LOGIN else spelt(effective.value)
    return tuple(sorted(found.items()))


def compare(before: Values, after: Values) -> tuple[Change, ...]:
    """What the agent reads otherwise from one file than from the other: keys that it knows first, each group sorted."""
    old, new = dict(before), dict(after)
    keys = sorted((key for key in {*old, *new} if old.get(key) != new.get(key)), key=lambda key: (key not in KEYS, key))
    found = [_known(key, old, new) if key in KEYS else _unread(key, old, new) for key in keys]
    return tuple(change for change in found if change is not None)


def describe(found: Sequence[Change], most: int = 5) -> str:
    """One line: the first ``most`` changes, and how many more there are."""
    more = [say("and {count} more", count=len(found) - most)] if len(found) > most else []
    return "; ".join([*(str(change) for change in found[:most]), *more])


def _known(key: str, old: dict[str, str], new: dict[str, str]) -> Change | None:
    """None where the line came or went and the agent uses the same value as before."""
    before, after = _effective(key, old), _effective(key, new)
    # Where a key follows another one, it matters that it is there at all: AutoUpdate.UpdateToLatestVersion.
    if before == after and not KEYS[key].same_as:
        return None
    return Change(key, _shown(key, before, key in old), _shown(key, after, key in new))


def _effective(key: str, set_: dict[str, str]) -> str:
    if key in set_:
        return set_[key]
    known = KEYS[key]
    return _effective(known.same_as, set_) if known.same_as else spelt(known.default)


def _shown(key: str, value: str, is_set: bool) -> str:
    if key in _LOGIN:
        _, at, host = value.rpartition("@")
        value = f"{MASK}@{host}" if at else value
    return shown(value) + ("" if is_set else _DEFAULT)


def _unread(key: str, old: dict[str, str], new: dict[str, str]) -> Change:
    now = "not set" if key not in new else "set otherwise" if key in old else "set"
    return Change(shown_key(key) + _UNREAD, "set" if key in old else "not set", now)


def _with_login(line: Assignment) -> str:
    """With a # in the password the agent's value ends there, and the rest of the login is in the comment."""
    comment = line.comment or ""
    return (line.value or "") + (comment if "@" in comment else "")
