"""Azure's own addresses and storage: does each of them answer?

Harmless questions only, direct, each address once a minute at most, all at the same time with a deadline
(WALinuxAgent azurelinuxagent/common/protocol/{wire,hostplugin,imds}.py for what the agent asks). To be called only on Azure.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from waguard.agent import layout, routes, statusblob
from waguard.agent.routes import Route
from waguard.i18n import message, say
from waguard.observe import files, probes, programs
from waguard.observe.probes import Kind, Told
from waguard.settings import NetworkSettings

if TYPE_CHECKING:
    from waguard.agent.facts import AgentFacts

_GOAL_STATE_LIMIT = 8 << 20
_NAMES = 20000
_SMALL = 1 << 18
_MOST_STORAGE = 4
_GRACE = 1.0
_SYSTEMCTL = 0.7
_HTTPS = 443
_NOT_ROOT = message("for an ordinary user that proves nothing, since the agent's firewall lets only root through")
_FIREWALLED = frozenset(("wireserver", "hostplugin"))
_PROXY = re.compile(r"(?i)(?:https?|all|no)_proxy")
_URL = re.compile(r"(?:([A-Za-z0-9+.-]{1,10})://)?(?:[^/]*@)?(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(:[0-9]{1,5})?(?:/.*)?")


@dataclass(frozen=True)
class Target:
    """What became of one probe. ``success`` is None when it proves nothing; ``problem`` is a sentence and "" on success.

    ``name``: wireserver, hostplugin, imds, dns or storage. ``duration`` in seconds. ``kind`` is one of probes.Kind. ``at``: epoch
    seconds of the probe; ``reused`` when that was an earlier visit's.
    """

    name: str
    address: str
    success: Optional[bool]
    duration: Optional[float]
    problem: str
    kind: str
    at: float = 0.0
    reused: bool = False


@dataclass(frozen=True)
class Network:
    """``storage_why``: why no storage is probed. ``route``: of the main table; ``routable``: by all of the kernel's rules.

    ``proxies``: names and addresses of the agent's proxy variables, without logins; None if not known. ``proxies_why``: what
    kept from reading them where they count, also when the unit's settings stand in for them.
    """

    targets: tuple[Target, ...]
    storage_why: str
    route: Optional[Route]
    routable: Optional[bool]
    proxies: Optional[tuple[tuple[str, str], ...]]
    proxies_why: str
    state: Mapping[str, Any] = field(default_factory=dict)

    def named(self, name: str) -> tuple[Target, ...]:
        return tuple(target for target in self.targets if target.name == name)


_Tell = Callable[[Target], None]


def look(settings: NetworkSettings, agent: AgentFacts, privileged: bool, root: Path = Path("/"),
         state: Optional[Mapping[str, Any]] = None, wall: float = 0.0, systemctl: str = "systemctl") -> Network:
    """Takes ``probe_timeout`` and two seconds at most. ``wall``: epoch seconds, 0: the clock's. ``state``: of the last look."""
    wall = wall or time.time()
    hosts, storage_why = _storage(settings, agent, root)
    work = {("wireserver", settings.wireserver): _http("/?comp=versions", wanted=b"<Versions"),
            ("hostplugin", settings.hostplugin): _http("/versions"),
            # 429 is throttling: somebody is there.
            ("imds", settings.imds): _http("/metadata/instance?api-version=2018-02-01", "Metadata: true\r\n", frozenset((429,))),
            **{("storage", host): _store for host in hosts}}
    known = _known(state or {}, wall, settings.probe_interval)
    found = _probe({key: job for key, job in work.items() if key not in known}, settings.probe_timeout, wall, privileged)
    targets: list[Target] = []
    for name, address in work:
        if name == "storage":
            targets += [one[("dns", address)] for one in (known, found) if ("dns", address) in one]
        targets.append(known.get((name, address)) or found[(name, address)])
    split = probes.split(settings.wireserver)
    wireserver = split[0] if split else ""
    proxies, proxies_why = _proxies(agent, root, systemctl)
    return Network(tuple(targets), storage_why, routes.to(_routes(root), wireserver), probes.routable(wireserver), proxies,
                   proxies_why, {"targets": [asdict(replace(target, reused=False)) for target in targets]})


_Job = Callable[[str, str, float, _Tell], None]


def _http(path: str, headers: str = "", alive: frozenset[int] = frozenset(), wanted: bytes = b"") -> _Job:
    def job(name: str, address: str, timeout: float, tell: _Tell) -> None:
        begun = time.monotonic()
        split = probes.split(address)
        told = probes.http(*split, path, timeout, headers, wanted, alive) if split is not None else Told(
            Kind.NO_ADDRESS, say("{address} is no address with a port", address=address))
        tell(_target(name, address, told, time.monotonic() - begun))

    return job


def _store(name: str, address: str, timeout: float, tell: _Tell) -> None:
    """Resolve, connect, TLS handshake: no request is made."""
    begun = time.monotonic()
    split = probes.split(address, _HTTPS)
    if split is None:
        tell(_target(name, address, Told(Kind.NO_ADDRESS, say("{address} is no host name", address=address)), 0.0))
        return
    host, port = split
    addresses, why = probes.resolve(host, port)
    took = time.monotonic() - begun
    resolved = Told(Kind.OK)
    if why:
        resolved = Told(Kind.UNRESOLVED, say("{address} cannot be resolved: {said_why}", address=address, said_why=why))
    if not probes.numeric(host):
        tell(_target("dns", address, resolved, took))
    if why:
        tell(_target(name, address, resolved, took))
        return
    import ssl

    begun = time.monotonic()
    told = probes.tls(address, host, addresses, begun + timeout - took, timeout, ssl.create_default_context())
    tell(_target(name, address, told, time.monotonic() - begun))


