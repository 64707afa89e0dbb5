"""Metrics by way of Debian's node_exporter: the timer writes, its textfile collector reads."""

from __future__ import annotations

import re
import time

from .disk import Disk
from .guard import Guard, package
from .machine import Machine

TIMER = "waguard-textfile.timer"
SERVICE = "waguard-textfile.service"
NODE_EXPORTER = "prometheus-node-exporter.service"
PLACE = "/var/lib/prometheus/node-exporter"
FILE = f"{PLACE}/waguard.prom"
QUICK = "[Timer]\nOnUnitInactiveSec=\nOnActiveSec=1ms\nOnUnitInactiveSec=200ms\nAccuracySec=10ms\n"
OFTEN = "[Unit]\nStartLimitIntervalSec=0\n"


def scrape(machine: Machine) -> dict[str, float]:
    """What node_exporter exposes: series to value."""
    text = machine.run(["curl", "-sS", "--max-time", "10", "http://127.0.0.1:9100/metrics"]).out
    return {match[1]: float(match[2]) for match in re.finditer(r"^([a-z][^#\n]*?) (\S+)$", text, re.MULTILINE)}


def listen_on_loopback(machine: Machine, more: str = "") -> None:
    machine.write("/etc/default/prometheus-node-exporter", f'ARGS="--web.listen-address=127.0.0.1:9100 {more}"\n')
    machine.run(["systemctl", "restart", NODE_EXPORTER])
    machine.wait_until(lambda: "node_textfile_scrape_error" in scrape(machine), 20, "node_exporter to answer")


def wait_for(machine: Machine, series: str, value: float, timeout: float = 60) -> dict[str, float]:
    """Until node_exporter exposes this. Returns the scrape."""
    return machine.wait_until(lambda: (found := scrape(machine)).get(series) == value and found, timeout, f"{series} {value}", every=0.5)


def test_nothing_of_it_runs_until_it_is_asked_for(machine: Machine) -> None:
    Guard(machine).install()
    for unit in (TIMER, SERVICE):
        assert machine.show(unit, "ActiveState", "LoadState") == {"ActiveState": "inactive", "LoadState": "loaded"}
    assert machine.run(["systemctl", "is-enabled", TIMER], check=False).out.strip() == "disabled"
    assert not machine.exists(FILE)


