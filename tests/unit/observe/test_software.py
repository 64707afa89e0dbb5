"""The agent as software: fake package managers that print what the real ones do, and trees of downloaded versions."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from waguard.agent.facts import AgentFacts
from waguard.observe import programs, software
from waguard.observe.software import Software, look

APT = "waagent:\n  Installed: {}\n  Candidate: {}\n  Version table:\n     2.7.3.0-4.1 500\n        500 http://deb.example bookworm/main amd64\n"
NO_APT = "walinuxagent:\n  Installed: (none)\n  Candidate: (none)\n  Version table:\n"
RPM_NONE = "package WALinuxAgent is not installed\n"
DNF = """Installed Packages
WALinuxAgent.noarch                2.7.0.6-9.el9                 @rhel-9-for-x86_64-baseos-rpms
Available Packages
WALinuxAgent.noarch                2.9.0.4-10.el9                rhel-9-for-x86_64-appstream-rpms
WALinuxAgent.noarch                2.9.0.4-9.el9                 rhel-9-for-x86_64-baseos-rpms
"""
TDNF = """WALinuxAgent.noarch                          2.11.1.4-3.azl3           @System
WALinuxAgent.noarch                          2.11.8.8-1.azl3           azurelinux-official-base
"""
ZYPPER = """<?xml version='1.0'?>
<stream>
<search-result version="0.0">
<solvable-list>
<solvable status="installed" name="python3-azure-agent" kind="package" edition="2.8.0.11-150100.3.26.1" arch="noarch" repository="SLE"/>
<solvable status="other-version" name="python3-azure-agent" kind="package" edition="2.9.1.1-150400.3.31.1" arch="noarch" repository="Updates"/>
<solvable status="other-version" name="python-azure-agent" kind="package" edition="3.0-1" arch="noarch" repository="Updates"/>
</solvable-list>
</search-result>
</stream>
"""


class Machine:
    """A tree, and programs on the path that note how they were called and print what a test gives them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.bin = root / "bin"
        self.bin.mkdir(parents=True)
        self.lib = root / "var/lib/waagent"
        self.lib.mkdir(parents=True)
        self.agent = AgentFacts()

    def program(self, name: str, output: str = "", code: int = 0, errors: str = "", script: str = "") -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"{name} $*\" >> {shlex.quote(str(self.root))}/calls\n{script}\n"
                        f"printf %s {shlex.quote(output)}\nprintf %s {shlex.quote(errors)} >&2\nexit {code}\n")
        path.chmod(0o755)

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def touch(self, place: str, at: float = 1.7e9, text: str = "") -> Path:
        path = self.root / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        os.utime(path, (at, at))
        return path

    def look(self, *ids: str, state: Any = None) -> Software:
        return look(replace(self.agent, distro=ids), self.root, state)

    def disabled(self, version: str, text: Optional[str] = None) -> Path:
        folder = self.lib / f"WALinuxAgent-{version}"
        folder.mkdir()
        if text is not None:
            (folder / "error.json").write_text(text)
        return folder / "error.json"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine(tmp_path / "machine")
    # The shell of the fake programs is the only real thing on the path.
    shell = shutil.which("sh")
    assert shell is not None
    (made.bin / "sh").symlink_to(shell)
    (made.bin / "sleep").symlink_to(shutil.which("sleep") or "/bin/sleep")
    monkeypatch.setattr(programs, "PATH", str(made.bin))
    return made


def told(seen: Software) -> tuple[str, Optional[str], Optional[str], str]:
    return seen.package, seen.installed, seen.candidate, seen.candidate_why


