"""State files that cannot be used are kept aside: under a name that says why, beside the place they were found in, never one over
another. Of each kind the newest nine are kept, so that a machine that loses its power every night does not fill its disk.

``state.json.version-2``, ``state.json.version-2.2``: written by a newer waguard. ``.damaged``: no state file, or only in part.
``.unusable``: cannot be read, or is no file.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from waguard.i18n import say

KEPT = 9
DAMAGED, UNUSABLE = "damaged", "unusable"
_HIGHEST = 1 << 31


class Aside:
    """Puts files aside, and says so to ``warn``."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        self._warn = warn
        self._owed: dict[Path, str] = {}

    def move(self, path: Path, suffix: str, what: str) -> None:
        """Rename a file of which nothing can be used. Where that fails nothing may be written in its place: see ``ready``."""
        try:
            name = _moved(path, suffix)
        except OSError as error:
            self._owed[path] = suffix
            self._warn(say("{said_what} and cannot be set aside: {said_error}", said_what=what, said_error=error.strerror))
        else:
            self._warn(say("{said_what}; kept as {name}, starting without it", said_what=what, name=name))

    def keep(self, path: Path, what: str) -> None:
        """Keep a damaged file of which something can be used; what is sound will be written in its place."""
        try:
            name = linked(path)
        except OSError as error:
            self._warn(say("{said_what} and cannot be kept aside: {said_error}", said_what=what, said_error=error.strerror))
        else:
            self._warn(say("{said_what}; kept as {name}, what is sound in it is used", said_what=what, name=name))

    def ready(self, path: Path) -> None:
        """To be called before a file is written anew: one that could not be set aside must not be lost by it. Raises OSError."""
        suffix = self._owed.get(path)
        if suffix is not None:
            with contextlib.suppress(FileNotFoundError):
                _moved(path, suffix)
            del self._owed[path]


def newer(path: Path) -> str:
    return say("{path} was written by a newer waguard", path=path)


def unusable(path: Path, why: str) -> str:
    return say("{path} cannot be used ({said_why})", path=path, said_why=why)


def version_of(value: object) -> int:
    """A schema's version, as it stands in a file. Raises ValueError for what is none."""
    if type(value) is not int or not 0 < value < _HIGHEST:
        raise ValueError("no version")
    return value


def linked(path: Path) -> str:
    """A second name for the file, which keeps what is in it now once something else is put in its place. Raises OSError."""
    name = _free(path, DAMAGED)
    os.link(path, path.with_name(name), follow_symlinks=False)
    _trim(path, DAMAGED)
    return name


def _moved(path: Path, suffix: str) -> str:
    name = _free(path, suffix)
    path.rename(path.with_name(name))
    _trim(path, suffix)
    return name


def _free(path: Path, suffix: str) -> str:
    """The next name: numbers go on where the oldest files are gone, so that a higher one is always a newer one."""
    last = max(_numbers(path, suffix), default=0)
    return _name(path, suffix, last + 1)


def _name(path: Path, suffix: str, number: int) -> str:
    return f"{path.name}.{suffix}" if number == 1 else f"{path.name}.{suffix}.{number}"


def _numbers(path: Path, suffix: str) -> list[int]:
    first, found = _name(path, suffix, 1), []
    for name in os.listdir(path.parent):
        number = name[len(first) + 1:]
        if name == first:
            found.append(1)
        elif name.startswith(f"{first}.") and number.isascii() and number.isdecimal() and len(number) < 10:
            found.append(int(number))
    return found


def _trim(path: Path, suffix: str) -> None:
    for number in sorted(_numbers(path, suffix))[:-KEPT]:
        with contextlib.suppress(OSError):  # It is in nobody's way.
            path.with_name(_name(path, suffix, number)).unlink()
