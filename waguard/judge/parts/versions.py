"""Is the agent old, by what measure, and why."""

from __future__ import annotations

from typing import Any, Optional

from waguard import durations
from waguard.agent import distro, pkgversion
from waguard.agent.versions import SUPPORT_FLOOR, AgentVersion, try_parse
from waguard.i18n import message, say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.observe import Known
from waguard.observe.software import Downloaded, Software

NAME, TITLE = "versions", say("Agent version")
_GOAL_STATE, _DAEMON, _INSTALLED = message("the goal state agent"), message("the daemon"), message("the installed agent")
_IS = {_GOAL_STATE: message("the goal state agent is {version}"), _DAEMON: message("the daemon is {version}"),
       _INSTALLED: message("the installed agent is {version}")}


def judge(case: Case) -> Part:
    """``facts["outdated"]`` maps support_floor, distro and upstream to True, False or None for "not known"."""
    software = case.software.value if isinstance(case.software, Known) else None
    text, who = _version(case, software)
    version = try_parse(text)
    if version is not None and version.is_placeholder:
        version = None  # A build of the development branch: its number says nothing.
    disabled = _disabled(software, version)
    outdated = {"support_floor": None if version is None else version < SUPPORT_FLOOR, "distro": _behind_distro(software),
                "upstream": _behind_upstream(case, version)}
    places = _places(case, software)
    findings = []
    if outdated["support_floor"]:
        findings.append(Finding("agent-version-unsupported", say("{said_who} is {version}, older than {oldest}", said_who=who,
                                                                version=version, oldest=SUPPORT_FLOOR), places))
    if outdated["distro"] and software is not None:
        findings.append(Finding("agent-behind-distro", _distro_evidence(case, software), places))
    if outdated["upstream"]:
        findings.append(Finding("agent-behind-upstream", _upstream_evidence(case, who, version, disabled), places))
    if disabled:
        findings.append(Finding("agent-version-disabled", _disabled_evidence(disabled, who, version),
                                (*places, ("path", str(disabled[0].path)), ("version", disabled[0].version))))
    bad = any(finding.entry.severity is not Severity.INFO for finding in findings)
    ok = False if bad else None if version is None and outdated["distro"] is None else True
    return Part(NAME, TITLE, _says(case, text, who, software), ok, tuple(findings), _facts(case, software, outdated))


def _version(case: Case, software: Optional[Software]) -> tuple[str, str]:
    """The version that counts, and whose it is. The goal state agent's counts for support (MSDocs, waguard.agent.versions)."""
    if case.agent.goal_state_version:
        return case.agent.goal_state_version, _GOAL_STATE
    if case.agent.daemon_version:
        return case.agent.daemon_version, _DAEMON
    return (software.daemon or "" if software is not None else ""), _INSTALLED


def _behind_distro(software: Optional[Software]) -> Optional[bool]:
    if software is None or not software.installed or software.candidate is None:
        return None
    return pkgversion.compare(software.manager, software.installed, software.candidate) < 0


def _behind_upstream(case: Case, version: Optional[AgentVersion]) -> Optional[bool]:
    newest = try_parse(case.releases.value.newest) if isinstance(case.releases, Known) else None
    return None if version is None or newest is None else version < newest


def _disabled(software: Optional[Software], version: Optional[AgentVersion]) -> list[Downloaded]:
    """Versions that would run now if they were not disabled, newest first; without one that Azure itself stepped back from."""
    found = []
    for one in software.downloaded if software is not None else ():
        number = try_parse(one.version)
        if one.disabled and not one.stepped_back and number is not None and (version is None or version < number):
            found.append(one)
    return found


def _places(case: Case, software: Optional[Software]) -> tuple[tuple[str, str], ...]:
    commands = software.commands if software is not None else distro.commands(case.agent.distro)
    return (("install", commands.install), ("upgrade", commands.upgrade), ("reinstall", commands.reinstall),
            *((("package", commands.package),) if commands.package else ()))


def _distro_evidence(case: Case, software: Software) -> str:
    at = software.candidate_at
    age = durations.show(case.wall - at) if at is not None and at < case.wall else ""
    installed = f"{software.package} {software.installed}"
    return (say("{installed} is installed, and {manager}'s lists of {age} ago have {newest}", installed=installed,
                manager=software.manager, age=age, newest=software.candidate) if age else
            say("{installed} is installed, and {manager}'s lists have {newest}", installed=installed,
                manager=software.manager, newest=software.candidate))


