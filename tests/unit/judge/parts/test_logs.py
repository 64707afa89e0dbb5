"""The logs part: floods, sizes, rotation, reports that failed; and what it shows as an explanation."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest

from waguard.agent.logtally import Match, Rate
from waguard.judge.case import Case, Part
from waguard.judge.parts import logs as part
from waguard.observe import Known, Unknown
from waguard.observe.logrotation import Rotation
from waguard.observe.logtree import LogTree
from waguard.settings import Settings

NOW = 1763556000.0
LOG = "/var/log/waagent.log"
RULE = "/etc/logrotate.d/waagent"
MIB = 1 << 20
WELL = LogTree({"waagent": {"INFO": 3}}, {"no-space": 0}, (), (), Rotation((RULE,), "", 20 * MIB, 5 * MIB, 3, NOW - 3600), 12 * MIB, count=7, waagent=True)


def case(tree: LogTree) -> Case:
    return Case(5000.0, NOW, True, True, Settings(), logtree=Known(tree, 5000.0))


def judge(tree: LogTree) -> Part:
    found = part.judge(case(tree))
    json.dumps(found.facts)
    return found


def told(tree: LogTree) -> list[tuple[str, str]]:
    return [(finding.id, finding.evidence) for finding in judge(tree).findings]


def match(name: str, ago: Optional[float], times: int = 1, since: Optional[float] = None, source: str = "waagent") -> Match:
    at = None if ago is None else NOW - ago
    return Match(name, at, source, LOG, f"text of {name}", at if since is None else NOW - since, times)


def rotation(**changes: Any) -> LogTree:
    return replace(WELL, rotation=replace(WELL.rotation, **changes))


class TestWell:
    def test_says_so_in_a_line(self) -> None:
        found = judge(WELL)
        assert (found.name, found.title, found.ok, found.findings) == ("logs", "Logs", True, ())
        assert found.says == "12.0 MiB in 7 files, no fault in the last day"

    def test_a_fault_explains_and_is_no_finding(self) -> None:
        found = judge(replace(WELL, matches=(match("freeze-failed", 7200, source="extension"), match("firewall-reset", 60))))
        assert found.ok is True and found.findings == ()
        assert found.says == ("12.0 MiB in 7 files; faults of 1 kind in the last day, last 2h ago: a filesystem could not be frozen, or another "
                              "product freezes it (121)")
        (fault,) = found.facts["faults"]
        assert (fault["id"], fault["at"], fault["source"], fault["text"], fault["explains"]) == (
            "freeze-failed", NOW - 7200, "extension", "text of freeze-failed", "snapshot-failed")

    @pytest.mark.parametrize(("fault", "end"), [("freeze-failed", "snapshot-succeeded"), ("goal-state-failing", "goal-state-recovered"),
                                                ("wireserver-unreachable", "goal-state-recovered"), ("status-not-reported", "status-reported")])
    def test_a_fault_with_a_later_success_is_over(self, fault: str, end: str) -> None:
        assert judge(replace(WELL, matches=(match(end, 10), match(fault, 20)))).facts["faults"] == []
        assert len(judge(replace(WELL, matches=(match(fault, 10), match(end, 20)))).facts["faults"]) == 1

    @pytest.mark.parametrize("ago", [86401.0, None])
    def test_one_that_is_old_or_has_no_time_is_left_out(self, ago: Optional[float]) -> None:
        assert judge(replace(WELL, matches=(match("no-space", ago),))).facts["faults"] == []

    def test_facts_for_the_metrics(self) -> None:
        facts = judge(WELL).facts
        assert (facts["records"], facts["signatures"], facts["tree_bytes"]) == ({"waagent": {"INFO": 3}}, {"no-space": 0}, 12 * MIB)


class TestWhatCannotBeTold:
    def test_not_looked_at(self) -> None:
        found = part.judge(Case(1.0, NOW, True, True, Settings(), logtree=Unknown("late", 1.0)))
        assert (found.ok, found.says, found.findings) == (None, "late", ())
        assert part.recent(Case(1.0, NOW, True, True, Settings()), "no-space", 60) is None

    @pytest.mark.parametrize(("problems", "says"), [({}, f"there is no {LOG}"), ({LOG: f"{LOG}: Permission denied"}, f"{LOG} cannot be read: {LOG}: Permission denied")])
    def test_no_waagent_log(self, problems: dict[str, str], says: str) -> None:
        found = judge(replace(WELL, waagent=False, problems=problems, rotation=replace(WELL.rotation, log_bytes=None)))
        assert (found.ok, found.says, found.findings) == (None, says, ())


class TestFlood:
    def test_is_told_with_the_log_and_its_line(self) -> None:
        tree = replace(WELL, rates=(Rate(LOG, 1234.0, "NameError: x"),))
        (finding,) = judge(tree).findings
        assert (finding.id, finding.evidence) == ("log-flood", f"{LOG} gets 1234 records a minute over five minutes, most of them: NameError: x")
        assert finding.values == (("path", LOG),) and judge(tree).ok is False and judge(tree).says == finding.evidence

    def test_of_two_logs_the_worst_is_named(self) -> None:
        ((_, evidence),) = told(replace(WELL, rates=(Rate("/x", 5000.0), Rate(LOG, 1200.0))))
        assert evidence == "/x gets 5000 records a minute over five minutes; too many in 1 more"

    def test_less_is_none(self) -> None:
        assert told(replace(WELL, rates=(Rate(LOG, 1199.9),))) == []


class TestSize:
    def test_of_all(self) -> None:
        tree = replace(WELL, tree_bytes=1024 * MIB, largest=(("/var/log/azure/x", 50 * MIB),), growth=3 * MIB, growth_time=600.0)
        assert told(tree) == [("log-tree-oversized", "all logs take 1.0 GiB, 1024 MiB is the limit; /var/log/azure/x takes 50.0 MiB; 3.0 MiB came in the last 10m")]
        assert judge(tree).findings[0].values == (("path", "/var/log/azure"),)
        assert "or more" in told(replace(tree, complete=False))[0][1]

    def test_of_one(self) -> None:
        tree = replace(WELL, largest=(("/var/log/azure/x", 150 * MIB), ("/var/log/azure/y", 100 * MIB)), over=2)
        assert told(tree) == [("log-tree-oversized", "/var/log/azure/x takes 150.0 MiB; 2 logs are larger than 100 MiB")]
        assert judge(tree).findings[0].values == (("path", "/var/log/azure/x"),)

    @pytest.mark.parametrize("tree", [replace(WELL, tree_bytes=1024 * MIB - 1), replace(WELL, tree_bytes=None), replace(WELL, largest=(("/x", 100 * MIB - 1),))])
    def test_within_the_limits(self, tree: LogTree) -> None:
        assert told(tree) == []


class TestRotation:
    def test_larger_than_its_rule_lets_it_become(self) -> None:
        assert told(rotation(log_bytes=41 * MIB, ran=NOW - 9 * 86400)) == [
            ("logrotate-broken", f"{LOG} takes 41.0 MiB; {RULE} rotates it at 20.0 MiB; logrotate last ran 9d ago")]
        assert told(rotation(log_bytes=40 * MIB)) == []

    def test_logrotate_that_never_ran(self) -> None:
        ((_, evidence),) = told(rotation(log_bytes=41 * MIB, ran=None))
        assert evidence.endswith("logrotate never ran, as far as its status file tells")

    def test_the_size_is_its_own_rule_s(self) -> None:
        assert told(rotation(size=50 * MIB, log_bytes=90 * MIB)) == [] and told(rotation(size=MIB, log_bytes=3 * MIB)) != []

    def test_a_rule_by_time_alone_allows_what_one_log_may_take(self) -> None:
        assert told(rotation(size=None, log_bytes=60 * MIB)) == []
        ((_, evidence),) = told(rotation(size=None, log_bytes=101 * MIB))
        assert evidence.startswith(f"{LOG} takes 101.0 MiB; {RULE} rotates it by time alone; logrotate last ran 1h ago")

    def test_two_rules(self) -> None:
        ((_, evidence),) = told(rotation(rules=("/a", "/b"), log_bytes=60 * MIB))
        assert "/a and /b both name it, which logrotate refuses" in evidence
        assert told(rotation(rules=("/a", "/b"))) == []

    def test_no_rule_and_never_rotated(self) -> None:
        assert told(rotation(rules=(), older=0, size=None)) == [("logrotate-broken", f"{LOG} takes 5.0 MiB; no rule of logrotate is for it")]

    def test_no_rule_but_somebody_rotates_it(self) -> None:
        assert told(rotation(rules=(), older=2, size=None)) == []
        assert told(rotation(rules=(), older=2, size=None, log_bytes=41 * MIB)) != []

    def test_without_logrotate_only_the_size_counts(self) -> None:
        nothing = {"rules": None, "why": "there is no logrotate here", "older": 0, "size": None}
        assert told(rotation(**nothing)) == []
        assert told(rotation(**nothing, log_bytes=41 * MIB)) == [("logrotate-broken", f"{LOG} takes 41.0 MiB; there is no logrotate here")]

    @pytest.mark.parametrize("length", [0, None])
    def test_no_log_or_an_empty_one(self, length: Optional[int]) -> None:
        assert told(rotation(rules=(), older=0, log_bytes=length)) == []


class TestReports:
    def test_a_quarter_of_an_hour_without_success(self) -> None:
        tree = replace(WELL, matches=(match("status-report-failed", 60, 40, 900), match("status-not-reported", 61)))
        (finding,) = part.judge_report(case(tree))
        assert (finding.id, finding.blocking) == ("status-not-reported", True)
        assert finding.evidence == "the agent failed to report its status 40 times in 14m, last 1m ago: text of status-report-failed"
        assert judge(tree).findings == (finding,) and judge(tree).ok is False

    def test_several_failures_in_a_row_are_enough(self) -> None:
        assert [finding.id for finding in part.judge_report(case(replace(WELL, matches=(match("status-report-failed", 60, 2, 66),))))] == ["status-not-reported"]

    def test_the_long_word_alone_is_too(self) -> None:
        """A protocol that is not found is told at level VERBOSE only."""
        (finding,) = part.judge_report(case(replace(WELL, matches=(match("status-not-reported", 1700),))))
        assert finding.evidence == "the agent said 28m20s ago: text of status-not-reported"

    @pytest.mark.parametrize("matches", [
        (),
        (match("status-report-failed", 60),),
        (match("status-report-failed", 901, 40, 1800), match("status-not-reported", 902)),
        (match("status-not-reported", 1801),),
        (match("status-report-failed", 60, 40, 900), match("status-not-reported", 61), match("status-reported", 5)),
        (match("status-not-reported", None), match("status-report-failed", None, 9)),
    ], ids=["none", "a single one", "none for longer than a turn takes", "long ago", "success came later", "without a time"])
    def test_that_is_over_or_was_a_moment(self, matches: tuple[Match, ...]) -> None:
        assert part.judge_report(case(replace(WELL, matches=matches))) == ()

    def test_an_earlier_success_does_not_count(self) -> None:
        tree = replace(WELL, matches=(match("status-report-failed", 60, 40, 900), match("status-reported", 1000)))
        assert len(part.judge_report(case(tree))) == 1
