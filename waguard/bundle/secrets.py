"""What a secret looks like: where one begins, by which rule, and how its end is found.

The dresses are those of ``waguard.agent.redact`` (one text at a time, in memory) and more, for files of any length: each rule
has a needle, a literal that is looked for first, and a pattern from there on that sees LOOK bytes at most. ``low`` is the text
in small letters. Nothing here depends on where a text was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple, Optional, Protocol

from waguard.bundle import ends

LOOK = 4096
"""Bytes that a rule may see from its needle on; every value begins within them."""
BACK = 512
"""Bytes that a rule may see before its needle."""

RULES = {
    "sas-signature": "signatures of shared access URLs",
    "named-value": "values of what is called password, secret, token, credential, key … in JSON, XML, conf, URLs and options",
    "settings": "protectedSettings and publicSettings of extensions",
    "element": "content of XML elements with such a name",
    "authorization": "Authorization headers, bearer tokens, cookies",
    "jwt": "JSON web tokens",
    "url-password": "user information in URLs and proxies",
    "private-key": "private keys (PEM)",
    "certificate": "certificates and other PEM blocks",
    "der-data": "certificates, keys and PKCS #7/#12 data in bare base64",
    "storage-key": "storage account keys",
    "password-hash": "crypt(3) password hashes",
    "thumbprint": "thumbprints of certificates",
    "wide-text": "text in UTF-16, which cannot be looked through",
}


class Finder(Protocol):
    def step(self, low: bytes, at: int, safe: int, final: bool) -> tuple[int, bool]: ...


class Hit(NamedTuple):
    """A secret that begins at ``at``. ``crossing``: "" or what it is, if it may go on over the end of another one around it.
    ``frame``: bytes put around the mask, where quotes went with the value."""

    at: int
    rule: str
    end: Finder
    crossing: str = ""
    frame: bytes = b""


_QUOTES = rb"[\"']|&quot;|&#3[49];|%22"
_TAIL = re.compile(
    rb"(?P<plural>s?)(?:[_-]?(?:hash|value|text|data|string|base64|b64|[0-9]{1,3})(?![a-z0-9]))?"
    rb"(?:(?P<pair>\\{0,8}(?:" + _QUOTES + rb")[ \t]{0,8},?\s{0,200}\\{0,8}(?:" + _QUOTES + rb")?value\\{0,8}(?:" + _QUOTES +
    rb")?[ \t]{0,8}[:=]\s{0,200})"
    rb"|(?P<escapes>\\{0,8})(?P<quote>" + _QUOTES + rb")?[ \t]{0,40}(?P<sign>=>|[=:]|%3d|%253d|%3a|%253a)"
    rb"(?:\s{0,200}(?=\\{0,8}[\"'{\[])|[ \t]{0,40})"
    rb"|(?P<element>[\w.-]{0,40}(?:\s[^<>&/]{0,400})?(?P<closing>>|&gt;))"
    rb"|(?P<option>[ \t]{1,20}(?=[^\s-])))")
_OPEN = re.compile(rb"[bu]?(\\{0,8})(" + _QUOTES + rb")")
_NO_SECRET = re.compile(rb"(?:y|n|yes|no|true|false|null|none)(?=[\s\"'<>&;,\\)}\]]|\Z)")
_NO_CONTENT = re.compile(rb"\s{0,200}(?:(?:true|false|yes|no|y|n|[01])\s{0,200})?(?:<|&lt;)/")
_ELEMENT_BEFORE = re.compile(rb"(?:<|&lt;)(?:[\w.-]{1,40}:)?([\w.-]{0,60})\Z")
_OPTION_BEFORE = re.compile(rb"(?<![\w-])--[\w-]{0,40}\Z")
_LINE_BEFORE = re.compile(rb"[ \t]{0,40}(?:export[ \t]+|set[ \t]+|[#;-][ \t]*)?[\w.\"'-]{0,80}\Z")
_KEYS = (b"account", b"access", b"shared", b"storage", b"workspace", b"primary", b"secondary", b"api", b"private", b"client",
         b"subscription", b"encryption", b"master", b"signing", b"functions", b"secret", b"sas", b"auth", b"symmetric",
         b"instrumentation")
_NAMES = (
    (b"pass", re.compile(rb"pass(?:word|wd|phrase|code)|(?<![a-z])pass(?![a-z])"), "named-value"),
    (b"pwd", re.compile(rb"(?<!old)pwd"), "named-value"),
    (b"secret", re.compile(rb"secret"), "named-value"),
    (b"token", re.compile(rb"token"), "named-value"),
    (b"credential", re.compile(rb"credential"), "named-value"),
    (b"customdata", re.compile(rb"customdata"), "named-value"),
    (b"userdata", re.compile(rb"userdata"), "named-value"),
    (b"thumbprint", re.compile(rb"thumbprint"), "thumbprint"),
    (b"sig", re.compile(rb"(?<=sharedaccess)signature|(?<![a-z])sig(?:nature)?(?=\\{0,8}[\"'])"), "named-value"),
    (b"settings", re.compile(rb"(?:(?<=protected)|(?<=public))settings"), "settings"),
    (b"key", re.compile(rb"(?<=[tsdeyinrghc_-])key"), "named-value"),
)

_SCHEME = rb"(?:basic|bearer|negotiate|sharedkey(?:lite)?|sharedaccesssignature|" \
          rb"[a-z][a-z0-9-]{2,30}(?=[ \t]{1,8}[^\s\"'<>]{8}))[ \t]{1,8}"
_HEADER = rb"(?=(authorization\\{0,8}[\"']?[ \t]{0,20}(?:[:=]|%3a|%3d)[ \t]{0,20}\\{0,8}[\"']?"
_USER = rb"[^\s/@:\"'<>\\"
_Simple = tuple[bytes, re.Pattern[bytes], str, Optional[re.Pattern[bytes]]]
_SIMPLE: tuple[_Simple, ...] = (
    # Needle, pattern (group 1: what stays before the value; group 2: the value, if there is no pattern for its end), rule, end.
    (b"sig", re.compile(rb"(?:(?<![a-z])|(?<=%3f))(?=(sig(?:nature)?(?:=|%3d|%253d))[a-z0-9+/%])"), "sas-signature",
     ends.SAS),
    (b"authorization", re.compile(_HEADER + rb"digest[ \t])[^\r\n])"), "authorization", re.compile(rb"[\r\n]")),
    (b"authorization",
     re.compile(_HEADER + rb"(?!digest[ \t])(?:" + _SCHEME + rb"(?:\w{1,64}:(?!<))?)?)[^\s\"'\\<>])"), "authorization",
     ends.WORD),
    (b"bearer", re.compile(rb"(?<![\w-])(?=(bearer(?:[ \t]{1,20}|%20|\+))[\w~+/.=-]{20})"), "authorization", ends.BEARER),
    (b"cookie", re.compile(rb"(?=(cookie\\{0,8}[\"']?[ \t]{0,20}:[ \t]{0,20}\\{0,8}[\"']?)[^\s\"'\\<>]{1,100}=)"),
     "authorization", ends.REST),
    (b"://", re.compile(rb"(?=(://" + _USER + rb"]{0,256}:|://(?=" + _USER + rb".]{20,256}@))([^\s/\"'<>]{1,1024})@)"),
     "url-password", None),
    (b"%3a%2f%2f", re.compile(rb"(?=(%3a%2f%2f(?:[\w.~-]|%(?!40|2f|3a)[0-9a-f]{2}){0,256}%3a)"
                              rb"((?:[\w.~-]|%(?!40|2f)[0-9a-f]{2}){1,512})%40)"), "url-password", None),
    (b"proxy", re.compile(rb"(?=(proxy[\w.]{0,20}[\"']?[ \t]{0,20}[=:][ \t]{0,20}[\"']?[^\s:/@\"']{1,128}:)"
                          rb"([^\s@/\"']{1,256})@)"), "url-password", None),
    (b"curl", re.compile(rb"(?=(curl[^\r\n]{0,400}?[ \t](?:-u|-U|--user|--proxy-user)[ =]?[\"']?[^\s:\"'/]{1,128}:)"
                         rb"([^\s\"']{1,256}))"), "url-password", None),
    (b"$", re.compile(rb"(?=(\$(?:[156]|2[abxy]?|7|y|gy)\$)[./a-z0-9=,$+-]{20})"), "password-hash", ends.HASH),
)
_PEM = re.compile(rb"-{4,5} ?begin ([a-z0-9 ]{1,40})-{4,5}")
_BODY = re.compile(rb"(?:\\{1,8}[rn]|[\s\"'+]){0,60}[a-z0-9+/]{20}")
_JWT = re.compile(rb"(?<![\w-])eyJ(?=[\w-]{5,3000}[.]{1,2}[\w-]{5})")
_DER = re.compile(rb"(?<![A-Za-z0-9+/])MI(?=[AGHI][A-Za-z0-9+/]{57})")
_KEY88 = re.compile(rb"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])")
_HEX40 = re.compile(rb"(?<![0-9A-Za-z])[0-9A-F]{40}(?![0-9A-Za-z])")
_WIDE = re.compile(rb"(?:[\t\n\r\x20-\x7e]\x00){8,512}")
_TO_RUNS = bytes(0x62 if (code < 128 and chr(code).isalnum()) or chr(code) in "+/" else 0x2E for code in range(256))
_RUN = b"b" * 40
"""Neither key, certificate nor thumbprint is shorter: where no such run is, none of them is."""


def hits(data: bytes, low: bytes, start: int, stop: int, whole: bool) -> Iterator[Hit]:
    """Secrets by needles in ``data[start:stop]``, in no order. ``whole``: the text begins where ``data`` does."""
    there = _there(low[start:stop + _LONGEST])
    for needle, pattern, rule in _NAMES:
        if needle in there:
            for found in _each(needle, pattern, low, start, stop):
                hit = _named(low, found, rule, whole)
                if hit is not None:
                    yield hit
    for needle, pattern, rule, end in _SIMPLE:
        if needle in there:
            for found in _each(needle, pattern, low, start, stop):
                finder: Finder = ends.Exact(len(found[2])) if end is None else _until(end)
                yield Hit(found.end(1), rule, finder)
    if b"begin " in there:
        yield from _pem(low, start, stop)
    yield from _cased(data, start, stop)


def _until(end: re.Pattern[bytes]) -> Finder:
    return ends.Until(end)


_NEEDLES = tuple(dict.fromkeys([*(needle for needle, *_ in _NAMES), *(needle for needle, *_ in _SIMPLE), b"begin "]))
_LONGEST = max(map(len, _NEEDLES))
_WORDS = tuple(needle for needle in _NEEDLES if needle.isalpha())
_SIGNS = tuple(needle for needle in _NEEDLES if not needle.isalpha())
_IN_NO_WORD = bytes(set(range(256)) - set(b"".join(_WORDS)) - set(b"\n"))


def _there(low: bytes) -> set[bytes]:
    """Needles that are in a text, and perhaps some that are not. Lines of logs are much alike: without their numbers, each is
    looked through once."""
    lines = b"\n".join(set(low.translate(None, _IN_NO_WORD).split(b"\n")))
    return {needle for needle in _WORDS if needle in lines} | {needle for needle in _SIGNS if needle in low}


def _each(needle: bytes, pattern: re.Pattern[bytes], text: bytes, start: int, stop: int) -> Iterator[re.Match[bytes]]:
    """Where the pattern fits at a needle that begins before ``stop``."""
    at = text.find(needle, start)
    while 0 <= at < stop:
        found = pattern.match(text, at)
        if found is not None:
            yield found
        at = text.find(needle, at + 1)


def _named(low: bytes, found: re.Match[bytes], rule: str, whole: bool) -> Optional[Hit]:
    """What follows a name: a value, or nothing that is one."""
    at, name = found.start(), found[0]
    if name == b"key" and not low[max(0, at - 24):at].rstrip(b"_-").endswith(_KEYS):
        return None
    tail = _TAIL.match(low, found.end())
    if tail is None:
        return None
    if tail["closing"]:
        return _element(low, found, tail, rule)
    start = tail.end()
    if tail["option"] is not None and not _OPTION_BEFORE.search(low[max(0, at - 50):at]):
        return None
    opened = _OPEN.match(low, start)
    following = low[start:start + 1]
    if tail["plural"] and not (tail["quote"] and (opened or following == b"[")):
        return None  # Prose: "tokens: 5".
    if opened:
        if name == b"pwd" and low[opened.end():opened.end() + 1] == b"/":
            return None
        return Hit(opened.end(), rule, ends.Quoted(opened[2], len(opened[1])))
    if following in (b"{", b"[") and following:
        quote = tail["quote"] or b'"'
        edge = (tail["escapes"] or b"") + (b'"' if quote == b"'" else quote)
        return Hit(start, rule, ends.Nested(len(tail["escapes"] or b"")), "nested", edge)
    if (name == b"pwd" and following == b"/") or _NO_SECRET.match(low, start):
        return None
    return Hit(start, rule, ends.Until(_bare(low, at, tail, whole)))


def _bare(low: bytes, at: int, tail: re.Match[bytes], whole: bool) -> re.Pattern[bytes]:
    """The end of a value without quotes."""
    if tail["quote"] and tail["sign"] == b":":
        return ends.LITERAL
    first = max(0, at - 128)
    line = low.rfind(b"\n", first, at)
    if (line < 0 and not (whole and first == 0)) or tail["option"] is not None:
        return ends.BARE
    return ends.LINE if _LINE_BEFORE.match(low[line + 1 if line >= 0 else 0:at]) else ends.BARE


def _element(low: bytes, found: re.Match[bytes], tail: re.Match[bytes], rule: str) -> Optional[Hit]:
    """An XML element by its name, of which the needle is a part."""
    at, start = found.start(), tail.end()
    before = _ELEMENT_BEFORE.search(low[max(0, at - 110):at])
    if before is None or _NO_CONTENT.match(low, start):
        return None
    kind = rule if rule in ("thumbprint", "settings") else "element"
    if tail["closing"] != b">":
        return Hit(start, kind, ends.Until(ends.ESCAPED_ELEMENT), "element")
    name = before[1] + re.split(rb"[\s>]", low[at:start], maxsplit=1)[0]
    return Hit(start, kind, ends.Until(ends.element(name)), "element")


def _pem(low: bytes, start: int, stop: int) -> Iterator[Hit]:
    at = low.find(b"begin ", start)
    while 0 <= at < stop:
        found = _PEM.search(low, max(0, at - 6), at + 64)
        if found is not None:
            private = b"private" in found[1]
            if private or (b"public" not in found[1] and _BODY.match(low, found.end())):
                yield Hit(found.end(), "private-key" if private else "certificate", ends.Until(ends.PEM, ends.LONGEST_PEM), "pem")
        at = low.find(b"begin ", at + 1)


def _cased(data: bytes, start: int, stop: int) -> Iterator[Hit]:
    """Rules where capital letters count."""
    if data.find(b"eyJ", start, stop + 2) >= 0:
        for found in _each(b"eyJ", _JWT, data, start, stop):
            yield Hit(found.start(), "jwt", ends.Until(ends.JWT))
    if _RUN in data[start:stop + LOOK].translate(_TO_RUNS):
        for found in _each(b"MI", _DER, data, start, stop):
            yield Hit(found.start(), "der-data", ends.Der(), "der")
        for pattern, rule in ((_HEX40, "thumbprint"), (_KEY88, "storage-key")):
            for found in pattern.finditer(data, start):
                if found.start() >= stop:
                    break
                yield Hit(found.start(), rule, ends.Exact(len(found[0])))
    if data.find(b"\x00", start, stop + 1) >= 0:
        for found in _WIDE.finditer(data, start):
            if found.start() >= stop:
                break
            yield Hit(found.start(), "wide-text", ends.Until(ends.WIDE), "wide")
