"""What is a secret by its name: the value behind ``password``, ``token``, ``AccountKey`` … in whatever notation.

All patterns are for small letters. ``whole``: the text begins where ``low`` does.
"""

from __future__ import annotations

import re
from typing import Optional

from waguard.bundle import ends
from waguard.bundle.hit import LOOK, Finder, Hit
from waguard.bundle.spelling import BLANKS, EDGE, ESCAPES, LESS, OPEN, PERHAPS_QUOTED, QUOTE, QUOTED, SIGN

NAMES = (
    # Needle, the name around it, rule.
    (b"pass", re.compile(rb"(?<!/etc/)pass(?:word|wd|phrase|code)|" + EDGE + rb"pass(?![a-z])"), "named-value"),
    (b"pwd", re.compile(rb"(?<!old)pwd"), "named-value"),
    (b"secret", re.compile(rb"secret"), "named-value"),
    (b"token", re.compile(rb"token"), "named-value"),
    (b"credential", re.compile(rb"credential"), "named-value"),
    (b"contrase", re.compile(rb"contrase(?:n|\xc3[\xb1\x91]|[\xf1\xd1]|\\{1,8}u00[fd]1|%(?:25)?c3%(?:25)?[b9]1|&ntilde;)a"),
     "named-value"),
    (b"clave", re.compile(EDGE + rb"clave(?![a-z])"), "named-value"),
    (b"customdata", re.compile(rb"customdata"), "named-value"),
    (b"userdata", re.compile(rb"userdata"), "named-value"),
    (b"thumbprint", re.compile(rb"thumbprint"), "thumbprint"),
    (b"sig", re.compile(rb"(?<=sharedaccess)signature|" + EDGE + rb"sig(?:nature)?(?=" + QUOTED
                        + rb"|[ \t]{0,8}=[ \t]{0,8}[\"'])"), "named-value"),
    (b"settings", re.compile(rb"(?:(?<=protected)|(?<=public)|(?<=protected[_-])|(?<=public[_-]))settings"), "settings"),
    (b"key", re.compile(rb"(?<=[tsdeyinrghc_ -])key"), "named-value"),
)
"""Needles are literals that are looked for first."""

_KEYS = (b"account", b"access", b"shared", b"storage", b"workspace", b"primary", b"secondary", b"api", b"private", b"client",
         b"subscription", b"encryption", b"master", b"signing", b"functions", b"secret", b"sas", b"auth", b"symmetric",
         b"instrumentation", b"activation", b"machine", b"decryption", b"validation", b"license")
_Q = PERHAPS_QUOTED
_WORDS = rb"pass(?:word|wd|phrase|code)|secret|token|credential|pwd|customdata|protected_?settings"
THIN = ((b"settings", re.compile(rb"(?:protected|public)settings")), (b"key", re.compile(rb"(?:" + rb"|".join(_KEYS) + rb")key")))
"""Needles that logs are full of, and what a text without blanks and signs has to have for them to matter."""
_SUFFIX = rb"(?P<plural>s?)(?:[_-]?(?:hash|value|text|data|string|base64|b64|[0-9]{1,3})(?![a-z0-9]))?"
_SCALAR = rb"(?:" + QUOTED + rb"[^\"'&\\<>%\r\n]{0,120}" + QUOTED + rb"|[\w.+-]{1,40})"
_MEMBER = (rb"(?:(?:\s{0,40},)?\s{0,40}" + _Q + rb"(?!value)[\w:.$-]{1,40}" + _Q + rb"\s{0,8}[:=]\s{0,40}"
           + _SCALAR + rb")")
_TAIL = re.compile(
    _SUFFIX + rb"(?:(?P<escapes>" + ESCAPES + rb")(?P<quote>" + QUOTE + rb"))?"
    rb"(?:(?P<pair>(?(quote)" + _MEMBER + rb"{0,5}(?:\s{0,60},)?\s{0,200}" + _Q + rb"value" + _Q + rb"[ \t]{0,8}"
    + SIGN + rb"\s{0,200}|(?!)))"
    rb"|(?(quote)\s{0,200}|[ \t]{0,40})(?P<sign>" + SIGN + rb")"
    rb"(?:" + BLANKS + rb"{0,100}(?=" + ESCAPES + rb"(?:" + QUOTE + rb"|" + OPEN + rb"))|[ \t]{0,40})"
    rb"|(?P<listed>[ \t]{0,40},\s{0,200}(?=" + QUOTED + rb"))"
    rb"|(?P<option>[ \t]{1,20}(?=[^\s-])))")
