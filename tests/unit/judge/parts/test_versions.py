"""Is the agent old: by Azure's limit, by the distribution, by upstream; and which of its versions it has disabled."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.agent import distro
from waguard.agent.facts import AgentFacts
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import CATALOGUE, fill
from waguard.judge.parts import versions
from waguard.observe import Known, Unknown
from waguard.observe.confstudy import AutoUpdate
from waguard.observe.releases import Upstream
from waguard.observe.software import Downloaded, Software
from waguard.settings import Settings

WALL = 1.8e9
SOFTWARE = Software("apt", "waagent", "2.7.3.0-4.1", "2.7.3.0-4.1", "", WALL - 7200, "2.7.3.0", "", (), "", "/usr/bin/python3",
                    distro.commands(("debian",)))
UPSTREAM = Upstream("2.15.0.1", "2025-11-19", "feed", WALL - 60, "")
AGENT = AgentFacts(running=True, daemon_pid=412, handler_pid=430, daemon_version="2.7.3.0", goal_state_version="2.15.0.1",
                   distro=("debian",))


class Conf:
    """The one field of a ConfStudy that matters here."""

    def __init__(self, *autoupdate: Any) -> None:
        self.autoupdate = AutoUpdate(*autoupdate)


def case(agent: AgentFacts = AGENT, software: Optional[Software] = SOFTWARE, upstream: Optional[Upstream] = UPSTREAM,
         conf: Optional[Conf] = None) -> Case:
    return Case(1000.0, WALL, True, True, Settings(), agent,
                software=Unknown("it was late", 1.0) if software is None else Known(software, 1.0),
                releases=Unknown("it was late", 1.0) if upstream is None else Known(upstream, 1.0),
                conf=Unknown("not looked at", 0.0) if conf is None else Known(conf, 1.0))  # type: ignore[arg-type]


def agent(goal_state: str = "", daemon: str = "", **more: Any) -> AgentFacts:
    return replace(AGENT, goal_state_version=goal_state, daemon_version=daemon, **more)


def ids(part: Part) -> list[str]:
    return [finding.id for finding in part.findings]


def evidence(part: Part, id: str) -> str:
    (found,) = [finding for finding in part.findings if finding.id == id]
    return found.evidence


def test_all_is_well() -> None:
    part = versions.judge(case())
    assert (part.name, part.ok, part.findings) == ("versions", True, ())
    assert part.says == ("the goal state agent is 2.15.0.1; the daemon 2.7.3.0; package waagent 2.7.3.0-4.1, "
                         "the newest in the package lists")
    assert part.facts["outdated"] == {"support_floor": False, "distro": False, "upstream": False}
    assert part.facts["installed"] == "2.7.3.0-4.1" and part.facts["upstream"] == "2.15.0.1" and part.facts["disabled"] == []
    assert json.loads(json.dumps(part.facts)) == part.facts


class TestSupportFloor:
    @pytest.mark.parametrize(("goal_state", "daemon", "unsupported"), [
        ("2.2.53.1", "2.2.45", False),  # The goal state agent counts, not the daemon (MSDocs support-extensions-agent-version).
        ("2.2.53.0", "2.2.53.1", True),
        ("2.2.53", "2.15.0.1", True),
        ("2.2.46-0ubuntu1~20.04.1", "", True),
        ("", "2.2.45", True),
        ("", "2.2.53.1", False),
        ("2.15.0.1", "2.2.20", False),
        ("9.9.9.9", "2.2.45", None),
        ("what", "2.2.45", None),
    ])
    def test_the_goal_state_agent_counts_and_else_the_daemon(self, goal_state: str, daemon: str, unsupported: Optional[bool]) -> None:
        part = versions.judge(case(agent(goal_state, daemon)))
        assert part.facts["outdated"]["support_floor"] is unsupported
        assert ("agent-version-unsupported" in ids(part)) == (unsupported is True)
        assert part.ok is not unsupported or unsupported is None

    def test_evidence_and_remedy_name_what_is_meant(self) -> None:
        part = versions.judge(case(agent("2.2.45")))
        assert evidence(part, "agent-version-unsupported") == "the goal state agent is 2.2.45, older than 2.2.53.1"
        remedy = fill(CATALOGUE["agent-version-unsupported"].remedy, dict(part.findings[0].values))
        assert remedy == "apt-get update && apt-get install --only-upgrade waagent"

    def test_the_code_on_disk_stands_in_when_nothing_runs(self) -> None:
        part = versions.judge(case(agent(running=False), replace(SOFTWARE, daemon="2.2.45")))
        assert evidence(part, "agent-version-unsupported") == "the installed agent is 2.2.45, older than 2.2.53.1"


class TestDistro:
    @pytest.mark.parametrize(("manager", "installed", "candidate", "behind"), [
        ("apt", "2.7.3.0-4.1", "2.7.3.0-4.1", False),
        ("apt", "2.7.3.0-4", "2.7.3.0-4.1", True),
        ("apt", "2.9.1.1-0ubuntu1~22.04.1", "2.9.1.1-0ubuntu1~22.04.2", True),
        ("apt", "2.10.0.8-1", "2.9.1.1-1", False),
        ("dnf", "2.7.0.6-9.el9", "2.7.0.6-10.el9", True),
        ("zypper", "2.9.1.1-150100.3.31.1", "2.9.1.1-150100.3.26.1", False),
        ("apt", "", "2.9.1.1-1", None),
        ("apt", None, "2.9.1.1-1", None),
        ("apt", "2.9.1.1-1", None, None),
    ])
    def test_whole_package_versions_are_compared(self, manager: str, installed: Optional[str], candidate: Optional[str],
                                                 behind: Optional[bool]) -> None:
        part = versions.judge(case(software=replace(SOFTWARE, manager=manager, installed=installed, candidate=candidate)))
        assert part.facts["outdated"]["distro"] is behind
        assert ids(part) == (["agent-behind-distro"] if behind else [])
        assert part.ok is not behind or behind is None

    def test_evidence(self) -> None:
        part = versions.judge(case(software=replace(SOFTWARE, candidate="2.9-1")))
        assert evidence(part, "agent-behind-distro") == "waagent 2.7.3.0-4.1 is installed, and apt's lists of 2h ago have 2.9-1"
        undated = versions.judge(case(software=replace(SOFTWARE, candidate="2.9-1", candidate_at=None)))
        assert evidence(undated, "agent-behind-distro") == "waagent 2.7.3.0-4.1 is installed, and apt's lists have 2.9-1"

    def test_what_is_not_known_is_said(self) -> None:
        part = versions.judge(case(software=replace(SOFTWARE, candidate=None, candidate_why="there is no apt-cache")))
        assert part.says.endswith("what the distribution offers is not known (there is no apt-cache)")
        assert part.facts["candidate_unknown"] == "there is no apt-cache"
        part = versions.judge(case(software=None))
        assert part.says.endswith("the package is not known (it was late)")
        assert part.facts["outdated"]["distro"] is None and part.facts["candidate_unknown"] == "it was late"


class TestUpstream:
    @pytest.mark.parametrize(("goal_state", "newest", "behind"), [
        ("2.15.0.1", "2.15.0.1", False), ("2.14.0.1", "2.15.0.1", True), ("2.9.1.1", "2.15.0.1", True), ("2.17.0.1", "2.15.0.1", False),
        ("9.9.9.9", "2.15.0.1", None), ("", "2.15.0.1", None), ("2.15.0.1", "what", None),
    ])
    def test_is_only_worth_knowing(self, goal_state: str, newest: str, behind: Optional[bool]) -> None:
        part = versions.judge(case(agent(goal_state), replace(SOFTWARE, daemon=None), replace(UPSTREAM, newest=newest)))
        assert part.facts["outdated"]["upstream"] is behind
        assert ids(part) == (["agent-behind-upstream"] if behind else []) and part.ok is not False

    def test_not_known(self) -> None:
        part = versions.judge(case(agent("2.9.1.1"), upstream=None))
        assert part.facts["outdated"]["upstream"] is None and part.findings == () and part.facts["upstream"] is None

    def test_where_it_was_read(self) -> None:
        table = versions.judge(case(upstream=replace(UPSTREAM, source="table", fetched_at=None, problem="HTTP 500"))).facts
        assert (table["upstream_source"], table["upstream_fetched_at"], table["upstream_problem"]) == ("table", None, "HTTP 500")

    @pytest.mark.parametrize(("goal_state", "more", "conf", "why"), [
        ("2.9.1.1", {}, None, ""),
        ("2.10.0.8", {}, Conf(True, None, True, None), ""),
        ("2.10.0.8", {}, Conf(True, 3, False, 7), "; AutoUpdate.UpdateToLatestVersion is off"),
        ("2.10.0.8", {}, Conf(False, 3, True, 7), ""),
        ("2.10.0.8", {}, Conf(False, 3, False, None), "; AutoUpdate.Enabled is off"),
        ("2.9.1.1", {}, Conf(False, 3, True, 7), "; AutoUpdate.Enabled is off"),
        ("2.9.1.1", {}, Conf(True, 3, False, 7), ""),
        ("2.9.1.1", {"running": False, "daemon_pid": 0, "handler_pid": 0}, None, "; the agent does not run"),
        ("", {"handler_pid": 0}, None, "; the handler, which does the updating, does not run"),
    ])
    def test_why_it_is_behind(self, goal_state: str, more: dict[str, Any], conf: Optional[Conf], why: str) -> None:
        part = versions.judge(case(agent(goal_state, "" if goal_state else "2.9.1.1", **more), conf=conf))
        who = "the goal state agent" if goal_state else "the daemon"
        assert evidence(part, "agent-behind-upstream") == (
            f"{who} is {goal_state or '2.9.1.1'}, and 2.15.0.1 was released on 2025-11-19{why}")

    def test_a_disabled_version_is_a_reason_too(self) -> None:
        part = versions.judge(case(agent("2.9.1.1"), with_disabled("2.15.0.1"), conf=Conf(False, 1, False, 2)))
        assert evidence(part, "agent-behind-upstream").endswith("; AutoUpdate.Enabled is off; the agent has disabled 2.15.0.1")


def with_disabled(*found: str, reason: str = "restarted more than 3 times", disabled: Optional[bool] = True) -> Software:
    return replace(SOFTWARE, downloaded=tuple(
        Downloaded(version, disabled, reason, Path(f"/var/lib/waagent/WALinuxAgent-{version}/error.json")) for version in found))


class TestDisabled:
    def test_evidence_and_remedy(self) -> None:
        part = versions.judge(case(agent("2.14.0.1"), with_disabled("2.15.0.1", "2.14.5.0", "2.9.1.1")))
        path = "/var/lib/waagent/WALinuxAgent-2.15.0.1/error.json"
        assert evidence(part, "agent-version-disabled") == (
            f"2.15.0.1 is disabled by {path}, and 1 more; the goal state agent is 2.14.0.1; the reason: restarted more than 3 times")
        finding = part.findings[-1]
        assert f"mv {path} {path}.seen" in fill(finding.entry.remedy, dict(finding.values))
        assert part.ok is False and part.facts["disabled"] == ["2.15.0.1", "2.14.5.0", "2.9.1.1"]

    @pytest.mark.parametrize(("goal_state", "version", "found"), [
        ("2.14.0.1", "2.15.0.1", True), ("2.15.0.1", "2.15.0.1", False), ("2.15.0.1", "2.9.1.1", False), ("", "2.15.0.1", True),
        ("9.9.9.9", "2.15.0.1", True),
    ])
    def test_only_one_that_would_run_otherwise(self, goal_state: str, version: str, found: bool) -> None:
        part = versions.judge(case(agent(goal_state), replace(with_disabled(version), daemon=None)))
        assert ("agent-version-disabled" in ids(part)) == found

    @pytest.mark.parametrize("disabled", [False, None])
    def test_one_that_is_not_or_perhaps_not_disabled(self, disabled: Optional[bool]) -> None:
        part = versions.judge(case(agent("2.14.0.1"), with_disabled("2.15.0.1", disabled=disabled)))
        assert "agent-version-disabled" not in ids(part)

    def test_one_that_azure_itself_stepped_back_from_is_no_fault(self) -> None:
        software = with_disabled("2.15.0.1", reason="Marking the agent 2.15.0.1 as bad version since a downgrade was requested in the ...")
        assert "agent-version-disabled" not in ids(versions.judge(case(agent("2.14.0.1"), software)))


def test_nothing_is_known() -> None:
    part = versions.judge(case(AgentFacts(), None, None))
    assert (part.ok, part.findings) == (None, ())
    assert part.says == "not known: neither a running agent nor its code was found; the package is not known (it was late)"
    assert set(part.facts["outdated"].values()) == {None}


def test_the_remedy_is_of_this_distribution_also_when_the_package_is_not_known() -> None:
    part = versions.judge(case(agent("2.2.45", distro=("rhel", "fedora")), None, None))
    assert dict(part.findings[0].values)["upgrade"] == "yum clean expire-cache && yum upgrade WALinuxAgent"
