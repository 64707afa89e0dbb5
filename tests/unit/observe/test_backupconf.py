"""vmbackup.conf and the scripts of consistent applications, checked as the extension checks them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.observe import backupconf
from waguard.observe.backupconf import Options, Scripts

from .vmtree import put

HOST = "[pre_post]\ntimeoutInSeconds: 1800\nnumberOfPlugins: 1\npluginName0: ScriptRunner\npluginPath0: /etc/azure\n" \
       "pluginConfigPath0: /etc/azure/VMSnapshotScriptPluginConfig.json\n"


@pytest.fixture(autouse=True)
def _owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files of a test belong to whoever runs it."""
    monkeypatch.setattr(backupconf, "_ROOT", os.getuid())


class TestOptions:
    def test_without_a_file_the_extensions_defaults(self, tmp_path: Path) -> None:
        assert backupconf.options(tmp_path) == Options(60.0, 66.0)

    def test_all_that_matter(self, tmp_path: Path) -> None:
        put(tmp_path / backupconf.VMBACKUP, "[SnapshotThread]\nfsfreeze: True\ntimeout = 90\nSafeFreezeWaitInSeconds: 100\nMountsToSkip = /a, /b,\n"
            "SnapshotMethod: onlyHost\nWriteLog: False\nLoggingOff: 1\nonlyLocalFilesystems: True\n[Monitor]\nRun=yes\n")
        assert backupconf.options(tmp_path) == Options(90.0, 100.0, "onlyHost", False, True, True)

    @pytest.mark.parametrize("word, writes", [("True", True), ("true", False), ("1", False), ("", False)])
    def test_words_are_compared_as_the_extension_does(self, tmp_path: Path, word: str, writes: bool) -> None:
        put(tmp_path / backupconf.VMBACKUP, f"[SnapshotThread]\nWriteLog={word}\n")
        assert backupconf.options(tmp_path).write_log is writes

    @pytest.mark.parametrize("text, why", [("timeout=5\n", "MissingSectionHeaderError, line 1"), ("[SnapshotThread]\nkey=PASSWORD\nkey=2\n", "DuplicateOptionError, line 3"),
                                           ("\xff", "not UTF-8")])
    def test_a_broken_one_is_said_without_quoting_it_and_the_defaults_hold(self, tmp_path: Path, text: str, why: str) -> None:
        put(tmp_path / backupconf.VMBACKUP, text.encode("latin-1"))
        found = backupconf.options(tmp_path)
        assert why in found.problem and "PASSWORD" not in found.problem and (found.timeout, found.write_log) == (60.0, True)

    @pytest.mark.parametrize("value", ["soon", "-5", "9" * 30, "1e5", "%(x)s"])
    def test_a_number_that_is_none_is_the_default(self, tmp_path: Path, value: str) -> None:
        put(tmp_path / backupconf.VMBACKUP, f"[SnapshotThread]\ntimeout={value}\n")
        assert backupconf.options(tmp_path).timeout == 60.0

    def test_a_fifo(self, tmp_path: Path) -> None:
        (tmp_path / "etc/azure").mkdir(parents=True)
        os.mkfifo(tmp_path / backupconf.VMBACKUP)
        assert "not a regular file" in backupconf.options(tmp_path).problem

    @settings(deadline=None)
    @given(st.binary())
    def test_any_bytes(self, data: bytes) -> None:
        try:
            backupconf._ini(data)
        except ValueError as error:
            assert len(str(error)) < 150


class Scene:
    """An extension's folder and /etc/azure with working scripts; a test spoils one thing."""

    def __init__(self, root: Path) -> None:
        self.root, self.folder = root, root / "var/lib/waagent/X-1"
        put(self.folder / "main/VMSnapshotPluginHost.conf", HOST, mode=0o644)
        self.script("pre.sh")
        self.script("post.sh")
        self.json()

    def script(self, name: str, text: str = "#!/bin/sh\nexit 0\n", mode: int = 0o700) -> None:
        put(self.root / "opt" / name, text, mode=mode)

    def json(self, mode: int = 0o600, **more: Any) -> None:
        tree = {"pluginName": "ScriptRunner", "preScriptLocation": "/opt/pre.sh", "postScriptLocation": "/opt/post.sh", "timeoutInSeconds": 30,
                "continueBackupOnFailure": True, **more}
        put(self.root / backupconf.SCRIPTS, json.dumps({key: value for key, value in tree.items() if value is not None}), mode=mode)

    def check(self) -> Scripts:
        return backupconf.scripts(self.folder, self.root)

    def codes(self) -> list[int]:
        return [one.code for one in self.check().problems]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


