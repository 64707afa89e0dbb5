"""The agent's library directory: which status file is alive, and the sentinels, in trees of every generation of the agent."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from waguard.agent import layout
from waguard.observe import libdir
from waguard.observe.files import Unusable
from waguard.observe.libdir import Watcher

LONG_AGO = time.time() - 1e6


def touch(path: Path, mtime: float) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (mtime, mtime))


@pytest.fixture
def lib(tmp_path: Path) -> Path:
    path = tmp_path / "waagent"
    path.mkdir()
    return path


class TestGenerations:
    @pytest.mark.parametrize("places", [
        ["waagent_status.json"],  # 2.2.35
        ["waagent_status.7.json", "waagent_status.6.json"],  # 2.5
        ["history/2025-11-19T12-41-22__3-123/waagent_status.json", "history/2025-11-18T12-41-22__2-123/waagent_status.json"],  # 2.8
        ["history/2025-11-19T12:41:22.123456_incarnation_3/waagent_status.json", "waagent_status.2.json", "waagent_status.json"],
    ])
    def test_the_newest_is_the_one(self, lib: Path, places: list[str]) -> None:
        for age, place in enumerate(places):
            touch(lib / place, LONG_AGO - age)
        look = Watcher().look(lib)
        assert (look.status_path, look.status_mtime) == (lib / places[0], pytest.approx(LONG_AGO))

    def test_after_an_update_or_a_downgrade_the_other_generations_files_are_left_behind(self, lib: Path) -> None:
        touch(lib / "history/2025-11-19T12-41-22__3/waagent_status.json", LONG_AGO)
        touch(lib / "waagent_status.5.json", LONG_AGO + 50)
        assert Watcher().look(lib).status_path == lib / "waagent_status.5.json"

    def test_before_there_was_any(self, lib: Path) -> None:
        look = Watcher().look(lib)
        assert (look.status_path, look.status_mtime) == (None, None)

    def test_names_that_only_look_like_one(self, lib: Path) -> None:
        for name in ("waagent_status.json.tmp", "waagent_status.x.json", "history/other/waagent_status.json", "waagent_status"):
            touch(lib / name, LONG_AGO)
        assert Watcher().look(lib).status_path is None


class TestLookingAgain:
    def test_a_write_is_seen(self, lib: Path) -> None:
        touch(lib / "waagent_status.json", LONG_AGO)
        watcher = Watcher()
        watcher.look(lib)
        touch(lib / "waagent_status.json", LONG_AGO + 6)
        assert watcher.look(lib).status_mtime == pytest.approx(LONG_AGO + 6)

    def test_a_new_goal_state_is_followed(self, lib: Path) -> None:
        watcher = Watcher()
        for number in range(1, 6):
            place = lib / f"history/2025-11-1{number}T12-41-22__{number}/waagent_status.json"
            touch(place, LONG_AGO + number)
            assert watcher.look(lib).status_path == place

    def test_the_file_that_is_written_is_the_one_also_when_the_clock_was_set_back(self, lib: Path) -> None:
        """A left-over of the goal state before would be the newer one for a whole day."""
        old, alive = lib / "waagent_status.4.json", lib / "waagent_status.5.json"
        touch(old, LONG_AGO)
        touch(alive, LONG_AGO + 60)
        watcher = Watcher()
        watcher.look(lib)
        for second in range(3):
            touch(alive, LONG_AGO - 86400 + second)
            look = watcher.look(lib)
            assert (look.status_path, look.status_mtime) == (alive, pytest.approx(LONG_AGO - 86400 + second))
            assert watcher.look(lib).status_path == alive, "also when it was not written since"

    def test_one_that_is_removed_leaves_the_next_newest(self, lib: Path) -> None:
        touch(lib / "waagent_status.4.json", LONG_AGO)
        touch(lib / "waagent_status.5.json", LONG_AGO + 60)
        watcher = Watcher()
        watcher.look(lib)
        (lib / "waagent_status.5.json").unlink()
        assert watcher.look(lib).status_path == lib / "waagent_status.4.json"
        (lib / "waagent_status.4.json").unlink()
        assert watcher.look(lib).status_path is None

    def test_a_directory_is_listed_again_only_when_it_changed(self, lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        listed: list[Path] = []
        names = libdir.files.names
        monkeypatch.setattr(libdir.files, "names", lambda path, limit: listed.append(path) or names(path, limit))
        touch(lib / "history/2025-11-19T12-41-22__3/waagent_status.json", LONG_AGO)
        for directory in (lib, lib / "history"):
            os.utime(directory, (LONG_AGO, LONG_AGO))
        watcher = Watcher()
        for _ in range(3):
            watcher.look(lib)
        assert listed == [lib, lib / "history"]
        touch(lib / "provisioned", LONG_AGO)
        assert watcher.look(lib).provisioned and listed[2:] == [lib]

    def test_one_that_changed_a_moment_ago_is_not_taken_for_settled(self, lib: Path) -> None:
        """The clock of a directory's time ticks slowly: what is created right after a look may leave no trace in it."""
        watcher = Watcher()
        watcher.look(lib)
        info = lib.stat()
        touch(lib / "provisioned", LONG_AGO)
        os.utime(lib, ns=(info.st_atime_ns, info.st_mtime_ns))
        assert watcher.look(lib).provisioned


