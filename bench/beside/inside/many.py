"""COUNT processes that sleep, until this one is ended with all of its control group: many.py COUNT."""

import os
import signal
import sys


def main(count):
    for _ in range(count):
        # A fork without a program of its own: small, and there is nothing to load.
        if os.fork() == 0:
            break
    while True:
        signal.pause()


main(int(sys.argv[1]))
