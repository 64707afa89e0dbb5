"""What a secret looks like: where one begins, by which rule, and how its end is found.

The dresses are those of ``waguard.agent.redact`` (one text at a time, in memory) and more, for files of any length: each rule
has a needle, a literal that is looked for first, and a pattern from there on that sees LOOK bytes at most. ``low`` is the text
in small letters. Nothing here depends on where a text was cut.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from typing import Optional

from waguard.bundle import ends, named, urls
from waguard.bundle.hit import LOOK, Finder, Hit
from waguard.bundle.spelling import EDGE, EQUALS, IN_BASE64, QUOTED, SIGN

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
    "encoded": "JSON and XML in base64 that holds such names",
    "wide-text": "text in UTF-16 or UTF-32, which cannot be looked through",
}

_BLANK = rb"(?:[ \t]|%(?:25)?20|\+)"
_SCHEME = (rb"(?:basic|bearer|negotiate|sharedkey(?:lite)?|sharedaccesssignature|"
           rb"(?:aws4-hmac|hmac|scram)-sha[0-9-]{1,6}|[a-z][a-z-]{2,30}(?=[ \t]{1,8}[^\s\"'<>]{8}))" + _BLANK + rb"{1,8}")
_SIGNED = (rb"(?:" + QUOTED + rb")?[ \t]{0,20}(?:" + SIGN + rb"|,(?=[ \t]{0,20}[bu]?" + QUOTED + rb"))" + _BLANK + rb"{0,20}"
           rb"(?:\[[ \t]{0,20})?(?:[bu]?" + QUOTED + rb")?")
_HEADER = rb"(?=(authorization" + _SIGNED
_BEGIN64 = rb"(?:[\w+/~.=-]|\\{1,8}(?:/|u002[bf]))"
_WORD_EDGE = rb"(?:(?<![\w-])|(?<=\\[nrt])|(?<=%[0-9a-f]{2})|(?<=\\u00[0-9a-f]{2}))"
_Simple = tuple[bytes, re.Pattern[bytes], str, Optional[re.Pattern[bytes]]]
_SIMPLE: tuple[_Simple, ...] = (
    # Needle, pattern (group 1: what stays before the value; group 2: the value, if there is no pattern for its end), rule, end.
    (b"sig", re.compile(EDGE + rb"(?=(sig(?:nature)?" + EQUALS + rb")(?![0-9]{1,2}(?![\w+/%=.~\\&-]))"
                        rb"(?:[a-z0-9+/%]|" + IN_BASE64 + rb"))"), "sas-signature", ends.SAS),
    (b"authorization", re.compile(_HEADER + rb"digest[ \t])[^\r\n])"), "authorization", re.compile(rb"[\r\n]")),
    (b"authorization",
     re.compile(_HEADER + rb"(?!digest[ \t])(?:" + _SCHEME + rb"(?:\w{1,64}:(?!<))?)?)(?:[^\s\"'\\<>]|\\{1,8}(?:/|u002[bf])))"),
     "authorization", ends.WORD),
    (b"bearer", re.compile(_WORD_EDGE + rb"(?=(bearer(?:[ \t]{1,20}|%(?:25)?20|\+))[\w~+/.=%\\-]{20})"), "authorization",
     ends.BEARER),
    (b"sharedkey", re.compile(rb"(?=(sharedkey(?:lite)?[ \t]{1,8}\w{1,64}:)" + _BEGIN64 + rb"{8})"), "authorization", ends.WORD),
    (b"cookie", re.compile(rb"(?=(cookie" + _SIGNED + rb")[^\s\"'\\<>]{1,100}=)"), "authorization", ends.REST),
    (b"curl", re.compile(rb"(?=(curl[^\r\n]{0,400}?[ \t](?:-u|-U|--user|--proxy-user)[ =]?[\"']?[^\s:\"'/]{1,128}:)"
                         rb"([^\s\"']{1,256}))"), "url-password", None),
    (b"$", re.compile(rb"(?=(\$(?:[156]|2[abxy]?|7|y|gy)\$)[./a-z0-9=,$+-]{20})"), "password-hash", ends.HASH),
    (b"print", re.compile(rb"(?:(?<=thumb)|(?<=finger))(?=(print[^\r\n]{0,60}?(?<![0-9a-z]))([0-9a-f]{40})(?![0-9a-z]))"),
     "thumbprint", None),
)
_BEGINS = (b"begin ", b"begin%20", b"begin+", b"begin%2520")
_PEM = re.compile(rb"-{4,5} ?begin(?: |%(?:25)?20|\+)([a-z0-9 %+]{1,80})-{4,5}")
_BODY = re.compile(rb"(?:\\{1,8}[rn]|[\s\"'+]|%(?:25)?0[ad]){0,60}[a-z0-9+/]{20}")
_EDGE64 = (rb"(?:(?<![A-Za-z0-9+/])|(?<=\\[nrt])|(?<=%0[AaDd9])|(?<=%2[02678Cc])|(?<=%3[A-Fa-f])|(?<=%253[Dd])|(?<=%5[Bb])"
           rb"|(?<=\\u002[0-9AaC-Ec-e])|(?<=\\u003[0-9A-Fa-f]))")
_SPELLED = rb"(?i:[a-z0-9+/]|\\{1,8}(?:/|u002[bf])|%(?:25){0,3}2[bf])"
_JWT = re.compile(rb"(?:(?<![\w-])|(?<=\\[nrt])|(?<=%[0-9A-Fa-f]{2})|(?<=\\u00[0-9A-Fa-f]{2}))"
                  rb"eyJ(?=[\w-]{5,3000}[.]{1,2}[\w-]{5})")
_DER = re.compile(_EDGE64 + rb"MI(?=[AGHI]" + _SPELLED + rb"{57})")
_KEY88 = re.compile(_EDGE64 + rb"[A-Za-z0-9+/]{86}==(?![A-Za-z0-9+/=])")
_KEY88_SPELLED = re.compile(_EDGE64 + _SPELLED + rb"{86}(?i:=|%(?:25){0,3}3d|\\{1,8}u003d){2}(?![A-Za-z0-9+/=])")
_KEY_ENDS = (b"==", b"=%", b"=\\", b"3d=", b"3d%", b"3d\\")
"""How the first of the two signs at a key's end and what begins the second may be written."""
_LONGEST_KEY = 1300
"""Bytes of a storage key of which each letter is spelled at its longest."""
_HEX40 = re.compile(rb"(?:(?<![0-9A-Za-z])|(?<=\\[nrt])|(?<=%2[027Ff]))[0-9A-F]{40}(?![0-9A-Za-z])")
_WIDE = re.compile(rb"(?:[\t\n\r\x20-\x7e]\x00){8,512}")
_WIDER = re.compile(rb"(?:[\t\n\r\x20-\x7e]\x00{3}){8,512}")
_PACKED_LEADS = (b"eyJ", b"eyA", b"ewo", b"ew0", b"W3s", b"PD9", b"PD4", b"PE", b"PF", b"PG", b"PH")
_PACKED = re.compile(_EDGE64 + rb"(?:ey[JA]|ew[o0]|W3s|PD[94]|P[EFGH])[A-Za-z0-9+/_-]{13,3000}")
_URLSAFE = bytes.maketrans(b"_-", b"/+")
_PACKED_WORDS = re.compile(rb"pass(?:word|wd|phrase|code)|secret|token|credential|customdata|protected_?settings|pwd\""
                           rb"|(?:account|access|api|private)_?key")
