"""Carries out the verbose lease: the file in a thread, the state in the loop, and durable before each step.

decide/lease.py says what the phases mean; act/confwrite.py writes; agent/confedit.py knows the line.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from waguard import durations
from waguard.act import confwrite
from waguard.agent import conf, confedit
from waguard.decide import lease as leases
from waguard.decide import term
from waguard.decide.lease import Lease, Phase
from waguard.decide.term import Moment
from waguard.guard.loop import Loop
from waguard.guard.workers import TimedOut, Worker
from waguard.i18n import message, say
from waguard.observe import freeze

Answer = Callable[[str, str], None]
"""``answer(message, refusal)``: exactly one of the two is not empty."""

_DURABLE_WITHIN = 10.0
_TAKEN_BACK = message("the file system did not take the write in time (is a backup freezing it?); "
                      "it is taken back as soon as that is over")
_TRIED_AGAIN = message("the file system did not take the write in time (is a backup freezing it?); the guard goes on trying")
_AGAIN = 60.0
_BUSY = message("another change of waagent.conf is under way")
_TURNED_ON = message("verbose logging was turned on")


@dataclass(frozen=True)
class Hooks:
    """What the lease needs of the guard. ``save(durable)`` writes all state, ``durable`` is called once it is on disk."""

    moment: Callable[[], Moment]
    save: Callable[[Optional[Callable[[], None]]], None]
    event: Callable[..., None]
    want_restart: Callable[[str], None]
    drop_restart: Callable[[], bool]
    conf_path: Callable[[], Path]


class Verbose:
    """The one lease there can be."""

    def __init__(self, loop: Loop, hooks: Hooks, worker: Worker) -> None:
        self._loop, self._hooks, self._worker = loop, hooks, worker
        self.lease: Optional[Lease] = None
        self.own_mark: Optional[tuple[int, int]] = None
        """Length and CRC of the conf as we last wrote it, so that our own edit is not taken for an administrator's."""
        self._retry_at = 0.0
        self._told = False

    @property
    def busy(self) -> bool:
        return self._worker.busy_since is not None

    def turn_on(self, seconds: Optional[float], restart: bool, by: str, answer: Answer) -> None:
        """Begin a lease, or give a running one a new end."""
        if self.busy:
            answer("", _BUSY)
        elif self.lease is not None and self.lease.phase is Phase.ACTIVE:
            self._extend(self.lease, seconds, by, answer)
        elif self.lease is not None:
            answer("", say("an earlier lease is still being ended"))
        else:
            self._grant(seconds, restart, by, answer)

    def turn_off(self, by: str, answer: Answer) -> None:
        """End the lease now."""
        if self.busy:
            answer("", _BUSY)
        elif self.lease is None:
            answer("", say("there is no verbose lease; a Logs.Verbose=y that was set by hand is left to that hand"))
        else:
            self._end(say("given back by {said_by}", said_by=by), answer)

    def tick(self) -> None:
        """End the lease when it is due, and try again what failed before."""
        lease, moment = self.lease, self._hooks.moment()
        if lease is None or self.busy or moment.now < self._retry_at:
            return
        if lease.phase is not Phase.ACTIVE:
            self._end(say("what was under way is brought to its end"), _nobody)
        elif term.over(lease.term, moment):
            self._end(say("its time is over"), _nobody)

    def recover(self) -> None:
        """After a start of the guard: find out how far a lease had come, by what the file says."""
        lease = self.lease
        if lease is None or lease.phase is Phase.ACTIVE:
            return
        try:
            data = confwrite.read(Path(lease.path)).data
        except confwrite.Refused:
            if lease.phase is Phase.GRANTING:
                # Whether it was edited shows when it can be read again; until then the lease has to end, not to be forgotten.
                self.lease = replace(lease, phase=Phase.ENDING, restart=False)
            return
        self.own_mark = mark(data)
        if lease.phase is Phase.GRANTING:
            self._recover_grant(lease, data)

    def _recover_grant(self, lease: Lease, data: bytes) -> None:
        edited = confedit.restore(data, lease.edit).outcome is confedit.Outcome.RESTORED
        self.lease = replace(lease, phase=Phase.ACTIVE) if edited else None
        if edited:
            # In another boot the agent has started since, and has read it.
            if lease.restart and lease.term.boot_id == self._hooks.moment().boot_id:
                self._hooks.want_restart(_TURNED_ON)
            self._hooks.event("verbose-on", say("verbose logging is on, granted before the guard's own restart, by {said_by}",
                                                said_by=lease.by))
        self._save()

    def _extend(self, lease: Lease, seconds: Optional[float], by: str, answer: Answer) -> None:
        self.lease = replace(lease, term=term.of(seconds, self._hooks.moment()), by=by)
        try:
            self._hooks.save(None)
        except OSError as error:
            self.lease = lease
            answer("", say("the new end could not be written down: {said_error}", said_error=error.strerror))
            return
        said = say("the verbose lease was given a new end: {said_term}", said_term=_until(seconds))
        self._hooks.event("verbose-on", said, by=by)
        answer(say("verbose logging was on already; it now stays on {said_term}", said_term=_until(seconds)), "")

    def _grant(self, seconds: Optional[float], restart: bool, by: str, answer: Answer) -> None:
        moment, path = self._hooks.moment(), self._hooks.conf_path()

        def work() -> str:
            original = confwrite.read(path)
            parsed = conf.parse(original.data)
            if parsed.error:
                raise confwrite.Refused(f"{path}: {parsed.error}")
            if parsed.switch(leases.KEY):
                line = parsed.effective(leases.KEY).line
                raise confwrite.Refused(say("{key}=y stands in {place} already, set by hand; nothing to lease", key=leases.KEY,
                                            place=f"{path}:{line}"))
            edit = confedit.set_value(original.data, leases.KEY, leases.VALUE)
            trouble = self._durably(Lease(str(path), replace(edit, data=b""), Phase.GRANTING, moment.wall,
                                          term.of(seconds, moment), restart, by))
            if trouble:
                raise confwrite.Refused(trouble)
            self._replace(original, edit.data)
            return ""

        def done(_result: object, error: Optional[BaseException]) -> None:
            if error is not None:
                self._failed(error, answer, on=True)
                return
            assert self.lease is not None
            self.lease, self._told = replace(self.lease, phase=Phase.ACTIVE), False
            if restart:
                self._hooks.want_restart(_TURNED_ON)
            self._save()
            said = say("verbose logging is on {said_term}, asked for by {said_by}", said_term=_until(seconds), said_by=by)
            self._hooks.event("verbose-on", said, by=by)
            answer(say("verbose logging is on {said_term}", said_term=_until(seconds)), "")

        self._worker.run(work, 2 * _DURABLE_WITHIN, done)

    def _end(self, why: str, answer: Answer) -> None:
        assert self.lease is not None
        # One that never came to be on was not read by the agent either.
        lease = replace(self.lease, restart=self.lease.restart and self.lease.phase is not Phase.GRANTING)
        resumed = lease.phase is not Phase.ACTIVE

        def work() -> str:
            trouble = self._durably(replace(lease, phase=Phase.ENDING))
            # A full disk must not keep verbose logging on, which may be what filled it: without the note the file is put back
            # all the same, and a later start finds it so. But nothing is written into a freeze.
            if trouble and freeze.freezing():
                raise confwrite.Refused(trouble)
            return put_back(lease, resumed, self._replace)

        def done(result: object, error: Optional[BaseException]) -> None:
            if error is not None:
                self._failed(error, answer, on=False)
                return
            self.lease, self._told = None, False
            self._ended(str(result), lease, why)
            self._save()
            answer(told(str(result), lease.path), "")

        self._worker.run(work, 2 * _DURABLE_WITHIN, done)

    def _ended(self, result: str, lease: Lease, why: str) -> None:
        if result != "restored":
            said = say("{path} is gone", path=lease.path) if result == "gone" else say(
                "{path} has another {key} line than the leased one, which is left as it is", path=lease.path, key=leases.KEY)
            self._hooks.event("verbose-superseded", say("the verbose lease is over without effect: {said}", said=said))
            return
        # If the agent never came to read the leased line, it need not be restarted to forget it.
        if not self._hooks.drop_restart() and lease.restart:
            self._hooks.want_restart(say("verbose logging was turned off"))
        self._hooks.event("verbose-off", say("verbose logging is off again: {said_why}", said_why=why))

    def _failed(self, error: BaseException, answer: Answer, on: bool) -> None:
        said = str(error) or type(error).__name__
        granting = self.lease is not None and self.lease.phase is Phase.GRANTING
        if isinstance(error, TimedOut):
            said = _TAKEN_BACK if granting else _TRIED_AGAIN
        elif granting:
            self.lease = None
            self._save()
        if not self._told or answer is not _nobody:
            self._hooks.event("verbose-trouble", say("verbose logging could not be turned on: {said}", said=said) if on else
                              say("verbose logging could not be turned off: {said}", said=said))
        self._told = self.lease is not None
        self._retry_at = self._hooks.moment().now + _AGAIN if self._told else 0.0
        answer("", said)

    def _durably(self, lease: Lease) -> str:
        """In the worker's thread: have the loop write the lease down, and wait for the disk. Why it has it not, or empty."""
        settled = threading.Event()
        trouble: list[str] = []

        def save() -> None:
            self.lease = lease
            try:
                self._hooks.save(settled.set)
            except OSError as error:
                trouble.append(say("the lease could not be written down: {said_error}", said_error=error.strerror))
                settled.set()

        self._loop.soon(save)
        if not settled.wait(_DURABLE_WITHIN):
            return say("the lease could not be written down in time (is the disk frozen or full?)")
        return "".join(trouble)

    def _save(self) -> None:
        """Write down what has been done. Where that cannot be, a later start of the guard sees from the file how far it came."""
        try:
            self._hooks.save(None)
        except OSError as error:
            said = say("the lease's state could not be written down: {said_error}", said_error=error.strerror)
            self._hooks.event("verbose-trouble", said)

    def _replace(self, original: confwrite.Original, data: bytes) -> None:
        self.own_mark = mark(data)
        confwrite.replace(original, data)


