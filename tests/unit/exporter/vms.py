"""Snapshots of VMs in several states, for the tests of the status page."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from waguard.judge.catalogue import CATALOGUE, Finding
from waguard.judge.diagnosis import finding_json

DATA = Path(__file__).resolve().parents[2] / "data" / "snapshot.json"
SCRIPT = "<script>alert(1)</script>"
IMAGE = "\"'><img src=x onerror=alert(1)>"
LONG = "/mnt/" + "a-name-without-any-place-to-break-it" * 12
PLACES = {"unit": "walinuxagent.service", "conf": "/etc/waagent.conf", "log": "/var/log/waagent.log", "pid": "412"}
VERSIONS = {
    "outdated": {"support_floor": False, "distro": True, "upstream": True}, "goal_state": "2.11.1.4", "daemon": "2.7.3.0",
    "package": "waagent", "installed": "2.7.3.0-4.1", "candidate": "2.7.3.0-4.2", "candidate_at": 1763540000.0,
    "candidate_unknown": None, "disabled": [], "upstream": "2.15.0.1", "upstream_released": "2025-10-02", "upstream_source": "feed",
    "upstream_fetched_at": 1763520000.0, "upstream_problem": None, "support_floor": "2.2.53.1",
    "upgrade": "apt-get update && apt-get install --only-upgrade waagent",
}


def sample() -> dict[str, Any]:
    """tests/data/snapshot.json, to be changed at will."""
    found: dict[str, Any] = json.loads(DATA.read_text())
    return found


def healthy() -> dict[str, Any]:
    """All is well, and all is known."""
    snapshot = sample()
    snapshot["findings"] = []
    snapshot["agent"]["unit"]["restart"] = "always"
    snapshot["probes"]["storage"] = {"success": True, "duration": 0.021, "at": 1763556000.0, "error": None}
    snapshot["probes"]["hostplugin"] = {"success": True, "duration": 0.0018, "at": 1763556000.0, "error": None}
    snapshot["extensions"]["Microsoft.Azure.Monitor.AzureMonitorLinuxAgent"] = True
    snapshot["doctor"]["parts"] = [
        {"name": "agent", "title": "Agent", "says": "running: last seen working 3s ago by its status file", "ok": True},
        {"name": "versions", "title": "Versions", "says": "goal state agent 2.11.1.4, daemon 2.7.3.0", "ok": True,
         "facts": {**VERSIONS, "outdated": {"support_floor": False, "distro": False, "upstream": True}}},
        {"name": "conf", "title": "Conf", "says": "/etc/waagent.conf is sound", "ok": True},
        {"name": "network", "title": "Network", "says": "wire server, host plugin, metadata service and storage answer", "ok": True},
        {"name": "extensions", "title": "Extensions", "says": "VMSnapshotLinux is ready", "ok": True},
        {"name": "snapshot", "title": "Snapshot", "says": "the last one succeeded 1h26m ago", "ok": True, "facts": {}},
        {"name": "filesystems", "title": "File systems", "says": "4 of 4 answer and have room", "ok": True},
        {"name": "load", "title": "Load", "says": "CPU 4 %, memory 61 % free", "ok": True},
        {"name": "clock", "title": "Clock", "says": "synchronised by chrony", "ok": True}]
    snapshot["events"] += [
        {"seq": 2, "at": 1763550003.2, "id": "agent-action", "message": "starting walinuxagent.service: it ended by itself", "fields": {}},
        {"seq": 3, "at": 1763550003.4, "id": "agent-started", "message": "agent daemon 412 was started by waguard", "fields": {}},
        {"seq": 4, "at": 1763550031.0, "id": "agent-proved", "message": "the agent works again: unit, handler and heartbeat", "fields": {}}]
    return snapshot


def found(name: str, evidence: str, since: float, **values: str) -> dict[str, Any]:
    """A finding as the guard tells of it."""
    return finding_json(Finding(name, evidence, tuple(values.items())), since, PLACES)


def troubled() -> dict[str, Any]:
    """Much is wrong, a lease is held, and whoever named handlers and mounts means harm."""
    snapshot = healthy()
    snapshot["verdict"] = {"level": "critical", "summary": "agent is running, but a filesystem that the agent needs is full"}
    snapshot["findings"] = [
        found("disk-full", "/var has 12 MiB free of 20 GiB", 1763550003.0, mount="/var"),
        found("extension-cannot-load", f"{SCRIPT} ended with exit status 126", 1763550100.0, handler=SCRIPT),
        found("wireserver-unreachable", "no connection to 168.63.129.16:80: timed out", 1763556000.0),
        found("mount-unresponsive", f"{LONG} does not answer", 1763470000.0, mount=LONG),
        found("extension-not-ready", f"{IMAGE} is NotReady; Microsoft.Azure.Monitor.AzureMonitorLinuxAgent is NotReady", 1763550100.0,
              handler=IMAGE),
        found("agent-behind-distro", "waagent 2.7.3.0-4.1 is installed, 2.7.3.0-4.2 is offered", 1763300000.0,
              upgrade=VERSIONS["upgrade"]),
        found("log-flood", "500 records a minute in /var/log/\u202egol.tneg", 1763556100.0, path="/var/log/waagent.log"),
        found("agent-autorestart-missing", "walinuxagent.service has Restart=no", 1763550003.0)]
    snapshot["backup"].update(
        ready=False, says="a snapshot asked for now would fail: a filesystem that the agent needs is full, and 2 more",
        causes=["wireserver-unreachable", "extension-cannot-load", "disk-full"], last_ok=False, outcome="error", code=400039,
        link="the agent does not receive or process the goal state")
    snapshot["extensions"] = {"Microsoft.Azure.RecoveryServices.VMSnapshotLinux": True, SCRIPT: False, IMAGE: None}
    snapshot["probes"]["wireserver"] = {"success": False, "duration": 2.0, "at": 1763556180.0, "error": "timed out"}
    parts = {part["name"]: part for part in snapshot["doctor"]["parts"]}
    for name, ok, says in (("filesystems", False, f"/var is full; {LONG} does not answer"), ("network", False, "wire server: timed out"),
                           ("extensions", False, f"{SCRIPT} is not ready"), ("clock", None, "neither chronyc nor timedatectl tells")):
        parts[name].update(ok=ok, says=says)
    snapshot["verbose"] = {"conf": True, "lease": {
        "phase": "active", "path": "/etc/waagent.conf", "line": 3, "granted": 1763556000.0, "expires": 1763559812.0,
        "remaining": "1h", "restart": True, "by": "root"}}
    snapshot["policy"]["holding"] = "the wire server does not answer"
    snapshot["events"].append({"seq": 5, "at": 1763556000.0, "id": "finding-raised",
                               "message": f"extension-not-ready: \x1b[2J{IMAGE} is NotReady", "fields": {}})
    return snapshot


def young() -> dict[str, Any]:
    """The guard has only just started: next to nothing is known yet."""
    snapshot = sample()
    snapshot["verdict"] = {"level": "unknown", "summary": "the guard has only just started"}
    snapshot["agent"] = {
        "state": "unknown", "unit": None, "unit_unknown": "not looked at yet", "daemon": None, "handler": None,
        "versions": dict.fromkeys(("daemon", "goal_state", "distro")), "busy": None, "rests": None, "outdated": {},
        "heartbeat": dict.fromkeys(("at", "source", "status_at", "status_path", "line_at", "id", "counter")),
        "conf": {"path": "/etc/waagent.conf", "valid": None, "error": "not looked at yet", "verbose": None}}
    snapshot.update(findings=[], observers={}, doctor=None, extensions={}, events=[], verbose={"conf": None, "lease": None},
                    logs={"tree_bytes": None, "signatures": {}},
                    probes={"wireserver": {"success": None, "duration": None, "at": None, "error": "not looked at yet"}})
    snapshot["backup"] = {"ready": None, "says": "not looked at yet", "causes": [], "link": None, "last_snapshot": None,
                          "last_success": None, "last_ok": None, "outcome": None, "code": None}
    return snapshot


def crowded() -> dict[str, Any]:
    """More of everything than a page has room for, in letters that grow when they are escaped."""
    snapshot = troubled()
    evil = "<'\"&>" * 130
    one = {**snapshot["findings"][0], "evidence": evil, "remedy": evil, "summary": evil, "link": evil}
    snapshot["findings"] = [{**one, "id": name} for name in CATALOGUE] + [{**one, "id": evil}] * 100
    snapshot["events"] = [{"seq": n, "at": 1763550000.0 + n, "id": "x", "message": evil, "fields": {}} for n in range(100)]
    snapshot["extensions"] = {f"{n} {evil}": bool(n % 2) for n in range(100)}
    snapshot["probes"] = {f"{n} {evil}": {"success": False, "duration": 1.0, "at": 1.0, "error": evil} for n in range(100)}
    snapshot["doctor"]["parts"] += [{"name": evil, "title": evil, "says": evil, "ok": None}] * 100
    snapshot["doctor"]["parts"][1]["facts"] = {**VERSIONS, **dict.fromkeys(("goal_state", "daemon", "package", "candidate", "upstream"), evil)}
    snapshot["backup"].update(says=evil, causes=[evil] * 100, link=evil, outcome=evil)
    snapshot["verdict"] = {"level": evil, "summary": evil}
    snapshot["agent"]["unit"].update(name=evil, active=evil, file_state=evil)
    snapshot["agent"]["conf"].update(valid=False, error=evil)
    snapshot["policy"].update(holding=evil, pending_restart=evil)
    return snapshot


def lately(snapshot: dict[str, Any], now: float) -> dict[str, Any]:
    """The same with every moment moved, so that the snapshot is of now."""
    by = now - snapshot["at"]

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: moved(item) for key, item in value.items()}
        if isinstance(value, list):
            return [moved(item) for item in value]
        return value + by if isinstance(value, float) and value > 1.7e9 else value

    return dict(moved(copy.deepcopy(snapshot)))
