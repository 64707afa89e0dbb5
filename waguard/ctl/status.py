"""``waguardctl status``: the verdict on one screen."""

from __future__ import annotations

from typing import Any

from waguard import durations
from waguard.ctl import common
from waguard.ctl.common import ago, clock, paint, rows, size

HELP = "the verdict on one screen"
EXAMPLES = ("waguardctl status", "waguardctl status --json | jq .result.verdict")
_COLOURS = {"ok": "green", "warning": "yellow", "critical": "red", "unknown": "yellow", "info": "blue"}


def add(parser: Any) -> None:
    """No options of its own."""


def run(args: Any) -> int:
    """Exit status 0: the guard answered, whatever it said; 1: it did not."""
    snapshot = common.snapshot(args)
    common.emit(args, snapshot, render(snapshot))
    return 0


def render(snapshot: dict[str, Any]) -> str:
    """The screen."""
    now, verdict = snapshot["at"], snapshot["verdict"]
    mark = paint(f"● {verdict['level']}", _COLOURS.get(verdict["level"], "yellow"))
    parts = [f"{mark}  {paint(verdict['summary'], 'bold')}", "", rows(_facts(snapshot, now))]
    if snapshot["findings"]:
        parts += ["", paint("Findings", "bold"), *(_finding(finding, now) for finding in snapshot["findings"])]
    if snapshot["events"]:
        parts += ["", paint("Recent", "bold"),
                  *(f"  {paint(clock(event['at'], now), 'dim')}  {event['message']}" for event in snapshot["events"])]
    return "\n".join(parts)


def _facts(snapshot: dict[str, Any], now: float) -> list[tuple[str, str]]:
    agent, policy = snapshot["agent"], snapshot["policy"]
    return [
        ("Unit", _unit(agent)),
        ("Daemon", _process(agent["daemon"], now)),
        ("Handler", _process(agent["handler"], now)),
        ("Version", _version(agent["versions"])),
        ("Heartbeat", _heartbeat(agent["heartbeat"], now)),
        ("Conf", _conf(agent["conf"])),
        ("Verbose", verbose(snapshot["verbose"], now)),
        ("Restarts", _restarts(snapshot["counters"], policy)),
        ("Policy", _policy(policy, now)),
        ("Wire server", _probe(snapshot["probes"].get("wireserver"))),
        ("Guard", f"{snapshot['guard']['version']}, pid {snapshot['guard']['pid']}, "
                  f"up {durations.show(now - snapshot['guard']['started'])}"
                  + ("" if snapshot["guard"]["settings_valid"] else paint(", new settings refused", "red"))),
    ]


def _unit(agent: dict[str, Any]) -> str:
    unit = agent["unit"]
    if unit is None:
        return f"unknown: {agent['unit_unknown']}"
    if unit["load"] in ("not-found", ""):
        return "no such unit"
    words = [f"{unit['active']} ({unit['sub']})", unit["file_state"], f"Restart={unit['restart']}" if unit["restart"] else ""]
    return f"{unit['name']}  " + ", ".join(word for word in words if word)


def _process(process: Any, now: float) -> str:
    if process is None:
        return "none"
    return f"pid {process['pid']}, up {durations.show(now - process['started'])}, {size(process['resident_bytes'])}, " \
           f"CPU {process['cpu_seconds']:.1f} s" + (f", state {process['state']}" if process["state"] in "DTt" else "")


def _version(versions: dict[str, Any]) -> str:
    if versions["daemon"] is None and versions["goal_state"] is None:
        return "unknown"
    same = versions["goal_state"] in (None, versions["daemon"])
    return str(versions["daemon"] or "unknown") + ("" if same else f", goal state agent {versions['goal_state']}")


def _heartbeat(heartbeat: dict[str, Any], now: float) -> str:
    if heartbeat["at"] is None:
        return "none seen yet"
    line = f"; [HEARTBEAT] line {ago(heartbeat['line_at'], now)}" if heartbeat["line_at"] else ""
    by = {"status": "status file", "line": "log line"}.get(heartbeat["source"], "")
    return f"{ago(heartbeat['at'], now)} ({by}){line}"


def _conf(conf: dict[str, Any]) -> str:
    if conf["valid"]:
        return str(conf["path"])
    return paint(f"{conf['error'] or 'unknown'}", "red")


def verbose(state: dict[str, Any], now: float) -> str:
    """One line on verbose logging."""
    lease = state["lease"]
    if lease is None:
        return {True: "on, set by hand", False: "off", None: "unknown"}[state["conf"]]
    until = "until it is turned off" if lease["remaining"] is None else f"for another {lease['remaining']} (till {clock(lease['expires'], now)})"
    return f"on {until}, asked for by {lease['by']}" + ("" if lease["phase"] == "active" else f", {lease['phase']}")


def _restarts(counters: dict[str, Any], policy: dict[str, Any]) -> str:
    by = ", ".join(f"{count} by {'an admin' if actor == 'admin' else actor}" for actor, count in counters["restarts"].items())
    budget = policy["budget"]
    return f"{by}; {counters['agent_exits']} ended by themselves; ration of live restarts: {budget['hour_left']} of " \
           f"{budget['per_hour']} this hour, {budget['day_left']} of {budget['per_day']} today"


def _policy(policy: dict[str, Any], now: float) -> str:
    if policy["paused"]:
        until = policy["paused_until"]
        return paint("paused " + ("until resumed" if until is None else f"for another {durations.show(until - now)}"), "yellow")
    if not policy["enabled"]:
        return paint("off: restart.enabled is false", "yellow")
    words = [policy["holding"] or "nothing to do"]
    if policy["next_attempt"]:
        words.append(f"next look in {durations.show(policy['next_attempt'] - now)}")
    if policy["pending_restart"]:
        words.append(f"a restart is pending: {policy['pending_restart']}")
    return ", ".join(words)


def _probe(probe: Any) -> str:
    if not probe or probe["success"] is None:
        return f"not known: {probe['error']}" if probe else "not known"
    return f"answers in {probe['duration'] * 1000:.1f} ms" if probe["success"] else paint(str(probe["error"]), "red")


def _finding(finding: dict[str, Any], now: float) -> str:
    level = paint(finding["severity"].ljust(8), _COLOURS[finding["severity"]])
    return f"  {level}  {finding['id']}  {paint('since ' + clock(finding['since'], now), 'dim')}\n" \
           f"            {finding['evidence']}\n            {paint('→', 'dim')} {finding['remedy']}"
