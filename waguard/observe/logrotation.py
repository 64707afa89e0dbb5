"""Is waagent.log rotated? What logrotate's files say of it, and when logrotate ran last."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import rotation
from waguard.i18n import say
from waguard.observe import files

_CONFS = ("etc/logrotate.conf", "usr/etc/logrotate.conf")
_DIRECTORIES = ("etc/logrotate.d", "usr/etc/logrotate.d")
_STATES = ("var/lib/logrotate/status", "var/lib/logrotate/logrotate.status", "var/lib/logrotate.status",
           "var/lib/misc/logrotate.status")
_LARGEST = 256 * 1024


@dataclass(frozen=True)
class Rotation:
    """``rules``: files with a stanza for the log, usually one; None if that could not be told (``why``).

    ``size``: bytes from which the rule rotates it, None if it goes by time alone or there is none. ``log_bytes``: None if there
    is no log. ``older``: rotated files beside it. ``ran``: epoch seconds of logrotate's last run, None if it never ran or cannot
    be told; ``done``: the same of the log's last rotation, or of when logrotate first saw it.
    """

    rules: Optional[tuple[str, ...]]
    why: str = ""
    size: Optional[int] = None
    log_bytes: Optional[int] = None
    older: int = 0
    ran: Optional[float] = None
    done: Optional[float] = None


def look(log: str, log_bytes: Optional[int], older: int, root: Path = Path("/")) -> Rotation:
    """Never raises for what is in these files."""
    ran, done = _last(log, root)
    try:
        found = _rules(log, root)
    except files.Unusable as error:
        return Rotation(None, str(error), None, log_bytes, older, ran, done)
    if found is None:
        return Rotation(None, say("there is no logrotate here"), None, log_bytes, older, ran, done)
    sizes = [rule.size for _, rule in found if rule.size is not None]
    names = tuple(dict.fromkeys(name for name, _ in found))
    return Rotation(names, "", max(sizes) if sizes else None, log_bytes, older, ran, done)


def _rules(log: str, root: Path) -> Optional[list[tuple[str, rotation.Rule]]]:
    """(file, stanza) for the log; None where there is no configuration at all. Raises Unusable: one could not be read."""
    there = False
    default: Optional[int] = None
    found: list[tuple[str, rotation.Rule]] = []
    for name in _CONFS:
        text = _text(root / name)
        if text is not None:
            there = True
            default = rotation.default_size(text)
            found += [(f"/{name}", rule) for rule in rotation.rules(text) if rule.matches(log)]
            break
    for name in _DIRECTORIES:
        try:
            entries = sorted(files.names(root / name, 1000))
        except FileNotFoundError:
            continue
        there = True
        for entry in entries:
            text = None if rotation.taboo(entry) else _text(root / name / entry)
            if text is not None:
                found += [(f"/{name}/{entry}", rule) for rule in rotation.rules(text, default) if rule.matches(log)]
    return found if there else None


def _text(path: Path) -> Optional[str]:
    """None where there is nothing to read. Raises Unusable where there is, and it cannot be read."""
    try:
        return files.read(path, _LARGEST).decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except files.Unusable as error:
        if str(error).endswith("not a regular file"):
            return None
        raise


def _last(log: str, root: Path) -> tuple[Optional[float], Optional[float]]:
    """When logrotate ran last, and when it rotated the log."""
    for name in _STATES:
        try:
            text = files.read(root / name, 1 << 20).decode("utf-8", "replace")
            ran = os.stat(root / name).st_mtime
        except (OSError, files.Unusable):
            continue
        local = rotation.last_done(text, log)
        try:
            done = time.mktime((*local, 0, 0, -1)) if local is not None else None
        except (OverflowError, ValueError):
            done = None
        return ran, done
    return None, None