class TestSentinels:
    @pytest.mark.parametrize("provisioned", [True, False])
    @pytest.mark.parametrize("disabled", [True, False])
    def test_are_told(self, lib: Path, provisioned: bool, disabled: bool) -> None:
        for wanted, name in ((provisioned, layout.PROVISIONED), (disabled, layout.DISABLE_AGENT)):
            if wanted:
                touch(lib / name, LONG_AGO)
        look = Watcher().look(lib)
        assert (look.provisioned, look.disable_agent) == (provisioned, disabled)

    def test_nothing_in_there_is_ever_opened(self, lib: Path) -> None:
        """It holds private keys: a FIFO would hang whoever opened it, a directory would fail."""
        os.mkfifo(lib / "waagent_status.json")
        os.mkfifo(lib / "provisioned")
        (lib / "disable_agent").mkdir()
        look = Watcher().look(lib)
        assert look.provisioned and look.disable_agent and look.status_mtime is not None


class TestWhatCannotBeTold:
    def test_a_missing_directory_is_one_without_sentinels(self, tmp_path: Path) -> None:
        look = Watcher().look(tmp_path / "nowhere")
        assert (look.provisioned, look.disable_agent, look.status_path) == (False, False, None)

    def test_it_may_come_and_go(self, lib: Path) -> None:
        watcher = Watcher()
        touch(lib / "provisioned", LONG_AGO)
        os.utime(lib, (LONG_AGO, LONG_AGO))
        assert watcher.look(lib).provisioned
        away = lib.rename(lib.with_name("away"))
        assert not watcher.look(lib).provisioned
        away.rename(lib)
        assert watcher.look(lib).provisioned

    @pytest.mark.parametrize("path", ["a file", "a loop", "a\0b", "x" * 300])
    def test_what_is_no_directory_is_said(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "a file").touch()
        (tmp_path / "a loop").symlink_to("a loop")
        with pytest.raises(Unusable):
            Watcher().look(tmp_path / path)

    def test_thousands_of_names_are_lived_with(self, lib: Path) -> None:
        for number in range(5000):
            (lib / f"{number}.xml").touch()
        touch(lib / "waagent_status.json", LONG_AGO)
        watcher = Watcher()
        os.utime(lib, (LONG_AGO, LONG_AGO))
        assert watcher.look(lib).status_path == lib / "waagent_status.json"
        kept = watcher._listed[lib][1]
        assert kept == ("waagent_status.json",), "and not kept in memory"

    def test_too_many_are_said(self, lib: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(libdir, "_NAMES", 100)
        for number in range(101):
            (lib / f"{number}.xml").touch()
        with pytest.raises(Unusable, match="more than 100 entries"):
            Watcher().look(lib)
