"""The pictures of the README: what the renderer makes of a terminal's output, and that those that are there are not of yesterday."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from demo.terminal import capture, cells, svg
from waguard.ctl import status
from waguard.judge.parts import clock, logs

ROOT = Path(__file__).resolve().parents[2]
IMAGES = sorted((ROOT / "docs/images").glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"


def texts(picture: str) -> list[tuple[float, float, str]]:
    """(column, line, text) of each run, from the left and from the top."""
    return [(float(one.attrib["x"]), float(one.attrib["y"]), one.text or "") for one in ElementTree.fromstring(picture).iter(f"{SVG}text")]


@pytest.mark.parametrize(("text", "wanted"), [
    ("ab\ncd\n", ["ab", "cd"]), ("abcdef", ["abcd", "ef"]), ("abcd\nef", ["abcd", "ef"]), ("a\x1b[31mb\x1b[0mc", ["abc"]),
    ("a\r\nb", ["a", "b"]), ("\x1b[Ka\x07b\x1b]", ["ab"]), ("a\n\nb\n\n", ["a", "", "b"]), ("", [""]),
], ids=repr)
def test_a_terminal_of_four_columns(text: str, wanted: list[str]) -> None:
    assert ["".join(cell.char for cell in line) for line in cells(text, 4)] == wanted


def test_colours_begin_and_end() -> None:
    drawn = svg("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m", "")
    assert re.search(r'fill="#ff7b72">red<', drawn) and re.search(r'font-weight="bold">bold<', drawn)
    assert re.search(r'textLength="24">and<', drawn), "what has no colour has one"


def test_every_run_stands_at_its_column() -> None:
    left, width = texts(svg("a", ""))[0][0], texts(svg("  a", ""))[0][0] - texts(svg(" a", ""))[0][0]
    assert [(round((x - left) / width), text) for x, _, text in texts(svg("one  two ● three", ""))] == [(0, "one"), (5, "two"), (9, "●"), (11, "three")]


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "a & b", "]]>", "\x00\x01\x1b[999zx", "\udcff".encode("utf-8", "replace").decode()])
def test_hostile_text_is_drawn_and_not_obeyed(text: str) -> None:
    drawn = svg(text, text)
    tree = ElementTree.fromstring(drawn)
    assert not list(tree.iter(f"{SVG}script"))
    assert "".join(part for _, _, part in texts(drawn)).replace(" ", "") == "".join(cell.char for line in cells(text) for cell in line).replace(" ", "")


def test_a_program_is_shown_as_on_a_terminal() -> None:
    told = "import os, sys; print(sys.stdout.isatty(), os.get_terminal_size().columns); print('no', file=sys.stderr)"
    assert capture([sys.executable, "-c", told], os.environ, 77) == "True 77\n"


def test_a_program_that_does_not_end_is_ended() -> None:
    begun = time.monotonic()
    with pytest.raises(TimeoutError):
        capture([sys.executable, "-c", "import time; time.sleep(60)"], os.environ, timeout=0.3)
    assert time.monotonic() - begun < 30


def test_there_are_two_pictures() -> None:
    assert [path.name for path in IMAGES] == ["doctor.svg", "status.svg"]


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.name)
def test_a_picture_is_a_picture_and_nothing_else(path: Path) -> None:
    drawn = path.read_text("utf-8")
    tree = ElementTree.fromstring(drawn)
    assert {one.tag.replace(SVG, "") for one in tree.iter()} == {"svg", "title", "rect", "g", "text"}
    assert not re.search(r"href|url\(|@import|<style|on\w+=", drawn), "something from elsewhere, or a script"
    assert not [name for one in tree.iter() for name in one.attrib if name.startswith("on")]
    assert len(drawn) < 30000
    assert not re.search(r"/(?:home|root|work)/", drawn), "a path of the machine it was made on"


def test_the_status_is_as_it_would_look_today() -> None:
    drawn = [text for _, _, text in texts((ROOT / "docs/images/status.svg").read_text("utf-8"))]
    snapshot = json.loads((ROOT / "tests/data/snapshot.json").read_text("utf-8"))
    rows = [name for name, _ in status.facts(snapshot, snapshot["at"])]
    assert [text for text in drawn if text in rows] == rows
    assert drawn[:2] == ["$", "waguardctl status"] and "Recent" in drawn


def test_the_doctor_is_as_it_would_look_today() -> None:
    from waguard.ctl import doctor
    from waguard.doctor import visit

    drawn = [text for _, _, text in texts((ROOT / "docs/images/doctor.svg").read_text("utf-8"))]
    titles = [re.search(r'title = say\("([^"]+)"\)', Path(module.__file__ or "").read_text("utf-8")) for module in (clock, logs)]
    assert all(title is not None and title[1] in drawn for title in titles)
    assert len([text for text in drawn if text in ("✓", "✗", "?")]) == len(visit.PARTS) + 1  # and the agent itself
    assert {text for text in drawn if text.startswith("Cause ")} <= set(doctor.CAUSES.values())
    assert "backup not ready" in drawn and drawn[:2] == ["$", "waguardctl doctor"]
