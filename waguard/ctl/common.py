"""What every verb shares: the sockets, the envelope, errors with a hint, colour and time for people.

Light on imports on purpose: ``waguardctl status`` has to come up at once.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, Optional

from waguard import durations, varlink

RUN_DIR = "/run/waguard"
SCHEMA = 1


class Failure(Exception):
    """Ends the verb: one line that says what is wrong, one that says what to do, and the exit status."""

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def read(args: Any, method: str, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 5.0) -> dict[str, Any]:
    """Call a method of the status socket. Raises Failure."""
    return _call(os.path.join(args.run_dir, "status"), method, parameters or {}, timeout)  # noqa: PTH118 - pathlib costs 10 ms


def order(args: Any, method: str, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 30.0) -> dict[str, Any]:
    """Call a method of the control socket. Raises Failure."""
    return _call(os.path.join(args.run_dir, "control"), method, parameters or {}, timeout)  # noqa: PTH118


def snapshot(args: Any) -> dict[str, Any]:
    """The guard's snapshot. Raises Failure when the guard does not answer."""
    found = read(args, "GetSnapshot").get("snapshot")
    if not isinstance(found, dict):
        raise Failure("the guard answered without a snapshot", "are guard and waguardctl of the same version?")
    return found


def _call(path: str, method: str, parameters: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    try:
        return varlink.call(path, f"io.waguard.{method}", parameters, timeout)
    except varlink.VarlinkError as error:
        raise explain(error, path) from error


def explain(error: varlink.VarlinkError, path: str) -> Failure:
    """A Varlink error in words for a person."""
    if isinstance(error, varlink.Unreachable):
        if error.errno in (errno.EACCES, errno.EPERM):
            return Failure(f"permission denied: {path} is open to root and to members of group waguard only",
                           "use sudo, or ask an administrator for: usermod -aG waguard " + _login())
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            return Failure("the guard does not run", "systemctl start waguard; journalctl -u waguard -n 20")
        return Failure(f"the guard cannot be reached: {error}", "systemctl status waguard")
    if isinstance(error, varlink.TimedOut):
        return Failure("the guard did not answer in time", "systemctl status waguard")
    if isinstance(error, varlink.RemoteError):
        if error.name == "io.waguard.Refused":
            return Failure(f"refused: {error.parameters.get('reason', '')}", str(error.parameters.get("hint", "")))
        return Failure(f"the guard answered {error.name} {error.parameters or ''}".rstrip(),
                       "are guard and waguardctl of the same version?")
    return Failure(f"the guard's answer cannot be understood: {error}", "are guard and waguardctl of the same version?")


def _login() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "USER"


def emit(args: Any, result: Any, text: str, warnings: tuple[str, ...] = ()) -> None:
    """The verb's result: the envelope with --json, else text, with warnings to stderr."""
    if args.json:
        print(json.dumps({"schema": SCHEMA, "result": result, "warnings": list(warnings)}, indent=2))
        return
    if text:
        print(text)
    for warning in warnings:
        print(paint("warning:", "yellow", sys.stderr) + f" {warning}", file=sys.stderr)


def parse_duration(text: str) -> float:
    """For argparse: a duration in seconds."""
    import argparse

    try:
        return durations.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


def coloured(stream: Any = None) -> bool:
    """Only on a terminal, never with NO_COLOR (https://no-color.org)."""
    stream = stream or sys.stdout
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def paint(text: str, colour: str, stream: Any = None) -> str:
    """Text in a colour, where colours are wanted."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and coloured(stream) else text


def ago(at: Optional[float], now: float) -> str:
    """``3m ago``; ``unknown`` for None."""
    if at is None:
        return "unknown"
    return "just now" if now - at < 1 else f"{durations.show(now - at)} ago"


def clock(at: float, now: float) -> str:
    """Local time of day, with the date when it is not within the last day."""
    return time.strftime("%H:%M:%S" if abs(now - at) < 72000 else "%Y-%m-%d %H:%M:%S", time.localtime(at))


def size(count: Optional[int]) -> str:
    """Bytes for people."""
    return "unknown" if count is None else f"{count / 1e6:.1f} MB"


def rows(pairs: list[tuple[str, str]], indent: str = "  ") -> str:
    """Two aligned columns."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{indent}{paint(name.ljust(width), 'dim')}  {text}" for name, text in pairs)
