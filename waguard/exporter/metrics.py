"""One snapshot (tests/data/snapshot.json) as Prometheus metrics, for waguard-exporter and `waguardctl metrics`. Pure.

A value that is null or missing is not known, and what is not known is left out: never 0, never NaN. A value of the
wrong type costs its own family, not the scrape. Names are promises: extend, don't rename. Const families only: no
version of prometheus_client adds ``_created`` series to those.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from waguard import __version__
from waguard.exporter.node import Marks, Node, Root, Wrong

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

Snapshot = Mapping[str, Any]
Complaint = Callable[[str], None]

TEXT = "text/plain; version=0.0.4; charset=utf-8"

STATES = ("running", "starting", "provisioning", "busy", "down", "hung", "handler-missing", "resting", "not-installed",
          "unknown")
"""Every state an agent can be said to be in."""
_WITH_DAEMON = ("running", "provisioning", "busy", "hung", "handler-missing")
_WITHOUT_DAEMON = ("starting", "down", "resting", "not-installed")
_WITHOUT_HANDLER = ("down", "handler-missing", "resting", "not-installed")


def _parts() -> list[ModuleType]:
    """Of prometheus_client: the families, the OpenMetrics encoder, the number format; without the package around them.

    ``import prometheus_client`` takes in http.server, ssl, urllib and email for a server and a push client that we do
    not use: 12 MB and 60 ms. These three need none of it and have been where they are since 0.9. Should they move, the
    whole package does the same work.
    """
    names = ("core", "openmetrics.exposition", "utils")
    spec = PathFinder.find_spec("prometheus_client")
    package = ModuleType(f"{__name__}.prometheus_client")
    package.__path__ = list(spec.submodule_search_locations or ()) if spec else []
    sys.modules[package.__name__] = package
    try:
        return [import_module(f"{package.__name__}.{name}") for name in ("metrics_core", *names[1:])]
    except ImportError:
        del sys.modules[package.__name__]
        return [import_module(f"prometheus_client.{name}") for name in names]


_core, _openmetrics, _utils = _parts()


Sample = tuple[tuple[str, ...], Optional[float]]
Reader = Callable[[Node], Iterable[Sample]]


class Family(NamedTuple):
    """One metric: its name without "waguard_" (which tells the type), its labels, its way of reading, its HELP."""

    name: str
    labels: tuple[str, ...]
    read: Reader
    help: str


def _number(*path: str) -> Reader:
    return lambda snapshot: [((), _at(snapshot, path).number())]


def _flag(*path: str) -> Reader:
    return lambda snapshot: [((), _at(snapshot, path).flag())]


def _numbers(*path: str) -> Reader:
    """One sample a key of an object."""
    return lambda snapshot: [((key,), value.number()) for key, value in _at(snapshot, path).items()]


def _field(name: str, *path: str) -> Reader:
    """One sample a key of an object of objects: the number ``name`` of each."""
    return lambda snapshot: [((key,), value[name].number()) for key, value in _at(snapshot, path).items()]


def _flags(*path: str) -> Reader:
    """One sample a key of an object."""
    return lambda snapshot: [((key,), value.flag()) for key, value in _at(snapshot, path).items()]


def _success(*path: str) -> Reader:
    return lambda snapshot: [((key,), value["success"].flag()) for key, value in _at(snapshot, path).items()]


def _processes(field: str) -> Reader:
    return lambda snapshot: [((name,), snapshot["agent"][name][field].number()) for name in ("daemon", "handler")]


def _at(node: Node, path: Iterable[str]) -> Node:
    for key in path:
        node = node[key]
    return node


def _state(snapshot: Node) -> str:
    state = snapshot["agent"]["state"].text() or "unknown"
    if state not in STATES:
        raise Wrong(f"agent.state is {state!r}, not one of {', '.join(STATES)}")
    return state


def _states(snapshot: Node) -> Iterator[Sample]:
    if snapshot["agent"].known():
        current = _state(snapshot)
        yield from (((state,), state == current) for state in STATES)


def _agent_up(snapshot: Node) -> Iterator[Sample]:
    state = _state(snapshot)
    if state in ("down", "not-installed"):
        yield (), False
    elif snapshot["agent"]["daemon"]["pid"].number() is not None or state in _WITH_DAEMON:
        yield (), True
    elif state != "unknown":
        yield (), False


def _handler_up(snapshot: Node) -> Iterator[Sample]:
    state = _state(snapshot)
    if state in _WITHOUT_HANDLER:
        yield (), False
    elif snapshot["agent"]["handler"]["pid"].number() is not None:
        yield (), True


def _agent_info(snapshot: Node) -> Iterator[Sample]:
    agent = snapshot["agent"]
    kinds = ("daemon", "goal_state", "distro")
    facts = [agent["unit"]["name"].text(), *(agent["versions"][kind].text() for kind in kinds)]
    if any(facts):
        yield tuple(fact or "" for fact in facts), 1


def _log_records(snapshot: Node) -> Iterator[Sample]:
    for source, levels in snapshot["counters"]["log_records"].items():
        for level, count in levels.items():
            yield (source, level), count.number()


def _findings(snapshot: Node) -> Iterator[Sample]:
    if not snapshot["findings"].known():
        return
    active: dict[str, str] = {}
    for finding in snapshot["findings"].each():
        active[finding["id"].text() or ""] = finding["severity"].text() or ""
    catalogue = {name: severity.text() or "" for name, severity in snapshot["catalogue"].items()}
    for name, severity in {**active, **catalogue}.items():
        if name:
            yield (name, severity), name in active


FAMILIES = (
    Family("agent_up", (), _agent_up,
           "Whether the agent's daemon process is there, from systemd and /proc, as the guard last saw it."),
    Family("agent_handler_up", (), _handler_up,
           "Whether the process that does the agent's work (-run-exthandlers) is there, from /proc, as the guard last"
           " saw it."),
    Family("agent_state", ("state",), _states,
           "What the guard makes of the agent, from all its sources: 1 for the state it is in, 0 for every other."),
    Family("agent_start_timestamp_seconds", (), _number("agent", "daemon", "started"),
           "Unix time at which the agent's daemon process started, from /proc/PID/stat."),
    Family("agent_heartbeat_timestamp_seconds", (), _number("agent", "heartbeat", "at"),
           "Unix time of the agent's last sign of work, from the mtime of its status file or else from its log."),
    Family("agent_info", ("unit", "daemon_version", "goal_state_version", "distro_version"), _agent_info,
           "Name of the agent's unit; versions from its own files and the package manager, cached by the guard."),
    Family("agent_exits_total", (), _number("counters", "agent_exits"),
           "Ends of the agent's daemon process, counted by the guard from its pidfd."),
    Family("agent_restarts_total", ("actor",), _numbers("counters", "restarts"),
           "New runs of the agent by who started them, counted by the guard."),
    Family("agent_restart_attempts_total", (), _number("counters", "restart_attempts"),
           "Starts and restarts of the agent that the guard asked the service manager for."),
    Family("agent_restart_failures_total", (), _number("counters", "restart_failures"),
           "Starts and restarts asked for by the guard after which the agent was not seen working."),
    Family("agent_restart_budget_remaining", (), _number("policy", "budget", "left"),
           "Restarts of a live agent that the guard's ration still allows now."),
    Family("agent_cpu_seconds_total", ("process",), _processes("cpu_seconds"),
           "CPU time of the agent's processes, user and system, from /proc/PID/stat as the guard last read it."),
    Family("agent_resident_memory_bytes", ("process",), _processes("resident_bytes"),
           "Resident memory of the agent's processes, from /proc/PID/stat as the guard last read it."),
    Family("verbose_logging", (), _flag("verbose", "conf"),
           "Whether Logs.Verbose is on in the agent's configuration file, as the guard last read it."),
    Family("verbose_lease_expiry_timestamp_seconds", (), _number("verbose", "lease", "expires"),
           "Unix time at which the guard turns Logs.Verbose off again; there only while a lease with an end is held."),
    Family("conf_changes_total", (), _number("counters", "conf_changes"),
           "Changes of the agent's configuration file, counted by the guard."),
    Family("conf_valid", (), _flag("agent", "conf", "valid"),
           "Whether the agent's configuration file is valid, as the guard last read it."),
    Family("log_records_total", ("source", "level"), _log_records,
           "Records in the agent's logs by level, counted by the guard as it follows the files."),
    Family("log_signature_matches_total", ("signature",), _numbers("logs", "signatures"),
           "Records in the agent's and extensions' logs that match a known signature, counted by the doctor."),
    Family("log_tree_bytes", (), _number("logs", "tree_bytes"),
           "Size of waagent.log, its rotations and the extensions' logs, as the doctor last saw it."),
    Family("agent_outdated", ("reference",), _flags("agent", "outdated"),
           "Whether the goal state agent is older than the reference: Azure's support floor, the distribution, upstream."),
    Family("extension_ready", ("handler",), _flags("extensions"),
           "Whether the extension handler is ready, as the doctor last saw it."),
    Family("backup_ready", (), _flag("backup", "ready"),
           "Whether a snapshot asked for now would succeed, as far as can be seen from inside the VM."),
    Family("backup_last_snapshot_timestamp_seconds", (), _number("backup", "last_snapshot"),
           "Unix time of the last result of the backup extension, as the doctor last saw it."),
    Family("backup_last_success_timestamp_seconds", (), _number("backup", "last_success"),
           "Unix time of the last snapshot that succeeded, as the doctor last saw it."),
    Family("backup_last_snapshot_success", (), _flag("backup", "last_ok"),
           "Whether the last snapshot that came to an end succeeded, as the doctor last saw it."),
    Family("probe_success", ("target",), _success("probes"),
           "Whether the guard's last probe of the target succeeded, cached between probes."),
    Family("probe_duration_seconds", ("target",), _field("duration", "probes"),
           "Time that the guard's last probe of the target took, cached between probes."),
    Family("finding_active", ("finding", "severity"), _findings,
           "Whether the guard finds this now; one series an entry of its catalogue (waguardctl explain FINDING)."),
    Family("paused", (), _flag("policy", "paused"),
           "Whether waguard was told to start and restart nothing (waguardctl pause)."),
    Family("observer_success", ("observer",), _success("observers"),
           "Whether the guard's last look at this source succeeded."),
    Family("observer_duration_seconds", ("observer",), _field("duration", "observers"),
           "Time that the guard's last look at this source took."),
    Family("observer_last_success_timestamp_seconds", ("observer",), _field("last_success", "observers"),
           "Unix time of the guard's last successful look at this source."),
)
"""Every family that is read from the snapshot, in the order of the exposition."""

_OWN = (
    Family("build_info", ("version",), lambda _: [((__version__,), 1.0)], "Version of the waguard that made this exposition."),
    Family("guard_up", (), lambda snapshot: [((), snapshot.known())],
           "Whether the guard answered on its status socket, asked afresh for each exposition."),
)
"""Those that are there without a snapshot, too."""


def families(snapshot: Optional[Snapshot], complain: Complaint = lambda _: None) -> Iterator[Metric]:
    """The metrics of a snapshot; None: the guard did not answer. Families of which nothing is known are left out.

    ``complain`` is called with one sentence for each family that is left out because the snapshot breaks its contract.
    """
    return (_metric(*each) for each in _read(snapshot, complain, lambda family: _found(family, snapshot)))


class _Found(NamedTuple):
    """What a family has in a snapshot. ``asked``: the parts of the snapshot that decided it; ``wrong``: why it is left out."""

    asked: Iterable[str]
    samples: list[Sample]
    wrong: str = ""


_Look = Callable[[Family], _Found]


def _found(family: Family, snapshot: Optional[Snapshot]) -> _Found:
    root = Root(snapshot)
    try:
        samples = [sample for sample in family.read(root) if sample[1] is not None]
        if family.name.endswith("_total") and any(value < 0 for _, value in samples if value is not None):
            raise Wrong("it counts less than nothing")
        return _Found(root.asked, samples)
    except Wrong as error:
        return _Found(root.asked, [], f"waguard_{family.name} is left out: {error}")


def _read(snapshot: Optional[Snapshot], complain: Complaint, look: _Look) -> Iterator[tuple[Family, list[Sample]]]:
    if snapshot is not None and snapshot.get("schema") != 1:
        complain(f"snapshot has schema {snapshot.get('schema')!r}, this waguard knows 1: some metrics may be missing")
    for family in (*_OWN, *FAMILIES) if snapshot is not None else _OWN:
        found = look(family)
        if found.wrong:
            complain(found.wrong)
        elif found.samples:
            yield family, found.samples


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    name = f"waguard_{family.name}"
    if name.endswith("_info"):
        metric = _core.InfoMetricFamily(name[: -len("_info")], family.help)
        for labels, _ in samples:
            metric.add_metric([], dict(zip(family.labels, map(_printable, labels))))
        return metric
    kind = _core.CounterMetricFamily if name.endswith("_total") else _core.GaugeMetricFamily
    metric = kind(name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric([_printable(label) for label in labels], float(value or 0))
    return metric


def _printable(label: str) -> str:
    """A file name that is no Unicode comes as lone surrogates, which no exposition can carry."""
    return label.encode("utf-8", "backslashreplace").decode("utf-8")


class _Collected(NamedTuple):
    """What prometheus_client's encoders take for a registry."""

    metrics: Sequence[Metric]

    def collect(self) -> Sequence[Metric]:
        return self.metrics


