"""waagent.conf looked at closely, in trees of our own: what it says, and whether it is as its package has it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.observe import confstudy
from waguard.observe.confstudy import AutoUpdate, ConfStudy, Proxy
from waguard.observe.files import Unusable

SHIPPED = b"Logs.Verbose=n\nAutoUpdate.Enabled=n\n"


class Tree:
    """A machine's tree with a waagent.conf as shipped, and the package databases a test puts there."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "etc/waagent.conf"
        self.path.parent.mkdir()
        self.path.write_bytes(SHIPPED)

    def study(self) -> ConfStudy:
        return confstudy.study(self.path, self.root)

    def dpkg(self, *stanzas: str) -> None:
        status = self.root / "var/lib/dpkg/status"
        status.parent.mkdir(parents=True, exist_ok=True)
        status.write_text("\n\n".join(stanzas) + "\n")

    def rpm(self, script: str, base: str = "var/lib/rpm") -> Path:
        """A fake rpm; its words are written to the file that is returned."""
        (self.root / base).mkdir(parents=True)
        program, words = self.root / "usr/bin/rpm", self.root / "words"
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" >{words}\n{script}\n")
        program.chmod(0o755)
        return words


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def md5(data: bytes = SHIPPED) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def package(name: str = "waagent", status: str = "install ok installed", conffiles: str = "", more: str = "") -> str:
    entry = conffiles or f" /etc/waagent.conf {md5()}"
    return (f"Package: {name}\nStatus: {status}\nArchitecture: all\nConffiles:\n /etc/init.d/walinuxagent {'0' * 32}\n{entry}\n"
            f"Description: an agent\n /etc/waagent.conf is described here\n{more}").rstrip()


