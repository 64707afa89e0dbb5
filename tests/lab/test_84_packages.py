"""What an operator installs: both packages, the repository they come from, and a machine that goes from one version to the next."""

from __future__ import annotations

import filecmp
import json
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from . import repobuild
from .agent import CONF, UNIT, Agent
from .guard import Guard, package
from .lab import Lab
from .machine import Machine
from .repobuild import TOP, Repository, gpg_home, next_package, next_version, rpm, version
from .repoclient import KEYRING, UNITS, URL, all_run, apt, documented, lab_base, lay, send, serve
from .repotamper import TAMPERED, flip
from .rpmmacros import DISTRIBUTIONS

PROGRAMS = ("waguardctl", "waguardd", "waguard-exporter", "waguard-doctor")
MINE = "# mine\nrestart:\n  live_per_hour: 2\n"
LISTING = "find / /run -xdev \\( -path /proc -o -path /sys -o -path /srv -o -path /var/tmp \\) -prune -o -name '*waguard*' -print"


# -- what is in them


def test_the_version_is_the_same_everywhere() -> None:
    changelog = subprocess.run(["dpkg-parsechangelog", "-l", TOP / "packaging/debian/changelog", "-S", "Version"],
                               check=True, capture_output=True, text=True).stdout.strip()
    spec = (TOP / "packaging/waguard.spec").read_text()
    assert changelog == version()
    assert re.findall(r"^Version:\s+(\S+)$", spec, re.MULTILINE) == [version()]
    newest = spec.partition("%changelog\n")[2].splitlines()[0]
    assert newest.endswith(f" - {version()}-1"), newest
    assert package().name == f"waguard_{version()}_all.deb" and rpm().name.startswith(f"waguard-{version()}-1.")


def test_the_linters_have_nothing_to_say() -> None:
    said = subprocess.run([TOP / "packaging/lint"], capture_output=True, text=True)
    assert said.returncode == 0, said.stdout + said.stderr


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_two_builds_give_the_same_bytes(kind: str) -> None:
    first, second = {"deb": package, "rpm": rpm}[kind](), repobuild.again(kind)
    assert first.name == second.name
    assert filecmp.cmp(first, second, shallow=False), f"not reproducible, or {first} is older than the tree: diffoscope {first} {second}"


def test_both_packages_install_the_same_files_with_the_same_modes() -> None:
    listed = subprocess.run(["dpkg-deb", "--contents", package()], check=True, capture_output=True, text=True).stdout
    deb = {_common(words[5][1:].rstrip("/")): f"{words[0]} {words[1].replace('/', ' ')}" for words in map(str.split, listed.splitlines())}
    listed = subprocess.run(["rpm", "-qp", "--nosignature", "--qf", "[%{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]",
                             rpm()], check=True, capture_output=True, text=True).stdout
    found = {_common(line.split()[3]): " ".join(line.split()[:3]) for line in listed.splitlines()}
    assert found.pop("/var/lib/waguard") == "drwx------ root root"  # known to rpm, so that it is gone with the package
    ours = {path: mode for path, mode in deb.items() if "waguard" in path}
    ours.pop("", None)
    found.pop("", None)
    assert ours == found
    assert set(found.values()) == {"-rw-r--r-- root root", "-rwxr-xr-x root root", "drwxr-xr-x root root"}


def _common(path: str) -> str:
    """The path, with what differs by rule made the same; "" for what only one of them has by rule."""
    if re.search(r"/__pycache__|\.dist-info/|/usr/share/(doc|licenses)/", path):
        return ""
    path = re.sub(r"^/lib/", "/usr/lib/", path)
    return path.replace("/zsh/vendor-completions", "/zsh/site-functions")


def test_every_program_has_a_manual_page_in_both() -> None:
    for command in (["dpkg-deb", "--contents", package()], ["rpm", "-qpl", "--nosignature", rpm()]):
        listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        for program in PROGRAMS:
            assert re.search(rf"/s?bin/{program}$", listed, re.MULTILINE), (command[0], program)
            assert re.search(rf"/man[18]/{program}\.[18]\.gz$", listed, re.MULTILINE), (command[0], program)


