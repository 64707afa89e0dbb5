"""The lab's root with what the tests of the packages need besides: rpm, dnf, zypper, autopkgtest, Ansible, cloud-init's schema.

Debian's rpm keeps its database in the caller's home and warns against itself; both are put right here, so that the root is one in
which rpm installs packages as on its own distributions: with an empty database, and with no package that waguard asks for.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from .root import CACHE, FEWER, _chroot, _lock, _run_logged

PACKAGES = ("rpm", "dnf", "zypper", "autopkgtest", "gpg", "dpkg-dev", "apt-utils", "ansible-core", "python3-apt",
            "python3-jsonschema")
SETUP = f"""\
set -eu
mkdir -p /etc/rpm /var/lib/rpm /etc/yum.repos.d /etc/zypp/repos.d
echo '%_dbpath /var/lib/rpm' >/etc/rpm/macros.lab
rpm --initdb
# Its schema is wanted, not the program, which would set the machine up at boot.
cd /var/tmp
apt-get download cloud-init
dpkg-deb -x cloud-init_*.deb /srv/cloud-init
rm cloud-init_*.deb
{FEWER}"""


def cached_rpm_root(base: Path) -> Path:
    """A copy of `base` with PACKAGES in it. Built first if it is not in the cache; other ones in the cache are dropped."""
    key = hashlib.sha256(f"{base.name} {PACKAGES} {SETUP}".encode()).hexdigest()[:12]
    root = CACHE / f"rpmroot-{key}"
    if root.is_dir():
        return root
    with _lock(CACHE / "rpmroot.lock"):
        if not root.is_dir():
            _build(base, root)
        for old in CACHE.glob("rpmroot-*"):
            if old != root and str(old) not in Path("/proc/self/mountinfo").read_text():
                shutil.rmtree(old, ignore_errors=True)
    return root


def _build(base: Path, root: Path) -> None:
    log = CACHE / "rpmroot.log"
    log.write_text("")
    building = Path(tempfile.mkdtemp(prefix="rpmroot-building-", dir=CACHE))
    try:
        building.chmod(0o755)
        subprocess.run(["cp", "-a", "--reflink=auto", f"{base}/.", building], check=True)
        # The lab's machines know no name server; this one is for a moment the host's.
        resolv = (building / "etc/resolv.conf").read_bytes()
        shutil.copyfile("/etc/resolv.conf", building / "etc/resolv.conf")
        policy = building / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        for step in (["sh", "-c", "rm -rf /var/lib/apt/lists/*"],  # Cut short, see FEWER.
                     ["apt-get", "-qq", "update"],
                     ["apt-get", "-y", "--no-install-recommends", "install", *PACKAGES],
                     ["sh", "-c", SETUP], ["apt-get", "clean"]):
            _run_logged([*_chroot(building), *step], log)
        policy.unlink()
        (building / "etc/resolv.conf").write_bytes(resolv)
        building.rename(root)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
