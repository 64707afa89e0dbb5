"""The agent as software: its package, what the distribution offers, what it has downloaded and disabled.

Candidates come from the package manager's own lists as they lie on this machine. Nothing is ever refreshed or written: the
administrator's updates stay his, and so does the network.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from waguard.agent import distro, layout, pkgversion, versions
from waguard.agent.shown import shown
from waguard.i18n import message, say
from waguard.observe import diskversion, files, process, programs

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts

_TIMEOUT = 8.0
_LIMIT = 256 * 1024
_DAY = 86400.0
_HOUR = 3600.0
_NAMES = 100000
_MOST = 50
_ENTRIES = 2000
_FOLDER = re.compile(r"WALinuxAgent-([0-9]{1,9}(?:\.[0-9]{1,9}){1,3})")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+~:^_-]{0,127}")

_RPM_DB = tuple(f"{place}/{name}" for place in ("var/lib/rpm", "usr/lib/sysimage/rpm")
                for name in ("rpmdb.sqlite", "Packages", "Packages.db"))
# Changed by a refresh of the lists, by an install or removal, or by the administrator's choice of sources.
_MARKS = {
    "apt": ("var/lib/apt/lists", "var/lib/dpkg/status", "etc/apt/sources.list", "etc/apt/sources.list.d", "etc/apt/preferences",
            "etc/apt/preferences.d"),
    "dnf": ("var/cache/dnf", "var/cache/libdnf5", *_RPM_DB, "etc/yum.repos.d"),
    "yum": ("var/cache/yum", *_RPM_DB, "etc/yum.repos.d"),
    "tdnf": ("var/cache/tdnf", *_RPM_DB, "etc/yum.repos.d"),
    "zypper": ("var/cache/zypp/solv", *_RPM_DB, "etc/zypp/repos.d"),
}
# "partial" is touched by every refresh, also by one that finds nothing new.
_LISTS = {"apt": ("var/lib/apt/lists", "var/lib/apt/lists/partial"), "dnf": ("var/cache/dnf", "var/cache/libdnf5"),
          "yum": ("var/cache/yum",), "tdnf": ("var/cache/tdnf",), "zypper": ("var/cache/zypp/solv", "var/cache/zypp/raw")}
_MALFORMED = message("error.json is malformed, and the agent deletes such a one")
_PROGRAMS = {"apt": "apt-cache", "dnf": "dnf", "yum": "yum", "tdnf": "tdnf", "zypper": "zypper"}


@dataclass(frozen=True)
class Downloaded:
    """One version in the library directory. ``disabled`` is None where ``reason`` says why that cannot be told.

    Source: azurelinuxagent/ga/guestagent.py (error.json: was_fatal, or a failure_count of 3 or more).
    """

    version: str
    disabled: Optional[bool]
    reason: str
    path: Path

    @property
    def stepped_back(self) -> bool:
        """Azure asked for an older version: the one that was left is disabled, and nothing is wrong with it
        (azurelinuxagent/ga/rsm_version_updater.py)."""
        return "downgrade was requested" in self.reason


@dataclass(frozen=True)
class Software:
    """``installed`` and ``candidate`` are the package manager's whole version texts; None: not known, or not there.

    ``installed`` is "" when the package manager knows that the package is not installed. ``candidate`` is the newest version
    that installing could bring, the installed one included; ``candidate_at`` the epoch seconds of the lists it was read from.
    ``daemon`` is the version of the code on disk. ``python``: the program that runs the agent, "" if not known. ``state`` is
    plain JSON, to be handed to the next ``look``.
    """

    manager: str
    package: str
    installed: Optional[str]
    candidate: Optional[str]
    candidate_why: str
    candidate_at: Optional[float]
    daemon: Optional[str]
    daemon_why: str
    downloaded: tuple[Downloaded, ...]
    downloaded_why: str
    python: str
    commands: distro.Commands
    state: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class _Offer:
    """What a package manager says of the agent's package."""

    package: str = ""
    installed: Optional[str] = None
    candidate: Optional[str] = None
    why: str = ""


