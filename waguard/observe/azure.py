"""Is this machine an Azure VM? And does the wire server answer?

The probe is a TCP connect and nothing else: harmless, direct (no proxy is involved below HTTP), as root, since the agent's
firewall drops everybody else's packets (WALinuxAgent azurelinuxagent/ga/firewall_manager.py).
"""

from __future__ import annotations

import errno
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

# The chassis asset tag of every Azure VM; cloud-init's DataSourceAzure tells Azure by the same.
CHASSIS_TAG = "7783-7084-3265-9085-8269-3286-77"
DMI = Path("/sys/class/dmi/id/chassis_asset_tag")


@dataclass(frozen=True)
class Probe:
    """One connection attempt. ``problem`` is empty when it succeeded. ``duration`` in seconds."""

    success: bool
    duration: float
    problem: str = ""


def on_azure(setting: str = "auto", tag: Path = DMI) -> Optional[bool]:
    """By setting (yes, no) or by DMI; None when the machine has no readable chassis tag."""
    if setting in ("yes", "no"):
        return setting == "yes"
    try:
        return tag.read_text("ascii", "replace").strip() == CHASSIS_TAG
    except OSError:
        return None


def probe(address: str, timeout: float) -> Probe:
    """Connect to ``HOST:PORT`` and hang up. Blocks up to ``timeout`` seconds; never raises."""
    host, _, port = address.rpartition(":")
    started = time.monotonic()
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout):
            return Probe(True, time.monotonic() - started)
    except socket.timeout:
        return Probe(False, time.monotonic() - started, f"no answer from {address} within {timeout:g} s")
    except (ValueError, OverflowError) as error:
        return Probe(False, time.monotonic() - started, f"{address} is no address: {error}")
    except OSError as error:
        reason = errno.errorcode.get(error.errno or 0, "")
        return Probe(False, time.monotonic() - started, f"{address}: {error.strerror or error} {reason}".strip())
