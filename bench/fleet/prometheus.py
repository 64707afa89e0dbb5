"""One real Prometheus on loopback, out of Debian's package, without anything being installed or started by it."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

CACHE = Path("/var/cache/waguard-lab")
MEMORY_LIMIT = 8 << 30
"""A Prometheus that takes more, in bytes, is ended (``Prometheus.check``)."""
Labels = Mapping[str, str]


class Missing(Exception):
    """There is no such program and none could be had; the message says why."""


class Broken(Exception):
    """Prometheus ended, did not answer, or took too much memory."""


def program(name: str) -> str:
    """Path of ``prometheus`` or ``promtool``: installed, or kept in $WAGUARD_LAB_CACHE, or out of the package. Raises Missing."""
    installed = shutil.which(name)
    if installed:
        return installed
    cached = Path(os.environ.get("WAGUARD_LAB_CACHE", CACHE)) / "prometheus" / name
    if not cached.exists():
        try:
            _fetch(cached.parent)
        except OSError as error:
            raise Missing(f"{name} is not installed, and could not be fetched: {error}") from error
    return str(cached)


def _fetch(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as folder:
        Path(folder).chmod(0o755)  # apt downloads as its own user
        try:
            _run(["apt-get", "download", "prometheus"], folder)
        except OSError:
            _run(["apt-get", "update"], folder)
            _run(["apt-get", "download", "prometheus"], folder)
        (package,) = Path(folder).glob("prometheus_*.deb")
        _run(["dpkg-deb", "-x", str(package), "tree"], folder)
        for name in ("prometheus", "promtool"):
            Path(folder, "tree/usr/bin", name).replace(target / name)


def _run(command: list[str], folder: str) -> None:
    run = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=300, check=False)
    if run.returncode != 0:
        raise OSError(f"{' '.join(command)}: {run.stdout.strip() or run.returncode}")


class Prometheus:
    """Started by ``with``, in a folder that is the caller's; ended with it."""

    def __init__(self, folder: Path, config: str) -> None:
        self.folder = folder
        self._config = config
        self._port = 0
        self._process: Optional[subprocess.Popen[bytes]] = None

    def __enter__(self) -> Prometheus:
        (self.folder / "prometheus.yml").write_text(self._config)
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self._port = found.getsockname()[1]
        with open(self.folder / "log", "wb") as log:
            self._process = subprocess.Popen(
                [program("prometheus"), f"--config.file={self.folder}/prometheus.yml", f"--storage.tsdb.path={self.folder}/data",
                 f"--web.listen-address=127.0.0.1:{self._port}", "--log.level=warn"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 60
        while True:
            try:
                self._get("/-/ready")
                return self
            except Broken:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.__exit__()
                    raise Broken(f"prometheus does not start: {(self.folder / 'log').read_text()[-2000:]}") from None
                time.sleep(0.1)

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _get(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body = answer.read().decode()
        except OSError as error:
            raise Broken(f"{path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise Broken(f"{path}: {answer.status} {body[:500]}")
        return body

    def api(self, path: str, **parameters: str) -> Any:
        """``data`` of an answer of /api/v1. Raises Broken."""
        return json.loads(self._get(f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}"))["data"]

    def query(self, expression: str) -> list[tuple[Labels, float]]:
        """An instant vector: labels and value of each."""
        return [(sample["metric"], float(sample["value"][1])) for sample in self.api("query", query=expression)["result"]]

    def value(self, expression: str) -> float:
        """Of a query that gives one sample. Raises Broken when it gives none."""
        found = self.query(expression)
        if len(found) != 1:
            raise Broken(f"{expression} gives {len(found)} samples")
        return found[0][1]

    def own(self) -> dict[str, float]:
        """Its metrics about itself, as they are now: series to value."""
        samples = re.finditer(r"^([a-z][^#\n]*?) (\S+)$", self._get("/metrics"), re.MULTILINE)
        return {sample[1]: float(sample[2]) for sample in samples}

    def check(self) -> dict[str, float]:
        """``own``. Raises Broken when it takes more than MEMORY_LIMIT."""
        found = self.own()
        if found["process_resident_memory_bytes"] > MEMORY_LIMIT:
            raise Broken(f"prometheus takes {found['process_resident_memory_bytes'] / 2**30:.1f} GiB")
        return found
