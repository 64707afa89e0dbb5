"""One ordinary .tar.gz, whatever reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.bundle import archive
from waguard.bundle.archive import Archive


def _make(path: Path, members: list[tuple[str, bytes]]) -> int:
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        made = Archive(fd)
        for name, data in members:
            member = made.begin(name, 1700000000.5)
            for at in range(0, len(data), 7001):
                member.write(data[at:at + 7001])
            member.finish()
        made.finish()
        return made.size
    finally:
        os.close(fd)


MEMBERS = [("top/a.txt", b"hello\n"), ("top/empty", b""), ("top/" + "long/" * 60 + "x" * 90, b"z" * 1000000),
           ("top/random", os.urandom(300001)), ("top/block", b"b" * 512)]


@pytest.mark.parametrize("mode", ["r:gz", "r|gz"])
def test_python_reads_it_back(tmp_path: Path, mode: str) -> None:
    size = _make(tmp_path / "x.tar.gz", MEMBERS)
    assert (tmp_path / "x.tar.gz").stat().st_size == size
    with tarfile.open(tmp_path / "x.tar.gz", mode) as found:  # type: ignore[call-overload]
        read = []
        for info in found:
            file = found.extractfile(info)
            assert file is not None and info.mode == 0o600 and info.mtime == 1700000000 and info.uid == 0
            read.append((info.name, file.read()))
    assert read == MEMBERS


@pytest.mark.skipif(not shutil.which("tar"), reason="no tar")
def test_gnu_tar_and_gzip_read_it(tmp_path: Path) -> None:
    _make(tmp_path / "x.tar.gz", MEMBERS)
    subprocess.run(["gzip", "-t", tmp_path / "x.tar.gz"], check=True)
    listed = subprocess.run(["tar", "tzf", tmp_path / "x.tar.gz"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert listed.splitlines() == [name for name, _ in MEMBERS]


def test_it_is_one_gzip_stream_with_nothing_after_it(tmp_path: Path) -> None:
    _make(tmp_path / "x.tar.gz", MEMBERS)
    machine = zlib.decompressobj(31)
    machine.decompress((tmp_path / "x.tar.gz").read_bytes())
    assert machine.eof and machine.unused_data == b""


def test_an_abandoned_member_leaves_nothing(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        made = Archive(file.fileno())
        made.add("a", b"1", 0)
        size = made.size
        member = made.begin("b", 0)
        member.write(os.urandom(100000))
        assert made.size > size
        member.abandon()
        assert made.size == size == os.fstat(file.fileno()).st_size
        made.add("c", b"3", 0)
        made.finish()
    with tarfile.open(tmp_path / "x") as found:
        assert found.getnames() == ["a", "c"]


def test_a_member_of_more_than_8_gib_can_be_told(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file:
        member = Archive(file.fileno()).begin("a", 0)
        short = member._header()
        member.length = 9 << 30
        header = member._header()
    assert len(header) == len(short) == 512
    assert tarfile.TarInfo.frombuf(header, "ascii", "strict").size == 9 << 30


def test_what_was_written_is_what_its_hash_says(tmp_path: Path) -> None:
    import hashlib

    with (tmp_path / "x").open("w+b") as file:
        member = Archive(file.fileno()).add("a", b"some text", 0)
    assert member.sha256 == hashlib.sha256(b"some text").hexdigest() and member.length == 9


@given(st.binary(max_size=300), st.binary(max_size=300), st.integers(0, 70000))
def test_two_checksums_make_that_of_the_whole(first: bytes, second: bytes, zeros: int) -> None:
    second += bytes(zeros)
    assert archive.combine(zlib.crc32(first), zlib.crc32(second), len(second)) == zlib.crc32(first + second)


def test_a_name_too_long_for_a_header_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "x").open("w+b") as file, pytest.raises(ValueError):
        Archive(file.fileno()).begin("x/" * 40000, 0)
