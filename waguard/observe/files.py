"""Reading files that belong to others: bounded, without following surprises, never blocking on a FIFO."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from waguard.i18n import say


class Unusable(Exception):
    """The file cannot be read as a file. The text is for a person and names the path."""


def read(path: Path, limit: int) -> bytes:
    """The whole of a regular file. Raises FileNotFoundError, or Unusable: not a file, too large, no permission, I/O error."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{str(path)!r}: {error}") from error  # A NUL in the name, which may come out of a conf.
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise Unusable(say("{path}: not a regular file", path=path))
        if info.st_size > limit:
            raise Unusable(say("{path}: larger than {size} KiB", path=path, size=limit // 1024))
        parts: list[bytes] = []
        size = 0
        while size <= limit:
            part = os.read(fd, 65536)
            if not part:
                return b"".join(parts)
            parts.append(part)
            size += len(part)
        raise Unusable(say("{path}: larger than {size} KiB", path=path, size=limit // 1024))
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)


def names(path: Path, limit: int) -> list[str]:
    """Names in a directory. Raises FileNotFoundError, or Unusable when there are more than ``limit``: WALinuxAgent #1759 tells of
    1.8 million."""
    found = []
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found.append(entry.name)
                if len(found) > limit:
                    raise Unusable(say("{path}: more than {count} entries", path=path, count=limit))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Unusable(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise Unusable(f"{str(path)!r}: {error}") from error
    return found
