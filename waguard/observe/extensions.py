"""Every extension handler in the agent's library directory: state, what the agent says of it, its newest settings and status.

Of settings files only these leave this module: the number in the name, the time, whether it is JSON, and whether it has
protectedSettings. The agent writes its files in place: what looks half-written is read again before it counts as broken.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Optional, TypeVar

from waguard.agent import handler
from waguard.agent.facts import AgentFacts
from waguard.agent.handler import Fault, Folder, State, Unreadable
from waguard.i18n import say
from waguard.observe import files

MOST = 200
_NAMES = 20000
_IN_FOLDER = 20000
_SMALL = 65536
_TRIES = 3
_PAUSE = 1.0

T = TypeVar("T")


@dataclass(frozen=True)
class Handler:
    """One extension of one handler: of a handler with several extensions there is one each, ``extension`` being its name.

    Moments are epoch seconds of file times unless said otherwise; None is "not there". ``folder`` is the version folder that the
    agent worked on last, ``installed`` the version that the agent calls installed ("" for none): after a failed upgrade these
    differ. ``state``: None for no HandlerState. ``status``, ``code``, ``message``: of HandlerStatus, which is what Azure is told.
    ``folder_at``: when something was last added to or removed from the folder.
    ``problem``: what could not be read, one sentence; with it the fields it speaks of are not known.
    """

    name: str
    version: str
    folder: str
    folder_at: Optional[float] = None
    installed: str = ""
    extension: str = ""
    state: Optional[State] = None
    state_at: Optional[float] = None
    status: Optional[str] = None
    code: Optional[int] = None
    message: str = ""
    reported_at: Optional[float] = None
    report_broken: str = ""
    """Why HandlerStatus is none (the agent then reports nothing at all for this handler); "" when it is one or there is none."""
    sequence: Optional[int] = None
    settings_at: Optional[float] = None
    settings_protected: Optional[bool] = None
    status_seq: Optional[int] = None
    status_at: Optional[float] = None
    status_word: Optional[str] = None
    status_code: Optional[int] = None
    status_message: str = ""
    status_broken: str = ""
    """Why the newest status file is none (the agent then reports error 1012); "" when it is one or there is none."""
    problem: str = ""


@dataclass(frozen=True)
class Extensions:
    """All handlers, by name. ``left_out``: how many there are beyond the 200 that are looked at."""

    lib_dir: str
    handlers: tuple[Handler, ...] = ()
    left_out: int = 0


@dataclass(frozen=True)
class Place:
    """One version folder. ``state`` None: there is no HandlerState, or it cannot be read; then ``problem`` says why."""

    folder: Folder
    path: Path
    state: Optional[State] = None
    state_at: Optional[float] = None
    reported_at: Optional[float] = None
    problem: str = ""

    @property
    def touched(self) -> float:
        """When the agent last wrote of this folder."""
        return max(self.state_at or 0.0, self.reported_at or 0.0)


@dataclass
class Reader:
    """Reads again what looks half-written: all of it in up to three rounds, a second apart, not a second for each file."""

    sleep: Callable[[float], None]
    rounds: int = field(default=_TRIES)

    def read(self, path: Path, limit: int, parse: Callable[[bytes], T]) -> T:
        """Raises FileNotFoundError, files.Unusable, Unreadable."""
        while True:
            try:
                return parse(files.read(path, limit))
            except Unreadable as error:
                if error.fault is not Fault.HALF or self.rounds <= 0:
                    raise
            self.rounds -= 1
            self.sleep(_PAUSE)


def look(agent: AgentFacts, retry: Callable[[float], None] = time.sleep, root: Path = Path("/")) -> Extensions:
    """Look at all handlers. Raises files.Unusable when the library directory cannot be listed (it is 0700 root's)."""
    lib = under(root, agent.lib_dir)
    reader = Reader(retry)
    found = places(lib, reader)
    kept = sorted(found)[:MOST]
    handlers: list[Handler] = []
    for name in kept:
        handlers += _handlers(name, found[name], reader)
    return Extensions(agent.lib_dir, tuple(handlers[:MOST]), len(found) - len(kept) + max(0, len(handlers) - MOST))


def under(root: Path, path: str) -> Path:
    """The path seen from another root."""
    return root / path.lstrip("/")


def places(lib: Path, reader: Reader, only: str = "") -> dict[str, list[Place]]:
    """Version folders of each handler, or of the one. Raises files.Unusable."""
    try:
        names = files.names(lib, _NAMES)
    except FileNotFoundError:
        raise files.Unusable(say("{path}: there is no such directory", path=lib)) from None
    found: dict[str, list[Place]] = {}
    for name in names:
        one = handler.folder(name)
        if one is not None and (not only or one.handler == only) and _is_directory(lib / name):
            found.setdefault(one.handler, []).append(_place(one, lib / name, reader))
    return found


def current(found: Iterable[Place]) -> Place:
    """The folder that the agent worked on last, which is the one whose status Azure is told."""
    return max(found, key=lambda place: (place.touched, place.folder.version))


def installed(found: Iterable[Place]) -> str:
    """The version that the agent calls installed, "" for none."""
    one = handler.installed((place.folder, place.state) for place in found)
    return one.text if one is not None else ""


def modified(path: Path) -> Optional[float]:
    """Epoch seconds of a file's time; None when it cannot be told."""
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return None


def _is_directory(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def _place(folder: Folder, path: Path, reader: Reader) -> Place:
    state_file, report_file = path / "config" / handler.HANDLER_STATE, path / "config" / handler.HANDLER_STATUS
    state, problem = None, ""
    try:
        state = reader.read(state_file, _SMALL, handler.state)
    except FileNotFoundError:
        pass
    except files.Unusable as error:
        problem = str(error)
    except Unreadable as error:
        problem = f"{state_file} {error}"
    return Place(folder, path, state, modified(state_file), modified(report_file), problem)


def _handlers(name: str, found: list[Place], reader: Reader) -> list[Handler]:
    place = current(found)
    base = Handler(name, place.folder.text, str(place.path), modified(place.path), installed(found), state=place.state,
                   state_at=place.state_at, reported_at=place.reported_at)
    problems = [place.problem] if place.problem else []
    told: dict[str, Any] = {}
    report_file = place.path / "config" / handler.HANDLER_STATUS
    try:
        report = reader.read(report_file, _SMALL * 4, handler.report)
        told = {"status": report.status, "code": report.code, "message": report.message}
    except FileNotFoundError:
        pass
    except files.Unusable as error:
        problems.append(str(error))
    except Unreadable as error:
        told = {"report_broken": f"{report_file} {error}"}
    newest = _newest(place.path / "config", "settings", problems)
    statuses = numbered_in(place.path / "status", "status", problems)
    # An extension without settings writes its status all the same.
    for extension in () if newest else {one for one, _ in statuses}:
        newest[extension] = (max(number for one, number in statuses if one == extension), None)
    made = []
    for extension in sorted(newest) or [""]:
        mine = list(problems)
        more = _run(place, extension, newest.get(extension), statuses, reader, mine)
        made.append(replace(base, **told, **more, extension=extension, problem="; ".join(mine)[:handler.MAX_MESSAGE]))
    return made


def _run(place: Place, extension: str, newest: Optional[tuple[int, Optional[float]]], statuses: dict[tuple[str, int], Path],
         reader: Reader, problems: list[str]) -> dict[str, Any]:
    """What the newest settings and status of one extension say."""
    if newest is None:
        return {}
    number, at = newest
    said: dict[str, Any] = {"sequence": number if at is not None else None, "settings_at": at}
    prefix = f"{extension}." if extension else ""
    try:
        if at is not None:
            said["settings_protected"] = reader.read(
                place.path / "config" / f"{prefix}{number}.settings", handler.MAX_BYTES, handler.settings).protected
    except (FileNotFoundError, Unreadable):
        pass  # It is being replaced, or is no JSON: then that is not known, and nothing depends on it.
    except files.Unusable as error:
        problems.append(str(error))
    path = statuses.get((extension, number))
    if path is None:
        return said
    said.update(status_seq=number, status_at=modified(path))
    try:
        status = reader.read(path, handler.MAX_BYTES, handler.status)
        said.update(status_word=status.word, status_code=status.code, status_message=status.message)
    except FileNotFoundError:
        said.update(status_seq=None, status_at=None)
    except files.Unusable as error:
        problems.append(str(error))
    except Unreadable as error:
        said["status_broken"] = f"{path} {error}"
    return said


def _newest(directory: Path, kind: str, problems: list[str]) -> dict[str, tuple[int, Optional[float]]]:
    """For each extension the (number, time) of the file written last, which need not be that with the highest number."""
    found: dict[str, tuple[int, Optional[float]]] = {}
    for (extension, number), path in numbered_in(directory, kind, problems).items():
        at = modified(path)
        if at is None:
            continue
        known = found.get(extension)
        if known is None or (at, number) > (known[1] or 0.0, known[0]):
            found[extension] = (number, at)
    return found


def numbered_in(directory: Path, kind: str, problems: list[str]) -> dict[tuple[str, int], Path]:
    """(extension, number) → path of ``N.settings`` or ``N.status``, without temporary files and history. What cannot be listed is
    told in ``problems``."""
    try:
        names = files.names(directory, _IN_FOLDER)
    except FileNotFoundError:
        return {}
    except files.Unusable as error:
        problems.append(str(error))
        return {}
    found = {}
    for name in names:
        one = handler.numbered(name)
        if one is not None and one[2] == kind:
            found[one[0], one[1]] = directory / name
    return found
