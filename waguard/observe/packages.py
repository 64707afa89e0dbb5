"""Is a package manager at work? Its locks say so; they are looked at, never taken.

dpkg: fcntl locks on lock-frontend and lock (dpkg(1), apt). rpm: an fcntl lock on .rpm.lock in its database (rpm lib/rpmlock.c).
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Optional

from waguard.i18n import say

LOCKS = (
    Path("/var/lib/dpkg/lock-frontend"),
    Path("/var/lib/dpkg/lock"),
    Path("/var/lib/rpm/.rpm.lock"),
    Path("/usr/lib/sysimage/rpm/.rpm.lock"),
)
_FLOCK = "hhqqi4x"


def holder(lock: Path) -> Optional[int]:
    """Pid that holds an fcntl lock on the file; None when nobody does or there is no file. Raises OSError otherwise."""
    try:
        fd = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        kind, _, _, _, pid = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    finally:
        os.close(fd)
    return None if kind == fcntl.F_UNLCK else pid


def transaction(locks: Sequence[Path] = LOCKS) -> Optional[str]:
    """Who holds a package manager's lock, for a person; None when nobody does. Raises OSError when it cannot be told."""
    for lock in locks:
        pid = holder(lock)
        if pid is not None:
            return say("a package manager (pid {pid}) holds {lock}", pid=pid, lock=lock)
    return None
