"""What the guard must not forget, in two tiers.

The run tier (``/run/waguard``, tmpfs) is written at once, by the loop: it takes microseconds, cannot be frozen, and outlives the
guard's own death. The lib tier (``/var/lib/waguard``) follows in the disk scribe's thread: it outlives a reboot. At start the one
with the higher sequence number wins. Files are small, versioned JSON, replaced atomically.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from waguard.act.files import replace_file
from waguard.guard.scribe import Scribe
from waguard.observe import files

VERSION = 1
_LIMIT = 4 << 20


class Store:
    """One JSON object under one name in both tiers."""

    def __init__(self, name: str, run_dir: Path, lib_dir: Path, disk: Scribe, warn: Callable[[str], None]) -> None:
        self._name = name
        self._run = run_dir / f"{name}.json"
        self._lib = lib_dir / f"{name}.json"
        self._disk = disk
        self._warn = warn
        self._sequence = 0

    def load(self) -> dict[str, Any]:
        """The newer of the two tiers; empty when there is none. A file that cannot be used is set aside, not destroyed."""
        found = [entry for entry in (self._read(self._run), self._read(self._lib)) if entry is not None]
        best = max(found, key=lambda entry: int(entry["sequence"]), default=None)
        if best is None:
            return {}
        self._sequence = int(best["sequence"])
        data: dict[str, Any] = best["data"]
        return data

    def save(self, data: dict[str, Any], on_disk: Optional[Callable[[], None]] = None) -> None:
        """Write the run tier now and the lib tier soon. ``on_disk`` is called from the disk thread once it is durable there.

        Raises OSError when the run tier cannot be written: then nothing may be relied on.
        """
        self._sequence += 1
        text = json.dumps({"version": VERSION, "sequence": self._sequence, "data": data}, separators=(",", ":")).encode()
        replace_file(self._run, text, durable=False)

        def write() -> None:
            replace_file(self._lib, text, durable=True)
            if on_disk is not None:
                on_disk()

        # A save that somebody waits for must not be replaced by a later one, or nobody would be told.
        self._disk.put(f"store {self._name}", write, latest_only=False) if on_disk is not None else \
            self._disk.put(f"store {self._name} lazily", write, latest_only=True)

    def _read(self, path: Path) -> Optional[dict[str, Any]]:
        try:
            entry = json.loads(files.read(path, _LIMIT))
            if entry["version"] > VERSION:
                set_aside(path, f"version-{int(entry['version'])}", "was written by a newer waguard", self._warn)
                return None
            if not isinstance(entry["data"], dict) or int(entry["sequence"]) < 0:
                raise ValueError("not a state file")
        except FileNotFoundError:
            return None
        except files.Unusable as error:
            set_aside(path, "unusable", f"cannot be used ({error})", self._warn)
            return None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            set_aside(path, "damaged", f"is damaged ({type(error).__name__})", self._warn)
            return None
        return dict(entry)


def set_aside(path: Path, suffix: str, why: str, warn: Callable[[str], None]) -> None:
    """Rename a file that cannot be used, so that somebody can look at it, and say so."""
    aside = path.with_name(f"{path.name}.{suffix}")
    try:
        path.replace(aside)
        warn(f"{path} {why}; kept as {aside.name}, starting without it")
    except OSError as error:
        warn(f"{path} {why} and cannot be set aside: {error.strerror}")


def sweep(directory: Path, pattern: str) -> None:
    """Remove what a process that was killed in ``replace_file`` left behind. Only for directories that are ours alone."""
    for left in directory.glob(pattern):
        try:
            left.unlink()
        except OSError:
            pass  # It is in nobody's way; the file system may be read-only.
