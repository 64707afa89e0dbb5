"""What became of the last snapshot, is something frozen, and is a backup overdue?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from waguard import durations
from waguard.agent import vmsnapshot
from waguard.agent.vmsnapshot import Code, Outcome, Result
from waguard.i18n import message, say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.observe import Known
from waguard.observe.snapshots import Snapshots

NAME, TITLE = "snapshot", say("Last snapshot")
_LOCK_AGAIN = 2.0
"""The lock is held from before the freeze until after the thaw, with the snapshot in between; so without a safefreeze to be seen
only twice the time of a freeze is a sign of one that hangs."""


def judge(case: Case) -> Part:
    """``facts``: outcome and code of the newest request, ``last_success`` (epoch seconds), ``last_success_ok``, ``interval``
    (seconds, learned), the freeze and the telemetry of the last result; None where it is not known."""
    if not isinstance(case.snapshots, Known):
        return Part(NAME, TITLE, say("could not be told: {said}", said=case.snapshots.why), None)
    seen = case.snapshots.value
    findings = (*_frozen(seen), *_result(case, seen), *_overdue(case, seen), *_scripts(seen))
    bad = any(one.entry.severity is not Severity.INFO for one in findings)
    ok = False if bad else None if seen.outcome is None else True
    return Part(NAME, TITLE, _says(case, seen, findings), ok, findings, _facts(seen))


def _values(case: Case, seen: Snapshots, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("handler", vmsnapshot.NAME), ("folder", seen.folder), ("version", seen.version),
            ("log_dir", case.agent.extension_log_dir), *more)


def _frozen(seen: Snapshots) -> Iterator[Finding]:
    for one in seen.processes.freezers:
        limit = (one.timeout if one.timeout is not None else seen.options.timeout) + seen.options.freeze_wait
        if one.age is not None and one.age > limit:
            age, over = durations.show(one.age), durations.show(limit)
            evidence = (say("safefreeze (pid {pid}) has been running for {age}, with {mounts}; a freeze is over after {limit}",
                            pid=one.pid, age=age, mounts=", ".join(one.mounts), limit=over) if one.mounts else
                        say("safefreeze (pid {pid}) has been running for {age}; a freeze is over after {limit}", pid=one.pid,
                            age=age, limit=over))
            values = (("pid", str(one.pid)), *((("mount", one.mounts[0]),) if one.mounts else ()))
            yield Finding("filesystem-frozen", evidence, values)
            return
    limit = (seen.options.timeout + seen.options.freeze_wait) * _LOCK_AGAIN
    if seen.lock.holder is not None and seen.lock.age is not None and seen.lock.age > limit:
        evidence = say("pid {pid} has held the freeze's lock (SafeFreezeLockFile) for {age}", pid=seen.lock.holder,
                       age=durations.show(seen.lock.age))
        yield Finding("filesystem-frozen", evidence, (("pid", str(seen.lock.holder)),))


def _result(case: Case, seen: Snapshots) -> Iterator[Finding]:
    result = seen.result
    if seen.outcome is Outcome.STUCK and seen.result_at is not None:
        evidence = say("settings {number}: code 4 since {age}, and no process of {extension} is at work", number=seen.sequence,
                       age=durations.show(case.wall - seen.result_at), extension=vmsnapshot.NAME)
        yield Finding("snapshot-stuck", evidence, _values(case, seen, ("code", "4")))
    if seen.outcome is Outcome.NO_RESULT:
        yield Finding("snapshot-no-result", _no_result(case, seen), _values(case, seen))
    failure = result.failure if seen.outcome is Outcome.FAILED and result is not None else None
    if failure is not None and result is not None:
        evidence = _failed(failure, result, _keys(case, seen))
        values = _values(case, seen, ("code", str(failure.number)))
        yield Finding("snapshot-failed", evidence, values, blocks=not failure.retryable)


def _failed(failure: Code, result: Result, keys: str) -> str:
    told = (say("code {code}, {name}: {said_meaning} (portal: {portal})", code=failure.number, name=failure.name,
                said_meaning=failure.meaning, portal=failure.portal) if failure.portal else
            say("code {code}, {name}: {said_meaning}", code=failure.number, name=failure.name, said_meaning=failure.meaning))
    if result.disks_failed:
        told = say("{said}; {failed} of {count} disks failed", said=told, failed=result.disks_failed, count=result.disks)
    if keys:
        told = f"{told}; {keys}"
    return say("{said}; it says: {said_text}", said=told, said_text=result.message) if result.message else told


def _no_result(case: Case, seen: Snapshots) -> str:
    number, age = seen.sequence, durations.show(case.wall - seen.settings_at) if seen.settings_at is not None else ""
    if seen.result_problem:
        return (say("settings {number} have no valid status since {age}: {said_problem}", number=number, age=age,
                    said_problem=seen.result_problem) if age else
                say("settings {number} have no valid status: {said_problem}", number=number, said_problem=seen.result_problem))
    told = [say("settings {number} have no status since {age}", number=number, age=age) if age else
            say("settings {number} have no status", number=number)]
    if seen.settings_protected:
        told = [say("{said}, and they still hold what the extension removes when it begins", said=told[0])]
    if seen.accepted not in (None, seen.sequence):
        told.append(say("the extension's last number is {number}", number=seen.accepted))
    return "; ".join(filter(None, (*told, _keys(case, seen))))


def _keys(case: Case, seen: Snapshots) -> str:
    """Without both, the extension cannot read what it is asked for (code 16)."""
    if not seen.keys_missing:
        return ""
    if len(seen.keys_missing) > 1:
        return say("of the certificate of its settings .crt and .prv is missing from {path}", path=case.agent.lib_dir)
    return say("of the certificate of its settings {file} is missing from {path}", file=seen.keys_missing[0],
               path=case.agent.lib_dir)


def _overdue(case: Case, seen: Snapshots) -> Iterator[Finding]:
    rhythm, last = seen.history.rhythm, seen.history.last_success
    if rhythm is None or last is None or case.wall - last <= rhythm.limit:
        return
    evidence = say("the last success was {age} ago; between two there were {interval} in the middle of {count}",
                   age=durations.show(case.wall - last), interval=durations.show(rhythm.interval), count=seen.history.successes)
    yield Finding("backup-overdue", evidence, _values(case, seen))


def _scripts(seen: Snapshots) -> Iterator[Finding]:
    problems = seen.scripts.problems
    if problems:
        text = "; ".join(say("{said} (code {code})", said=one.text, code=one.code) for one in problems[:4])
        values = (("path", problems[0].path), ("code", str(problems[0].code)))
        yield Finding("backup-scripts-misconfigured", text, values, blocks=True if any(one.fails for one in problems) else None)


_OUTCOMES = {
    Outcome.STUCK: (message("never came to an end, begun {age} ago"), message("never came to an end, begun at an unknown time")),
    Outcome.SUCCESS: (message("succeeded {age} ago"), message("succeeded at an unknown time")),
    Outcome.FAILED: (message("failed {age} ago"), message("failed at an unknown time")),
    Outcome.NO_RESULT: (message("has no result, asked for {age} ago"), message("has no result, asked for at an unknown time"))}
"""What became of the request: where its time is known, and where it is not."""


def _says(case: Case, seen: Snapshots, findings: tuple[Finding, ...]) -> str:
    if any(one.id == "filesystem-frozen" for one in findings):
        return say("a freeze does not end")
    if seen.outcome is None:
        why = seen.problem or seen.processes.problem or say("the times of its files are of the future")
        return say("could not be told: {said}", said=why)
    rest = [one.entry.summary for one in findings if one.id in ("backup-overdue", "backup-scripts-misconfigured")]
    return "; ".join((_became(case, seen, seen.outcome), *rest))


def _became(case: Case, seen: Snapshots, outcome: Outcome) -> str:
    if outcome is Outcome.NONE:
        return say("none was asked for yet") if seen.present else say("the backup extension is not installed")
    if outcome is Outcome.RUNNING:
        return say("one is being taken")
    age = _age(case, seen)
    dated, undated = _OUTCOMES[outcome]
    text = dated.format(age=age) if age else undated
    failure = seen.result.failure if outcome is Outcome.FAILED and seen.result is not None else None
    if failure is None:
        return text
    return say("{said}: code {code}, {said_meaning}", said=text, code=failure.number, said_meaning=failure.meaning)


def _age(case: Case, seen: Snapshots) -> str:
    """How long ago the outcome, or the request without one, was; "" where that is not known."""
    at: Optional[float] = seen.settings_at if seen.outcome is Outcome.NO_RESULT else seen.result_at
    if seen.outcome is Outcome.SUCCESS and seen.result is not None and seen.result.at is not None:
        at = seen.result.at
    return durations.show(case.wall - at) if at is not None else ""


def _facts(seen: Snapshots) -> dict[str, Any]:
    result, failure = seen.result, seen.result.failure if seen.result is not None else None
    return {
        "present": seen.present, "version": seen.version or None,
        "outcome": seen.outcome.value if seen.outcome is not None else None,
        "code": result.code if result is not None else None, "error": failure.name if failure is not None else None,
        "message": result.message if result is not None else None, "at": seen.result_at, "asked_at": seen.settings_at,
        "sequence": seen.sequence, "last_success": seen.history.last_success, "last_success_ok": seen.last_success_ok,
        "interval": seen.history.rhythm.interval if seen.history.rhythm is not None else None,
        "successes": seen.history.successes,
        "working": seen.processes.working, "freezing": seen.lock.holder is not None if not seen.lock.problem else None,
        "logging": seen.options.write_log, "method": seen.options.method or None, "scripts": seen.scripts.wanted,
        "telemetry": dict(result.telemetry) if result is not None else {}}
