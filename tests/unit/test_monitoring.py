"""monitoring/ and its pages: what they name exists, what can go wrong has an alert, and what is made from the code is up to date."""

from __future__ import annotations

import importlib.util
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from waguard.ctl import main as ctl
from waguard.exporter import metrics, reference
from waguard.judge.catalogue import CATALOGUE, Severity

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"
PAGES = ROOT / "docs/runbooks"
HOME = "https://github.com/waguard/waguard/blob/main/docs/runbooks/"
SECTIONS = ["Meaning", "Impact", "Diagnosis", "Mitigation"]
FOREIGN = {"up", "ALERTS", "node_textfile_mtime_seconds"}
TARGET = {"job", "instance"}


def _load(path: Path) -> Any:
    """A program that is no module of a package."""
    spec = importlib.util.spec_from_file_location(f"waguard_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


runbooks = _load(MONITORING / "runbooks.py")
GROUPS = [group for name in ("alerts.yml", "rules.yml") for group in yaml.safe_load((MONITORING / name).read_text())["groups"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for group in GROUPS for rule in group["rules"] if "alert" in rule}
RECORDS: dict[str, str] = {rule["record"]: rule["expr"] for group in GROUPS for rule in group["rules"] if "record" in rule}
BOOKS = {path.stem: path.read_text() for path in sorted(PAGES.glob("*.md"))}
BOARDS: dict[str, Any] = {path.stem: json.loads(path.read_text()) for path in sorted((MONITORING / "grafana").glob("*.json"))}
ROWS = {row.name: row for row in reference.rows()}
COVERED: dict[str, list[str]] = runbooks.covered(BOOKS)


def panels() -> Iterator[tuple[str, dict[str, Any]]]:
    """(dashboard, panel), without rows."""
    for name, board in BOARDS.items():
        yield from ((name, panel) for panel in board["panels"] if panel["type"] != "row")


def queries() -> Iterator[tuple[str, str]]:
    """(where, PromQL) of everything that is shipped."""
    for name, rule in ALERTS.items():
        yield name, rule["expr"]
    yield from RECORDS.items()
    for name, panel in panels():
        yield from ((f"{name}: {panel['title']}", target["expr"]) for target in panel["targets"])
    for name, board in BOARDS.items():
        yield from ((name, variable["definition"]) for variable in board["templating"]["list"] if "definition" in variable)
    for name, text in BOOKS.items():
        yield from ((name, words) for words in re.findall(r"`([^`\n]*(?:waguard_|up\{)[^`\n]*)`", text))


QUERIES = list(queries())
NAME = re.compile(r"(?<![\w:])(?:[a-z_]+:)?(?:waguard_[a-z0-9_]+|ALERTS|up|node_[a-z_]+)(?::[a-z0-9]+)?(?![\w:])")


def names(query: str) -> list[str]:
    """Metrics in a query, without what stands in quotes."""
    return NAME.findall(re.sub(r'"(?:\\.|[^"\\])*"', '""', query))


# Metrics and labels


def test_the_reference_is_that_of_the_code() -> None:
    assert (ROOT / "docs/metrics.md").read_text() == reference.markdown(), "python3 -m waguard.exporter.reference > docs/metrics.md"
    assert set(reference.ABSENT) == {name[len("waguard_"):] for name in ROWS}
    labels = {label for row in ROWS.values() for label in row.labels}
    assert labels == set(reference.OPEN) | set(reference.closed())


def test_the_reference_agrees_with_what_is_exposed() -> None:
    snapshot = json.loads((ROOT / "tests/data/snapshot.json").read_text())
    snapshot["verbose"]["lease"] = {"expires": 1763560000.0}
    exposed = {line.split()[2]: line.split()[3] for line in metrics.render(snapshot)[0].decode().splitlines() if line.startswith("# TYPE")}
    assert exposed == {row.name: row.kind for row in ROWS.values()}


@pytest.mark.parametrize(("name", "unit"), [
    ("agent_up", "0 or 1"), ("agent_start_timestamp_seconds", "seconds since 1970-01-01 UTC"), ("probe_duration_seconds", "seconds"),
    ("agent_cpu_seconds_total", "seconds"), ("agent_exits_total", "a count"), ("log_tree_bytes", "bytes"), ("agent_info", "always 1"),
    ("agent_restart_budget_remaining", "restarts"), ("finding_active", "0 or 1"),
])
def test_units(name: str, unit: str) -> None:
    assert ROWS[f"waguard_{name}"].unit == unit


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_every_metric_that_is_named_exists(where: str, query: str) -> None:
    found = names(query)
    assert found, query
    assert set(found) <= {*ROWS, *RECORDS, *FOREIGN}
    if where in RECORDS:
        assert not set(found) & set(RECORDS), "a rule of one group must not need another's"


@pytest.mark.parametrize(("where", "query"), QUERIES, ids=[where for where, _ in QUERIES])
def test_every_label_and_value_that_is_asked_for_exists(where: str, query: str) -> None:
    values = reference.closed()
    for name, matchers in re.findall(r"(waguard_[a-z0-9_]+)\{([^{}]*)\}", query.replace("$job", "").replace("$instance", "")):
        if name not in ROWS:
            continue
        for label, operator, text in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
            assert label in {*ROWS[name].labels, *TARGET}, f"{name} has no label {label}"
            if label in values:
                wanted = text.split("|") if "~" in operator else [text]
                assert set(wanted) <= set(values[label]), f"{label} is never {sorted(set(wanted) - set(values[label]))}"


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_recording_rules_are_named_by_what_they_do(name: str) -> None:
    level, metric, operations = name.split(":")
    by = re.findall(r"by \(([^)]*)\)", RECORDS[name])
    assert by and {tuple(found.split(", ")) for found in by} == {tuple(by[0].split(", "))}
    assert level == "_".join(by[0].split(", "))
    assert "instance" not in by[0], "a series a VM would cost as much as the VMs"
    assert {metric, f"{metric}_total"} & set(names(RECORDS[name]))
    assert operations in ("sum", "count", "avg", "rate5m") and operations.rstrip("5m") in RECORDS[name]


def full(extensions: int) -> dict[str, Any]:
    """A snapshot in which all is known, of a VM with so many extensions, on which a lease is held and nothing is wrong."""
    closed = reference.closed()
    snapshot: dict[str, Any] = json.loads((ROOT / "tests/data/snapshot.json").read_text())
    snapshot["agent"]["outdated"] = dict.fromkeys(closed["reference"], False)
    snapshot["verbose"]["lease"] = {"expires": 1763560000.0}
    snapshot["catalogue"] = {entry.id: entry.severity.value for entry in CATALOGUE.values()}
    snapshot["observers"] = {name: {"success": True, "duration": 0.1, "last_success": 1.0} for name in closed["observer"]}
    snapshot["probes"] = {name: {"success": True, "duration": 0.1} for name in closed["target"]}
    snapshot["counters"]["log_records"] = {source: dict.fromkeys(closed["level"] if source == "waagent" else ("INFO",), 1)
                                           for source in closed["source"]}
    snapshot["extensions"] = {f"Vendor.Product.Extension{number}": True for number in range(extensions)}
    snapshot["logs"]["signatures"] = {}
    return snapshot


def test_a_vm_with_ten_extensions_costs_at_most_150_series() -> None:
    series = [sample.labels for metric in metrics.families(full(10)) for sample in metric.samples]
    assert sum(labels.keys() == {"handler"} for labels in series) == 10
    assert len(series) <= 150


# Alerts and runbooks


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_has_what_somebody_needs_at_night(name: str) -> None:
    rule = ALERTS[name]
    assert re.fullmatch("WAGuard([A-Z][a-z]+)+", name)
    assert rule["labels"] == {"severity": rule["labels"]["severity"]} and rule["labels"]["severity"] in ("critical", "warning", "info")
    notes = rule["annotations"]
    assert notes.keys() == {"summary", "description", "runbook_url"}
    assert "{{" not in notes["summary"] and notes["summary"].endswith(".")
    assert "$labels.instance" in notes["description"] or name in ("WAGuardManyTargetsDown", "WAGuardAbsent")
    assert notes["runbook_url"] == f"{HOME}{name}.md"
    assert name in BOOKS


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_an_alert_has_patience(name: str) -> None:
    """What the guard repairs and what a missed scrape hides is not told to people."""
    if "for" in ALERTS[name]:
        amount, unit = int(ALERTS[name]["for"][:-1]), ALERTS[name]["for"][-1]
        assert amount * {"m": 1, "h": 60, "d": 1440}[unit] >= 5
    else:
        assert re.search(r"increase\(.*\[\d+h\]\)", ALERTS[name]["expr"])
    bare = re.sub(r"(?:last_over_time|increase)\(waguard_\w+(?:\{[^}]*\})?\[\w+\]\)|absent\(waguard_\w+\)", "", ALERTS[name]["expr"])
    assert "waguard_" not in re.sub(r'"[^"]*"', "", bare), "one missed scrape would begin it anew"


def test_names_of_groups_and_rules_are_there_once() -> None:
    assert len({group["name"] for group in GROUPS}) == len(GROUPS)
    assert all(group["interval"] in ("1m", "5m") for group in GROUPS)
    assert len(ALERTS) + len(RECORDS) == sum(len(group["rules"]) for group in GROUPS)


def test_each_finding_that_matters_has_one_alert() -> None:
    told = [finding for findings in COVERED.values() for finding in findings]
    assert len(told) == len(set(told))
    grave = {entry.id for entry in CATALOGUE.values() if entry.severity is not Severity.INFO}
    assert grave - set(told) == set()


@pytest.mark.parametrize("name", sorted(ALERTS))
def test_the_page_speaks_of_the_findings_that_the_alert_asks_for(name: str) -> None:
    asked = {word for words in re.findall(r'finding=~?"([^"]*)"', ALERTS[name]["expr"]) for word in words.split("|")}
    refused = {word for words in re.findall(r'finding!~"([^"]*)"', ALERTS[name]["expr"]) for word in words.split("|")}
    if asked:
        assert asked == set(COVERED[name])
    if refused:
        (severity,) = re.findall(r'[^_]severity="(\w+)"', ALERTS[name]["expr"])
        assert refused == {entry.id for entry in CATALOGUE.values() if entry.severity.value == severity} - set(COVERED[name])


def test_pages_are_those_of_the_alerts_and_of_the_catalogue() -> None:
    assert set(BOOKS) == set(ALERTS)
    stale = [name for name, text in BOOKS.items() if runbooks.made(name, text, COVERED[name]) != text]
    assert stale == [], "python3 monitoring/runbooks.py"


@pytest.mark.parametrize("name", sorted(BOOKS))
def test_a_page_has_its_sections_and_its_links_lead_somewhere(name: str) -> None:
    text = BOOKS[name]
    assert text.startswith(f"# {name}\n\n<!-- alert -->\n**{ALERTS[name]['labels']['severity']}**")
    assert re.findall("^## (.*)", text, re.MULTILINE) == SECTIONS
    for section in re.split("^## ", re.sub("<!-- findings.*<!-- /findings -->", "", text, flags=re.DOTALL), flags=re.MULTILINE)[1:]:
        assert len(section.split("\n", 1)[1].split()) >= 3, section
    for target in re.findall(r"\]\(([^)#]*)\)", text):
        assert (PAGES / target).is_file(), target
    for verb in re.findall(r"waguardctl ([a-z]+)", text):
        assert verb in ctl.VERBS, verb


def test_a_page_about_a_finding_that_does_not_exist_is_refused() -> None:
    with pytest.raises(LookupError, match="there is no finding disk-fulll"):
        runbooks.covered({"A": "<!-- findings: disk-fulll -->\n<!-- /findings -->"})


def test_what_people_wrote_in_a_page_stays() -> None:
    text = "A\n<!-- findings: disk-full -->\nSTALE\n<!-- /findings -->\nB\n<!-- alert -->\nSTALE\n<!-- /alert -->\nC\n"
    page = runbooks.made("WAGuardFilesystemFrozen", text, ["disk-full"])
    assert CATALOGUE["disk-full"].meaning in page and ALERTS["WAGuardFilesystemFrozen"]["expr"] in page
    assert page.startswith("A\n<!-- findings: disk-full -->\n### disk-full\n") and page.endswith("\n<!-- /alert -->\nC\n")
    assert "\n<!-- /findings -->\nB\n<!-- alert -->\n" in page and "STALE" not in page


def test_the_guide_names_every_alert_and_nothing_that_is_not_there() -> None:
    guide = (ROOT / "docs/monitoring.md").read_text()
    assert set(re.findall(r"`(WAGuard\w+)`", guide)) == set(ALERTS)
    for page in (guide, (MONITORING / "README.md").read_text()):
        for target in re.findall(r"\]\(([^)#]*)\)", page):
            where = ROOT / "docs" / target if page is guide else MONITORING / target
            assert where.exists(), target


# Dashboards

KINDS = {"stat", "timeseries", "state-timeline", "table", "bargauge"}
TITLES = [f"{name}: {panel['title']}" for name, panel in panels()]


@pytest.mark.parametrize("name", sorted(BOARDS))
def test_a_dashboard_can_be_imported_anywhere(name: str) -> None:
    board = BOARDS[name]
    assert board["schemaVersion"] >= 39 and board["uid"] == f"waguard-{name}" and "id" not in board
    assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "job", *(["instance"] if name == "vm" else [])]
    definitions = [variable["definition"] for variable in board["templating"]["list"][1:]]
    assert definitions == ["label_values(waguard_guard_up, job)", 'label_values(waguard_guard_up{job="$job"}, instance)'][:len(definitions)]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [(x, y) for panel in board["panels"] for at in [panel["gridPos"]]
             for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])]
    assert len(cells) == len(set(cells)), "panels lie upon each other"
    assert max(x for x, _ in cells) == 23


