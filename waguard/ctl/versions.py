"""``waguardctl versions``: the agent's versions side by side, and the command that upgrades it here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Optional

from waguard import durations
from waguard.ctl import common
from waguard.ctl.common import paint, rows, shown
from waguard.i18n import message, say, tr

HELP = message("the agent's versions side by side: running, packaged, offered, released; and how to upgrade")
EXAMPLES = ("waguardctl versions", "waguardctl versions --offline", "waguardctl versions --json | jq .result.outdated")
_UPSTREAM = ("upstream", "upstream_released", "upstream_source", "upstream_fetched_at", "upstream_problem")


def add(parser: Any) -> None:
    parser.add_argument("--offline", action="store_true",
                        help=tr("do not ask for new releases; what is known already is shown"))
    parser.add_argument("--settings-dir", default="/etc/waguard", metavar="DIR",
                        help=tr("where the settings are (default: %(default)s)"))


def run(args: Any) -> int:
    """Exit status 0, whatever the versions are: ``doctor`` and ``check`` judge."""
    snapshot, silent = _snapshot(args)
    part, software = _look(args, snapshot)
    facts = {**part.facts, "guard": silent or None, "says": part.says,
             "disabled_why": _disabled_why(software), "python": getattr(software, "python", "") or None,
             "command": part.facts["upgrade"]}
    if software is not None and software.installed == "":
        facts["command"] = software.commands.install
    told = _told(snapshot)
    if told:
        facts.update(told)
    findings = [{"id": one.id, "severity": one.entry.severity.value, "evidence": one.evidence} for one in part.findings]
    common.emit(args, {**facts, "findings": findings}, _render(common.tidy(facts), common.tidy(findings)))
    return 0


def _snapshot(args: Any) -> tuple[dict[str, Any], str]:
    """What the guard knows; without a guard {} and why."""
    try:
        return common.snapshot(args), ""
    except common.Failure as error:
        return {}, str(error)


def _told(snapshot: Mapping[str, Any]) -> Optional[dict[str, Any]]:
    """The release that the guard's doctor fetched: no need to ask for it again."""
    try:
        (facts,) = [part["facts"] for part in snapshot["doctor"]["parts"] if part["name"] == "versions"]
        found = {name: facts[name] for name in _UPSTREAM}
    except (LookupError, TypeError, ValueError):
        return None
    return found if found["upstream_source"] == "feed" and isinstance(found["upstream"], str) else None


def _look(args: Any, snapshot: Mapping[str, Any]) -> tuple[Any, Any]:
    """The part "versions" of a case that holds nothing else, and the Software in it, None if it could not be looked at."""
    import os
    from pathlib import Path

    from waguard import settings
    from waguard.judge.case import Case
    from waguard.judge.parts import versions
    from waguard.observe import Known, azure, conf, confstudy, releases, software
    from waguard.observe.releases import Upstream

    try:
        loaded = settings.load(Path(args.settings_dir))
    except settings.SettingsError as error:
        raise common.Failure(common.plain(error), "waguardctl config check") from None
    path = conf.find(loaded.agent.conf)
    study = _try(lambda: confstudy.study(path))
    on_azure = azure.on_azure(loaded.network.azure)
    agent = _agent(snapshot, study, str(path), loaded.agent.lib_dir)
    seen = _try(lambda: software.look(agent))
    told = _told(snapshot)
    if told is not None:
        newest: Any = Known(Upstream(told["upstream"], told["upstream_released"] or "", "feed", None, ""), 0.0)
    else:
        allowed = not args.offline and (on_azure is True or "versions.feed" in loaded.origins)
        proxy = study.value.proxy_url if isinstance(study, Known) else None
        newest = _try(lambda: releases.look(loaded.versions, None, time.time(), proxy, allowed))
    case = Case(0.0, time.time(), os.geteuid() == 0, on_azure, loaded, agent, conf=study, software=seen, releases=newest)
    return versions.judge(case), seen.value if isinstance(seen, Known) else None


