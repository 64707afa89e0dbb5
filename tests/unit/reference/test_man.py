"""The manual pages say all that parsers, settings and catalogue say, in a source that has nothing in it that roff could misread.

What groff and mandoc make of them: tests/integration/test_man.py.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from waguard.exporter import reference
from waguard.judge.catalogue import CATALOGUE, fill
from waguard.reference import __main__ as command
from waguard.reference import about, commands, configuration, manual, roff

ROOT = Path(__file__).resolve().parents[3]
PAGES = {f"{page.name}({page.section})": page.done() for page in manual.pages("2025-11-19")}
MACROS = {".SH", ".SS", ".TP", ".IP", ".PP", ".EX", ".EE", ".RS", ".RE", ".SY", ".YS", ".TH", ".nh", ".ad", ".nr", '.\\"'}


def words(source: str) -> str:
    """What a reader reads, roughly: without fonts, escapes and requests, in one line."""
    text = re.sub(r"\\f[BIR]|\\&", "", source).replace("\\~", " ").replace("\\ ", " ")
    for char, escaped in roff._SPECIAL.items():
        text = text.replace(escaped, char) if char != "…" else text
    return " ".join(re.sub(r'^\.(?:S[HSY]|T[HP]|[IP]P|E[XE]|R[SE]|YS)\b *', "", text, flags=re.M).replace('"', "").split())


def plain(text: str) -> str:
    return " ".join(text.replace('"', "").replace("`", "").replace("…", "...").split())


READ = {name: words(source) for name, source in PAGES.items()}


def test_there_is_a_page_for_everything_promised() -> None:
    assert set(PAGES) == {"waguardctl(1)", "waguard.yaml(5)", "waguard-metrics(7)", "waguard-findings(7)", "waguardd(8)",
                          "waguard-exporter(8)", "waguard-doctor(8)"}


@pytest.mark.parametrize("page", PAGES)
class TestEachPage:
    def test_is_ascii_and_every_line_that_looks_like_a_request_is_meant_as_one(self, page: str) -> None:
        assert PAGES[page].isascii()
        lines = PAGES[page].splitlines()
        assert not [line for line in lines if line.startswith("'")]
        assert {line.split()[0] for line in lines if line.startswith(".")} <= MACROS

    def test_begins_with_its_title_and_one_line_for_whatis(self, page: str) -> None:
        name, section = page[:-3], page[-2]
        source = PAGES[page].replace("\\-", "-")
        assert f'.TH "{name}" {section} "2025-11-19" "waguard ' in source
        assert f'.SH "NAME"\n{name} - {about.SUMMARIES[name]}\n.SH' in source

    def test_names_only_pages_of_ours_that_there_are(self, page: str) -> None:
        named = set(re.findall(r"\bwaguard[\w.-]*\(\d\)", READ[page]))
        assert named and named <= set(PAGES)

    def test_names_all_the_others(self, page: str) -> None:
        assert set(PAGES) - {page} <= set(re.findall(r"\bwaguard[\w.-]*\(\d\)", READ[page]))


@pytest.mark.parametrize("program", commands.programs(), ids=lambda program: program.name)
def test_a_program_is_told_whole(program: commands.Program) -> None:
    page = READ[f"{program.name}({about.SECTIONS[program.name]})"]
    for one in (program.command, *program.verbs):
        assert plain(one.exit_status) in page if one.exit_status else True
        for option in one.options:
            assert ", ".join(option.flags) in page
            assert plain(option.help)[1:] in page
        for operand in one.operands:
            assert plain(operand.help)[1:] in page
        for example in one.examples:
            assert plain(example) in page


def test_every_verb_has_a_chapter_and_a_synopsis() -> None:
    program = commands.waguardctl()
    assert len(program.verbs) > 10
    for verb in program.verbs:
        assert f'.SS "waguardctl {verb.name}"\n.SY "waguardctl {verb.name}"\n' in PAGES["waguardctl(1)"]
    assert "on|off|status [--for TIME | --forever] [--no-restart]" in READ["waguardctl(1)"]
    assert "[--textfile [DIR|FILE]]" in READ["waguardctl(1)"]


@pytest.mark.parametrize("one", [one for section in configuration.sections() for one in section.settings], ids=lambda one: one.name)
def test_a_setting_is_told_with_kind_range_default_meaning_and_when_it_counts(one: configuration.Setting) -> None:
    says = f"{one.kind[0].upper()}{one.kind[1:]}{f': {one.limits}' if one.limits else ''}; default {one.default}; a change counts " \
           f"{one.taken.value}."
    assert f"{one.name} {one.meaning[0].upper()}{plain(one.meaning)[1:]}. {plain(says)}" in READ["waguard.yaml(5)"]


@pytest.mark.parametrize("row", list(reference.rows()), ids=lambda row: row.name)
def test_a_metric_is_told_with_its_labels_and_when_it_is_left_out(row: reference.Row) -> None:
    page = READ["waguard-metrics(7)"]
    labels = f" {{{', '.join(row.labels)}}}" if row.labels else ""
    assert f"{row.name}{labels} {plain(row.help)}" in page
    assert f"Left out when: {plain(row.absent)}." in page


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=lambda entry: entry.id)
def test_a_finding_is_told_with_its_remedy_to_the_letter(entry: object) -> None:
    assert f"{entry.id} " in READ["waguard-findings(7)"]
    for text in (entry.summary, entry.meaning, fill(entry.remedy, {})):
        assert plain(text) in READ["waguard-findings(7)"]


ENVIRON = re.compile(r"""environ(?:\.get|\.pop)?[(\[]"(\w+)"|"(\w+)" (?:not )?in os\.environ|names = \("(LISTEN\w+)", "(\w+)", "(\w+)"\)""")


@pytest.mark.parametrize(("room", "page"), [("ctl", "waguardctl(1)"), ("exporter", "waguard-exporter(8)"), ("guard", "waguardd(8)")])
def test_every_variable_that_counts_is_told(room: str, page: str) -> None:
    found = {name for file in (ROOT / "waguard" / room).glob("*.py") for match in ENVIRON.findall(file.read_text())
             for name in match if name}
    assert found
    told = words(PAGES[page].split('.SH "ENVIRONMENT"')[1].split(".SH")[0])
    # Who is asked to be put into the group is named by his own shell.
    assert {name for name in found - {"USER", "SUDO_USER"} if not re.search(rf"\b{name}\b", told)} == set()


class TestExitStatus:
    def test_is_read_off_the_docstring(self) -> None:
        def run() -> None:
            """Exit status 0: done;
            1: ``not``.
            """

        def main() -> None:
            """Run until the end. 0: ended; 1: not."""

        def both() -> None:
            """The program. Exit status: 0 stopped, 1 not."""

        assert [commands.exit_status(one) for one in (run, main, both)] == \
            ["0: done; 1: `not`.", "0: ended; 1: not.", "0 stopped, 1 not."]

    def test_one_that_is_not_told_is_an_error(self) -> None:
        def run() -> None:
            """Runs."""

        with pytest.raises(ValueError, match="tells no exit status"):
            commands.exit_status(run)


@pytest.mark.parametrize(("text", "source"), [
    ("--for 2h", r"\-\-for 2h"), ("a\\n", r"a\(rsn"), ("it's `x`", r"it\(aqs \(gax\(ga"), ('"^~"', r"\(dq\(ha\(ti\(dq"),
    ("é→", r"\[u00E9]\[u2192]"), ("e\u0301", r"\[u00E9]"), ("a\tb\x1b[1m\u202ec", r"a b [1m c"), ("…", "..."),
])
def test_text_is_escaped(text: str, source: str) -> None:
    assert roff.escape(text) == source


@pytest.mark.parametrize(("text", "source"), [
    ("type `a -b` or *FILE*", r"type \fBa \-b\fR or \fIFILE\fR"), ("`a", r"\(gaa"), ("/proc/*/task/*/x", "/proc/*/task/*/x"),
    ("ls a* b*", "ls a* b*"), ("2 * 3 * 4", "2 * 3 * 4"), ("*.yaml and *.yml", "*.yaml and *.yml"),
])
def test_marks_are_what_is_meant_as_one(text: str, source: str) -> None:
    assert roff.marked(text) == source


def test_a_line_that_a_text_is_broken_into_is_no_request() -> None:
    page = roff.Page("x", 1, "y", "", "1")
    page.text(" ".join([".so", "'br", "..."] * 40))
    page.code(".so /etc/passwd\n'br\n\n.")
    page.item(roff.bold(".x"), ".y")
    assert {line.split()[0] for line in page.done().splitlines() if line.startswith((".", "'"))} <= MACROS
    assert "\n\\&.so /etc/passwd\n\\(aqbr\n\\&\n\\&.\n" in page.done()


def test_no_line_but_the_last_of_a_paragraph_ends_a_sentence() -> None:
    page = roff.Page("x", 1, "y", "", "1")
    page.text("One. Two! Three? " * 30)
    *before, last = page.done().split('.SH "NAME"')[1].splitlines()[2:]
    assert len(before) > 4
    assert not [line for line in before if line.endswith((".", "!", "?"))]
    assert last.endswith("?")


def run(*words: str, **environment: str) -> bytes:
    path = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, "-m", "waguard.reference", *words], env={**path, **environment}, check=True,
                          stdout=subprocess.PIPE, timeout=120).stdout


class TestCommand:
    def test_writes_the_same_bytes_whoever_calls_it(self, tmp_path: Path) -> None:
        here = {"LC_ALL": "C", "SOURCE_DATE_EPOCH": "1763560000"}
        there = {"LC_ALL": "es_ES.UTF-8", "LANGUAGE": "es", "LANG": "es_ES.UTF-8", "TZ": "Pacific/Kiritimati", "COLUMNS": "20",
                 "WAGUARD_RUN_DIR": "/somewhere", "NO_COLOR": "1", "PYTHONHASHSEED": "7", "SOURCE_DATE_EPOCH": "1763560000"}
        for name, environment in (("here", here), ("there", there)):
            for what in ("man", "completion"):
                run(what, str(tmp_path / name / what), **environment)
        found = {path.relative_to(tmp_path / "here"): path.read_bytes() for path in (tmp_path / "here").rglob("*") if path.is_file()}
        assert len(found) == len(PAGES) + 9
        assert found == {path.relative_to(tmp_path / "there"): path.read_bytes()
                         for path in (tmp_path / "there").rglob("*") if path.is_file()}
        assert b'"2025-11-19"' in found[Path("man/waguardctl.1")]

    def test_dates_nothing_without_being_told_when(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
        assert command.date() == ""
        monkeypatch.setenv("SOURCE_DATE_EPOCH", "1763596799")
        assert command.date() == "2025-11-19"


PROGRAMS = ("waguard.guard.main", "waguard.exporter.main", "waguard.doctor.main", "waguard.ctl.main", "waguard.ctl.status",
            "waguard.ctl.config")


@pytest.mark.parametrize("module", PROGRAMS)
def test_no_program_imports_any_of_it(module: str) -> None:
    code = f"import sys, {module}\nsys.exit(' '.join(name for name in sys.modules if name.startswith('waguard.reference')) or None)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
