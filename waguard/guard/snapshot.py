"""The one snapshot that every face shows: what the guard knows now, as plain JSON values.

The contract is tests/data/snapshot.json. None is "not known" or "not there"; a value is never made up.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Optional

from waguard import __version__, durations
from waguard.act.service import ServiceManager
from waguard.decide import lease as leases
from waguard.decide import restart, term
from waguard.guard import journal, words
from waguard.guard.book import Standing
from waguard.guard.events import History
from waguard.guard.guard import Guard
from waguard.guard.visited import Visited, places
from waguard.i18n import say
from waguard.judge.catalogue import CATALOGUE, Severity
from waguard.judge.diagnosis import finding_json
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, Liveness
from waguard.observe import Known
from waguard.observe.process import Process
from waguard.observe.unit import UnitState

SCHEMA = 1
_EVENTS = 8
_SEVERITIES = {entry.id: entry.severity.value for entry in CATALOGUE.values()}


def compose(guard: Guard, history: History, started: float, settings_error: Optional[str]) -> dict[str, Any]:
    """The snapshot of now."""
    evidence, live, standing = guard.sources.evidence(), guard.live, guard.book.standing()
    visited, known = Visited(guard, standing), places(guard)
    return {
        "schema": SCHEMA,
        "at": round(evidence.wall, 3),
        "guard": {"version": __version__, "pid": os.getpid(), "started": started, "settings_valid": settings_error is None,
                  "settings_error": settings_error, "journal": journal.AVAILABLE, "notify": "NOTIFY_SOCKET" in os.environ,
                  "azure": guard.sources.on_azure, "backend": _backend(guard.manager)},
        "verdict": _verdict(guard, evidence, live, standing),
        "agent": {**_agent(guard, evidence, live), "outdated": visited.outdated},
        "policy": _policy(guard, evidence),
        "verbose": _verbose(guard, evidence),
        "counters": _counters(guard, visited),
        "findings": [finding_json(item.finding, evidence.to_wall(item.since), known) for item in standing],
        "catalogue": _SEVERITIES,
        "observers": {name: {"success": record.success, "duration": round(record.duration, 6),
                             "last_success": record.last_success, "error": record.error}
                      for name, record in guard.sources.eyes.records.items() if record.success is not None},
        "probes": {**_probes(guard, evidence), **visited.probes},
        "doctor": visited.doctor,
        "backup": visited.backup,
        "extensions": visited.extensions,
        "logs": visited.logs,
        "events": history.latest(_EVENTS),
    }


def agent_facts(guard: Guard) -> dict[str, Any]:
    """What the doctor need not find out by itself (judge/case.py, AgentFacts)."""
    evidence, live = guard.sources.evidence(), guard.live
    told = _agent(guard, evidence, live)
    daemon, handler, versions = told["daemon"], told["handler"], told["versions"]
    running = None if live is None or live.state is AgentState.UNKNOWN else daemon is not None
    return {"unit": guard.memory.unit_name, "running": running, "daemon_pid": daemon["pid"] if daemon else 0,
            "daemon_started": daemon["started"] if daemon else None, "handler_pid": handler["pid"] if handler else 0,
            "daemon_version": versions["daemon"] or "", "goal_state_version": versions["goal_state"] or "",
            "conf": str(guard.sources.conf_path()), "log": guard.settings.agent.log}


def probed(guard: Guard) -> Optional[dict[str, Any]]:
    """The guard's last probe of the wire server, for the doctor (observe/network.py, Target); None for none."""
    evidence = guard.sources.evidence()
    seen = evidence.wireserver
    if not isinstance(seen, Known):
        return None
    return {"name": "wireserver", "address": guard.settings.network.wireserver, "success": seen.value.success,
            "duration": seen.value.duration, "problem": seen.value.problem, "kind": seen.value.kind,
            "at": evidence.to_wall(seen.at)}


def _backend(manager: ServiceManager) -> str:
    return manager.name


def _verdict(guard: Guard, evidence: Evidence, live: Optional[Liveness], standing: Sequence[Standing]) -> dict[str, Any]:
    """The gravest finding decides the level; a rest or a pause is said first."""
    if live is None:
        return {"level": "unknown", "summary": say("the guard has only just started")}
    worst = {item.finding.entry.severity for item in standing}
    level = "critical" if Severity.CRITICAL in worst else "warning" if Severity.WARNING in worst else "ok"
    if live.state is AgentState.UNKNOWN:
        level = "unknown"
    summary = words.verdict(live.state, live.why_at(evidence.now))
    if live.state in (AgentState.RUNNING, AgentState.BUSY) and level in ("critical", "warning") and standing:
        summary = words.but(live.state, standing[0].finding.entry.summary)
    if guard.memory.pause is not None:
        summary = say("paused; {said_summary}", said_summary=summary)
    return {"level": level, "summary": summary}


