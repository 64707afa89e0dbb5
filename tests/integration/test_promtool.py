"""Prometheus' own linter has nothing to say about our metrics. In CI a missing promtool fails; elsewhere it skips."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from waguard.exporter import metrics

TESTS = Path(__file__).resolve().parents[1]


def _helper() -> ModuleType:
    """tests/promtool.py, wherever pytest was started and however it imports."""
    spec = importlib.util.spec_from_file_location("waguard_tests_promtool", TESTS / "promtool.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def promtool() -> str:
    helper = _helper()
    try:
        return str(helper.find())
    except helper.Missing as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(str(missing))
        pytest.skip(str(missing))


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
