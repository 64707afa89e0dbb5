"""The whole diagnosis as plain JSON values: what stands in the way of a backup, every finding, every part. Pure.

Guard and ``waguardctl doctor --local`` make the same of it, so that every face shows the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Optional

from waguard.i18n import message, say
from waguard.judge import readiness
from waguard.judge.case import Part
from waguard.judge.catalogue import Finding, Severity, fill
from waguard.judge.liveness import AgentState, Liveness

SCHEMA = 1
_RANKS = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)
_STATES = {
    AgentState.RUNNING: message("running: {said}"), AgentState.STARTING: message("starting: {said}"),
    AgentState.PROVISIONING: message("provisioning: {said}"), AgentState.BUSY: message("busy: {said}"),
    AgentState.DOWN: message("down: {said}"), AgentState.HUNG: message("hung: {said}"),
    AgentState.HANDLER_MISSING: message("handler-missing: {said}"), AgentState.RESTING: message("resting: {said}"),
    AgentState.NOT_INSTALLED: message("not-installed: {said}")}


def compose(findings: Iterable[tuple[Finding, Optional[float]]], parts: Sequence[Part], azure: Optional[bool],
            places: Mapping[str, str], at: float, took: Optional[float], privileged: bool) -> dict[str, Any]:
    """``findings``: each with its beginning, epoch seconds, None where that is not known. ``at``: when it was looked at."""
    told = sorted(findings, key=lambda one: _gravity(one[0]))
    return {
        "schema": SCHEMA, "at": round(at, 3), "took": took, "privileged": privileged, "azure": azure,
        "backup": backup([finding for finding, _ in told], parts, azure),
        "findings": [finding_json(finding, since, places) for finding, since in told],
        "parts": [{"name": part.name, "title": part.title, "says": part.says, "ok": part.ok, "facts": dict(part.facts)}
                  for part in parts],
        "beyond": [{"what": what, "step": step} for what, step in readiness.BEYOND],
    }


def backup(findings: Iterable[Finding], parts: Sequence[Part], azure: Optional[bool]) -> dict[str, Any]:
    """What stands in the way of a backup."""
    ready = readiness.readiness(sorted(findings, key=_gravity), parts, azure)
    return {"ready": ready.ready, "says": ready.says, "causes": list(ready.causes), "link": ready.link.value or None,
            "unknowns": list(ready.unknowns)}


def _gravity(finding: Finding) -> tuple[bool, int]:
    return not finding.blocking, _RANKS.index(finding.entry.severity)


def agent_part(live: Optional[Liveness], now: float, findings: Iterable[Finding]) -> Part:
    """The agent itself, as one part among the others. ``findings``: those that are about it."""
    own = tuple(findings)
    title = say("Agent")
    if live is None or live.state is AgentState.UNKNOWN:
        return Part("agent", title, live.why if live is not None else say("not looked at yet"), None, own)
    grave = any(one.entry.severity is not Severity.INFO for one in own)
    return Part("agent", title, _STATES[live.state].format(said=live.why_at(now)), not grave, own)


def finding_json(finding: Finding, since: Optional[float], places: Mapping[str, str]) -> dict[str, Any]:
    """One finding for every face."""
    entry = finding.entry
    return {"id": finding.id, "severity": entry.severity.value, "cause": entry.cause, "link": entry.link.value or None,
            "blocks": finding.blocking, "since": None if since is None else round(since, 3), "evidence": finding.evidence,
            "summary": entry.summary, "remedy": fill(entry.remedy, {**places, **dict(finding.values)})}
