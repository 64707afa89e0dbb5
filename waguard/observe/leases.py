"""DHCP leases of this machine and what the agent stored of its own search for the wire server.

Places: azurelinuxagent/common/osutil/*.py (get_dhcp_lease_endpoint) and those of the clients themselves. Only option 245, the
interface and the end are kept of a lease.
"""

from __future__ import annotations

import fnmatch
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Optional

from waguard.agent import leases as grammar
from waguard.agent.leases import Entry
from waguard.observe import files

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts

_LIMIT = 256 * 1024
_NAMES = 10000
_MOST = 64
_SMALL = 4096
_PLACES = (
    ("var/lib/dhcp", "dhclient*.lease*", "dhclient"),
    ("var/lib/dhclient", "dhclient*.lease*", "dhclient"),
    ("var/lib/NetworkManager", "dhclient-*.lease", "dhclient"),
    ("var/lib/NetworkManager", "internal-*.lease", "NetworkManager"),
    ("run/systemd/netif/leases", "*", "systemd-networkd"),
    ("var/lib/wicked", "lease-*-dhcp-ipv4.xml", "wicked"),
    ("var/lib/dhcpcd", "*.lease", "dhcpcd"),
)
_SILENT = frozenset(("NetworkManager", "wicked"))
_INTERNAL = re.compile(r"internal-[0-9A-Fa-f-]{36}-(.+)\.lease")
_DHCLIENT = re.compile(r"dhclient6?-[0-9A-Fa-f-]{36}-(.+)\.lease")


@dataclass(frozen=True)
class Lease:
    """The lease of a file that counts, or a file that cannot be read.

    ``option_245``: a dotted address. ``expires``: epoch seconds, None for never or not said. ``telling``: this client would keep
    the option if it had got it, so that its absence means something.
    """

    interface: str
    client: str
    path: str
    option_245: Optional[str]
    expires: Optional[float]
    readable: bool
    telling: bool = True
    problem: str = ""


@dataclass(frozen=True)
class Leases:
    """``endpoint`` and ``protocol``: what the agent stored (WireServerEndpoint, Protocol), "" if nothing, None if it cannot be
    read. ``complete``: no place or file was refused to us."""

    leases: tuple[Lease, ...]
    endpoint: Optional[str]
    protocol: Optional[str]
    complete: bool


def look(agent: AgentFacts, root: Path = Path("/"), wall: float = 0.0) -> Leases:
    """``wall``: epoch seconds, for what has expired; 0 takes the clock."""
    wall = wall or time.time()
    found: list[Lease] = []
    complete = True
    for place, pattern, client in _PLACES:
        try:
            names = sorted(fnmatch.filter(files.names(root / place, _NAMES), pattern))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except files.Unusable:
            complete = False
            continue
        for name in names[:_MOST]:
            found += _leases(root / place / name, f"/{place}/{name}", client, wall, root)
    lib = root / agent.lib_dir.lstrip("/")
    return Leases(tuple(found), _word(lib / "WireServerEndpoint"), _word(lib / "Protocol"),
                  complete and all(lease.readable for lease in found))


def _leases(path: Path, shown: str, client: str, wall: float, root: Path) -> list[Lease]:
    try:
        data = files.read(path, _LIMIT)
    except FileNotFoundError:
        return []
    except files.Unusable as error:
        return [Lease("", client, shown, None, None, False, client not in _SILENT, str(error))]
    return [Lease(entry.interface or _interface(path.name, client, root), client, shown, entry.option_245, entry.expires, True,
                  client not in _SILENT) for entry in _entries(client, data, wall)]


def _entries(client: str, data: bytes, wall: float) -> tuple[Entry, ...]:
    if client == "dhcpcd":
        return (grammar.dhcpcd(data),)
    if client == "wicked":
        return (Entry(),)  # How it keeps option 245 is not established.
    text = data.decode("utf-8", "replace")
    if client == "systemd-networkd":
        return (grammar.networkd(text),)
    if client == "NetworkManager":
        return grammar.newest((grammar.network_manager(text),), wall)
    return grammar.newest(grammar.dhclient(text), wall)


def _interface(name: str, client: str, root: Path) -> str:
    """The interface by the file's name; systemd-networkd's is the interface's number."""
    if client == "systemd-networkd":
        try:
            for interface in files.names(root / "sys/class/net", _NAMES):
                if files.read(root / "sys/class/net" / interface / "ifindex", _SMALL).strip() == name.encode():
                    return interface
        except (OSError, files.Unusable):
            pass
        return ""
    match = _INTERNAL.fullmatch(name) or _DHCLIENT.fullmatch(name)
    if match:
        return match.group(1)
    if client == "wicked":
        return name[len("lease-"):-len("-dhcp-ipv4.xml")]
    return name[:-len(".lease")] if client == "dhcpcd" else ""


def _word(path: Path) -> Optional[str]:
    """The one word of a small file of the agent's."""
    try:
        text = files.read(path, _SMALL).decode("ascii", "replace").strip()
    except FileNotFoundError:
        return ""
    except files.Unusable:
        return None
    return text if re.fullmatch(r"[\w.:-]{1,64}", text, re.ASCII) else ""
