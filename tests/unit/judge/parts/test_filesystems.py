"""The file system part."""

from __future__ import annotations

import dataclasses
import errno
import json
from typing import Any, Optional

import pytest

from waguard.judge.case import Case, Part
from waguard.judge.parts import filesystems as part
from waguard.observe import Known, Unknown
from waguard.observe.backupconf import Options
from waguard.observe.filesystems import Filesystems, Place
from waguard.observe.mounts import Asked, Mounts
from waguard.observe.snapshots import Snapshots
from waguard.observe.statvfs import Space
from waguard.settings import ResourceSettings, Settings

DEFAULTS = ResourceSettings()
MIB, GIB = 1 << 20, 1 << 30
ROOMY = Space(30 * GIB, 20 * GIB, 18 * GIB, 2000000, 1900000)
LIB = Place("library directory", "/var/lib/waagent", "/var", "xfs", False, False, False, ROOMY)
LOG = Place("log directory", "/var/log", "/var", "xfs", False, False, False, ROOMY)
ETC = Place("configuration", "/etc", "/", "ext4", False, False, False, dataclasses.replace(ROOMY, free=25 * GIB))
TMP = Place("temporary files", "/tmp", "/tmp", "tmpfs", False, True, False, dataclasses.replace(ROOMY, free=22 * GIB))
NFS = Asked("/mnt/nfs", "nfs4", True, True, 0.001)
DATA = Asked("/data", "xfs", False, True, 0.001)


def judge(places: tuple[Place, ...] = (LIB, LOG, ETC, TMP), mounts: Optional[tuple[Asked, ...]] = (NFS, DATA), settings: ResourceSettings = DEFAULTS,
          unasked: int = 0) -> Part:
    asked: Any = Known(Mounts(mounts, unasked, (("/data", "/backup"),), "x"), 1.0) if mounts is not None else Unknown("late", 1.0)
    found = part.judge(Case(1.0, 1.0, True, True, Settings(resources=settings), mounts=asked,
                            filesystems=Known(Filesystems(places, "/proc/1/mountinfo", True), 1.0)))
    json.dumps(dict(found.facts))
    return found


def told(found: Part) -> list[tuple[str, str]]:
    return [(finding.id, dict(finding.values)["mount"]) for finding in found.findings]


def var(**changes: Any) -> tuple[Place, ...]:
    """All places, with another /var."""
    return tuple(dataclasses.replace(place, **changes) if place.mount == "/var" else place for place in (LIB, LOG, ETC, TMP))


def space(**changes: Any) -> dict[str, Any]:
    return {"space": dataclasses.replace(ROOMY, **changes)}


def test_all_is_well() -> None:
    found = judge()
    assert (found.name, found.title, found.ok, found.findings) == ("filesystems", "File systems", True, ())
    assert found.says == "20 GiB free on /var; all 2 mounts answer"
    assert found.facts["mounted_twice"] == [["/data", "/backup"]] and found.facts["unresponsive"] == []


class TestFull:
    @pytest.mark.parametrize(("size", "free", "full"), [
        (30 * GIB, 100 * MIB, True), (30 * GIB, 100 * MIB - 1, True), (30 * GIB, 0, True),
        (30 * GIB, 600 * MIB, True), (30 * GIB, 615 * MIB, False), (100 * GIB, GIB, False), (1000 * GIB, 2 * GIB, False),
        (500 * MIB, 60 * MIB, False), (500 * MIB, 49 * MIB, True), (64 * MIB, 60 * MIB, False), (64 * MIB, 6 * MIB, True)])
    def test_by_bytes_and_by_percent(self, size: int, free: int, full: bool) -> None:
        """Below 100 MiB, or a tenth of a small one; or used to 98 % with less than a GiB left."""
        assert told(judge(var(**space(size=size, free=free)))) == ([("disk-full", "/var")] if full else [])

    @pytest.mark.parametrize(("free", "full"), [(100 * MIB - 1, True), (100 * MIB, False)])
    def test_by_bytes_alone(self, free: int, full: bool) -> None:
        assert told(judge(var(**space(free=free)), settings=ResourceSettings(disk_used=100))) == ([("disk-full", "/var")] if full else [])

    def test_one_finding_a_mount_names_all_that_it_holds(self) -> None:
        (finding,) = judge(var(**space(free=12 * MIB))).findings
        assert finding.evidence == "/var (xfs), which holds /var/lib/waagent, /var/log, has 12 MiB of 30 GiB free"

    def test_roots_part_counts_as_free(self) -> None:
        assert told(judge(var(**space(available=0)))) == []

    @pytest.mark.parametrize("kind", ["squashfs", "erofs", "iso9660"])
    def test_what_is_always_full_is_not(self, kind: str) -> None:
        assert told(judge(var(type=kind, **space(free=0)))) == []

    def test_the_limits_are_settings(self) -> None:
        assert told(judge(var(**space(free=12 * MIB)), settings=ResourceSettings(disk_free=0, disk_used=100))) == []
        assert told(judge(var(**space(free=2 * GIB)), settings=ResourceSettings(disk_free=100000))) == [("disk-full", "/var")]


