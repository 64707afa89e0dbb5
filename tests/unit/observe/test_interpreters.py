"""Which Python the extension would end up with: fake interpreters that answer, fail and hang, and the real one."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.observe import interpreters, programs
from waguard.observe.files import Unusable
from waguard.observe.interpreters import Interpreter, Interpreters

from .vmtree import AGENT, Extension, Proc, put

OLD_LIB = "import crypt\nfrom distutils.version import LooseVersion\n"
NEW_LIB = "try:\n    from crypt import crypt\nexcept ImportError:\n    pass\n"


def python(root: Path, name: str, version: str = "3.11.2", missing: tuple[str, ...] = (), directory: str = "usr/bin", body: Optional[str] = None) -> Path:
    """A program that answers as a Python of that version would, and counts how often it was asked."""
    answer = "\n".join((f"version {version}", *(f"missing {word}" for word in missing), "path /usr", "end"))
    text = body if body is not None else f"cat <<'X'\n{answer}\nX\n"
    return put(root / directory / name, f"#!/bin/sh\necho x >>{root}/asked-{name}\n{text}", mode=0o755)


def asked(root: Path, name: str) -> int:
    path = root / f"asked-{name}"
    return len(path.read_text().split()) if path.exists() else 0


@pytest.fixture
def vm(tmp_path: Path) -> Extension:
    one = Extension(tmp_path).state().report()
    put(one.path / "main/WaagentLib.py", OLD_LIB)
    put(one.path / "main/Utils/WAAgentUtil.py", "import importlib.util\n")
    return one


def look(root: Path, state: Any = None, agent: Any = AGENT, **more: Any) -> Interpreters:
    return interpreters.look(agent, state, root, root / "proc", **more)


class TestOrder:
    def test_the_next_one_is_tried_when_one_fails(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", "3.13.1", ("crypt", "distutils.version", "imp.load_source"))
        python(tmp_path, "python2.7", "2.7.18")
        found = look(tmp_path)
        assert [(one.path.rpartition("/")[2], one.missing) for one in found.tried] == [("python3", ("crypt", "distutils.version")), ("python2.7", ())]
        assert found.compatible is True and found.picked is not None and found.picked.version == "2.7.18"

    def test_of_two_places_usr_bin_comes_first(self, tmp_path: Path, vm: Extension) -> None:
        for directory in ("usr/local/bin", "usr/bin"):
            python(tmp_path, "python3.7", directory=directory)
        python(tmp_path, "python3.8", directory="usr/local/bin")
        assert [one.path.removeprefix(str(tmp_path)) if hasattr(str, "removeprefix") else one.path for one in look(tmp_path).tried] == [
            "/usr/local/bin/python3.8", "/usr/bin/python3.7"]

    def test_several_names_of_one_file_are_asked_once(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3.11", missing=("crypt",))
        for name in ("python3", "python"):
            (tmp_path / "usr/bin" / name).symlink_to("python3.11")
        assert len(look(tmp_path).tried) == 1 and asked(tmp_path, "python3.11") == 1

    def test_the_installed_handle_sh_has_the_last_word(self, tmp_path: Path, vm: Extension) -> None:
        put(vm.path / "main/handle.sh", 'pythonVersionList="python3.99 python3"\n')
        python(tmp_path, "python3.99")
        python(tmp_path, "python3.8")
        assert [one.path.rpartition("/")[2] for one in look(tmp_path).tried] == ["python3.99"]

    def test_then_python_of_the_search_path_and_that_of_the_agent(self, tmp_path: Path, vm: Extension) -> None:
        Proc(tmp_path).add(50, ["/opt/python/bin/python3", "-u", "/usr/sbin/waagent", "-daemon"])
        python(tmp_path, "python", directory="usr/local/sbin", missing=("crypt",))
        python(tmp_path, "python3", directory="opt/python/bin")
        found = look(tmp_path, agent=replace(AGENT, daemon_pid=50))
        assert [one.path[len(str(tmp_path)):] for one in found.tried] == ["/usr/local/sbin/python", "/opt/python/bin/python3"]
        assert found.compatible is True

    def test_a_daemon_that_is_no_python_is_left_alone(self, tmp_path: Path, vm: Extension) -> None:
        Proc(tmp_path).add(50, ["/usr/sbin/waagent", "-daemon"])
        assert look(tmp_path, agent=replace(AGENT, daemon_pid=50)).tried == ()


class TestVerdict:
    def test_no_python_at_all(self, tmp_path: Path, vm: Extension) -> None:
        assert look(tmp_path).compatible is False

    def test_only_what_this_version_needs_counts(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", "3.13.1", ("crypt", "distutils.version", "imp.load_source"))
        assert look(tmp_path).compatible is False
        put(vm.path / "main/WaagentLib.py", NEW_LIB)
        assert look(tmp_path).compatible is True and look(tmp_path).needs == ()

    def test_a_file_that_a_version_does_not_have_imports_nothing(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", "3.13.1", ("crypt", "distutils.version", "imp.load_source"))
        (vm.path / "main/WaagentLib.py").unlink()
        assert look(tmp_path).compatible is True and look(tmp_path).needs == ()

    def test_a_python_without_its_library(self, tmp_path: Path, vm: Extension) -> None:
        """Debian's python3-minimal."""
        put(vm.path / "main/WaagentLib.py", NEW_LIB)
        python(tmp_path, "python3", missing=("multiprocessing", "xml.dom.minidom"))
        assert look(tmp_path).tried[0].missing == ("multiprocessing", "xml.dom.minidom")

    @pytest.mark.parametrize("body, why", [("exit 3", "exit status 3"), ("echo hello", "does not answer like Python"), ("echo version 3.11; echo end; exit 1", "exit status 1"),
                                           ("kill -11 $$", "signal 11")])
    def test_one_that_does_not_run_is_no_use(self, tmp_path: Path, vm: Extension, body: str, why: str) -> None:
        python(tmp_path, "python3", body=body)
        (one,) = look(tmp_path).tried
        assert one.problem.startswith(why) and not one.usable and look(tmp_path).compatible is False

    def test_one_that_is_no_program(self, tmp_path: Path, vm: Extension) -> None:
        put(tmp_path / "usr/bin/python3", "", mode=0o644)
        assert "Permission denied" in look(tmp_path).tried[0].problem and look(tmp_path).compatible is False

    def test_one_that_hangs_may_do_all_the_same(self, tmp_path: Path, vm: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interpreters, "_DEADLINE", 0.2)
        python(tmp_path, "python3", body="exec sleep 60")
        assert look(tmp_path).compatible is None
        python(tmp_path, "python2.7")
        assert look(tmp_path).compatible is True

    def test_all_of_them_together_have_a_limit(self, tmp_path: Path, vm: Extension, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(interpreters, "_ALL", -1.0)
        python(tmp_path, "python3")
        assert look(tmp_path).tried[0].unsure and asked(tmp_path, "python3") == 0 and look(tmp_path).compatible is None

    def test_without_the_extension_nothing_is_asked(self, tmp_path: Path) -> None:
        python(tmp_path, "python3")
        Extension(tmp_path, "Microsoft.Azure.X")
        assert look(tmp_path) == Interpreters() and look(tmp_path).compatible is None and asked(tmp_path, "python3") == 0

    def test_without_a_library_directory_it_is_not_known(self, tmp_path: Path) -> None:
        with pytest.raises(Unusable):
            look(tmp_path)


class TestMemory:
    def state(self, root: Path) -> Any:
        return json.loads(json.dumps(dict(look(root).state)))

    def test_one_that_did_not_change_is_not_asked_again(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", missing=("crypt",))
        state = self.state(tmp_path)
        again = look(tmp_path, state)
        assert asked(tmp_path, "python3") == 1 and again.tried[0].missing == ("crypt",) and dict(again.state) == state

    def test_one_that_changed_is(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", missing=("crypt",))
        state = self.state(tmp_path)
        put(tmp_path / "usr/bin/python3", (tmp_path / "usr/bin/python3").read_text().replace("missing crypt\n", ""), 5)
        assert look(tmp_path, state).compatible is True

    def test_a_package_that_was_installed_since_is_seen(self, tmp_path: Path, vm: Extension) -> None:
        """setuptools brings a distutils along, and changes nothing of the interpreter."""
        packages = tmp_path / "dist-packages"
        packages.mkdir()
        program = python(tmp_path, "python3", body=f"echo version 3.12.3; [ -e {packages}/distutils ] || echo missing distutils.version; echo path {packages}; echo end")
        state = self.state(tmp_path)
        assert look(tmp_path, state).compatible is False and asked(tmp_path, "python3") == 1
        put(packages / "distutils", "")
        assert look(tmp_path, state).compatible is True and asked(tmp_path, program.name) == 2

    def test_a_failure_is_not_remembered(self, tmp_path: Path, vm: Extension) -> None:
        python(tmp_path, "python3", body="exit 1")
        assert self.state(tmp_path) == {}

    @pytest.mark.parametrize("junk", [[], {"stamp": 1}, None, {"missing": 5}, {"paths": []}, {"version": None}, {"paths": {"/": "x"}}])
    def test_a_state_of_another_shape_is_none(self, tmp_path: Path, vm: Extension, junk: Any) -> None:
        path = str(python(tmp_path, "python3"))
        state = self.state(tmp_path)
        state[path] = {**state[path], **junk} if isinstance(junk, dict) else junk
        assert look(tmp_path, state).compatible is True and asked(tmp_path, "python3") == 2


class TestTheRealOne:
    def ask(self) -> Any:
        return interpreters._ask(Path(sys.executable), [1, 2, 3], programs.run)

    def test_it_answers(self) -> None:
        told = self.ask()
        assert told["version"] == ".".join(str(number) for number in sys.version_info[:3]) and "problem" not in told
        assert [word for word in told["missing"] if word in interpreters.vmsnapshot.MODULES] == []
        assert any(os.path.isdir(path) for path in told["paths"])

    def test_what_newer_ones_lost_is_told(self) -> None:
        missing = self.ask()["missing"]
        assert ("crypt" in missing) is (sys.version_info >= (3, 13))
        assert ("imp.load_source" in missing) is (sys.version_info >= (3, 12))
        assert sys.version_info >= (3, 12) or "distutils.version" not in missing


def test_usable_is_neither_lacking_nor_broken() -> None:
    assert Interpreter("x").usable and not Interpreter("x", missing=("crypt",)).usable and not Interpreter("x", problem="y").usable