_ELEMENTS = (
    # By what opens it: its tag up to the end, if it has content.
    (b"<", re.compile(rb"[\w.-]{0,40}(?:(?:\s|\\[nrt])[^<>]{0,2000})?(?<!/)>")),
    (b";", re.compile(rb"[\w.-]{0,40}(?:\s(?:[^<>&]|&(?!(?:amp;){0,3}[lg]t;)){0,2000})?(?<!/)&(?:amp;){0,3}gt;")),
    (b"c", re.compile(rb"[\w.-]{0,40}(?:(?:\s|\\[nrt]|%20|\+)(?:[^<>\\%]|\\(?!\\{0,8}u003[ce])|%(?!(?:25){0,3}3[ce])){0,2000})?"
                      rb"(?<!/)(?:\\{1,8}u003e|%(?:25){0,3}3e)")),
)
_ELEMENT_BEFORE = re.compile(rb"(" + LESS + rb")(?:[\w.-]{1,40}:)?([\w.-]{0,60})\Z")
_TAG_BEFORE = re.compile(rb"(" + LESS + rb")([\w.:-]{1,80})\s[^<>]{0,240}(?<![\w-])(?:name|key|id|field|property|parameter)"
                         rb"\s{0,4}=\s{0,4}" + QUOTED + rb"[\w.:-]{0,60}\Z")
_OPENED = re.compile(rb"[bu]?(" + ESCAPES + rb")(" + QUOTE + rb")")
_SOME = re.compile(rb"\[\s{0,40}" + QUOTED)
_NO_SECRET = re.compile(rb"(?:y|n|yes|no|true|false|null|none)(?=[\s\"'<>&;,\\)}\]]|\Z)")
_NO_CONTENT = re.compile(rb"\s{0,200}(?:(?:true|false|yes|no|y|n|[01])\s{0,200})?(?:" + LESS + rb")(?:\\{0,8}/|%2f)")
_SWITCH = re.compile(rb"[ \t]{0,40}(?:(?:files|compat|db|systemd|sss|nis|nisplus|ldap|winbind|extrausers|\[[a-z!= ]{1,40}\])"
                     rb"[ \t]{0,8}){1,12}(?=[\r\n#]|\Z)")
_PARSER = re.compile(rb"(?:unexpected|invalid|illegal|missing)[ _-]\Z")
_SYNTAX = re.compile(rb"(?:[\"'`]?[^\w\s\"'`]{1,3}[\"'`]?(?=\s|\Z))|(?:un)?expected(?![\w-])")
_OPTION_BEFORE = re.compile(rb"(?:(?<![\w-])|(?<=\\[nrt]))--[\w-]{0,40}\Z")
_LINE_BEFORE = re.compile(rb"[ \t]{0,40}(?:export[ \t]+|set[ \t]+|[#;-][ \t]*)?[\w.\"'-]{0,80}\Z")
_QUOTE_BEFORE = re.compile(rb"(?:(?<=[\s=,\[({:])|\A)(" + ESCAPES + rb")(" + QUOTE + rb")[\w.-]{0,60}\Z")
_YAML_BEFORE = re.compile(rb"([ \t]{0,64}(?:-[ \t]{1,4}){0,3})[\w.\"'-]{0,60}\Z")
_BLOCK = re.compile(rb"[ \t]{0,40}(?:[|>][+-]?[0-9]?[+-]?[ \t]{0,40}(?:#[^\r\n]{0,80})?)?\r?\n"
                    rb"(?:[ \t]{0,64}\r?\n){0,4}([ \t]{1,64})(?=[^\s#])")