def mark(data: bytes) -> tuple[int, int]:
    """As observe.conf makes it."""
    return (len(data), zlib.crc32(data))


def _until(seconds: Optional[float]) -> str:
    return say("until it is turned off") if seconds is None else say("for {time}", time=durations.show(seconds))


def put_back(lease: Lease, resumed: bool, write: Callable[[confwrite.Original, bytes], None]) -> str:
    """Give the conf its line back. "restored", "superseded" by somebody's edit, or the file is "gone". Raises confwrite.Refused.

    ``resumed``: it was under way before, or never known to have been edited. ``write``: as confwrite.replace.
    """
    try:
        original = confwrite.read(Path(lease.path))
    except confwrite.Refused:
        if Path(lease.path).exists():
            raise
        return "gone"
    undone = confedit.restore(original.data, lease.edit)
    if undone.outcome is confedit.Outcome.SUPERSEDED:
        line = conf.parse(original.data).raw(leases.KEY)
        was = None if lease.edit.before is None else conf.parse(lease.edit.before).raw(leases.KEY)
        # Killed between putting the line back and noting it: the file is as it should be.
        return "restored" if resumed and line == was else "superseded"
    write(original, undone.data)
    return "restored"


def told(result: str, path: str) -> str:
    """What who gave the lease back is told of how ``put_back`` went."""
    if result == "restored":
        return say("verbose logging is off; the line is as it was")
    if result == "superseded":
        return say("{path}: {key} was edited by somebody else during the lease; it is left as it is", path=path, key=leases.KEY)
    return say("{path} is gone, so there is nothing to put back", path=path)


def _nobody(_message: str, _refusal: str) -> None:
    """Nobody waits for the answer."""