_TO_RUNS = bytes(0x62 if (code < 128 and chr(code).isalnum()) or chr(code) in "+/" else 0x2E for code in range(256))
_RUN = b"b" * 40
"""Neither key, certificate nor thumbprint is shorter: where no such run is, none of them is."""


def hits(data: bytes, low: bytes, start: int, stop: int, whole: bool) -> Iterator[Hit]:
    """Secrets by needles in ``data[start:stop]``, in no order. ``whole``: the text begins where ``data`` does."""
    there = _there(data[max(0, start - _NEAR):stop + LOOK])
    for needle, pattern, rule in named.NAMES:
        if needle in there:
            for found in _each(needle, pattern, low, start, stop):
                hit = named.hit(low, found, rule, whole)
                if hit is not None:
                    yield hit
    for needle, pattern, rule, end in _SIMPLE:
        if needle in there:
            for found in _each(needle, pattern, low, start, stop):
                finder: Finder = ends.Exact(len(found[2])) if end is None else _until(end)
                yield Hit(found.end(1), rule, finder)
    yield from urls.hits(low, start, stop, there)
    if b"value" in there:
        for found in _each(b"value", named.VALUE, low, start, stop):
            hit = named.value_first(low, found)
            if hit is not None:
                yield hit
    for begin in _BEGINS:
        if begin in there:
            yield from _pem(low, begin, start, stop)
    yield from _cased(data, low, there, start, stop)


def _until(end: re.Pattern[bytes]) -> Finder:
    return ends.Until(end)


_LEADS = (b"eyJ", b"MI", b"==", *_PACKED_LEADS)
"""Needles of rules where capital letters count."""
_ENCODED_SIGNS = (b"3d%3d", b"3d%25", b"u003d\\u003d", b"\\/", b"u002", b"%2")
_DROPPED = bytes(code for code in range(256) if not (code < 128 and chr(code).isalpha()) and code not in b":/\\%=$\n")


def _thin(needles: Iterable[bytes]) -> tuple[tuple[bytes, bytes], ...]:
    return tuple((needle, needle.translate(None, _DROPPED)) for needle in dict.fromkeys(needles))


_NEEDLES = _thin([*(needle for needle, *_ in named.NAMES), *(needle for needle, *_ in _SIMPLE),
                  *(needle for needle, *_ in urls.PATTERNS), b"value", *_BEGINS, *_ENCODED_SIGNS, *_KEY_ENDS])
_CASED = _thin(_LEADS)
_NEAR = 64
"""Bytes before a needle that may belong to its name."""
_FEW = 32 * 1024
"""Bytes of different lines in which it costs nothing to look closer."""


