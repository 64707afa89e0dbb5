"""The filesystems that the agent needs: free bytes and inodes, read-only, noexec.

The flags are those of the host's mounts (observe/mounttable.py), the numbers those of statvfs(3), asked for in children with a
deadline (observe/statvfs.py).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from waguard.i18n import say
from waguard.observe import mounttable, statvfs
from waguard.observe.statvfs import Space
from waguard.settings import ResourceSettings

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts


@dataclass(frozen=True)
class Place:
    """A folder and the filesystem that holds it, or would. ``what`` says what it is to the agent.

    ``read_only`` and ``noexec`` are None where the host's mounts could not be read. ``space`` is None with a ``problem``, or when
    the filesystem tells no size. ``error``: the filesystem stopped writing after an error.
    """

    what: str
    path: str
    mount: str
    type: str
    read_only: Optional[bool]
    noexec: Optional[bool]
    error: bool = False
    space: Optional[Space] = None
    problem: str = ""


@dataclass(frozen=True)
class Filesystems:
    """``source``: the list of mounts that was read; ``host``: it is that of process 1, not of waguard's own sandbox."""

    places: tuple[Place, ...]
    source: str
    host: bool


def look(settings: ResourceSettings, agent: AgentFacts, root: Path = Path("/"), asking: str = statvfs.LOOK) -> Filesystems:
    """Raises files.Unusable when no mounts can be read. Takes ``mount_timeout`` and two seconds at most."""
    table = mounttable.look(root)
    wanted = ((say("library directory"), agent.lib_dir), (say("log directory"), os.path.dirname(agent.log) or "/var/log"),
              (say("extensions' log directory"), agent.extension_log_dir), (say("configuration"), "/etc"),
              (say("backup extension's configuration"), "/etc/azure"), (say("temporary files"), "/tmp"))
    paths = {path: str(root / path.lstrip("/")) for _, path in wanted}
    answers = statvfs.ask(tuple(paths.values()), settings.mount_timeout, asking)
    return Filesystems(tuple(_place(table, what, path, answers[paths[path]], root) for what, path in wanted), table.source,
                       table.host)


def _place(table: mounttable.Table, what: str, path: str, answer: statvfs.Answer, root: Path) -> Place:
    real = _inside(answer.real, root) or os.path.normpath(path)
    mount = table.tree.holder(real)
    if mount is None:
        return Place(what, path, "", "", None, None, False, answer.space, answer.problem)
    options = mount.options | mount.super_options if table.host else mount.super_options
    read_only: Optional[bool] = "ro" in options or mount.broken
    if not read_only and not table.host and "ro" in mount.options:
        read_only = None  # It may be no more than our own sandbox's.
    space, problem = answer.space, answer.problem
    if space is not None and not table.seen(real):
        space, problem = None, say("waguard's sandbox has another filesystem there")
    if space is not None and space.size <= 0:
        space, problem = None, say("{type} tells no size", type=mount.type)
    return Place(what, path, mount.point, mount.type, read_only, "noexec" in mount.options, mount.broken, space, problem)


def _inside(real: str, root: Path) -> str:
    """A real path as it is below the root."""
    base = os.path.realpath(root)
    if base == "/" or not real:
        return real
    return "/" + os.path.relpath(real, base) if real.startswith(base + "/") else "/" if real == base else real
