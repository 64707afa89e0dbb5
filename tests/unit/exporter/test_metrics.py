"""waguard.exporter.metrics: the golden exposition, and what a broken or half-empty snapshot does to it."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from waguard import __version__
from waguard.exporter import metrics

DATA = Path(__file__).resolve().parents[2] / "data"
GOLDEN = DATA / "metrics.prom"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

SURFACE = {  # design §4
    "build_info", "guard_up", "agent_up", "agent_handler_up", "agent_state", "agent_start_timestamp_seconds",
    "agent_heartbeat_timestamp_seconds", "agent_info", "agent_exits_total", "agent_restarts_total",
    "agent_restart_attempts_total", "agent_restart_failures_total", "agent_restart_budget_remaining",
    "agent_cpu_seconds_total", "agent_resident_memory_bytes", "verbose_logging",
    "verbose_lease_expiry_timestamp_seconds", "conf_changes_total", "conf_valid", "log_records_total", "probe_success",
    "probe_duration_seconds", "finding_active", "observer_success", "observer_duration_seconds",
    "observer_last_success_timestamp_seconds", "agent_outdated", "log_signature_matches_total", "log_tree_bytes",
    "extension_ready", "backup_ready", "backup_last_snapshot_timestamp_seconds", "backup_last_snapshot_success",
    "backup_last_success_timestamp_seconds", "paused",
}  # fmt: skip

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture
def snapshot() -> dict[str, Any]:
    return load()


def load() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DATA / "snapshot.json").read_text())
    loaded["verbose"]["lease"] = {"expires": 1763560000.0}
    return loaded


def samples(snapshot: Any, complaints: Optional[list[str]] = None) -> Samples:
    """All samples, read back from the text by prometheus_client's parser."""
    body, kind = metrics.render(snapshot, None, ([] if complaints is None else complaints).append)
    assert kind == "text/plain; version=0.0.4; charset=utf-8"
    found: Samples = {}
    for family in parse_text(body.decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def value(snapshot: Any, name: str, **labels: str) -> Optional[float]:
    return samples(snapshot).get((f"waguard_{name}", tuple(sorted(labels.items()))))


def names(found: Samples) -> set[str]:
    return {name for name, _ in found}


def test_golden() -> None:
    body, _ = metrics.render(json.loads((DATA / "snapshot.json").read_text()))
    same = body.decode().replace(f'version="{__version__}"', 'version="0.1.0"', 1)
    assert same == GOLDEN.read_text(), f"if the change is meant, write it to {GOLDEN} and look at the difference"


def test_every_promised_name_is_there(snapshot: dict[str, Any]) -> None:
    assert names(samples(snapshot)) == {f"waguard_{name}" for name in SURFACE}


def test_text_is_what_prometheus_client_would_write(snapshot: dict[str, Any]) -> None:
    class Registry:
        def collect(self) -> Iterator[Any]:
            return metrics.families(snapshot)

    assert metrics.render(snapshot)[0] == generate_latest(Registry())


def test_openmetrics_says_the_same(snapshot: dict[str, Any]) -> None:
    body, kind = metrics.render(snapshot, "application/openmetrics-text")
    assert kind.startswith("application/openmetrics-text; version=")
    found = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_openmetrics(body.decode())
        for sample in family.samples
    }
    assert found == samples(snapshot)
    assert body.endswith(b"# EOF\n")


def test_no_guard() -> None:
    assert samples(None) == {
        ("waguard_build_info", (("version", __version__),)): 1.0,
        ("waguard_guard_up", ()): 0.0,
    }


def test_an_empty_snapshot_is_a_guard_that_knows_nothing() -> None:
    assert names(samples({"schema": 1})) == {"waguard_build_info", "waguard_guard_up"}
    assert value({"schema": 1}, "guard_up") == 1.0


def test_another_schema_is_said_and_read_all_the_same(snapshot: dict[str, Any]) -> None:
    complaints: list[str] = []
    assert names(samples({**snapshot, "schema": 2}, complaints)) == names(samples(snapshot))
    assert complaints == ["snapshot has schema 2, this waguard knows 1: some metrics may be missing"]


def test_help_is_a_sentence() -> None:
    for family in metrics.FAMILIES:
        assert family.help[0].isupper(), family.name
        assert family.help.endswith("."), family.name


