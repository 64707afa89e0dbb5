"""Going through a tree that others may write to while it is gone through.

Every step is taken from a descriptor (openat), never through a path, and never over a symbolic link. Nothing that is not a
regular file is ever opened: neither FIFO nor device nor socket. A file with several names is left out, whoever made them: its
content may be one that belongs elsewhere (a hard link to /etc/shadow), and neither the agent nor logrotate makes any.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Optional, Union

from waguard.bundle import members
from waguard.bundle.members import Rule, Tree
from waguard.i18n import message, say

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Refused(Exception):
    """Not opened; the text says why."""


@dataclass(frozen=True)
class Found:
    """A file to take: ``parts`` below the tree's root."""

    parts: tuple[str, ...]
    size: int
    mtime: float
    rule: Rule


@dataclass(frozen=True)
class Left:
    """Something left out: ``parts`` and why. ``count`` > 1: so many of that kind in this folder."""

    parts: tuple[str, ...]
    why: str
    count: int = 1
    asked: bool = True


def root(path: str) -> int:
    """A descriptor of a tree's root. A symbolic link there is followed only if it belongs to root or to who runs this: an
    administrator may have put logs onto another disk. Raises FileNotFoundError, Refused."""
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            if info.st_uid not in (0, os.geteuid()):
                raise Refused(say("a symbolic link of user {uid}", uid=info.st_uid))
            return os.open(path, _FOLDER & ~os.O_NOFOLLOW)
        return os.open(path, _FOLDER)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Refused(getattr(error, "strerror", None) or str(error)) from error


def walk(tree: Tree, avoid: Collection[tuple[str, ...]], at: Callable[[tuple[str, ...]], None],
         mounts: Callable[[tuple[str, ...]], str]) -> Iterator[Union[Found, Left]]:
    """All of a tree. ``avoid``: folders that did not answer before; ``at`` is told each folder before it is opened;
    ``mounts`` says why a folder must not be touched for what is mounted there, or "". Raises as ``root``."""
    at(())
    top = root(tree.root)
    try:
        room = [members.MOST]
        yield from _folder(tree, top, (), room, avoid, at, mounts)
    finally:
        os.close(top)


def _folder(tree: Tree, fd: int, parts: tuple[str, ...], room: list[int], avoid: Collection[tuple[str, ...]],
            at: Callable[[tuple[str, ...]], None], mounts: Callable[[tuple[str, ...]], str]) -> Iterator[Union[Found, Left]]:
    folders: list[str] = []
    unasked = 0
    names, more = _names(fd, room)
    for name in names:
        path = (*parts, name)
        why = members.forbidden(path)
        if why:
            if not tree.quiet or members.wanted(tree, path):
                yield Left(path, why)
            continue
        rule = members.wanted(tree, path)
        leads = members.leads(tree, path)
        if rule is None and not leads:
            unasked += 1
            continue
        mounted = mounts(path)
        if mounted:
            yield Left(path, mounted)
            continue
        seen = _look(fd, path, rule, leads)
        if seen is None:
            folders.append(name)
        elif not (isinstance(seen, Left) and not seen.asked):
            yield seen
    if more:
        yield Left(parts, say("more than {here} entries, or {all} in all: the rest was not looked at",
                              here=members.MOST_IN_FOLDER, all=members.MOST))
    if unasked and not tree.quiet:
        yield Left(parts, say("not asked for"), unasked, False)
    if len(parts) >= members.DEEPEST:
        for name in folders:
            yield Left((*parts, name), say("too deep"))
        return
    for name in members.chosen(parts, folders):
        yield from _below(tree, fd, (*parts, name), room, avoid, at, mounts)


def _below(tree: Tree, fd: int, path: tuple[str, ...], room: list[int], avoid: Collection[tuple[str, ...]],
           at: Callable[[tuple[str, ...]], None], mounts: Callable[[tuple[str, ...]], str]) -> Iterator[Union[Found, Left]]:
    if path in avoid:
        yield Left(path, say("did not answer in time"))
        return
    at(path)
    try:
        below = os.open(path[-1], _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        yield Left(path, _why(error))
        return
    try:
        yield from _folder(tree, below, path, room, avoid, at, mounts)
    finally:
        os.close(below)


def _names(fd: int, room: list[int]) -> tuple[list[str], bool]:
    found: list[str] = []
    try:
        with os.scandir(fd) as entries:
            for entry in entries:
                if len(found) >= members.MOST_IN_FOLDER or room[0] <= 0:
                    return sorted(found), True
                found.append(entry.name)
                room[0] -= 1
    except OSError:
        return sorted(found), True
    return sorted(found), False


def _look(fd: int, path: tuple[str, ...], rule: Optional[Rule], leads: bool) -> Union[Found, Left, None]:
    """What a name is; None: a folder to look into."""
    try:
        info = os.stat(path[-1], dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return Left(path, "vanished", asked=False)
    except (OSError, ValueError) as error:
        return Left(path, _why(error))
    if stat.S_ISDIR(info.st_mode):
        return None if leads else Left(path, "a folder", asked=False)
    if rule is None:
        return Left(path, "not asked for", asked=False)
    why = unfit(info)
    if why and stat.S_ISLNK(info.st_mode):
        target = _target(fd, path[-1])
        why = say("a symbolic link to {target}", target=target) if target else say("a symbolic link to somewhere")
    return Left(path, why) if why else Found(path, info.st_size, info.st_mtime, rule)


def unfit(info: os.stat_result) -> str:
    """Why a file is not read; "" if it may be."""
    if not stat.S_ISREG(info.st_mode):
        kinds = ((stat.S_ISLNK, message("a symbolic link")), (stat.S_ISFIFO, message("a FIFO")),
                 (stat.S_ISSOCK, message("a socket")), (stat.S_ISDIR, message("a folder")))
        return next((word for test, word in kinds if test(info.st_mode)), message("a device"))
    if info.st_nlink > 1:
        return say("it has {count} names (hard links), so it may be another's file", count=info.st_nlink)
    return ""


def open_file(top: int, parts: Sequence[str]) -> tuple[int, os.stat_result]:
    """Open a file below a tree's root, step by step. Raises Refused, FileNotFoundError."""
    fd = os.dup(top)
    try:
        for name in parts[:-1]:
            below = os.open(name, _FOLDER, dir_fd=fd)
            os.close(fd)
            fd = below
        # Asked before it is opened: opening a device can have an effect. O_NONBLOCK: a FIFO may have come meanwhile.
        why = unfit(os.stat(parts[-1], dir_fd=fd, follow_symlinks=False))
        if why:
            raise Refused(why)
        file = _open(parts[-1], fd)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        raise Refused(_why(error)) from error
    finally:
        os.close(fd)
    info = os.fstat(file)
    why = unfit(info)
    if why:
        os.close(file)
        raise Refused(why)
    return file, info


def _open(name: str, fd: int) -> int:
    try:
        return os.open(name, _FILE | getattr(os, "O_NOATIME", 0), dir_fd=fd)
    except PermissionError:
        return os.open(name, _FILE, dir_fd=fd)  # O_NOATIME is for the owner and root.


def _target(fd: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=fd)
    except OSError:
        return ""


def _why(error: Exception) -> str:
    import errno

    number = getattr(error, "errno", None)
    if number in (errno.ELOOP, errno.ENOTDIR):
        return say("it became a symbolic link, or something else, meanwhile")
    return getattr(error, "strerror", None) or str(error)
