"""One probe of one address: connect, ask one harmless question, judge the first lines of the answer, hang up.

Direct: no proxy is asked or used. The time is that of the whole probe, so that neither silence nor a drip of bytes can stretch
it. Nothing of an answer is kept but whether it was one.
"""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Optional

from waguard.i18n import say

if TYPE_CHECKING:
    import socket
    import ssl

_LIMIT = 65536
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})(?: [^\r\n]{0,200})?\r?\n")
_START = b"HTTP/1."
# Unreachable, prohibit and blackhole routes give the second, the fourth and the fifth (net/ipv4/fib_semantics.c, fib_props).
_ROUTELESS = frozenset((errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EACCES, errno.EINVAL))
_GONE = frozenset((errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED))


class Kind:
    """How a probe ended. Words of ours, for programs; ``Told.problem`` has the sentence."""

    OK = "ok"
    DROPPED = "dropped"
    REFUSED = "refused"
    NO_ROUTE = "no-route"
    DENIED = "denied"
    SILENT = "silent"
    SLOW = "slow"
    CLOSED = "closed"
    STATUS = "status"
    GARBAGE = "garbage"
    TLS = "tls"
    UNRESOLVED = "unresolved"
    NO_ADDRESS = "no-address"
    FAILED = "failed"


@dataclass(frozen=True)
class Told:
    """``problem`` is "" for Kind.OK, else a sentence that begins with the address."""

    kind: str
    problem: str = ""


