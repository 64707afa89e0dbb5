"""waguardctl status and events: what a person sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waguard.ctl import status

from .conftest import DATA, Ctl, FakeGuard

SCREEN = """\
● ok  agent is running, last seen working 3 s ago

  Unit         walinuxagent.service, active (running), enabled, Restart=no
  Daemon       pid 412, up 1h43m, 29.4 MB, 0.4 s of CPU
  Handler      pid 430, up 1h43m, 30.4 MB, 1.9 s of CPU
  Version      2.7.3.0
  Heartbeat    3s ago by the status file; log line 13m30s ago
  Conf         /etc/waagent.conf
  Verbose      off
  Restarts     1 by waguard, 0 by systemd, 0 by an admin; ended by itself once
  Ration       3 of 3 left this hour, 6 of 6 today
  Policy       nothing to do
  Wire server  answers in 1.1 ms
  Guard        0.1.0, pid 311, up 1h43m

Findings
  info      agent-autorestart-missing  since 11:00:03
            walinuxagent.service has Restart=no
            → waguardctl autorestart enable

Recent
  11:00:02  agent daemon 399 was killed by SIGKILL
"""


def test_the_screen(guard: FakeGuard, ctl: Ctl) -> None:
    assert ctl("status") == (0, SCREEN, "")


def changed(**changes: Any) -> dict[str, Any]:
    """The snapshot with some values replaced: ``agent__unit__active="failed"``."""
    snapshot: dict[str, Any] = json.loads(DATA.read_text())
    for name, value in changes.items():
        *way, last = name.split("__")
        at = snapshot
        for step in way:
            at = at[step]
        at[last] = value
    return snapshot


def shown(**changes: Any) -> dict[str, str]:
    """Row name to text of the changed snapshot's screen."""
    lines = status.render(changed(**changes)).splitlines()[2:14]
    assert all(line[13:15] == "  " and line[15] != " " for line in lines), lines
    return {line[2:13].strip(): line[15:] for line in lines}


@pytest.fixture(autouse=True)
def _utc(run_dir: object) -> None:
    """Times of day as in UTC."""


DAEMON = {"pid": 412, "started": 1763550001.2, "cpu_seconds": 0.42, "resident_bytes": 29360128, "state": "S"}
NO_PROCESSES = {"agent__daemon": None, "agent__handler": None}
NO_BEAT = dict.fromkeys(("at", "source", "status_at", "status_path", "line_at", "id", "counter"))
LEASE = {"phase": "active", "path": "/etc/waagent.conf", "line": 3, "granted": 1763556000.0, "expires": 1763559812.0,
         "remaining": "1h", "restart": True, "by": "root"}


def test_hung() -> None:
    rows = shown(agent__state="hung", verdict={"level": "critical", "summary": "agent is hung"},
                 agent__handler={**DAEMON, "pid": 430, "state": "T"},
                 policy__holding="the ration of restarts is used up", policy__next_attempt=1763558000.0,
                 policy__budget={"per_hour": 3, "hour_left": 0, "per_day": 6, "day_left": 2, "left": 0})
    assert rows["Handler"].endswith("of CPU, stopped by a signal")
    assert rows["Policy"] == "the ration of restarts is used up, next look in 29m48s"
    assert rows["Ration"] == "0 of 3 left this hour, 2 of 6 today"


def test_down() -> None:
    rows = shown(**NO_PROCESSES, agent__state="down", agent__unit__active="failed", agent__unit__sub="failed",
                 policy__holding="start 3 waits its turn", policy__next_attempt=1763556222.5)
    assert rows["Unit"] == "walinuxagent.service, failed (failed), enabled, Restart=no"
    assert (rows["Daemon"], rows["Handler"]) == ("none", "none")
    assert rows["Policy"] == "start 3 waits its turn, next look in 10s"


def test_resting() -> None:
    rows = shown(**NO_PROCESSES, agent__state="resting", agent__unit__active="inactive", agent__unit__sub="dead",
                 agent__unit__file_state="masked", agent__heartbeat=NO_BEAT)
    assert rows["Unit"] == "walinuxagent.service, inactive (dead), masked, Restart=no"
    assert rows["Heartbeat"] == "none seen yet"


