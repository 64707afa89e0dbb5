"""The status JSON that the agent rewrites at every turn of its loop, in all its shapes.

Source: azurelinuxagent/common/protocol/wire.py (vm_status_to_v1) for 2.5 and newer; ga/exthandlers.py
(write_ext_handlers_status_to_info_file) for 2.2.35 to 2.4. The file is written in place, so a reader can meet it empty
or cut off: read again, and take the file's mtime for the sign of life, not its content.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum

from waguard.agent.versions import AgentVersion, try_parse

MAX_BYTES = 2 * 1024 * 1024
"""More is no status: the agent holds each extension's part under 128 KiB."""
_MAX_TEXT = 4096
_MOMENT = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z")


class Fault(Enum):
    """Why bytes are no status."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    NOT_JSON = "not-json"
    TOO_BIG = "too-big"
    TOO_DEEP = "too-deep"
    WRONG_SHAPE = "wrong-shape"


class StatusError(ValueError):
    """These bytes are no status; `fault` says why for programs, the message for people."""

    def __init__(self, fault: Fault, message: str) -> None:
        super().__init__(message)
        self.fault = fault


@dataclass(frozen=True)
class Handler:
    """One extension handler as last reported to Azure. Texts are the extension's own: redact before showing them."""

    name: str
    version: str | None
    status: str | None
    """Ready, NotReady, Installing or Unresponsive."""
    code: int | None
    message: str | None
    extension: str | None = None
    """Name of the extension under a handler that has several."""
    sequence: int | None = None
    """Number of the settings that the rest speaks of."""
    operation: str | None = None
    operation_status: str | None = None
    """transitioning, warning, error or success."""
    operation_code: int | None = None
    operation_message: str | None = None


@dataclass(frozen=True)
class Status:
    """One status. What a generation does not write is None; a young 2.8+ agent writes `{}`, and then all of it is."""

    version: AgentVersion | None
    """Of the goal state agent."""
    at: float | None
    """Seconds since the epoch, by the agent's clock, when it was made."""
    status: str | None
    """"Ready" wherever it is written at all."""
    handlers: tuple[Handler, ...]
    daemon_version: AgentVersion | None = None
    """2.5 to 2.9 only; None also for the 0.0.0.0 of daemons before 2.2.53, which do not tell."""
    update_expected: AgentVersion | None = None
    """The version Azure asked for (RSM)."""
    update_status: str | None = None
    goal_state_status: str | None = None
    """Success or Failed, of the goal state as a whole."""
    python: str | None = None


def parse(data: bytes) -> Status:
    """Read a status of any generation. Raises StatusError, and nothing else, for bytes that are none.

    Wrong types inside a status are taken as not there: a watcher is better off with half of it.
    """
    tree = _tree(data)
    return _old(tree) if "extensions_status" in tree or "goal_state_version" in tree else _new(tree)


def _tree(data: bytes) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise StatusError(Fault.TOO_BIG, f"the status has {len(data)} bytes, more than the {MAX_BYTES} that are read")
    if not data.strip(b" \t\r\n\0"):
        raise StatusError(Fault.EMPTY, "the status is empty: the agent was writing it, or its disk was full")
    try:
        tree = json.loads(data.decode("utf-8", "strict"))
    except UnicodeDecodeError as error:
        raise StatusError(Fault.NOT_JSON, f"the status is no text: byte {error.start} is not UTF-8") from error
    except RecursionError as error:
        raise StatusError(Fault.TOO_DEEP, "the status is nested too deeply") from error
    except json.JSONDecodeError as error:
        text = error.doc.strip()
        if text.startswith("{") and (error.pos >= len(error.doc.rstrip()) or not text.endswith("}")):
            raise StatusError(Fault.TRUNCATED, f"the status ends in the middle, after {len(data)} bytes") from error
        raise StatusError(Fault.NOT_JSON, f"the status is no JSON: {error.msg} at character {error.pos}") from error
    except ValueError as error:  # a number too long to convert
        raise StatusError(Fault.NOT_JSON, "the status holds a number that is too long") from error
    if not isinstance(tree, dict):
        raise StatusError(Fault.WRONG_SHAPE, f"the status is a JSON {type(tree).__name__}, not an object")
    return tree


def _new(tree: dict[str, object]) -> Status:
    whole = _object(tree, "aggregateStatus")
    agent = _object(whole, "guestAgentStatus")
    update = _object(agent, "updateStatus")
    private = _object(tree, "_metadataNotSentToCRP")
    goal_state = _object(_object(whole, "vmArtifactsAggregateStatus"), "goalStateAggregateStatus")
    daemon = try_parse(_text(private, "daemonVersion"))
    return Status(
        version=try_parse(_text(agent, "version")),
        at=_time(_text(tree, "timestampUTC")),
        status=_text(agent, "status"),
        handlers=tuple(_handler(item) for item in _objects(whole, "handlerAggregateStatus")),
        daemon_version=daemon if daemon and any(daemon.numbers) else None,
        update_expected=try_parse(_text(update, "expectedVersion")),
        update_status=_text(update, "status"),
        goal_state_status=_text(goal_state, "status"),
        python=_python(_text(private, "pythonVersion")),
    )


def _old(tree: dict[str, object]) -> Status:
    # current_version is that of the running code; goal_state_version is what a look at /proc found at its start.
    version = try_parse(_text(tree, "current_version")) or try_parse(_text(tree, "goal_state_version"))
    handlers = tuple(
        Handler(_text(item, "name") or "", _text(item, "version"), _text(item, "status"), None, None)
        for item in _objects(tree, "extensions_status")
    )
    at = _time(_text(tree, "last_successful_status_upload_time"))
    return Status(version, at, None, handlers, python=_python(_text(tree, "python_version")))


def _handler(item: dict[str, object]) -> Handler:
    settings = _object(item, "runtimeSettingsStatus")
    status = _object(_object(settings, "settingsStatus"), "status")
    return Handler(
        name=_text(item, "handlerName") or "",
        version=_text(item, "handlerVersion"),
        status=_text(item, "status"),
        code=_integer(item, "code"),
        message=_text(_object(item, "formattedMessage"), "message"),
        extension=_text(settings, "extensionName"),
        sequence=_integer(settings, "sequenceNumber"),
        operation=_text(status, "operation"),
        operation_status=_text(status, "status"),
        operation_code=_integer(status, "code"),
        operation_message=_text(_object(status, "formattedMessage"), "message"),
    )


def _object(tree: dict[str, object], key: str) -> dict[str, object]:
    found = tree.get(key)
    return found if isinstance(found, dict) else {}


def _objects(tree: dict[str, object], key: str) -> list[dict[str, object]]:
    found = tree.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _text(tree: dict[str, object], key: str) -> str | None:
    found = tree.get(key)
    return found[:_MAX_TEXT] if isinstance(found, str) else None


def _integer(tree: dict[str, object], key: str) -> int | None:
    found = tree.get(key)
    if isinstance(found, str) and len(found) <= 18 and found.isascii() and found.isdigit():
        return int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def _time(text: str | None) -> float | None:
    # strptime would do, but imports the locale's names of days first.
    found = _MOMENT.fullmatch(text) if text else None
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def _python(text: str | None) -> str | None:
    """ "3.11.2" of "Python: 3.11.2". """
    return text.partition(": ")[2] or text if text else None