def render(
    snapshot: Optional[Snapshot], accept: Optional[str] = None, complain: Complaint = lambda _: None
) -> tuple[bytes, str]:
    """The exposition and its Content-Type: text 0.0.4, or OpenMetrics for an ``accept`` header that likes it as much.

    Source: https://prometheus.io/docs/instrumenting/content_negotiation. ``complain`` as in ``families``.
    """
    return Writer().render(snapshot, accept, complain)


class Writer:
    """Renders one snapshot after another as ``render`` does, but only what differs from the one before. For several threads.

    A family is read anew when one of the snapshot's parts that it was read from is not the same, type for type; and its text is
    written anew when its samples are not.
    """

    def __init__(self) -> None:
        self._found: dict[str, tuple[dict[str, object], Optional[_Found]]] = {}
        self._written: dict[tuple[str, bool], tuple[list[Sample], bytes]] = {}

    def render(self, snapshot: Optional[Snapshot], accept: Optional[str], complain: Complaint) -> tuple[bytes, str]:
        openmetrics, marks = _likes_openmetrics(accept or ""), Marks(snapshot or {})

        def look(family: Family) -> _Found:
            before, found = self._found.get(family.name, ({}, None))
            if found is None or not before or any(marks[part] != mark for part, mark in before.items()):
                found = _found(family, snapshot)
                self._found[family.name] = {part: marks[part] for part in found.asked}, found
            return found

        parts = [self._text(family, samples, openmetrics) for family, samples in _read(snapshot, complain, look)]
        if openmetrics:
            return b"".join((*parts, _EOF)), str(_openmetrics.CONTENT_TYPE_LATEST)
        return b"".join(parts), TEXT

    def _text(self, family: Family, samples: list[Sample], openmetrics: bool) -> bytes:
        key = family.name, openmetrics
        known = self._written.get(key)
        if known is not None and known[0] == samples:
            return known[1]
        metrics = _Collected([_metric(family, samples)])
        if openmetrics:
            text = bytes(_openmetrics.generate_latest(metrics)).removesuffix(_EOF)
        else:
            text = "".join(_text(metrics.metrics)).encode("utf-8")
        self._written[key] = samples, text
        return text