@pytest.mark.parametrize(("name", "panel"), list(panels()), ids=TITLES)
def test_a_panel_explains_itself(name: str, panel: dict[str, Any]) -> None:
    assert panel["type"] in KINDS
    assert panel["description"].endswith(".") and panel["title"]
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(place["datasource"] == {"type": "prometheus", "uid": "${datasource}"} for place in (panel, *panel["targets"]))
    wanted = {"job", "instance"} if name == "vm" else {"job"}
    for target in panel["targets"]:
        for matchers in re.findall(r"\{([^{}]*)\}", target["expr"]):
            assert {label for label in wanted if f'{label}="${label}"' in matchers} == wanted, target["expr"]
        assert target["expr"].count("{") >= len(names(target["expr"]))
        for label in re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]):
            assert any(label in ROWS[metric].labels if metric in ROWS else label in metric for metric in names(target["expr"]))


def test_links_of_dashboards_lead_to_dashboards_and_pages() -> None:
    urls = set(re.findall(r'"url": "([^"]*)"', json.dumps(BOARDS)))
    assert {url.split("?")[0].split("$")[0] for url in urls} == {
        "/d/waguard-fleet", "/d/waguard-vm", HOME, "https://github.com/waguard/waguard/blob/main/docs/findings.md#"}


# Examples


