"""What the records of several logs add up to: counts, the last match of each signature, how fast each log grows. Pure.

It lives on from one short-lived process to the next as plain JSON.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Optional

from waguard.agent import extlog, logkinds, redact, signatures
from waguard.agent.extlog import LEVELS, Entry
from waguard.agent.logkinds import ALIKE, STEP, level_and_text
from waguard.agent.record import Offset, minute_at

WINDOW = 300.0
"""Seconds over which a rate is told."""
RUN = 900.0
"""Seconds between two matches of one signature from which they are no longer one run."""
_SLOT = float(STEP)
_KINDS = 1000
_MANY = 100
_BEHIND, _CUT = "behind", "cut"
_NO_DIGITS = str.maketrans("", "", "0123456789abcdefABCDEF")


@dataclass(frozen=True)
class Match:
    """The most recent record that a signature matched.

    ``at``: epoch seconds, None if it has no time. ``where``: the file. ``text``: redacted, at most 200 characters. ``since`` and
    ``times``: when the run of matches that this one ends began, and how many they are, with less than RUN between them.
    """

    signature: str
    at: Optional[float]
    source: str
    where: str
    text: str
    since: Optional[float] = None
    times: int = 1


@dataclass(frozen=True)
class Rate:
    """Records a minute over the last WINDOW seconds. ``repeated``: the line that most of them are, redacted; "" for none."""

    where: str
    per_minute: float
    repeated: str = ""


class Tally:
    """``state`` is what ``dump`` gave at the last visit; what is unusable in it counts as nothing. ``wall``: epoch seconds."""

    def __init__(self, state: Optional[Mapping[str, Any]], wall: float) -> None:
        given: Mapping[str, Any] = state if isinstance(state, Mapping) else {}
        self._wall = wall
        self.records = {source: {level: _count(_in(given, "records", source, level)) for level in LEVELS}
                        for source in signatures.SOURCES}
        self.signatures = {name: _count(_in(given, "signatures", name)) for name in signatures.BY_ID}
        self.matches = {match.signature: match for match in map(_match, _rows(given.get("matches"))) if match is not None}
        self._slots = {where: slots for where, value in _items(given.get("slots")) for slots in [_slots(value, wall)] if slots}
        self._alike: dict[str, tuple[Counter[str], dict[str, str]]] = {}
        self._repeated = {where: text[:200] for where, text in _items(given.get("repeated")) if isinstance(text, str)}
        self._partly: dict[str, str] = {}

    def read(self, source: str, where: str, lines: Sequence[bytes], offset: Optional[Offset], counted: bool,
             whole: bool = True) -> None:
        """`add` for the records that a log's new lines hold (extlog.py)."""
        loud = self._sifted(source, where, lines, counted, whole) if source in (signatures.WAAGENT, signatures.COMMAND) else lines
        self.add(source, where, extlog.records(source, loud, offset), counted, whole)

    def add(self, source: str, where: str, entries: Iterable[Entry], counted: bool, whole: bool = True) -> None:
        """One log's new records. Not ``counted``: history, from before anybody looked. Not ``whole``: there are more of them,
        older ones of the history, else newer ones."""
        levels = self.records[source]
        slots = self._slots.setdefault(where, {})
        kinds, samples = self._alike.setdefault(where, (Counter(), {}))
        horizon = self._wall - WINDOW
        found: dict[str, Match] = {}
        for entry in entries:
            at = entry.at if entry.at is not None else (self._wall if counted else None)
            if counted and at is not None and at > self._wall:
                at = self._wall  # The clock was set back since.
            if entry.begins:
                if counted:
                    levels[entry.level] += 1
                if at is not None and (at > horizon or not whole):
                    slot = int(at // _SLOT)
                    slots[slot] = slots.get(slot, 0) + 1
                    kind = entry.text[:ALIKE].translate(_NO_DIGITS)
                    if kind in kinds or len(kinds) < _KINDS:
                        kinds[kind] += 1
                        samples.setdefault(kind, entry.text)
            known = signatures.match(source, entry.text, entry.level)
            if known is not None:
                last = found.get(known.id) or self.matches.get(known.id)
                found[known.id] = _later(last, Match(known.id, at, source, where, entry.text, at))
                if counted:
                    self.signatures[known.id] += 1
        # What takes long with a text is done to those alone that are kept.
        for name, match in found.items():
            if match is not self.matches.get(name):
                self.matches[name] = replace(match, text=redact.short(match.text))
        self._partly[where] = "" if whole else _BEHIND if counted else _CUT

    def _sifted(self, source: str, where: str, lines: Sequence[bytes], counted: bool, whole: bool) -> Iterator[bytes]:
        """The lines that have to be read one by one. What `add` would do with the others is done here, in numbers.

        The first of each kind is read, so that kinds come to be in their order and each has its sample.
        """
        sieve = signatures.sieve(source)
        levels, slots = self.records[source], self._slots.setdefault(where, {})
        kinds, _ = self._alike.setdefault(where, (Counter(), {}))
        horizon = self._wall - WINDOW if whole else -math.inf
        for batch in logkinds.batches(lines):
            starts = batch.starts()
            begins = {start: _begin(start) for start in starts}
            lately = any(begin + _SLOT > horizon for begin in begins.values())
            if not lately:
                batch.sift(sieve)
            elif all(begin > horizon for begin in begins.values()):
                starts.subtract(batch.sift(sieve, lambda kind: len(kinds) < _KINDS and level_and_text(kind)[1] not in kinds))
            for kind, count in batch.quiet.items():
                level, text = level_and_text(kind)
                if counted:
                    levels[level] += count
                if lately and text in kinds:
                    kinds[text] += count
            if lately and batch.quiet:
                for start, count in (+starts).items():
                    slot = int(min(begins[start], self._wall if counted else begins[start]) // _SLOT)
                    slots[slot] = slots.get(slot, 0) + count
            yield from batch.loud

    def rates(self) -> list[Rate]:
        """Of the logs that were written to lately, the fastest first."""
        found = []
        for where, slots in self._slots.items():
            rate = self._rate(slots, self._partly.get(where, ""))
            if rate > 0:
                found.append(Rate(where, round(rate, 1), self._repeating(where)))
        return sorted(found, key=lambda rate: -rate.per_minute)

    def _rate(self, slots: Mapping[int, int], partly: str) -> float:
        if not slots:
            return 0.0
        newest = (max(slots) + 1) * _SLOT
        if newest < self._wall - WINDOW and partly != _BEHIND:
            return 0.0
        end = newest if partly else max(newest, self._wall)
        within = {slot: count for slot, count in slots.items() if slot * _SLOT >= end - WINDOW}
        if not partly:
            return sum(within.values()) / (WINDOW / 60)
        # Not all of the window was seen: what was seen tells, if it is not a mere moment of it.
        seen = max(60.0, end - min(within) * _SLOT)
        return sum(within.values()) / (min(seen, WINDOW) / 60)

    def _repeating(self, where: str) -> str:
        kinds, samples = self._alike.get(where, (Counter[str](), {}))
        if sum(kinds.values()) >= _MANY:
            kind, count = kinds.most_common(1)[0]
            self._repeated[where] = redact.short(samples[kind]) if count * 2 >= sum(kinds.values()) else ""
        return self._repeated.get(where, "")

    def dump(self) -> dict[str, Any]:
        """The state for the next visit. After `rates`."""
        slots = {where: [[slot, count] for slot, count in sorted(found.items())[-60:]]
                 for where, found in self._slots.items() if found}
        return {"records": self.records, "signatures": self.signatures, "slots": slots,
                "matches": [asdict(match) for match in self.matches.values()],
                "repeated": {where: text for where, text in self._repeated.items() if text and where in slots}}


def _later(last: Optional[Match], match: Match) -> Match:
    """Of two matches of a signature the one to keep: the one that was read last, if it is none of an older log."""
    if last is None or last.at is None:
        return match
    if match.at is None or match.at < last.at:
        return last
    return replace(match, since=last.since, times=last.times + 1) if match.at - last.at < RUN else match


def _begin(start: bytes) -> float:
    """Epoch seconds from which on lines are that have this start; less than any time for one that is none."""
    try:
        return minute_at(start[:16]) + int(start[17:]) * _SLOT
    except ValueError:
        return -math.inf


def _in(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _count(value: Any) -> int:
    return value if type(value) is int and 0 <= value < 1 << 53 else 0


def _items(value: Any) -> list[tuple[str, Any]]:
    return [(str(name), item) for name, item in list(value.items())[:256]] if isinstance(value, Mapping) else []


def _rows(value: Any) -> list[Any]:
    return value[:256] if isinstance(value, list) else []


def _slots(value: Any, wall: float) -> dict[int, int]:
    """Those that may still matter."""
    oldest, newest = (wall - WINDOW) // _SLOT, wall // _SLOT
    return {row[0]: row[1] for row in _rows(value) if isinstance(row, list) and len(row) == 2
            and all(type(item) is int for item in row) and oldest <= row[0] <= newest and row[1] > 0}


def _match(value: Any) -> Optional[Match]:
    name = value.get("signature") if isinstance(value, Mapping) else None
    if not isinstance(name, str) or name not in signatures.BY_ID:
        return None
    texts = [value.get(name) for name in ("source", "where", "text")]
    if not all(isinstance(text, str) for text in texts):
        return None
    source, where, text = (str(text)[:4096] for text in texts)
    return Match(name, _time(value.get("at")), source, where, text[:200], _time(value.get("since")),
                 max(1, _count(value.get("times"))))


def _time(value: Any) -> Optional[float]:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e11 else None
