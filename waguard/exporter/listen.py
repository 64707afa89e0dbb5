"""Where the exporter listens: addresses of its command line, and sockets that systemd hands over."""

from __future__ import annotations

import argparse
import os
import socket
import stat
from typing import NamedTuple

_FIRST_FD = 3  # sd_listen_fds(3)
_BACKLOG = 1024
"""Connections the kernel keeps until they are taken: a burst of hundreds must not cost a scraper a second SYN."""


class Address(NamedTuple):
    """Where to listen; an empty host is every address, IPv4 and IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """``host:port``, ``:port`` or ``[v6]:port``. Raises ArgumentTypeError."""
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535 or (":" in host and not bracketed):
        raise argparse.ArgumentTypeError(f"{text!r} is not host:port, :port or [IPv6]:port")
    return Address(host[1:-1] if bracketed else host, int(port))


def listen(where: Address) -> list[socket.socket]:
    """Listening sockets for an address: several for a name that has several. Raises OSError."""
    if not where.host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return [socket.create_server(("", where.port), family=family, dualstack_ipv6=dual, backlog=_BACKLOG)]
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found)
    return [socket.create_server(sockaddr, family=family, backlog=_BACKLOG) for family, sockaddr in places]


def inherited() -> list[socket.socket]:
    """Listening sockets from the service manager (sd_listen_fds(3)), and the variables gone. Raises OSError."""
    names = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")
    pid, count, _ = (os.environ.pop(name, "") for name in names)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    sockets = []
    for fd in range(_FIRST_FD, _FIRST_FD + int(count)):
        os.set_inheritable(fd, False)
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise OSError(f"descriptor {fd} from the service manager is no socket")
        sock = socket.socket(fileno=fd)
        if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            raise OSError(f"socket {fd} from the service manager does not listen (Accept=yes is not supported)")
        sockets.append(sock)
    return sockets


def name(listener: socket.socket, scheme: str) -> str:
    """What a person would type to get there; for a unix socket its path."""
    where = listener.getsockname()
    return f"{scheme}://{Address(*where[:2])}" if isinstance(where, tuple) else str(where)
