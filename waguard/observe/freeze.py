"""Is a backup freezing the filesystems right now?

The backup extension holds an fcntl lock on a well-known file while its safefreeze helper has the filesystems frozen; the file
alone, without a holder, is a leftover (azure-linux-extensions VMBackup/main/fsfreezer.py).
"""

from __future__ import annotations

from pathlib import Path

from waguard.observe import packages

LOCK = Path("/etc/azure/MicrosoftRecoverySvcsSafeFreezeLock/SafeFreezeLockFile")


def freezing(lock: Path = LOCK) -> bool:
    """True while the lock is held. Two system calls; cheap enough to ask before every write."""
    try:
        return packages.holder(lock) is not None
    except OSError:
        return False
