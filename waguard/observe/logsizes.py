"""How large a tree of logs is: a bounded walk that follows no links."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

ENTRIES = 20000
DEPTH = 6
LARGEST = 20


@dataclass
class Sizes:
    """Bytes on disk: of a file the smaller of its length and its blocks, since logs may have holes.

    ``files``: the largest, by path, largest first once `finish`ed. ``parts``: by the first folder below the root. ``lengths``:
    the sum of the lengths. ``over``: files of ``limit`` bytes and more. ``complete``: False if there was more than the bounds
    allow, or a folder that could not be read.
    """

    limit: int = 1 << 62
    over: int = 0
    total: int = 0
    lengths: int = 0
    count: int = 0
    complete: bool = True
    files: list[tuple[str, int]] = field(default_factory=list)
    parts: dict[str, int] = field(default_factory=dict)

    def add(self, shown: str, info: os.stat_result) -> int:
        """One file. Returns its bytes on disk."""
        size = on_disk(info)
        self.total += size
        self.lengths += info.st_size
        self.count += 1
        self.over += size >= self.limit
        self.files.append((shown, size))
        if len(self.files) > 10 * LARGEST:
            self.finish()
        return size

    def finish(self) -> None:
        self.files = sorted(self.files, key=lambda pair: -pair[1])[:LARGEST]


def on_disk(info: os.stat_result) -> int:
    """A file system that tells no blocks is taken at the length's word."""
    return min(info.st_size, info.st_blocks * 512) if info.st_blocks else info.st_size


def walk(top: Path, shown: str, sizes: Sizes) -> None:
    """Adds all regular files below a folder; ``shown`` is what it is called. A folder that is not there has none."""
    room = [ENTRIES]
    linked: set[tuple[int, int]] = set()
    folders: list[tuple[Path, str, str, int]] = [(top, shown, "", 0)]
    while folders:
        folder, name, part, depth = folders.pop()
        for entry in _entries(folder, sizes, room):
            inner = part or entry.name
            try:
                info = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                if depth >= DEPTH:
                    sizes.complete = False
                else:
                    folders.append((folder / entry.name, f"{name}/{entry.name}", inner, depth + 1))
            elif stat.S_ISREG(info.st_mode) and (info.st_dev, info.st_ino) not in linked:
                if info.st_nlink > 1:
                    linked.add((info.st_dev, info.st_ino))
                size = sizes.add(f"{name}/{entry.name}", info)
                if part:
                    sizes.parts[part] = sizes.parts.get(part, 0) + size


def _entries(folder: Path, sizes: Sizes, room: list[int]) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if room[0] <= 0:
                    sizes.complete = False
                    return
                room[0] -= 1
                yield entry
    except FileNotFoundError:
        return
    except OSError:
        sizes.complete = False
