"""waguardd --end-lease: a lease ends with the package that gave it, whatever has become of the guard."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from waguard import i18n
from waguard.act import confwrite
from waguard.agent import confedit
from waguard.decide import lease as leases
from waguard.decide import term
from waguard.decide.lease import Lease, Phase
from waguard.decide.term import Moment
from waguard.guard.main import main, take_lock
from waguard.guard.memory import Memory
from waguard.guard.store import Store
from waguard.observe import freeze

from .conftest import Disk

CONF = b"# a comment\nLib.Dir=/var/lib/waagent\nLogs.Verbose=n\nOS.EnableFIPS=n\n"


class Home:
    """A machine whose guard has given a lease and does not run any more. ``end``: what is asked for; (exit status, what it said)."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.conf, self.run, self.lib = root / "waagent.conf", root / "run", root / "lib"
        self._capsys = capsys
        self.lib.mkdir()
        self.run.mkdir()
        self.conf.write_bytes(CONF)

    def lease(self, phase: Phase = Phase.ACTIVE, edited: bool = True) -> None:
        edit = confedit.set_value(CONF, leases.KEY, leases.VALUE)
        if edited:
            self.conf.write_bytes(edit.data)
        disk = Disk()
        memory = Memory(Store("state", self.run, self.lib, disk, print), "boot-1")
        memory.lease = Lease(str(self.conf), edit, phase, 1763550000.0, term.of(None, Moment(1000.0, 1763550000.0, "boot-1")), True, "root")
        memory.count("conf_changes")
        memory.save(1000.0, 1763550000.0)
        disk.finish()

    def end(self) -> tuple[int, str]:
        code = main(["--end-lease", "--run-dir", str(self.run), "--lib-dir", str(self.lib), "--settings-dir", str(self.lib / "none")])
        return code, self._capsys.readouterr().err

    def remembered(self, directory: Path) -> Any:
        return json.loads((directory / "state.json").read_text())["data"]


@pytest.fixture
def home(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setattr(i18n, "_language", i18n._language)  # put back at the end
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return Home(tmp_path, capsys)


@pytest.mark.parametrize("edited", [True, False])
@pytest.mark.parametrize("phase", list(Phase))
def test_the_line_is_as_it_was_however_far_the_guard_had_come(home: Home, phase: Phase, edited: bool) -> None:
    home.lease(phase, edited)
    code, said = home.end()
    assert code == 0 and home.conf.read_bytes() == CONF
    superseded = phase is Phase.ACTIVE and not edited
    assert said == (f"waguardd: {home.conf}: Logs.Verbose was edited by somebody else during the lease; it is left as it is\n" if superseded else
                    "waguardd: verbose logging is off; the line is as it was\n"
                    "waguardd: an agent that runs reads this at its next start\n")
    for directory in (home.run, home.lib):
        told = home.remembered(directory)
        assert told["lease"] is None and told["counters"]["conf_changes"] == 1
    assert home.end() == (0, "")


def test_it_is_said_in_the_readers_language(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "es_ES.UTF-8")
    home.lease()
    assert home.end()[1].splitlines()[0] == "waguardd: el registro detallado está desactivado; la línea está como antes"


def test_after_a_reboot_too(home: Home) -> None:
    home.lease()
    (home.run / "state.json").unlink()
    home.run.rmdir()
    assert home.end()[0] == 0 and home.conf.read_bytes() == CONF


def test_where_there_is_nothing_to_end_nothing_is_done(home: Home) -> None:
    home.run.rmdir()
    assert home.end() == (0, "")
    assert not home.run.exists() and list(home.lib.iterdir()) == []


def test_what_somebody_else_has_set_meanwhile_is_his(home: Home) -> None:
    home.lease()
    home.conf.write_bytes(CONF.replace(b"Verbose=n", b"Verbose=yes"))
    code, said = home.end()
    assert code == 0 and "edited by somebody else" in said and b"Verbose=yes" in home.conf.read_bytes()
    home.lease()
    home.conf.unlink()
    assert "is gone" in home.end()[1]


def test_beside_a_guard_that_runs_nothing_is_done(home: Home) -> None:
    home.lease()
    before = home.conf.read_bytes()
    assert isinstance(take_lock(home.run), int)
    code, said = home.end()
    assert code == 1 and "another waguardd" in said and "waguardctl verbose off" in said
    assert home.conf.read_bytes() == before and home.remembered(home.run)["lease"]


@pytest.mark.parametrize("why", ["freeze", "immutable"])
def test_what_could_not_be_done_is_said_and_not_forgotten(home: Home, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    home.lease()

    def fail(*_: object) -> None:
        raise confwrite.Refused("no")

    with monkeypatch.context() as patch:
        if why == "freeze":
            patch.setattr(freeze, "freezing", lambda: True)
        else:
            patch.setattr(confwrite, "replace", fail)
        code, said = home.end()
    assert code == 1 and f"may be left in {home.conf}: " in said
    assert home.remembered(home.run)["lease"] and home.remembered(home.lib)["lease"]
    assert home.end()[0] == 0 and home.conf.read_bytes() == CONF


def test_a_state_that_cannot_be_written_keeps_no_line_in_the_conf(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.lease()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("waguard.guard.store.replace_file", full)
    assert home.end()[0] == 0 and home.conf.read_bytes() == CONF
