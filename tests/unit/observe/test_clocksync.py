"""Is the clock synchronised, told by fake programs that say what the real ones say."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Optional

import pytest

from waguard.observe import clocksync
from waguard.observe.clocksync import ClockSync

from .trees import plant, program

TRACKING = """Reference ID    : {reference}
Stratum         : 3
Ref time (UTC)  : Thu Nov 20 12:00:00 2025
System time     : {offset} of NTP time
Last offset     : +0.000001234 seconds
RMS offset      : 0.000012 seconds
Leap status     : {leap}
"""
GOOD = TRACKING.format(reference="50484330 (PHC0)", offset="0.000006523 seconds slow", leap="Normal")
NONE = "exit 1"


def look(root: Path, chrony: str = NONE, state: object = None, wall: float = 1000.0, now: float = 10.0) -> ClockSync:
    programs = root / "programs"
    programs.mkdir(exist_ok=True)
    return clocksync.look(state, wall, now, root, program(programs / "chronyc", chrony))  # type: ignore[arg-type]


def said(text: str) -> str:
    return f"cat <<'END'\n{text}END"


class TestChrony:
    def test_synchronised(self, tmp_path: Path) -> None:
        found = look(tmp_path, said(GOOD))
        assert (found.synchronised, found.by, found.offset, found.why) == (True, "chrony", -0.000006523, "")

    def test_ahead(self, tmp_path: Path) -> None:
        assert look(tmp_path, said(GOOD.replace("0.000006523 seconds slow", "61.5 seconds fast"))).offset == 61.5

    @pytest.mark.parametrize("leap", ["Insert second", "Delete second"])
    def test_a_leap_second_to_come_is_no_fault(self, tmp_path: Path, leap: str) -> None:
        assert look(tmp_path, said(GOOD.replace("Normal", leap))).synchronised is True

    def test_not_synchronised(self, tmp_path: Path) -> None:
        text = TRACKING.format(reference="00000000 ()", offset="0.000000001 seconds fast", leap="Not synchronised")
        plant(tmp_path, {"run/systemd/timesync/synchronized": ""})
        found = look(tmp_path, said(text))
        assert found.synchronised is False and found.by == "chrony" and "no source" in found.why

    def test_its_own_clock_is_no_source(self, tmp_path: Path) -> None:
        """With ``local stratum 10`` chrony says Normal whatever the time is."""
        assert look(tmp_path, said(GOOD.replace("50484330", "7F7F0101"))).synchronised is False

    def test_it_was_asked_without_names(self, tmp_path: Path) -> None:
        look(tmp_path, f'echo "args: $@" > {tmp_path}/args; exit 1')
        assert (tmp_path / "args").read_text() == "args: -n tracking\n"


class TestTimesyncd:
    @pytest.mark.parametrize("chrony", [NONE, "echo '506 Cannot talk to daemon'; exit 1", "echo garbage"])
    def test_where_chrony_does_not_tell(self, tmp_path: Path, chrony: str) -> None:
        plant(tmp_path, {"run/systemd/timesync/synchronized": ""})
        found = look(tmp_path, chrony)
        assert (found.synchronised, found.by, found.offset) == (True, "systemd-timesyncd", None)

    @pytest.mark.parametrize(("age", "told"), [(599.0, None), (601.0, False), (-100.0, False)])
    def test_without_its_mark(self, tmp_path: Path, age: float, told: Optional[bool]) -> None:
        """Its directory is of the future where the clock was set back since; that takes it no nearer to the true time."""
        (tmp_path / "run/systemd/timesync").mkdir(parents=True)
        os.utime(tmp_path / "run/systemd/timesync", (1000.0 - age, 1000.0 - age))
        assert look(tmp_path).synchronised is told


class TestNobody:
    def test_tells(self, tmp_path: Path) -> None:
        found = look(tmp_path, "echo no >&2; exit 1")
        assert found.synchronised is None
        assert found.why == "neither chronyc (exit status 1: no) nor systemd-timesyncd (it does not run) tells"

    def test_is_there(self, tmp_path: Path) -> None:
        found = clocksync.look(None, 1.0, 1.0, tmp_path, "/nowhere/chronyc")
        assert found.synchronised is None and "No such file" in found.why


class TestStep:
    @pytest.mark.parametrize(("wall", "now", "step"), [(1600.0, 610.0, 0.0), (1625.0, 610.0, 0.0), (1700.0, 610.0, 100.0), (1000.0, 610.0, -600.0)])
    def test_against_the_time_since_boot(self, tmp_path: Path, wall: float, now: float, step: float) -> None:
        first = look(tmp_path, wall=1000.0, now=10.0)
        assert first.stepped is None
        state = json.loads(json.dumps(first.state))
        assert look(tmp_path, state=state, wall=wall, now=now).stepped == step

    @pytest.mark.parametrize("state", [None, {}, {"wall": "x", "now": 1}, {"wall": 1, "now": None}, {"wall": 1.0, "now": 99.0, "boot": ""},
                                       {"wall": 1.0, "now": 1.0, "boot": "another"}])
    def test_not_known_after_a_boot_or_without_an_earlier_look(self, tmp_path: Path, state: object) -> None:
        plant(tmp_path, {"proc/sys/kernel/random/boot_id": "this\n"})
        assert look(tmp_path, state=state).stepped is None


def test_the_hosts_clock_as_a_device(tmp_path: Path) -> None:
    plant(tmp_path, {"sys/class/ptp/ptp0/clock_name": "mlx5_ptp\n"})
    assert not look(tmp_path).hyperv
    plant(tmp_path, {"sys/class/ptp/ptp1/clock_name": "hyperv\n"})
    assert look(tmp_path).hyperv
