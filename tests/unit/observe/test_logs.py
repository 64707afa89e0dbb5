"""Following waagent.log through everything that happens to log files, on real files."""

from __future__ import annotations

import gzip
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from waguard.agent.record import LevelCounts
from waguard.observe import logs
from waguard.observe.files import Unusable
from waguard.observe.logs import BUDGET, LOOK_BACK, Follower, LogLook


def line(text: str = "message", level: str = "INFO", second: int = 22) -> str:
    return f"2025-11-19T12:41:{second:02}.123456Z {level} ExtHandler ExtHandler {text}\n"


HEARTBEAT = ("[HEARTBEAT] Agent WALinuxAgent-2.15.0.1 is running as the goal state agent "
             "[DEBUG HeartbeatCounter: 7;HeartbeatId: ABC;DroppedPackets: 0;UpdateGSErrors: 0;AutoUpdate: 1]")


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def info(look: LogLook) -> int:
    return look.counts.info


def all_of_it(follower: Follower) -> LogLook:
    look = follower.look()
    while look.behind:
        look = follower.look()
    return look


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waagent.log"


@pytest.fixture
def follower(path: Path) -> Follower:
    """One that has had its first look, at an empty log."""
    path.touch()
    begun = Follower(path)
    begun.look()
    return begun


class TestTheFirstLook:
    def test_what_was_there_before_informs_but_is_not_counted(self, path: Path) -> None:
        append(path, line("Azure Linux Agent (Goal State Agent version 2.15.0.1)") + line(HEARTBEAT))
        follower = Follower(path)
        look = follower.look()
        assert str(look.state.agent_version) == "2.15.0.1" and look.state.heartbeat is not None
        assert look.counts == LevelCounts() and not look.behind
        append(path, line())
        assert info(follower.look()) == 1

    def test_of_a_long_log_only_the_end_is_read(self, path: Path) -> None:
        append(path, line(HEARTBEAT) + line("x" * 200) * (LOOK_BACK // 200))
        look = Follower(path).look()
        assert look.state.heartbeat is None and not look.behind

    def test_and_its_end_is_understood(self, path: Path) -> None:
        append(path, line("x" * 200) * (LOOK_BACK // 200) + line(HEARTBEAT))
        look = Follower(path).look()
        assert look.state.heartbeat is not None and look.state.heartbeat.counter == 7

    def test_a_record_that_was_half_written_then_counts_when_it_is_whole(self, path: Path) -> None:
        append(path, line() + line()[:30])
        follower = Follower(path)
        assert info(follower.look()) == 0
        append(path, line()[30:])
        assert info(follower.look()) == 1

    def test_a_log_that_comes_later_is_all_new(self, path: Path) -> None:
        follower = Follower(path)
        assert info(follower.look()) == 0
        append(path, line() * 3)
        assert info(follower.look()) == 3

    def test_so_is_one_that_became_readable_only_later(self, path: Path) -> None:
        """What it held before is still before us: nobody knows how old it is."""
        path.mkdir()
        follower = Follower(path)
        with pytest.raises(Unusable):
            follower.look()
        path.rmdir()
        append(path, line() * 3)
        assert info(follower.look()) == 0
        append(path, line())
        assert info(follower.look()) == 1


class TestGrowth:
    def test_by_level(self, path: Path, follower: Follower) -> None:
        append(path, "".join(line("x", level) * times for level, times in (("VERBOSE", 4), ("INFO", 3), ("WARNING", 2), ("ERROR", 1))))
        assert follower.look().counts == LevelCounts(4, 3, 2, 1)

    def test_nothing_new_is_nothing_counted(self, path: Path, follower: Follower) -> None:
        append(path, line())
        assert [info(follower.look()) for _ in range(3)] == [1, 1, 1]

    @pytest.mark.parametrize("cut", [1, 10, 27, len(line()) - 1])
    def test_a_last_line_without_its_end_is_completed_later(self, path: Path, follower: Follower, cut: int) -> None:
        append(path, line() + line()[:cut])
        assert info(follower.look()) == 1
        append(path, line()[cut:])
        assert info(follower.look()) == 2

    def test_records_of_several_lines_count_once(self, path: Path, follower: Follower) -> None:
        append(path, line("failed with exception:") + "Traceback (most recent call last):\n  File x\nValueError: y\n" + line())
        assert info(follower.look()) == 2

    def test_bytes_that_are_no_text(self, path: Path, follower: Follower) -> None:
        path.write_bytes(b"\xff\xfe\x00 junk\n" + line("caf\u00e9").encode("latin-1") + b"\x00" * 5000 + b"\n" + line().encode())
        assert info(follower.look()) == 2

    def test_a_carriage_return_is_part_of_the_line_end(self, path: Path, follower: Follower) -> None:
        append(path, line().replace("\n", "\r\n") * 2)
        assert info(follower.look()) == 2

    @pytest.mark.parametrize("length", [64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 200_000])
    def test_a_line_longer_than_the_bound_counts_once_and_harms_no_other(self, path: Path, follower: Follower, length: int) -> None:
        append(path, line() + line("x" * length, "WARNING") + line())
        assert follower.look().counts == LevelCounts(0, 2, 1, 0)

    def test_a_long_line_that_grows_slowly_counts_once(self, path: Path, follower: Follower) -> None:
        append(path, line("x")[:-1])
        for _ in range(5):
            append(path, "y" * 30_000)
            follower.look()
        append(path, "\n" + line())
        assert info(follower.look()) == 2


class TestTheBudget:
    def test_a_flood_is_read_in_parts(self, path: Path, follower: Follower) -> None:
        times = 3 * BUDGET // len(line("x" * 100))
        append(path, line("x" * 100) * times)
        first = follower.look()
        assert first.behind and 0 < info(first) < times
        assert info(all_of_it(follower)) == times

    def test_what_is_left_of_a_renamed_log_is_read_before_the_new_one(self, path: Path, follower: Follower) -> None:
        times = 2 * BUDGET // len(line("x" * 100))
        append(path, line("x" * 100) * times)
        path.rename(path.with_suffix(".1"))
        append(path, line("new", "WARNING"))
        first = follower.look()
        assert first.behind and first.counts.warning == 0
        assert all_of_it(follower).counts == LevelCounts(0, times, 1, 0)


class TestRotation:
    def test_rename_and_create(self, path: Path, follower: Follower) -> None:
        append(path, line())
        follower.look()
        append(path, line())
        path.rename(path.with_suffix(".1"))
        append(path, line() * 3)
        assert info(follower.look()) == 5

    def test_what_is_written_to_the_renamed_one_is_read_too(self, path: Path, follower: Follower) -> None:
        """Who has it open goes on writing to it until it opens it anew."""
        with path.open("a", encoding="utf-8") as file:
            path.rename(path.with_suffix(".1"))
            file.write(line())
            file.flush()
            assert info(follower.look()) == 1  # there is no new one yet
            append(path, line())
            file.write(line())
            file.flush()
            assert info(follower.look()) == 3

    def test_rename_and_nothing_for_a_while(self, path: Path, follower: Follower) -> None:
        append(path, line())
        path.rename(path.with_suffix(".1"))
        assert [info(follower.look()) for _ in range(2)] == [1, 1]
        append(path, line())
        assert info(follower.look()) == 2

    def test_compressed_and_gone_at_once(self, path: Path, follower: Follower) -> None:
        append(path, line() * 2)
        with path.open("rb") as file, gzip.open(path.with_suffix(".1.gz"), "wb") as packed:
            shutil.copyfileobj(file, packed)
        path.unlink()
        append(path, line())
        assert info(follower.look()) == 3

    def test_copy_and_truncate(self, path: Path, follower: Follower) -> None:
        append(path, line() * 3)
        follower.look()
        os.truncate(path, 0)
        append(path, line())
        assert info(follower.look()) == 4

    def test_truncated_with_half_a_line_read(self, path: Path, follower: Follower) -> None:
        append(path, line() + line()[:40])
        follower.look()
        os.truncate(path, 0)
        append(path, line("short"))
        assert info(follower.look()) == 2

    def test_a_link_that_is_turned_to_another_file(self, path: Path, tmp_path: Path) -> None:
        (tmp_path / "a").write_text(line())
        (tmp_path / "b").write_text(line() * 2)
        path.symlink_to("a")
        follower = Follower(path)
        assert info(follower.look()) == 0
        new = tmp_path / "new"
        new.symlink_to("b")
        new.replace(path)
        assert info(follower.look()) == 2

    def test_removed_for_good(self, path: Path, follower: Follower) -> None:
        append(path, line())
        path.unlink()
        assert [info(follower.look()) for _ in range(3)] == [1, 1, 1]


class TestWhatCannotBeRead:
    def make(self, path: Path, kind: str) -> None:
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "loop":
            path.symlink_to(path.name)
        elif kind == "device":
            path.symlink_to("/dev/zero")

    @pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "device"])
    def test_is_said_and_lived_through(self, path: Path, kind: str) -> None:
        """The same observer goes on with a file when there is one again, and has forgotten nothing."""
        append(path, line(HEARTBEAT))
        follower = Follower(path)
        follower.look()
        append(path, line())
        assert info(follower.look()) == 1
        path.unlink()
        self.make(path, kind)
        for _ in range(2):
            if kind == "loop":
                assert info(follower.look()) == 1  # As if it were missing: the old one may still grow.
            else:
                with pytest.raises(Unusable, match=path.name):
                    follower.look()
        path.rmdir() if kind == "directory" else path.unlink()
        append(path, line() * 2)
        look = follower.look()
        assert info(look) == 3 and look.state.heartbeat is not None

    @pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "device"])
    def test_at_first_as_well(self, path: Path, kind: str) -> None:
        self.make(path, kind)
        with pytest.raises(Unusable, match=path.name):
            Follower(path).look()

    def test_a_dangling_link_is_a_missing_file(self, path: Path) -> None:
        path.symlink_to("nowhere")
        follower = Follower(path)
        assert info(follower.look()) == 0
        append(path.with_name("nowhere"), line())
        assert info(follower.look()) == 1

    def test_a_path_below_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(Unusable, match="Not a directory"):
            Follower(tmp_path / "file" / "waagent.log").look()

    def test_descriptors_are_not_leaked(self, path: Path, follower: Follower) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(20):
            append(path, line())
            follower.look()
            path.rename(path.with_suffix(f".{number}"))
            path.mkdir()
            with pytest.raises(Unusable):
                follower.look()
            path.rmdir()
        assert len(os.listdir("/proc/self/fd")) <= before


