"""The commands of README and docs, run as they stand there; and the sandbox, held against docs/security.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from .commands import Command, commands, how
from .guard import Guard
from .lab import Lab
from .machine import Machine

ROOT = Path(__file__).resolve().parents[2]
SECURITY = ROOT / "docs" / "security.md"
# A lease and a restart each take a restart of the agent from the ration, and there are many in the pages.
AMPLE = "restart: {live_per_hour: 100, live_per_day: 100, backoff_first: 0s, backoff_cap: 1s}\n"


def to_run() -> list[Command]:
    """Each command once, in the order of their turns."""
    found: dict[str, Command] = {}
    for command in commands(ROOT):
        rule = how(command.filled)
        if not command.form and rule is not None and rule.lab:
            found.setdefault(command.filled, command)
    return sorted(found.values(), key=lambda command: how(command.filled).turn)  # type: ignore[union-attr]


def settle(guard: Guard) -> None:
    """Wait until nothing has to be proved: an order that comes in between is refused."""
    def still() -> bool:
        found = guard.snapshot()
        return found["policy"]["verifying"] is None and found["policy"]["pending_restart"] is None and found["agent"]["state"] == "running"

    guard.machine.wait_until(still, 90, "the agent to be proved")


def test_every_command_of_the_pages_works(machine: Machine) -> None:
    guard = Guard(machine)
    guard.install(AMPLE)
    settle(guard)
    wrong = []
    for command in to_run():
        rule = how(command.filled)
        assert rule is not None
        script = "\n".join(filter(None, ("cd /root", rule.before, command.filled)))
        ran = machine.run(["sh", "-c", script], check=False, timeout=150)
        if ran.rc not in rule.codes:
            wrong.append(f"{command.file}:{command.line}: {ran}")
        if rule.after:
            machine.run(rule.after, timeout=60)
        if rule.turn:
            guard.wait_ready()
            settle(guard)
    assert not wrong, "\n\n".join(wrong)


PROBE = """\
grep -E '^Cap(Prm|Eff|Bnd|Amb)' /proc/self/status
for place in $(awk '{print $5}' /proc/self/mountinfo) / /etc /home /root /run /run/lock /run/waguard /srv /tmp /usr /var /var/lib /var/log /var/tmp; do
    (: >"$place/.probe") 2>/dev/null && rm "$place/.probe" && echo "writes $place"
done
exit 0
"""
OWN = re.compile(r"(?:Type|Exec\w+|Restart\w*|Standard\w+|WatchdogSec|Timeout\w+|RuntimeMaxSec|LogLevelMax|OOMPolicy)=")
FOREIGN = ("/run/host", "/run/netns")  # what nspawn and the fabric have put into the machine


def probed(machine: Machine, unit: str) -> list[str]:
    """What PROBE says in the sandbox of a unit: a service with its very lines, but for what it runs."""
    lines = machine.read(f"/lib/systemd/system/{unit}").partition("[Service]\n")[2].partition("[Install]")[0].splitlines()
    kept = "\n".join(line for line in lines if not OWN.match(line))
    machine.write("/usr/local/bin/probe", PROBE, mode=0o755)
    machine.write("/etc/systemd/system/probe.service", f"[Service]\n{kept}\nType=oneshot\nStandardOutput=truncate:/var/probe\n"
                                                        "ExecStart=/bin/sh /usr/local/bin/probe\n")
    machine.run(["systemctl", "daemon-reload"])
    machine.run(["systemctl", "start", "probe.service"])
    return machine.read("/var/probe").splitlines()


@pytest.fixture(scope="module")
def installed(lab: Lab) -> Iterator[Machine]:
    with lab.machine() as machine:
        Guard(machine).install()
        yield machine


@pytest.mark.parametrize("unit", ["waguard.service", "waguard-doctor@.service", "waguard-exporter.service", "waguard-textfile.service"])
def test_a_sandbox_takes_writes_only_where_the_page_says(installed: Machine, unit: str) -> None:
    section = SECURITY.read_text().partition(f"### {unit}\n")[2].partition("\n### ")[0]
    told = re.search(r"^Takes writes: (.*?)\.$", section, re.MULTILINE)
    assert told, f"{unit}: the page does not say where it takes writes"
    said = probed(installed, unit)
    found = {line.partition(" ")[2] for line in said if line.startswith("writes ")}
    found = {path for path in found if not path.startswith(FOREIGN)}
    roots = {path for path in found if not any(path.startswith(f"{other}/") for other in found)}
    page = set(re.findall(r"`(/[^`]*)`", told[1]))
    assert roots == page
    assert [line.split()[1] for line in said if line.startswith("Cap")] == ["0" * 16] * 4
