"""The service manager: what the guard needs of one, and any that is not systemd (act/systemd.py) through ``service NAME …``.

Both answer two questions and take two orders: how is the agent's service (``look``), and start or restart it (``carry_out``).
Nothing else in waguard starts, stops or signals the agent, and nothing at all ever touches the handler child: killing it counts
as a crash of that agent version (WALinuxAgent azurelinuxagent/ga/update.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Optional, Protocol

from waguard.agent import layout, processes
from waguard.decide.restart import Action
from waguard.guard.children import Children, Finished
from waguard.observe import Known, Observation, Unknown, files, process, unit

_COMES_UP = 3.0
Looked = Callable[[Observation[unit.UnitState]], None]
Done = Callable[[bool, str], None]


class ServiceManager(Protocol):
    """What the guard needs of a service manager. Callbacks come from the event loop, exactly once."""

    name: str

    def look(self, done: Looked) -> None:
        """The state of the agent's service, or why it cannot be told."""

    def carry_out(self, action: Action, state: unit.UnitState, done: Done) -> None:
        """Start or restart; ``done(ok, trouble)`` when the manager has finished or refused."""


class Command:
    """SysV, OpenRC, or a bare process: commands to start and stop, and the pid file to look at.

    A pid file alone proves nothing, since pids are recycled: the process must be an agent daemon by its command line.
    """

    name = "command"

    def __init__(self, children: Children, now: Callable[[], float], service: str, pid_file: Callable[[], Path],
                 start: Sequence[str], stop: Sequence[str], timeout: float) -> None:
        self._children, self._now, self._pid_file, self._timeout = children, now, pid_file, timeout
        self._service = service
        self._start = [word.replace("{name}", service) for word in start]
        self._stop = [word.replace("{name}", service) for word in stop]
        self._ordered = -_COMES_UP

    def look(self, done: Looked) -> None:
        done(self._look())

    def _look(self) -> Observation[unit.UnitState]:
        now = self._now()
        try:
            text = files.read(self._pid_file(), 4096).decode("ascii", "replace").strip()
            daemon = process.read(int(text)) if text.isdigit() else None
        except FileNotFoundError:
            daemon = None
        except (files.Unusable, OSError) as error:
            return Unknown(str(error), now)
        if daemon is None or not processes.is_daemon(daemon.argv):
            # A start command returns before the daemon has written its pid file.
            active, sub = ("activating", "start") if now - self._ordered < _COMES_UP else ("inactive", "dead")
            return Known(unit.UnitState(self._service, active=active, sub=sub, file_state="", restart="", kind="command"), now)
        return Known(unit.UnitState(self._service, active="active", sub="running", file_state="", restart="", main_pid=daemon.pid,
                                    invocation=f"{daemon.pid}@{daemon.started:.2f}", main_start=daemon.started,
                                    kind="command"), now)

    def carry_out(self, action: Action, state: unit.UnitState, done: Done) -> None:
        def finish(finished: Finished) -> None:
            self._ordered = self._now() if finished.ok else -_COMES_UP
            done(finished.ok, "" if finished.ok else finished.trouble)

        def start(_: Optional[Finished] = None) -> None:
            self._children.run(self._start, self._timeout, finish)

        if action is Action.RESTART:
            self._children.run(self._stop, self._timeout, start)
        else:
            start()


def service_name(setting: str) -> tuple[str, ...]:
    """Unit names to probe, in order; one when the setting names it."""
    if setting == "auto":
        return layout.UNITS
    return (setting if "." in setting else f"{setting}.service",)
