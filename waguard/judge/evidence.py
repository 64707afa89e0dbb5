"""Everything the judge is shown at one moment: observations, frozen, with "could not tell" as a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from waguard.agent.logstate import LogState
from waguard.agent.versions import AgentVersion
from waguard.i18n import say
from waguard.observe import Known, Observation, Unknown
from waguard.observe.azure import Probe
from waguard.observe.conf import ConfFacts
from waguard.observe.libdir import LibDir
from waguard.observe.process import Process
from waguard.observe.unit import UnitState

NOT_YET = Unknown(say("not looked at yet"), 0.0)


@dataclass(frozen=True)
class Evidence:
    """``now`` is CLOCK_BOOTTIME, ``wall`` the epoch, both in seconds.

    ``daemon`` and ``handler`` are None when there is none; ``processes_unknown`` says why if it could not be told.
    ``azure``: None when it is not known. ``transaction``: what a package manager does, None for nothing.
    ``snapshot``: is the backup extension at work; None: not looked at within the last seconds.
    """

    now: float
    wall: float
    unit: Observation[UnitState] = NOT_YET
    daemon: Optional[Process] = None
    handler: Optional[Process] = None
    processes_unknown: str = ""
    conf: Observation[ConfFacts] = NOT_YET
    log: Observation[LogState] = NOT_YET
    libdir: Observation[LibDir] = NOT_YET
    wireserver: Observation[Probe] = NOT_YET
    disk_version: Optional[AgentVersion] = None
    azure: Optional[bool] = None
    transaction: Optional[str] = None
    snapshot: Optional[bool] = None
    freezing: bool = False
    disk_blocked_for: float = 0.0

    @property
    def version(self) -> Optional[AgentVersion]:
        """Version of the goal state agent, the one that counts; the package's when the log did not tell."""
        told = self.log.value.agent_version if isinstance(self.log, Known) else None
        return told or self.disk_version

    def to_wall(self, moment: float) -> float:
        """The wall-clock time of a CLOCK_BOOTTIME moment, by today's offset."""
        return self.wall - (self.now - moment)

    def from_wall(self, at: float) -> float:
        """The CLOCK_BOOTTIME moment of a wall-clock time, by today's offset."""
        return self.now - (self.wall - at)
