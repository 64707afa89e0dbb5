"""Every look of a visit: which observer, with what, and for how long. One that fails or hangs harms no other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional

from waguard.agent.facts import AgentFacts
from waguard.i18n import message, say
from waguard.observe import Known, Observation, Unknown
from waguard.settings import Settings

Progress = Callable[[str], None]


@dataclass
class Visit:
    """What a look may ask. ``state``: what each look left behind at the last visit, by its name. ``wall``: epoch seconds."""

    settings: Settings
    agent: AgentFacts
    privileged: bool
    azure: Optional[bool]
    wall: float
    now: float
    state: Mapping[str, Any] = field(default_factory=dict)
    probed: Optional[Mapping[str, Any]] = None
    """The guard's last word on the wire server (observe/network.py, Target), so that nobody asks it twice within a minute."""
    proxy: Optional[str] = None
    """The proxy that the agent would use for storage, from waagent.conf; None for none."""

    def left(self, name: str) -> Optional[Mapping[str, Any]]:
        """What the look of this name left behind; None when there is nothing usable."""
        found = self.state.get(name)
        return found if isinstance(found, Mapping) else None


@dataclass(frozen=True)
class Look:
    """One look: the field of ``Case`` it fills, what it is called while it is waited for, and how it is done."""

    name: str
    title: str
    do: Callable[[Visit], Any]


def _conf(visit: Visit) -> Any:
    from pathlib import Path

    from waguard.observe import confstudy

    return confstudy.study(Path(visit.agent.conf))


def _extensions(visit: Visit) -> Any:
    from waguard.observe import extensions

    return extensions.look(visit.agent)


def _snapshots(visit: Visit) -> Any:
    from waguard.observe import snapshots

    return snapshots.look(visit.agent, visit.wall)


def _interpreters(visit: Visit) -> Any:
    from waguard.observe import interpreters

    return interpreters.look(visit.agent, visit.left("interpreters"))


def _network(visit: Visit) -> Any:
    from waguard.observe import network

    left = dict(visit.left("network") or {})
    if visit.probed is not None:
        kept = left.get("targets")
        left["targets"] = [*(kept if isinstance(kept, list) else ()), visit.probed]
    return network.look(visit.settings.network, visit.agent, visit.privileged, state=left, wall=visit.wall)


def _leases(visit: Visit) -> Any:
    from waguard.observe import leases

    return leases.look(visit.agent, wall=visit.wall)


def _clocksync(visit: Visit) -> Any:
    from waguard.observe import clocksync

    return clocksync.look(visit.left("clocksync"), visit.wall, visit.now)


def _load(visit: Visit) -> Any:
    from waguard.observe import load

    return load.look(visit.settings.resources, visit.agent, visit.left("load"), visit.now)


def _filesystems(visit: Visit) -> Any:
    from waguard.observe import filesystems

    return filesystems.look(visit.settings.resources, visit.agent)


def _mounts(visit: Visit) -> Any:
    from waguard.observe import mounts

    return mounts.look(visit.settings.resources, visit.left("mounts"), visit.now)


def _logtree(visit: Visit) -> Any:
    from waguard.observe import logtree

    return logtree.look(visit.agent, visit.settings.logs, visit.left("logtree"), wall=visit.wall)


def _software(visit: Visit) -> Any:
    from waguard.observe import software

    return software.look(visit.agent, state=visit.left("software"))


def _releases(visit: Visit) -> Any:
    from waguard.observe import releases

    # Nothing is fetched from the internet by a machine that is not on Azure, unless somebody set the feed.
    allowed = visit.azure is True or "versions.feed" in visit.settings.origins
    return releases.look(visit.settings.versions, visit.left("releases"), visit.wall, visit.proxy, allowed)


CONF = Look("conf", "waagent.conf", _conf)
LOOKS: Sequence[Look] = (
    Look("network", message("the network"), _network),
    Look("leases", message("DHCP leases"), _leases),
    Look("extensions", message("extensions"), _extensions),
    Look("snapshots", message("snapshots"), _snapshots),
    Look("interpreters", message("Python for the extensions"), _interpreters),
    Look("filesystems", message("file systems"), _filesystems),
    Look("mounts", message("mounts"), _mounts),
    Look("load", message("load"), _load),
    Look("clocksync", message("the clock"), _clocksync),
    Look("logtree", message("logs"), _logtree),
    Look("software", message("installed versions"), _software),
    Look("releases", message("new releases"), _releases),
)


def look(wanted: Sequence[Look], visit: Visit, deadline: float, progress: Progress) -> dict[str, Observation[Any]]:
    """Do all of them side by side, in a thread each; what is not in after ``deadline`` seconds is Unknown.

    A late thread is left behind: it is a daemon thread, and the process ends soon.
    """
    found: dict[str, Observation[Any]] = {}
    changed = threading.Condition()

    def run(one: Look) -> None:
        try:
            value: Any = one.do(visit)
            seen: Observation[Any] = Known(value, time.clock_gettime(time.CLOCK_BOOTTIME))
        except Exception as error:  # Whatever it is, it is told, and harms no other look.
            seen = Unknown(_why(error), time.clock_gettime(time.CLOCK_BOOTTIME))
        with changed:
            found[one.name] = seen
            changed.notify()

    for one in wanted:
        threading.Thread(target=run, args=(one,), name=f"look-{one.name}", daemon=True).start()
    titles = {one.name: one.title for one in wanted}
    end = time.monotonic() + deadline
    told: Optional[str] = None
    with changed:
        while len(found) < len(wanted):
            waiting = next(title for name, title in titles.items() if name not in found)
            if waiting != told:
                told = waiting
                progress(waiting)
            left = end - time.monotonic()
            if left <= 0 or not changed.wait(left):
                break
        # As of what was never looked at: that a slow machine did not get round to it says nothing of what was to be seen.
        late = Unknown(say("no answer within {seconds:g} s", seconds=deadline), 0.0)
        return {one.name: found.get(one.name, late) for one in wanted}


def _why(error: Exception) -> str:
    text = str(getattr(error, "strerror", None) or error)
    name = getattr(error, "filename", None)
    if isinstance(error, OSError) and name:
        text = f"{name}: {text}"
    if not isinstance(error, OSError) and type(error).__module__ == "builtins":
        text = f"{type(error).__name__}: {text}"  # A fault of ours: its kind is what tells.
    return text[:300]