class TestScripts:
    def test_all_as_it_should_be(self, scene: Scene) -> None:
        assert scene.check() == Scripts(wanted=True)

    def test_no_scripts_are_normal(self, scene: Scene) -> None:
        """Code 316, and whatever is wrong with the host's configuration then."""
        (scene.root / backupconf.SCRIPTS).unlink()
        assert scene.check() == Scripts()
        put(scene.folder / "main/VMSnapshotPluginHost.conf", "junk", mode=0o777)
        assert scene.check() == Scripts()
        assert backupconf.scripts(None, scene.root) == Scripts()

    @pytest.mark.parametrize("code, change", [
        (302, {"preScriptLocation": "/opt/nowhere.sh"}), (302, {"preScriptLocation": ""}), (302, {"preScriptLocation": "/opt"}),
        (303, {"postScriptLocation": "/opt/nowhere.sh"}), (304, {"timeoutInSeconds": "30"}), (304, {"timeoutInSeconds": True}),
        (305, {"preScriptLocation": None}), (305, {"postScriptLocation": None}), (305, {"postScriptLocation": 5}), (308, {"timeoutInSeconds": 0}),
        (317, {"mode": 0o640}), (317, {"mode": 0o604}), (317, {"mode": 0o700})])
    def test_the_scripts_configuration(self, scene: Scene, code: int, change: dict[str, Any]) -> None:
        scene.json(**change)
        assert scene.codes() == [code]

    @pytest.mark.parametrize("text", ["", "{", "[1]", "[" * 100000, "\xff"])
    def test_no_json(self, scene: Scene, text: str) -> None:
        put(scene.root / backupconf.SCRIPTS, text.encode("latin-1"), mode=0o600)
        assert scene.codes() == [305]

    @pytest.mark.parametrize("mode", [0o600, 0o400])
    def test_modes_that_will_do(self, scene: Scene, mode: int) -> None:
        scene.json(mode=mode)
        assert scene.codes() == []

    @pytest.mark.parametrize("name, mode, code", [("pre.sh", 0o750, 306), ("pre.sh", 0o701, 306), ("post.sh", 0o740, 307), ("post.sh", 0o600, None)])
    def test_the_scripts_modes(self, scene: Scene, name: str, mode: int, code: Optional[int]) -> None:
        scene.script(name, mode=mode)
        assert scene.codes() == ([code] if code else [])

    def test_others_files(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backupconf, "_ROOT", os.getuid() + 1)
        (problem,) = scene.check().problems
        assert problem.code == 314 and f"uid {os.getuid()}, mode 0644" in problem.text

    def test_each_file_has_to_be_roots(self, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(backupconf, "_ROOT", os.getuid() + 1)
        problem, _ = backupconf._script("/opt/pre.sh", "preScriptLocation", 302, 306, scene.root, False)
        assert problem is not None and (problem.code, f"uid {os.getuid()}" in problem.text) == (306, True)
        ((problem,), _) = backupconf._config(scene.root / backupconf.SCRIPTS, scene.root)
        assert (problem.code, f"uid {os.getuid()}" in problem.text) == (317, True)

    @pytest.mark.parametrize("first, wanted", [("#!/usr/bin/python3", "python3"), ("#!/usr/bin/env -S perl -w", "perl"), ("#!/bin/bash -e", ""), ("#!/usr/bin/env bash", ""),
                                               ("echo", ""), ("#!", ""), ("\0\0", "")])
    def test_a_script_is_run_with_sh_whatever_it_is_written_for(self, scene: Scene, first: str, wanted: str) -> None:
        scene.script("pre.sh", first + "\nx\n")
        found = scene.check().problems
        assert [wanted in one.text for one in found] == ([True] if wanted else [])

    @pytest.mark.parametrize("continues, fails", [(True, False), (False, True), (None, False)])
    def test_a_missing_script_fails_the_backup_if_that_is_wanted(self, scene: Scene, continues: Optional[bool], fails: bool) -> None:
        scene.json(preScriptLocation="/opt/nowhere.sh", continueBackupOnFailure=continues)
        assert [one.fails for one in scene.check().problems] == [fails]

    @pytest.mark.parametrize("code, text, mode", [(314, HOST, 0o646), (314, HOST, 0o664), (314, HOST, 0o655), (304, "junk", 0o644), (304, "[pre_post]\nnumberOfPlugins: 1\n", 0o644),
                                                  (304, "[pre_post]\nnumberOfPlugins: one\n", 0o644), (None, HOST, 0o640), (None, HOST, 0o600)])
    def test_the_hosts_configuration(self, scene: Scene, code: Optional[int], text: str, mode: int) -> None:
        put(scene.root / backupconf.PLUGIN_HOST, text, mode=mode)
        assert scene.codes() == ([code] if code else [])

    def test_the_hosts_configuration_in_neither_place(self, scene: Scene) -> None:
        (scene.folder / "main/VMSnapshotPluginHost.conf").unlink()
        assert scene.codes() == [313]

    def test_it_may_name_another_file(self, scene: Scene) -> None:
        put(scene.root / backupconf.PLUGIN_HOST, HOST.replace("VMSnapshotScriptPluginConfig", "mine"), mode=0o644)
        assert scene.check() == Scripts()
        put(scene.root / "etc/azure/mine.json", "{}", mode=0o600)
        assert scene.codes() == [305, 305]

    def test_what_cannot_be_read_is_not_known(self, scene: Scene) -> None:
        (scene.root / backupconf.SCRIPTS).unlink()
        (scene.root / backupconf.SCRIPTS).symlink_to(backupconf.SCRIPTS.rpartition("/")[2])
        found = scene.check()
        assert "symbolic links" in found.unknown and not found.problems

    def test_a_script_that_is_a_loop_is_not_known(self, scene: Scene) -> None:
        (scene.root / "opt/loop").symlink_to("loop")
        scene.json(preScriptLocation="/opt/loop")
        assert "symbolic links" in scene.check().unknown

    @settings(deadline=None, max_examples=40)
    @given(st.recursive(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("/opt/pre.sh")),
                        lambda inner: st.lists(inner, max_size=3)))
    def test_any_value_anywhere(self, tmp_path_factory: pytest.TempPathFactory, value: Any) -> None:
        root = tmp_path_factory.mktemp("any")
        scene = Scene(root)
        for key in ("preScriptLocation", "postScriptLocation", "timeoutInSeconds", "continueBackupOnFailure"):
            scene.json(**{key: value})
            assert all(one.text.isprintable() for one in scene.check().problems)