_TUPLE_BEFORE = re.compile(rb"\([bu]?" + QUOTED + rb"[\w.-]{0,60}\Z")
_LIST_BEFORE = re.compile(rb"\[[bu]?" + QUOTED + rb"[\w.-]{0,60}\Z")
_LAST_OF_LIST = re.compile(rb"[^\"'\\\r\n]{0,1000}" + QUOTED + rb"\s{0,40}\]")
_BEFORE_VALUE = re.compile(rb"(?:name|key|id)" + _Q + rb"\s{0,8}[:=]\s{0,8}" + _SCALAR + rb"\s{0,60},?\s{0,60}" + _Q + rb"\Z")
VALUE = re.compile(rb"value" + _Q + rb"\s{0,40}[:=]\s{0,60}[bu]?(" + ESCAPES + rb")(" + QUOTE + rb")")
_NAME_LATER = re.compile(
    ESCAPES + QUOTE + _MEMBER + rb"{0,3}?(?:\s{0,60},)?\s{0,60}" + _Q + rb"(?:name|key|id)" + _Q + rb"\s{0,8}[:=]\s{0,60}"
    + QUOTED + rb"[\w .:/-]{0,60}?(?:" + _WORDS + rb"|(?:" + rb"|".join(_KEYS) + rb")[_-]?key)[\w.-]{0,40}" + QUOTED)
_VALUE_LOOK = 2500


def hit(low: bytes, found: re.Match[bytes], rule: str, whole: bool) -> Optional[Hit]:
    """What follows a name that one of NAMES found: a value, or nothing that is one."""
    at, name = found.start(), found[0]
    if name == b"key" and not _kind_of_key(low[max(0, at - 24):at]):
        return None
    inside = _element(low, found, rule)
    if inside is not None:
        return inside[0]
    tail = _TAIL.match(low, found.end())
    if tail is None:
        return _attributed(low, found, rule)
    if tail["option"] is not None and not _option(low[max(0, at - 50):at]):
        return _attributed(low, found, rule) if tail["quote"] else None
    opened = _OPENED.match(low, tail.end())
    if tail["listed"] is not None and (opened is None or not _listed(low, at, name, opened)):
        return None
    if _innocent(low, found, tail, opened):
        return None
    if opened:
        return Hit(opened.end(), rule, ends.Quoted(opened[2], _depth(opened[1])))
    return _unquoted(low, found, tail, rule, whole)


def _kind_of_key(before: bytes) -> bool:
    return (before[:-1] if before.endswith(b" ") else before.rstrip(b"_-")).endswith(_KEYS)


def _depth(written: bytes) -> int:
    """How many backslashes these are, however they are written."""
    return len(written) if b"%" not in written else written.count(b"\\") + written.count(b"%")


def _innocent(low: bytes, found: re.Match[bytes], tail: re.Match[bytes], opened: Optional[re.Match[bytes]]) -> bool:
    """What only looks like a name with a value."""
    start, name = tail.end(), found[0]
    if tail["plural"] and not (opened or _SOME.match(low, start) or (tail["quote"] and low[start:start + 1] == b"[")):
        return True  # Prose: "tokens: 5".
    if name == b"pwd" and low[opened.end() if opened else start:][:1] == b"/":
        return True
    if name == b"passwd" and tail["sign"] == b":" and _SWITCH.match(low, start):
        return True
    if name == b"token" and tail["sign"] == b":" and _PARSER.search(low[max(0, found.start() - 16):found.start()]):
        return bool(_SYNTAX.match(low, start))
    return False


def _unquoted(low: bytes, found: re.Match[bytes], tail: re.Match[bytes], rule: str, whole: bool) -> Optional[Hit]:
    start, quote = tail.end(), tail["quote"]
    nested = re.match(OPEN, low[start:start + 10])
    if nested and (quote or nested[0] in (b"{", b"[")):
        depth = tail["escapes"] or b""
        edge = depth + (b'"' if quote in (None, b"'") else quote)
        return Hit(start, rule, ends.Nested(_depth(depth)), "nested", edge)
    block = _block(low, found, tail, whole)
    if block is not None:
        return Hit(block[0], rule, ends.Until(ends.block(block[1])))
    if _NO_SECRET.match(low, start):
        return None
    return Hit(start, rule, _bare(low, found.start(), tail, whole))


def _line(low: bytes, at: int, whole: bool) -> Optional[bytes]:
    """What stands before on the same line; None if the line began long before."""
    first = max(0, at - 128)
    line = low.rfind(b"\n", first, at)
    return low[line + 1 if line >= 0 else 0:at] if line >= 0 or (whole and first == 0) else None


