"""Programs of other people that tests and benchmarks stand beside, out of Debian's packages, with nothing installed.

They are kept in $WAGUARD_LAB_CACHE, by default /var/cache/waguard-lab.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path("/var/cache/waguard-lab")
_PACKAGES = {"prometheus": "prometheus", "promtool": "prometheus"}


class Missing(Exception):
    """There is no such program and none could be had; the message says why."""


def program(name: str) -> str:
    """Path of a program that runs: the installed one, the kept one, or one fresh out of its package. Raises Missing."""
    installed = shutil.which(name)
    if installed:
        return installed
    package = _PACKAGES[name]
    place = Path(os.environ.get("WAGUARD_LAB_CACHE", CACHE)) / package
    kept = place / "usr" / "bin" / name
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with open(f"{place}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # several workers of pytest ask at once
            if not kept.exists():
                _fetch(package, place)
    except OSError as error:
        raise Missing(f"{name} is not installed, and could not be fetched: {error}") from error
    return str(kept)


def _fetch(package: str, place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        Path(folder).chmod(0o755)  # apt downloads as its own user
        try:
            _run(["apt-get", "download", package], folder)
        except OSError:
            _run(["apt-get", "update"], folder)
            _run(["apt-get", "download", package], folder)
        (archive,) = Path(folder).glob(f"{package}_*.deb")
        _run(["dpkg-deb", "-x", str(archive), "tree"], folder)
        shutil.rmtree(place, ignore_errors=True)
        Path(folder, "tree").replace(place)


def _run(command: list[str], folder: str) -> None:
    run = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=300, check=False)
    if run.returncode != 0:
        raise OSError(f"{' '.join(command)}: {run.stdout.strip() or run.returncode}")
