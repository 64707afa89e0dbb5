"""The part "snapshot": every finding by what it is meant for, and the table of what values mean."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest

from waguard.agent.vmsnapshot import CODES, Outcome, Result, Rhythm
from waguard.judge.case import Case, Part
from waguard.judge.parts import snapshot as part
from waguard.observe import Known, Unknown
from waguard.observe.backupconf import Options, ScriptProblem, Scripts
from waguard.observe.snapshots import Freezer, History, Lock, Processes, Snapshots
from waguard.settings import Settings

WALL, MINUTE, HOUR, DAY = 1.75e9, 60.0, 3600.0, 86400.0
GOOD = Result("success", 1, "done", WALL - HOUR, True, telemetry={"FreezeTime": "0:00:00.25"})
SEEN = Snapshots(True, "1.0.9220.0", "1.0.9220.0", "/var/lib/waagent/VMS", Outcome.SUCCESS, 7, WALL - HOUR - 60, False, 7, GOOD, WALL - HOUR,
                 history=History(3, 3, WALL - HOUR, True, Rhythm(DAY, 1.5 * DAY)))


def judge(**change: Any) -> Part:
    found = part.judge(Case(100.0, WALL, True, True, Settings(), snapshots=Known(replace(SEEN, **change), 1.0)))
    assert json.dumps(dict(found.facts)) and "\n" not in found.says
    return found


def ids(found: Part) -> list[tuple[str, bool]]:
    return [(one.id, one.blocking) for one in found.findings]


def failed(code: int, message: str = "", health: Optional[int] = None, **more: Any) -> Part:
    return judge(outcome=Outcome.FAILED, result=Result("error", code, message, WALL - HOUR, True, health, **more))


class TestHealthy:
    def test_a_success(self) -> None:
        found = judge()
        assert (found.ok, found.findings, found.says) == (True, (), "succeeded 1h ago")
        facts = {key: found.facts[key] for key in ("outcome", "code", "last_success", "last_success_ok", "interval", "error")}
        assert facts == {"outcome": "success", "code": 1, "last_success": WALL - HOUR, "last_success_ok": True, "interval": DAY, "error": None}
        assert found.facts["telemetry"] == {"FreezeTime": "0:00:00.25"}

    @pytest.mark.parametrize("outcome, says", [(Outcome.NONE, "none was asked for yet"), (Outcome.RUNNING, "one is being taken")])
    def test_none_yet_or_at_work(self, outcome: Outcome, says: str) -> None:
        found = judge(outcome=outcome)
        assert (found.ok, found.findings, found.says) == (True, (), says)

    def test_without_the_extension(self) -> None:
        found = part.judge(Case(100.0, WALL, True, True, Settings(), snapshots=Known(Snapshots(), 1.0)))
        assert (found.ok, found.findings, found.says, found.facts["last_success_ok"]) == (True, (), "the backup extension is not installed", None)

    def test_a_freeze_at_work_is_normal(self) -> None:
        found = judge(outcome=Outcome.RUNNING, processes=Processes(daemon=5, freezers=(Freezer(6, 120.0, 60.0, ("/",)),)), lock=Lock(True, 5, 120.0))
        assert (found.findings, found.facts["freezing"]) == ((), True)


class TestResult:
    def test_stuck(self) -> None:
        found = judge(outcome=Outcome.STUCK, result=replace(GOOD, code=4))
        assert ids(found) == [("snapshot-stuck", False)] and found.ok is False and found.facts["last_success_ok"] is False
        assert "settings 7: code 4 since 1h, and no process" in found.findings[0].evidence

    @pytest.mark.parametrize("code", [one for one in CODES if one not in (0, 1, 3, 4, 316)])
    def test_a_failure_is_told_with_code_name_and_meaning_and_blocks_if_it_will_not_go_by_itself(self, code: int) -> None:
        found = failed(code, "boom")
        assert ids(found) == [("snapshot-failed", not CODES[code].retryable)]
        (finding,) = found.findings
        assert f"code {code}, {CODES[code].name}: {CODES[code].meaning}" in finding.evidence and finding.evidence.endswith("it says: boom")
        assert dict(finding.values)["code"] == str(code) and found.facts["error"] == CODES[code].name

    def test_76_that_is_761(self) -> None:
        assert dict(failed(76, health=761).findings[0].values)["code"] == "761"

    def test_settings_that_cannot_be_decrypted(self) -> None:
        bad = Result("error", 16, "boom", WALL - HOUR, True)
        found = judge(outcome=Outcome.FAILED, result=bad, keys_missing=(".crt", ".prv"))
        assert "; of the certificate of its settings .crt and .prv is missing from /var/lib/waagent" in found.findings[0].evidence
        assert "certificate of" not in judge(outcome=Outcome.FAILED, result=bad, keys_missing=()).findings[0].evidence

    def test_how_many_disks(self) -> None:
        assert "1 of 3 disks failed" in failed(76, disks=3, disks_failed=1).findings[0].evidence

    def test_no_result(self) -> None:
        found = judge(outcome=Outcome.NO_RESULT, result=None, result_at=None, settings_protected=True, accepted=6)
        assert ids(found) == [("snapshot-no-result", True)] and found.says == "has no result, asked for 1h1m ago"
        evidence = found.findings[0].evidence
        assert evidence.startswith("settings 7 have no status since 1h1m") and "still hold" in evidence and "last number is 6" in evidence

    def test_no_valid_result(self) -> None:
        found = judge(outcome=Outcome.NO_RESULT, result=None, result_problem="/f is empty")
        assert found.findings[0].evidence == "settings 7 have no valid status since 1h1m: /f is empty"


class TestFrozen:
    def test_a_safefreeze_that_does_not_end(self) -> None:
        found = judge(outcome=Outcome.RUNNING, processes=Processes(freezers=(Freezer(6, 127.0, 60.0, ("/data", "/")),)))
        assert ids(found) == [("filesystem-frozen", True)] and found.says == "a freeze does not end" and found.ok is False
        assert found.findings[0].evidence == "safefreeze (pid 6) has been running for 2m7s, with /data, /; a freeze is over after 2m6s"
        assert dict(found.findings[0].values) == {"pid": "6", "mount": "/data"}

    @pytest.mark.parametrize("freezer, options", [(Freezer(6, 125.0, 60.0), Options()), (Freezer(6, 200.0, 300.0), Options()), (Freezer(6, 200.0), Options(timeout=300.0)),
                                                  (Freezer(6, 300.0, 60.0), Options(freeze_wait=300.0)),
                                                  (Freezer(6, None, 60.0), Options())])
    def test_one_within_its_time_or_of_unknown_age_is_not_judged(self, freezer: Freezer, options: Options) -> None:
        assert judge(processes=Processes(freezers=(freezer,)), options=options).findings == ()

    @pytest.mark.parametrize("lock, frozen", [(Lock(True, 9, 253.0), True), (Lock(True, 9, 251.0), False), (Lock(True, None, 9999.0), False), (Lock(True, 9, None), False)])
    def test_a_lock_that_is_held_for_long(self, lock: Lock, frozen: bool) -> None:
        found = judge(lock=lock)
        assert ids(found) == ([("filesystem-frozen", True)] if frozen else [])
        assert not frozen or "pid 9 has held" in found.findings[0].evidence


class TestOverdue:
    @pytest.mark.parametrize("age, overdue", [(1.4 * DAY, False), (1.6 * DAY, True)])
    def test_by_the_rhythm_that_was_learned(self, age: float, overdue: bool) -> None:
        found = judge(history=History(9, 9, WALL - age, True, Rhythm(DAY, 1.5 * DAY)))
        assert ids(found) == ([("backup-overdue", False)] if overdue else [])
        assert not overdue or ("1d14h ago" in found.findings[0].evidence and found.says.endswith("there was no backup for longer than usual"))

    @pytest.mark.parametrize("history", [History(), History(2, 2, WALL - 30 * DAY, True, None)])
    def test_never_without_one(self, history: History) -> None:
        found = judge(history=history)
        assert found.findings == () and found.facts["interval"] is None


class TestScripts:
    @pytest.mark.parametrize("fails", [True, False])
    def test_misconfigured(self, fails: bool) -> None:
        problems = (ScriptProblem(302, "/opt/pre.sh", "preScriptLocation '/opt/pre.sh' is missing", fails), ScriptProblem(307, "/opt/post.sh", "post"))
        found = judge(scripts=Scripts(True, problems))
        assert ids(found) == [("backup-scripts-misconfigured", fails)] and dict(found.findings[0].values) == {"path": "/opt/pre.sh", "code": "302"}
        assert found.findings[0].evidence == "preScriptLocation '/opt/pre.sh' is missing (code 302); post (code 307)"


class TestUnknown:
    @pytest.mark.parametrize("change, says", [({"problem": "/f: Permission denied"}, "/f: Permission denied"), ({"processes": Processes(problem="hidden")}, "hidden"),
                                              ({}, "the times of its files are of the future")])
    def test_an_outcome_that_could_not_be_told(self, change: dict[str, Any], says: str) -> None:
        found = judge(outcome=None, **change)
        assert (found.ok, found.findings, found.says, found.facts["outcome"]) == (None, (), f"could not be told: {says}", None)

    def test_not_root(self) -> None:
        found = part.judge(Case(100.0, WALL, False, True, Settings(), snapshots=Unknown("/x: Permission denied", 1.0)))
        assert (found.ok, found.says) == (None, "could not be told: /x: Permission denied")
