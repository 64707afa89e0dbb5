"""Takes secrets out of text of the agent and its extensions: bytes in, bytes out, only the secret itself is masked.

Known are: SAS signatures (also percent-encoded, and inside JSON), keys of connection strings, what follows a name such as
password, token or secret in any quoting, command line options, XML elements, Authorization headers, JWTs, user information in
URLs, private keys in PEM, bare storage account keys, settings of extensions, and thumbprints of the agent's certificates.
Base: WALinuxAgent common/utils/textutil.py (SAS_TOKEN_RE) and CommandExecution.log, which holds commands with their environment.
A second pass changes nothing. Time is linear in the length of the input, whatever that is.
"""

from __future__ import annotations

import re

MASK = b"<redacted>"

_SETTINGS = (b"protectedsettings", b"publicsettings")
_NAME = re.compile(
    rb"(?P<name>pass(?:word|wd|phrase)|secret|token|credential|(?<!old)pwd|sharedaccesssignature|thumbprint"
    rb"|(?<![a-z])sig(?:nature)?(?=\\*[\"'])|(?:protected|public)settings"
    rb"|(?:account|access|shared|storage|workspace|primary|secondary|api|private|subscription|encryption|master|signing)"
    rb"[_-]?key(?:value)?)"
    rb"(?P<escapes>\\{0,8})[\"']?[ \t]*(?:=>|[=:])[ \t]*")
"""A name in small letters and its sign; what the value is, `_value` tells."""

_OPEN = re.compile(rb"[bu]?(\\{0,8})([\"'])")
_ENDS = {b'"': re.compile(rb'["\r\n]'), b"'": re.compile(rb"['\r\n]")}
_BARE = re.compile(rb"(?:[^\s\"'<>&;,\\]|[&;,](?![\w%.-]{1,64}[=:])(?=[^\s\"'<>\\]))+")
_NO_SECRET = frozenset((b"y", b"n", b"yes", b"no", b"true", b"false", b"null", b"none"))
_NESTING = re.compile(rb"[\"{}\[\]]")

_SCHEME = rb"(?:basic|bearer|digest|negotiate|sharedkey(?:lite)?|sharedaccesssignature)[ \t]+"

_AFTER = rb"\1" + MASK

_WHOLE: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    (re.compile(rb"(-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----).*?(-----END [A-Z ]{0,30}PRIVATE KEY-----|\Z)", re.DOTALL),
     _AFTER + rb"\2"),
    (re.compile(rb"((?:(?<![a-z])|(?<=%3F))sig(?:=|%3D|%253D))(?:[a-z0-9+/=_.~-]|%(?!26)[0-9a-f]{2})+", re.IGNORECASE), _AFTER),
    (re.compile(rb"(authorization\\{0,8}[\"']?[ \t]*[:=][ \t]*\\{0,8}[\"']?(?:" + _SCHEME + rb"(?:\w{1,64}:)?)?)"
                rb"(?!" + _SCHEME + rb"|\w{1,64}:<)[^\s\"'\\<>]+", re.IGNORECASE), _AFTER),
    (re.compile(rb"((?<![\w-])bearer[ \t]+)[\w~+/.=-]{20,}", re.IGNORECASE), _AFTER),
    (re.compile(rb"(?<![\w-])eyJ[\w-]{5,}\.[\w-]{5,}(?:\.[\w-]*){0,3}"), MASK),
    (re.compile(rb"(\b[a-z][a-z0-9+.-]{0,20}://[^\s/@:\"'<>]{0,256}:)[^\s/\"'<>]+(@)", re.IGNORECASE), _AFTER + rb"\2"),
    (re.compile(rb"((?<![\w-])--[\w-]{0,40}?(?:password|passwd|secret|token|api-key|account-key)[ \t]+)(?!-)[^\s\"'<>]+",
                re.IGNORECASE), _AFTER),
    (re.compile(rb"(<(?:\w{1,40}:)?\w{0,40}?(?:password|secret|token|customdata|protectedsettings)\w{0,40}(?:\s[^<>]{0,400})?>)"
                rb"[^<>]+", re.IGNORECASE), _AFTER),
    (re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])"), MASK),
    (re.compile(rb"(?<![0-9A-Za-z])[0-9A-F]{40}(?![0-9A-Za-z])"), MASK),
)
_QUERY = re.compile(r"(https?://[^\s?\"'<>]*)\?[^\s\"']*", re.IGNORECASE)
_SHORT_FROM = 16 * 1024


