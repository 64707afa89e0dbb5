"""Counting, the last match, and rates, from one visit to the next."""

from __future__ import annotations

import json
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent.extlog import Entry
from waguard.agent.logtally import RUN, WINDOW, Tally
from waguard.agent.signatures import EXTENSION, WAAGENT

NOW = 1763556000.0
LOG = "/var/log/waagent.log"
FAILED = "Failed to report vm agent status: [ProtocolError] x"


def entry(text: str = "message", ago: Optional[float] = 0.0, level: str = "INFO", begins: bool = True) -> Entry:
    return Entry(None if ago is None else NOW - ago, level, text, begins)


def again(tally: Tally, wall: float = NOW) -> Tally:
    """The next visit's."""
    tally.rates()
    return Tally(json.loads(json.dumps(tally.dump())), wall)


class TestCounts:
    def test_by_source_and_level_over_visits(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(), entry(level="ERROR")], True)
        tally = again(tally)
        tally.add(WAAGENT, LOG, [entry()], True)
        tally.add(EXTENSION, "/x", [entry(level="WARNING")], True)
        assert tally.records[WAAGENT] == {"VERBOSE": 0, "INFO": 2, "WARNING": 0, "ERROR": 1}
        assert tally.records[EXTENSION]["WARNING"] == 1

    def test_what_continues_a_record_is_none_of_its_own_but_may_match(self) -> None:
        tally = Tally(None, NOW)
        tally.add(EXTENSION, "/x", [entry("OSError: [Errno 28] No space left on device", begins=False)], True)
        assert sum(tally.records[EXTENSION].values()) == 0 and tally.signatures["no-space"] == 1

    def test_history_informs_and_is_not_counted(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(FAILED, 60)], False)
        assert sum(tally.records[WAAGENT].values()) == tally.signatures["status-report-failed"] == 0
        assert tally.matches["status-report-failed"].at == NOW - 60


class TestMatches:
    def test_the_last_one_is_kept_with_the_run_it_ends(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(FAILED, ago) for ago in (5000, 1000, 500, 100)], True)
        tally = again(tally)
        match = tally.matches["status-report-failed"]
        assert (match.at, match.since, match.times, match.where) == (NOW - 100, NOW - 1000, 3, LOG)
        tally.add(WAAGENT, LOG, [entry(FAILED, 100 - RUN)], True)
        assert tally.matches["status-report-failed"].times == 4, "clamped to now: the clock cannot be ahead of the log"

    def test_an_older_one_of_another_log_does_not_replace_it(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry("[Errno 28] a", 10)], True)
        tally.add(EXTENSION, "/x", [entry("[Errno 28] b", 20), entry("[Errno 28] c", None)], False)
        assert tally.matches["no-space"].text == "[Errno 28] a" and tally.signatures["no-space"] == 1

    def test_one_without_a_time_is_of_now_if_it_is_new(self) -> None:
        tally = Tally(None, NOW)
        tally.add(EXTENSION, "/x", [entry("[Errno 28] c", None)], True)
        assert tally.matches["no-space"].at == NOW
        tally = Tally(None, NOW)
        tally.add(EXTENSION, "/x", [entry("[Errno 28] c", None)], False)
        assert tally.matches["no-space"].at is None

    def test_its_text_is_redacted_and_short(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry("[Errno 28] https://x/y?sig=hunter2&se=1 password=hunter2 " + "z" * 500)], True)
        text = tally.matches["no-space"].text
        assert "hunter2" not in text and len(text) == 200 and "hunter2" not in json.dumps(tally.dump())


class TestRates:
    def test_records_a_minute_over_five_minutes(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=ago) for ago in range(1000) if ago % 2], True)
        (rate,) = tally.rates()
        assert rate.where == LOG and rate.per_minute == pytest.approx(30, abs=1.5)

    def test_they_add_up_over_visits_within_the_window(self) -> None:
        tally = Tally(None, NOW - 60)
        tally.add(WAAGENT, LOG, [entry(ago=ago) for ago in range(60, 260)], True)
        tally = again(tally)
        tally.add(WAAGENT, LOG, [entry(ago=ago) for ago in range(60)], True)
        assert tally.rates()[0].per_minute == pytest.approx(52, abs=2)

    def test_a_quiet_log_has_none(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=WINDOW + 20)] * 5000, True)
        assert tally.rates() == []
        tally = Tally(None, NOW - 400)
        tally.add(WAAGENT, LOG, [entry(ago=400)] * 5000, True)
        assert tally.rates() and again(tally).rates() == []

    def test_a_log_of_which_only_the_end_was_seen_is_judged_by_what_was_seen(self) -> None:
        """A flood is faster than the look-back is long."""
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=ago / 20) for ago in range(2000)], False, whole=False)
        assert tally.rates()[0].per_minute == pytest.approx(1100, abs=20)
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=1)] * 500, False, whole=False)
        assert tally.rates()[0].per_minute == 500, "a moment is no minute"

    def test_a_flood_of_old_is_none(self) -> None:
        """The end of the log was a flood, and nothing came since."""
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=86400 + ago / 100) for ago in range(6000)], False, whole=False)
        assert tally.rates() == []

    def test_a_log_that_is_far_behind_is_judged_by_its_own_time(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(ago=1000 + ago / 25) for ago in range(10_000)], True, whole=False)
        assert tally.rates()[0].per_minute >= 1200

    def test_the_repeated_line_is_named_whatever_its_numbers(self) -> None:
        tally = Tally(None, NOW)
        tally.add(WAAGENT, LOG, [entry(f"NameError in pid {number} password=x", ago=1) for number in range(300)], True)
        tally.add(WAAGENT, "/other", [entry(chr(103 + number % 20) * 9, ago=1) for number in range(300)], True)
        assert {rate.where: rate.repeated for rate in tally.rates()} == {LOG: "NameError in pid 0 password=<redacted>", "/other": ""}
        assert [rate.repeated for rate in again(tally).rates() if rate.where == LOG] == ["NameError in pid 0 password=<redacted>"]


_ANY = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
                    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from([
                        "records", "signatures", "matches", "slots", "repeated", "waagent", "INFO", "no-space", "signature", "at", "text",
                        "source", "where", "since", "times", LOG]), inner, max_size=5), max_leaves=20)


@pytest.mark.once
@given(_ANY | st.fixed_dictionaries({"matches": st.lists(st.fixed_dictionaries({
    "signature": st.just("no-space") | _ANY, "source": st.just("x") | _ANY, "where": st.just("x") | _ANY, "text": st.just("x") | _ANY,
    "at": _ANY, "times": _ANY})), "slots": st.dictionaries(st.text(max_size=3), st.lists(st.lists(st.integers(), max_size=3)))}))
def test_any_state_is_lived_with(state: Any) -> None:
    tally = Tally(state, NOW)
    tally.add(WAAGENT, LOG, [entry("[Errno 28]")], True)
    assert tally.rates() and tally.signatures["no-space"] >= 1
    json.dumps(tally.dump(), allow_nan=False)
