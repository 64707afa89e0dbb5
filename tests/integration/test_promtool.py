"""Prometheus' own linter has nothing to say about our metrics."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from waguard.exporter import metrics

TESTS = Path(__file__).resolve().parents[1]


def check(promtool: str, exposition: bytes) -> tuple[int, str]:
    run = subprocess.run([promtool, "check", "metrics"], input=exposition, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, timeout=60, check=False)  # fmt: skip
    return run.returncode, run.stdout.decode()


def test_the_linter_lints(promtool: str) -> None:
    code, said = check(promtool, b"# TYPE waguard_bad counter\nwaguard_bad 1\n")
    assert code == 3
    assert "waguard_bad" in said


def test_golden_is_clean(promtool: str) -> None:
    assert check(promtool, (TESTS / "data" / "metrics.prom").read_bytes()) == (0, "")


def test_without_a_guard_it_is_clean(promtool: str) -> None:
    assert check(promtool, metrics.render(None)[0]) == (0, "")


def test_with_everything_known_it_is_clean(promtool: str) -> None:
    snapshot = json.loads((TESTS / "data" / "snapshot.json").read_text())
    snapshot["verbose"]["lease"] = {"expires": 1763560000.0}
    snapshot["agent"]["versions"]["distro"] = "2.12.0.2"
    snapshot["agent"]["state"] = "handler-missing"
    assert check(promtool, metrics.render(snapshot)[0]) == (0, "")
