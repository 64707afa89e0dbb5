"""systemd over a bus that answers as told, and by systemctl where it does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

import pytest

from tests.unit.marshal import message
from waguard.act import service
from waguard.act.systemd import Systemd
from waguard.dbus import Decoder, Reply, unit_path
from waguard.decide.restart import Action
from waguard.guard.loop import Loop
from waguard.observe import Known, Unknown
from waguard.observe.unit import UnitState

from .managers import NOW, Programs, looked, ordered

SHOWN = "Id=walinuxagent.service\nLoadState=not-found\n\nId=waagent.service\nLoadState=loaded\nActiveState=active\nMainPID=7\n"
BOTH = service.service_name("auto")
Told = dict[str, tuple[str, Any]]


class FakeBus:
    """In the place of guard.bus.Bus. ``units``: name to properties; ``answers``: method to reply, or why there is none."""

    def __init__(self) -> None:
        self.units: dict[str, list[Told]] = {}
        self.answers: dict[str, object] = {}
        self.calls: list[tuple[str, ...]] = []

    def call(self, destination: str, path: str, interface: str, member: str, *arguments: str, timeout: float,
             done: Callable[[Optional[Reply], str], None]) -> None:
        assert destination == "org.freedesktop.systemd1" and timeout > 0
        self.calls.append((member, *arguments) if member != "GetAll" else (member, path.rpartition("/")[2]))
        answer = self.answers.get(member)
        if isinstance(answer, str):
            done(None, answer)
        elif isinstance(answer, bytes):
            done(Decoder().feed(b"OK\r\n" + answer)[0], "")
        elif member == "GetAll":
            name = next(name for name in (*self.units, *BOTH) if unit_path(name) == path)
            told = self.units.get(name, [{"Id": ("s", name), "LoadState": ("s", "not-found")}])
            state = told.pop(0) if len(told) > 1 else told[0]
            done(Decoder().feed(b"OK\r\n" + message(2, 1, "a{sv}", [list(state.items())]))[0], "")
        else:
            done(Decoder().feed(b"OK\r\n" + message(2, 1, "o", ["/org/freedesktop/systemd1/job/12"]))[0], "")


class AtOnce(Loop):
    """A loop whose timers come at once, and in whose eyes time passes with each."""

    def __init__(self) -> None:
        self.now = NOW

    def after(self, seconds: float, callback: Callable[[], None]) -> Any:
        self.now += seconds
        callback()


def state(**told: Any) -> Told:
    kinds = {str: "s", int: "u", bytes: "ay", tuple: "(uo)"}
    known = {"Id": "waagent.service", "LoadState": "loaded", "ActiveState": "active", "MainPID": 7, "InvocationID": b"\1" * 16,
             "Job": (0, "/"), **told}
    return {name: (kinds[type(value)], value) for name, value in known.items()}


@pytest.fixture
def bus() -> FakeBus:
    return FakeBus()


@pytest.fixture
def programs() -> Programs:
    return Programs()


@pytest.fixture
def systemd(bus: FakeBus, programs: Programs) -> Systemd:
    loop = AtOnce()
    return Systemd(loop, bus, programs, lambda: loop.now, BOTH, 10.0)  # type: ignore[arg-type]


WAS = UnitState("waagent.service", active="inactive", invocation="00" * 16)


def test_the_first_that_exists_is_taken_and_no_more_is_asked(systemd: Systemd, bus: FakeBus, programs: Programs) -> None:
    bus.units["waagent.service"] = [state()]
    seen = looked(systemd)
    assert isinstance(seen, Known) and (seen.value.name, seen.value.main_pid, seen.at) == ("waagent.service", 7, NOW)
    bus.units["walinuxagent.service"] = [state(Id="walinuxagent.service")]
    bus.calls.clear()
    seen = looked(systemd)
    assert isinstance(seen, Known) and seen.value.name == "walinuxagent.service" and len(bus.calls) == 1
    assert programs.ran == []


def test_an_unmasked_one_comes_before_a_masked_one(systemd: Systemd, bus: FakeBus) -> None:
    bus.units["walinuxagent.service"] = [state(Id="walinuxagent.service", LoadState="masked")]
    seen = looked(systemd)
    assert isinstance(seen, Known) and seen.value.name == "walinuxagent.service" and seen.value.masked
    bus.units["waagent.service"] = [state()]
    seen = looked(systemd)
    assert isinstance(seen, Known) and seen.value.name == "waagent.service"


def test_neither_is_there(systemd: Systemd, programs: Programs) -> None:
    seen = looked(systemd)
    assert isinstance(seen, Known) and not seen.value.loaded and programs.ran == []


@pytest.mark.parametrize("answer", ["there is no system bus", message(3, 1, "s", ["No"], "a.Failed"), message(2, 1, "s", ["x"])])
def test_where_the_bus_does_not_tell_systemctl_is_asked(
        systemd: Systemd, bus: FakeBus, programs: Programs, answer: object) -> None:
    bus.answers["GetAll"] = answer
    programs.answer("show", output=SHOWN)
    seen = looked(systemd)
    assert isinstance(seen, Known) and (seen.value.name, seen.value.main_pid) == ("waagent.service", 7)
    assert programs.ran[0][-2:] == BOTH


@pytest.mark.parametrize(("code", "output", "errors", "problem", "why"), [
    (1, "", "Failed to connect to bus: Connection refused\n", "", "exit status 1: Failed to connect to bus"),
    (None, "", "", "no answer within 10 s", "no answer within 10 s"), (-9, "", "", "", "signal 9"), (0, "\n", "", "", "printed nothing")])
def test_no_answer_at_all_is_not_known(systemd: Systemd, bus: FakeBus, programs: Programs, code: Optional[int], output: str, errors: str,
                                       problem: str, why: str) -> None:
    bus.answers["GetAll"] = "gone"
    programs.answer("show", code, output, errors, problem)
    seen = looked(systemd)
    assert isinstance(seen, Unknown) and why in seen.why


@pytest.mark.parametrize("action", list(Action))
def test_one_order_for_one_action_and_its_job_is_waited_for(systemd: Systemd, bus: FakeBus, programs: Programs, action: Action) -> None:
    bus.units["waagent.service"] = [state(), state(ActiveState="inactive", Job=(12, "/j")), state(ActiveState="inactive", Job=(12, "/j")),
                                    state(InvocationID=b"\2" * 16)]
    if action is Action.START:
        bus.units["waagent.service"].pop(0)
    assert ordered(systemd, action, WAS) == (True, "")
    method = {Action.START: "StartUnit", Action.RESTART: "RestartUnit"}[action]
    assert [call for call in bus.calls if call[0] != "GetAll"] == [(method, "waagent.service", "replace")]
    assert bus.calls[-1][0] == "GetAll" and programs.ran == []


@pytest.mark.parametrize("result", ["start-limit-hit", "exit-code", "signal"])
def test_a_unit_that_failed_is_reset_first(systemd: Systemd, bus: FakeBus, result: str) -> None:
    """systemd 252 keeps the last end's Result= when a unit runs into its limit, and refuses the start (test_unit.py)."""
    bus.units["waagent.service"] = [state()]
    bus.answers["ResetFailedUnit"] = message(3, 1, "s", ["not loaded"], "a.NoSuchUnit")  # which does not keep it from trying
    assert ordered(systemd, Action.START, UnitState("waagent.service", active="failed", result=result)) == (True, "")
    assert [call[:2] for call in bus.calls[:2]] == [("ResetFailedUnit", "waagent.service"), ("StartUnit", "waagent.service")]


