"""waagent.conf looked at closely: what a person should look at in it, and whether it is still as its package has it.

Packages keep a digest of it: dpkg in the ``Conffiles`` field of /var/lib/dpkg/status (dpkg-query(1)), rpm in its database
(rpm(8), --queryformat; numbers of algorithms are those of RFC 4880, 9.4).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

from waguard.agent import conf, layout
from waguard.agent.shown import shown
from waguard.i18n import say
from waguard.observe import files
from waguard.observe.conf import LIMIT, ConfFacts
from waguard.observe.conf import facts as conf_facts

_STATUS_LIMIT = 64 << 20
_LINE_LIMIT = 65536
_RPM_SECONDS = 3.0
_RPM_BASES = ("var/lib/rpm", "usr/lib/sysimage/rpm")
_RPM_QUERY = r"[%{=NAME}\t%{=FILEDIGESTALGO}\t%{FILEFLAGS}\t%{FILEDIGESTS}\t%{FILENAMES}\n]"
_RPM_ALGORITHMS = {"(none)": "md5", "0": "md5", "1": "md5", "2": "sha1", "8": "sha256", "9": "sha384", "10": "sha512",
                   "11": "sha224"}
_PORTS = range(1, 65536)


@dataclass(frozen=True)
class Proxy:
    """HttpProxy.Host, without a login that may stand in it, and HttpProxy.Port; None for one that is not set.

    The agent uses them together or not at all (azurelinuxagent/common/utils/restutil.py).
    """

    host: Optional[str]
    port: Optional[int]

    @property
    def url(self) -> Optional[str]:
        """The proxy that the agent uses; None when it uses none, or one that cannot be."""
        if not self.host or self.port not in _PORTS:
            return None
        bare = ":" in self.host and not self.host.startswith("[")
        return f"http://[{self.host}]:{self.port}" if bare else f"http://{self.host}:{self.port}"


@dataclass(frozen=True)
class AutoUpdate:
    """AutoUpdate.Enabled and AutoUpdate.UpdateToLatestVersion as the agent reads them, each with its line, None for a default.

    Agents before 2.10 know only the first. Newer ones use the second, and where it is not set the first is its default.
    """

    enabled: bool
    enabled_line: Optional[int]
    latest: bool
    latest_line: Optional[int]


@dataclass(frozen=True)
class ConfStudy:
    """One close look. A file that is missing or that the agent refuses is told in ``facts``; the rest are then the defaults.

    ``drift``: the file differs from the one in ``package``; None is not known, and ``drift_why`` says why. ``modified``: epoch
    seconds. ``settings``: how many keys the file sets. ``proxy``: None when neither half of it is set. Texts hold no secrets.
    """

    facts: ConfFacts
    problems: tuple[conf.Problem, ...]
    drift: Optional[bool]
    drift_why: str
    package: str
    proxy: Optional[Proxy]
    autoupdate: AutoUpdate
    endpoint_discovery: str
    provisioning_agent: str
    extension_log_dir: str
    settings: int = 0
    modified: Optional[float] = None

    @property
    def proxy_url(self) -> Optional[str]:
        """The proxy that the agent uses for storage, from this file alone; None for none."""
        return self.proxy.url if self.proxy is not None else None


@dataclass(frozen=True)
class _Packaged:
    """What a package database knows of one file. ``why`` there is no digest to compare, when there is none."""

    package: str
    algorithm: str = "md5"
    digest: str = ""
    why: str = ""


def study(path: Path, root: Path = Path("/")) -> ConfStudy:
    """Look at the file ``path``. ``root`` is where the machine's tree begins, for its package database.

    A missing file is a fact, not an error. Raises files.Unusable when it cannot be read; takes 3 s at most for rpm.
    """
    try:
        data = files.read(path, LIMIT)
    except FileNotFoundError:
        return _of(path, conf.parse(b""), say("{path} is missing", path=path),
                   _Packaged("", why=say("the file is missing")))
    parsed = conf.parse(data)
    try:
        packaged = _packaged(path, root)
    except files.Unusable as error:
        packaged = _Packaged("", why=str(error))
    except OSError as error:
        packaged = _Packaged("", why=f"{error.filename}: {error.strerror}")
    return _of(path, parsed, "", packaged)


def _of(path: Path, parsed: conf.Conf, problem: str, packaged: _Packaged) -> ConfStudy:
    host, port = parsed.string("HttpProxy.Host"), parsed.integer("HttpProxy.Port")
    enabled, latest = (parsed.effective(f"AutoUpdate.{key}") for key in ("Enabled", "UpdateToLatestVersion"))
    return ConfStudy(
        facts=conf_facts(path, parsed, problem), problems=conf.lint(parsed),
        drift=None if packaged.why else _digest(parsed.data, packaged.algorithm) != packaged.digest,
        drift_why=packaged.why, package=packaged.package,
        proxy=None if host is None and port is None else Proxy(None if host is None else _host(host), port),
        autoupdate=AutoUpdate(enabled.value is True, enabled.line, latest.value is True, latest.line),
        endpoint_discovery=shown(parsed.string("Protocol.EndpointDiscovery") or ""),
        provisioning_agent=shown(parsed.string("Provisioning.Agent") or ""),
        extension_log_dir=parsed.string("Extension.LogDir") or layout.EXTENSION_LOG_DIR,
        settings=sum(one.value is not None for one in parsed.last.values()), modified=_modified(path))


def _host(text: str) -> str:
    """Without scheme, login and path: "http://user:password@proxy/" is "proxy"."""
    return shown(text.rpartition("@")[2].rpartition("://")[2].partition("/")[0].partition("?")[0], 255)


def _modified(path: Path) -> Optional[float]:
    try:
        return os.stat(path).st_mtime
    except (OSError, ValueError):
        return None


def _digest(data: bytes, algorithm: str) -> str:
    import hashlib  # OpenSSL; not needed where no package knows the file

    return hashlib.new(algorithm, data, usedforsecurity=False).hexdigest()


def _packaged(path: Path, root: Path) -> _Packaged:
    """What the machine's package database says. Raises files.Unusable or OSError when it cannot be read."""
    names = list(dict.fromkeys(_inside(full(path), full(root)) for full in (os.path.abspath, os.path.realpath)))
    status = root / "var/lib/dpkg/status"
    listed = _dpkg(status, names) if status.exists() else None
    return listed or _rpm(names, root) or _Packaged("", why=say("no package lists it"))


