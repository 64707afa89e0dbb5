"""``waguardctl explain``: what a finding means and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from waguard.ctl import common
from waguard.ctl.common import paint, rows
from waguard.ctl.doctor import CAUSES
from waguard.i18n import message, say, tr

if TYPE_CHECKING:
    from waguard.judge.catalogue import Entry

HELP = message("what a finding means, how it was told, and what to do about it")
EXAMPLES = ("waguardctl explain snapshot-stuck", "waguardctl explain --list", "waguardctl explain snapshot-failed --code 121")
DOCS = "https://github.com/waguard/waguard/blob/main/docs/findings.md"


def add(parser: Any) -> None:
    parser.add_argument("finding", nargs="?", metavar="FINDING", help=tr("its id, as status and doctor show it"))
    parser.add_argument("--list", action="store_true", help=tr("all ids with their severity and a line each"))
    parser.add_argument("--code", type=int, metavar="N",
                        help=tr("an error code of the backup extension, from snapshot-failed"))


def run(args: Any) -> int:
    """Exit status 0; 1: there is no such finding, the nearest is named."""
    if args.code is not None:
        return _code(args)
    from waguard.judge.catalogue import CATALOGUE, fill

    if args.list or args.finding is None:
        entries = [{"id": entry.id, "severity": entry.severity.value, "cause": entry.cause, "summary": entry.summary}
                   for entry in CATALOGUE.values()]
        common.emit(args, entries, rows([(entry.id, f"{common.level(entry.severity.value, aligned=True)}  {tr(entry.summary)}")
                                         for entry in CATALOGUE.values()], indent=""))
        return 0
    entry = CATALOGUE.get(args.finding)
    if entry is None:
        raise common.Failure(say("there is no finding '{finding}'", finding=common.plain(args.finding)[:60]),
                             _nearest(args.finding))
    now = _now(args, entry.id)
    result = {"id": entry.id, "severity": entry.severity.value, "cause": entry.cause, "link": entry.link.value or None,
              "blocks": entry.blocks, "summary": entry.summary, "meaning": entry.meaning,
              "remedy": now["remedy"] if now else fill(entry.remedy, {}), "evidence": now["evidence"] if now else None,
              "doc": f"{DOCS}#{entry.id}"}
    common.emit(args, result, _render(entry, now))
    return 0


def _render(entry: Entry, now: Optional[dict[str, Any]]) -> str:
    from waguard.judge.catalogue import fill

    severity = common.level(entry.severity.value)
    facts = [(tr("Severity"), tr("{severity}, and a snapshot asked for now would fail", severity=severity) if entry.blocks
              else severity), (tr("Cause"), tr(CAUSES[entry.cause]))]
    if entry.link.value:
        facts.append((tr("Broken link"), tr(entry.link.value)))
    facts += [(tr("Meaning"), tr(entry.meaning)),
              (tr("Now"), common.shown(now["evidence"]) if now else
               tr("not found on this machine, or the guard does not answer")),
              (tr("Remedy"), common.shown(now["remedy"]) if now else fill(tr(entry.remedy), {})),
              (tr("More"), f"{DOCS}#{entry.id}")]
    return f"{paint(entry.id, 'bold')}: {tr(entry.summary)}\n\n{rows(facts)}"


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
    if not near:
        return say("all of them: waguardctl explain --list")
    return say("did you mean {finding}? All of them: waguardctl explain --list", finding=near[0])


def _code(args: Any) -> int:
    from waguard.agent import vmsnapshot

    known = vmsnapshot.CODES.get(args.code)
    if known is None:
        raise common.Failure(say("no error code {code} of the backup extension is known", code=args.code),
                             say("what the extension itself says of it: waguardctl doctor, or its extension.log"))
    result = {"code": args.code, "name": known.name, "retryable": known.retryable, "meaning": known.meaning,
              "remedy": known.remedy, "portal": known.portal or None}
    common.emit(args, result, f"{paint(f'{args.code} {known.name}', 'bold')}\n\n" + rows([
        (tr("Meaning"), tr(known.meaning)), (tr("Remedy"), tr(known.remedy)),
        (tr("In the portal"), known.portal or tr("by no name that is known")),
        (tr("Again"), tr("the next backup may well succeed") if known.retryable else
         tr("it fails again until it is repaired"))]))
    return 0
