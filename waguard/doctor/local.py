"""``waguardctl doctor --local``: the same diagnosis without a guard, from one look instead of a history."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Optional

from waguard import settings
from waguard.doctor import visit
from waguard.doctor.looks import Progress
from waguard.i18n import say
from waguard.judge import diagnosis, findings, liveness
from waguard.judge.case import part_of
from waguard.judge.evidence import Evidence
from waguard.observe import (
    Known,
    Observation,
    Unknown,
    azure,
    conf,
    diskversion,
    freeze,
    libdir,
    logs,
    packages,
    process,
    programs,
    unit,
)
from waguard.observe.unit import UnitState
from waguard.settings import Settings


def diagnose(progress: Progress, settings_dir: Path = settings.DIRECTORY) -> dict[str, Any]:
    """Look, judge, and compose. Raises SettingsError when waguard's own settings cannot be used."""
    loaded = settings.load(settings_dir)
    progress(say("the agent"))
    evidence = look(loaded)
    live = liveness.judge(evidence, liveness.History(), loaded.liveness, loaded.restart.boot_grace)
    own = findings.judge(evidence, live, findings.Standing(leased=True), loaded)
    result = visit.visit({"agent": _facts(evidence, loaded), "state": {}, "settings_dir": str(settings_dir)}, progress)
    parts = [part_of(part) for part in result["parts"]]
    told = {finding.id for finding in own}
    every = [*own, *(finding for part in parts for finding in part.findings if finding.id not in told)]
    places = {**result["places"], **{name: text for name, text in _places(evidence, loaded).items() if text}}
    agent = diagnosis.agent_part(live, evidence.now, [one for one in own if one.id.startswith("agent-")])
    return diagnosis.compose([(finding, None) for finding in every], [agent, *parts], result["azure"], places, result["at"],
                             result["took"], result["privileged"])


def look(loaded: Settings) -> Evidence:
    """One look at the agent itself, with the guard's own observers. What a single look cannot tell stays unknown."""
    state = _unit(loaded)
    known: Optional[UnitState] = state.value if isinstance(state, Known) else None
    problem, daemon, handler = "", None, None
    try:
        daemon = process.read(known.main_pid) if known is not None and known.main_pid else None
        handler = process.handler_of(daemon.pid) if daemon is not None else None
    except OSError as error:
        problem = say("/proc cannot be read: {reason}", reason=error.strerror)
    read = _try(lambda: conf.read(conf.find(loaded.agent.conf)))
    lib = conf.library(loaded.agent.lib_dir, read.value if isinstance(read, Known) else None)
    seen: Observation[Any] = _try(lambda: logs.Follower(Path(loaded.agent.log)).look().state)
    return Evidence(
        now=_now(), wall=time.time(), unit=state, daemon=daemon, handler=handler, processes_unknown=problem, conf=read, log=seen,
        libdir=_try(lambda: libdir.Watcher().look(lib)), disk_version=_value(_try(diskversion.read)),
        azure=azure.on_azure(loaded.network.azure), transaction=_value(_try(packages.transaction)), freezing=freeze.freezing())


def _unit(loaded: Settings) -> Observation[UnitState]:
    from waguard.act.service import service_name

    ran = programs.run(unit.show_argv(service_name(loaded.agent.unit)), 10.0, 65536)
    if ran.code != 0:
        return Unknown(ran.problem or ran.errors.strip()[:200] or say("systemctl ended with {status}", status=ran.code), _now())
    states = unit.parse(ran.output)
    return Known(unit.choose(states) or states[0], _now()) if states else Unknown(say("systemctl show printed nothing"), _now())


def _try(observer: Any) -> Observation[Any]:
    try:
        return Known(observer(), _now())
    except Exception as error:  # An observer that fails is an unknown, never the end of the diagnosis.
        return Unknown(str(error)[:300] or type(error).__name__, _now())


def _value(seen: Observation[Any]) -> Any:
    return seen.value if isinstance(seen, Known) else None


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _facts(evidence: Evidence, loaded: Settings) -> dict[str, Any]:
    state = evidence.log.value if isinstance(evidence.log, Known) else None
    daemon_version = state.daemon_version if state is not None and state.daemon_version else evidence.disk_version
    return {"unit": evidence.unit.value.name if isinstance(evidence.unit, Known) else "",
            "running": None if isinstance(evidence.unit, Unknown) else evidence.daemon is not None,
            "daemon_pid": evidence.daemon.pid if evidence.daemon else 0,
            "daemon_started": evidence.to_wall(evidence.daemon.started) if evidence.daemon else None,
            "handler_pid": evidence.handler.pid if evidence.handler else 0, "daemon_version": str(daemon_version or ""),
            "goal_state_version": str(state.agent_version or "") if state is not None else "",
            "conf": str(conf.find(loaded.agent.conf)), "log": loaded.agent.log}


def _places(evidence: Evidence, loaded: Settings) -> dict[str, str]:
    return {"unit": evidence.unit.value.name if isinstance(evidence.unit, Known) else "", "log": loaded.agent.log,
            "conf": str(conf.find(loaded.agent.conf)), "pid": str(evidence.daemon.pid) if evidence.daemon else ""}