def _inside(path: str, root: str) -> str:
    """The name of a path in the tree of ``root``, as the package database of that tree has it."""
    top = root.rstrip("/")
    return path[len(top):] if path.startswith(f"{top}/") else path


def _dpkg(status: Path, names: list[str]) -> Optional[_Packaged]:
    """The entry of the package that is installed; else of one that was removed and left its conffiles behind."""
    wanted = {os.fsencode(name) for name in names}
    left = None
    for package, installed, entry in _conffiles(status, wanted):
        digest, flags = entry[0].decode("ascii", "replace"), entry[1:]
        if not installed or b"obsolete" in flags:
            left = _Packaged(package, why=say("{package} has it no more", package=package) if installed
                             else say("{package} was removed", package=package))
        elif len(digest) != 32:
            # "newconffile": its unpacking is under way.
            return _Packaged(package, why=say("{package} has no digest of it", package=package))
        else:
            return _Packaged(package, digest=digest)
    return left


def _conffiles(status: Path, wanted: set[bytes]) -> Iterator[tuple[str, bool, list[bytes]]]:
    """(package, is it installed, words behind the name) of each conffile of a wanted name."""
    package, installed, field, found = "", False, b"", []
    for line in _lines(status):
        if line[:1] in (b" ", b"\t"):
            name, _, rest = line[1:].partition(b" ")
            if field == b"Conffiles" and name in wanted and rest.split():
                found.append(rest.split())
            continue
        field, _, value = line.partition(b":")
        if field == b"Package":
            package = shown(value.strip().decode("utf-8", "replace"))
        elif field == b"Status":
            installed = value.split()[-1:] not in ([b"config-files"], [b"not-installed"])
        elif not line.strip():
            yield from ((package, installed, entry) for entry in found)
            package, installed, found = "", False, []
    yield from ((package, installed, entry) for entry in found)


def _lines(path: Path) -> Iterator[bytes]:
    """Lines of a regular file, one at a time: it has several MB. Raises files.Unusable beyond 64 MiB."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise files.Unusable(say("{path}: not a regular file", path=path))
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY), "rb") as stream:
        size = 0
        while True:
            line = stream.readline(_LINE_LIMIT)
            size += len(line)
            if not line:
                return
            if size > _STATUS_LIMIT:
                raise files.Unusable(say("{path}: larger than {size} MiB", path=path, size=_STATUS_LIMIT >> 20))
            yield line.rstrip(b"\n")


def _rpm(names: list[str], root: Path) -> Optional[_Packaged]:
    program = root / "usr/bin/rpm"
    if not program.exists() or not any((root / base).is_dir() for base in _RPM_BASES):
        return None
    from waguard.observe import programs

    ran = programs.run([str(program), "-q", "--queryformat", _RPM_QUERY, "-f", *names], _RPM_SECONDS, 1 << 20)
    if ran.problem:
        return _Packaged("", why=say("rpm: {said_why}", said_why=ran.trouble))
    for line in ran.output.splitlines():
        name, algorithm, flags, digest, file = (*line.split("\t", 4), "", "", "", "")[:5]
        if file in names:
            if not digest or algorithm not in _RPM_ALGORITHMS:
                return _Packaged(shown(name), why=say("{package} has no digest of it", package=shown(name)))
            return _Packaged(shown(name), _RPM_ALGORITHMS[algorithm], digest)
    if "is not owned by any package" in ran.output:
        return None
    return _Packaged("", why=say("rpm: {said_why}", said_why=ran.trouble or say("no answer")))
