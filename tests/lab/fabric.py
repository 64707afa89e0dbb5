"""The Azure fabric of a machine: its network, the stand-in wire server in it, and the moods a test can put it in.

Both live inside the machine, as a unit that comes up before all others at every boot, like the real fabric, which is
there before the VM is. In a network namespace of its own ("fabric") are the addresses that Azure has everywhere,
168.63.129.16 and 169.254.169.254, and one for its blob storage; a veth pair is the VM's eth0. There is no way out of
it: nothing here can reach a real Azure, and this works on an Azure VM too. The DMI tables look like Azure's as well, as
far as anybody looks.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from .goalstate import STATUS_BLOB, STORAGE, Extension, GoalState, Sealed, manifest, package_path
from .machine import Machine
from .wireserver import SERVICES, Store

HOME = "/opt/lab"
CONTROL = f"{HOME}/control.json"
REQUESTS = f"{HOME}/requests.jsonl"
BARRED = f"{HOME}/barred"
NETWORK = f"{HOME}/network.sh"
DHCP = f"{HOME}/dhcp.json"
STORE = Store(Path(HOME, "store"))
HANDLER = Path(__file__).parent / "handler"
UNIT = "lab-fabric.service"
DMI = f"{HOME}/dmi-class/dmi/id"
CHASSIS_TAG = "7783-7084-3265-9085-8269-3286-77"  # of every Azure VM
VM_ID = "B61F93D0-E1ED-40B2-B067-22C243233448"

# The host route matters: with it the agent knows where the wire server is, without it asks DHCP for option 245.
NETWORK_SH = f"""\
#!/bin/sh
# up: makes the fabric's network, and what an Azure VM is told by, if they are not there yet.
# Always: bars the way to what {BARRED} says (ADDRESS PORT TARGET).
set -eu
fabric="ip netns exec fabric"
if [ "${{1-}}" = up ] && ! [ -e /run/netns/fabric ]; then
    ip netns add fabric
    ip link add eth0 type veth peer name vm netns fabric
    $fabric ip link set lo up
    $fabric ip link set vm up
    for address in 10.0.0.1/24 168.63.129.16/32 169.254.169.254/32 {SERVICES["storage"][0]}/32; do
        $fabric ip address add "$address" dev vm
    done
    ip link set eth0 up
    if ! [ -e {DHCP} ]; then # else eth0 is for others to set up, see dhcp.py
        ip address add 10.0.0.4/24 dev eth0
        ip route add default via 10.0.0.1
        ip route add 168.63.129.16 via 10.0.0.1
    fi
    # /sys is the kernel's, and this one may have no DMI tables to lay a file over.
    mount -t overlay -o lowerdir={HOME}/dmi-class:/sys/class overlay /sys/class
fi
$fabric iptables -F INPUT
while read -r address port target; do
    # Word splitting is meant: a target may have options.
    $fabric iptables -A INPUT -d "$address" -p tcp --dport "$port" -j $target
done <{BARRED}
"""

# A certificate of the storage's own, trusted by all that looks where Debian's ca-certificates puts things.
STORAGE_SH = f"""\
set -eu
cd {HOME}
mkdir -p {STORE.directory}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 365 -subj "/CN={STORAGE}" \\
    -addext subjectAltName=DNS:{STORAGE} -keyout storage.key -out storage.crt 2>/dev/null
