"""What the guard says is found again by who shows it in another language: driven here, each in a catalogue in which all words of
ours stand in ⟦brackets⟧, so that what is left outside of them can only be names, numbers and words of others."""

from __future__ import annotations

import ast
import os
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Formatter
from types import SimpleNamespace
from typing import Any, Optional

import pytest

from po.messages import messages
from waguard.act import confwrite, dropin
from waguard.act.systemd import Systemd
from waguard.clock import Clock
from waguard.decide import restart, term
from waguard.decide.restart import Action, Condition, Facts, Intent, PolicyState, Request, Stage, Step, Verification
from waguard.guard import confnews, verbose, words
from waguard.guard.book import QUIET, Book
from waguard.guard.bus import Bus
from waguard.guard.children import Finished
from waguard.guard.conversation import Doctor
from waguard.guard.eyes import Eyes
from waguard.guard.guard import Guard
from waguard.guard.memory import Memory
from waguard.guard.snapshot import compose
from waguard.guard.sockets import Listener
from waguard.guard.store import Store
from waguard.guard.track import Track
from waguard.i18n import Language
from waguard.judge import liveness
from waguard.judge.catalogue import Finding
from waguard.judge.liveness import AgentState, Liveness
from waguard.observe import Known, Unknown, freeze, programs
from waguard.observe.conf import ConfFacts
from waguard.observe.process import Process
from waguard.observe.unit import UnitState
from waguard.settings import RestartSettings, Settings
from waguard.varlink import Service

from . import test_aside as asides
from .conftest import Disk, Turning
from .serving import SNAPSHOT, Serving
from .test_verbose import CONFS, Home

pytestmark = pytest.mark.once

TOP = Path(__file__).resolve().parents[3]
ERRORS = ("No such file or directory", "No space left on device", "Permission denied", "Read-only file system", "Input/output error", "Is a directory")
VALUE = re.compile(r"\S*[\d/.:=_~]\S*")
"""What may stand outside of the brackets: one word that is no word of a language."""
NAMES = {"root", "admin", "somebody", "systemd", "waguard", "state", "lease", "policy", "agent-hung", "agent-not-running", "n", "y"}


class Pseudo:
    """A catalogue of a language that is English in brackets."""

    def __init__(self) -> None:
        found = messages().values()
        self._catalog = {"": "", **{one.text: _bracketed(one.text) for one in found if one.plural is None}}

    def gettext(self, message: str) -> str:
        return self._catalog.get(message, message)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return one if count == 1 else many

    def info(self) -> dict[str, str]:
        return {"language": "xx"}


def _bracketed(message: str) -> str:
    """Only of what takes words is the rest a format string."""
    if "{" not in message:
        return f"⟦{message}⟧"
    parts = []
    for literal, name, spec, _ in Formatter().parse(message):
        parts.append(f"⟦{literal}⟧" if literal else "")
        parts.append("" if name is None else "{" + name + (f":{spec}" if spec else "") + "}")
    return "".join(parts)


LANGUAGE = Language(Pseudo())


def left(text: str, *values: str) -> list[str]:
    """What of a text stays English though it is no value: nothing, where all of it was made of messages."""
    shown = LANGUAGE.translated(text)
    assert re.sub("[⟦⟧]", "", shown) == text, "a translation that is but brackets changes nothing else"
    if "⟦" not in shown:
        return [text]
    pieces = re.split("⟦[^⟦⟧]*⟧", shown)
    for value in sorted({*values, *ERRORS}, key=len, reverse=True):
        pieces = [part for piece in pieces for part in piece.split(value)]
    words = {piece.strip(" ;:'") for piece in pieces} - {"", *NAMES}
    return sorted(word for word in words if not VALUE.fullmatch(word))


def all_known(texts: Any, *values: str) -> list[str]:
    texts = list(texts)
    assert texts and all(isinstance(text, str) and text for text in texts)
    return [f"{text!r}: {found}" for text in texts for found in [left(text, *values)] if found]


