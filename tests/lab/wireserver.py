"""A stand-in for the Azure fabric: wire server, host plugin, instance metadata and blob storage, as waagent uses them.

It runs inside a machine of the lab, in the network namespace that plays the fabric (see fabric.py), started by systemd:

    python3 wireserver.py HOME

HOME/control.json says how to behave. It is read anew for each request, so a test changes our mood by replacing the
file, and nobody has to be told:

    {"services": {"wireserver": {"mode": "well"}, "hostplugin": {"mode": "slow", "delay": 3}, …},
     "documents": {"/machine/?comp=goalstate": "<?xml …", …}}

    well       answers as Azure does
    slow       the same, `delay` seconds later
    error500   answers everything with 500
    notfound   answers everything with 404
    garbage    answers everything with 200 and bytes that are neither XML nor JSON nor UTF-8
    silent     takes the connection and the request, and never answers

HOME/requests.jsonl gets one JSON line a request. HOME/store holds the blobs, whatever their host name: the storage
gives and takes them, the host plugin as well, on the agent's behalf. HOME/certificates.pfx are the VM's certificates.
This file stands alone (stdlib only, but for openssl): it is copied into the machine as it is.
"""

from __future__ import annotations

import base64
import json
import os
import select
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

SERVICES = {
    "wireserver": ("168.63.129.16", 80),
    "hostplugin": ("168.63.129.16", 32526),
    "imds": ("169.254.169.254", 80),
    "storage": ("192.0.2.16", 443),
}
TLS = "storage"
LOGGED_HEADERS = ("User-Agent", "Metadata", "x-ms-version", "x-ms-agent-name", "x-ms-containerid",
                  "x-ms-host-config-name", "x-ms-artifact-location", "x-ms-blob-type", "Content-Length")
ERRORS = {"error500": 500, "notfound": 404}
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


@dataclass(frozen=True)
class Asked:
    """A request."""

    service: str
    method: str
    path: str  # with its query
    headers: Any
    body: bytes


class Store:
    """Blobs, by the path of their URL: one flat directory, in which a name holds no slash."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def file(self, url: str) -> Path:
        return self.directory / quote(urlsplit(url).path, safe="")

    def get(self, url: str) -> Answer:
        try:
            return Answer(200, self.file(url).read_bytes(), "application/octet-stream")
        except FileNotFoundError:
            return Answer(404, "<Error><Code>BlobNotFound</Code></Error>", "application/xml")

    def put(self, url: str, content: bytes) -> Answer:
        with tempfile.NamedTemporaryFile(dir=self.directory.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(self.file(url))
        return Answer(201)


def answer(asked: Asked, documents: dict[str, str], home: Path) -> Answer:
    """What Azure would say, to the depth that the agent looks at it."""
    store = Store(home / "store")
    if asked.service == "storage":
        if asked.method == "PUT":
            return store.put(asked.path, asked.body)
        return store.get(asked.path)
    if asked.service == "hostplugin":
        return host_plugin(asked, store)
    if asked.method != "GET":  # telemetry, health: all is gladly taken
        return Answer(201 if asked.method == "PUT" else 200)
    if asked.service == "wireserver":
        if asked.path in documents:
            return Answer(200, documents[asked.path])
        if "comp=certificates" in asked.path:
            return certificates(asked, home / "certificates.pfx")
        return Answer(200, VERSIONS) if asked.path.rstrip("/") in ("?comp=versions", "/?comp=versions") else Answer(404)
    return metadata(asked)


def host_plugin(asked: Asked, store: Store) -> Answer:
    """The host's relay. It reaches the storage on ways of its own, whatever the VM's network is like."""
    if asked.method == "PUT" and asked.path == "/status":
        report = json.loads(asked.body)
        return store.put(report["requestUri"], base64.b64decode(report["content"]))
    if asked.method != "GET":
        return Answer(201 if asked.method == "PUT" else 200)
    if asked.path == "/versions":
        return Answer(200, '["2015-09-01"]', "application/json")
    if asked.path == "/extensionArtifact":
        return store.get(asked.headers["x-ms-artifact-location"])
    return Answer(200) if asked.path == "/health" else Answer(404)  # no /vmSettings: that is a newer host's


def metadata(asked: Asked) -> Answer:
    if asked.headers.get("Metadata", "").lower() != "true":
        return Answer(400, '{"error": "Bad request. Required metadata header not specified"}', "application/json")
    if asked.path.startswith("/metadata/instance/compute"):
        return Answer(200, json.dumps(COMPUTE), "application/json")
    if asked.path.startswith("/metadata/instance"):
        return Answer(200, json.dumps({"compute": COMPUTE, "network": {"interface": []}}), "application/json")
    return Answer(404)


def certificates(asked: Asked, pfx: Path) -> Answer:
    """The VM's certificates and keys, encrypted for the certificate that the agent has made itself and sends along."""
    with tempfile.NamedTemporaryFile("w", suffix=".pem") as recipient:
        public = asked.headers["x-ms-guest-agent-public-x509-cert"]
        lines = [public[start:start + 64] for start in range(0, len(public), 64)]
        recipient.write("\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]))
        recipient.flush()
        encrypt = ["openssl", "cms", "-encrypt", "-binary", "-des3", "-outform", "DER", "-in", str(pfx), recipient.name]
        sealed = subprocess.run(encrypt, check=True, capture_output=True).stdout
    return Answer(200, f"""\
<?xml version="1.0" encoding="utf-8"?>
<CertificateFile>
  <Version>2010-12-15</Version>
  <Incarnation>1</Incarnation>
  <Format>Pkcs7BlobWithPfxContents</Format>
  <Data>{base64.encodebytes(sealed).decode()}</Data>
</CertificateFile>
""")


class Log:
    """One JSON line a request, whole even when threads write at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, **fields: Any) -> None:
        with self._lock:
            self._file.write(json.dumps(fields) + "\n")


class Service(ThreadingHTTPServer):
    """One of SERVICES on its address."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name: str, home: Path, log: Log) -> None:
        self.name = name
        self.home = home
        self.log = log
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if name == TLS else None
        if self._tls:
            self._tls.load_cert_chain(home / "storage.pem")
        super().__init__(SERVICES[name], Handler)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """One connection, in its own thread."""
        if not self._tls:
            super().finish_request(request, client_address)
            return
        request.settimeout(30)
        try:
            with self._tls.wrap_socket(request, server_side=True) as secure:
                secure.settimeout(None)
                super().finish_request(secure, client_address)
        except OSError:  # no TLS, or none that we speak, or it hung up: the client's business
            pass

    def server_bind(self) -> None:
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # HTTPServer's own asks the DNS for our name

    def control(self) -> dict[str, Any]:
        control: dict[str, Any] = json.loads((self.home / "control.json").read_text())
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
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mood = self.server.mood()
        mode = mood["mode"]
        if mode == "silent":
            self._log(arrived, mode, None)
            self._stay_silent()
            return
        if mode == "slow":
            time.sleep(mood["delay"])
        if mode in ERRORS:
            reply = Answer(ERRORS[mode])
        elif mode == "garbage":
            reply = Answer(200, GARBAGE)
        else:
            asked = Asked(self.server.name, self.command, self.path, self.headers, body)
            reply = answer(asked, self.server.control()["documents"], self.server.home)
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


def main(home: Path) -> None:
    requests = Log(home / "requests.jsonl")
    services = [Service(name, home, requests) for name in SERVICES]
    threads = [threading.Thread(target=service.serve_forever, daemon=True) for service in services]
    for thread in threads:
        thread.start()
    tell_systemd("READY=1")
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
