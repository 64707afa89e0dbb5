"""DHCP leases as the clients keep them, and option 245 in each: the address of Azure's wire server, 168.63.129.16.

Source: azurelinuxagent/common/dhcp.py, common/osutil/default.py (get_dhcp_lease_endpoint); dhclient.leases(5); systemd
src/libsystemd-network/sd-dhcp-lease.c (private options are saved as OPTION_224 to OPTION_254); WALinuxAgent #3241, afterburn
#146.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Optional

_LEASE = re.compile(r"lease\s*\{")
_INTERFACE = re.compile(r'interface\s+"([^"]{1,64})"\s*;')
_OPTION = re.compile(r"option\s+(?:unknown|private|option)-245\s+([^;]{1,64});")
_EXPIRE = re.compile(r"expire\s+(never|epoch\s+[0-9]{1,15}|"
                     r"[0-9]\s+[0-9]{4}/[0-9]{1,2}/[0-9]{1,2}\s+[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2})\s*;")
_NETWORKD = re.compile(r"^OPTION_245=([0-9A-Fa-f]{8})\s*$", re.MULTILINE)
_EXPIRY = re.compile(r"^EXPIRY=([0-9]{1,15})\s*$", re.MULTILINE)
_LONGEST = 1024
_MAGIC = b"\x63\x82\x53\x63"


@dataclass(frozen=True)
class Entry:
    """One lease of a file. ``option_245``: a dotted address. ``expires``: epoch seconds, None for never or not said."""

    interface: str = ""
    option_245: Optional[str] = None
    expires: Optional[float] = None


def dhclient(text: str) -> tuple[Entry, ...]:
    """All whole leases of a dhclient file, oldest first as they are appended; the same form on Debian and on RHEL."""
    found: list[Entry] = []
    block: Optional[list[str]] = None
    for line in text.split("\n"):
        line = line.strip()
        if _LEASE.fullmatch(line):
            block = []
        elif line == "}" and block is not None:
            found.append(_entry(block))
            block = None
        elif block is not None and len(line) <= _LONGEST:
            block.append(line)
    return tuple(found)


def newest(entries: Sequence[Entry], wall: float) -> tuple[Entry, ...]:
    """The leases that count: of each interface the last one that has not expired."""
    return tuple({entry.interface: entry for entry in entries if entry.expires is None or entry.expires > wall}.values())


def networkd(text: str) -> Entry:
    """A file of /run/systemd/netif/leases. Its name is the interface's number, so the interface is not in here."""
    match = _NETWORKD.search(text)
    return Entry("", _address(match.group(1)) if match else None)


def network_manager(text: str) -> Entry:
    """An ``internal-*.lease`` of NetworkManager: it never holds option 245 (afterburn #146)."""
    match = _EXPIRY.search(text)
    return Entry("", None, float(match.group(1)) if match else None)


def dhcpcd(data: bytes) -> Entry:
    """A lease of dhcpcd: the packet as it came, options behind the magic cookie (RFC 2131, RFC 2132)."""
    at = data.find(_MAGIC)
    at = len(data) if at < 0 else at + 4
    while at + 1 < len(data) and data[at] != 255:
        if data[at] == 0:
            at += 1
            continue
        kind, size = data[at], data[at + 1]
        value = data[at + 2:at + 2 + size]
        if kind == 245 and size == 4 and len(value) == 4:
            return Entry("", ".".join(str(byte) for byte in value))
        at += 2 + size
    return Entry()


def _entry(lines: Sequence[str]) -> Entry:
    interface, option, expires = "", None, None
    for line in lines:
        for pattern in (_INTERFACE, _OPTION, _EXPIRE):
            match = pattern.match(line)
            if match is None:
                continue
            if pattern is _INTERFACE:
                interface = match.group(1)
            elif pattern is _OPTION:
                option = _address(match.group(1))
            else:
                expires = _moment(match.group(1))
    return Entry(interface, option, expires)


def _moment(text: str) -> Optional[float]:
    """Epoch seconds of ``4 2025/11/20 10:00:00`` (UTC), or of ``epoch 1700000000``; None for never and for what is no date."""
    if text == "never":
        return None
    if text.startswith("epoch"):
        return float(text.split()[1])
    year, month, day, hour, minute, second = (int(part) for part in re.findall(r"[0-9]+", text)[1:])
    if not (1 <= month <= 12 and 1 <= day <= 31 and year >= 1970):
        return None
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _address(text: str) -> Optional[str]:
    """A dotted address from ``a8:3f:81:10``, ``a83f8110`` or ``168.63.129.16``; None for anything else.

    dhclient writes a byte without its leading nought, and as a quoted string what happens to be printable; the agent reads
    neither the latter (common/utils/textutil.py).
    """
    text = text.strip()
    if re.fullmatch(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", text):
        numbers = [int(word) for word in text.split(".")]
    elif re.fullmatch(r"(?:[0-9A-Fa-f]{1,2}:){3}[0-9A-Fa-f]{1,2}", text):
        numbers = [int(word, 16) for word in text.split(":")]
    elif re.fullmatch(r"[0-9A-Fa-f]{8}", text):
        numbers = list(bytes.fromhex(text))
    else:
        return None
    return ".".join(str(number) for number in numbers) if max(numbers) < 256 else None
