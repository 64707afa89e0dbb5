"""Restarts a unit and asks its URL until it answers: first.py UNIT URL. Prints the seconds since systemd started the process."""

import json
import subprocess
import sys
import time
import urllib.request


def main(unit, url):
    subprocess.run(["systemctl", "restart", unit], check=True)
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                answer.read()
            answered = time.clock_gettime(time.CLOCK_MONOTONIC)
            break
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
    name = "ExecMainStartTimestampMonotonic"
    told = subprocess.run(["systemctl", "show", unit, f"--property={name}", "--value"], stdout=subprocess.PIPE, check=True)
    print(json.dumps(answered - int(told.stdout) / 1e6))


main(sys.argv[1], sys.argv[2])
