"""Words of waagent.conf made fit to be shown: without secrets, printable, short. Pure.

More careful than ``redact``, which is for whole logs: here a text is one word of a file, and in doubt more of it is masked.
"""

from __future__ import annotations

MASK = "<redacted>"
_LOOKED_AT = 4096
_MAY_BE_A_KEY = 40


def mask(text: str) -> str:
    """The text with MASK in place of a login in front of an @ (user:password@, up to the last one), the query of a URL, and all
    that ``redact`` knows; only the first 4 KiB of it."""
    from waguard.agent import redact  # Its patterns take a while to compile, and a good file needs none of them.

    text = redact.text(_without_login(text)[:_LOOKED_AT])
    scheme, colon, rest = text.partition("://")
    address, mark, _ = rest.partition("?")
    return f"{scheme}{colon}{address}{mark}{MASK}" if mark else text


def shown(text: str, longest: int = 60) -> str:
    """The text masked, safe for a terminal and at most ``longest`` characters."""
    if len(text) >= _MAY_BE_A_KEY or not text.isascii() or not text.replace(".", "").isalnum():
        text = mask(text)
    plain = text if text.isprintable() else text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return plain if len(plain) <= longest else plain[:longest - 3] + "..."


def _without_login(text: str) -> str:
    head, at, rest = text.rpartition("@")
    colon = head.find(":")
    if not at or colon < 0:
        return text
    if head.startswith("//", colon + 1):
        return f"{head[:colon + 3]}{MASK}@{rest}"
    begins = max(head.rfind(blank, 0, colon) for blank in ' \t"\'=') + 1
    return f"{head[:begins]}{MASK}@{rest}"
