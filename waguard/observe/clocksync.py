"""Is the clock synchronised, by whom, and was it set since the last look?

Told by chrony itself, or by the mark that systemd-timesyncd makes when it has synchronised (systemd-timesyncd.service(8)).
timedatectl, which would tell of any time service, is not asked: systemd would have to start a service with PrivateTmp= for it,
and stand still while /var is frozen for a snapshot.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from waguard.i18n import say
from waguard.observe import files, programs

_TIMEOUT = 2.0
_STEP = 30.0
_SETTLES = 600.0
_TIMESYNC = "run/systemd/timesync"
_SMALL = 4096
_LEAP = re.compile(r"^Leap status\s*:\s*(.+?)\s*$", re.MULTILINE)
_OFFSET = re.compile(r"^System time\s*:\s*([0-9]{1,12}(?:\.[0-9]{1,12})?) seconds (fast|slow) of NTP time\s*$", re.MULTILINE)
_REFERENCE = re.compile(r"^Reference ID\s*:\s*([0-9A-F]{8})\b", re.MULTILINE)


@dataclass(frozen=True)
class ClockSync:
    """``synchronised`` is None when nobody tells. ``offset``: seconds that the clock is ahead of the true time, if known.

    ``stepped``: seconds by which the clock was set forward (or back, negative) since the last look in this boot; None without
    an earlier look, 0.0 when it went its way. ``hyperv``: the host's clock is at hand as a PTP device.
    """

    synchronised: Optional[bool]
    by: str
    offset: Optional[float]
    stepped: Optional[float]
    why: str
    state: Mapping[str, Any] = field(default_factory=dict)
    hyperv: bool = False


def look(state: Optional[Mapping[str, Any]], wall: float, now: float, root: Path = Path("/"),
         chronyc: str = "chronyc") -> ClockSync:
    """``wall`` and ``now``: epoch and CLOCK_BOOTTIME seconds of one moment. Takes two seconds at most."""
    synchronised, by, offset, why = _told(root, chronyc, wall)
    boot = _text(root / "proc/sys/kernel/random/boot_id")
    return ClockSync(synchronised, by, offset, _stepped(state or {}, wall, now, boot), why,
                     {"wall": wall, "now": now, "boot": boot}, _hyperv(root / "sys/class/ptp"))


def _told(root: Path, chronyc: str, wall: float) -> tuple[Optional[bool], str, Optional[float], str]:
    """(synchronised, by whom it is told, offset, why)."""
    tracking = programs.run((chronyc, "-n", "tracking"), _TIMEOUT)
    leap = _LEAP.search(tracking.output) if tracking.ok else None
    if leap is not None:
        return _chrony(tracking.output, leap.group(1)[:40])
    if (root / _TIMESYNC / "synchronized").exists():
        return True, "systemd-timesyncd", None, ""
    try:
        since = (root / _TIMESYNC).stat().st_mtime  # It is there as long as the service runs.
    except OSError:
        why = say("neither chronyc ({said_why}) nor systemd-timesyncd (it does not run) tells",
                  said_why=tracking.trouble or say("not understood"))
        return None, "", None, why
    if 0 <= wall - since < _SETTLES:
        return None, "", None, say("systemd-timesyncd has only just been started")
    return False, "systemd-timesyncd", None, say("systemd-timesyncd has not synchronised the clock since it was started")


def _chrony(text: str, leap: str) -> tuple[Optional[bool], str, Optional[float], str]:
    found, reference = _OFFSET.search(text), _REFERENCE.search(text)
    offset = float(found.group(1)) * (1 if found.group(2) == "fast" else -1) if found else None
    if leap == "Not synchronised":
        return False, "chrony", None, say("chrony has no source that it can follow")
    if reference is not None and reference.group(1) == "7F7F0101":
        return False, "chrony", offset, say("chrony follows only the machine's own clock")
    return True, "chrony", offset, ""


def _stepped(state: Mapping[str, Any], wall: float, now: float, boot: str) -> Optional[float]:
    try:
        before_wall, before = float(state["wall"]), float(state["now"])
    except (LookupError, TypeError, ValueError):
        return None
    if state.get("boot") != boot or not now >= before:
        return None
    step = (wall - before_wall) - (now - before)
    return step if abs(step) > _STEP else 0.0


def _hyperv(ptp: Path) -> bool:
    try:
        return any(_text(ptp / name / "clock_name") == "hyperv" for name in files.names(ptp, 64))
    except (OSError, files.Unusable):
        return False


def _text(path: Path) -> str:
    try:
        return files.read(path, _SMALL).decode("ascii", "replace").strip()
    except (OSError, files.Unusable):
        return ""