@pytest.mark.parametrize(("macros", "has", "lacks"), DISTRIBUTIONS)
def test_the_spec_suits_each_distribution(macros: tuple[str, ...], has: tuple[str, ...], lacks: tuple[str, ...]) -> None:
    """Read with stand-ins for the distributions' macros, which say who they are: what is built needs their machines."""
    defines = [word for macro in macros for word in ("--define", macro)]
    read = subprocess.run(["rpmspec", "--parse", *defines, "--define", f"_sourcedir {TOP}/systemd", TOP / "packaging/waguard.spec"],
                          check=True, capture_output=True, text=True)
    assert "warning" not in read.stderr, read.stderr
    text = re.sub(r"[ \t]+", " ", "\n".join(line for line in read.stdout.splitlines() if not line.startswith("#")))
    assert [words for words in has if words not in text] == []
    assert [words for words in lacks if words in text] == []


CHECKED = """#!/bin/sh
echo "$*" >>{log}
case $* in *{lacks}*) exit 1 ;; esac
"""


@pytest.mark.parametrize(("lacks", "fails"), [("nothing", False), ("xdist", False), ("hypothesis", True), ("bcrypt", True)])
def test_the_rpms_own_check_runs_every_unit_test_or_fails(tmp_path: Path, lacks: str, fails: bool) -> None:
    """%check as it is read, by an interpreter that lacks something."""
    python, log = tmp_path / "python", tmp_path / "log"
    python.write_text(CHECKED.format(log=log, lacks=lacks))
    python.chmod(0o755)
    read = subprocess.run(["rpmspec", "--parse", "--define", f"__python3 {python}", "--define", f"_sourcedir {TOP}/systemd",
                           TOP / "packaging/waguard.spec"], check=True, capture_output=True, text=True).stdout
    script = read.partition("\n%check\n")[2].partition("\n%pre\n")[0]
    ran = subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    tests = [line for line in log.read_text().splitlines() if line.startswith("-m pytest ")]
    assert (ran.returncode != 0, len(tests)) == (fails, 0 if fails else 1), (ran, tests)
    assert all(line.endswith(" tests/unit") and not re.search("ignore|deselect| -k", line) for line in tests), tests


# -- the repository


def test_what_is_published_stays(repository: Repository, tmp_path: Path) -> None:
    pool = repository.path / f"apt/pool/main/w/waguard/{package().name}"
    assert repository.publish(package(), rpm()).returncode == 0, "a second time"
    said = repository.publish(next_package("deb"), next_package("rpm"))
    assert said.returncode == 0 and URL in said.stdout, said
    for arch in ("amd64", "arm64"):
        lists = (repository.path / f"apt/dists/stable/main/binary-{arch}/Packages").read_text()
        assert sorted(re.findall(r"^Version: (.*)$", lists, re.MULTILINE)) == [version(), next_version()]
    assert len(list(repository.path.glob("rpm/*/waguard-*.rpm"))) == 2

    before = pool.read_bytes()
    for kind, published in (("deb", package()), ("rpm", rpm())):
        other = tmp_path / "other" / published.name
        other.parent.mkdir(exist_ok=True)
        other.write_bytes(next_package(kind).read_bytes())  # the name says this version, the content the next
        refused = repository.publish(other)
        assert refused.returncode == 1 and "published with other content" in refused.stderr, refused
    assert pool.read_bytes() == before

    with gpg_home("packages@example.com") as home:
        listed = subprocess.run(["gpg", "--list-secret-keys"], env={**os.environ, "GNUPGHOME": home}, check=True, capture_output=True, text=True)
        assert "packages@example.com" in listed.stdout
        refused = repository.publish(package(), key="packages@example.com", home=home)
        assert refused.returncode == 1 and "signed with another key" in refused.stderr, refused
        said = Repository(tmp_path / "own", URL).publish(package(), rpm(), key="packages@example.com", home=home)
        assert said.returncode == 0 and "throw-away" not in said.stderr, said
    assert "dist/ holds no package" in Repository(tmp_path / "empty", URL).publish().stderr


