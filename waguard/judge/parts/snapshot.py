"""What became of the last snapshot, is something frozen, and is a backup overdue?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from waguard import durations
from waguard.agent import vmsnapshot
from waguard.agent.vmsnapshot import Outcome
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.observe import Known
from waguard.observe.snapshots import Snapshots

NAME, TITLE = "snapshot", "Last snapshot"
_LOCK_AGAIN = 2.0
"""The lock is held from before the freeze until after the thaw, with the snapshot in between; so without a safefreeze to be seen
only twice the time of a freeze is a sign of one that hangs."""


def judge(case: Case) -> Part:
    """``facts``: outcome and code of the newest request, ``last_success`` (epoch seconds), ``last_success_ok``, ``interval``
    (seconds, learned), the freeze and the telemetry of the last result; None where it is not known."""
    if not isinstance(case.snapshots, Known):
        return Part(NAME, TITLE, f"could not be told: {case.snapshots.why}", None)
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
            mounts = f", with {', '.join(one.mounts)}" if one.mounts else ""
            evidence = (f"safefreeze (pid {one.pid}) has been running for {durations.show(one.age)}{mounts}; a freeze is over "
                        f"after {durations.show(limit)}")
            values = (("pid", str(one.pid)), *((("mount", one.mounts[0]),) if one.mounts else ()))
            yield Finding("filesystem-frozen", evidence, values)
            return
    limit = (seen.options.timeout + seen.options.freeze_wait) * _LOCK_AGAIN
    if seen.lock.holder is not None and seen.lock.age is not None and seen.lock.age > limit:
        evidence = f"pid {seen.lock.holder} has held the freeze's lock (SafeFreezeLockFile) for {durations.show(seen.lock.age)}"
        yield Finding("filesystem-frozen", evidence, (("pid", str(seen.lock.holder)),))


def _result(case: Case, seen: Snapshots) -> Iterator[Finding]:
    result = seen.result
    if seen.outcome is Outcome.STUCK and seen.result_at is not None:
        evidence = (f"settings {seen.sequence}: code 4 since {durations.show(case.wall - seen.result_at)}, and no process of "
                    f"{vmsnapshot.NAME} is at work")
        yield Finding("snapshot-stuck", evidence, _values(case, seen, ("code", "4")))
    if seen.outcome is Outcome.NO_RESULT:
        yield Finding("snapshot-no-result", _no_result(case, seen), _values(case, seen))
    failure = result.failure if seen.outcome is Outcome.FAILED and result is not None else None
    if failure is not None and result is not None:
        disks = f", {result.disks_failed} of {result.disks} disks failed" if result.disks_failed else ""
        said = f"; it says: {result.message}" if result.message else ""
        portal = f" (portal: {failure.portal})" if failure.portal else ""
        evidence = f"code {failure.number}, {failure.name}: {failure.meaning}{disks}{portal}{_keys(case, seen)}{said}"
        values = _values(case, seen, ("code", str(failure.number)))
        yield Finding("snapshot-failed", evidence, values, blocks=not failure.retryable)


def _no_result(case: Case, seen: Snapshots) -> str:
    since = f" since {durations.show(case.wall - seen.settings_at)}" if seen.settings_at is not None else ""
    if seen.result_problem:
        return f"settings {seen.sequence} have no valid status{since}: {seen.result_problem}"
    kept = ", and they still hold what the extension removes when it begins" if seen.settings_protected else ""
    before = f"; the extension's last number is {seen.accepted}" if seen.accepted not in (None, seen.sequence) else ""
    return f"settings {seen.sequence} have no status{since}{kept}{before}{_keys(case, seen)}"


def _keys(case: Case, seen: Snapshots) -> str:
    """Without both, the extension cannot read what it is asked for (code 16)."""
    if not seen.keys_missing:
        return ""
    return f"; of the certificate of its settings {' and '.join(seen.keys_missing)} is missing from {case.agent.lib_dir}"


def _overdue(case: Case, seen: Snapshots) -> Iterator[Finding]:
    rhythm, last = seen.history.rhythm, seen.history.last_success
    if rhythm is None or last is None or case.wall - last <= rhythm.limit:
        return
    yield Finding("backup-overdue", f"the last success was {durations.show(case.wall - last)} ago; between two there were "
                  f"{durations.show(rhythm.interval)} in the middle of {seen.history.successes}", _values(case, seen))


def _scripts(seen: Snapshots) -> Iterator[Finding]:
    problems = seen.scripts.problems
    if problems:
        text = "; ".join(f"{one.text} ({one.code})" for one in problems[:4])
        values = (("path", problems[0].path), ("code", str(problems[0].code)))
        yield Finding("backup-scripts-misconfigured", text, values, blocks=True if any(one.fails for one in problems) else None)


def _says(case: Case, seen: Snapshots, findings: tuple[Finding, ...]) -> str:
    ago = _ago(case, seen)
    if any(one.id == "filesystem-frozen" for one in findings):
        return "a freeze does not end"
    words = {
        Outcome.NONE: "none was asked for yet" if seen.present else "the backup extension is not installed",
        Outcome.RUNNING: "one is being taken", Outcome.STUCK: f"never came to an end, begun {ago}",
        Outcome.SUCCESS: f"succeeded {ago}", Outcome.FAILED: f"failed {ago}",
        Outcome.NO_RESULT: f"has no result, asked for {ago}"}
    if seen.outcome is None:
        why = seen.problem or seen.processes.problem or "the times of its files are of the future"
        return f"could not be told: {why}"
    text = words[seen.outcome]
    if seen.outcome is Outcome.FAILED and seen.result is not None and seen.result.failure is not None:
        text += f": code {seen.result.failure.number}, {seen.result.failure.meaning}"
    rest = [one.entry.summary for one in findings if one.id in ("backup-overdue", "backup-scripts-misconfigured")]
    return "; ".join((text, *rest))


def _ago(case: Case, seen: Snapshots) -> str:
    at: Optional[float] = seen.settings_at if seen.outcome is Outcome.NO_RESULT else seen.result_at
    if seen.outcome is Outcome.SUCCESS and seen.result is not None and seen.result.at is not None:
        at = seen.result.at
    return f"{durations.show(case.wall - at)} ago" if at is not None else "at an unknown time"


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
