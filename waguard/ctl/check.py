"""``waguardctl check``: one line in the form of a Nagios plugin, with performance data."""

from __future__ import annotations

from typing import Any, Optional

from waguard.ctl import common
from waguard.i18n import message

HELP = message("one line and an exit status in the form of a Nagios plugin")
EXAMPLES = ("waguardctl check", "waguardctl check || echo not well")
_CODES = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3}


def add(parser: Any) -> None:
    """No options of its own."""


def run(args: Any) -> int:
    """Exit status 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN, also when the guard does not answer (Monitoring Plugins guidelines)."""
    try:
        snapshot = common.snapshot(args)
        level, text, grave = _level(snapshot), str(snapshot["verdict"]["summary"]), _grave(snapshot)
        performance = _performance(snapshot)
    except common.Failure as error:
        level, text, grave, performance = "unknown", str(error), "", {}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        level, text, grave, performance = "unknown", str(common.unusable(error)), "", {}
    shown = " ".join(f"{name}={value}" for name, value in performance.items())
    line = f"WAGUARD {level.upper()} - {(common.shown(text) + common.plain(grave)).replace('|', '/')}" \
        + (f" | {shown}" if shown else "")
    common.emit(args, {"level": level, "text": text + grave, "performance": performance}, line)
    return _CODES[level]


def _level(snapshot: dict[str, Any]) -> str:
    level = str(snapshot["verdict"]["level"])
    return level if level in _CODES else "unknown"


def _grave(snapshot: dict[str, Any]) -> str:
    """The findings that count, in brackets."""
    grave = [finding["id"] for finding in snapshot["findings"] if finding["severity"] != "info"]
    return f" ({', '.join(grave)})" if grave else ""


def _performance(snapshot: dict[str, Any]) -> dict[str, str]:
    """label -> value with unit; what is not known is left out."""
    found: dict[str, str] = {}
    beat: Optional[float] = snapshot["agent"]["heartbeat"]["at"]
    if beat is not None:
        found["heartbeat_age"] = f"{max(0.0, snapshot['at'] - beat):.0f}s"
    counters = snapshot["counters"]
    found["agent_exits"] = f"{counters['agent_exits']}c"
    found["restarts"] = f"{sum(counters['restarts'].values())}c"
    for severity in ("critical", "warning"):
        found[f"{severity}_findings"] = str(sum(finding["severity"] == severity for finding in snapshot["findings"]))
    return found
