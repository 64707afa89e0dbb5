"""The manual pages as groff, mandoc and whatis read them."""

from __future__ import annotations

import os
import re
import subprocess
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st
from shells import needed

from waguard.reference import about, manual, roff

PAGES = {f"{page.name}.{page.section}": page.done() for page in manual.pages("2025-11-19")}


@pytest.fixture(scope="module", params=sorted(PAGES))
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("man") / request.param
    path.write_text(PAGES[request.param])
    yield path


def ran(*words: str, data: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([needed(words[0]), *words[1:]], input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60,
                          env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **environment}, check=False)  # fmt: skip
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.mark.parametrize("device", ["utf8", "ascii"])
def test_groff_has_nothing_to_say(page: Path, device: str) -> None:
    done = ran("man", "--warnings", "-E", "UTF-8", "-l", f"-T{device}", "-Z", str(page), MANROFFSEQ="", MANWIDTH="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout) > 1000


def test_groff_has_nothing_to_say_with_all_its_warnings(page: Path) -> None:
    done = ran("groff", "-man", "-Tutf8", "-ww", "-z", "-rCHECKSTYLE=1", str(page))
    assert (done.returncode, done.stderr) == (0, "")


def test_mandoc_has_nothing_to_say_but_for_its_taste_in_titles(page: Path) -> None:
    done = ran("mandoc", "-T", "lint", str(page))
    assert [line for line in done.stdout.splitlines() if "STYLE: lower case character in document title" not in line] == []


def test_whatis_finds_its_line(page: Path) -> None:
    name = page.name[:-2]
    assert ran("lexgrog", str(page)).stdout == f'{page}: "{name} - {about.SUMMARIES[name]}"\n'


def test_no_word_is_broken(page: Path) -> None:
    """What is copied from a page has to be what is meant."""
    done = ran("man", "-l", "-Tutf8", "-P", "cat", str(page), MANWIDTH="60")
    assert "\u2010" not in done.stdout and "\u2212" not in done.stdout
    assert len(done.stdout.splitlines()) > 20


def test_lists_of_man_and_apropos_are_made_from_them(tmp_path: Path) -> None:
    for name, source in PAGES.items():
        folder = tmp_path / "man" / f"man{name[-1]}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(source)
    (tmp_path / "config").write_text(f"MANDATORY_MANPATH {tmp_path}/man\nMANDB_MAP {tmp_path}/man {tmp_path}/cache\n")
    made = ran("mandb", "-C", str(tmp_path / "config"), "-c", str(tmp_path / "man"))
    assert (made.returncode, made.stderr.count("warning")) == (0, 0)
    told = ran("apropos", "-C", str(tmp_path / "config"), "-M", str(tmp_path / "man"), "--long", "waguard").stdout
    assert {line.split(" - ")[0].split()[0] for line in told.splitlines()} == set(about.SECTIONS)


HARMLESS = "abcXYZ 0123 (){}|$,;:/#@%&!?=+<>é→ßñ"
HOSTILE = st.text(st.sampled_from(HARMLESS + ".'\\-\"`*^~[]_…\t\x07\u00a0\u202e\u0301" * 2), max_size=40)
_OVERSTRUCK = re.compile(".\x08")


def seen(reader: str, source: str) -> str:
    """The text between START and STOP, blanks as one."""
    words = ("groff", "-man", "-Tutf8", "-P-c", "-P-b", "-P-u", "-rLL=78n") if reader == "groff" else ("mandoc", "-T", "utf8", "-O", "width=78")
    done = ran(*words, data=source.encode("ascii"))
    assert done.returncode <= 2
    text = unicodedata.normalize("NFC", _OVERSTRUCK.sub("", done.stdout)).replace("\u2212", "-")
    return " ".join(text.split("START", 1)[1].rsplit("STOP", 1)[0].split())


def told(text: str) -> str:
    """What is to be seen of it."""
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if unicodedata.category(char)[0] == "C" or char.isspace() else char
                            for char in composed).replace("…", "...").split())  # fmt: skip


@pytest.mark.parametrize("reader", ["groff", "mandoc"])
class TestAnyTextIsPrintedAsItStands:
    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(texts=st.lists(HOSTILE, min_size=1, max_size=8))
    @hypothesis.example(texts=[".so /etc/passwd", "'br", "\\fBbold\\fR \\*x \\n[.x]", "--", "...", "\\", "\"", ".", "'"])
    def test_in_every_place(self, reader: str, texts: list[str]) -> None:
        shown = [text.replace("\u0301", "") for text in texts]
        page = roff.Page("x", 1, "y", "2025-11-19", "1")
        page.heading("START")
        for text in shown:
            page.code(text)
            page.item(roff.bold(f"|{text}"), "in", "deep")
            page.subheading(f"|{text}")
            page.text("in")
        page.heading("STOP")
        wanted = " ".join(f"{told(text)} {told('|' + text)} in deep {told('|' + text)} in" for text in shown)
        assert seen(reader, page.done()).split() == wanted.split()

    @hypothesis.settings(max_examples=60, deadline=None)
    @hypothesis.given(texts=st.lists(HOSTILE.map(lambda text: re.sub("[`*\u0301]", "", text)), min_size=1, max_size=30))
    def test_in_long_paragraphs(self, reader: str, texts: list[str]) -> None:
        page = roff.Page("x", 1, "y", "2025-11-19", "1")
        page.heading("START")
        page.text(" ".join(texts))
        page.heading("STOP")
        assert seen(reader, page.done()) == told(" ".join(texts))
