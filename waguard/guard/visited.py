"""What the doctor's last visit said, for the faces: the diagnosis, and the parts of the snapshot that come of it.

Everything is None, or empty, before the first visit and where visits fail: not known, never made up.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Optional

from waguard.guard.book import Standing
from waguard.i18n import say
from waguard.judge import diagnosis
from waguard.judge.case import Part, part_of
from waguard.judge.catalogue import Finding
from waguard.judge.findings import OWN
from waguard.observe.azure import Probe

if TYPE_CHECKING:
    from waguard.guard.guard import Guard

_TOLD_WHOLE = ("versions", "snapshot")
"""Parts whose facts are in the snapshot; of the others there is what metrics are made of, and the rest is in the diagnosis."""


@dataclass(frozen=True)
class Told:
    """The result of one visit (doctor/visit.py), looked through when it comes: what is in here cannot surprise a face later, also
    where the doctor is of another version than the guard. Names are those of the snapshot."""

    at: float
    took: float
    parts: tuple[Part, ...]
    places: Mapping[str, str]
    snapshot: Mapping[str, Any]
    extensions: Mapping[str, Optional[bool]]
    outdated: Mapping[str, Optional[bool]]
    logs: Mapping[str, Any]
    log_records: Mapping[str, Mapping[str, int]]
    probes: Mapping[str, Mapping[str, Any]]
    wireserver: Optional[Probe]
    """For the guard, which keeps the last word on it (guard/wireserver.py); None where the visit proves nothing of it."""
    wireserver_age: float
    """Seconds from that probe to the beginning of the visit."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        return tuple(finding for part in self.parts for finding in part.findings)


def read(result: Mapping[str, Any]) -> Told:
    """Raises LookupError, TypeError, ValueError, AttributeError or ArithmeticError for a result of another shape."""
    at, parts = float(result["at"]), tuple(_part(part) for part in result["parts"])
    facts: dict[str, Mapping[str, Any]] = {part.name: part.facts for part in parts}
    logs = facts.get("logs", {})
    targets = facts.get("network", {}).get("targets") or []
    outdated = facts.get("versions", {}).get("outdated") or {}
    wireserver, age = _wireserver(targets, facts.get("network", {}).get("routable"))
    return Told(
        at=at, took=float(result["took"]), parts=parts,
        places={str(name): str(text) for name, text in result["places"].items()},
        snapshot=_snapshot(facts.get("snapshot", {})), extensions=_extensions(facts.get("extensions", {}).get("handlers") or []),
        outdated={str(name): _maybe(value, bool) for name, value in outdated.items()},
        logs={"tree_bytes": _maybe(logs.get("tree_bytes"), int, float), "signatures": _seen(logs.get("signatures") or {})},
        log_records={str(source): _seen(levels) for source, levels in (logs.get("records") or {}).items()},
        probes={str(target["name"]): _probe(target, at) for target in targets if target["name"] != "wireserver"},
        wireserver=wireserver, wireserver_age=age)


def _seen(counts: Mapping[str, Any]) -> dict[str, int]:
    """Only those that were ever seen: fifty series of zeros would be a third of what a VM may cost."""
    return {name: count for name, count in _counts(counts).items() if count}


def _part(told: Mapping[str, Any]) -> Part:
    part = part_of(told)
    for value, kind in ((part.name, str), (part.title, str), (part.says, str), (part.facts, dict)):
        if not isinstance(value, kind):
            raise TypeError(f"a part has {type(value).__name__} where {kind.__name__} was to be")
    _maybe(part.ok, bool)
    for finding in part.findings:
        _maybe(finding.blocks, bool)
        if not all(isinstance(word, str) for word in (finding.evidence, *(text for pair in finding.values for text in pair))):
            raise TypeError(f"{finding.id} has a value that is no text")
    return part


