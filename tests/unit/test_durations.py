"""Durations: what people type, what they are shown, and what is written so that it can be read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard import durations


class TestParse:
    @pytest.mark.parametrize(("text", "seconds"), [
        ("0", 0), ("90", 90), ("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800), ("1w", 604800), ("250ms", 0.25), ("1.5", 1.5),
        ("1.5h", 5400), (" 10s ", 10), ("1d2h3m4s", 93784), ("1m1m", 120), ("0s", 0)])
    def test_what_people_type(self, text: str, seconds: float) -> None:
        assert durations.parse(text) == seconds

    @pytest.mark.parametrize("text", [
        "", " ", "s", "5 m", "5x", "-5", "-5s", "+5s", "1e3", "5m ago", "m5", "1,5h", "0x10", "inf", "nan", ".5s", "5.s", "1:30", "5M",
        "9" * 100 + "x"])
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match="is not a duration") as caught:
            durations.parse(text)
        assert len(str(caught.value)) < 120, "however long the text"

    @given(st.text(max_size=30))
    def test_any_text_gives_seconds_or_a_value_error(self, text: str) -> None:
        try:
            assert durations.parse(text) >= 0
        except ValueError:
            pass


class TestShow:
    @pytest.mark.parametrize(("seconds", "text"), [
        (0, "0s"), (1, "1s"), (59, "59s"), (60, "1m"), (90, "1m30s"), (3600, "1h"), (5400, "1h30m"), (3661, "1h1m"), (86400, "1d"),
        (90061, "1d1h"), (86401, "1d1s"), (0.25, "250ms"), (0.0001, "1ms"), (0.9999, "1000ms"), (1.4, "1s"), (59.6, "1m"), (-5, "0s"),
        (604800, "7d")])
    def test_the_two_largest_units(self, seconds: float, text: str) -> None:
        assert durations.show(seconds) == text

    @given(st.floats(1, 1e9))
    def test_what_is_shown_is_right_but_for_the_small_units(self, seconds: float) -> None:
        shown = durations.parse(durations.show(seconds))
        assert abs(shown - seconds) <= max(0.5, seconds / 24), "an hour of a day, a minute of an hour, a second of a minute"

    @given(st.integers(0, 23), st.integers(0, 400))
    def test_days_and_hours_come_back(self, hours: int, days: int) -> None:
        seconds = days * 86400 + hours * 3600
        assert durations.parse(durations.show(seconds)) == seconds


class TestExact:
    @pytest.mark.parametrize(("seconds", "text"), [
        (0, "0s"), (90061, "1d1h1m1s"), (1.5, "1.5s"), (0.25, "250ms"), (0.2, "200ms"), (0.0005, "0.0005s"), (123456.5, "123456.5s"),
        (1e-6, "0.000001s"), (8 * 86400 + 61, "8d1m1s")])
    def test_all_of_it(self, seconds: float, text: str) -> None:
        assert durations.exact(seconds) == text

    @given(st.floats(0, 1e11) | st.integers(0, 10**11) | st.integers(0, 10**6).map(lambda number: number / 1000))
    def test_is_read_as_just_that(self, seconds: float) -> None:
        assert durations.parse(durations.exact(seconds)) == pytest.approx(seconds, rel=1e-15, abs=1e-19)

    @pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e13])
    def test_what_is_none(self, seconds: float) -> None:
        with pytest.raises(ValueError):
            durations.exact(seconds)