def _target(name: str, address: str, told: Told, duration: float) -> Target:
    return Target(name, address, told.kind == Kind.OK, duration, told.problem, told.kind)


def _probe(work: Mapping[tuple[str, str], _Job], timeout: float, wall: float,
           privileged: bool) -> dict[tuple[str, str], Target]:
    """All at once. What is not back in its time, as a resolver that does not give up, is left to its thread."""
    import threading

    found: dict[tuple[str, str], Target] = {}

    def tell(target: Target) -> None:
        if not privileged and target.name in _FIREWALLED and target.kind == Kind.DROPPED:
            target = replace(target, success=None, problem=f"{target.problem}; {_NOT_ROOT}")
        found[(target.name, target.address)] = replace(target, at=wall)

    threads = []
    for (name, address), job in work.items():
        threads.append(threading.Thread(target=job, args=(name, address, timeout, tell), name=f"probe {name}", daemon=True))
        threads[-1].start()
    until = time.monotonic() + timeout + _GRACE
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    back = dict(found)
    for name, address in work:
        if (name, address) not in back:
            lost = name == "storage" and ("dns", address) not in back
            told = Told(Kind.UNRESOLVED, say("{address} cannot be resolved: no answer within {seconds:g} s", address=address,
                                             seconds=timeout)) if lost else Told(
                Kind.FAILED, say("{address} has not answered within {seconds:g} s", address=address, seconds=timeout))
            for each in ("dns", name) if lost else (name,):
                back[(each, address)] = replace(_target(each, address, told, timeout), at=wall)
    return back


def _known(state: Mapping[str, Any], wall: float, interval: float) -> dict[tuple[str, str], Target]:
    """Results of the look before that are younger than ``interval``, by name and address."""
    found: dict[tuple[str, str], Target] = {}
    kept = state.get("targets")
    for one in kept if isinstance(kept, list) else ():
        try:
            success, duration = one["success"], one["duration"]
            target = Target(str(one["name"]), str(one["address"]), success if isinstance(success, bool) else None,
                            None if duration is None else float(duration), str(one["problem"]), str(one["kind"]),
                            float(one["at"]), True)
        except (LookupError, TypeError, ValueError):
            continue
        if 0 <= wall - target.at < interval:
            found[(target.name, target.address)] = target
    return found


def _storage(settings: NetworkSettings, agent: AgentFacts, root: Path) -> tuple[tuple[str, ...], str]:
    """Hosts to probe, and why there are none."""
    if settings.storage:
        return tuple(dict.fromkeys(settings.storage))[:_MOST_STORAGE], ""
    lib = root / agent.lib_dir.lstrip("/")
    try:
        history = files.names(lib / layout.HISTORY, _NAMES) if (lib / layout.HISTORY).is_dir() else []
        names = statusblob.candidates(files.names(lib, _NAMES), history)
    except FileNotFoundError:
        return (), say("{path} does not exist, so the host of the agent's status blob is not known", path=lib)
    except (OSError, files.Unusable) as error:
        return (), say("the host of the agent's status blob is not known: {said_why}", said_why=error)
    for name in names:
        try:
            host = statusblob.host(files.read(lib / name, _GOAL_STATE_LIMIT))
        except (OSError, files.Unusable):
            continue
        if host is not None:
            return (host,), ""
    return (), say("no goal state in {path} names a status blob", path=lib)


def _routes(root: Path) -> tuple[Route, ...]:
    try:
        return routes.parse(files.read(root / "proc/net/route", _SMALL).decode("ascii", "replace"))
    except (OSError, files.Unusable):
        return ()


def _proxies(agent: AgentFacts, root: Path, systemctl: str) -> tuple[Optional[tuple[tuple[str, str], ...]], str]:
    """The proxy variables of the agent's daemon, which its handler and the extensions inherit.

    Without CAP_SYS_PTRACE the environment of a process with more capabilities may not be read (ptrace(2)); then the unit's is
    taken, which lacks what the service manager itself or an EnvironmentFile= adds.
    """
    if not agent.daemon_pid:
        return None, say("the agent does not run")
    try:
        data = files.read(root / "proc" / str(agent.daemon_pid) / "environ", _SMALL)
        return _chosen(data.decode("utf-8", "replace").split("\0")), ""
    except (OSError, files.Unusable) as error:
        why = say("the agent's environment cannot be read: {said_why}", said_why=error)
    if not agent.unit:
        return None, why
    import shlex

    shown = programs.run((systemctl, "show", "-p", "Environment", "-p", "EnvironmentFiles", agent.unit), _SYSTEMCTL)
    values = dict(line.split("=", 1) for line in shown.output.splitlines() if "=" in line)
    try:
        found = _chosen(shlex.split(values["Environment"]))
    except (LookupError, ValueError):
        return None, why
    return found if found or not values.get("EnvironmentFiles") else None, why


def _chosen(words: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for word in words:
        name, _, value = word.partition("=")
        if value and _PROXY.fullmatch(name):
            found.append((name, _bare(name, value)))
    return tuple(sorted(found)[:20])


def _bare(name: str, value: str) -> str:
    """A proxy's address without what may be secret in it."""
    if name.lower() == "no_proxy":
        return re.sub(r"[^\w.,:*/ \[\]-]", "?", value, flags=re.ASCII)[:500]
    match = _URL.fullmatch(value.strip())
    if match is None:
        return say("set, but no address")
    return (f"{match.group(1)}://" if match.group(1) else "") + match.group(2) + (match.group(3) or "")
