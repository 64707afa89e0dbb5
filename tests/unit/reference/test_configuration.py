"""docs/configuration.md says what settings.py says, and what the guard does with it."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

import pytest

from waguard import durations, settings
from waguard.ctl import main
from waguard.guard.main import Daemon
from waguard.reference import configuration
from waguard.reference.configuration import AT_START, UNITS, VISITED, Taken

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {one.name: one for section in configuration.sections() for one in section.settings}
RULES = {name: rules for name, _, _, rules in settings.Settings().items()}


def test_every_setting_is_in_it_once() -> None:
    assert list(SETTINGS) == list(RULES)
    lines = configuration.markdown().splitlines()
    for section in configuration.sections():
        start = lines.index(f"## {section.name}")
        rows = lines[start + 6:start + 6 + len(section.settings)]
        assert lines[start + 2] == section.about
        assert [row.split(" | ")[:4] for row in rows] == [
            [f"| `{one.name.partition('.')[2]}`", one.kind, f"`{one.default}`", one.limits] for one in section.settings]


def test_the_page_in_docs_is_the_one_that_is_made() -> None:
    assert (ROOT / "docs" / "configuration.md").read_text() == configuration.markdown(), \
        "python3 -m waguard.reference configuration > docs/configuration.md"


@pytest.mark.parametrize("name", SETTINGS)
def test_the_default_it_tells_is_one(name: str, tmp_path: Path) -> None:
    section, _, key = name.partition(".")
    (tmp_path / "waguard.yaml").write_text(f"{section}:\n  {key}: {SETTINGS[name].default}\n")
    loaded = {one: (value, origin) for one, value, origin, _ in settings.load(tmp_path).items()}
    default = {one: value for one, value, _, _ in settings.Settings().items()}[name]
    assert loaded[name] == (default, f"{tmp_path / 'waguard.yaml'}:2")


NUMBERS = [name for name, rules in RULES.items() if rules["kind"] in ("duration", "count")]


@pytest.mark.parametrize("name", NUMBERS)
def test_the_range_it_tells_is_the_one_that_is_kept(name: str) -> None:
    rules = RULES[name]
    low, _, high = SETTINGS[name].limits.partition(" to ")
    high, _, unit = high.partition(" ")
    if rules["kind"] == "duration":
        assert (durations.parse(low), durations.parse(high), unit) == (rules["low"], rules["high"], "")
    else:
        assert (int(low), int(high), unit) == (rules["low"], rules["high"], UNITS[name])


def test_units_are_those_of_whole_numbers() -> None:
    assert set(UNITS) == {name for name, rules in RULES.items() if rules["kind"] == "count"}


def test_kinds_are_all_explained() -> None:
    assert {one.kind for one in SETTINGS.values()} == set(configuration.KINDS)


class TestWhenAChangeCounts:
    def test_a_restart_is_needed_for_what_the_service_manager_is_made_with(self) -> None:
        source = inspect.getsource(Daemon._manager)
        found = {f"agent.{key}" for key in re.findall(r"\bagent\.(\w+)", source)}
        found |= {f"restart.{key}" for key in re.findall(r"loaded\.restart\.(\w+)", source)}
        assert found == AT_START

    def test_what_the_doctor_alone_reads_is_read_nowhere_in_the_guard(self) -> None:
        code = "\n".join(path.read_text() for path in (ROOT / "waguard" / "guard").glob("*.py"))
        for name in VISITED:
            word = name.partition(".")[2] or name
            owner = r"network" if "." in name else r"settings|loaded"
            assert not re.search(rf"\b(?:{owner})\.{word}\b", code), name

    def test_and_by_the_doctor_at_each_visit(self) -> None:
        from waguard.doctor import visit

        assert "settings.load(" in inspect.getsource(visit.visit)

    @pytest.mark.parametrize(("name", "taken"), [
        ("agent.unit", Taken.RESTART), ("agent.log", Taken.RELOAD), ("network.azure", Taken.RELOAD),
        ("network.imds", Taken.VISIT), ("resources.disk_free", Taken.VISIT), ("restart.backoff_cap", Taken.RELOAD),
    ])
    def test_each_is_told(self, name: str, taken: Taken) -> None:
        assert SETTINGS[name].taken is taken

    def test_every_name_in_the_tables_is_a_setting_or_a_section(self) -> None:
        sections = {item.name for item in fields(settings.Settings)}
        assert set(SETTINGS) >= AT_START
        assert set(VISITED) <= set(SETTINGS) | sections


class TestThePackagedFile:
    TEXT = (ROOT / "packaging" / "waguard.yaml").read_text()

    def test_sets_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "waguard.yaml").write_text(self.TEXT)
        assert settings.load(tmp_path).origins == {}

    def test_has_examples_that_are_settings_with_their_defaults(self, tmp_path: Path) -> None:
        code = re.findall(r"^# ((?:  )?\w+:(?: \S.*)?)$", self.TEXT, re.M)
        assert len(code) >= 4
        (tmp_path / "waguard.yaml").write_text("\n".join(code) + "\n")
        loaded = settings.load(tmp_path)
        assert loaded.origins
        for name, value, origin, _ in loaded.items():
            assert origin == "default" or value == {one: of for one, of, _, _ in settings.Settings().items()}[name]

    def test_names_commands_that_there_are(self) -> None:
        named = re.findall(r"^#   waguardctl (.*?)(?:    |$)", self.TEXT, re.M)
        assert len(named) >= 2
        for words in named:
            main.parser().parse_args(words.split())
