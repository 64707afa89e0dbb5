"""waguard-doctor: one visit. Reads one request line from standard input, writes JSON lines to standard output.

systemd starts it for each connection to /run/waguard/doctor (systemd/waguard-doctor.socket), in a sandbox of its own: it may
reach the network and write nothing, where the guard may write and reach nothing. Lines: ``{"progress": "…"}`` meanwhile, then
``{"result": {…}}`` or ``{"error": "…"}``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional

_LONGEST = 4 << 20


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
    from waguard.doctor import visit
    from waguard.settings import SettingsError

    line = sys.stdin.readline(_LONGEST)
    try:
        request = visit.request_of(line)
        result = visit.visit(request, lambda title: _write({"progress": title}))
    except (ValueError, SettingsError) as error:
        _write({"error": str(error)[:1000]})
        return 1
    _write({"result": result})
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
