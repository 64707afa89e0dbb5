"""Appends lines of FILE to LOG, RATE a second for SECONDS: write.py FILE LOG RATE SECONDS. Prints how many, and the seconds."""

import json
import sys
import time


def main(source, log, rate, seconds):
    with open(source, "rb") as file:
        lines = file.readlines()
    begun, written = time.monotonic(), 0
    with open(log, "ab", buffering=0) as file:
        while True:
            elapsed = time.monotonic() - begun
            if elapsed >= seconds:
                break
            due = int(min(elapsed + 0.1, seconds) * rate) - written
            while due > 0:
                at = written % len(lines)
                some = lines[at:at + due]
                file.write(b"".join(some))
                written += len(some)
                due -= len(some)
            time.sleep(0.1 if rate >= 10 else max(0.0, (written + 1) / rate - (time.monotonic() - begun)))
    print(json.dumps([written, time.monotonic() - begun]))


main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]))
