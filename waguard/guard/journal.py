"""systemd's ears: the journal and the notify socket, through systemd-python where it is installed.

Without it (a bare virtual environment; it has no wheel) the guard runs all the same: events go to stderr with the priority
prefix that journald understands (sd-daemon(3)), and readiness is not announced.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Optional

from waguard.guard.events import KINDS, Event

_SEVERITIES = {"critical": 3, "warning": 4, "info": 6}


def _parts() -> tuple[Optional[Callable[[str], object]], Optional[Callable[..., object]]]:
    """Of systemd-python: notify and sendv, without the modules around them, whose reader, logging and uuid take 1.5 MB. These two
    have been where they are since 2013; should they move, the whole does the same work."""
    for daemon, journal in (("systemd._daemon", "systemd._journal"), ("systemd.daemon", "systemd.journal")):
        try:
            return import_module(daemon).notify, import_module(journal).sendv
        except (ImportError, AttributeError):  # pragma: no cover - depends on the machine
            pass
    return None, None


_notify, _sendv = _parts()
AVAILABLE = _notify is not None


def notify(**fields: str) -> bool:
    """Tell the service manager (sd_notify(3)). False when nobody listens or systemd-python is missing."""
    if _notify is None or "NOTIFY_SOCKET" not in os.environ:
        return False
    return bool(_notify("\n".join(f"{name}={value}" for name, value in fields.items())))


def watchdog_period() -> Optional[float]:
    """Seconds of WatchdogSec=, None when there is none or it is meant for another process (sd_watchdog_enabled(3))."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6
    except (KeyError, ValueError):
        return None


def write(event: Event) -> None:
    """One journal entry with MESSAGE_ID and structured fields. Blocks when journald does not read: call it in a scribe."""
    kind = KINDS[event.id]
    priority = _SEVERITIES.get(str(event.fields.get("severity", "")), kind.priority)
    if _sendv is not None and os.path.exists("/run/systemd/journal/socket"):
        fields = {"MESSAGE": event.message, "MESSAGE_ID": kind.message_id, "PRIORITY": priority,
                  "SYSLOG_IDENTIFIER": "waguardd", "WAGUARD_EVENT": event.id, **_fields(event.fields)}
        _sendv(*(f"{name}={value}" for name, value in fields.items()))
    else:
        say(priority, event.message)


def say(priority: int, message: str) -> None:
    """A line to stderr, for what is no event."""
    sys.stderr.write(f"<{priority}>{message}\n" if not sys.stderr.isatty() else f"{message}\n")
    sys.stderr.flush()


def _fields(fields: Mapping[str, Any]) -> dict[str, str]:
    return {f"WAGUARD_{name.upper()}": str(value) for name, value in fields.items() if value is not None}