@pytest.mark.parametrize(("until", "text"), [(None, "paused until resumed"), (1763559812.5, "paused for another 1h")])
def test_paused(until: Any, text: str) -> None:
    assert shown(policy__paused=True, policy__paused_until=until)["Policy"] == text


def test_unknown() -> None:
    conf = {"path": "/etc/waagent.conf", "valid": None, "error": "permission denied", "verbose": None}
    rows = shown(**NO_PROCESSES, agent__state="unknown", agent__unit=None, agent__heartbeat=NO_BEAT, agent__conf=conf,
                 agent__unit_unknown="systemctl did not answer", verbose={"conf": None, "lease": None},
                 agent__versions={"daemon": None, "goal_state": None, "distro": None},
                 probes__wireserver={"success": None, "duration": None, "at": None, "error": "not looked at yet"})
    assert rows["Unit"] == "unknown: systemctl did not answer"
    assert (rows["Version"], rows["Verbose"], rows["Conf"]) == ("unknown", "unknown", "permission denied")
    assert rows["Wire server"] == "not known: not looked at yet"


def test_not_installed() -> None:
    assert shown(agent__unit__load="not-found", **NO_PROCESSES)["Unit"] == "no such unit"


def test_a_service_that_is_not_systemds_shows_only_what_is_known() -> None:
    rows = shown(guard__backend="command", agent__unit__name="waagent", agent__unit__restart="")
    assert rows["Unit"] == "waagent, active (running)"


def test_two_versions() -> None:
    versions = {"daemon": "2.7.3.0", "goal_state": "2.15.0.1", "distro": None}
    assert shown(agent__versions=versions)["Version"] == "2.7.3.0, goal state agent 2.15.0.1"
    assert shown(agent__versions={**versions, "daemon": None})["Version"] == "unknown, goal state agent 2.15.0.1"


def test_heartbeat_by_the_log_line_alone() -> None:
    beat = {**NO_BEAT, "at": 1763556152.5, "source": "line", "line_at": 1763556152.5}
    assert shown(agent__heartbeat=beat)["Heartbeat"] == "1m ago by its log line"


@pytest.mark.parametrize(("state", "text"), [
    ({"conf": True, "lease": None}, "on, set by hand; nothing turns it off"),
    ({"conf": True, "lease": LEASE}, "on for another 1h (till 13:43:32), asked for by root"),
    ({"conf": True, "lease": {**LEASE, "remaining": None, "expires": None}},
     "on until it is turned off, asked for by root"),
    ({"conf": False, "lease": LEASE}, "off, edited by hand during the lease of root"),
    ({"conf": False, "lease": {**LEASE, "phase": "granting"}}, "being turned on, asked for by root"),
    ({"conf": True, "lease": {**LEASE, "phase": "ending"}}, "being turned off, asked for by root"),
])
def test_verbose(state: dict[str, Any], text: str) -> None:
    assert shown(verbose=state)["Verbose"] == text


@pytest.mark.parametrize(("ends", "text"), [
    (0, "never ended by itself"), (1, "ended by itself once"), (7, "ended by itself 7 times")])
def test_restarts(ends: int, text: str) -> None:
    rows = shown(counters__agent_exits=ends, counters__restarts={"waguard": 5, "systemd": 2, "admin": 1})
    assert rows["Restarts"] == f"5 by waguard, 2 by systemd, 1 by an admin; {text}"


def test_a_restart_that_is_pending() -> None:
    rows = shown(policy__pending_restart="verbose logging was turned on", policy__holding="the agent is busy")
    assert rows["Policy"] == "the agent is busy, a restart is pending: verbose logging was turned on"


def test_switched_off() -> None:
    assert shown(policy__enabled=False)["Policy"] == "off: restart.enabled is false"


def test_settings_that_were_refused() -> None:
    assert shown(guard__settings_valid=False)["Guard"].endswith(", new settings refused")


