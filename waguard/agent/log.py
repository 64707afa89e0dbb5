"""What waagent.log tells a watcher: a fold over its records.

`fold` is pure and knows nothing of files. It wants records one by one, in the order of the log, and keeps only what is
true now or happened last. Wordings are those of every release from 2.2.0 to 2.15.0.1; SIGNATURES names their files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Optional

from waguard.agent.logkinds import Sieve, bare, batches, level_and_text
from waguard.agent.logstate import ChildExit, ChildStart, DaemonEnd, EndKind, ExitKind, LogState, Mark, Phase
from waguard.agent.record import (
    Heartbeat,
    LevelCounts,
    Offset,
    Record,
    event_message,
    heartbeat,
    joined,
    parse,
)
from waguard.agent.versions import from_name, try_parse

__all__ = [
    "SIGNATURES", "ChildExit", "ChildStart", "DaemonEnd", "EndKind", "ExitKind", "Heartbeat", "LevelCounts", "LogState",
    "Mark", "Offset", "Phase", "Record", "Signature", "fold", "fold_all", "heartbeat", "joined", "parse", "scan",
]

_VERBOSE = re.compile(rb"[0-9]{4}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]\.[0-9]{6}Z VERBOSE ")
_KEPT_TEXT = 300
_KEPT_VERSIONS = 8


Effect = Callable[[LogState, Record, Optional["re.Match[str]"]], LogState]


@dataclass(frozen=True)
class Signature:
    """What a record's text begins with, what it holds, and what that means. Substrings are tried before `pattern`.

    `by` restricts it to one prefix, `event` extends it to texts inside "Event: name=…, message=…".
    """

    start: str
    effect: Effect
    holds: str = ""
    pattern: re.Pattern[str] | None = None
    by: str = ""
    event: bool = False


def fold(state: LogState, record: Record) -> LogState:
    """The state after one more record; the same object when the record changes nothing."""
    if record.level == "VERBOSE":
        # Nothing else at this level counts: some wordings repeat at every turn of the loop there.
        if state.verbose_seen and state.verbose_at == record.at:
            return state
        return replace(state, verbose_seen=True, verbose_at=record.at)
    text = record.text
    if record.of_extension:
        return _extension(state, record) if text.startswith("Target handler state: ") else state
    if record.prefix in ("LogCollector", "Firewall"):
        return state
    event = text.startswith("Event: ")
    if event:
        beat = heartbeat(record)
        if beat:
            return _beat(state, beat)
        text = event_message(text)
        record = record._replace(text=text)
    space = text.find(" ")
    word = text[:space] if space >= 0 else text
    for known in _INDEX.get("WALinuxAgent-" if word.startswith("WALinuxAgent-") else word, ()):
        if not text.startswith(known.start) or known.holds not in text or (event and not known.event):
            continue
        if known.by and record.prefix not in (known.by, ""):
            continue
        found = known.pattern.search(text) if known.pattern else None
        if found or not known.pattern:
            return known.effect(state, record, found)
    return state


def fold_all(state: LogState, records: Iterable[Record]) -> LogState:
    """`fold` over many records, cheap also where most of them are VERBOSE."""
    verbose: Record | None = None
    for record in records:
        if record.level == "VERBOSE":
            verbose = record
        else:
            state = fold(state, record)
    return fold(state, verbose) if verbose else state


def scan(state: LogState, lines: Iterable[bytes], offset: Offset | None = None) -> tuple[LogState, LevelCounts]:
    """Fold and count raw lines in one go, the fast way for a flow of them; continuation lines are passed over.

    A VERBOSE record, which is most of a verbose log, is counted by its head and not taken apart, and so are records of a kind
    (logkinds.py) that changes no state.
    """
    counts = {"VERBOSE": 0, "INFO": 0, "WARNING": 0, "ERROR": 0, "": 0}
    others: list[bytes] = []
    verbose, before = b"", 0
    for line in lines:
        if line[28:36] == b"VERBOSE " and _VERBOSE.match(line):
            counts["VERBOSE"] += 1
            verbose, before = line, len(others)
        else:
            others.append(line)
    for part in (others[:before], others[before:]):
        last = b""
        for line in _telling(part, counts):
            record = parse(line, offset)
            if record is None:
                continue
            counts[record.level] += 1
            if record.level == "VERBOSE":
                last = line
            else:
                state = fold(state, record)
    found = parse(last or verbose, offset)
    state = fold(state, found) if found else state
    return state, LevelCounts(counts["VERBOSE"], counts["INFO"], counts["WARNING"], counts["ERROR"])


def _telling(lines: list[bytes], counts: dict[str, int]) -> Iterator[bytes]:
    """The lines that may change the state. The others are counted."""
    for batch in batches(lines):
        batch.sift(_SIEVE)
        for kind, count in batch.quiet.items():
            counts[level_and_text(kind)[0]] += count
        yield from batch.loud


def _with(state: LogState, **changes: Any) -> LogState:
    return replace(state, **changes)


def _mark(record: Record) -> Mark:
    return Mark(record.at, record.text[:_KEPT_TEXT])


def _began(name: str) -> Effect:
    """Something holds from now on, or still."""

    def effect(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
        return state if getattr(state, name) else _with(state, **{name: _mark(record)})

    return effect


def _over(*names: str) -> Effect:
    """Something no longer holds."""
    cleared = dict.fromkeys(names)

    def effect(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
        return _with(state, **cleared) if any(getattr(state, name) for name in names) else state

    return effect


def _pass_opened(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    # To have one, the goal state was fetched: the only sign of a recovery in agents before 2.2.47.
    return replace(state, pass_open=_mark(record), goal_state_failing=None)


def _extension(state: LogState, record: Record) -> LogState:
    """2.2.31 to 2.2.53 log the end of a pass, but its start only as the first extension's target state."""
    version = state.agent_version
    known = version is not None and (2, 2, 31) <= version.numbers < (2, 2, 54)
    return replace(state, pass_open=_mark(record)) if known and not state.pass_open and record.level else state


