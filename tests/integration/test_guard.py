"""The real waguardd with a stand-in agent: crashes, stops, hangs, leases, settings, kills. See demo/standin.py."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Optional

import pytest

from demo.standin import StandIn, wait
from waguard import varlink

Make = Callable[..., StandIn]
no_fork_warning = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
root_only = pytest.mark.skipif(os.getuid() != 0, reason="needs root")


def kinds(vm: StandIn, after: int = 0) -> list[str]:
    """Ids of the events above a sequence number."""
    return [event["id"] for event in vm.events() if event["seq"] > after]


def last_event(vm: StandIn) -> int:
    return max((event["seq"] for event in vm.events()), default=0)


def kill_daemon(vm: StandIn) -> int:
    """``kill -9``. Returns the pid that was."""
    pid = vm.daemon()
    assert pid
    os.kill(pid, signal.SIGKILL)
    return pid


def back(vm: StandIn, was: int, seconds: float = 60.0) -> int:
    """Wait for another daemon than this one. Returns its pid."""
    return wait(lambda: vm.daemon() if vm.daemon() != was else 0, f"another daemon than {was}", seconds)


# Crashes


def test_a_killed_daemon_is_brought_back_and_counted(vm: StandIn) -> None:
    before, conf, start = vm.snapshot(), vm.conf.read_bytes(), last_event(vm)
    was = kill_daemon(vm)
    now = back(vm, was)
    after = vm.wait_for("running")
    assert after["agent"]["daemon"]["pid"] == now == after["agent"]["unit"]["main_pid"]
    assert after["agent"]["handler"]["pid"] == vm.handler()
    assert before["counters"]["agent_exits"] == 0
    counters = after["counters"]
    assert counters["agent_exits"] == counters["restart_attempts"] == counters["restarts"]["waguard"] == 1
    assert (counters["restart_failures"], counters["restarts"]["admin"], counters["conf_changes"]) == (0, 0, 0)
    assert after["policy"]["budget"] == before["policy"]["budget"]  # starting a dead agent is not rationed
    assert kinds(vm, start) == ["agent-exited", "agent-action", "agent-started", "agent-proved"]
    assert vm.conf.read_bytes() == conf


def test_it_is_brought_back_again_and_again(vm: StandIn) -> None:
    for times in range(1, 5):
        back(vm, kill_daemon(vm))
        after = vm.wait_for("running")
        assert after["counters"]["agent_exits"] == after["counters"]["restarts"]["waguard"] == times
    assert after["policy"]["attempts"] == 4
    assert "agent-crash-loop" in [finding["id"] for finding in after["findings"]]


def test_a_handler_that_dies_is_the_daemons_business(vm: StandIn) -> None:
    daemon, handler, start = vm.daemon(), vm.handler(), last_event(vm)
    os.kill(handler, signal.SIGKILL)
    wait(lambda: vm.handler() not in (0, handler), "another handler")
    vm.wait_for_looks()
    assert vm.daemon() == daemon
    assert vm.wait_for("running")["agent"]["handler"]["pid"] != handler
    assert kinds(vm, start) == []


def test_an_agent_that_died_while_nobody_looked_is_started(vm: StandIn) -> None:
    assert vm.stop_guard() == 0
    was = kill_daemon(vm)
    vm.start_guard()
    back(vm, was)
    assert vm.wait_for("running")["counters"]["restarts"]["waguard"] == 1


def test_a_start_command_that_fails_is_tried_at_a_growing_pace(make: Make) -> None:
    vm = make({"agent.start_command": ["/nonexistent/waagent"], "restart.backoff_first": "500ms"})
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    kill_daemon(vm)
    found = wait(lambda: vm.snapshot() if vm.snapshot()["counters"]["restart_attempts"] >= 3 else None, "three attempts")
    assert found is not None
    tries = [event["at"] for event in vm.events() if event["id"] == "agent-action"]
    assert len(tries) <= 5
    assert found["counters"]["restart_failures"] >= 2
    failed = [event["message"] for event in vm.events() if event["id"] == "agent-action-failed"]
    assert failed[0] == "waagent was not started: '/nonexistent/waagent': cannot be started: No such file or directory"
    assert found["agent"]["state"] == "down"
    vm.configure({})
    vm.start_agent()
    assert vm.wait_for("running")["counters"]["restarts"]["admin"] == 1


# An administrator's will


def test_a_stop_by_hand_is_respected_and_a_start_by_hand_is_noticed(vm: StandIn) -> None:
    start = last_event(vm)
    vm.stop_agent()
    found = vm.wait_for("resting")
    assert found["agent"]["rests"] == {"by": "stopped", "detail": "waagent was stopped on request"}
    vm.wait_for_looks()
    assert vm.daemon() == 0
    assert kinds(vm, start)[0] == "agent-stopped"
    assert "agent-action" not in kinds(vm, start)
    assert vm.snapshot()["counters"]["agent_exits"] == 0

    vm.start_agent()
    found = vm.wait_for("running")
    assert found["counters"]["restarts"] == {"waguard": 0, "systemd": 0, "admin": 1}
    back(vm, kill_daemon(vm))  # it is watched again
    assert vm.wait_for("running")["counters"]["restarts"] == {"waguard": 1, "systemd": 0, "admin": 1}


def test_many_stops_by_hand_are_all_respected(vm: StandIn) -> None:
    """The daemon's last word has to be read before its end is judged, whatever else is being looked at."""
    for _ in range(6):
        vm.stop_agent()
        vm.wait_for("resting")
        vm.start_agent()
        vm.wait_for("running")
    counters = vm.snapshot()["counters"]
    assert (counters["agent_exits"], counters["restart_attempts"], counters["restarts"]["admin"]) == (0, 0, 6)


