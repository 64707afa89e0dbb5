"""Finds promtool, or takes it out of Debian's prometheus package without installing anything.

`python3 tests/promtool.py` prints its path. It is kept in $WAGUARD_LAB_CACHE, by default /var/cache/waguard-lab.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

CACHE = Path("/var/cache/waguard-lab")


class Missing(Exception):
    """There is no promtool and none could be had; the message says why."""


def find() -> str:
    """Path of a promtool that runs. Raises Missing."""
    installed = shutil.which("promtool")
    if installed:
        return installed
    cached = Path(os.environ.get("WAGUARD_LAB_CACHE", CACHE)) / "promtool" / "promtool"
    if not cached.exists():
        try:
            _fetch(cached)
        except OSError as error:
            raise Missing(f"promtool is not installed, and could not be fetched: {error}") from error
    return str(cached)


def _fetch(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        Path(folder).chmod(0o755)  # apt downloads as its own user
        if not _ran(["apt-get", "download", "prometheus"], folder):
            _run(["apt-get", "update"], folder)
            _run(["apt-get", "download", "prometheus"], folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), "tree"], folder)
        Path(folder, "tree/usr/bin/promtool").replace(target)


def _ran(command: list[str], folder: str) -> bool:
    try:
        _run(command, folder)
    except OSError:
        return False
    return True


def _run(command: list[str], folder: str) -> None:
    run = subprocess.run(
        command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    if run.returncode != 0:
        raise OSError(f"{' '.join(command)}: {run.stdout.strip() or run.returncode}")


if __name__ == "__main__":
    try:
        print(find())
    except Missing as missing:
        sys.exit(str(missing))
