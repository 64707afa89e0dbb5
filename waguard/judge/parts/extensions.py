"""Are all extensions ready, and could the agent run the backup extension?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Optional

from waguard import durations
from waguard.agent import handler
from waguard.agent.handler import State
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding, Severity
from waguard.observe import Known
from waguard.observe.extensions import Handler
from waguard.observe.interpreters import Interpreter, Interpreters

NAME, TITLE = "extensions", say("Extensions")
_SETTLE = 1200.0
"""Seconds that installing and enabling may take (900 and 300), in which a handler is not ready yet and nothing is wrong."""
_WRITING = 300.0
"""Seconds from HandlerState to HandlerStatus: the agent writes them one after the other."""
_DISABLED = "Plugin disabled"
"""The agent's word for a handler that was told to rest (azurelinuxagent/ga/exthandlers.py, disable)."""
_ON_THE_WAY = frozenset(("NotReady", "Installing"))
_SHOWN = 3


def judge(case: Case) -> Part:
    """``facts["handlers"]``: name, version, extension, state, status, code, ready (None: not known), sequence and problem of
    each; ``facts["backup_extension"]``: its version, None if it is not there; ``facts["python"]``: what it would run with."""
    if not isinstance(case.extensions, Known):
        return Part(NAME, TITLE, say("could not be told: {said}", said=case.extensions.why), None, facts={"handlers": None})
    extensions = case.extensions.value
    found: list[tuple[Handler, list[Finding]]] = [(one, list(_handler(case, one))) for one in extensions.handlers]
    findings = [finding for _, listed in found for finding in listed]
    backup = next((one for one in extensions.handlers if one.name == handler.VMSNAPSHOT), None)
    if backup is None and not extensions.left_out:
        absent = say("{path} has no folder {name}-…", path=extensions.lib_dir, name=handler.VMSNAPSHOT)
        findings.append(Finding("backup-extension-absent", absent))
    findings += _python(case, backup is not None)
    bad = [one for one in findings if one.entry.severity is not Severity.INFO]
    unread = [one.problem for one, _ in found if one.problem]
    ok = False if bad else None if unread else True
    facts = {"handlers": [_facts(one, listed) for one, listed in found], "left_out": extensions.left_out,
             "backup_extension": backup.version if backup is not None else None, **_python_facts(case)}
    return Part(NAME, TITLE, _says(found, bad, unread), ok, tuple(findings), facts)


def _handler(case: Case, one: Handler) -> Iterator[Finding]:
    backup = one.name == handler.VMSNAPSHOT
    values = (("handler", one.name), ("folder", one.folder), ("version", one.version), ("log_dir", case.agent.extension_log_dir),
              *((("code", str(one.code)),) if one.code is not None else ()))
    if one.state is State.FAILED_UPGRADE:
        evidence = f"{_named(one)}: {_upgrade_failed(one)}"
        yield Finding("extension-upgrade-failed", evidence, values, blocks=True if backup else None)
        return
    why = _not_loaded(case, one, backup)
    if why:
        yield Finding("extension-cannot-load" if backup else "extension-not-ready", f"{_named(one)}: {why}", values)
    elif not backup:
        # Of the backup extension the inner result counts, and the part "snapshot" judges that.
        why = _run_failed(one)
        if why:
            yield Finding("extension-not-ready", f"{_named(one)}: {why}", values)


def _upgrade_failed(one: Handler) -> str:
    reported = _reported(one)
    if one.installed and one.installed != one.version:
        return (say("HandlerState is FailedUpgrade, {version} is still installed, {said}", version=one.installed, said=reported)
                if reported else say("HandlerState is FailedUpgrade, {version} is still installed", version=one.installed))
    return say("HandlerState is FailedUpgrade, {said}", said=reported) if reported else say("HandlerState is FailedUpgrade")


def _not_loaded(case: Case, one: Handler, backup: bool) -> str:
    """Why the agent could not load or run it; "" if it could, or may yet."""
    if one.report_broken:
        return say("{said_problem}, so the agent reports nothing for it", said_problem=one.report_broken)
    if one.reported_at is None:
        if one.state in (State.INSTALLED, State.ENABLED):
            text = say("HandlerState is {state} but there is no HandlerStatus, so the agent reports nothing for it",
                       state=one.state.value)
            return text if _older(case, one.state_at, _WRITING) else ""
        gone = backup and not one.problem and _older(case, max(one.state_at or 0.0, one.folder_at or 0.0), _SETTLE)
        return say("{path} has neither a HandlerState of an installed one nor a HandlerStatus", path=one.folder) if gone else ""
    if one.status in (None, "Ready"):
        return ""
    if one.message == _DISABLED:
        return ""  # It is what somebody asked for.
    if one.status in _ON_THE_WAY and one.code in (None, 0):
        age = durations.show(case.wall - one.reported_at)
        return _on_its_way(one, age) if _older(case, one.reported_at, _SETTLE) else ""
    return _reported(one)


