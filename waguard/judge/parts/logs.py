"""Logs: floods, sizes, rotation, and what the logs say of reports that did not arrive. Lines explain; states decide."""

from __future__ import annotations

from typing import Any, Optional

from waguard import durations
from waguard.agent import signatures
from waguard.agent.logtally import RUN, Match
from waguard.agent.signatures import Severity
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.logtree import LogTree

_MIB = 1 << 20
_ROTATED_AT = 20 * _MIB
"""Of the agent's own rule (config/waagent.logrotate), where no rule says anything else."""
_LATELY = 86400.0
_REPORTS = 1800.0
_FAULTS = 10
_OVER = {"goal-state-failing": "goal-state-recovered", "wireserver-unreachable": "goal-state-recovered",
         "wireserver-error": "goal-state-recovered", "status-not-reported": "status-reported",
         "status-report-failed": "status-reported",
         **{name: "snapshot-succeeded" for name, known in signatures.BY_ID.items()
            if known.sources == (signatures.EXTENSION,) and known.severity is Severity.FAULT}}
"""Which later words say that a fault is over."""


def judge(case: Case) -> Part:
    """The part of the case about logs, and the finding that the agent's reports fail."""
    title = say("Logs")
    if not isinstance(case.logtree, Known):
        return Part("logs", title, case.logtree.why, None)
    tree = case.logtree.value
    found = (*_floods(case, tree), *_oversized(case, tree), *_unrotated(case, tree), *judge_report(case))
    ok = False if found else (True if tree.waagent else None)
    return Part("logs", title, found[0].evidence if found else _says(case, tree), ok, found, _facts(case, tree))


def recent(case: Case, signature_id: str, within_seconds: float) -> Optional[Match]:
    """The last match of a signature, if it is no older than that and nothing later says that it is over."""
    if not isinstance(case.logtree, Known):
        return None
    match = case.logtree.value.recent(signature_id, within_seconds, case.wall)
    return match if match is not None and not _over(case.logtree.value, match) else None


def judge_report(case: Case) -> tuple[Finding, ...]:
    """status-not-reported, as far as waagent.log tells.

    Each turn of the agent's loop that fails to report writes one record, and after a quarter of an hour one more; success is
    written at level VERBOSE only. So a run of failures is over when a success was seen, or when none came for longer than the
    slowest turn takes. Source: azurelinuxagent/ga/exthandlers.py (report_ext_handlers_status), common/errorstate.py.
    """
    long, last = recent(case, "status-not-reported", _REPORTS), recent(case, "status-report-failed", _REPORTS)
    if last is not None and last.at is not None:
        failing = case.wall - last.at < RUN and (long is not None or last.times > 1)
        began = last.since if last.since is not None else last.at
        ago = _age(case, last.at)
        told = (say("the agent failed to report its status {count} times in {age}, last {ago} ago: {line}", count=last.times,
                    age=durations.show(last.at - began), ago=ago, line=last.text) if last.times > 1 else
                say("the agent failed to report its status, last {ago} ago: {line}", ago=ago, line=last.text))
        return (Finding("status-not-reported", told, blocks=True),) if failing else ()
    if long is None or long.at is None:
        return ()
    return (Finding("status-not-reported", say("the agent said {age} ago: {line}", age=_age(case, long.at), line=long.text),
                    blocks=True),)


def _floods(case: Case, tree: LogTree) -> tuple[Finding, ...]:
    found = [rate for rate in tree.rates if rate.per_minute >= case.settings.logs.flood]
    if not found:
        return ()
    worst = found[0]
    evidence = (say("{path} gets {count:.0f} records a minute over five minutes, most of them: {line}", path=worst.where,
                    count=worst.per_minute, line=worst.repeated) if worst.repeated else
                say("{path} gets {count:.0f} records a minute over five minutes", path=worst.where, count=worst.per_minute))
    if len(found) > 1:
        evidence = say("{said}; too many in {count} more", said=evidence, count=len(found) - 1)
    return (Finding("log-flood", evidence, (("path", worst.where),)),)


def _oversized(case: Case, tree: LogTree) -> tuple[Finding, ...]:
    limits = case.settings.logs
    whole = tree.tree_bytes if tree.tree_bytes is not None and tree.tree_bytes >= limits.tree_limit * _MIB else None
    if not tree.over and whole is None:
        return ()
    told = []
    if whole is not None:
        told.append(say("all logs take {size}, {limit} MiB is the limit", size=_size(whole), limit=limits.tree_limit)
                    if tree.complete else
                    say("all logs take {size} or more, {limit} MiB is the limit", size=_size(whole), limit=limits.tree_limit))
    if tree.largest:
        told.append(say("{path} takes {said_size}", path=tree.largest[0][0], said_size=_size(tree.largest[0][1])))
    if tree.over > 1:
        told.append(say("{count} logs are larger than {limit} MiB", count=tree.over, limit=limits.file_limit))
    if tree.growth is not None and tree.growth > _MIB and tree.growth_time > 0:
        told.append(say("{size} came in the last {age}", size=_size(tree.growth), age=durations.show(tree.growth_time)))
    path = tree.largest[0][0] if tree.largest and whole is None else case.agent.extension_log_dir
    return (Finding("log-tree-oversized", "; ".join(told), (("path", path),)),)


