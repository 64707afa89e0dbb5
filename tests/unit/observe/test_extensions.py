"""All handlers of a fake library directory: each state that the agent leaves behind, half-written files, and hostile ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from waguard.agent.facts import AgentFacts
from waguard.agent.handler import State
from waguard.observe import extensions
from waguard.observe.extensions import Extensions, Handler
from waguard.observe.files import Unusable

from .vmtree import AGENT, DAY, HOUR, NOW, Extension, plain, put

X = "Microsoft.Azure.X"


def never(seconds: float) -> None:
    raise AssertionError("nothing here is half-written")


def look(root: Path) -> Extensions:
    return extensions.look(AGENT, never, root)


def only(root: Path) -> Handler:
    (found,) = look(root).handlers
    return found


class TestHandlers:
    def test_a_healthy_one(self, tmp_path: Path) -> None:
        one = Extension(tmp_path, X, "1.2").state().report().settings(3, protected="SECRET").status(plain(code="0"), 3)
        assert only(tmp_path) == Handler(
            X, "1.2", str(one.path), folder_at=one.path.stat().st_mtime, installed="1.2", state=State.ENABLED, state_at=NOW - HOUR, status="Ready",
            code=0, message="Plugin enabled", reported_at=NOW - HOUR, sequence=3, settings_at=NOW - HOUR, settings_protected=True,
            status_seq=3, status_at=NOW - HOUR, status_word="success", status_code=0, status_message="done")

    def test_nothing_of_the_settings_is_kept(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report().settings(3, protected="SECRET")
        assert "SECRET" not in repr(look(tmp_path))

    def test_messages_lose_their_secrets(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report("NotReady", 1004, "GET https://h/p?sv=1&sig=SECRET").settings().status(plain("error", 5, "password=SECRET"))
        assert "SECRET" not in repr(look(tmp_path)) and only(tmp_path).code == 1004

    def test_what_is_missing_is_not_made_up(self, tmp_path: Path) -> None:
        Extension(tmp_path, X)
        one = only(tmp_path)
        assert (one.state, one.status, one.code, one.sequence, one.status_word, one.installed, one.problem) == (None, None, None, None, None, "", "")

    def test_the_agents_own_folders_and_files_are_none(self, tmp_path: Path) -> None:
        lib = tmp_path / "var/lib/waagent"
        (lib / "WALinuxAgent-2.15.0.1").mkdir(parents=True)
        put(lib / f"{X}-1.0", "a file")
        put(lib / f"{X}__1.0.zip", "a package")
        (lib / "loop-1.0").symlink_to("loop-1.0")
        (lib / "history").mkdir()
        assert look(tmp_path).handlers == ()

    def test_they_come_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        for name in ("b", "c", "a"):
            Extension(tmp_path, name).state().report()
        assert [one.name for one in look(tmp_path).handlers] == ["a", "b", "c"]


class TestVersions:
    def test_the_one_that_the_agent_worked_on_last_is_shown(self, tmp_path: Path) -> None:
        """After a failed upgrade the agent reports the new version, while it calls the old one installed."""
        Extension(tmp_path, X, "1.9").state("Enabled", DAY).report(age=DAY)
        Extension(tmp_path, X, "1.10").state("FailedUpgrade").report("NotReady", 1008, "Non-zero exit code: 1")
        one = only(tmp_path)
        assert (one.version, one.state, one.installed, one.code) == ("1.10", State.FAILED_UPGRADE, "1.9", 1008)

    def test_a_downgrade_too(self, tmp_path: Path) -> None:
        Extension(tmp_path, X, "1.10").state("Installed", DAY).report("NotReady", 0, "Plugin disabled", DAY)
        Extension(tmp_path, X, "1.9").state("Enabled").report()
        assert only(tmp_path).version == "1.9" and only(tmp_path).installed == "1.10"

    def test_an_abandoned_folder_does_not_count(self, tmp_path: Path) -> None:
        Extension(tmp_path, X, "1.9").state().report()
        Extension(tmp_path, X, "1.10")
        assert only(tmp_path).version == "1.9"


class TestNewest:
    def test_the_settings_written_last_are_the_newest_not_the_highest(self, tmp_path: Path) -> None:
        """As for the agent (_get_last_modified_seq_no_from_config_files): numbers start anew when a VM is moved."""
        Extension(tmp_path, X).state().report().settings(12, DAY).status(plain("error"), 12, DAY).settings(1, HOUR).status(plain(), 1, HOUR)
        one = only(tmp_path)
        assert (one.sequence, one.status_seq, one.status_word) == (1, 1, "success")

    def test_a_status_of_other_settings_says_nothing_of_the_newest(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report().settings(8).status(plain("error"), 7)
        assert (only(tmp_path).sequence, only(tmp_path).status_seq, only(tmp_path).status_word) == (8, None, None)

    def test_temporary_files_and_history_are_no_status(self, tmp_path: Path) -> None:
        one = Extension(tmp_path, X).state().report()
        for name in ("tempStatusFile.status", "9_status", "9.status.tmp"):
            put(one.path / "status" / name, plain("error"))
        put(one.path / "config/9_settings", "{}")
        assert (only(tmp_path).sequence, only(tmp_path).status_seq) == (None, None)

    def test_without_settings_the_status_counts_all_the_same(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report().status(plain("error", 5), 0)
        assert (only(tmp_path).sequence, only(tmp_path).status_seq, only(tmp_path).status_word) == (None, 0, "error")

    def test_several_extensions_of_one_handler(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report(multi=True).settings(2, extension="b").status(plain("error", 1), "b.2").settings(
            5, extension="a").status(plain(), "a.5").settings(4, DAY, extension="a").status(plain("error"), "a.4", DAY)
        assert [(one.extension, one.sequence, one.status_word) for one in look(tmp_path).handlers] == [("a", 5, "success"), ("b", 2, "error")]


class TestHalfWritten:
    """The agent writes in place: what looks cut off is read again, up to three times a second apart."""

    @pytest.mark.parametrize("file, half, whole", [
        ("config/HandlerState", "", "Enabled"), ("config/HandlerState", "Ena", "Enabled"),
        ("config/HandlerStatus", "", '{"status": "Ready", "code": 0}'), ("config/HandlerStatus", '{"status": "Rea', '{"status": "Ready", "code": 0}'),
        ("status/7.status", "", plain()), ("status/7.status", plain()[:40], plain()),
    ])
    def test_it_is_read_again(self, tmp_path: Path, file: str, half: str, whole: str) -> None:
        one = Extension(tmp_path, X).state().report().settings().status(plain())
        put(one.path / file, half)
        waits = []

        def write(seconds: float) -> None:
            waits.append(seconds)
            if len(waits) == 2:
                put(one.path / file, whole)

        (found,) = extensions.look(AGENT, write, tmp_path).handlers
        assert waits == [1.0, 1.0]
        assert (found.state, found.status, found.status_word, found.problem, found.status_broken) == (State.ENABLED, "Ready", "success", "", "")

    def test_what_stays_half_is_broken_and_the_whole_look_waits_only_three_times(self, tmp_path: Path) -> None:
        for name in ("a", "b", "c"):
            Extension(tmp_path, name).state("").report().settings().status("[")
            put(tmp_path / f"var/lib/waagent/{name}-1.0.9220.0/config/HandlerStatus", "{")
        waits: list[float] = []
        found = extensions.look(AGENT, waits.append, tmp_path).handlers
        assert len(waits) == 3
        assert all("HandlerState is empty" in one.problem and "HandlerStatus ends in the middle" in one.report_broken
                   and "7.status ends in the middle" in one.status_broken for one in found)

    def test_what_is_broken_for_good_is_not_waited_for(self, tmp_path: Path) -> None:
        one = Extension(tmp_path, X).state("nonsense").settings().status('{"a": 1}')
        put(one.path / "config/HandlerStatus", "[1]")
        found = only(tmp_path)
        assert "says 'nonsense'" in found.problem and "not a JSON object" in found.report_broken and "not a JSON array" in found.status_broken
        assert found.state is None and found.state_at is not None

    def test_empty_settings_are_an_extension_without_settings(self, tmp_path: Path) -> None:
        one = Extension(tmp_path, X).state().report()
        put(one.path / "config/0.settings", "")
        assert (only(tmp_path).sequence, only(tmp_path).settings_protected) == (0, None)


class TestHostile:
    def test_fifos_directories_and_huge_files_hold_nothing_up(self, tmp_path: Path) -> None:
        one = Extension(tmp_path, X).settings()
        os.mkfifo(one.path / "config/HandlerState")
        (one.path / "config/HandlerStatus").mkdir()
        put(one.path / "status/7.status", "")
        os.truncate(one.path / "status/7.status", 1 << 40)
        found = only(tmp_path)
        assert "not a regular file" in found.problem and found.problem.isprintable() and len(found.problem) <= 300
        assert (found.state, found.status, found.status_word) == (None, None, None)

    def test_deep_json(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).state().report().settings().status("[" * 100000)
        assert "is nested too deeply" in only(tmp_path).status_broken

    def test_there_may_be_a_great_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extensions, "MOST", 5)
        for number in range(8):
            Extension(tmp_path, f"x{number}").state()
        found = look(tmp_path)
        assert (len(found.handlers), found.left_out) == (5, 3)

    def test_a_great_many_files_in_one(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(extensions, "_IN_FOLDER", 5)
        one = Extension(tmp_path, X).state().report()
        for number in range(8):
            one.status(plain(), number)
        assert "more than 5 entries" in only(tmp_path).problem

    def test_a_directory_that_cannot_be_listed_is_said(self, tmp_path: Path) -> None:
        with pytest.raises(Unusable, match="no such directory"):
            look(tmp_path)
        put(tmp_path / "file", "")
        with pytest.raises(Unusable, match="Not a directory"):
            extensions.look(AgentFacts(lib_dir="/file"), never, tmp_path)

    def test_as_an_ordinary_user_it_is_not_known(self, tmp_path: Path) -> None:
        Extension(tmp_path, X).path.parent.chmod(0)
        me = os.geteuid()
        os.seteuid(me or 65534)
        try:
            with pytest.raises(Unusable, match="Permission denied"):
                look(tmp_path)
        finally:
            os.seteuid(me)
            (tmp_path / "var/lib/waagent").chmod(0o700)
