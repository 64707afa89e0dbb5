"""The Azure fabric of a machine: its network, the stand-in wire server in it, and the moods a test can put it in.

Both live inside the machine, as a unit that comes up before all others at every boot, like the real fabric, which is
there before the VM is. In a network namespace of its own ("fabric") are the addresses that Azure has everywhere,
168.63.129.16 and 169.254.169.254; a veth pair is the VM's eth0. There is no way out of it: nothing here can reach a
real Azure, and this works on an Azure VM too. The DMI tables look like Azure's as well, as far as anybody looks.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .goalstate import GoalState
from .machine import Machine
from .wireserver import SERVICES

HOME = "/opt/lab"
CONTROL = f"{HOME}/control.json"
REQUESTS = f"{HOME}/requests.jsonl"
DROPPED = f"{HOME}/dropped"
NETWORK = f"{HOME}/network.sh"
UNIT = "lab-fabric.service"
DMI = f"{HOME}/dmi-class/dmi/id"
CHASSIS_TAG = "7783-7084-3265-9085-8269-3286-77"  # of every Azure VM
VM_ID = "B61F93D0-E1ED-40B2-B067-22C243233448"

# The host route matters: with it the agent knows where the wire server is, without it asks DHCP for option 245.
NETWORK_SH = f"""\
#!/bin/sh
# up: makes the fabric's network, and what an Azure VM is told by, if they are not there yet.
# Always: drops what {DROPPED} says (ADDRESS PORT).
set -eu
fabric="ip netns exec fabric"
if [ "${{1-}}" = up ] && ! [ -e /run/netns/fabric ]; then
    ip netns add fabric
    ip link add eth0 type veth peer name vm netns fabric
    $fabric ip link set lo up
    $fabric ip link set vm up
    for address in 10.0.0.1/24 168.63.129.16/32 169.254.169.254/32; do $fabric ip address add "$address" dev vm; done
    ip link set eth0 up
    ip address add 10.0.0.4/24 dev eth0
    ip route add default via 10.0.0.1
    ip route add 168.63.129.16 via 10.0.0.1
    # /sys is the kernel's, and this one may have no DMI tables to lay a file over.
    mount -t overlay -o lowerdir={HOME}/dmi-class:/sys/class overlay /sys/class
fi
$fabric iptables -F INPUT
while read -r address port; do
    $fabric iptables -A INPUT -d "$address" -p tcp --dport "$port" -j DROP
done <{DROPPED}
"""

# The agent asks dmidecode, which wants /dev/mem.
DMIDECODE_SH = f"""\
#!/bin/sh
case "$*" in
    *system-uuid*) echo {VM_ID} ;;
    *chassis-asset-tag*) echo {CHASSIS_TAG} ;;
    *) exit 1 ;;
esac
"""

SERVICE = f"""\
[Unit]
Description=Stand-in for the Azure fabric
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=notify
NotifyAccess=all
ExecStartPre=/bin/sh {NETWORK} up
ExecStart=/usr/bin/ip netns exec fabric /usr/bin/python3 {HOME}/wireserver.py {CONTROL} {REQUESTS}

[Install]
WantedBy=sysinit.target
"""

MODES = ("well", "slow", "error500", "garbage", "silent", "blackhole")


@dataclass(frozen=True)
class Request:
    """A request that reached the fabric. `status` is None if it was not answered (`silent`)."""

    time: float  # seconds since the epoch, when it arrived
    service: str  # a key of wireserver.SERVICES
    method: str
    path: str  # with its query
    headers: dict[str, str]  # names in lower case; only wireserver.LOGGED_HEADERS
    mode: str
    status: int | None


class Fabric:
    """A handle on the fabric of `machine`. It holds no state: two handles on one machine are one fabric."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self) -> None:
        """Lays the fabric into a machine that is not booted yet. It behaves well from the first moment."""
        here = Path(__file__).parent
        self.machine.write(f"{HOME}/wireserver.py", (here / "wireserver.py").read_text())
        self.machine.write(NETWORK, NETWORK_SH)
        self.machine.write(DROPPED, "")
        self.machine.write(f"{DMI}/chassis_asset_tag", f"{CHASSIS_TAG}\n")
        self.machine.write("/usr/local/sbin/dmidecode", DMIDECODE_SH, mode=0o755)
        self.machine.write(f"/etc/systemd/system/{UNIT}", SERVICE)
        self.machine.run(["systemctl", "--quiet", "enable", UNIT])
        self._set({"services": {}, "documents": GoalState().documents()})

    def behave(self, mode: str, *services: str, delay: float = 3.0) -> None:
        """Puts `services` (default: all) in one of MODES, from the next request on. The others stay as they are.

        `blackhole` is not the server's mood but the network's: packets to the service vanish, so connections time out.
        Moods survive a reboot of the machine.
        """
        assert mode in MODES, f"the fabric knows no mode {mode!r}"
        control = self._control()
        for service in services or SERVICES:
            control["services"][service] = {"mode": mode, "delay": delay}
        dropped = [SERVICES[name] for name, mood in control["services"].items() if mood["mode"] == "blackhole"]
        self.machine.write(DROPPED, "".join(f"{address} {port}\n" for address, port in dropped))
        self._set(control)
        if self.machine.running:
            self.machine.run(["sh", NETWORK])

    def publish(self, goal_state: GoalState) -> None:
        """Serves `goal_state` from the next request on."""
        self._set({**self._control(), "documents": goal_state.documents()})

    def requests(self, service: str | None = None, path: str = "", since: float = 0.0) -> list[Request]:
        """The requests seen so far, oldest first: those to `service`, with `path` in their path, from `since` on
        (seconds since the epoch; host and machine share their clock)."""
        return [request for request in self._all_requests()
                if service in (None, request.service) and path in request.path and request.time >= since]

    def goal_states_asked(self, since: float = 0.0) -> int:
        """How often the agent asked for its goal state: once a turn of its loop, when all is well."""
        return len(self.requests("wireserver", "comp=goalstate", since))

    def _all_requests(self) -> Iterable[Request]:
        text = self.machine.read(REQUESTS) if self.machine.exists(REQUESTS) else ""
        return (Request(**json.loads(line)) for line in text.splitlines())

    def _control(self) -> dict[str, Any]:
        control: dict[str, Any] = json.loads(self.machine.read(CONTROL))
        return control

    def _set(self, control: dict[str, Any]) -> None:
        self.machine.write(CONTROL, json.dumps(control, indent=1))