def test_the_check_can_fail() -> None:
    assert left("verbose logging is off; the line is as it was") == []
    assert left("watching walinuxagent.service") == []
    assert left("no longer: words that nobody knows") == ["words that nobody knows"]
    assert left("something that nobody marked") == ["something that nobody marked"]
    assert left("starting walinuxagent.service: paused; and a fragment") == ["and a fragment"]
    assert left("something else") == ["something else"]


# The restart policy


GATES: dict[str, Any] = {"walls": ("a filesystem is frozen",), "start_gates": ("a snapshot is being taken",), "paused": True,
                         "settled": False, "why": "its time is over"}


def policies() -> Iterator[tuple[PolicyState, Facts, RestartSettings]]:
    states = [PolicyState(), PolicyState(attempts=2, last_attempt=999.0), PolicyState(live_restarts=(990.0,) * 9),
              PolicyState(intent=Intent(1, Action.START, "paused", 999.0, "run")), PolicyState(request=Request("paused", 999.0)),
              PolicyState(request=Request("paused", 999.0, True)),
              *(PolicyState(verification=Verification(999.0, Action.START, stage, "old")) for stage in Stage)]
    for state in states:
        for condition in Condition:
            for more in ({}, *({name: value} for name, value in GATES.items())):
                for enabled in (True, False):
                    facts = Facts(**{"now": 1000.0, "condition": condition, "run": "run", "why": "paused", **more})
                    yield state, facts, RestartSettings(enabled=enabled)


def test_what_the_policy_waits_for() -> None:
    steps = [restart.step(*words) for words in policies()]
    holding = {step.holding for step in steps if step.holding}
    assert all_known(holding) == []
    assert holding >= restart.PASSING
    assert len(holding) >= 14
    assert all_known(restart.PASSING) == []


@pytest.mark.parametrize("state", AgentState)
def test_the_agents_states_in_words(state: AgentState) -> None:
    assert left(words.verdict(state, "paused")) == []
    assert words.verdict(state, "x") == f"agent is {state.value}: x"
    assert left(words.but(state, "its time is over")) == []


def test_orders_in_words() -> None:
    unit, trouble = "walinuxagent.service", Finished(("systemctl", "start", "x"), 1, "", "Job failed.", 0.1).trouble
    for action in Action:
        assert words.acting(action, unit, "x") == f"{action.value}ing {unit}: x"
        assert words.not_done(action, unit, "x") == f"{unit} was not {action.value}ed: x"
        assert all_known([words.acting(action, unit, "paused"), words.not_done(action, unit, trouble), words.proved(action),
                          *(words.not_proved(action, stage) for stage in Stage)], "Job failed.", "systemctl start x") == []


@pytest.mark.parametrize("ended", [
    {"code": 1}, {"code": -9}, {"code": None, "problem": "no answer within 5 s"},
    {"code": None, "problem": "cannot be started: Permission denied"}])
@pytest.mark.parametrize("errors", ["", "Job for x failed"])
def test_how_a_program_ended(ended: dict[str, Any], errors: str) -> None:
    trouble = Finished(("systemctl", "show"), **{"output": "", "errors": errors, "duration": 1.0, **ended}).trouble
    assert all_known([trouble], "Job for x failed", "systemctl show") == []


# The guard


class Manager:
    """A service manager that does nothing until the test says what came of it."""

    name = "systemd"

    unit = UnitState("walinuxagent.service", active="active", sub="running", main_pid=412, invocation="run-1")

    def __init__(self) -> None:
        self.done: Any = None

    def look(self, done: Any) -> None:
        done(Known(self.unit, 1.0))

    def carry_out(self, _action: Action, _unit: UnitState, done: Any) -> None:
        self.done = done


class Told:
    """A guard whose events are kept."""

    def __init__(self, root: Path, loop: Turning) -> None:
        self.events: list[str] = []
        (root / "lib").mkdir()
        self.disk, self.manager, self.clock = Disk(), Manager(), Clock()
        self.memory = Memory(Store("state", root, root / "lib", self.disk, self.events.append), "boot")
        self.guard = Guard(Settings(), loop, self.clock, self.manager, self.disk, Doctor(loop, root, False), self.memory, self._event, lambda: None)
        self.guard.sources.unit = Known(self.manager.unit, self.clock.now())
        self.memory.run = "run-1"

    def _event(self, _kind: str, message: str, **_fields: Any) -> None:
        self.events.append(message)

    def live(self, state: AgentState) -> Liveness:
        return Liveness(state, "its time is over", liveness.History())


