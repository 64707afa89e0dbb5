"""What the guard remembers over its own death and over a reboot, as one object in the store."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from waguard.decide import lease as leases
from waguard.decide import restart, term
from waguard.decide.lease import Lease
from waguard.decide.restart import PolicyState
from waguard.decide.term import Term
from waguard.guard.store import Store
from waguard.i18n import say

ACTORS = ("waguard", "systemd", "admin")
_COUNTERS = ("agent_exits", "restart_attempts", "restart_failures", "conf_changes")


class Memory:
    """Plain attributes, written by the guard in its loop. ``run``: the agent's run last seen; empty when none in this boot."""

    def __init__(self, store: Store, boot_id: str) -> None:
        self._store = store
        self.boot_id = boot_id
        self.policy = PolicyState()
        self.lease: Optional[Lease] = None
        self.pause: Optional[Term] = None
        self.counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self.restarts: dict[str, int] = dict.fromkeys(ACTORS, 0)
        self.exits: tuple[float, ...] = ()
        self.run = ""
        self.n_restarts = 0
        self.conf_mark: Optional[tuple[int, int]] = None
        self.own_mark: Optional[tuple[int, int]] = None
        self.unit_name = ""

    def count(self, name: str) -> None:
        self.counters[name] += 1

    def count_restart(self, actor: str, times: int) -> None:
        self.restarts[actor] += times

    def save(self, now: float, wall: float, durable: Optional[Callable[[], None]] = None) -> None:
        """Write everything; ``durable`` is called from the disk's thread once it is on the disk. Raises OSError."""
        self._store.save({
            "boot_id": self.boot_id, "now": now, "wall": wall, "policy": restart.to_json(self.policy),
            "lease": None if self.lease is None else leases.to_json(self.lease),
            "pause": None if self.pause is None else term.to_json(self.pause),
            "counters": self.counters, "restarts": self.restarts, "exits": list(self.exits), "run": self.run,
            "n_restarts": self.n_restarts, "conf_mark": self.conf_mark,
            "own_mark": self.own_mark}, durable)

    def load(self, now: float, wall: float, warn: Callable[[str], None]) -> None:
        """Remember. What cannot be read is left at its default, and said; moments of another boot are moved into this one."""
        data = self._store.load()
        same_boot = bool(self.boot_id) and data.get("boot_id") == self.boot_id

        kept: list[Optional[Path]] = []

        def take(name: str, read: Callable[[Any], None]) -> None:
            if data.get(name) is None:
                return
            try:
                read(data[name])
            except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
                kept.extend([] if kept else [self._store.keep_loaded()])
                warn(_left_out(name, error, kept[0]))

        take("policy", lambda value: self._take_policy(value, data, same_boot, now, wall))
        take("lease", lambda value: setattr(self, "lease", leases.from_json(value)))
        take("pause", lambda value: setattr(self, "pause", term.from_json(value)))
        take("counters", lambda value: self.counters.update({name: int(value[name]) for name in _COUNTERS if name in value}))
        take("restarts", lambda value: self.restarts.update({name: int(value[name]) for name in ACTORS if name in value}))
        for mark in ("conf_mark", "own_mark"):
            take(mark, lambda value, mark=mark: setattr(self, mark, (int(value[0]), int(value[1]))))  # type: ignore[misc]
        if same_boot:
            take("exits", lambda value: setattr(self, "exits", tuple(float(at) for at in value if float(at) <= now)))
            take("run", lambda value: setattr(self, "run", str(value)))
            take("n_restarts", lambda value: setattr(self, "n_restarts", int(value)))

    def _take_policy(self, value: Any, data: dict[str, Any], same_boot: bool, now: float, wall: float) -> None:
        policy = restart.from_json(value)
        if not same_boot:
            # The moment it was saved at, told in this boot's clock; wall clocks that ran backwards count as no time at all.
            saved = now - max(0.0, wall - float(data["wall"]))
            policy = restart.rebase(policy, saved - float(data["now"]))
        self.policy = policy


def _left_out(name: str, error: Exception, kept: Optional[Path]) -> str:
    if kept is None:
        return say("the remembered {name} cannot be used and is left out ({kind}: {error})",
                   name=name, kind=type(error).__name__, error=error)
    return say("the remembered {name} cannot be used and is left out ({kind}: {error}); the file is kept as {path}",
               name=name, kind=type(error).__name__, error=error, path=kept)
