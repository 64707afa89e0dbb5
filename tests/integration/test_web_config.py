"""The file of --web.config.file: the same verdicts as promtool's, and what each of its keys does to a real exporter."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import urllib.error
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, Optional

import bcrypt
import pytest
from exporting import DATA, Authority, Exporter, FakeGuard, Pair, openssl

from waguard.exporter.webconfig import WebConfigError
from waguard.exporter.webfile import WebFile

TESTS = Path(__file__).resolve().parents[1]


class Place(NamedTuple):
    """A folder with the certificates that the tables name."""

    folder: Path
    authority: Authority
    server: Pair


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("web")
    authority = Authority(folder)
    server = authority.issue("server")
    authority.issue("other")
    authority.issue("rsa", "IP:127.0.0.1", "-newkey", "rsa:2048")
    authority.issue("short", "IP:127.0.0.1", "-newkey", "rsa:1024")
    openssl("ec", "-in", server.key, "-aes128", "-passout", "pass:secret", "-out", folder / "locked.key")
    (folder / "empty").write_bytes(b"")
    (folder / "junk").write_bytes(b"\0\xff junk" * 100)
    (folder / "big").write_bytes(b"x" * 2_000_000)
    os.mkfifo(folder / "fifo")
    return Place(folder, authority, server)


def theirs(promtool: str, file: Path) -> str:
    """What promtool has against a file; empty if nothing."""
    run = subprocess.run([promtool, "check", "web-config", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                         text=True, timeout=60, check=False)  # fmt: skip
    assert run.returncode in (0, 1), run.stdout
    assert (run.returncode == 0) == run.stdout.endswith("SUCCESS\n"), run.stdout
    return run.stdout if run.returncode else ""


def ours(file: Path) -> str:
    """What the exporter has against a file; empty if nothing."""
    try:
        WebFile(str(file))
    except WebConfigError as error:
        return str(error)
    return ""


def indented(file: Path) -> str:
    return "".join(f"\n    {line}" for line in file.read_text().splitlines())


PAIR = "tls_server_config: {cert_file: server.pem, key_file: server.key"
HASH = "$2y$04$7gKFd42WvU/YvzdPMZ6qCulxw5CW9ULuzRVTtzuDN9UTlMBZLWBOK"

GOOD = {
    "nothing": "",
    "comments": "# nothing\n# at all\n",
    "null sections": "tls_server_config:\nhttp_server_config:\nbasic_auth_users:\n",
    "empty sections": "tls_server_config: {}\nhttp_server_config: {headers: {}}\nbasic_auth_users: {}",
    "a certificate": PAIR + "}",
    "an rsa certificate": "tls_server_config: {cert_file: rsa.pem, key_file: rsa.key}",
    "null keys": PAIR + ", client_ca_file: , client_auth_type: , cipher_suites: , curve_preferences: }",
    "no client certificate": PAIR + ", client_auth_type: NoClientCert}",
    "client certificate asked for": PAIR + ", client_auth_type: RequestClientCert}",
    "client certificate if given": PAIR + ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}",
    "if given, no ca": PAIR + ", client_auth_type: VerifyClientCertIfGiven}",
    "client certificate": PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}",
    "versions": PAIR + ", min_version: TLS12, max_version: TLS13}",
    "only 1.3": PAIR + ", min_version: TLS13}",
    "old versions": PAIR + ", min_version: TLS10, max_version: TLS12}",
    "ciphers": PAIR + ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256]}",
    "old ciphers": PAIR + ", cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA]}",
    "ciphers of 1.3": PAIR + ", cipher_suites: [TLS_AES_128_GCM_SHA256, TLS_CHACHA20_POLY1305_SHA256]}",
    "no order of ciphers": PAIR + ", prefer_server_cipher_suites: false}",
    "a curve": PAIR + ", curve_preferences: [CurveP521]}",
    "x25519": PAIR + ", curve_preferences: [X25519]}",
    "curves": PAIR + ", curve_preferences: [CurveP256, CurveP384, CurveP521, X25519]}",
    "http2": "http_server_config: {http2: true}",
    "no http2": PAIR + "}\nhttp_server_config: {http2: no}",
    "headers": "http_server_config:\n  headers:\n    X-Frame-Options: sameorigin\n    X-Content-Type-Options: nosniff\n"
    "    X-XSS-Protection: 1\n    Strict-Transport-Security: max-age=31536000\n    Content-Security-Policy: \"default-src 'self'\"\n",
    "a blank header": "http_server_config: {headers: {Content-Security-Policy: ''}}",
    "users": f"basic_auth_users: {{prometheus: {HASH}, ü: {HASH.replace('$2y', '$2a')}, 7: {HASH.replace('$2y', '$2b')}}}",
    "users and a certificate": PAIR + f"}}\nbasic_auth_users: {{prometheus: {HASH}}}",
    "a user in words": f"basic_auth_users: {{true: {HASH}}}",
    "json": '{"http_server_config": {"http2": false}}',
}

BAD = {
    "no yaml": "tls_server_config: [",
    "a word": "hello",
    "a list": "- tls_server_config",
    "a tab": "tls_server_config:\n\tcert_file: x",
    "unknown section": "tls_config: {}",
    "unknown key": "tls_server_config: {cert_filse: server.pem}",
    "unknown key in http": "http_server_config: {https: true}",
    "section of a word": "tls_server_config: yes please",
    "section of a list": "tls_server_config: [cert_file]",
    "users of a list": "basic_auth_users: [prometheus]",
    "key of a list": "tls_server_config: {cert_file: [server.pem], key_file: server.key}",
    "key of a mapping": "tls_server_config: {cert_file: {a: b}, key_file: server.key}",
    "section twice": "http_server_config: {}\nhttp_server_config: {}",
    "key twice": PAIR + ", key_file: server.key}",
    "user twice": f"basic_auth_users: {{prometheus: {HASH}, prometheus: {HASH}}}",
    "no key": "tls_server_config: {cert_file: server.pem}",
    "no certificate": "tls_server_config: {key_file: server.key}",
    "empty certificate path": "tls_server_config: {cert_file: '', key_file: server.key}",
    "certificate that is not there": "tls_server_config: {cert_file: nowhere.pem, key_file: server.key}",
    "key that is not there": "tls_server_config: {cert_file: server.pem, key_file: nowhere.key}",
    "key of another": "tls_server_config: {cert_file: server.pem, key_file: other.key}",
    "key of another kind": "tls_server_config: {cert_file: server.pem, key_file: rsa.key}",
    "key for certificate": "tls_server_config: {cert_file: server.key, key_file: server.pem}",
    "junk": "tls_server_config: {cert_file: junk, key_file: junk}",
    "empty files": "tls_server_config: {cert_file: empty, key_file: empty}",
    "a folder": "tls_server_config: {cert_file: ., key_file: server.key}",
    "key with a password": "tls_server_config: {cert_file: server.pem, key_file: locked.key}",
    "client ca that is not there": PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: nowhere.pem}",
    "client ca without a use": PAIR + ", client_ca_file: ca.pem}",
    "client ca without a use, said": PAIR + ", client_auth_type: NoClientCert, client_ca_file: ca.pem}",
    "unknown client auth": PAIR + ", client_auth_type: RequireAndVerify}",
    "client auth in small letters": PAIR + ", client_auth_type: requireandverifyclientcert}",
    "client auth alone": "tls_server_config: {client_auth_type: RequireAndVerifyClientCert}",
    "unknown version": PAIR + ", min_version: TLS111}",
    "version in another spelling": PAIR + ", max_version: TLSv1.3}",
    "no version": PAIR + ", min_version: ''}",
    "unknown cipher": PAIR + ", cipher_suites: [TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA2048]}",
    "openssl's name of a cipher": PAIR + ", cipher_suites: [ECDHE-RSA-AES128-GCM-SHA256]}",
    "weak cipher": PAIR + ", cipher_suites: [TLS_RSA_WITH_RC4_128_SHA]}",
    "ciphers of a mapping": PAIR + ", cipher_suites: {a: b}}",
    "unknown curve": PAIR + ", curve_preferences: [CurveP257]}",
    "order of ciphers in words": PAIR + ", prefer_server_cipher_suites: perhaps}",
    "http2 as a number": "http_server_config: {http2: 1}",
    "http2 as text": "http_server_config: {http2: 'true'}",
    "headers of a list": "http_server_config: {headers: [X-Frame-Options]}",
    "another header": "http_server_config: {headers: {Server: nobody}}",
    "header in small letters": "http_server_config: {headers: {x-frame-options: deny}}",
    "frame options": "http_server_config: {headers: {X-Frame-Options: allow}}",
    "frame options in capitals": "http_server_config: {headers: {X-Frame-Options: DENY}}",
    "no frame options": "http_server_config: {headers: {X-Frame-Options: ''}}",
    "content type options": "http_server_config: {headers: {X-Content-Type-Options: sniff}}",
    "header of a list": "http_server_config: {headers: {X-XSS-Protection: [1]}}",
    "password in clear": "basic_auth_users: {prometheus: secret}",
    "no password": "basic_auth_users: {prometheus: }",
    "hash of another kind": "basic_auth_users: {prometheus: '$6$saltsalt$" + "x" * 60 + "'}",
    "cost that is none": f"basic_auth_users: {{prometheus: {HASH.replace('$04$', '$32$')}}}",
    "cost that is too small": f"basic_auth_users: {{prometheus: {HASH.replace('$04$', '$03$')}}}",
    "hash cut off": f"basic_auth_users: {{prometheus: {HASH[:50]}}}",
}

# Keys that Debian 12's promtool (2.42) does not know yet: {CERT} and {KEY} are the inline PEM.
NEWER_GOOD = {
    "inline": "tls_server_config:\n  cert: |{CERT}\n  key: |{KEY}\n",
    "half inline": "tls_server_config:\n  cert_file: server.pem\n  key: |{KEY}\n",
    "sans": PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [a, 10.0.0.1]}",
    "inline ca": "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n"
    "  client_auth_type: RequireAndVerifyClientCert\n  client_ca: |{CERT}\n",
    "rate": "rate_limit: {interval: 1s, burst: 5}",
    "no rate": "rate_limit: {interval: 0, burst: 0}",
    "durations": "rate_limit: {interval: 1m1.5s, burst: 1}",
    "a burst of nothing": "rate_limit: {interval: 1s}",
}
NEWER_BAD = {
    "empty inline": "tls_server_config: {cert: '', key_file: server.key}",
    "inline key of another": "tls_server_config:\n  cert_file: other.pem\n  key: |{KEY}\n",
    "inline ca without a use": "tls_server_config:\n  cert_file: server.pem\n  key_file: server.key\n  client_ca: |{CERT}\n",
    "unknown key in rate": "rate_limit: {intervall: 1s}",
    "rate in words": "rate_limit: {interval: often, burst: 1}",
    "rate in days": "rate_limit: {interval: 1d, burst: 1}",
    "burst in words": "rate_limit: {interval: 1s, burst: many}",
    "burst as text": "rate_limit: {interval: 1s, burst: '5'}",
}

# Files that promtool takes and the exporter refuses, and a word of its reason.
STRICTER = {
    "versions without TLS": ("tls_server_config: {min_version: TLS13}", "cert_file .* missing"),
    "verified against everybody": (PAIR + ", client_auth_type: RequireAndVerifyClientCert}", "public authority"),
    "verified against nobody": (
        PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: empty}", "is empty"),
    "verified against junk": (PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: junk}", "client_ca"),
    "verified against a key": (
        PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: server.key}", "client_ca"),
    "any client certificate": (PAIR + ", client_auth_type: RequireAnyClientCert}", "protects nothing"),
    "any client certificate, old name": (PAIR + ", client_auth_type: RequireClientCert}", "protects nothing"),
    "versions that leave nothing": (PAIR + ", min_version: TLS13, max_version: TLS12}", "is above"),
    "ciphers that leave nothing": (PAIR + ", max_version: TLS12, cipher_suites: [TLS_AES_128_GCM_SHA256]}", "none of them"),
    "ciphers without forward secrecy": (
        PAIR + ", cipher_suites: [TLS_RSA_WITH_AES_128_GCM_SHA256]}", "is not one of"),  # Go from 1.22 on refuses it, too
    "a header of two lines": ('http_server_config: {headers: {X-XSS-Protection: "1\\r\\nSet-Cookie: a=b"}}', "printable"),
    "a header beyond ASCII": ("http_server_config: {headers: {Content-Security-Policy: ü}}", "ASCII"),
    "a cost of hours": (f"basic_auth_users: {{prometheus: {HASH.replace('$04$', '$31$')}}}", "minutes of this machine"),
    "a user that cannot log in": (f"basic_auth_users: {{'a:b': {HASH}}}", "can be called"),
    "two documents": ("http_server_config: {}\n---\nhttp_server_config: {}\n", "not valid YAML"),
    "a very large file": ("# " + "x" * 2_000_000, "larger than"),
}  # fmt: skip


def written(made: Place, text: str) -> Path:
    file = made.folder / "web.yml"
    key = made.folder / "server.key"
    file.write_text(text.replace("{CERT}", indented(made.server.cert)).replace("{KEY}", indented(key)))
    return file


@pytest.mark.parametrize("text", GOOD.values(), ids=GOOD)
def test_a_good_file_is_good_to_promtool_and_to_us(made: Place, promtool: str, text: str) -> None:
    file = written(made, text)
    assert (theirs(promtool, file), ours(file)) == ("", "")


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_file_is_bad_to_promtool_and_to_us(made: Place, promtool: str, text: str) -> None:
    file = written(made, text)
    assert theirs(promtool, file) != ""
    assert ours(file).startswith(f"{file}:")


def test_a_file_that_is_not_there_is_bad_to_both(made: Place, promtool: str) -> None:
    assert theirs(promtool, made.folder / "nowhere.yml") != ""
    assert "No such file" in ours(made.folder / "nowhere.yml")


@pytest.mark.parametrize(("text", "good"), [(text, True) for text in NEWER_GOOD.values()] + [(text, False) for text in NEWER_BAD.values()],
                         ids=[*NEWER_GOOD, *NEWER_BAD])  # fmt: skip
def test_newer_keys_are_judged_as_by_a_promtool_that_knows_them(made: Place, promtool: str, text: str, good: bool) -> None:
    file = written(made, text)
    assert (ours(file) == "") is good, ours(file)
    said = theirs(promtool, file)
    unknown = re.search(r"field (cert|key|client_ca|client_allowed_sans|rate_limit) not found in type web\.", said)
    assert unknown or (said == "") is good, said


@pytest.mark.parametrize(("text", "why"), STRICTER.values(), ids=STRICTER)
def test_a_file_that_promtool_takes_and_that_would_be_less_safe_than_it_looks(
    made: Place, promtool: str, text: str, why: str
) -> None:
    file = written(made, text)
    assert theirs(promtool, file) == ""
    assert re.search(why, ours(file)), ours(file)


def test_a_certificate_that_is_no_small_regular_file_is_refused_and_not_waited_for(made: Place) -> None:
    for name, why in (("fifo", "not a regular file"), ("big", "larger than")):
        assert re.search(why, ours(written(made, f"tls_server_config: {{cert_file: server.pem, key_file: {name}}}")))
    assert "not a regular file" in ours(made.folder / "fifo")


# What the keys do


class Site:
    """An exporter with a web configuration that a test can change while it runs."""

    def __init__(self, folder: Path, status: Path, text: str, *arguments: str) -> None:
        self.file = folder / "site.yml"
        self.change(text)
        self.process = Exporter("--web.listen-address=127.0.0.1:0", f"--status-socket={status}",
                                f"--web.config.file={self.file}", *arguments)  # fmt: skip

    def change(self, text: str) -> None:
        beside = self.file.with_suffix(".new")
        beside.write_text(text)
        beside.replace(self.file)

    def get(self, context: Optional[ssl.SSLContext] = None, user: str = "", path: str = "/metrics", **headers: str) -> Any:
        """The answer; or the words of the error if there was none."""
        self.process.context = context
        if user:
            headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
        try:
            return self.process.get(path, **headers)
        except (urllib.error.URLError, ConnectionError, ssl.SSLError) as error:
            return str(error)

    def status(self, *arguments: Any, **more: Any) -> Any:
        answer = self.get(*arguments, **more)
        return answer if isinstance(answer, str) else answer.status

    def raw(self, data: bytes) -> bytes:
        with socket.create_connection(self.process.address, timeout=30) as client:
            client.sendall(data)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                while piece := client.recv(65536):
                    answer += piece
        return answer

    def certificate(self) -> str:
        """The one that is served now."""
        host, port = self.process.address
        return ssl.get_server_certificate((host, port))


@pytest.fixture
def guard(tmp_path: Path) -> Iterator[FakeGuard]:
    with contextlib.closing(FakeGuard(tmp_path / "status", json.loads((DATA / "snapshot.json").read_text()))) as guard:
        yield guard


@pytest.fixture
def site(made: Place, tmp_path: Path, guard: FakeGuard) -> Iterator[Any]:
    """``site(text)``: an exporter with that file, in a folder with a copy of all certificates."""
    for file in made.folder.iterdir():
        if file.suffix in (".pem", ".key"):
            shutil.copy(file, tmp_path)
    with contextlib.ExitStack() as stack:

        def start(text: str, *arguments: str) -> Site:
            site = Site(tmp_path, tmp_path / "status", text, *arguments)
            stack.callback(lambda: (site.process.close(), _no_traceback(site.process.log)))
            return site

        yield start


def _no_traceback(log: str) -> None:
    assert "Traceback" not in log, log


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


def test_a_scrape_over_tls(made: Place, site: Any) -> None:
    served = site(PAIR + "}")
    assert served.get(made.authority.client()).body.startswith(b"# HELP waguard_")
    served.process.says("listening on https://127.0.0.1:")
    for path, status in (("/", 200), ("/-/ready", 200), ("/nope", 404)):
        assert served.status(made.authority.client(), path=path) == status


def test_plain_http_on_a_tls_port_is_told_so(site: Any) -> None:
    served = site(PAIR + "}")
    for request in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST / HTTP/1.0\r\n" + b"A: b\r\n" * 20000, b"GET"):
        answer = served.raw(request)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert answer.endswith(b"Client sent an HTTP request to an HTTPS server.\n")
    for junk in (b"\0" * 100, b"\x80\x2e\x01\0\2", b"\x15\x03\x01\0\2\2\0"):
        assert served.raw(junk) == b""


@pytest.mark.parametrize(
    ("keys", "client", "protocol"),
    [
        ("", {}, "TLSv1.3"),
        ("", {"maximum_version": ssl.TLSVersion.TLSv1_2}, "TLSv1.2"),
        (", min_version: TLS13", {"maximum_version": ssl.TLSVersion.TLSv1_2}, None),
        (", max_version: TLS12", {}, "TLSv1.2"),
        (", max_version: TLS12", {"minimum_version": ssl.TLSVersion.TLSv1_3}, None),
        (", cipher_suites: [TLS_AES_128_GCM_SHA256]", {"maximum_version": ssl.TLSVersion.TLSv1_2}, None),
    ],
)
def test_versions(made: Place, site: Any, keys: str, client: dict[str, Any], protocol: Optional[str]) -> None:
    served = site(f"{PAIR}{keys}}}")
    context = made.authority.client()
    for name, value in client.items():
        setattr(context, name, value)
    assert talk(served, context)[0] == protocol


def talk(served: Site, context: ssl.SSLContext) -> tuple[Optional[str], str]:
    """Version and cipher that come of a handshake; None if it fails."""
    with socket.create_connection(served.process.address, timeout=30) as sock:
        try:
            with context.wrap_socket(sock, server_hostname="127.0.0.1") as client:
                return client.version(), (client.cipher() or ("",))[0]
        except (ssl.SSLError, ConnectionError):
            return None, ""


@pytest.mark.parametrize(
    ("suites", "offered", "prefer", "chosen"),
    [
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256", "true", "ECDHE-ECDSA-AES128-GCM-SHA256"),
        ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "true", ""),
        ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", "ECDHE-ECDSA-AES256-SHA", "true", "ECDHE-ECDSA-AES256-SHA"),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", "true", "ECDHE-ECDSA-CHACHA20-POLY1305"),
        ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
         "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305", "false", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ],
)  # fmt: skip
def test_ciphers(made: Place, site: Any, suites: str, offered: str, prefer: str, chosen: str) -> None:
    served = site(f"{PAIR}, max_version: TLS12, cipher_suites: [{suites}], prefer_server_cipher_suites: {prefer}}}")
    context = made.authority.client()
    context.set_ciphers(offered)
    assert talk(served, context)[1] == chosen


@pytest.mark.parametrize(("curve", "reached"), [("prime256v1", False), ("secp521r1", True)])
def test_a_curve(made: Place, site: Any, curve: str, reached: bool) -> None:
    served = site(PAIR + ", curve_preferences: [CurveP521]}")
    context = made.authority.client()
    context.set_ecdh_curve(curve)
    assert (talk(served, context)[0] is not None) is reached


def test_inline_certificates(made: Place, site: Any) -> None:
    key = made.folder / "server.key"
    served = site(f"tls_server_config:\n  cert: |{indented(made.server.cert)}\n  key: |{indented(key)}\n")
    assert served.status(made.authority.client()) == 200


def test_client_certificates(made: Place, site: Any, tmp_path: Path) -> None:
    mine = made.authority.issue("prometheus", "DNS:prometheus")
    strange = Authority(tmp_path / "strangers").issue("stranger", "DNS:prometheus")
    served = site(PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem}")
    assert served.status(made.authority.client(mine)) == 200
    for context in (made.authority.client(), made.authority.client(strange)):
        assert not isinstance(served.status(context), int)
    context = made.authority.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert "alert" in served.status(context)
    served.change(PAIR + ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: strangers/ca.pem}")
    assert served.status(made.authority.client(strange)) == 200
    assert not isinstance(served.status(made.authority.client(mine)), int)


def test_client_certificates_if_given(made: Place, site: Any, tmp_path: Path) -> None:
    mine = made.authority.issue("prometheus", "DNS:prometheus")
    strange = Authority(tmp_path / "strangers").issue("stranger", "DNS:prometheus")
    served = site(PAIR + ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.pem}")
    assert served.status(made.authority.client(mine)) == 200
    assert served.status(made.authority.client()) == 200
    assert not isinstance(served.status(made.authority.client(strange)), int)


@pytest.mark.parametrize(
    ("sans", "allowed", "status"),
    [
        ("DNS:prometheus.example,DNS:other", "other", 200),
        ("DNS:prometheus.example", "Prometheus.example", 403),
        ("DNS:*.example", "a.example", 403),
        ("IP:10.0.0.1", "10.0.0.1", 200),
        ("IP:::1", "::1", 200),
        ("IP:2001:db8::8:800:200c:417a", "2001:db8::8:800:200c:417a", 200),
        ("email:ops@example.org", "ops@example.org", 200),
        ("URI:spiffe://example.org/prometheus", "spiffe://example.org/prometheus", 200),
        ("DNS:spiffe.example", "spiffe://example.org/prometheus", 403),
        ("DNS:x", "client", 403),  # That is its common name only.
        ("dirName:d", "x", 403),
    ],
)
def test_names_in_client_certificates(made: Place, site: Any, sans: str, allowed: str, status: int) -> None:
    mine = made.authority.issue("client", f"{sans}\n[d]\nCN=x\n[rest]" if sans.startswith("dirName") else sans)
    served = site(PAIR + f", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [nobody, '{allowed}']}}")
    assert served.status(made.authority.client(mine)) == status


def test_a_certificate_that_rotates_is_served_to_the_next_client(made: Place, site: Any, tmp_path: Path) -> None:
    served = site(PAIR + "}")
    for name in ("other", "server", "rsa", "other"):
        for suffix in (".key", ".pem"):  # In place, and for a moment they do not match.
            shutil.copy(made.folder / f"{name}{suffix}", tmp_path / f"server{suffix}")
        assert served.certificate().split() == (made.folder / f"{name}.pem").read_text().split()
        assert served.status(made.authority.client()) == 200


def test_a_kept_connection_ends_when_the_certificate_has_changed(made: Place, site: Any, tmp_path: Path) -> None:
    served = site(PAIR + "}")
    context = made.authority.client()
    with socket.create_connection(served.process.address, timeout=30) as sock:
        with context.wrap_socket(sock, server_hostname="127.0.0.1") as client:
            for _ in range(2):
                client.sendall(b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
                assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            for suffix in (".key", ".pem"):
                shutil.copy(made.folder / f"other{suffix}", tmp_path / f"server{suffix}")
            client.sendall(b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(65536) == b""


def test_a_file_that_becomes_bad_is_500_and_never_less_safe(made: Place, site: Any, tmp_path: Path) -> None:
    good = PAIR + f"}}\nbasic_auth_users: {{prometheus: {hashed('secret')}}}"
    served = site(good)
    context = made.authority.client()
    assert served.status(context, user="prometheus:secret") == 200
    bad = ("", "tls_server_config: [", good + "\nnonsense: 1", PAIR + "}", good.split("\n")[1], good.replace("server.key", "other.key"))
    for number, text in enumerate(bad):
        served.change(text)
        assert [served.status(context, user="prometheus:secret"), served.status(context)] == [500, 500], text
        assert b"400 Bad Request" in served.raw(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert served.process.log.count("ERROR: every request is answered 500") == number + 1  # said once
    served.file.unlink()
    assert served.status(context) == 500
    served.change(good)
    assert [served.status(context, user="prometheus:secret"), served.status(context)] == [200, 401]
    (tmp_path / "server.key").unlink()
    assert served.status(context, user="prometheus:secret") == 500
    shutil.copy(made.folder / "server.key", tmp_path)
    assert served.status(context, user="prometheus:secret") == 200
    served.process.says("read again")


def test_tls_can_be_switched_on_while_it_runs(made: Place, site: Any) -> None:
    served = site("")
    with socket.create_connection(served.process.address, timeout=30) as client:
        client.sendall(b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        served.change(PAIR + "}")
        client.sendall(b"HEAD /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(65536) == b""
    assert served.status(made.authority.client()) == 200


def test_users(site: Any) -> None:
    long = "x" * 100
    served = site(f"basic_auth_users: {{prometheus: {hashed('secret')}, ü: {hashed('ö:ö')}, long: {hashed(long[:72])}}}")
    for _ in range(2):  # the second time without a hash
        assert served.status() == 401
        assert served.get().headers["WWW-Authenticate"] == "Basic"
        for user in ("prometheus:secret", "ü:ö:ö", f"long:{long}"):
            assert served.status(user=user) == 200, user
        for user in ("prometheus:Secret", "prometheus:", "prometheus", ":", ":secret", "nobody:secret", "ü:secret",
                     "prometheus:secret\0", "prometheus:" + "x" * 5000):
            assert served.status(user=user) == 401, user
        for header in ("Basic", "Basic ", "Basic !", "Basic ü", "Bearer secret", "Basic cHJvbWV0aGV1czpzZWNyZXQ, Basic x"):
            assert served.status(Authorization=header) == 401, header
    assert served.status(Authorization="bAsIc cHJvbWV0aGV1czpzZWNyZXQ=") == 200
    for path in ("/", "/-/healthy", "/nope"):
        assert served.status(path=path) == 401
    assert "secret" not in served.process.log


def test_a_user_who_is_taken_away_is_out_and_a_new_one_in(site: Any) -> None:
    served = site(f"basic_auth_users: {{a: {hashed('x')}, b: {hashed('y')}}}")
    assert [served.status(user=user) for user in ("a:x", "b:y")] == [200, 200]
    served.change(f"basic_auth_users: {{b: {hashed('z')}}}")
    assert [served.status(user=user) for user in ("a:x", "b:y", "b:z")] == [401, 401, 200]


def test_headers(site: Any) -> None:
    served = site("")
    usual = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "deny", "Referrer-Policy": "no-referrer"}
    for path in ("/metrics", "/", "/nope"):
        assert usual.items() <= {name: value.lower() for name, value in served.get(path=path).headers.items()}.items()
    served.change("http_server_config: {headers: {X-Frame-Options: sameorigin, Strict-Transport-Security: max-age=1, "
                  "Content-Security-Policy: ''}}")
    for path in ("/metrics", "/", "/nope"):
        headers = served.get(path=path).headers
        assert (headers["X-Frame-Options"], headers["Strict-Transport-Security"]) == ("sameorigin", "max-age=1")
        assert "Content-Security-Policy" not in headers


def test_rate_limit(site: Any) -> None:
    served = site("rate_limit: {interval: 1h, burst: 3}")
    assert [served.status() for _ in range(5)] == [200, 200, 200, 429, 429]
    served.change("rate_limit: {interval: 1h, burst: 0}")
    assert served.status() == 429
    served.change("rate_limit: {interval: 0s, burst: 0}")
    assert [served.status() for _ in range(5)] == [200] * 5


def test_a_bad_file_at_the_start_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text("tls_server_config:\n  cert_filse: x\nbasic_auth_user: {}\n")
    for path in (file, tmp_path / "nowhere.yml"):
        with contextlib.closing(Exporter("--web.listen-address=127.0.0.1:0", f"--web.config.file={path}")) as exporter:
            assert exporter.process.wait(30) == 1
            exporter.says("--web.config.file cannot be used")
            if path is file:
                exporter.says(f"{file}:2: unknown key 'tls_server_config.cert_filse' \\(did you mean 'cert_file'\\?\\)")
                exporter.says(f"{file}:3: unknown key 'basic_auth_user' \\(did you mean 'basic_auth_users'\\?\\)")
            else:
                exporter.says("No such file")


def test_users_without_bcrypt_are_refused_with_the_name_of_the_package(tmp_path: Path) -> None:
    file = tmp_path / "web.yml"
    file.write_text(f"basic_auth_users: {{prometheus: {HASH}}}")
    (tmp_path / "bcrypt.py").write_text("raise ImportError('not here')\n")
    with contextlib.closing(Exporter("--web.listen-address=127.0.0.1:0", f"--web.config.file={file}", PYTHONPATH=str(tmp_path))) as exporter:
        assert exporter.process.wait(30) == 1
        exporter.says("basic_auth_users needs the Python package bcrypt, which is not installed .python3-bcrypt")


def test_what_has_no_effect_is_said(site: Any) -> None:
    served = site(PAIR + ", curve_preferences: [X25519, CurveP256]}\nhttp_server_config: {http2: true}")
    served.process.says("WARNING: .*http2: HTTP/2 is not spoken here")
    served.process.says("WARNING: .*curve_preferences")
