"""The root file system all machines of the lab start from: Debian 12 with systemd and the real waagent.

It takes about two minutes to make, so it is made once and cached under `$WAGUARD_LAB_CACHE` (default
/var/cache/waguard-lab). The recipe's hash is part of its name: a changed recipe makes a new root, and the old one goes.
A root is built beside its place and renamed into it when complete, so one that is there is whole.

`python3 -m lab.root` (from tests/) builds it ahead of time, for instance in a CI step of its own.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("WAGUARD_LAB_CACHE", "/var/cache/waguard-lab"))

Progress = Callable[[str], None]

FEWER = """\
# Nothing else can be had in a machine. To go through all of Debian takes half a second of CPU each time that apt is asked.
dpkg-query -W -f 'Package: ${Package}\\n' >/tmp/here
for list in /var/lib/apt/lists/*_Packages; do
    awk 'NR == FNR { here[$0]; next } { split($0, line, "\\n") } line[1] in here' \\
        /tmp/here RS= ORS='\\n\\n' "$list" >/tmp/fewer
    cat /tmp/fewer >"$list"
done
rm /tmp/here /tmp/fewer
"""

SETUP = f"""\
set -eu

# A real VM has these too, but in the lab they only make noise in the journal and in timings.
systemctl disable prometheus.service prometheus-alertmanager.service prometheus-node-exporter.service \\
    prometheus-process-exporter.service monit.service mtail.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer fstrim.timer \\
    e2scrub_reap.service systemd-timesyncd.service console-getty.service getty.target

# The package itself, for tests that put it back in or upgrade it where there is no network.
mkdir -p /srv/debs
cd /srv/debs
apt-get download waagent

# There is no mirror in a machine: apt shall not try it again and again before it takes the file it was given.
echo 'Acquire::Retries "0";' >/etc/apt/apt.conf.d/lab

# As on Azure: the fabric is the name server, and in the lab it refuses at once instead of letting look-ups time out.
echo 'nameserver 168.63.129.16' >/etc/resolv.conf
echo '127.0.1.1 vm' >>/etc/hosts
{FEWER}"""


@dataclass(frozen=True)
class Recipe:
    """All that decides what is in the root, and nothing else: its hash is the cache's key."""

    suite: str = "bookworm"
    # What systemd and the tests need. minbase leaves out even iproute2 and procps.
    base: tuple[str, ...] = (
        "systemd", "systemd-sysv", "dbus", "iproute2", "procps", "util-linux", "e2fsprogs", "kmod", "iptables", "curl",
        "logrotate", "ca-certificates", "python3", "python3-systemd", "python3-yaml", "python3-prometheus-client",
        "python3-packaging",
    )
    # Those whose maintainer scripts want to start services, so installed under a policy that forbids it.
    services: tuple[str, ...] = ("waagent", "prometheus", "prometheus-alertmanager", "prometheus-node-exporter")
    # What the bench stands waguard beside, and draws with (bench/beside). Installed like those above.
    bench: tuple[str, ...] = ("monit", "mtail", "prometheus-process-exporter", "gnuplot-nox")
    setup: str = SETUP

    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:12]


def prepare_host() -> None:
    """Installs the programs that the lab runs on the host. Raises CalledProcessError if it cannot."""
    if os.geteuid() != 0:
        raise PermissionError("the lab boots containers, mounts file systems and makes namespaces: run it as root")
    subprocess.run([HERE / "prepare.sh"], check=True)


RECIPE = Recipe()


def cached_root(recipe: Recipe = RECIPE, cache: Path = CACHE, progress: Progress = print) -> Path:
    """The root for `recipe`, built first if it is not in `cache`. Safe to call from several runs at once."""
    root = cache / f"root-{recipe.key()}"
    if root.is_dir():
        return root
    cache.mkdir(parents=True, exist_ok=True)
    with _lock(cache / "build.lock"):
        if not root.is_dir():  # else another run built it while we waited
            _build(recipe, root, progress)
        _drop_others(cache, keep=root)
    return root


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _build(recipe: Recipe, root: Path, progress: Progress) -> None:
    cache = root.parent
    started = time.monotonic()
    building = Path(tempfile.mkdtemp(prefix="building-", dir=cache))
    building.chmod(0o755)
    log = cache / "build.log"
    log.write_text("")

    def step(what: str, argv: list[str | Path]) -> None:
        progress(f"lab: {time.monotonic() - started:4.0f} s  {what}")
        _run_logged(argv, log)

    progress(f"lab: building {root} (log: {log})")
    mirror = os.environ.get("WAGUARD_LAB_MIRROR")  # debootstrap knows the default
    try:
        step("debootstrap", ["debootstrap", "--variant=minbase", f"--include={','.join(recipe.base)}",
                             recipe.suite, building, *([mirror] if mirror else [])])
        (building / "etc/dpkg/dpkg.cfg.d/lab").write_text("force-unsafe-io\n")  # a throw-away disk needs no fsync
        policy = building / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        step("waagent and its like", [*_chroot(building), "apt-get", "-y", "--no-install-recommends", "install",
                                      *recipe.services, *recipe.bench])
        step("set-up", [*_chroot(building), "sh", "-c", recipe.setup])
        step("cleaning", [*_chroot(building), "apt-get", "clean"])
        policy.unlink()  # in a booted machine maintainer scripts do start services
        building.rename(root)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    progress(f"lab: {time.monotonic() - started:4.0f} s  root is ready")


def _chroot(root: Path) -> list[str | Path]:
    """The start of a command line that runs in `root`, with /proc, and with nothing left mounted when it dies."""
    return ["unshare", "--mount", "sh", "-c", 'mount -t proc proc "$0/proc"; exec chroot "$0" "$@"', root,
            "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8",
            "DEBIAN_FRONTEND=noninteractive"]


def _run_logged(argv: list[str | Path], log: Path) -> None:
    if argv[0] != "unshare":
        argv = ["unshare", "--mount", *argv]  # debootstrap mounts too
    with log.open("ab") as out:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
    if done.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise RuntimeError(f"building the lab's root failed (exit {done.returncode}), the end of {log}:\n{tail}")


def _drop_others(cache: Path, keep: Path) -> None:
    """Removes older roots and broken-off builds, but no root that a machine of another run still stands on."""
    mounts = Path("/proc/self/mountinfo").read_text()
    for old in [*cache.glob("root-*"), *cache.glob("building-*")]:
        if old != keep and str(old) not in mounts:
            shutil.rmtree(old, ignore_errors=True)


def main() -> int:
    prepare_host()
    print(cached_root(progress=lambda line: print(line, file=sys.stderr)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
