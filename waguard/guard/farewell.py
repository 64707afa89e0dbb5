"""The end of a verbose lease without a guard, when waguard is removed: ``waguardd --end-lease``.

The package's scripts ask the guard first; this is for one that was stopped before, is masked, or has settings that it cannot use.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from waguard.act import confwrite
from waguard.clock import Clock
from waguard.decide.lease import Phase
from waguard.guard import verbose
from waguard.guard.memory import Memory
from waguard.guard.scribe import Scribe
from waguard.guard.store import Store
from waguard.i18n import say
from waguard.observe import freeze

_DURABLE_WITHIN = 10.0


def remembers(run_dir: Path, lib_dir: Path) -> bool:
    """Is there a state that may have a lease in it?"""
    return any((directory / "state.json").exists() for directory in (run_dir, lib_dir))


def end_lease(run_dir: Path, lib_dir: Path, tell: Callable[[str], None]) -> bool:
    """Put back the line of the lease in the state. Who calls holds the guard's lock. False: it could not be put back.

    The agent is not restarted: whether it may be is the guard's to judge. ``tell``: what was done, or why not, in English.
    """
    clock = Clock()
    disk = Scribe("disk", lambda _what, _error: None)
    memory = Memory(Store("state", run_dir, lib_dir, disk, tell), clock.boot_id())
    memory.load(clock.now(), clock.wall(), tell)
    lease = memory.lease
    if lease is None:
        return True

    def write(original: confwrite.Original, data: bytes) -> None:
        memory.own_mark = verbose.mark(data)
        confwrite.replace(original, data)

    try:
        if freeze.freezing():
            raise confwrite.Refused(say("a backup is freezing the file systems"))
        result = verbose.put_back(lease, lease.phase is not Phase.ACTIVE, write)
    except confwrite.Refused as error:
        tell(say("verbose logging could not be turned off, and Logs.Verbose=y may be left in {path}: {said_why}", path=lease.path,
                 said_why=error))
        return False
    memory.lease = None
    # If it cannot be noted, a later guard sees from the file that it was done.
    with suppress(OSError):
        memory.save(clock.now(), clock.wall())
    disk.flush(_DURABLE_WITHIN)
    tell(verbose.told(result, lease.path))
    if result == "restored":
        tell(say("an agent that runs reads this at its next start"))
    return True
