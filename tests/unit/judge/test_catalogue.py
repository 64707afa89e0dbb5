"""The catalogue: CLI, JSON, metrics, alerts and docs are made from it, so it has to be fit for all of them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from waguard.judge.catalogue import CATALOGUE, PLACES, Entry, fill

pytestmark = pytest.mark.once


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=list(CATALOGUE))
class TestEntry:
    def test_id(self, entry: Entry) -> None:
        """Kebab case, so that it is a label value, an anchor and a word in a shell."""
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", entry.id)

    def test_cause(self, entry: Entry) -> None:
        assert entry.cause in range(5)

    def test_summary(self, entry: Entry) -> None:
        assert entry.summary and len(entry.summary) <= 72 and not entry.summary.endswith(".") and "{" not in entry.summary

    def test_meaning(self, entry: Entry) -> None:
        assert entry.meaning.endswith(".") and "{" not in entry.meaning

    def test_remedy(self, entry: Entry) -> None:
        """Only words that are filled in, besides the shell's own {print $1} and its like; each once, so that it can be found again."""
        assert entry.remedy
        words = re.findall(r"\{(\w+)\}", entry.remedy)
        assert len(set(words)) == len(words)
        assert {re.sub(r"^said_|\d$", "", word) for word in words} <= PLACES
        assert all(word.startswith("said_") == (word in ("said_install", "said_upgrade", "said_reinstall")) for word in words)
        assert "{" not in fill(entry.remedy, {}).replace("{print", "")

    def test_text(self, entry: Entry) -> None:
        for text in (entry.summary, entry.meaning, entry.remedy):
            assert text.isascii() and "\n" not in text and "  " not in text

    def test_lab(self, entry: Entry) -> None:
        """A scenario in which a real machine has that fault."""
        scenarios = Path(__file__).parents[2] / "lab"
        assert any(f'"{entry.id}"' in path.read_text() for path in scenarios.glob("test_*.py"))


def test_ids_are_unique_and_keys() -> None:
    assert all(name == entry.id for name, entry in CATALOGUE.items())


def test_a_remedy_is_filled_in() -> None:
    assert fill("df -h {mount}; awk '{print $1}' {log}*", {"mount": "/var"}) == "df -h /var; awk '{print $1}' LOG*"
    assert fill("umount {mount}; mount {mount2}", {"mount": "/a"}) == "umount /a; mount /a"
    assert fill("{said_upgrade}", {}) == "UPGRADE"
    assert fill("{said_upgrade}", {"upgrade": "yum clean expire-cache && yum upgrade WALinuxAgent"}).endswith("&& yum upgrade WALinuxAgent")


@pytest.mark.parametrize("name", ["/mnt/x;reboot", "/mnt/$(reboot)", "/mnt/a b", "/mnt/it's", "/mnt/{path}", "/mnt/`reboot`", "/mnt/\n reboot"])
def test_a_hostile_name_is_one_word_for_the_shell(name: str) -> None:
    """A user may mount a FUSE filesystem under any name, and root pastes the remedy."""
    assert shlex.split(fill("umount -l {mount}", {"mount": name, "path": "reboot"})) == ["umount", "-l", name]
