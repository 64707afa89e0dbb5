"""Events: what was seen and what was done, in order, for people and for the journal.

One table says what kinds there are; the journal's message catalogue (systemd/waguard.catalog, ``journalctl -x``) is made
from it by ``python3 -m waguard.guard.events``. The history is a bounded ring of JSON lines in two tiers, like all
state (guard/store.py). A file of it that a newer waguard wrote, or in which there is what is no event, is kept aside
(guard/aside.py).
"""

from __future__ import annotations

import errno
import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from waguard import i18n
from waguard.act.files import replace_file
from waguard.guard import aside
from waguard.guard.aside import Aside
from waguard.guard.scribe import Scribe
from waguard.i18n import say
from waguard.observe import files

_LIMIT = 64 << 20
_TO_REWRITE = 1 << 30
VERSION = 1
"""Of the schema of the file, whose first line has it (a file without one is of version 1). Higher as in guard/store.py."""
NOTICE, WARNING, ERROR, INFO = 5, 4, 3, 6


@dataclass(frozen=True)
class Kind:
    """One kind of event. ``priority`` as in syslog(3); ``message_id`` for the journal; ``explanation`` for ``journalctl -x``."""

    id: str
    message_id: str
    priority: int
    subject: str
    explanation: str


_KINDS = (
    Kind("guard-started", "1fedd85e88044b989b43bcd2b17a9ea5", INFO, "waguard has started",
         "waguard watches the Azure Linux agent from now on."),
    Kind("guard-stopped", "2b0b1d663a834adaa26e1baa2659b2fe", INFO, "waguard is stopping",
         "Until it is started again nobody brings a dead agent back, and a verbose lease does not end."),
    Kind("settings-refused", "36a5f2e63c2b452f907bbb2f55c152b1", ERROR, "New settings were refused",
         "A file below /etc/waguard has an error. The guard goes on with the last good settings.\n"
         "Check with: waguardctl config check"),
    Kind("settings-reloaded", "17906fbd179c4864924ac19d107b7f17", INFO, "Settings were reloaded",
         "The guard works with the new settings from now on."),
    Kind("agent-found", "e6c96a30b87148f59aafb7bb7d18c513", INFO, "The agent was found",
         "The guard knows the agent's unit and watches its processes."),
    Kind("agent-started", "1788bad69c4b48e39f1d9fb46f60acda", NOTICE, "The agent has started",
         "A new run of the agent's daemon began. WAGUARD_ACTOR= says who started it: waguard, systemd or an administrator."),
    Kind("agent-exited", "ac530ec2701c4fb6b22433ebc9baebab", WARNING, "The agent's daemon ended by itself",
         "Nobody asked the service manager to stop it. waguard starts it again unless systemd does.\n"
         "Look at: journalctl -u walinuxagent -u waagent -n 50"),
    Kind("agent-stopped", "5fda6bd20ca04c958632455a316bda73", NOTICE, "The agent rests because somebody wants it so",
         "It was stopped, disabled, masked, or a package manager is at work on it. waguard keeps its hands off."),
    Kind("agent-action", "72da4879767d4f5cb94f88220ca76a4a", NOTICE, "waguard acts on the agent",
         "A start or a restart was ordered from the service manager. WAGUARD_REASON= says why."),
    Kind("agent-action-failed", "358ed78421c24d78aa65caa9ad84db6d", ERROR, "The service manager did not do it",
         "The order was refused, failed or took too long. The next one waits its turn."),
    Kind("agent-proved", "65291297a2e34bb5b0add12bb930ea0a", INFO, "The agent is proved to work again",
         "After the action the unit is active, the daemon and its handler run, and a new heartbeat was seen."),
    Kind("agent-not-proved", "44de653cc8b64b5394f71e3bce55b6a1", WARNING, "The action did not bring a working agent",
         "WAGUARD_STAGE= says how far it came: active, handler or heartbeat."),
    Kind("agent-held", "55fb1bd41bfe436d91d4d34f3fe1fd71", NOTICE, "An action is held back",
         "The agent needs one, but now is not the time. WAGUARD_REASON= says what has to pass first."),
    Kind("finding-raised", "a3f3b527c7524434921d6498b69a1b35", WARNING, "Something is wrong",
         "WAGUARD_FINDING= is its id.\nRead: waguardctl status"),
    Kind("finding-cleared", "b892ef7968d046a1bf474ff124ee10b6", INFO, "Something is right again",
         "WAGUARD_FINDING= is its id."),
    Kind("verbose-on", "c651afd1e0e8439498fe13ae79398d23", NOTICE, "Verbose logging was turned on for a time",
         "Logs.Verbose=y stands in waagent.conf until the lease ends; then the line is put back as it was."),
    Kind("verbose-off", "589b888423e84c548ff6110319ce4f1b", NOTICE, "Verbose logging was turned off again",
         "The line in waagent.conf is what it was before the lease."),
    Kind("verbose-superseded", "3c8027725b4341daba33295e1ea0172c", WARNING, "Logs.Verbose was edited during the lease",
         "Somebody changed the line, so it is left as it is and the lease is over."),
    Kind("verbose-trouble", "9d4b1f0e6f7c4a2bb1f5ce3a6f0a7d11", ERROR, "waagent.conf could not be edited",
         "The lease could not be begun or ended; the guard tries again where that makes sense."),
    Kind("paused", "88e466a2b67e4b5396550bcf1c1065e8", NOTICE, "waguard was paused",
         "It watches and reports, but starts and restarts nothing until it is resumed."),
    Kind("resumed", "6507bf651ceb4c40988f9ddf6ae469f0", NOTICE, "waguard works again", "The pause is over."),
    Kind("conf-changed", "19c8a7ea9fdf4eada1f76b0e65b25b72", NOTICE, "waagent.conf was changed",
         "The agent reads it only when it starts. WAGUARD_KEYS= and WAGUARD_CHANGES= name the keys and their values, where the\n"
         "guard had seen the file before."),
    Kind("guard-trouble", "e43faacaf8a246fdac8546d4f6869f5f", WARNING, "Something went wrong inside waguard",
         "The guard goes on. If this repeats, please report it with: waguardctl events"),
)
KINDS: Mapping[str, Kind] = {kind.id: kind for kind in _KINDS}


