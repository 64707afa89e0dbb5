"""A small file system of its own in a machine: one that can be full, read-only or frozen without harm to the host."""

from __future__ import annotations

import subprocess

from .machine import Machine


class Disk:
    """An ext4 on a loop device, mounted at `where` in `machine`. Use it in a `with` block, or leave it to close().

    While it is frozen, a process that writes there is in state D and cannot be killed, not even by SIGKILL. However a
    test ends, Machine.close() thaws it.
    """

    def __init__(self, machine: Machine, where: str, megabytes: int = 32) -> None:
        self.machine = machine
        self.where = where
        image = machine.home / f"disk{where.replace('/', '-')}.img"
        with image.open("wb") as file:
            file.truncate(megabytes << 20)
        subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
        attached = subprocess.run(["losetup", "--find", "--show", image], check=True, capture_output=True, text=True)
        self.device = attached.stdout.strip()
        # The machine's /dev has no loop devices; theirs all have major 7.
        machine.run(f"test -e {self.device} || mknod {self.device} b 7 {self.device.removeprefix('/dev/loop')}")
        machine.run(["mkdir", "-p", where])
        machine.run(["mount", self.device, where])

    def __enter__(self) -> Disk:
        return self

    def __exit__(self, *_: object) -> None:
        self.thaw()
        if self.machine.running:
            self.machine.run(["umount", self.where], check=False)  # gone already if the machine was booted again
        subprocess.run(["losetup", "--detach", self.device], check=True)

    def freeze(self) -> None:
        self.machine.run(["fsfreeze", "--freeze", self.where])

    def thaw(self) -> None:
        """Idempotent, and no matter in what state the machine is."""
        self.machine.thaw()