def test_a_stop_while_the_guard_is_away_is_respected(vm: StandIn) -> None:
    vm.stop_guard()
    vm.stop_agent()
    vm.start_guard()
    vm.wait_for("resting")
    vm.wait_for_looks()
    assert vm.daemon() == 0
    assert "agent-action" not in kinds(vm)


def test_paused_and_resumed(vm: StandIn) -> None:
    assert vm.ctl("pause").stdout == "paused until waguardctl resume: nothing is started or restarted\n"
    was = kill_daemon(vm)
    found = vm.wait_for("down")
    assert (found["policy"]["paused"], found["policy"]["holding"]) == (True, "paused")
    vm.wait_for_looks()
    assert vm.daemon() == 0
    assert vm.ctl("restart").stderr.startswith("waguardctl: refused: paused")
    vm.kill_guard()
    vm.start_guard()  # a pause outlives the guard
    found = vm.wait_for("down")
    assert (found["policy"]["paused"], found["policy"]["paused_until"]) == (True, None)
    assert vm.ctl("resume").returncode == 0
    back(vm, was)
    vm.wait_for("running")
    assert vm.ctl("resume").stderr.startswith("waguardctl: refused: waguard is not paused")


def test_a_pause_ends_by_itself(vm: StandIn) -> None:
    vm.ctl("pause", "--for", "2s")
    was = kill_daemon(vm)
    back(vm, was)
    vm.wait_for("running")
    told = [kind for kind in kinds(vm) if kind in ("paused", "resumed", "agent-exited", "agent-action")]
    assert told == ["paused", "agent-exited", "resumed", "agent-action"]


def test_an_exit_while_paused_is_counted_once_whatever_happens_to_the_guard(vm: StandIn) -> None:
    vm.ctl("pause")
    kill_daemon(vm)
    wait(lambda: vm.snapshot()["counters"]["agent_exits"] == 1, "the exit counted")
    vm.kill_guard()
    vm.start_guard()
    vm.wait_for("down")
    assert vm.snapshot()["counters"]["agent_exits"] == 1


def test_restart_on_request(vm: StandIn) -> None:
    was = vm.daemon()
    said = vm.ctl("restart")
    assert said.returncode == 0, said.stderr
    assert said.stdout == f"the agent works again as pid {vm.daemon()}\n"
    after = vm.snapshot()
    assert vm.daemon() != was
    assert after["counters"]["restarts"]["waguard"] == after["counters"]["restart_attempts"] == 1
    assert after["counters"]["agent_exits"] == 0
    assert after["policy"]["budget"]["hour_left"] == 19


def test_restart_of_a_stopped_agent_is_refused(vm: StandIn) -> None:
    vm.stop_agent()
    vm.wait_for("resting")
    said = vm.ctl("restart")
    assert (said.returncode, said.stdout) == (1, "")
    assert "stopped on request" in said.stderr
    assert vm.daemon() == 0


def test_the_ration_holds_and_force_overrides_it(make: Make) -> None:
    vm = make({"restart.live_per_hour": 1})
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    assert vm.ctl("restart").returncode == 0
    said = vm.ctl("restart")
    assert said.stderr == ("waguardctl: refused: the ration of restarts is used up\n"
                           "  (waguardctl restart --force does it all the same)\n")
    vm.kill_guard()
    vm.start_guard()  # the ration outlives the guard
    vm.wait_for("running")
    assert vm.ctl("restart").returncode == 1
    assert vm.ctl("restart", "--force").returncode == 0


