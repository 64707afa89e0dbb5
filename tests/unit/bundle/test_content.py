"""What is stored of one file: decompressed, the newest part, redacted; and what cannot be."""

from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import os
import random
from pathlib import Path

import pytest

from waguard.bundle import content, hit, members
from waguard.bundle.redact import MASK, Redactor

LINE = b"2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler message %06d\n"
KEY = b"-----BEGIN PRIVATE KEY-----\n" + b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n" * 30 + b"-----END PRIVATE KEY-----\n"


def _lines(count: int, start: int = 0) -> bytes:
    return b"".join(LINE % number for number in range(start, start + count))


def _take(path: Path, mode: str = members.LOG, most: int = 1 << 30) -> tuple[bytes, content.Report]:
    report = content.Report()
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(content.pieces(fd, os.fstat(fd).st_size, path.name, mode, most, report)), report
    finally:
        os.close(fd)


def _file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_a_log_is_stored_redacted_and_plain(tmp_path: Path, suffix: str, pack: object) -> None:
    data = _lines(20000) + b"sig=abc&se=1\n" + _lines(3)
    found, report = _take(_file(tmp_path / f"x.log{suffix}", pack(data)))  # type: ignore[operator]
    assert found == data.replace(b"abc", MASK)
    assert report.masked == {"sas-signature": 1} and report.read == len(data) and report.decompressed == bool(suffix)
    assert report.cut == ""


def test_several_streams_in_one_file_are_all_read(tmp_path: Path) -> None:
    found, _ = _take(_file(tmp_path / "x.gz", gzip.compress(_lines(3)) + gzip.compress(_lines(3, 3)) + bytes(100)))
    assert found == _lines(6)


def test_a_compressed_file_that_ends_early_is_taken_as_far_as_it_goes(tmp_path: Path) -> None:
    packed = gzip.compress(os.urandom(50000).hex().encode())
    found, report = _take(_file(tmp_path / "x.gz", packed[:-1000]))
    assert len(found) > 50000 and "ends early" in report.cut


HALF = (b"at http://user:hunter2Zq@proxy/", b"key " + base64.b64encode(bytes(range(64))) + b" end", b"x " + b"-" * 5 + b"BEGIN PRIVATE KEY" + b"-" * 5,
        b'{"value":"hunter2Zq","name":"adminPassword"}', b"eyJhbGciOiJub25lIn0.eyJhIjoiaHVudGVyMlpxIn0.abcdefgh")


@pytest.mark.parametrize("secret", HALF)
def test_of_what_was_cut_no_half_secret_is_taken(tmp_path: Path, secret: bytes) -> None:
    """Wherever the cut is, the unfinished line goes, and what stands before it stays."""
    path = _file(tmp_path / "x.gz", gzip.compress(_lines(100) + secret + b"\n" + _lines(100)))
    for most in range(100 * len(LINE % 0) + 1, 100 * len(LINE % 0) + len(secret) + 1):
        found, report = _take(path, most=most)
        assert found == _lines(100) and "only its first" in report.cut


def test_of_a_cut_line_without_an_end_the_last_of_it_is_left_out(tmp_path: Path) -> None:
    data = b"ab " * 10000 + b"http://user:hunter2Zq"
    found, report = _take(_file(tmp_path / "x.gz", gzip.compress(data + b"@proxy" + b" x" * 100)), most=len(data))
    assert found == data[:len(data) - hit.LOOK] and report.cut
    redactor = Redactor()
    assert b"".join(redactor.feed(data[at:at + 777]) for at in range(0, len(data), 777)) + redactor.close_cut() == found


@pytest.mark.once
def test_a_stream_that_ends_early_ends_with_a_whole_line(tmp_path: Path) -> None:
    packed = gzip.compress(b"".join(b"%s http://user:hunter2Zq@proxy\n" % os.urandom(20).hex().encode() for _ in range(3000)))
    for missing in range(9, 200, 7):
        found, report = _take(_file(tmp_path / "x.gz", packed[:-missing]))
        assert found.endswith(b":" + MASK + b"@proxy\n") and b"hunter2" not in found and "ends early" in report.cut


def test_garbage_after_a_good_stream_is_said(tmp_path: Path) -> None:
    found, report = _take(_file(tmp_path / "x.gz", gzip.compress(_lines(3)) + b"garbage that is none"))
    assert found == _lines(3) and "decompressed" in report.cut


@pytest.mark.parametrize("suffix", [".gz", ".xz", ".bz2"])
def test_what_only_pretends_to_be_compressed_is_left_out(tmp_path: Path, suffix: str) -> None:
    with pytest.raises(content.Unfit, match="decompressed"):
        _take(_file(tmp_path / f"x{suffix}", b"password=abc\n" * 100))


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_a_bomb_is_read_no_further_than_its_room(tmp_path: Path, suffix: str, pack: object) -> None:
    report = content.Report()
    path = _file(tmp_path / f"x{suffix}", pack(b"a b\n" * (1 << 19)))  # type: ignore[operator]
    fd = os.open(path, os.O_RDONLY)
    try:
        sizes = [len(piece) for piece in content.pieces(fd, path.stat().st_size, path.name, members.LOG, 1 << 20, report)]
    finally:
        os.close(fd)
    assert sum(sizes) == 1 << 20 and max(sizes) <= 2 * content.PIECE and "first 1048576 bytes" in report.cut


