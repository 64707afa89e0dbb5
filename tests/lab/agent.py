"""The real waagent in a machine: how it is set up for the lab, its processes, its files and its signs of life."""

from __future__ import annotations

import re
import time
from datetime import datetime

from .fabric import Fabric
from .machine import Machine

UNIT = "walinuxagent.service"  # Debian's name
DROP_INS = f"/etc/systemd/system/{UNIT}.d"
CONF = "/etc/waagent.conf"
LIB = "/var/lib/waagent"
LOG = "/var/log/waagent.log"
STATUS = f"{LIB}/waagent_status.*.json"  # 2.7.3.0, one an incarnation; the old ones move to history/

# Debian's unit only starts on Hyper-V. Everything else of it stays as it is; above all it has no Restart=.
ANYWHERE = "[Unit]\nConditionVirtualization=\n"


class Agent:
    """A handle on the agent of `machine`. It holds no state."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def configure(self) -> None:
        """Makes the agent start on this machine, whatever it is a VM of. Works before and after boot."""
        self.machine.write(f"{DROP_INS}/lab.conf", ANYWHERE)
        self.set("Provisioning.Agent", "disabled")  # there is no ovf-env.xml to provision from
        self.set("ResourceDisk.Format", "n")

    def hurry(self) -> None:
        """Makes the loop turn every second, not every six. For a machine that is not booted yet."""
        self.machine.run(f"echo Extensions.GoalStatePeriod=1 >>{CONF}")

    def set(self, key: str, value: str) -> None:
        """Changes a key that /etc/waagent.conf has. As always with this agent, a restart is needed."""
        self.machine.run(["sed", "-i", "-e", rf"s|^\({re.escape(key)}\)=.*|\1={value}|", CONF])
        assert f"\n{key}={value}\n" in self.machine.read(CONF), f"{CONF} has no {key}"

    def wait_for_turn(self, since: float | None = None, timeout: float = 60) -> None:
        """Until the agent's loop has turned after `since` (seconds since the epoch; default: now).

        It turns once at its start and then every 6 s. The sign is the strongest there is: the goal state was asked for,
        and the status file, which is written last, is newer.
        """
        begin = time.time() if since is None else since
        fabric = Fabric(self.machine)
        self.machine.wait_until(lambda: self.status_mtime() > begin and fabric.goal_states_asked(begin) > 0,
                                timeout, "the agent's loop to turn")

    def status_mtime(self) -> float:
        """When the loop last turned, in seconds since the epoch; 0 if there is no status file."""
        times = self.machine.run(f"stat --format=%.9Y {STATUS}", check=False).out.split()
        return max(map(float, times), default=0.0)

    def wait_for_goal_state(self, incarnation: int, timeout: float = 60) -> None:
        """Until the agent has done what this goal state wants, well or not, and has reported on it."""
        done = self.machine.wait_until(lambda: self._processed(incarnation), timeout,
                                       f"goal state {incarnation} to be processed")
        self.machine.wait_until(lambda: self.status_mtime() > done, timeout, f"a report on goal state {incarnation}")

    def _processed(self, incarnation: int) -> float:
        """When it last had a goal state with this number done, in seconds since the epoch; 0 if it has not."""
        line = f"^(\\S+)Z .*ProcessExtensionsInGoalState completed \\[Incarnation: {incarnation};"
        times = re.findall(line, self.log(), re.MULTILINE)
        return datetime.fromisoformat(f"{times[-1]}+00:00").timestamp() if times else 0.0

    def daemon_pid(self) -> int:
        """The unit's main process, numbered as in the machine; 0 if it does not run."""
        return int(self.machine.show(UNIT, "MainPID")["MainPID"])

    def handler_pids(self) -> list[int]:
        """The processes that turn the loop (`-run-exthandlers`): one, for a while two after a restart, or none."""
        found = self.machine.run(["pgrep", "-f", "--", "-run-exthandlers$"], check=False)
        return [int(pid) for pid in found.out.split()]

    def log(self) -> str:
        return self.machine.read(LOG) if self.machine.exists(LOG) else ""

    def heartbeats(self) -> list[str]:
        """The `[HEARTBEAT]` lines of the log, oldest first."""
        return [line for line in self.log().splitlines() if "[HEARTBEAT]" in line]
