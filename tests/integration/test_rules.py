"""monitoring/ before Prometheus' own tools: it takes the files, and each alert fires when it should and only then."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

TESTS = Path(__file__).resolve().parents[1]
MONITORING = TESTS.parent / "monitoring"
CASES = sorted((MONITORING / "tests").glob("*.yml"))
RULES = [rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]]


def run(promtool: str, *words: str) -> tuple[int, str]:
    done = subprocess.run([promtool, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120, check=False)
    return done.returncode, done.stdout


@pytest.mark.parametrize("name", ["alerts.yml", "rules.yml"])
def test_promtool_takes_the_rules(promtool: str, name: str) -> None:
    code, said = run(promtool, "check", "rules", "--lint-fatal", str(MONITORING / name))
    assert code == 0, said


@pytest.mark.parametrize("path", sorted((MONITORING / "prometheus").glob("*.yml")), ids=lambda path: path.stem)
def test_promtool_takes_the_scrape_examples(promtool: str, path: Path) -> None:
    code, said = run(promtool, "check", "config", "--syntax-only", str(path))  # the files it names are not on this machine
    assert code == 0, said


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(promtool: str, path: Path) -> None:
    code, said = run(promtool, "test", "rules", str(path))
    assert code == 0, said


@pytest.mark.parametrize("name", [rule["alert"] for rule in RULES])
def test_each_alert_has_a_case_of_firing_and_one_of_a_fault_that_is_none(name: str) -> None:
    """Two tests of their own, for that an alert is silent before its time shows only that it has one."""
    tests = [test for path in CASES for test in yaml.safe_load(path.read_text())["tests"]]
    cases = {test["name"]: [bool(case["exp_alerts"]) for case in test["alert_rule_test"] if case["alertname"] == name] for test in tests}
    assert any(True in fired for fired in cases.values())
    assert any(fired and True not in fired for fired in cases.values())


def broken(rule: dict[str, Any], how: str) -> dict[str, Any]:
    """The rule with one fault."""
    if how == "never":
        return {**rule, "expr": f"({rule['expr']}) and on () (vector(1) == 0)"}
    return {key: value for key, value in rule.items() if key != "for"}


@pytest.mark.parametrize("how", ["never", "at once"])
def test_a_broken_alert_does_not_pass(promtool: str, tmp_path: Path, how: str) -> None:
    """That the cases can fail: for each alert, and for each way in which a change may break one."""
    passed = []
    for rule in (rule for rule in RULES if "for" in rule or how != "at once"):
        name = rule["alert"]
        (tmp_path / "alerts.yml").write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": [broken(rule, how)]}]}))
        tests = [{**test, "alert_rule_test": mine} for path in CASES for test in yaml.safe_load(path.read_text())["tests"]
                 for mine in [[case for case in test["alert_rule_test"] if case["alertname"] == name]] if any(case["exp_alerts"] for case in mine)]
        (tmp_path / "cases.yml").write_text(json.dumps(
            {"rule_files": ["alerts.yml"], "evaluation_interval": "5m" if _hours(tests) else "1m", "tests": tests}))
        code, said = run(promtool, "test", "rules", str(tmp_path / "cases.yml"))
        if code == 0:
            passed.append(name)
        else:
            assert name in said, said
    assert passed == []


def _hours(tests: list[dict[str, Any]]) -> bool:
    return any(int(case["eval_time"][:-1]) > 120 for test in tests for case in test["alert_rule_test"])
