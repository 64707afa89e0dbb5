"""The verdict over all: ready, not ready and why, or not known and why."""

from __future__ import annotations

from typing import Optional

import pytest

from waguard.judge.case import Part
from waguard.judge.catalogue import CATALOGUE, Finding, Link, Severity
from waguard.judge.readiness import BEYOND, ESSENTIAL, Readiness, readiness

TITLES = {"agent": "Agent", "conf": "waagent.conf", "network": "Network", "extensions": "Extensions", "filesystems": "File systems"}
PARTS = tuple(Part(name, TITLES[name], "fine", True) for name in ESSENTIAL)


def verdict(*ids: str, azure: Optional[bool] = True, parts: tuple[Part, ...] = PARTS) -> Readiness:
    return readiness([Finding(one, "seen") for one in ids], parts, azure)


class TestReady:
    def test_when_nothing_stands_in_the_way(self) -> None:
        assert verdict() == Readiness(True, "a snapshot asked for now would succeed, as far as can be seen from inside the VM")

    def test_findings_that_do_not_block_do_not_count(self) -> None:
        harmless = [one.id for one in CATALOGUE.values() if not one.blocks]
        assert "backup-overdue" in harmless and verdict(*harmless).ready is True

    def test_a_part_that_is_not_well_is_not_a_part_that_is_not_known(self) -> None:
        assert verdict(parts=tuple(Part(one.name, one.title, "bad", False) for one in PARTS)).ready is True


class TestNotReady:
    @pytest.mark.parametrize("one", [entry.id for entry in CATALOGUE.values() if entry.blocks])
    def test_each_blocking_finding_alone(self, one: str) -> None:
        found = verdict(one)
        assert (found.ready, found.causes, found.link) == (False, (one,), CATALOGUE[one].link)
        assert CATALOGUE[one].summary in found.says and found.link is not Link.NONE

    def test_the_first_link_of_the_chain_comes_first_and_then_the_worst(self) -> None:
        found = verdict("disk-full", "extension-cannot-load", "agent-provisioning", "snapshot-no-result", "wireserver-unreachable", "backup-overdue")
        assert found.causes == ("wireserver-unreachable", "agent-provisioning", "extension-cannot-load", "disk-full", "snapshot-no-result")
        assert CATALOGUE["agent-provisioning"].severity is Severity.WARNING
        assert found.link is Link.GOAL_STATE and found.says.endswith("the wire server does not answer, and 4 more")

    def test_a_finding_may_block_more_or_less_than_its_kind(self) -> None:
        assert readiness([Finding("snapshot-failed", "", blocks=True)], PARTS, True).causes == ("snapshot-failed",)
        assert readiness([Finding("snapshot-no-result", "", blocks=False)], PARTS, True).ready is True

    def test_the_same_cause_is_told_once(self) -> None:
        assert verdict("disk-full", "disk-full").causes == ("disk-full",)

    def test_what_blocks_is_known_though_something_else_is_not(self) -> None:
        found = verdict("disk-full", azure=None, parts=())
        assert found.ready is False and len(found.unknowns) == 1 + len(ESSENTIAL)


class TestNotKnown:
    @pytest.mark.parametrize("name", ESSENTIAL)
    @pytest.mark.parametrize("missing", [True, False])
    def test_when_an_essential_part_could_not_be_told(self, name: str, missing: bool) -> None:
        parts = tuple(one for one in PARTS if one.name != name)
        found = verdict(parts=parts if missing else (*parts, Part(name, TITLES[name], "could not be told: no", None)))
        assert found.ready is None and found.unknowns == ((f"{name}: not looked at" if missing else f"{TITLES[name]}: could not be told: no"),)
        assert found.unknowns[0] in found.says

    def test_when_another_part_could_not_be_told_that_does_not_matter(self) -> None:
        assert verdict(parts=(*PARTS, Part("clock", "Clock", "no", None))).ready is True

    def test_off_azure_nobody_asks(self) -> None:
        found = verdict("disk-full", azure=False)
        assert (found.ready, found.causes) == (None, ("disk-full",)) and "no Azure VM" in found.says

    def test_if_it_is_not_known_whether_this_is_azure(self) -> None:
        assert verdict(azure=None).ready is None


def test_what_cannot_be_seen_from_inside_is_said_with_the_step_to_take() -> None:
    assert len(BEYOND) == 6 and all(what and step for what, step in BEYOND)
    text = " ".join(what for what, _ in BEYOND)
    for word in ("locks", "restore points", "vault", "policy", "schedule", "network security groups", "556", "provisioning"):
        assert word in text
