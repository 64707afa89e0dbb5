"""A throw-away copy of the lab's root, and the certainty that nothing of it is left afterwards.

Everything that belongs to one machine can be found from its home directory alone: the overlay mounted in it, the loop
devices backed by files in it, the cgroup of its name. So a normal end and the cleaning up after a killed run are one
function, `discard`, which needs no memory of what was done. Who still uses a home holds a lock in it; the kernel lets
go of that lock when the process dies, however it dies.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .cgroups import Cgroup

_numbers = itertools.count(1)


def new_home(machines: Path) -> Path:
    """A directory for a new machine, named so that no other run on this host uses the name."""
    home = machines / f"lab-{os.getpid()}-{next(_numbers)}"
    home.mkdir(parents=True)
    return home


def cgroup_of(home: Path) -> Cgroup:
    return Cgroup(f"waguard-{home.name}")


class Copy:
    """A writable copy of `root`, at `.path`; changes never reach `root`."""

    def __init__(self, root: Path, home: Path) -> None:
        self.home = home
        self.path = home / "root"
        self._lock = (home / "lock").open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for name in ("root", "upper", "work"):
            (home / name).mkdir()
        layers = f"lowerdir={root},upperdir={home}/upper,workdir={home}/work"
        overlay = ["mount", "-t", "overlay", "-o", layers, "waguard-lab", str(self.path)]
        if subprocess.run(overlay, capture_output=True).returncode:
            # There is no overlayfs, or the cache itself lies on one: a lab within a container.
            self.path.rmdir()
            subprocess.run(["cp", "-a", "--reflink=auto", root, self.path], check=True)

    def discard(self) -> None:
        discard(self.home)
        self._lock.close()


def sweep(machines: Path) -> list[str]:
    """Discards what killed runs have left in `machines`; returns the names. Machines of live runs are left alone."""
    swept = []
    for home in sorted(machines.glob("lab-*")):
        if not (home / "lock").exists():
            continue  # being made at this moment
        with (home / "lock").open("r+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            discard(home)
            swept.append(home.name)
    return swept


def discard(home: Path) -> None:
    """Ends all that runs in the machine at `home` and removes every trace of it."""
    thaw(home)  # first: a process that waits for a frozen file system cannot be killed
    cgroup = cgroup_of(home)
    cgroup.kill()
    cgroup.remove()
    for device in loop_devices(home):
        subprocess.run(["losetup", "--detach", device], check=True)
    if os.path.ismount(home / "root"):
        subprocess.run(["umount", home / "root"], check=True)
    shutil.rmtree(Path("/run/systemd/nspawn/propagate") / home.name, ignore_errors=True)
    shutil.rmtree(home)


def loop_devices(home: Path) -> list[str]:
    """The loop devices (/dev/loopN) whose file lies in `home`."""
    found = []
    for backing in Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            if Path(backing.read_text().strip()).is_relative_to(home):
                found.append(f"/dev/{backing.parent.parent.name}")
        except OSError:  # detached while we looked
            continue
    return sorted(found)


def thaw(home: Path) -> None:
    """Thaws every file system on a loop device of the machine at `home`, whether it is frozen or not.

    The machine may be dead, and may have unmounted the frozen file system, which then lives on in the kernel and can
    only be had by mounting it again. So each is mounted here once more, which gives the same superblock.
    """
    for device in loop_devices(home):
        with tempfile.TemporaryDirectory(prefix="thaw-", dir=home) as where:
            if subprocess.run(["mount", device, where], capture_output=True).returncode == 0:
                # Fails with EINVAL when it was not frozen, which is well.
                subprocess.run(["fsfreeze", "--unfreeze", where], capture_output=True)
                subprocess.run(["umount", where], check=True)
