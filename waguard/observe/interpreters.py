"""Which Python the backup extension would run with, and what that one lacks.

handle.sh tries one interpreter after the other until one ends well, so the extension can run when any of them has all that its
version imports. Each is asked by running it plainly, as the extension is: with the site's packages, so that a distutils that
setuptools brings along counts (azure-linux-extensions VMBackup/main/handle.sh).
"""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Optional

from waguard.agent import vmsnapshot
from waguard.agent.facts import AgentFacts
from waguard.i18n import say
from waguard.observe import extensions, files, programs
from waguard.observe.extensions import Reader

_DEADLINE = 5.0
_ALL = 15.0
_SOURCE = 1024 * 1024
_MOST_PATHS = 20
_SEARCHED = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""systemd's PATH for services, in which the shell looks for ``python``."""
# Runs with Python 2.6 to 3.14.
_PROBE = """
import sys
def has(word):
    for name in word.split("|"):
        try:
            __import__("imp" if name == "imp.load_source" else name)
            if name != "imp.load_source" or hasattr(sys.modules["imp"], "load_source"):
                return True
        except BaseException:
            pass
    return False
missing = [word for word in sys.argv[1:] if not has(word)]
sys.stdout.write("version %d.%d.%d\\n" % tuple(sys.version_info[:3]))
for word in missing:
    sys.stdout.write("missing %s\\n" % word)
for path in sys.path:
    sys.stdout.write("path %s\\n" % path)
sys.stdout.write("end\\n")
"""
_WORDS = (*vmsnapshot.MODULES, *vmsnapshot.PERISHABLE)
_ASKED = zlib.crc32("\n".join((_PROBE, *_WORDS)).encode())


@dataclass(frozen=True)
class Interpreter:
    """One interpreter that handle.sh would try. ``missing``: of what the extension needs. ``problem``: why it does not run;
    ``unsure``: it may run all the same."""

    path: str
    version: str = ""
    missing: tuple[str, ...] = ()
    problem: str = ""
    unsure: bool = False

    @property
    def usable(self) -> bool:
        return not self.problem and not self.missing


@dataclass(frozen=True)
class Interpreters:
    """Interpreters in the order in which they would be tried, none of them twice.

    ``version``: of the extension, "" when it is not there; then nothing was asked. ``needs``: what that version cannot do without
    and newer Pythons lack. ``state``: for the next look.
    """

    version: str = ""
    needs: tuple[str, ...] = ()
    tried: tuple[Interpreter, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict)

    @property
    def picked(self) -> Optional[Interpreter]:
        """The one that the extension would end up with."""
        return next((one for one in self.tried if one.usable), None)

    @property
    def compatible(self) -> Optional[bool]:
        """Can the extension run? None when it is not there, or one did not answer."""
        if self.picked is not None:
            return True
        return None if not self.version or any(one.unsure for one in self.tried) else False


def look(agent: AgentFacts, state: Optional[Mapping[str, Any]] = None, root: Path = Path("/"), proc: Path = Path("/proc"),
         run: Callable[..., programs.Ran] = programs.run) -> Interpreters:
    """Ask the interpreters, or what is known of them from ``state``. Raises files.Unusable when the library directory cannot be
    listed."""
    found = extensions.places(extensions.under(root, agent.lib_dir), Reader(time.sleep, 0), vmsnapshot.NAME).get(vmsnapshot.NAME)
    if not found:
        return Interpreters()
    place = extensions.current(found)
    main = place.path / "main"
    needs = vmsnapshot.needs(place.folder.text, _source(main / "WaagentLib.py"), _source(main / "Utils" / "WAAgentUtil.py"))
    end = time.monotonic() + _ALL
    known: dict[str, Any] = {}
    tried: list[Interpreter] = []
    for path in candidates(vmsnapshot.interpreters(_source(main / "handle.sh")), agent, root, proc):
        stamp = _stamp(path)
        told = _remembered(state, str(path), stamp)
        if told is None and time.monotonic() > end:
            tried.append(Interpreter(str(path), problem=say("was not asked, the others took too long"), unsure=True))
            continue
        told = told or _ask(path, stamp, run)
        if "problem" not in told:
            known[str(path)] = told
        lacks = tuple(word for word in told["missing"] if word in needs or word in vmsnapshot.MODULES)
        tried.append(Interpreter(str(path), told["version"], lacks, told.get("problem", ""), told.get("unsure", False)))
    return Interpreters(place.folder.text, needs, tuple(tried), known)


