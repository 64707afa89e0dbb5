"""Gates of `make check`, `make rpm` and `make lab`: what should not pass them does not."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GATES = dict(re.findall(r"^tools/exposure systemd/(\S+) (\d+)$", (ROOT / "tools/check").read_text(), re.MULTILINE))


# What systemd thinks of each unit's sandbox


@pytest.fixture
def systemd_analyze() -> None:
    """In CI a missing one fails; elsewhere it skips."""
    if shutil.which("systemd-analyze") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("systemd-analyze is not installed")


def gate(unit: Path, threshold: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "tools/exposure", unit, threshold], capture_output=True, text=True, timeout=60)


def test_each_service_has_its_gate() -> None:
    assert set(GATES) == {path.name for path in (ROOT / "systemd").glob("*.service")}
    assert int(GATES["waguard-doctor@.service"]) <= 20


@pytest.mark.usefixtures("systemd_analyze")
@pytest.mark.parametrize("unit", sorted(GATES))
def test_a_unit_passes_and_does_not_when_it_is_loosened(unit: str, tmp_path: Path) -> None:
    passed = gate(ROOT / "systemd" / unit, GATES[unit])
    assert passed.returncode == 0 and re.search(r"exposure level .*: \d\.\d", passed.stdout), passed
    text = (ROOT / "systemd" / unit).read_text()
    loose = text.replace("CapabilityBoundingSet=\n", "").replace("NoNewPrivileges=yes\n", "").replace("PrivateDevices=yes\n", "")
    assert len(text.splitlines()) - len(loose.splitlines()) == 3
    (tmp_path / unit).write_text(loose)
    refused = gate(tmp_path / unit, GATES[unit])
    assert refused.returncode == 1 and "worse than" in refused.stderr, refused


@pytest.mark.usefixtures("systemd_analyze")
def test_a_unit_that_cannot_be_rated_does_not_pass(tmp_path: Path) -> None:
    assert gate(tmp_path / "none.service", "100").returncode == 1


# Packages


@pytest.mark.parametrize("there", [[], ["waguard_1_all.deb"], ["waguard-1-1.noarch.rpm"]])
def test_the_linters_do_not_pass_packages_that_are_not_there(tmp_path: Path, there: list[str]) -> None:
    for folder in ("packaging", "dist"):
        (tmp_path / folder).mkdir()
    for program in ("lint", "need"):
        shutil.copy2(ROOT / "packaging" / program, tmp_path / "packaging")
    for name in there:
        (tmp_path / "dist" / name).touch()
    ran = subprocess.run([tmp_path / "packaging/lint"], capture_output=True, text=True, timeout=60)
    assert ran.returncode == 1 and "lint: no dist/*." in ran.stderr, ran


@pytest.mark.parametrize(("log", "said"), [
    ("x\n2433 passed, 9 skipped in 164.73s (0:02:44)\ny\n", "2433 passed, 9 skipped"), ("===== 1 skipped, 3 passed in 0.12s =====\n", "1 skipped, 3 passed"),
    ("9 skipped in 1.00s\n", ""), ("no tests ran in 0.01s\n", ""), ("0 passed in 1.00s\n", ""), ("+ exit 0\n", ""), ("", ""),
])
def test_an_rpm_whose_tests_were_not_run_is_none(tmp_path: Path, log: str, said: str) -> None:
    (tmp_path / "build.log").write_text(log)
    ran = subprocess.run([ROOT / "packaging/tests-run", tmp_path / "build.log"], capture_output=True, text=True, timeout=60)
    assert (ran.returncode, said in ran.stdout) == (0 if said else 1, True), ran


# The lab


def test_no_lab_test_at_all_is_a_failure_unless_some_were_picked() -> None:
    # Without what `make test ARGS=…` hands down to this make.
    environment = {name: value for name, value in os.environ.items() if name != "ARGS" and not name.startswith(("MAKE", "MFLAGS"))}

    def plan(*words: str) -> list[str]:
        ran = subprocess.run(["make", "--dry-run", "lab", *words], cwd=ROOT, env=environment, check=True, capture_output=True, text=True,
                             timeout=60)
        return [line for line in ran.stdout.splitlines() if "pytest tests/lab" in line]

    assert ["[ $? = 5 ]" in line for line in plan("ARGS=-k name")] == [True, True]
    assert ["||" in line for line in plan()] == [False, False]
