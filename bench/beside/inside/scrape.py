"""Scrapes as Prometheus does, over connections that stay: scrape.py URL CONNECTIONS COUNT, COUNT on each connection.

Sockets alone, so that little of what is measured is this program's own. Prints JSON: the seconds of each scrape, the bytes of the
last on the wire, and its text.
"""

import gzip
import json
import selectors
import socket
import sys
import time
import urllib.parse

HEADERS = ("Accept: application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.1\r\n"
           "Accept-Encoding: gzip\r\nUser-Agent: Prometheus/2.42.0\r\nX-Prometheus-Scrape-Timeout-Seconds: 10\r\n")


class Client:
    def __init__(self, url, count):
        self.request = f"GET {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n{HEADERS}\r\n".encode()
        self.socket = socket.create_connection((url.hostname, url.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.left, self.data, self.seconds = count, b"", []

    def ask(self):
        self.left -= 1
        self.data = b""
        self.begun = time.perf_counter()
        self.socket.sendall(self.request)

    def hear(self):
        """More of the answer. True when it is there as a whole."""
        data = self.socket.recv(1 << 20)
        if not data:
            sys.exit("the server hung up")
        self.data += data
        head, end, body = self.data.partition(b"\r\n\r\n")
        if not end:
            return False
        whole = body.endswith(b"0\r\n\r\n") if b"\r\nTransfer-Encoding: chunked" in head else len(body) == length(head)
        if whole:
            self.seconds.append(time.perf_counter() - self.begun)
            if not head.startswith(b"HTTP/1.1 200 "):
                sys.exit(head.decode())
        return whole


def length(head):
    return int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")).split(b":")[1])


def content(data):
    """(bytes on the wire, text) of an answer."""
    head, _, body = data.partition(b"\r\n\r\n")
    if b"\r\nTransfer-Encoding: chunked" in head:
        joined = b""
        while body:
            size, _, body = body.partition(b"\r\n")
            joined += body[:int(size, 16)]
            body = body[int(size, 16) + 2:]
        body = joined
    return len(body), (gzip.decompress(body) if b"gzip" in head.lower() else body).decode()


def main(address, connections, count):
    url = urllib.parse.urlsplit(address)
    clients = [Client(url, count) for _ in range(connections)]
    selector = selectors.DefaultSelector()
    for client in clients:
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.ask()
    busy = len(clients)
    while busy:
        for key, _ in selector.select(30):
            if key.data.hear():
                if key.data.left:
                    key.data.ask()
                else:
                    selector.unregister(key.fileobj)
                    busy -= 1
    size, text = content(clients[-1].data)
    print(json.dumps({"seconds": [one for client in clients for one in client.seconds], "bytes": size, "text": text}))


main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
