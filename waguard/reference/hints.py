"""What may be typed where a value is wanted: for the completion of all shells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Union

from waguard.reference.commands import Operand, Option


@dataclass(frozen=True)
class Hint:
    """``words``: to choose from, each with a line about it or ""; ``paths``: "files", "directories" or "" for none.

    Without either any text may stand there, and nothing is offered.
    """

    words: tuple[tuple[str, str], ...] = ()
    paths: str = ""


FILES, DIRECTORIES, NOTHING = Hint(paths="files"), Hint(paths="directories"), Hint()
_TIMES = ("30m", "1h", "2h", "8h", "1d", "7d")
_OF_FLAG: Mapping[str, tuple[str, ...]] = {
    "--since": ("10m", "1h", "8h", "1d", "7d"),
    "--timeout": ("1m", "2m", "5m", "10m"),
    "--last": ("10", "50", "200"),
    "--max-size": ("50M", "200M", "1G"),
    "--web.listen-address": ("127.0.0.1:10168", ":10168"),
    "--web.telemetry-path": ("/metrics",),
}
"""Likely values of options that take any."""
OF_VALUE: Mapping[str, Hint] = {
    "FILE": FILES, "DIR|FILE": FILES, "FILE|DIR": FILES, "DIR": DIRECTORIES, "SOCKET": FILES, "N": NOTHING,
    "TIME": Hint(tuple((time, "") for time in _TIMES)),
}
"""By the word that stands for the value in the parser; beside these there is FINDING."""


def hint(wanted: Union[Option, Operand]) -> Hint:
    """For the value of an option, or for an operand."""
    if wanted.choices:
        return Hint(tuple((choice, "") for choice in wanted.choices))
    if isinstance(wanted, Option) and wanted.name in _OF_FLAG:
        return Hint(tuple((word, "") for word in _OF_FLAG[wanted.name]))
    if isinstance(wanted, Option) and wanted.name == "--code":
        return _codes()
    return _findings() if wanted.value == "FINDING" else OF_VALUE.get(wanted.value, NOTHING)


def _findings() -> Hint:
    from waguard.judge.catalogue import CATALOGUE

    return Hint(tuple((entry.id, entry.summary) for entry in sorted(CATALOGUE.values(), key=lambda entry: entry.id)))


def _codes() -> Hint:
    from waguard.agent.vmsnapshot import CODES

    return Hint(tuple((str(number), code.name) for number, code in sorted(CODES.items())))