class TestDpkg:
    def test_as_shipped(self, tree: Tree) -> None:
        tree.dpkg(package("adduser", conffiles=f" /etc/deluser.conf {'1' * 32}"), package(), package("zlib", conffiles=f" /etc/z {'2' * 32}"))
        found = tree.study()
        assert (found.drift, found.package, found.drift_why) == (False, "waagent", "")

    def test_edited(self, tree: Tree) -> None:
        tree.dpkg(package())
        tree.path.write_bytes(SHIPPED + b"\n")
        found = tree.study()
        assert (found.drift, found.package, found.drift_why) == (True, "waagent", "")

    def test_the_last_stanza_may_end_without_a_blank_line(self, tree: Tree) -> None:
        tree.dpkg(package(conffiles=f" /etc/waagent.conf {md5()}", more="Homepage: x"))
        assert tree.study().drift is False

    @pytest.mark.parametrize(("stanza", "why"), [
        (package(status="deinstall ok config-files"), "waagent was removed"),
        (package(conffiles=f" /etc/waagent.conf {md5()} obsolete"), "waagent has it no more"),
        (package(conffiles=" /etc/waagent.conf newconffile"), "waagent has no digest of it"),
        (package(conffiles=f" /etc/waagent.conf.dpkg-old {md5()}"), "no package lists it"),
        (package(conffiles=f" /other/etc/waagent.conf {md5()}"), "no package lists it"),
        (package(conffiles=" /etc/waagent.conf"), "no package lists it"),
        ("Package: x\nStatus: install ok installed\nDescription: x\n /etc/waagent.conf " + "0" * 32, "no package lists it"),
        ("", "no package lists it"), ("\0" * 100_000, "no package lists it"), ("Conffiles:\n" * 1000, "no package lists it")])
    def test_not_known_and_why(self, tree: Tree, stanza: str, why: str) -> None:
        tree.dpkg(stanza)
        found = tree.study()
        assert (found.drift, found.drift_why) == (None, why)

    def test_the_package_that_is_installed_counts_wherever_it_stands(self, tree: Tree) -> None:
        """walinuxagent and waagent replace one another, and the one that was removed leaves its entry behind."""
        removed = package("walinuxagent", "deinstall ok config-files", f" /etc/waagent.conf {'f' * 32}")
        obsolete = package("cloud-init", conffiles=f" /etc/waagent.conf {'e' * 32} obsolete")
        for order in ((removed, obsolete, package()), (package(), removed, obsolete)):
            tree.dpkg(*order)
            assert (tree.study().drift, tree.study().package) == (False, "waagent")

    def test_a_link_in_the_place_that_the_package_knows(self, tree: Tree) -> None:
        tree.dpkg(package())
        tree.path.rename(tree.root / "etc/elsewhere.conf")
        tree.path.symlink_to("elsewhere.conf")
        assert tree.study().drift is False

    def test_a_link_to_the_place_that_the_package_knows(self, tree: Tree) -> None:
        tree.dpkg(package())
        (tree.root / "etc/link.conf").symlink_to("waagent.conf")
        assert confstudy.study(tree.root / "etc/link.conf", tree.root).drift is False

    @pytest.mark.parametrize("kind", ["fifo", "directory", "too large"])
    def test_a_database_that_cannot_be_read(self, tree: Tree, kind: str) -> None:
        tree.dpkg()
        status = tree.root / "var/lib/dpkg/status"
        if kind == "too large":
            os.truncate(status, (64 << 20) + 1)
        else:
            status.unlink()
            os.mkfifo(status) if kind == "fifo" else status.mkdir()
        found = tree.study()
        assert found.drift is None and found.drift_why.startswith(f"{status}: "), found.drift_why

    @given(st.lists(st.one_of(st.binary(max_size=30), st.sampled_from(
        [b"Package: x", b"Status: install ok installed", b"Status:", b"Conffiles:", b" /etc/waagent.conf " + b"0" * 32, b" /etc/waagent.conf \xff", b""]))))
    def test_no_database_is_too_odd(self, tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
        status = tmp_path_factory.getbasetemp() / "status"
        status.write_bytes(b"\n".join(lines))
        found = confstudy._dpkg(status, ["/etc/waagent.conf"])
        assert found is None or found.why or len(found.digest) == 32


OWNED = "printf 'WALinuxAgent\\t{algorithm}\\t17\\t{digest}\\t/etc/waagent.conf\\nWALinuxAgent\\t8\\t0\\t\\t/usr/share/doc\\n'"
"""As rpm 4.18 says it."""


class TestRpm:
    @pytest.mark.parametrize("base", ["var/lib/rpm", "usr/lib/sysimage/rpm"])
    @pytest.mark.parametrize(("algorithm", "name"), [("8", "sha256"), ("(none)", "md5"), ("1", "md5"), ("10", "sha512")])
    def test_as_shipped_and_edited(self, tree: Tree, base: str, algorithm: str, name: str) -> None:
        words = tree.rpm(OWNED.format(algorithm=algorithm, digest=hashlib.new(name, SHIPPED).hexdigest()), base)
        found = tree.study()
        assert (found.drift, found.package, found.drift_why) == (False, "WALinuxAgent", "")
        assert words.read_text().split("\n")[:2] == ["-q", "--queryformat"]
        assert words.read_text().endswith("\n-f\n/etc/waagent.conf\n"), "its name in its own tree"
        tree.path.write_bytes(b"Logs.Verbose=y\n")
        assert tree.study().drift is True

    @pytest.mark.parametrize(("script", "why"), [
        ("echo 'file /etc/waagent.conf is not owned by any package'; exit 1", "no package lists it"),
        (OWNED.format(algorithm="8", digest=""), "WALinuxAgent has no digest of it"),
        (OWNED.format(algorithm="99", digest="00"), "WALinuxAgent has no digest of it"),
        ("echo 'error: cannot open Packages database in /var/lib/rpm' >&2; exit 1",
         "rpm: exit status 1: error: cannot open Packages database in /var/lib/rpm"),
        ("exit 0", "rpm: no answer"), ("yes", "rpm: more than 1024 KiB of output: y"),
        ("printf 'x\\t\\t\\t\\t\\n\\t\\t\\t\\t\\t\\t\\n\\377\\n'", "rpm: no answer")])
    def test_not_known_and_why(self, tree: Tree, script: str, why: str) -> None:
        tree.rpm(script)
        found = tree.study()
        assert (found.drift, found.drift_why) == (None, why)

    def test_one_that_hangs(self, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(confstudy, "_RPM_SECONDS", 0.2)
        tree.rpm("sleep 60")
        assert tree.study().drift_why == "rpm: no answer within 0.2 s"

    def test_it_is_not_run_without_a_database(self, tree: Tree) -> None:
        words = tree.rpm("exit 1")
        (tree.root / "var/lib/rpm").rmdir()
        assert tree.study().drift_why == "no package lists it"
        assert not words.exists()

    def test_dpkg_comes_first(self, tree: Tree) -> None:
        words = tree.rpm("exit 1")
        tree.dpkg(package())
        assert tree.study().drift is False
        assert not words.exists()


class TestTheFile:
    def test_missing_is_a_fact(self, tree: Tree) -> None:
        tree.path.unlink()
        tree.dpkg(package())
        found = tree.study()
        assert found.facts.missing and found.facts.problem == f"{tree.path} is missing"
        assert (found.problems, found.drift, found.drift_why, found.settings, found.modified) == ((), None, "the file is missing", 0, None)
        assert (found.autoupdate, found.proxy) == (AutoUpdate(True, None, True, None), None)

    def test_so_are_empty_and_not_text(self, tree: Tree) -> None:
        tree.path.write_bytes(b"")
        assert tree.study().facts.missing and "empty" in tree.study().facts.problem
        tree.path.write_bytes(b"\xff=\nLogs.Verbose=maybe")
        found = tree.study()
        assert not found.facts.missing and "UTF-8" in found.facts.problem
        assert [problem.id for problem in found.problems] == ["conf-unknown-key", "conf-bad-value"]

    @pytest.mark.parametrize("kind", ["fifo", "directory", "too large"])
    def test_what_cannot_be_read_is_said(self, tree: Tree, kind: str) -> None:
        if kind == "too large":
            os.truncate(tree.path, (1 << 20) + 1)
        else:
            tree.path.unlink()
            os.mkfifo(tree.path) if kind == "fifo" else tree.path.mkdir()
        with pytest.raises(Unusable, match="waagent.conf"):
            tree.study()

    def test_what_it_says(self, tree: Tree) -> None:
        tree.path.write_text("Extension.LogDir=/logs\nProvisioning.Agent=cloud-init\nProtocol.EndpointDiscovery=static\nLib.Dir=/lib/x\nx=None\n"
                             "Logs.Verbos=y\n")
        os.utime(tree.path, (1, 1_700_000_000))
        found = tree.study()
        assert (found.extension_log_dir, found.provisioning_agent, found.endpoint_discovery) == ("/logs", "cloud-init", "static")
        assert (found.settings, found.modified, str(found.facts.lib_dir)) == (5, 1_700_000_000.0, "/lib/x")
        assert [(problem.line, problem.id) for problem in found.problems] == [(5, "conf-unknown-key"), (6, "conf-unknown-key")]

    def test_what_it_does_not_say_is_the_default(self, tree: Tree) -> None:
        tree.path.write_text("Extension.LogDir=\n")
        found = tree.study()
        assert (found.extension_log_dir, found.provisioning_agent, found.endpoint_discovery) == ("/var/log/azure", "auto", "dhcp")


@pytest.mark.parametrize(("text", "expected"), [
    ("", AutoUpdate(True, None, True, None)),
    ("AutoUpdate.Enabled=n", AutoUpdate(False, 1, False, None)),
    ("AutoUpdate.UpdateToLatestVersion=n", AutoUpdate(True, None, False, 1)),
    ("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=y", AutoUpdate(False, 1, True, 2)),
    ("AutoUpdate.Enabled=y\nAutoUpdate.UpdateToLatestVersion=n", AutoUpdate(True, 1, False, 2)),
    ("AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=never", AutoUpdate(False, 1, False, None))])
def test_the_two_switches_of_auto_update(tree: Tree, text: str, expected: AutoUpdate) -> None:
    tree.path.write_text(f"{text}\n")
    assert tree.study().autoupdate == expected


@pytest.mark.parametrize(("text", "expected", "url"), [
    ("", None, None), ("HttpProxy.Host=None\nHttpProxy.Port=None", None, None),
    ("HttpProxy.Host=proxy", Proxy("proxy", None), None), ("HttpProxy.Port=80", Proxy(None, 80), None),
    ("HttpProxy.Host=proxy\nHttpProxy.Port=eighty", Proxy("proxy", None), None),
    ("HttpProxy.Host=proxy\nHttpProxy.Port=80", Proxy("proxy", 80), "http://proxy:80"),
    ("HttpProxy.Host=\nHttpProxy.Port=80", Proxy("", 80), None),
    ("HttpProxy.Host=proxy\nHttpProxy.Port=99999", Proxy("proxy", 99999), None),
    ("HttpProxy.Host=fe80::1\nHttpProxy.Port=80", Proxy("fe80::1", 80), "http://[fe80::1]:80"),
    ("HttpProxy.Host=[fe80::1]\nHttpProxy.Port=80", Proxy("[fe80::1]", 80), "http://[fe80::1]:80"),
    ("HttpProxy.Host=user:hunter2@proxy\nHttpProxy.Port=80", Proxy("proxy", 80), "http://proxy:80"),
    ("HttpProxy.Host=http://user:hun@ter2@proxy/\nHttpProxy.Port=80", Proxy("proxy", 80), "http://proxy:80"),
    ("HttpProxy.Host=http://proxy/?sig=hunter2\nHttpProxy.Port=80", Proxy("proxy", 80), "http://proxy:80")])
def test_the_proxy_without_its_login(tree: Tree, text: str, expected: Proxy, url: str) -> None:
    tree.path.write_text(f"{text}\n")
    found = tree.study()
    assert (found.proxy, found.proxy_url) == (expected, url)
    assert "hunter2" not in repr(found), "not even in a traceback"


@given(st.binary(max_size=300))
def test_no_bytes_are_too_odd(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    root = tmp_path_factory.getbasetemp()
    (root / "odd.conf").write_bytes(data)
    assert confstudy.study(root / "odd.conf", root).drift is None
