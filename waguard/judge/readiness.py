"""Would a snapshot asked for now succeed, and if not, which link breaks first and why. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Optional

from waguard.i18n import message, say
from waguard.judge.case import Part
from waguard.judge.catalogue import Finding, Link, Severity

ESSENTIAL = ("agent", "conf", "network", "extensions", "filesystems")
"""Parts without which there is no saying yes. One that is missing counts as one that could not be told."""

BEYOND = (
    (message("locks on the resource groups of the VM and of its restore points"),
     message("portal, Resource group AzureBackupRG_…, Locks")),
    (message("how many restore points there are, and their limit"),
     message("portal, Recovery Services vault, Backup items, the VM, Restore points; a collection holds 18 for instant restore")),
    (message("whether the vault, the policy and the schedule are right, and whether a backup was started at all"),
     message("portal, Recovery Services vault, Backup jobs and Backup policies")),
    (message("rules of network security groups and firewalls outside the VM, of which only the effect is seen here"),
     message("portal, VM, Networking, Effective security rules; Network Watcher, IP flow verify to 168.63.129.16")),
    (message("the backup service of the host (code 556)"),
     message("nothing on the VM; start another backup, then ask Azure support")),
    (message("how Azure sees the VM: power, provisioning, agent status"),
     message("portal, VM, Overview and Properties: Agent status, Provisioning state")),
)
"""(what cannot be seen from inside a VM, where to look for it)."""

_NOT_TOLD = {"agent": message("Agent: {said}"), "network": message("Network: {said}"),
             "extensions": message("Extensions: {said}"), "filesystems": message("File systems: {said}")}
"""What an essential part says, under its title. "waagent.conf" is the same in every language."""

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
        return Readiness(None, say("this is no Azure VM, so nobody asks it for a snapshot"), causes, link, unknowns)
    if blocking:
        first, more = blocking[0].entry.summary, len(causes) - 1
        says = (say("a snapshot asked for now would fail: {said}, and {count} more", said=first, count=more) if more else
                say("a snapshot asked for now would fail: {said}", said=first))
        return Readiness(False, says, causes, link, unknowns)
    if unknowns:
        says = say("nothing seen stands in the way of a snapshot, but {said}", said=unknowns[0])
        return Readiness(None, says, unknowns=unknowns)
    return Readiness(True, say("a snapshot asked for now would succeed, as far as can be seen from inside the VM"))


def _rank(finding: Finding) -> tuple[int, int]:
    return _LINKS.index(finding.entry.link), _SEVERITIES.index(finding.entry.severity)


def _unknowns(parts: Sequence[Part], azure: Optional[bool]) -> tuple[str, ...]:
    found = [say("it could not be told whether this is an Azure VM")] if azure is None else []
    by_name = {part.name: part for part in parts}
    for name in ESSENTIAL:
        part = by_name.get(name)
        if part is None:
            found.append(say("{part}: not looked at", part=name))
        elif part.ok is None:
            found.append(_NOT_TOLD.get(name, part.title + ": {said}").format(said=part.says))
    return tuple(found)
