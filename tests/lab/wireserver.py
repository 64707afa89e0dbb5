"""A stand-in for the Azure fabric: wire server, host plugin and instance metadata, as much of them as waagent asks for.

It runs inside a machine of the lab, in the network namespace that plays the fabric (see fabric.py), started by systemd:

    python3 wireserver.py CONTROL LOG

CONTROL is a JSON file that says how to behave. It is read anew for each request, so a test changes our mood by
replacing the file, and nobody has to be told:

    {"services": {"wireserver": {"mode": "well"}, "hostplugin": {"mode": "slow", "delay": 3}, …},
     "documents": {"/machine/?comp=goalstate": "<?xml …", …}}

    well       answers as Azure does
    slow       the same, `delay` seconds later
    error500   answers everything with 500
    garbage    answers everything with 200 and bytes that are neither XML nor JSON nor UTF-8
    silent     takes the connection and the request, and never answers

LOG gets one JSON line a request. This file stands alone (stdlib only): it is copied into the machine as it is.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SERVICES = {
    "wireserver": ("168.63.129.16", 80),
    "hostplugin": ("168.63.129.16", 32526),
    "imds": ("169.254.169.254", 80),
}
LOGGED_HEADERS = ("User-Agent", "Metadata", "x-ms-version", "x-ms-agent-name", "x-ms-containerid",
                  "x-ms-host-config-name", "Content-Length")
GARBAGE = b"\x00\xff\xfe<<<{ this is neither XML nor JSON \x80\x81\r\n" * 8

VERSIONS = """\
<?xml version="1.0" encoding="utf-8"?>
<Versions>
  <Preferred><Version>2012-11-30</Version></Preferred>
  <Supported><Version>2012-11-30</Version></Supported>
</Versions>
"""
# Only what 2.7.3.0 knows: it warns of every other property (common/protocol/imds.py, ComputeInfo).
COMPUTE = {
    "location": "lab", "name": "vm", "offer": "debian-12", "osType": "Linux",
    "placementGroupId": "", "platformFaultDomain": "0", "platformUpdateDomain": "0", "publisher": "Debian",
    "resourceGroupName": "lab", "sku": "12", "subscriptionId": "11111111-2222-3333-4444-555555555555", "tags": "",
    "version": "0.0.1", "vmId": "b61f93d0-e1ed-40b2-b067-22c243233448", "vmSize": "Standard_B2s",
    "vmScaleSetName": "", "zone": "",
}


@dataclass(frozen=True)
class Answer:
    status: int
    body: str | bytes = b""
    content_type: str = "text/xml; charset=utf-8"


def answer(service: str, method: str, path: str, headers: Any, documents: dict[str, str]) -> Answer:
    """What Azure would say, to the depth that the agent looks at it."""
    if method != "GET":  # status, telemetry, health, logs: all is gladly taken
        return Answer(201 if method == "PUT" else 200)
    if service == "wireserver":
        if path in documents:
            return Answer(200, documents[path])
        return Answer(200, VERSIONS) if path.rstrip("/") in ("?comp=versions", "/?comp=versions") else Answer(404)
    if service == "hostplugin":
        if path == "/versions":
            return Answer(200, '["2015-09-01"]', "application/json")
        return Answer(200) if path == "/health" else Answer(404)  # no /vmSettings: that is a newer host's
    if headers.get("Metadata", "").lower() != "true":
        return Answer(400, '{"error": "Bad request. Required metadata header not specified"}', "application/json")
    if path.startswith("/metadata/instance/compute"):
        return Answer(200, json.dumps(COMPUTE), "application/json")
    if path.startswith("/metadata/instance"):
        return Answer(200, json.dumps({"compute": COMPUTE, "network": {"interface": []}}), "application/json")
    return Answer(404)


class Log:
    """One JSON line a request, whole even when threads write at once."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", buffering=1)  # noqa: SIM115 - open as long as we run
        self._lock = threading.Lock()

    def add(self, **fields: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(fields) + "\n")


class Service(ThreadingHTTPServer):
    """One of SERVICES on its address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, control: str, log: Log) -> None:
        self.name = name
        self.control_file = control
        self.log = log
        super().__init__(SERVICES[name], Handler)

    def server_bind(self) -> None:
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # HTTPServer's own asks the DNS for our name

    def control(self) -> dict[str, Any]:
        control: dict[str, Any] = json.loads(Path(self.control_file).read_text())
        return control

    def mood(self) -> dict[str, Any]:
        mood: dict[str, Any] = self.control()["services"].get(self.name, {"mode": "well"})
        return mood


class Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"
    server_version = "Microsoft-IIS/10.0"
    sys_version = ""

    def _serve(self) -> None:
        arrived = time.time()
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mood = self.server.mood()
        mode = mood["mode"]
        if mode == "silent":
            self._log(arrived, mode, None)
            self._stay_silent()
            return
        if mode == "slow":
            time.sleep(mood["delay"])
        if mode == "error500":
            reply = Answer(500)
        elif mode == "garbage":
            reply = Answer(200, GARBAGE)
        else:
            reply = answer(self.server.name, self.command, self.path, self.headers, self.server.control()["documents"])
        self._log(arrived, mode, reply.status)
        self._send(reply)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815 - http.server looks for these

    def _send(self, reply: Answer) -> None:
        body = reply.body.encode() if isinstance(reply.body, str) else reply.body
        self.close_connection = True
        try:
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Connection", "close")
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
        except OSError:  # the client did not wait: its business
            pass

    def _stay_silent(self) -> None:
        """Until the client hangs up or our mood changes; then the connection is closed without a word."""
        self.close_connection = True
        while self.server.mood()["mode"] == "silent":
            readable, _, _ = select.select([self.connection], [], [], 0.2)
            if readable:
                try:
                    if not self.connection.recv(4096):
                        return
                except OSError:
                    return

    def _log(self, arrived: float, mode: str, status: int | None) -> None:
        headers = {name.lower(): self.headers[name] for name in LOGGED_HEADERS if name in self.headers}
        self.server.log.add(time=arrived, service=self.server.name, method=self.command, path=self.path,
                            headers=headers, mode=mode, status=status)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the request log is LOG, and stderr would only fill the machine's journal."""


def tell_systemd(word: str) -> None:
    """sd_notify(3), without python3-systemd."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(word.encode(), "\0" + address[1:] if address.startswith("@") else address)


def main(control: str, log: str) -> None:
    requests = Log(log)
    services = [Service(name, control, requests) for name in SERVICES]
    threads = [threading.Thread(target=service.serve_forever, daemon=True) for service in services]
    for thread in threads:
        thread.start()
    tell_systemd("READY=1")
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(*sys.argv[1:])