cat storage.key storage.crt >storage.pem
cat storage.crt >>/etc/ssl/certs/ca-certificates.crt
ln -sf {HOME}/storage.crt "/etc/ssl/certs/$(openssl x509 -noout -hash -in storage.crt).0"
echo '{SERVICES["storage"][0]} {STORAGE}' >>/etc/hosts
"""

# The VM's certificate, as Azure makes one for it when it is created. Prints its thumbprint.
CERTIFICATE_SH = f"""\
set -eu
cd {HOME}
if ! [ -e certificates.pfx ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 365 -subj "/CN=Windows Azure CRP Certificate Generator" \\
        -keyout vm.key -out vm.crt 2>/dev/null
    openssl pkcs12 -export -inkey vm.key -in vm.crt -passout pass: -out certificates.pfx
fi
openssl x509 -noout -fingerprint -sha1 -in vm.crt | sed 's/.*=//; s/://g'
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
ExecStart=/usr/bin/ip netns exec fabric /usr/bin/python3 {HOME}/wireserver.py {HOME}

[Install]
WantedBy=sysinit.target
"""

MODES = ("well", "slow", "error500", "notfound", "garbage", "silent", "blackhole", "refused")
TARGETS = {"blackhole": "DROP", "refused": "REJECT --reject-with tcp-reset"}


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
        self.machine.write(BARRED, "")
        self.machine.run(STORAGE_SH)
        self.machine.write(f"{DMI}/chassis_asset_tag", f"{CHASSIS_TAG}\n")
        self.machine.write("/usr/local/sbin/dmidecode", DMIDECODE_SH, mode=0o755)
        self.machine.write(f"/etc/systemd/system/{UNIT}", SERVICE)
        self.machine.run(["systemctl", "--quiet", "enable", UNIT])
        self._set({"services": {}, "versions": {}, **_published(GoalState())})

    def behave(self, mode: str, *services: str, delay: float = 3.0) -> None:
        """Puts `services` (default: all) in one of MODES, from the next request on. The others stay as they are.

        Two are not the server's moods but the network's. `blackhole`: packets to the service vanish, so connections
        time out. `refused`: connections are refused at once. Moods survive a reboot of the machine.
        """
        assert mode in MODES, f"the fabric knows no mode {mode!r}"
        control = self._control()
        for service in services or SERVICES:
            control["services"][service] = {"mode": mode, "delay": delay}
        barred = [(*SERVICES[name], TARGETS[mood["mode"]]) for name, mood in control["services"].items()
                  if mood["mode"] in TARGETS]
        self.machine.write(BARRED, "".join(f"{address} {port} {target}\n" for address, port, target in barred))
        self._set(control)
        if self.machine.running:
            self.machine.run(["sh", NETWORK])

    # -- the goal state

    def goal_state(self) -> GoalState:
        """The one that is served."""
        return GoalState.from_json(self._control()["goal_state"])

    def publish(self, goal_state: GoalState) -> None:
        """Serves `goal_state` from the next request on."""
        self._set({**self._control(), **_published(goal_state)})

    def serve_extension(self, *extensions: Extension, package: Path = HANDLER) -> int:
        """Has the VM told to have `extensions` in the state, and with the settings, that they say.

        Those it has already stay, but for their namesakes. Their packages are made of the folder `package`. Returns the
        incarnation of the new goal state (Agent.wait_for_goal_state).
        """
        control = self._control()
        for extension in extensions:
            known = control["versions"].setdefault(extension.name, [])
            if extension.version not in known:
                known.append(extension.version)
            self._put(extension.manifest, manifest(extension.name, known).encode())
            self._put(package_path(extension.name, extension.version), _zipped(package))
        self._set(control)
        names = {extension.name for extension in extensions}
        kept = [plugin for plugin in self.goal_state().extensions.plugins if plugin.name not in names]
        return self._serve_plugins(*kept, *extensions)

    def withdraw_extension(self, name: str) -> int:
        """Leaves it out of the goal state; the agent then removes it without asking it. Returns the incarnation.

        An orderly removal is `serve_extension` with state `uninstall`.
        """
        return self._serve_plugins(*(one for one in self.goal_state().extensions.plugins if one.name != name))

    def seal(self, settings: dict[str, Any]) -> Sealed:
        """Protected settings, encrypted for the VM, which gets a certificate with the next goal state if it has none."""
        thumbprint = self.machine.run(CERTIFICATE_SH).out.strip()
        if not self.goal_state().certificates:
            self.publish(replace(self.goal_state(), certificates=True))
        text = self.machine.run(f"openssl cms -encrypt -binary -des3 -outform DER {HOME}/vm.crt | base64 -w 0",
                                stdin=json.dumps(settings)).out
        return Sealed(thumbprint, text)

    def _serve_plugins(self, *plugins: Extension) -> int:
        now = self.goal_state()
        config = replace(now.extensions, plugins=plugins).reachable()
        self.publish(replace(now, incarnation=now.incarnation + 1, extensions=config))
        return now.incarnation + 1

    # -- what Azure was told

    def reported_status(self) -> dict[str, Any] | None:
        """The agent's last status, by whichever way it came; None if there was none yet."""
        blob = str(STORE.file(STATUS_BLOB))
        if not self.machine.exists(blob):
            return None
        status: dict[str, Any] = json.loads(self.machine.read(blob))
        return status

    def reported_handler(self, name: str) -> dict[str, Any] | None:
        """What the last status says of the extension `name`; None if nothing."""
        handlers = (self.reported_status() or {}).get("aggregateStatus", {}).get("handlerAggregateStatus", [])
        return next((handler for handler in handlers if handler["handlerName"] == name), None)

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

    def _put(self, path: str, content: bytes) -> None:
        self.machine.write(str(STORE.file(path)), content)


def _published(goal_state: GoalState) -> dict[str, Any]:
    return {"goal_state": asdict(goal_state), "documents": goal_state.documents()}


def _zipped(folder: Path) -> bytes:
    """A package: all files in `folder`, but for what Python leaves behind."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as package:
        for file in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
            package.write(file, file.relative_to(folder))
    return content.getvalue()
