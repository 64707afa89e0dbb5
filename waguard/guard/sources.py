"""Every source the guard looks at, when it is looked at, and the evidence that comes of it. Looks, never judges."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Optional

from waguard.agent import processes
from waguard.clock import Clock
from waguard.guard.conversation import Doctor
from waguard.guard.eyes import Eyes
from waguard.guard.loop import Loop
from waguard.guard.scribe import Scribe
from waguard.guard.track import Track
from waguard.guard.wireserver import WireServer
from waguard.i18n import say
from waguard.judge.evidence import Evidence
from waguard.observe import Known, Observation, Unknown, azure, conf, diskversion, freeze, libdir, logs, packages
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import Settings

_FRESH = 5.0
_FIRST = ("conf", "libdir", "log", "packages")

Then = Callable[[], None]


class Sources:
    """The observers of one agent. ``unit`` is set by who asks the service manager (guard/runs.py)."""

    def __init__(self, settings: Settings, loop: Loop, clock: Clock, disk: Scribe, doctor: Doctor,
                 daemon_ended: Callable[[Process], None], handler_ended: Callable[[Process], None]) -> None:
        self._settings, self._clock, self._disk = settings, clock, disk
        self.eyes = Eyes(loop, clock)
        self.track = Track(loop, daemon_ended, handler_ended)
        self.unit: Observation[UnitState] = Unknown(say("not looked at yet"), 0.0)
        self.on_azure = azure.on_azure(settings.network.azure)
        self._follower = logs.Follower(Path(settings.agent.log))
        self._watcher = libdir.Watcher()
        self.wireserver = WireServer(settings.network, loop, clock, doctor, self.eyes)

    def apply(self, settings: Settings) -> None:
        """New settings."""
        if settings.agent.log != self._settings.agent.log:
            self._follower = logs.Follower(Path(settings.agent.log))
        self._settings = settings
        self.wireserver.settings = settings.network
        self.on_azure = azure.on_azure(settings.network.azure)

    @property
    def known_unit(self) -> Optional[UnitState]:
        return self.unit.value if isinstance(self.unit, Known) else None

    @property
    def complete(self) -> bool:
        """Every source was looked at at least once; one that was late or failed counts, as unknown."""
        return all(name in self.eyes.seen for name in _FIRST)

    def round(self, conf_seen: Then, suspect: bool, answered: Then, all_seen: Then) -> None:
        """Look at everything that is not told by events. Nothing here blocks; each observation is in ``eyes`` when it is in.

        ``suspect``: the agent's loop is in doubt. ``answered``: called when the wire server was asked. ``all_seen``: called when
        everything that lies on this machine was seen, unless one of the looks is still under way from an earlier round.
        """
        looks: list[Callable[[Then], bool]] = [lambda then: self.see_conf(_both(conf_seen, then)), self._see_libdir, self.see_log,
                                               self.see_packages]
        if "version" not in self.eyes.seen:
            looks.append(lambda then: self.eyes.look("version", diskversion.read, then))
        left = len(looks)

        def one_seen() -> None:
            nonlocal left
            left -= 1
            if not left:
                all_seen()

        for look in looks:
            look(one_seen)
        if self.on_azure:
            self.wireserver.tick(suspect or self._goal_state_missing(), answered)
        self.see_processes()

    def see_conf(self, then: Then) -> bool:
        """False: a look is under way already, and ``then`` will not be called."""
        path = self.conf_path()
        return self.eyes.look("conf", lambda: conf.read(path), then)

    def _see_libdir(self, then: Then) -> bool:
        lib = self._lib_dir()
        return self.eyes.look("libdir", lambda: self._watcher.look(lib), then)

    def see_log(self, then: Then) -> bool:
        """Read what is new, to its end: a look reads a bounded part, so there may be several.

        False: a look is under way already, and ``then`` will not be called.
        """
        def seen() -> None:
            found = self.eyes.get("log")
            if isinstance(found, Known) and found.value.behind:
                self.see_log(then)
            else:
                then()

        return self.eyes.look("log", self._follower.look, seen)

    def see_packages(self, then: Then) -> bool:
        """False: a look is under way already, and ``then`` will not be called."""
        return self.eyes.look("packages", packages.transaction, then)

    def see_snapshot(self, then: Then) -> bool:
        """Is the backup extension at work? It walks over all processes, so it is asked only before a restart of a live agent.

        False: a look is under way already, and ``then`` will not be called.
        """
        return self.eyes.look("snapshot", _snapshot_working, then)

    def see_processes(self) -> None:
        """A handful of reads in /proc, which never blocks."""
        unit = self.known_unit
        if unit is not None:
            self.track.look(unit.main_pid)

    def conf_path(self) -> Path:
        daemon = self.track.daemon
        told = processes.configuration_path(daemon.argv) if daemon is not None else None
        return conf.find(self._settings.agent.conf, told or "")

    def evidence(self) -> Evidence:
        """All of it, as of now."""
        now = self._clock.now()
        since = self._disk.working_since if self._disk.blocked_in_kernel() else None
        log = self.eyes.get("log")
        transaction, version = self.eyes.get("packages"), self.eyes.get("version")
        return Evidence(
            now=now, wall=self._clock.wall(), unit=self.unit, daemon=self.track.daemon, handler=self.track.handler,
            processes_unknown=self.track.problem, conf=self.eyes.get("conf"),
            log=Known(log.value.state, log.at) if isinstance(log, Known) else log, libdir=self.eyes.get("libdir"),
            wireserver=self._fresh_probe(now), disk_version=version.value if isinstance(version, Known) else None,
            azure=self.on_azure, snapshot=self._fresh_snapshot(now),
            transaction=transaction.value if isinstance(transaction, Known) else None,
            freezing=freeze.freezing(), disk_blocked_for=now - since if since is not None else 0.0)

    def _lib_dir(self) -> Path:
        seen: Observation[conf.ConfFacts] = self.eyes.get("conf")
        return conf.library(self._settings.agent.lib_dir, seen.value if isinstance(seen, Known) else None)

    def _goal_state_missing(self) -> bool:
        """The agent itself says that it cannot fetch its goal state, or looks for the wire server."""
        seen = self.eyes.get("log")
        return isinstance(seen, Known) and bool(seen.value.state.goal_state_failing or seen.value.state.detecting)

    def _fresh_snapshot(self, now: float) -> Optional[bool]:
        seen: Observation[Optional[bool]] = self.eyes.get("snapshot")
        return seen.value if isinstance(seen, Known) and now - seen.at <= _FRESH else None

    def _fresh_probe(self, now: float) -> Observation[azure.Probe]:
        if not self.on_azure:
            return Unknown(say("this machine is not known to be on Azure, so nothing is sent to Azure's addresses"), now)
        return self.wireserver.seen()


def _snapshot_working() -> Optional[bool]:
    from waguard.observe import snapshots

    return snapshots.processes().working


def _both(first: Then, second: Then) -> Then:
    def both() -> None:
        first()
        second()

    return both
