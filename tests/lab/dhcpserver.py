"""Azure's DHCP, for the one VM there is: the same address for whoever asks, for ever, and with it the options of Azure.

It runs beside wireserver.py in the namespace that plays the fabric (see dhcp.py):

    python3 dhcpserver.py HOME

HOME/dhcp.json is read anew for each request:

    {"answers": true, "option_245": true, "routes": true, "dns": true, "lease": 4294967295}

    answers     whether it answers at all
    option_245  whether the address of the wire server is among the options
    routes      whether those to it and to the instance metadata are; the default route always is
    dns         whether the name server is, which is at the same address; networkd makes a route to it of its own

This file stands alone (stdlib only): it is copied into the machine as it is.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

INTERFACE = "vm"
ADDRESS, NETMASK, ROUTER = IPv4Address("10.0.0.4"), IPv4Address("255.255.255.0"), IPv4Address("10.0.0.1")
WIRESERVER = IPv4Address("168.63.129.16")
METADATA = IPv4Address("169.254.169.254")
MAGIC = b"\x63\x82\x53\x63"
DISCOVER, OFFER, REQUEST, ACK = 1, 2, 3, 5


def message_type(packet: bytes) -> int | None:
    """Option 53 of a request, None if this is none (RFC 2131, 2132)."""
    if len(packet) < 240 or packet[0] != 1 or packet[236:240] != MAGIC:
        return None
    at = 240
    while at + 1 < len(packet) and packet[at] != 255:
        if packet[at] == 0:
            at += 1
            continue
        if packet[at] == 53:
            return packet[at + 2] if at + 2 < len(packet) else None
        at += 2 + packet[at + 1]
    return None


def option(code: int, value: bytes) -> bytes:
    return bytes((code, len(value))) + value


def options(kind: int, mood: dict[str, Any]) -> bytes:
    to_default = b"\0" + ROUTER.packed
    to_hosts = b"".join(b"\x20" + host.packed + ROUTER.packed for host in (WIRESERVER, METADATA))
    return b"".join((
        option(53, bytes((kind,))),
        option(54, WIRESERVER.packed),
        option(51, struct.pack("!I", mood["lease"])),
        option(1, NETMASK.packed),
        option(3, ROUTER.packed),
        option(6, WIRESERVER.packed) if mood["dns"] else b"",
        option(121, to_default + (to_hosts if mood["routes"] else b"")),
        option(245, WIRESERVER.packed) if mood["option_245"] else b"",
        b"\xff",
    ))


def reply(packet: bytes, mood: dict[str, Any]) -> bytes | None:
    """What a request is answered with, None if with nothing."""
    kind = {DISCOVER: OFFER, REQUEST: ACK}.get(message_type(packet) or 0)
    if kind is None or not mood["answers"]:
        return None
    xid, chaddr = packet[4:8], packet[28:44]
    head = struct.pack("!BBBB4sHH4s4s4s4s16s192s", 2, 1, 6, 0, xid, 0, 0x8000, bytes(4), ADDRESS.packed,
                       WIRESERVER.packed, bytes(4), chaddr, b"")
    return head + MAGIC + options(kind, mood)


def main(home: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        server.bind(("", 67))
        while True:
            packet = server.recv(4096)
            answer = reply(packet, json.loads((home / "dhcp.json").read_text()))
            if answer:
                server.sendto(answer, ("255.255.255.255", 68))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
