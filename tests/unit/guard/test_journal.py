"""waguard.guard.journal and what the guard's imports take in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waguard.guard import journal
from waguard.guard.events import KINDS, Event

ROOT = Path(__file__).resolve().parents[3]


def test_an_event_is_an_entry_with_its_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(journal, "_sendv", lambda *fields: sent.extend(fields))
    monkeypatch.setattr(os.path, "exists", lambda _path: True)
    journal.write(Event(7, 1000.0, "agent-started", "the agent\nhas started", {"actor": "systemd", "number": 3, "run": None}))
    journal.write(Event(8, 1000.0, "finding-raised", "x", {"severity": "critical"}))
    one, two = sent[:7], sent[7:]
    assert one == ["MESSAGE=the agent\nhas started", f"MESSAGE_ID={KINDS['agent-started'].message_id}", "PRIORITY=5",
                   "SYSLOG_IDENTIFIER=waguardd", "WAGUARD_EVENT=agent-started", "WAGUARD_ACTOR=systemd", "WAGUARD_NUMBER=3"]
    assert "PRIORITY=3" in two


@pytest.mark.parametrize(
    ("modules", "found"),
    [(("_daemon", "_journal"), "_daemon _journal"), (("daemon", "journal"), "daemon journal"), (("_daemon",), ""), ((), ""),
     (("_daemon", "_journal", "daemon", "journal"), "_daemon _journal")],
    ids=["parts", "whole", "half", "none", "all"],
)
def test_systemd_python_of_any_shape(tmp_path: Path, modules: tuple[str, ...], found: str) -> None:
    (tmp_path / "systemd").mkdir()
    (tmp_path / "systemd" / "__init__.py").touch()
    for name in modules:
        (tmp_path / "systemd" / f"{name}.py").write_text("def notify(words): return __name__\ndef sendv(*fields): return __name__\n")
    code = ("from waguard.guard import journal\n"
            "print(*(part().rpartition('.')[2] for part in (journal._sendv and (lambda: journal._notify('')), journal._sendv) if part))\n"
            "assert journal.AVAILABLE == (journal._sendv is not None)")
    assert python(code, PYTHONPATH=str(tmp_path)) == found


def test_the_guard_stays_light() -> None:
    heavy = {"inspect", "ast", "dis", "argparse", "asyncio", "logging", "shutil", "ssl", "uuid", "yaml"}
    assert python(f"import sys, waguard.guard.main; print(*sorted({heavy!r} & set(sys.modules)))") == ""


def test_inspect_is_there_for_who_wants_it() -> None:
    code = ("import waguard.guard.main, dataclasses\n"
            "@dataclasses.dataclass\n"
            "class Point:\n"
            "    x: int\n"
            "import inspect, sys\n"
            "print(Point.__doc__, inspect.signature(Point), dataclasses.inspect.signature is inspect.signature)\n"
            "assert sys.modules['inspect'].__file__")
    assert python(code) == "Point(x: int) (x: int) -> None True"


def python(code: str, **environment: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE,
                         text=True, check=True)
    return run.stdout.strip()