def test_apt_installs_upgrades_goes_back_and_removes(packages_lab: Lab, repository: Repository) -> None:
    """With edited settings, a state and a running verbose lease, and without a question to anybody."""
    with packages_lab.machine() as machine:
        agent, guard = Agent(machine), Guard(machine)
        clean = set(machine.run(LISTING).out.split())
        serve(machine, repository.path)
        for line in documented("Debian, Ubuntu:"):
            machine.run(line, timeout=180)
        guard.wait_ready()
        all_run(machine, version())
        machine.run(["systemctl", "is-enabled", *UNITS])
        machine.write("/etc/waguard/waguard.yaml", MINE)
        machine.run(["systemctl", "reload", "waguard"])
        conf = machine.read(CONF)
        guard.ctl("verbose", "on", "--for", "2h")
        guard.wait_for("agent-started")
        daemon = agent.daemon_pid()
        before = _kept(guard)
        assert guard.metrics()["waguard_verbose_lease_expiry_timestamp_seconds"] - time.time() > 7000

        repository.publish(next_package("deb"))
        lay(machine, repository.path)
        apt(machine, "update")
        back = ["--option=Dpkg::Options::=--force-confold", "install", "--allow-downgrades", f"waguard={version()}"]
        machine.run("apt-mark hold waguard")
        apt(machine, "upgrade")
        all_run(machine, version())
        machine.run("apt-mark unhold waguard")
        for step, now in ((["upgrade"], next_version()), (back, version())):
            apt(machine, *step)
            guard.wait_ready()
            all_run(machine, now)
            assert _kept(guard) == before, step
            assert machine.read("/etc/waguard/waguard.yaml") == MINE
            assert "Logs.Verbose=y" in machine.read(CONF)
            assert agent.daemon_pid() == daemon, "the agent was restarted"
            # One that the other version has otherwise: for the way back.
            machine.run("echo '# mine' >>/etc/waguard/web.yml")
        assert machine.read("/etc/waguard/web.yml").endswith("more to say.\n# mine\n# mine\n")
        assert machine.run("ls /etc/waguard").out.split() == ["conf.d", "waguard.yaml", "web.yml", "web.yml.dpkg-dist"]

        apt(machine, "remove", "waguard")
        assert machine.read(CONF) == conf, "the lease did not end with the package"
        assert not machine.run(["systemctl", "list-units", "--plain", "--no-legend", "waguard*"]).out
        apt(machine, "purge", "waguard")
        assert _left(machine, clean) == {KEYRING, "/etc/apt/sources.list.d/waguard.sources"}


DROP_IN = "/etc/systemd/system/{}.d/50-waguard.conf"


@pytest.mark.parametrize("kind", ["deb", "rpm"])
def test_a_removal_ends_the_lease_of_a_guard_that_cannot(packages_lab: Lab, tmp_path: Path, kind: str) -> None:
    """It was stopped, and would not start with its settings anyhow. And what waguard has written for systemd."""
    with packages_lab.machine() as machine:
        agent, guard = Agent(machine), Guard(machine)
        clean = set(machine.run(LISTING).out.split())
        if kind == "deb":
            guard.install()
        else:
            machine.run(["rpm", "-i", send(machine, lab_base(tmp_path, rpm()))])
            _rpm(machine, "-i", send(machine, rpm()))
            machine.run(["systemctl", "enable", "--now", "waguard.service"])
            guard.wait_ready()
        conf, daemon = machine.read(CONF), agent.daemon_pid()
        guard.ctl("verbose", "on", "--for", "2h", "--no-restart")
        guard.ctl("autorestart", "enable")
        mine, alone, edited, shared = (DROP_IN.format(unit) for unit in (UNIT, "alone.service", "edited.service", "shared.service"))
        written = machine.read(mine)
        machine.write(edited, written.replace("RestartSec=5", "RestartSec=6"))
        machine.write(alone, written)
        machine.write(shared, written)
        machine.write(shared.replace("50-waguard", "60-other"), "")
        machine.write("/etc/waguard/conf.d/bad.yaml", "restart: [\n")
        machine.run(["systemctl", "stop", "waguard.service"])
        assert "Logs.Verbose=y" in machine.read(CONF)

        said = _rpm(machine, "-e", "waguard") if kind == "rpm" else apt(machine, "remove", "waguard").out
        assert machine.read(CONF) == conf and agent.daemon_pid() == daemon
        assert "waguardd: verbose logging is off" in said
        assert machine.show(UNIT, "Restart")["Restart"] == "always", "a decision about the agent goes with the package"
        kept = {mine, alone, edited, shared}
        if kind == "deb":
            assert machine.exists("/var/lib/waguard") and not machine.exists("/usr/lib/python3/dist-packages/waguard")
            apt(machine, "purge", "waguard")
            assert machine.show(UNIT, "Restart")["Restart"] == "no" and not machine.exists(alone.rpartition("/")[0])
            assert machine.exists(shared.replace("50-waguard", "60-other"))
            kept = {edited}
        else:
            kept |= {"/etc/waguard"}  # with conf.d/bad.yaml in it
        assert _left(machine, clean) == kept