def look(agent: AgentFacts, root: Path = Path("/"), state: Optional[Mapping[str, Any]] = None) -> Software:
    """Look. The package manager is asked again when its lists or its database changed, or after a day; after an hour if it
    could not tell. ``root`` is where files are read; the package manager is this machine's. Raises nothing."""
    ids = agent.distro or distribution(root)
    manager = _manager(ids)
    marks = _times(root, _MARKS.get(manager, ()))
    offer, asked = _remembered(state, manager, marks)
    if offer is None:
        offer, asked = _ask(manager, ids, root), time.time()
    lists = _times(root, _LISTS.get(manager, ()))
    daemon, daemon_why = _daemon(root)
    downloaded, downloaded_why = _downloaded(root / agent.lib_dir.lstrip("/"))
    return Software(
        manager=manager, package=offer.package, installed=offer.installed, candidate=offer.candidate, candidate_why=offer.why,
        candidate_at=max(lists) if lists else None, daemon=daemon, daemon_why=daemon_why, downloaded=downloaded,
        downloaded_why=downloaded_why, python=_python(agent, root), commands=distro.commands(ids, offer.package),
        state={"manager": manager, "marks": marks, "at": asked, "package": offer.package, "installed": offer.installed,
               "candidate": offer.candidate, "why": offer.why})


def distribution(root: Path = Path("/")) -> tuple[str, ...]:
    """ID and ID_LIKE of this distribution (os-release(5)); () when it does not say."""
    for place in ("etc/os-release", "usr/lib/os-release"):
        try:
            return distro.ids_of(files.read(root / place, 65536).decode("utf-8", "replace"))
        except (OSError, files.Unusable):
            continue
    return ()


def _manager(ids: Sequence[str]) -> str:
    """By the distribution, and by what is there: EL 8 and later have dnf, and an unknown distribution may be like a known one."""
    known = distro.manager(ids)
    if known in ("dnf", "yum"):
        return "dnf" if _program("dnf") else "yum"
    return known or next((name for name in distro.MANAGERS if _program(_PROGRAMS[name])), "")


def _program(name: str) -> bool:
    return any(os.access(os.path.join(folder, name), os.X_OK) for folder in programs.PATH.split(":"))


def _times(root: Path, places: Sequence[str]) -> list[float]:
    """When these files, and these folders or anything right in them, changed; what is not there is left out."""
    found = []
    for place in places:
        path = root / place
        try:
            newest = os.stat(path).st_mtime
        except OSError:
            continue
        try:
            newest = max([newest, *(os.lstat(path / name).st_mtime for name in files.names(path, _ENTRIES))])
        except (OSError, files.Unusable):
            pass  # A file; or not to be listed by us, as apt's "partial".
        found.append(newest)
    return found


def _remembered(state: Optional[Mapping[str, Any]], manager: str, marks: list[float]) -> tuple[Optional[_Offer], float]:
    """The offer of an earlier look, while nothing changed. What is not as it was written is as good as nothing."""
    told = state if isinstance(state, Mapping) else {}
    at = told.get("at")
    if not isinstance(at, (int, float)) or told.get("manager") != manager or told.get("marks") != marks:
        return None, 0.0
    package, why = told.get("package"), told.get("why")
    installed, candidate = told.get("installed"), told.get("candidate")
    if not isinstance(package, str) or not isinstance(why, str) or not 0 <= time.time() - at < (_HOUR if why else _DAY):
        return None, 0.0
    if any(value is not None and not isinstance(value, str) for value in (installed, candidate)):
        return None, 0.0
    return _Offer(package, installed, candidate, why), float(at)


def _ask(manager: str, ids: Sequence[str], root: Path) -> _Offer:
    names = layout.package_names(ids)
    if not manager:
        return _Offer(why=say("the package manager of this distribution is not known"))
    if not _program(_PROGRAMS[manager]):
        return _Offer(names[0], why=say("there is no {program}", program=_PROGRAMS[manager]))
    if manager == "apt":
        return _apt(names)
    package, installed, why = _rpm(names)
    if why:
        return _Offer(names[0], why=why)
    wanted = (package,) if package else names
    offered, why = _zypper(wanted) if manager == "zypper" else _listed(manager, wanted, root)
    name = package or next((each for each in names if each in offered), names[0])
    newest = max([*offered.get(name, ()), *([installed] if installed and not why else ())], key=pkgversion.rpm_key, default=None)
    if newest is None and not why:
        why = say("no package {name} in the lists of {manager}", name=name, manager=manager)
    return _Offer(name, installed, newest, why)