def _unrotated(case: Case, tree: LogTree) -> tuple[Finding, ...]:
    """Larger than twice what its rule lets it become, or without a rule and never rotated."""
    rotation, log = tree.rotation, case.agent.log
    length = rotation.log_bytes
    if not length:
        return ()
    by_time = bool(rotation.rules) and rotation.size is None
    limit = case.settings.logs.file_limit * _MIB if by_time else 2 * (rotation.size or _ROTATED_AT)
    bare = rotation.rules == () and not rotation.older and log.startswith("/var/log/")
    if length <= limit and not bare:
        return ()
    told = [say("{path} takes {said_size}", path=log, said_size=_size(length))]
    if rotation.rules is None:
        told.append(rotation.why)
    elif not rotation.rules:
        told.append(say("no rule of logrotate is for it"))
    else:
        told.append(say("{path} rotates it by time alone", path=rotation.rules[0]) if rotation.size is None else
                    say("{path} rotates it at {said_size}", path=rotation.rules[0], said_size=_size(rotation.size)))
    if rotation.rules and len(rotation.rules) > 1:
        told.append(say("{path} and {other} both name it, which logrotate refuses", path=rotation.rules[0],
                        other=rotation.rules[1]))
    if rotation.rules:
        told.append(say("logrotate never ran, as far as its status file tells") if rotation.ran is None else
                    say("logrotate last ran {age} ago", age=_age(case, rotation.ran)))
    return (Finding("logrotate-broken", "; ".join(told), (("path", log),)),)


def _says(case: Case, tree: LogTree) -> str:
    if not tree.waagent:
        why = tree.problems.get(case.agent.log)
        return (say("{path} cannot be read: {said_why}", path=case.agent.log, said_why=why) if why else
                say("there is no {path}", path=case.agent.log))
    faults = _faults(case, tree)
    sizes = (say("sizes not known") if tree.tree_bytes is None else
             say("{said_size} in {count} files", said_size=_size(tree.tree_bytes), count=tree.count))
    if not faults:
        return say("{said}, no fault in the last day", said=sizes)
    last = faults[0]
    meaning, ago = signatures.BY_ID[last.signature].meaning, _age(case, last.at or case.wall)
    if len(faults) == 1:
        return say("{said}; faults of 1 kind in the last day, last {ago} ago: {said_meaning}", said=sizes, ago=ago,
                   said_meaning=meaning)
    return say("{said}; faults of {count} kinds in the last day, last {ago} ago: {said_meaning}", said=sizes,
               count=len(faults), ago=ago, said_meaning=meaning)


def _faults(case: Case, tree: LogTree) -> list[Match]:
    """Faults of the last day that nothing says are over, newest first."""
    return [match for match in tree.matches if signatures.BY_ID[match.signature].severity is Severity.FAULT
            and match.at is not None and case.wall - match.at <= _LATELY and not _over(tree, match)][:_FAULTS]


def _over(tree: LogTree, match: Match) -> bool:
    end = _OVER.get(match.signature)
    return any(later.signature == end and later.at is not None and match.at is not None and later.at > match.at
               for later in tree.matches)


def _facts(case: Case, tree: LogTree) -> dict[str, Any]:
    rotation = tree.rotation
    return {
        "records": {source: dict(levels) for source, levels in tree.records.items()},
        "signatures": dict(tree.signatures),
        "tree_bytes": tree.tree_bytes,
        "tree_complete": tree.complete,
        "growth": None if tree.growth is None else {"bytes": tree.growth, "seconds": round(tree.growth_time, 1)},
        "faults": [{"id": match.signature, "at": match.at, "source": match.source, "path": match.where, "text": match.text,
                    "since": match.since, "times": match.times, "meaning": signatures.BY_ID[match.signature].meaning,
                    "explains": signatures.BY_ID[match.signature].finding or None} for match in _faults(case, tree)],
        "largest": [{"path": path, "bytes": size} for path, size in tree.largest[:5]],
        "handlers": dict(sorted(tree.handlers.items(), key=lambda pair: -pair[1])[:20]),
        "rates": {rate.where: rate.per_minute for rate in tree.rates[:5]},
        "rotation": {"rules": None if rotation.rules is None else list(rotation.rules), "size": rotation.size,
                     "log_bytes": rotation.log_bytes, "older": rotation.older, "ran": rotation.ran, "done": rotation.done},
        "without_handler": list(tree.orphans[:20]), "without_logs": list(tree.silent[:20]), "behind": list(tree.behind[:20]),
        "problems": dict(list(tree.problems.items())[:20]),
    }


def _size(size: int) -> str:
    if size < _MIB:
        return f"{size / 1024:.0f} KiB"
    return f"{size / _MIB:.1f} MiB" if size < 1 << 30 else f"{size / (1 << 30):.1f} GiB"


def _age(case: Case, at: float) -> str:
    return durations.show(max(0.0, case.wall - at))
