"""Looks of a visit side by side: one that fails or hangs harms no other, and what is late is no fault of what was to be seen."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from waguard.agent.facts import AgentFacts
from waguard.doctor import looks
from waguard.doctor.looks import Look, Visit
from waguard.judge.case import Case
from waguard.judge.parts import conf
from waguard.observe import Known, Unknown, files
from waguard.settings import Settings

VISIT = Visit(Settings(), AgentFacts(), True, True, 1e9, 100.0)


@pytest.fixture
def over() -> Iterator[threading.Event]:
    """Lets go of what hangs."""
    event = threading.Event()
    yield event
    event.set()


def raising(error: Exception) -> Callable[[Visit], Any]:
    def do(_visit: Visit) -> Any:
        raise error
    return do


def test_one_that_fails_or_hangs_harms_no_other(over: threading.Event) -> None:
    told: list[str] = []
    found = looks.look((
        Look("hangs", "a dead mount", lambda _visit: over.wait(60)), Look("well", "what is well", lambda visit: visit.wall),
        Look("refused", "what is refused", raising(files.Unusable("/x: Permission denied"))),
        Look("gone", "what is gone", raising(FileNotFoundError(2, "No such file or directory", "/y"))),
        Look("broken", "a fault of ours", raising(KeyError("z")))), VISIT, 2.0, told.append)
    assert isinstance(found["well"], Known) and found["well"].value == 1e9 and found["well"].at > 0
    said = {name: seen.why for name, seen in found.items() if isinstance(seen, Unknown)}
    assert said == {"hangs": "no answer within 2 s", "refused": "/x: Permission denied", "gone": "/y: No such file or directory",
                    "broken": "KeyError: 'z'"}
    assert told == ["a dead mount"]  # the first that is waited for


def test_a_look_at_waagent_conf_that_is_late_is_no_finding(over: threading.Event) -> None:
    found = looks.look((Look("conf", "waagent.conf", lambda _visit: over.wait(60)),), VISIT, 0.05, lambda _title: None)
    part = conf.judge(Case(100.0, 1e9, True, True, Settings(), **found))
    assert (part.ok, part.findings, part.says) == (None, (), "no answer within 0.05 s")


def test_each_has_a_place_in_the_case() -> None:
    names = [one.name for one in (looks.CONF, *looks.LOOKS)]
    assert len(set(names)) == len(names) and set(names) <= set(Case.__dataclass_fields__)
