"""The kernel's counters of load."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import counters
from waguard.agent.counters import Cpu, Stall, Use

STAT = "cpu  100 10 50 700 40 5 15 80 30 9\ncpu0 1 2 3 4 5 6 7 8 9 10\nintr 1\n"


class TestCpu:
    def test_guests_are_not_counted_twice(self) -> None:
        assert counters.cpu(STAT) == Cpu(1000, 700, 40, 80)

    @pytest.mark.parametrize("text", ["", "cpu", "cpu0 1 2 3 4 5 6 7 8", "cpu 1 2 3", "cpu 1 2 3 x 5 6 7 8", "cpu " + "9" * 5000 + " 2 3 4 5 6 7 8"])
    def test_what_is_no_such_line(self, text: str) -> None:
        assert counters.cpu(text) is None

    def test_use_between_two_looks(self) -> None:
        assert counters.use(Cpu(1000, 700, 40, 80), Cpu(2000, 900, 140, 380)) == Use(busy=0.7, iowait=0.1, steal=0.3)

    def test_iowait_may_go_back(self) -> None:
        """proc_stat(5) warns of it."""
        use = counters.use(Cpu(1000, 700, 40, 80), Cpu(1100, 750, 30, 80))
        assert use is not None and (use.busy, use.iowait) == (0.5, 0.0)

    @pytest.mark.parametrize("after", [Cpu(1000, 700, 40, 80), Cpu(5, 1, 0, 0), Cpu(2000, 600, 40, 80)])
    def test_no_time_passed_or_the_counters_began_anew(self, after: Cpu) -> None:
        assert counters.use(Cpu(1000, 700, 40, 80), after) is None


def test_meminfo_is_in_bytes() -> None:
    assert counters.meminfo("MemTotal:  100 kB\nMemAvailable:\t7 kB\nHugePages_Total: 3\nx: y kB\n") == {"MemTotal": 102400, "MemAvailable": 7168}


def test_pairs() -> None:
    assert counters.pairs("nr_free 1\noom_kill 3\nbad x\na b c\n\n") == {"nr_free": 1, "oom_kill": 3}


class TestPressure:
    def test_both_lines(self) -> None:
        text = "some avg10=1.50 avg60=2.00 avg300=3.25 total=99\nfull avg10=0.50 avg60=0.25 avg300=0.00 total=9\n"
        assert counters.pressure(text) == Stall((1.5, 2.0, 3.25), (0.5, 0.25, 0.0))

    def test_before_linux_5_13_cpu_has_only_one(self) -> None:
        assert counters.pressure("some avg10=1.50 avg60=2.00 avg300=3.25 total=99\n") == Stall((1.5, 2.0, 3.25), None)

    @pytest.mark.parametrize("text", ["", "full avg10=1 avg60=1 avg300=1 total=1", "some avg10=x avg60=1 avg300=1", "some", "some avg10=nan avg60=1 avg300=1",
                                      "some avg10=1 avg60=1"])
    def test_what_tells_nothing(self, text: str) -> None:
        assert counters.pressure(text) is None


class TestCgroups:
    def test_by_controller(self) -> None:
        text = "4:memory:/azure.slice\n2:cpu,cpuacct:/azure.slice/walinuxagent.service\n1:name=systemd:/x\n0::/azure.slice/a:b\n"
        assert counters.cgroups(text) == {"memory": "/azure.slice", "cpu": "/azure.slice/walinuxagent.service",
                                          "cpuacct": "/azure.slice/walinuxagent.service", "name=systemd": "/x", "": "/azure.slice/a:b"}

    @pytest.mark.parametrize("text", ["", "0::/../../etc", "0:", "0::relative"])
    def test_what_leads_elsewhere_is_left_out(self, text: str) -> None:
        assert counters.cgroups(text) == {}


@given(st.text())
def test_nothing_raises(text: str) -> None:
    for parse in (counters.cpu, counters.meminfo, counters.pairs, counters.pressure, counters.cgroups):
        parse(text)
    counters.cpu("cpu " + text)
    counters.pressure("some avg10=" + text)
