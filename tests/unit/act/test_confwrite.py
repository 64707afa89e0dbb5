"""Writing waagent.conf: a new whole file in the place of the old one, with everything that was on it, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from waguard.act import confwrite
from waguard.act.confwrite import Refused

OLD, NEW = b"# conf\nLogs.Verbose=n\n", b"# conf\nLogs.Verbose=y\n"
ROOT = Path(confwrite.__file__).parents[2]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can bring this about")


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "etc" / "waagent.conf"
    path.parent.mkdir()
    path.write_bytes(OLD)
    return path


def replace(path: Path, data: bytes = NEW) -> None:
    confwrite.replace(confwrite.read(path), data)


def assert_only(path: Path, data: bytes) -> None:
    """The file holds this, and nothing was left beside it."""
    assert path.read_bytes() == data
    assert [name for name in os.listdir(path.parent) if "waguard" in name] == []


@contextlib.contextmanager
def refused(path: Path, why: str = ".") -> Iterator[None]:
    """Refused, and nothing has changed."""
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(Refused, match=why):
        yield
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [name for name in os.listdir(path.parent) if "waguard" in name] == []


class TestReplace:
    @pytest.mark.parametrize("data", [NEW, b"", b"\x00\xff" * 1000, b"no line end", random.Random(5).randbytes(300_000)],
                             ids=["a conf", "nothing", "binary", "no line end", "noise"])
    def test_every_byte(self, conf: Path, data: bytes) -> None:
        replace(conf, data)
        assert_only(conf, data)

    def test_again_and_again(self, conf: Path) -> None:
        for number in range(5):
            replace(conf, b"%d\n" % number)
        assert_only(conf, b"4\n")

    def test_a_reader_sees_the_old_or_the_new_one(self, conf: Path) -> None:
        with conf.open("rb") as reader:
            replace(conf)
            assert reader.read() == OLD
        assert conf.read_bytes() == NEW

    def test_a_link_is_followed_and_stays_one(self, conf: Path, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        second.symlink_to("etc/waagent.conf")
        first.symlink_to(second)
        replace(first)
        assert first.is_symlink() and second.is_symlink() and not conf.is_symlink()
        assert_only(conf, NEW)
        assert sorted(os.listdir(tmp_path)) == ["etc", "first", "second"]

    def test_what_another_guard_that_was_killed_left_behind_is_in_nobodys_way(self, conf: Path) -> None:
        left = conf.with_name(f".{conf.name}.waguard-{os.getpid()}")
        left.write_bytes(b"half a fi")
        replace(conf)
        assert_only(conf, NEW)

    def test_and_is_swept_away(self, conf: Path, tmp_path: Path) -> None:
        for pid in (1, 22, 4194304):
            conf.with_name(f".{conf.name}.waguard-{pid}").write_bytes(b"half a fi")
        kept = conf.with_name(".other.conf.waguard-1")
        kept.touch()
        link = tmp_path / "link"
        link.symlink_to(conf)
        confwrite.sweep(link)
        kept.unlink()
        assert_only(conf, OLD)

    @pytest.mark.parametrize("path", ["nowhere/at/all", "loop", "a\0b", "etc"])
    def test_sweeping_never_fails(self, tmp_path: Path, conf: Path, path: str) -> None:
        (tmp_path / "loop").symlink_to("loop")
        confwrite.sweep(tmp_path / path)


class TestWhatIsKept:
    @pytest.mark.parametrize("mode", [0o644, 0o600, 0o640, 0o444, 0o777, 0o000])
    def test_the_mode_whatever_the_umask(self, conf: Path, mode: int) -> None:
        if mode == 0 and os.geteuid() != 0:
            pytest.skip("only root reads it")
        conf.chmod(mode)
        before = os.umask(0o077)
        try:
            replace(conf)
        finally:
            os.umask(before)
        assert stat.S_IMODE(conf.stat().st_mode) == mode

    @as_root
    @pytest.mark.parametrize("owner", [(0, 0), (12345, 54321), (0, 54321)])
    def test_the_owner(self, conf: Path, owner: tuple[int, int]) -> None:
        os.chown(conf, *owner)
        replace(conf)
        assert (conf.stat().st_uid, conf.stat().st_gid) == owner

    def test_extended_attributes(self, conf: Path) -> None:
        attributes = {"user.origin": b"ansible", "user.empty": b"", "user.bytes": b"\x00\xff" * 20}
        for name, value in attributes.items():
            set_attribute(conf, name, value)
        replace(conf)
        assert {name: os.getxattr(conf, name) for name in attributes} == attributes
        assert conf.read_bytes() == NEW

    def test_an_access_list(self, conf: Path) -> None:
        set_attribute(conf, "system.posix_acl_access", acl(named_user=4))
        before = (os.getxattr(conf, "system.posix_acl_access"), stat.S_IMODE(conf.stat().st_mode))
        replace(conf)
        assert (os.getxattr(conf, "system.posix_acl_access"), stat.S_IMODE(conf.stat().st_mode)) == before

    def test_nobody_gets_access_that_had_none(self, conf: Path) -> None:
        """A new file inherits the access list that its directory has for new files; the old one had none."""
        conf.chmod(0o644)
        set_attribute(conf.parent, "system.posix_acl_default", acl(named_user=6))
        replace(conf)
        assert "system.posix_acl_access" not in os.listxattr(conf)
        assert stat.S_IMODE(conf.stat().st_mode) == 0o644


def set_attribute(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"this file system does not take {name}: {error.strerror}")


def acl(named_user: int) -> bytes:
    """user::rw-, user:12345:…, group::r--, mask::rw-, other::r-- (linux/posix_acl_xattr.h)."""
    none = 0xFFFFFFFF
    entries = [(1, 6, none), (2, named_user, 12345), (4, 4, none), (0x10, 6, none), (0x20, 4, none)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def edit_in_place(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"! ")


def edit_and_hide_it(path: Path) -> None:
    """Same size, same modification time: the change time tells."""
    info = path.stat()
    edit_in_place(path)
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))


def save_anew(path: Path) -> None:
    """As editors do."""
    other = path.with_name("waagent.conf~")
    other.write_bytes(b"Logs.Verbose=n # mine\n")
    other.replace(path)


def become_link(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def become_directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def become_fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


CHANGES = [edit_in_place, edit_and_hide_it, save_anew, become_link, become_directory, become_fifo, lambda path: path.unlink(),
           lambda path: path.chmod(0o600), lambda path: os.link(path, path.with_name("another name")),
           lambda path: os.utime(path, (1, 1)), lambda path: os.truncate(path, 0)]
NAMES = ["edited", "edited, times put back", "saved anew", "a link now", "a directory now", "a FIFO now", "removed", "another mode",
         "another name", "touched", "truncated"]


class TestWhatWasChangedMeanwhile:
    @pytest.mark.parametrize("change", CHANGES, ids=NAMES)
    def test_since_it_was_read(self, conf: Path, change: Callable[[Path], None]) -> None:
        original = confwrite.read(conf)
        change(conf)
        with refused(conf):
            confwrite.replace(original, NEW)

    @pytest.mark.parametrize("change", CHANGES, ids=NAMES)
    def test_while_the_new_one_was_written(self, conf: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
        original = confwrite.read(conf)
        fsync = os.fsync

        def at_the_last_moment(fd: int) -> None:
            fsync(fd)
            change(conf)

        monkeypatch.setattr(confwrite.os, "fsync", at_the_last_moment)
        with refused_now(conf):
            confwrite.replace(original, NEW)

    @pytest.mark.parametrize("change", [edit_in_place, save_anew, lambda path: path.chmod(0o600)], ids=["edited", "saved anew", "mode"])
    def test_while_it_was_read(self, conf: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch) -> None:
        read = confwrite.files.read

        def and_then(path: Path, limit: int) -> bytes:
            data = read(path, limit)
            change(conf)
            return data

        monkeypatch.setattr(confwrite.files, "read", and_then)
        with pytest.raises(Refused, match="changed while it was read"):
            confwrite.read(conf)

    def test_the_next_attempt_starts_from_what_is_there_now(self, conf: Path) -> None:
        original = confwrite.read(conf)
        save_anew(conf)
        with refused(conf, "by somebody else meanwhile"):
            confwrite.replace(original, NEW)
        replace(conf)
        assert_only(conf, NEW)


@contextlib.contextmanager
def refused_now(path: Path) -> Iterator[None]:
    with pytest.raises(Refused):
        yield
    assert not path.is_file() or path.read_bytes() != NEW
    assert [name for name in os.listdir(path.parent) if "waguard" in name] == []


class TestWhatCannotBeDone:
    def test_a_file_with_two_names(self, conf: Path) -> None:
        os.link(conf, conf.with_name("another name"))
        with refused(conf, "has 2 hard links"):
            replace(conf)

    @pytest.mark.parametrize(("path", "why"), [
        ("etc/nowhere", "no such file"), ("nowhere/waagent.conf", "no such file"), ("etc/loop", "symbolic links"), ("etc", "not a regular file"),
        ("etc/fifo", "not a regular file"), ("etc/dangling", "no such file"), ("etc/a\0b", "null"), ("etc/waagent.conf/x", "Not a directory"),
        ("etc/" + "x" * 300, "too long")])
    def test_reading_what_is_no_file(self, tmp_path: Path, conf: Path, path: str, why: str) -> None:
        (tmp_path / "etc" / "loop").symlink_to("loop")
        (tmp_path / "etc" / "dangling").symlink_to("nowhere")
        os.mkfifo(tmp_path / "etc" / "fifo")
        with pytest.raises(Refused, match=why):
            confwrite.read(tmp_path / path)

    def test_a_file_that_is_too_large(self, conf: Path) -> None:
        os.truncate(conf, confwrite.LIMIT + 1)
        with pytest.raises(Refused, match="larger than"):
            confwrite.read(conf)

    def test_the_directory_is_gone(self, conf: Path) -> None:
        original = confwrite.read(conf)
        conf.unlink()
        conf.parent.rmdir()
        with pytest.raises(Refused, match="disappeared"):
            confwrite.replace(original, NEW)

    def test_the_new_ones_place_is_taken_by_a_directory(self, conf: Path) -> None:
        taken = conf.with_name(f".{conf.name}.waguard-{os.getpid()}")
        (taken / "x").mkdir(parents=True)
        with pytest.raises(Refused):
            replace(conf)
        assert conf.read_bytes() == OLD

    @pytest.mark.parametrize("call", ["fsync", "fchmod", "setxattr"])
    def test_a_disk_that_fails(self, conf: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
        set_attribute(conf, "user.x", b"y")

        def fail(*_: object) -> None:
            raise OSError(28, "No space left on device")

        original = confwrite.read(conf)
        monkeypatch.setattr(confwrite.os, call, fail)
        with refused(conf, "No space left on device"):
            confwrite.replace(original, NEW)

    def test_a_disk_that_fails_once_it_is_in_place_is_no_refusal(self, conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Refused means that nothing has changed, and who is told so forgets about it."""
        def fail(_: Path) -> None:
            raise OSError(5, "Input/output error")

        monkeypatch.setattr(confwrite, "sync_directory", fail)
        replace(conf)
        assert_only(conf, NEW)

    @as_root
    @pytest.mark.parametrize(("owner", "said"), [((0, 0), "done"), ((12345, 0), "owner 12345:0 cannot be kept")])
    def test_as_root_without_capabilities(self, conf: Path, owner: tuple[int, int], said: str) -> None:
        """That is what the guard is."""
        os.chown(conf, *owner)
        ran = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", ONCE, str(conf)],
                             stdout=subprocess.PIPE, text=True, env=environment())
        assert said in ran.stdout
        assert_only(conf, NEW if said == "done" else OLD)

    def test_a_read_only_file_system(self, tmp_path: Path) -> None:
        """There, even to remove what does not exist is an error, and must not take the place of the refusal."""
        mount = 'mount -t tmpfs none "$1" && printf "$2" >"$1/conf" && mount -o remount,ro "$1" && shift 2 && exec "$@"'
        ran = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh", str(tmp_path), OLD.decode(),
                              sys.executable, "-c", ONCE, str(tmp_path / "conf")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env=environment())
        if ran.returncode:
            pytest.skip(f"no mounts of our own here: {ran.stderr.strip()[-100:]}")
        assert "refused: " in ran.stdout and "Read-only file system (is the file system read-only" in ran.stdout
        assert repr(OLD) in ran.stdout