BOUNDED = """
import os, resource, sys
from pathlib import Path
from waguard.observe.logs import Follower
path = Path(sys.argv[1])
follower = Follower(path)
follower.look()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with path.open("wb") as file:
    if sys.argv[2] == "one line":
        file.write(b"2025-11-19T12:41:22.123456Z INFO ExtHandler ")
        file.truncate(1 << 28)
        file.seek(1 << 28)
        file.write(b"\\n")
    else:
        for _ in range(4):
            file.write(b"\\n" * (1 << 20))
looks = 0
while True:
    look = follower.look()
    looks += 1
    if not look.behind:
        break
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, look.counts.info, looks)
"""


@pytest.mark.once
@pytest.mark.parametrize(("kind", "records", "looks"), [("one line", 1, 257), ("empty lines", 0, 5)])
def test_memory_is_bounded_whatever_the_file_holds(tmp_path: Path, kind: str, records: int, looks: int) -> None:
    """A quarter of a gigabyte without a line end, and four million lines of nothing."""
    root = Path(logs.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", BOUNDED, str(tmp_path / "log"), kind], check=True, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": str(root)})
    grown, counted, looked = map(int, ran.stdout.split())
    assert grown < 24 * 1024, "KiB of resident memory"
    assert (counted, looked) == (records, looks)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


