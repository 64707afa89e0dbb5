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
import sys
import threading
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NoReturn, Optional

from waguard import __version__, varlink
from waguard.exporter import logs, metrics
from waguard.exporter.listen import address, inherited, listen, name
from waguard.exporter.messages import Limits, Request, Respond, Response
from waguard.exporter.server import Server
from waguard.i18n import from_environment, message, tr, use

log = logging.getLogger("waguard.exporter")

ADDRESS = "127.0.0.1:10168"
STATUS_SOCKET = "/run/waguard/status"
SNAPSHOT = "io.waguard.GetSnapshot"
GUARD_TIMEOUT = 1.5
"""Seconds for the guard to answer in."""
_SILENCE = 1.0
"""Seconds for which a guard that did not answer in time is not asked again, so that who queued does not wait anew."""


class Guard:
    """The guard behind its status socket. For several threads: those that ask at the same time share one call."""

    def __init__(self, path: str, timeout: float = GUARD_TIMEOUT, clock: Callable[[], float] = time.monotonic) -> None:
        self.path = path
        self._timeout = timeout
        self._clock = clock
        self._lock = threading.Lock()
        self._call: Optional[_Shared] = None
        self._client: Optional[varlink.Client] = None
        self._silent_until = 0.0
        self.trouble: Optional[str] = None

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

    def close(self) -> None:
        """Let go of the connection that is kept."""
        if self._client is not None:
            self._client.close()

    def _ask(self) -> Optional[dict[str, Any]]:
        trouble: Optional[str] = None
        snapshot: Any = None
        try:
            snapshot = self._answer().get("snapshot")
            if not isinstance(snapshot, dict):
                trouble = f"{SNAPSHOT} gave no snapshot"
        except varlink.TimedOut as error:
            self._silent_until = self._clock() + _SILENCE
            trouble = str(error)
        except varlink.VarlinkError as error:
            trouble = str(error)
        if trouble != self.trouble:
            level = logging.WARNING if trouble else logging.INFO
            log.log(level, "the guard %s", f"is gone: {trouble}" if trouble else "answers")
        self.trouble = trouble
        return None if trouble else snapshot

    def _answer(self) -> dict[str, Any]:
        """Over the connection of last time if that is still one: a guard that was restarted has to be asked over a new one."""
        until = time.monotonic() + self._timeout
        kept, self._client = self._client, None
        if kept is not None:
            try:
                kept.within(self._timeout)
                return self._over(kept)
            except varlink.Unreachable:
                pass
        return self._over(varlink.Client(self.path, until - time.monotonic()))

    def _over(self, client: varlink.Client) -> dict[str, Any]:
        """Ask, and keep a connection over which there was an answer."""
        try:
            answer = client.call(SNAPSHOT)
        except varlink.VarlinkError:
            client.close()
            raise
        self._client = client
        return answer


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
        self._writer = metrics.Writer()
        self._gzip = b"", b""
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
        body, kind = self._writer.render(self._guard.snapshot(), request.headers.get("accept"), self._complain)
        return _packed(request, body, kind, (("Vary", "Accept, Accept-Encoding"),), self._pack)

    def _pack(self, body: bytes) -> bytes:
        """Packed, unless it is what was packed last time: nothing may have changed since."""
        known, packed = self._gzip
        if known != body:
            packed = _gzip(body)
            self._gzip = body, packed
        return packed

    def _complain(self, sentence: str) -> None:
        if sentence not in self._said:
            self._said.add(sentence)
            log.warning("%s", sentence)

    def _landing(self, request: Request) -> Response:
        from waguard.exporter import language, page  # who only scrapes need not pay for it

        reader = language.wanted(request.headers.get("accept-language", ""))
        snapshot = self._guard.snapshot()
        events = page.recent(self._guard.path) if snapshot is not None else None
        with language.speaking(reader):
            body = page.render(snapshot, events, time.time(), host=os.uname().nodename, telemetry_path=self._telemetry_path,
                               trouble=self._guard.trouble or "")
        headers = (("Content-Language", reader.code), ("Vary", "Accept-Encoding, Accept-Language"))
        return _packed(request, body, page.CONTENT_TYPE, (*page.HEADERS, *headers))

    def _healthy(self, request: Request) -> Response:
        return Response(HTTPStatus.OK, b"the exporter is alive\n")

    def _ready(self, request: Request) -> Response:
        if self._guard.snapshot() is None:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"the guard does not answer\n")
        return Response(HTTPStatus.OK, b"the guard answers\n")


def _gzip(body: bytes) -> bytes:
    packer = zlib.compressobj(4, wbits=16 + zlib.MAX_WBITS)  # gzip's format, without the import of gzip
    return packer.compress(body) + packer.flush()


def _packed(request: Request, body: bytes, kind: str, headers: tuple[tuple[str, str], ...],
            pack: Callable[[bytes], bytes] = _gzip) -> Response:
    """200, in gzip for who likes that."""
    if _likes_gzip(request.headers.get("accept-encoding", "")):
        body, headers = pack(body), (*headers, ("Content-Encoding", "gzip"))
    return Response(HTTPStatus.OK, body, kind, headers)