ONCE = f"""
import sys
from pathlib import Path
from waguard.act import confwrite
path = Path(sys.argv[1])
try:
    confwrite.replace(confwrite.read(path), {NEW!r})
    print("done")
except confwrite.Refused as error:
    print("refused:", error)
print(path.read_bytes())
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


WRITER = """
import sys
from pathlib import Path
from waguard.act import confwrite
path = Path(sys.argv[1])
contents = [letter * 400_000 for letter in (b"a", b"b")]
print("begins", flush=True)
while True:
    for data in contents:
        confwrite.replace(confwrite.read(path), data)
"""


def test_a_writer_that_is_killed_at_any_moment_leaves_a_whole_file(conf: Path) -> None:
    conf.write_bytes(b"a" * 400_000)
    conf.chmod(0o640)
    chance = random.Random(7)
    seen = set()
    for _ in range(15):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(conf)], stdout=subprocess.PIPE, env=environment()) as writer:
            assert writer.stdout is not None and writer.stdout.readline() == b"begins\n"
            time.sleep(chance.uniform(0, 0.03))
            writer.send_signal(signal.SIGKILL)
        data = conf.read_bytes()
        assert len(data) == 400_000 and len(set(data)) == 1
        assert stat.S_IMODE(conf.stat().st_mode) == 0o640
        seen.add(data[:1])
    confwrite.sweep(conf)
    assert_only(conf, data)
    assert seen <= {b"a", b"b"}
