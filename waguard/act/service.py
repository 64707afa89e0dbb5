"""The service manager: systemd through ``systemctl``, or any other through ``service NAME …`` commands.

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
from waguard.i18n import say
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


class Systemd:
    """``systemctl``. Probes the unit names until one exists and goes on probing while none does."""

    name = "systemd"

    def __init__(self, children: Children, now: Callable[[], float], names: Sequence[str], timeout: float) -> None:
        self._children, self._now, self._names, self._timeout = children, now, tuple(names), timeout

    def look(self, done: Looked) -> None:
        def answered(finished: Finished) -> None:
            if not finished.ok:
                done(Unknown(finished.trouble, self._now()))
                return
            states = unit.parse(finished.output)
            if not states:
                done(Unknown(say("systemctl show printed nothing"), self._now()))
                return
            done(Known(unit.choose(states) or states[0], self._now()))

        self._children.run(unit.show_argv(self._names), 10.0, answered)

    def carry_out(self, action: Action, state: unit.UnitState, done: Done) -> None:
        def finish(finished: Finished) -> None:
            done(finished.ok, "" if finished.ok else finished.trouble)

        def order(_: Optional[Finished] = None) -> None:
            self._children.run(["systemctl", action.value, state.name], self._timeout, finish)

        if state.active == "failed":
            # Else systemd may refuse the start: its limit counts our starts too, and a unit that ran into it need not say so in
            # Result= (seen on 252; WALinuxAgent #804, #842).
            self._children.run(["systemctl", "reset-failed", state.name], self._timeout, order)
        else:
            order()


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
