"""``waguardctl status``: the verdict on one screen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from waguard import durations
from waguard.ctl import common
from waguard.ctl.common import ago, clock, paint, rows, shown, size
from waguard.i18n import message, tr, trn

HELP = message("the verdict on one screen")
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
    summary = _try(lambda: shown(told["verdict"]["summary"]), tr("this guard gives no verdict"))
    parts = [f"{paint(f'● {common.level(level)}', _COLOURS.get(level, 'yellow'))}  {paint(summary, 'bold')}", "",
             rows([(tr(name), text) for name, text in facts(told, now)])]
    findings = _lines(told.get("findings"), lambda finding: _finding(finding, now))
    events = _lines(told.get("events"), lambda event: f"  {paint(clock(event['at'], now), 'dim')}  {shown(event['message'])}")
    for title, lines in ((tr("Findings"), findings), (tr("Recent"), events)):
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
    """Rows of name, still to be translated, and words, painted for a terminal. ``told``: a snapshot; ``now``: seconds since
    the epoch."""
    said: tuple[tuple[str, Callable[[], str]], ...] = (
        (message("Unit"), lambda: _unit(told["agent"], told["guard"]["backend"])),
        (message("Daemon"), lambda: _process(told["agent"]["daemon"], now)),
        (message("Handler"), lambda: _process(told["agent"]["handler"], now)),
        (message("Version"), lambda: _version(told["agent"]["versions"])),
        (message("Heartbeat"), lambda: _heartbeat(told["agent"]["heartbeat"], now)),
        (message("Conf"), lambda: _conf(told["agent"]["conf"])),
        (message("Verbose"), lambda: verbose(told["verbose"], now)),
        (message("Restarts"), lambda: _restarts(told["counters"])),
        (message("Ration"), lambda: _ration(told["policy"]["budget"])),
        (message("Policy"), lambda: _policy(told["policy"], now)),
        (message("Wire server"), lambda: probe(told["probes"].get("wireserver"))),
        (message("Guard"), lambda: _guard(told["guard"], now)),
    )
    return [(name, _try(text, tr("not told by this guard"))) for name, text in said]


def _unit(agent: dict[str, Any], backend: str) -> str:
    unit = agent["unit"]
    if unit is None:
        return tr("unknown: {said_why}", said_why=shown(agent["unit_unknown"]))
    if unit["load"] in ("not-found", ""):
        return paint(tr("no such unit"), "red")
    words = [unit["name"], f"{unit['active']} ({unit['sub']})"]
    if backend == "systemd":
        words += [unit["file_state"], f"Restart={unit['restart'] or 'no'}"]
    return ", ".join(word for word in words if word)


def _process(process: Any, now: float) -> str:
    if process is None:
        return tr("none")
    return tr("pid {pid}, up {up}, {memory}, {cpu:.1f} s of CPU", pid=process["pid"], up=durations.show(now - process["started"]),
              memory=size(process["resident_bytes"]), cpu=process["cpu_seconds"]) + _odd(process["state"])


def _odd(state: str) -> str:
    """The states of a process that are worth a word (proc(5))."""
    words = {"D": message("asleep in the kernel"), "T": message("stopped by a signal"), "t": message("held by a debugger")}
    return ", " + paint(tr(words[state]), "yellow") if state in words else ""


def _version(versions: dict[str, Any]) -> str:
    daemon, goal_state = versions["daemon"], versions["goal_state"]
    if goal_state in (None, daemon):
        return str(daemon or tr("unknown"))
    if not daemon:
        return tr("unknown, goal state agent {goal_state}", goal_state=goal_state)
    return tr("{daemon}, goal state agent {goal_state}", daemon=daemon, goal_state=goal_state)


def _heartbeat(heartbeat: dict[str, Any], now: float) -> str:
    if heartbeat["at"] is None:
        return tr("none seen yet")
    seen = ago(heartbeat["at"], now)
    if heartbeat["source"] == "line":
        return tr("{ago} by its log line", ago=seen)
    if heartbeat["source"] == "status":
        seen = tr("{ago} by the status file", ago=seen)
    line = heartbeat["line_at"]
    return seen if line is None else tr("{beat}; log line {ago}", beat=seen, ago=ago(line, now))


def _conf(conf: dict[str, Any]) -> str:
    if conf["valid"]:
        return str(conf["path"])
    return paint(shown(conf["error"]) if conf["error"] else tr("unknown"), "red")


def verbose(state: dict[str, Any], now: float) -> str:
    """One line on verbose logging."""
    lease = state["lease"]
    if lease is None:
        return {True: tr("on, set by hand; nothing turns it off"), False: tr("off"), None: tr("unknown")}[state["conf"]]
    by = lease["by"]
    if lease["phase"] == "granting":
        return tr("being turned on, asked for by {by}", by=by)
    if lease["phase"] == "ending":
        return tr("being turned off, asked for by {by}", by=by)
    if lease["phase"] != "active":
        return tr("{phase}, asked for by {by}", phase=lease["phase"], by=by)
    if state["conf"] is False:
        return tr("off, edited by hand during the lease of {by}", by=by)
    if lease["remaining"] is None:
        return tr("on until it is turned off, asked for by {by}", by=by)
    return tr("on for another {remaining} (till {when}), asked for by {by}", remaining=lease["remaining"],
              when=clock(lease["expires"], now), by=by)


def _restarts(counters: dict[str, Any]) -> str:
    restarts = ", ".join(_by(actor, count) for actor, count in counters["restarts"].items())
    ends = counters["agent_exits"]
    if ends == 0:
        return tr("{restarts}; never ended by itself", restarts=restarts)
    return trn("{restarts}; ended by itself once", "{restarts}; ended by itself {count} times", ends, restarts=restarts)


def _by(actor: str, count: int) -> str:
    if actor == "admin":
        return tr("{count} by an admin", count=count)
    if actor == "systemd":
        return tr("{count} by systemd", count=count)
    return tr("{count} by waguard", count=count) if actor == "waguard" else f"{count} {actor}"


def _ration(budget: dict[str, Any]) -> str:
    left = tr("{hour_left} of {per_hour} left this hour, {day_left} of {per_day} today", **{
        name: budget[name] for name in ("hour_left", "per_hour", "day_left", "per_day")})
    return paint(left, "yellow") if min(budget["hour_left"], budget["day_left"]) <= 0 else left


def _policy(policy: dict[str, Any], now: float) -> str:
    if policy["paused"]:
        until = policy["paused_until"]
        return paint(tr("paused until resumed") if until is None else
                     tr("paused for another {span}", span=durations.show(until - now)), "yellow")
    if not policy.get("enabled", True):
        return paint(tr("off: restart.enabled is false"), "yellow")
    words = [shown(policy["holding"]) if policy["holding"] else tr("nothing to do")]
    if policy["next_attempt"]:
        words.append(tr("next look in {span}", span=durations.show(policy["next_attempt"] - now)))
    if policy["pending_restart"]:
        words.append(tr("a restart is pending: {said_why}", said_why=shown(policy["pending_restart"])))
    return ", ".join(words)


def probe(told: Any) -> str:
    """What came of one probe of the snapshot, painted for a terminal."""
    if not told or told["success"] is None:
        return tr("not known: {said_why}", said_why=shown(told["error"])) if told else tr("not known")
    if told["success"]:
        return tr("answers in {milliseconds:.1f} ms", milliseconds=told["duration"] * 1000)
    return paint(shown(told["error"]), "red")


def _guard(guard: dict[str, Any], now: float) -> str:
    refused = "" if guard["settings_valid"] else ", " + paint(tr("new settings refused"), "red")
    return tr("{version}, pid {pid}, up {up}", version=guard["version"], pid=guard["pid"],
              up=durations.show(now - guard["started"])) + refused


def _finding(finding: dict[str, Any], now: float) -> str:
    level = paint(common.level(finding["severity"], aligned=True), _COLOURS.get(finding["severity"], "yellow"))
    since, indent = tr("since {when}", when=clock(finding["since"], now)), " " * (common.level_width() + 4)
    return f"  {level}  {finding['id']}  {paint(since, 'dim')}\n" \
           f"{indent}{shown(finding['evidence'])}\n{indent}{paint('→', 'dim')} {shown(finding['remedy'])}"
