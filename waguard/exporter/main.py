"""waguard-exporter: what it answers, and how it is started.

It keeps nothing: each scrape asks the guard for its snapshot, through the status socket and within a deadline. A guard
that is gone or hangs is a fact to export (``waguard_guard_up 0``), not an error of the scrape.
"""

from __future__ import annotations

import argparse
import gc
import logging
import os
import re
import signal
import socket
import stat
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, NoReturn, Optional

from waguard import __version__, varlink
from waguard.exporter import metrics
from waguard.exporter.server import Request, Response, Server

log = logging.getLogger("waguard.exporter")

ADDRESS = "127.0.0.1:10168"
STATUS_SOCKET = "/run/waguard/status"
SNAPSHOT = "io.waguard.GetSnapshot"
GUARD_TIMEOUT = 1.5
"""Seconds for the guard to answer in."""
_SILENCE = 1.0
"""Seconds for which a guard that did not answer in time is not asked again, so that who queued does not wait anew."""
_FIRST_FD = 3  # sd_listen_fds(3)


class Guard:
    """The guard behind its status socket. For several threads: those that ask at the same time share one call."""

    def __init__(self, path: str, timeout: float = GUARD_TIMEOUT, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._call: Optional[_Shared] = None
        self._silent_until = 0.0
        self._trouble: Optional[str] = None

    def snapshot(self) -> Optional[dict[str, Any]]:
        """The guard's snapshot, asked for now; None when it does not answer as it should within the deadline."""
        with self._lock:
            if self._clock() < self._silent_until:
                return None
            mine, shared = self._call is None, self._call or _Shared()
            self._call = shared
        if not mine:
            shared.done.wait(2 * self._timeout)
            return shared.snapshot
        try:
            shared.snapshot = self._ask()
        finally:
            with self._lock:
                self._call = None
            shared.done.set()
        return shared.snapshot

    def _ask(self) -> Optional[dict[str, Any]]:
        trouble: Optional[str] = None
        snapshot: Any = None
        try:
            snapshot = varlink.call(self._path, SNAPSHOT, timeout=self._timeout).get("snapshot")
            if not isinstance(snapshot, dict):
                trouble = f"{SNAPSHOT} gave no snapshot"
        except varlink.TimedOut as error:
            self._silent_until = self._clock() + _SILENCE
            trouble = str(error)
        except varlink.VarlinkError as error:
            trouble = str(error)
        if trouble != self._trouble:
            level = logging.WARNING if trouble else logging.INFO
            log.log(level, "the guard %s", f"is gone: {trouble}" if trouble else "answers")
        self._trouble = trouble
        return None if trouble else snapshot


class _Shared:
    """One call that several threads wait for."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.snapshot: Optional[dict[str, Any]] = None


Page = Callable[[Request], Response]


class Exporter:
    """The pages. ``respond`` is what a Server calls, from several threads."""

    def __init__(self, guard: Guard, telemetry_path: str = "/metrics") -> None:
        self._guard = guard
        self._said: set[str] = set()
        self._telemetry_path = telemetry_path
        self._pages: Mapping[str, Page] = {
            "/": self._landing,
            "/-/healthy": self._healthy,
            "/-/ready": self._ready,
            telemetry_path: self._metrics,
        }

    def respond(self, request: Request) -> Response:
        page = self._pages.get(request.path)
        if page is None:
            return Response(HTTPStatus.NOT_FOUND, b"no such page\n")
        if request.method not in ("GET", "HEAD"):
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n", headers=(("Allow", "GET, HEAD"),))
        return page(request)

    def _metrics(self, request: Request) -> Response:
        body, kind = metrics.render(self._guard.snapshot(), request.headers.get("accept"), self._complain)
        headers = [("Vary", "Accept, Accept-Encoding")]
        if _likes_gzip(request.headers.get("accept-encoding", "")):
            packer = zlib.compressobj(4, wbits=16 + zlib.MAX_WBITS)  # gzip's format, without the import of gzip
            body = packer.compress(body) + packer.flush()
            headers.append(("Content-Encoding", "gzip"))
        return Response(HTTPStatus.OK, body, kind, tuple(headers))

    def _complain(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("%s", sentence)

    def _landing(self, request: Request) -> Response:
        page = _LANDING.format(version=__version__, metrics=self._telemetry_path.lstrip("/"))
        return Response(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")

    def _healthy(self, request: Request) -> Response:
        return Response(HTTPStatus.OK, b"the exporter is alive\n")

    def _ready(self, request: Request) -> Response:
        if self._guard.snapshot() is None:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"the guard does not answer\n")
        return Response(HTTPStatus.OK, b"the guard answers\n")


_LANDING = """\
<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>waguard exporter</title></head>
<body>
<h1>waguard exporter</h1>
<p>Version {version}. It tells Prometheus how this Azure VM's agent is.</p>
<ul>
<li><a href="{metrics}">Metrics</a></li>
<li><a href="-/healthy">Health</a>: this exporter is alive</li>
<li><a href="-/ready">Readiness</a>: the guard (waguard.service) answers</li>
</ul>
</body>
</html>
"""


def _likes_gzip(accept: str) -> bool:
    for choice in accept.lower().split(","):
        coding, _, quality = choice.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return not quality or quality.strip("0.") != ""
    return False


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


def telemetry_path(text: str) -> str:
    """A path that needs no escaping anywhere. Raises ArgumentTypeError."""
    if not re.fullmatch("/(?!-/)[A-Za-z0-9._~/-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path of letters, digits and /-._~, or begins with /-/")
    return text


def listen(where: Address) -> list[socket.socket]:
    """Listening sockets for an address: several for a name that has several. Raises OSError."""
    if not where.host:
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return [socket.create_server(("", where.port), family=family, dualstack_ipv6=dual, backlog=128)]
    found = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    places = dict.fromkeys((family, sockaddr) for family, _, _, _, sockaddr in found)
    return [socket.create_server(sockaddr, family=family, backlog=128) for family, sockaddr in places]


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


def notify(state: str) -> None:
    """Tell the service manager (sd_notify(3)), if there is one. By hand: systemd-python is not everywhere."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect("\0" + path[1:] if path.startswith("@") else path)
            sock.sendall(state.encode())
    except OSError as error:
        log.warning("cannot notify the service manager: %s", error)


LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}
_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}