@pytest.mark.parametrize("path", sorted((MONITORING / "prometheus").glob("*.yml")), ids=lambda path: path.stem)
def test_a_scrape_example_fits_the_rules(path: Path) -> None:
    example = yaml.safe_load(path.read_text())
    (job,) = example["scrape_configs"]
    assert job["job_name"] == "waguard" and "10168" in path.read_text()
    assert example["global"]["scrape_interval"] in ("15s", "30s", "1m")
    assert {Path(file).name for file in example["rule_files"]} == {"rules.yml", "alerts.yml"}
    (kind,) = (key[: -len("_configs")] for key in job if key.endswith("_configs") and key != "relabel_configs")
    assert path.stem.startswith(kind)
    assert path.stem.endswith("_tls") == (job.get("scheme") == "https") == ("basic_auth" in job) == ("tls_config" in job)
    assert "password:" not in path.read_text() and "insecure" not in path.read_text()
    if kind == "azure_sd":
        assert all(place["authentication_method"] == "ManagedIdentity" for place in job["azure_sd_configs"])


def test_there_is_an_example_of_each_kind() -> None:
    kinds = {path.stem for path in (MONITORING / "prometheus").glob("*.yml")}
    assert kinds == {f"{kind}{how}" for kind in ("static", "file_sd", "azure_sd") for how in ("", "_tls")}


def test_the_alertmanager_example_knows_the_alerts() -> None:
    example = yaml.safe_load((MONITORING / "alertmanager.yml").read_text())
    receivers = {receiver["name"] for receiver in example["receivers"]}
    assert {example["route"]["receiver"], *(route["receiver"] for route in example["route"]["routes"])} == receivers
    for rule in example["inhibit_rules"]:
        ends = []
        for matchers in (rule["source_matchers"], rule["target_matchers"]):
            ((operator, pattern),) = re.findall(r'^alertname(=~|=)"([^"]*)"$', "\n".join(matchers), re.MULTILINE)
            ends.append({name for name in ALERTS if re.fullmatch(pattern if operator == "=~" else re.escape(pattern), name)})
            branches = re.sub(r"\(([^)]*)\)", "", pattern).split("|") if operator == "=~" else [pattern]
            assert ends[-1] and len(ends[-1]) >= len([branch for branch in branches if branch]), pattern
        assert not ends[0] & ends[1], "an alert that silences itself"
