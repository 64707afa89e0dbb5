"""The web configuration as it is now: re-read when it, or a certificate, key or CA file that it names, has changed.

Asked for each connection and each request, so that a certificate rotates without a restart; a look is one stat(2) per file.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Optional

from waguard.exporter.webconfig import Parser, WebConfig, WebConfigError

if TYPE_CHECKING:
    from waguard.exporter.tls import Secure

log = logging.getLogger(__name__)

_GRAIN = 1.0
"""Seconds after a change in which a file may change again without its stat(2) showing it (timestamps tick coarsely)."""

Signature = tuple[Optional[tuple[int, ...]], ...]


class WebFile:
    """For several threads. Never becomes more open than it last was: what would take TLS, the users or the verification of
    client certificates away needs a restart, so that a file caught half written cannot do it."""

    def __init__(self, path: str) -> None:
        """Raises WebConfigError."""
        self._path = path
        self._lock = threading.Lock()
        self._files: list[str] = [path]
        self._seen: Signature = ()
        self._settled = False
        self._said = ""
        self._usable = True
        self._door: Optional[Secure] = None
        self._config = WebConfig()
        self._config, self._door = self._load()
        for note in self._config.notes:
            log.warning("%s: %s", path, note)

    def config(self) -> Optional[WebConfig]:
        """None while the file is bad: then nothing but 500 is to be answered."""
        with self._lock:
            self._refresh()
            return self._config if self._usable else None

    def door(self) -> Optional[Secure]:
        """How connections are encrypted, None: not. While the file is bad, as they last were, for the 500 to be read."""
        with self._lock:
            self._refresh()
            return self._door

    def _refresh(self) -> None:
        if self._settled and self._seen == _signature(self._files):
            return
        try:
            config, door = self._load()
            lost = _lost(self._config, config)
            if lost:
                raise WebConfigError([f"{self._path}: {lost}; restart the exporter if that is meant"])
        except WebConfigError as error:
            self._broken(str(error))
            return
        except Exception as error:  # Whatever it is: the loop that asks has to go on, and nothing may be served.
            self._broken(f"{self._path}: {type(error).__name__}: {error}")
            return
        if not self._usable or config != self._config:
            log.info("%s: read again", self._path)
            for note in config.notes:
                log.warning("%s: %s", self._path, note)
        self._config, self._door, self._usable, self._said = config, door, True, ""

    def _broken(self, why: str) -> None:
        self._usable = False
        if why != self._said:
            log.error("every request is answered 500 until this is mended: %s", why)
        self._said = why

    def _load(self) -> tuple[WebConfig, Optional[Secure]]:
        """Raises WebConfigError. ``_files`` and ``_seen`` are what there was just before, whatever comes of it."""
        parser = Parser(self._path)
        before = _signature(self._files)
        try:
            config = parser.parse()
            return config, self._open(config)
        finally:
            if parser.files != self._files:
                self._files = parser.files
                before = _signature(self._files)
                self._settled = False  # The signature of what is new was taken after it was read.
            else:
                self._settled = _settled(before)
            self._seen = before

    def _open(self, config: WebConfig) -> Optional[Secure]:
        if config.users:
            from waguard.exporter import auth

            try:
                auth.library()
            except ImportError:
                raise WebConfigError([f"{self._path}: basic_auth_users needs the Python package bcrypt, which is not installed "
                                      "(python3-bcrypt, or pip install bcrypt)"]) from None
        if config.tls is None:
            return None
        if self._door is not None and self._door.config == config.tls:
            return self._door
        from waguard.exporter.tls import Secure

        try:
            return Secure(config.tls)
        except (ValueError, OSError) as error:
            raise WebConfigError([f"{self._path}: tls_server_config: {error}"]) from None


def _lost(before: WebConfig, now: WebConfig) -> str:
    """What protected and would not any more; empty if nothing."""
    if before.tls is not None and now.tls is None:
        return "it has no tls_server_config any more"
    if before.users and not now.users:
        return "it has no basic_auth_users any more"
    strict = "RequireAndVerifyClientCert"
    if before.tls and now.tls and before.tls.client_auth_type == strict != now.tls.client_auth_type:
        return "it does not verify client certificates any more"
    return ""


def _signature(files: Iterable[str]) -> Signature:
    """What changes when a file does; None for one that is not there."""
    found: list[Optional[tuple[int, ...]]] = []
    for path in files:
        try:
            info = os.stat(path)
        except OSError:
            found.append(None)
        else:
            found.append((info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns))
    return tuple(found)


def _settled(signature: Signature) -> bool:
    now = time.time()
    return not any(one is not None and abs(now - one[-1] / 1e9) < _GRAIN for one in signature)
