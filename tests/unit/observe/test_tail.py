"""Tailing by short-lived visits: each has only the JSON of the last one, on real files, through all that happens to logs."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from waguard.observe import rotated, tail
from waguard.observe.tail import Tail, TailRead

NUMBERS = iter(range(10**9))


def lines(count: int, length: int = 40) -> list[bytes]:
    """Lines as no two of them are."""
    return [f"2025-11-19T12:41:22.{next(NUMBERS):06}Z INFO ExtHandler ExtHandler {'x' * length}".encode() for _ in range(count)]


def append(path: Path, more: list[bytes], end: bytes = b"\n") -> None:
    with path.open("ab") as file:
        file.write(b"".join(line + b"\n" for line in more[:-1]) + (more[-1] + end if more else b""))


class Reader:
    """Visits, one process after the other."""

    def __init__(self, path: Path, **how: Any) -> None:
        self.path, self.how = path, how
        self.state: Optional[dict[str, Any]] = None
        self.last = self.visit()

    def visit(self) -> TailRead:
        self.last = Tail(self.path, self.state, **self.how).read()
        self.state = json.loads(json.dumps(self.last.state))
        return self.last

    def all(self) -> list[bytes]:
        found = self.visit().lines
        while self.last.behind:
            found += self.visit().lines
        return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waagent.log"


@pytest.fixture
def reader(path: Path) -> Reader:
    """One that knows a log that had something in it."""
    append(path, lines(3))
    return Reader(path)


class TestTheFirstVisit:
    def test_gives_the_end_as_history(self, path: Path) -> None:
        told = lines(3)
        append(path, told)
        read = Tail(path).read()
        assert (read.lines, read.first, read.skipped, read.problem) == (told, True, 0, "")

    def test_looks_back_only_so_far_and_drops_the_line_it_lands_in(self, path: Path) -> None:
        told = lines(10)
        append(path, told)
        size = path.stat().st_size
        read = Tail(path, look_back=2 * (len(told[0]) + 1) + 5).read()
        assert read.lines == told[-2:] and read.skipped == size - 2 * (len(told[0]) + 1) - 1

    def test_that_lands_at_a_line_s_beginning_keeps_it(self, path: Path) -> None:
        told = lines(10)
        append(path, told)
        assert Tail(path, look_back=2 * (len(told[0]) + 1)).read().lines == told[-2:]

    def test_what_comes_then_is_new(self, path: Path, reader: Reader) -> None:
        more = lines(2)
        append(path, more)
        read = reader.visit()
        assert (read.lines, read.first) == (more, False)
        assert reader.visit().lines == []

    def test_a_log_that_comes_later_is_all_new(self, path: Path) -> None:
        reader = Reader(path)
        assert reader.last.first and not reader.last.problem
        more = lines(2)
        append(path, more)
        assert (reader.visit().lines, reader.last.first) == (more, False)

    def test_rotated_files_that_were_there_before_are_not_read(self, path: Path, tmp_path: Path) -> None:
        append(tmp_path / "waagent.log.1", lines(5))
        reader = Reader(path)
        more = lines(2)
        append(path, more)
        assert reader.visit().lines == more
        path.rename(tmp_path / "waagent.log.0")
        assert reader.all() == []

    def test_a_flood_of_tiny_lines_is_bounded(self, path: Path) -> None:
        path.write_bytes(b"x\n" * 300_000)
        read = Tail(path, look_back=1 << 20).read()
        assert len(read.lines) <= 2 * tail.LINES and not read.behind
        assert Tail(path, read.state).read().lines == []


class TestHalfLines:
    @pytest.mark.parametrize("cut", [1, 10, 40])
    def test_are_left_until_they_are_whole(self, path: Path, reader: Reader, cut: int) -> None:
        (line,) = lines(1)
        append(path, [line[:cut]], end=b"")
        assert reader.visit().lines == []
        append(path, [line[cut:]])
        assert reader.visit().lines == [line]

    def test_of_a_rotated_file_nobody_completes(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        first, second = lines(2)
        append(path, [first[:50]], end=b"")
        path.rename(tmp_path / "waagent.log.1")
        append(path, [second])
        assert reader.visit().lines == [first[:50], second]
        assert reader.visit().lines == []

    def test_without_a_new_file_it_may_still_be_completed(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        (line,) = lines(1)
        append(path, [line[:50]], end=b"")
        path.rename(tmp_path / "waagent.log.1")
        assert reader.visit().lines == []
        append(tmp_path / "waagent.log.1", [line[50:]])
        assert reader.visit().lines == [line]


class TestLongLines:
    @pytest.mark.parametrize("length", [tail.LINE_LIMIT - 1, tail.LINE_LIMIT, tail.LINE_LIMIT + 1, 200_000])
    def test_are_cut_and_harm_no_other(self, path: Path, reader: Reader, length: int) -> None:
        before, after = lines(2)
        append(path, [before, b"y" * length, after])
        assert reader.all() == [before, b"y" * min(length, tail.LINE_LIMIT), after]
        assert reader.last.skipped == max(0, length - tail.LINE_LIMIT)

    @pytest.mark.parametrize("budget", [1, 50, 4096, 65536, 100_000])
    def test_also_when_they_are_longer_than_the_budget(self, path: Path, budget: int) -> None:
        path.touch()
        reader = Reader(path, budget=budget)
        before, after = lines(2)
        append(path, [before, b"y" * 20_000, after])
        found = reader.all()
        assert len(found) == 3 and found[1][:budget] in b"y" * 20_000
        assert [found[0][:budget], found[2][:budget]] == [before[:budget], after[:budget]]

    def test_one_that_grows_over_many_visits_is_given_once(self, path: Path, reader: Reader) -> None:
        found = []
        for _ in range(5):
            append(path, [b"y" * 30_000], end=b"")
            found += reader.all()
        (after,) = lines(1)
        append(path, [b"", after])
        found += reader.all()
        assert [line[:1] for line in found] == [b"y", b"2"] and found[-1] == after


class TestRotation:
    @pytest.mark.parametrize("name", ["waagent.log.1", "waagent.log-20251119", "waagent.log-2025-11-19-1763500000", "waagent.log.old",
                                      "something else"])
    def test_rename_and_create(self, path: Path, tmp_path: Path, reader: Reader, name: str) -> None:
        old, new = lines(2), lines(3)
        append(path, old)
        path.rename(tmp_path / name)
        append(path, new)
        assert reader.visit().lines == old + new and not reader.last.lost
        assert reader.visit().lines == []

    def test_what_a_writer_that_has_it_open_still_writes_is_read_too(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        for _ in range(3):
            path.rename(tmp_path / "waagent.log.1") if path.exists() else None
            new, old = lines(2), lines(2)
            append(tmp_path / "waagent.log.1", old)
            assert reader.visit().lines == old
            append(path, new)
            late = lines(1)
            append(tmp_path / "waagent.log.1", late)
            assert reader.visit().lines == late + new
            later = lines(1)
            append(tmp_path / "waagent.log.1", later)
            assert reader.visit().lines == later
            (tmp_path / "waagent.log.1").rename(tmp_path / f"waagent.log.{next(NUMBERS)}")

    def test_twice_between_two_visits(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        first, second, third = lines(2), lines(2), lines(2)
        append(path, first)
        path.rename(tmp_path / "waagent.log.2")
        append(path, second)
        path.rename(tmp_path / "waagent.log.1")
        append(path, third)
        assert reader.visit().lines == first + second + third

    def test_numbers_tell_the_order_also_when_the_clock_went_back(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        told = [lines(2) for _ in range(4)]
        append(path, told[0])
        for number in (3, 2, 1):
            path.rename(tmp_path / f"waagent.log.{number}")
            os.utime(tmp_path / f"waagent.log.{number}", (10**9 + number, 10**9 + number))
            append(path, told[4 - number])
        os.utime(path, (10**8, 10**8))
        assert reader.visit().lines == [line for part in told for line in part]

    @pytest.mark.parametrize("create", [True, False])
    def test_compressed_at_once(self, path: Path, tmp_path: Path, reader: Reader, create: bool) -> None:
        """The agent's own rule: compress, no delaycompress (config/waagent.logrotate)."""
        old, new = lines(5), lines(2)
        append(path, old)
        with path.open("rb") as file, gzip.open(tmp_path / "waagent.log-2025-11-19-1763500000.gz", "wb") as packed:
            shutil.copyfileobj(file, packed)
        path.unlink()
        if create:
            append(path, new)
        assert reader.visit().lines == old + (new if create else []) and not reader.last.lost
        assert reader.visit().lines == []
        if not create:
            append(path, new)
            assert reader.visit().lines == new

    def test_a_compressed_file_that_is_broken_is_lived_through(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        append(path, lines(5))
        packed = gzip.compress(path.read_bytes())
        (tmp_path / "waagent.log.1.gz").write_bytes(packed[:len(packed) // 2])
        (tmp_path / "waagent.log.2.gz").write_bytes(b"\x1f\x8b rubbish")
        path.unlink()
        new = lines(2)
        append(path, new)
        assert reader.visit().lines[-2:] == new
        assert reader.visit().lines == []

    def test_compressed_later_it_is_not_read_again(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        old, new = lines(5), lines(2)
        append(path, old)
        path.rename(tmp_path / "waagent.log.1")
        append(path, new)
        assert reader.visit().lines == old + new
        (tmp_path / "waagent.log.2.gz").write_bytes(gzip.compress((tmp_path / "waagent.log.1").read_bytes()))
        (tmp_path / "waagent.log.1").unlink()
        path.rename(tmp_path / "waagent.log.1")
        newer = lines(1)
        append(path, newer)
        assert reader.visit().lines == newer

    def test_copy_and_truncate(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        old, new = lines(5), lines(2)
        append(path, old)
        shutil.copy(path, tmp_path / "waagent.log.1")
        os.truncate(path, 0)
        append(path, new)
        assert reader.visit().lines == old + new and not reader.last.lost
        assert reader.visit().lines == []

    def test_copy_and_truncate_of_a_log_that_was_empty_when_it_was_visited(self, path: Path, tmp_path: Path) -> None:
        path.touch()
        reader = Reader(path)
        old, new = lines(5), lines(2)
        append(path, old)
        shutil.copy(path, tmp_path / "waagent.log.1")
        os.truncate(path, 0)
        append(path, new)
        assert reader.visit().lines == old + new

    def test_what_is_gone_for_good_is_said(self, path: Path, reader: Reader) -> None:
        append(path, lines(5))
        path.unlink()
        new = lines(2)
        append(path, new)
        assert reader.visit().lines == new and reader.last.lost
        assert not reader.visit().lost

    @pytest.mark.parametrize("grown", [1, 3, 30])
    def test_truncated_and_grown_shorter_as_long_or_longer(self, path: Path, grown: int) -> None:
        """By its size alone nobody could tell."""
        append(path, lines(3))
        reader = Reader(path)
        os.truncate(path, 0)
        new = lines(grown)
        append(path, new)
        assert reader.visit().lines == new

    def test_written_anew_with_the_same_head_it_goes_on_from_there_and_says_so(self, path: Path) -> None:
        """What came before that place may be old or new, nobody knows."""
        banner = [b"# " + b"=" * 300]
        append(path, banner + lines(20))
        reader = Reader(path)
        os.truncate(path, 0)
        new = lines(30)
        append(path, banner + new)
        assert reader.visit().lines == new[20:] and reader.last.lost

    def test_a_generation_that_is_there_twice_is_read_once(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        """logrotate removes the plain file after it has compressed it."""
        told = [lines(2) for _ in range(3)]
        for number in (2, 1, 0):
            append(path, told[2 - number])
            if number:
                path.rename(tmp_path / f"waagent.log.{number}")
        (tmp_path / "waagent.log.1.gz").write_bytes(gzip.compress((tmp_path / "waagent.log.1").read_bytes()))
        assert reader.visit().lines == [line for part in told for line in part]

    def test_shortened_at_its_end_it_goes_on_from_there(self, path: Path) -> None:
        told = lines(20)
        append(path, told)
        reader = Reader(path)
        os.truncate(path, 12 * (len(told[0]) + 1))
        assert reader.visit().lines == []
        new = lines(2)
        append(path, new)
        assert reader.visit().lines == new

    def test_a_copy_beside_it_is_none_of_its_generations(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        shutil.copy(path, tmp_path / "waagent.log.1")
        append(tmp_path / "waagent.log.2", lines(3))
        new = lines(2)
        append(path, new)
        assert reader.visit().lines == new
        path.rename(tmp_path / "waagent.log.0")
        more = lines(1)
        append(path, more)
        assert reader.visit().lines == more

    def test_its_head_cut_off_by_the_agent(self, path: Path) -> None:
        """__truncate_file_head writes the end of the file anew and renames it over."""
        old, late, new = lines(200), lines(3), lines(2)
        append(path, old)
        reader = Reader(path)
        append(path, late)
        data = path.read_bytes()
        (path.with_name("x.tmp")).write_bytes(data[data.index(b"\n", len(data) // 2) + 1:])
        path.with_name("x.tmp").replace(path)
        append(path, new)
        assert reader.visit().lines == late + new

    def test_the_inode_of_a_deleted_file_may_come_back(self, path: Path, reader: Reader) -> None:
        """Told without luck: the state claims the new file's inode."""
        path.unlink()
        new = lines(9)
        append(path, new)
        assert reader.state is not None
        reader.state["spots"][0][0] = path.stat().st_ino
        assert reader.visit().lines == new

    def test_a_link_that_is_turned_to_another_file(self, path: Path, tmp_path: Path) -> None:
        append(tmp_path / "a", lines(3))
        path.symlink_to("a")
        reader = Reader(path)
        old, new = lines(1), lines(2)
        append(tmp_path / "a", old)
        append(tmp_path / "b", new)
        (tmp_path / "link").symlink_to("b")
        (tmp_path / "link").replace(path)
        assert reader.visit().lines == old + new

    def test_too_many_rotated_files_are_not_looked_at(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        for number in range(2, rotated.SIBLINGS + 3):
            append(tmp_path / f"waagent.log.{number}", lines(1))
        path.rename(tmp_path / "waagent.log.1")
        new = lines(2)
        append(path, new)
        (tmp_path / "waagent.log.1").rename(tmp_path / "waagent.log.0")
        late = lines(1)
        append(tmp_path / "waagent.log.0", late)
        assert reader.visit().lines == late + new, "but the one that was being read is found"
        assert reader.visit().lines == []


class TestTheBudget:
    def test_is_kept_and_nothing_is_lost(self, path: Path, tmp_path: Path) -> None:
        path.touch()
        reader = Reader(path, budget=10_000)
        told = [lines(300), lines(300), lines(300)]
        append(path, told[0])
        path.rename(tmp_path / "waagent.log.2")
        append(path, told[1])
        path.rename(tmp_path / "waagent.log.1")
        append(path, told[2])
        found: list[bytes] = []
        for _ in range(100):
            read = reader.visit()
            assert read.used <= 10_000
            found += read.lines
            if not read.behind:
                break
        assert found == [line for part in told for line in part]

    def test_a_file_that_did_not_get_its_turn_is_still_to_come(self, path: Path, tmp_path: Path) -> None:
        append(path, lines(2))
        reader = Reader(path, budget=600)
        told = lines(3, 400)
        for number, line in zip((2, 1, 0), told):
            append(path, [line])
            if number:
                shutil.copy(path, tmp_path / f"waagent.log.{number}")
                os.truncate(path, 0)
        assert reader.all() == told

    def test_of_lines(self, path: Path) -> None:
        path.touch()
        reader = Reader(path, budget=1 << 22)
        path.write_bytes(b"x\n" * 300_000)
        assert len(reader.visit().lines) <= 2 * tail.LINES and reader.last.behind
        assert len(reader.last.lines) + len(reader.all()) == 300_000

    def test_blank_lines_are_nothing(self, path: Path, reader: Reader) -> None:
        append(path, [b"", b"\r", b"x", b""])
        assert reader.visit().lines == [b"x"]

    def test_a_compressed_file_is_resumed(self, path: Path, tmp_path: Path) -> None:
        path.touch()
        reader = Reader(path, budget=20_000)
        old, new = lines(1000), lines(2)
        append(path, old)
        found = reader.visit().lines
        (tmp_path / "waagent.log.1.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        append(path, new)
        assert found + reader.all() == old + new


class TestWhatCannotBeRead:
    def make(self, path: Path, kind: str) -> None:
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "loop":
            path.symlink_to(path.name)
        else:
            path.symlink_to("/dev/zero")

    @pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "device"])
    def test_is_said_and_lived_through(self, path: Path, tmp_path: Path, reader: Reader, kind: str) -> None:
        old, new = lines(1), lines(2)
        append(path, old)
        path.rename(tmp_path / "waagent.log.1")
        self.make(path, kind)
        assert "waagent.log" in reader.visit().problem and reader.last.lines == old
        assert reader.visit().lines == []
        path.rmdir() if kind == "directory" else path.unlink()
        append(path, new)
        assert reader.visit().lines == new and not reader.last.problem

    @pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "device"])
    def test_at_first_as_well_and_then_the_first_visit_is_still_to_come(self, path: Path, kind: str) -> None:
        self.make(path, kind)
        reader = Reader(path)
        assert reader.last.problem and reader.last.first
        path.rmdir() if kind == "directory" else path.unlink()
        told = lines(2)
        append(path, told)
        assert (reader.visit().lines, reader.last.first) == (told, True)

    def test_no_permission_for_a_while(self, path: Path, reader: Reader, powerless: Any) -> None:
        more = lines(2)
        append(path, more)
        path.chmod(0)
        with powerless():
            assert "Permission denied" in reader.visit().problem
        path.chmod(0o600)
        assert reader.visit().lines == more

    def test_a_directory_that_disappears_and_comes_back(self, tmp_path: Path) -> None:
        path = tmp_path / "handler" / "extension.log"
        path.parent.mkdir()
        append(path, lines(2))
        reader = Reader(path)
        more = lines(2)
        append(path, more)
        path.parent.rename(tmp_path / "away")
        assert (reader.visit().lines, reader.last.problem) == ([], "")
        (tmp_path / "away").rename(path.parent)
        assert reader.visit().lines == more

    @pytest.mark.parametrize("name", ["a\0b", "x" * 300])
    def test_impossible_names(self, tmp_path: Path, name: str) -> None:
        assert Tail(tmp_path / name).read().problem

    def test_descriptors_are_not_leaked(self, path: Path, tmp_path: Path, reader: Reader) -> None:
        before = len(os.listdir("/proc/self/fd"))
        for number in range(10):
            append(path, lines(2))
            (tmp_path / f"waagent.log.{number}.gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
            append(path, lines(1))
            reader.visit()
        assert len(os.listdir("/proc/self/fd")) == before

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3),
                        lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.sampled_from(["v", "spots", "heads", "x"]), inner),
                        max_leaves=30))
    @hypothesis_settings(max_examples=200, deadline=None)
    def test_any_state_is_used_or_is_none(self, state: Any) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "log"
            path.write_bytes(b"one\ntwo\n")
            assert set(Tail(path, state).read().lines) <= {b"one", b"two"}

    def test_the_state_holds_nothing_of_the_log(self, path: Path) -> None:
        append(path, [b"password=hunter2"] * 30)
        assert "hunter2" not in json.dumps(Tail(path).read().state)


BOUNDED = """
import json, resource, sys
from pathlib import Path
from waguard.observe.tail import Tail
path = Path(sys.argv[1])
path.touch()
state = Tail(path).read().state
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with path.open("wb") as file:
    file.write(b"2025-11-19T12:41:22.123456Z INFO ExtHandler ")
    file.truncate(1 << 30)
    file.seek(1 << 30)
    file.write(b"\\nlast\\n")
read = Tail(path, state, budget=1 << 31).read()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, len(read.lines), read.lines[-1].decode(), read.skipped)
"""


@pytest.mark.once
def test_memory_is_bounded_by_a_line_of_a_gigabyte(tmp_path: Path) -> None:
    root = Path(tail.__file__).parents[2]
    ran = subprocess.run([sys.executable, "-c", BOUNDED, str(tmp_path / "log")], check=True, stdout=subprocess.PIPE, text=True,
                         env={**os.environ, "PYTHONPATH": str(root)})
    grown, count, last, skipped = ran.stdout.split()
    assert int(grown) < 4 * 1024, "KiB of resident memory"
    assert (int(count), last, int(skipped)) == (2, "last", (1 << 30) - tail.LINE_LIMIT)


class Life(RuleBasedStateMachine):
    """Any order of writes, visits and rotations of every kind: each line is given once, in its order."""

    @initialize(budget=st.sampled_from([600, 5000, 1 << 20]))
    def begin(self, budget: int) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.path = self.directory / "waagent.log"
        append(self.path, lines(2))
        self.reader = Reader(self.path, budget=budget)
        self.reader.all()
        self.written: list[bytes] = []
        self.found: list[bytes] = []
        self.half = b""
        self.deleted = False

    def teardown(self) -> None:
        self.whole()
        self.found += self.reader.all()
        assert self.found == self.written
        assert self.reader.all() == []
        shutil.rmtree(self.directory)

    def whole(self) -> None:
        if self.half:
            append(self.path, [self.half])
            self.half = b""

    @rule(count=st.integers(1, 30), length=st.sampled_from([0, 40, 400]), cut=st.integers(0, 60))
    def write(self, count: int, length: int, cut: int) -> None:
        self.whole()
        more = lines(count, length)
        cut %= len(more[-1])
        self.written += more
        append(self.path, more[:-1])
        append(self.path, [more[-1][:cut]] if cut else [more[-1]], end=b"" if cut else b"\n")
        self.half = more[-1][cut:] if cut else b""

    @rule()
    def visit(self) -> None:
        self.found += self.reader.visit().lines
        assert self.deleted or not self.reader.last.lost

    def shift(self) -> None:
        self.whole()
        for number in range(40, 0, -1):
            for ending in ("", ".gz"):
                old = self.directory / f"waagent.log.{number}{ending}"
                if old.exists():
                    old.rename(self.directory / f"waagent.log.{number + 1}{ending}")

    @precondition(lambda self: self.path.exists() and self.path.stat().st_size)
    @rule(create=st.booleans())
    def rename(self, create: bool) -> None:
        self.shift()
        self.path.rename(self.directory / "waagent.log.1")
        if create:
            self.path.touch()

    @precondition(lambda self: self.path.exists() and self.path.stat().st_size)
    @rule()
    def copy_and_truncate(self) -> None:
        self.shift()
        shutil.copy(self.path, self.directory / "waagent.log.1")
        os.truncate(self.path, 0)

    @rule()
    def compress(self) -> None:
        plain = [path for path in self.directory.iterdir() if path.name != "waagent.log" and path.suffix != ".gz"]
        for path in plain:
            info = path.stat()
            packed = path.with_name(path.name + ".gz")
            packed.write_bytes(gzip.compress(path.read_bytes()))
            os.utime(packed, ns=(info.st_atime_ns, info.st_mtime_ns))
            path.unlink()

    @rule()
    def delete_what_was_read(self) -> None:
        self.whole()
        self.found += self.reader.all()
        self.deleted = True
        for path in self.directory.iterdir():
            if path.name != "waagent.log":
                path.unlink()

    @rule(seconds=st.integers(-10**6, 10**6))
    def set_the_clock(self, seconds: int) -> None:
        for path in self.directory.iterdir():
            at = path.stat().st_mtime + seconds
            os.utime(path, (at, at))


Life.TestCase.settings = hypothesis_settings(max_examples=100, stateful_step_count=25, deadline=None)
TestAnyLife = Life.TestCase
