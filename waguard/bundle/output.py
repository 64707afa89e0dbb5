"""The file that the bundle is written to: for its owner only, whole or not there at all."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from types import TracebackType
from typing import Optional

from waguard.i18n import message, say

MARGIN = 64 << 20
"""Bytes that stay free on the filesystem, whatever happens."""
_ELSEWHERE = message("another place with --output")
_RENAME = message("remove it, or give another name with --output")


class Unwritable(Exception):
    """Nothing was written. ``hint``: what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class Output:
    """``with Output(…) as output``: ``output.fd`` is written to; ``output.keep()`` gives it its name, else it is removed."""

    def __init__(self, target: str, name: str) -> None:
        """``target``: a folder, or the file itself; ``name``: the file's name in a folder. Raises Unwritable."""
        path = os.path.abspath(target)
        if os.path.isdir(path):
            self.path = os.path.join(path, name)
        elif target.endswith("/"):
            raise Unwritable(say("{path}: no such folder", path=target), say("mkdir, or another place with --output"))
        else:
            self.path = path
        folder, self._name = os.path.split(self.path)
        if os.path.lexists(self.path):
            raise Unwritable(say("{path}: exists already", path=self.path), _RENAME)
        self._part = f".{self._name[:200]}.{secrets.token_hex(4)}.part"
        self.fd = -1
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise Unwritable(f"{folder}: {error.strerror}", _ELSEWHERE) from error

    def __enter__(self) -> Output:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self.fd = os.open(self._part, flags, 0o600, dir_fd=self._folder)
        except OSError as error:
            os.close(self._folder)
            raise Unwritable(f"{os.path.dirname(self.path)}: {error.strerror}", _ELSEWHERE) from error
        return self

    def __exit__(self, kind: Optional[type[BaseException]], value: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._part, dir_fd=self._folder)
        os.close(self.fd)
        os.close(self._folder)

    def room(self) -> int:
        """Bytes that may be written before the margin is touched; negative if it is already."""
        found = os.fstatvfs(self._folder)
        return found.f_bavail * found.f_frsize - MARGIN

    @property
    def identity(self) -> tuple[int, int]:
        info = os.fstat(self.fd)
        return info.st_dev, info.st_ino

    def keep(self) -> None:
        """All of it is on the disk under its own name after this. Raises Unwritable, OSError."""
        os.fchmod(self.fd, 0o600)
        os.fsync(self.fd)
        try:
            os.link(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder, follow_symlinks=False)
        except FileExistsError as error:
            raise Unwritable(say("{path}: exists already", path=self.path), _RENAME) from error
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS, errno.EACCES, errno.EMLINK):
                raise
            os.rename(self._part, self._name, src_dir_fd=self._folder, dst_dir_fd=self._folder)  # No hard links there (vfat).
        with contextlib.suppress(OSError):
            os.fsync(self._folder)