def test_the_timer_feeds_node_exporter_and_tells_when_the_guard_is_gone(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    listen_on_loopback(machine)
    machine.run(["systemctl", "enable", "--now", TIMER])
    found = wait_for(machine, "waguard_agent_up", 1.0)
    assert found["waguard_guard_up"] == 1.0
    assert found["node_textfile_scrape_error"] == 0.0
    age = time.time() - found[f'node_textfile_mtime_seconds{{file="{FILE}"}}']
    assert -5 < age < 60
    own = {name for name in found if name.startswith("waguard_")}
    assert own == set(guard.metrics()), "node_exporter exposes something else than our exporter"

    machine.run(["systemctl", "stop", "waguard.service"])
    gone = wait_for(machine, "waguard_guard_up", 0.0, 90)
    assert gone["node_textfile_scrape_error"] == 0.0
    assert {name.partition("{")[0] for name in gone if name.startswith("waguard_")} == {"waguard_guard_up", "waguard_build_info"}
    assert machine.show(SERVICE, "Result")["Result"] == "success"
    machine.run(["systemctl", "start", "waguard.service"])
    wait_for(machine, "waguard_agent_up", 1.0, 90)


def test_an_upgrade_keeps_the_timer_and_a_removal_stops_it(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    machine.run(["systemctl", "enable", "--now", TIMER])
    machine.install_deb(package())
    assert machine.show(TIMER, "ActiveState", "UnitFileState") == {"ActiveState": "active", "UnitFileState": "enabled"}
    machine.run(["apt-get", "remove", "--yes", "--quiet", "waguard"], timeout=120)
    assert machine.show(TIMER, "ActiveState")["ActiveState"] == "inactive"


def test_a_reader_never_sees_a_part(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    listen_on_loopback(machine)
    machine.write(f"/etc/systemd/system/{TIMER}.d/lab.conf", QUICK)
    machine.write(f"/etc/systemd/system/{SERVICE}.d/lab.conf", OFTEN)
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", TIMER])
    wait_for(machine, "waguard_agent_up", 1.0)
    reader = ("import os, sys, time\n"
              f"end, seen, inodes = time.monotonic() + 10, 0, set()\n"
              "while time.monotonic() < end:\n"
              f"    assert [name for name in os.listdir('{PLACE}') if name.endswith('.prom')] == ['waguard.prom']\n"
              f"    with open('{FILE}') as file: text = file.read(); inodes.add(os.fstat(file.fileno()).st_ino)\n"
              "    assert text.startswith('# HELP waguard_build_info ') and text.endswith('\\n'), text[-200:]\n"
              "    assert 'waguard_observer_last_success_timestamp_seconds{' in text[-400:], text[-400:]\n"
              "    seen += 1\n"
              "print(seen, len(inodes))\n")
    seen, files = map(int, machine.run(["python3", "-c", reader], timeout=60).out.split())
    assert seen > 100 and files > 3, "hardly anything was read or written"
    for _ in range(20):
        assert scrape(machine)["node_textfile_scrape_error"] == 0.0


def test_the_directory_that_node_exporter_was_given_is_found(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    listen_on_loopback(machine, "--collector.textfile.directory=/srv/prom")
    machine.run(["mkdir", "-p", "/srv/prom"])
    said = guard.ctl("metrics", "--textfile").out
    assert said == f"/srv/prom/waguard.prom: written ({NODE_EXPORTER} runs with --collector.textfile.directory)\n"
    assert scrape(machine)["waguard_agent_up"] == 1.0
    # The unit may write to the two known places only, and says how to allow another.
    machine.run(["rm", "/srv/prom/waguard.prom"])
    assert machine.run(["systemctl", "start", SERVICE], check=False).rc != 0
    assert not machine.exists("/srv/prom/waguard.prom")
    complaint = machine.journal("-u", SERVICE)
    assert "/srv/prom/waguard.prom: Read-only file system" in complaint and "ReadWritePaths=DIR" in complaint
    machine.write(f"/etc/systemd/system/{SERVICE}.d/place.conf", "[Service]\nReadWritePaths=/srv/prom\n")
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", SERVICE])
    assert scrape(machine)["waguard_agent_up"] == 1.0


def test_it_waits_for_a_frozen_disk_and_systemd_does_not(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    listen_on_loopback(machine)
    with Disk(machine, PLACE) as disk:
        machine.run(["systemctl", "start", SERVICE])
        machine.run(["rm", FILE])
        disk.freeze()
        machine.run(["systemctl", "start", "--no-block", SERVICE])
        machine.wait_until(lambda: machine.show(SERVICE, "ActiveState")["ActiveState"] == "activating", 10, "a run")
        time.sleep(3)
        assert machine.show(SERVICE, "ActiveState")["ActiveState"] == "activating", "it did not meet the frozen disk"
        machine.run(["systemctl", "restart", "waguard-exporter.service"])  # systemd starts others meanwhile
        disk.thaw()
        wait_for(machine, "waguard_agent_up", 1.0)
        assert machine.show(SERVICE, "Result")["Result"] == "success"


def test_the_units_are_sound_and_leave_no_lines_in_the_journal(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install()
    ran = machine.run(["systemd-analyze", "verify", "--man=no", SERVICE, TIMER], check=False)
    assert not [line for line in (ran.out + ran.err).splitlines() if "waguard" in line], ran
    machine.run(["systemd-analyze", "security", "--threshold=10", "--no-pager", SERVICE])
    machine.run(["systemctl", "start", SERVICE])
    assert machine.exists(FILE)
    assert SERVICE not in machine.journal("-u", SERVICE)
