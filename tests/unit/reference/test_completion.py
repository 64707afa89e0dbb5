"""The scripts for the shells hold what the parsers hold. What the shells make of them: tests/integration/test_completion.py."""

from __future__ import annotations

import argparse
import re

import pytest

from waguard.reference import bash, commands, completion, hints
from waguard.reference.commands import Command, Operand, Program, brief, exporter, programs, waguardctl, waguardd

FILES = completion.files()
COMPLETED = (waguardctl(), waguardd(), exporter())


def test_there_is_a_file_for_each_shell_under_the_name_it_looks_for() -> None:
    names = ("waguardctl", "waguardd", "waguard-exporter")
    assert set(FILES) == {file for name in names for file in (f"bash/{name}", f"zsh/_{name}", f"fish/{name}.fish")}


@pytest.mark.parametrize("program", COMPLETED, ids=lambda program: program.name)
@pytest.mark.parametrize("place", ["bash/{}", "zsh/_{}", "fish/{}.fish"])
def test_every_verb_flag_and_choice_is_in_it(program: Program, place: str) -> None:
    text = FILES[place.format(program.name)]
    words = set(re.findall(r"[\w.:/-]+", text.replace("\\:", ":")))
    for command in (program.command, *program.verbs):
        for option in command.options:
            for flag in option.flags:
                assert flag in words or f"-l {flag[2:]} " in text or f"-s {flag[1:]} " in text
        for one in (*command.operands, *command.options):
            assert {word for word, _ in hints.hint(one).words} <= words | {f"{word}:" for word in words} | \
                {word.partition(":")[0] for word in words}
    assert {verb.name for verb in program.verbs} <= words | {word.partition(":")[0] for word in words}


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.name)
def test_something_is_known_of_every_word_for_a_value(program: Program) -> None:
    """A new word in a parser belongs into hints.OF_VALUE, and be it to say that nothing can be offered."""
    wanted = [one for command in (program.command, *program.verbs) for one in (*command.operands, *command.options)]
    unknown = {one.value for one in wanted if one.value and not one.choices and one.value not in (*hints.OF_VALUE, "FINDING")
               and hints.hint(one) == hints.NOTHING}
    assert unknown == set()


@pytest.mark.parametrize("word", ["a b", "$(id)", "`id`", "it's", "*", "", "a;b", "[x]", "~", "é"])
def test_a_word_that_bash_would_not_take_as_one_is_refused(word: str) -> None:
    program = Program(Command("x", "x", operands=(Operand("WORD", "w", choices=(word,)),)))
    with pytest.raises(ValueError, match="cannot stand in a list of words"):
        bash.script(program)


@pytest.mark.parametrize(("text", "shown"), [
    ("length of the lease, such as 30m or 2h (default: 2h)", "length of the lease"),
    ("leave the agent alone; it reads the change at its next start", "leave the agent alone"),
    ("where to listen: host:port, :port or [IPv6]:port; may be repeated", "where to listen"),
    ("maintenance: watch and report, but start and restart nothing", "maintenance: watch and report, but start and restart nothing"),
    ("the result as JSON: {\"schema\": 1}", "the result as JSON"), ("read it. Then write it.", "read it"),
    ("word " * 30, ("word " * 18).strip() + " ..."),
])
def test_a_list_in_a_shell_has_room_for_so_much(text: str, shown: str) -> None:
    assert brief(text) == shown
    assert len(brief(text)) <= 94


class TestParsersAreRead:
    VERBOSE = next(verb for verb in waguardctl().verbs if verb.name == "verbose")

    def test_rivals(self) -> None:
        options = {option.name: option for option in self.VERBOSE.options}
        assert self.VERBOSE.rivals(options["--for"]) == ("--forever",)
        assert self.VERBOSE.rivals(options["--forever"]) == ("--for",)
        assert self.VERBOSE.rivals(options["--json"]) == ()

    def test_common_options_are_those_of_every_verb(self) -> None:
        assert [option.name for option in waguardctl().common] == ["--help", "--json", "--run-dir"]
        assert waguardd().common == ()

    def test_defaults_are_filled_in_and_not_those_of_who_builds(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WAGUARD_RUN_DIR", "/home/me/run")
        run_dir = next(option for option in waguardctl().common if option.name == "--run-dir")
        assert run_dir.help == "where the guard's sockets are (default: /run/waguard)"

    def test_kinds_of_options(self) -> None:
        options = {option.name: option for option in exporter().command.options}
        assert options["--web.listen-address"].repeated and not options["--log.level"].repeated
        assert options["--log.level"].choices == ("debug", "info", "warn", "error")
        assert [option.ends for option in options.values()].count(True) == 2
        metrics = next(verb for verb in waguardctl().verbs if verb.name == "metrics")
        textfile = next(option for option in metrics.options if option.name == "--textfile")
        assert (textfile.optional_value, textfile.value) == (True, "DIR|FILE")

    def test_the_long_flag_is_the_name_whatever_comes_first(self) -> None:
        parser = argparse.ArgumentParser(add_help=False)
        parser.add_argument("--last", "-n", help="x")
        (option,) = commands._options(parser, parser._actions)
        assert (option.flags, option.name) == (("-n", "--last"), "--last")
