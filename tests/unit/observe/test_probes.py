"""One probe of one address, against real peers on loopback of every kind."""

from __future__ import annotations

import errno
import os
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from waguard.observe import probes
from waguard.observe.probes import Kind, Told

from . import peers
from .peers import peer

VERSIONS = b"<?xml version=\"1.0\"?><Versions><Preferred><Version>2012-11-30</Version></Preferred></Versions>"


def get(address: str, timeout: float = 20.0, wanted: bytes = b"<Versions", headers: str = "", alive: frozenset[int] = frozenset()) -> Told:
    found = probes.split(address)
    assert found is not None
    return probes.http(*found, "/?comp=versions", timeout, headers, wanted, alive)


class TestHttp:
    def test_an_answer_as_it_should_be(self) -> None:
        with peer(peers.http("200 OK", VERSIONS)) as found:
            assert get(found.address) == Told(Kind.OK)
        assert found.asked == [b"GET /?comp=versions HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: waguard\r\nConnection: close\r\n\r\n"]

    @pytest.mark.parametrize(("behaviour", "kind", "problem"), [
        (peers.http("500 Internal Server Error", b"<Versions"), Kind.STATUS, "answers with HTTP status 500"),
        (peers.http("404 Not Found"), Kind.STATUS, "answers with HTTP status 404"),
        (peers.http("302 Found"), Kind.STATUS, "answers with HTTP status 302"),
        (peers.http("200 OK", b"<html>Please log in</html>"), Kind.GARBAGE, "answers with status 200, but not with what was asked for"),
        (peers.http("200 OK"), Kind.GARBAGE, "answers with status 200, but not with what was asked for"),
        (peers.floods, Kind.GARBAGE, "answers with status 200, but not with what was asked for"),
        (peers.says(b"SSH-2.0-OpenSSH_9.2\r\n"), Kind.GARBAGE, "answers, but not in HTTP"),
        (peers.says(b"HTTP/1.1 abc OK\r\n"), Kind.GARBAGE, "answers, but not in HTTP"),
        (peers.says(b"HTTP/1.1 200"), Kind.GARBAGE, "answers, but not in HTTP"),
        (peers.says(bytes(10000)), Kind.GARBAGE, "answers, but not in HTTP"),
        (peers.says(b"HTTP/1.1 200 " + b"x" * 100000), Kind.GARBAGE, "answers, but not in HTTP"),
        (peers.says(b""), Kind.CLOSED, "takes the connection and closes it without an answer"),
        (peers.resets, Kind.CLOSED, "takes the connection and breaks it off: Connection reset by peer")])
    def test_wrong_answers_are_told_apart(self, behaviour: peers.Behaviour, kind: str, problem: str) -> None:
        with peer(behaviour) as found:
            assert get(found.address) == Told(kind, f"{found.address} {problem}")

    @pytest.mark.parametrize(("behaviour", "kind", "problem"), [
        (peers.silent, Kind.SILENT, "takes the connection but says nothing within 0.4 s"),
        (peers.drips(b"HTTP/1.1 200 OK\r\n\r\n"), Kind.SLOW, "bytes in 0.4 s, and no whole answer"),
        (peers.drips(b"HTTP/1."), Kind.SLOW, "bytes in 0.4 s, and no whole answer")])
    def test_neither_silence_nor_a_drip_stretches_the_time(self, behaviour: peers.Behaviour, kind: str, problem: str) -> None:
        with peer(behaviour) as found:
            told = get(found.address, 0.4)
        assert told.kind == kind and problem in told.problem

    def test_an_answer_that_comes_byte_by_byte_is_one(self) -> None:
        with peer(peers.drips(b"HTTP/1.1 200 OK\r\n\r\n" + VERSIONS)) as found:
            assert get(found.address).kind == Kind.OK

    def test_refused(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
            assert get(address) == Told(Kind.REFUSED, f"{address} refuses the connection")

    def test_dropped(self) -> None:
        with peers.dropping() as address:
            assert get(address, 0.3) == Told(Kind.DROPPED, f"{address} does not take a connection within 0.3 s (packets are dropped on the way)")

    def test_no_time_left_is_no_error(self) -> None:
        with peer(peers.silent) as found:
            assert get(found.address, 0.0).kind in (Kind.SILENT, Kind.DROPPED)

    @pytest.mark.parametrize(("number", "kind"), [
        (errno.ENETUNREACH, Kind.NO_ROUTE), (errno.EHOSTUNREACH, Kind.NO_ROUTE), (errno.ENETDOWN, Kind.NO_ROUTE), (errno.EACCES, Kind.NO_ROUTE),
        (errno.EINVAL, Kind.NO_ROUTE), (errno.EPERM, Kind.DENIED), (errno.ETIMEDOUT, Kind.DROPPED), (errno.ECONNREFUSED, Kind.REFUSED),
        (errno.EADDRNOTAVAIL, Kind.FAILED), (None, Kind.FAILED)])
    def test_each_way_of_not_being_connected(self, number: int | None, kind: str) -> None:
        error = OSError("x") if number is None else OSError(number, os.strerror(number))
        told = probes._refusal(error, "192.0.2.1:80", 5.0)
        assert told.kind == kind and told.problem.startswith("192.0.2.1:80 ")

    @pytest.mark.parametrize("status", [200, 429])
    def test_where_the_status_is_enough_the_body_is_not_read(self, status: int) -> None:
        taken: list[int] = []

        def behaviour(connection: socket.socket, over: threading.Event) -> None:
            connection.sendall(f"HTTP/1.1 {status} x\r\n".encode())
            connection.settimeout(30)
            taken.append(len(connection.recv(1)))  # It hangs up at once.

        with peer(behaviour) as found:
            assert get(found.address, wanted=b"", alive=frozenset((429,))) == Told(Kind.OK)
            assert peers.until(lambda: bool(taken))

    def test_ipv6(self) -> None:
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("no IPv6 here")
        with peer(peers.http("200 OK", VERSIONS), "::1") as found:
            assert get(found.address).kind == Kind.OK
            assert get(found.address, wanted=b"<Nothing").problem.startswith(f"{found.address} answers ")
        assert b"Host: [::1]\r\n" in found.asked[0]

    @pytest.mark.parametrize("host", ["localhost", "a.b", "1.2.3", "::x", "fe80::1%lo", "²", "\0"])
    def test_a_name_is_not_looked_up(self, host: str) -> None:
        told = probes.http(host, 80, "/", 1.0)
        assert told.kind == Kind.NO_ADDRESS and told.problem.endswith(":80 is no IP address") and host in told.problem

    def test_a_proxy_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with peer(peers.http("200 OK", VERSIONS)) as found:
            assert get(found.address).kind == Kind.OK

    def test_no_descriptor_is_left_behind(self) -> None:
        with peer(peers.http("200 OK", VERSIONS)) as found:
            before = len(os.listdir("/proc/self/fd"))
            for address in (found.address, "127.0.0.1:1"):
                get(address)
            assert peers.until(lambda: len(os.listdir("/proc/self/fd")) <= before)


class TestSplit:
    @pytest.mark.parametrize(("address", "told"), [
        ("168.63.129.16:80", ("168.63.129.16", 80)), ("[::1]:32526", ("::1", 32526)), ("a.blob.core.windows.net", ("a.blob.core.windows.net", 443)),
        ("a.b:8443", ("a.b", 8443)), ("[fd00::1]", ("fd00::1", 443)), ("", None), (":80", None), ("a:0", None), ("a:99999", None), ("a:x", None),
        ("::1", None), ("http://a", None), ("a/b", None), ("a b", None), ("a:80\n", None), ("ü", None), ("user:pass@a", None), ("a" * 254, None)])
    def test_host_and_port(self, address: str, told: tuple[str, int] | None) -> None:
        assert probes.split(address, 443) == told

    def test_without_a_default_the_port_has_to_be_there(self) -> None:
        assert probes.split("127.0.0.1") is None


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and its certificate for storage.example."""
    return peers.certificate(tmp_path_factory.mktemp("tls"), "storage.example")


class TestTls:
    def shake(self, address: str, context: ssl.SSLContext, host: str = "storage.example", timeout: float = 20.0) -> Told:
        addresses = [(int(socket.AF_INET), ("127.0.0.1", int(address.rpartition(":")[2])))]
        return probes.tls(address, host, addresses, time.monotonic() + timeout, timeout, context)

    def trusting(self, both: Path) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(both.parent / "certificate"))

    def test_a_handshake(self, both: Path) -> None:
        with peer(peers.shakes(both), reads=False) as found:
            assert self.shake(found.address, self.trusting(both)) == Told(Kind.OK)

    def test_a_certificate_that_nobody_vouches_for(self, both: Path) -> None:
        with peer(peers.shakes(both), reads=False) as found:
            told = self.shake(found.address, ssl.create_default_context())
        assert told.kind == Kind.TLS and "certificate that does not hold: self" in told.problem

    def test_a_certificate_of_another(self, both: Path) -> None:
        with peer(peers.shakes(both), reads=False) as found:
            told = self.shake(found.address, self.trusting(both), "other.example")
        assert told.kind == Kind.TLS and "Hostname mismatch" in told.problem

    @pytest.mark.parametrize(("behaviour", "kind"), [
        (peers.says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Kind.TLS), (peers.says(b""), Kind.TLS), (peers.resets, Kind.CLOSED)])
    def test_what_does_not_speak_tls(self, both: Path, behaviour: peers.Behaviour, kind: str) -> None:
        def hears(connection: socket.socket, over: threading.Event) -> None:
            connection.recv(4096)
            behaviour(connection, over)

        with peer(hears, reads=False) as found:
            assert self.shake(found.address, self.trusting(both)).kind == kind

    def test_silence(self, both: Path) -> None:
        with peer(peers.silent, reads=False) as found:
            told = self.shake(found.address, self.trusting(both), timeout=0.4)
        assert told == Told(Kind.SILENT, f"{found.address} takes the connection but does not finish the TLS handshake within 0.4 s")

    def test_a_drip_does_not_stretch_the_time(self, both: Path) -> None:
        """The beginning of a record of 16 KiB, and then one byte after the other."""
        with peer(peers.drips(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xf0"), reads=False) as found:
            assert self.shake(found.address, self.trusting(both), timeout=0.5).kind == Kind.SILENT

    def test_the_second_address_is_tried_as_well(self, both: Path) -> None:
        with peer(peers.shakes(both), reads=False) as found:
            addresses = [(int(socket.AF_INET), ("127.0.0.1", 1)), (int(socket.AF_INET), ("127.0.0.1", found.port))]
            told = probes.tls("storage.example:443", "storage.example", addresses, time.monotonic() + 20, 20, self.trusting(both))
        assert told == Told(Kind.OK)

    def test_refused(self, both: Path) -> None:
        assert self.shake("127.0.0.1:1", self.trusting(both)) == Told(Kind.REFUSED, "127.0.0.1:1 refuses the connection")

    @pytest.mark.parametrize("host", ["", "a..b", ".", "x" * 300])
    def test_what_is_no_host_name(self, both: Path, host: str) -> None:
        with peer(peers.shakes(both), reads=False) as found:
            assert self.shake(found.address, self.trusting(both), host).kind in (Kind.NO_ADDRESS, Kind.TLS)


class TestRest:
    def test_a_name_that_is_known(self) -> None:
        addresses, why = probes.resolve("localhost", 443)
        assert addresses and why == "" and len(addresses) <= 2

    @pytest.mark.parametrize("host", ["a..b", "x" * 70 + ".y"])
    def test_a_name_that_is_none(self, host: str) -> None:
        addresses, why = probes.resolve(host, 443)
        assert addresses == [] and why

    def test_routes_are_asked_for_without_sending(self) -> None:
        assert probes.routable("127.0.0.1") is True
        assert probes.routable("localhost") is None
