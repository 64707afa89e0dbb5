"""The agent's library directory: the status file's time, and the sentinels that explain a quiet agent.

Only names and times are looked at. Nothing in there is ever opened: it holds private keys and settings.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import layout
from waguard.observe import files

_NAMES = 20000
_SETTLED = 2_000_000_000  # A directory's time moves in steps of up to a kernel tick, on some file systems of 2 s.


@dataclass(frozen=True)
class LibDir:
    """One look. ``status_mtime``: epoch seconds of the newest waagent_status file, None when there is none."""

    path: Path
    provisioned: bool
    disable_agent: bool
    status_path: Optional[Path] = None
    status_mtime: Optional[float] = None


class Watcher:
    """Looks again and again; lists a directory only when its own time has changed. For one thread."""

    def __init__(self) -> None:
        self._listed: dict[Path, tuple[int, tuple[str, ...]]] = {}
        self._times: dict[Path, float] = {}
        self._alive: Optional[Path] = None

    def look(self, path: Path) -> LibDir:
        """Raises files.Unusable when it cannot be told. A missing directory is one without sentinels."""
        root = self._names(path, _of_root)
        history = self._names(path / layout.HISTORY, layout.history_folders)
        times: dict[Path, float] = {}
        for candidate in layout.status_candidates(root, history):
            try:
                times[path / candidate] = os.stat(path / candidate).st_mtime
            except FileNotFoundError:
                continue
            except OSError as error:
                raise files.Unusable(f"{path / candidate}: {error.strerror}") from error
        alive = self._choose(times)
        return LibDir(path, layout.PROVISIONED in root, layout.DISABLE_AGENT in root, alive,
                      times[alive] if alive is not None else None)

    def _choose(self, times: dict[Path, float]) -> Optional[Path]:
        """The file that is being written: of those that changed since the last look the newest. By its time alone a left-over
        from before a clock was set back would be newer for as long as that was."""
        changed = {path: at for path, at in times.items() if self._times.get(path) != at}
        if changed or self._alive not in times:
            among = changed or times
            self._alive = max(among, key=lambda path: among[path]) if among else None
        self._times = times
        return self._alive

    def _names(self, path: Path, wanted: Callable[[list[str]], tuple[str, ...]]) -> tuple[str, ...]:
        try:
            changed = os.stat(path).st_mtime_ns
            known = self._listed.get(path)
            if known is not None and known[0] == changed:
                return known[1]
            names = wanted(files.names(path, _NAMES))
        except FileNotFoundError:
            self._listed.pop(path, None)
            return ()
        except OSError as error:
            raise files.Unusable(f"{path}: {error.strerror}") from error
        except ValueError as error:
            raise files.Unusable(f"{str(path)!r}: {error}") from error
        if time.time_ns() - changed > _SETTLED:
            self._listed[path] = (changed, names)
        else:
            self._listed.pop(path, None)  # It may change again and keep its time.
        return names


def _of_root(names: list[str]) -> tuple[str, ...]:
    """What matters of the lib dir's names; it may hold thousands."""
    return tuple(name for name in names
                 if name in (layout.PROVISIONED, layout.DISABLE_AGENT) or name.startswith("waagent_status"))