# The parts

STATES = ["running", "starting", "provisioning", "busy", "down", "hung", "handler-missing", "resting", "not-installed",
          "unknown"]  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_state_set(snapshot: dict[str, Any], state: str) -> None:
    snapshot["agent"]["state"] = state
    shown = {each: value(snapshot, "agent_state", state=each) for each in STATES}
    assert shown == {each: float(each == state) for each in STATES}


@pytest.mark.parametrize(
    ("state", "with_daemon", "without_daemon"),
    [
        ("running", 1, 1), ("provisioning", 1, 1), ("busy", 1, 1), ("hung", 1, 1), ("handler-missing", 1, 1),
        ("starting", 1, 0), ("resting", 1, 0), ("down", 0, 0), ("not-installed", 0, 0), ("unknown", 1, None),
    ],
)  # fmt: skip
def test_agent_up(snapshot: dict[str, Any], state: str, with_daemon: int, without_daemon: Optional[int]) -> None:
    snapshot["agent"]["state"] = state
    assert value(snapshot, "agent_up") == with_daemon
    snapshot["agent"]["daemon"] = None
    assert value(snapshot, "agent_up") == without_daemon


@pytest.mark.parametrize(
    ("state", "with_handler", "without_handler"),
    [
        ("running", 1, None), ("starting", 1, None), ("provisioning", 1, None), ("busy", 1, None), ("hung", 1, None),
        ("unknown", 1, None), ("handler-missing", 0, 0), ("resting", 0, 0), ("down", 0, 0), ("not-installed", 0, 0),
    ],
)  # fmt: skip
def test_handler_up(snapshot: dict[str, Any], state: str, with_handler: int, without_handler: Optional[int]) -> None:
    snapshot["agent"]["state"] = state
    assert value(snapshot, "agent_handler_up") == with_handler
    snapshot["agent"]["handler"] = None
    assert value(snapshot, "agent_handler_up") == without_handler


def test_processes(snapshot: dict[str, Any]) -> None:
    snapshot["agent"]["handler"] = None
    assert value(snapshot, "agent_cpu_seconds_total", process="daemon") == 0.42
    assert value(snapshot, "agent_cpu_seconds_total", process="handler") is None
    assert value(snapshot, "agent_resident_memory_bytes", process="daemon") == 29360128


def test_info_has_empty_labels_for_what_is_not_known(snapshot: dict[str, Any]) -> None:
    labels = {"unit": "walinuxagent.service", "daemon_version": "2.7.3.0", "goal_state_version": "2.7.3.0"}
    assert value(snapshot, "agent_info", distro_version="", **labels) == 1
    snapshot["agent"].update(unit=None, versions=None)
    assert "waguard_agent_info" not in names(samples(snapshot))


def test_lease(snapshot: dict[str, Any]) -> None:
    assert value(snapshot, "verbose_lease_expiry_timestamp_seconds") == 1763560000.0
    snapshot["verbose"]["lease"]["expires"] = None  # for ever
    assert value(snapshot, "verbose_lease_expiry_timestamp_seconds") is None


def test_findings(snapshot: dict[str, Any]) -> None:
    assert value(snapshot, "finding_active", finding="agent-autorestart-missing", severity="info") == 1
    assert value(snapshot, "finding_active", finding="agent-not-running", severity="critical") == 0
    snapshot["findings"] = snapshot["findings"] * 2  # two mounts, say
    assert value(snapshot, "finding_active", finding="agent-autorestart-missing", severity="info") == 1
    snapshot["findings"] = []
    assert value(snapshot, "finding_active", finding="agent-autorestart-missing", severity="info") == 0
    snapshot["findings"] = None
    assert value(snapshot, "finding_active", finding="agent-autorestart-missing", severity="info") is None


def test_a_finding_without_a_catalogue_entry_is_not_lost(snapshot: dict[str, Any]) -> None:
    snapshot["catalogue"] = {}
    assert value(snapshot, "finding_active", finding="agent-autorestart-missing", severity="info") == 1