@dataclass(frozen=True)
class Event:
    """One event. ``at`` is wall-clock seconds since the epoch; ``fields`` are strings and numbers, without secrets."""

    seq: int
    at: float
    id: str
    message: str
    fields: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        return {"seq": self.seq, "at": round(self.at, 3), "id": self.id, "message": self.message, "fields": dict(self.fields)}


class History:
    """The ring. ``listeners`` are called with each new event, in the loop."""

    def __init__(self, run_dir: Path, lib_dir: Path, disk: Scribe, keep: int) -> None:
        self._run, self._lib = run_dir / "events.jsonl", lib_dir / "events.jsonl"
        self._disk = disk
        self._keep = keep
        self._lines: deque[tuple[int, bytes]] = deque(maxlen=keep)
        self._in_file = {self._run: _TO_REWRITE, self._lib: _TO_REWRITE}
        self._written = {self._run: 0, self._lib: 0}
        self._sequence = 0
        self._latest: tuple[tuple[int, int], list[dict[str, Any]]] = (0, 0), []
        self._aside = Aside(lambda _message: None)
        self.listeners: list[Callable[[Event], None]] = []

    def load(self, warn: Callable[[str], None] = lambda _message: None) -> None:
        """Read both tiers, merge them by sequence number, and bring both up to date. A torn last line is dropped.

        What is odd goes to ``warn``, after everything else, so that it may be made an event.
        """
        merged: dict[int, bytes] = {}
        odd: list[str] = []
        self._aside = Aside(odd.append)
        for path in (self._lib, self._run):
            merged.update(_events(path, self._aside))
        for number in sorted(merged)[-self._keep:]:
            self._lines.append((number, merged[number]))
            self._sequence = number
        try:
            self._write(self._run, durable=False)
        except OSError as error:
            odd.append(say("{path} cannot be written: {said_error}", path=self._run, said_error=error.strerror))
        self._disk.put("events", lambda: self._write(self._lib, durable=True), latest_only=True)
        for message in odd:
            warn(message)

    def resize(self, keep: int) -> None:
        self._keep = keep
        self._lines = deque(self._lines, maxlen=keep)

    def add(self, at: float, kind: str, message: str, fields: Mapping[str, Any]) -> Event:
        """Record an event: in memory and the run tier now, on disk soon."""
        self._sequence += 1
        event = Event(self._sequence, at, KINDS[kind].id, message, fields)
        line = json.dumps(event.to_json(), separators=(",", ":")).encode() + b"\n"
        self._lines.append((self._sequence, line))
        try:
            self._write(self._run, durable=False)
        except OSError:
            pass  # The memory has it; a run tier that cannot be written shows in store.save, which is not silent.
        self._disk.put("events", lambda: self._write(self._lib, durable=True), latest_only=True)
        for listener in list(self.listeners):
            listener(event)
        return event

    def since(self, at: float = 0.0, after: int = 0, last: Optional[int] = None) -> list[dict[str, Any]]:
        """Events not older than ``at`` and numbered above ``after``, oldest first; only the ``last`` ones if given (0: none)."""
        lines: Iterable[tuple[int, bytes]] = self._lines if last is None else list(self._lines)[-last:] if last > 0 else ()
        found = (json.loads(line) for _, line in lines)
        return [event for event in found if event["at"] >= at and event["seq"] > after]

    def latest(self, count: int) -> list[dict[str, Any]]:
        """``since(last=count)`` for a caller that changes nothing in it: read from the lines only when there is a new event."""
        if self._latest[0] != (self._sequence, count):
            self._latest = (self._sequence, count), self.since(last=count)
        return self._latest[1]

    def _write(self, path: Path, durable: bool) -> None:
        """Bring a tier's file up to date: with what it lacks, or anew when it has grown long or may be spoilt."""
        lines = list(self._lines)
        new = [(number, line) for number, line in lines if number > self._written[path]]
        length, self._in_file[path] = self._in_file[path], _TO_REWRITE  # unless all goes well
        if length + len(new) > 2 * self._keep:
            self._aside.ready(path)
            replace_file(path, b"".join((_head(), *(line for _, line in lines))), durable)
            length = len(lines)
        elif new:
            _append(path, b"".join(line for _, line in new), durable)
            length += len(new)
        self._in_file[path] = length
        self._written[path] = lines[-1][0] if lines else 0


