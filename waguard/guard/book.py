"""The findings that hold, since when, and when to speak of them: a fault that heals within seconds makes no noise."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from waguard.i18n import message, say
from waguard.judge.catalogue import CATALOGUE, Finding

QUIET = 3.0
_LONGEST = 1000
"""Characters of evidence from which no further one is added."""
_MORE = message("and more")


@dataclass(frozen=True)
class Standing:
    """One finding that holds. ``since``: CLOCK_BOOTTIME seconds."""

    finding: Finding
    since: float
    announced: bool


class Book:
    """Keeps the findings from one judgement to the next."""

    def __init__(self, event: Callable[..., None]) -> None:
        self._event = event
        self._standing: dict[str, Standing] = {}

    def enter(self, found: Iterable[Finding], now: float) -> None:
        """Replace what holds by what was found; speak of what is new for QUIET seconds and of what is over."""
        before, self._standing = self._standing, {}
        for finding in found:
            known = self._standing.get(finding.id)
            if known is not None:
                self._standing[finding.id] = replace(known, finding=_merged(known.finding, finding))
                continue
            was = before.get(finding.id)
            self._standing[finding.id] = Standing(finding, was.since if was else now, was.announced if was else False)
        for name, standing in self._standing.items():
            if not standing.announced and now - standing.since >= QUIET:
                self._standing[name] = replace(standing, announced=True)
                self._event("finding-raised", f"{name}: {standing.finding.evidence}", finding=name,
                            severity=CATALOGUE[name].severity.value)
        for name, standing in before.items():
            if standing.announced and name not in self._standing:
                self._event("finding-cleared", say("no longer: {said_summary}", said_summary=CATALOGUE[name].summary),
                            finding=name)

    def standing(self) -> list[Standing]:
        """What holds now, the gravest first, then the oldest."""
        ranks = ["critical", "warning", "info"]
        return sorted(self._standing.values(), key=lambda item: (ranks.index(item.finding.entry.severity.value), item.since))


def _merged(one: Finding, other: Finding) -> Finding:
    """Two of one kind, as two handlers that are not ready. It blocks if one of them does, and that one's remedy is told."""
    first = other if other.blocking and not one.blocking else one
    evidence = one.evidence
    if len(evidence) < _LONGEST:
        evidence = f"{evidence}; {other.evidence}"
    elif not evidence.endswith(_MORE):
        evidence += f"; {_MORE}"
    return replace(first, evidence=evidence, blocks=first.blocking)
