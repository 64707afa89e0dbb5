"""The agent's library directory: the status file's time, and the sentinels that explain a quiet agent.

Only names and times are looked at. Nothing in there is ever opened: it holds private keys and settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import layout
from waguard.observe import files

_NAMES = 20000


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

    def look(self, path: Path) -> LibDir:
        """Raises files.Unusable when it cannot be told. A missing directory is one without sentinels."""
        root = self._names(path, _of_root)
        history = self._names(path / layout.HISTORY, layout.history_folders)
        newest: tuple[float, Optional[Path]] = (-1.0, None)
        for candidate in layout.status_candidates(root, history):
            try:
                info = os.stat(path / candidate)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise files.Unusable(f"{path / candidate}: {error.strerror}") from error
            newest = max(newest, (info.st_mtime, path / candidate), key=lambda item: item[0])
        return LibDir(path, layout.PROVISIONED in root, layout.DISABLE_AGENT in root, newest[1],
                      newest[0] if newest[1] is not None else None)

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
        self._listed[path] = (changed, names)
        return names


def _of_root(names: list[str]) -> tuple[str, ...]:
    """What matters of the lib dir's names; it may hold thousands."""
    return tuple(name for name in names
                 if name in (layout.PROVISIONED, layout.DISABLE_AGENT) or name.startswith("waagent_status"))