def split(address: str, port: int = 0) -> Optional[tuple[str, int]]:
    """Host and port of ``HOST:PORT``, ``[V6]:PORT`` or, with a default port, ``HOST`` alone; None for anything else."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%\w]{2,80})\]|([\w.-]{1,253}))(?::([0-9]{1,5}))?", address, re.ASCII)
    if match is None:
        return None
    number = int(match.group(3)) if match.group(3) else port
    return (match.group(1) or match.group(2), number) if 0 < number < 65536 else None


def http(host: str, port: int, path: str, timeout: float, headers: str = "", wanted: bytes = b"",
         alive: frozenset[int] = frozenset()) -> Told:
    """GET ``path``. Fine is a status 200 whose body has ``wanted`` in its first 64 KiB, or a status of ``alive``. Never raises.

    ``host`` is an IP address: looking a name up has no deadline. Without ``wanted`` nothing is read beyond the line with the
    status.
    """
    deadline = time.monotonic() + timeout
    shown = f"[{host}]" if ":" in host else host
    address = f"{shown}:{port}"
    request = f"GET {path} HTTP/1.1\r\nHost: {shown}\r\n{headers}User-Agent: waguard\r\nConnection: close\r\n\r\n"

    def ask(connection: socket.socket) -> Told:
        _within(connection, deadline)
        connection.sendall(request.encode("ascii"))
        return _answer(connection, address, deadline, timeout, wanted, alive)

    return _connected(address, host, port, deadline, timeout, ask)


def tls(address: str, host: str, addresses: list[tuple[int, tuple[object, ...]]], deadline: float, timeout: float,
        context: ssl.SSLContext) -> Told:
    """Connect to the first of the addresses (family, sockaddr) that takes it, and shake hands as ``host``. Never raises.

    ``address`` is what the problem calls it.
    """
    import socket
    import ssl

    told = Told(Kind.FAILED, say("{address} has no address", address=address))
    for number, (family, where) in enumerate(addresses):
        until = time.monotonic() + max(0.05, (deadline - time.monotonic()) / (len(addresses) - number))
        try:
            with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as plain:
                _within(plain, until)
                try:
                    plain.connect(where)
                except OSError as error:
                    told = _refusal(error, address, timeout)
                    continue
                _within(plain, deadline)
                # The timeout is that of the whole handshake here, not of each read (Modules/_ssl.c).
                with context.wrap_socket(plain, server_hostname=host):
                    return Told(Kind.OK)
        except ssl.SSLCertVerificationError as error:
            return Told(Kind.TLS, say("{address} shows a certificate that does not hold: {reason}", address=address,
                                      reason=error.verify_message[:120]))
        except socket.timeout:
            return Told(Kind.SILENT, say(
                "{address} takes the connection but does not finish the TLS handshake within {seconds:g} s", address=address,
                seconds=timeout))
        except ssl.SSLError as error:
            return Told(Kind.TLS, say("{address} does not speak TLS with us: {reason}", address=address,
                                      reason=(error.reason or type(error).__name__)[:80]))
        except OSError as error:
            return _broken(error, address)
        except ValueError as error:
            return Told(Kind.NO_ADDRESS, say("{address} is no host name: {error}", address=address, error=str(error)[:140]))
    return told


def resolve(host: str, port: int) -> tuple[list[tuple[int, tuple[object, ...]]], str]:
    """Addresses of a host, two at most, and why there is none. Takes as long as the resolver does: for a thread."""
    import socket

    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return [], str(error.strerror or error)
    except (OSError, UnicodeError) as error:
        return [], f"{type(error).__name__}: {error}"[:160]
    return [(int(family), tuple(address)) for family, _, _, _, address in found[:2]], ""


def routable(host: str) -> Optional[bool]:
    """Has the kernel a route to this IP address, by all its tables and rules? Nothing is sent. None when that cannot be told."""
    import socket

    if not numeric(host):
        return None
    try:
        with socket.socket(_family(host), socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as probe:
            probe.connect((host, 9))
            return True
    except OSError as error:
        return False if error.errno in _ROUTELESS else None


def numeric(host: str) -> bool:
    """Is it an IP address?"""
    import socket

    try:
        socket.inet_pton(_family(host), host)
    except (OSError, ValueError):
        return False
    return True


def _connected(address: str, host: str, port: int, deadline: float, timeout: float,
               ask: Callable[[socket.socket], Told]) -> Told:
    import socket

    if not numeric(host):
        return Told(Kind.NO_ADDRESS, say("{address} is no IP address", address=address))
    try:
        with socket.socket(_family(host), socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
            _within(connection, deadline)
            try:
                connection.connect((host, port))
            except OSError as error:
                return _refusal(error, address, timeout)
            return ask(connection)
    except socket.timeout:
        return Told(Kind.SILENT, say("{address} takes the connection but says nothing within {seconds:g} s", address=address,
                                     seconds=timeout))
    except OSError as error:
        return _broken(error, address)


def _family(host: str) -> int:
    import socket

    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _answer(connection: socket.socket, address: str, deadline: float, timeout: float, wanted: bytes,
            alive: frozenset[int]) -> Told:
    """The status, and the body as far as it has to be looked at."""
    import socket

    data = b""
    status: Optional[int] = None
    while len(data) < _LIMIT:
        try:
            _within(connection, deadline)
            part = connection.recv(4096)
        except socket.timeout:
            if not data:
                raise
            return Told(Kind.SLOW, say("{address} sent only {count} bytes in {seconds:g} s, and no whole answer", address=address,
                                       count=len(data), seconds=timeout))
        data += part
        if status is None:
            match = _STATUS.match(data)
            if match is None and (not part or len(data) > 512 or not _begins(data)):
                return Told(Kind.GARBAGE, say("{address} answers, but not in HTTP", address=address)) if data else Told(
                    Kind.CLOSED, say("{address} takes the connection and closes it without an answer", address=address))
            if match is None:
                continue
            status = int(match.group(1))
            if status in alive or (status == 200 and not wanted):
                return Told(Kind.OK)
            if status != 200:
                return Told(Kind.STATUS, say("{address} answers with HTTP status {status}", address=address, status=status))
        if wanted in data:
            return Told(Kind.OK)
        if not part:
            break
    return Told(Kind.GARBAGE, say("{address} answers with status 200, but not with what was asked for", address=address))


def _begins(data: bytes) -> bool:
    return data.startswith(_START) or _START.startswith(data)


def _within(connection: socket.socket, deadline: float) -> None:
    import socket

    left = deadline - time.monotonic()
    if left <= 0:
        raise socket.timeout("timed out")
    connection.settimeout(left)


def _refusal(error: OSError, address: str, timeout: float) -> Told:
    import socket

    if isinstance(error, socket.timeout) or error.errno == errno.ETIMEDOUT:
        return Told(Kind.DROPPED, say(
            "{address} does not take a connection within {seconds:g} s (packets are dropped on the way)", address=address,
            seconds=timeout))
    if error.errno == errno.ECONNREFUSED:
        return Told(Kind.REFUSED, say("{address} refuses the connection", address=address))
    if error.errno in _ROUTELESS:
        return Told(Kind.NO_ROUTE, say("{address} cannot be reached: {said_error} (no route, or one that refuses)",
                                       address=address, said_error=error.strerror))
    if error.errno == errno.EPERM:
        return Told(Kind.DENIED, say("{address} may not be connected to from here: {said_error} (a local firewall or sandbox)",
                                     address=address, said_error=error.strerror))
    return Told(Kind.FAILED, say("{address} cannot be connected to: {said_error}", address=address,
                                 said_error=error.strerror or error))


def _broken(error: OSError, address: str) -> Told:
    if error.errno in _GONE:
        return Told(Kind.CLOSED, say("{address} takes the connection and breaks it off: {said_error}", address=address,
                                     said_error=error.strerror))
    return Told(Kind.FAILED, say("{address} failed after it was connected: {said_error}", address=address,
                                 said_error=str(error.strerror or error)[:120]))