def _likes_gzip(accept: str) -> bool:
    for choice in accept.lower().split(","):
        coding, _, quality = choice.replace(" ", "").partition(";q=")
        if coding == "gzip":
            return not quality or quality.strip("0.") != ""
    return False


def telemetry_path(text: str) -> str:
    """A path that needs no escaping anywhere. Raises ArgumentTypeError."""
    if not re.fullmatch("/(?!-/)[A-Za-z0-9._~/-]*", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a path of letters, digits and /-._~, or begins with /-/")
    return text


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


_EXAMPLES = message("""\
examples:
  waguard-exporter
        metrics for this machine only, at http://127.0.0.1:10168/metrics
  waguard-exporter --web.listen-address=:10168
        metrics for everybody who can reach this machine
  waguard-exporter --web.listen-address=10.0.0.4:10168 --web.listen-address=[::1]:10168
  waguard-exporter --web.listen-address=:10168 --web.config.file=/etc/waguard/web.yml
        the same, encrypted and with users
  systemctl enable --now waguard-exporter.socket
        started by systemd at the first scrape, on the socket unit's addresses
""")


def _count(text: str) -> int:
    if not re.fullmatch("[0-9]{1,6}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 to 999999")
    return int(text)


def parser() -> argparse.ArgumentParser:
    """The command line, also for man page and completion. Its help is in the language that is being spoken."""
    parser = argparse.ArgumentParser(
        prog="waguard-exporter", description=tr("Prometheus metrics about this Azure VM's agent, as waguard sees it."),
        epilog=tr(_EXAMPLES), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    parser.add_argument("--web.listen-address", dest="addresses", metavar="ADDRESS", action="append", type=address,
                        help=tr("where to listen: host:port, :port or [IPv6]:port; may be repeated (default {address})",
                                address=ADDRESS))
    parser.add_argument("--web.systemd-socket", dest="systemd_socket", action="store_true",
                        help=tr("listen on sockets from systemd only, and fail without; they are used unasked, too"))
    parser.add_argument("--web.telemetry-path", dest="telemetry_path", metavar="PATH", default="/metrics",
                        type=telemetry_path, help=tr("where the metrics are (default /metrics)"))
    parser.add_argument("--web.config.file", dest="web_config", metavar="FILE", default="",
                        help=tr("TLS, users, headers and rate limit: docs/web-config.md (default: plain HTTP for everybody)"))
    parser.add_argument("--web.max-requests", dest="max_requests", metavar="N", type=_count, default=40,
                        help=tr("requests answered at the same time, one more is told 503; 0: no limit (default 40)"))
    parser.add_argument("--status-socket", metavar="SOCKET", default=STATUS_SOCKET,
                        help=tr("the guard's status socket (default {path})", path=STATUS_SOCKET))
    parser.add_argument("--log.level", dest="log_level", choices=logs.LEVELS, default="info",
                        help=tr("what is logged: this and what is graver (default info)"))
    parser.add_argument("--log.format", dest="log_format", choices=logs.FORMATS,
                        help=tr("form of the log (default: lines for people)"))
    parser.add_argument("--version", action="version", version=f"waguard-exporter {__version__}",
                        help=tr("show program's version number and exit"))
    return parser


def _speak() -> None:
    """The language of the environment, for help. Whatever else is said goes into the log, which is in English; so errors are."""
    language = from_environment()
    use(language)
    if language.code != "en":
        from waguard.ctl import usage

        usage.bind()
        if hasattr(sys.stdout, "reconfigure"):
            sys.stdout.reconfigure(errors="replace")  # a terminal that is not UTF-8


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


def _server(arguments: argparse.Namespace, listeners: Sequence[socket.socket]) -> tuple[Server, str]:
    """The server, and the scheme of its addresses as it begins. Ends the process when the web configuration is bad."""
    respond: Respond = Exporter(Guard(arguments.status_socket), arguments.telemetry_path).respond
    limits = Limits(requests=arguments.max_requests)
    if not arguments.web_config:
        return Server(listeners, respond, limits), "http"
    from waguard.exporter.auth import Gate
    from waguard.exporter.webconfig import WebConfigError
    from waguard.exporter.webfile import WebFile

    try:
        web = WebFile(arguments.web_config)
    except WebConfigError as error:
        for problem in error.problems:
            log.error("%s", problem)
        _die("--web.config.file cannot be used")
    return Server(listeners, Gate(web, respond).respond, limits, web.door), "https" if web.door() else "http"


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run until SIGTERM or SIGINT. 0: ended cleanly; 1: could not listen, or bad web configuration; 2: wrong usage."""
    words = sys.argv[1:] if argv is None else argv
    if "--help" in words or "-h" in words:
        _speak()
    arguments = parser().parse_args(words)
    logs.to_stderr(arguments.log_level, arguments.log_format)
    try:
        listeners = _listeners(arguments)
    except OSError as error:
        _die(str(error))
    server, scheme = _server(arguments, listeners)

    def end(*_: object) -> None:
        notify("STOPPING=1")
        server.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    for listener in listeners:
        log.info("listening on %s", name(listener, scheme))
    gc.collect()
    gc.freeze()  # What is there now stays: later collections need not look at it, so none shows in a scrape.
    notify(f"READY=1\nSTATUS=serving {len(listeners)} sockets")
    server.serve()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