def test_a_forced_restart_that_fails_is_not_tried_for_ever(make: Make) -> None:
    broken = {"agent.start_command": ["/nonexistent/start"], "agent.stop_command": ["/nonexistent/stop"]}
    vm = make(broken)
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    vm.ctl("restart", "--force", "--no-wait")
    wait(lambda: "agent-action-failed" in kinds(vm), "the failure")
    vm.wait_for_looks()
    assert kinds(vm).count("agent-action") == 1
    assert vm.snapshot()["agent"]["state"] == "running"


# Hangs


def test_a_stopped_handler_is_hung_and_leads_to_one_restart(vm: StandIn) -> None:
    daemon, handler = vm.daemon(), vm.handler()
    os.kill(handler, signal.SIGSTOP)
    wait(lambda: vm.snapshot()["agent"]["state"] == "hung" or vm.daemon() != daemon, "the hang noticed")
    back(vm, daemon)
    after = vm.wait_for("running")
    assert vm.handler() not in (0, handler)
    vm.wait_for_looks(20)
    after = vm.snapshot()
    assert after["counters"]["restarts"]["waguard"] == after["counters"]["restart_attempts"] == 1
    assert after["counters"]["agent_exits"] == 0
    assert after["policy"]["budget"]["hour_left"] == 19
    reasons = [event["fields"]["reason"] for event in vm.events() if event["id"] == "agent-action"]
    assert len(reasons) == 1
    assert "stopped (state T)" in reasons[0]


def test_a_hang_while_the_wire_server_is_silent_is_none(vm: StandIn) -> None:
    """The loop may just be slow; a restart would not help."""
    vm.wireserver.close()
    wait(lambda: vm.snapshot()["probes"]["wireserver"]["success"] is False, "the probe to fail")
    daemon, handler = vm.daemon(), vm.handler()
    os.kill(handler, signal.SIGSTOP)
    wait(lambda: "status-not-reported" in [finding["id"] for finding in vm.snapshot()["findings"]], "a stale status file")
    vm.wait_for_looks()
    found = vm.snapshot()
    assert found["agent"]["state"] == "running"
    assert "wireserver-unreachable" in [finding["id"] for finding in found["findings"]]
    assert vm.daemon() == daemon
    os.kill(handler, signal.SIGCONT)


# The verbose lease


def verbose_lines(vm: StandIn) -> int:
    return vm.log.read_text().count(" VERBOSE ")


def test_a_verbose_lease_to_its_end(vm: StandIn) -> None:
    original, was = vm.conf.read_bytes(), vm.daemon()
    said = vm.ctl("verbose", "on", "--for", "4s")
    assert said.returncode == 0, said.stderr
    assert said.stdout == "verbose logging is on for 4s; the agent is restarted to read it\n"
    assert "SAS tokens" in said.stderr
    wait(lambda: verbose_lines(vm), "verbose lines in the log")
    assert vm.conf.read_bytes() == original.replace(b"Logs.Verbose=n", b"Logs.Verbose=y")
    now = vm.daemon()
    assert now != was
    wait(lambda: vm.snapshot()["verbose"]["lease"] is None, "the end of the lease")
    assert vm.conf.read_bytes() == original
    back(vm, now)
    after = vm.wait_for("running")
    assert after["verbose"] == {"conf": False, "lease": None}
    assert after["counters"]["conf_changes"] == 0
    assert after["counters"]["restarts"] == {"waguard": 2, "systemd": 0, "admin": 0}
    assert "verbose-left-on" not in [finding["id"] for finding in after["findings"]]
    lines = verbose_lines(vm)
    vm.wait_for_looks()
    assert verbose_lines(vm) == lines
    assert os.listdir(vm.conf.parent) == ["waguard", "waagent.conf"] or len(os.listdir(vm.conf.parent)) == 2


def test_a_verbose_lease_given_back(vm: StandIn) -> None:
    original = vm.conf.read_bytes()
    assert vm.ctl("verbose", "on", "--forever", "--no-restart").returncode == 0
    assert vm.ctl("verbose", "status").stdout == "on until it is turned off, asked for by root\n"
    assert vm.ctl("verbose", "off").stdout == "verbose logging is off; the line is as it was\n"
    assert vm.conf.read_bytes() == original
    assert vm.snapshot()["counters"]["restart_attempts"] == 0
    assert vm.ctl("verbose", "off").returncode == 1


