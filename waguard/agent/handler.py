"""An extension handler on disk: folder names, state words, HandlerStatus, status files, and what may be said of settings.

Source: WALinuxAgent azurelinuxagent/ga/exthandlers.py (names, states, parse_ext_status, get_installed_version,
_get_last_modified_seq_no_from_config_files), common/exception.py (ExtensionErrorCodes). The agent writes these files in place, so
a reader can meet them empty or cut off: ``Fault.HALF`` says "read again".
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any, Optional

from waguard.agent import redact
from waguard.i18n import message

VMSNAPSHOT = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
"""The backup extension's full name (azure-linux-extensions VMBackup/manifest.xml)."""
AGENT = "WALinuxAgent"
"""Folders of the agent itself look like a handler's; the agent skips them (list_agent_lib_directory)."""
MAX_BYTES = 1024 * 1024
"""More is no status and no settings: the agent cuts a status at 128 KiB."""
MAX_MESSAGE = 300
"""Characters of a message that are kept for a person."""

HANDLER_STATE = "HandlerState"
HANDLER_STATUS = "HandlerStatus"
CODES: Mapping[int, str] = {
    -1: message("unknown failure"), 0: "ok", 1000: message("processing failed"),
    1001: message("its manifest could not be downloaded"), 1002: message("HandlerManifest.json was not found"),
    1003: message("HandlerManifest.json is no JSON"), 1004: message("its package could not be downloaded"),
    1005: message("its package could not be extracted"), 1007: message("install failed"), 1008: message("update failed"),
    1009: message("enable failed"), 1010: message("disable failed"), 1011: message("a command took longer than its limit"),
    1012: message("its status file is not valid"),
}
"""Error codes of the agent in HandlerStatus (common/exception.py ExtensionErrorCodes), as a person reads them."""
INSTALL_LIMIT = 900.0


class State(str, Enum):
    """``config/HandlerState``. A missing file is NotInstalled."""

    NOT_INSTALLED = "NotInstalled"
    INSTALLED = "Installed"
    ENABLED = "Enabled"
    FAILED_UPGRADE = "FailedUpgrade"


class Fault(Enum):
    """Why a file does not tell."""

    HALF = "half-written"
    """Empty or cut off: its writer may be at it. Read again before saying that it is broken."""
    BROKEN = "broken"
    """It will not get better by reading again."""


class Unreadable(ValueError):
    """These bytes do not tell. The text is for a person and begins with what is wrong: it is shown behind the file's path."""

    def __init__(self, fault: Fault, sentence: str, **words: object) -> None:
        """``sentence``: a message that begins with ``{path}``. It is translated together with one."""
        super().__init__(sentence.format(path="", **words).lstrip(" "))
        self.fault = fault


@dataclass(frozen=True)
class Folder:
    """A version folder of a handler. ``version``: its numbers, for comparing; ``text``: as in the name."""

    handler: str
    version: tuple[int, ...]
    text: str


@dataclass(frozen=True)
class Report:
    """``config/HandlerStatus``: what the agent says of the handler. What is not there, or of another type, is None."""

    status: Optional[str]
    """Ready, NotReady, Installing or Unresponsive."""
    code: Optional[int]
    message: str
    version: Optional[str]
    multi_config: bool


@dataclass(frozen=True)
class Status:
    """Element 0 of a status file. ``word``: transitioning, warning, error or success; any other is an error, as for the agent."""

    word: str
    code: Optional[int]
    message: str
    operation: Optional[str]
    at: Optional[float]
    """Epoch seconds, by the writer's clock."""
    body: Mapping[str, Any]
    """The ``status`` object itself, for those who know more of this extension."""


@dataclass(frozen=True)
class Settings:
    """All that is ever said of a settings file. ``protected``: it has protectedSettings that are not null; None if no JSON.

    ``thumbprint``: of the certificate they are encrypted for, "" for none; to look for its files, and never to be shown.
    """

    json: bool
    empty: bool
    protected: Optional[bool]
    thumbprint: str = field(default="", repr=False)


_FOLDER = re.compile(r"([^-/]+)-([0-9]{1,9}(?:\.[0-9]{1,9}){0,7})")
_NUMBERED = re.compile(r"(?:(.+)\.)?([0-9]{1,18})\.(settings|status)", re.DOTALL)
_ISO = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.[0-9]*)?(?:Z|\+00:00)?")
_TICKS = re.compile(r"\\?/Date\((-?[0-9]{1,15})(?:[+-][0-9]{4})?\)\\?/")
_WORDS = frozenset(("transitioning", "warning", "error", "success"))


