"""VMSnapshotLinux: the truth inside its status, what the newest request came to, its codes, its Python, its rhythm."""

from __future__ import annotations

import json
import re
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import handler, vmsnapshot
from waguard.agent.vmsnapshot import CODES, Outcome, Request, Result

from .test_handler import HOSTILE, JSON
from .vmstatus import NOW, disk, status

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0


class TestTwoLayers:
    def test_the_outer_success_of_a_failure_is_ignored(self) -> None:
        result = vmsnapshot.read(status("76", "error", outer="success", message="T:S no network"))
        assert (result.word, result.code, result.message, result.inner) == ("error", 76, "T:S no network", True)
        assert not result.success and result.failure is CODES[76]

    @pytest.mark.parametrize("code", ["0", "1", 0, 1])
    def test_a_success(self, code: object) -> None:
        result = vmsnapshot.read(status(code, at=NOW))
        assert result.success and result.snapshot and result.failure is None and result.at == NOW

    @pytest.mark.parametrize("code", ["4", 4, 4.0])
    def test_code_4_is_at_work_whatever_its_word_says(self, code: object) -> None:
        result = vmsnapshot.read(status(code, "success"))
        assert result.in_progress and not result.success and result.failure is None

    def test_a_task_that_came_twice_is_no_backup(self) -> None:
        result = vmsnapshot.read(status("3"))
        assert result.success and not result.snapshot

    def test_that_no_scripts_are_configured_is_normal(self) -> None:
        assert vmsnapshot.read(status("316", "error")).success
        assert vmsnapshot.read(status("1", health=316)).success

    @pytest.mark.parametrize("successful, failed", [(True, 0), ("true", 0), (" True ", 0), (False, 1), ("false", 1), (None, 1), (1, 1)])
    def test_true_may_be_a_word(self, successful: object, failed: int) -> None:
        result = vmsnapshot.read(status("1", disks=[disk(), disk(successful), "no disk"]))
        assert (result.disks, result.disks_failed, result.success) == (2, failed, not failed)

    def test_nothing_of_a_snapshots_identity_is_kept(self) -> None:
        telemetry = [{"Key": "FreezeTime", "Value": "0:00:00.25"}, {"Key": "hostStatusCodeDoSnapshot", "Value": 200}, {"Key": "other", "Value": "x"},
                     {"Key": "osVersion"}, "junk", {"Key": "snapshotCreator", "Value": {"a": 1}}]
        result = vmsnapshot.read(status("1", disks=[disk()], telemetry=telemetry))
        assert "SECRET" not in repr(result)
        assert result.telemetry == {"FreezeTime": "0:00:00.25", "hostStatusCodeDoSnapshot": "200"}

    @pytest.mark.parametrize("code, word", [("121", "error"), (76, "error"), ("1", "success"), (None, "success"), ("316", "success")])
    def test_without_an_inner_layer_the_code_tells(self, code: object, word: str) -> None:
        assert vmsnapshot.read(status(code, inner=False)).word == word

    @pytest.mark.parametrize("name", ["", "Plugin", "[", "[]", "[1]", "{}", '[{"status": "success"}]', "[" * 50000, 5, None, ["x"], '["' + "9" * 5000 + '"]'])
    def test_an_inner_layer_that_is_none_leaves_the_outer(self, name: object) -> None:
        tree = json.loads(status("121"))
        tree[0]["status"]["substatus"][0]["name"] = name
        result = vmsnapshot.read(json.dumps(tree).encode())
        assert (result.inner, result.code, result.success) == (False, 121, False)

    def test_the_sample_of_the_agents_own_tests(self) -> None:
        """WALinuxAgent tests/data/ext/sample-status.json: a success with an upload error, "true" as a word, plain text."""
        inner = ('[{"status": {"status": "success", "code": "1", "snapshotInfo": [{"snapshotUri": "https://md-x.blob.core.windows.net/a/b", '
                 '"errorMessage": "", "isSuccessful": "true"}], "name": "Microsoft.Azure.RecoveryServices.VMSnapshotLinux", "formattedMessage": '
                 '{"lang": "en-US", "message": " statusBlobUploadError=true, snapshotCreator=backupHostService, hostStatusCodeDoSnapshot=200, "}, '
                 '"vmHealthInfo": {"vmHealthStatusCode": 1, "vmHealthState": 0}, "telemetryData": [{"Key": "extensionVersion", "Value": "1.0.9150.0"}], '
                 '"substatus": [], "operation": "Enable"}, "version": "1.0", "timestampUTC": "\\/Date(1559865179380)\\/"}]')
        outer = [{"status": {"status": "success", "code": 1, "snapshotInfo": None, "telemetryData": None, "substatus": [
            {"status": "success", "formattedMessage": None, "code": "0", "name": inner}], "operation": "Enable"}, "version": "1.0",
            "timestampUTC": "2019-06-06T23:52:59Z"}]
        result = vmsnapshot.read(json.dumps(outer).encode())
        assert (result.success, result.code, result.at, result.health, result.disks, result.disks_failed) == (True, 1, 1559865179.38, 1, 1, 0)
        assert result.message == "statusBlobUploadError=true, snapshotCreator=backupHostService, hostStatusCodeDoSnapshot=200,"

    @pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
    def test_hostile_files(self, data: bytes) -> None:
        try:
            assert not vmsnapshot.read(data).disks
        except handler.Unreadable:
            pass

    @given(JSON, JSON, st.sampled_from(["1", 4, "76", None, 316]))
    def test_any_json_inside_is_read_or_refused(self, inner: object, body: object, code: object) -> None:
        tree = [{"status": {"status": "success", "code": code, "substatus": [{"name": json.dumps([{"status": body, "timestampUTC": inner}])}],
                            "snapshotInfo": inner, "telemetryData": inner, "vmHealthInfo": inner, "formattedMessage": inner}}]
        result = vmsnapshot.read(json.dumps(tree).encode())
        assert sum((result.in_progress, result.success, result.failure is not None)) == 1

    @given(st.binary())
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        try:
            vmsnapshot.read(data)
        except handler.Unreadable:
            pass


