"""One GET of a public document: bounded in time and bytes, conditional, through a proxy, with few redirects.

A module of its own because of what it imports: ``ssl`` and ``urllib`` are only paid for when there is something to fetch.
"""

from __future__ import annotations

import email.utils
import http.client
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Optional, Union
from urllib.parse import urljoin, urlsplit

from waguard import __version__
from waguard.i18n import message, say
from waguard.observe.releases import Answer, NotFetched

_REDIRECTS = 5
_CHUNK = 65536
_LONGEST_HEADER = 512
_WORDS = {"RemoteDisconnected": message("{said_host}: hung up"), "BadStatusLine": message("{said_host}: does not speak HTTP"),
          "IncompleteRead": message("{said_host}: hung up within its answer"),
          "InvalidURL": message("{said_host}: is not a URL"), "LineTooLong": message("{said_host}: sends too long headers")}


def within(seconds: float, limit: int, url: str, headers: Mapping[str, str], proxy: Optional[str], now_wall: float) -> Answer:
    """GET ``url``, in ``seconds`` altogether and ``limit`` bytes. Raises NotFetched.

    The work is done in a thread that is left alone when the time is up: neither the resolver nor a server that sends its headers
    byte by byte can be bounded otherwise. The thread ends by its own time limits, or with the program.
    """
    result: list[Union[Answer, NotFetched]] = []
    deadline = time.monotonic() + seconds

    def work() -> None:
        try:
            result.append(_get(url, headers, proxy, deadline, limit, now_wall))
        except NotFetched as error:
            result.append(error)
        except Exception as error:  # Whatever a hostile server brings out in the library.
            result.append(NotFetched(_reason(_host(url), error)))

    thread = threading.Thread(target=work, daemon=True, name="webfetch")
    thread.start()
    thread.join(seconds)
    if not result:
        raise NotFetched(say("{said_host}: no whole answer within {seconds:g} s", said_host=_host(url), seconds=seconds))
    if isinstance(result[0], NotFetched):
        raise result[0]
    return result[0]


def _get(url: str, headers: Mapping[str, str], proxy: Optional[str], deadline: float, limit: int, now_wall: float) -> Answer:
    for _ in range(_REDIRECTS + 1):
        host = _host(url)
        if "@" in urlsplit(url).netloc:
            raise NotFetched(say("{said_host}: a login in the feed's URL is not supported", said_host=host))
        request = urllib.request.Request(url, headers={
            "Accept": "application/vnd.github+json, application/json", "User-Agent": f"waguard/{__version__}", **headers})
        try:
            with _opener(proxy).open(request, timeout=max(0.1, deadline - time.monotonic())) as response:
                body = _body(response, deadline, limit, host)
                return Answer(body, _header(response.headers, "ETag"), _header(response.headers, "Last-Modified"))
        except urllib.error.HTTPError as error:
            with error:
                if error.code == 304:
                    return Answer(None, _header(error.headers, "ETag"), _header(error.headers, "Last-Modified"))
                if error.code not in (301, 302, 303, 307, 308):
                    raise NotFetched(f"{host}: HTTP {error.code}", _wait(error.headers, error.code, now_wall)) from None
                url = _redirected(url, error.headers.get("Location") or "")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotFetched(_reason(host, error)) from None
    raise NotFetched(say("{said_host}: redirects without end", said_host=host))


def _redirected(url: str, location: str) -> str:
    """Where to go on: to https, or to the same host in the same way; never away from https."""
    try:
        new = urljoin(url, location)
        old_parts, parts = urlsplit(url), urlsplit(new)
    except ValueError:
        raise NotFetched(say("{said_host}: redirects to what is not a URL", said_host=_host(url))) from None
    if parts.scheme != "https" and (parts.scheme, parts.hostname) != (old_parts.scheme, old_parts.hostname):
        raise NotFetched(say("{said_host}: redirects to where it may not, {said_target} by {scheme}", said_host=_host(url),
                             said_target=_host(new), scheme=parts.scheme[:10]))
    return new


def _opener(proxy: Optional[str]) -> urllib.request.OpenerDirector:
    """Only http and https, with what urllib finds in the environment when no proxy is given. no_proxy counts in both cases.

    Redirects are ours: urllib would read the body of one to its end, whatever its length.
    """
    opener = urllib.request.OpenerDirector()
    where = proxy if not proxy or "://" in proxy else f"http://{proxy}"
    for handler in (urllib.request.ProxyHandler({"http": where, "https": where} if where else None),
                    urllib.request.HTTPHandler(), urllib.request.HTTPSHandler(), urllib.request.HTTPDefaultErrorHandler(),
                    urllib.request.HTTPErrorProcessor(), urllib.request.UnknownHandler()):
        opener.add_handler(handler)
    return opener


def _body(response: Any, deadline: float, limit: int, host: str) -> bytes:
    parts, size = [], 0
    while True:
        if time.monotonic() > deadline:
            raise NotFetched(say("{said_host}: no whole answer in time", said_host=host))
        part = response.read1(_CHUNK)
        if not part:
            break
        size += len(part)
        if size > limit:
            raise NotFetched(say("{said_host}: an answer larger than {size} KiB", said_host=host, size=limit // 1024))
        parts.append(part)
    told = response.headers.get("Content-Length", "")
    if told.isascii() and told.isdigit() and len(told) < 20 and int(told) > size:
        raise NotFetched(say("{said_host}: hung up within its answer", said_host=host))
    return b"".join(parts)


def _wait(headers: Any, code: int, now_wall: float) -> float:
    """Seconds that the server asks to be left alone, by Retry-After (RFC 9110) or GitHub's X-RateLimit-Reset."""
    after = _header(headers, "Retry-After").strip()
    if after.isascii() and after.isdigit():
        return float(after[:9])
    if after:
        try:
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - now_wall)
        except (TypeError, ValueError, OverflowError, IndexError):
            pass
    reset = _header(headers, "X-RateLimit-Reset").strip()
    if code in (403, 429) and _header(headers, "X-RateLimit-Remaining").strip() == "0" and reset.isascii() and reset.isdigit():
        return max(0.0, float(reset[:12]) - now_wall)
    return 0.0


def _header(headers: Any, name: str) -> str:
    """A header's value, if it is one that can be sent back."""
    value = headers.get(name) or ""
    return value if len(value) <= _LONGEST_HEADER and value.isprintable() and value.isascii() else ""


def _host(url: str) -> str:
    """Host and port, without what a URL may hide before and after."""
    try:
        parts = urlsplit(url)
        name = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    except ValueError:
        name = ""
    return name[:100] if name and name.isprintable() else say("the feed")


def _reason(host: str, error: BaseException) -> str:
    """What became of a host's answer, in words of our own, which hold neither URLs nor what the server sent."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        error = reason
    if isinstance(error, ssl.SSLCertVerificationError):
        return say("{said_host}: its certificate is not accepted: {reason}", said_host=host, reason=error.verify_message)
    if isinstance(error, (socket.timeout, TimeoutError)):
        return say("{said_host}: no answer in time", said_host=host)
    if isinstance(error, OSError) and error.strerror:
        return f"{host}: {error.strerror}"
    if isinstance(error, OSError) and str(error).startswith("Tunnel connection failed"):
        return say("{said_host}: the proxy refuses the connection", said_host=host)
    name = type(error).__name__
    return _WORDS[name].format(said_host=host) if name in _WORDS else f"{host}: {name}"