def redact(data: bytes) -> bytes:
    """`data` with each secret in it replaced by MASK. Never raises, whatever the bytes."""
    data = _named(data)
    for pattern, mask in _WHOLE:
        data = pattern.sub(mask, data)
    return data


def text(value: str) -> str:
    """The same for a string."""
    return redact(value.encode("utf-8", "backslashreplace")).decode("utf-8", "backslashreplace")


def short(value: str, limit: int = 200) -> str:
    """One line of at most `limit` characters to show to people: redacted, without the queries of URLs, blanks folded."""
    clean = " ".join(_QUERY.sub(r"\1", text(value[:_SHORT_FROM])).split())
    clean = "".join(letter if letter.isprintable() else "?" for letter in clean[:limit + 1])
    return clean if len(clean) <= limit else clean[:limit - 1].rstrip() + "…"


def _named(data: bytes) -> bytes:
    parts: list[bytes] = []
    done = 0
    for found in _NAME.finditer(data.lower()):
        if found.start() < done:
            continue
        start, end, mask = _value(data, found)
        if end > start:
            parts += (data[done:start], mask)
            done = end
    parts.append(data[done:])
    return b"".join(parts)


def _value(data: bytes, found: re.Match[bytes]) -> tuple[int, int, bytes]:
    """Where the value begins and ends, and what to put there; an empty range when it is none or no secret."""
    start = found.end()
    name = found["name"]
    opened = _OPEN.match(data, start)
    if opened:
        start = opened.end()
        end = _quoted(data, start, opened[2], len(opened[1]))
    elif data[start:start + 1] in (b"{", b"["):
        if name not in _SETTINGS:
            return start, start, b""  # What is in there has names of its own.
        quote = found["escapes"] + b'"'
        return start, _nested(data, start, len(found["escapes"])), quote + MASK + quote
    else:
        bare = _BARE.match(data, start)
        end = bare.end() if bare else start
        if data[start:end].lower() in _NO_SECRET:
            return start, start, b""
    if name == b"pwd" and data[start:start + 1] == b"/":
        return start, start, b""  # The working directory in a dump of the environment.
    return start, end, MASK


def _quoted(data: bytes, start: int, quote: bytes, escapes: int) -> int:
    """Where a string ends that was opened by so many backslashes and a quote; the line's end if nothing closes it."""
    for found in _ENDS[quote].finditer(data, start):
        at = found.start()
        if found[0] != quote:
            return at
        length = _escapes(data, start, at)
        if length <= escapes if escapes else length % 2 == 0:
            return at - length if escapes else at
    return len(data)


def _nested(data: bytes, start: int, escapes: int) -> int:
    """Where an object or a list ends; the end of the data if nothing closes it."""
    depth, within = 0, False
    for found in _NESTING.finditer(data, start):
        if found[0] == b'"':
            length = _escapes(data, start, found.start())
            if length == escapes if escapes else length % 2 == 0:
                within = not within
        elif not within:
            depth += 1 if found[0] in b"{[" else -1
            if depth == 0:
                return found.end()
    return len(data)


def _escapes(data: bytes, start: int, at: int) -> int:
    """How many backslashes stand before `at`."""
    first = at
    while first > start and data[first - 1] == 0x5C:
        first -= 1
    return at - first
