"""The exporter's log on stderr: plain lines, or logfmt or JSON with the keys that the Go exporters write."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Optional

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
FORMATS = ("logfmt", "json")
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
_NAMES = {"WARNING": "WARN", "CRITICAL": "ERROR"}


class _Fields(logging.Formatter):
    """One line a record, of time, level, msg and, with a traceback, err: what promslog of prometheus/common writes."""

    def __init__(self, as_json: bool) -> None:
        super().__init__()
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        fields = {"time": moment, "level": _NAMES.get(record.levelname, record.levelname), "msg": record.getMessage()}
        if record.exc_info:
            fields["err"] = self.formatException(record.exc_info)
        if self._as_json:
            return json.dumps(fields)
        return " ".join(f"{key}={_quoted(value)}" for key, value in fields.items())


def _quoted(value: str) -> str:
    plain = value and value.isascii() and value.isprintable() and not set(' "=\\') & set(value)
    return value if plain else json.dumps(value)


class _Journal(logging.Formatter):
    """Lines with the priority prefix that the journal understands, sd-daemon(3), around another format."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return prefix + self._inner.format(record).replace("\n", f"\n{prefix}")


def to_stderr(level: str, form: Optional[str] = None) -> None:
    """Log there from now on. ``form`` None is lines for people: in the journal the message alone, else with its level."""
    handler = logging.StreamHandler(sys.stderr)
    stream = os.fstat(sys.stderr.fileno())
    journal = os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"  # systemd.exec(5)
    formatter = _Fields(form == "json") if form else logging.Formatter("%(message)s" if journal else "%(levelname)s: %(message)s")
    handler.setFormatter(_Journal(formatter) if journal else formatter)
    logging.basicConfig(level=LEVELS[level], handlers=[handler])