def _try(observer: Any) -> Any:
    from waguard.observe import Known, Unknown

    try:
        return Known(observer(), 0.0)
    except Exception as error:  # An observer that fails is an unknown, never the end of the verb.
        return Unknown(str(error)[:300] or type(error).__name__, 0.0)


def _agent(snapshot: Mapping[str, Any], study: Any, path: str, library: str) -> Any:
    from waguard.agent.facts import AgentFacts
    from waguard.observe import Known, conf, software

    told = snapshot.get("agent")
    agent: Mapping[str, Any] = told if isinstance(told, dict) else {}
    numbers = agent.get("versions") or {}
    pids = {name: int((agent.get(name) or {}).get("pid", 0)) for name in ("daemon", "handler")}
    return AgentFacts(
        running=bool(pids["daemon"]) if agent else None, daemon_pid=pids["daemon"], handler_pid=pids["handler"],
        daemon_version=str(numbers.get("daemon") or ""), goal_state_version=str(numbers.get("goal_state") or ""), conf=path,
        lib_dir=str(conf.library(library, study.value.facts if isinstance(study, Known) else None)),
        distro=software.distribution())


def _disabled_why(software: Any) -> Optional[str]:
    if software is None:
        return say("not looked at")
    return str(software.downloaded_why) or None


def _render(told: Mapping[str, Any], findings: list[dict[str, Any]]) -> str:
    now = time.time()
    pairs = [
        (tr("Goal state agent"), told["goal_state"] or _unknown(told["guard"])),
        (tr("Daemon"), told["daemon"] or tr("not known")),
        (tr("Package"), f"{told['package']} {told['installed']}" if told["installed"] else
         tr("not installed as a package") if told["package"] and not told["candidate_unknown"] else tr("not known")),
        (tr("Distribution"), offer(told, now)),
        (tr("Upstream"), upstream(told, now)),
        (tr("Supported from"), told["support_floor"]),
        (tr("Disabled"), _unknown(told["disabled_why"]) if told["disabled_why"] else ", ".join(told["disabled"]) or tr("none")),
    ]
    lines = [rows(pairs)]
    if findings:
        indent = " " * (common.level_width() + 4)
        lines += ["", *(f"  {paint(common.level(one['severity'], aligned=True), _colour(one))}  {one['id']}\n"
                        f"{indent}{shown(one['evidence'])}" for one in findings)]
    command = paint(told["command"], "bold")
    upgrade = told["command"] == told["upgrade"]
    return "\n".join([*lines, "", "  " + (tr("To upgrade, as root: {command}", command=command) if upgrade else
                                         tr("To install, as root: {command}", command=command))])


def _unknown(why: Optional[str]) -> str:
    return tr("not known: {said_why}", said_why=shown(why)) if why else tr("not known")


def _colour(finding: Mapping[str, Any]) -> str:
    return {"critical": "red", "warning": "yellow"}.get(finding["severity"], "blue")


def offer(told: Mapping[str, Any], now: float) -> str:
    """What the distribution has, in words. ``told``: as ``waguardctl versions --json`` and the doctor's part "versions"."""
    if told["candidate"] is None:
        return _unknown(str(told["candidate_unknown"]))
    at = told["candidate_at"]
    if not at or at >= now:
        return f"{told['candidate']}"
    return tr("{candidate}, by package lists of {span} ago", candidate=told["candidate"], span=durations.show(now - at))


def upstream(told: Mapping[str, Any], now: float) -> str:
    """The newest release of WALinuxAgent and who says so, in words. ``told``: as for ``offer``."""
    if told["upstream"] is None:
        return tr("not known")
    said, at = f"{told['upstream']}", told["upstream_fetched_at"]
    if told["upstream_released"]:
        said = tr("{version}, released on {date}", version=said, date=told["upstream_released"])
    if told["upstream_source"] != "feed":
        said = tr("{release} (as known when this waguard was made)", release=said)
    elif isinstance(at, (int, float)):
        said = tr("{release} (asked {ago})", release=said, ago=common.ago(at, now))
    return said + (f"; {shown(told['upstream_problem'])}" if told["upstream_problem"] else "")
