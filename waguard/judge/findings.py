"""From the verdict to findings: which entries of the catalogue hold now, each with its evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from waguard import durations
from waguard.i18n import say
from waguard.judge.catalogue import Finding
from waguard.judge.evidence import Evidence
from waguard.judge.liveness import AgentState, Liveness, Rest
from waguard.observe import Known
from waguard.settings import Settings

CRASH_LOOP = 3
OWN = frozenset((
    "agent-not-installed", "agent-not-running", "agent-hung", "agent-handler-missing", "agent-stopped", "agent-masked",
    "agent-crash-loop", "agent-provisioning", "agent-unkillable", "agent-disabled", "agent-autorestart-missing",
    "agent-restart-exhausted", "conf-missing", "conf-unreadable", "extensions-disabled", "verbose-left-on",
    "wireserver-unreachable", "no-route-to-wireserver", "observer-failing"))
"""What is told here, every few seconds; the doctor's older word on the same does not count beside it."""
_DISK_BLOCKED = 90.0


@dataclass(frozen=True)
class Standing:
    """What the guard itself adds: the policy's and the lease's standing, and observers that fail (name: why)."""

    ration_used_up: bool = False
    paused: bool = False
    leased: bool = False
    failing: tuple[tuple[str, str], ...] = ()


def judge(evidence: Evidence, live: Liveness, standing: Standing, settings: Settings) -> tuple[Finding, ...]:
    """Every finding that holds now, in no particular order."""
    return (*_agent(evidence, live, settings), *_unit(evidence, live), *_conf(evidence, standing),
            *_surroundings(evidence, live), *_guard(standing))


def _agent(evidence: Evidence, live: Liveness, settings: Settings) -> Iterator[Finding]:
    by_state = {AgentState.NOT_INSTALLED: "agent-not-installed", AgentState.DOWN: "agent-not-running",
                AgentState.HUNG: "agent-hung", AgentState.HANDLER_MISSING: "agent-handler-missing"}
    if live.state in by_state:
        yield Finding(by_state[live.state], live.why)
    if live.rest is not None and live.rest not in (Rest.MASKED, Rest.DISABLED):
        yield Finding("agent-stopped", live.why)
    if live.rest is Rest.MASKED:
        yield Finding("agent-masked", live.why)
    ends = len(live.history.exits)
    # The loop is over when the agent has lived as long as the delay between two starts takes to begin anew.
    if ends >= CRASH_LOOP and (evidence.daemon is None or evidence.now - live.history.exits[-1] < settings.restart.reset_after):
        # Between two starts nobody takes a snapshot; one that was seen working may yet.
        works = live.state in (AgentState.RUNNING, AgentState.BUSY)
        yield Finding("agent-crash-loop", say("the daemon ended by itself {count} times within the last 15 minutes", count=ends),
                      blocks=not works)
    if live.state is AgentState.PROVISIONING and evidence.daemon is not None:
        handler = evidence.handler
        since = evidence.now - max(evidence.daemon.started, handler.started if handler is not None else 0.0)
        if since > settings.liveness.provisioning_limit:
            yield Finding("agent-provisioning", live.why)
    if live.blocked:
        sleeping = say("in state D at {count} looks in a row: {threads}", count=live.history.blocked_looks,
                       threads=", ".join(live.blocked))
        yield Finding("agent-unkillable", sleeping, (("pid", live.blocked[0].partition("/")[0]),))
    if live.suspect:
        yield Finding("status-not-reported", live.why)


def _unit(evidence: Evidence, live: Liveness) -> Iterator[Finding]:
    if not isinstance(evidence.unit, Known) or not evidence.unit.value.loaded or evidence.unit.value.kind != "systemd":
        return
    unit = evidence.unit.value
    if unit.disabled:
        rests = live.rest is Rest.DISABLED
        why = live.why if rests else f"systemctl is-enabled {unit.name}: {unit.file_state}"
        yield Finding("agent-disabled", why, blocks=rests)
    if unit.restart in ("no", "") and not unit.masked:
        yield Finding("agent-autorestart-missing", say("{unit} has Restart={value}", unit=unit.name, value=unit.restart or "no"))


def _conf(evidence: Evidence, standing: Standing) -> Iterator[Finding]:
    conf = evidence.conf
    if not isinstance(conf, Known):
        if conf.at > 0:
            yield Finding("conf-unreadable", conf.why)
        return
    facts = conf.value
    if facts.problem:
        # A daemon that runs has read it at its start, and goes on until it is restarted.
        yield Finding("conf-missing" if facts.missing else "conf-unreadable", facts.problem, blocks=evidence.daemon is None)
        return
    if not facts.extensions_enabled:
        yield Finding("extensions-disabled", f"{facts.path}: Extensions.Enabled=n")
    if facts.verbose and not standing.leased:
        yield Finding("verbose-left-on", say("{path}:{line}: Logs.Verbose=y, and no lease to end it", path=facts.path,
                                             line=facts.verbose_line))


def _surroundings(evidence: Evidence, live: Liveness) -> Iterator[Finding]:
    wireserver = evidence.wireserver
    if isinstance(wireserver, Known) and not wireserver.value.success:
        lost = wireserver.value.routable is False
        yield Finding("no-route-to-wireserver" if lost else "wireserver-unreachable", wireserver.value.problem)
    if evidence.disk_blocked_for > _DISK_BLOCKED:
        yield Finding("filesystem-frozen", say("a write of waguard has been asleep for {age}",
                                               age=durations.show(evidence.disk_blocked_for)))


def _guard(standing: Standing) -> Iterator[Finding]:
    if standing.ration_used_up:
        yield Finding("agent-restart-exhausted", say("the agent needs a restart, and the ration is used up"))
    for name, why in standing.failing:
        yield Finding("observer-failing", f"{name}: {why}")
