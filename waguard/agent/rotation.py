"""logrotate's own words: which rules are for a log, at what size they rotate it, and when it was done last.

Source: logrotate(8), its config.c (tabooExts, size suffixes) and logrotate.c (readState). Only what matters here is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Optional

TABOO = (".rpmorig", ".rpmsave", ".rpmnew", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".dpkg-bak", ".dpkg-del", ".disabled",
         ".ucf-old", ".ucf-dist", ".ucf-new", ".cfsaved", ".swp", ".bak", ".save", ".old", ".orig", "~", ",v")
"""Endings of files in logrotate.d that logrotate passes over."""
_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_SCRIPTS = ("postrotate", "prerotate", "firstaction", "lastaction", "preremove")
_WORD = re.compile(r'"([^"]*)"|\'([^\']*)\'|(\S+)')
_STATE = re.compile(r'"?([^"]+?)"? (\d{4})-(\d{1,2})-(\d{1,2})(?:-(\d{1,2}):(\d{1,2}):(\d{1,2}))?\s*')


@dataclass(frozen=True)
class Rule:
    """One stanza. ``size``: bytes from which it rotates, by ``size`` or ``maxsize``; None if it goes by time alone."""

    patterns: tuple[str, ...]
    size: Optional[int] = None
    period: str = ""

    def matches(self, path: str) -> bool:
        """Is this log among its patterns? A star does not cross a slash, as in glob(7)."""
        return any(pattern.count("/") == path.count("/") and len(pattern) < 300 and fnmatchcase(path, pattern)
                   for pattern in self.patterns)


def taboo(name: str) -> bool:
    """Is a file of logrotate.d none that logrotate reads?"""
    return name.startswith(".") or name.endswith(TABOO)


def rules(text: str, size: Optional[int] = None) -> list[Rule]:
    """The stanzas of a file. ``size``: the default that logrotate.conf sets. What is not understood is passed over."""
    found = []
    for part in _plain(text).split("}"):
        head, brace, body = part.partition("{")
        if not brace:
            break
        words = [quoted or other or word for quoted, other, word in _WORD.findall(head)]
        lines = [line.replace("=", " ").split() for line in (head + "\n" + body).splitlines()]
        sizes = [_size(line) for line in lines if line and line[0] in ("size", "maxsize")]
        periods = [line[0] for line in lines if line and line[0] in _PERIODS]
        found.append(Rule(tuple(word for word in words if word.startswith("/")),
                          next((one for one in reversed(sizes) if one is not None), size), periods[-1] if periods else ""))
    return found


def default_size(text: str) -> Optional[int]:
    """The size that logrotate.conf sets for all stanzas; None if it sets none."""
    head = _plain(text).partition("{")[0]
    lines = [line.replace("=", " ").split() for line in head.splitlines()]
    sizes = [_size(line) for line in lines if line[:1] in (["size"], ["maxsize"])]
    return sizes[-1] if sizes else None


def _plain(text: str) -> str:
    """Without comments and scripts, which may hold braces."""
    lines, script = [], False
    for line in text.splitlines():
        words = line.split()
        if script:
            script = words[:1] != ["endscript"]
        elif words[:1] and words[0] in _SCRIPTS:
            script = True
        elif not line.lstrip().startswith("#"):
            lines.append(line)
    return "\n".join(lines)


def last_done(text: str, path: str) -> Optional[tuple[int, int, int, int, int, int]]:
    """Local year, month, day, hour, minute and second of the log's last rotation (or first sight) in logrotate's status file."""
    for line in text.splitlines():
        found = _STATE.fullmatch(line)
        if found and found[1] == path:
            year, month, day, hour, minute, second = (int(number or 0) for number in found.groups()[1:])
            return year, month, day, hour, minute, second
    return None


def _size(words: list[str]) -> Optional[int]:
    found = re.fullmatch(r"(\d{1,12})([kKmMgG]?)", words[1] if len(words) > 1 else "")
    return int(found[1]) * _SIZES[found[2].lower()] if found else None
