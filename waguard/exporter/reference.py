"""docs/metrics.md: every metric with its labels and their values, made from the families of metrics.py and the tables in here.

`python3 -m waguard.exporter.reference > docs/metrics.md`. A family or a label that has no entry in here is a KeyError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from waguard.exporter import metrics

GUARD_GONE = "the guard does not answer"
_NO_VISIT = "the doctor has not looked yet, or failed three times in a row"

ABSENT: Mapping[str, str] = {
    "build_info": "never",
    "guard_up": "never",
    "agent_up": "it is not known: the guard has only just started, or cannot ask the service manager",
    "agent_handler_up": "it is not known; also while the agent is alive and its handler was not found yet",
    "agent_state": "never; what is not known is the state `unknown`",
    "agent_start_timestamp_seconds": "the daemon does not run",
    "agent_heartbeat_timestamp_seconds": "no sign of work was ever seen",
    "agent_info": "neither the unit nor any version is known; a single one that is not known is an empty label",
    "agent_exits_total": "never",
    "agent_restarts_total": "never",
    "agent_restart_attempts_total": "never",
    "agent_restart_failures_total": "never",
    "agent_restart_budget_remaining": "never",
    "agent_cpu_seconds_total": "that process does not run",
    "agent_resident_memory_bytes": "that process does not run",
    "verbose_logging": "the file cannot be read or is not valid",
    "verbose_lease_expiry_timestamp_seconds": "there is no lease, or it has no end",
    "conf_changes_total": "never",
    "conf_valid": "the file could not be read",
    "log_records_total": "that log was not found or not read yet",
    "log_signature_matches_total": "the signature was never seen",
    "log_tree_bytes": _NO_VISIT,
    "agent_outdated": f"one of the two versions is not known; {_NO_VISIT}",
    "extension_ready": f"the VM has no such extension, or its state is not known; {_NO_VISIT}",
    "backup_ready": f"it cannot be told, for instance on a machine that is not on Azure; {_NO_VISIT}",
    "backup_last_snapshot_timestamp_seconds": f"the backup extension has left no result; {_NO_VISIT}",
    "backup_last_success_timestamp_seconds": f"no snapshot has succeeded that the VM still knows of; {_NO_VISIT}",
    "backup_last_snapshot_success": f"no snapshot has come to an end; {_NO_VISIT}",
    "probe_success": "the probe proves nothing or was not made, for instance on a machine that is not on Azure",
    "probe_duration_seconds": "the probe was not made",
    "finding_active": "never; an id that this version of waguard does not know is not there",
    "paused": "never",
    "observer_success": "the observer has not looked yet",
    "observer_duration_seconds": "the observer has not looked yet",
    "observer_last_success_timestamp_seconds": "no look has succeeded yet",
}
"""When a metric is left out although the guard answers, by name without "waguard_"."""

OBSERVERS = ("unit", "libdir", "version", "conf", "log", "packages", "snapshot", "wireserver")
TARGETS = ("wireserver", "hostplugin", "imds", "dns", "storage")
OPEN: Mapping[str, str] = {
    "version": "of waguard", "unit": "name of the systemd unit", "daemon_version": "of the package's agent",
    "goal_state_version": "of the agent that does the work, the one that counts",
    "distro_version": "of the distribution's package",
    "handler": "name of the extension's handler, such as Microsoft.Azure.RecoveryServices.VMSnapshotLinux",
}
"""Labels that can have any value: what it is."""


_INTRODUCTION = (
    "What `waguard-exporter` answers at `/metrics`, and what `waguardctl metrics` prints for node_exporter.",
    "",
    "- What is not known is left out; there is no metric with a made-up 0. While the guard does not answer there are only",
    "  `waguard_guard_up` (0) and `waguard_build_info`.",
    "- Times are moments: the age of one is `time() - waguard_..._timestamp_seconds`.",
    "- Counters may begin anew: use `rate()` and `increase()`.",
    "- The target's labels (`instance`, `job`, and what service discovery adds) come from Prometheus.",
)


def closed() -> dict[str, tuple[str, ...]]:
    """Labels with a closed set of values: all of them."""
    from waguard.agent import extlog, signatures
    from waguard.guard.memory import ACTORS
    from waguard.judge.catalogue import CATALOGUE, Severity

    return {
        "state": metrics.STATES, "actor": ACTORS, "process": ("daemon", "handler"), "source": signatures.SOURCES,
        "level": extlog.LEVELS, "signature": tuple(sorted(signatures.BY_ID)),
        "reference": ("support_floor", "distro", "upstream"), "target": TARGETS, "observer": OBSERVERS,
        "finding": tuple(sorted(CATALOGUE)), "severity": tuple(severity.value for severity in Severity),
    }


class Row(NamedTuple):
    """One metric: its name with "waguard_", ``gauge`` or ``counter``, its labels, its unit, its HELP, when it is left out."""

    name: str
    kind: str
    labels: tuple[str, ...]
    unit: str
    help: str
    absent: str


def rows() -> Iterator[Row]:
    """Every metric, in the order of the exposition."""
    for metric in metrics.families(None):
        name = metric.name + ("_info" if metric.type == "info" else "")
        labels = tuple(label for sample in metric.samples for label in sample.labels)
        yield _row(name[len("waguard_"):], labels, metric.documentation)
    for family in metrics.FAMILIES:
        yield _row(family.name, family.labels, family.help)


def _row(name: str, labels: tuple[str, ...], text: str) -> Row:
    return Row(f"waguard_{name}", "counter" if name.endswith("_total") else "gauge", labels, _unit(name), text, ABSENT[name])


def _unit(name: str) -> str:
    units = {"_timestamp_seconds": "seconds since 1970-01-01 UTC", "_seconds": "seconds", "_seconds_total": "seconds",
             "_bytes": "bytes", "_total": "a count", "_info": "always 1",
             "_remaining": "restarts"}
    found = [unit for end, unit in units.items() if name.endswith(end)]
    return found[0] if found else "0 or 1"


def markdown() -> str:
    """The page."""
    values = closed()
    lines = ["<!-- Made by: python3 -m waguard.exporter.reference -->", "# Metrics", "", *_INTRODUCTION, "",
             "| metric | type | labels |", "|---|---|---|"]
    found = list(rows())
    lines += [f"| [{row.name}](#{row.name}) | {row.kind} | {', '.join(row.labels)} |" for row in found]
    for row in found:
        lines += ["", f"### {row.name}", "", row.help, "", f"- Type: {row.kind}", f"- Value: {row.unit}"]
        lines += [f"- Label `{label}`: {_values(label, values)}" for label in row.labels]
        lines += [f"- Left out when: {row.absent}"]
    return "\n".join([*lines, ""])


def _values(label: str, values: Mapping[str, tuple[str, ...]]) -> str:
    if label in OPEN:
        return OPEN[label]
    if label == "finding":
        return "every id in [findings](findings.md)"
    return ", ".join(f"`{value}`" for value in values[label])


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown())