def _left(machine: Machine, clean: set[str]) -> set[str]:
    """What has waguard in its name and was not there before, but for what apt and dpkg remember."""
    found = machine.run(LISTING).out.split()
    return {path for path in found if not path.startswith(("/var/lib/dpkg/", "/var/lib/apt/lists/", "/var/cache/apt/"))} - clean


def _kept(guard: Guard) -> dict[str, object]:
    """What has to be the same before and after: the lease, the oldest event, settings of the admin's, the ration."""
    lease = json.loads(guard.ctl("verbose", "status", "--json").out)["result"]["lease"]
    del lease["remaining"]
    return {"expiry": guard.metrics()["waguard_verbose_lease_expiry_timestamp_seconds"], "lease": lease,
            "first": guard.events()[0]["seq"], "ration": guard.metrics()["waguard_agent_restart_budget_remaining"]}


def test_apt_takes_nothing_from_a_tampered_repository(packages_lab: Lab, repository: Repository, tmp_path: Path) -> None:
    pristine = tmp_path / "pristine"
    repository.path.rename(pristine)
    with packages_lab.machine(agent=False) as machine:
        subprocess.run(["cp", "-a", pristine, repository.path], check=True)
        serve(machine, repository.path)
        for line in documented("Debian, Ubuntu:")[:2]:
            machine.run(line)
        for what, (tamper, complaint) in TAMPERED.items():
            subprocess.run(["rm", "-rf", repository.path], check=True)
            subprocess.run(["cp", "-a", pristine, repository.path], check=True)
            tamper(repository)
            lay(machine, repository.path)
            machine.run("rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb")
            updated = apt(machine, "update", check=False)
            installed = apt(machine, "install", "waguard", check=False)
            assert installed.rc != 0, what
            assert re.search(complaint, updated.err + installed.err), (what, updated, installed)
            assert not machine.exists("/usr/bin/waguardctl"), what
        lay(machine, pristine)
        apt(machine, "update")
        apt(machine, "install", "waguard")


def test_autopkgtest_passes_on_a_booted_machine(packages_lab: Lab, tmp_path: Path) -> None:
    tree = tmp_path / "waguard"
    (tree / "debian").mkdir(parents=True)
    for name in ("control", "changelog", "tests"):
        subprocess.run(["cp", "-a", TOP / "packaging/debian" / name, tree / "debian"], check=True)
    packed = subprocess.run(["tar", "-c", "-C", tmp_path, "waguard"], check=True, capture_output=True).stdout
    with packages_lab.machine() as machine:
        machine.run("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/*; tar -x -C /srv", stdin=packed)
        deb = send(machine, package())
        # The machine is one that is thrown away, which its `null` runner does not know.
        ran = machine.run(["autopkgtest", "--ignore-restrictions=isolation-container", "--no-built-binaries", deb, "/srv/waguard", "--", "null"],
                          check=False, timeout=300)
        results = dict(re.findall(r"^(\w+) +(PASS|FAIL|SKIP|FLAKY)", (ran.out + ran.err).rpartition("summary")[2], re.MULTILINE))
        said = (ran.out + ran.err).partition("test smoke: [")[2]  # what apt says before that is long
        assert results == {"smoke": "PASS", "restart": "PASS", "scrape": "PASS"}, said
        assert ran.rc == 0, ran


