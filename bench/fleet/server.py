"""All VMs of a fleet behind one listening socket of loopback: ``/vm/NUMBER/metrics``.

Run as a program: ``python -m bench.fleet.server COUNT SEED``; it prints its port when it is ready and ends with its stdin.
A VM that is silent takes the request and says nothing; one that refuses hangs up. ``/told``: what each VM answered at last.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import zlib
from typing import Optional

from bench.fleet.body import Exposition
from bench.fleet.life import ANSWERS, REFUSED, Life

ACCEPT = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
          "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
"""What Prometheus 2.42 asks for."""
_LONGEST = 64 * 1024


class Fleet:
    """Lives by number. ``told``: number to the series of its last answer, or None when it gave none."""

    def __init__(self, count: int, seed: int, now: float) -> None:
        self.expositions = [Exposition(Life(number, seed, now)) for number in range(count)]
        self.told: dict[int, Optional[int]] = {}

    def warm(self, now: float) -> None:
        """Renders everything, which the first round of scrapes would else wait for."""
        for exposition in self.expositions:
            exposition.at(now, ACCEPT)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, kept alive for as long as the client likes."""
        try:
            while await self._one(reader, writer):
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        path = lines[0].split(" ")[1] if lines[0].count(" ") == 2 else ""
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        if path == "/told":
            return _answer(writer, 200, json.dumps(self.told).encode(), "application/json", False)
        number = path[4:-8] if path.startswith("/vm/") and path.endswith("/metrics") else ""
        if not number.isdigit() or int(number) >= len(self.expositions):
            return _answer(writer, 404, b"no such VM\n", "text/plain", False)
        exposition = self.expositions[int(number)]
        body, kind = exposition.at(time.time(), headers.get("accept", ""))
        if exposition.life.reach == ANSWERS:
            self.told[int(number)] = exposition.series
            return _answer(writer, 200, body, kind, "gzip" in headers.get("accept-encoding", ""))
        self.told[int(number)] = None
        if exposition.life.reach != REFUSED:
            await reader.read(1)  # until the client has had enough
        return False


def _answer(writer: asyncio.StreamWriter, status: int, body: bytes, kind: str, gzip: bool) -> bool:
    packed = b""
    if gzip:
        packer = zlib.compressobj(1, wbits=16 + zlib.MAX_WBITS)
        body, packed = packer.compress(body) + packer.flush(), b"Content-Encoding: gzip\r\n"
    writer.write(b"HTTP/1.1 %d %s\r\nContent-Type: %s\r\n%sContent-Length: %d\r\n\r\n%s" % (
        status, b"OK" if status == 200 else b"Not Found", kind.encode(), packed, len(body), body))
    return True


async def _main(count: int, seed: int) -> None:
    fleet = Fleet(count, seed, time.time())
    fleet.warm(time.time())
    server = await asyncio.start_server(fleet.serve, "127.0.0.1", 0, limit=_LONGEST, backlog=1024)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), int(sys.argv[2])))