class TestNewest:
    def test_the_end_of_a_large_log_is_taken_from_the_beginning_of_a_line(self, tmp_path: Path) -> None:
        data = _lines(100000)
        found, report = _take(_file(tmp_path / "x.log", data), most=200000)
        assert data.endswith(found) and found.startswith(b"2025-") and data[-len(found) - 1:-len(found)] == b"\n"
        assert 200000 - 16384 <= len(found) <= 200000
        assert report.skipped == len(data) - 200000 + 16384 and f"of {len(data)}" in report.cut

    @pytest.mark.parametrize("shift", range(-2000, 2000, 250))
    def test_a_key_that_began_before_the_cut_is_masked(self, tmp_path: Path, shift: int) -> None:
        tail = _lines(3000)
        before = _lines(30000)
        data = before + KEY + tail
        found, _ = _take(_file(tmp_path / "x.log", data), most=len(tail) + len(KEY) // 2 + shift)
        assert b"MIIE" not in found and b"BADANBgkqhkiG" not in found and found.endswith(tail[-100000:])

    def test_a_log_of_one_endless_line_is_left_out(self, tmp_path: Path) -> None:
        with pytest.raises(content.Unfit, match="single line"):
            _take(_file(tmp_path / "x.log", b"a" * (4 << 20)), most=1 << 20)

    def test_what_grows_while_it_is_read_is_not_followed(self, tmp_path: Path) -> None:
        path = _file(tmp_path / "x.log", _lines(20000))
        fd, report = os.open(path, os.O_RDONLY), content.Report()
        found = []
        with path.open("ab") as file:
            for piece in content.pieces(fd, os.fstat(fd).st_size, "x.log", members.LOG, 1 << 30, report):
                found.append(piece)
                file.write(_lines(20000))
                file.flush()
        os.close(fd)
        assert b"".join(found) == _lines(20000)

    def test_what_shrinks_meanwhile_is_taken_as_far_as_it_is_there(self, tmp_path: Path) -> None:
        path = _file(tmp_path / "x.log", _lines(2))
        fd = os.open(path, os.O_RDONLY)
        found = b"".join(content.pieces(fd, 1 << 20, "x.log", members.LOG, 1 << 30, content.Report()))
        os.close(fd)
        assert found == _lines(2)


def test_the_hole_that_a_truncated_log_begins_with_is_no_reason_to_leave_it_out(tmp_path: Path) -> None:
    with (tmp_path / "x.log").open("wb") as file:
        file.seek(1 << 20)
        file.write(_lines(3))
    found, _ = _take(tmp_path / "x.log")
    assert found == bytes(1 << 20) + _lines(3)


@pytest.mark.parametrize("data", [b"PK\x03\x04rest", b"\x7fELF\x02", b"SQLite format 3\x00", bytes(range(32)) * 40, b"\x00" * 257 + b"ustar",
                                  "text".encode("utf-16"), "text".encode("utf-32"), b"\x00\x00\xfe\xff\x00\x00\x00a", random.Random(3).randbytes(4096)])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_what_is_no_text_is_left_out(tmp_path: Path, data: bytes, suffix: str) -> None:
    with pytest.raises(content.Unfit):
        _take(_file(tmp_path / f"x.log{suffix}", gzip.compress(data) if suffix else data))


def test_a_document_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    path = _file(tmp_path / "x.xml", b"<a>" * 10000)
    assert _take(path, members.TEXT)[0] == b"<a>" * 10000
    with pytest.raises(content.Unfit, match="no room"):
        _take(path, members.TEXT, 1000)
    with path.open("r+b") as file:
        file.truncate(content.LARGEST_TEXT + 1)
    with pytest.raises(content.Unfit, match="larger than 16 MiB"):
        _take(path, members.TEXT)


class TestOnlyNames:
    SETTINGS = {"runtimeSettings": [{"handlerSettings": {
        "protectedSettingsCertThumbprint": "AB" * 20, "protectedSettings": "MIIsecret",
        "publicSettings": {"commandToExecute": "echo hunter2", "n": 5, "list": ["x", True, None]}}}]}

    def test_of_settings_only_the_names_are_taken(self, tmp_path: Path) -> None:
        found, report = _take(_file(tmp_path / "0.settings", json.dumps(self.SETTINGS).encode()), members.KEYS)
        mask = MASK.decode()
        assert json.loads(found) == {"runtimeSettings": [{"handlerSettings": {
            "protectedSettingsCertThumbprint": mask, "protectedSettings": mask,
            "publicSettings": {"commandToExecute": mask, "n": mask, "list": [mask, mask, mask]}}}]}
        assert report.only_names and report.masked["settings"] == 7

    def test_a_name_that_is_a_secret_itself_is_masked(self, tmp_path: Path) -> None:
        found, _ = _take(_file(tmp_path / "0.settings", b'{"x?sig=hunter2": 1}'), members.KEYS)
        assert b"hunter2" not in found

    @pytest.mark.parametrize("data", [b"", b"password=hunter2", b'{"a": "hunter2"', b"\xff\xfe\xff", b"[" * 100000])
    def test_what_is_no_json_is_left_out(self, tmp_path: Path, data: bytes) -> None:
        with pytest.raises(content.Unfit, match="not JSON"):
            _take(_file(tmp_path / "0.settings", data), members.KEYS)


@pytest.mark.parametrize(("name", "plain"), [("a.log", "a.log"), ("a.log.1.gz", "a.log.1"), ("a.XZ", "a"), ("a.gz.bz2", "a.gz")])
def test_the_name_loses_what_says_that_it_is_compressed(name: str, plain: str) -> None:
    assert content.plain_name(name) == plain
