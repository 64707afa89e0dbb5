"""The gate of tools/check on what systemd thinks of each unit's sandbox: it is passed, and a unit that was loosened does not pass it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GATES = dict(re.findall(r"^tools/exposure systemd/(\S+) (\d+)$", (ROOT / "tools/check").read_text(), re.MULTILINE))


def gate(unit: Path, threshold: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([ROOT / "tools/exposure", unit, threshold], capture_output=True, text=True, timeout=60)


@pytest.fixture(autouse=True)
def systemd_analyze() -> None:
    """In CI a missing one fails; elsewhere it skips."""
    if shutil.which("systemd-analyze") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("systemd-analyze is not installed")


def test_each_service_has_its_gate() -> None:
    assert set(GATES) == {path.name for path in (ROOT / "systemd").glob("*.service")}
    assert int(GATES["waguard-doctor@.service"]) <= 20


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


def test_a_unit_that_cannot_be_rated_does_not_pass(tmp_path: Path) -> None:
    assert gate(tmp_path / "none.service", "100").returncode == 1