class Rotations(RuleBasedStateMachine):
    """Any order of writes, looks and rotations: each record that was written is counted once."""

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "waagent.log"
        self.path.touch()
        self.follower = Follower(self.path)
        self.follower.look()
        self.written = self.rotated = 0
        self.pending = b""
        self.old: Path = self.path

    @rule(records=st.integers(0, 40), cut=st.integers(0, 120), length=st.sampled_from([1, 50, 3000, 70_000]))
    def write(self, records: int, cut: int, length: int) -> None:
        """Whole records and part of one more, after the rest of the last part."""
        more = line("x" * length).encode()
        cut %= len(more)
        with self.path.open("ab") as file:
            file.write(self.pending + more * records + more[:cut])
        self.written += records + bool(self.pending)
        self.pending = more[cut:] if cut else b""

    @rule(records=st.integers(1, 5))
    def write_to_the_renamed_one(self, records: int) -> None:
        """Only what is looked at again before the next rotation can be seen."""
        if self.old != self.path and self.old.exists() and not self.path.exists():
            with self.old.open("ab") as file:
                file.write(line().encode() * records)
            self.written += records

    def complete(self) -> None:
        if self.pending:
            with self.path.open("ab") as file:
                file.write(self.pending)
            self.written, self.pending = self.written + 1, b""

    @rule()
    def rename(self) -> None:
        if self.path.exists():
            self.complete()
            self.look()
            self.rotated += 1
            self.old = self.path.with_suffix(f".{self.rotated}")
            self.path.rename(self.old)

    @rule()
    def truncate(self) -> None:
        if self.path.exists():
            self.complete()
            self.look()
            os.truncate(self.path, 0)
            self.look()  # One that has grown past where it was before the next look cannot be told.

    @rule()
    def look(self) -> None:
        assert info(all_of_it(self.follower)) == self.written

    def teardown(self) -> None:
        shutil.rmtree(self.directory)


Rotations.TestCase.settings = hypothesis_settings(max_examples=60, stateful_step_count=25, deadline=None)
TestAnyOrder = Rotations.TestCase