def _snapshot(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {"last_snapshot": _maybe(facts.get("at"), int, float), "last_success": _maybe(facts.get("last_success"), int, float),
            "last_ok": _maybe(facts.get("last_success_ok"), bool), "outcome": _maybe(facts.get("outcome"), str),
            "code": _maybe(facts.get("code"), int)}


def _extensions(handlers: Any) -> dict[str, Optional[bool]]:
    """A handler that has several extensions is ready when all of them are."""
    found: dict[str, Optional[bool]] = {}
    for one in handlers:
        name = str(one["name"])
        words = (found.get(name, True), _maybe(one["ready"], bool))
        found[name] = False if False in words else None if None in words else True
    return found


def _wireserver(targets: Any, routable: object) -> tuple[Optional[Probe], float]:
    for target in targets:
        if target["name"] == "wireserver" and target["success"] is not None:
            told = {**target, "duration": target["seconds"], "routable": None if target["success"] else routable}
            return Probe.of(told), float(target["age"])
    return None, 0.0


def _probe(target: Mapping[str, Any], at: float) -> dict[str, Any]:
    return {"success": _maybe(target["success"], bool), "duration": _maybe(target["seconds"], int, float),
            "at": round(at - float(target["age"]), 3), "error": _maybe(target["problem"], str)}


def _counts(told: Mapping[str, Any]) -> dict[str, int]:
    return {str(name): _maybe(count, int) or 0 for name, count in told.items()}


def _maybe(value: Any, *kinds: type) -> Any:
    """The value, if it is None or of one of these types. Raises TypeError."""
    if value is not None and not isinstance(value, kinds):
        raise TypeError(f"{type(value).__name__} where {kinds[0].__name__} was to be")
    return value


def diagnose(guard: Guard) -> dict[str, Any]:
    """The diagnosis of now: the last visit, and what the guard itself finds (judge/diagnosis.py)."""
    evidence, told, standing = guard.sources.evidence(), _told(guard), guard.book.standing()
    return diagnosis.compose(
        [(item.finding, evidence.to_wall(item.since)) for item in standing], _parts(guard, standing), guard.sources.on_azure,
        places(guard), evidence.wall if told is None else told.at, None if told is None else told.took, os.geteuid() == 0)


def _parts(guard: Guard, standing: Iterable[Standing]) -> list[Part]:
    told = _told(guard)
    own = [item.finding for item in standing if item.finding.id in OWN and item.finding.id.startswith("agent-")]
    return [diagnosis.agent_part(guard.live, guard.clock.now(), own), *(told.parts if told is not None else ())]


def places(guard: Guard) -> dict[str, str]:
    """The words of this machine for remedies (judge/catalogue.py, ``fill``)."""
    daemon, told = guard.sources.track.daemon, _told(guard)
    found = {} if told is None else dict(told.places)
    found.update(conf=str(guard.sources.conf_path()), log=guard.settings.agent.log,
                 unit=guard.memory.unit_name or "walinuxagent.service")
    if daemon is not None:
        found["pid"] = str(daemon.pid)
    return found


class Visited:
    """The snapshot's share of the last visit, each attribute under its own name there."""

    def __init__(self, guard: Guard, standing: Sequence[Standing]) -> None:
        """``standing``: the findings that hold now."""
        told = _told(guard)
        self.doctor: Optional[dict[str, Any]] = None
        self.backup: dict[str, Any] = {"ready": None, "says": say("not looked at yet"), "causes": [], "link": None}
        if told is not None:
            parts = _parts(guard, standing)
            backup = diagnosis.backup((item.finding for item in standing), parts, guard.sources.on_azure)
            self.backup = {name: backup[name] for name in self.backup}
            self.doctor = {"at": told.at, "took": told.took,
                           "parts": [{"name": part.name, "title": part.title, "says": part.says, "ok": part.ok,
                                      **({"facts": part.facts} if part.name in _TOLD_WHOLE else {})} for part in parts]}
        self.backup.update(told.snapshot if told is not None else _snapshot({}))
        self.extensions: dict[str, Any] = dict(told.extensions) if told is not None else {}
        self.outdated: dict[str, Any] = dict(told.outdated) if told is not None else {}
        self.logs: dict[str, Any] = dict(told.logs) if told is not None else {"tree_bytes": None, "signatures": {}}
        self.log_records: dict[str, Any] = dict(told.log_records) if told is not None else {}
        self.probes: dict[str, Any] = dict(told.probes) if told is not None else {}


def _told(guard: Guard) -> Optional[Told]:
    return guard.visits.told if guard.visits is not None else None
