"""Mounts that a snapshot has to do with: does each of them answer?

The backup extension runs ``df`` over all of them, which a dead network mount holds up, and freezes ext3, ext4, xfs and btrfs
(azure-linux-extensions VMBackup/main/Utils/SizeCalculation.py, fsfreezer.py). Each is asked in a child of its own that may be
late. A child that not even SIGKILL ends (state D) is remembered, so that no second one joins it as long as it is there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from waguard.agent import mountinfo
from waguard.agent.mountinfo import Mount
from waguard.i18n import say
from waguard.observe import files, mounttable, statvfs
from waguard.settings import ResourceSettings

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Asked:
    """One mount. ``answers`` is None when it could not be asked. ``errno`` is what it answered if that was an error.

    ``since``: for how many seconds a child of an earlier visit or of this one has been hanging in it; None without one.
    """

    point: str
    type: str
    network: bool
    answers: Optional[bool]
    duration: Optional[float] = None
    problem: str = ""
    errno: int = 0
    since: Optional[float] = None


@dataclass(frozen=True)
class Mounts:
    """``unasked``: how many more there are than are asked. ``twice``: mount points of one freezable filesystem, by group."""

    mounts: tuple[Asked, ...]
    unasked: int
    twice: tuple[tuple[str, ...], ...]
    source: str
    state: Mapping[str, Any] = field(default_factory=dict)


def look(settings: ResourceSettings, state: Optional[Mapping[str, Any]], now: float, root: Path = Path("/"),
         asking: str = statvfs.LOOK) -> Mounts:
    """Raises files.Unusable when no mounts can be read. Takes ``mount_timeout`` and two seconds at most.

    ``state`` is that of the look before, ``now`` CLOCK_BOOTTIME seconds, ``asking`` the source of what each child does.
    """
    table = mounttable.look(root)
    stuck = _stuck(state or {}, root / "proc")
    # A mount on top hides the one below: asking its mount point would ask the other.
    points = {mount.point: mount for mount in table.mounts if mount.network or mount.type in mountinfo.FREEZABLE}
    wanted = sorted((mount for mount in points.values() if table.tree.visible(mount)),
                    key=lambda mount: (not mount.network, mount.point))
    chosen = wanted[:statvfs.MOST]
    paths = {mount.point: str(root / mount.point.lstrip("/")) for mount in chosen
             if mount.point not in stuck and table.seen(mount.point)}
    answers = statvfs.ask(tuple(paths.values()), settings.mount_timeout, asking)
    asked = []
    for mount in chosen:
        if mount.point in stuck:
            asked.append(_hanging(mount, stuck[mount.point], now))
        elif mount.point in paths:
            answer = answers[paths[mount.point]]
            asked.append(_asked(mount, answer))
            if answer.pid:
                stuck[mount.point] = (answer.pid, answer.started)
        else:
            asked.append(Asked(mount.point, mount.type, mount.network, None, problem=say("waguard's sandbox hides it")))
    groups = tuple(tuple(mount.point for mount in group) for group in mountinfo.twice(tuple(points.values()))[:20])
    kept = [{"mount": point, "pid": pid, "started": started} for point, (pid, started) in stuck.items()]
    return Mounts(tuple(asked), len(wanted) - len(chosen), groups, table.source, {"stuck": kept})


def _asked(mount: Mount, answer: statvfs.Answer) -> Asked:
    told: Optional[bool] = answer.space is not None
    if not told and not answer.late and answer.errno == 0:
        told = None
    return Asked(mount.point, mount.type, mount.network, told, answer.duration, answer.problem, answer.errno,
                 answer.duration if answer.pid else None)


def _hanging(mount: Mount, child: tuple[int, int], now: float) -> Asked:
    since = max(0.0, now - child[1] / _TICKS)
    problem = say("process {pid} of waguard still hangs in it", pid=child[0])
    return Asked(mount.point, mount.type, mount.network, False, None, problem, 0, since)


def _stuck(state: Mapping[str, Any], proc: Path) -> dict[str, tuple[int, int]]:
    """Children of earlier looks that are still there: (pid, start in clock ticks) by mount point."""
    found: dict[str, tuple[int, int]] = {}
    kept = state.get("stuck")
    for one in kept[:statvfs.MOST] if isinstance(kept, list) else ():
        try:
            mount, pid, started = str(one["mount"]), int(one["pid"]), int(one["started"])
            stat = files.read(proc / str(pid) / "stat", 4096).decode("utf-8", "replace")
            fields = stat.rpartition(")")[2].split()
            if fields[0] not in ("Z", "X") and int(fields[19]) == started:
                found[mount] = (pid, started)
        except (OSError, files.Unusable, LookupError, TypeError, ValueError):
            continue
    return found
