"""Versions: every spelling the fact sheet names, order, and the facts of each generation."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import versions
from waguard.agent.versions import AgentVersion, StatusPlace, generation, parse


@pytest.mark.parametrize(
    ("text", "numbers", "clean"),
    [
        ("2.15.0.1", (2, 15, 0, 1), "2.15.0.1"),
        ("2.7.3.0-4.1", (2, 7, 3, 0), "2.7.3.0"),
        ("1:2.7.3.0-4.1", (2, 7, 3, 0), "2.7.3.0"),
        ("2.2.46-0ubuntu1~20.04.1", (2, 2, 46, 0), "2.2.46"),
        ("2.11.1.4-0ubuntu3", (2, 11, 1, 4), "2.11.1.4"),
        ("2.7.0.6-1.el7", (2, 7, 0, 6), "2.7.0.6"),
        ("2.11.8.8", (2, 11, 8, 8), "2.11.8.8"),
        ("2.9.1.1+dfsg1", (2, 9, 1, 1), "2.9.1.1"),
        ("2.9.1.1~rc1", (2, 9, 1, 1), "2.9.1.1"),
        ("2.2.45ubuntu3", (2, 2, 45, 0), "2.2.45"),
        ("2.2.45deb10u1", (2, 2, 45, 0), "2.2.45"),
        ("2.2.0.alpha1", (2, 2, 0, 0), "2.2.0"),
        (" 2.2.53\n", (2, 2, 53, 0), "2.2.53"),
        ("2.2.53.1.7", (2, 2, 53, 1), "2.2.53.1.7"),
        ("2.15", (2, 15, 0, 0), "2.15"),
    ],
)
def test_spellings(text: str, numbers: tuple[int, ...], clean: str) -> None:
    version = parse(text)
    assert version.numbers == numbers
    assert str(version) == clean
    assert versions.try_parse(text) == version


@pytest.mark.parametrize(
    "text",
    ["", " ", "2", "v2.2.53", "WALinuxAgent-2.2.53", "2.", "2.x", ".2.2", "-1.2", "2.2 3.4", "2.2/3", "²·²", "٢.٢.٥٣",
     "2.2.123456789012", "None", "Absent", "\0", "2." * 4000, "9" * 100_000 + ".1", "1:", "2.7.3.\0"],
)
def test_garbage_is_told_apart(text: str) -> None:
    with pytest.raises(ValueError, match="not an agent version"):
        parse(text)
    assert versions.try_parse(text) is None


def test_none_is_none() -> None:
    assert versions.try_parse(None) is None


@given(st.text())
def test_any_text_is_a_version_or_a_value_error(text: str) -> None:
    try:
        version = parse(text)
    except ValueError:
        return
    assert parse(str(version)) == version


@given(st.tuples(*[st.integers(0, 10**9 - 1)] * 4), st.tuples(*[st.integers(0, 10**9 - 1)] * 4))
def test_order_is_that_of_the_numbers(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    a, b = (parse(".".join(map(str, numbers))) for numbers in (one, other))
    assert (a < b) is (one < other)
    assert (a == b) is (one == other)
    assert (hash(a) == hash(b)) or one != other


def test_three_parts_equal_four_with_a_zero() -> None:
    assert parse("2.2.53") == parse("2.2.53.0") == AgentVersion(2, 2, 53)
    assert len({parse("2.2.53"), parse("2.2.53.0")}) == 1
    assert str(AgentVersion(2, 2, 53)) == "2.2.53.0"
    assert parse("2.9.1.1") < parse("2.10.0.8")
    assert parse("2.2.53") < versions.SUPPORT_FLOOR <= parse("2.2.53.1-0ubuntu1")


def test_placeholder() -> None:
    assert parse("9.9.9.9").is_placeholder
    assert parse("9.9.9.9-1").is_placeholder
    assert not parse("9.9.9.8").is_placeholder


def test_names() -> None:
    assert versions.from_name("WALinuxAgent-2.15.0.1") == parse("2.15.0.1")
    for name in ("WALinuxAgent", "WALinuxAgent-", "WALinuxAgent-new", "waagent-2.2.53", "Ext-1.0", "XWALinuxAgent-2.2"):
        assert versions.from_name(name) is None


GENERATIONS = [
    # version, status file, heartbeat line, details, event, period, set, utc, redacts, failure disables, tells
    ("2.2.10", StatusPlace.NONE, False, False, True, 25, False, False, False, True, False),
    ("2.2.26", StatusPlace.NONE, False, False, True, 3, False, False, False, True, False),
    ("2.2.34", StatusPlace.NONE, False, False, False, 3, False, False, False, True, False),
    ("2.2.36", StatusPlace.ROOT, False, False, False, 3, False, False, False, True, False),
    ("2.2.45", StatusPlace.ROOT, False, False, False, 3, False, False, False, True, False),
    ("2.2.46", StatusPlace.ROOT, False, False, False, 3, False, True, False, True, False),
    ("2.2.48.1", StatusPlace.ROOT, True, False, False, 3, False, True, False, True, False),
    ("2.2.49.2", StatusPlace.ROOT, True, True, False, 6, True, True, False, True, False),
    ("2.2.53.1", StatusPlace.ROOT, True, True, False, 6, True, True, False, True, True),
    ("2.4.0.2", StatusPlace.ROOT, True, True, False, 6, True, True, False, True, True),
    ("2.5.0.2", StatusPlace.ROOT_NUMBERED, True, True, False, 6, True, True, False, True, True),
    ("2.7.3.0-4.1", StatusPlace.ROOT_NUMBERED, True, True, False, 6, True, True, False, True, True),
    ("2.8.0.11", StatusPlace.HISTORY, True, True, False, 6, True, True, False, False, True),
    ("2.13.1.1", StatusPlace.HISTORY, True, True, False, 6, True, True, False, False, True),
    ("2.14.0.1", StatusPlace.HISTORY, True, True, False, 6, True, True, True, False, True),
    ("2.15.0.1", StatusPlace.HISTORY, True, True, False, 6, True, True, True, False, True),
    ("3.0.0.0", StatusPlace.HISTORY, True, True, False, 6, True, True, True, False, True),
]


@pytest.mark.parametrize("row", GENERATIONS, ids=[row[0] for row in GENERATIONS])
def test_generations(row: tuple[object, ...]) -> None:
    facts = generation(parse(str(row[0])))
    assert (
        facts.status_file, facts.has_heartbeat_line, facts.has_heartbeat_details, facts.has_heartbeat_event,
        facts.loop_period, facts.loop_period_is_set, facts.log_is_utc, facts.log_redacts_sas,
        facts.child_failure_disables, facts.tells_daemon_version,
    ) == row[1:]
    assert facts.loop_period_disabled >= facts.loop_period


def test_releases() -> None:
    assert len(versions.RELEASES) == 42
    assert [r.version for r in versions.RELEASES] == sorted(r.version for r in versions.RELEASES)
    assert all(date(2018, 1, 1) < r.tagged < date(2026, 1, 1) for r in versions.RELEASES)
    assert (str(versions.LATEST_KNOWN.version), versions.LATEST_KNOWN.tagged) == ("2.15.0.1", date(2025, 11, 19))
    assert versions.SUPPORT_FLOOR in {r.version for r in versions.RELEASES}
    assert not any(r.version.is_placeholder for r in versions.RELEASES)
