"""An extension handler's files: what they say, and that no bytes whatever make their reader fail in another way than it says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import handler
from waguard.agent.handler import Fault, Folder, State, Unreadable

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20),
              st.sampled_from(["success", "error", "4", "/Date(1)/", "2019-06-06T23:52:59Z"])),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(
        st.sampled_from(["status", "code", "name", "message", "formattedMessage", "substatus", "timestampUTC", "runtimeSettings",
                         "handlerSettings", "protectedSettings", "snapshotInfo", "telemetryData", "vmHealthInfo", "Key", "Value"]),
        inner, max_size=6)), max_leaves=25)
HOSTILE = [
    b"[" * 200000, b'{"a":' * 100000, b"9" * 500000, b'[{"status":{"status":"success","code":' + b"9" * 100000 + b"}}]",
    b"\xff\xfe\x00", b"\x00" * 5000, b'"\\ud800"', b"[NaN, Infinity]", b"\xef\xbb\xbf[]", b'[{"status": []}]', b"x" * (2 << 20),
]


def status(**body: object) -> bytes:
    return json.dumps([{"version": "1.0", "timestampUTC": "2019-06-06T23:52:59Z", "status": {"status": "success", **body}}]).encode()


class TestFolders:
    @pytest.mark.parametrize("name, wanted", [
        ("Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9220.0", (handler.VMSNAPSHOT, (1, 0, 9220), "1.0.9220.0")),
        ("Microsoft.CPlat.Core.RunCommandLinux-1", ("Microsoft.CPlat.Core.RunCommandLinux", (1,), "1")),
        ("a-01.2", ("a", (1, 2), "01.2")),
    ])
    def test_the_name_is_before_the_first_dash_and_the_version_after_it(self, name: str, wanted: tuple[str, tuple[int, ...], str]) -> None:
        assert handler.folder(name) == Folder(*wanted)

    @pytest.mark.parametrize("name", [
        "WALinuxAgent-2.15.0.1",  # the agent itself
        "Microsoft.Azure.X-1.0.zip", "Microsoft.Azure.X__1.0", "Microsoft.Azure.X-", "-1.0", "X-1.0-old", "X-1..0", "X-1.0.", "X-v1", "history",
        "X-1.0\n", "a/b-1.0", "X-" + "9" * 10, "X-" + "1." * 20 + "1",
    ])
    def test_other_names_are_no_handler(self, name: str) -> None:
        assert handler.folder(name) is None

    def test_versions_are_compared_number_by_number(self) -> None:
        words = ["1.0.91.0", "1.0.9110.1", "1.0.9220.0", "1.0.10000"]
        assert sorted(words, key=handler.version_of) == words
        assert handler.version_of("1.0") == handler.version_of("1.0.0.0") != ()
        assert handler.version_of("1.x") == handler.version_of("") == ()

    def test_the_installed_one_is_the_highest_that_is_neither_missing_nor_failed(self) -> None:
        def one(version: str) -> Folder:
            found = handler.folder(f"X-{version}")
            assert found is not None
            return found

        folders = [(one("1.0.9"), State.ENABLED), (one("1.0.10"), State.INSTALLED), (one("1.0.11"), State.FAILED_UPGRADE),
                   (one("1.0.12"), State.NOT_INSTALLED), (one("1.0.13"), None)]
        assert handler.installed(folders) == one("1.0.10")
        assert handler.installed(folders[2:]) is None


class TestState:
    @pytest.mark.parametrize("word", list(State))
    def test_each_word(self, word: State) -> None:
        assert handler.state(word.value.encode() + b"\n") is word

    @pytest.mark.parametrize("data, fault", [
        (b"", Fault.HALF), (b"\0\0", Fault.HALF), (b"Enab", Fault.HALF), (b"enabled", Fault.BROKEN), (b"\xff", Fault.BROKEN),
        (b"Enabled Enabled", Fault.BROKEN)])
    def test_what_is_cut_off_may_be_whole_in_a_moment(self, data: bytes, fault: Fault) -> None:
        with pytest.raises(Unreadable) as caught:
            handler.state(data)
        assert caught.value.fault is fault


class TestNumbered:
    @pytest.mark.parametrize("name, wanted", [
        ("5.settings", ("", 5, "settings")), ("0.status", ("", 0, "status")), ("run-1.12.status", ("run-1", 12, "status")),
        ("a.b.3.settings", ("a.b", 3, "settings")),
    ])
    def test_settings_and_status(self, name: str, wanted: tuple[str, int, str]) -> None:
        assert handler.numbered(name) == wanted

    @pytest.mark.parametrize("name", ["tempStatusFile.status", "5_status", "5_settings", "5.status.tmp", "5.settings.bak", ".status", "x5.status",
                                      "5.status\n", "HandlerState", "5.", "²5.status"])
    def test_temporary_files_and_history_are_none(self, name: str) -> None:
        assert handler.numbered(name) is None


class TestReport:
    def test_of_a_handler_that_is_ready(self) -> None:
        data = json.dumps({"name": "X", "version": "1.0", "status": "Ready", "code": 0, "message": "Plugin enabled",
                           "supports_multi_config": True, "extension_status": None}).encode()
        assert handler.report(data) == handler.Report("Ready", 0, "Plugin enabled", "1.0", True)

    def test_wrong_types_are_not_there(self) -> None:
        data = json.dumps({"status": 7, "code": "many", "message": [], "version": {}, "supports_multi_config": "yes"}).encode()
        assert handler.report(data) == handler.Report(None, None, "", None, False)

    @pytest.mark.parametrize("data, fault", [
        (b"", Fault.HALF), (b'{"status": "Rea', Fault.HALF), (b'{"status": "Ready", ', Fault.HALF), (b'{"status": "\xc3', Fault.HALF),
        (b"[]", Fault.BROKEN), (b"{nonsense}", Fault.BROKEN)])
    def test_half_written_or_broken(self, data: bytes, fault: Fault) -> None:
        with pytest.raises(Unreadable) as caught:
            handler.report(data)
        assert caught.value.fault is fault


class TestStatus:
    @pytest.mark.parametrize("code, wanted", [(4, 4), ("4", 4), (" -1 ", -1), (4.0, 4), (True, None), ("4.5", None), (4.5, None), (None, None),
                                              ([4], None), ("9" * 30, None), (10**15, None), ("٤", None)])
    def test_a_code_may_be_a_number_or_a_string(self, code: object, wanted: object) -> None:
        assert handler.status(status(code=code)).code == wanted

    @pytest.mark.parametrize("text, wanted", [
        ("2019-06-06T23:52:59Z", 1559865179.0), ("2019-06-06T23:52:59.123Z", 1559865179.0), ("/Date(1559865179380)/", 1559865179.38),
        ("\\/Date(1559865179380)\\/", 1559865179.38), ("/Date(1559865179380+0000)/", 1559865179.38),
        ("2019-13-06T23:52:59Z", None), ("yesterday", None), (5, None), ("/Date(" + "9" * 40 + ")/", None)])
    def test_the_moment_comes_in_two_forms(self, text: object, wanted: object) -> None:
        assert handler.moment(text) == wanted

    def test_a_word_that_nobody_knows_is_an_error_as_for_the_agent(self) -> None:
        assert handler.status(status(status="finished")).word == "error"
        assert handler.status(status(status=["success"])).word == "error"

    def test_the_message_is_taken_out_of_its_wrapping(self) -> None:
        wrapped = json.dumps({"messageStr": "T:S freeze failed", "snapshotConsistency": 0})
        assert handler.status(status(formattedMessage={"lang": "en-US", "message": wrapped})).message == "T:S freeze failed"
        assert handler.status(status(formattedMessage={"message": "plain"})).message == "plain"
        printed = "Enable failed: exit status=1\n[stdout]\nmy words are correct horse\n\n[stderr]\nbattery staple\n"
        assert handler.status(status(formattedMessage={"message": printed})).message == "Enable failed: exit status=1"
        assert handler.status(status(formattedMessage="x")).message == ""

    @pytest.mark.parametrize("data", [b"{}", b"[]", b"[1]", b'[{"status": 1}]', b'[{"status": {}}]'])
    def test_a_shape_that_the_agent_refuses(self, data: bytes) -> None:
        with pytest.raises(Unreadable) as caught:
            handler.status(data)
        assert caught.value.fault is Fault.BROKEN


class TestSettings:
    @staticmethod
    def settings(**inner: object) -> bytes:
        return json.dumps({"runtimeSettings": [{"handlerSettings": inner}]}).encode()

    @pytest.mark.parametrize("inner, wanted", [
        ({"protectedSettings": "MIIB…", "publicSettings": {"taskId": "x"}}, True), ({"protectedSettings": None}, False), ({}, False),
        ({"publicSettings": {"protectedSettings": "not here"}}, False)])
    def test_only_whether_something_is_protected_is_told(self, inner: dict[str, object], wanted: bool) -> None:
        assert handler.settings(self.settings(**inner)) == handler.Settings(True, False, wanted)

    @pytest.mark.parametrize("named, wanted", [
        ("0123ABCDEF" * 4, "0123ABCDEF" * 4), ("", ""), (7, ""), (None, ""), ("../../etc/shadow", ""), ("A" * 200, "")])
    def test_the_certificate_is_named_if_it_is_a_name(self, named: object, wanted: str) -> None:
        found = handler.settings(self.settings(protectedSettings="MIIB…", protectedSettingsCertThumbprint=named))
        assert found.thumbprint == wanted and (not wanted or wanted not in repr(found))

    def test_an_empty_file_is_an_extension_without_settings(self) -> None:
        assert handler.settings(b"") == handler.Settings(False, True, None)

    def test_no_value_of_it_is_kept(self) -> None:
        found = handler.settings(self.settings(protectedSettings="SECRET", publicSettings={"a": "SECRET"}, protectedSettingsCertThumbprint="SECRET"))
        assert "SECRET" not in repr(found)

    def test_no_json(self) -> None:
        assert handler.settings(b"{bad}").protected is None
        with pytest.raises(Unreadable) as caught:
            handler.settings(b'{"runtimeSettings": [{"handlerSet')
        assert caught.value.fault is Fault.HALF and "handlerSet" not in str(caught.value)


class TestClean:
    @pytest.mark.parametrize("text, secret", [
        ("GET https://md-x.z1.blob.storage.azure.net/abc/abcd?sv=2018&sr=b&sig=QUJD%3d failed", "QUJD"),
        ("snapshot https://md-x.blob.core.windows.net/p3w4cdkggwwl/abcd?snapshot=2019", "p3w4cdkggwwl"),
        ("proxy http://user:hunter2@proxy:8080/", "hunter2"), ("sig=QUJD&se=2019", "QUJD"), ("Authorization: Bearer eyJhbGciOi", "eyJhbGciOi"),
        ('{"token": "eyJhbGciOi", "id": 1}', "eyJhbGciOi"), ("password=hunter2", "hunter2"), ("AccountKey=hunter2;x", "hunter2"),
        ("cert 1BE9A13AA1321C7C515EF109746998BAB6D86FD1 not found", "1BE9A13AA1321C7C515EF109746998BAB6D86FD1"),
        ("certThumbprint: 1be9", "1be9"), ("data " + "QUJDREVG" * 20, "QUJDREVG"), ("Authorization: SharedKey account:QUJDREVG=", "QUJDREVG"),
    ])
    def test_secrets_go(self, text: str, secret: str) -> None:
        assert secret in text and secret not in handler.clean(text)

    @pytest.mark.parametrize("text", [
        "T:S ###### Enable failed with error: freeze took longer than timeout StatusCode.FailedRetryableFsFreezeTimeout,",
        "[ExtensionOperationError] Non-zero exit code: 3, /var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9220.0/main/handle.sh enable",
        "/a/very/long/path/" + "name/" * 30, "snapshotCreator=backupHostService, hostStatusCodeDoSnapshot=200, ", "No module named 'imp'"])
    def test_what_explains_stays(self, text: str) -> None:
        assert handler.clean(text) == text.strip()

    def test_a_host_name_stays_since_it_says_what_to_test(self) -> None:
        assert "md-x.blob.core.windows.net" in handler.clean("https://md-x.blob.core.windows.net/secret?sig=1")

    def test_it_is_one_short_line(self) -> None:
        shown = handler.clean("a\nb\x1b[31m\t" + "word." * 500)
        assert len(shown) == handler.MAX_MESSAGE and shown.isprintable() and shown.endswith("…") and shown.startswith("a b [31m word")

    def test_of_a_long_message_the_reason_at_its_end_is_kept(self) -> None:
        told = ("[ExtensionOperationError] Non-zero exit code: 1, /var/lib/waagent/X-1/main/handle.sh enable\n[stdout]\n\n[stderr]\n"
                "Traceback (most recent call last):\n" + '  File "main/handle.py", line 1, in <module>\n' * 20
                + "ModuleNotFoundError: No module named 'imp'\n")
        report = handler.report(json.dumps({"status": "NotReady", "code": 1009, "message": told}).encode())
        assert report.message.startswith("[ExtensionOperationError] Non-zero exit code: 1, ") and " … " in report.message
        assert report.message.endswith("ModuleNotFoundError: No module named 'imp'") and len(report.message) <= handler.MAX_MESSAGE

    @given(st.text(), st.booleans())
    def test_any_text_becomes_printable(self, text: str, ends: bool) -> None:
        shown = handler.clean(text, ends=ends)
        assert len(shown) <= handler.MAX_MESSAGE and (shown.isprintable() or not shown)


class TestHostile:
    READERS = [handler.state, handler.report, handler.status, handler.settings]

    @pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
    @pytest.mark.parametrize("read", READERS)
    def test_known_nasty_ones(self, read: object, data: bytes) -> None:
        self._read(read, data)

    @given(st.one_of(st.binary(max_size=200), JSON.map(lambda tree: json.dumps(tree).encode()), JSON.map(lambda tree: json.dumps([{"status": tree}]).encode()),
                     st.tuples(JSON.map(lambda tree: json.dumps([{"status": {"status": tree}}]).encode()), st.integers(0, 60)).map(lambda two: two[0][:two[1]])))
    def test_any_bytes_are_read_or_refused(self, data: bytes) -> None:
        for read in self.READERS:
            self._read(read, data)

    @staticmethod
    def _read(read: object, data: bytes) -> None:
        try:
            read(data)  # type: ignore[operator]
        except Unreadable as error:
            assert len(str(error)) < 200 and str(error).isprintable()
