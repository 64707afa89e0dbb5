"""Files that belong to others: read whole and bounded, or refused with a reason; nothing blocks, nothing surprises."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from waguard.observe import files
from waguard.observe.files import Unusable


class TestRead:
    @pytest.mark.parametrize("data", [b"", b"x", b"\x00\xff" * 500, b"y" * 1000])
    def test_the_whole_of_it(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "f").write_bytes(data)
        assert files.read(tmp_path / "f", 1000) == data

    def test_more_than_one_part(self, tmp_path: Path) -> None:
        data = os.urandom(300_000)
        (tmp_path / "f").write_bytes(data)
        assert files.read(tmp_path / "f", 1 << 20) == data

    def test_through_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "f").write_bytes(b"x")
        (tmp_path / "link").symlink_to("f")
        assert files.read(tmp_path / "link", 10) == b"x"

    def test_a_file_of_proc_has_no_size_and_is_read_all_the_same(self) -> None:
        assert files.read(Path("/proc/self/stat"), 4096).startswith(str(os.getpid()).encode())

    @pytest.mark.parametrize("size", [1001, 1 << 40])
    def test_not_one_that_is_too_large(self, tmp_path: Path, size: int) -> None:
        (tmp_path / "f").touch()
        os.truncate(tmp_path / "f", size)
        with pytest.raises(Unusable, match="larger than"):
            files.read(tmp_path / "f", 1000)

    def test_nor_one_whose_size_does_not_tell(self) -> None:
        with pytest.raises(Unusable, match="larger than"):
            files.read(Path("/proc/kallsyms"), 1024)

    @pytest.mark.parametrize("missing", ["f", "d/f", "dangling"])
    def test_missing_is_a_matter_of_its_own(self, tmp_path: Path, missing: str) -> None:
        (tmp_path / "dangling").symlink_to("nowhere")
        with pytest.raises(FileNotFoundError):
            files.read(tmp_path / missing, 10)

    def test_a_fifo_does_not_block(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "f")
        with pytest.raises(Unusable, match="not a regular file"):
            files.read(tmp_path / "f", 10)

    def test_a_socket(self, tmp_path: Path) -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(tmp_path / "f"))
            with pytest.raises(Unusable):
                files.read(tmp_path / "f", 10)

    @pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/", "/dev/tty", "/proc/self/mem"])
    def test_what_is_no_file(self, path: str) -> None:
        with pytest.raises(Unusable):
            files.read(Path(path), 10)

    @pytest.mark.parametrize("path", ["loop", "f/below", "x" * 300, "a\0b"])
    def test_what_has_no_usable_name(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "loop").symlink_to("loop")
        (tmp_path / "f").touch()
        with pytest.raises(Unusable) as caught:
            files.read(tmp_path / path, 10)
        assert str(tmp_path) in str(caught.value) and "\0" not in str(caught.value)

    def test_no_descriptor_is_left_behind(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "f")
        before = len(os.listdir("/proc/self/fd"))
        for path in (tmp_path / "f", tmp_path, Path("/dev/zero")):
            with pytest.raises(Unusable):
                files.read(path, 10)
        assert len(os.listdir("/proc/self/fd")) == before


class TestNames:
    def test_all_of_them(self, tmp_path: Path) -> None:
        made = {"a", ".hidden", "b c", "é", "x" * 200}
        for name in made:
            (tmp_path / name).touch()
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "dangling").symlink_to("nowhere")
        assert set(files.names(tmp_path, 10)) == made | {"fifo", "dangling"}

    def test_names_that_are_no_text(self, tmp_path: Path) -> None:
        os.close(os.open(os.fsencode(tmp_path) + b"/\xff\xfe", os.O_CREAT | os.O_WRONLY))
        name, = files.names(tmp_path, 10)
        assert os.fsencode(name) == b"\xff\xfe"

    def test_up_to_the_limit_and_not_beyond(self, tmp_path: Path) -> None:
        for number in range(10):
            (tmp_path / str(number)).touch()
        assert len(files.names(tmp_path, 10)) == 10
        with pytest.raises(Unusable, match="more than 9 entries"):
            files.names(tmp_path, 9)

    def test_missing_is_a_matter_of_its_own(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            files.names(tmp_path / "nowhere", 10)

    @pytest.mark.parametrize("path", ["file", "fifo", "loop", "x" * 300, "a\0b"])
    def test_what_is_no_directory(self, tmp_path: Path, path: str) -> None:
        (tmp_path / "file").touch()
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(Unusable):
            files.names(tmp_path / path, 10)
