"""waguard's doctor in a machine, and how a scenario is proved: found, named, nothing else in error, gone after repair."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from .agent import Agent
from .fabric import Fabric
from .guard import Guard
from .lab import Lab
from .machine import Machine

SETTINGS = """\
network:
  probe_timeout: 2s
doctor:
  interval: 20s
versions:
  feed: "off"
resources:
  cpu_for: 1d
"""
"""Everything as an operator has it, but sooner (whoever asks gets a visit of his own); and that the host's CPUs are busy for as long as the lab runs is no finding."""
QUICK = """\
liveness:
  check_interval: 1s
"""
"""For machines with many scenarios: a fresh look of the guard at any time."""
CHRONYC = """\
#!/bin/sh
# A time service as far as chronyc tells: the machine's own clock is its host's, and nothing in here may set it.
cat <<END
Reference ID    : CB007101 (203.0.113.1)
Stratum         : 3
System time     : 0.000012000 seconds slow of NTP time
Leap status     : Normal
END
"""


@contextmanager
def doctored(lab: Lab) -> Iterator[Machine]:
    """A machine for many scenarios: nothing is wrong with it, agent, guard and doctor look often, and storage is there."""
    with lab.machine(boot=False) as machine:
        Agent(machine).hurry()
        fabric = Fabric(machine)
        now = fabric.goal_state()
        fabric.publish(replace(now, extensions=now.extensions.reachable()))
        machine.write("/etc/waguard/conf.d/quick.yaml", QUICK)
        machine.boot()
        Agent(machine).wait_for_turn(since=0)
        Doctor(machine).install()
        yield machine


class Doctor:
    """A handle on the doctor of `machine`. It holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def install(self, settings: str = "") -> None:
        """waguard from its package, and a clock that is kept right."""
        self.machine.write("/usr/bin/chronyc", CHRONYC, mode=0o755)
        Guard(self.machine).install(SETTINGS + settings)

    def forget(self) -> None:
        """Starts the guard anew without what the doctor left behind: it asks every address again without waiting a minute."""
        self.machine.run("systemctl stop waguard && rm -f /run/waguard/doctor.json /var/lib/waguard/doctor.json"
                         " && systemctl start waguard")
        Guard(self.machine).wait_ready()

    def diagnose(self) -> dict[str, Any]:
        """What `waguardctl doctor --json` says: for root, of a look that began after it was asked for."""
        before = time.time()
        ran = self.machine.run(["waguardctl", "doctor", "--json"], check=False)
        assert ran.rc in (0, 2), str(ran)
        found: dict[str, Any] = json.loads(ran.out)["result"]
        assert found["at"] >= before - 0.001, found["at"]
        return found

    def findings(self) -> dict[str, dict[str, Any]]:
        """Those of a fresh diagnosis, by id."""
        return {finding["id"]: finding for finding in self.diagnose()["findings"]}

    def wait_for(self, found: Callable[[dict[str, dict[str, Any]]], bool], timeout: float, what: str) -> dict[str, dict[str, Any]]:
        """Until the findings are as wanted. Returns them."""
        end = time.monotonic() + timeout
        while True:
            findings = self.findings()
            if found(findings):
                return findings
            assert time.monotonic() < end, f"in vain for {what}; there is {sorted(findings)}"
            time.sleep(1)

    @contextmanager
    def finds(self, name: str, *words: str, also: tuple[str, ...] = (), timeout: float = 40) -> Iterator[dict[str, Any]]:
        """For a block that begins with the fault there, and repairs it: `name` is found, its evidence has `words`, no other
        critical finding but `also` is there, and after the block it is gone. Yields the finding."""
        findings = self.wait_for(lambda found: name in found, timeout, name)
        finding = findings[name]
        for word in words:
            assert word in finding["evidence"], finding
        others = {one["id"] for one in findings.values() if one["severity"] == "critical"} - {name, *also}
        assert others == set(), [findings[other] for other in others]
        assert finding["remedy"] and "{" not in finding["remedy"].replace("{print", ""), finding
        yield finding
        self.wait_for(lambda found: name not in found, timeout, f"the end of {name}")

    @contextmanager
    def under(self, fault: AbstractContextManager[object], name: str, *words: str, also: tuple[str, ...] = (),
              timeout: float = 40) -> Iterator[dict[str, Any]]:
        """`finds`, for a fault that is repaired at the end of its own block: it is brought about before ours, repaired after."""
        with ExitStack() as repair:
            repair.enter_context(fault)
            with self.finds(name, *words, also=also, timeout=timeout) as finding:
                yield finding
                repair.close()

    @contextmanager
    def setting(self, text: str) -> Iterator[None]:
        """Settings beside those of `install`, for a block. The doctor reads them at each visit."""
        path = "/etc/waguard/conf.d/scenario.yaml"
        self.machine.write(path, text)
        try:
            yield
        finally:
            self.machine.run(["rm", path])
