"""waguard-doctor as a process: one line in, lines out. A probe goes to a server on loopback."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest


class _Versions(BaseHTTPRequestHandler):
    def do_GET(self) -> None:  # noqa: N802
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<?xml version='1.0'?><Versions/>" if self.path == "/?comp=versions" else b"what?")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def wireserver() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Versions) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(10)


def ask(line: str) -> tuple[int, list[dict[str, Any]]]:
    ran = subprocess.run([sys.executable, "-m", "waguard.doctor.main"], input=line, stdout=subprocess.PIPE, text=True, timeout=60)
    return ran.returncode, [json.loads(one) for one in ran.stdout.splitlines()]


def test_a_probe_that_is_answered(wireserver: str) -> None:
    code, (told,) = ask(json.dumps({"probe": {"address": wireserver, "timeout": 20}}, separators=(",", ":")) + "\n")
    took = told["result"].pop("duration")
    assert code == 0 and 0 < took < 20
    assert told == {"result": {"success": True, "problem": "", "kind": "ok", "routable": None}}


def test_a_probe_that_is_refused(wireserver: str) -> None:
    code, (told,) = ask('{"probe":{"address":"127.0.0.1:1","timeout":20}}\n')
    assert code == 0 and told["result"]["success"] is False
    assert (told["result"]["kind"], told["result"]["problem"]) == ("refused", "127.0.0.1:1 refuses the connection")
    assert told["result"]["routable"] is True


@pytest.mark.parametrize("line", ['{"probe":3}', '{"probe":{}}', '{"probe":{"address":"127.0.0.1:1","timeout":"soon"}}', '{"probe":',
                                  '{"probe":' + "[" * 100000, '{"probe":{"address":"127.0.0.1:1"', "", "[]", "no JSON"])
def test_a_request_that_is_none(line: str) -> None:
    code, (told,) = ask(line + "\n")
    assert code == 1 and list(told) == ["error"] and told["error"]


def test_a_probe_imports_no_more_than_it_needs() -> None:
    """It is done every five minutes at least: what a visit is made of, or the settings' YAML, would triple what it costs."""
    code = ("import io, json, os, sys; sys.stdin = io.StringIO('{\"probe\":{\"address\":\"127.0.0.1:1\",\"timeout\":5}}\\n')\n"
            "os._exit = sys.exit\nfrom waguard.doctor import main\n"
            "try: main.main([])\nexcept SystemExit: print(json.dumps(sorted(sys.modules)))")
    ran = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
    loaded = json.loads(ran.stdout.splitlines()[-1])
    assert "waguard.observe.azure" in loaded
    assert {"yaml", "asyncio", "ssl", "waguard.settings", "waguard.doctor.visit", "waguard.judge.catalogue"}.isdisjoint(loaded)