@pytest.mark.parametrize("late", [False, True], ids=["within-the-lease", "after-its-end"])
def test_a_guard_killed_within_the_lease_ends_it_after_its_restart(vm: StandIn, late: bool) -> None:
    original = vm.conf.read_bytes()
    vm.ctl("verbose", "on", "--for", "3s", "--no-restart")
    granted = time.monotonic()
    vm.kill_guard()
    assert vm.conf.read_bytes() != original
    if late:
        wait(lambda: time.monotonic() > granted + 4.0)
    vm.start_guard()
    wait(lambda: vm.snapshot()["verbose"]["lease"] is None, "the end of the lease")
    assert vm.conf.read_bytes() == original
    assert "verbose-off" in kinds(vm)



def test_a_guard_killed_after_its_own_edit_does_not_take_it_for_somebody_elses(vm: StandIn) -> None:
    for on in ("on", "off"):
        for _ in range(3):
            vm.ctl("verbose", on, "--no-restart")
            vm.kill_guard()
            vm.start_guard()
            vm.wait_for("running")
    assert vm.snapshot()["counters"]["conf_changes"] == 0


def test_a_lease_that_is_superseded_by_hand(vm: StandIn) -> None:
    vm.ctl("verbose", "on", "--for", "1h", "--no-restart")
    theirs = vm.conf.read_bytes().replace(b"Logs.Verbose=y", b"Logs.Verbose=n\nOS.EnableFIPS=y")
    vm.conf.write_bytes(theirs)
    wait(lambda: vm.snapshot()["counters"]["conf_changes"] == 1, "the edit noticed")
    assert vm.ctl("verbose", "status").stdout == "off, edited by hand during the lease of root\n"
    assert "edited by somebody else" in vm.ctl("verbose", "off").stdout
    assert vm.conf.read_bytes() == theirs


# Settings


def setting(vm: StandIn, name: str) -> Any:
    found = vm.call("GetSettings", socket="status")["settings"]
    return next(item["value"] for item in found if item["name"] == name)


def test_bad_settings_at_a_reload_keep_the_old_and_good_ones_apply(vm: StandIn) -> None:
    pid = vm.snapshot()["guard"]["pid"]
    good = (vm.settings_dir / "waguard.yaml").read_text()
    (vm.settings_dir / "waguard.yaml").write_text(good.replace("restart:", "restrt:"))
    os.kill(pid, signal.SIGHUP)
    found = wait(lambda: vm.snapshot()["guard"]["settings_error"], "the refusal")
    assert "unknown section 'restrt' (did you mean 'restart'?)" in found
    assert "settings-refused" in kinds(vm)
    assert setting(vm, "restart.live_per_hour") == 20
    assert "new settings refused" in vm.ctl("status").stdout
    back(vm, kill_daemon(vm))  # it works on
    vm.wait_for("running")

    vm.configure({"restart.live_per_hour": 7, "restart.enabled": False})
    os.kill(pid, signal.SIGHUP)
    wait(lambda: vm.snapshot()["guard"]["settings_valid"], "the new settings")
    assert setting(vm, "restart.live_per_hour") == 7
    found = vm.snapshot()
    assert (found["policy"]["enabled"], found["policy"]["budget"]["per_hour"]) == (False, 7)
    assert found["guard"]["pid"] == pid
    was = kill_daemon(vm)
    vm.wait_for("down")
    vm.wait_for_looks()
    assert vm.daemon() == 0

    vm.configure({})
    os.kill(pid, signal.SIGHUP)
    back(vm, was)
    vm.wait_for("running")


def test_bad_settings_at_the_start_are_told_and_end_with_2(make: Make) -> None:
    vm = make()
    (vm.settings_dir / "waguard.yaml").write_text("restart:\n  live_per_hour: many\n")
    said = subprocess.run(vm.guard_command(), capture_output=True, text=True, timeout=60)
    assert said.returncode == 2
    assert said.stderr == (f"<3>waguardd: {vm.settings_dir}/waguard.yaml:2: "
                           "restart.live_per_hour: 'many' is not a whole number\n")


# One guard, its end, and its folders


def test_a_second_guard_refuses_with_the_reason(vm: StandIn) -> None:
    said = subprocess.run(vm.guard_command(), capture_output=True, text=True, timeout=60)
    pid = vm.snapshot()["guard"]["pid"]
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == f"<3>waguardd: not started: another waguardd (pid {pid}) holds {vm.run_dir}/lock\n"
    back(vm, kill_daemon(vm))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ending_in_good_order(vm: StandIn, number: signal.Signals) -> None:
    assert vm.guard is not None
    vm.guard.send_signal(number)
    assert vm.guard.wait(30) == 0
    assert not (vm.run_dir / "status").exists()
    assert not (vm.run_dir / "control").exists()
    assert vm.daemon()  # the agent is none of its children
    assert json.loads((vm.state_dir / "state.json").read_text()) == json.loads((vm.run_dir / "state.json").read_text())
    assert (vm.state_dir / "events.jsonl").read_bytes() == (vm.run_dir / "events.jsonl").read_bytes()
    assert vm.ctl("status").returncode == 1
    vm.start_guard()
    assert kinds(vm).count("guard-started") == 2
    assert kinds(vm).count("guard-stopped") == 1


