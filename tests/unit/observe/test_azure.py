"""Is this an Azure VM, and does the wire server answer? Against real listeners on loopback."""

from __future__ import annotations

import os
import socket
import threading
from pathlib import Path

import pytest

from waguard.observe import azure


def listener(backlog: int = 5) -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    found.listen(backlog)
    return found


def address(found: socket.socket) -> str:
    return f"127.0.0.1:{found.getsockname()[1]}"


class TestProbe:
    def test_one_that_listens_and_never_says_a_word(self) -> None:
        with listener() as found:
            probe = azure.probe(address(found), 5.0)
        assert probe.success and probe.problem == "" and probe.duration >= 0

    def test_nothing_is_sent(self) -> None:
        got = []
        with listener() as found:
            def take() -> None:
                connection, _ = found.accept()
                got.append(connection.recv(1))
                connection.close()

            taker = threading.Thread(target=take)
            taker.start()
            assert azure.probe(address(found), 5.0).success
            taker.join(30)
        assert got == [b""]

    def test_refused(self) -> None:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            probe = azure.probe(address(found), 5.0)
        assert not probe.success and "Connection refused ECONNREFUSED" in probe.problem

    def test_no_answer_within_its_time(self) -> None:
        """A listener with a full backlog drops what comes, as a firewall does."""
        with listener(0) as found:
            waiting = [socket.socket() for _ in range(4)]
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(found.getsockname())
            where = address(found)
            probe = azure.probe(where, 0.2)
            for one in waiting:
                one.close()
        assert not probe.success and probe.problem == f"no answer from {where} within 0.2 s"

    @pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:²",
                                      "127.0.0.1:99999", "127.0.0.1:-1", "a" * 70 + ".b:80", "..:80", "[::1%nosuchif]:80", "127.0.0.1:" + "9" * 5000])
    def test_what_is_no_address_is_a_problem_and_never_an_error(self, text: str) -> None:
        probe = azure.probe(text, 1.0)
        assert not probe.success and probe.problem

    def test_ipv6(self) -> None:
        try:
            found = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError:
            pytest.skip("no IPv6 here")
        with found:
            assert azure.probe(f"[::1]:{found.getsockname()[1]}", 5.0).success

    def test_no_descriptor_is_left_behind(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        with listener() as found:
            for text in (address(found), "127.0.0.1:1", "x"):
                azure.probe(text, 1.0)
        assert len(os.listdir("/proc/self/fd")) == before


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