def test_a_wire_server_that_does_not_answer() -> None:
    probe = {"success": False, "duration": 5.0, "at": 1.0, "error": "no answer within 5 s"}
    assert shown(probes__wireserver=probe)["Wire server"] == "no answer within 5 s"
    assert shown(probes={})["Wire server"] == "not known"


def test_nothing_found_and_nothing_happened() -> None:
    text = status.render(changed(findings=[], events=[]))
    assert "Findings" not in text
    assert "Recent" not in text
    assert not text.endswith("\n")


def test_every_key_may_be_missing_or_of_another_type() -> None:
    """As from a guard of another version: the rest is shown all the same."""
    def paths(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        return [*([way] if way else []), *(found for key, item in inner for found in paths(item, (*way, key)))]

    names = [line[2:15].strip() for line in SCREEN.splitlines()[2:14]]
    for way in paths(changed()):
        for value in (None, "x", 7, -1e300, [], {}, True, "missing"):
            snapshot = changed()
            at: Any = snapshot
            for step in way[:-1]:
                at = at[step]
            if value == "missing" and isinstance(at, dict):
                del at[way[-1]]
            else:
                at[way[-1]] = value
            lines = status.render(snapshot).splitlines()
            assert lines[0].startswith("● ")
            assert [line[2:15].strip() for line in lines[2:14]] == names
            missing = sum("not told by this guard" in line for line in lines)
            assert missing <= (8 if way == ("agent",) else 3), (way, value)


def test_nothing_at_all() -> None:
    lines = status.render({}).splitlines()
    assert lines[0] == "● unknown  this guard gives no verdict"
    assert sum(line.endswith("not told by this guard") for line in lines) == 12


def test_text_from_outside_cannot_move_the_cursor() -> None:
    text = status.render(changed(
        verdict={"level": "ok\x1b[2J", "summary": "a\nb\x07"}, agent__conf__path="/etc/\x1b[31m",
        findings=[{"id": "x\r", "severity": "warning", "cause": 0, "since": 1.0, "evidence": "one\ntwo", "summary": "",
                   "remedy": "rm\x1b]0;x\x07"}],
        events=[{"seq": 1, "at": 1763550000.0, "id": "settings-refused", "message": "a\nb", "fields": {}}]))
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "one; two" in text
    assert text.endswith("a; b")


# Events


EVENTS = [
    {"seq": 1, "at": 1763550002.9, "id": "agent-exited", "message": "the daemon ended", "fields": {}},
    {"seq": 2, "at": 1763556002.9, "id": "agent-action-failed", "message": "not started:\nno such file", "fields": {}},
]


def test_events(guard: FakeGuard, ctl: Ctl) -> None:
    guard.snapshot["events"] = EVENTS
    assert ctl("events") == (0, (
        "2025-11-19 11:00:02  agent-exited         the daemon ended\n"
        "2025-11-19 12:40:02  agent-action-failed  not started:; no such file\n"), "")
    guard.snapshot["events"] = []
    assert ctl("events") == (0, "no events\n", "")


def test_which_events_are_asked_for(guard: FakeGuard, ctl: Ctl, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(time, "time", lambda: 2000000.0)
    for words in ((), ("--last", "7"), ("-n", "0"), ("--since", "1d"), ("--since", "1d", "-n", "3")):
        ctl("events", *words)
    assert [parameters for _, parameters in guard.calls] == [
        {"last": 50}, {"last": 7}, {"last": 0}, {"last": None, "since": 1913600.0}, {"last": 3, "since": 1913600.0}]


def test_following(guard: FakeGuard, ctl: Ctl) -> None:
    guard.snapshot["events"] = EVENTS
    said = ctl("events", "--follow")
    assert said.out == ctl("events").out
    assert (said.code, said.err) == (1, "waguardctl: the guard hung up\n"
                                        "  (it is ending, or has too many clients: systemctl status waguard)\n")
    said = ctl("events", "--follow", "--json")
    lines = said.out.splitlines()
    assert [json.loads(line) for line in lines[:2]] == EVENTS
    assert guard.calls[0] == ("GetEvents", {"last": 50, "follow": True})
