"""A doctor behind a real socket that says what a test wants."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from typing import Any, Optional


class FakeDoctor:
    """Answers each request with ``answer``: bytes, or a list of messages. ``requests`` is what was asked."""

    def __init__(self, path: Path, answer: Any) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer = answer
        self.hold: Optional[threading.Event] = None
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> FakeDoctor:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("rb") as asked:
                self.requests.append(json.loads(asked.readline()))
                if self.hold is not None:
                    self.hold.wait(30)
                raw = self.answer if isinstance(self.answer, bytes) else b"".join(json.dumps(one).encode() + b"\n" for one in self.answer)
                with contextlib.suppress(OSError):
                    connection.sendall(raw)