def test_labels_survive(snapshot: dict[str, Any]) -> None:
    snapshot["probes"] = {name: {"success": False} for name in ('a"b', "c\\d", "e\nf", "é", "g\udcff")}
    shown = {dict(labels)["target"] for name, labels in samples(snapshot) if name == "waguard_probe_success"}
    assert shown == {'a"b', "c\\d", "e\nf", "é", "g\\udcff"}
    metrics.render(snapshot, OPENMETRICS)


def test_a_normal_machine_has_a_bounded_number_of_series(snapshot: dict[str, Any]) -> None:
    snapshot["catalogue"] = {f"finding-{number}": "warning" for number in range(60)}
    assert len(samples(snapshot)) <= 150


# What is not known, and what is wrong


def places(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    if isinstance(node, dict):
        for key, child in node.items():
            yield (*path, key)
            yield from places(child, (*path, key))


PLACES = list(places(load()))


def changed(path: tuple[str, ...], to: Any) -> dict[str, Any]:
    snapshot = load()
    node: Any = snapshot
    for key in path[:-1]:
        node = node[key]
    if to is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = copy.deepcopy(to)
    return snapshot


@pytest.mark.once
@pytest.mark.parametrize("path", PLACES, ids=".".join)
@pytest.mark.parametrize("to", [None, ...], ids=["null", "missing"])
def test_nothing_unknown_becomes_a_value(path: tuple[str, ...], to: Any) -> None:
    complaints: list[str] = []
    before, after = samples(load()), samples(changed(path, to), complaints)
    if path == ("agent", "state"):
        assert value(changed(path, to), "agent_state", state="unknown") == 1
    elif path[0] == "catalogue":  # an active finding is shown even so
        assert set(after.values()) <= set(before.values())
    else:
        gone = {key for key in after if key not in before}
        assert {name for name, _ in gone} <= {"waguard_agent_info"}  # there, it is an empty label
        assert all(after[key] == before[key] for key in after.keys() - gone)
    assert complaints == [] or path == ("schema",)


@pytest.mark.once
@pytest.mark.parametrize("path", PLACES, ids=".".join)
@pytest.mark.parametrize("to", ["junk", True, 7, [], [1], {"a": 1}, {"a": {"b": []}}], ids=repr)
def test_a_wrong_type_costs_its_own_family_and_is_said(path: tuple[str, ...], to: Any) -> None:
    complaints: list[str] = []
    before, after = samples(load()), samples(changed(path, to), complaints)
    lost = names(before) - names(after)
    leaf = not isinstance(to, dict) and path[-1] not in ("agent", "counters", "daemon", "handler")
    assert len(lost) <= (4 if leaf else 15)
    if complaints:
        assert all(sentence.startswith(("waguard_", "snapshot has schema")) for sentence in complaints)
    for key in before.keys() & after.keys():
        assert after[key] in (before[key], 0.0, 1.0, 7.0)


def test_the_complaint_names_the_place(snapshot: dict[str, Any]) -> None:
    complaints: list[str] = []
    snapshot["agent"]["daemon"]["started"] = "yesterday"
    snapshot["agent"]["state"] = "sleepy"
    snapshot["observers"]["unit"] = 3
    found = samples(snapshot, complaints)
    assert "waguard_agent_start_timestamp_seconds is left out: agent.daemon.started is str, not a number" in complaints
    assert any("agent.state is 'sleepy', not one of running" in sentence for sentence in complaints)
    assert any("observers.unit is int, not an object" in sentence for sentence in complaints)
    gone = {"agent_start_timestamp_seconds", "agent_state", "agent_up", "agent_handler_up", "observer_success",
            "observer_duration_seconds", "observer_last_success_timestamp_seconds"}  # fmt: skip
    assert names(found) == {f"waguard_{name}" for name in SURFACE - gone}
    assert len(complaints) == len(gone)


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1", [1]])
def test_what_is_no_number_is_not_exported(snapshot: dict[str, Any], number: Any) -> None:
    snapshot["counters"]["agent_exits"] = number
    complaints: list[str] = []
    assert "waguard_agent_exits_total" not in names(samples(snapshot, complaints))
    assert len(complaints) == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=10,
)


@given(path=st.sampled_from(PLACES), to=JSON)
def test_anything_anywhere_still_renders(path: tuple[str, ...], to: Any) -> None:
    snapshot = changed(path, to)
    samples(snapshot)
    body, _ = metrics.render(snapshot, OPENMETRICS)
    list(parse_openmetrics(body.decode()))


