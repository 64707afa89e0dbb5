"""What the doctor finds of file systems, load, logs, the clock and itself: each fault is there for real as far as a container
allows one, the only one in the machine, and gone after its repair.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timezone

import pytest

from .agent import LIB, LOG, UNIT, Agent
from .disk import Disk
from .doctor import CHRONYC, Doctor
from .fabric import Fabric
from .guard import Guard
from .machine import Machine

LOGS = "/var/log/azure"
DEAD = "/mnt/dead"
RULE = "/etc/logrotate.d/waagent.logrotate"


@contextmanager
def done(machine: Machine, fault: str, repair: str, check: bool = True) -> Iterator[None]:
    """What a command brings about, and another one undoes at the end of the block."""
    try:
        machine.run(fault, check=check)
        yield
    finally:
        machine.run(repair)


def grave(doctor: Doctor) -> list[str]:
    return [one["evidence"] for one in doctor.findings().values() if one["severity"] != "info"]


def test_a_healthy_machine_has_no_finding_above_info_and_no_fault_in_its_logs(doctor: Doctor) -> None:
    assert grave(doctor) == []
    logs = next(part for part in doctor.diagnose()["parts"] if part["name"] == "logs")
    assert logs["facts"]["faults"] == []
    assert logs["says"].endswith("no fault in the last day")


# -- file systems


@pytest.fixture(scope="class")
def disk(vm: Machine) -> Iterator[Disk]:
    """A file system of its own for the extensions' logs."""
    with Disk(vm, LOGS) as disk:
        yield disk


@pytest.mark.usefixtures("disk")
class TestADiskForTheLogsOfExtensions:
    HELD = f"{LOGS} (ext4), which holds the extensions' log directory,"

    def test_is_well(self, doctor: Doctor) -> None:
        assert grave(doctor) == []

    def test_is_full(self, vm: Machine, doctor: Doctor) -> None:
        fill = done(vm, f"dd if=/dev/zero of={LOGS}/fill bs=1M", f"rm {LOGS}/fill", check=False)
        with doctor.under(fill, "disk-full", self.HELD, "free") as finding:
            assert finding["blocks"] is True
            assert f"df -h {LOGS};" in finding["remedy"]

    def test_has_no_more_inodes(self, vm: Machine, doctor: Doctor) -> None:
        files = done(vm, f"mkdir {LOGS}/many && cd {LOGS}/many && seq 20000 | xargs touch", f"rm -r {LOGS}/many", check=False)
        with doctor.under(files, "inodes-exhausted", self.HELD, "has 0 of ", "inodes free") as finding:
            assert finding["blocks"] is True
            assert f"df -i {LOGS};" in finding["remedy"]

    def test_is_read_only(self, vm: Machine, doctor: Doctor) -> None:
        remounted = done(vm, f"mount -o remount,ro {LOGS}", f"mount -o remount,rw {LOGS}")
        with doctor.under(remounted, "filesystem-read-only", self.HELD, "is read-only") as finding:
            assert finding["blocks"] is True
            assert f"mount -o remount,rw {LOGS}" in finding["remedy"]


def test_nothing_can_be_executed_in_the_library_directory(vm: Machine, doctor: Doctor) -> None:
    noexec = done(vm, f"mount --bind {LIB} {LIB} && mount -o remount,bind,noexec {LIB}", f"umount {LIB}")
    with doctor.under(noexec, "filesystem-noexec", f"{LIB}, which holds {LIB}, is mounted noexec") as finding:
        assert finding["blocks"] is True
        assert f"mount -o remount,exec {LIB}" in finding["remedy"]


DEAD_PY = f"""\
# A FUSE whose server never says a word, as an NFS whose server is gone.
import ctypes, os, time
fd = os.open("/dev/fuse", os.O_RDWR)
libc = ctypes.CDLL(None, use_errno=True)
options = f"fd={{fd}},rootmode=40000,user_id=0,group_id=0".encode()
if libc.mount(b"dead", b"{DEAD}", b"fuse", 0, options):
    raise OSError(ctypes.get_errno(), "mount")
time.sleep(600)
"""


@contextmanager
def dead_mount(machine: Machine) -> Iterator[None]:
    assert "\tfuse\n" in machine.read("/proc/filesystems"), "this scenario needs a kernel with FUSE (modprobe fuse)"
    machine.write("/opt/lab/dead.py", DEAD_PY)
    machine.run(f"mkdir -p {DEAD}; [ -e /dev/fuse ] || mknod /dev/fuse c 10 229")
    machine.run(["systemd-run", "--quiet", "--unit=dead", "python3", "/opt/lab/dead.py"])
    try:
        machine.wait_until(lambda: f" {DEAD} " in machine.read("/proc/1/mountinfo"), 10, "the mount")
        yield
    finally:
        machine.run(f"umount --lazy {DEAD}; systemctl stop dead", check=False)