def result(code: int = 1, word: str = "success") -> Result:
    return Result(word, code, "", NOW, True)


def request(age: float = HOUR, settings_age: Optional[float] = None, accepted: Optional[int] = 7, working: Optional[bool] = False,
            of: Optional[Result] = None, sequence: Optional[int] = 7) -> Request:
    """A request whose status is ``age`` old; its settings a second more unless told."""
    settings_age = age + 1 if settings_age is None else settings_age
    return Request(sequence, NOW - settings_age if sequence is not None else None, accepted, of, NOW - age if of is not None else None, working)


class TestOutcome:
    """The table "What values mean for health" of the facts, row by row, and what lies between the rows."""

    @pytest.mark.parametrize("what, asked, wanted", [
        ("no request yet", request(sequence=None), Outcome.NONE),
        ("code 4, daemon alive", request(5 * MINUTE, of=result(4), working=True), Outcome.RUNNING),
        ("code 4, young, its daemon not yet there", request(5 * MINUTE, of=result(4)), Outcome.RUNNING),
        ("code 4, no daemon, too old", request(16 * MINUTE, of=result(4)), Outcome.STUCK),
        ("code 4, old, but pre scripts may take long", request(2 * HOUR, of=result(4), working=True), Outcome.RUNNING),
        ("code 4, old, nobody knows who is alive", request(16 * MINUTE, of=result(4), working=None), None),
        ("code 4, from the future", request(-HOUR, of=result(4)), None),
        ("code 0, inner success", request(of=result(0)), Outcome.SUCCESS),
        ("code 1, inner success", request(of=result(1)), Outcome.SUCCESS),
        ("code 3, a duplicate", request(of=result(3)), Outcome.SUCCESS),
        ("inner error", request(of=result(76, "error")), Outcome.FAILED),
        ("inner error, though a process is at work by now", request(of=result(76, "error"), working=True), Outcome.FAILED),
        ("settings without a status, young", request(settings_age=5 * MINUTE), Outcome.RUNNING),
        ("settings without a status, old", request(settings_age=11 * MINUTE), Outcome.NO_RESULT),
        ("settings without a status, old, enable at work", request(settings_age=11 * MINUTE, working=True), Outcome.RUNNING),
        ("settings without a status, nobody knows who is alive", request(settings_age=11 * MINUTE, working=None), None),
        ("settings written again by an agent that restarted", request(DAY, settings_age=HOUR, of=result(1), accepted=7), Outcome.SUCCESS),
        ("the same after a failure", request(DAY, settings_age=HOUR, of=result(76, "error"), accepted=7), Outcome.FAILED),
        ("newer settings that were never accepted", request(DAY, settings_age=HOUR, of=result(1), accepted=6), Outcome.NO_RESULT),
        ("newer settings, no mrseq", request(DAY, settings_age=HOUR, of=result(1), accepted=None), Outcome.SUCCESS),
        ("a status without settings", request(of=result(1), sequence=None), Outcome.SUCCESS),
    ])
    def test_of_the_newest_request(self, what: str, asked: Request, wanted: Optional[Outcome]) -> None:
        assert vmsnapshot.outcome(asked, NOW) is wanted, what


