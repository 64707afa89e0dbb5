"""The file of --web.config.file: TLS, users, headers and rate of the exporter, in the schema of prometheus/exporter-toolkit.

Its schema is docs/web-configuration.md there, its behaviour web/tls_config.go and web/handler.go; tests compare with
``promtool check web-config``. Where a file would be less safe than it looks, it is refused here (docs/web-config.md says
where). ``WebFile`` re-reads it when it, or a certificate or key that it names, changes. A file that has become bad never
makes the exporter more open: requests are answered 500 until it is good again.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Optional

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1 << 20
_DEEPEST = 10
COSTLIEST = 18
"""Exponent of bcrypt; one guess then takes half a minute of a CPU, and anybody may guess."""

AUTH_TYPES = ("NoClientCert", "RequestClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED = ("RequireAnyClientCert", "RequireClientCert")
VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CURVES = ("CurveP256", "CurveP384", "CurveP521", "X25519")
CIPHERS = (
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
)
"""What crypto/tls.CipherSuites() of Go 1.22 and later names."""
HEADERS: Mapping[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that can be set, with their only values where there are such."""

_BCRYPT = re.compile(r"\$2[abxy]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)")
_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class TLS(NamedTuple):
    """tls_server_config, with its files read. Names as in the file."""

    cert: bytes
    key: bytes
    client_auth_type: str = "NoClientCert"
    client_ca: Optional[bytes] = None
    client_allowed_sans: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True
    curve_preferences: tuple[str, ...] = ()


class Rate(NamedTuple):
    """rate_limit: a token each ``interval`` seconds, ``burst`` of them at most."""

    interval: float
    burst: int


class WebConfig(NamedTuple):
    tls: Optional[TLS] = None
    headers: tuple[tuple[str, str], ...] = ()
    users: Mapping[str, str] = {}
    """Names and their bcrypt hashes."""
    rate: Optional[Rate] = None
    notes: tuple[str, ...] = ()
    """What is accepted and has no effect, or another one than with the Go exporters."""


class WebConfigError(Exception):
    """The file cannot be used. ``problems`` are all faults found, as ``file:line: what``."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


def load(path: str) -> WebConfig:
    """The configuration in a file. Whether its certificates are any good is not looked at. Raises WebConfigError."""
    return Parser(path).parse()


def read(path: str) -> bytes:
    """A small regular file; opened so that a FIFO cannot hold anybody up. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(0, "not a regular file")
        data = os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)
    if len(data) > MAX_BYTES:
        raise OSError(0, f"larger than {MAX_BYTES // 1024} KiB")
    return data


def duration(text: str) -> float:
    """Seconds of a Go duration, ``1m30s``: time.ParseDuration. Raises ValueError."""
    sign, rest = (-1.0, text[1:]) if text[:1] == "-" else (1.0, text[1:] if text[:1] == "+" else text)
    if rest == "0":
        return 0.0
    parts = _DURATION_PART.findall(rest)
    if not parts or "".join(number + unit for number, unit in parts) != rest:
        raise ValueError(f"'{text[:40]}' is no duration, such as 1s or 1m30s")
    return sign * sum(float(number) * _UNITS[unit] for number, unit in parts)


