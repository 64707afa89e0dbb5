"""waguard's settings: read from real directories; whatever is in there is used whole or refused with file, line and a hint."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from waguard import durations, settings
from waguard.settings import Settings, SettingsError


def load(directory: Path, text: str) -> Settings:
    (directory / "waguard.yaml").write_text(text, "utf-8")
    return settings.load(directory)


def problems(directory: Path, text: str) -> list[str]:
    """What is said of this text, each without the directory."""
    with pytest.raises(SettingsError) as caught:
        load(directory, text)
    assert str(caught.value) == "\n".join(map(str, caught.value.problems))
    return [str(problem).replace(f"{directory}/", "") for problem in caught.value.problems]


class TestDefaults:
    @pytest.mark.parametrize("text", ["", "\n\n", "# nothing here\n", "---\n", "restart:\n", "restart:\nagent:\n# all\n", "\ufeff"])
    def test_where_nothing_is_said(self, tmp_path: Path, text: str) -> None:
        assert load(tmp_path, text) == Settings()

    def test_where_there_is_no_file(self, tmp_path: Path) -> None:
        assert settings.load(tmp_path) == settings.load(tmp_path / "nowhere") == Settings()

    @pytest.mark.parametrize(("name", "value", "origin", "rules"), Settings().items(), ids=lambda value: value if isinstance(value, str) else "")
    def test_each_keeps_its_own_rules(self, name: str, value: Any, origin: str, rules: Any) -> None:
        assert origin == "default"
        assert rules["help"] and rules["help"][0].islower() and not rules["help"].endswith(".")
        if rules["kind"] in ("duration", "count"):
            assert rules["low"] <= value <= rules["high"]
        if rules["kind"] == "choice":
            assert value in rules["choices"]

    def test_pyyaml_is_not_loaded_for_a_file_that_says_nothing(self, tmp_path: Path) -> None:
        """It costs the guard 3 MB."""
        (tmp_path / "waguard.yaml").write_text("# restart:\n#   enabled: false\n\n")
        script = "import sys; from pathlib import Path; from waguard import settings; settings.load(Path(sys.argv[1])); print('yaml' in sys.modules)"
        ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, check=True,
                             env={**os.environ, "PYTHONPATH": str(Path(settings.__file__).parents[1])})
        assert ran.stdout == "False\n"


class TestValues:
    @pytest.mark.parametrize(("section", "line", "expected"), [
        ("restart", "enabled: false", False), ("restart", "enabled: True", True), ("restart", "enabled: no", False), ("restart", "enabled: on", True),
        ("restart", "live_per_hour: 7", 7), ("restart", "live_per_hour: '7'", 7), ("restart", "backoff_cap: 90", 90.0),
        ("restart", "backoff_cap: 1h30m", 5400.0), ("restart", "backoff_cap: '1h'", 3600.0), ("liveness", "check_interval: 200ms", 0.2),
        ("network", "azure: yes", "yes"), ("network", "azure: no", "no"), ("network", "azure: AUTO", "auto"), ("network", "azure: 'yes'", "yes"),
        ("agent", "unit: waagent.service", "waagent.service"), ("agent", "unit: 7", "7"), ("agent", "log: /var/log/ä b.log", "/var/log/ä b.log"),
        ("agent", "start_command: [rc-service, '{name}', start]", ("rc-service", "{name}", "start")),
        ("agent", "start_command: [a, 1, yes]", ("a", "1", "yes")),
        ("agent", "log: &a /x", "/x"),
    ])
    def test_as_people_write_them(self, tmp_path: Path, section: str, line: str, expected: Any) -> None:
        loaded = load(tmp_path, f"{section}:\n  {line}\n")
        key = line.partition(":")[0]
        assert getattr(getattr(loaded, section), key) == expected
        assert loaded.origins == {f"{section}.{key}": f"{tmp_path / 'waguard.yaml'}:2"}

    @pytest.mark.parametrize(("text", "said"), [
        ("restart: {enabled: 1}", "waguard.yaml:1: restart.enabled: '1' is neither true nor false"),
        ("restart: {enabled: 'true'}", "waguard.yaml:1: restart.enabled: 'true' is neither true nor false"),
        ("restart: {enabled: [true]}", "waguard.yaml:1: restart.enabled: has to be one value, not a list"),
        ("restart: {enabled: {a: b}}", "waguard.yaml:1: restart.enabled: has to be one value, not a mapping"),
        ("restart: {enabled: }", "waguard.yaml:1: restart.enabled: '' is neither true nor false"),
        ("restart: {live_per_hour: many}", "waguard.yaml:1: restart.live_per_hour: 'many' is not a whole number"),
        ("restart: {live_per_hour: 1.5}", "waguard.yaml:1: restart.live_per_hour: '1.5' is not a whole number"),
        ("restart: {live_per_hour: 101}", "waguard.yaml:1: restart.live_per_hour: 101 is out of range (0 to 100)"),
        ("restart: {live_per_hour: -1}", "waguard.yaml:1: restart.live_per_hour: -1 is out of range (0 to 100)"),
        ("restart: {backoff_cap: soon}", "waguard.yaml:1: restart.backoff_cap: 'soon' is not a duration (write 90s, 5m, 1h30m or 2d)"),
        ("restart: {backoff_cap: 2d}", "waguard.yaml:1: restart.backoff_cap: 2d is out of range (1s to 1d)"),
        ("restart: {backoff_cap: 999ms, backoff_first: 0s}", "waguard.yaml:1: restart.backoff_cap: 999ms is out of range (1s to 1d)"),
        ("restart: {backoff_cap: .inf}", "waguard.yaml:1: restart.backoff_cap: '.inf' is not a duration (write 90s, 5m, 1h30m or 2d)"),
        ("network: {azure: maybe}", "waguard.yaml:1: network.azure: 'maybe' is not one of auto, yes, no"),
        ("agent: {backend: systemdd}", "waguard.yaml:1: agent.backend: 'systemdd' is not one of auto, systemd, command (did you mean 'systemd'?)"),
        ("agent: {unit: ''}", "waguard.yaml:1: agent.unit: has to be text without control characters"),
        ('agent: {unit: "a\\nb"}', "waguard.yaml:1: agent.unit: has to be text without control characters"),
        ('agent: {unit: "a\\0b"}', "waguard.yaml:1: agent.unit: has to be text without control characters"),
        ("agent: {start_command: service waagent start}", "waguard.yaml:1: agent.start_command: has to be a list of words, such as [service, waagent, start]"),
        ("agent: {start_command: []}", "waguard.yaml:1: agent.start_command: has to be a list of words, such as [service, waagent, start]"),
        ("agent: {start_command: [a, [b]]}", "waguard.yaml:1: agent.start_command: has to be a list of words, such as [service, waagent, start]"),
    ])
    def test_as_they_must_not_be(self, tmp_path: Path, text: str, said: str) -> None:
        assert problems(tmp_path, text) == [said]

    @pytest.mark.parametrize("number", ["9" * 400, "9" * 5000])
    def test_numbers_without_end(self, tmp_path: Path, number: str) -> None:
        for key in ("live_per_hour", "backoff_cap"):
            said, = problems(tmp_path, f"restart: {{{key}: {number}}}")
            assert len(said) < 150


class TestNames:
    @pytest.mark.parametrize(("text", "said"), [
        ("restart: {backof_cap: 1m}", "waguard.yaml:1: unknown key 'restart.backof_cap' (did you mean 'backoff_cap'?)"),
        ("restart:\n  colour: blue", "waguard.yaml:2: unknown key 'restart.colour'"),
        ("# a\n\nrestrat: {}", "waguard.yaml:3: unknown section 'restrat' (did you mean 'restart'?)"),
        ("enabled: true", "waguard.yaml:1: unknown section 'enabled'"),
        ("backoff_cap: 10m", "waguard.yaml:1: unknown section 'backoff_cap'"),
        ("restart: true", "waguard.yaml:1: section 'restart' has to hold keys"),
        ("restart: [enabled]", "waguard.yaml:1: section 'restart' has to hold keys"),
        ("restart:\n  enabled: true\n  enabled: false", "waguard.yaml:3: 'restart.enabled' is set twice in this file"),
        ("restart: {enabled: true}\nrestart: {backoff_cap: 1m}", "waguard.yaml:2: section 'restart' is there twice in this file"),
        ("restart: {<<: {enabled: false}}", "waguard.yaml:1: unknown key 'restart.<<'"),
        ("? [restart]\n: {enabled: true}", "waguard.yaml:1: unknown section '(list)'"),
        ("restart:\n  ? {enabled: true}\n  : true", "waguard.yaml:2: unknown key 'restart.(mapping)'"),
        ("just text", "waguard.yaml:1: has to be sections with keys, such as 'restart:' and below it '  backoff_cap: 10m'"),
        ("- restart", "waguard.yaml:1: has to be sections with keys, such as 'restart:' and below it '  backoff_cap: 10m'"),
        ("\u0130" * 70 + ": {}", f"waguard.yaml:1: unknown section '{chr(0x130) * 60}'"),
    ])
    def test_are_told_with_the_nearest_match(self, tmp_path: Path, text: str, said: str) -> None:
        assert problems(tmp_path, text) == [said]

    def test_every_fault_is_told_at_once_and_nothing_is_half_applied(self, tmp_path: Path) -> None:
        text = "restart:\n  enabled: maybe\n  backoff_cap: 5m\n  backof: 1\nagents: {}\nnetwork: {azure: x}\n"
        assert [said.split(":")[1] for said in problems(tmp_path, text)] == ["2", "4", "5", "6"]


class TestNoYaml:
    @pytest.mark.parametrize(("text", "line"), [
        ("restart: [", 1), ("a: b: c", 1), ("restart:\n\tenabled: true", 2), ("{", 1), ("restart: {a: 1}\n---\nagent: {b: 2}\n", 2),
        ("restart: *nothing", 1), ("restart: &a {b: *a", 1), ("'", 1), ("restart: !!python/object:os.system [x", 1), ("%YAML 9\n---\n", 1)])
    def test_is_told_with_its_line(self, tmp_path: Path, text: str, line: int) -> None:
        said, = problems(tmp_path, text)
        assert "is not valid YAML: " in said and abs(int(said.split(":")[1]) - line) <= 1

    def test_control_characters(self, tmp_path: Path) -> None:
        said, = problems(tmp_path, "restart: \x00\x07\n")
        assert "is not valid YAML" in said

    def test_tags_make_no_objects(self, tmp_path: Path) -> None:
        said, = problems(tmp_path, "agent: {unit: !!python/object/apply:os.system ['true']}")
        assert "has to be one value, not a list" in said

    @pytest.mark.parametrize("data", [b"restart:\n  enabled: \xff\n", "restart: {}".encode("utf-16"), b"\n\n\x80"])
    def test_nor_utf_8(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "waguard.yaml").write_bytes(data)
        with pytest.raises(SettingsError, match="is not UTF-8 text") as caught:
            settings.load(tmp_path)
        assert caught.value.problems[0].line == data[:data.index(max(data))].count(b"\n") + 1

    @given(st.text(st.sampled_from("restart:enabled{}[]&*!#|>'\"%@- \n\t?,0a"), max_size=60) | st.text(max_size=40))
    @hypothesis_settings(max_examples=200, deadline=None)
    def test_no_text_is_too_odd(self, tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
        try:
            load(tmp_path_factory.getbasetemp(), text)
        except SettingsError:
            pass
        except UnicodeEncodeError:
            pass  # A lone surrogate is in no file.


HOSTILE = {
    "lists without end": "[" * 400_000,
    "mappings without end": "restart: " + "{a: " * 200_000,
    "blocks without end": "- " * 200_000,
    "aliases upon aliases as a key": "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + number)}: &{chr(98 + number)} [{','.join(['*' + chr(97 + number)] * 9)}]\n" for number in range(9)) + "? *j\n: 1\n",
    "aliases upon aliases as a value": "agent: {start_command: &a [x, &b [y, &c [*c, *c]]]}",
    "a key that holds itself": "? &k [*k]\n: v\n",
    "a value that holds itself": "restart: &k {enabled: *k}\n",
    "a port in other digits": "network: {wireserver: '1.2.3.4:²'}",
    "a port without end": f"network: {{wireserver: '1.2.3.4:{'9' * 5000}'}}",
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_a_problem_and_not_the_end_of_the_guard(tmp_path: Path, name: str) -> None:
    """In a process of its own, since some of them used to end it (SIGSEGV in PyYAML's C loader), and a running guard with it."""
    (tmp_path / "waguard.yaml").write_text(HOSTILE[name])
    script = ("import sys; from pathlib import Path; from waguard import settings\n"
              "try: settings.load(Path(sys.argv[1]))\n"
              "except settings.SettingsError as error: print(len(str(error)))")
    ran = subprocess.run([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60,
                         env={**os.environ, "PYTHONPATH": str(Path(settings.__file__).parents[1])})
    assert (ran.returncode, ran.stderr) == (0, "") and 0 < int(ran.stdout) < 2000


class TestFiles:
    @pytest.mark.parametrize("place", ["waguard.yaml", "conf.d/a.yaml"])
    @pytest.mark.parametrize("kind", ["fifo", "directory", "huge", "dangling", "loop", "device"])
    def test_what_is_no_file_is_told_and_does_not_block(self, tmp_path: Path, place: str, kind: str) -> None:
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        if kind == "fifo":
            os.mkfifo(path)
        elif kind == "directory":
            path.mkdir()
        elif kind == "huge":
            path.touch()
            os.truncate(path, settings.MAX_BYTES + 1)
        else:
            path.symlink_to({"dangling": "nowhere", "loop": path.name, "device": "/dev/zero"}[kind])
        with pytest.raises(SettingsError) as caught:
            settings.load(tmp_path)
        problem, = caught.value.problems
        assert str(problem).startswith(f"{path}:0: cannot be read: ")

    def test_later_ones_win_key_by_key(self, tmp_path: Path) -> None:
        directory = tmp_path / "conf.d"
        directory.mkdir()
        (directory / "20-b.yaml").write_text("restart:\n  backoff_cap: 20m\n")
        (directory / "10-a.yaml").write_text("restart:\n  backoff_cap: 10m\n  live_per_hour: 1\n")
        loaded = load(tmp_path, "restart:\n  backoff_cap: 5m\n  live_per_day: 2\n")
        assert (loaded.restart.backoff_cap, loaded.restart.live_per_hour, loaded.restart.live_per_day) == (1200.0, 1, 2)
        assert {name: Path(origin).name for name, origin in loaded.origins.items()} == {
            "restart.backoff_cap": "20-b.yaml:2", "restart.live_per_hour": "10-a.yaml:3", "restart.live_per_day": "waguard.yaml:3"}

    @pytest.mark.parametrize("name", ["a.yml", "a.yaml~", ".a.yaml", "a.yaml.dpkg-old", "README"])
    def test_other_names_are_passed_over(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / name).write_text("nonsense")
        assert settings.load(tmp_path) == Settings()

    def test_a_link_to_a_file_is_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_text("restart: {enabled: false}")
        (tmp_path / "waguard.yaml").symlink_to("elsewhere")
        assert not settings.load(tmp_path).restart.enabled

    @pytest.mark.parametrize("kind", ["file", "loop"])
    def test_a_directory_that_is_none(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "conf.d"
        path.touch() if kind == "file" else path.symlink_to("conf.d")
        with pytest.raises(SettingsError, match="cannot be read"):
            settings.load(tmp_path)

    def test_problems_of_all_files_are_told(self, tmp_path: Path) -> None:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "a.yaml").write_text("x: {}")
        assert problems(tmp_path, "y: {}") == ["waguard.yaml:1: unknown section 'y'", "conf.d/a.yaml:1: unknown section 'x'"]


class TestTogether:
    @pytest.mark.parametrize(("text", "said"), [
        ("restart: {backoff_first: 20m}", "waguard.yaml:1: restart.backoff_first: is longer than restart.backoff_cap"),
        ("restart:\n  backoff_cap: 2s", "waguard.yaml:2: restart.backoff_first: is longer than restart.backoff_cap"),
        ("verbose: {default_lease: 8d}", "waguard.yaml:1: verbose.default_lease: is longer than verbose.longest_lease"),
        ("verbose:\n  longest_lease: 1h", "waguard.yaml:2: verbose.default_lease: is longer than verbose.longest_lease"),
        ("network: {wireserver: 168.63.129.16}", "waguard.yaml:1: network.wireserver: has to be ADDRESS:PORT"),
        ("network: {wireserver: '1.2.3.4:0'}", "waguard.yaml:1: network.wireserver: has to be ADDRESS:PORT"),
        ("network: {wireserver: '1.2.3.4:65536'}", "waguard.yaml:1: network.wireserver: has to be ADDRESS:PORT"),
        ("network: {wireserver: ':80'}", "waguard.yaml:1: network.wireserver: has to be ADDRESS:PORT"),
        ("network: {probe_interval: 59s}",
         "waguard.yaml:1: network.probe_interval: may be below 1m only for a wire server on loopback (Azure throttles)"),
    ])
    def test_what_does_not_fit_is_told_where_it_was_set(self, tmp_path: Path, text: str, said: str) -> None:
        assert problems(tmp_path, text) == [said]

    def test_on_loopback_probes_may_be_as_many_as_one_likes(self, tmp_path: Path) -> None:
        assert load(tmp_path, "network: {wireserver: '127.0.0.1:8080', probe_interval: 1s}").network.probe_interval == 1.0

    def test_a_rule_is_checked_over_all_files(self, tmp_path: Path) -> None:
        (tmp_path / "conf.d").mkdir()
        (tmp_path / "conf.d" / "a.yaml").write_text("restart: {backoff_cap: 1h}")
        assert load(tmp_path, "restart: {backoff_first: 20m}").restart.backoff_cap == 3600.0


def _values(rules: Any) -> st.SearchStrategy[Any]:
    """Values that a setting may have."""
    kind = rules["kind"]
    if kind == "duration":
        whole = st.integers(int(rules["low"]) + 1, int(rules["high"])).map(float)
        return whole | st.integers(int(rules["low"] * 1000), int(rules["high"] * 1000)).map(lambda number: number / 1000)
    words = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), min_size=1, max_size=20).filter(str.strip)
    return {"count": lambda: st.integers(rules["low"], rules["high"]), "switch": st.booleans, "text": lambda: words,
            "choice": lambda: st.sampled_from(rules["choices"]),
            "argv": lambda: st.lists(words, min_size=1, max_size=4).map(tuple)}[kind]()