def _there(data: bytes) -> set[bytes]:
    """Needles that are in a text, and perhaps some that are not. Lines of logs are much alike: without their numbers, each is
    looked through once."""
    lines = b"\n".join(set(data.translate(None, _DROPPED).split(b"\n")))
    low = lines.lower()
    idle = {needle for needle, pattern in named.THIN if len(low) < _FEW and not pattern.search(low)}
    found = {needle for needle, thin in _NEEDLES if thin in low} | {needle for needle, thin in _CASED if thin in lines}
    return found - idle


def _each(needle: bytes, pattern: re.Pattern[bytes], text: bytes, start: int, stop: int) -> Iterator[re.Match[bytes]]:
    """Where the pattern fits at a needle that begins before ``stop``."""
    at = text.find(needle, start)
    while 0 <= at < stop:
        found = pattern.match(text, at)
        if found is not None:
            yield found
        at = text.find(needle, at + 1)


def _pem(low: bytes, begin: bytes, start: int, stop: int) -> Iterator[Hit]:
    at = low.find(begin, start)
    while 0 <= at < stop:
        found = _PEM.search(low, max(0, at - 6), at + 110)
        if found is not None:
            private = b"private" in found[1]
            if private or (b"public" not in found[1] and _BODY.match(low, found.end())):
                yield Hit(found.end(), "private-key" if private else "certificate", ends.Until(ends.PEM, ends.LONGEST_PEM), "pem")
        at = low.find(begin, at + 1)


def _cased(data: bytes, low: bytes, there: set[bytes], start: int, stop: int) -> Iterator[Hit]:
    """Rules where capital letters count."""
    if b"eyJ" in there:
        for found in _each(b"eyJ", _JWT, data, start, stop):
            yield Hit(found.start(), "jwt", ends.Until(ends.JWT))
    if b"MI" in there:
        for found in _each(b"MI", _DER, data, start, stop):
            yield Hit(found.start(), "der-data", ends.Der(), "der")
    for lead in there.intersection(_PACKED_LEADS):
        for found in _each(lead, _PACKED, data, start, stop):
            if _packed(found[0]) and not _JWT.match(data, found.start()):
                standard: Finder = ends.Der()
                urlsafe: Finder = ends.Until(ends.URLSAFE)
                yield Hit(found.start(), "encoded", urlsafe if b"-" in found[0] or b"_" in found[0] else standard)
    yield from _runs(data, start, stop)
    if _spelled(there):
        yield from _spelled_keys(data, low, there.intersection(_KEY_ENDS), start, stop)
    if data.find(b"\x00", start, stop + 1) >= 0:
        for pattern, wide in ((_WIDE, ends.WIDE), (_WIDER, ends.WIDER)):
            for found in pattern.finditer(data, start):
                if found.start() >= stop:
                    break
                yield Hit(found.start(), "wide-text", ends.Until(wide), "wide")


def _runs(data: bytes, start: int, stop: int) -> Iterator[Hit]:
    """Thumbprints and storage keys, which are in long runs of letters and numbers only."""
    runs = data[start:stop + LOOK].translate(_TO_RUNS)
    at = runs.find(_RUN)
    while 0 <= at < stop - start:
        end = runs.find(b".", at)
        end = end if end >= 0 else len(runs)
        for pattern, rule in ((_HEX40, "thumbprint"), (_KEY88, "storage-key")):
            for found in pattern.finditer(data, start + at, start + end + 3):  # What stands behind counts, "==" as well.
                if found.start() < stop:
                    yield Hit(found.start(), rule, ends.Exact(len(found[0])))
        at = runs.find(_RUN, end)


def _packed(text: bytes) -> bool:
    """There is such a name in what begins so in base64."""
    whole = text[:len(text) // 4 * 4].translate(_URLSAFE)
    return bool(_PACKED_WORDS.search(binascii.a2b_base64(whole).lower()))


def _spelled_keys(data: bytes, low: bytes, ways: set[bytes], start: int, stop: int) -> Iterator[Hit]:
    """Storage keys, found by how they end: to try their pattern everywhere takes ten times as long as all else together."""
    after = start
    for sign in sorted(at for way in ways for at in _places(low, way, start)):
        at = max(after, sign - _LONGEST_KEY)
        if at >= stop:
            break
        for found in _KEY88_SPELLED.finditer(data, at, sign + 2 * _NEAR):
            if found.start() < stop:
                yield Hit(found.start(), "storage-key", ends.Exact(len(found[0])))
            after = found.end()


def _places(text: bytes, literal: bytes, at: int) -> Iterator[int]:
    at = text.find(literal, at)
    while at >= 0:
        yield at
        at = text.find(literal, at + 1)


def _spelled(there: set[bytes]) -> bool:
    """There may be a key whose ``+``, ``/`` or ``=`` are not written as they are."""
    return not there.isdisjoint(_ENCODED_SIGNS[:3]) or (b"==" in there and not there.isdisjoint(_ENCODED_SIGNS[3:]))
