"""Can the agent read its waagent.conf, and does it say what its writer will have meant."""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator
from typing import Any, Optional

from waguard.agent.conf import Problem
from waguard.agent.versions import AgentVersion, try_parse
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.observe import Known
from waguard.observe.confstudy import ConfStudy

NAME, TITLE = "conf", "waagent.conf"
_PLACES = 5
_TWO_SWITCHES = AgentVersion(2, 10)
"""From here on AutoUpdate.UpdateToLatestVersion is read (WALinuxAgent 2.10.0.8, azurelinuxagent/common/conf.py)."""


def judge(case: Case) -> Part:
    """``facts["problems"]`` counts by finding id. Of the proxy only what is set is told, never its address."""
    if not isinstance(case.conf, Known):
        return _untold(case, case.conf.why, looked=case.conf.at > 0)
    study = case.conf.value
    findings = tuple(_findings(case, study))
    bad = [finding.entry.summary for finding in findings if finding.entry.severity is not Severity.INFO]
    says = bad[0] if bad else _well(case, study)
    if len(bad) > 1:
        says = say("{said}, and {count} more", said=bad[0], count=len(bad) - 1)
    return Part(NAME, TITLE, says, not bad, findings, _facts(case, study))


def _untold(case: Case, why: str, looked: bool) -> Part:
    """Nothing could be read. What is denied to an ordinary user says nothing of the agent, which is root."""
    denied = not case.privileged and os.strerror(errno.EACCES) in why
    if not looked or denied:
        return Part(NAME, TITLE, why, None)
    return Part(NAME, TITLE, why, False, (Finding("conf-unreadable", why, (("conf", case.agent.conf),)),))


def _findings(case: Case, study: ConfStudy) -> Iterator[Finding]:
    facts = study.facts
    if facts.problem:
        # An agent that runs has read its file at its start, and takes no harm before its next one.
        name, blocks = ("conf-missing", True) if facts.missing else ("conf-unreadable", case.agent.running is False)
        yield Finding(name, facts.problem, (("conf", str(facts.path)),), blocks and case.agent.running is not True)
        return
    of_id: dict[str, list[Problem]] = {}
    for problem in study.problems:
        of_id.setdefault(problem.id, []).append(problem)
    for name, problems in of_id.items():
        yield Finding(name, _evidence(study, problems), (("key", problems[0].key), ("conf", str(facts.path))))
    off = _autoupdate_off(case, study)
    if off is not None:
        line, key = off
        yield Finding("agent-autoupdate-off", f"{facts.path}:{line}: {key}=n", (("key", key), ("conf", str(facts.path))))


def _evidence(study: ConfStudy, problems: list[Problem]) -> str:
    """The first one in full, the places and keys of four more, and how many there are besides."""
    path, first = study.facts.path, problems[0]
    told = f"{path}:{first.line}: {first.message}"
    others = ", ".join(f"{path}:{problem.line}" + (f" ({problem.key})" if problem.key else "")
                       for problem in problems[1:_PLACES])
    if len(problems) > _PLACES:
        return say("{said} Also {said_places}, {count} more.", said=told, said_places=others, count=len(problems) - _PLACES)
    return say("{said} Also {said_places}.", said=told, said_places=others) if others else told


def _autoupdate_off(case: Case, study: ConfStudy) -> Optional[tuple[int, str]]:
    """Line and key of the switch that keeps the agent from updating itself, by what its version reads; None when none does."""
    version, auto = try_parse(case.agent.goal_state_version or case.agent.daemon_version), study.autoupdate
    if version is not None and version < _TWO_SWITCHES:
        return None if auto.enabled or auto.enabled_line is None else (auto.enabled_line, "AutoUpdate.Enabled")
    if not auto.latest and auto.latest_line is not None:
        return auto.latest_line, "AutoUpdate.UpdateToLatestVersion"
    return None if auto.latest or auto.enabled_line is None else (auto.enabled_line, "AutoUpdate.Enabled")


def _well(case: Case, study: ConfStudy) -> str:
    says = say("1 setting") if study.settings == 1 else say("{count} settings", count=study.settings)
    if study.drift is not None:
        says = (say("{said}, not as in package {package}", said=says, package=study.package) if study.drift else
                say("{said}, as in package {package}", said=says, package=study.package))
    if _edited_since(case, study):
        says = say("{said}, written after the agent's daemon started, which has not read it yet", said=says)
    return says


def _edited_since(case: Case, study: ConfStudy) -> Optional[bool]:
    """Was the file written after the daemon had started, and so after it was read? None: not known."""
    started = case.agent.daemon_started
    if started is None or study.modified is None or case.agent.running is not True:
        return None
    return study.modified > started


def _facts(case: Case, study: ConfStudy) -> dict[str, Any]:
    facts, proxy = study.facts, study.proxy
    found: dict[str, Any] = {
        "path": str(facts.path), "valid": facts.valid, "error": facts.problem or None, "settings": study.settings,
        "problems": dict(sorted(Counter(problem.id for problem in study.problems).items())),
        "drift": study.drift, "drift_unknown": study.drift_why or None, "package": study.package or None,
        "modified": study.modified, "modified_since_start": _edited_since(case, study)}
    used: dict[str, Any] = {
        "extensions_enabled": facts.extensions_enabled, "verbose": facts.verbose,
        "autoupdate": _autoupdate_off(case, study) is None, "provisioning_agent": study.provisioning_agent,
        "endpoint_discovery": study.endpoint_discovery,
        "proxy_host_set": proxy is not None and proxy.host is not None,
        "proxy_port_set": proxy is not None and proxy.port is not None}
    return {**found, **(used if facts.valid else dict.fromkeys(used))}