def _apt(names: Sequence[str]) -> _Offer:
    """``apt-cache policy`` of all names at once. With no cache files named it writes none, and does not trust an old one."""
    ran = programs.run(["apt-cache", "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "policy", *names],
                       _TIMEOUT, _LIMIT)
    if not ran.ok:
        return _Offer(names[0], why=say("apt-cache policy: {said_why}", said_why=ran.trouble))
    found: dict[str, dict[str, str]] = {}
    name = ""
    for line in ran.output.splitlines():
        if not line.startswith(" "):
            name = line.partition(":")[0]
        key, _, value = line.strip().partition(": ")
        if key in ("Installed", "Candidate") and name in names and _VERSION.fullmatch(value):
            found.setdefault(name, {})[key] = value
    for wanted in ("Installed", "Candidate"):
        for name in names:
            if wanted in found.get(name, {}):
                return _Offer(name, found[name].get("Installed", ""), found[name].get("Candidate"),
                              "" if "Candidate" in found[name] else say("no package {name} in the lists of {manager}", name=name,
                                                                        manager="apt"))
    return _Offer(names[0], "", None, say("no package {names} or {last} in the lists of {manager}", names=", ".join(names[:-1]),
                                          last=names[-1], manager="apt"))


def _rpm(names: Sequence[str]) -> tuple[str, str, str]:
    """Name and version of the installed package, "" when none is; and why that cannot be told."""
    ran = programs.run(["rpm", "-q", "--qf", "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\\n", *names], _TIMEOUT, _LIMIT)
    for line in ran.output.splitlines():
        words = line.split(" ")
        if len(words) == 2 and words[0] in names and _VERSION.fullmatch(words[1]):
            return words[0], words[1], ""
    # Its exit status is the number of names that are not installed (rpm(8)), and it says so of each.
    if ran.problem or ran.output.count("is not installed") != len(names):
        return "", "", say("rpm -q: {said_why}", said_why=ran.trouble or say("an answer that is not understood"))
    return "", "", ""


def _listed(manager: str, names: Sequence[str], root: Path) -> tuple[dict[str, list[str]], str]:
    """``list`` of dnf 4 and 5, yum and tdnf, from the cache only: NAME.ARCH VERSION REPOSITORY; yum may break it into lines."""
    with _borrowed(root, manager) as options:
        ran = programs.run([manager, "-C", "-q", *options, "list", *names], _TIMEOUT, _LIMIT)
    found: dict[str, list[str]] = {}
    words = ran.output.split()
    for word, version in zip(words, words[1:]):
        name = word.rpartition(".")[0]
        if name in names and _VERSION.fullmatch(version) and version[0].isdigit():
            found.setdefault(name, []).append(version)
    if ran.ok or (found and not ran.problem):
        return found, ""
    # "No matching packages": exit status 1, as for an empty cache.
    return {}, say("{manager} -C list: {said_why}", manager=manager, said_why=ran.trouble)


@contextmanager
def _borrowed(root: Path, manager: str) -> Iterator[list[str]]:
    """Options that let dnf run where nothing can be written: as root it wants its lock beside its lists, and its log.

    A temporary folder of links to the lists takes both. Source: dnf dnf/lock.py, dnf/logging.py. Without one it may still work.
    """
    if manager != "dnf":
        yield []
        return
    from shutil import rmtree
    from tempfile import mkdtemp

    try:
        folder = mkdtemp(prefix="waguard-")
    except OSError:
        yield []
        return
    try:
        yield _links(root, Path(folder))
    finally:
        rmtree(folder, ignore_errors=True)


def _links(root: Path, folder: Path) -> list[str]:
    # dnf is a link to dnf-3 (that is dnf 4) or dnf5, and each has its own lists.
    five = any(os.path.realpath(os.path.join(path, "dnf")).endswith("dnf5") for path in programs.PATH.split(":"))
    lists = root / ("var/cache/libdnf5" if five else "var/cache/dnf")
    try:
        for name in files.names(lists, _ENTRIES):
            if not name.endswith(".pid"):
                (folder / name).symlink_to(lists / name)
    except (OSError, files.Unusable):
        return []
    return [f"--setopt=cachedir={folder}", f"--setopt=logdir={folder}"]


def _zypper(names: Sequence[str]) -> tuple[dict[str, list[str]], str]:
    """``zypper search -s`` in its XML form, of which single attributes are read; 104 is "nothing found" (zypper(8))."""
    ran = programs.run(["zypper", "--non-interactive", "--no-refresh", "--xmlout", "search", "--details", "--match-exact",
                        "--type", "package", *names], _TIMEOUT, _LIMIT,
                       {"ZYPP_READONLY_HACK": "1", "ZYPP_LOGFILE": "/dev/null"})
    if ran.code not in (0, 104):
        return {}, say("zypper search: {said_why}", said_why=ran.trouble)
    found: dict[str, list[str]] = {}
    for text in re.findall(r"<solvable ([^<>]{0,2000})/>", ran.output):
        attributes = dict(re.findall(r'([a-z]{1,32})="([^"]{0,300})"', text))
        name, version = attributes.get("name", ""), attributes.get("edition", "")
        # A package that is installed and in no repository is said to come from "(System Packages)".
        if name in names and _VERSION.fullmatch(version) and not attributes.get("repository", "").startswith("("):
            found.setdefault(name, []).append(version)
    return found, ""


def _daemon(root: Path) -> tuple[Optional[str], str]:
    try:
        version = diskversion.read(root=root)
    except (files.Unusable, OSError) as error:
        return None, str(error)
    return (str(version), "") if version is not None else (
        None, say("the agent's code is in none of the usual places"))


def _downloaded(lib_dir: Path) -> tuple[tuple[Downloaded, ...], str]:
    """Versions in the library directory, newest first."""
    try:
        names = files.names(lib_dir, _NAMES)
    except FileNotFoundError:
        return (), say("{path}: no such directory", path=lib_dir)
    except (files.Unusable, OSError) as error:
        return (), str(error)
    found = []
    for name in names:
        match = _FOLDER.fullmatch(name)
        version = versions.try_parse(match[1]) if match else None
        if version is not None and os.path.isdir(lib_dir / name):
            found.append((version, lib_dir / name / "error.json"))
    found.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(_marked(str(version), path) for version, path in found[:_MOST]), ""


def _marked(version: str, path: Path) -> Downloaded:
    import json

    whole = Downloaded(version, False, "", path)
    try:
        data = files.read(path, 65536)
    except FileNotFoundError:
        return whole
    except (files.Unusable, OSError) as error:
        return replace(whole, disabled=None, reason=_line(str(error)))
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        return replace(whole, reason=_MALFORMED)
    if not isinstance(told, dict):
        return replace(whole, reason=_MALFORMED)
    count = told.get("failure_count")
    disabled = bool(told.get("was_fatal")) or (isinstance(count, (int, float)) and count >= 3)
    reason = told.get("reason")
    said = _line(reason) if isinstance(reason, str) else ""
    # Agents before 2.8 give no reason.
    return replace(whole, disabled=disabled, reason=said or (say("it failed too often") if disabled else ""))


def _line(text: str) -> str:
    """One printable line without secrets."""
    return shown(" ".join(text[:4096].split()), 200)


def _python(agent: AgentFacts, root: Path) -> str:
    """The interpreter of the running daemon, else of the first line of the agent's program."""
    if agent.daemon_pid:
        try:
            daemon = process.read(agent.daemon_pid, root / "proc")
        except (OSError, ValueError, LookupError):
            daemon = None
        if daemon is not None and daemon.argv and "python" in daemon.argv[0]:
            return _line(daemon.argv[0])
    for place in layout.PROGRAMS:
        try:
            first = files.read(root / place.lstrip("/"), 1 << 20).split(b"\n", 1)[0]
        except (files.Unusable, OSError):
            continue
        if first.startswith(b"#!"):
            return _line(first[2:].decode("utf-8", "replace").strip())
    return ""