def _upstream_evidence(case: Case, who: str, version: Optional[AgentVersion], disabled: list[Downloaded]) -> str:
    assert isinstance(case.releases, Known)
    upstream = case.releases.value
    behind = (say("{said_who} is {version}, and {newest} was released on {date}", said_who=who, version=version,
                  newest=upstream.newest, date=upstream.released) if upstream.released else
              say("{said_who} is {version}, and {newest} has been released", said_who=who, version=version,
                  newest=upstream.newest))
    return "; ".join((behind, *_why_behind(case, version, disabled)))


def _why_behind(case: Case, version: Optional[AgentVersion], disabled: list[Downloaded]) -> list[str]:
    """What keeps the agent from updating itself, as far as it is seen."""
    why = []
    updates = getattr(case.conf.value, "autoupdate", None) if isinstance(case.conf, Known) else None
    if updates is not None:
        # 2.10 and later go by UpdateToLatestVersion, whose default is AutoUpdate.Enabled (common/conf.py).
        legacy = version is not None and version.numbers < (2, 10)
        if not (updates.enabled if legacy else updates.latest):
            key = "AutoUpdate.Enabled" if legacy or updates.latest_line is None else "AutoUpdate.UpdateToLatestVersion"
            why.append(say("{key} is off", key=key))
    if disabled:
        why.append(say("the agent has disabled {version}", version=disabled[0].version))
    if case.agent.running is False:
        why.append(say("the agent does not run"))
    elif case.agent.daemon_pid and not case.agent.handler_pid and not case.agent.goal_state_version:
        why.append(say("the handler, which does the updating, does not run"))
    return why


def _disabled_evidence(disabled: list[Downloaded], who: str, version: Optional[AgentVersion]) -> str:
    first, more = disabled[0], len(disabled) - 1
    told = (say("{version} is disabled by {path}, and {count} more", version=first.version, path=first.path, count=more)
            if more else say("{version} is disabled by {path}", version=first.version, path=first.path))
    if version is not None:
        told = f"{told}; {_IS[who].format(version=version)}"
    return say("{said}; the reason: {said_reason}", said=told, said_reason=first.reason) if first.reason else told


def _says(case: Case, text: str, who: str, software: Optional[Software]) -> str:
    parts = [_IS[who].format(version=text) if text else say("not known: neither a running agent nor its code was found")]
    daemon = case.agent.daemon_version
    if case.agent.goal_state_version and daemon not in ("", text):
        parts.append(say("the daemon {version}", version=daemon))
    if software is not None and software.installed:
        name, version = software.package, software.installed
        newest = software.candidate is not None and not _behind_distro(software)
        parts.append(say("package {name} {version}, the newest in the package lists", name=name, version=version) if newest else
                     say("package {name} {version}", name=name, version=version))
        if software.candidate is None:
            parts.append(say("what the distribution offers is not known ({said_why})", said_why=software.candidate_why))
    elif software is None and not isinstance(case.software, Known):
        parts.append(say("the package is not known ({said_why})", said_why=case.software.why))
    return "; ".join(parts)


def _facts(case: Case, software: Optional[Software], outdated: dict[str, Optional[bool]]) -> dict[str, Any]:
    upstream = case.releases.value if isinstance(case.releases, Known) else None
    return {
        "outdated": outdated,
        "goal_state": case.agent.goal_state_version or None,
        "daemon": case.agent.daemon_version or (software.daemon if software else None),
        "package": software.package or None if software else None,
        "installed": software.installed or None if software else None,
        "candidate": software.candidate if software else None,
        "candidate_at": software.candidate_at if software else None,
        "candidate_unknown": (software.candidate_why or None) if software else getattr(case.software, "why", None),
        "disabled": [one.version for one in software.downloaded if one.disabled] if software else None,
        "upstream": upstream.newest if upstream else None,
        "upstream_released": upstream.released or None if upstream else None,
        "upstream_source": upstream.source if upstream else None,
        "upstream_fetched_at": upstream.fetched_at if upstream else None,
        "upstream_problem": upstream.problem or None if upstream else None,
        "support_floor": str(SUPPORT_FLOOR),
        "upgrade": (software.commands if software else distro.commands(case.agent.distro)).upgrade,
    }
