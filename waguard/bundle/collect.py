"""Makes the bundle: asks, goes through the files, newest first, and writes what comes, redacted, as it comes."""

from __future__ import annotations

import json
import os
import pwd
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from waguard import __version__
from waguard.agent import layout
from waguard.bundle import asked, members, places, redact
from waguard.bundle.archive import Archive
from waguard.bundle.looking import PATIENCE, Looking
from waguard.bundle.manifest import Manifest, member_name
from waguard.bundle.members import Tree
from waguard.bundle.output import MARGIN, Output, Unwritable
from waguard.bundle.places import Places
from waguard.bundle.walk import Found, Left
from waguard.i18n import message, say
from waguard.observe import files

MAX_SIZE = 200 << 20
_LEAST = 64 * 1024
_CHECK_EVERY = 16 << 20
_PACKED = 4
"""Logs become at least so many times smaller: what the room on the disk is reckoned by before anything is written."""
_ASKED = 8 << 20
"""What programs say, at most, when it is compressed."""
_SHORT = message("let it be smaller: --max-size 20M; or use another filesystem: --output DIR")


@dataclass(frozen=True)
class Wanted:
    """``max_size``: bytes of files, before compression; what programs say comes on top, each of them bounded. ``since``: epoch
    seconds; older logs are left out. ``snapshot``, ``events``: what the guard told, or why it did not."""

    places: Places
    max_size: int = MAX_SIZE
    since: Optional[float] = None
    patience: float = PATIENCE
    snapshot: Union[dict[str, Any], str] = "not asked"
    events: Union[list[Any], str] = "not asked"
    doctor: bool = True


@dataclass(frozen=True)
class Planned:
    """A file to take. ``most``: bytes that it may have; 0: there is no room, or it is too old, as ``why`` says."""

    tree: Tree
    found: Found
    most: int
    why: str = ""

    @property
    def path(self) -> str:
        return "/".join((self.tree.root.rstrip("/"), *self.found.parts))


