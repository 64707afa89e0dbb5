"""The host's mounts, as the agent sees them, and where waguard's own view differs.

A sandboxed service has a mount namespace of its own, in which nearly everything is remounted read-only and some folders are
hidden (systemd.exec(5), ProtectSystem=, ProtectHome=). What counts is the namespace of process 1; /proc/1/mountinfo is readable
for everybody unless /proc is mounted with hidepid=.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import mountinfo
from waguard.agent.mountinfo import Mount, Tree
from waguard.i18n import say
from waguard.observe import files

_LIMIT = 8 << 20


@dataclass(frozen=True)
class Table:
    """``source`` is the file that was read. ``host``: these are the mounts of process 1. ``own``: of this process."""

    mounts: tuple[Mount, ...]
    tree: Tree
    own: Optional[Tree]
    source: str
    host: bool

    def seen(self, path: str) -> bool:
        """Does this process see the same filesystem there as the host does?"""
        if self.own is None:
            return True
        here, there = self.own.holder(path), self.tree.holder(path)
        return here is not None and there is not None and here.device == there.device


def look(root: Path = Path("/")) -> Table:
    """Raises files.Unusable when no list of mounts can be read at all."""
    own = _read(root / "proc/self/mountinfo")
    host = _read(root / "proc/1/mountinfo")
    mounts = host or own
    if not mounts:
        raise files.Unusable(say("{path}: cannot be read, so the mounts are not known", path=root / "proc/self/mountinfo"))
    return Table(mounts, Tree(mounts), Tree(own) if own and host else None,
                 str(root / ("proc/1/mountinfo" if host else "proc/self/mountinfo")), bool(host))


def _read(path: Path) -> tuple[Mount, ...]:
    try:
        return mountinfo.parse(files.read(path, _LIMIT).decode("utf-8", "replace"))
    except (OSError, files.Unusable):
        return ()
