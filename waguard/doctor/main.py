"""waguard-doctor: one visit, or one probe of the wire server. Reads one request line from standard input, writes JSON lines.

systemd starts it for each connection to /run/waguard/doctor (systemd/waguard-doctor.socket), in a sandbox of its own: it may
reach the network and write nothing, where the guard may write and reach nothing. Lines: ``{"progress": "…"}`` meanwhile, then
``{"result": {…}}`` or ``{"error": "…"}``. A request is that of doctor/visit.py, or
``{"probe": {"address": "HOST:PORT", "timeout": SECONDS}}``, whose result are the fields of observe/azure.py, Probe.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional

_LONGEST = 4 << 20
_LONGEST_PROBE = 60.0
_PROBE = '{"probe":'


def main(argv: Optional[Sequence[str]] = None) -> int:
    """The program. Exit status: 0 a result was written, 1 not, 2 wrong usage."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words:
        parser().parse_args(words)
    try:
        code = _serve()
    except (BrokenPipeError, ConnectionError):
        code = 1  # Who asked has gone.
    # A thread that hangs in a dead mount would hold up the interpreter's end.
    os._exit(code)


def _serve() -> int:
    line = sys.stdin.readline(_LONGEST)
    if line.startswith(_PROBE):
        return _probe(line)
    from waguard.doctor import visit
    from waguard.settings import SettingsError

    try:
        request = visit.request_of(line)
        result = visit.visit(request, lambda title: _write({"progress": title}))
    except (ValueError, SettingsError) as error:
        _write({"error": str(error)[:1000]})
        return 1
    _write({"result": result})
    return 0


def _probe(line: str) -> int:
    """One question to the wire server, without all that a visit needs."""
    from dataclasses import asdict

    from waguard.observe import azure

    try:
        asked = json.loads(line)["probe"]
        address, timeout = str(asked["address"]), min(float(asked["timeout"]), _LONGEST_PROBE)
    except (LookupError, TypeError, ValueError, RecursionError):
        _write({"error": "the request is no probe of an address within a time"})
        return 1
    _write({"result": asdict(azure.probe(address, timeout))})
    return 0


def _write(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message, separators=(",", ":")) + "\n")
    sys.stdout.flush()


def parser() -> Any:
    """The command line, also for man page and completion."""
    import argparse

    from waguard import __version__

    parser = argparse.ArgumentParser(
        prog="waguard-doctor", description="Looks once at everything that could make a backup of this VM fail. Started by "
        "waguard-doctor.socket for waguardd; for people there is: waguardctl doctor.",
        epilog="example: echo '{}' | waguard-doctor | jq .result")
    parser.add_argument("--version", action="version", version=f"waguard-doctor {__version__}")
    return parser


if __name__ == "__main__":
    sys.exit(main())
