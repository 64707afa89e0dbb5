"""The fixtures of the lab. Most tests need only these:

    def test_…(machine, fabric, agent): …

    machine   a booted machine of the test's own, with the agent turning its loop (a second and a half)
    fabric    its Azure: moods, request log
    agent     its waagent: pids, log, signs of life
    vm        a machine of the module's own, with the agent and the guard, for a doctor: who breaks something mends it
    doctor    the doctor of that machine
    packages_lab, repository: machines with rpm, dnf, zypper, autopkgtest and Ansible in them, and what they have packages from
    lab       for tests that want something else: `with lab.machine(agent=False) as machine`, two machines, …
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from . import artefacts
from .agent import Agent
from .copies import sweep
from .doctor import Doctor, doctored
from .fabric import Fabric
from .guard import package
from .lab import Lab
from .machine import Machine
from .repobuild import Repository, rpm
from .repoclient import URL
from .reporoot import cached_rpm_root
from .root import CACHE, cached_root, prepare_host

MACHINES = CACHE / "machines"
LAB = pytest.StashKey[Lab]()


@pytest.fixture(scope="session")
def lab_root(request: pytest.FixtureRequest) -> Path:
    """The cached root, which nobody may change. Built if need be, which takes a minute or two and says so."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        artefacts.forget()
        prepare_host()
        for name in sweep(MACHINES):
            print(f"lab: cleaned up after {name}, whose run was killed")
        return cached_root()


@pytest.fixture(scope="session")
def lab(lab_root: Path, request: pytest.FixtureRequest) -> Lab:
    return request.config.stash.setdefault(LAB, Lab(lab_root, MACHINES))


@pytest.fixture(scope="session")
def packages_lab(lab_root: Path) -> Lab:
    """Machines with rpm, dnf, zypper and autopkgtest in them."""
    return Lab(cached_rpm_root(lab_root), MACHINES)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """One with this version in it."""
    repository = Repository(tmp_path, URL)
    said = repository.publish(package(), rpm())
    assert said.returncode == 0, said.stderr
    return repository


@pytest.fixture
def machine(lab: Lab) -> Iterator[Machine]:
    with lab.machine() as machine:
        yield machine


@pytest.fixture(scope="module")
def vm(lab: Lab) -> Iterator[Machine]:
    with doctored(lab) as machine:
        yield machine


@pytest.fixture
def doctor(vm: Machine) -> Doctor:
    return Doctor(vm)


@pytest.fixture
def fabric(machine: Machine) -> Fabric:
    return Fabric(machine)


@pytest.fixture
def agent(machine: Machine) -> Agent:
    return Agent(machine)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """After a failure, while the machines are still there: keeps what can be known of them, and says where."""
    report = yield
    lab = item.config.stash.get(LAB, None)
    if report.failed and lab:
        directory = lab.document(item.nodeid) or artefacts.directory_for(item.nodeid)
        if directory.exists():
            report.sections.append(("lab artefacts", str(directory)))
    return report