class TestCodes:
    NUMBERS = {0, 1, 2, 3, 4, 11, 12, 13, 14, 15, 16, 17, 76, 85, 121, 122, 123, 124, 173, *range(300, 319), 402, *range(500, 513), 555, 556, 557, 558, 761}

    def test_all_of_them_are_there(self) -> None:
        assert set(CODES) == self.NUMBERS

    @pytest.mark.parametrize("code", CODES.values(), ids=lambda code: code.number)
    def test_each_has_what_a_person_needs(self, code: vmsnapshot.Code) -> None:
        assert code.name and code.meaning and code.remedy and re.fullmatch(r"[A-Za-z]\w*", code.name)

    @pytest.mark.parametrize("number, retryable", [(76, True), (121, True), (122, True), (123, True), (173, True), (761, True), (556, True), (402, True),
                                                   (16, False), (85, False), (124, False), (305, False), (302, False)])
    def test_which_may_be_gone_by_themselves(self, number: int, retryable: bool) -> None:
        assert CODES[number].retryable is retryable

    def test_what_the_extension_calls_retryable_is(self) -> None:
        assert all(code.retryable for code in CODES.values() if "Retryable" in code.name)

    def test_76_is_told_apart_by_the_health_code(self) -> None:
        assert vmsnapshot.explain(76, health=761).number == 761
        assert vmsnapshot.explain(76, health=76).number == 76

    def test_a_certain_key_error_of_code_2_is_no_network(self) -> None:
        hidden = vmsnapshot.explain(2, "Failed to do the snapshot with error: 'hostStatusCodeDoSnapshot'")
        assert hidden.number == 2 and hidden.meaning == CODES[76].meaning
        assert vmsnapshot.explain(2, "error snapshotCreator=guestExtension, hostStatusCodeDoSnapshot=500,") is CODES[2]

    @pytest.mark.parametrize("number", [None, 99999, -5])
    def test_an_unknown_one_is_said_to_be_unknown(self, number: Optional[int]) -> None:
        assert vmsnapshot.explain(number).name == "unknown"


class TestHistory:
    def test_old_statuses_by_number(self) -> None:
        names = ["9_status", "10_status", "11.status", "10_settings", "x_status", "tempStatusFile_status", "10_status.tmp", "8_status"]
        assert vmsnapshot.history(names) == ("10_status", "9_status", "8_status")

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_no_rhythm_before_the_third_success(self, count: int) -> None:
        assert vmsnapshot.rhythm([NOW - DAY * number for number in range(count)]) is None

    @pytest.mark.parametrize("what, ages, interval, limit", [
        ("daily", [3, 2, 1], 1, 1.5),
        ("daily with an outage of a week", [12, 11, 10, 3, 2, 1], 1, 1.5),
        ("every four hours, but only by day", [n + part for n in range(3) for part in (0, 1 / 6, 2 / 6)], 1 / 6, 1.1 * 4 / 6),
        ("Monday, Wednesday, Friday", [0, 2, 4, 7, 9, 11, 14], 2, 3.3),
        ("daily with retries in between", [3, 2, 1.99, 1.98, 1], 1, 1.5),
        ("three on demand within an afternoon", [0, 0.05, 0.1], 0.05, 1.5 / 6),
    ])
    def test_it_is_learned(self, what: str, ages: list[float], interval: float, limit: float) -> None:
        rhythm = vmsnapshot.rhythm([NOW - DAY * age for age in ages])
        assert rhythm is not None, what
        assert (rhythm.interval / DAY, rhythm.limit / DAY) == (pytest.approx(interval, rel=0.03), pytest.approx(limit, rel=0.03)), what