def _daemon_version(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    return replace(state, daemon_version=try_parse(found.group(1)) if found else None)


def _daemon_started(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    # "Run daemon", not the version line before it: that one is also written by a second daemon that gives up at once.
    return replace(
        state, daemon_started=_mark(record), asleep=None, child_running=False, pass_open=None, provisioning=None,
        detecting=None, cloud_init=None, goal_state_failing=None, disabled=(),
    )


def _child_began(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    version = (try_parse(found.group(1)) or from_name(found.group(1))) if found else None
    return replace(
        state, agent_version=version or state.agent_version, child_running=True, pass_open=None, provisioning=None,
        detecting=None, cloud_init=None, goal_state_failing=None, asleep=None,
    )


def _child_process(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    if found is None:
        return state
    version = from_name(found.group(1))
    return replace(
        state, child=ChildStart(record.at, int(found.group(2)), version), agent_version=version or state.agent_version,
        child_running=True, pass_open=None, provisioning=None, cloud_init=None, asleep=None,
    )


def _python(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    return replace(state, python=found.group(1)) if found else state


def _distro(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    return replace(state, distro=found.group(1)) if found else state


def _heartbeat(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    beat = heartbeat(record)
    return _beat(state, beat) if beat else state


def _beat(state: LogState, beat: Heartbeat) -> LogState:
    if not beat.by_loop:
        return replace(state, heartbeat=beat, child_running=True)
    # The loop itself writes it between two turns: nothing that a turn does is still going on.
    failing = None if beat.update_gs_errors == 0 else state.goal_state_failing
    return replace(
        state, heartbeat=beat, agent_version=beat.version or state.agent_version, child_running=True, pass_open=None,
        provisioning=None, detecting=None, cloud_init=None, goal_state_failing=failing,
    )


def _ended(kind: EndKind) -> Effect:
    def effect(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
        pid = int(found.group(1)) if found and found.re.groups else None
        running = False if kind is EndKind.TERMINATED else state.child_running
        end = DaemonEnd(record.at, kind, record.text[:_KEPT_TEXT], pid)
        return replace(state, daemon_end=end, child_running=running)

    return effect


def _exited(kind: ExitKind) -> Effect:
    """A child says why it ends, or the daemon why there is none."""

    def effect(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
        return replace(
            state, child_exit=ChildExit(record.at, kind, record.text[:_KEPT_TEXT]), child_running=False, pass_open=None,
            child_crashes=state.child_crashes + (not kind.planned),
        )

    return effect


def _looped(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    """More words on a launch that was refused, which has been counted."""
    last = state.child_exit
    counted = last is not None and last.kind in (ExitKind.LAUNCH, ExitKind.LOOP) and state.child_running is False
    state = state if counted else _exited(ExitKind.LAUNCH)(state, record, found)
    return replace(state, child_exit=ChildExit(record.at, ExitKind.LOOP, record.text[:_KEPT_TEXT]))


def _code(again: bool) -> Effect:
    """The daemon tells the exit code. `again`: a line that may be the second one of the same end (≤ 2.7.3)."""

    def effect(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
        code = int(found.group(1)) if found and found.group(1) else None
        last = state.child_exit
        if last is not None and state.child_running is False:
            if last.kind is ExitKind.EXCEPTION and (last.code is None or again):
                return state if last.code is not None else replace(state, child_exit=replace(last, code=code))
            if last.kind is ExitKind.CODE and again:
                return state
        end = ChildExit(record.at, ExitKind.CODE, record.text[:_KEPT_TEXT], code)
        crashes = state.child_crashes + 1
        return replace(state, child_exit=end, child_running=False, pass_open=None, child_crashes=crashes)

    return effect


def _disabled(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    version = from_name(found.group(1)) if found else None
    if version is None or version in state.disabled:
        return state
    return replace(state, disabled=(*state.disabled, version)[-_KEPT_VERSIONS:])


def _unclean(state: LogState, record: Record, found: re.Match[str] | None) -> LogState:
    return replace(state, unclean=_mark(record))


_VERSION = re.compile(r"Version: ?(\S+)")
_GOAL_STATE_AGENT = re.compile(r"version ([^\s)]+)\)")
_NAME = re.compile(r"^Agent (WALinuxAgent-\S+) is ")
_PROCESS = re.compile(r"^(WALinuxAgent-\S+) running as process (\d{1,10})\b")
_PYTHON = re.compile(r"^Python: (\d[\w.+]*)")
_DISTRO = re.compile(r"^(?:OS: |Distro: )([^;\n]{1,100})")
_PID = re.compile(r": (\d{1,10})\b")
_LAUNCHED = re.compile(r"^Agent \S+ launched with command ")
_RETURNED = re.compile(r"(?:failed with return code|returned code|exited with return code): (?:(\d{1,9})|\S+)\s*$")

_reached = _over("provisioning", "detecting")
_failing = _began("goal_state_failing")

SIGNATURES: tuple[Signature, ...] = (
    # daemon/main.py, agent.py
    Signature("Azure Linux Agent Version:", _daemon_version, pattern=_VERSION),
    Signature("Run daemon", _daemon_started),
    Signature("Daemon ended with exception", _ended(EndKind.EXCEPTION)),
    Signature("Daemon is already running: ", _ended(EndKind.ALREADY_RUNNING), pattern=_PID),
    Signature("Failed to run 'daemon'", _ended(EndKind.FAILED)),
    Signature("Failed to run 'run-exthandlers'", _exited(ExitKind.START)),
    Signature("Disabling the guest agent by sleeping forever", _began("asleep")),
    Signature("OS: ", _distro, pattern=_DISTRO),
    Signature("Python: ", _python, pattern=_PYTHON),
    # pa/provision/default.py, pa/provision/cloudinit.py
    Signature("Running default provisioning handler", _began("provisioning")),
    Signature("Running provisioning handler", _began("provisioning")),
    Signature("Running CloudInit provisioning handler", _began("provisioning")),
    Signature("Waiting for cloud-init to copy ovf-env.xml", _began("provisioning")),
    Signature("Waiting for ssh host key be generated", _began("provisioning")),
    Signature("Provisioning already completed", _reached),
    Signature("Provisioning is disabled", _reached),
    Signature("Provisioning complete", _reached),
    Signature("Provisioning failed", _reached),
    Signature("Provisioning with cloud-init failed", _reached),
    Signature("Finished provisioning", _reached),
    Signature("[ProtocolError] Provisioning failed", _reached),
    Signature("[ProvisionError] Provisioning failed", _reached),
    # common/protocol/util.py, common/protocol/wire.py
    Signature("Detect protocol endpoint", _began("detecting")),
    Signature("Retry detect protocol", _began("detecting")),
    Signature("Protocol endpoint not found", _began("detecting")),
    Signature("WireServer is not responding. Reset", _began("detecting")),
    Signature("WireServer endpoint is not found. Rerun dhcp handler", _began("detecting")),
    Signature("Wire protocol version:", _over("detecting")),
    Signature("Server preferred version:", _over("detecting")),
    # ga/update.py: the daemon launches a child
    Signature("Installed Agent ", _reached, holds=" is the most current agent"),
    Signature("Determined Agent ", _reached, holds=" to be the latest agent"),
    Signature("Agent ", _looped, holds=" restarted more than ", event=True),
    Signature("Agent ", _exited(ExitKind.LAUNCH), holds=" failed with exception:", pattern=_LAUNCHED),
    Signature("Agent ", _code(again=False), holds=" failed with return code: ", pattern=_RETURNED),
    Signature("Agent ", _code(again=True), holds=" returned code: ", pattern=_RETURNED),
    Signature("ExtHandler process ", _code(again=True), holds=" exited with return code: ", pattern=_RETURNED),
    Signature("Agent ", _ended(EndKind.TERMINATED), holds=" forwarding signal 15 to "),
    Signature("Agent ", _disabled, holds=" is permanently ", pattern=_NAME),
    # ga/update.py: the child starts
    Signature("Azure Linux Agent (Goal State Agent version ", _child_began, pattern=_GOAL_STATE_AGENT),
    Signature("Agent ", _child_began, holds=" is running as the goal state agent", pattern=_NAME),
    Signature("WALinuxAgent-", _child_process, holds=" running as process ", pattern=_PROCESS),
    Signature("Distro: ", _distro, pattern=_DISTRO),
    Signature("Initializing the goal state", _over("detecting")),
    Signature("Agent did not terminate cleanly", _unclean),
    Signature("[HEARTBEAT]", _heartbeat),
    Signature("Waiting for cloud-init to complete", _began("cloud_init")),
    Signature("cloud-init completed", _over("cloud_init")),
    Signature("An error occurred while waiting for cloud-init", _over("cloud_init")),
    # ga/update.py, ga/agent_update_handler.py, ga/exthandlers.py: the child ends
    Signature("Current Agent ", _exited(ExitKind.DOWNGRADE), holds="exiting current process to downgrade"),
    Signature("Current Agent ", _exited(ExitKind.UPGRADE), holds="exiting current process to "),
    Signature("Agent update found", _exited(ExitKind.DOWNGRADE), holds="exiting current process to downgrade"),
    Signature("Agent update found", _exited(ExitKind.UPGRADE), holds="exiting current process to "),
    Signature("Normal Agent upgrade discovered", _exited(ExitKind.UPGRADE), holds=" -- exiting"),
    Signature("Hotfix Agent upgrade discovered", _exited(ExitKind.UPGRADE), holds=" -- exiting"),
    Signature("Agent ", _exited(ExitKind.UPGRADE), holds=" discovered update "),
    Signature("Agent ", _exited(ExitKind.UPGRADE), holds=" as an update and will exit"),
    Signature("Agent ", _exited(ExitKind.REVERT), holds=" is reverting to the installed agent -- exiting"),
    Signature("Agent ", _exited(ExitKind.ORPHAN), holds=" is an orphan -- exiting"),
    Signature("Goal state agent ", _exited(ExitKind.ORPHAN), holds=" was orphaned -- exiting"),
    Signature("Agent ", _exited(ExitKind.MEMORY), holds=" reached memory limit -- exiting"),
    Signature("Agent ", _exited(ExitKind.OTHER), holds=" -- exiting"),
    Signature("Agent ", _exited(ExitKind.EXCEPTION), holds=" failed with exception:", by="ExtHandler"),
    # ga/exthandlers.py, ga/update.py: a pass over the extensions
    Signature("ProcessExtensionsGoalState started", _pass_opened),
    Signature("ProcessExtensionsInGoalState started", _pass_opened),
    Signature("ProcessGoalState started", _pass_opened),
    Signature("ProcessExtensionsGoalState completed", _over("pass_open")),
    Signature("ProcessExtensionsGoalState failed", _over("pass_open"), event=True),
    Signature("ProcessExtensionsInGoalState completed", _over("pass_open")),
    Signature("ProcessExtensionsInGoalState failed", _over("pass_open"), event=True),
    Signature("ProcessExtensionsInGoalState - Exception", _over("pass_open"), event=True),
    Signature("ProcessGoalState completed", _over("pass_open"), event=True),
    Signature("Exception processing extension handlers", _over("pass_open"), event=True),
    # ga/update.py, ga/exthandlers.py, common/protocol/wire.py: fetching the goal state
    Signature("Error fetching the goal state:", _failing, event=True),
    Signature("Fetching the goal state is still failing:", _failing, event=True),
    Signature("An error occurred while retrieving the goal state:", _failing, event=True),
    Signature("[PERIODIC] Attempts to retrieve the goal state are failing:", _failing),
    Signature("Attempts to retrieve the goal state are failing:", _failing, event=True),
    Signature("Exception retrieving the goal state:", _failing, event=True),
    Signature("Exception retrieving extension handlers:", _failing, event=True),
    Signature("ProtocolError processing goal state, giving up", _failing),
    Signature("Exception processing goal state, giving up", _failing),
    Signature("Fetching the goal state recovered from previous errors", _over("goal_state_failing")),
    Signature("Retrieving the goal state recovered from previous errors", _over("goal_state_failing")),
    Signature("Goal state initialization completed", _over("goal_state_failing", "detecting")),
)
"""Tried in this order among those with the same first word."""


def _index(signatures: Iterable[Signature]) -> dict[str, tuple[Signature, ...]]:
    words: dict[str, list[Signature]] = {}
    for known in signatures:
        words.setdefault(known.start.split(" ", 1)[0], []).append(known)
    return {word: tuple(found) for word, found in words.items()}


_INDEX = _index(SIGNATURES)


def _sieve(signatures: Iterable[Signature]) -> Sieve:
    """Lets pass what `fold` does nothing with, by how its text begins, after time, level, thread and prefix."""
    starts = {"Event: ", "Target handler state: ", *(known.start for known in signatures)}
    loud = re.compile(rb"\A(?:[^ ]* ){4}(?:" + b"|".join(re.escape(bare(start.encode())) for start in sorted(starts)) + b")")
    return Sieve({"VERBOSE": re.compile(b""), "INFO": loud, "WARNING": loud, "ERROR": loud}, deep=False)


_SIEVE = _sieve(SIGNATURES)
