"""The doctor's case: everything that was looked at in one visit, and what each part of it says.

A visit observes (``waguard/doctor/looks.py``), then each module of ``judge/parts`` judges its part of the case. All of that is
pure; "could not tell, because" is a value here as everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from waguard.agent.facts import AgentFacts
from waguard.i18n import say
from waguard.judge.catalogue import CATALOGUE, Finding
from waguard.observe import Observation, Unknown
from waguard.settings import Settings

if TYPE_CHECKING:
    from waguard.observe.clocksync import ClockSync
    from waguard.observe.confstudy import ConfStudy
    from waguard.observe.extensions import Extensions
    from waguard.observe.filesystems import Filesystems
    from waguard.observe.interpreters import Interpreters
    from waguard.observe.leases import Leases
    from waguard.observe.load import Load
    from waguard.observe.logtree import LogTree
    from waguard.observe.mounts import Mounts
    from waguard.observe.network import Network
    from waguard.observe.releases import Upstream
    from waguard.observe.snapshots import Snapshots
    from waguard.observe.software import Software

NOT_LOOKED = Unknown(say("not looked at"), 0.0)


@dataclass(frozen=True)
class Case:
    """``now``: CLOCK_BOOTTIME seconds. ``wall``: of the epoch. ``privileged``: looked at as uid 0. ``azure``: None if unknown."""

    now: float
    wall: float
    privileged: bool
    azure: Optional[bool]
    settings: Settings
    agent: AgentFacts = AgentFacts()
    conf: Observation[ConfStudy] = NOT_LOOKED
    extensions: Observation[Extensions] = NOT_LOOKED
    snapshots: Observation[Snapshots] = NOT_LOOKED
    interpreters: Observation[Interpreters] = NOT_LOOKED
    network: Observation[Network] = NOT_LOOKED
    leases: Observation[Leases] = NOT_LOOKED
    clocksync: Observation[ClockSync] = NOT_LOOKED
    load: Observation[Load] = NOT_LOOKED
    filesystems: Observation[Filesystems] = NOT_LOOKED
    mounts: Observation[Mounts] = NOT_LOOKED
    logtree: Observation[LogTree] = NOT_LOOKED
    software: Observation[Software] = NOT_LOOKED
    releases: Observation[Upstream] = NOT_LOOKED


@dataclass(frozen=True)
class Part:
    """What one part of a case says.

    ``says`` is one line for a person, whether healthy or not, without secrets. ``ok`` is False when a finding of severity warning
    or critical holds, True when all is well, None when it could not be told (``says`` has the reason). ``facts`` are plain JSON
    values for ``--json``, the snapshot and the metrics; None is "not known".
    """

    name: str
    title: str
    says: str
    ok: Optional[bool]
    findings: tuple[Finding, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def part_of(told: Mapping[str, Any]) -> Part:
    """A part as the doctor sent it (doctor/visit.py, ``part_json``). Raises LookupError or TypeError for anything else."""
    findings = tuple(Finding(one["id"], one["evidence"], tuple(one["values"].items()), one["blocks"])
                     for one in told["findings"] if one["id"] in CATALOGUE)
    return Part(told["name"], told["title"], told["says"], told["ok"], findings, told["facts"])