def blocked_folder(vm: StandIn) -> Path:
    (vm.folder / "file").touch()
    return vm.folder / "file" / "dir"


def test_a_run_folder_that_cannot_be_made(make: Make) -> None:
    vm = make()
    vm.run_dir = blocked_folder(vm)
    said = subprocess.run(vm.guard_command(), capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert said.stderr == (f"<3>waguardd: {vm.run_dir}: Not a directory "
                           "(waguardd runs as root, see systemctl status waguard)\n")


def test_a_run_folder_with_a_name_too_long_for_a_socket(make: Make) -> None:
    vm = make()
    vm.run_dir = vm.folder / ("long" * 25)
    said = subprocess.run(vm.guard_command(), capture_output=True, text=True, timeout=60)
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == f"<3>waguardd: not started: {vm.run_dir}: AF_UNIX path too long"


def test_a_state_folder_that_cannot_be_made(make: Make) -> None:
    """An agent that works comes before a memory that outlives a reboot."""
    vm = make()
    vm.state_dir = blocked_folder(vm)
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    log = (vm.folder / "guard.log").read_text()
    assert f"<4>waguardd: {vm.state_dir}: Not a directory (waguardd runs as root, see systemctl status waguard); " \
           f"going on with {vm.run_dir} alone\n" in log
    assert log.count(f"{vm.state_dir} does not take writes: Not a directory; it is kept in {vm.run_dir}") == 1
    os.kill(vm.daemon(), signal.SIGKILL)
    wait(lambda: "agent-proved" in kinds(vm), "an agent that works again")


def blocked(vm: StandIn, directory: Path) -> Path:
    """Let the guard replace no state file there: a directory stands where its temporary file would go."""
    pid = vm.snapshot()["guard"]["pid"]
    block = directory / f".state.json.{pid}.new"
    block.mkdir()
    return block


def test_a_run_folder_that_takes_no_writes_any_more(vm: StandIn) -> None:
    """As when its tmpfs is full: the agent is kept alive all the same, and once there is room everything is as before."""
    block = blocked(vm, vm.run_dir)
    was = kill_daemon(vm)
    now = back(vm, was, 15.0)
    wait(lambda: vm.snapshot()["agent"]["state"] == "running", "a working agent")
    assert "guard-trouble" in kinds(vm)
    said = vm.ctl("verbose", "on")
    assert said.returncode == 1
    assert "could not be written down" in said.stderr
    block.rmdir()
    back(vm, kill_daemon(vm) if vm.daemon() == now else now)
    vm.wait_for("running")
    assert vm.ctl("verbose", "on", "--no-restart").returncode == 0
    vm.kill_guard()
    vm.start_guard()
    assert vm.wait_for("running")["counters"]["agent_exits"] == 2


def test_the_beat_goes_on_when_a_pause_ends_and_that_cannot_be_written_down(vm: StandIn) -> None:
    vm.ctl("pause", "--for", "1s")
    block = blocked(vm, vm.run_dir)
    wait(lambda: not vm.snapshot()["policy"]["paused"], "the end of the pause")
    block.rmdir()
    vm.wait_for_looks(seconds=15.0)


def test_an_action_whose_end_cannot_be_written_down_is_not_under_way_for_ever(make: Make) -> None:
    vm = make()
    vm.configure({"agent.start_command": ["sh", "-c", 'sleep 1; exec "$@"', "sh", *vm.agent_command("-start")]})
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    was = kill_daemon(vm)
    wait(lambda: "agent-action" in kinds(vm), "the action")
    block = blocked(vm, vm.run_dir)
    back(vm, was)
    wait(lambda: "guard-trouble" in kinds(vm, last_event(vm) - 5), "the trouble")
    block.rmdir()
    back(vm, kill_daemon(vm), 15.0)
    vm.wait_for("running")



def test_a_disk_that_takes_no_writes_is_told_once_and_the_guard_works_on(vm: StandIn) -> None:
    vm.state_dir.rename(vm.folder / "away")
    for _ in range(3):
        back(vm, kill_daemon(vm))
        vm.wait_for("running")
    told = [event["message"] for event in vm.events() if event["id"] == "guard-trouble" and "writes" in event["message"]]
    assert len(told) == 1, told
    assert told[0].startswith(f"{vm.state_dir} does not take writes: ")
    (vm.folder / "away").rename(vm.state_dir)
    back(vm, kill_daemon(vm))
    vm.wait_for("running")
    vm.stop_guard()
    assert json.loads((vm.state_dir / "state.json").read_text())["data"]["counters"]["agent_exits"] == 4
    assert (vm.state_dir / "events.jsonl").read_bytes() == (vm.run_dir / "events.jsonl").read_bytes()


JUNK = {"empty": b"", "half": b'{"version":1,"sequence":7,"da', "binary": bytes(range(256)) * 100, "list": b"[]",
        "newer": b'{"version":9,"sequence":7,"data":{}}', "infinite": b'{"version":1,"sequence":1e999,"data":{}}',
        "wrong": b'{"version":1,"sequence":7,"data":{"policy":7,"lease":[],"pause":"x","counters":[1],"exits":{},'
                 b'"restarts":null,"run":[],"n_restarts":"x","conf_mark":[]}}'}


@pytest.mark.parametrize("kind", JUNK)
@pytest.mark.parametrize("tiers", [("run_dir",), ("state_dir",), ("run_dir", "state_dir")], ids="-".join)
def test_corrupt_state_files(make: Make, kind: str, tiers: tuple[str, ...]) -> None:
    vm = make()
    for tier in ("run_dir", "state_dir"):
        getattr(vm, tier).mkdir()
    for tier in tiers:
        (getattr(vm, tier) / "state.json").write_bytes(JUNK[kind])
        (getattr(vm, tier) / "events.jsonl").write_bytes(JUNK[kind] + b"\n" + JUNK[kind])
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    if kind != "wrong":
        said = [event["message"] for event in vm.events() if event["id"] == "guard-trouble"]
        assert sum("kept as state.json." in message for message in said) == len(tiers)
    back(vm, kill_daemon(vm))
    assert vm.wait_for("running")["counters"]["agent_exits"] == 1


@pytest.mark.parametrize("tiers", [("run_dir",), ("state_dir",), ("run_dir", "state_dir")], ids="-".join)
def test_something_else_in_the_place_of_the_state_files(make: Make, tiers: tuple[str, ...]) -> None:
    vm = make()
    for tier in ("run_dir", "state_dir"):
        getattr(vm, tier).mkdir()
    for tier in tiers:
        (getattr(vm, tier) / "state.json").mkdir()
        os.mkfifo(getattr(vm, tier) / "events.jsonl")
    vm.start_agent()
    vm.start_guard()
    back(vm, kill_daemon(vm) if vm.wait_for("running") else 0)
    vm.wait_for("running")
    vm.kill_guard()
    vm.start_guard()
    assert vm.wait_for("running")["counters"]["agent_exits"] == 1


# waagent.conf


def test_conf_emptied_while_the_agent_is_down_holds_it_back_until_it_is_restored(vm: StandIn) -> None:
    original = vm.conf.read_bytes()
    vm.ctl("pause")
    kill_daemon(vm)
    vm.wait_for("down")
    vm.conf.write_bytes(b"")
    wait(lambda: vm.snapshot()["agent"]["conf"]["valid"] is False, "the emptiness noticed")
    vm.ctl("resume")
    held = wait(lambda: vm.snapshot()["policy"]["holding"], "the start held back")
    assert held == f"{vm.conf}: the file is empty, and the agent refuses to start without a configuration"
    vm.wait_for_looks()
    assert vm.daemon() == 0
    assert "agent-held" in kinds(vm)
    assert "agent-action" not in kinds(vm)
    wait(lambda: "conf-missing" in [finding["id"] for finding in vm.snapshot()["findings"]], "the finding")
    vm.conf.write_bytes(original)
    vm.wait_for("running")
    assert vm.daemon()
    assert "conf-missing" not in [finding["id"] for finding in vm.snapshot()["findings"]]


def test_conf_that_vanishes_with_the_agent(vm: StandIn) -> None:
    """Both at once, as when a package is being removed by hand."""
    original = vm.conf.read_bytes()
    vm.conf.unlink()
    was = kill_daemon(vm)
    wait(lambda: (vm.snapshot()["policy"]["holding"] or "").endswith("is missing"), "the start held back")
    assert vm.daemon() == 0
    vm.conf.write_bytes(original)
    back(vm, was)


def test_an_edit_is_noticed_once(vm: StandIn) -> None:
    vm.conf.write_bytes(vm.conf.read_bytes() + b"OS.EnableFIPS=y\n")
    wait(lambda: vm.snapshot()["counters"]["conf_changes"] == 1, "the edit noticed")
    vm.wait_for_looks()
    assert vm.snapshot()["counters"]["conf_changes"] == 1
    (event,) = [event for event in vm.events() if event["id"] == "conf-changed"]
    assert event["message"] == f"{vm.conf} was changed: OS.EnableFIPS: n (default) -> y; the agent reads it at its next start"
    assert event["fields"] == {"path": str(vm.conf), "changed": 1, "keys": "OS.EnableFIPS", "changes": "OS.EnableFIPS: n (default) -> y"}


def test_an_edit_is_counted_once_whatever_happens_to_the_guard(vm: StandIn) -> None:
    vm.conf.write_bytes(vm.conf.read_bytes() + b"OS.EnableFIPS=y\n")
    wait(lambda: vm.snapshot()["counters"]["conf_changes"] == 1, "the edit noticed")
    for _ in range(2):
        vm.kill_guard()
        vm.start_guard()
        vm.wait_for("running")
    vm.wait_for_looks()
    assert vm.snapshot()["counters"]["conf_changes"] == 1
    assert kinds(vm).count("conf-changed") == 1


# Who may do what


def as_nobody(work: Callable[[], Any]) -> Any:
    """Do something in a child that is user nobody. Returns what it returned, by way of JSON."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return json.loads(said)


@root_only
@no_fork_warning
def test_an_unprivileged_user_may_read_and_is_denied_orders_by_the_kernel(vm: StandIn) -> None:
    def ask() -> dict[str, Any]:
        found: dict[str, Any] = {"uid": os.getuid(), "state": vm.snapshot()["agent"]["state"]}
        for method in ("SetVerbose", "Restart", "Pause", "Resume", "GetSnapshot"):
            try:
                found[method] = vm.call(method, {"on": True})
            except varlink.Unreachable as error:
                found[method] = error.errno
        try:
            vm.call("Restart", socket="status")
        except varlink.RemoteError as error:
            found["on status"] = error.name
        return found

    vm.snapshot()  # everything that is to be imported is
    denied = dict.fromkeys(("SetVerbose", "Restart", "Pause", "Resume", "GetSnapshot"), 13)
    assert as_nobody(ask) == {"uid": 65534, "state": "running", **denied,
                              "on status": "org.varlink.service.PermissionDenied"}
    assert "agent-action" not in kinds(vm)


@root_only
@no_fork_warning
def test_waguardctl_of_an_unprivileged_user(vm: StandIn, capfd: pytest.CaptureFixture[str]) -> None:
    from waguard.ctl import main

    def run(*words: str) -> int:
        return main.main([*words, "--run-dir", str(vm.run_dir)])

    run("status")
    capfd.readouterr()
    assert as_nobody(lambda: [run("status"), run("pause")]) == [0, 1]
    said = capfd.readouterr()
    assert "agent is running" in said.out
    assert "permission denied: " in said.err
    assert "usermod -aG waguard" in said.err


@root_only
def test_modes_of_everything_that_is_kept(vm: StandIn) -> None:
    vm.ctl("verbose", "on", "--for", "1s", "--no-restart")
    wait(lambda: vm.snapshot()["verbose"]["lease"] is None, "the end of the lease")
    modes = {path.name: oct(path.stat().st_mode & 0o777) for folder in (vm.run_dir, vm.state_dir) for path in folder.iterdir()
             if path.suffix != ".new"}
    assert modes == {"status": "0o666", "control": "0o660", "state.json": "0o600", "events.jsonl": "0o600", "lock": "0o644"}
    assert oct(vm.state_dir.stat().st_mode & 0o777) == "0o700"


# Killed at any moment


def whole(vm: StandIn, original: bytes) -> None:
    """waagent.conf is one of the two that it may be; state and events can be read."""
    assert vm.conf.read_bytes() in (original, original.replace(b"Logs.Verbose=n", b"Logs.Verbose=y"))
    for folder in (vm.run_dir, vm.state_dir):
        state = folder / "state.json"
        if state.exists():
            assert json.loads(state.read_text())["version"] == 1
        lines = (folder / "events.jsonl").read_bytes().split(b"\n") if (folder / "events.jsonl").exists() else []
        assert [json.loads(line) for line in lines[:1]] in ([], [{"version": 1}])
        for line in lines[1:-1]:
            assert json.loads(line)["seq"] > 0


@contextlib.contextmanager
def toggling(vm: StandIn) -> Iterator[None]:
    """Turn verbose logging on and off all the time, whether or not there is somebody to do it."""
    stop = threading.Event()

    def toggle() -> None:
        on = True
        while not stop.is_set():
            with contextlib.suppress(varlink.VarlinkError):
                varlink.call(vm.run_dir / "control", "io.waguard.SetVerbose",
                             {"on": on, "seconds": 60.0 if on else None, "restart": False}, 2.0)
            on = not on

    thread = threading.Thread(target=toggle)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def test_killed_at_twenty_random_moments_while_leases_come_and_go(vm: StandIn) -> None:
    chance = random.Random(20)
    original, daemon = vm.conf.read_bytes(), vm.daemon()
    sequence, starts = last_event(vm), 1
    with toggling(vm):
        for _ in range(20):
            time.sleep(chance.uniform(0.0, 0.25))
            vm.kill_guard()
            whole(vm, original)
            vm.start_guard()
            starts += 1
            events = vm.events()
            numbers = [event["seq"] for event in events]
            assert numbers == sorted(set(numbers))
            assert numbers[-1] > sequence
            sequence = numbers[-1]
            assert not [event["message"] for event in events if event["id"] == "guard-trouble" and "damaged" in event["message"]]
    assert [event["id"] for event in vm.events()].count("guard-started") == starts
    vm.wait_for("running")
    # There may be a lease left, or one that is being ended.
    wait(lambda: vm.ctl("verbose", "off").returncode == 1 and vm.snapshot()["verbose"]["lease"] is None, "no lease")
    assert vm.conf.read_bytes() == original
    assert sorted(path.name for path in vm.conf.parent.iterdir()) == ["waagent.conf", "waguard"]
    assert vm.daemon() == daemon
    found = vm.snapshot()["counters"]
    assert (found["agent_exits"], found["restart_attempts"]) == (0, 0)
    vm.stop_guard()
    assert sorted(path.name for path in vm.run_dir.iterdir()) == ["events.jsonl", "lock", "state.json"]
    assert sorted(path.name for path in vm.state_dir.iterdir()) == ["events.jsonl", "state.json"]


def test_killed_at_random_moments_while_the_agent_crashes(vm: StandIn) -> None:
    """Every crash is made good, and no restart is carried out twice for one of them."""
    chance = random.Random(7)
    crashes = 0
    for _ in range(8):
        daemon: Optional[int] = vm.daemon()
        if daemon:
            os.kill(daemon, signal.SIGKILL)
            crashes += 1
        time.sleep(chance.uniform(0.0, 0.5))
        vm.kill_guard()
        vm.start_guard()
        vm.wait_for("running")
    counters = vm.snapshot()["counters"]
    assert counters["restarts"]["waguard"] + counters["restarts"]["admin"] <= crashes
    assert counters["restart_attempts"] <= crashes
    assert vm.daemon()
    assert len(vm.agent_pids()) == 2


def test_the_doctor_visits(make: Make) -> None:
    vm = make({"doctor.enabled": True, "doctor.interval": "2s"})
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    wait(lambda: vm.snapshot()["doctor"], "a first visit")
    told = vm.snapshot()
    assert told["backup"]["ready"] is not None or told["backup"]["says"]
    assert [part["title"] for part in told["doctor"]["parts"]][:2] == ["Agent", "waagent.conf"]
    assert told["probes"]["hostplugin"]["success"] is told["probes"]["imds"]["success"] is True
    first = told["doctor"]["at"]
    wait(lambda: vm.snapshot()["doctor"]["at"] > first, "another visit")
    assert vm.snapshot()["observers"]["unit"]["success"]
    assert not any(finding["id"] == "observer-failing" for finding in vm.snapshot()["findings"])


def test_the_doctor_comes_when_called_and_finds_what_is_wrong(make: Make) -> None:
    vm = make()
    vm.start_agent()
    vm.start_guard()
    vm.wait_for("running")
    assert vm.snapshot()["doctor"] is None
    vm.conf.write_text(vm.conf.read_text() + "Logs.Verbos=y\n")
    said = vm.ctl("doctor", "--json")
    assert said.returncode in (0, 2), said.stderr
    told = json.loads(said.stdout)["result"]
    found = {finding["id"]: finding for finding in told["findings"]}
    assert f"{vm.conf}:" in found["conf-unknown-key"]["evidence"] and "Logs.Verbose" in found["conf-unknown-key"]["evidence"]
    assert {part["name"] for part in told["parts"] if part["ok"] is None and "could not be judged" in part["says"]} == set()
    # What the doctor finds is a finding of the guard's from then on: status, metrics and events tell of it.
    assert "conf-unknown-key" in {finding["id"] for finding in vm.snapshot()["findings"]}
    wait(lambda: "finding-raised" in kinds(vm), "an event of it")


def test_doctor_without_a_guard(make: Make) -> None:
    vm = make()
    said = vm.ctl("doctor")
    assert said.returncode == 1 and "the guard does not run" in said.stderr