_EOF = b"# EOF\n"
"""What an exposition in OpenMetrics ends with."""


def _likes_openmetrics(accept: str) -> bool:
    likes = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for choice in accept.lower().split(","):
        kind, *parameters = (part.strip() for part in choice.split(";"))
        if kind in likes:
            likes[kind] = max(likes[kind], _quality(parameters))
    openmetrics, text = likes.values()
    return openmetrics > 0 and openmetrics >= text


def _quality(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _text(metrics: Iterable[Metric]) -> Iterator[str]:
    """Text format 0.0.4, https://prometheus.io/docs/instrumenting/exposition_formats.

    prometheus_client's own encoder for it is in the module with the server and the push client (see ``_parts``).
    """
    for metric in metrics:
        name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
        kind = "gauge" if metric.type == "info" else metric.type
        escaped = metric.documentation.replace("\\", r"\\").replace("\n", r"\n")
        yield f"# HELP {name} {escaped}\n# TYPE {name} {kind}\n"
        for sample in metric.samples:
            pairs = ",".join(f'{label}="{_escape(value)}"' for label, value in sorted(sample.labels.items()))
            labels = f"{{{pairs}}}" if pairs else ""
            yield f"{sample.name}{labels} {_utils.floatToGoString(sample.value)}\n"


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
