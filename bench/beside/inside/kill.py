"""Kills a unit's main process, and says how long it took until systemd had the unit active again: kill.py UNIT LOOK TIMEOUT.

LOOK seconds pass before the first look, and between two, so that looking costs nobody CPU time; the moment is systemd's own
(ActiveEnterTimestampMonotonic). Prints the seconds.
"""

import json
import os
import signal
import subprocess
import sys
import time


def state(unit):
    names = "MainPID,ActiveState,ActiveEnterTimestampMonotonic,SubState"
    told = subprocess.run(["systemctl", "show", unit, f"--property={names}"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("=", 1) for line in told.splitlines())


def at_work(pid):
    """The daemon has its handler, and that has come to rest."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            return bool(file.read().split())
    except FileNotFoundError:
        return False


def main(unit, look, timeout):
    deadline = time.monotonic() + 30
    while True:
        now = state(unit)
        pid = int(now["MainPID"])
        if now["ActiveState"] == "active" and pid and at_work(pid):
            break
        if time.monotonic() > deadline:
            sys.exit(f"{unit} is not at work: {now}")
        time.sleep(0.1)
    time.sleep(0.6)
    killed = time.clock_gettime(time.CLOCK_MONOTONIC)
    os.kill(pid, signal.SIGKILL)
    while True:
        time.sleep(look)
        now = state(unit)
        if now["ActiveState"] == "active" and int(now["MainPID"]) not in (0, pid):
            break
        if time.clock_gettime(time.CLOCK_MONOTONIC) - killed > timeout:
            sys.exit(f"{unit} did not come back in {timeout:g} s: {now}")
    print(json.dumps(int(now["ActiveEnterTimestampMonotonic"]) / 1e6 - killed))


main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