@dataclass
class Plan:
    """What is there: ``files`` in the order in which they are taken, ``left``: (path, why, how many) of what is not."""

    files: list[Planned] = field(default_factory=list)
    left: list[tuple[str, str, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(min(one.most, one.found.size) for one in self.files)


def plan(wanted: Wanted, looking: Looking, progress: Callable[[str], None]) -> Plan:
    """List everything; opens no file."""
    made = Plan()
    found: list[tuple[Tree, Found]] = []
    seen: set[str] = set()
    for tree in places.trees(wanted.places):
        progress(tree.root)
        entries, problem, missing = looking.list(tree)
        if problem or (missing and not tree.quiet):
            made.left.append((tree.root, problem or say("not there"), 1))
        for one in entries:
            path = "/".join((tree.root.rstrip("/"), *one.parts))
            if isinstance(one, Left):
                made.left.append((path, one.why, one.count))
            elif path not in seen:
                seen.add(path)
                found.append((tree, one))
    found.sort(key=lambda pair: (pair[1].rule.order, -pair[1].mtime, pair[1].parts))
    left = wanted.max_size
    for tree, one in found:
        made.files.append(planned(tree, one, left, wanted.since))
        left -= min(made.files[-1].most, one.size)
    return made


def planned(tree: Tree, found: Found, left: int, since: Optional[float]) -> Planned:
    """How much of a file is taken when ``left`` bytes may still be. A log gets half of them at most, so that one that floods
    leaves room for the others."""
    if since is not None and found.rule.mode == members.LOG and found.mtime < since:
        return Planned(tree, found, 0, say("older than was asked for"))
    most = left if found.rule.mode != members.LOG else max(left // 2, min(left, _LEAST))
    if most < min(found.size, _LEAST) or (found.rule.mode != members.LOG and found.size > most):
        return Planned(tree, found, 0, say("no room: newer files took what --max-size allows"))
    return Planned(tree, found, most)


class Collector:
    """One bundle. ``run`` writes it to an Output."""

    def __init__(self, wanted: Wanted, looking: Looking, progress: Callable[[str], None]) -> None:
        self._wanted = wanted
        self._looking = looking
        self._progress = progress
        self._machine = os.uname().nodename
        self.top = name(self._machine, time.time())
        self.manifest = Manifest(self._machine, __version__, user(), time.time(), wanted.max_size, wanted.since)
        self._left = wanted.max_size
        self._names: set[str] = set()
        self._checked = 0

    def run(self, made: Plan, output: Output) -> None:
        """Raises Unwritable when the disk is short, OSError."""
        enough(made, output)
        archive = Archive(output.fd)
        if self._wanted.places.problem:
            self.manifest.problems.append(self._wanted.places.problem)
        self._ask(archive, output)
        for path, why, count in made.left:
            self.manifest.left(path, why, count)
        for one in made.files:
            again = planned(one.tree, one.found, self._left, self._wanted.since)
            if again.most:
                self._take(archive, again, output)
            else:
                self.manifest.left(one.path, again.why)
            self._check(archive, output)
        archive.add(f"{self.top}/manifest.json", self.manifest.dump(), self.manifest.began)
        archive.add(f"{self.top}/README.txt", self.manifest.readme(), self.manifest.began)
        archive.finish()

    def _take(self, archive: Archive, one: Planned, output: Output) -> None:
        self._progress(one.path)
        name = self._unique(f"files/{member_name(one.path)}")
        member = archive.begin(f"{self.top}/{name}", one.found.mtime)

        def take(data: bytes) -> None:
            member.write(data)
            self._check(archive, output)

        try:
            end = self._looking.read(one.tree, one.found, one.most, take)
        except BaseException:
            member.abandon()
            raise
        if end["problem"]:
            member.abandon()
            self.manifest.left(one.path, end["problem"])
            return
        member.finish()
        self._left -= min(member.length, self._left)
        self.manifest.took(
            name, member.length, member.sha256, end["masked"], path=one.path, mtime=one.found.mtime, size=one.found.size,
            cut=end["cut"], decompressed=end["decompressed"], only_names=end["only_names"])

    def _ask(self, archive: Archive, output: Output) -> None:
        """What programs, the kernel and the guard say."""
        wanted, where = self._wanted, self._wanted.places
        for path in asked.KERNEL:
            try:
                self._add(archive, f"machine/{path.lstrip('/').replace('/', '-')}", asked.kernel(path), path=path)
            except (OSError, files.Unusable) as error:
                self.manifest.left(path, str(error))
        for label, told in (("snapshot", wanted.snapshot), ("events", wanted.events)):
            if isinstance(told, str):
                self.manifest.left(f"waguard/{label}.json", told)
            else:
                self._add(archive, f"waguard/{label}.json", json.dumps(told, indent=1).encode("ascii"))
        packages = (*layout.package_names(), "waguard")
        for question in asked.questions(where.run_dir, where.settings_dir, wanted.since, packages):
            self._progress(question.shown)
            said = question.said()
            if said.trouble:
                self.manifest.problems.append(f"{question.name}: {said.trouble}")
            if said.text or not said.trouble:
                self._add(archive, question.name, said.text.encode("utf-8", "replace"), command=question.shown,
                          problem=said.trouble, cut=said.cut)
        if wanted.doctor:
            self._progress(say("the doctor's diagnosis"))
            text, diagnosis, trouble = asked.doctor(where.run_dir)
            if trouble:
                self.manifest.problems.append(f"doctor: {trouble}")
            else:
                self._add(archive, "waguard/doctor.txt", text.encode("utf-8", "replace"))
                self._add(archive, "waguard/doctor.json", diagnosis.encode("utf-8", "replace"))
        self._check(archive, output)

    def _add(self, archive: Archive, name: str, data: bytes, **more: Any) -> None:
        redactor = redact.Redactor()
        clean = redactor.feed(data) + redactor.close()
        name = self._unique(name)
        member = archive.add(f"{self.top}/{name}", clean, time.time())
        self.manifest.took(name, member.length, member.sha256, dict(redactor.masked), **more)

    def _unique(self, name: str) -> str:
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}~{number}"
        self._names.add(found)
        return found

    def _check(self, archive: Archive, output: Output) -> None:
        if archive.size - self._checked >= _CHECK_EVERY or archive.size < self._checked:
            self._checked = archive.size
            if output.room() < 0:
                raise Unwritable(say("{path}: less than {margin} MB is left on the disk", path=os.path.dirname(output.path),
                                     margin=MARGIN >> 20), _SHORT)


def enough(made: Plan, output: Output) -> None:
    """Raises Unwritable when the disk is too full to begin."""
    need, room = made.size // _PACKED + _ASKED, output.room()
    if room < need:
        free = max(0, room + MARGIN)
        raise Unwritable(say("{path}: {free:.0f} MB free, and the bundle may need {need:.0f} MB beside the {margin:.0f} MB that"
                             " stay free", path=os.path.dirname(output.path), free=free / 1e6, need=need / 1e6,
                             margin=MARGIN / 1e6), _SHORT)


def name(machine: str, at: float) -> str:
    """The bundle's own name, without a suffix."""
    host = "".join(letter if letter.isascii() and (letter.isalnum() or letter in ".-") else "-" for letter in machine)[:64]
    return f"waguard-{host.strip('.-') or 'machine'}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(at))}"


def user() -> str:
    """Who collects, by name if he has one."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
