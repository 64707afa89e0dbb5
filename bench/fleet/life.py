"""What happens to one simulated VM, and the snapshot (tests/data/snapshot.json) that its guard would give. Pure but for BASE.

A life is drawn from its number and the fleet's seed alone: the same fleet lives the same lives again. What changes at each scrape
(``moving``) is apart from what changes when something happens (``generation``), so that the rest can be kept rendered.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional

from waguard.judge.catalogue import CATALOGUE

BASE = Path(__file__).resolve().parents[2] / "tests" / "data" / "snapshot.json"
OBSERVERS = {"libdir": 0.0002, "version": 0.0008, "conf": 0.0003, "log": 0.0006, "packages": 0.0001, "snapshot": 0.0002,
             "wireserver": 0.0015}
"""Sources of the guard (guard/sources.py), and the seconds that a look takes about."""
TARGETS = ("hostplugin", "imds", "storage")
"""What the doctor probes besides the wire server."""
_BACKUP = "Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
HANDLERS = (_BACKUP, "Microsoft.Azure.Monitor.AzureMonitorLinuxAgent", "Microsoft.GuestConfiguration.ConfigurationforLinux",
            "Microsoft.Azure.Security.Monitoring.AzureSecurityLinuxAgent", "Microsoft.CPlat.Core.LinuxPatchExtension",
            "Microsoft.Azure.Extensions.CustomScript", "Microsoft.Azure.ActiveDirectory.AADSSHLoginForLinux",
            "Microsoft.Azure.AzureDefenderForServers.MDE.Linux", "Microsoft.Azure.NetworkWatcher.NetworkWatcherAgentLinux",
            "Microsoft.OSTCExtensions.VMAccessForLinux")
_HOW_MANY = (1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 10)
VERSIONS = ("2.7.3.0", "2.9.1.1", "2.11.1.4", "2.11.1.12", "2.12.0.2", "2.13.1.1")
RELEASES = ("0.1.0", "0.1.1", "0.2.0")
"""Of waguard itself: no fleet is of one version."""
SIGNATURES = ("goal-state-fetch-fails", "extension-process-timeout", "telemetry-fails")
MEAN = 900.0
"""Seconds between two events of a VM, on average."""
SILENT, REFUSED, ANSWERS = "silent", "refused", "answers"
Moving = Mapping[tuple[str, ...], float]


class Life:
    """One VM. ``at`` must not go back in time."""

    def __init__(self, number: int, seed: int, born: float) -> None:
        self.number = number
        self.generation = 0
        """Another number: what is not ``moving`` has changed."""
        self.reach = ANSWERS
        self.guard_up = True
        self._draw = random.Random(seed * 1_000_003 + number)
        self._born = born - self._draw.uniform(3600, 90 * 86400)
        self._at = born
        self._later: list[tuple[float, Callable[[float], None]]] = []
        self.release = self._draw.choices(RELEASES, (5, 3, 2))[0]
        self._facts = self._first(born)
        self._next = born + self._draw.expovariate(1 / MEAN)

    def _first(self, now: float) -> dict[str, Any]:
        """The snapshot at the beginning, without what moves."""
        facts: dict[str, Any] = json.loads(BASE.read_text())
        draw, agent, counters = self._draw, facts["agent"], facts["counters"]
        handlers = [_BACKUP, *draw.sample(HANDLERS[1:], draw.choice(_HOW_MANY) - 1)]
        version = draw.choices(VERSIONS, (1, 2, 4, 6, 5, 3))[0]
        agent["versions"] = {"daemon": draw.choice((version, VERSIONS[0])), "goal_state": version, "distro": None}
        agent["outdated"] = {"support_floor": version == VERSIONS[0], "distro": False, "upstream": version != VERSIONS[-1]}
        facts["catalogue"] = {name: entry.severity.value for name, entry in CATALOGUE.items()}
        facts["findings"] = [_finding(name) for name in draw.sample(list(CATALOGUE), draw.choice((0, 0, 1, 1, 2)))]
        facts["extensions"] = {name: draw.random() > 0.02 for name in handlers}
        facts["observers"] = {name: {"success": True, "duration": 0.0, "last_success": now, "error": None} for name in OBSERVERS}
        facts["probes"] = {name: {"success": draw.random() > 0.01, "duration": round(draw.uniform(0.001, 0.03), 6), "at": now,
                                  "error": None} for name in ("wireserver", *TARGETS)}
        counters["log_records"] = {source: {level: draw.randrange(5000) for level in ("VERBOSE", "INFO", "WARNING", "ERROR")}
                                   for source in ("waagent", *handlers[:2])}
        counters.update(agent_exits=draw.randrange(4), restart_attempts=draw.randrange(4), conf_changes=draw.randrange(3))
        facts["logs"] = {"tree_bytes": draw.randrange(1 << 20, 1 << 28),
                         "signatures": {name: draw.randrange(1, 50) for name in SIGNATURES if draw.random() < 0.3}}
        facts["backup"].update(last_snapshot=round(now - draw.uniform(0, 86400), 3), last_ok=draw.random() > 0.01)
        facts["backup"]["last_success"] = facts["backup"]["last_snapshot"]
        self._start_agent(facts, self._born)
        return facts

    # -- what is seen

    def at(self, now: float) -> None:
        """Lets everything happen that happens until then."""
        self._at = max(now, self._at)
        while True:
            self._later.sort(key=lambda entry: entry[0])
            if self._later and self._later[0][0] <= min(self._next, now):
                moment, what = self._later.pop(0)
                what(moment)
            elif self._next <= now:
                moment = self._next
                self._next += self._draw.expovariate(1 / MEAN)
                self._draw.choices(_EVENTS, _WEIGHTS)[0](self, moment)
            else:
                return
            self.generation += 1

    def snapshot(self) -> Optional[dict[str, Any]]:
        """What the guard would give now; None: it does not answer."""
        if not self.guard_up:
            return None
        found = copy.deepcopy(self._facts)
        for path, value in self.moving().items():
            node = found
            for key in path[:-1]:
                node = node[key]
            node[path[-1]] = value
        return found

    def moving(self) -> Moving:
        """What is another at each scrape, by its place in the snapshot. None of it while the guard does not answer."""
        if not self.guard_up:
            return {}
        found: dict[tuple[str, ...], float] = {}
        now, agent = self._at, self._facts["agent"]
        if agent["daemon"]["pid"] is not None:
            up = now - agent["daemon"]["started"]
            found[("agent", "daemon", "cpu_seconds")] = round(0.4 + up * 0.00002, 2)
            found[("agent", "handler", "cpu_seconds")] = round(1.5 + up * 0.0011 * (1 + self.number % 5), 2)
            pages = 7300 + int(up / 1800 + 3 * self._noise(4, 120))
            found[("agent", "handler", "resident_bytes")] = 4096 * pages
            if agent["state"] == "running":
                found[("agent", "heartbeat", "at")] = now - (now + self.number * 1.7) % 6
        found[("counters", "log_records", "waagent", "INFO")] = int((now - self._born) / (20 + self.number % 40))
        found[("probes", "wireserver", "duration")] = round(0.0008 + 0.002 * self._noise(0, 60), 6)
        for index, (name, about) in enumerate(OBSERVERS.items()):
            found[("observers", name, "duration")] = round(about * (0.6 + self._noise(8 + index, 1)), 6)
            found[("observers", name, "last_success")] = now - self._noise(32 + index, 1)
        return found

    def _noise(self, stream: int, period: float) -> float:
        """From 0 to 1, the same for as long as the period lasts."""
        mixed = (self.number * 2654435761 + stream * 40503 + int(self._at / period) * 2246822519) & 0xFFFFFFFF
        mixed = ((mixed ^ (mixed >> 15)) * 2246822519) & 0xFFFFFFFF
        return ((mixed ^ (mixed >> 13)) & 0xFFFFF) / 0xFFFFF

    # -- what happens

    def _after(self, moment: float, what: Callable[[float], None]) -> None:
        self._later.append((moment, what))

    def _start_agent(self, facts: dict[str, Any], now: float) -> None:
        agent = facts["agent"]
        agent["state"] = "running"
        agent["daemon"] = {"pid": self._draw.randrange(300, 60000), "started": round(now, 3), "cpu_seconds": 0.0,
                           "resident_bytes": self._draw.randrange(6000, 9000) * 4096, "state": "S"}
        agent["handler"] = {**agent["daemon"], "pid": agent["daemon"]["pid"] + 18}

    def _crash(self, now: float) -> None:
        """The agent ends; the guard starts it at once, or after the back-off of a crash loop."""
        agent, counters = self._facts["agent"], self._facts["counters"]
        if agent["daemon"]["pid"] is None:
            return
        agent["state"] = "down"
        nothing = dict.fromkeys(agent["daemon"])
        agent["daemon"], agent["handler"] = dict(nothing), dict(nothing)
        counters["agent_exits"] += 1
        counters["restart_attempts"] += 1
        self._find("agent-not-running", True)

        def back(moment: float) -> None:
            self._start_agent(self._facts, moment)
            counters["restarts"][self._draw.choice(("waguard", "waguard", "systemd"))] += 1
            self._find("agent-not-running", False)

        self._after(now + self._draw.choice((0.1, 0.1, 5.0, 90.0, 600.0)), back)

    def _hang(self, now: float) -> None:
        if self._facts["agent"]["state"] != "running":
            return
        self._facts["agent"]["state"] = "hung"
        self._find("agent-hung", True)
        self._after(now + self._draw.uniform(60, 600), self._unhang)

    def _unhang(self, now: float) -> None:
        self._find("agent-hung", False)
        if self._facts["agent"]["state"] == "hung":
            self._facts["counters"]["restarts"]["waguard"] += 1
            self._start_agent(self._facts, now)

    def _diagnosed(self, now: float) -> None:
        """The doctor finds something, for a while."""
        name = self._draw.choice(list(CATALOGUE))
        self._find(name, True)
        self._ready()

        def solved(moment: float) -> None:
            self._find(name, False)
            self._ready()

        self._after(now + self._draw.uniform(60, 3600), solved)

    def _find(self, name: str, active: bool) -> None:
        findings = [finding for finding in self._facts["findings"] if finding["id"] != name]
        self._facts["findings"] = [*findings, _finding(name)] if active else findings

    def _ready(self) -> None:
        self._facts["backup"]["ready"] = not any(CATALOGUE[finding["id"]].blocks for finding in self._facts["findings"])

    def _snapshot_taken(self, now: float) -> None:
        ok = self._draw.random() > 0.05
        self._facts["backup"].update(last_snapshot=round(now, 3), last_ok=ok)
        if ok:
            self._facts["backup"]["last_success"] = round(now, 3)
        self._find("snapshot-failed", not ok)

    def _extension(self, now: float) -> None:
        name = self._draw.choice(list(self._facts["extensions"]))
        self._facts["extensions"][name] = not self._facts["extensions"][name]

    def _verbose(self, now: float) -> None:
        held = self._facts["verbose"]["lease"] is not None
        self._facts["verbose"] = {"conf": not held, "lease": None if held else {"expires": round(now + 7200, 3)}}

    def _logged(self, now: float) -> None:
        for levels in self._facts["counters"]["log_records"].values():
            levels["WARNING"] += self._draw.randrange(5)
            levels["ERROR"] += self._draw.randrange(2)
        self._facts["logs"]["tree_bytes"] += self._draw.randrange(100_000)

    def _guard_gone(self, now: float) -> None:
        self.guard_up = False
        self._after(now + self._draw.uniform(30, 900), self._guard_back)

    def _guard_back(self, now: float) -> None:
        self.guard_up = True

    def _unreachable(self, now: float) -> None:
        self.reach = self._draw.choice((SILENT, REFUSED))
        self._after(now + self._draw.uniform(30, 900), self._reachable)

    def _reachable(self, now: float) -> None:
        self.reach = ANSWERS


def _finding(name: str) -> dict[str, Any]:
    return {"id": name, "severity": CATALOGUE[name].severity.value}


_EVENTS = (Life._crash, Life._hang, Life._diagnosed, Life._snapshot_taken, Life._extension, Life._verbose, Life._logged,
           Life._guard_gone, Life._unreachable)
_WEIGHTS = (20, 5, 25, 10, 5, 5, 20, 5, 5)
