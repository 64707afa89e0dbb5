"""Whatever the judge says is found again among the messages, where it is shown to a reader of another language.

The cases are those of the other tests here: their functions are called again, and what the judge makes meanwhile is kept. Then it
is shown in a language that puts a message's own letters between ⟦ ⟧ and its words between ⟨ ⟩. What stands outside of both, or is a
sentence within ⟨ ⟩, has been found by no message.
"""

from __future__ import annotations

import ast
import contextlib
import inspect
import itertools
import os
import re
import string
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from po.messages import TOP, messages
from waguard.i18n import Language
from waguard.judge.case import Part
from waguard.judge.catalogue import Finding
from waguard.judge.diagnosis import agent_part
from waguard.judge.liveness import Liveness
from waguard.judge.readiness import BEYOND, Readiness
from waguard.observe import backupconf

from . import test_alive, test_findings, test_not_running, test_readiness
from .parts import (
    test_backup_trees,
    test_clock,
    test_conf,
    test_extensions,
    test_filesystems,
    test_load,
    test_logs,
    test_network,
    test_snapshot,
    test_versions,
)
from .world import NOW

pytestmark = pytest.mark.once

MODULES: tuple[ModuleType, ...] = (
    test_alive, test_findings, test_not_running, test_readiness, test_backup_trees, test_clock, test_conf, test_extensions,
    test_filesystems, test_load, test_logs, test_network, test_snapshot, test_versions)
OURS = [path for path in (*(TOP / "waguard/judge").rglob("*.py"), *(TOP / "waguard/doctor").glob("*.py"))
        if path.name not in ("catalogue.py", "visit.py", "main.py")]
FOREIGN = (
    "systemctl is-enabled", "systemctl show",
    "Plugin installed but not enabled", "Plugin enabled", "Plugin disabled", "Non-zero exit code: 1", "Non-zero exit code: 3", "Permission denied",
    "Network is unreachable", "Input/output error", "restarted more than 3 times", "no disk",
    "Failed to FIFREEZE", "text of freeze-failed", "text of status-report-failed", "text of status-not-reported",
    # Of an observer, in so few words that it would not say.
    "preScriptLocation '/opt/pre.sh' is missing", "cannot be read", "no answer", "still busy", "it was late", "a package manager", "neither of both tells", "could not be told: no",
    "there is no apt-cache", "the file is not valid UTF-8", "there is no logrotate here", "is no JSON", "does not answer", "not a regular file",
    "larger than 1024 KiB", "took longer than 30 s", "process 7 of waguard still hangs in it")
"""Commands and names, and words that the cases hand in: of systems, of WALinuxAgent, of extensions, and made up ones."""
_SENTENCE = re.compile(r"[^\W\d_]{2,} +[^\W\d_]{2,}")


