"""A waagent.log as with Logs.Verbose=y, of any length, the same each time, with every signature in it now and then."""

from __future__ import annotations

import itertools
import random
import re
from collections import Counter
from collections.abc import Iterator

from waguard.agent import signatures
from waguard.agent.signatures import WAAGENT, Signature

_QUIET = (
    ("VERBOSE", "ExtHandler HTTP connection [GET] [/machine/?comp=goalstate] [None] [{'x-ms-agent-name': 'WALinuxAgent', "
                "'x-ms-version': '2012-11-30', 'Accept-Encoding': 'identity'}]"),
    ("VERBOSE", "ExtHandler [HTTP Response] Status Code 200"),
    ("VERBOSE", "ExtHandler Found private key matching thumbprint"),
    ("VERBOSE", "ExtHandler Processing GoalState: incarnation {number} is the same, nothing to do"),
    ("VERBOSE", "ExtHandler Using the status blob uploaded by the host plugin, sequence {number}, 1 block of 3208 bytes"),
    ("VERBOSE", "ExtHandler Finished collecting telemetry events: {number} events, 0 too large, 0 broken, 12 files read"),
    ("VERBOSE", "MonitorHandler ExtHandler Sent 4 events to the wire server in {number} ms"),
    ("INFO", "ExtHandler Fetched new vmSettings [HostGAPlugin correlation ID: 1b6f3f7a-5d0f-4f57-8f2b-3f2f1a1d{number} eTag: "
             "1384679402{number} source: Fabric]"),
    ("INFO", "ExtHandler ExtHandler Checking for agent updates (family: Prod)"),
    ("INFO", "ExtHandler [Microsoft.Azure.Monitor.AzureMonitorLinuxAgent-1.33.{number}] Target handler state: enabled"),
    ("INFO", "EnvHandler ExtHandler Set block dev timeout: sda with timeout: 300"),
    ("INFO", "MonitorHandler ExtHandler Network interfaces: {number} changed"),
)
_WEIGHTS = (30, 20, 6, 12, 6, 8, 6, 4, 2, 3, 1, 2)
_RARE = 0.01
_TAILS = ("", " timed out", "2.9.1.1 is permanently disabled", "2.9.1.1 failed with return code: 1",
          "2.9.1.1 reached memory limit", "x' is skipped since extension processing is disabled", " from all URIs",
          " will exit the thread", " failed", "'error')", "imp'", "1")
"""What makes a sentence of a signature's own words, where those alone are not enough."""


def followed() -> tuple[Signature, ...]:
    """Signatures of waagent.log that every contender can be told: Go's regular expressions (mtail) cannot look around."""
    return tuple(known for known in signatures.SIGNATURES
                 if WAAGENT in known.sources and not (known.pattern and re.search(r"\(\?[!<=]", known.pattern.pattern)))


def sample(known: Signature) -> str:
    """A text that has this signature and, of all, no other one before it."""
    for held, tail in itertools.product(known.holds, _TAILS):
        for text in (f"{held}{tail}", f"Something {held}{tail}"):
            if signatures.match(WAAGENT, text, "VERBOSE" if known.verbose else "ERROR") is known:
                return text
    raise LookupError(f"no sample for {known.id}")


def lines(seed: int = 1) -> Iterator[tuple[bytes, str, str]]:
    """(line with its end, level, signature or ""), without end."""
    draw = random.Random(seed)
    told = [(known.id, "VERBOSE" if known.verbose else "ERROR", f"ExtHandler ExtHandler {sample(known)}")
            for known in followed()]
    micro = 0
    while True:
        micro += draw.randrange(1, 20000)
        second, rest = divmod(micro, 1_000_000)
        day, hour, minute = 1 + second // 86400 % 28, second // 3600 % 24, second // 60 % 60
        at = f"2026-03-{day:02d}T{hour:02d}:{minute:02d}:{second % 60:02d}.{rest:06d}Z"
        if draw.random() < _RARE:
            name, level, text = draw.choice(told)
        else:
            (level, text), name = draw.choices(_QUIET, _WEIGHTS)[0], ""
            text = text.replace("{number}", str(draw.randrange(10000)))
            text = text if text.split(" ")[1] == "ExtHandler" else f"ExtHandler {text}"
        yield f"{at} {level} {text}\n".encode(), level, name


def text(size: int, seed: int = 1) -> tuple[bytes, Counter[str], Counter[str]]:
    """At least so many bytes, the records of each level in them, and the matches of each signature."""
    parts: list[bytes] = []
    levels: Counter[str] = Counter()
    names: Counter[str] = Counter()
    length = 0
    for line, level, name in lines(seed):
        parts.append(line)
        levels[level] += 1
        if name:
            names[name] += 1
        length += len(line)
        if length >= size:
            return b"".join(parts), levels, names
    raise AssertionError("it has no end")