def _bare(low: bytes, at: int, tail: re.Match[bytes], whole: bool) -> Finder:
    """The end of a value without quotes of its own."""
    if tail["quote"] and tail["sign"] == b":":
        return ends.Until(ends.LITERAL)
    around = _QUOTE_BEFORE.search(low[max(0, at - 100):at]) if tail["sign"] == b"=" and not tail["quote"] else None
    if around:
        return ends.Quoted(around[2], _depth(around[1]), True)
    before = _line(low, at, whole) if tail["option"] is None else None
    return ends.Until(ends.LINE if before is not None and _LINE_BEFORE.match(before) else ends.BARE)


def _block(low: bytes, found: re.Match[bytes], tail: re.Match[bytes], whole: bool) -> Optional[tuple[int, int]]:
    """A value in YAML that is on the next lines: where it begins, and how far its name is indented."""
    if tail["sign"] != b":":
        return None
    before = _line(low, found.start(), whole)
    name = _YAML_BEFORE.match(before) if before is not None else None
    lines = _BLOCK.match(low, tail.end()) if name else None
    if not name or not lines or len(lines[1]) <= len(name[1]):
        return None
    return lines.end(), len(name[1])


def _listed(low: bytes, at: int, name: bytes, opened: re.Match[bytes]) -> bool:
    """An item of a list, and the next one is its value: ``'--password', 'x'``, ``('password', 'x')``."""
    before = low[max(0, at - 90):at]
    if _option(before):
        return low[opened.end():opened.end() + 2] != b"--"
    if name == b"pass":
        return False  # ['pass', 'fail']
    return bool(_TUPLE_BEFORE.search(before) or (_LIST_BEFORE.search(before) and _LAST_OF_LIST.match(low, opened.end())))


def _element(low: bytes, found: re.Match[bytes], rule: str) -> Optional[tuple[Optional[Hit]]]:
    """An XML element by its name, of which the needle is a part; (None,) if it has no content."""
    at = found.start()
    near = low[max(0, at - 130):at]
    before = _ELEMENT_BEFORE.search(near) if _less(near) else None
    tag = before and _tag(before[1]).match(low, found.end())
    if not before or not tag:
        return None
    name = before[2] + re.split(rb"[\s>]", low[at:tag.end()], maxsplit=1)[0]
    return (_content(low, before[1], name, tag.end(), rule),)


def _attributed(low: bytes, found: re.Match[bytes], rule: str) -> Optional[Hit]:
    """``<Param name="password">x</Param>``"""
    at = found.start()
    near = low[max(0, at - 400):at]
    before = _TAG_BEFORE.search(near) if b"=" in near and _less(near) else None
    quoted = before and re.compile(_SUFFIX + QUOTED).match(low, found.end())
    tag = before and quoted and _tag(before[1]).match(low, quoted.end())
    return _content(low, before[1], before[2], tag.end(), rule) if before and tag else None


def _option(before: bytes) -> bool:
    """What stands there ends with the beginning of a long option."""
    return b"--" in before and bool(_OPTION_BEFORE.search(before))


def _less(text: bytes) -> bool:
    """LESS may be in it: most names stand in no element, and a pattern takes longer to see that."""
    return b"<" in text or b"3c" in text or b"lt;" in text


def _tag(less: bytes) -> re.Pattern[bytes]:
    return next(pattern for last, pattern in _ELEMENTS if less.endswith(last))


def _content(low: bytes, less: bytes, name: bytes, start: int, rule: str) -> Optional[Hit]:
    if _NO_CONTENT.match(low, start):
        return None
    kind = rule if rule in ("thumbprint", "settings") else "element"
    return Hit(start, kind, ends.Until(ends.element(name) if less == b"<" else ends.ESCAPED_ELEMENT), "element")


def value_first(low: bytes, found: re.Match[bytes]) -> Optional[Hit]:
    """``"value": "x", "name": "password"``: what VALUE found. One so long that its name is not seen counts as a secret."""
    at = found.start()
    first = max(0, found.end() - 16)
    window = low[first:found.end() + _VALUE_LOOK]
    end, done = ends.Quoted(found[2], _depth(found[1])).step(window, found.end() - first, len(window), False)
    if done and not _NAME_LATER.match(low, first + end, at + LOOK):
        return None
    if not done and (len(window) < _VALUE_LOOK or _BEFORE_VALUE.search(low[max(0, at - 300):at])):
        return None
    return Hit(found.end(), "named-value", ends.Quoted(found[2], _depth(found[1])))
