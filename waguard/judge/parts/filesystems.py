"""File systems: can the agent write where it has to, run what it unpacks, and does every mount answer?"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from waguard import durations
from waguard.agent.mountinfo import READ_ONLY_TYPES
from waguard.i18n import say
from waguard.judge.case import Case, Part
from waguard.judge.catalogue import Finding
from waguard.observe import Known
from waguard.observe.filesystems import Filesystems, Place
from waguard.observe.mounts import Asked, Mounts
from waguard.observe.statvfs import Space
from waguard.settings import ResourceSettings

_MIB, _GIB = 1 << 20, 1 << 30
_SMALL = 0.1
"""Of a filesystem so small that the limit in MiB would be most of it."""
_INODES = 10000
"""So many free inodes are enough, whatever percentage that is."""
_DEAD = frozenset((errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ETIMEDOUT, errno.ESHUTDOWN,
                   errno.ENODEV, errno.ENXIO))
"""Answers of a mount whose server or device is gone."""
_REMOTE = frozenset(("nfs", "nfs4", "cifs", "smb3"))


def judge(case: Case) -> Part:
    """The part of the case about filesystems and mounts."""
    systems = case.filesystems.value if isinstance(case.filesystems, Known) else None
    mounts = case.mounts.value if isinstance(case.mounts, Known) else None
    findings = (*(_places(systems, case.settings.resources) if systems is not None else ()),
                *(_mounts(mounts, case) if mounts is not None else ()))
    says = [_space(case.filesystems.value) if isinstance(case.filesystems, Known) else case.filesystems.why,
            _answers(case.mounts.value) if isinstance(case.mounts, Known) else case.mounts.why]
    told = systems is not None and mounts is not None and all(place.space is not None for place in systems.places[:2])
    return Part("filesystems", say("File systems"), findings[0].evidence if findings else "; ".join(dict.fromkeys(says)),
                False if findings else True if told else None, findings, _facts(systems, mounts))


def _places(systems: Filesystems, settings: ResourceSettings) -> Iterator[Finding]:
    """One finding of a kind for each mount, naming all that it holds."""
    for point in dict.fromkeys(place.mount for place in systems.places if place.mount):
        held = [place for place in systems.places if place.mount == point]
        place, values = held[0], (("mount", point),)
        which = _which(point, held)
        if any(one.read_only for one in held):
            evidence = (say("{said_which} is read-only after an error", said_which=which) if place.error else
                        say("{said_which} is read-only", said_which=which))
            yield Finding("filesystem-read-only", evidence, values)
            continue
        space = next((one.space for one in held if one.space is not None), None)
        if space is None or place.type in READ_ONLY_TYPES:
            continue
        if _full(space, settings):
            yield Finding("disk-full", say("{said_which} has {said_free} of {said_size} free", said_which=which,
                                           said_free=size(space.free), said_size=size(space.size)), values)
        if space.files > 0 and space.files_free < min(space.files * settings.inodes_free / 100, _INODES):
            yield Finding("inodes-exhausted", say("{said_which} has {free} of {count} inodes free", said_which=which,
                                                  free=space.files_free, count=space.files), values)
    library = systems.places[0] if systems.places else None
    if library is not None and library.noexec:
        yield Finding("filesystem-noexec", say("{mount}, which holds {path}, is mounted noexec", mount=library.mount,
                                               path=library.path), (("mount", library.mount),))


def _which(point: str, held: Sequence[Place]) -> str:
    if len(held) == 1:
        return say("{mount} ({type}), which holds the {said_what},", mount=point, type=held[0].type, said_what=held[0].what)
    paths = ", ".join(dict.fromkeys(place.path for place in held))
    return say("{mount} ({type}), which holds {paths},", mount=point, type=held[0].type, paths=paths)


def _full(space: Space, settings: ResourceSettings) -> bool:
    """Root's part counts as free: the agent and its extensions are root."""
    if space.free < min(settings.disk_free * _MIB, space.size * _SMALL):
        return True
    return space.free < _GIB and (space.size - space.free) * 100 >= settings.disk_used * space.size


def _mounts(mounts: Mounts, case: Case) -> Iterator[Finding]:
    local = isinstance(case.snapshots, Known) and case.snapshots.value.options.only_local
    for one in mounts.mounts:
        if _dead(one):
            evidence = (say("{mount} ({type}) does not answer for {age}: {said_problem}", mount=one.point, type=one.type,
                            age=durations.show(one.since), said_problem=one.problem) if one.since else
                        say("{mount} ({type}) does not answer: {said_problem}", mount=one.point, type=one.type,
                            said_problem=one.problem))
            if local and one.type in _REMOTE:
                evidence = say("{said}; the backup extension does not ask it (onlyLocalFilesystems)", said=evidence)
            yield Finding("mount-unresponsive", evidence, (("mount", one.point),))


def _dead(one: Asked) -> bool:
    """Late, or gone. To be refused (EACCES in somebody's FUSE mount) is an answer."""
    return one.answers is False and (one.errno == 0 or one.errno in _DEAD)


def _space(systems: Filesystems) -> str:
    known = {place.mount: place.space for place in systems.places if place.space is not None}
    if not known:
        problems = dict.fromkeys(place.problem for place in systems.places if place.problem)
        return "; ".join(problems) or say("no space is told")
    tightest = min(known, key=lambda mount: known[mount].free)
    return say("{said_size} free on {said_mount}", said_size=size(known[tightest].free), said_mount=tightest)


def _answers(mounts: Mounts) -> str:
    asked = [one for one in mounts.mounts if one.answers is not None]
    told = [say("all {count} mounts answer", count=len(asked)) if len(asked) > 1 else
            say("the mount answers") if asked else say("no mount asked")]
    if mounts.unasked:
        told.append(say("{count} more not asked", count=mounts.unasked))
    if len(asked) < len(mounts.mounts):
        told.append(say("{count} cannot be seen from here", count=len(mounts.mounts) - len(asked)))
    return "; ".join(told)


def _facts(systems: Optional[Filesystems], mounts: Optional[Mounts]) -> dict[str, Any]:
    return {
        "places": None if systems is None else [_place(place) for place in systems.places],
        "mounts_from": None if systems is None else systems.source,
        "mounts": None if mounts is None else len(mounts.mounts) + mounts.unasked,
        "unresponsive": None if mounts is None else [one.point for one in mounts.mounts if _dead(one)],
        "mounted_twice": None if mounts is None else [list(group) for group in mounts.twice],
    }


def _place(place: Place) -> dict[str, Any]:
    space = place.space
    return {"what": place.what, "path": place.path, "mount": place.mount or None, "type": place.type or None,
            "read_only": place.read_only, "noexec": place.noexec, "problem": place.problem or None,
            "size": space.size if space else None, "free": space.free if space else None,
            "available": space.available if space else None,
            "inodes": space.files if space and space.files else None,
            "inodes_free": space.files_free if space and space.files else None}


def size(count: int) -> str:
    """Bytes as people say them."""
    value, units = float(count), ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]
    while value >= 1024 and len(units) > 1:
        value, units = value / 1024, units[1:]
    return f"{value:.0f} {units[0]}" if value >= 10 or units[0] == "bytes" else f"{value:.1f} {units[0]}"
