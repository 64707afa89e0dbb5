"""Which of two package versions is newer, as dpkg and as rpm see it. Whole strings, with epoch and revision.

Source: deb-version(7) and dpkg lib/dpkg/version.c; rpm-version(7) and rpm rpmio/rpmvercmp.c. No library has both
on every distribution. Numbers of any length are compared as text, so hostile versions cost no more than their length.
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from itertools import zip_longest

_LIMIT = 256
_DEB_PARTS = re.compile(r"([^0-9]*)([0-9]*)", re.ASCII)
_RPM_PARTS = re.compile(r"[0-9]+|[A-Za-z]+|~|\^", re.ASCII)


def compare_deb(one: str, other: str) -> int:
    """-1, 0 or 1: is ``one`` older than, equal to or newer than ``other`` for dpkg? Any text is taken, none raises."""
    for left, right in zip(_split_deb(one), _split_deb(other)):
        order = _deb(left, right)
        if order:
            return order
    return 0


def compare_rpm(one: str, other: str) -> int:
    """-1, 0 or 1: is ``one`` older than, equal to or newer than ``other`` for rpm? Both are [EPOCH:]VERSION[-RELEASE].

    A missing epoch is 0; a release counts only where both have one. Any text is taken, none raises.
    """
    (epoch, version, release), (epoch2, version2, release2) = _split_rpm(one), _split_rpm(other)
    return _numbers(epoch, epoch2) or _rpm(version, version2) or (_rpm(release, release2) if release and release2 else 0)


def compare(manager: str, one: str, other: str) -> int:
    """By the rules of a package manager, as distro.manager names it: apt has dpkg's, every other rpm's."""
    return compare_deb(one, other) if manager == "apt" else compare_rpm(one, other)


rpm_key = cmp_to_key(compare_rpm)


def _split_deb(text: str) -> tuple[str, str, str]:
    epoch, colon, rest = text.strip()[:_LIMIT].partition(":")
    epoch, rest = (epoch, rest) if colon else ("", epoch)
    version, dash, revision = rest.rpartition("-")
    return (epoch or "0", version, revision) if dash else (epoch or "0", rest, "")


def _deb(one: str, other: str) -> int:
    """Turn by turn a part without digits, by _weight, and a number."""
    for (text, number), (text2, number2) in zip_longest(_DEB_PARTS.findall(one), _DEB_PARTS.findall(other), fillvalue=("", "")):
        for char, char2 in zip_longest(text, text2, fillvalue=""):
            if _weight(char) != _weight(char2):
                return -1 if _weight(char) < _weight(char2) else 1
        order = _numbers(number, number2)
        if order:
            return order
    return 0


def _weight(char: str) -> int:
    """The tilde before the end, the end before letters, letters before all else (dpkg lib/dpkg/version.c: order)."""
    if char == "~":
        return -1
    if not char:
        return 0
    return ord(char) if char.isascii() and char.isalpha() else ord(char) + 256


def _numbers(one: str, other: str) -> int:
    one, other = one.lstrip("0"), other.lstrip("0")
    left, right = (len(one), one), (len(other), other)
    return (left > right) - (left < right)


def _split_rpm(text: str) -> tuple[str, str, str]:
    text = text.strip()[:_LIMIT]
    epoch, colon, rest = text.partition(":")
    if not colon or (epoch and not (epoch.isascii() and epoch.isdigit())):
        epoch, rest = "0", text
    version, dash, release = rest.rpartition("-")
    return (epoch or "0", version, release) if dash else (epoch or "0", rest, "")


def _rpm(one: str, other: str) -> int:
    """Segment by segment: ~ before the end, the end before ^, ^ before all else, letters before numbers (rpmio/rpmvercmp.c)."""
    for part, part2 in zip_longest(_RPM_PARTS.findall(one), _RPM_PARTS.findall(other), fillvalue=""):
        if part == part2:
            continue
        if "~" in (part, part2):
            return -1 if part == "~" else 1
        if "^" in (part, part2):
            # It makes a version newer than the same one that ends here, and older than one that goes on.
            against = part2 if part == "^" else part
            order = -1 if against else 1
            return order if part == "^" else -order
        if not part or not part2:
            return 1 if part else -1
        if part.isdigit() != part2.isdigit():
            return 1 if part.isdigit() else -1
        order = _numbers(part, part2) if part.isdigit() else (part > part2) - (part < part2)
        if order:
            return order
    return 0