def folder(name: str) -> Optional[Folder]:
    """The handler folder of this name; None for any other name, and for the agent's own folders.

    The handler's name is all before the first ``-``, the dotted version all after it.
    """
    found = _FOLDER.fullmatch(name)
    if found is None or found.group(1) == AGENT:
        return None
    return Folder(found.group(1), version_of(found.group(2)), found.group(2))


def version_of(text: str) -> tuple[int, ...]:
    """The numbers of a dotted version without trailing zeros, for comparing: 1.0.91.0 < 1.0.9110.1. () for what is none."""
    parts = text.split(".")
    if not all(part.isascii() and part.isdigit() and len(part) <= 9 for part in parts):
        return ()
    numbers = [int(part) for part in parts]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers)


def state(data: bytes) -> State:
    """The word in HandlerState. Raises Unreadable for what is none."""
    word = data.strip(b" \t\r\n\0").decode("ascii", "replace")
    try:
        return State(word)
    except ValueError:
        half = any(one.value.startswith(word) for one in State)
        fault = Fault.HALF if half else Fault.BROKEN
        if not word:
            raise Unreadable(fault, message("{path} is empty")) from None
        raise Unreadable(fault, message("{path} says {word}, which is no state"), word=repr(clean(word, 40))) from None


def installed(folders: Iterable[tuple[Folder, Optional[State]]]) -> Optional[Folder]:
    """The installed one among the folders of one handler: the highest version whose state is neither missing (None),
    NotInstalled nor FailedUpgrade (get_installed_version). None when there is none."""
    usable = [one for one, found in folders if found in (State.INSTALLED, State.ENABLED)]
    return max(usable, key=lambda one: one.version) if usable else None


def numbered(name: str) -> Optional[tuple[str, int, str]]:
    """(extension, sequence, "settings" or "status") of ``N.settings``, ``N.status`` and their form with several extensions,
    ``EXT.N.settings``; the extension is "" for a handler with one. None for temporary files, history and all else."""
    found = _NUMBERED.fullmatch(name)
    return (found.group(1) or "", int(found.group(2)), found.group(3)) if found else None


def report(data: bytes) -> Report:
    """Read HandlerStatus. Raises Unreadable. Wrong types inside are taken as not there."""
    tree = _json(data)
    if not isinstance(tree, dict):
        raise Unreadable(Fault.BROKEN, message("{path} is not a JSON object"))
    return Report(_text(tree.get("status")), code_of(tree.get("code")), message_of(tree.get("message")),
                  _text(tree.get("version")), tree.get("supports_multi_config") is True)


def status(data: bytes) -> Status:
    """Read a status file of any extension. Raises Unreadable, also for a shape that the agent refuses (code 1012)."""
    tree = _json(data)
    if not isinstance(tree, list):
        raise Unreadable(Fault.BROKEN, message("{path} is not a JSON array"))
    if not tree:
        raise Unreadable(Fault.BROKEN, message("{path} is an empty array"))
    first = tree[0]
    body = first.get("status") if isinstance(first, dict) else None
    if not isinstance(body, dict) or "status" not in body:
        raise Unreadable(Fault.BROKEN, message("{path} has no status in it"))
    word = body["status"]
    return Status(
        word=word if isinstance(word, str) and word in _WORDS else "error",
        code=code_of(body.get("code")), message=formatted(body.get("formattedMessage")), operation=_text(body.get("operation")),
        at=moment(first.get("timestampUTC")), body=body)


def settings(data: bytes) -> Settings:
    """What may be said of a settings file: is it JSON, does it have protectedSettings, and for whom. Never a value of those.

    An empty one is what the agent writes for an extension without settings. Raises Unreadable(HALF) for one that is cut off.
    """
    if not data.strip(b" \t\r\n\0"):
        return Settings(False, True, None)
    try:
        tree = _json(data)
    except Unreadable as error:
        if error.fault is Fault.HALF:
            raise
        return Settings(False, False, None)
    found, thumbprint = None, ""
    runtime = tree.get("runtimeSettings") if isinstance(tree, dict) else None
    first = runtime[0] if isinstance(runtime, list) and runtime else None
    inner = first.get("handlerSettings") if isinstance(first, dict) else None
    if isinstance(inner, dict):
        found = inner.get("protectedSettings")
        named = inner.get("protectedSettingsCertThumbprint")
        thumbprint = named if isinstance(named, str) and re.fullmatch(r"[0-9A-Fa-f]{8,128}", named, re.ASCII) else ""
    return Settings(True, False, found not in (None, "", {}), thumbprint)


