"""``waguardctl explain``: what a finding means and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from waguard.ctl import common
from waguard.ctl.common import paint, rows
from waguard.ctl.doctor import CAUSES

if TYPE_CHECKING:
    from waguard.judge.catalogue import Entry

HELP = "what a finding means, how it was told, and what to do about it"
EXAMPLES = ("waguardctl explain snapshot-stuck", "waguardctl explain --list", "waguardctl explain snapshot-failed --code 121")
DOCS = "https://github.com/waguard/waguard/blob/main/docs/findings.md"


def add(parser: Any) -> None:
    parser.add_argument("finding", nargs="?", metavar="FINDING", help="its id, as status and doctor show it")
    parser.add_argument("--list", action="store_true", help="all ids with their severity and a line each")
    parser.add_argument("--code", type=int, metavar="N", help="an error code of the backup extension, from snapshot-failed")


def run(args: Any) -> int:
    """Exit status 0; 1: there is no such finding, the nearest is named."""
    if args.code is not None:
        return _code(args)
    from waguard.judge.catalogue import CATALOGUE

    if args.list or args.finding is None:
        entries = [{"id": entry.id, "severity": entry.severity.value, "cause": entry.cause, "summary": entry.summary}
                   for entry in CATALOGUE.values()]
        common.emit(args, entries, rows([(entry.id, f"{entry.severity.value.ljust(8)}  {entry.summary}")
                                         for entry in CATALOGUE.values()], indent=""))
        return 0
    entry = CATALOGUE.get(args.finding)
    if entry is None:
        raise common.Failure(f"there is no finding '{common.plain(args.finding)[:60]}'", _nearest(args.finding))
    now = _now(args, entry.id)
    result = {"id": entry.id, "severity": entry.severity.value, "cause": entry.cause, "link": entry.link.value or None,
              "blocks": entry.blocks, "summary": entry.summary, "meaning": entry.meaning,
              "remedy": now["remedy"] if now else entry.remedy, "evidence": now["evidence"] if now else None,
              "doc": f"{DOCS}#{entry.id}"}
    common.emit(args, result, _render(entry, now))
    return 0


def _render(entry: Entry, now: Optional[dict[str, Any]]) -> str:
    facts = [("Severity", entry.severity.value + (", and a snapshot asked for now would fail" if entry.blocks else "")),
             ("Cause", CAUSES[entry.cause])]
    if entry.link.value:
        facts.append(("Broken link", entry.link.value))
    facts += [("Meaning", entry.meaning),
              ("Now", common.plain(now["evidence"]) if now else "not found on this machine, or the guard does not answer"),
              ("Remedy", common.plain(now["remedy"]) if now else entry.remedy), ("More", f"{DOCS}#{entry.id}")]
    return f"{paint(entry.id, 'bold')}: {entry.summary}\n\n{rows(facts)}"


def _now(args: Any, name: str) -> Optional[dict[str, Any]]:
    """The finding as it stands on this machine, if the guard tells of it."""
    try:
        return next((finding for finding in common.snapshot(args)["findings"] if finding["id"] == name), None)
    except (common.Failure, LookupError, TypeError):
        return None


def _nearest(name: str) -> str:
    import difflib

    from waguard.judge.catalogue import CATALOGUE

    near = difflib.get_close_matches(name[:60].lower(), CATALOGUE, n=1)
    return f"did you mean {near[0]}? All of them: waguardctl explain --list" if near else "all of them: waguardctl explain --list"


def _code(args: Any) -> int:
    from waguard.agent import vmsnapshot

    known = vmsnapshot.CODES.get(args.code)
    if known is None:
        raise common.Failure(f"no error code {args.code} of the backup extension is known",
                             "what the extension itself says of it: waguardctl doctor, or its extension.log")
    result = {"code": args.code, "name": known.name, "retryable": known.retryable, "meaning": known.meaning,
              "remedy": known.remedy, "portal": known.portal or None}
    common.emit(args, result, f"{paint(f'{args.code} {known.name}', 'bold')}\n\n" + rows([
        ("Meaning", known.meaning), ("Remedy", known.remedy),
        ("In the portal", known.portal or "by no name that is known"),
        ("Again", "the next backup may well succeed" if known.retryable else "it fails again until it is repaired")]))
    return 0