def test_a_refusal_says_why(systemd: Systemd, bus: FakeBus, programs: Programs) -> None:
    bus.answers["StartUnit"] = message(3, 1, "s", ["Unit waagent.service is masked."], "org.freedesktop.systemd1.UnitMasked")
    assert ordered(systemd, Action.START, WAS) == (False, "waagent.service: Unit waagent.service is masked.")
    assert programs.ran == []


def test_a_run_that_ended_at_once_was_begun(systemd: Systemd, bus: FakeBus) -> None:
    bus.units["waagent.service"] = [state(ActiveState="failed", Result="exit-code")]
    assert ordered(systemd, Action.START, WAS) == (True, "")


def test_a_job_that_brought_no_run_has_failed(systemd: Systemd, bus: FakeBus) -> None:
    bus.units["waagent.service"] = [state(ActiveState="failed", Result="start-limit-hit", InvocationID=bytes(16))]
    assert ordered(systemd, Action.START, WAS) == (False, "waagent.service: failed (start-limit-hit)")


def test_a_job_without_end(systemd: Systemd, bus: FakeBus) -> None:
    bus.units["waagent.service"] = [state(ActiveState="activating", Job=(12, "/j"))]
    ok, trouble = ordered(systemd, Action.START, WAS)
    assert not ok and "has not told" in trouble and len(bus.calls) < 1000


@pytest.mark.parametrize("lost", ["ResetFailedUnit", "StartUnit"])
def test_a_start_is_made_by_systemctl_where_the_bus_is_lost(systemd: Systemd, bus: FakeBus, programs: Programs, lost: str) -> None:
    bus.answers[lost] = "hung up"
    assert ordered(systemd, Action.START, UnitState("waagent.service", active="failed")) == (True, "")
    assert programs.ran[-1] == ("systemctl", "start", "waagent.service")


def test_a_restart_is_never_made_twice(systemd: Systemd, bus: FakeBus, programs: Programs) -> None:
    """Lost amid the order, nobody knows whether systemd got it; lost before, systemctl makes it."""
    bus.units["waagent.service"] = [state()]
    bus.answers["RestartUnit"] = "hung up"
    assert ordered(systemd, Action.RESTART, UnitState("waagent.service", active="active")) == (False, "hung up")
    assert programs.ran == []
    bus.answers["GetAll"] = "there is no system bus"
    assert ordered(systemd, Action.RESTART, UnitState("waagent.service", active="active")) == (True, "")
    assert programs.ran == [("systemctl", "restart", "waagent.service")]


def test_what_systemctl_refuses_says_why(systemd: Systemd, bus: FakeBus, programs: Programs) -> None:
    bus.answers.update(GetAll="gone", ResetFailedUnit="gone")
    programs.answer("restart", 1, errors="Failed to restart waagent.service: Unit waagent.service is masked.\n")
    ok, trouble = ordered(systemd, Action.RESTART, UnitState("waagent.service", active="active"))
    assert not ok and "Unit waagent.service is masked." in trouble

