"""Would a snapshot asked for now succeed, and if not, which link breaks first and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from waguard.judge.case import Part
from waguard.judge.catalogue import Finding, Link, Severity

ESSENTIAL = ("agent", "conf", "network", "extensions", "filesystems")
"""Parts without which there is no saying yes. One that is missing counts as one that could not be told."""

BEYOND = (
    ("locks on the resource groups of the VM and of its restore points", "portal, Resource group AzureBackupRG_…, Locks"),
    ("how many restore points there are, and their limit",
     "portal, Recovery Services vault, Backup items, the VM, Restore points; a collection holds 18 for instant restore"),
    ("whether the vault, the policy and the schedule are right, and whether a backup was started at all",
     "portal, Recovery Services vault, Backup jobs and Backup policies"),
    ("rules of network security groups and firewalls outside the VM, of which only the effect is seen here",
     "portal, VM, Networking, Effective security rules; Network Watcher, IP flow verify to 168.63.129.16"),
    ("the backup service of the host (code 556)", "nothing on the VM; start another backup, then ask Azure support"),
    ("how Azure sees the VM: power, provisioning, agent status",
     "portal, VM, Overview and Properties: Agent status, Provisioning state"),
)
"""(what cannot be seen from inside a VM, where to look for it)."""

_LINKS = (Link.GOAL_STATE, Link.EXTENSION, Link.RESULT, Link.REPORT, Link.NONE)
_SEVERITIES = (Severity.CRITICAL, Severity.WARNING, Severity.INFO)


@dataclass(frozen=True)
class Readiness:
    """``ready``: None is "not known". ``says``: one line. ``causes``: ids of the findings in the way, most likely first.

    ``link``: the link of the chain that breaks first, NONE for none. ``unknowns``: what could not be told, with the reason.
    """

    ready: Optional[bool]
    says: str
    causes: tuple[str, ...] = ()
    link: Link = Link.NONE
    unknowns: tuple[str, ...] = ()


def readiness(findings: Iterable[Finding], parts: Sequence[Part], azure: Optional[bool]) -> Readiness:
    """The verdict over all findings. ``parts``: those of ESSENTIAL at least. ``azure``: is this VM on Azure, None: not known."""
    blocking = sorted((one for one in findings if one.blocking), key=_rank)
    causes = tuple(dict.fromkeys(one.id for one in blocking))
    link = blocking[0].entry.link if blocking else Link.NONE
    unknowns = _unknowns(parts, azure)
    if azure is False:
        return Readiness(None, "this is no Azure VM, so nobody asks it for a snapshot", causes, link, unknowns)
    if blocking:
        more = f", and {len(causes) - 1} more" if len(causes) > 1 else ""
        return Readiness(False, f"a snapshot asked for now would fail: {blocking[0].entry.summary}{more}", causes, link, unknowns)
    if unknowns:
        return Readiness(None, f"nothing seen stands in the way of a snapshot, but {unknowns[0]}", unknowns=unknowns)
    return Readiness(True, "a snapshot asked for now would succeed, as far as can be seen from inside the VM")


def _rank(finding: Finding) -> tuple[int, int]:
    return _LINKS.index(finding.entry.link), _SEVERITIES.index(finding.entry.severity)


def _unknowns(parts: Sequence[Part], azure: Optional[bool]) -> tuple[str, ...]:
    found = ["it could not be told whether this is an Azure VM"] if azure is None else []
    by_name = {part.name: part for part in parts}
    for name in ESSENTIAL:
        part = by_name.get(name)
        if part is None:
            found.append(f"{name}: not looked at")
        elif part.ok is None:
            found.append(f"{part.title}: {part.says}")
    return tuple(found)