class TestInodes:
    @pytest.mark.parametrize(("files", "free", "out"), [
        (1000, 9, True), (1000, 10, False), (1000, 0, True), (16000000, 150000, False), (16000000, 9999, True), (0, 0, False)])
    def test_exhausted(self, files: int, free: int, out: bool) -> None:
        """Below 1 %, but never while ten thousand are left. A filesystem that tells of none makes them as needed."""
        assert told(judge(var(**space(files=files, files_free=free)))) == ([("inodes-exhausted", "/var")] if out else [])


class TestFlags:
    def test_read_only_is_told_instead_of_full(self) -> None:
        found = judge(var(read_only=True, **space(free=0)))
        assert told(found) == [("filesystem-read-only", "/var")]
        assert found.findings[0].evidence == "/var (xfs), which holds /var/lib/waagent, /var/log, is read-only"
        assert judge(var(read_only=True, error=True)).findings[0].evidence.endswith("is read-only after an error")

    def test_what_cannot_be_told_is_no_finding(self) -> None:
        assert told(judge(var(read_only=None, noexec=None))) == []

    def test_noexec_matters_for_the_library_directory_alone(self) -> None:
        assert told(judge()) == [], "TMP is noexec"
        found = judge((dataclasses.replace(LIB, noexec=True), LOG, ETC, TMP))
        assert told(found) == [("filesystem-noexec", "/var")] and found.findings[0].evidence == "/var, which holds /var/lib/waagent, is mounted noexec"


class TestMounts:
    def test_a_late_one(self) -> None:
        late = dataclasses.replace(NFS, answers=False, problem="no answer within 3 s")
        found = judge(mounts=(late, DATA))
        assert told(found) == [("mount-unresponsive", "/mnt/nfs")] and found.ok is False
        assert found.findings[0].evidence == "/mnt/nfs (nfs4) does not answer: no answer within 3 s" and found.facts["unresponsive"] == ["/mnt/nfs"]

    @pytest.mark.parametrize(("kind", "spared"), [("nfs4", True), ("cifs", True), ("fuse.sshfs", False)])
    def test_one_that_the_backup_extension_does_not_ask(self, kind: str, spared: bool) -> None:
        late = dataclasses.replace(NFS, type=kind, answers=False, problem="no answer within 3 s")
        snapshots = Known(Snapshots(options=Options(only_local=True)), 1.0)
        found = part.judge(Case(1.0, 1.0, True, True, Settings(), mounts=Known(Mounts((late,), 0, (), "x"), 1.0), snapshots=snapshots))
        assert found.findings[0].evidence.endswith("does not ask it (onlyLocalFilesystems)") is spared

    def test_one_that_has_been_hanging(self) -> None:
        stuck = dataclasses.replace(NFS, answers=False, problem="process 7 of waguard still hangs in it", since=700.0)
        assert judge(mounts=(stuck,)).findings[0].evidence == "/mnt/nfs (nfs4) does not answer for 11m40s: process 7 of waguard still hangs in it"

    @pytest.mark.parametrize(("number", "dead"), [(errno.ESTALE, True), (errno.EIO, True), (errno.ENOTCONN, True), (errno.EACCES, False), (errno.ENOENT, False)])
    def test_an_error(self, number: int, dead: bool) -> None:
        one = dataclasses.replace(NFS, answers=False, errno=number, problem="x")
        assert told(judge(mounts=(one,))) == ([("mount-unresponsive", "/mnt/nfs")] if dead else [])

    def test_one_that_could_not_be_asked_is_no_finding(self) -> None:
        found = judge(mounts=(dataclasses.replace(NFS, answers=None, problem="waguard's sandbox hides it"), DATA), unasked=3)
        assert told(found) == [] and found.says.endswith("the mount answers; 3 more not asked; 1 cannot be seen from here")


class TestUnknown:
    def test_one_half(self) -> None:
        found = judge(mounts=None)
        assert (found.ok, found.says) == (None, "20 GiB free on /var; late")

    def test_both(self) -> None:
        found = part.judge(Case(1.0, 1.0, True, True, Settings(), filesystems=Unknown("late", 1.0), mounts=Unknown("late", 1.0)))
        assert (found.ok, found.says, found.findings) == (None, "late", ())

    def test_a_library_directory_without_numbers(self) -> None:
        found = judge((dataclasses.replace(LIB, space=None, problem="no answer within 3 s"), ETC))
        assert found.ok is None and found.findings == ()


@pytest.mark.parametrize(("count", "text"), [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (42 * GIB, "42 GiB"), (1 << 62, "4096 PiB")])
def test_sizes(count: int, text: str) -> None:
    assert part.size(count) == text
