"""A VM that has its address from DHCP, as on Azure, and not by hand: the server in its fabric, and systemd-networkd."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .fabric import DHCP, HOME
from .fabric import UNIT as FABRIC
from .machine import Machine

UNIT = "lab-dhcp.service"
NETWORK = "/etc/systemd/network/10-lab.network"
LEASE = "/run/systemd/netif/leases/$(cat /sys/class/net/eth0/ifindex)"
FOREVER = 0xFFFFFFFF

SERVICE = f"""\
[Unit]
Description=Stand-in for Azure's DHCP
DefaultDependencies=no
After={FABRIC}
BindsTo={FABRIC}
Before=systemd-networkd.service

[Service]
ExecStart=/usr/bin/ip netns exec fabric /usr/bin/python3 {HOME}/dhcpserver.py {HOME}

[Install]
WantedBy=sysinit.target
"""

CLIENT = """\
[Match]
Name=eth0

[Network]
DHCP=ipv4
LinkLocalAddressing=no
"""


class Dhcp:
    """A handle on the DHCP of `machine`. It holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self, **mood: Any) -> None:
        """Lays server and client into a machine that is not booted yet; `mood` as for behave()."""
        server = Path(__file__).with_name("dhcpserver.py")
        self.behave(**mood)
        self.machine.write(f"{HOME}/{server.name}", server.read_text())
        self.machine.write(f"/etc/systemd/system/{UNIT}", SERVICE)
        self.machine.write(NETWORK, CLIENT)
        self.machine.run(["systemctl", "--quiet", "enable", UNIT, "systemd-networkd.service"])

    def behave(self, *, answers: bool = True, option_245: bool = True, routes: bool = True, dns: bool = True,
               lease: int = FOREVER) -> None:
        """From the next request on (dhcpserver.py); renew() brings one about."""
        mood = {"answers": answers, "option_245": option_245, "routes": routes, "dns": dns, "lease": lease}
        self.machine.write(DHCP, json.dumps(mood))

    def renew(self) -> None:
        """Has the client ask again from the start. There is no lease until it has a new one."""
        # `networkctl reconfigure` would do, if one could tell the new lease from the old one.
        networkd = "systemd-networkd.socket systemd-networkd.service"
        self.machine.run(f"systemctl stop {networkd}; ip address flush dev eth0; rm -f {LEASE}; systemctl start {networkd}")

    def lease(self) -> dict[str, str]:
        """networkd's file on eth0's lease, `OPTION_245` and all; empty if there is none."""
        found = self.machine.run(f"cat {LEASE}", check=False).out
        return dict(line.split("=", 1) for line in found.splitlines() if "=" in line)

    def wait_for_lease(self, timeout: float = 30) -> dict[str, str]:
        self.machine.wait_until(lambda: "ADDRESS" in self.lease(), timeout, "a lease")
        return self.lease()
