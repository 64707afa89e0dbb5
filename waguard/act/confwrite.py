"""Writing waagent.conf: a new whole file in the place of the old one, or nothing.

Mode, owner and extended attributes (SELinux label, ACL) go over to the new file; a link is followed to its target and stays a
link. If any of that cannot be kept, or the file is not what was read, nothing is written.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from waguard.act.files import sync_directory
from waguard.i18n import say
from waguard.observe import files

LIMIT = 1 << 20
_ACL = "system.posix_acl_access"


class Refused(Exception):
    """The file was left as it was. The text says why, for a person."""


@dataclass(frozen=True)
class Original:
    """The file as it was read: what a later ``replace`` holds it against."""

    path: Path
    data: bytes
    identity: tuple[int, int, int, int, int]


def read(path: Path) -> Original:
    """Read the file behind ``path``. Raises Refused when it is missing or cannot be read."""
    try:
        target = path.resolve(strict=True)
        before = os.stat(target)
        data = files.read(target, LIMIT)
        after = os.stat(target)
    except FileNotFoundError:
        raise Refused(say("{path}: no such file", path=path)) from None
    except RuntimeError:
        raise Refused(say("{path}: too many levels of symbolic links", path=path)) from None
    except ValueError as error:
        raise Refused(f"{str(path)!r}: {error}") from None
    except files.Unusable as error:
        raise Refused(str(error)) from None
    except OSError as error:
        raise Refused(f"{path}: {error.strerror}") from None
    if _identity(before) != _identity(after):
        raise Refused(say("{path}: changed while it was read", path=path))
    return Original(target, data, _identity(after))


def replace(original: Original, data: bytes) -> None:
    """Put ``data`` in the file's place, durably. Raises Refused, and then nothing has changed."""
    path = original.path
    temporary = path.with_name(f".{path.name}.waguard-{os.getpid()}")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            info = os.fstat(fd)
            _check(original, info)
            _write(temporary, data, fd, info)
        finally:
            os.close(fd)
        # As late as can be: an editor that saved meanwhile wins.
        _check(original, os.stat(path))
        if files.read(path, LIMIT) != original.data:
            raise Refused(say("{path}: was changed by somebody else meanwhile; try again", path=path))
        temporary.replace(path)
    except FileNotFoundError:
        raise Refused(say("{path}: disappeared meanwhile", path=path)) from None
    except files.Unusable as error:
        raise Refused(str(error)) from None
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EPERM):
            raise Refused(say("{path}: cannot be replaced: {said_error} (is the file system read-only, or the file immutable?)",
                              path=path, said_error=error.strerror)) from None
        raise Refused(say("{path}: cannot be replaced: {said_error}", path=path, said_error=error.strerror)) from None
    finally:
        # On a read-only file system even a file that is not there cannot be removed.
        with contextlib.suppress(OSError):
            temporary.unlink()
    # It is in place now, and no refusal any more: on a disk that fails nobody can promise how long.
    with contextlib.suppress(OSError):
        sync_directory(path.parent)


def sweep(path: Path) -> None:
    """Remove what a guard that was killed in ``replace`` left beside the file."""
    try:
        target = path.resolve()
        for left in target.parent.glob(f".{target.name}.waguard-*"):
            left.unlink(missing_ok=True)
    except (OSError, RuntimeError, ValueError):
        pass  # It is in nobody's way.


def _check(original: Original, info: os.stat_result) -> None:
    if _identity(info) != original.identity:
        raise Refused(say("{path}: was changed by somebody else meanwhile; try again", path=original.path))
    if info.st_nlink > 1:
        raise Refused(say("{path}: has {count} hard links, which replacing it would part", path=original.path,
                          count=info.st_nlink))


def _write(temporary: Path, data: bytes, source: int, info: os.stat_result) -> None:
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb") as file:
        file.write(data)
        file.flush()
        own = os.fstat(fd)
        if (own.st_uid, own.st_gid) != (info.st_uid, info.st_gid):
            try:
                os.fchown(fd, info.st_uid, info.st_gid)
            except PermissionError:
                raise Refused(say("{file}: owner {owner} cannot be kept", file=temporary.name,
                                  owner=f"{info.st_uid}:{info.st_gid}")) from None
        for name in os.listxattr(source):
            value = os.getxattr(source, name)
            if name in os.listxattr(fd) and os.getxattr(fd, name) == value:
                continue
            try:
                os.setxattr(fd, name, value)
            except OSError as error:
                raise Refused(say("extended attribute {name} cannot be kept: {said_error}", name=name,
                                  said_error=error.strerror)) from None
        if _ACL in os.listxattr(fd) and _ACL not in os.listxattr(source):
            os.removexattr(fd, _ACL)  # Inherited from the directory: the old file had none.
        os.fchmod(fd, stat.S_IMODE(info.st_mode))
        os.fsync(fd)


def _identity(info: os.stat_result) -> tuple[int, int, int, int, int]:
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