@pytest.mark.parametrize("section", [name for name, _ in Settings().sections()])
@given(data=st.data())
@hypothesis_settings(max_examples=30, deadline=None)
def test_what_is_shown_can_be_loaded_again(tmp_path_factory: pytest.TempPathFactory, section: str, data: st.DataObject) -> None:
    directory = tmp_path_factory.getbasetemp() / f"shown-{section}"
    directory.mkdir(exist_ok=True)
    part = getattr(Settings(), section)
    changed = {item.name: data.draw(_values(item.metadata), item.name) for item in fields(part)}
    changed.pop("wireserver", None)
    for smaller, larger in (("backoff_first", "backoff_cap"), ("default_lease", "longest_lease")):
        if larger in changed:
            changed[smaller] = min(changed[smaller], changed[larger])
    if "probe_interval" in changed:
        changed["probe_interval"] = max(60.0, changed["probe_interval"])
    part = replace(part, **changed)
    shown = {item.name: settings.show_value(getattr(part, item.name), item.metadata) for item in fields(part)}
    text = yaml.safe_dump({section: shown}, allow_unicode=True)
    assert getattr(load(directory, text), section) == part


def test_a_long_duration_is_shown_whole() -> None:
    rules = {"kind": "duration"}
    assert settings.show_value(93784.0, rules) == "1d2h3m4s" != durations.show(93784.0)
    assert settings.show_value(123456.5, rules) == "123456.5s"
