"""TLS of the exporter: what webconfig.TLS says, as the ssl module understands it. Imported only where TLS is configured.

Where Python's ssl can do less than Go's crypto/tls: a client certificate cannot be asked for without being verified, one
curve can be chosen but not an order of several, and the suites of TLS 1.3 are always all on (in Go, too). What OpenSSL
itself refuses on this system (keys that are too short, TLS 1.0 and 1.1 on most of today's distributions) stays refused.
"""

from __future__ import annotations

import os
import selectors
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Optional

from waguard.exporter.webconfig import TLS

VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_MODES = {
    "RequestClientCert": ssl.CERT_NONE,  # Go asks for one and does not look at it.
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}


class Secure:
    """The door (see server.Door) that a TLS configuration describes."""

    def __init__(self, config: TLS) -> None:
        """Raises ValueError for a person: the certificate, key, CA or choice that cannot be used, and why."""
        self.config = config
        self._context = _context(config)

    def wrap(self, sock: socket.socket) -> Channel:
        return Channel(self._context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False),
                       self.config.client_allowed_sans)


class Channel:
    """One encrypted connection (see server.Channel), never waiting."""

    def __init__(self, sock: ssl.SSLSocket, allowed: tuple[str, ...]) -> None:
        self._sock = sock
        self._allowed = allowed
        self.fileno = sock.fileno
        self.close = sock.close

    def handshake(self) -> int:
        try:
            self._sock.do_handshake()
        except ssl.SSLWantReadError:
            return selectors.EVENT_READ
        except ssl.SSLWantWriteError:
            return selectors.EVENT_WRITE
        return 0

    def barred(self) -> str:
        if not self._allowed or not names(self._sock.getpeercert() or {}).isdisjoint(self._allowed):
            return ""
        return "none of the names in the client certificate is allowed here"

    def recv(self, size: int) -> bytes:
        try:
            return self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data: memoryview) -> int:
        try:
            return self._sock.send(data)
        except ssl.SSLWantWriteError:
            raise BlockingIOError from None
        # SSLWantReadError is left to be an OSError: without renegotiation there is nothing to read before writing.

    def shutdown(self, how: int) -> None:
        try:
            self._sock.unwrap()  # Sends close_notify, and does not wait for the other one.
        except (OSError, ValueError):
            pass
        self._sock.shutdown(how)


def names(certificate: Mapping[str, Any]) -> set[str]:
    """The subject alternative names of a certificate as ssl.SSLSocket.getpeercert shows it, IP addresses as one writes them."""
    found = {str(value) for kind, value in certificate.get("subjectAltName", ()) if kind in ("DNS", "email", "URI")}
    return found | {_address(str(value)) for kind, value in certificate.get("subjectAltName", ()) if kind == "IP Address"}


def _address(text: str) -> str:
    """OpenSSL writes ::1 as 0:0:0:0:0:0:0:1."""
    text = text.strip()
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            return socket.inet_ntop(family, socket.inet_pton(family, text))
        except OSError:
            pass
    return text


def _context(config: TLS) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    # A scraper keeps its connection; resuming another one is not worth a write per handshake.
    context.num_tickets = 0  # type: ignore[attr-defined]
    context.set_alpn_protocols(["http/1.1"])
    if config.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    else:
        context.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _limit(context, config)
    _load(context, config)
    if config.client_ca is not None:
        _trust(context, config.client_ca)
    context.verify_mode = _MODES.get(config.client_auth_type, ssl.CERT_NONE)
    return context


def _limit(context: ssl.SSLContext, config: TLS) -> None:
    """Versions, suites and curves."""
    context.minimum_version, context.maximum_version = VERSIONS[config.min_version], VERSIONS[config.max_version]
    before_13 = [openssl_name(name) for name in config.cipher_suites if "_WITH_" in name]
    if before_13:
        try:
            context.set_ciphers(":".join(before_13))
        except ssl.SSLError:
            raise ValueError("cipher_suites: OpenSSL on this system allows none of them") from None
    elif config.cipher_suites and config.max_version == "TLS13":
        context.minimum_version = ssl.TLSVersion.TLSv1_3  # Only suites of 1.3: nothing older is to be spoken.
    elif config.cipher_suites:
        raise ValueError(f"cipher_suites: none of them is for {config.max_version} or older")
    if len(config.curve_preferences) == 1:
        try:
            context.set_ecdh_curve(_CURVES[config.curve_preferences[0]])
        except (ValueError, ssl.SSLError):
            raise ValueError(f"curve_preferences: OpenSSL on this system has no {config.curve_preferences[0]}") from None


def openssl_name(name: str) -> str:
    """``TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256``, IANA's and Go's name, as OpenSSL spells it: ciphers(1)."""
    exchange, _, cipher = name[len("TLS_"):].partition("_WITH_")
    cipher = cipher.replace("_CBC", "").replace("AES_", "AES").replace("_POLY1305_SHA256", "_POLY1305")
    return f"{exchange}_{cipher}".replace("_", "-")


def _load(context: ssl.SSLContext, config: TLS) -> None:
    """The certificate and its key. The ssl module only takes files; what was read once is handed over as memory files."""
    try:
        with _Memory(config.cert) as cert, _Memory(config.key) as key:
            context.load_cert_chain(cert.path, key.path, password=_no_password)
    except ssl.SSLError as error:
        raise ValueError(f"certificate and key: {_reason(error)}") from None


def _no_password() -> str:
    raise ValueError("key: it is protected by a password, and nobody is here to type it in")


def _trust(context: ssl.SSLContext, authorities: bytes) -> None:
    try:
        # Bundles have names beside the PEM, in any spelling.
        context.load_verify_locations(cadata=authorities.decode("ascii", "ignore"))
    except (ssl.SSLError, ValueError) as error:
        why = _reason(error) if isinstance(error, ssl.SSLError) else "it is empty"
        raise ValueError(f"client_ca: {why}") from None
    if not context.cert_store_stats()["x509"]:
        raise ValueError("client_ca: there is no certificate in it")


def _reason(error: ssl.SSLError) -> str:
    """OpenSSL's words for a person."""
    known: Mapping[Optional[str], str] = {
        "KEY_VALUES_MISMATCH": "the key is not that of the certificate",
        "NO_START_LINE": "there is no PEM block of the right kind in it",
        "EE_KEY_TOO_SMALL": "the key is too short",
        "CA_MD_TOO_WEAK": "the digest of the signature is too weak",
    }
    reason = getattr(error, "reason", None)
    return known.get(reason) or str(reason or error.strerror or "cannot be read").lower().replace("_", " ")


class _Memory:
    """Bytes as a file that has a path, memfd_create(2)."""

    def __init__(self, data: bytes) -> None:
        self._fd = os.memfd_create("waguard-tls")
        self.path = f"/proc/self/fd/{self._fd}"
        os.write(self._fd, data)

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)
