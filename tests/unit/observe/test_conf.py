"""waagent.conf as a file among others: missing, empty, not text, huge, no file at all; and the values waguard lives by."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.observe import conf
from waguard.observe.files import Unusable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "waagent.conf"


class TestTheFile:
    def test_missing_is_a_fact(self, path: Path) -> None:
        facts = conf.read(path)
        assert facts.missing and not facts.valid and facts.problem == f"{path} is missing"
        assert (facts.verbose, facts.extensions_enabled, facts.period) == (False, True, 6.0), "the agent's defaults"

    def test_so_is_empty(self, path: Path) -> None:
        path.touch()
        facts = conf.read(path)
        assert facts.missing and not facts.valid and str(path) in facts.problem and "empty" in facts.problem

    def test_a_blank_line_will_do_for_the_agent(self, path: Path) -> None:
        path.write_text("\n")
        assert conf.read(path).valid

    def test_not_text_is_there_and_of_no_use(self, path: Path) -> None:
        path.write_bytes(b"Logs.Verbose=y\n\xff\xfe\n")
        facts = conf.read(path)
        assert not facts.valid and not facts.missing and "UTF-8" in facts.problem

    def test_anything_up_to_the_limit(self, path: Path) -> None:
        path.write_bytes(b"#" * (conf.LIMIT - 15) + b"\nLogs.Verbose=y")
        assert conf.read(path).verbose

    @pytest.mark.parametrize("kind", ["huge", "fifo", "directory", "loop"])
    def test_what_cannot_be_read_is_said(self, path: Path, kind: str) -> None:
        if kind == "huge":
            path.touch()
            os.truncate(path, conf.LIMIT + 1)
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        else:
            path.symlink_to(path.name)
        with pytest.raises(Unusable, match=path.name):
            conf.read(path)


class TestTheValues:
    @pytest.mark.parametrize(("text", "period"), [
        ("", 6.0), ("Extensions.GoalStatePeriod=10", 10.0), ("Extensions.GoalStatePeriod=0", 6.0), ("Extensions.GoalStatePeriod=-5", 1.0),
        ("Extensions.GoalStatePeriod=soon", 6.0), ("Extensions.Enabled=n", 300.0), ("Extensions.Enabled=n\nExtensions.GoalStatePeriod=10", 300.0),
        (f"Extensions.GoalStatePeriod={'9' * 4000}", 86400.0), ("Extensions.GoalStatePeriod=99999999", 86400.0)])
    def test_one_turn_of_the_loop(self, path: Path, text: str, period: float) -> None:
        path.write_text(f"{text}\n")
        assert conf.read(path).period == period

    def test_the_line_that_counts(self, path: Path) -> None:
        path.write_text("Logs.Verbose=n\n# Logs.Verbose=y\nLogs.Verbose=y # for now\n")
        facts = conf.read(path)
        assert (facts.verbose, facts.verbose_line) == (True, 3)

    def test_paths(self, path: Path) -> None:
        path.write_text("Lib.Dir=/shared/waagent\nPid.File=/tmp/agent.pid\n")
        facts = conf.read(path)
        assert (facts.lib_dir, facts.pid_file) == (Path("/shared/waagent"), Path("/tmp/agent.pid"))

    def test_paths_that_are_empty_are_the_default(self, path: Path) -> None:
        path.write_text("Lib.Dir=\nPid.File=None\n")
        facts = conf.read(path)
        assert (facts.lib_dir, facts.pid_file) == (Path("/var/lib/waagent"), Path("/var/run/waagent.pid"))

    def test_the_mark_changes_with_every_byte(self, path: Path) -> None:
        marks = set()
        for text in ("Logs.Verbose=y\n", "Logs.Verbose=n\n", "logs.Verbose=y\n", "Logs.Verbose=y", "", "\n"):
            path.write_text(text)
            marks.add(conf.read(path).mark)
        assert len(marks) == 6

    def test_what_is_kept_for_telling_changes_is_not_shown(self, path: Path) -> None:
        path.write_text("Logs.Verbose=y\nHttpProxy.Host=user:hunter2@proxy\nExtensions.Enabled=maybe\n")
        facts = conf.read(path)
        assert dict(facts.values) == {"Logs.Verbose": "y", "HttpProxy.Host": "user:hunter2@proxy"}
        assert "hunter2" not in repr(facts)


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.conf"
    path.write_bytes(data)
    assert conf.read(path).path == path


class TestWhichFile:
    def test_by_setting(self) -> None:
        assert conf.find("/srv/agent.conf", "/etc/other.conf") == Path("/srv/agent.conf")

    def test_by_the_daemons_own_word(self) -> None:
        assert conf.find("auto", "/etc/other.conf") == Path("/etc/other.conf")

    def test_by_where_one_is(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        places = (str(path.with_name("a")), str(path), str(path.with_name("c")))
        monkeypatch.setattr(conf.layout, "conf_places", lambda: places)
        assert conf.find("auto") == path.with_name("a"), "the usual place when there is none"
        path.touch()
        path.with_name("c").touch()
        assert conf.find("auto") == path
