"""systemd as the agent's service manager: asked and ordered over the system bus, or by ``systemctl`` where that does not answer.

Between an end of the agent and its next start lie three questions to systemd: a millisecond each over the bus, ten by systemctl.
Interface: org.freedesktop.systemd1(5).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Optional

from waguard import dbus
from waguard.act.service import Done, Looked
from waguard.dbus import ProtocolError, Reply
from waguard.decide.restart import Action
from waguard.guard.bus import Bus
from waguard.guard.children import Children, Finished
from waguard.guard.loop import Loop
from waguard.i18n import say
from waguard.observe import Known, Unknown, unit
from waguard.observe.unit import UnitState

_NAME = "org.freedesktop.systemd1"
_PATH = "/org/freedesktop/systemd1"
_MANAGER = f"{_NAME}.Manager"
_METHODS = {Action.START: "StartUnit", Action.RESTART: "RestartUnit"}
_ANSWER = 10.0
"""Seconds for a question."""
_SOON, _SLOWEST = 0.002, 0.25
_States = Callable[[Optional[Sequence[UnitState]]], None]


class Systemd:
    """Probes the unit names until one exists and goes on probing while none does."""

    name = "systemd"

    def __init__(self, loop: Loop, bus: Bus, children: Children, now: Callable[[], float], names: Sequence[str],
                 timeout: float) -> None:
        self._loop, self._bus, self._children, self._now = loop, bus, children, now
        self._names, self._timeout = tuple(names), timeout

    def look(self, done: Looked) -> None:
        def told(states: Optional[Sequence[UnitState]]) -> None:
            if states is None:
                self._children.run(unit.show_argv(self._names), _ANSWER, printed)
            else:
                done(Known(unit.choose(states) or states[0], self._now()))

        def printed(finished: Finished) -> None:
            states = unit.parse(finished.output) if finished.ok else []
            if states:
                done(Known(unit.choose(states) or states[0], self._now()))
            else:
                done(Unknown(say("systemctl show printed nothing") if finished.ok else finished.trouble, self._now()))

        self._ask(self._names, told)

    def _ask(self, names: Sequence[str], done: _States) -> None:
        """The units' states in this order, each of one moment, up to the first that exists; None when the bus does not tell."""
        found: list[UnitState] = []

        def next_one() -> None:
            path = dbus.unit_path(names[len(found)])
            self._bus.call(_NAME, path, dbus.PROPERTIES, "GetAll", "", timeout=_ANSWER, done=answered)

        def answered(reply: Optional[Reply], _trouble: str) -> None:
            try:
                if reply is None or reply.error:
                    raise ProtocolError
                found.append(unit.of_properties(reply.properties(unit.PROPERTIES)))
            except ProtocolError:
                done(None)
                return
            if len(found) < len(names) and (found[-1].masked or not found[-1].loaded):
                next_one()
            else:
                done(found)

        next_one()

    def carry_out(self, action: Action, state: UnitState, done: Done) -> None:
        def reset(reply: Optional[Reply], _trouble: str) -> None:
            if reply is None:
                self._by_program(action, state, done)
            else:
                order()

        def order() -> None:
            self._bus.call(_NAME, _PATH, _MANAGER, _METHODS[action], state.name, "replace", timeout=self._timeout, done=ordered)

        def ordered(reply: Optional[Reply], trouble: str) -> None:
            if reply is not None and not reply.error:
                self._await(state, self._now() + self._timeout, _SOON, done)
            elif reply is not None:
                done(False, f"{state.name}: {_text(reply)}")
            elif action is Action.START:
                self._by_program(action, state, done)  # To start what was started after all changes nothing.
            else:
                done(False, trouble)

        if state.active == "failed":
            # Else systemd may refuse the start: its limit counts our starts too, and a unit that ran into it need not say so in
            # Result= (seen on 252; WALinuxAgent #804, #842).
            self._bus.call(_NAME, _PATH, _MANAGER, "ResetFailedUnit", state.name, timeout=_ANSWER, done=reset)
        elif action is Action.START:
            order()
        else:
            # Nothing of a restart may be left half done on a bus that is not there.
            self._ask((state.name,), lambda states: order() if states is not None else self._by_program(action, state, done))

    def _await(self, before: UnitState, until: float, wait: float, done: Done) -> None:
        """The job is queued: ask until it has come to an end, well or not."""
        def seen(states: Optional[Sequence[UnitState]]) -> None:
            state = states[0] if states else None
            if state is None or state.job:
                if self._now() < until:
                    self._loop.after(wait, lambda: self._await(before, until, min(_SLOWEST, 2 * wait), done))
                else:
                    done(False, say("{unit}: systemd has not told what became of the order", unit=before.name))
            elif state.active in ("active", "activating", "reloading") or state.invocation not in ("", before.invocation):
                done(True, "")  # A run has begun; what becomes of it is another question.
            else:
                done(False, f"{state.name}: {state.active} ({state.result})")

        self._ask((before.name,), seen)

    def _by_program(self, action: Action, state: UnitState, done: Done) -> None:
        def finish(finished: Finished) -> None:
            done(finished.ok, "" if finished.ok else finished.trouble)

        def order(_: Optional[Finished] = None) -> None:
            self._children.run(["systemctl", action.value, state.name], self._timeout, finish)

        if state.active == "failed":
            self._children.run(["systemctl", "reset-failed", state.name], self._timeout, order)
        else:
            order()


def _text(reply: Reply) -> str:
    try:
        return reply.text or reply.error
    except ProtocolError:
        return reply.error
