"""``waguardctl status``: the verdict on one screen."""

from __future__ import annotations

import time
from collections.abc import Callable
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
    """The screen. What a guard of another version does not tell is said to be missing, and the rest is shown."""
    told = common.tidy(snapshot)
    now = _try(lambda: float(told["at"]), time.time())
    level = _try(lambda: str(told["verdict"]["level"]), "unknown")
    summary = _try(lambda: str(told["verdict"]["summary"]), "this guard gives no verdict")
    parts = [f"{paint(f'● {level}', _COLOURS.get(level, 'yellow'))}  {paint(summary, 'bold')}", "", rows(facts(told, now))]
    findings = _lines(told.get("findings"), lambda finding: _finding(finding, now))
    events = _lines(told.get("events"), lambda event: f"  {paint(clock(event['at'], now), 'dim')}  {event['message']}")
    for title, lines in (("Findings", findings), ("Recent", events)):
        parts += ["", paint(title, "bold"), *lines] if lines else []
    return "\n".join(parts)


def _try(found: Callable[[], Any], otherwise: Any) -> Any:
    """For what a guard of another version may not tell, or tell in another form."""
    try:
        return found()
    except (LookupError, TypeError, AttributeError, ValueError, ArithmeticError, OSError):
        return otherwise


def _lines(items: Any, line: Callable[[Any], str]) -> list[str]:
    shown = [_try(lambda item=item: line(item), "") for item in items] if isinstance(items, list) else []  # type: ignore[misc]
    return [text for text in shown if text]


def facts(told: dict[str, Any], now: float) -> list[tuple[str, str]]:
    """Rows of name and words, painted for a terminal. ``told``: a snapshot; ``now``: seconds since the epoch."""
    said: tuple[tuple[str, Callable[[], str]], ...] = (
        ("Unit", lambda: _unit(told["agent"], told["guard"]["backend"])),
        ("Daemon", lambda: _process(told["agent"]["daemon"], now)),
        ("Handler", lambda: _process(told["agent"]["handler"], now)),
        ("Version", lambda: _version(told["agent"]["versions"])),
        ("Heartbeat", lambda: _heartbeat(told["agent"]["heartbeat"], now)),
        ("Conf", lambda: _conf(told["agent"]["conf"])),
        ("Verbose", lambda: verbose(told["verbose"], now)),
        ("Restarts", lambda: _restarts(told["counters"])),
        ("Ration", lambda: _ration(told["policy"]["budget"])),
        ("Policy", lambda: _policy(told["policy"], now)),
        ("Wire server", lambda: probe(told["probes"].get("wireserver"))),
        ("Guard", lambda: _guard(told["guard"], now)),
    )
    return [(name, _try(text, "not told by this guard")) for name, text in said]


def _unit(agent: dict[str, Any], backend: str) -> str:
    unit = agent["unit"]
    if unit is None:
        return f"unknown: {agent['unit_unknown']}"
    if unit["load"] in ("not-found", ""):
        return paint("no such unit", "red")
    words = [unit["name"], f"{unit['active']} ({unit['sub']})"]
    if backend == "systemd":
        words += [unit["file_state"], f"Restart={unit['restart'] or 'no'}"]
    return ", ".join(word for word in words if word)


def _process(process: Any, now: float) -> str:
    if process is None:
        return "none"
    return f"pid {process['pid']}, up {durations.show(now - process['started'])}, {size(process['resident_bytes'])}, " \
           f"{process['cpu_seconds']:.1f} s of CPU" + _odd(process["state"])


def _odd(state: str) -> str:
    """The states of a process that are worth a word (proc(5))."""
    words = {"D": "asleep in the kernel", "T": "stopped by a signal", "t": "held by a debugger"}
    return ", " + paint(words[state], "yellow") if state in words else ""


def _version(versions: dict[str, Any]) -> str:
    daemon, goal_state = versions["daemon"], versions["goal_state"]
    if daemon is None and goal_state is None:
        return "unknown"
    return str(daemon or "unknown") + ("" if goal_state in (None, daemon) else f", goal state agent {goal_state}")


def _heartbeat(heartbeat: dict[str, Any], now: float) -> str:
    if heartbeat["at"] is None:
        return "none seen yet"
    by = {"status": " by the status file", "line": " by its log line"}.get(heartbeat["source"], "")
    other = heartbeat["line_at"] is not None and heartbeat["source"] != "line"
    return ago(heartbeat["at"], now) + by + (f"; log line {ago(heartbeat['line_at'], now)}" if other else "")


def _conf(conf: dict[str, Any]) -> str:
    if conf["valid"]:
        return str(conf["path"])
    return paint(f"{conf['error'] or 'unknown'}", "red")


def verbose(state: dict[str, Any], now: float) -> str:
    """One line on verbose logging."""
    lease = state["lease"]
    if lease is None:
        return {True: "on, set by hand; nothing turns it off", False: "off", None: "unknown"}[state["conf"]]
    if lease["phase"] != "active":
        return {"granting": "being turned on", "ending": "being turned off"}.get(lease["phase"], str(lease["phase"])) \
            + f", asked for by {lease['by']}"
    if state["conf"] is False:
        return f"off, edited by hand during the lease of {lease['by']}"
    until = "until it is turned off" if lease["remaining"] is None \
        else f"for another {lease['remaining']} (till {clock(lease['expires'], now)})"
    return f"on {until}, asked for by {lease['by']}"


def _restarts(counters: dict[str, Any]) -> str:
    by = ", ".join(f"{count} by {'an admin' if actor == 'admin' else actor}" for actor, count in counters["restarts"].items())
    ends = counters["agent_exits"]
    return f"{by}; " + {0: "never ended by itself", 1: "ended by itself once"}.get(ends, f"ended by itself {ends} times")


def _ration(budget: dict[str, Any]) -> str:
    left = f"{budget['hour_left']} of {budget['per_hour']} left this hour, {budget['day_left']} of {budget['per_day']} today"
    return paint(left, "yellow") if min(budget["hour_left"], budget["day_left"]) <= 0 else left


def _policy(policy: dict[str, Any], now: float) -> str:
    if policy["paused"]:
        until = policy["paused_until"]
        return paint("paused " + ("until resumed" if until is None else f"for another {durations.show(until - now)}"), "yellow")
    if not policy.get("enabled", True):
        return paint("off: restart.enabled is false", "yellow")
    words = [policy["holding"] or "nothing to do"]
    if policy["next_attempt"]:
        words.append(f"next look in {durations.show(policy['next_attempt'] - now)}")
    if policy["pending_restart"]:
        words.append(f"a restart is pending: {policy['pending_restart']}")
    return ", ".join(words)


def probe(told: Any) -> str:
    """What came of one probe of the snapshot, painted for a terminal."""
    if not told or told["success"] is None:
        return f"not known: {told['error']}" if told else "not known"
    return f"answers in {told['duration'] * 1000:.1f} ms" if told["success"] else paint(str(told["error"]), "red")


def _guard(guard: dict[str, Any], now: float) -> str:
    refused = "" if guard["settings_valid"] else ", " + paint("new settings refused", "red")
    return f"{guard['version']}, pid {guard['pid']}, up {durations.show(now - guard['started'])}{refused}"


def _finding(finding: dict[str, Any], now: float) -> str:
    level = paint(finding["severity"].ljust(8), _COLOURS.get(finding["severity"], "yellow"))
    return f"  {level}  {finding['id']}  {paint('since ' + clock(finding['since'], now), 'dim')}\n" \
           f"            {finding['evidence']}\n            {paint('→', 'dim')} {finding['remedy']}"
