"""How busy the machine is, in fake /proc trees: what one look tells, and what only a history can."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Optional

import pytest

from waguard.agent.facts import AgentFacts
from waguard.observe import load
from waguard.observe.files import Unusable
from waguard.observe.load import Load
from waguard.settings import ResourceSettings

from .trees import plant

SETTINGS = ResourceSettings(cpu_for=300.0)
SOME = "some avg10=1.00 avg60=2.00 avg300=3.00 total=1\nfull avg10=0.10 avg60=0.20 avg300=0.30 total=1\n"


class Machine:
    """A fake machine that lives through time, a second being 100 ticks."""

    def __init__(self, root: Path) -> None:
        self.root, self.at, self.ticks = root, 1000.0, [0] * 8
        self.state: Optional[Any] = None
        self.pid = 0
        plant(root, {"proc/sys/kernel/random/boot_id": "one\n", "proc/vmstat": "oom_kill 5\n"})
        self.memory(0.5)

    def memory(self, used: float) -> None:
        plant(self.root, {"proc/meminfo": f"MemTotal: 1000000 kB\nMemAvailable: {round((1 - used) * 1000000)} kB\nSwapTotal: 10 kB\nSwapFree: 4 kB\n"})

    def live(self, seconds: float, busy: float, steal: float = 0.0, iowait: float = 0.0) -> None:
        self.at += seconds
        for field, share in ((0, busy - steal), (3, 1 - busy - iowait), (4, iowait), (7, steal)):
            self.ticks[field] += round(seconds * 100 * share)

    def look(self, settings: ResourceSettings = SETTINGS) -> Load:
        plant(self.root, {"proc/stat": "cpu " + " ".join(map(str, self.ticks)) + " 0 0\n"})
        agent = dataclasses.replace(AgentFacts(), daemon_pid=self.pid)
        found = load.look(settings, agent, self.state, self.at, self.root, 0.0)
        self.state = json.loads(json.dumps(found.state))
        return found


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def busy(found: Load) -> Optional[float]:
    return None if found.sustained is None else round(found.sustained.busy, 3)


class TestSustained:
    def test_a_first_look_tells_nothing_of_the_past(self, machine: Machine) -> None:
        machine.live(1000, 1.0)
        found = machine.look()
        assert found.sustained is None and found.span is None and found.memory_sustained is None and found.memory_used == pytest.approx(0.5)

    def test_a_history_that_is_too_short_tells_nothing(self, machine: Machine) -> None:
        machine.look()
        machine.live(299, 1.0)
        assert machine.look().sustained is None

    def test_one_that_is_long_enough_does(self, machine: Machine) -> None:
        machine.look()
        machine.live(600, 0.95, steal=0.2, iowait=0.03)
        found = machine.look()
        assert found.sustained is not None and found.span == 600
        assert (round(found.sustained.busy, 3), round(found.sustained.steal, 3), round(found.sustained.iowait, 3)) == (0.95, 0.2, 0.03)

    def test_a_burst_between_two_looks_is_spread_over_the_time(self, machine: Machine) -> None:
        machine.look()
        machine.live(60, 1.0)
        machine.live(540, 0.1)
        assert busy(machine.look()) == 0.19

    def test_the_shortest_time_that_is_long_enough_counts(self, machine: Machine) -> None:
        """So that it is over soon after it is over."""
        for share in (1.0, 1.0, 1.0, 0.2):
            machine.look()
            machine.live(600, share)
        found = machine.look()
        assert found.span == 600 and busy(found) == 0.2

    def test_looks_close_to_each_other_do_not_push_the_history_out(self, machine: Machine) -> None:
        machine.look()
        for _ in range(100):
            machine.live(5, 0.9)
            found = machine.look()
            assert len(found.state["samples"]) <= 12
        assert busy(found) == 0.9 and found.span is not None and 300 <= found.span <= 400

    def test_a_gap_ends_the_history(self, machine: Machine) -> None:
        """A mean over days may hide what the last minutes were."""
        machine.look()
        machine.live(86400, 0.5)
        assert machine.look().sustained is None
        machine.live(600, 0.9)
        assert busy(machine.look()) == 0.9

    def test_a_boot_ends_the_history(self, machine: Machine) -> None:
        machine.look()
        machine.live(600, 1.0)
        plant(machine.root, {"proc/sys/kernel/random/boot_id": "two\n"})
        assert machine.look().sustained is None

    def test_counters_that_went_back_tell_nothing(self, machine: Machine) -> None:
        machine.live(600, 0.5)
        machine.look()
        machine.live(600, 0.5)
        machine.ticks = [1] * 8
        assert machine.look().sustained is None

    def test_memory_is_short_only_if_it_was_at_every_look(self, machine: Machine) -> None:
        told = []
        for used in (0.95, 0.97, 0.5, 0.96, 0.93):
            machine.memory(used)
            told.append(machine.look().memory_sustained)
            machine.live(600, 0.1)
        assert told == [None, pytest.approx(0.95), pytest.approx(0.5), pytest.approx(0.5), pytest.approx(0.93)]

    @pytest.mark.parametrize("samples", [None, 3, "x", [1], [[1, 2, 3]], [["a"] * 6], [[1e999] * 6], [[None] * 6], [[9e9, 1, 1, 1, 1, 0.5]]])
    def test_a_state_that_makes_no_sense_is_none(self, machine: Machine, samples: object) -> None:
        machine.state = {"boot": "one", "samples": samples, "oom_kills": "x", "throttled": 3}
        assert machine.look().sustained is None


class TestMomentary:
    def test_against_a_young_look(self, machine: Machine) -> None:
        machine.look()
        machine.live(30, 0.4)
        found = machine.look()
        assert found.momentary is not None and round(found.momentary.busy, 3) == 0.4

    def test_without_one_over_a_moment_of_this_machine(self) -> None:
        found = load.look(SETTINGS, AgentFacts(), None, 1.0, sample=0.2)
        assert found.momentary is not None and 0 <= found.momentary.busy <= 1


class TestRest:
    def test_memory_and_swap_are_in_bytes(self, machine: Machine) -> None:
        found = machine.look()
        assert (found.memory_total, found.memory_available, found.swap_total, found.swap_free) == (1024000000, 512000000, 10240, 4096)

    def test_what_is_not_told_is_none(self, machine: Machine) -> None:
        """Linux before 3.14 has no MemAvailable, RHEL 8 no stalls."""
        plant(machine.root, {"proc/meminfo": "MemTotal: 1000 kB\n", "proc/vmstat": ""})
        found = machine.look()
        assert (found.memory_available, found.memory_used, found.cpu_stall, found.oom_kills) == (None, None, None, None)

    def test_stalls(self, machine: Machine) -> None:
        plant(machine.root, {"proc/pressure/memory": SOME})
        found = machine.look()
        assert found.memory_stall is not None and found.memory_stall.some == (1.0, 2.0, 3.0) and found.io_stall is None

    def test_kills_are_those_since_the_last_look(self, machine: Machine) -> None:
        assert machine.look().oom_kills is None
        assert machine.look().oom_kills == 0
        plant(machine.root, {"proc/vmstat": "oom_kill 7\n"})
        assert machine.look().oom_kills == 2

    @pytest.mark.parametrize("text", ["", "cpu x\n", "intr 1\n"])
    def test_without_proc_stat_it_cannot_be_told(self, tmp_path: Path, text: str) -> None:
        plant(tmp_path, {"proc/stat": text})
        with pytest.raises(Unusable, match="proc/stat"):
            load.look(SETTINGS, AgentFacts(), None, 1.0, tmp_path, 0.0)

    def test_a_fifo_does_not_hold_it_up(self, machine: Machine) -> None:
        (machine.root / "proc/pressure").mkdir()
        os.mkfifo(machine.root / "proc/pressure/cpu")
        assert machine.look().cpu_stall is None


class TestThrottling:
    def throttle(self, machine: Machine, path: str, text: str, cgroup: str) -> None:
        machine.pid = 77
        plant(machine.root, {"proc/77/cgroup": cgroup, f"sys/fs/cgroup/{path}/cpu.stat": text})

    def test_of_the_agents_cgroup(self, machine: Machine) -> None:
        cgroup, path = "0::/azure.slice/waagent.service\n", "azure.slice/waagent.service"
        self.throttle(machine, path, "usage_usec 9\nnr_periods 100\nnr_throttled 10\nthrottled_usec 5000000\n", cgroup)
        (one,) = machine.look().throttles
        assert (one.path, one.periods, one.throttled, one.seconds, one.recent) == ("/azure.slice/waagent.service", 100, 10, 5.0, None)
        self.throttle(machine, path, "nr_periods 200\nnr_throttled 30\nthrottled_usec 65000000\n", cgroup)
        (one,) = machine.look().throttles
        assert one.recent == 60.0

    def test_of_a_slice_above_it(self, machine: Machine) -> None:
        """A quota on azure.slice starves backups while the machine looks idle."""
        self.throttle(machine, "azure.slice", "nr_periods 9\nnr_throttled 1\nthrottled_usec 1000\n", "0::/azure.slice/waagent.service\n")
        assert [one.path for one in machine.look().throttles] == ["/azure.slice"]

    def test_with_cgroups_of_version_1(self, machine: Machine) -> None:
        self.throttle(machine, "cpu/system.slice/waagent.service", "nr_periods 9\nnr_throttled 1\nthrottled_time 2500000000\n",
                      "3:cpu,cpuacct:/system.slice/waagent.service\n0::/\n")
        assert [one.seconds for one in machine.look().throttles] == [2.5]

    @pytest.mark.parametrize("cgroup", ["", "0::/\n", "0::/../../x\n", "garbage"])
    def test_without_a_quota_or_a_cgroup(self, machine: Machine, cgroup: str) -> None:
        self.throttle(machine, "azure.slice", "nr_periods 0\nnr_throttled 0\nthrottled_usec 0\n", cgroup)
        assert machine.look().throttles == ()