def _append(path: Path, data: bytes, durable: bool) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if os.write(fd, data) != len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)


def _head() -> bytes:
    return b'{"version":%d}\n' % VERSION


def _events(path: Path, kept: Aside) -> list[tuple[int, bytes]]:
    """The events in a file, by their numbers. A last line without an end was torn when its writer died, and is dropped."""
    try:
        data = files.read(path, _LIMIT)
    except FileNotFoundError:
        return []
    except files.Unusable as error:
        kept.move(path, aside.UNUSABLE, aside.unusable(path, str(error)))
        return []
    lines = data.split(b"\n")[:-1]
    version = _version(lines[0]) if lines else 0
    if version > VERSION:
        kept.move(path, f"version-{version}", aside.newer(path))
        return []
    numbered = [(_sequence(line), line + b"\n") for line in lines[1 if version else 0:]]
    found = [(number, line) for number, line in numbered if number]
    # A file is made whole, with its first line: one without any was spoilt by something else.
    strange = len(numbered) - len(found) + (bool(data) and not lines)
    if strange:
        kept.keep(path, say("{path} has lines that are no events ({count})", path=path, count=strange))
    return found


def _version(line: bytes) -> int:
    """What the first line says; 0 for a line that is no such one."""
    try:
        head = json.loads(line)
        return 0 if "seq" in head else aside.version_of(head["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def _sequence(line: bytes) -> int:
    """The event's number; 0 for a line that is not an event, or is one that could not be shown."""
    try:
        entry = json.loads(line)
        sound = (type(entry["seq"]) is int and type(entry["at"]) in (int, float) and isinstance(entry["id"], str)
                 and isinstance(entry["message"], str) and isinstance(entry["fields"], dict))
        json.dumps(entry, allow_nan=False)
        return int(entry["seq"]) if sound and 0 < entry["seq"] < 1 << 53 and entry["at"] >= 0 else 0
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0


def catalogue(language: i18n.Language) -> str:
    """The journal's message catalogue for these events (https://systemd.io/CATALOG)."""
    parts = ["# Made by: python3 -m waguard.guard.events\n"]
    for kind in _KINDS:
        subject, explanation = language.tr(kind.subject, {}), language.tr(kind.explanation, {})
        parts.append(f"-- {kind.message_id}\nSubject: {subject}\nDefined-By: waguard\n\n{explanation}\n")
    return "\n".join(parts)


if __name__ == "__main__":  # [LANGUAGE FOLDER], as of i18n.find
    import sys

    sys.stdout.write(catalogue(i18n.find(sys.argv[1], folder=sys.argv[2]) if len(sys.argv) == 3 else i18n.Language()))
