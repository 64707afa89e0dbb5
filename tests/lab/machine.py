"""A virtual machine, as far as waguard can tell: its own root, its own systemd as pid 1, its own network.

It is a container of systemd-nspawn, because that boots in a second and needs neither KVM nor a systemd on the host.
What differs from a real VM: the kernel is the host's, `/sys` cannot be written to, and `systemd-detect-virt` says
systemd-nspawn.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

from .copies import Copy, cgroup_of, new_home, thaw
from .waiting import wait_until

T = TypeVar("T")

NSPAWN_REBOOT = 133  # nspawn's own exit status when the container asked for a reboot, see systemd-nspawn@.service
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8",
    "TERM": "dumb", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "", "DEBIAN_FRONTEND": "noninteractive",
}


@dataclass(frozen=True)
class Ran:
    """A command that has ended in the machine."""

    command: str
    rc: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"`{self.command}` ended with {self.rc}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class CommandError(AssertionError):
    """A command that had to succeed did not, or did not end in time."""


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


class Machine:
    """One machine on its own copy of `root`. Not booted yet: files can be laid first. Use it in a `with` block."""

    def __init__(self, root: Path, machines: Path) -> None:
        self.home = new_home(machines)
        self.name = self.home.name
        self.copy = Copy(root, self.home)
        self.console = self.home / "console.log"
        self._cgroup = cgroup_of(self.home)
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._leader: int | None = None

    def __enter__(self) -> Machine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # -- power

    @property
    def running(self) -> bool:
        return self._nspawn is not None and self._nspawn.poll() is None

    def boot(self, timeout: float = 60) -> None:
        """Boots and returns when systemd has nothing left to do (`running`, or `degraded` if a unit has failed)."""
        assert not self.running, f"{self.name} is running already"
        self._cgroup.create()
        argv = [
            "systemd-nspawn", "--quiet", f"--directory={self.copy.path}", f"--machine={self.name}", "--hostname=vm",
            "--register=no", "--keep-unit", "--private-network", "--resolv-conf=off", "--timezone=off",
            "--link-journal=no", "--console=read-only", "--boot", "systemd.show_status=yes",
        ]
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                self._cgroup.entering("", argv), stdin=subprocess.DEVNULL, stdout=console, stderr=console,
                start_new_session=True, env={**os.environ, "SYSTEMD_NSPAWN_LOCK": "0"},
            )
        self._leader = self.wait_until(self._find_leader, timeout, f"{self.name} to get a pid 1", every=0.02)
        self.wait_until(self._has_booted, timeout, f"{self.name} to boot", every=0.05)

    def _has_booted(self) -> bool:
        return self.run(["systemctl", "is-system-running"], check=False).out.strip() in ("running", "degraded")

    def poweroff(self, timeout: float = 60) -> None:
        """An orderly power-off, as by `systemctl poweroff`. The copy stays: boot() boots it again."""
        self._end("poweroff", 0, timeout)

    def reboot(self, timeout: float = 60) -> None:
        """`systemctl reboot`, and back up. The journal goes on; /run and all that lived in the kernel is new."""
        self._end("reboot", NSPAWN_REBOOT, timeout)
        self.boot(timeout)

    def _end(self, verb: str, status: int, timeout: float) -> None:
        assert self._nspawn and self.running, f"{self.name} is not running"
        self.thaw()  # else systemd waits for file systems that never come to rest
        self.run(["systemctl", verb], check=False)  # its own connection may be cut
        try:
            ended = self._nspawn.wait(timeout)
        except subprocess.TimeoutExpired:
            raise CommandError(f"{self.name}: {verb} took more than {timeout:g} s\n{self.console_tail()}") from None
        self._nspawn = self._leader = None
        assert ended == status, f"{self.name}: nspawn ended with {ended} at {verb}\n{self.console_tail()}"
        self._cgroup.kill()
        self._cgroup.remove()

    def close(self) -> None:
        """Pulls the plug and throws the copy away. Works in every state, also with file systems frozen."""
        self.copy.discard()
        if self._nspawn:
            self._nspawn.wait()
        self._nspawn = self._leader = None

    def thaw(self) -> None:
        """Thaws every file system a test may have left frozen (see disk.py)."""
        thaw(self.home)

    def _find_leader(self) -> int | None:
        """The machine's pid 1 as the host numbers it, once it stands in its own root."""
        assert self._nspawn is not None
        if self._nspawn.poll() is not None:
            raise RuntimeError(f"systemd-nspawn ended with {self._nspawn.returncode}\n{self.console_tail()}")
        for pid in self._cgroup.pids():
            try:
                status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
                # Before it has changed its root a command run "in the machine" would run on the host.
                if status["NSpid"].split()[1:] == ["1"] and Path(f"/proc/{pid}/root").samefile(self.copy.path):
                    return pid
            except OSError:  # gone while we looked
                continue
        return None

    # -- commands

    def run(self, command: str | Sequence[str | Path], *, check: bool = True, timeout: float = 30,
            stdin: str | bytes = b"") -> Ran:
        """Runs `command` as root in the machine: a string through sh, a sequence as it is.

        In a machine that is off only its files are there, which is enough for cat or `systemctl enable`.
        Raises CommandError if it takes longer than `timeout` seconds (it is killed then), and with `check` also if its
        exit status is not 0. What it leaves in the background belongs to the machine and dies with it.
        """
        argv = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        shown = command if isinstance(command, str) else shlex.join(argv)
        # Files, not pipes: the end of a pipe would only come when what runs on in the background lets go of it.
        with TemporaryFile() as out, TemporaryFile() as err:
            process = subprocess.Popen(self._entering(argv), stdin=subprocess.PIPE, stdout=out, stderr=err,
                                       start_new_session=True, env=ENVIRONMENT)
            try:
                process.communicate(stdin.encode() if isinstance(stdin, str) else stdin, timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                raise CommandError(f"{self.name}: `{shown}` took more than {timeout:g} s") from None
            ran = Ran(shown, process.returncode, _text(out), _text(err))
        if check and ran.rc:
            raise CommandError(f"{self.name}: {ran}")
        return ran

    def _entering(self, argv: list[str]) -> list[str]:
        if not self.running:
            # A machine may be off when a test does not think so, and its `pkill` or `ip` must not meet the host's.
            apart = ["unshare", "--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child"]
            return [*apart, "chroot", str(self.copy.path), *argv]
        assert self._leader, f"{self.name} has no pid 1 yet"
        namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"]
        nsenter = ["nsenter", f"--target={self._leader}", *namespaces, "--", *argv]
        return self._cgroup.entering("payload/user.slice/lab.scope", nsenter)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """`systemctl show`: the named properties of `unit`, or all of them."""
        wanted = [f"--property={','.join(properties)}"] if properties else []
        lines = self.run(["systemctl", "show", unit, *wanted]).out.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def journal(self, *options: str) -> str:
        """`journalctl` with `options` (default: all of this boot). Of a machine that is off: of all its boots."""
        if self.running:
            return self.run(["journalctl", "--no-pager", *(options or ("-b",))]).out
        return self.run(["journalctl", "--no-pager", "--directory=/var/log/journal", *options]).out

    def journal_entries(self, *options: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.journal("--output=json", *options).splitlines()]

    def wait_until(self, predicate: Callable[[], T], timeout: float, what: str, *, every: float = 0.1) -> T:
        """As waiting.wait_until, with the end of the console and of the journal in the message."""

        def explain() -> str:
            booted = self.running and self._leader
            journal = self.run("journalctl --no-pager -b -n 20", check=False).out if booted else ""
            return f"--- console\n{self.console_tail()}\n--- journal\n{journal}"

        return wait_until(predicate, timeout, what, every=every, explain=explain)

    def console_tail(self, lines: int = 15) -> str:
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    # -- files: through a command, but for sockets, for /var/run/… is an absolute link that would lead out of the copy seen from the host

    def seen(self, path: str) -> Path:
        """Where the host sees a file of the running machine, whose path has no links in it."""
        assert self._leader, f"{self.name} has no pid 1"
        return Path(f"/proc/{self._leader}/root{path}")

    def read(self, path: str) -> str:
        return self.run(["cat", "--", path]).out

    def write(self, path: str, content: str | bytes, *, mode: int = 0o644) -> None:
        """Puts a file in place in one step, so that who reads it meanwhile sees the old or the new one."""
        script = 'mkdir -p "$(dirname "$0")" && cat >"$0.new" && chmod "$1" "$0.new" && mv "$0.new" "$0"'
        self.run(["sh", "-c", script, path, f"{mode:o}"], stdin=content)

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).rc == 0

    def mtime(self, path: str) -> float:
        """Seconds since the epoch. Raises CommandError if there is no such file."""
        return float(self.run(["stat", "--format=%.9Y", "--", path]).out)

    # -- packages

    def install_deb(self, deb: Path, timeout: float = 120) -> Ran:
        """Installs a package file of the host in the running machine, maintainer scripts and all.

        There is no network, so what it depends on must be in the root already (root.py: Recipe).
        """
        inside = f"/var/tmp/{deb.name}"
        self.write(inside, deb.read_bytes())
        apt = ["apt-get", "install", "--yes", "--quiet", "--reinstall", "--allow-downgrades", "--no-install-recommends",
               "--option=Dpkg::Options::=--force-confold"]
        return self.run([*apt, inside], timeout=timeout)