class TestApt:
    def test_the_newest_is_installed(self, machine: Machine) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.7.3.0-4.1") + NO_APT)
        assert told(machine.look("debian")) == ("waagent", "2.7.3.0-4.1", "2.7.3.0-4.1", "")
        assert machine.calls == ["apt-cache -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= policy waagent walinuxagent"]

    def test_there_is_a_newer_one(self, machine: Machine) -> None:
        machine.program("apt-cache", NO_APT + APT.format("2.7.3.0-4.1", "1:2.9.0.4-0ubuntu1~22.04.1"))
        assert told(machine.look("ubuntu", "debian")) == ("waagent", "2.7.3.0-4.1", "1:2.9.0.4-0ubuntu1~22.04.1", "")

    def test_it_is_not_installed_but_offered(self, machine: Machine) -> None:
        machine.program("apt-cache", APT.format("(none)", "2.7.3.0-4.1") + NO_APT)
        assert told(machine.look("debian")) == ("waagent", "", "2.7.3.0-4.1", "")

    def test_the_lists_are_empty(self, machine: Machine) -> None:
        machine.program("apt-cache", "")
        assert told(machine.look("debian")) == ("waagent", "", None, "no package waagent or walinuxagent in the lists of apt")

    def test_installed_and_in_no_list(self, machine: Machine) -> None:
        """apt says (none) for a candidate when pins forbid every one."""
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "(none)"))
        assert told(machine.look("debian")) == ("waagent", "2.7.3.0-4.1", None, "no package waagent in the lists of apt")

    def test_it_fails(self, machine: Machine) -> None:
        machine.program("apt-cache", "", 100, "E: The package lists or status file could not be parsed or opened.\n")
        assert told(machine.look("debian")) == (
            "waagent", None, None,
            "apt-cache policy: exit status 100: E: The package lists or status file could not be parsed or opened.")

    def test_it_hangs(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(software, "_TIMEOUT", 0.3)
        machine.program("apt-cache", script="sleep 987")
        assert machine.look("debian").candidate_why == "apt-cache policy: no answer within 0.3 s"

    def test_it_is_not_there(self, machine: Machine) -> None:
        assert told(machine.look("debian")) == ("waagent", None, None, "there is no apt-cache")

    @pytest.mark.parametrize("value", ["$(reboot)", "a b", "\x1b[2J", "x" * 300, "../.."])
    def test_what_is_no_version_is_not_taken_for_one(self, machine: Machine, value: str) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", value))
        assert machine.look("debian").candidate is None


class TestRpm:
    @pytest.mark.parametrize(("ids", "program", "listing"), [
        (("rhel", "fedora"), "dnf", DNF), (("fedora",), "dnf", DNF.replace("Packages", "packages")), (("centos", "rhel"), "yum", DNF),
    ])
    def test_the_newest_of_the_lists(self, machine: Machine, ids: tuple[str, ...], program: str, listing: str) -> None:
        machine.program("rpm", "WALinuxAgent 2.7.0.6-9.el9\n")
        machine.program(program, listing)
        assert told(machine.look(*ids)) == ("WALinuxAgent", "2.7.0.6-9.el9", "2.9.0.4-10.el9", "")
        assert machine.calls[1].startswith(f"{program} -C -q ") and machine.calls[1].endswith(" list WALinuxAgent")

    def test_yum_breaks_long_lines(self, machine: Machine) -> None:
        machine.program("rpm", "WALinuxAgent 2.7.0.6-1.el7\n")
        machine.program("yum", "Available Packages\nWALinuxAgent.noarch\n      2.9.0.4-1.el7\n           a-repository-with-a-long-name\n")
        assert machine.look("centos").candidate == "2.9.0.4-1.el7"

    def test_of_tdnf(self, machine: Machine) -> None:
        machine.program("rpm", "WALinuxAgent 2.11.1.4-3.azl3\n")
        machine.program("tdnf", TDNF)
        assert told(machine.look("azurelinux")) == ("WALinuxAgent", "2.11.1.4-3.azl3", "2.11.8.8-1.azl3", "")
        assert machine.calls[1] == "tdnf -C -q list WALinuxAgent"

    def test_of_zypper(self, machine: Machine) -> None:
        machine.program("rpm", "package python-azure-agent is not installed\npython3-azure-agent 2.8.0.11-150100.3.26.1\n", 1)
        machine.program("zypper", ZYPPER, script='[ "$ZYPP_READONLY_HACK" = 1 ] || exit 7')
        assert told(machine.look("sles", "suse")) == ("python3-azure-agent", "2.8.0.11-150100.3.26.1", "2.9.1.1-150400.3.31.1", "")
        assert "--no-refresh" in machine.calls[1] and "zypper update python3-azure-agent" in machine.look("sles").commands.upgrade

    def test_zypper_finds_nothing(self, machine: Machine) -> None:
        machine.program("rpm", "package python-azure-agent is not installed\npackage python3-azure-agent is not installed\n"
                               "package WALinuxAgent is not installed\n", 3)
        machine.program("zypper", "<stream></stream>", 104)
        assert told(machine.look("sles")) == ("python-azure-agent", "", None, "no package python-azure-agent in the lists of zypper")

    def test_nothing_newer_is_listed(self, machine: Machine) -> None:
        machine.program("rpm", "WALinuxAgent 1:2.9-1\n")
        machine.program("dnf", "Installed Packages\nWALinuxAgent.noarch 1:2.9-1 @anaconda\n")
        assert machine.look("rhel").candidate == "1:2.9-1"

    def test_the_installed_one_is_newer_than_the_lists(self, machine: Machine) -> None:
        machine.program("rpm", "WALinuxAgent 2.12-1\n")
        machine.program("dnf", DNF)
        assert machine.look("rhel").candidate == "2.12-1"

    def test_not_installed(self, machine: Machine) -> None:
        machine.program("rpm", RPM_NONE, 1)
        machine.program("dnf", DNF.partition("Available")[2])
        assert told(machine.look("rhel")) == ("WALinuxAgent", "", "2.9.0.4-10.el9", "")

    def test_without_a_cache_the_candidate_is_not_known_although_a_version_is_installed(self, machine: Machine) -> None:
        machine.program("rpm", "WALinuxAgent 2.7.0.6-9.el9\n")
        machine.program("dnf", "", 1, "Error: Cache-only enabled but no cache for 'baseos'\n")
        assert told(machine.look("rhel")) == (
            "WALinuxAgent", "2.7.0.6-9.el9", None, "dnf -C list: exit status 1: Error: Cache-only enabled but no cache for 'baseos'")

    @pytest.mark.parametrize(("output", "code", "errors"), [
        ("", 1, "error: cannot open Packages database in /var/lib/rpm\n"), ("", 0, ""), ("WALinuxAgent $(x)\n", 0, "")])
    def test_a_broken_database(self, machine: Machine, output: str, code: int, errors: str) -> None:
        machine.program("rpm", output, code, errors)
        machine.program("dnf", DNF)
        seen = machine.look("rhel")
        assert seen.installed is None and seen.candidate is None and seen.candidate_why.startswith("rpm -q: ")

    def test_dnf_writes_beside_copies_of_its_lists_and_not_beside_the_lists(self, machine: Machine) -> None:
        machine.touch("var/cache/dnf/baseos-1234/repodata/repomd.xml", text="the list")
        machine.touch("var/cache/dnf/baseos.solv", text="solv")
        machine.touch("var/cache/dnf/metadata_lock.pid", text="1")
        machine.program("rpm", "WALinuxAgent 2.7.0.6-9.el9\n")
        cat = shutil.which("cat")
        machine.program("dnf", DNF, script=(
            "for word in \"$@\"; do case $word in --setopt=cachedir=*) cache=${word#--setopt=cachedir=};; esac; done\n"
            f"[ \"$({cat} $cache/baseos-1234/repodata/repomd.xml $cache/baseos.solv)\" = 'the listsolv' ] || exit 9\n"
            f"[ -e $cache/metadata_lock.pid ] && exit 8\necho $$ > $cache/metadata_lock.pid; echo $cache > {machine.root}/where"))
        assert machine.look("rhel").candidate == "2.9.0.4-10.el9"
        assert sorted(path.name for path in (machine.root / "var/cache/dnf").iterdir()) == [
            "baseos-1234", "baseos.solv", "metadata_lock.pid"]
        assert (machine.root / "var/cache/dnf/metadata_lock.pid").read_text() == "1"
        assert (machine.root / "var/cache/dnf/baseos.solv").exists(), "only the links go away"
        assert not Path((machine.root / "where").read_text().strip()).exists()


class TestWhichPackageManager:
    def test_an_unknown_distribution_is_asked_by_what_it_has(self, machine: Machine) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
        assert (machine.look("gardenlinux").manager, machine.look().candidate) == ("apt", "2.9-1")

    def test_none_is_known(self, machine: Machine) -> None:
        seen = machine.look("arch")
        assert (seen.manager, told(seen)[1:]) == ("", (None, None, "the package manager of this distribution is not known"))


class TestAskingAgain:
    """It costs half a second of CPU."""

    def test_only_when_something_changed(self, machine: Machine) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
        status, lists = machine.touch("var/lib/dpkg/status"), machine.touch("var/lib/apt/lists/deb_Packages")
        first = machine.look("debian")
        again = machine.look("debian", state=json.loads(json.dumps(first.state)))
        assert len(machine.calls) == 1 and again == first and again.state == first.state
        for path in (status, lists):
            os.utime(path, (1.8e9, 1.8e9))
            again = machine.look("debian", state=again.state)
            assert machine.look("debian", state=again.state) == again
        assert len(machine.calls) == 3

    @pytest.mark.parametrize(("age", "why", "calls"), [
        (3000, "", 1), (86000, "", 1), (87000, "", 2), (-100, "", 2), (3000, "failed", 1), (4000, "failed", 2)])
    def test_after_a_day_anyway_and_sooner_after_a_failure(self, machine: Machine, age: float, why: str, calls: int) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
        state = {**machine.look("debian").state, "at": time.time() - age, "why": why}
        machine.look("debian", state=state)
        assert len(machine.calls) == calls

    def test_what_was_asked_of_another_package_manager_is_not_taken(self, machine: Machine) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
        machine.program("rpm", "WALinuxAgent 2.12-1\n")
        machine.program("dnf", DNF)
        assert machine.look("rhel", state=machine.look("debian").state).candidate == "2.12-1"

    @given(st.one_of(st.none(), st.integers(), st.text(), st.fixed_dictionaries({}, optional={
        name: st.one_of(st.none(), st.booleans(), st.floats(), st.text(), st.lists(st.integers()))
        for name in ("manager", "marks", "at", "package", "installed", "candidate", "why")})))
    @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_a_state_of_any_form_is_lived_with(self, machine: Machine, state: Any) -> None:
        machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
        assert machine.look("debian", state={"manager": "apt", "marks": [], **state} if isinstance(state, dict) else state)

    def test_the_age_of_the_lists_is_told(self, machine: Machine) -> None:
        machine.program("apt-cache", "")
        assert machine.look("debian").candidate_at is None
        machine.touch("var/lib/apt/lists/deb_Packages", 1.7e9)
        os.utime(machine.root / "var/lib/apt/lists", (1.7e9 + 5, 1.7e9 + 5))
        assert machine.look("debian").candidate_at == 1.7e9 + 5


    def test_a_refresh_that_found_nothing_new_is_one_too(self, machine: Machine) -> None:
        """apt-get update then touches nothing but "partial", which only _apt may list."""
        machine.program("apt-cache", "")
        machine.touch("var/lib/apt/lists/partial/x")
        for at, place in ((1.7e9 + 5, "var/lib/apt/lists/partial"), (1.7e9, "var/lib/apt/lists")):
            os.utime(machine.root / place, (at, at))
        assert machine.look("debian").candidate_at == 1.7e9 + 5
        if os.geteuid():
            (machine.root / "var/lib/apt/lists/partial").chmod(0)
            assert machine.look("debian").candidate_at == 1.7e9 + 5


class TestDownloaded:
    @pytest.mark.parametrize(("text", "disabled", "reason"), [
        (None, False, ""),
        ('{"last_failure": 0.0, "failure_count": 0, "was_fatal": false, "reason": ""}', False, ""),
        ('{"last_failure": 1.7e9, "failure_count": 2, "was_fatal": false, "reason": "one"}', False, "one"),
        ('{"last_failure": 1.7e9, "failure_count": 3, "was_fatal": false}', True, "it failed too often"),
        ('{"last_failure": 1.7e9, "failure_count": 1, "was_fatal": true}', True, "it failed too often"),
        ('{"was_fatal": true, "reason": "crashed\\n  with\\tblanks"}', True, "crashed with blanks"),
        ('{"was_fatal": true, "reason": 7}', True, "it failed too often"),
        ('{"failure_count": "3"}', False, ""),
        ('{"failure_count": 1e999}', True, "it failed too often"),
        ('{"failure_count": NaN}', False, ""),
        ("", False, "error.json is malformed, and the agent deletes such a one"),
        ("[1]", False, "error.json is malformed, and the agent deletes such a one"),
        ("[" * 60000, False, "error.json is malformed, and the agent deletes such a one"),
        ('{"failure_count": ' + "9" * 60000 + "}", None, ""),
    ])
    def test_what_error_json_says(self, machine: Machine, text: Optional[str], disabled: Optional[bool], reason: str) -> None:
        path = machine.disabled("2.15.0.1", text)
        (one,) = machine.look().downloaded
        assert one.path == path and one.version == "2.15.0.1"
        if disabled is not None:
            assert (one.disabled, one.reason) == (disabled, reason)

    def test_a_long_reason_is_cut_and_made_plain(self, machine: Machine) -> None:
        machine.disabled("2.15.0.1", json.dumps({"was_fatal": True, "reason": "\x1b[2J" + "x" * 9000}))
        reason = machine.look().downloaded[0].reason
        assert reason.isprintable() and len(reason) <= 200

    def test_a_reason_keeps_its_secrets(self, machine: Machine) -> None:
        machine.disabled("2.15.0.1", '{"was_fatal": true, "reason": "GET https://x.blob.core.windows.net/a?sig=SECRET&se=1 failed"}')
        reason = machine.look().downloaded[0].reason
        assert reason.startswith("GET https://x.blob.core.windows.net/a?") and "SECRET" not in reason

    def test_one_that_cannot_be_read_is_unknown(self, machine: Machine) -> None:
        os.mkfifo(machine.disabled("2.15.0.1"))
        one = machine.look().downloaded[0]
        assert one.disabled is None and "not a regular file" in one.reason

    def test_one_that_azure_stepped_back_from_is_told_apart(self, machine: Machine) -> None:
        machine.disabled("2.15.0.1", json.dumps({"was_fatal": True, "reason": (
            "Marking the agent 2.15.0.1 as bad version since a downgrade was requested in the GoalState, suggesting that we really "
            "don't want to execute any extensions using this version")}))
        machine.disabled("2.14.0.1", '{"was_fatal": true, "reason": "crashed"}')
        assert [(one.version, one.disabled, one.stepped_back) for one in machine.look().downloaded] == [
            ("2.15.0.1", True, True), ("2.14.0.1", True, False)]

    def test_newest_first_and_only_folders_of_versions(self, machine: Machine) -> None:
        for version in ("2.9.1.1", "2.15.0.1", "2.10.0.8"):
            machine.disabled(version)
        for name in ("WALinuxAgent-2.2.20.zip", "WALinuxAgent-", "WALinuxAgent-1", "WALinuxAgent-2.16\n.1", "Microsoft.Azure-1.0"):
            (machine.lib / name).mkdir()
        machine.touch("var/lib/waagent/WALinuxAgent-2.17.0.1")
        assert [one.version for one in machine.look().downloaded] == ["2.15.0.1", "2.10.0.8", "2.9.1.1"]

    def test_no_directory(self, machine: Machine) -> None:
        machine.lib.rmdir()
        seen = machine.look()
        assert seen.downloaded == () and "no such directory" in seen.downloaded_why

    def test_another_directory_by_the_conf(self, machine: Machine) -> None:
        machine.agent = AgentFacts(lib_dir="/opt/waagent")
        (machine.root / "opt/waagent/WALinuxAgent-2.15.0.1").mkdir(parents=True)
        assert [one.version for one in machine.look().downloaded] == ["2.15.0.1"]

    def test_a_user_is_told_that_he_may_not_look(self, machine: Machine, powerless: Any) -> None:
        machine.lib.chmod(0)
        with powerless():
            assert "Permission denied" in machine.look().downloaded_why
        machine.lib.chmod(0o700)

    def test_too_many_names(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(software, "_NAMES", 5)
        for number in range(6):
            machine.touch(f"var/lib/waagent/{number}.xml")
        assert "more than 5 entries" in machine.look().downloaded_why


class TestOnDisk:
    def test_the_code(self, machine: Machine) -> None:
        assert machine.look().daemon is None
        machine.touch("usr/lib/python3/dist-packages/azurelinuxagent/common/version.py", text="AGENT_VERSION = '2.7.3.0'\n")
        assert machine.look().daemon == "2.7.3.0"

    def test_the_interpreter_of_the_running_daemon_and_else_of_the_program(self, machine: Machine) -> None:
        assert machine.look().python == ""
        machine.touch("usr/sbin/waagent", text="#!/usr/bin/env python3\nimport os\n")
        assert machine.look().python == "/usr/bin/env python3"
        machine.agent = AgentFacts(daemon_pid=412)
        assert machine.look().python == "/usr/bin/env python3"
        numbers = " ".join("0" for _ in range(40))
        machine.touch("proc/412/stat", text=f"412 (python3) S 1 {numbers}")
        machine.touch("proc/412/cmdline", text="/usr/bin/python3.9\0-u\0/usr/sbin/waagent\0-daemon\0")
        (machine.root / "proc/412/task/412").mkdir(parents=True)
        shutil.copy(machine.root / "proc/412/stat", machine.root / "proc/412/task/412/stat")
        assert machine.look().python == "/usr/bin/python3.9"


@pytest.mark.skipif(shutil.which("apt-cache") is None, reason="no apt here")
class TestRealApt:
    def test_it_is_understood_and_nothing_is_written(self, tmp_path: Path) -> None:
        caches = Path("/var/cache/apt")
        before = {path: path.stat().st_mtime_ns for path in caches.iterdir()} if caches.is_dir() else {}
        seen = look(AgentFacts(distro=("debian",)), tmp_path)
        assert seen.installed is not None and not seen.candidate_why.startswith("apt-cache policy")
        assert {path: path.stat().st_mtime_ns for path in caches.iterdir()} == before if before else True


def test_a_file_that_is_not_executable_is_no_program(machine: Machine) -> None:
    machine.program("apt-cache", APT.format("2.7.3.0-4.1", "2.9-1"))
    (machine.bin / "apt-cache").chmod(stat.S_IRUSR)
    assert machine.look("debian").candidate_why == "there is no apt-cache"
