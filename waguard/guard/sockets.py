"""The guard's unix sockets: who may connect is decided by their file modes, that is, by the kernel."""

from __future__ import annotations

import grp
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Optional

from waguard.guard.loop import Loop
from waguard.i18n import say
from waguard.varlink import Connection, Peer, RemoteError, Service, peer_of

_CLIENTS = 128
_CLIENTS_OF_ONE = 32
"""How many of them one user may have who is not root: a socket open to all must not be filled up by one."""
_PAUSE = 1.0


class Listener:
    """One listening socket and its clients."""

    def __init__(self, loop: Loop, path: Path, mode: int, group: Optional[str], service: Service,
                 warn: Callable[[str], None]) -> None:
        self._loop, self._path, self._service, self._warn = loop, path, service, warn
        self._connections: dict[int, Connection] = {}
        self._peers: dict[int, Peer] = {}
        path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._troubled = False
        # Nobody can connect before listen, so mode and group are right in time. No umask: the disk's thread makes files too.
        self._socket.bind(str(path))
        if group is not None:
            self._set_group(group)
        path.chmod(mode)
        self._socket.listen(64)
        self._watch()

    @property
    def clients(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        """Stop listening and drop every client."""
        self._loop.unwatch(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)
        for fd in list(self._connections):
            self._forget(fd)

    def has(self, connection: Connection) -> bool:
        """Is it one of ours, and still there?"""
        return connection.fileno() in self._connections and self._connections[connection.fileno()] is connection

    def peer(self, connection: Connection) -> Optional[Peer]:
        """Who is at the other end; None when it is not one of ours."""
        return self._peers.get(connection.fileno()) if self.has(connection) else None

    def settle(self, connection: Connection) -> None:
        """Look after a connection that was written to from outside its own events."""
        self._update(connection)

    def _set_group(self, group: str) -> None:
        try:
            os.chown(self._path, -1, grp.getgrnam(group).gr_gid)
        except (KeyError, PermissionError) as error:
            why = say("there is no such group") if isinstance(error, KeyError) else say("waguardd is not a member of it")
            self._warn(say("{path}: group {group} cannot be given access: {said_why}",
                           path=self._path, group=group, said_why=why))

    def _watch(self) -> None:
        if self._socket.fileno() >= 0:
            self._loop.watch(self._socket.fileno(), select.EPOLLIN, self._accept)

    def _accept(self, _events: int) -> None:
        for _ in range(16):
            try:
                accepted, _address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                # Out of descriptors or memory. Who waits goes on waiting, so epoll would call at once again.
                self._loop.unwatch(self._socket.fileno())
                self._loop.after(_PAUSE, self._watch)
                if not self._troubled:
                    self._warn(say("{path}: nobody can be let in: {said_error}", path=self._path, said_error=error.strerror))
                self._troubled = True
                return
            self._troubled = False
            peer = peer_of(accepted)
            if self._full(peer):
                accepted.close()
                continue
            connection = Connection(accepted)
            self._peers[connection.fileno()] = peer
            self._connections[connection.fileno()] = connection
            self._loop.watch(connection.fileno(), select.EPOLLIN, lambda events, it=connection: self._ready(it, events))  # type: ignore[misc]

    def _full(self, peer: Peer) -> bool:
        if len(self._connections) >= _CLIENTS:
            return True
        return peer.uid != 0 and sum(other.uid == peer.uid for other in self._peers.values()) >= _CLIENTS_OF_ONE

    def _ready(self, connection: Connection, events: int) -> None:
        try:
            calls = connection.on_writable() if events & select.EPOLLOUT else []
            if events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                calls += connection.on_readable()
            for call in calls:
                self._service.dispatch(connection, call)
        finally:
            self._update(connection)

    def _update(self, connection: Connection) -> None:
        fd = connection.fileno()
        if connection.closed:
            if fd >= 0:
                self._forget(fd)
            return
        events = (select.EPOLLIN if connection.wants_read else 0) | (select.EPOLLOUT if connection.wants_write else 0)
        self._loop.watch(fd, events, lambda events: self._ready(connection, events))

    def _forget(self, fd: int) -> None:
        connection = self._connections.pop(fd, None)
        self._peers.pop(fd, None)
        if connection is not None:
            self._loop.unwatch(fd)
            connection.close()


def refused(reason: str, hint: str = "") -> RemoteError:
    """The guard's own error: it will not do it now, why, and what can be done about it."""
    return RemoteError("io.waguard.Refused", {"reason": reason, "hint": hint})