def test_a_mount_that_never_answers(vm: Machine, doctor: Doctor) -> None:
    with doctor.under(dead_mount(vm), "mount-unresponsive", f"{DEAD} (fuse) does not answer", "no answer within 3 s") as finding:
        assert f"umount -l {DEAD}," in finding["remedy"]
        assert doctor.diagnose()["took"] < 10  # nor does the next visit hang in it


# -- load


BURN = "systemd-run --quiet --unit=burn --property=RuntimeMaxSec=90 sh -c " \
       "'for cpu in $(seq $(nproc)); do while :; do :; done & done; wait'"
HOLD = "systemd-run --quiet --unit=hold --property=RuntimeMaxSec=90 " \
       "python3 -c 'import time; held = b\"x\" * ({} << 20); time.sleep(90)'"


@pytest.mark.alone
def test_busy_cpus(vm: Machine, doctor: Doctor) -> None:
    with doctor.setting("resources:\n  cpu_for: 5s\n"):
        with doctor.under(done(vm, BURN, "systemctl stop burn"), "cpu-saturated", "% busy over ", timeout=80):
            pass


def memory(machine: Machine) -> tuple[int, float]:
    """MiB in all, and the percentage in use."""
    lines = dict(line.split(":", 1) for line in machine.read("/proc/meminfo").splitlines())
    total, available = (int(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return total >> 10, 100 - 100 * available / total


def test_short_memory(vm: Machine, doctor: Doctor) -> None:
    """The memory is the host's: not all of it is taken, but the limit is set a little above what is in use."""
    total, used = memory(vm)
    limit = int(used) + 5
    hold = done(vm, HOLD.format(int((limit + 1.5 - used) / 100 * total)), "systemctl stop hold")
    with doctor.setting(f"resources:\n  cpu_for: 5s\n  memory_limit: {limit}\n  memory_free: 1000000\n"):
        with doctor.under(hold, "memory-pressure", "% of memory was in use at every look in ", timeout=80) as finding:
            told = re.match(r"at least (\d+)% ", finding["evidence"])
            assert told and int(told[1]) >= limit, finding


# -- the clock


@contextmanager
def chronyc(machine: Machine, old: str, new: str) -> Iterator[None]:
    """The clock is the host's, so it is only said to be wrong."""
    assert old in CHRONYC
    machine.write("/usr/bin/chronyc", CHRONYC.replace(old, new), mode=0o755)
    try:
        yield
    finally:
        machine.write("/usr/bin/chronyc", CHRONYC, mode=0o755)


def test_a_clock_that_nobody_keeps_right(vm: Machine, doctor: Doctor) -> None:
    # A host that has only just booted need not have synchronised its clock yet.
    time.sleep(max(0.0, 600 - float(vm.read("/proc/uptime").split()[0])))
    with doctor.under(chronyc(vm, ": Normal", ": Not synchronised"), "clock-skew", "chrony has no source that it can follow"):
        pass


def test_a_clock_that_is_far_off(vm: Machine, doctor: Doctor) -> None:
    with doctor.under(chronyc(vm, "0.000012000", "47.000000000"), "clock-skew", "the clock is 47 s behind", "chrony"):
        pass


# -- logs


def record(text: str, at: float, level: str = "ERROR") -> str:
    """A record as the agent writes them."""
    return f"{datetime.fromtimestamp(at, timezone.utc):%Y-%m-%dT%H:%M:%S.%f}Z {level} ExtHandler ExtHandler {text}\n"


def append(machine: Machine, text: str) -> None:
    machine.run(f"cat >>{LOG}", stdin=text)


def test_a_flood_and_its_end(vm: Machine, doctor: Doctor) -> None:
    """It was over more than four minutes ago, so that the five minutes for which it counts end while the test looks."""
    began = time.time() - 272
    text = "Lab: the same line again and again"
    append(vm, "".join(record(f"{text} {number}", began + number / 4000, "INFO") for number in range(8000)))

    with doctor.finds("log-flood", f"{LOG} gets ", "records a minute over five minutes", f"most of them: {text}") as finding:
        assert finding["remedy"].startswith(f"tail {LOG};")
    assert time.time() > began + 290


def test_a_large_log(vm: Machine, doctor: Doctor) -> None:
    log = f"{LOGS}/Lab.Chatter/extension.log"
    large = done(vm, f"mkdir -p {LOGS}/Lab.Chatter && fallocate --length 120M {log}", f"rm -r {LOGS}/Lab.Chatter")
    with doctor.under(large, "log-tree-oversized", f"{log} takes 120.0 MiB") as finding:
        assert log in finding["remedy"]


def test_reports_that_the_agent_says_did_not_arrive(vm: Machine, doctor: Doctor) -> None:
    text = "Failed to report vm agent status for more than 0:15:00"
    append(vm, record(f"Event: name=WALinuxAgent, op=ReportStatusExtended, message={text}, duration=0", time.time()))

    with doctor.finds("status-not-reported", "the agent said ", text) as finding:
        assert finding["blocks"] is True
        append(vm, record("Completed vm agent status report successfully", time.time(), "VERBOSE"))


@contextmanager
def no_way_for_reports(machine: Machine) -> Iterator[None]:
    """Neither the host plugin nor the storage takes them. That they arrive again the agent only says when it is verbose."""
    fabric, agent = Fabric(machine), Agent(machine)
    with ExitStack() as repair:
        fabric.behave("notfound", "hostplugin", "storage")
        repair.callback(machine.run, ["systemctl", "restart", UNIT])
        repair.callback(agent.set, "Logs.Verbose", "y")
        repair.callback(fabric.behave, "well", "hostplugin", "storage")
        yield


def test_reports_that_really_do_not_arrive(vm: Machine, doctor: Doctor) -> None:
    words = ("the agent failed to report its status ", " times in ", "Failed to upload status blob via either channel")
    try:
        with doctor.under(no_way_for_reports(vm), "status-not-reported", *words) as finding:
            assert finding["blocks"] is True
    finally:
        Agent(vm).set("Logs.Verbose", "n")
        vm.run(["systemctl", "restart", UNIT])
        Agent(vm).wait_for_turn()


def test_no_rule_to_rotate_the_log(vm: Machine, doctor: Doctor) -> None:
    no_rule = done(vm, f"mv {RULE} /root/", f"mv /root/waagent.logrotate {RULE}")
    with doctor.under(no_rule, "logrotate-broken", LOG, "no rule of logrotate is for it"):
        pass


def test_a_log_that_logrotate_leaves_alone_until_it_comes(vm: Machine, doctor: Doctor) -> None:
    append(vm, record("Lab: a line", time.time() - 3600, "INFO") * 1000)
    with done(vm, f"cp {RULE} /root/ && sed -i 's/^ *size .*/size 10k/' {RULE}", f"mv /root/waagent.logrotate {RULE}"):
        with doctor.finds("logrotate-broken", f"{LOG} takes ", f"{RULE} rotates it at 10 KiB"):
            vm.run(["logrotate", "/etc/logrotate.conf"])
            assert vm.run(f"ls {LOG}-*.gz").out
            vm.run(["systemctl", "restart", UNIT])
            Agent(vm).wait_for_turn()


def test_a_log_that_cannot_be_read(vm: Machine, doctor: Doctor) -> None:
    """By who has no capabilities, that is, and after a rotation: the agent has them, and goes on writing."""
    rotated = done(vm, f"mv {LOG} {LOG}.1 && install -m 000 /dev/null {LOG}", f"chmod 644 {LOG}")
    with doctor.under(rotated, "observer-failing", f"{LOG}: Permission denied"):
        pass


# -- waguard itself


def found(vm: Machine) -> dict[str, str]:
    """What `waguardctl status` has, with the evidence."""
    return {one["id"]: one["evidence"] for one in Guard(vm).snapshot()["findings"]}


def test_a_doctor_that_does_not_come(vm: Machine) -> None:
    socket, guard = "waguard-doctor.socket", Guard(vm)

    def failing() -> bool:
        guard.ctl("doctor", check=False)  # Who asks is what makes it look.
        return "observer-failing" in found(vm)

    with done(vm, f"systemctl stop {socket}", f"systemctl start {socket}"):
        vm.wait_until(failing, 60, "three visits to fail")
        told = found(vm)
        assert told["observer-failing"].startswith("doctor: waguard-doctor cannot be started: "), told
        assert socket in told["observer-failing"]
        ran = guard.ctl("doctor", check=False)
        assert ran.rc == 1 and f"systemctl status {socket}" in ran.err, str(ran)
    vm.wait_until(lambda: not failing(), 30, "a visit to succeed")


def test_after_all_that_it_is_as_healthy_as_before(doctor: Doctor) -> None:
    assert grave(doctor) == []
