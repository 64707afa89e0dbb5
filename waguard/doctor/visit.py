"""One visit: look at everything, judge it part by part. In goes what is known already, out comes plain JSON."""

from __future__ import annotations

import importlib
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from waguard import settings
from waguard.agent.facts import AgentFacts
from waguard.doctor import looks
from waguard.doctor.looks import Look, Progress, Visit
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.observe import Known, azure, conf, software
from waguard.settings import Settings

SCHEMA = 1
_FAILURES = "failures"
_TOO_OFTEN = 3
PARTS = ("conf", "versions", "network", "extensions", "snapshot", "filesystems", "load", "clock", "logs")
"""Modules of judge/parts, in the order in which their parts are shown."""


def request_of(text: str) -> Mapping[str, Any]:
    """A request as it comes over the doctor's socket. Raises ValueError when it is none."""
    import json

    try:
        request: Any = json.loads(text)
    except RecursionError as error:
        raise ValueError("the request is nested too deeply") from error
    objects = [request]
    if isinstance(request, dict):
        objects += [request.get(name) or {} for name in ("agent", "state", "probed")]
    if not all(isinstance(one, dict) for one in objects):
        raise ValueError("the request is no object with 'agent' and 'state'")
    found: Mapping[str, Any] = request
    return found


def agent_facts(told: Mapping[str, Any]) -> AgentFacts:
    """What the guard tells of the agent; of what it does not tell, or tells in another type, the defaults."""
    known = {}
    for item in fields(AgentFacts):
        value = told.get(item.name)
        default = item.default
        if value is None or (default is not None and not isinstance(value, (type(default), list))):
            continue
        known[item.name] = tuple(str(word) for word in value) if isinstance(value, list) else value
    return AgentFacts(**known)


def visit(request: Mapping[str, Any], progress: Progress, everything: Sequence[Look] = looks.LOOKS) -> dict[str, Any]:
    """Look and judge. ``request``: ``agent`` (fields of AgentFacts), ``state`` (of the last visit), ``probed`` (the guard's probe
    of the wire server), ``settings_dir``.

    Returns ``{schema, at, took, privileged, azure, parts, looks, state}``: parts as of ``part_json``, for each look whether it
    could be done, and the state for the next visit. Raises SettingsError when waguard's own settings cannot be used.
    """
    loaded = settings.load(Path(request.get("settings_dir") or settings.DIRECTORY))
    started, wall = time.monotonic(), time.time()
    agent = agent_facts(request.get("agent") or {})
    if not agent.distro:
        agent = replace(agent, distro=software.distribution())
    at = Visit(loaded, agent, os.geteuid() == 0, azure.on_azure(loaded.network.azure), wall,
               time.clock_gettime(time.CLOCK_BOOTTIME), request.get("state") or {}, request.get("probed"))
    progress(looks.CONF.title)
    found = looks.look((looks.CONF,), at, 5.0, lambda _waiting: None)
    study = found["conf"]
    at.agent = replace(agent, lib_dir=str(conf.library(
        loaded.agent.lib_dir, study.value.facts if isinstance(study, Known) else None)))
    if isinstance(study, Known):
        at.agent = replace(at.agent, extension_log_dir=study.value.extension_log_dir)
        at.proxy = study.value.proxy_url
    wanted = [one for one in everything if one.name != "network" or at.azure is True]
    found.update(looks.look(wanted, at, loaded.doctor.deadline, progress))
    case = _case(at, loaded, found)
    parts = [judge(name, case) for name in PARTS]
    return {
        "places": _places(at.agent),
        "schema": SCHEMA, "at": round(wall, 3), "took": round(time.monotonic() - started, 3), "privileged": at.privileged,
        "azure": at.azure, "parts": [part_json(part) for part in parts],
        "looks": {name: None if isinstance(seen, Known) else seen.why for name, seen in found.items()},
        "state": _state(at, found)}


def judge(name: str, case: Case) -> Part:
    """One part. A judge that fails is a fault of ours; it is told in its part and harms no other."""
    try:
        module = importlib.import_module(f"waguard.judge.parts.{name}")
        part: Part = module.judge(case)
    except Exception as error:
        says = say("could not be judged: {kind}: {error}", kind=type(error).__name__, error=str(error)[:200])
        return Part(name, name, says, None)
    return part


def part_json(part: Part) -> dict[str, Any]:
    """A part as plain JSON values; ``case.part_of`` reads it again."""
    return {"name": part.name, "title": part.title, "says": part.says, "ok": part.ok, "facts": dict(part.facts),
            "findings": [{"id": one.id, "evidence": one.evidence, "values": dict(one.values), "blocks": one.blocks}
                         for one in part.findings]}


def _case(at: Visit, loaded: Settings, found: Mapping[str, Any]) -> Case:
    return Case(at.now, at.wall, at.privileged, at.azure, loaded, at.agent, **found)


def _state(at: Visit, found: Mapping[str, Any]) -> dict[str, Any]:
    """What each look leaves behind; of one that failed what it had left before, but not for ever: it may be what it failed of."""
    state: dict[str, Any] = {}
    failures: dict[str, int] = {}
    before = at.left(_FAILURES) or {}
    for name, seen in found.items():
        if isinstance(seen, Known):
            left = getattr(seen.value, "state", None)
        else:
            times = before.get(name)
            failures[name] = times + 1 if isinstance(times, int) else 1
            left = at.left(name) if failures[name] < _TOO_OFTEN else None
        if left:
            state[name] = dict(left)
    if failures:
        state[_FAILURES] = failures
    for name, left in at.state.items():
        if name not in found and name != _FAILURES:
            state[name] = left
    return state


def _places(agent: AgentFacts) -> dict[str, str]:
    """Words of this machine for remedies (judge/catalogue.py, ``fill``)."""
    from waguard.agent import distro

    commands = distro.commands(agent.distro)
    return {"lib_dir": agent.lib_dir, "log_dir": agent.extension_log_dir, "install": commands.install,
            "upgrade": commands.upgrade, "reinstall": commands.reinstall, "package": commands.package}