class _Journal(logging.Formatter):
    """Lines with the priority prefix that the journal understands, sd-daemon(3)."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = f"<{_PRIORITIES.get(record.levelno, 6)}>"
        return prefix + super().format(record).replace("\n", f"\n{prefix}")


def _log_to_stderr(level: str) -> None:
    handler = logging.StreamHandler(sys.stderr)
    stream = os.fstat(sys.stderr.fileno())
    journal = os.environ.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}"  # systemd.exec(5)
    handler.setFormatter(_Journal("%(message)s") if journal else logging.Formatter("%(levelname)s: %(message)s"))
    logging.basicConfig(level=LEVELS[level], handlers=[handler])


_EXAMPLES = """\
examples:
  waguard-exporter
        metrics for this machine only, at http://127.0.0.1:10168/metrics
  waguard-exporter --web.listen-address=:10168
        metrics for everybody who can reach this machine
  waguard-exporter --web.listen-address=10.0.0.4:10168 --web.listen-address=[::1]:10168
  systemctl enable --now waguard-exporter.socket
        started by systemd at the first scrape, on the socket unit's addresses
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="waguard-exporter", description="Prometheus metrics about this Azure VM's agent, as waguard sees it.",
        epilog=_EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    parser.add_argument("--web.listen-address", dest="addresses", metavar="ADDRESS", action="append", type=address,
                        help=f"where to listen: host:port, :port or [IPv6]:port; may be repeated (default {ADDRESS})")
    parser.add_argument("--web.systemd-socket", dest="systemd_socket", action="store_true",
                        help="listen on sockets from systemd only, and fail without; they are used unasked, too")
    parser.add_argument("--web.telemetry-path", dest="telemetry_path", metavar="PATH", default="/metrics",
                        type=telemetry_path, help="where the metrics are (default /metrics)")
    parser.add_argument("--status-socket", metavar="PATH", default=STATUS_SOCKET,
                        help=f"the guard's status socket (default {STATUS_SOCKET})")
    parser.add_argument("--log.level", dest="log_level", choices=LEVELS, default="info", help="default info")
    parser.add_argument("--version", action="version", version=f"waguard-exporter {__version__}")
    return parser


def _listeners(arguments: argparse.Namespace) -> list[socket.socket]:
    sockets = inherited()
    if arguments.systemd_socket:
        if not sockets:
            _die("--web.systemd-socket: there is no socket from systemd; start waguard-exporter.socket")
        return sockets
    wanted = arguments.addresses or ([] if sockets else [address(ADDRESS)])
    for where in wanted:
        try:
            sockets += listen(where)
        except OSError as error:
            _die(f"cannot listen on {where}: {error.strerror or error}")
    return sockets


def _die(why: str) -> NoReturn:
    log.error("%s", why)
    raise SystemExit(1)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run until SIGTERM or SIGINT. 0: ended cleanly; 1: could not listen; 2: wrong usage."""
    arguments = _parser().parse_args(argv)
    _log_to_stderr(arguments.log_level)
    try:
        listeners = _listeners(arguments)
    except OSError as error:
        _die(str(error))
    exporter = Exporter(Guard(arguments.status_socket), arguments.telemetry_path)
    server = Server(listeners, exporter.respond)

    def end(*_: object) -> None:
        notify("STOPPING=1")
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    for listener in listeners:
        log.info("listening on %s", _name(listener))
    gc.collect()
    gc.freeze()  # What is there now stays: later collections need not look at it, so none shows in a scrape.
    notify(f"READY=1\nSTATUS=serving {len(listeners)} sockets")
    server.serve()
    return 0


def _name(listener: socket.socket) -> str:
    name = listener.getsockname()
    return f"http://{Address(*name[:2])}" if isinstance(name, tuple) else str(name)


if __name__ == "__main__":
    raise SystemExit(main())
