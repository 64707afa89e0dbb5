"""One real Prometheus on loopback, out of Debian's package, without anything being installed or started by it."""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from bench.programs import program

MEMORY_LIMIT = 8 << 30
"""A Prometheus that takes more, in bytes, is ended (``Prometheus.check``)."""
Labels = Mapping[str, str]


class Broken(Exception):
    """Prometheus ended, did not answer, or took too much memory."""


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
