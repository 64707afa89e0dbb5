"""The kernel's list of mounts: parsing /proc/PID/mountinfo, and which mount holds a path.

Source: proc_pid_mountinfo(5); fs/proc_namespace.c (show_mountinfo) for the escapes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

NETWORK = frozenset(("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "afs", "lustre", "glusterfs", "ocfs2", "gfs2", "gpfs",
                     "beegfs", "ncpfs", "coda", "orangefs", "virtiofs"))
"""Types whose answer depends on somebody else; every ``fuse`` and ``fuse.…`` is one as well."""
FREEZABLE = frozenset(("ext3", "ext4", "xfs", "btrfs"))
"""What the backup extension freezes (azure-linux-extensions VMBackup/main/fsfreezer.py)."""
READ_ONLY_TYPES = frozenset(("squashfs", "erofs", "iso9660", "cramfs", "udf"))
"""Always full and never written to."""
_ESCAPE = re.compile(r"\\([0-7]{3})")
_LONGEST = 8192


@dataclass(frozen=True)
class Mount:
    """One line. ``options`` belong to the mount, ``super_options`` to the filesystem. ``device``: major:minor."""

    id: int
    parent: int
    device: str
    root: str
    point: str
    options: frozenset[str]
    type: str
    source: str
    super_options: frozenset[str]

    @property
    def network(self) -> bool:
        """Can it hang for somebody else's sake?"""
        return self.type in NETWORK or self.type == "fuse" or self.type.startswith("fuse.")

    @property
    def broken(self) -> bool:
        """Has the kernel stopped writing after an error? Since Linux 6.15 ext4 says so instead of ``ro`` (fs/ext4/super.c)."""
        return bool(self.super_options & {"emergency_ro", "shutdown"})


def parse(text: str) -> tuple[Mount, ...]:
    """All mounts, in the kernel's order; lines that are none are left out. Raises nothing."""
    return tuple(mount for line in text.split("\n") for mount in [_mount(line)] if mount is not None)


class Tree:
    """Mounts as the tree that they are. A mount point says too little: a mount may be hidden below another one."""

    def __init__(self, mounts: Sequence[Mount]) -> None:
        self._many = len(mounts)
        ids = {mount.id for mount in mounts}
        self._children: dict[int, list[Mount]] = {}
        self._root: Optional[Mount] = None
        for mount in mounts:
            if mount.parent in ids and mount.parent != mount.id:
                self._children.setdefault(mount.parent, []).append(mount)
            elif mount.point == "/":
                self._root = mount

    def holder(self, path: str) -> Optional[Mount]:
        """The mount that an absolute path without symbolic links is on, walked down from the root as the kernel does; None when
        the list has no root."""
        at = self._root
        for _ in range(self._many):
            if at is None:
                return None
            below = [mount for mount in self._children.get(at.id, ()) if within(path, mount.point)]
            if not below:
                return at
            at = min(below, key=lambda mount: len(mount.point))
        return at

    def visible(self, mount: Mount) -> bool:
        """Does its mount point lead to it, not to another mount on top?"""
        return self.holder(mount.point) is mount


def within(path: str, folder: str) -> bool:
    """Is the path that folder, or below it?"""
    return folder == "/" or path == folder or path.startswith(folder.rstrip("/") + "/")


def twice(mounts: Sequence[Mount]) -> tuple[tuple[Mount, ...], ...]:
    """Groups of mounts of one freezable filesystem: freezing the second is refused as busy (UserErrorFsFreezeFailed)."""
    found: dict[str, list[Mount]] = {}
    for mount in mounts:
        if mount.type in FREEZABLE:
            found.setdefault(f"{mount.device} {mount.source}", []).append(mount)
    return tuple(tuple(group) for group in found.values() if len(group) > 1)


def _mount(line: str) -> Optional[Mount]:
    words = line.split(" ") if len(line) <= _LONGEST else []
    try:
        dash = words.index("-", 6)
        kind, source, options = words[dash + 1:dash + 4]
        number, parent = words[:2]
        if not (number.isascii() and number.isdigit() and parent.isascii() and parent.isdigit() and words[4].startswith("/")):
            return None
        return Mount(int(number[:18]), int(parent[:18]), words[2], _plain(words[3]), _plain(words[4]),
                     frozenset(words[5].split(",")), _plain(kind), _plain(source), frozenset(options.split(",")))
    except (ValueError, IndexError):
        return None


def _plain(word: str) -> str:
    r"""Blank, tab, newline, backslash and hash are written as \040 and so on."""
    return _ESCAPE.sub(lambda match: chr(int(match.group(1), 8) & 0xFF), word)