# One after another

MANY = [..., True, 1, "junk", [], {"a": 1}, {"a": True}]


@pytest.mark.once
@pytest.mark.parametrize("accept", [None, OPENMETRICS])
@pytest.mark.parametrize("path", PLACES, ids=".".join)
def test_what_was_written_before_shows_in_nothing(path: tuple[str, ...], accept: Optional[str]) -> None:
    writer = metrics.Writer()
    for snapshot in (load(), *(changed(path, to) for to in MANY), None, load()):
        once: list[str] = []
        again: list[str] = []
        assert writer.render(snapshot, accept, again.append) == metrics.render(snapshot, accept, once.append)
        assert again == once


def test_both_formats_one_after_another(snapshot: dict[str, Any]) -> None:
    writer = metrics.Writer()
    for exits in (1, 2):
        snapshot["counters"]["agent_exits"] = exits
        for accept in (None, OPENMETRICS, None):
            assert writer.render(snapshot, accept, pytest.fail) == metrics.render(snapshot, accept)


@pytest.mark.parametrize("accept", [None, OPENMETRICS])
def test_only_what_has_changed_is_written(monkeypatch: pytest.MonkeyPatch, snapshot: dict[str, Any], accept: Optional[str]) -> None:
    written: list[str] = []
    original = metrics._metric
    monkeypatch.setattr(metrics, "_metric", lambda family, samples: written.append(family.name) or original(family, samples))
    writer = metrics.Writer()
    writer.render(snapshot, accept, pytest.fail)
    assert {*written} == SURFACE
    written.clear()
    snapshot["at"] += 15
    writer.render(copy.deepcopy(snapshot), accept, pytest.fail)
    assert written == []
    snapshot["agent"]["daemon"]["cpu_seconds"] += 1
    snapshot["agent"]["state"] = "down"
    writer.render(snapshot, accept, pytest.fail)
    assert written == ["agent_up", "agent_handler_up", "agent_state", "agent_cpu_seconds_total"]


def test_a_part_that_is_nested_too_deeply_to_be_compared_is_read_each_time(snapshot: dict[str, Any]) -> None:
    deep: Any = 1
    for _ in range(5000):
        deep = [deep]
    writer = metrics.Writer()
    for exits in (1, 1, 2):
        snapshot["counters"].update(agent_exits=exits, more=deep)
        assert f"waguard_agent_exits_total {exits}.0\n".encode() in writer.render(snapshot, None, pytest.fail)[0]


# Formats and imports


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("text/plain", False),
        ("application/openmetrics-text", True),
        ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
         "text/plain;version=0.0.4;q=0.5,*/*;q=0.1", True),
        ("application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3", True),
        ("text/plain;version=0.0.4;q=0.6,application/openmetrics-text;version=1.0.0;q=0.3", False),
        ("Application/OpenMetrics-Text ; q=1.0", True),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=junk", False),
        (";;,,q=", False),
    ],
)  # fmt: skip
def test_negotiation(accept: Optional[str], openmetrics: bool) -> None:
    _, kind = metrics.render(None, accept)
    assert kind.startswith("application/openmetrics-text") is openmetrics


def test_the_import_stays_light() -> None:
    heavy = {"ssl", "http.client", "http.server", "email", "urllib.request", "asyncio", "inspect"}
    code = f"import sys, waguard.exporter.main; print(*sorted({heavy!r} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    assert run.stdout.split() == []


def test_a_prometheus_client_of_another_shape_is_taken_whole(
    monkeypatch: pytest.MonkeyPatch, snapshot: dict[str, Any]
) -> None:
    usual = metrics.render(snapshot), metrics.render(snapshot, OPENMETRICS)
    for name in [name for name in sys.modules if name.startswith("waguard.exporter.metrics.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(metrics, "PathFinder", type("Finder", (), {"find_spec": lambda _: None}))
    core, openmetrics, utils = metrics._parts()
    assert core.__name__ == "prometheus_client.core"
    monkeypatch.setattr(metrics, "_core", core)
    monkeypatch.setattr(metrics, "_openmetrics", openmetrics)
    monkeypatch.setattr(metrics, "_utils", utils)
    assert (metrics.render(snapshot), metrics.render(snapshot, OPENMETRICS)) == usual
