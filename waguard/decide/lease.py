"""The verbose lease: Logs.Verbose=y for a time, and then the very line that was there before.

A lease goes through three phases, each durable before the next begins, so that a guard or a machine that dies in between
finds out where it was:

    granting   the lease is written down, the conf may or may not have been edited yet
    active     the conf holds our line
    ending     the time is over (or it was given back), the conf may or may not have been restored yet
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from waguard.agent.confedit import Edit
from waguard.decide import term
from waguard.decide.term import Term

KEY = "Logs.Verbose"
VALUE = "y"


class Phase(str, Enum):
    GRANTING = "granting"
    ACTIVE = "active"
    ENDING = "ending"


@dataclass(frozen=True)
class Lease:
    """One lease. ``path``: the file that was edited. ``granted``: epoch seconds. ``restart``: is the agent restarted at both
    ends. ``by``: who asked, for people."""

    path: str
    edit: Edit
    phase: Phase
    granted: float
    term: Term
    restart: bool
    by: str


def to_json(lease: Lease) -> dict[str, Any]:
    return {**vars(lease), "edit": lease.edit.to_json(), "phase": lease.phase.value, "term": term.to_json(lease.term)}


def from_json(data: Mapping[str, Any]) -> Lease:
    """Raises ValueError, TypeError or KeyError on anything that ``to_json`` did not write."""
    if not isinstance(data, Mapping) or not isinstance(data["edit"], Mapping):
        raise TypeError("a lease and its edit have to be objects")
    return Lease(path=str(data["path"]), edit=Edit.from_json(data["edit"]), phase=Phase(data["phase"]),
                 granted=term.told(data["granted"]), term=term.from_json(data["term"]), restart=bool(data["restart"]),
                 by=str(data["by"]))
