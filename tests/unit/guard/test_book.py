"""waguard.guard.book: when findings are spoken of, and when not."""

from __future__ import annotations

from typing import Any

import pytest

from waguard.guard.book import QUIET, Book
from waguard.judge.catalogue import CATALOGUE, Finding


class Heard:
    """A book and the events that came of it."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []
        self.book = Book(lambda kind, message, **fields: self.events.append((kind, message, fields)))

    def enter(self, now: float, *found: tuple[str, str]) -> list[tuple[str, float]]:
        self.book.enter([Finding(name, evidence) for name, evidence in found], now)
        return [(standing.finding.id, standing.since) for standing in self.book.standing()]

    @property
    def kinds(self) -> list[tuple[str, str]]:
        return [(kind, fields["finding"]) for kind, _, fields in self.events]


@pytest.fixture
def heard() -> Heard:
    return Heard()


DOWN, HUNG, LEFT_ON = "agent-not-running", "agent-hung", "verbose-left-on"


def test_a_finding_holds_at_once_and_is_spoken_of_after_the_quiet_period(heard: Heard) -> None:
    assert heard.enter(100.0, (DOWN, "pid 7 ended")) == [(DOWN, 100.0)]
    assert heard.enter(100.0 + QUIET - 0.1, (DOWN, "pid 7 ended")) == [(DOWN, 100.0)]
    assert heard.events == []
    heard.enter(100.0 + QUIET, (DOWN, "pid 7 ended for good"))
    raised = ("finding-raised", f"{DOWN}: pid 7 ended for good", {"finding": DOWN, "severity": "critical"})
    assert heard.events == [raised]
    heard.enter(200.0, (DOWN, "pid 7 ended"))
    assert len(heard.events) == 1


def test_what_heals_within_the_quiet_period_makes_no_noise(heard: Heard) -> None:
    heard.enter(100.0, (DOWN, "x"))
    assert heard.enter(100.0 + QUIET + 10) == []
    assert heard.events == []


def test_cleared_is_said_once_and_a_return_begins_anew(heard: Heard) -> None:
    heard.enter(100.0, (DOWN, "x"))
    heard.enter(110.0, (DOWN, "x"))
    heard.enter(120.0)
    heard.enter(130.0)
    assert heard.events[1:] == [("finding-cleared", f"no longer: {CATALOGUE[DOWN].summary}", {"finding": DOWN})]
    assert heard.enter(140.0, (DOWN, "y")) == [(DOWN, 140.0)]
    heard.enter(150.0, (DOWN, "y"))
    assert heard.kinds == [("finding-raised", DOWN), ("finding-cleared", DOWN), ("finding-raised", DOWN)]


def test_two_of_one_kind_are_one_with_both_evidences(heard: Heard) -> None:
    twice = (("observer-failing", "log: gone"), ("observer-failing", "conf: gone"), ("observer-failing", "unit: gone"))
    for now in (100.0, 101.0, 110.0):
        assert heard.enter(now, *twice) == [("observer-failing", 100.0)]
    assert heard.book.standing()[0].finding.evidence == "log: gone; conf: gone; unit: gone"
    assert heard.kinds == [("finding-raised", "observer-failing")]
    assert heard.enter(120.0, *twice[:1]) == [("observer-failing", 100.0)]
    assert heard.kinds == [("finding-raised", "observer-failing")]


def test_gravest_first_then_oldest(heard: Heard) -> None:
    heard.enter(100.0, (LEFT_ON, ""))
    heard.enter(101.0, ("agent-disabled", ""), (LEFT_ON, ""))
    heard.enter(102.0, (LEFT_ON, ""), (HUNG, ""), ("agent-disabled", ""))
    found = heard.enter(103.0, (DOWN, ""), (LEFT_ON, ""), ("agent-disabled", ""), (HUNG, ""))
    assert found == [(HUNG, 102.0), (DOWN, 103.0), ("agent-disabled", 101.0), (LEFT_ON, 100.0)]


def test_one_healed_and_one_that_stays(heard: Heard) -> None:
    heard.enter(100.0, (DOWN, ""), (LEFT_ON, ""))
    heard.enter(110.0, (DOWN, ""), (LEFT_ON, ""))
    heard.enter(111.0, (LEFT_ON, ""))
    assert heard.kinds == [("finding-raised", DOWN), ("finding-raised", LEFT_ON), ("finding-cleared", DOWN)]


def test_every_finding_of_the_catalogue_can_be_spoken_of(heard: Heard) -> None:
    everything = [(name, "evidence") for name in CATALOGUE]
    heard.enter(0.0, *everything)
    heard.enter(10.0, *everything)
    heard.enter(20.0)
    assert len(heard.events) == 2 * len(CATALOGUE)
    assert {fields.get("severity") for _, _, fields in heard.events} == {"critical", "warning", "info", None}


def test_of_two_of_one_kind_the_one_that_blocks_counts() -> None:
    """The backup extension's failed upgrade stands in the way of a snapshot, another extension's does not."""
    one = Finding("extension-upgrade-failed", "the backup extension", (("handler", "VMSnapshot"),), blocks=True)
    other = Finding("extension-upgrade-failed", "something else", (("handler", "Else"),))
    for found in ([one, other], [other, one]):
        heard = Heard()
        heard.book.enter(found, 100.0)
        (standing,) = heard.book.standing()
        assert standing.finding.blocking and standing.finding.values == one.values
        assert standing.finding.evidence == "; ".join(each.evidence for each in found)


def test_evidence_of_hundreds_is_cut() -> None:
    heard = Heard()
    heard.book.enter([Finding("extension-not-ready", f"{number}: {'x' * 290}") for number in range(200)], 100.0)
    evidence = heard.book.standing()[0].finding.evidence
    assert evidence.endswith("; and more") and evidence.count("and more") == 1 and len(evidence) < 1500
