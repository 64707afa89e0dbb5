"""The part "extensions": every finding by the handler that it is meant for, and none for handlers on their way."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Optional

import pytest

from waguard.agent import handler
from waguard.agent.handler import State
from waguard.judge.case import Case, Part
from waguard.judge.parts import extensions as part
from waguard.observe import Known, Unknown
from waguard.observe.extensions import Extensions, Handler
from waguard.observe.interpreters import Interpreter, Interpreters
from waguard.settings import Settings

WALL, MINUTE, HOUR = 1.75e9, 60.0, 3600.0
X = Handler("Microsoft.Azure.X", "1.2", "/var/lib/waagent/Microsoft.Azure.X-1.2", WALL - HOUR, "1.2", state=State.ENABLED, state_at=WALL - HOUR, status="Ready",
            code=0, message="Plugin enabled", reported_at=WALL - HOUR, sequence=3, status_seq=3, status_word="success", status_code=0)
BACKUP = replace(X, name=handler.VMSNAPSHOT, version="1.0.9220.0", folder="/var/lib/waagent/VMS")


def judge(*handlers: Handler, interpreters: Any = None, left_out: int = 0) -> Part:
    asked = Known(interpreters, 1.0) if interpreters is not None else Unknown("not looked at", 1.0)
    return part.judge(Case(100.0, WALL, True, True, Settings(), extensions=Known(Extensions("/var/lib/waagent", handlers, left_out), 1.0), interpreters=asked))


def ids(found: Part) -> list[tuple[str, bool]]:
    return [(one.id, one.blocking) for one in found.findings]


class TestHealthy:
    def test_all_ready(self) -> None:
        found = judge(X, BACKUP)
        assert (found.ok, found.findings, found.says, found.facts["backup_extension"]) == (True, (), "all 2 ready", "1.0.9220.0")
        assert [one["ready"] for one in found.facts["handlers"]] == [True, True] and json.dumps(dict(found.facts))

    @pytest.mark.parametrize("what, change", [
        ("installing", {"status": "Installing", "state": State.NOT_INSTALLED}),
        ("installed but not yet enabled", {"status": "NotReady", "message": "Plugin installed but not enabled", "state": State.INSTALLED}),
        ("HandlerState but not yet HandlerStatus", {"status": None, "code": None, "reported_at": None, "state_at": WALL - 10}),
        ("just unpacked", {"status": None, "code": None, "reported_at": None, "state": None, "state_at": None, "folder_at": WALL - MINUTE}),
    ])
    @pytest.mark.parametrize("one", [X, BACKUP])
    def test_one_on_its_way_is_not_ready_and_nothing_is_wrong(self, what: str, change: dict[str, Any], one: Handler) -> None:
        found = judge(replace(one, **{"reported_at": WALL - MINUTE, **change}), BACKUP if one is X else X)
        assert (found.ok, found.findings) == (True, ()), what
        assert found.says == "1 of 2 ready, the others on their way"
        assert sorted(str(one["ready"]) for one in found.facts["handlers"]) == ["None", "True"]

    def test_code_of_an_extension_that_succeeded_is_its_own_affair(self) -> None:
        assert judge(replace(X, status_code=5), BACKUP).findings == ()

    def test_that_a_transition_or_warning_is_no_error(self) -> None:
        assert judge(replace(X, status_word="transitioning"), replace(X, name="Y", status_word="warning"), BACKUP).findings == ()

    def test_a_leftover_of_another_extension_is_no_fault(self) -> None:
        left = replace(X, status=None, code=None, reported_at=None, state=None, state_at=None)
        assert judge(left, BACKUP).findings == ()


LOST: list[tuple[str, dict[str, Any], str]] = [
    *((f"code {code}", {"status": "NotReady", "code": code, "message": "boom"}, f"NotReady with code {code} ({handler.CODES[code]}): boom")
      for code in (1001, 1002, 1003, 1004, 1005, 1007, 1008, 1009, 1010, 1011, 1000, -1)),
    ("an unknown code", {"status": "NotReady", "code": 7}, "NotReady with code 7: Plugin enabled"),
    ("not enabled for long", {"status": "NotReady", "message": "Plugin installed but not enabled"}, "NotReady: Plugin installed but not enabled, for 1h"),
    ("installing for long", {"status": "Installing", "message": ""}, "Installing, for 1h"),
    ("no heartbeat", {"status": "Unresponsive", "message": "", "reported_at": WALL - 1}, "Unresponsive"),
    ("no HandlerStatus", {"status": None, "code": None, "reported_at": None}, "HandlerState is Enabled but there is no HandlerStatus"),
    ("a broken HandlerStatus", {"status": None, "code": None, "report_broken": "/f is empty"}, "/f is empty, so the agent reports nothing for it"),
]


class TestNotReady:
    @pytest.mark.parametrize("what, change, evidence", LOST, ids=lambda value: value if isinstance(value, str) else "")
    def test_of_any_handler(self, what: str, change: dict[str, Any], evidence: str) -> None:
        found = judge(replace(X, **change), BACKUP)
        assert ids(found) == [("extension-not-ready", False)] and found.ok is False
        assert found.findings[0].evidence.startswith(f"Microsoft.Azure.X 1.2: {evidence}")
        assert dict(found.findings[0].values)["handler"] == "Microsoft.Azure.X" and found.says == "not ready: X, of 2"
        assert [one["ready"] for one in found.facts["handlers"]] == [False, True]

    @pytest.mark.parametrize("what, change, evidence", LOST, ids=lambda value: value if isinstance(value, str) else "")
    def test_of_the_backup_extension_it_means_that_it_cannot_be_loaded(self, what: str, change: dict[str, Any], evidence: str) -> None:
        found = judge(X, replace(BACKUP, **change))
        assert ids(found) == [("extension-cannot-load", True)] and evidence in found.findings[0].evidence

    def test_a_folder_without_state_is_one_that_cannot_be_loaded(self) -> None:
        found = judge(replace(BACKUP, status=None, code=None, reported_at=None, state=None, state_at=None))
        assert ids(found) == [("extension-cannot-load", True)] and "neither" in found.findings[0].evidence

    def test_a_run_that_ended_in_error(self) -> None:
        found = judge(replace(X, status_word="error", status_code=9, status_message="no disk"), BACKUP)
        assert ids(found) == [("extension-not-ready", False)]
        assert found.findings[0].evidence == "Microsoft.Azure.X 1.2: its run for settings 3 ended in error with code 9: no disk"

    def test_a_status_that_is_none(self) -> None:
        found = judge(replace(X, status_broken="/f is no JSON"), BACKUP)
        assert "the agent reports error 1012" in found.findings[0].evidence

    def test_the_backup_extensions_status_is_judged_elsewhere(self) -> None:
        assert judge(replace(BACKUP, status_word="error", status_code=76)).findings == ()

    def test_several_extensions_of_one_handler_are_told_apart(self) -> None:
        found = judge(replace(X, extension="run1"), replace(X, extension="run2", status_word="error"), BACKUP)
        assert [one.evidence.partition(":")[0] for one in found.findings] == ["Microsoft.Azure.X 1.2 (run2)"]


class TestUpgrade:
    @pytest.mark.parametrize("one, blocks", [(X, False), (BACKUP, True)])
    def test_a_failed_one(self, one: Handler, blocks: bool) -> None:
        failed = replace(one, version="1.3", installed="1.2", state=State.FAILED_UPGRADE, status="NotReady", code=1008, message="boom")
        found = judge(failed, BACKUP if one is X else X)
        assert ids(found) == [("extension-upgrade-failed", blocks)] and found.ok is False
        assert found.findings[0].evidence == f"{one.name} 1.3: HandlerState is FailedUpgrade, 1.2 is still installed, NotReady with code 1008 (update failed): boom"


class TestBackupExtension:
    def test_absent_is_worth_knowing_but_no_fault(self) -> None:
        found = judge(X)
        assert ids(found) == [("backup-extension-absent", False)] and found.ok is True and found.facts["backup_extension"] is None
        assert found.says == "X is ready"

    def test_none_at_all(self) -> None:
        assert judge().says == "none is installed" and judge().ok is True

    def test_of_those_left_out_it_may_be_one(self) -> None:
        assert judge(X, left_out=3).findings == ()


PY313 = Interpreter("/usr/bin/python3", "3.13.1", ("crypt", "distutils.version"))


class TestPython:
    @pytest.mark.parametrize("tried, evidence", [
        ((), "finds no Python"), ((PY313,), "/usr/bin/python3 3.13.1 has no crypt, distutils.version"),
        ((PY313, Interpreter("/usr/bin/python2", problem="exit status 1")), "; /usr/bin/python2 does not run: exit status 1")])
    def test_incompatible(self, tried: tuple[Interpreter, ...], evidence: str) -> None:
        found = judge(BACKUP, interpreters=Interpreters("1.0.9220.0", ("crypt",), tried))
        assert ids(found) == [("backup-extension-python-incompatible", True)] and evidence in found.findings[0].evidence
        assert found.ok is False and found.says == "the backup extension cannot run with this Python" and found.facts["python_compatible"] is False

    @pytest.mark.parametrize("tried, compatible", [((PY313, Interpreter("/usr/bin/python2.7", "2.7.18")), True), ((Interpreter("/p", problem="late", unsure=True),), None)])
    def test_compatible_or_not_known(self, tried: tuple[Interpreter, ...], compatible: Optional[bool]) -> None:
        found = judge(BACKUP, interpreters=Interpreters("1.0.9220.0", (), tried))
        assert (found.findings, found.facts["python_compatible"]) == ((), compatible)
        assert found.facts["python"] == ({"path": "/usr/bin/python2.7", "version": "2.7.18"} if compatible else None)

    def test_without_the_extension_it_does_not_matter(self) -> None:
        assert ids(judge(X, interpreters=Interpreters())) == [("backup-extension-absent", False)]


class TestUnknown:
    def test_not_root(self) -> None:
        case = Case(100.0, WALL, False, True, Settings(), extensions=Unknown("/var/lib/waagent: Permission denied", 1.0))
        found = part.judge(case)
        assert (found.ok, found.findings, found.says) == (None, (), "could not be told: /var/lib/waagent: Permission denied")

    def test_one_that_could_not_be_read(self) -> None:
        found = judge(replace(X, problem="/f: Permission denied", status=None, code=None), BACKUP)
        assert found.ok is None and "/f: Permission denied" in found.says and found.facts["handlers"][0]["ready"] is None
