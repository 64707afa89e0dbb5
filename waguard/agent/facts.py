"""What is known of the agent, handed to whoever looks at what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional


@dataclass(frozen=True)
class AgentFacts:
    """What is known of the agent itself. None and "" are "not known"; moments are epoch seconds."""

    unit: str = ""
    running: Optional[bool] = None
    daemon_pid: int = 0
    daemon_started: Optional[float] = None
    handler_pid: int = 0
    daemon_version: str = ""
    goal_state_version: str = ""
    conf: str = "/etc/waagent.conf"
    log: str = "/var/log/waagent.log"
    lib_dir: str = "/var/lib/waagent"
    extension_log_dir: str = "/var/log/azure"
    distro: tuple[str, ...] = ()
    """ID and then ID_LIKE of os-release."""