def _on_its_way(one: Handler, age: str) -> str:
    """With the agent's word spelt out: a message of commas and a "for" alone would be found in texts of others."""
    if one.status == "NotReady":
        return (say("NotReady: {text}, for {age}", text=one.message, age=age) if one.message else
                say("NotReady, for {age}", age=age))
    return (say("Installing: {text}, for {age}", text=one.message, age=age) if one.message else
            say("Installing, for {age}", age=age))


def _run_failed(one: Handler) -> str:
    if one.status_broken:
        return say("{said_problem}, so the agent reports error 1012", said_problem=one.status_broken)
    if one.status_word != "error":
        return ""
    number, code, text = one.status_seq, one.status_code, one.status_message
    if code is None:
        return (say("its run for settings {number} ended in error: {text}", number=number, text=text) if text else
                say("its run for settings {number} ended in error", number=number))
    return (say("its run for settings {number} ended in error with code {code}: {text}", number=number, code=code,
                text=text) if text else
            say("its run for settings {number} ended in error with code {code}", number=number, code=code))


def _named(one: Handler) -> str:
    return f"{one.name} {one.version}" + (f" ({one.extension})" if one.extension else "")


def _reported(one: Handler) -> str:
    """"NotReady with code 1009 (enable failed): …"; "" if there is no HandlerStatus."""
    if one.status is None and one.code is None:
        return ""
    status, code, text = one.status or say("no status"), one.code, one.message
    if code in (None, 0):
        return f"{status}: {text}" if text else status
    means = handler.CODES.get(code, "") if code is not None else ""
    if means:
        return (say("{said_status} with code {code} ({said_meaning}): {said_text}", said_status=status, code=code,
                    said_meaning=means, said_text=text) if text else
                say("{said_status} with code {code} ({said_meaning})", said_status=status, code=code, said_meaning=means))
    return (say("{said_status} with code {code}: {said_text}", said_status=status, code=code, said_text=text) if text else
            say("{said_status} with code {code}", said_status=status, code=code))


def _older(case: Case, at: Optional[float], limit: float) -> bool:
    return at is not None and case.wall - at > limit


def _python(case: Case, present: bool) -> Iterator[Finding]:
    if not present or not isinstance(case.interpreters, Known):
        return
    asked = case.interpreters.value
    if asked.compatible is not False:
        return
    if not asked.tried:
        evidence = say("{extension} finds no Python in /usr/bin and /usr/local/bin",
                       extension=f"{handler.VMSNAPSHOT} {asked.version}")
    else:
        each = "; ".join(_useless(one) for one in asked.tried[:_SHOWN])
        evidence = f"{handler.VMSNAPSHOT} {asked.version}: {each}"
    values = (("handler", handler.VMSNAPSHOT), ("version", asked.version))
    yield Finding("backup-extension-python-incompatible", evidence[:600], values)


def _useless(one: Interpreter) -> str:
    python = f"{one.path} {one.version}".strip()
    if one.missing:
        return say("{said_python} has no {said_modules}", said_python=python, said_modules=", ".join(one.missing))
    return say("{said_python} does not run: {said_problem}", said_python=python, said_problem=one.problem)


def _python_facts(case: Case) -> dict[str, Any]:
    asked: Optional[Interpreters] = case.interpreters.value if isinstance(case.interpreters, Known) else None
    picked = asked.picked if asked is not None else None
    return {"python_compatible": asked.compatible if asked is not None else None,
            "python": {"path": picked.path, "version": picked.version} if picked is not None else None}


def _facts(one: Handler, findings: list[Finding]) -> dict[str, Any]:
    ready: Optional[bool] = False if findings else True if one.status == "Ready" else None
    return {"name": one.name, "version": one.version, "extension": one.extension or None, "installed": one.installed or None,
            "state": one.state.value if one.state is not None else None, "status": one.status, "code": one.code, "ready": ready,
            "sequence": one.sequence, "last_status": one.status_word, "last_code": one.status_code,
            "problem": one.problem or None}


def _says(found: list[tuple[Handler, list[Finding]]], bad: list[Finding], unread: list[str]) -> str:
    names = list(dict.fromkeys(one.name.rpartition(".")[2] or one.name for one, listed in found if listed))
    if names:
        shown, more = ", ".join(names[:_SHOWN]), len(names) - _SHOWN
        return (say("not ready: {names} and {more} more, of {count}", names=shown, more=more, count=len(found)) if more > 0 else
                say("not ready: {names}, of {count}", names=shown, count=len(found)))
    if bad:
        return bad[0].entry.summary
    if unread:
        return say("could not be told of all {count}: {said}", count=len(found), said=unread[0])
    if not found:
        return say("none is installed")
    late = [one for one, _ in found if one.status != "Ready"]
    if late:
        return say("{ready} of {count} ready, the others on their way", ready=len(found) - len(late), count=len(found))
    return (say("all {count} ready", count=len(found)) if len(found) > 1 else
            say("{name} is ready", name=found[0][0].name.rpartition(".")[2]))
