"""Is this an Azure VM, and does the wire server answer? Against real listeners on loopback."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from waguard.observe import azure
from waguard.observe.probes import Kind

from .peers import Behaviour, peer


def answering(text: bytes) -> Behaviour:
    return lambda connection, _over: connection.sendall(text)


VERSIONS = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n<Versions/>\n")


class TestProbe:
    def test_one_that_answers(self) -> None:
        with peer(VERSIONS) as found:
            probe = azure.probe(found.address, 5.0)
        assert (probe.success, probe.problem, probe.kind) == (True, "", Kind.OK) and probe.duration >= 0
        assert found.asked[0].startswith(b"GET /?comp=versions HTTP/1.1\r\n")

    @pytest.mark.parametrize(("behaviour", "kind"), [
        (answering(b"HTTP/1.1 500 Oops\r\n\r\n"), Kind.STATUS), (answering(b"HTTP/1.1 200 OK\r\n\r\n<html>"), Kind.GARBAGE),
        (answering(b"SSH-2.0-x\r\n"), Kind.GARBAGE), (lambda _connection, _over: None, Kind.CLOSED),
        (lambda _connection, over: over.wait(10), Kind.SILENT)], ids=["500", "other text", "other protocol", "closed", "silent"])
    def test_one_that_answers_something_else(self, behaviour: Behaviour, kind: str) -> None:
        with peer(behaviour) as found:
            probe = azure.probe(found.address, 0.3)
        assert (probe.success, probe.kind) == (False, kind) and probe.problem.startswith(f"{found.address} ")

    def test_refused(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            probe = azure.probe(f"127.0.0.1:{found.getsockname()[1]}", 5.0)
        assert (probe.success, probe.kind) == (False, Kind.REFUSED)

    def test_no_answer_within_its_time(self) -> None:
        """A listener with a full backlog drops what comes, as a firewall does."""
        with socket.create_server(("127.0.0.1", 0), backlog=0) as found:
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(found.getsockname())
            probe = azure.probe(f"127.0.0.1:{found.getsockname()[1]}", 0.2)
            for one in waiting:
                one.close()
        assert (probe.success, probe.kind) == (False, Kind.DROPPED)

    @pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:\u00b2", "127.0.0.1:99999",
                                      "127.0.0.1:-1", "..:80", "[::1%nosuchif]:80", "127.0.0.1:" + "9" * 5000])
    def test_what_is_no_address_is_a_problem_and_never_an_error(self, text: str) -> None:
        probe = azure.probe(text, 1.0)
        assert not probe.success and probe.problem and len(probe.problem) < 300

    def test_ipv6(self) -> None:
        with peer(VERSIONS, "::1") as found:
            assert azure.probe(found.address, 5.0).success

    def test_no_descriptor_is_left_behind(self) -> None:
        with peer(VERSIONS) as found:
            azure.probe(found.address, 5.0)
            before = len(os.listdir("/proc/self/fd"))
            for text in (*[found.address] * 20, "127.0.0.1:1", "x"):
                azure.probe(text, 1.0)
            assert len(os.listdir("/proc/self/fd")) < before + 10  # the peer closes its own ends in its own time


class TestOnAzure:
    @pytest.mark.parametrize(("tag", "told"), [
        (azure.CHASSIS_TAG + "\n", True), (azure.CHASSIS_TAG, True), ("\n", False), ("No Asset Tag\n", False), ("", False),
        ("7783-7084-3265-9085-8269-3286-78\n", False)])
    def test_by_the_chassis_tag(self, tmp_path: Path, tag: str, told: bool) -> None:
        (tmp_path / "tag").write_text(tag)
        assert azure.on_azure("auto", tmp_path / "tag") is told

    def test_bytes_that_are_no_text(self, tmp_path: Path) -> None:
        (tmp_path / "tag").write_bytes(b"\xff\xfe")
        assert azure.on_azure("auto", tmp_path / "tag") is False

    def test_no_tag_is_not_known(self, tmp_path: Path) -> None:
        assert azure.on_azure("auto", tmp_path / "tag") is None
        assert azure.on_azure("auto", tmp_path) is None

    @pytest.mark.parametrize(("setting", "told"), [("yes", True), ("no", False)])
    def test_a_setting_is_not_doubted(self, tmp_path: Path, setting: str, told: bool) -> None:
        (tmp_path / "tag").write_text(azure.CHASSIS_TAG if setting == "no" else "other")
        assert azure.on_azure(setting, tmp_path / "tag") is told
