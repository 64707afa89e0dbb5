"""A healthy agent through a life in fast motion: whatever it goes through, there is no finding above info."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from .agent import UNIT, Agent
from .doctor import Doctor
from .extensions import VMSNAPSHOT, Handler, snapshot
from .fabric import Fabric
from .guard import Guard
from .lab import Lab
from .machine import Machine


class Life:
    """The machine, and every grave finding that was ever seen in it."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.agent, self.fabric, self.guard, self.doctor = Agent(machine), Fabric(machine), Guard(machine), Doctor(machine)

    def check(self, when: str) -> dict[str, Any]:
        """A fresh diagnosis, which has to be clean."""
        told = self.doctor.diagnose()
        grave = [(one["id"], one["evidence"]) for one in told["findings"] if one["severity"] != "info"]
        assert grave == [], f"{when}: {grave}"
        # Whether CPUs that are busy now are busy for long is not known at once.
        unknown = [(part["name"], part["says"]) for part in told["parts"] if part["ok"] is None and part["name"] != "load"]
        assert unknown == [], f"{when}: {unknown}"
        assert told["backup"]["ready"] is True, f"{when}: {told['backup']}"
        return told

    def raised(self) -> list[str]:
        """What was ever worth an event, but what is only information or was meant."""
        return [event["message"] for event in self.guard.events("finding-raised") if event["fields"]["severity"] != "info"]

    def backup(self, behaviour: str = "succeed") -> None:
        sequence = self.fabric.goal_state().incarnation
        self.agent.wait_for_goal_state(self.fabric.serve_extension(snapshot(behaviour, sequence)))
        Handler(self.machine).wait_for_code(sequence, 1)


@pytest.fixture
def life(lab: Lab) -> Iterator[Life]:
    with lab.machine(boot=False) as machine:
        agent, fabric = Agent(machine), Fabric(machine)
        agent.hurry()
        now = fabric.goal_state()
        fabric.publish(replace(now, extensions=now.extensions.reachable()))
        machine.boot()
        agent.wait_for_turn(since=0)
        Doctor(machine).install()
        yield Life(machine)


def test_a_healthy_life_without_a_grave_finding(life: Life) -> None:
    machine, guard = life.machine, life.guard
    life.check("freshly installed")

    for _ in range(3):
        life.backup()
    told = life.check("after three backups")
    assert guard.metrics()[f'waguard_extension_ready{{handler="{VMSNAPSHOT}"}}'] == 1
    assert "1 ready" in next(part["says"] for part in told["parts"] if part["name"] == "extensions") \
        or "is ready" in next(part["says"] for part in told["parts"] if part["name"] == "extensions")

    machine.run(["logrotate", "--force", "/etc/logrotate.conf"])
    life.agent.wait_for_turn()
    life.check("after a rotation")

    machine.run("apt-get install --yes --reinstall -o Dpkg::Options::=--force-confold /srv/debs/waagent_*.deb", timeout=120)
    life.agent.wait_for_turn(since=time.time())
    life.check("after apt reinstalled the agent")

    guard.ctl("verbose", "on", "--for", "20s")
    machine.wait_until(lambda: guard.snapshot()["verbose"]["lease"] is None, 120, "the lease to end")
    life.agent.wait_for_turn(since=time.time())
    life.check("after a verbose lease")

    machine.run(["systemctl", "restart", UNIT])
    life.agent.wait_for_turn(since=time.time())
    life.check("after an administrator's restart")

    life.backup("slow:6")
    life.check("after a slow backup")

    machine.reboot()
    life.agent.wait_for_turn(since=time.time())
    guard.wait_ready()
    machine.wait_until(lambda: guard.snapshot()["doctor"] is not None, 60, "a visit after the boot")
    life.check("after a reboot")
    assert life.raised() == []

