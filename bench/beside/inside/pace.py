"""Scrapes each URL every so many seconds, as a Prometheus would: pace.py SECONDS EVERY URL [URL ...]. Prints how often."""

import json
import sys
import time
import urllib.request


def main(seconds, every, urls):
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        for url in urls:
            with urllib.request.urlopen(url, timeout=60) as answer:
                answer.read()
        count += 1
        left = begun + min(count * every, seconds) - time.monotonic()
        time.sleep(max(0.0, left))
    print(json.dumps(count))


main(float(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
