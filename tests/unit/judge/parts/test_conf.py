"""What the doctor says of a waagent.conf, from files as they are written."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.agent.facts import AgentFacts
from waguard.agent.shown import MASK
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.judge.parts import conf
from waguard.observe import Known, Unknown, confstudy
from waguard.observe.confstudy import ConfStudy
from waguard.settings import Settings

NOW, WALL = 1000.0, 1_700_000_000.0


def case(seen: Any, privileged: bool = True, **agent: Any) -> Case:
    return Case(NOW, WALL, privileged, True, Settings(), AgentFacts(**agent), conf=seen)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "waagent.conf"


def study(place: Path, text: Optional[str]) -> ConfStudy:
    if text is not None:
        place.write_text(text)
    return confstudy.study(place, place.parent)


def judged(place: Path, text: Optional[str], **agent: Any) -> Part:
    return conf.judge(case(Known(study(place, text), NOW), **agent))


def by_id(part: Part) -> dict[str, Finding]:
    found = {finding.id: finding for finding in part.findings}
    assert len(found) == len(part.findings), "one of an id"
    return found


CLEAN = "Logs.Verbose=n\nExtensions.Enabled=y\n# Lib.Dir=/x\nProvisioning.Enabled=n\n"


class TestAllIsWell:
    def test_a_clean_file(self, place: Path) -> None:
        part = judged(place, CLEAN)
        assert (part.name, part.title, part.ok, part.findings) == ("conf", "waagent.conf", True, ())
        assert part.says == "3 settings"
        assert json.loads(json.dumps(part.facts)) == {
            "path": str(place), "valid": True, "error": None, "settings": 3, "problems": {}, "drift": None,
            "drift_unknown": "no package lists it", "package": None, "modified": os.stat(place).st_mtime, "modified_since_start": None,
            "extensions_enabled": True, "verbose": False, "autoupdate": True, "provisioning_agent": "auto", "endpoint_discovery": "dhcp",
            "proxy_host_set": False, "proxy_port_set": False}

    @pytest.mark.parametrize(("drift", "said"), [(False, "3 settings, as in package waagent"), (True, "3 settings, not as in package waagent")])
    def test_and_whether_it_was_edited(self, place: Path, drift: bool, said: str) -> None:
        found = replace(study(place, CLEAN), drift=drift, package="waagent", drift_why="")
        assert conf.judge(case(Known(found, NOW))).says == said

    @pytest.mark.parametrize(("started", "running", "told"), [(WALL - 60, True, True), (WALL + 60, True, False), (None, True, None),
                                                            (WALL - 60, False, None), (WALL - 60, None, None)])
    def test_and_whether_the_agent_has_read_it(self, place: Path, started: Optional[float], running: Optional[bool], told: Optional[bool]) -> None:
        found = replace(study(place, CLEAN), modified=WALL)
        part = conf.judge(case(Known(found, NOW), daemon_started=started, running=running))
        assert part.facts["modified_since_start"] is told
        assert ("has not read it yet" in part.says) is (told is True)


class TestNotToBeTold:
    def test_not_looked_at(self) -> None:
        part = conf.judge(case(Unknown("not looked at", 0.0)))
        assert (part.ok, part.findings, part.says) == (None, (), "not looked at")

    def test_not_readable(self) -> None:
        part = conf.judge(case(Unknown("/etc/waagent.conf: not a regular file", NOW), conf="/etc/waagent.conf"))
        assert part.ok is False
        (finding,) = part.findings
        assert (finding.id, finding.evidence) == ("conf-unreadable", "/etc/waagent.conf: not a regular file")
        assert dict(finding.values) == {"conf": "/etc/waagent.conf"}

    def test_what_an_ordinary_user_may_not_read_says_nothing_of_the_agent(self) -> None:
        denied = Unknown("/etc/waagent.conf: Permission denied", NOW)
        assert (conf.judge(case(denied, privileged=False)).ok, conf.judge(case(denied, privileged=False)).findings) == (None, ())
        assert [finding.id for finding in conf.judge(case(denied)).findings] == ["conf-unreadable"]
        other = Unknown("/etc/waagent.conf: larger than 1024 KiB", NOW)
        assert conf.judge(case(other, privileged=False)).ok is False


class TestOfNoUse:
    @pytest.mark.parametrize("text", [None, ""], ids=["missing", "empty"])
    @pytest.mark.parametrize(("running", "blocking"), [(True, False), (False, True), (None, True)])
    def test_missing_or_empty(self, place: Path, text: Optional[str], running: Optional[bool], blocking: bool) -> None:
        """An agent that runs has read its conf and can take a snapshot; its next start fails."""
        part = judged(place, text, running=running)
        (finding,) = part.findings
        assert (finding.id, finding.blocking, part.ok) == ("conf-missing", blocking, False)
        assert str(place) in finding.evidence and ("is missing" if text is None else "is empty") in finding.evidence
        assert part.facts["valid"] is False and part.facts["error"] == finding.evidence
        assert part.facts["extensions_enabled"] is None and part.facts["proxy_host_set"] is None, "of no file there is no value"

    @pytest.mark.parametrize(("running", "blocking"), [(True, False), (False, True), (None, False)])
    def test_not_text(self, place: Path, running: Optional[bool], blocking: bool) -> None:
        place.write_bytes(b"Extensions.Enabled=n\n\xff")
        part = judged(place, None, running=running)
        (finding,) = part.findings
        assert (finding.id, finding.blocking, part.ok) == ("conf-unreadable", blocking, False)
        assert "not valid UTF-8" in finding.evidence


@pytest.mark.parametrize(("text", "name", "key", "evidence"), [
    ("Logs.Verbos=y", "conf-unknown-key", "Logs.Verbos", ":1: Logs.Verbos is no key the agent reads and has no effect: did you mean Logs.Verbose?"),
    ("Logs.Verbose=yes", "conf-bad-value", "Logs.Verbose", ":1: Logs.Verbose=yes is not y or n"),
    ("Logs.Verbose=n\nLogs.Verbose=n", "conf-duplicate-key", "Logs.Verbose", ":2: Logs.Verbose is set more than once"),
    ("\nLogs.Verbose=n # quiet", "conf-trailing-comment", "Logs.Verbose", ":2: The value of Logs.Verbose ends at the #"),
    ("Extensions.Enabled=n", "extensions-disabled", "Extensions.Enabled", ":1: Extensions are switched off"),
    ("HttpProxy.Host=proxy", "proxy-incomplete", "HttpProxy.Host", ":1: HttpProxy.Host is set without a HttpProxy.Port"),
    ("HttpProxy.Port=80", "proxy-incomplete", "HttpProxy.Port", ":1: HttpProxy.Port is set without a HttpProxy.Host"),
    ("AutoUpdate.Enabled=n", "agent-autoupdate-off", "AutoUpdate.Enabled", ":1: AutoUpdate.Enabled=n"),
])
def test_each_finding_names_file_line_and_key(place: Path, text: str, name: str, key: str, evidence: str) -> None:
    part = judged(place, text)
    (finding,) = part.findings
    assert finding.id == name
    assert finding.evidence.startswith(f"{place}{evidence}")
    assert dict(finding.values) == {"key": key, "conf": str(place)}
    assert part.ok is (finding.entry.severity is Severity.INFO)
    assert part.says == ("1 setting" if part.ok else finding.entry.summary)


def test_many_of_a_kind_are_one_finding_with_five_places(place: Path) -> None:
    part = judged(place, "".join(f"Zebra{number}=1\n" for number in range(8)) + "=1\n")
    (finding,) = part.findings
    assert finding.evidence == (
        f"{place}:1: Zebra0 is no key the agent reads and has no effect: remove it, or look for the right name in the agent's README. "
        f"Also {place}:2 (Zebra1), {place}:3 (Zebra2), {place}:4 (Zebra3), {place}:5 (Zebra4), 4 more.")
    assert part.facts["problems"] == {"conf-unknown-key": 9}
    assert judged(place, "x=1\n=1").findings[0].evidence.endswith(f" Also {place}:2.")


def test_several_kinds_are_said_by_the_first_that_matters(place: Path) -> None:
    part = judged(place, "Zebra=1\nLogs.Verbose=yes\nHttpProxy.Host=proxy\n")
    assert set(by_id(part)) == {"conf-unknown-key", "conf-bad-value", "proxy-incomplete"}
    assert (part.ok, part.says) == (False, "waagent.conf has a value that the agent cannot use, and 1 more")


@pytest.mark.parametrize(("text", "version", "line"), [
    ("AutoUpdate.Enabled=n", "", 1), ("AutoUpdate.Enabled=n", "2.7.3.0", 1), ("AutoUpdate.Enabled=n", "2.15.0.1", 1),
    ("AutoUpdate.UpdateToLatestVersion=n", "", 1), ("AutoUpdate.UpdateToLatestVersion=n", "2.10.0.8", 1),
    ("AutoUpdate.UpdateToLatestVersion=n", "2.9.1.1", None),
    ("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=y", "2.15.0.1", None),
    ("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=y", "2.9.1.1", 1),
    ("AutoUpdate.Enabled=y\nAutoUpdate.UpdateToLatestVersion=n", "2.15.0.1", 2),
    ("AutoUpdate.Enabled=y\nAutoUpdate.UpdateToLatestVersion=n", "2.9.1.1", None),
    ("AutoUpdate.Enabled=y", "2.15.0.1", None), ("", "", None)])
def test_auto_update_by_what_the_agents_version_reads(place: Path, text: str, version: str, line: Optional[int]) -> None:
    part = judged(place, f"{text}\n", goal_state_version=version, daemon_version="2.2.45" if version else "")
    finding = by_id(part).get("agent-autoupdate-off")
    assert part.facts["autoupdate"] is (line is None)
    assert (finding is None) is (line is None)
    assert finding is None or finding.evidence.startswith(f"{place}:{line}: AutoUpdate.")
    assert part.ok is True, "worth knowing, no more"


def test_no_part_of_it_holds_a_secret(place: Path) -> None:
    part = judged(place, "HttpProxy.Host=user:hunter2@proxy\nHttpProxy.Port=user:hunter2@x\nLogs.Verbose=https://x/?sig=hunter2\n"
                         "http://u:hunter2@h=1\nProvisioning.Agent=password=hunter2\nProtocol.EndpointDiscovery=u:hunter2@x\n")
    assert part.facts["proxy_host_set"] is True and part.facts["proxy_port_set"] is False
    assert MASK in repr(part) and "hunter2" not in repr(part)
