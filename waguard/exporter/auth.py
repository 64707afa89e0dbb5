"""Who gets an answer: the web configuration's rate limit, users and headers around the pages.

Order and answers are those of exporter-toolkit (web/handler.go): 500 while the file is bad, 429 over the rate, 401 without
a valid user. A password costs a bcrypt hash once and is then known by a keyed digest; hashes are made one at a time, and few
may wait for one, so that guessing costs no more than one CPU and never the workers that serve who is known.
"""

from __future__ import annotations

import importlib
import logging
import os
import threading
import time
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Optional

from waguard.exporter.messages import Request, Respond, Response
from waguard.exporter.webconfig import Rate
from waguard.exporter.webfile import WebFile

log = logging.getLogger(__name__)

WAITING = 3
"""Requests that may be inside a check at once; fewer than there are workers (Limits.workers)."""
WAITING_OF_ONE = 2
"""Of these, from one address."""
_REMEMBERED = 64
"""Digests kept, of good passwords and, apart from them, of bad ones."""
_BCRYPT_BYTES = 72  # All that bcrypt looks at; its newer versions refuse more.
_NOBODY = "$2b${cost}$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu"


def library() -> Any:
    """The bcrypt module, imported where there are users only. Raises ImportError."""
    return importlib.import_module("bcrypt")


class Busy(Exception):
    """Too many passwords are being checked."""


class Gate:
    """Pages behind a web configuration. ``respond`` is what a Server calls, from several threads."""

    def __init__(self, web: WebFile, respond: Respond, clock: Callable[[], float] = time.monotonic) -> None:
        self._web = web
        self._respond = respond
        self._bucket = Bucket(clock)
        self._passwords = Passwords()

    def respond(self, request: Request) -> Response:
        config = self._web.config()
        if config is None:
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"the web configuration cannot be used; the log says why\n")
        if not self._bucket.take(config.rate):
            return Response(HTTPStatus.TOO_MANY_REQUESTS, b"too many requests\n")
        response = self._refusal(request, config.users) or self._respond(request)
        return response._replace(headers=(*response.headers, *config.headers))

    def _refusal(self, request: Request, users: Mapping[str, str]) -> Optional[Response]:
        if not users:
            return None
        given = credentials(request.headers.get("authorization", ""))
        try:
            if given is not None and self._passwords.good(*given, users, request.peer.rpartition(":")[0]):
                return None
        except Busy:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"too many passwords are being checked\n",
                            headers=(("Retry-After", "1"),))
        return Response(HTTPStatus.UNAUTHORIZED, b"unauthorized\n", headers=(("WWW-Authenticate", "Basic"),))


def credentials(header: str) -> Optional[tuple[bytes, bytes]]:
    """User and password of an Authorization header, RFC 7617; None if it has none."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = a2b_base64(text.strip().encode("ascii")).partition(b":")
    except (Base64Error, UnicodeEncodeError):
        return None
    return (user, password) if colon else None


class Passwords:
    """Checks passwords, for several threads."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self._good: dict[bytes, None] = {}
        self._bad: dict[bytes, None] = {}
        self._hashing = threading.Lock()
        self._counting = threading.Lock()
        self._inside: list[str] = []

    def good(self, user: bytes, password: bytes, users: Mapping[str, str], peer: str) -> bool:
        """Whether that is one of ``users`` (name to bcrypt hash). Who is unknown costs as much as who is. Raises Busy."""
        hashed = users.get(user.decode("utf-8", "replace"), "")
        from hashlib import blake2b  # 4 MB with OpenSSL behind it

        text = b"".join(b"%d:%b" % (len(part), part) for part in (user, password, hashed.encode()))
        key = blake2b(text, digest_size=32, key=self._secret).digest()
        known = self._known(key)
        if known is not None:
            return known
        with self._counting:
            if len(self._inside) >= WAITING or self._inside.count(peer) >= WAITING_OF_ONE:
                raise Busy
            self._inside.append(peer)
        try:
            with self._hashing:
                known = self._known(key)  # The one before may have been the same.
                return self._check(key, password, hashed, users) if known is None else known
        finally:
            with self._counting:
                self._inside.remove(peer)

    def _known(self, key: bytes) -> Optional[bool]:
        return True if key in self._good else False if key in self._bad else None

    def _check(self, key: bytes, password: bytes, hashed: str, users: Mapping[str, str]) -> bool:
        target = hashed or _NOBODY.format(cost=max(one.split("$")[2] for one in users.values()))
        try:
            right = bool(library().checkpw(password[:_BCRYPT_BYTES], target.encode())) and hashed != ""
        except ValueError:  # NUL bytes, in older versions.
            right = False
        known = self._good if right else self._bad
        while len(known) >= _REMEMBERED:
            del known[next(iter(known))]
        known[key] = None
        return right


class Bucket:
    """A token bucket that starts full: golang.org/x/time/rate. For several threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._rate: Optional[Rate] = None
        self._tokens = 0.0
        self._at = 0.0

    def take(self, rate: Optional[Rate]) -> bool:
        """Whether one more may pass under a rate, which may be another one than before; None is no limit."""
        if rate is None:
            return True
        with self._lock:
            now = self._clock()
            if rate != self._rate:
                self._rate, self._tokens, self._at = rate, float(rate.burst), now
            self._tokens = min(float(rate.burst), self._tokens + (now - self._at) / rate.interval)
            self._at = now
            if self._tokens < 1.0:
                return False
            self._tokens -= 1.0
            return True
