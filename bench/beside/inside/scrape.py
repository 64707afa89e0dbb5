"""Scrapes as Prometheus does, over connections that stay: scrape.py URL CONNECTIONS COUNT, COUNT on each connection.

Prints JSON: the seconds of each scrape, the bytes of the last on the wire, and its text.
"""

import gzip
import http.client
import json
import sys
import threading
import time
import urllib.parse

HEADERS = {
    "Accept": "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1",
    "Accept-Encoding": "gzip", "User-Agent": "Prometheus/2.42.0", "X-Prometheus-Scrape-Timeout-Seconds": "10",
}


def scrape(url, count, seconds, last, ready):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=30)
    connection.connect()
    ready.wait()
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("GET", url.path, headers=HEADERS)
        answer = connection.getresponse()
        body = answer.read()
        seconds.append(time.perf_counter() - begun)
        if answer.status != 200:
            raise SystemExit(f"{url.geturl()}: {answer.status}")
    last.append((body, answer.headers.get("Content-Encoding")))
    connection.close()


def main(address, connections, count):
    url = urllib.parse.urlsplit(address)
    seconds, last, ready = [], [], threading.Barrier(connections)
    threads = [threading.Thread(target=scrape, args=(url, count, seconds, last, ready)) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(last) != connections:
        sys.exit("a connection broke")
    body, coding = last[-1]
    text = gzip.decompress(body) if coding == "gzip" else body
    print(json.dumps({"seconds": seconds, "bytes": len(body), "text": text.decode()}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
