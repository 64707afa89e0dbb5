"""The parts of docs/runbooks that repeat what stands elsewhere: alerts.yml and the catalogue of findings.

`python3 monitoring/runbooks.py` writes them anew, `--check` only says which pages are not as they should be. A page says where
they go, and what people wrote around them stays:

    <!-- alert -->…<!-- /alert -->                          severity, time and expression
    <!-- findings: disk-full inodes-exhausted -->…<!-- /findings -->  what the alert is for: meaning and remedy of each
    <!-- findings: critical -->…<!-- /findings -->          all of that severity that no other page is for
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from waguard.judge.catalogue import CATALOGUE, Entry, fill  # noqa: E402

PAGES = ROOT / "docs/runbooks"
ALERTS = ROOT / "monitoring/alerts.yml"
_FINDINGS = re.compile(r"<!-- findings: ([^>]*?) -->\n.*?<!-- /findings -->", re.DOTALL)
_ALERT = re.compile(r"<!-- alert -->\n.*?<!-- /alert -->", re.DOTALL)


def alerts() -> dict[str, dict[str, Any]]:
    """The rules of alerts.yml by name."""
    groups = yaml.safe_load(ALERTS.read_text(encoding="utf-8"))["groups"]
    return {rule["alert"]: rule for group in groups for rule in group["rules"]}


def covered(pages: Mapping[str, str]) -> dict[str, list[str]]:
    """Which findings each page is for. ``pages``: text by name of the alert. Raises LookupError for an id that is none."""
    named = {name: [word for words in _FINDINGS.findall(text) for word in words.split()] for name, text in pages.items()}
    severities = {entry.severity.value for entry in CATALOGUE.values()}
    taken = {word for words in named.values() for word in words} - severities
    for finding in taken:
        if finding not in CATALOGUE:
            raise LookupError(f"there is no finding {finding}")
    return {name: [finding for word in words for finding in _expand(word, taken)] for name, words in named.items()}


def _expand(word: str, taken: Iterable[str]) -> list[str]:
    if word in CATALOGUE:
        return [word]
    return sorted(entry.id for entry in CATALOGUE.values() if entry.severity.value == word and entry.id not in taken)


def made(name: str, text: str, findings: Iterable[str]) -> str:
    """The page as it should be."""
    rule = alerts()[name]
    after = f", after {rule['for']}" if "for" in rule else ""
    head = f"**{rule['labels']['severity']}**{after}: {rule['annotations']['summary']}\n\n```\n{rule['expr'].rstrip()}\n```"
    text = _ALERT.sub(lambda _: f"<!-- alert -->\n{head}\n<!-- /alert -->", text)
    body = "\n\n".join(_section(CATALOGUE[finding]) for finding in findings)
    return _FINDINGS.sub(lambda match: f"<!-- findings: {match[1]} -->\n{body}\n<!-- /findings -->", text)


def _section(entry: Entry) -> str:
    blocks = "; a snapshot asked for now would fail" if entry.blocks else ""
    return (f"### {entry.id}\n\n**{entry.severity.value}**{blocks}: {entry.summary}.\n\n{entry.meaning}\n\n"
            f"Remedy: `{fill(entry.remedy, {})}`")


def main(arguments: list[str]) -> int:
    """0: all pages are as they should be, or are now; 1: with ``--check``, some are not."""
    pages = {path.stem: path.read_text(encoding="utf-8") for path in sorted(PAGES.glob("*.md"))}
    findings = covered(pages)
    wrong = {name: page for name, text in pages.items() if (page := made(name, text, findings[name])) != text}
    for name, page in wrong.items():
        if "--check" not in arguments:
            (PAGES / f"{name}.md").write_text(page, encoding="utf-8")
        sys.stdout.write(f"docs/runbooks/{name}.md\n")
    return 1 if wrong and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