def candidates(names: tuple[str, ...], agent: AgentFacts, root: Path, proc: Path) -> Iterator[Path]:
    """What handle.sh would try, in its order; of several names for one file only the first."""
    seen: set[str] = set()
    for path in (*_by_name(names, root), *_from_path(root), *_of_agent(agent, root, proc)):
        real = os.path.realpath(path)
        if real not in seen and os.path.isfile(path):
            seen.add(real)
            yield path


def _by_name(names: tuple[str, ...], root: Path) -> Iterator[Path]:
    for name in names:
        for directory in vmsnapshot.DIRECTORIES:
            path = extensions.under(root, directory) / name
            if os.path.isfile(path):
                yield path
                break


def _from_path(root: Path) -> Iterator[Path]:
    """``env python``."""
    for directory in _SEARCHED:
        path = extensions.under(root, directory) / "python"
        if os.access(path, os.X_OK):
            yield path
            return


def _of_agent(agent: AgentFacts, root: Path, proc: Path) -> Iterator[Path]:
    """The interpreter that the agent itself runs with, as handle.sh takes it from ps."""
    if agent.daemon_pid <= 0:
        return
    try:
        first = files.read(proc / str(agent.daemon_pid) / "cmdline", 131072).split(b"\0")[0].decode("utf-8", "replace")
    except (OSError, files.Unusable):
        return
    if first.startswith("/") and "python" in first:
        yield extensions.under(root, first)


def _source(path: Path) -> Optional[bytes]:
    """b"" for a file that is not there, which imports nothing; None for one that cannot be read."""
    try:
        return files.read(path, _SOURCE)
    except FileNotFoundError:
        return b""
    except files.Unusable:
        return None


def _stamp(path: Path) -> list[int]:
    try:
        info = os.stat(path)
    except OSError:
        return []
    return [_ASKED, info.st_mtime_ns, info.st_size]


def _ask(path: Path, stamp: list[int], run: Callable[..., programs.Ran]) -> dict[str, Any]:
    """Run the interpreter. ``problem`` only when it does not tell."""
    ran = run((str(path), "-B", "-c", _PROBE, *_WORDS), _DEADLINE, environment={"HOME": "/root"})
    lines = ran.output.splitlines()
    if not ran.ok or not lines or lines[-1] != "end":
        late = ran.code is None and "cannot be started" not in ran.problem
        return {"version": "", "missing": [], "problem": (ran.trouble or say("does not answer like Python"))[:200],
                "unsure": late}
    said: dict[str, list[str]] = {"version": [], "missing": [], "path": []}
    for line in lines:
        key, _, value = line.partition(" ")
        if key in said:
            said[key].append(value)
    paths = {name: when for name in said["path"][:_MOST_PATHS] if name.startswith("/") for when in [_changed(name)]}
    missing = [word for word in said["missing"] if word in _WORDS]
    return {"stamp": stamp, "version": "".join(said["version"])[:20], "missing": missing, "paths": paths}


def _changed(path: str) -> Optional[int]:
    """A directory's time: a package that is installed there or removed from it changes it."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def _remembered(state: Optional[Mapping[str, Any]], path: str, stamp: list[int]) -> Optional[dict[str, Any]]:
    """What the interpreter said the last time, if neither it nor the directories of its modules changed since."""
    told = state.get(path) if isinstance(state, Mapping) else None
    if not isinstance(told, Mapping) or not stamp or told.get("stamp") != stamp:
        return None
    missing, paths, version = told.get("missing"), told.get("paths"), told.get("version")
    if not isinstance(missing, list) or not isinstance(paths, Mapping) or not isinstance(version, str):
        return None
    if any(not isinstance(name, str) or _changed(name) != when for name, when in paths.items()):
        return None
    return {"stamp": stamp, "version": version, "missing": missing, "paths": dict(paths)}