@pytest.fixture
def told(tmp_path: Path, loop: Turning) -> Told:
    return Told(tmp_path, loop)


def test_events_of_the_guard(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    guard = told.guard
    guard.pause(None, "root")
    guard.resume("admin")
    guard.pause(5400.0, "root")
    guard._resumed("the clock", "resumed by the clock")
    for state, holding, again in ((AgentState.DOWN, "a filesystem is frozen", None),
                                  (AgentState.HUNG, "the ration of restarts is used up", 1e9),
                                  (AgentState.DOWN, "a thread of the agent is in state D (412/waagent)", None)):
        guard._tell_held(Step(PolicyState(), holding=holding, look_again=again), told.live(state))
    for outcome in (True, False):
        for stage in Stage:
            guard._tell_outcome(Step(PolicyState(), outcome=outcome, outcome_of=Verification(1.0, Action.RESTART, stage)))
    guard.memory.policy = PolicyState(intent=Intent(1, Action.START, "asked for by root", 1.0, "run-1"))
    guard._act(guard.memory.policy.intent)  # type: ignore[arg-type]
    told.manager.done(False, "'systemctl start x': exit status 1")
    monkeypatch.setattr(guard, "save", _full)
    guard.keep()
    assert len(set(told.events)) == 4 + 3 + 4 + 2 + 1
    assert all_known(told.events, "systemctl start x") == []


def _full(*_words: object) -> None:
    raise OSError(28, "No space left on device")


def test_refusals_of_a_restart(told: Told, loop: Turning) -> None:
    guard, answers = told.guard, []
    answers.append(guard._ask_restart("asked for by root", False))
    guard.live = told.live(AgentState.DOWN)
    guard.runs.acting = True
    answers.append(guard._ask_restart("asked for by root", False))
    guard.runs.acting = False
    guard.memory.policy = PolicyState(verification=Verification(1.0, Action.START, Stage.ACTIVE))
    answers.append(guard._ask_restart("asked for by root", False))
    guard.memory.policy = PolicyState()
    answers.append(guard._ask_restart("asked for by root", False))
    guard.sources.see_packages = lambda _then: False  # type: ignore[method-assign]
    guard.ask_restart("asked for by root", False, answers.append, tries=1)
    loop.until(lambda: len(answers) > 4, "the answer")
    assert len(set(answers)) == 5
    assert all_known(answers) == []


def test_events_of_the_runs(told: Told) -> None:
    runs, memory = told.guard.runs, told.memory
    runs.sources.unit = Unknown("", 0.0)
    runs._seen(Known(told.manager.unit, told.clock.now()))
    for before, restarts in (("", 0), ("run-0", 1), ("run-0", 0)):
        memory.run, memory.n_restarts = before, 0
        runs._begun(UnitState("walinuxagent.service", active="active", main_pid=5, invocation="run-2", n_restarts=restarts))
    memory.run, runs.acting = "run-0", True
    runs._begun(UnitState("walinuxagent.service", active="active", main_pid=5, invocation="run-2"))
    runs.acting = False
    ended = Process(4242, 1, ("python3", "waagent", "-daemon"), "S", 10.0, 0.1, 1000)
    runs._end_known(UnitState("waagent.service", active="failed", result="exit-code", exit_code=1, exit_status=3), ended)
    runs._end_known(UnitState("waagent.service", active="inactive", file_state="disabled"), ended)
    runs._ended, memory.run, memory.n_restarts = ended, "run-0", 0
    runs._begun(UnitState("walinuxagent.service", active="active", main_pid=5, invocation="run-2", n_restarts=1))
    assert len(told.events) >= 7
    assert all_known(told.events) == []


# The verbose lease


def lease_story(home: Home) -> list[str]:
    """Everything that can become of a lease; returns the answers and refusals."""
    verbose = home.start()
    said = [home.off(verbose), home.on(verbose), home.on(verbose, None), home.off(verbose), home.on(verbose, None)]
    home.save_error = OSError(28, "No space left on device")
    said.append(home.on(verbose, 60.0))
    home.save_error = None
    home.conf.write_bytes(CONFS["plain"].replace(b"Verbose=n", b"Verbose=perhaps"))
    said.append(home.off(verbose))
    home.conf.write_bytes(CONFS["plain"])
    home.on(verbose)
    home.conf.unlink()
    said.append(home.off(verbose))
    said.append(home.on(verbose))
    for data in (b"", b"\xff\n", b"Logs.Verbose=y\n"):
        home.conf.write_bytes(data)
        said.append(home.on(verbose))
    home.conf.write_bytes(CONFS["plain"])
    home.on(verbose, 5.0)
    home.pass_time(6.0)
    home.tick(verbose)
    home.save_error = OSError(28, "No space left on device")
    said.append(home.on(verbose))
    verbose._save()
    return [text.lstrip("!") for text in said]


@pytest.fixture
def home(tmp_path: Path, loop: Turning) -> Home:
    found = Home(tmp_path, loop)
    found.conf.write_bytes(CONFS["plain"])
    return found


def test_what_is_said_of_a_verbose_lease(home: Home) -> None:
    said = lease_story(home)
    assert len(set(said)) >= 11 and len(set(home.events)) >= 10
    assert all_known(said) == []
    assert all_known(message for _, message in home.events) == []
    assert all_known(home.restarts) == []
    assert all_known([verbose._BUSY, verbose._TAKEN_BACK, verbose._TRIED_AGAIN]) == []


def test_what_is_said_of_a_lease_in_a_freeze_and_after_a_kill(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verbose, "_DURABLE_WITHIN", 0.2)
    lease, frozen = home.start(), True
    home.on(lease)
    monkeypatch.setattr(freeze, "freezing", lambda: frozen)
    home.disk._hold = lambda: frozen
    said: list[str] = []
    for order in (lambda: lease.turn_off("root", lambda *answer: said.extend(answer)),
                  lambda: lease.turn_on(60.0, True, "root", lambda *answer: said.extend(answer))):
        order()
        home.loop.until(lambda: not lease.busy)
        home.loop.settle()
    frozen = False
    home.pass_time(61.0)
    home.tick(lease)
    home.on(lease)
    for tier in (home.run, home.lib):
        (tier / "state.json").write_text((tier / "state.json").read_text().replace('"active"', '"granting"'))
    home.start()
    assert len(set(filter(None, said))) == 2
    assert [kind for kind, _ in home.events] == ["verbose-on", "verbose-trouble", "verbose-off", "verbose-on", "verbose-on"]
    assert all_known([*filter(None, said), *(message for _, message in home.events), *home.restarts]) == []


def test_what_is_said_when_waagent_conf_cannot_be_edited(tmp_path: Path, loop: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "waagent.conf"
    said: list[str] = []

    def refused(original: Optional[confwrite.Original]) -> None:
        with pytest.raises(confwrite.Refused) as caught:
            confwrite.read(path) if original is None else confwrite.replace(original, b"new\n")
        said.append(str(caught.value))

    refused(None)
    path.symlink_to(path)
    refused(None)
    path.unlink()
    path.write_bytes(b"a\n")
    before = confwrite.read(path)
    path.write_bytes(b"other\n")
    refused(before)
    other = tmp_path / "other"
    os.link(path, other)
    refused(confwrite.read(path))
    other.unlink()
    before = confwrite.read(path)
    for number in (28, 30):
        monkeypatch.setattr(confwrite, "_write", lambda *_words, number=number: _raise(number))
        refused(before)
    path.unlink()
    refused(before)
    path.write_bytes(b"a\n")
    marks = iter(range(9))
    monkeypatch.setattr(confwrite, "_identity", lambda _info: next(marks))
    refused(None)
    assert len(set(said)) == 8
    assert all_known(said, "Too many levels of symbolic links") == []


def _raise(number: int) -> None:
    raise OSError(number, os.strerror(number))


def test_what_is_said_when_an_owner_or_an_attribute_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(os, "fchown", lambda *_words: _raise(1))
    monkeypatch.setattr(os, "listxattr", lambda _fd: ["user.x"])
    monkeypatch.setattr(os, "getxattr", lambda *_words: b"" if len(said) else _raise(95))
    monkeypatch.setattr(os, "setxattr", lambda *_words: _raise(95))
    for owner in (-5, os.getuid()):
        info = SimpleNamespace(st_uid=owner, st_gid=os.getgid(), st_mode=0o644)
        with pytest.raises(confwrite.Refused) as caught:
            confwrite._write(tmp_path / ".new", b"", 0, info)  # type: ignore[arg-type]
        said.append(str(caught.value))
        monkeypatch.setattr(os, "getxattr", lambda name, *_words: bytes([name > 0]))
    assert all_known(said, "Operation not supported") == []


# Orders


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    found = Serving(tmp_path)
    found.start()
    yield found
    found.stop()
    assert found.loop.errors == []


def test_answers_and_refusals_of_orders(serving: Serving) -> None:
    said: list[str] = []

    def call(method: str, **parameters: Any) -> None:
        answer = serving.call(method, parameters)
        said.extend([answer["message"], *answer.get("warnings", ())])

    def refused(method: str, **parameters: Any) -> None:
        name, told = serving.error(method, parameters)
        assert name == "Refused"
        said.extend(text for text in told.values() if text)

    call("SetVerbose", on=True)
    serving.guard.policy = PolicyState(request=Request("x", 1.0))
    serving.snapshot = {"agent": {"versions": {**SNAPSHOT["agent"]["versions"], "daemon": None}}}
    call("SetVerbose", on=True)
    refused("SetVerbose", on=True, seconds=1e9)
    refused("Diagnose")
    call("Restart")
    call("Pause")
    call("Pause", seconds=600)
    refused("Pause", seconds=1e11)
    call("Resume")
    serving.guard.refusal = "paused"
    refused("Restart")
    refused("Resume")
    serving.guard.error = OSError(28, "No space left on device")
    refused("Restart")
    assert len(said) >= 17
    assert all_known((text for text in said if text != "done"), "done") == []
    assert all_known([restart_order[1] for restart_order in serving.guard.orders if restart_order[0] == "restart"],
                     str(os.getuid()), "uid") == []


# Findings, waagent.conf, state


def test_findings_in_events() -> None:
    events: list[str] = []
    book = Book(lambda _kind, message, **_fields: events.append(message))
    many = [Finding("agent-hung", "its time is over")] * 100
    for now in (0.0, QUIET):
        book.enter([Finding("agent-not-running", "paused"), *many], now)
    book.enter([], QUIET + 1)
    assert len(events) == 4 and events[1].endswith("; and more")
    assert all_known(events) == []


def test_news_of_waagent_conf() -> None:
    def facts(**changes: Any) -> ConfFacts:
        known = {name: None for name in ConfFacts.__dataclass_fields__}
        return ConfFacts(**{**known, "path": Path("/etc/waagent.conf"), "problem": "", "values": (), **changes})

    fine, bad = facts(), facts(problem="paused")
    other = facts(values=(("Logs.Verbose", "y"),))
    said = [confnews.tell(*pair)[0] for pair in ((None, fine), (bad, fine), (fine, fine), (fine, other), (fine, bad))]
    assert len(set(said)) == 5
    assert all_known(said, "(default) -> ", "(default)", "->") == []


def test_state_that_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = asides.Machine(tmp_path, monkeypatch)
    for tier, state, events in ((machine.run, b'{"version":2}', b'{"version":2}\n'), (machine.lib, b"{", b"\n")):
        (tier / "state.json").write_bytes(state)
        (tier / "events.jsonl").write_bytes(events)
    machine.loaded()
    machine.disk.finish()
    machine.store().load()
    (machine.lib / "state.json").mkdir()
    machine.store().load()
    (machine.lib / "state.json").write_bytes(b"{")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", asides._fail)
        patch.setattr("os.link", asides._fail)
        machine.store().load()
        (machine.lib / "events.jsonl").write_bytes(b"x\n")
        machine.loaded()
        machine.disk.finish()
    (machine.lib / "state.json").write_text('{"version":1,"sequence":1,"data":{"lease":[]}}')
    for link in (asides._fail, os.link):
        monkeypatch.setattr("os.link", link)
        Memory(machine.store(), "boot").load(1.0, 2.0, machine.said.append)
    machine.run.rename(machine.run.with_name("away"))
    machine.loaded()
    assert len(set(machine.said)) == 10
    assert all_known(machine.said, "(TypeError: a lease and its edit have to be objects)",
                     "a lease and its edit have to be objects", "JSONDecodeError", "TypeError", "No such file or directory") == []


# What is not driven here


def test_observers_that_fail(loop: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    eyes = Eyes(loop, Clock())
    assert isinstance(eyes.get("x"), Unknown) and left(eyes.get("x").why) == []
    eyes.look("late", lambda: time.sleep(0.3), deadline=0.05)
    loop.until(lambda: "late" in eyes.seen)
    track = Track(loop, lambda _process: None, lambda _process: None)
    monkeypatch.setattr(track, "_look", lambda _pid: _raise(5))
    track.look(1)
    seen: list[Any] = []

    class Nothing:
        def run(self, argv: Any, _timeout: float, done: Any) -> None:
            done(Finished(tuple(argv), 0, "", "", 0.1))

    Systemd(loop, Bus(loop, ""), Nothing(), lambda: 0.0, ["x.service"], 1.0).look(seen.append)  # type: ignore[arg-type]
    loop.until(lambda: seen)
    loop.until(lambda: eyes._workers["late"].busy_since is None)
    assert all_known([eyes.records["late"].error, track.problem, seen[0].why]) == []


def test_the_drop_in_without_systemd(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    texts: list[str] = []

    def refused(attempt: Callable[[], object]) -> None:
        with pytest.raises(dropin.Refused) as caught:
            attempt()
        texts.extend([str(caught.value), caught.value.hint])

    failed = programs.Ran(1, "", "", "")
    with monkeypatch.context() as patch:
        patch.setattr(programs, "run", lambda *_words: failed)
        refused(dropin.reload)
        refused(lambda: dropin.look(["x.service"]))
    monkeypatch.setattr(dropin, "_systemctl", lambda _argv: "")
    refused(lambda: dropin.look(["x.service"]))
    refused(lambda: dropin.look(["x.service", "y.service"]))
    (tmp_path / "x.service.d").mkdir()
    (tmp_path / "x.service.d" / dropin.NAME).write_text(dropin.TEXT)
    monkeypatch.setattr(Path, "unlink", lambda _path: _raise(13))
    refused(lambda: dropin.remove("x.service", tmp_path))
    assert len(set(texts)) == 9
    assert all_known(texts, "exit status 1") == []


def test_sockets_that_cannot_be_as_they_should(tmp_path: Path, loop: Turning, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    for group, error in (("no-such-group", None), ("root", 1)):
        with monkeypatch.context() as patch:
            if error is not None:
                patch.setattr("os.chown", lambda *_words: _raise(1))
            listener = Listener(loop, tmp_path / "socket", 0o600, group, Service("", "", "", "", []), said.append)
        listener.close()
    listener = Listener(loop, tmp_path / "socket", 0o600, None, Service("", "", "", "", []), said.append)
    listener._socket.close()
    listener._socket = Full()  # type: ignore[assignment]
    listener._accept(1)
    assert len(set(said)) == 3
    assert all_known(said, "no-such-group", "No file descriptors available", "Too many open files") == []


class Full:
    """A socket at which nobody can be let in."""

    def accept(self) -> None:
        _raise(24)

    def fileno(self) -> int:
        return 0


def test_the_snapshot_in_words(told: Told, loop: Turning) -> None:
    history = asides.History(told.guard.memory._store._run.parent, told.guard.memory._store._lib.parent, told.disk, 5)
    guard, said = told.guard, []

    def summary() -> None:
        said.append(compose(guard, history, 1.0, None)["verdict"]["summary"])

    guard.live = None
    summary()
    guard.live = told.live(AgentState.RESTING)
    summary()
    for state in (AgentState.RUNNING, AgentState.BUSY):
        guard.live = told.live(state)
        summary()
        guard.book.enter([Finding("agent-hung", "paused")], 1.0)
        summary()
        guard.book.enter([], 2.0)
    guard.memory.pause = term.of(None, guard.moment())
    summary()
    said.append(compose(guard, history, 1.0, None)["backup"]["says"])
    assert len(set(said)) == 8
    assert all_known(said) == []


def test_the_drop_in(tmp_path: Path) -> None:
    texts: list[str] = []
    for attempt in (lambda: dropin.path_of("no unit"), lambda: dropin.write("x.service", tmp_path / "missing")):
        with pytest.raises(dropin.Refused) as caught:
            attempt()
        texts += [str(caught.value), caught.value.hint] if caught.value.hint else [str(caught.value)]
    (tmp_path / "x.service.d").mkdir()
    (tmp_path / "x.service.d" / dropin.NAME).write_text("theirs")
    for also in (dropin.write, dropin.remove):
        with pytest.raises(dropin.Refused) as caught:
            also("x.service", tmp_path)
        texts += [str(caught.value), caught.value.hint]
    assert len(set(texts)) == 5
    assert all_known(texts, "'no unit'", "No such file or directory") == []


_TAKE_TEXTS = {"_event", "event", "refused", "Refused", "_warn", "warn", "Unknown", "answer", "_end", "want_restart", "TimedOut",
               "ask_restart", "append"}
_NAMED = {"holding", "reason", "hint", "message", "says", "summary", "problem"}


def unmarked(source: str) -> list[tuple[int, str]]:
    """Texts with a blank in them that are handed to somebody who tells them on, and were never marked."""
    found = []
    for node in ast.walk(ast.parse(source)):
        given: list[ast.expr] = []
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = [*(node.args if name in _TAKE_TEXTS else ()), *(word.value for word in node.keywords if word.arg in _NAMED)]
        elif isinstance(node, ast.Dict):
            given = [value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant) and key.value in _NAMED]
        elif isinstance(node, ast.Return) and node.value is not None:
            given = [node.value]
        while given:
            one = given.pop()
            if isinstance(one, ast.IfExp):
                given += [one.body, one.orelse]
            elif isinstance(one, (ast.BoolOp,)):
                given += one.values
            elif isinstance(one, ast.BinOp):
                given += [one.left, one.right]
            elif isinstance(one, ast.Constant) and isinstance(one.value, str) and " " in one.value.strip():
                found.append((node.lineno, one.value))
            elif isinstance(one, ast.JoinedStr):
                own = "".join(str(part.value) for part in one.values if isinstance(part, ast.Constant))
                if len(re.sub("[^a-zA-Z]", "", own)) > 3 and " " in own:
                    found.append((node.lineno, own))
    return found


_FINE = {
    "waguard/guard/events.py",  # the journal's catalogue, a file
}


@pytest.mark.parametrize("path", sorted(
    str(path.relative_to(TOP)) for room in ("guard", "decide", "act") for path in (TOP / "waguard" / room).glob("*.py")))
def test_no_text_is_told_that_was_not_marked(path: str) -> None:
    if path in _FINE:
        return
    # From there on main.py says, to the journal only, why it cannot start.
    assert unmarked((TOP / path).read_text("utf-8").partition("\ndef take_lock(")[0]) == []


def test_that_check_can_fail() -> None:
    source = 'self._event("kind", f"it is {x} then")\nanswer("", "no such thing")\nStep(s, holding="wait a bit")\n' \
             'd = {"message": "one two" if x else say("three four")}\nevent("kind", say("five six"))\n'
    assert [line for line, _ in unmarked(source)] == [1, 2, 3, 4]
