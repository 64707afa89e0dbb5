"""One cgroup a machine: the kernel's own list of what runs there, whoever started it.

It does two things that pid files cannot. Two machines, and the host, each have their own /system.slice. And a lab that
was killed leaves behind exactly the processes of a cgroup with its name, so nothing has to be guessed to clean up.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from .waiting import wait_until

TOP = Path("/sys/fs/cgroup")


def _hierarchies() -> list[Path]:
    """Those systemd uses: two in the hybrid and legacy layouts, one in the unified layout."""
    return [path for path in (TOP / "systemd", TOP / "unified") if path.is_dir()] or [TOP]


class Cgroup:
    """A cgroup named `name` at the top of every hierarchy that a systemd in a container manages."""

    def __init__(self, name: str) -> None:
        self.paths = [hierarchy / name for hierarchy in _hierarchies()]

    def create(self) -> None:
        for path in self.paths:
            path.mkdir(exist_ok=True)

    def entering(self, below: str, argv: list[str]) -> list[str]:
        """A command line that runs `argv` in the sub-group `below` (made if need be; "" for the group itself)."""
        for path in self.paths:
            (path / below).mkdir(parents=True, exist_ok=True)
        script = "".join(f'echo 0 >"{path / below}/cgroup.procs"\n' for path in self.paths)
        return ["sh", "-c", f'{script}exec "$@"', "sh", *argv]

    def pids(self) -> set[int]:
        """All live processes in it and below it, numbered as on the host. Empty if it does not exist."""
        found: set[int] = set()
        for path in self.paths:
            for procs in path.rglob("cgroup.procs"):
                try:
                    found.update(int(pid) for pid in procs.read_text().split())
                except OSError:  # removed while we looked
                    continue
        return found

    def kill(self, timeout: float = 20) -> None:
        """Ends everything in it. Raises InVainError if something will not die (state D on a frozen file system)."""

        def none_left() -> bool:
            for pid in self.pids():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            return not self.pids()

        wait_until(none_left, timeout, f"everything in {self.paths[0]} to die", every=0.02)

    def remove(self) -> None:
        """Removes the empty groups that a systemd leaves behind."""

        def gone() -> bool:
            for path in self.paths:
                for directory, _, _ in os.walk(path, topdown=False):
                    Path(directory).rmdir()
            return True

        wait_until(gone, 5, f"the cgroup {self.paths[0]} to be removable", every=0.05)
