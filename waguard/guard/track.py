"""Follows the agent's two processes: the daemon and its handler, each by a pidfd, so that an end is known in milliseconds."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from typing import Optional

from waguard.agent import processes
from waguard.guard.loop import Loop
from waguard.i18n import say
from waguard.observe import process
from waguard.observe.process import Process


class _Watched:
    """One process and the pidfd on it."""

    def __init__(self, loop: Loop, ended: Callable[[Process], None]) -> None:
        self._loop, self._ended = loop, ended
        self._pidfd: Optional[int] = None
        self.process: Optional[Process] = None

    def follow(self, pid: int, accept: Callable[[Process], bool]) -> bool:
        """Watch this pid if it is what is wanted. The pidfd comes first, so that the pid cannot change hands in between."""
        if self.process is not None and self.process.pid == pid:
            return True
        pidfd = process.open_pidfd(pid)
        found = process.read(pid) if pidfd is not None else None
        if pidfd is None or found is None or not accept(found):
            if pidfd is not None:
                os.close(pidfd)
            return False
        self.leave()
        if self.process is not None:
            self._gone()  # Another one is there in its place.
        self._pidfd, self.process = pidfd, found
        self._loop.watch(pidfd, select.EPOLLIN, lambda _events: self._gone())
        return True

    def leave(self) -> None:
        """Follow it no longer, but for one that is about to end: its end is still to be told.

        If it has ended and its pidfd was not heard yet, the end is told here. On its way out a process loses its command line
        a while before it is gone, the longer the busier the machine is (exit_mm and exit_notify in the kernel's do_exit).
        """
        if self._pidfd is not None and process.has_ended(self._pidfd):
            self._gone()
        elif not self._ending():
            self.drop()

    def _ending(self) -> bool:
        found = process.read(self.process.pid) if self.process is not None else None
        return self.process is not None and (found is None or not any(found.argv))

    def refresh(self, seen: Optional[Process] = None) -> None:
        """Read it anew, if it was not ``seen`` just now. Its end is the pidfd's business, not found here."""
        if self.process is not None:
            same = seen is not None and seen.pid == self.process.pid
            self.process = (seen if same else process.read(self.process.pid)) or self.process

    def drop(self) -> None:
        if self._pidfd is not None:
            self._loop.unwatch(self._pidfd)
            os.close(self._pidfd)
        self._pidfd = self.process = None

    def _gone(self) -> None:
        was = self.process
        self.drop()
        if was is not None:
            self._ended(was)


class Track:
    """The agent's processes. ``problem`` says why they could not be told at the last look; empty when they could."""

    def __init__(self, loop: Loop, daemon_ended: Callable[[Process], None], handler_ended: Callable[[Process], None]) -> None:
        self._daemon = _Watched(loop, daemon_ended)
        self._handler = _Watched(loop, handler_ended)
        self.problem = ""
        self._main_pid = 0

    @property
    def ending(self) -> bool:
        """The service has no main process any more, and the daemon that it had is not quite gone: its end will be told."""
        return self._main_pid == 0 and self._daemon.process is not None

    @property
    def daemon(self) -> Optional[Process]:
        return self._daemon.process

    @property
    def handler(self) -> Optional[Process]:
        return self._handler.process

    def look(self, main_pid: int) -> None:
        """Bring both up to date. ``main_pid`` is the service's main process, 0 for none."""
        try:
            self._look(main_pid)
            self.problem = ""
        except OSError as error:
            self.problem = say("/proc cannot be read: {said_error}", said_error=error.strerror)

    def _look(self, main_pid: int) -> None:
        self._main_pid = main_pid
        if main_pid == 0 or not self._daemon.follow(main_pid, lambda found: processes.is_daemon(found.argv)):
            if self._daemon.process is not None and self._daemon.process.pid != main_pid:
                self._daemon.leave()
            self._handler.drop()
            return
        self._daemon.refresh()
        newest = process.handler_of(main_pid)
        if newest is not None:
            self._handler.follow(newest.pid, lambda _found: True)
        self._handler.refresh(newest)
