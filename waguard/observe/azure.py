"""Is this machine an Azure VM? And does the wire server answer?

The probe asks the wire server for its versions, as the agent does when it looks for it: harmless, direct (no proxy is asked), as
root, since the agent's firewall drops everybody else's packets (WALinuxAgent azurelinuxagent/ga/firewall_manager.py).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from waguard.i18n import say
from waguard.observe import probes
from waguard.observe.probes import Kind

# The chassis asset tag of every Azure VM; cloud-init's DataSourceAzure tells Azure by the same.
CHASSIS_TAG = "7783-7084-3265-9085-8269-3286-77"
DMI = Path("/sys/class/dmi/id/chassis_asset_tag")


@dataclass(frozen=True)
class Probe:
    """One question. ``problem`` is empty when it was answered. ``duration`` in seconds; ``kind``: observe/probes.py, Kind.

    ``routable``: when it was not answered, has the kernel a route; None for not known.
    """

    success: bool
    duration: float
    problem: str = ""
    kind: str = ""
    routable: Optional[bool] = None

    @staticmethod
    def of(told: Mapping[str, Any]) -> Probe:
        """From plain values of the same names. Raises LookupError, TypeError or ValueError when it is none."""
        success, routable = told["success"], told.get("routable")
        if not isinstance(success, bool) or not isinstance(routable, (bool, type(None))):
            raise TypeError("a probe that neither succeeded nor failed")
        problem, kind = (str(told.get(name) or "") for name in ("problem", "kind"))
        return Probe(success, max(0.0, float(told["duration"])), problem, kind, routable)


def on_azure(setting: str = "auto", tag: Path = DMI) -> Optional[bool]:
    """By setting (yes, no) or by DMI; None when the machine has no readable chassis tag."""
    if setting in ("yes", "no"):
        return setting == "yes"
    try:
        return tag.read_text("ascii", "replace").strip() == CHASSIS_TAG
    except OSError:
        return None


def probe(address: str, timeout: float) -> Probe:
    """Ask ``HOST:PORT`` for its versions, the question that changes nothing. Blocks up to ``timeout`` seconds; never raises."""
    started = time.monotonic()
    where = probes.split(address)
    if where is None:
        return Probe(False, 0.0, say("{address} is no address with a port", address=repr(address[:100])), Kind.NO_ADDRESS)
    told = probes.http(*where, "/?comp=versions", timeout, wanted=b"<Versions")
    took = time.monotonic() - started
    if told.kind == Kind.OK:
        return Probe(True, took, kind=told.kind)
    return Probe(False, took, told.problem, told.kind, probes.routable(where[0]))
