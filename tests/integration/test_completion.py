"""Completion in the real shells. None of them can start a program meanwhile: PATH leads nowhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from shells import SHELLS, Bash, Fish, Shell, Zsh, needed

from waguard.agent.vmsnapshot import CODES
from waguard.ctl.main import VERBS
from waguard.judge.catalogue import CATALOGUE
from waguard.reference import bash, completion, fish, zsh
from waguard.reference.commands import Command, Operand, Option, Program, brief

TIMES = "30m 1h 2h 8h 1d 7d"
ON_VERBOSE = "--for --forever --no-restart --json --run-dir --help -h"


def lay_out(directory: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
    return directory


def home_at(path: Path) -> Path:
    """Where the shells are, with files and directories of its own."""
    for directory in ("waagent", "run"):
        (path / directory).mkdir(parents=True)
    for file in ("waagent.conf", "waagent log.txt", "rope"):
        (path / file).touch()
    return path


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return lay_out(tmp_path_factory.mktemp("completion"), completion.files())


@pytest.fixture(scope="module", params=sorted(SHELLS))
def shell(request: pytest.FixtureRequest, directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    found = SHELLS[request.param](directory, home_at(tmp_path_factory.mktemp("home") / "home"))
    yield found
    found.close()


@pytest.mark.parametrize(("line", "words"), [
    ("waguardctl ", " ".join(VERBS)), ("waguardctl ver", "verbose versions"), ("waguardctl nonsense ", ""),
    ("waguardctl --ver", "--version"), ("waguardctl verbose ", "on off status"), ("waguardctl verbose o", "on off"),
    ("waguardctl verbose of", "off"), ("waguardctl verbose --for 2h ", "on off status"),
    ("waguardctl verbose --no-restart o", "on off"), ("waguardctl verbose on --for ", TIMES),
    ("waguardctl verbose on --for=", TIMES), ("waguardctl verbose on --for=3", "30m"), ("waguardctl pause --for 1", "1h 1d"),
    ("waguardctl verbose on --for 2h --forev", ""),
    ("waguardctl verbose on -- -", ""), ("waguardctl autorestart ", "status enable disable"), ("waguardctl config ", "show check"),
    ("waguardctl explain snapshot-", "snapshot-failed snapshot-no-result snapshot-stuck"),
    ("waguardctl explain ", " ".join(CATALOGUE)), ("waguardctl explain --code ", " ".join(map(str, CODES))),
    ("waguardctl explain --code 12", "12 121 122 123 124"), ("waguardctl events -n 5 --fo", "--follow"),
    ("waguardctl events --last ", "10 50 200"), ("waguardctl events -n ", "10 50 200"), ("waguardctl restart --t", "--timeout"),
    ("waguardctl metrics --textfile --js", "--json"), ("waguardctl status --run-dir run --js", "--json"),
    ("waguardd --", "--help --settings-dir --run-dir --lib-dir --end-lease --version"), ("waguardd --se", "--settings-dir"),
    ("waguard-exporter --log.level ", "debug info warn error"), ("waguard-exporter --log.format=j", "json"),
    ("waguard-exporter --web.listen-address=127.0.0.1:", "127.0.0.1:10168"),
    ("waguard-exporter --web.listen-address :10168 --web.li", "--web.listen-address"),
    ("waguard-exporter --web.telemetry-path ", "/metrics"), ("waguard-exporter --web.max-requests ", ""),
])
def test_words_are_offered(shell: Shell, line: str, words: str) -> None:
    assert sorted(shell.offers(line)) == sorted(words.split())


def test_what_was_said_is_not_offered_again(shell: Shell) -> None:
    wanted = ["--forever"] if isinstance(shell, Fish) else []  # fish counts with no command
    assert shell.offers("waguardctl verbose on --forever --fo") == wanted
    assert shell.offers("waguardctl events -f --fo") == (["--follow"] if isinstance(shell, Fish) else [])


@pytest.mark.parametrize(("line", "words"), [
    ("waguardctl lint wa", ["waagent", "waagent.conf", "waagent log.txt"]),
    ("waguardctl metrics --textfile wa", ["waagent", "waagent.conf", "waagent log.txt"]),
    ("waguard-exporter --web.config.file waagent.", ["waagent.conf"]), ("waguard-exporter --web.config.file=waagent.", ["waagent.conf"]),
    ("waguardctl status --run-dir r", ["run"]), ("waguardctl config check --settings-dir=r", ["run"]), ("waguardd --lib-dir r", ["run"]),
    ("waguardctl status wa", []), ("waguardctl verbose on wa", []),
])
def test_files_and_directories_are_offered_where_one_is_wanted(shell: Shell, line: str, words: list[str]) -> None:
    assert sorted(word.rstrip("/") for word in shell.offers(line)) == sorted(words)


@pytest.mark.parametrize("line", ["waguardctl verbose on ", "waguardctl verbose on -"])
def test_options_are_offered_when_nothing_else_can_come(shell: Shell, line: str) -> None:
    if isinstance(shell, Fish) and not line.endswith("-"):
        assert shell.offers(line) == []  # as fish does with every command
    else:
        assert sorted(shell.offers(line)) == sorted(ON_VERBOSE.split())


def test_fish_says_what_words_are_about(directory: Path, tmp_path: Path) -> None:
    told = dict(Fish(directory, tmp_path).told("waguardctl explain "))
    assert told == {entry.id: entry.summary for entry in CATALOGUE.values()}


def test_bash_loads_it_by_the_name_of_the_command_and_behind_sudo(directory: Path, tmp_path: Path) -> None:
    needed("bash")
    if not Path("/usr/share/bash-completion/bash_completion").exists():
        needed("bash-completion")
    shutil.copytree(directory / "bash", tmp_path / "share" / "bash-completion" / "completions")
    shell = Bash(directory, tmp_path, f"XDG_DATA_HOME={tmp_path}/share\n. /usr/share/bash-completion/bash_completion")
    try:
        assert shell.complete("waguardctl verbose ") == "waguardctl verbose on off status "
        assert shell.complete("sudo waguardctl verbose o") == "sudo waguardctl verbose on off "
        assert shell.complete("waguard-exporter --log.format j") == "waguard-exporter --log.format json "
    finally:
        shell.close()


@pytest.mark.parametrize(("breaks", "line", "wanted"), [
    (r"$' \t\n\"\'><;|&(:'", "waguardctl verbose on --for=3", "--for=30m "), (r"$' \t\n'", "waguardctl verbose on --for=3", "--for=30m "),
    (r"$' \t\n'", "waguard-exporter --web.listen-address=127", "--web.listen-address=127.0.0.1:10168 "),
    (r"$' \t\n:='", "waguard-exporter --web.listen-address=127.0.0.1:1", "--web.listen-address=127.0.0.1:10168 "),
])
def test_bash_may_cut_words_where_its_user_likes(directory: Path, tmp_path: Path, breaks: str, line: str, wanted: str) -> None:
    shell = Bash(directory, tmp_path, f". {directory}/bash/{line.split()[0]}\nCOMP_WORDBREAKS={breaks}")
    try:
        assert shell.complete(line) == line.rpartition(" ")[0] + " " + wanted
    finally:
        shell.close()


NASTY = "it's $(touch pwned) `touch pwned` \\ \\\\ %s [x]: {a,b} \"q\" ; touch pwned & é"
PROGRAM = Program(
    Command("waguard-nasty", NASTY, (Option(("-h", "--help"), NASTY, ends=True),)),
    (Command("act", NASTY, (Option(("-v", "--value"), NASTY, value=NASTY), Option(("--list",), NASTY, repeated=True)),
             (Operand(NASTY, NASTY, choices=("one", "two")),)),
     Command("rest", NASTY, (Option(("--value",), NASTY, value="FILE", optional_value=True),))))


@pytest.fixture(params=sorted(SHELLS))
def nasty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    made = lay_out(tmp_path / "made", {"bash/waguard-nasty": bash.script(PROGRAM), "zsh/_waguard-nasty": zsh.script(PROGRAM),
                                       "fish/waguard-nasty.fish": fish.script(PROGRAM)})
    found = SHELLS[request.param](made, home_at(tmp_path / "home"))
    yield found
    found.close()
    assert not list(tmp_path.rglob("pwned"))


def test_a_help_text_is_never_run_and_never_in_the_way(nasty: Shell) -> None:
    assert sorted(nasty.offers("waguard-nasty ")) == ["act", "rest"]
    assert nasty.offers("waguard-nasty act --li") == ["--list"]
    assert sorted(nasty.offers("waguard-nasty act ")) == ["one", "two"]
    assert nasty.offers("waguard-nasty act --value ") == []
    assert nasty.offers("waguard-nasty rest --value waagent.") == ["waagent.conf"]
    if isinstance(nasty, Fish):
        assert {about for _, about in nasty.told("waguard-nasty ")} == {brief(NASTY)}


def test_zsh_is_one_file_a_program_that_it_finds_by_its_first_line(directory: Path, tmp_path: Path) -> None:
    for path in (directory / "zsh").iterdir():
        assert path.read_text().splitlines()[0] == f"#compdef {path.name[1:]}"
    shell = Zsh(directory, tmp_path)
    try:
        assert shell.complete("sudo waguardctl verbose o") == "sudo waguardctl verbose off on "
    finally:
        shell.close()
