"""What every verb shares: the sockets, the envelope, errors with a hint, colour and time for people.

Light on imports on purpose: ``waguardctl status`` has to come up at once.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from waguard import durations, varlink
from waguard.i18n import message, say, tr, translated

RUN_DIR = "/run/waguard"
SCHEMA = 1
_OTHER_VERSION = message("are guard and waguardctl of the same version? If it was just updated: systemctl restart waguard")
_LEVELS = (message("ok"), message("info"), message("warning"), message("critical"), message("unknown"))
_SEVERITIES = ("critical", "warning", "info")


class Failure(Exception):
    """Ends the verb: one line that says what is wrong, one that says what to do, both in English, and the exit status."""

    def __init__(self, message: str, hint: str = "", code: int = 1) -> None:
        super().__init__(message)
        self.hint = hint
        self.code = code


def read(args: Any, method: str, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 5.0) -> dict[str, Any]:
    """Call a method of the status socket. Raises Failure."""
    return _call(os.path.join(args.run_dir, "status"), method, parameters or {}, timeout)


def order(args: Any, method: str, parameters: Optional[Mapping[str, Any]] = None, timeout: float = 30.0) -> dict[str, Any]:
    """Call a method of the control socket. Raises Failure."""
    return _call(os.path.join(args.run_dir, "control"), method, parameters or {}, timeout)


def stream(args: Any, method: str, parameters: Mapping[str, Any], timeout: Optional[float],
           socket: str = "status") -> Iterator[dict[str, Any]]:
    """Replies of a method that gives several. Raises Failure."""
    path = os.path.join(args.run_dir, socket)
    try:
        yield from varlink.stream(path, f"io.waguard.{method}", parameters, timeout=timeout)
    except varlink.VarlinkError as error:
        raise explain(error, path) from error


def snapshot(args: Any) -> dict[str, Any]:
    """The guard's snapshot. Raises Failure when the guard does not answer."""
    found = read(args, "GetSnapshot").get("snapshot")
    if not isinstance(found, dict):
        raise unusable(say("it has no snapshot"))
    return found


def unusable(what: object) -> Failure:
    """For an answer that is not what it should be."""
    return Failure(say("the guard's answer cannot be used: {said_why}", said_why=plain(what)), _OTHER_VERSION)


def _call(path: str, method: str, parameters: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    try:
        return varlink.call(path, f"io.waguard.{method}", parameters, timeout)
    except varlink.VarlinkError as error:
        raise explain(error, path) from error


def explain(error: varlink.VarlinkError, path: str) -> Failure:
    """A Varlink error in words for a person."""
    if isinstance(error, varlink.Unreachable):
        if error.errno in (errno.EACCES, errno.EPERM):
            return Failure(say("permission denied: {path} is open to root and to members of group waguard only", path=path),
                           say("use sudo, or ask an administrator for: usermod -aG waguard {login}", login=_login()))
        if error.errno in (errno.ENOENT, errno.ECONNREFUSED):
            return Failure(say("the guard does not run"), "systemctl start waguard; journalctl -u waguard -n 20")
        if error.errno in (errno.ECONNRESET, errno.EPIPE):
            return Failure(say("the guard hung up"), say("it is ending, or has too many clients: systemctl status waguard"))
        return Failure(say("the guard cannot be reached: {path}: {said_error}", path=error.path,
                           said_error=os.strerror(error.errno)), "systemctl status waguard")
    if isinstance(error, varlink.TimedOut):
        return Failure(say("the guard did not answer in time"), "systemctl status waguard")
    if isinstance(error, varlink.RemoteError):
        return _answered(error)
    return unusable(error)


def _answered(error: varlink.RemoteError) -> Failure:
    """An error that the guard itself sent."""
    told, name = error.parameters, error.name.rpartition(".")[2]
    if error.name == "io.waguard.Refused":
        return Failure(say("refused: {said_reason}", said_reason=plain(told.get("reason", ""))), plain(told.get("hint", "")))
    if name == "InvalidParameter":
        parameter = plain(told.get("parameter", ""))
        return Failure(say("the guard does not take this value of '{parameter}'", parameter=parameter), _OTHER_VERSION)
    if name in ("InterfaceNotFound", "MethodNotFound", "MethodNotImplemented"):
        return Failure(say("this guard cannot do that"), _OTHER_VERSION)
    return Failure(say("the guard answered {answer}", answer=plain(error)), _OTHER_VERSION)


def _login() -> str:
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "USER"


def emit(args: Any, result: Any, text: str, warnings: tuple[str, ...] = ()) -> None:
    """The verb's result: the envelope with --json, else text, with warnings to stderr. ``warnings``: in English."""
    if args.json:
        print(json.dumps({"schema": SCHEMA, "result": result, "warnings": list(warnings)}, indent=2))
        return
    if text:
        print(text)
    for warning in warnings:
        print(paint(tr("warning:"), "yellow", sys.stderr) + f" {shown(warning)}", file=sys.stderr)


def parse_duration(text: str) -> float:
    """For argparse: a duration in seconds."""
    import argparse

    try:
        seconds = durations.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(shown(error)) from None
    if seconds > _LONGEST:
        raise argparse.ArgumentTypeError(tr("'{duration}' is too long", duration=text[:40]))
    return seconds


def plain(value: object) -> str:
    """One line that is safe for a terminal: what comes from logs and files must not move its cursor."""
    text = "; ".join(str(value).splitlines())
    return text if text.isprintable() else "".join(char if char.isprintable() else "\ufffd" for char in text)


def shown(value: object) -> str:
    """What was said in English, by another process or by this one, in the reader's language and safe for a terminal."""
    return translated(plain(value))


def level(word: str, aligned: bool = False) -> str:
    """A level or a severity as it is shown; ``aligned``: as wide as any severity."""
    return tr(word).ljust(level_width()) if aligned else tr(word)


def level_width() -> int:
    """Columns that the longest severity takes."""
    return max(len(tr(word)) for word in _SEVERITIES)


def tidy(value: Any) -> Any:
    """A reply with every text in it made plain, for people."""
    if isinstance(value, dict):
        return {plain(key): tidy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [tidy(item) for item in value]
    return plain(value) if isinstance(value, str) else value


_LONGEST = 1e9
_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}


def coloured(stream: Any = None) -> bool:
    """Only on a terminal, never with NO_COLOR (https://no-color.org)."""
    stream = stream or sys.stdout
    plain_wanted = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return stream is not None and not plain_wanted and stream.isatty()


def paint(text: str, colour: str, stream: Any = None) -> str:
    """Text in a colour, where colours are wanted."""
    return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if colour and coloured(stream) else text


def ago(at: Optional[float], now: float) -> str:
    """``3m ago``; ``unknown`` for None."""
    if at is None:
        return tr("unknown")
    return tr("just now") if now - at < 1 else tr("{span} ago", span=durations.show(now - at))


def clock(at: float, now: float) -> str:
    """Local time of day, with the date when it is not within the last day."""
    return time.strftime("%H:%M:%S" if abs(now - at) < 72000 else "%Y-%m-%d %H:%M:%S", time.localtime(at))


def size(count: Optional[int]) -> str:
    """Bytes for people."""
    return tr("unknown") if count is None else f"{count / 1e6:.1f} MB"


def rows(pairs: list[tuple[str, str]], indent: str = "  ") -> str:
    """Two aligned columns."""
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{indent}{paint(name.ljust(width), 'dim')}  {text}" for name, text in pairs)
