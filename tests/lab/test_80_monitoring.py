"""From a broken agent to somebody's pager: Debian's Prometheus and Alertmanager with the very files of monitoring/.

Only their times are shorter, in proportion: see `hurried`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import yaml

from waguard.exporter import reference

from .agent import Agent
from .doctor import Doctor, doctored
from .extensions import Handler, snapshot
from .fabric import HANDLER, Fabric
from .guard import Guard
from .lab import Lab
from .machine import Machine
from .test_75_doctor_agent import LIBRARY

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
PLACE = "/etc/prometheus/waguard"
RECEIVED = "/var/lib/hook.jsonl"
TARGET = "127.0.0.1:10168"
HOOK = f"""\
import http.server, json
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open({RECEIVED!r}, "a") as file:
            file.write(json.dumps([self.path, told]) + "\\n")
        self.send_response(200)
        self.end_headers()
http.server.ThreadingHTTPServer(("127.0.0.1", 9095), Hook).serve_forever()
"""
_TIME = re.compile(r"^( +(?:for|group_wait|group_interval): )(\d+)([mhd])\b", re.MULTILINE)
_EVERY = re.compile(r"^( +(?:interval|scrape_interval|evaluation_interval): )\d+[smh]\b", re.MULTILINE)


def hurried(name: str) -> str:
    """A file of monitoring/ with 0.4 s for each minute that it waits, and everything looked at once a second."""
    def shorter(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) * {'m': 400, 'h': 24000, 'd': 576000}[match[3]]}ms"

    return _EVERY.sub(r"\g<1>1s", _TIME.sub(shorter, (MONITORING / name).read_text()))


class Chain:
    """Prometheus, Alertmanager and a receiver of its messages in `machine`. It holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def start(self) -> None:
        for name in ("rules.yml", "alerts.yml"):
            self.machine.write(f"{PLACE}/{name}", hurried(name))
        example, found = re.subn(r"targets: \[.*10168.*\]", f'targets: ["{TARGET}"]', hurried("prometheus/static.yml"))
        assert found == 1
        self.machine.write(f"{PLACE}/prometheus.yml", example)
        self.machine.write(f"{PLACE}/alertmanager.yml", hurried("alertmanager.yml"))
        self.machine.write("/opt/lab/hook.py", HOOK)
        for unit, command in (
            ("hook", "python3 /opt/lab/hook.py"),
            ("alertmanager", f"prometheus-alertmanager --config.file={PLACE}/alertmanager.yml --storage.path=/var/lib/chain-am "
                             "--web.listen-address=127.0.0.1:9093 --cluster.listen-address="),
            ("prometheus", f"prometheus --config.file={PLACE}/prometheus.yml --storage.tsdb.path=/var/lib/chain "
                           "--web.listen-address=127.0.0.1:9090"),
        ):
            self.machine.run(f"systemd-run --quiet --unit=chain-{unit} {command}")

    def _get(self, url: str) -> Any:
        return json.loads(self.machine.run(["curl", "-sS", "--fail-with-body", "--max-time", "20", url]).out)

    def ask(self, query: str) -> list[tuple[dict[str, str], float]]:
        """(labels, value) of an instant query. Raises CommandError for one that Prometheus does not take."""
        told = self._get(f"http://127.0.0.1:9090/api/v1/query?{urlencode({'query': query})}")
        assert told["status"] == "success", told
        return [(sample["metric"], float(sample["value"][1])) for sample in told["data"]["result"]]

    def rules(self) -> list[dict[str, Any]]:
        groups = self._get("http://127.0.0.1:9090/api/v1/rules")["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def alerts(self, state: str = ".+") -> set[str]:
        """Those of waguard that are pending or firing."""
        return {labels["alertname"] for labels, _ in self.ask(f'ALERTS{{alertname=~"WAGuard.+",alertstate=~"{state}"}}')}

    def inhibited(self) -> set[str]:
        alerts = self._get("http://127.0.0.1:9093/api/v2/alerts?active=true&inhibited=true")
        return {alert["labels"]["alertname"] for alert in alerts if alert["status"]["inhibitedBy"]}

    def messages(self, status: str) -> dict[str, tuple[str, dict[str, Any]]]:
        """By alert: the receiver's path, and the newest alert of that status ("firing", "resolved") that it got."""
        if not self.machine.exists(RECEIVED):
            return {}
        told = [json.loads(line) for line in self.machine.read(RECEIVED).splitlines()]
        return {alert["labels"]["alertname"]: (path, alert) for path, message in told for alert in message["alerts"]
                if alert["status"] == status}

    def wait_for_message(self, name: str, status: str, timeout: float = 90) -> tuple[str, dict[str, Any]]:
        self.machine.wait_until(lambda: name in self.messages(status), timeout, f"{name} {status}, at its receiver", every=0.5)
        return self.messages(status)[name]

    def wait_for_peace(self) -> None:
        self.machine.wait_until(lambda: not self.alerts(), 120, "the end of all alerts", every=0.5)
        self.machine.run(["rm", "-f", RECEIVED])


@pytest.fixture(scope="module")
def vm(lab: Lab) -> Iterator[Machine]:
    """Well, backed up, with a lease of verbose logging, and scraped."""
    with doctored(lab) as machine:
        # A loop of ends is over at its repair; and more than four starts would be told for six hours (WAGuardAgentRestartsOften).
        machine.write("/etc/waguard/conf.d/soon.yaml", "restart: {reset_after: 3s, backoff_first: 1m}\n")
        machine.run(["systemctl", "reload", "waguard"])
        Doctor(machine).diagnose()
        fabric, agent = Fabric(machine), Agent(machine)
        sequence = fabric.goal_state().incarnation
        agent.wait_for_goal_state(fabric.serve_extension(snapshot("succeed", sequence), package=HANDLER))
        Handler(machine).wait_for_code(sequence, 1)
        Guard(machine).ctl("verbose", "on", "--for", "6h", "--no-restart")
        Chain(machine).start()
        machine.wait_until(lambda: "waguard_log_signature_matches_total" in machine.run(f"curl -sS http://{TARGET}/metrics").out, 60,
                           "the doctor to read of the snapshot", every=0.5)
        yield machine


@pytest.fixture
def chain(vm: Machine) -> Chain:
    chain = Chain(vm)
    vm.wait_until(lambda: chain.ask("job:waguard_backup_ready:sum == 1"), 90, "Prometheus to see that all is well", every=0.5)
    chain.wait_for_peace()
    return chain


def test_the_tools_of_prometheus_and_alertmanager_take_the_files(vm: Machine, chain: Chain) -> None:
    assert "SUCCESS" in vm.run(["promtool", "check", "config", f"{PLACE}/prometheus.yml"]).out
    vm.write("/tmp/alertmanager.yml", (MONITORING / "alertmanager.yml").read_text())
    assert "SUCCESS" in vm.run(["amtool", "check-config", "/tmp/alertmanager.yml"]).out


@pytest.mark.parametrize(("labels", "receiver"), [
    ("severity=critical", "pager"), ("severity=warning", "tickets"), ("severity=info", "mail"), ("", "tickets")])
def test_alerts_go_where_their_severity_says(vm: Machine, chain: Chain, labels: str, receiver: str) -> None:
    ran = vm.run(f"amtool config routes test --config.file={PLACE}/alertmanager.yml alertname=WAGuardAgentDown {labels}")
    assert ran.out.strip() == receiver


def test_on_a_vm_that_is_well_every_rule_works_and_none_fires(vm: Machine, chain: Chain) -> None:
    vm.wait_until(lambda: all(rule["health"] == "ok" for rule in chain.rules()), 30, "every rule to be evaluated", every=0.5)
    rules = chain.rules()
    shipped = [rule for name in ("rules.yml", "alerts.yml") for group in yaml.safe_load((MONITORING / name).read_text())["groups"]
               for rule in group["rules"]]
    assert len(rules) == len(shipped)
    recording = {rule["name"] for rule in rules if rule["type"] == "recording"}
    assert len(recording) > 10
    # A rate is there after the second scrape, and recorded after that.
    vm.wait_until(lambda: all(chain.ask(name) for name in recording), 60, "data of every recording rule", every=0.5)
    assert chain.alerts() == set()


def test_what_is_exposed_is_in_the_reference(vm: Machine, chain: Chain) -> None:
    values, rows = reference.closed(), {row.name: row for row in reference.rows()}
    exposed = chain.ask('{__name__=~"waguard_.+"}')
    for labels, _ in exposed:
        name, own = labels["__name__"], set(labels) - {"__name__", "job", "instance"}
        assert own == {label for label in rows[name].labels if labels.get(label)}, labels
        assert all(labels[label] in values[label] for label in own & set(values)), labels
    missing = set(rows) - {labels["__name__"] for labels, _ in exposed}
    assert missing == set()


def test_the_budget_of_series_is_kept(chain: Chain) -> None:
    """Those of this VM, had it ten extensions."""
    exposed = chain.ask('{__name__=~"waguard_.+"}')
    handlers = sum("handler" in labels for labels, _ in exposed)
    assert len(exposed) - handlers + 10 <= 150, f"{len(exposed)} series with {handlers} extensions"


def queries() -> list[tuple[str, str]]:
    """(panel, PromQL as Grafana would send it) of all dashboards."""
    found = []
    for path in sorted((MONITORING / "grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel.get("targets", ()):
                expr = target["expr"].replace("$job", "waguard").replace("$instance", TARGET).replace("$__rate_interval", "1m")
                assert "$" not in expr
                found.append((f"{path.stem}: {panel['title']}", expr))
    return found


def alarming(expr: str) -> bool:
    """Queries that are only for what is wrong."""
    return "ALERTS" in expr


def test_each_query_of_the_dashboards_has_data(vm: Machine, chain: Chain) -> None:
    calm = [(panel, expr) for panel, expr in queries() if not alarming(expr)]
    assert len(calm) > 50
    vm.wait_until(lambda: all(chain.ask(expr) for _, expr in calm if "[" in expr), 60, "rates", every=0.5)  # after the second scrape
    assert [(panel, expr) for panel, expr in calm if not chain.ask(expr)] == []


def test_an_agent_that_is_dead_for_good_is_told_and_so_is_its_repair(vm: Machine, chain: Chain) -> None:
    agent = Agent(vm)
    vm.run(["mv", LIBRARY, f"{LIBRARY}.gone"])
    try:
        vm.run(["kill", "-9", str(agent.daemon_pid())])
        path, told = chain.wait_for_message("WAGuardAgentDown", "firing")
        assert path == "/pager" and told["labels"]["instance"] == TARGET
        assert TARGET in told["annotations"]["description"]
        page = re.fullmatch("https://github.com/waguard/waguard/blob/main/(docs/runbooks/WAGuardAgentDown.md)",
                            told["annotations"]["runbook_url"])
        assert page is not None and "## Mitigation" in (ROOT / page[1]).read_text()

        vm.wait_until(lambda: {"WAGuardAgentDown", "WAGuardBackupNotReady"} <= chain.alerts("firing"), 90, "the symptom to fire", every=0.5)
        vm.wait_until(lambda: "WAGuardBackupNotReady" in chain.inhibited(), 30, "it to be kept back", every=0.5)
        assert "WAGuardBackupNotReady" not in chain.messages("firing"), "one cause is one page"
        alarms = [(panel, expr) for panel, expr in queries() if alarming(expr)]
        assert len(alarms) == 3
        assert [(panel, expr) for panel, expr in alarms if not chain.ask(expr)] == []
    finally:
        vm.run(["mv", f"{LIBRARY}.gone", LIBRARY])
    vm.run(["waguardctl", "restart", "--force"], timeout=150)
    path, told = chain.wait_for_message("WAGuardAgentDown", "resolved")
    assert path == "/pager" and told["endsAt"] > told["startsAt"]
    chain.wait_for_peace()


@pytest.mark.parametrize(("units", "name"), [
    (["waguard.service"], "WAGuardGuardDown"),
    (["waguard-exporter.socket", "waguard-exporter.service"], "WAGuardTargetDown"),
], ids=["guard", "exporter"])
def test_waguard_itself_is_watched(vm: Machine, chain: Chain, units: list[str], name: str) -> None:
    vm.run(["systemctl", "stop", *units])
    try:
        path, told = chain.wait_for_message(name, "firing")
        assert path == "/tickets" and told["labels"]["severity"] == "warning"
        assert set(chain.messages("firing")) == {name}
    finally:
        vm.run(["systemctl", "start", *units])
    chain.wait_for_message(name, "resolved")
