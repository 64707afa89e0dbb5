"""Where node_exporter's textfile collector reads, and how a file gets there.

Source: node_exporter, collector/textfile.go: it reads every ``*.prom`` of its directory at each scrape, refuses timestamps, and
tells the age of each file as ``node_textfile_mtime_seconds``. A file that is there in part is an error of the scrape, so it
is written beside, under a name that does not end in ``.prom``, and renamed. No fsync: after a crash the next run writes it anew.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from waguard.i18n import message, say

PLACES = ("/var/lib/prometheus/node-exporter", "/var/lib/node_exporter/textfile_collector")
"""Where it reads by default: Debian's and Azure Linux' packages; the example unit of node_exporter itself, and EL's packages."""
SETTINGS = (("/etc/default/prometheus-node-exporter", "ARGS"), ("/etc/sysconfig/node_exporter", "OPTIONS"))
"""Files with its command line, and the variable: Debian's; that of the example unit of node_exporter itself."""
NAME = "waguard.prom"
_FLAG = "--collector.textfile.directory"
_PROGRAMS = ("node_exporter", "prometheus-node-exporter")
# A process in the cgroup of such a service was started by systemd. The name alone would not do: anybody may give it to a process,
# and so have root write where he likes.
_SERVICE = re.compile(r"^[0-9]+:[^:]*:/system\.slice/([^/\n]*node[-_]exporter[^/\n]*\.service)$", re.MULTILINE)
_LIMIT = 64 * 1024


class Unusable(Exception):
    """The file cannot be written there. The message says why, ``hint`` what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class Place(NamedTuple):
    """The file to write, and why it is this one."""

    path: str
    found: str


def named(path: str) -> Place:
    """What somebody named: a directory, or a file in one. Raises Unusable: node_exporter would not read it."""
    if os.path.isdir(path):
        return Place(os.path.join(path, NAME), say("the directory that was named"))
    if path.endswith("/") or "." not in os.path.basename(path):
        raise _no_directory(path)
    if not path.endswith(".prom"):
        raise Unusable(say("{path}: node_exporter reads only files whose name ends in .prom", path=path),
                       say("name it so: {path}.prom", path=path))
    return Place(path, say("the file that was named"))


def find(root: str = "/") -> Place:
    """The directory that this machine's node_exporter reads. ``root``: of the tree to look in. Raises Unusable: there is none.

    What a running service says comes before what its settings say, and that before the places that are known.
    """
    for directory, found in (*_running(root), *_configured(root), *_known()):
        if os.path.isdir(_under(root, directory)):
            return Place(os.path.join(_under(root, directory), NAME), found)
    raise Unusable(say("no directory of node_exporter's textfile collector was found"),
                   say("name the one that it was given as --collector.textfile.directory: waguardctl metrics --textfile DIR"))


def _running(root: str) -> Iterator[tuple[str, str]]:
    """What the command lines of running services say."""
    proc = _under(root, "/proc")
    try:
        pids = sorted((name for name in os.listdir(proc) if name.isdigit()), key=int)
    except OSError:
        return
    for pid in pids:
        words = [os.fsdecode(word) for word in _read(f"{proc}/{pid}/cmdline").split(b"\0")]
        if os.path.basename(words[0]) not in _PROGRAMS:
            continue
        service = _SERVICE.search(os.fsdecode(_read(f"{proc}/{pid}/cgroup")))
        if service:
            for directory in _directories(words):
                yield directory, say("{service} runs with --collector.textfile.directory", service=service[1])


def _configured(root: str) -> Iterator[tuple[str, str]]:
    """What the files with its command line say."""
    import shlex

    for path, variable in SETTINGS:
        try:
            assignments = shlex.split(_read(_under(root, path)).decode("utf-8", "surrogateescape"), comments=True)
            values = [word[len(variable) + 1 :] for word in assignments if word.startswith(f"{variable}=")]
            words = shlex.split(values[-1]) if values else []
        except ValueError:  # a quote that is not closed; systemd would not read it either
            continue
        for directory in _directories(words):
            yield directory, say("{path} has --collector.textfile.directory", path=path)


def _known() -> Iterator[tuple[str, str]]:
    for directory in PLACES:
        yield directory, say("a place where node_exporter reads by default")


def _directories(words: Iterable[str]) -> Iterator[str]:
    """Values of the flag, in both its forms; several are allowed since node_exporter 1.8."""
    before = ""
    for word in words:
        name, equals, value = word.partition("=")
        if before == _FLAG:
            name, equals, value = _FLAG, "=", word
        if name == _FLAG and equals and os.path.isabs(value):
            yield value
        before = word


def _under(root: str, path: str) -> str:
    return path if root == "/" else os.path.join(root, path.lstrip("/"))


def _read(path: str) -> bytes:
    """The start of a file, of what belongs to others; b"" when it cannot be read."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return b""
    try:
        return os.read(fd, _LIMIT) if stat.S_ISREG(os.fstat(fd).st_mode) else b""
    except OSError:
        return b""
    finally:
        os.close(fd)


def write(place: Place, body: bytes) -> None:
    """Put the file there, whole or not at all, readable for everybody. Raises Unusable."""
    directory, name = os.path.split(place.path)
    try:
        folder = os.open(directory or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise _no_directory(directory) from None
    except OSError as error:
        raise _explained(place, error) from error
    try:
        _clean(folder, name)
        _replace(folder, name, body)
    except OSError as error:
        raise _explained(place, error) from error
    finally:
        os.close(folder)


def _replace(folder: int, name: str, body: bytes) -> None:
    temporary = f".{name}.{os.getpid()}.new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(temporary, flags, 0o600, dir_fd=folder)
    try:
        with open(fd, "wb") as file:
            file.write(body)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # whatever the umask: another user reads it
        os.replace(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        _unlink(folder, temporary)
        raise


def _clean(folder: int, name: str) -> None:
    """Removes what runs of us that were killed have left: temporary files of which no process lives, or is this one."""
    left = re.compile(rf"\.{re.escape(name)}\.([0-9]{{1,9}})\.new")
    for found in os.listdir(folder):
        match = left.fullmatch(found)
        if match and (int(match[1]) == os.getpid() or not _lives(int(match[1]))):
            _unlink(folder, found)


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _unlink(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass


def _no_directory(path: str) -> Unusable:
    return Unusable(say("{path}: there is no such directory", path=path),
                    say("make it, and have node_exporter read it: --collector.textfile.directory={path}",
                        path=path.rstrip("/") or "/"))


_HINTS = {
    errno.EACCES: message("it takes the rights of the directory's owner: try it with sudo"),
    errno.EPERM: message("it takes the rights of the directory's owner: try it with sudo"),
    errno.EROFS: message("if waguard-textfile.service says so: systemctl edit it, [Service] ReadWritePaths=DIR"),
    errno.EISDIR: message("a directory is in the way of the file"),
}


def _explained(place: Place, error: OSError) -> Unusable:
    return Unusable(f"{place.path}: {error.strerror}", _HINTS.get(error.errno or 0, ""))
