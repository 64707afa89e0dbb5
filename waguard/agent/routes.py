"""The kernel's IPv4 routes: parsing /proc/net/route, and which one leads to an address.

Source: net/ipv4/fib_trie.c (fib_route_seq_show): hexadecimal words in the machine's byte order, little-endian on all that Azure
has. Only the main table is in there; policy routing is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

_UP = 0x0001
_REJECT = 0x0200


@dataclass(frozen=True)
class Route:
    """One route. ``gateway`` is "" for a network at hand; ``refuses``: an unreachable, prohibit or blackhole route, the last of
    which has no flag, but no interface either."""

    interface: str
    network: str
    length: int
    gateway: str
    metric: int
    refuses: bool


def parse(text: str) -> tuple[Route, ...]:
    """The routes that are up, in the kernel's order; lines that are none are left out. Raises nothing."""
    return tuple(route for line in text.split("\n")[1:] for route in [_route(line)] if route is not None)


def to(routes: Sequence[Route], address: str) -> Optional[Route]:
    """The route to a dotted IPv4 address: longest prefix, then least metric. None without one, or for no such address."""
    wanted = _number(address)
    if wanted is None:
        return None
    found: Optional[Route] = None
    for route in routes:
        mask = (0xFFFFFFFF << (32 - route.length)) & 0xFFFFFFFF
        if wanted & mask == (_number(route.network) or 0) & mask and (
                found is None or (route.length, -route.metric) > (found.length, -found.metric)):
            found = route
    return found


def _route(line: str) -> Optional[Route]:
    words = line.split()
    try:
        interface, network, gateway, flags, metric, mask = words[0], words[1], words[2], words[3], words[6], words[7]
        bits = _swapped(mask)
        length = bin(bits).count("1")
        number = int(flags, 16)
        if bits != (0xFFFFFFFF << (32 - length)) & 0xFFFFFFFF or not number & _UP or len(metric) > 20:
            return None
        return Route(interface[:16], _dotted(_swapped(network)), length, _dotted(_swapped(gateway)) if int(gateway, 16) else "",
                     int(metric), bool(number & _REJECT) or interface == "*")
    except (ValueError, IndexError):
        return None


def _swapped(word: str) -> int:
    if len(word) != 8:
        raise ValueError(word)
    return int.from_bytes(bytes.fromhex(word), "little")


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _number(address: str) -> Optional[int]:
    words = address.split(".")
    if len(words) != 4 or not all(word.isascii() and word.isdigit() and len(word) <= 3 and int(word) < 256 for word in words):
        return None
    return int.from_bytes(bytes(int(word) for word in words), "big")