class Parser:
    """One reading of one file. ``files`` are those that the outcome depends on, good or bad."""

    def __init__(self, path: str) -> None:
        self.files = [path]
        self._path = path
        self._problems: list[str] = []
        self._notes: list[str] = []

    def parse(self) -> WebConfig:
        """Raises WebConfigError."""
        config = WebConfig()
        root = self._tree()
        if root is not None:
            sections = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
            found = self._mapping(root, "", sections)
            config = WebConfig(
                tls=self._tls(found["tls_server_config"]) if "tls_server_config" in found else None,
                headers=self._http(found["http_server_config"]) if "http_server_config" in found else (),
                users=self._users(found["basic_auth_users"]) if "basic_auth_users" in found else {},
                rate=self._rate(found["rate_limit"]) if "rate_limit" in found else None,
                notes=tuple(self._notes),
            )
        if self._problems:
            raise WebConfigError(self._problems)
        return config

    def _wrong(self, node: Optional[yaml.Node], message: str) -> None:
        line = node.start_mark.line + 1 if node is not None and node.start_mark is not None else 0
        self._problems.append(f"{self._path}:{line}: {message}" if line else f"{self._path}: {message}")

    # YAML

    def _tree(self) -> Optional[yaml.Node]:
        try:
            text = read(self._path).decode("utf-8")
        except OSError as error:
            self._wrong(None, f"cannot be read: {error.strerror}")
            return None
        except UnicodeDecodeError as error:
            self._problems.append(f"{self._path}:{error.object[:error.start].count(10) + 1}: is not UTF-8 text")
            return None
        if not any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines()):
            return None  # As it is shipped: not worth the 3 MB of PyYAML.
        import yaml

        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        try:
            depth = 0  # Composing is recursive: too deep a file would end the whole process (PyYAML 6.0).
            for event in yaml.parse(text, Loader=loader):
                depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
                if depth > _DEEPEST:
                    self._problems.append(f"{self._path}: is nested too deeply")
                    return None
            return yaml.compose(text, Loader=loader)
        except yaml.YAMLError as error:
            mark, why = getattr(error, "problem_mark", None), getattr(error, "problem", None) or "unreadable"
            self._problems.append(f"{self._path}:{mark.line + 1 if mark else 0}: is not valid YAML: {why}")
        return None

    def _mapping(self, node: yaml.Node, where: str, known: Optional[Iterable[str]]) -> dict[str, yaml.Node]:
        """The entries of a mapping; nothing for null. ``known`` are the keys there can be, None: any."""
        if _null(node):
            return {}
        if _shape(node) != "mapping":
            self._wrong(node, f"{where or 'the file'} has to hold keys and values")
            return {}
        found: dict[str, yaml.Node] = {}
        for key_node, value in node.value:
            key = str(key_node.value) if _shape(key_node) == "scalar" else "(no name)"
            full = f"{where}.{key}"[:80].lstrip(".")
            if known is not None and key not in known:
                self._wrong(key_node, f"unknown key '{full}'{_nearest(key, list(known))}")
            elif key in found:
                self._wrong(key_node, f"'{full}' is set twice")
            else:
                found[key] = value
        return found

    def _text(self, node: Optional[yaml.Node], where: str, choices: Sequence[str] = ()) -> str:
        """A scalar's text, empty if there is none."""
        if node is None or _null(node):
            return ""
        if _shape(node) != "scalar":
            self._wrong(node, f"{where} has to be one value")
            return ""
        text = str(node.value)
        if choices and text not in choices:
            self._wrong(node, f"{where}: '{text[:60]}' is not one of {', '.join(choices)}{_nearest(text, choices)}")
            return ""
        return text

    def _words(self, node: Optional[yaml.Node], where: str, choices: Sequence[str] = ()) -> tuple[str, ...]:
        if node is None or _null(node):
            return ()
        if _shape(node) != "sequence":
            self._wrong(node, f"{where} has to be a list")
            return ()
        return tuple(self._text(item, where, choices) for item in node.value)

    def _switch(self, node: Optional[yaml.Node], where: str) -> Optional[bool]:
        if node is None or _null(node):
            return None
        if node.tag != "tag:yaml.org,2002:bool":
            self._wrong(node, f"{where} has to be true or false")
            return None
        return str(node.value).lower() in ("true", "yes", "on")

    # Sections

    def _tls(self, node: yaml.Node) -> Optional[TLS]:
        found = self._mapping(node, "tls_server_config", ("cert_file", "key_file", "client_ca_file", *TLS._fields))
        if not found:
            return None
        before = len(self._problems)
        text = {key: self._text(found.get(key), key) for key in ("cert", "key", "client_ca")}
        text.update({key: self._text(found.get(key), key) for key in ("cert_file", "key_file", "client_ca_file")})
        mode = self._auth_type(found.get("client_auth_type"))
        versions = [self._text(found.get(key), key, VERSIONS) for key in ("min_version", "max_version")]
        config = TLS(
            cert=b"", key=b"", client_auth_type=mode,
            client_allowed_sans=self._words(found.get("client_allowed_sans"), "client_allowed_sans"),
            min_version=versions[0] or "TLS12", max_version=versions[1] or "TLS13",
            cipher_suites=self._words(found.get("cipher_suites"), "cipher_suites", CIPHERS),
            prefer_server_cipher_suites=self._switch(found.get("prefer_server_cipher_suites"), "prefer_server_cipher_suites")
            is not False,
            curve_preferences=self._words(found.get("curve_preferences"), "curve_preferences", CURVES),
        )
        self._check_together(node, config, text, found.get("client_allowed_sans"))
        if len(self._problems) > before:
            return None
        material = {key: self._material(found.get(f"{key}_file", node), key, text) for key in ("cert", "key", "client_ca")}
        if len(self._problems) > before:
            return None
        return config._replace(cert=material["cert"], key=material["key"], client_ca=material["client_ca"] or None)

    def _auth_type(self, node: Optional[yaml.Node]) -> str:
        mode = self._text(node, "client_auth_type", (*AUTH_TYPES, *_UNVERIFIED, ""))
        if mode in _UNVERIFIED:
            self._wrong(node, f"client_auth_type: {mode} asks for any certificate and verifies none, which protects nothing and "
                              "which Python's ssl cannot do; RequireAndVerifyClientCert with client_ca_file is what helps")
        return mode or "NoClientCert"

    def _check_together(self, node: yaml.Node, config: TLS, text: Mapping[str, str], sans: Optional[yaml.Node]) -> None:
        for key in ("cert", "key"):
            if not text[key] and not text[f"{key}_file"]:
                self._wrong(node, f"tls_server_config: {key}_file (or {key}) is missing")
        has_ca = bool(text["client_ca"] or text["client_ca_file"])
        if has_ca and config.client_auth_type == "NoClientCert":
            self._wrong(node, "tls_server_config: there is a client CA, but no client_auth_type that uses it")
        if config.client_auth_type == "RequireAndVerifyClientCert" and not has_ca:
            self._wrong(node, "tls_server_config: RequireAndVerifyClientCert needs client_ca_file (or client_ca): else anybody "
                              "would come in who has a certificate of any public authority")
        if config.client_allowed_sans and config.client_auth_type != "RequireAndVerifyClientCert":
            self._wrong(node, "tls_server_config: client_allowed_sans needs client_auth_type RequireAndVerifyClientCert: names "
                              "in a certificate that nobody verified say nothing")
        if sans is not None and not _null(sans) and not config.client_allowed_sans:
            self._wrong(sans, "client_allowed_sans is empty: nobody could come in")
        if VERSIONS.index(config.min_version) > VERSIONS.index(config.max_version):
            self._wrong(node, f"tls_server_config: min_version {config.min_version} is above max_version {config.max_version}")
        if len(config.curve_preferences) > 1:
            self._notes.append("curve_preferences: Python's ssl can be told one curve; with several, OpenSSL chooses by itself")

    def _material(self, node: yaml.Node, key: str, text: Mapping[str, str]) -> bytes:
        """What a file or the inline text holds; the file counts where both are there, as in exporter-toolkit."""
        name = text[f"{key}_file"]
        if not name:
            return text[key].encode()
        path = os.path.join(os.path.dirname(self._path), name)
        self.files.append(path)
        try:
            data = read(path)
        except OSError as error:
            self._wrong(node, f"{key}_file {path} cannot be read: {error.strerror}")
            return b""
        if not data.strip():
            self._wrong(node, f"{key}_file {path} is empty")
        return data

    def _http(self, node: yaml.Node) -> tuple[tuple[str, str], ...]:
        found = self._mapping(node, "http_server_config", ("http2", "headers"))
        if self._switch(found.get("http2"), "http_server_config.http2"):
            self._notes.append("http2: HTTP/2 is not spoken here; clients get HTTP/1.1")
        headers = []
        for name, value in self._mapping(found["headers"], "headers", HEADERS).items() if "headers" in found else ():
            text = self._text(value, f"headers.{name}", HEADERS[name])
            if not text.isprintable() or not text.isascii():
                self._wrong(value, f"headers.{name} has to be printable ASCII text")
            elif not text and HEADERS[name] and _shape(value) == "scalar":
                self._wrong(value, f"headers.{name} has to be {' or '.join(HEADERS[name])}")
            headers.append((name, text))
        return tuple(headers)

    def _users(self, node: yaml.Node) -> Mapping[str, str]:
        users = {}
        for name, value in self._mapping(node, "basic_auth_users", None).items():
            hashed = self._text(value, f"basic_auth_users.{name[:40]}")
            match = _BCRYPT.fullmatch(hashed)
            if ":" in name or not name.isprintable():
                self._wrong(value, f"basic_auth_users: no user can be called '{name[:40]!r}'")
            elif match is None or not 4 <= int(match[1]) <= 31:
                self._wrong(value, f"basic_auth_users.{name[:40]}: not a bcrypt hash, such as htpasswd -nBC 10 '' makes")
            elif int(match[1]) > COSTLIEST:
                self._wrong(value, f"basic_auth_users.{name[:40]}: a cost of {match[1]} makes each guess of a stranger cost "
                                   f"minutes of this machine; {COSTLIEST} is the limit, 10 to 12 are usual")
            else:
                users[name] = hashed
        return users

    def _rate(self, node: yaml.Node) -> Optional[Rate]:
        found = self._mapping(node, "rate_limit", ("interval", "burst"))
        try:
            interval = duration(self._text(found.get("interval"), "rate_limit.interval") or "0")
            if interval < 0:
                raise ValueError("it cannot be negative")
        except ValueError as error:
            self._wrong(found["interval"], f"rate_limit.interval: {error}")
            interval = 0.0
        burst = found.get("burst")
        number = self._text(burst, "rate_limit.burst") or "0"
        if not re.fullmatch("[0-9]{1,9}", number) or (burst is not None and burst.tag == "tag:yaml.org,2002:str"):
            self._wrong(burst, "rate_limit.burst has to be a whole number")
            number = "0"
        return Rate(interval, int(number)) if interval else None


def _shape(node: yaml.Node) -> str:
    """scalar, sequence or mapping."""
    return str(getattr(node, "id", ""))


def _null(node: yaml.Node) -> bool:
    return str(node.tag) == "tag:yaml.org,2002:null"


def _nearest(word: str, choices: Sequence[str]) -> str:
    from difflib import get_close_matches

    match = get_close_matches(word, choices, 1, 0.6)
    return f" (did you mean '{match[0]}'?)" if match else ""