class TestProcesses:
    FOLDER = "/var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9220.0"

    @pytest.mark.parametrize("argv, cwd, wanted", [
        (["/usr/bin/python3", "main/handle.py", "-seqNo:5", "-daemon"], FOLDER, "daemon"),
        (["/usr/bin/python3", "main/handle.py", "-seqNo:5", "-daemon"], None, "daemon"),
        (["/usr/bin/python3", "main/handle.py", "-seqNo:5", "-enable"], FOLDER, "enable"),
        (["/usr/bin/python2.7", "main/handle.py", "-daemon"], FOLDER, "daemon"),
        (["/usr/bin/python2.7", "main/handle.py", "-daemon"], None, ""),
        (["/usr/bin/python3", "main/handle.py", "-daemon"], "/var/lib/waagent/Microsoft.Azure.Security.AzureDiskEncryptionForLinux-1.4", ""),
        (["/usr/bin/python3", "main/handle.py", "-seqNo:5", "-daemon"], "/home/me", ""),
        (["sh", FOLDER + "/main/handle.sh", "daemon"], None, "daemon"),
        (["sh", "main/handle.sh", "enable"], FOLDER, "enable"),
        (["sh", "main/handle.sh", "enable"], None, ""),
        (["sh", FOLDER + "/main/handle.sh", "install"], None, ""),
        (["vi", FOLDER + "/main/handle.py"], None, ""),
        (["tail", "-f", FOLDER + "/extension.log"], None, ""),
        ([], None, ""),
    ])
    def test_are_told_by_what_they_run_and_where(self, argv: list[str], cwd: Optional[str], wanted: str) -> None:
        assert vmsnapshot.role(argv, cwd) == wanted


OLD_LIB = b"import crypt\nimport random\nfrom distutils.version import LooseVersion\n"
NEW_LIB = b"try:\n    from crypt import crypt\nexcept ImportError as e:\n    pass\ntry:\n    from distutils.version import LooseVersion\nexcept ImportError:\n    pass\n"
OLD_UTIL = b"import imp as imp\nwaagent = imp.load_source('waagent', agentPath)\n"
NEW_UTIL = b"try:\n    import importlib.util\nexcept ImportError:\n    import imp\n    waagent = imp.load_source('waagent', agentPath)\n"


class TestPython:
    @pytest.mark.parametrize("version, lib, util, wanted", [
        ("1.0.9218.0", None, None, ("crypt", "distutils.version", "imp.load_source")),
        ("1.0.91.0", None, None, ("crypt", "distutils.version", "imp.load_source")),
        ("1.0.9220.0", None, None, ("crypt", "distutils.version")),
        ("1.0.9220.0", OLD_LIB, NEW_UTIL, ("crypt", "distutils.version")),
        ("1.0.9218.0", OLD_LIB, OLD_UTIL, ("crypt", "distutils.version", "imp.load_source")),
        ("1.0.9231.0", NEW_LIB, NEW_UTIL, ()),
        ("1.0.9000.0", NEW_LIB, NEW_UTIL, ()),
        ("nonsense", None, NEW_UTIL, ("crypt", "distutils.version")),
    ])
    def test_what_a_version_needs_is_what_it_imports(self, version: str, lib: Optional[bytes], util: Optional[bytes], wanted: tuple[str, ...]) -> None:
        assert vmsnapshot.needs(version, lib, util) == wanted

    def test_the_order_of_handle_sh(self) -> None:
        script = b'rc=3\npythonVersionList="python3.8 python3.7 python3 python"\nfor pythonVersion in ${pythonVersionList};\n'
        assert vmsnapshot.interpreters(script) == ("python3.8", "python3.7", "python3", "python")

    @pytest.mark.parametrize("script", [None, b"", b'pythonVersionList="$(reboot)"', b"\xff\x00"])
    def test_the_known_order_where_the_script_does_not_tell(self, script: Optional[bytes]) -> None:
        assert vmsnapshot.interpreters(script) == vmsnapshot.INTERPRETERS
        assert vmsnapshot.INTERPRETERS[0] == "python3.8" and vmsnapshot.INTERPRETERS.index("python3") < vmsnapshot.INTERPRETERS.index("python2.7")
