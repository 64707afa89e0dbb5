"""The extensions that the lab's fabric can ask for: so far one, under the name of Azure Backup's (see handler/)."""

from __future__ import annotations

import json
import time
import uuid
from typing import Any

from .goalstate import Extension, Sealed
from .machine import Machine

VMSNAPSHOT = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
VERSION = "1.0.9220.0"
LOGS = f"/var/log/azure/{VMSNAPSHOT}"
LOCK = "/etc/azure/MicrosoftRecoverySvcsSafeFreezeLock/SafeFreezeLockFile"


def snapshot(behaviour: str = "succeed", sequence: int = 0, *, version: str = VERSION, state: str = "enabled",
             protected: Sealed | None = None, **public: Any) -> Extension:
    """A request for a snapshot that goes as `behaviour` says (handler/main/handle.py). Each has a task id of its own."""
    ticks = (int(time.time()) + 62135596800) * 10_000_000  # .NET's, since the year 1
    settings = {
        "taskId": str(uuid.uuid4()), "commandToExecute": "snapshot", "commandStartTimeUTCTicks": str(ticks),
        "vmType": "microsoft.compute/virtualmachines", "locale": "en-us", "objectStr": "", "labBehaviour": behaviour,
    }
    return Extension(VMSNAPSHOT, version, sequence, {**settings, **public}, protected, state)


class Handler:
    """A handle on the extension in `machine`. It holds no state."""

    def __init__(self, machine: Machine, version: str = VERSION, name: str = VMSNAPSHOT) -> None:
        self.machine = machine
        self.name = name
        self.folder = f"/var/lib/waagent/{name}-{version}"

    def state(self) -> str:
        """HandlerState: Installed, Enabled, …"""
        return self.machine.read(f"{self.folder}/config/HandlerState")

    def status(self) -> dict[str, Any]:
        """HandlerStatus, the agent's word on the handler."""
        found: dict[str, Any] = json.loads(self.machine.read(f"{self.folder}/config/HandlerStatus"))
        return found

    def names(self, folder: str) -> set[str]:
        """The files in `config` or `status`."""
        return set(self.machine.run(["ls", f"{self.folder}/{folder}"]).out.split())

    def outer(self, sequence: int) -> dict[str, Any]:
        """What the agent takes for the end of a request."""
        found: dict[str, Any] = json.loads(self.machine.read(f"{self.folder}/status/{sequence}.status"))[0]["status"]
        return found

    def inner(self, sequence: int) -> dict[str, Any]:
        """How the request really ended."""
        return inner(self.outer(sequence))

    def settings(self, sequence: int) -> dict[str, Any]:
        """The settings file's handlerSettings."""
        text = self.machine.read(f"{self.folder}/config/{sequence}.settings")
        found: dict[str, Any] = json.loads(text)["runtimeSettings"][0]["handlerSettings"]
        return found

    def log(self, name: str) -> str:
        """One of its logs: extension, shell or CommandExecution."""
        path = f"/var/log/azure/{self.name}/{name}.log"
        return self.machine.read(path) if self.machine.exists(path) else ""

    def daemons(self) -> list[int]:
        """The processes that work on requests, as the machine numbers them."""
        found = self.machine.run(["pgrep", "-f", "--", r"main/handle\.py -seqNo:[0-9]+ -daemon$"], check=False)
        return [int(pid) for pid in found.out.split()]

    def wait_for_code(self, sequence: int, code: int, timeout: float = 30) -> None:
        """Until the request's inner status says `code`."""
        self.machine.wait_until(
            lambda: f"{sequence}.status" in self.names("status") and self.inner(sequence)["code"] == str(code),
            timeout, f"code {code} for request {sequence}")


def inner(status: dict[str, Any]) -> dict[str, Any]:
    """The true status in an outer one, from the file or from what Azure was told."""
    found: dict[str, Any] = json.loads(status["substatus"][0]["name"])[0]["status"]
    return found