def code_of(value: object) -> Optional[int]:
    """A code as a number: extensions write 4, "4" and 4.0. None for anything else."""
    if isinstance(value, str) and len(value) <= 12 and re.fullmatch(r"\s*-?[0-9]+\s*", value, re.ASCII):
        return int(value)
    if isinstance(value, float) and value == value and abs(value) < 1e12 and value == int(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 10**12:
        return value
    return None


def message_of(value: object) -> str:
    """A message for a person; of the JSON in a string that VMSnapshot writes, its messageStr. "" for none."""
    if not isinstance(value, str):
        return ""
    inner = loads(value) if value.lstrip().startswith("{") else None
    told = inner.get("messageStr") if isinstance(inner, dict) else None
    return clean(told if isinstance(told, str) else value, ends=True)


def formatted(value: object) -> str:
    """The message of a formattedMessage, without what a customer's script printed: it follows ``[stdout]`` and ``[stderr]`` in
    the statuses of CustomScript and RunCommand, and may be any secret."""
    message = value.get("message") if isinstance(value, dict) else None
    return message_of(_PRINTED.split(message, maxsplit=1)[0] if isinstance(message, str) else None)


def moment(value: object) -> Optional[float]:
    """Epoch seconds of "2019-06-06T23:52:59Z" (UTC) or "/Date(1559865179380)/" (milliseconds); None for anything else."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    ticks = _TICKS.fullmatch(value)
    if ticks:
        return int(ticks.group(1)) / 1000
    found = _ISO.fullmatch(value)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups())
    try:
        return datetime(year, month, day, hour, minute, min(second, 59), tzinfo=timezone.utc).timestamp()
    except ValueError:
        return None


def loads(text: str) -> Any:
    """JSON of a string; None for what is none or nested too deeply."""
    try:
        return json.loads(text, parse_int=_number)
    except (ValueError, RecursionError):
        return None


def _number(digits: str) -> float:
    """Thousands of digits take Python long, and newer ones refuse them; no number of ours is that long."""
    return int(digits) if len(digits) <= 20 else float(digits)


_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,15}://)(?:[^\s/?#@\"'<>]*@)?([^\s/?#\"'<>,;]*)([/?#][^\s\"'<>]*)?")
_HEX = re.compile(r"(?i)(?<![0-9a-z])[0-9a-f]{40}(?:[0-9a-f]{24})?(?![0-9a-z])")
_BLOB = re.compile(r"(?<![\w/.+=-])[A-Za-z0-9+_-][A-Za-z0-9+/_=-]{63,}")
_PRINTED = re.compile(r"(?i)\[std(?:out|err)\]")
_LONGEST = 65536


def clean(text: str, limit: int = MAX_MESSAGE, ends: bool = False) -> str:
    """Somebody else's text as one short line without secrets: of a URL only scheme and host stay (a snapshot's path names a
    disk, its query may be a key); tokens, signatures, thumbprints and long encoded data go. ``ends``: of a long one the end is
    kept too, where a traceback has its reason."""
    text = text[:_LONGEST]
    text = _URL.sub(lambda found: found.group(1) + found.group(2) + ("/…" if found.group(3) else ""), text)
    text = redact.text(text)
    text = _BLOB.sub("…", _HEX.sub("…", text))
    text = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    if len(text) <= limit:
        return text
    if not ends:
        return text[:limit - 1].rstrip() + "…"
    tail = (limit - 3) // 2
    return f"{text[:limit - 3 - tail].rstrip()} … {text[-tail:].lstrip()}"


def _json(data: bytes) -> Any:
    if len(data) > MAX_BYTES:
        raise Unreadable(Fault.BROKEN, message("{path} is larger than {limit} KiB"), limit=MAX_BYTES // 1024)
    if not data.strip(b" \t\r\n\0"):
        raise Unreadable(Fault.HALF, message("{path} is empty"))
    try:
        return json.loads(data.decode("utf-8-sig"), parse_int=_number)
    except UnicodeDecodeError as error:
        cut = error.end >= len(data) and error.reason == "unexpected end of data"
        raise Unreadable(Fault.HALF if cut else Fault.BROKEN, message("{path} is not UTF-8 text")) from None
    except RecursionError:
        raise Unreadable(Fault.BROKEN, message("{path} is nested too deeply")) from None
    except json.JSONDecodeError as error:
        text = error.doc.rstrip(" \t\r\n\0")
        cut = error.pos >= len(text) or "Unterminated string" in error.msg or text[-1:] not in ("]", "}")
        if cut:
            raise Unreadable(Fault.HALF, message("{path} ends in the middle")) from None
        raise Unreadable(Fault.BROKEN, message("{path} is no JSON: {reason} at character {position}"), reason=error.msg,
                         position=error.pos) from None


def _text(value: object) -> Optional[str]:
    return clean(value, 100) if isinstance(value, str) else None
