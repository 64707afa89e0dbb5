"""One run: a fleet of so many VMs, one Prometheus with the shipped rules, and what it takes."""

from __future__ import annotations

import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Optional

from bench.fleet.prometheus import Broken, Prometheus

ROOT = Path(__file__).resolve().parents[2]
RULES = tuple(ROOT / "monitoring" / name for name in ("rules.yml", "alerts.yml"))
NOBODY = 0.005
"""Share of the targets at whose address nobody listens."""
_OWN = 5
"""Series that Prometheus itself makes a target: up and four of scrape_*."""


class Fleet:
    """The simulator as a process, and the file_sd file that names its VMs."""

    def __init__(self, process: subprocess.Popen[str], port: int, count: int, closed: int) -> None:
        self._process = process
        self.port = port
        self.count = count
        self.nobody = max(1, int(count * NOBODY))
        self._closed = closed

    def told(self) -> dict[str, Optional[int]]:
        """By instance: series of the last answer; None for none."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/told")
        told = json.loads(connection.getresponse().read())
        connection.close()
        return {instance(int(number)): series for number, series in told.items()}

    def targets(self) -> str:
        """For file_sd_configs: the VMs of the simulator, and some more where nobody listens."""
        groups = [{"targets": [f"127.0.0.1:{self.port if number < self.count else self._closed}"],
                   "labels": {"__metrics_path__": f"/vm/{number}/metrics", "instance": instance(number)}}
                  for number in range(self.count + self.nobody)]
        return json.dumps(groups)

    def cpu_seconds(self) -> float:
        """That the simulator has used: not part of what is measured, but it shares the machine with it."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


def instance(number: int) -> str:
    return f"vm-{number:06d}"


