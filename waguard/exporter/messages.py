"""Requests and responses as they go over the wire: the grammar of RFC 9112, for GET and HEAD. Pure."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import NamedTuple, Optional

_REQUEST_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([!-~]+) HTTP/([0-9])\.([0-9])")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):([\t -~\x80-\xff]*)")
_AUTHORITY = re.compile(r"\A[Hh][Tt][Tt][Pp][Ss]?://[^/?]*")
_CAUTIOUS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "deny",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Headers of every response that does not say otherwise itself."""


class Limits(NamedTuple):
    """What one client, and all of them, may cost. Times are in seconds."""

    head_bytes: int = 16 * 1024
    """Request line and headers."""
    target_bytes: int = 4 * 1024
    headers: int = 64
    connections: int = 200
    requests: int = 40
    """Under way at once; one more is told 503. 0: no limit."""
    workers: int = 4
    head_time: float = 10.0
    """From the first byte of a request (or from the connection) to the end of its headers; for a TLS handshake, too."""
    idle_time: float = 180.0
    """Between requests on one connection; longer than any sensible scrape interval."""
    write_time: float = 10.0
    linger_time: float = 1.0
    """Reading on after a last response, so that what the client still sends does not reset the response away."""
    stop_time: float = 3.0
    """For requests under way when the server stops."""


class Request(NamedTuple):
    """A request without a body. Header names are in lower case; a repeated header's values are joined by ", "."""

    method: str
    path: str
    """As sent, not decoded, without the query."""
    query: str = ""
    headers: Mapping[str, str] = {}
    keep: bool = False
    """Whether the connection stays open after the response."""
    old: bool = False
    """HTTP/1.0."""
    peer: str = ""


class Response(NamedTuple):
    status: int
    body: bytes = b""
    content_type: str = "text/plain; charset=utf-8"
    headers: tuple[tuple[str, str], ...] = ()
    """One of a name; the last counts. An empty value leaves the header out, a cautious one of every response too."""


Respond = Callable[[Request], Response]


class BadRequest(Exception):
    """A request that cannot be answered, and the status that says so."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def parse(head: bytes, limits: Limits, peer: str = "") -> Request:
    """A request from its head, up to and with the blank line. Raises BadRequest."""
    line, *fields = re.split("\r?\n", head.decode("latin-1").strip("\r\n"))
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed request line")
    method, target, major, minor = match.groups()
    if major != "1":
        raise BadRequest(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED, "HTTP/1.0 and 1.1 are spoken here")
    if len(target) > limits.target_bytes:
        raise BadRequest(HTTPStatus.REQUEST_URI_TOO_LONG, "request target is too long")
    if len(fields) > limits.headers:
        raise BadRequest(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "too many headers")
    headers = _headers(fields)
    old = minor == "0"
    if not old and "host" not in headers:
        raise BadRequest(HTTPStatus.BAD_REQUEST, "missing Host header")
    path, _, query = _AUTHORITY.sub("", target, count=1).partition("?")
    return Request(method, path or "/", query, headers, _keeps(headers, old), old, peer)


def _headers(fields: Iterable[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for field in fields:
        match = _HEADER.fullmatch(field)
        name, value = (match[1].lower(), match[2].strip(" \t")) if match else ("", "")
        if match is None or (name == "host" and name in headers):
            raise BadRequest(HTTPStatus.BAD_REQUEST, "malformed header")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _keeps(headers: Mapping[str, str], old: bool) -> bool:
    """A body is nothing we read, so a request that has one is the last on its connection."""
    if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
        return False
    options = {option.strip() for option in headers.get("connection", "").lower().split(",")}
    return "keep-alive" in options if old else "close" not in options


def wire(response: Response, request: Optional[Request], keep: bool) -> bytes:
    """A response as it goes over the wire; without its body for HEAD."""
    fields = {
        "Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime()),
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        **_CAUTIOUS,
        **dict(response.headers),
    }
    if not keep:
        fields["Connection"] = "close"
    elif request is not None and request.old:
        fields["Connection"] = "keep-alive"
    head = f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
    body = b"" if request is not None and request.method == "HEAD" else response.body
    return head.encode("latin-1") + b"\r\n" + body