def test_an_rpm_does_on_real_systemd_what_it_should(packages_lab: Lab, tmp_path: Path) -> None:
    """The presets decide, an upgrade keeps what was edited, and nothing is left after the end."""
    with packages_lab.machine() as machine:
        agent, guard = Agent(machine), Guard(machine)
        clean = set(machine.run(LISTING).out.split())
        machine.run(["rpm", "-i", send(machine, lab_base(tmp_path, rpm()))])
        machine.write("/usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n")  # as Fedora and EL
        this, following = send(machine, rpm()), send(machine, next_package("rpm"))
        _rpm(machine, "-i", this)
        for unit in UNITS:
            assert machine.show(unit, "ActiveState", "UnitFileState") == {"ActiveState": "inactive", "UnitFileState": "disabled"}, unit
        assert machine.run(["getent", "passwd", "waguard-exporter"]).out.rstrip().endswith(":/:/sbin/nologin")
        machine.run(["systemd-analyze", "verify", "--man=no", *UNITS])
        assert "waguard has started" in machine.run(["journalctl", "--dump-catalog"]).out
        machine.run(["systemctl", "enable", "--now", "waguard.service", "waguard-exporter.service"])
        guard.wait_ready()
        all_run(machine, version())
        assert machine.run(["rpm", "-V", "waguard"], check=False).out == ""
        assert "<waguard@waguard.example>" in machine.run(["rpm", "-q", "--changelog", "waguard"]).out, "docs/security.md: whom to write to"

        machine.write("/etc/waguard/waguard.yaml", MINE)
        machine.write("/etc/waguard/web.yml", "# mine\n")
        machine.run(["systemctl", "reload", "waguard"])
        conf, daemon = machine.read(CONF), agent.daemon_pid()
        guard.ctl("verbose", "on", "--for", "2h", "--no-restart")
        before = _kept(guard)
        said = _rpm(machine, "-U", following)
        guard.wait_ready()
        all_run(machine, next_version())
        assert (_kept(guard), agent.daemon_pid()) == (before, daemon)
        assert (machine.read("/etc/waguard/waguard.yaml"), machine.read("/etc/waguard/web.yml")) == (MINE, "# mine\n")
        assert machine.run("ls /etc/waguard").out.split() == ["conf.d", "waguard.yaml", "web.yml", "web.yml.rpmnew"]
        assert "web.yml.rpmnew" in said and "The next version" in machine.read("/etc/waguard/web.yml.rpmnew")
        changed = {line.split()[-1] for line in machine.run(["rpm", "-V", "waguard"], check=False).out.splitlines()}
        assert changed == {"/etc/waguard/waguard.yaml", "/etc/waguard/web.yml"}
        _rpm(machine, "-U", "--oldpackage", this)
        guard.wait_ready()
        all_run(machine, version())
        assert _kept(guard) == before

        machine.run("rm /etc/waguard/web.yml.rpmnew")
        _rpm(machine, "-e", "waguard")
        assert machine.read(CONF) == conf, "the lease did not end with the package"
        assert not machine.run(["systemctl", "list-units", "--plain", "--no-legend", "waguard*"]).out
        assert _left(machine, clean) == {"/etc/waguard", "/etc/waguard/waguard.yaml.rpmsave"}
        assert machine.run("ls /etc/waguard").out.split() == ["waguard.yaml.rpmsave", "web.yml.rpmsave"]
        machine.run("rm -r /etc/waguard")
        assert agent.daemon_pid() == daemon


def _rpm(machine: Machine, *words: str) -> str:
    """Runs rpm, and fails when a scriptlet of the package does: rpm itself goes on then."""
    ran = machine.run(["rpm", *words], timeout=120)
    assert "scriptlet failed" not in ran.err and "warning: %" not in ran.err, ran
    return ran.out + ran.err


