"""What the guard must not forget, in two tiers.

The run tier (``/run/waguard``, tmpfs) is written at once, by the loop: it takes microseconds, cannot be frozen, and outlives the
guard's own death. The lib tier (``/var/lib/waguard``) follows in the disk scribe's thread: it outlives a reboot. At start the one
with the higher sequence number wins. Files are small, versioned JSON, replaced atomically. One that cannot be used, as after
going back to an older waguard, is kept aside (guard/aside.py).
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Optional

from waguard.act.files import replace_file
from waguard.guard import aside
from waguard.guard.aside import Aside
from waguard.guard.scribe import Scribe
from waguard.i18n import say
from waguard.observe import files

VERSION = 1
"""Of the schema. Higher as soon as a waguard that knows only this one would misread the data, or lose some by writing it back."""
_LIMIT = 4 << 20


class Store:
    """One JSON object under one name in both tiers."""

    def __init__(self, name: str, run_dir: Path, lib_dir: Path, disk: Scribe, warn: Callable[[str], None]) -> None:
        self._name = name
        self._run = run_dir / f"{name}.json"
        self._lib = lib_dir / f"{name}.json"
        self._disk = disk
        self._aside = Aside(warn)
        self._loaded: tuple[Path, ...] = ()
        self._sequence = 0

    def load(self) -> dict[str, Any]:
        """The newer of the two tiers; empty when there is none. A file that cannot be used is set aside, not destroyed."""
        found = {path: entry for path in (self._run, self._lib) for entry in (self._read(path),) if entry is not None}
        best = max(found.values(), key=lambda entry: int(entry["sequence"]), default=None)
        self._loaded = tuple(found)
        if best is None:
            return {}
        self._sequence = int(best["sequence"])
        data: dict[str, Any] = best["data"]
        return data

    def keep_loaded(self) -> Optional[Path]:
        """Some of what was loaded cannot be used: keep the files aside before they are written anew. None: it cannot be."""
        kept = None
        for path in self._loaded:
            with contextlib.suppress(OSError):
                kept = path.with_name(aside.linked(path))
        return kept

    def save(self, data: dict[str, Any], on_disk: Optional[Callable[[], None]] = None) -> None:
        """Write the run tier now and the lib tier soon. ``on_disk`` is called from the disk thread once it is durable there.

        Raises OSError when the run tier cannot be written: then nothing may be relied on.
        """
        self._sequence += 1
        text = json.dumps({"version": VERSION, "sequence": self._sequence, "data": data}, separators=(",", ":")).encode()
        self._aside.ready(self._run)
        replace_file(self._run, text, durable=False)

        def write() -> None:
            self._aside.ready(self._lib)
            replace_file(self._lib, text, durable=True)
            if on_disk is not None:
                on_disk()

        # A save that somebody waits for must not be replaced by a later one, or nobody would be told.
        self._disk.put(f"store {self._name}", write, latest_only=False) if on_disk is not None else \
            self._disk.put(f"store {self._name} lazily", write, latest_only=True)

    def _read(self, path: Path) -> Optional[dict[str, Any]]:
        try:
            entry = json.loads(files.read(path, _LIMIT))
            version = aside.version_of(entry["version"])
            if version > VERSION:
                self._aside.move(path, f"version-{version}", aside.newer(path))
                return None
            if not isinstance(entry["data"], dict) or int(entry["sequence"]) < 0:
                raise ValueError("not a state file")
        except FileNotFoundError:
            return None
        except files.Unusable as error:
            self._aside.move(path, aside.UNUSABLE, aside.unusable(path, str(error)))
            return None
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            self._aside.move(path, aside.DAMAGED, say("{path} is damaged ({kind})", path=path, kind=type(error).__name__))
            return None
        return dict(entry)


def sweep(directory: Path, pattern: str) -> None:
    """Remove what a process that was killed in ``replace_file`` left behind. Only for directories that are ours alone."""
    for left in directory.glob(pattern):
        try:
            left.unlink()
        except OSError:
            pass  # It is in nobody's way; the file system may be read-only.