def _agent(guard: Guard, evidence: Evidence, live: Optional[Liveness]) -> dict[str, Any]:
    unit = evidence.unit
    log = evidence.log.value if isinstance(evidence.log, Known) else None
    return {
        "state": live.state.value if live else AgentState.UNKNOWN.value,
        "unit": _unit(unit.value) if isinstance(unit, Known) else None,
        "unit_unknown": None if isinstance(unit, Known) else unit.why,
        "daemon": _process(evidence, evidence.daemon),
        "handler": _process(evidence, evidence.handler),
        "versions": {"daemon": _text(log.daemon_version if log and log.daemon_version else evidence.disk_version),
                     "goal_state": _text(log.agent_version) if log else None, "distro": None},
        "heartbeat": _heartbeat(evidence, live),
        "conf": _conf(guard, evidence),
        "busy": (live.busy or None) if live else None,
        "rests": {"by": live.rest.value, "detail": live.why} if live and live.rest else None,
    }


def _text(value: Any) -> Optional[str]:
    return None if value is None else str(value)


def _unit(unit: UnitState) -> dict[str, Any]:
    return {"name": unit.name, "load": unit.load, "active": unit.active, "sub": unit.sub, "result": unit.result,
            "file_state": unit.file_state or None, "restart": unit.restart, "n_restarts": unit.n_restarts,
            "main_pid": unit.main_pid, "invocation": unit.invocation}


def _process(evidence: Evidence, process: Optional[Process]) -> Optional[dict[str, Any]]:
    if process is None:
        return None
    return {"pid": process.pid, "started": round(evidence.to_wall(process.started), 2), "cpu_seconds": process.cpu_seconds,
            "resident_bytes": process.resident_bytes, "state": process.state}


def _heartbeat(evidence: Evidence, live: Optional[Liveness]) -> dict[str, Any]:
    """``at``: the newest sign of a turning loop, of whatever run; ``source``: status or line."""
    libdir = evidence.libdir.value if isinstance(evidence.libdir, Known) else None
    beat = evidence.log.value.heartbeat if isinstance(evidence.log, Known) else None
    history = live.history if live else None
    signs = [(moment, source) for moment, source in ((history.status_changed, "status"), (history.beat_seen, "line"))
             if moment is not None] if history else []
    newest, source = max(signs, default=(None, None))
    return {"at": None if newest is None else round(evidence.to_wall(newest), 3), "source": source,
            "status_at": libdir.status_mtime if libdir else None,
            "status_path": str(libdir.status_path) if libdir and libdir.status_path else None,
            "line_at": beat.at if beat else None, "id": beat.id if beat else None, "counter": beat.counter if beat else None}


def _conf(guard: Guard, evidence: Evidence) -> dict[str, Any]:
    if isinstance(evidence.conf, Known):
        facts = evidence.conf.value
        return {"path": str(facts.path), "valid": facts.valid, "error": facts.problem or None,
                "verbose": facts.verbose if facts.valid else None}
    return {"path": str(guard.sources.conf_path()), "valid": None, "error": evidence.conf.why, "verbose": None}


def _policy(guard: Guard, evidence: Evidence) -> dict[str, Any]:
    memory, rules = guard.memory, guard.settings.restart
    policy = memory.policy
    hour, day, _ = restart.budget(policy, evidence.now, rules)
    check = policy.verification
    left = term.remaining(memory.pause, guard.moment()) if memory.pause is not None else None
    return {
        "enabled": rules.enabled, "paused": memory.pause is not None,
        "paused_until": None if left is None else round(evidence.wall + left, 3),
        "holding": guard.holding or None, "attempts": policy.attempts,
        "next_attempt": round(evidence.to_wall(guard.next_look), 3) if guard.next_look and guard.holding else None,
        "verifying": None if check is None else {"action": check.action.value, "stage": check.stage.value,
                                                 "since": round(evidence.to_wall(check.since), 3)},
        "pending_restart": policy.request.why if policy.request else None,
        "budget": {"per_hour": rules.live_per_hour, "hour_left": hour, "per_day": rules.live_per_day, "day_left": day,
                   "left": min(hour, day)},
    }


def _verbose(guard: Guard, evidence: Evidence) -> dict[str, Any]:
    conf = evidence.conf.value if isinstance(evidence.conf, Known) else None
    lease = guard.verbose.lease
    return {"conf": conf.verbose if conf and conf.valid else None,
            "lease": None if lease is None else _lease(guard, evidence, lease)}


def _lease(guard: Guard, evidence: Evidence, lease: leases.Lease) -> dict[str, Any]:
    left = term.remaining(lease.term, guard.moment())
    return {"phase": lease.phase.value, "path": lease.path, "line": lease.edit.line, "granted": round(lease.granted, 3),
            "expires": None if left is None else round(evidence.wall + left),
            "remaining": None if left is None else durations.show(left), "restart": lease.restart, "by": lease.by}


def _counters(guard: Guard, visited: Visited) -> dict[str, Any]:
    memory = guard.memory
    seen = guard.sources.eyes.get("log")
    waagent = {"waagent": seen.value.counts.as_dict()} if isinstance(seen, Known) else {}
    return {**memory.counters, "restarts": dict(memory.restarts), "log_records": {**visited.log_records, **waagent}}


def _probes(guard: Guard, evidence: Evidence) -> dict[str, Any]:
    seen = evidence.wireserver
    if not isinstance(seen, Known):
        return {"wireserver": {"success": None, "duration": None, "at": None, "error": seen.why}}
    return {"wireserver": {"success": seen.value.success, "duration": round(seen.value.duration, 6),
                           "at": round(evidence.to_wall(seen.at), 3), "error": seen.value.problem or None}}