def test_an_rpm_starts_at_boot_where_a_preset_names_it_and_leaves_nothing(packages_lab: Lab, tmp_path: Path) -> None:
    with packages_lab.machine(boot=False) as machine:
        clean = set(machine.run(LISTING).out.split())
        machine.write("/usr/lib/systemd/system-preset/99-default-disable.preset", "disable *\n")
        machine.write("/usr/lib/systemd/system-preset/50-site.preset", "enable waguard.service\nenable waguard-exporter.service\n")
        machine.run(["rpm", "-i", send(machine, lab_base(tmp_path, rpm()))])
        _rpm(machine, "-i", send(machine, rpm()))  # into an image that is not running
        machine.boot()
        Guard(machine).wait_ready()
        all_run(machine, version())
        machine.write("/var/lib/prometheus/node-exporter/waguard.prom", "old")
        _rpm(machine, "-e", "waguard")
        assert _left(machine, clean) == set()
        assert not machine.exists("/etc/waguard") and not machine.exists("/run/waguard")


STEPS = {
    "dnf": (["dnf", "--assumeyes", "--releasever=1"], [], [], ["upgrade"], ["downgrade", f"waguard-{version()}"], ["remove", "waguard"]),
    "zypper": (["zypper", "--non-interactive"], ["addlock", "waguard"], ["removelock", "waguard"], ["update"], ["install", "--oldpackage", f"waguard={version()}"], ["remove", "waguard"]),
}


@pytest.mark.parametrize(("tool", "system"), [("dnf", "EL, Fedora"), ("zypper", "SUSE:")])
def test_dnf_and_zypper_install_upgrade_and_go_back(packages_lab: Lab, repository: Repository, tmp_path: Path, tool: str, system: str) -> None:
    release = re.sub(r"^.*-1\.|\.noarch\.rpm$", "", rpm().name)
    with packages_lab.machine(agent=False) as machine:
        serve(machine, repository.path)
        machine.run(["rpm", "-i", send(machine, lab_base(tmp_path, rpm()))])
        for line in documented(system, release):
            machine.run(line, timeout=180)
        Guard(machine).ctl("status")
        all_run(machine, version())
        assert repository.publish(next_package("rpm")).returncode == 0
        lay(machine, repository.path)
        machine.run("rm -rf /var/cache/dnf /var/cache/zypp")  # an hour or two later
        call, lock, unlock, *steps = STEPS[tool]
        if lock:  # Debian's plugin that dnf has it from cannot be installed beside zypper.
            machine.run([*call, *lock])
            machine.run([*call, *steps[0]], timeout=180)
            assert machine.run(["rpm", "-q", "--qf", "%{version}", "waguard"]).out == version(), "upgraded all the same"
            machine.run([*call, *unlock])
        for step, now in zip(steps, (next_version(), version(), "")):
            machine.run([*call, *step], timeout=180)
            found = machine.run(["rpm", "-q", "--qf", "%{version}", "waguard"], check=False)
            assert (found.out if found.rc == 0 else "") == now, step
        # And what somebody has put into it is not taken.
        flip(min((repository.path / "rpm" / release).glob("*.rpm")))
        lay(machine, repository.path)
        machine.run("rm -rf /var/cache/dnf /var/cache/zypp")
        refused = machine.run([*call, "install", f"waguard-{version()}" if tool == "dnf" else f"waguard={version()}"], check=False, timeout=180)
        assert refused.rc != 0 and re.search("[Dd]igest|[Cc]hecksum", refused.out + refused.err), refused
        lists = repository.path / "rpm" / release / "repodata/repomd.xml"
        lists.write_text(lists.read_text().replace("<revision>", "<revision>1"))
        lay(machine, repository.path)
        machine.run("rm -rf /var/cache/dnf /var/cache/zypp")
        refused = machine.run([*call, "install", "waguard"], check=False, timeout=180)
        assert refused.rc != 0 and re.search("GPG|[Ss]ignature", refused.out + refused.err), refused
        assert machine.run(["rpm", "-q", "waguard"], check=False).rc != 0