class Brackets:
    """A catalogue in which "{path} is missing" is "⟨{path}⟩⟦ is missing⟧"."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._catalog = {text: self._marked(text) for text in texts}

    def info(self) -> dict[str, str]:
        return {"language": "xx"}

    def gettext(self, text: str) -> str:
        return self._catalog.get(text, text)

    def ngettext(self, one: str, many: str, count: int) -> str:
        return self.gettext(one if count == 1 else many)

    @staticmethod
    def _marked(text: str) -> str:
        shown = ""
        for literal, name, _, _ in string.Formatter().parse(text):
            shown += f"⟦{literal}⟧" if literal else ""
            shown += "" if name is None else "{" + name + "}" if name.startswith("said") else "⟨{" + name + "}⟩"
        return shown


TEXTS = tuple(messages())
READER = Language(Brackets(TEXTS))


def left(text: str, reader: Language = READER) -> list[str]:
    """What of a text no message has found: pieces with two words in a row, and sentences that were taken for a word."""
    shown = reader.translated(text)
    assert re.sub("[⟦⟧⟨⟩]", "", shown) == text
    for words in FOREIGN:
        shown = shown.replace(words, "…")
    pieces = re.sub("⟦[^⟦⟧]*⟧", "⟧", shown)
    return [piece for piece in re.split("[⟧⟨⟩]", pieces) if _SENTENCE.search(piece)]


def calls(function: Callable[..., Any], folders: Iterator[Path]) -> Iterator[dict[str, Any]]:
    """The arguments of a test: each combination that its marks say, and what its fixtures would give."""
    rows = []
    for mark in getattr(function, "pytestmark", ()):
        names = re.split(", *", mark.args[0]) if isinstance(mark.args[0], str) else mark.args[0]
        rows.append([dict(zip(names, row if len(names) > 1 else (row,))) for row in mark.args[1]])
    wanted = inspect.signature(function).parameters
    for combination in itertools.product(*rows):
        given = {name: value for one in combination for name, value in one.items()}
        if "place" in wanted:
            given["place"] = next(folders) / "waagent.conf"
        if "machine" in wanted:
            given["machine"] = test_backup_trees.Machine(next(folders))
        yield given


def functions_of(module: ModuleType) -> Iterator[Callable[..., Any]]:
    for thing in vars(module).values():
        if inspect.isclass(thing) and thing.__name__.startswith("Test"):
            yield from (value for name, value in inspect.getmembers(thing(), inspect.ismethod) if name.startswith("test"))
        elif inspect.isfunction(thing) and thing.__name__.startswith("test") and thing.__module__ == module.__name__:
            yield thing


@contextlib.contextmanager
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """All that the judge makes meanwhile; not what a test makes itself."""
    made: list[Any] = []

    def keeping(kind: Any) -> None:
        begin = kind.__init__

        def init(self: Any, *arguments: Any, **named: Any) -> None:
            begin(self, *arguments, **named)
            if sys._getframe(1).f_globals["__name__"].startswith(("waguard.", "dataclasses")):
                made.append(self)

        patch.setattr(kind, "__init__", init)

    with monkeypatch.context() as patch:
        for kind in (Finding, Part, Readiness, Liveness):
            keeping(kind)
        yield made


def texts_of(made: Iterable[Any]) -> dict[str, None]:
    """Every text for a person in it, once."""
    found: list[str] = []
    for one in made:
        if isinstance(one, Finding):
            found.append(one.evidence)
        elif isinstance(one, Part):
            found += (one.title, one.says)
        elif isinstance(one, Readiness):
            found += (one.says, *one.unknowns)
        else:
            found += (one.why, one.busy, *one.gates, *one.walls, agent_part(one, NOW, ()).says)
    return dict.fromkeys(text for text in found if text)


def folders_in(top: Path) -> Iterator[Path]:
    for number in itertools.count():
        (top / str(number)).mkdir()
        yield top / str(number)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.__name__).rpartition(".")[2])
def test_all_that_the_judge_says_is_found(module: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backupconf, "_ROOT", os.getuid())
    folders = folders_in(tmp_path)
    with kept(monkeypatch) as made:
        for test in functions_of(module):
            for arguments in calls(test, folders):
                test(**arguments)
    texts = texts_of(made)
    assert len(texts) > 3
    assert {text: left(text) for text in texts if left(text)} == {}


def test_what_cannot_be_seen_from_inside_is_translated() -> None:
    assert [text for pair in BEYOND for text in pair if left(text)] == []


@pytest.mark.parametrize(("text", "found"), [
    ("not looked at", []), ("Network: not looked at", []), ("there is no moon", []), ("the moon is made of cheese", ["the moon is made of cheese"]),
    ("down: the moon is made of cheese", ["the moon is made of cheese"]),
    ("could not be told: the moon is made of cheese", ["the moon is made of cheese"]),
    ("the agent does not run; the moon is made of cheese", ["; the moon is made of cheese"]),
    ("the goal state agent is as old as the moon", ["as old as the moon"])])
def test_the_check_sees_what_is_not_marked(text: str, found: list[str]) -> None:
    assert left(text) == found


@pytest.mark.parametrize("lost", ["the status file has not been written for {age}, and {said_sign}, though the wire server answers",
                                  "no [HEARTBEAT] line for {age}", "hung: {said}"])
def test_the_check_sees_a_message_that_is_lost(lost: str) -> None:
    text = "hung: the status file has not been written for 15m, and no [HEARTBEAT] line for 1h5m, though the wire server answers"
    assert left(text) == []
    poorer = Language(Brackets(message for message in TEXTS if message != lost))
    assert left(text, poorer) or "⟦hung: ⟧" not in poorer.translated(text)


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.name))
def test_no_sentence_is_without_a_mark(path: Path) -> None:
    """Also of a text that no case makes."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    marked = {id(argument) for call in ast.walk(tree) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)
              and call.func.id in ("say", "message") for argument in call.args}
    said = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}  # Docstrings.
    bare = [one.value for one in ast.walk(tree) if isinstance(one, ast.Constant) and isinstance(one.value, str)
            and id(one) not in marked | said and _SENTENCE.search(one.value)]
    assert [text for text in bare if not text.startswith(FOREIGN)] == []
