"""A small fleet before a real Prometheus with the shipped rules, and the shards of monitoring/fleet."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bench.fleet import measure, prometheus, sizing
from bench.fleet.__main__ import RESULT

FLEET = measure.ROOT / "monitoring" / "fleet"
COUNT = 50


@pytest.fixture(scope="module")
def running(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[prometheus.Prometheus, measure.Fleet]]:
    folder = tmp_path_factory.mktemp("fleet")
    with measure.fleet(COUNT, 1) as vms:
        (folder / "targets.json").write_text(vms.targets())
        with prometheus.Prometheus(folder, measure.config(folder, 2, 1)) as server:
            yield server, vms


def by_instance(server: prometheus.Prometheus, expression: str) -> dict[str, float]:
    return {labels["instance"]: value for labels, value in server.query(expression)}


def test_every_target_that_answers_is_up_with_all_its_series_and_no_other(
    running: tuple[prometheus.Prometheus, measure.Fleet]
) -> None:
    server, vms = running
    nobody = {measure.instance(number) for number in range(COUNT, COUNT + vms.nobody)}
    deadline = time.monotonic() + 30
    while True:  # a VM may change between two looks
        told, up = vms.told(), by_instance(server, 'up{job="waguard"}')
        scraped = by_instance(server, 'scrape_samples_scraped{job="waguard"}')
        wanted = {**dict.fromkeys(nobody, 0), **{name: series or 0 for name, series in told.items()}}
        if len(told) == COUNT and scraped == wanted:
            break
        assert time.monotonic() < deadline, (wanted, scraped)
        time.sleep(0.5)
    assert {name for name, value in up.items() if value == 1} == {name for name, series in told.items() if series}
    assert sum(1 for value in up.values() if value == 0) >= vms.nobody > 0
    in_store = by_instance(server, 'count by (instance) ({__name__=~"waguard_.+",job="waguard"})')
    assert {name: value for name, value in in_store.items() if up[name]} == {name: float(series) for name, series in told.items() if series}
    assert len({round(value) for value in scraped.values()}) > 3, "the VMs are all alike"


def test_all_shipped_rules_are_evaluated_without_an_error(running: tuple[prometheus.Prometheus, measure.Fleet]) -> None:
    server, _ = running
    deadline = time.monotonic() + 30
    while True:
        groups = server.api("rules")["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        if rules and all(rule["health"] == "ok" for rule in rules):
            break
        assert not [rule for rule in rules if rule["health"] == "err"]
        assert time.monotonic() < deadline, [rule["name"] for rule in rules if rule["health"] != "ok"]
        time.sleep(0.5)
    shipped = sum(len(re.findall(r"(?m)^\s+- (?:alert|record):", path.read_text())) for path in measure.RULES)
    assert len(rules) == shipped > 20
    own = server.own()
    assert measure._sum(own, "prometheus_rule_evaluation_failures_total") == 0
    for name in (rule["name"] for rule in rules if rule["type"] == "recording" and rule["name"].startswith("job:waguard_guard_up")):
        assert server.value(name) >= 1


def test_a_measurement_has_all_that_the_page_is_made_of(running: tuple[prometheus.Prometheus, measure.Fleet]) -> None:
    server, vms = running
    found = measure._watch(server, vms, 2, 8)
    assert found["targets"] == COUNT + vms.nobody
    assert found["up"] <= COUNT and found["head_series"] > 100 * found["up"]
    assert 0 < found["scrape_seconds_p50"] <= found["scrape_seconds_p99"] < 1
    assert found["samples_per_second"] > 1000
    assert found["resident_bytes"] > found["live_heap_bytes"] > 1 << 20
    assert found["wal_bytes_per_sample"] > 0
    assert found["rules"]["failures"] == 0 and found["rules"]["unhealthy"] == []
    assert all(group["seconds"] > 0 for group in found["rules"]["groups"])


SHARDS = ("prometheus-shard.yml", "prometheus-shard-mimir.yml")


@pytest.mark.parametrize("name", SHARDS)
def test_the_shards_files_are_good(promtool: str, tmp_path: Path, name: str) -> None:
    (tmp_path / "password").touch()
    text = (FLEET / name).read_text().replace("/etc/prometheus/mimir.password", f"{tmp_path}/password")
    (tmp_path / "prometheus.yml").write_text(text.replace("/etc/prometheus/waguard/alerts.yml", str(measure.RULES[1])))
    run = subprocess.run([promtool, "check", "config", str(tmp_path / "prometheus.yml")], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stdout


@pytest.mark.parametrize("name", SHARDS)
def test_the_shards_share_all_vms_and_no_two_take_the_same(promtool: str, tmp_path: Path, name: str) -> None:
    """The job of the shipped file with each number in turn, all in one Prometheus: its own discovery and relabelling."""
    addresses = [f"127.99.0.{number}:1" for number in range(1, 201)]  # where nobody listens
    (tmp_path / "targets.json").write_text(json.dumps([{"targets": addresses}]))
    text = (FLEET / name).read_text().replace("/etc/prometheus/waguard/targets/*.json", f"{tmp_path}/targets.json")
    jobs = []
    for shard in range(int(re.search(r"modulus: (\d+)", text)[1])):  # type: ignore[index]
        (job,) = yaml.safe_load(text.replace('regex: "0"', f'regex: "{shard}"'))["scrape_configs"]
        jobs.append({**job, "job_name": str(shard)})
    with prometheus.Prometheus(tmp_path, json.dumps({"scrape_configs": jobs})) as server:
        deadline = time.monotonic() + 30
        while len(found := server.api("targets", state="active")["activeTargets"]) < len(addresses):
            assert time.monotonic() < deadline, f"{len(found)} of {len(addresses)}"
            time.sleep(0.2)
    assert sorted(target["labels"]["instance"] for target in found) == sorted(addresses)
    assert len({target["labels"]["job"] for target in found}) == len(jobs) > 1, "a shard has no VM"


@pytest.mark.parametrize("name", ["mimir.yml", "bucket.yml"])
def test_what_we_have_no_program_for_is_at_least_yaml(name: str) -> None:
    assert isinstance(yaml.safe_load((FLEET / name).read_text()), dict)


def test_mimir_takes_a_group_of_ours_and_the_fleet_of_the_page() -> None:
    limits = yaml.safe_load((FLEET / "mimir.yml").read_text())["limits"]
    groups = yaml.safe_load(measure.RULES[0].read_text())["groups"]
    assert max(len(group["rules"]) for group in groups) <= limits["ruler_max_rules_per_rule_group"]
    largest = sizing.fleet(sizing.ratios(json.loads(RESULT.read_text())), 100_000, 60)
    assert largest.series < limits["max_global_series_per_user"]
    assert largest.samples_per_second < limits["ingestion_rate"] < limits["ingestion_burst_size"]
