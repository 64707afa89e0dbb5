"""The drop-in that has systemd restart the agent, with a fake systemctl that reads units and drop-ins as systemd would."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from pathlib import Path

import pytest

from waguard.act import dropin
from waguard.act.dropin import Refused

from .fakesystemd import UNIT, FakeSystemd


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSystemd:
    return FakeSystemd(tmp_path, monkeypatch)


class TestWriting:
    def test_once_is_enough(self, systemd: FakeSystemd) -> None:
        assert dropin.write(UNIT, systemd.etc) is True
        path = systemd.etc / f"{UNIT}.d/50-waguard.conf"
        before = path.stat()
        assert path.read_text() == dropin.TEXT
        assert dropin.write(UNIT, systemd.etc) is False
        assert path.stat().st_ino == before.st_ino and path.stat().st_mtime_ns == before.st_mtime_ns
        assert [entry.name for entry in path.parent.iterdir()] == ["50-waguard.conf"]

    def test_everybody_may_read_it_whatever_the_umask(self, systemd: FakeSystemd) -> None:
        before = os.umask(0o077)
        try:
            dropin.write(UNIT, systemd.etc)
        finally:
            os.umask(before)
        assert stat.S_IMODE((systemd.etc / f"{UNIT}.d/50-waguard.conf").stat().st_mode) == 0o644

    @pytest.mark.parametrize("text", ["", "[Service]\nRestart=no\n", dropin.TEXT + "# mine\n", dropin.TEXT[:-1], "x" * 100000])
    def test_a_file_of_somebody_else_is_left_alone(self, systemd: FakeSystemd, text: str) -> None:
        path = systemd.add(UNIT, "50-waguard.conf", text)
        for act in (dropin.write, dropin.remove):
            with pytest.raises(Refused, match=r"left alone|larger than"):
                act(UNIT, systemd.etc)
            assert path.read_text() == text

    def test_a_link_or_a_folder_is_somebody_elses(self, systemd: FakeSystemd) -> None:
        path = systemd.add(UNIT, "50-waguard.conf", "")
        path.unlink()
        (systemd.etc / "target").write_text(dropin.TEXT)
        path.symlink_to(systemd.etc / "target")
        for act in (dropin.write, dropin.remove):
            with pytest.raises(Refused, match="left alone"):
                act(UNIT, systemd.etc)
        assert path.is_symlink()
        path.unlink()
        path.mkdir()
        with pytest.raises(Refused, match="left alone"):
            dropin.write(UNIT, systemd.etc)

    def test_one_of_an_earlier_version_is_renewed_and_removed(self, systemd: FakeSystemd, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dropin, "_EARLIER", ("[Service]\nRestart=always\n",))
        path = systemd.add(UNIT, "50-waguard.conf", "[Service]\nRestart=always\n")
        assert dropin.write(UNIT, systemd.etc) is True and path.read_text() == dropin.TEXT
        path.write_text("[Service]\nRestart=always\n")
        assert dropin.remove(UNIT, systemd.etc) is True and not path.exists()

    @pytest.mark.parametrize("name", ["../../etc/passwd", "a b.service", "x", "", ".service", "a/b.service", "x.socket", "x.service\n"])
    def test_what_is_no_service_never_becomes_a_path(self, systemd: FakeSystemd, name: str) -> None:
        for act in (dropin.write, dropin.remove):
            with pytest.raises(Refused, match="no name of a service"):
                act(name, systemd.etc)

    def test_where_nothing_can_be_written(self, systemd: FakeSystemd) -> None:
        """A file in the place of the directory stands for a disk that does not take it."""
        with pytest.raises(Refused, match="nothing was written"):
            dropin.write(UNIT, systemd.etc / "no/such/place")
        (systemd.etc / f"{UNIT}.d").write_text("")
        with pytest.raises(Refused, match="nothing was written"):
            dropin.write(UNIT, systemd.etc)
        assert (systemd.etc / f"{UNIT}.d").read_text() == ""

    @pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become a user")
    def test_a_user_is_told_to_be_root(self, systemd: FakeSystemd) -> None:
        child = os.fork()
        if child == 0:
            try:
                os.setuid(65534)
                dropin.write(UNIT, systemd.etc)
            except Refused as refused:
                os._exit(0 if refused.hint == "this needs root: use sudo" else 3)
            finally:
                os._exit(4)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not (systemd.etc / f"{UNIT}.d").exists()


class TestRemoving:
    def test_the_folder_goes_when_it_is_empty_and_stays_when_not(self, systemd: FakeSystemd) -> None:
        assert dropin.remove(UNIT, systemd.etc) is False
        dropin.write(UNIT, systemd.etc)
        assert dropin.remove(UNIT, systemd.etc) is True and not (systemd.etc / f"{UNIT}.d").exists()
        other = systemd.add(UNIT, "10-Slice.conf", "[Service]\nSlice=azure.slice\n")
        dropin.write(UNIT, systemd.etc)
        assert dropin.remove(UNIT, systemd.etc) is True and other.exists()
        assert dropin.remove(UNIT, systemd.etc) is False


class TestLooking:
    NAMES = ("walinuxagent.service", "waagent.service")

    def test_the_unit_has_none(self, systemd: FakeSystemd) -> None:
        """Debian 12."""
        systemd.unit("walinuxagent.service", "[Unit]\nAfter=multi-user.target\n[Service]\nExecStart=/usr/sbin/waagent -daemon\n")
        found = dropin.look(self.NAMES, systemd.etc)
        assert (found.unit, found.restart, found.delay, found.source, found.by) == ("walinuxagent.service", "no", 0.1, "", "default")

    def test_the_unit_has_one(self, systemd: FakeSystemd) -> None:
        path = systemd.unit("waagent.service", "[Service]\nRestart = always\nRestartSec=5\n")
        found = dropin.look(self.NAMES, systemd.etc)
        assert (found.unit, found.restart, found.delay, found.source, found.by) == ("waagent.service", "always", 5.0, str(path), "unit")

    def test_waguards_own(self, systemd: FakeSystemd) -> None:
        systemd.unit("waagent.service", "[Service]\nExecStart=x\n")
        dropin.write("waagent.service", systemd.etc)
        dropin.reload()
        found = dropin.look(self.NAMES, systemd.etc)
        path = systemd.etc / "waagent.service.d/50-waguard.conf"
        assert (found.restart, found.delay, found.source, found.by) == ("always", 5.0, str(path), "waguard")

    @pytest.mark.parametrize(("name", "by"), [("99-local.conf", "drop-in"), ("10-local.conf", "waguard")])
    def test_the_last_drop_in_counts(self, systemd: FakeSystemd, name: str, by: str) -> None:
        systemd.unit("waagent.service", "[Service]\nRestart=always\n")
        systemd.add("waagent.service", name, "[Service]\nRestart=no\n")
        systemd.add("waagent.service", "99-x.conf", "# Restart=on-abort\n[Unit]\nRestart=always\n[Service]\nRestartSec=7\n")
        dropin.write("waagent.service", systemd.etc)
        dropin.reload()
        found = dropin.look(self.NAMES, systemd.etc)
        assert (found.restart, found.by) == ("no" if by == "drop-in" else "always", by)
        assert found.source.endswith(name if by == "drop-in" else "50-waguard.conf")

    def test_a_file_of_our_name_that_is_not_ours(self, systemd: FakeSystemd) -> None:
        systemd.unit("waagent.service", "[Service]\n")
        systemd.add("waagent.service", "50-waguard.conf", "[Service]\nRestart=on-failure\n")
        dropin.reload()
        assert dropin.look(self.NAMES, systemd.etc).by == "drop-in"

    def test_what_systemd_has_not_read_yet_is_stale(self, systemd: FakeSystemd) -> None:
        systemd.unit("waagent.service", "[Service]\n")
        dropin.write("waagent.service", systemd.etc)
        systemd.stale()
        assert dropin.look(self.NAMES, systemd.etc).stale
        dropin.reload()
        assert not dropin.look(self.NAMES, systemd.etc).stale

    def test_no_unit(self, systemd: FakeSystemd) -> None:
        with pytest.raises(Refused, match=r"^there is no walinuxagent\.service and no waagent\.service$"):
            dropin.look(self.NAMES, systemd.etc)

    def test_masked(self, systemd: FakeSystemd) -> None:
        systemd.unit("waagent.service", "MASKED")
        assert dropin.look(self.NAMES, systemd.etc).masked

    def test_no_systemd(self, systemd: FakeSystemd) -> None:
        systemd.fail("System has not been booted with systemd as init system (PID 1). Can't operate.")
        with pytest.raises(Refused, match="systemd cannot be asked.*not been booted"):
            dropin.look(self.NAMES, systemd.etc)
        with pytest.raises(Refused, match="has not read its files again.*not been booted"):
            dropin.reload()

    def test_nothing_is_ever_started_or_stopped(self, systemd: FakeSystemd) -> None:
        systemd.unit("waagent.service", "[Service]\n")
        dropin.write("waagent.service", systemd.etc)
        dropin.look(self.NAMES, systemd.etc)
        dropin.reload()
        dropin.remove("waagent.service", systemd.etc)
        assert {call.split()[0] for call in systemd.calls} == {"show", "daemon-reload"}


@pytest.mark.skipif(not Path("/usr/bin/systemd-analyze").exists(), reason="no systemd-analyze here")
def test_the_real_systemd_understands_it(tmp_path: Path) -> None:
    (tmp_path / "waagent.service").write_text("[Service]\nExecStart=/bin/true\n")
    dropin.write("waagent.service", tmp_path)
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / "waagent.service")], capture_output=True, text=True,
                         check=False, env={**os.environ, "SYSTEMD_UNIT_PATH": str(tmp_path) + ":"})
    assert "50-waguard.conf" not in ran.stderr


def test_the_sums_by_which_a_purge_knows_it_are_those_of_its_texts() -> None:
    postrm = (Path(__file__).resolve().parents[3] / "packaging/debian/waguard.postrm").read_text()
    sums = [hashlib.sha256(text.encode()).hexdigest() for text in (dropin.TEXT, *dropin._EARLIER)]
    assert sorted(re.findall(r"\b[0-9a-f]{64}\b", postrm)) == sorted(sums)