@contextmanager
def fleet(count: int, seed: int) -> Iterator[Fleet]:
    """A simulator that is ready, ended at the end of the block."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and never listened at: whoever connects is refused
        process = subprocess.Popen([sys.executable, "-m", "bench.fleet.server", str(count), str(seed)], cwd=ROOT, text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            port = process.stdout.readline().strip()
            if not port:
                raise Broken("the simulator does not start")
            yield Fleet(process, int(port), count, taken.getsockname()[1])
        finally:
            process.stdin.close()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def config(folder: Path, interval: int, timeout: int) -> str:
    """prometheus.yml: one job, the targets of ``folder``/targets.json, the shipped rules.

    A run too short for a rule's own interval (a minute and more) gets copies with that of the scrapes.
    """
    rules = RULES
    if interval < 10:
        rules = tuple(folder / path.name for path in RULES)
        for path, copy in zip(RULES, rules):
            copy.write_text(re.sub(r"(?m)^( +interval:).*$", rf"\1 {interval}s", path.read_text()))
    return json.dumps({  # JSON is YAML
        "global": {"scrape_interval": f"{interval}s", "scrape_timeout": f"{timeout}s"},
        "rule_files": [str(path) for path in rules],
        "scrape_configs": [{"job_name": "waguard", "file_sd_configs": [{"files": [f"{folder}/targets.json"]}]}]})


def run(count: int, seed: int, interval: int, seconds: float) -> Mapping[str, Any]:
    """One measurement of about ``seconds``. Raises Broken."""
    with tempfile.TemporaryDirectory(prefix="waguard-fleet-") as name, fleet(count, seed) as vms:
        folder = Path(name)
        (folder / "targets.json").write_text(vms.targets())
        with Prometheus(folder, config(folder, interval, min(10, interval))) as prometheus:
            return _watch(prometheus, vms, interval, seconds)


def _watch(prometheus: Prometheus, vms: Fleet, interval: int, seconds: float) -> Mapping[str, Any]:
    """Lets it run, looks now and then, and sums up. The first two rounds of scrapes are warming up."""
    time.sleep(2 * interval)
    begun, first, simulated, busy = time.monotonic(), prometheus.check(), vms.cpu_seconds(), _busy()
    looks: list[dict[str, float]] = []
    groups: dict[str, dict[str, float]] = {}
    while time.monotonic() - begun < seconds - 2 * interval:
        time.sleep(min(10.0, interval))
        looks.append(prometheus.check())
        for group in prometheus.api("rules")["groups"]:
            if not group["lastEvaluation"].startswith("0001"):
                groups.setdefault(group["name"], {})[group["lastEvaluation"]] = group["evaluationTime"]
    took, last = time.monotonic() - begun, looks[-1]
    cpu, simulator = _grown(first, last, "process_cpu_seconds_total") / took, (vms.cpu_seconds() - simulated) / took
    others = (_busy() - busy) / took - cpu - simulator
    told = vms.told()
    return {
        "targets": vms.count + vms.nobody, "seconds": round(took), "interval": interval,
        "up": int(prometheus.value('count(up{job="waguard"} == 1)')), "answered": sum(1 for series in told.values() if series),
        "series_per_target": round(prometheus.value("avg(scrape_samples_scraped{job=\"waguard\"} > 10)") + _OWN, 1),
        "series_per_target_most": int(prometheus.value("max(scrape_samples_scraped{job=\"waguard\"})")) + _OWN,
        "head_series": int(last["prometheus_tsdb_head_series"]),
        "resident_bytes": int(max(look["process_resident_memory_bytes"] for look in looks)),
        "live_heap_bytes": int(min(look["go_memstats_heap_alloc_bytes"] for look in looks[-min(6, len(looks)):])),
        "samples_per_second": round(_grown(first, last, _APPENDED) / took, 1),
        "cpu_seconds_per_second": round(cpu, 4), "simulator_cpu": round(simulator, 4), "others_cpu": round(max(0.0, others), 4),
        "scrape_seconds_p50": _quantile(prometheus, 0.5), "scrape_seconds_p99": _quantile(prometheus, 0.99),
        "interval_p99": last.get(f'prometheus_target_interval_length_seconds{{interval="{interval}s",quantile="0.99"}}'),
        "wal_bytes_per_sample": round(_size(prometheus.folder / "data" / "wal") / _sum(last, _APPENDED), 2),
        "rules": _rules(prometheus, groups, last), "alerts": _alerts(prometheus)}


_APPENDED = "prometheus_tsdb_head_samples_appended_total"


def _sum(look: Mapping[str, float], name: str) -> float:
    """Over all labels: newer versions have some where older ones have none."""
    return sum(value for series, value in look.items() if series.partition("{")[0] == name)


def _grown(first: Mapping[str, float], last: Mapping[str, float], name: str) -> float:
    return _sum(last, name) - _sum(first, name)


def _quantile(prometheus: Prometheus, quantile: float) -> float:
    """Of the durations of scrapes that were answered."""
    answered = 'scrape_duration_seconds{job="waguard"} and up{job="waguard"} == 1'
    return round(prometheus.value(f"quantile({quantile}, {answered})"), 5)


def _busy() -> float:
    """CPU seconds that this machine has worked, whoever for: proc(5), /proc/stat."""
    ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    return (sum(ticks) - ticks[3] - ticks[4]) / 100


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _rules(prometheus: Prometheus, times: Mapping[str, Mapping[str, float]], last: Mapping[str, float]) -> Mapping[str, Any]:
    """``times``: of each group its evaluations that were seen, by their beginning. Of them the median and the slowest."""
    found = prometheus.api("rules")["groups"]
    groups = []
    for group in found:
        seen = list(times.get(group["name"], {"": 0.0}).values())
        groups.append({"name": group["name"], "rules": len(group["rules"]), "interval": group["interval"], "seen": len(seen),
                       "seconds": round(statistics.median(seen), 5), "seconds_most": round(max(seen), 5)})
    return {"groups": groups, "failures": int(_sum(last, "prometheus_rule_evaluation_failures_total")),
            "missed": int(_sum(last, "prometheus_rule_group_iterations_missed_total")),
            "unhealthy": [rule["name"] for group in found for rule in group["rules"] if rule["health"] == "err"]}


def _alerts(prometheus: Prometheus) -> Mapping[str, int]:
    states = [alert["state"] for alert in prometheus.api("alerts")["alerts"]]
    return {state: states.count(state) for state in ("pending", "firing")}
