"""What the event of a changed waagent.conf says. Pure."""

from __future__ import annotations

from typing import Any, Optional

from waguard.agent import confdiff
from waguard.i18n import say
from waguard.observe.conf import ConfFacts

_NAMED = 5


def tell(before: Optional[ConfFacts], after: ConfFacts) -> tuple[str, dict[str, Any]]:
    """The message and the fields, without secrets. ``before``: what was read the last time; None after the guard's own start.

    Fields: ``path``; and where the keys are known ``keys`` (of the first five), ``changes`` (those with old and new value) and
    ``changed`` (how many there are).
    """
    fields: dict[str, Any] = {"path": str(after.path)}
    if not after.valid:
        return after.problem, fields
    if before is None or before.path != after.path:
        return say("{path} was changed; the agent reads it at its next start", path=after.path), fields
    if not before.valid:
        return say("{path} was changed and can be used again; the agent reads it at its next start", path=after.path), fields
    found = confdiff.compare(before.values, after.values)
    fields["changed"] = len(found)
    if not found:
        return say("{path} was changed, but every setting in it is what it was", path=after.path), fields
    fields["keys"] = ", ".join(change.key for change in found[:_NAMED])
    fields["changes"] = confdiff.describe(found, _NAMED)
    return say("{path} was changed: {said_changes}; the agent reads it at its next start", path=after.path,
               said_changes=fields["changes"]), fields
