"""A machine's tree with the agent's library directory, /etc/azure and /proc, made of a few words. Ages are seconds before NOW."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Optional

from waguard.agent import handler
from waguard.agent.facts import AgentFacts

NOW = 1.75e9
MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
AGENT = AgentFacts()
VERSION = "1.0.9220.0"
UP = 1_000_000.0
"""Seconds since boot, at NOW."""


def put(path: Path, data: str | bytes, age: float = HOUR, mode: Optional[int] = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    if mode is not None:
        path.chmod(mode)
    os.utime(path, (NOW - age, NOW - age))
    return path


class Extension:
    """A handler's version folder. Every method returns self."""

    def __init__(self, root: Path, name: str = handler.VMSNAPSHOT, version: str = VERSION) -> None:
        self.name, self.version = name, version
        self.path = root / "var/lib/waagent" / f"{name}-{version}"
        (self.path / "config").mkdir(parents=True, exist_ok=True)
        (self.path / "status").mkdir(exist_ok=True)

    def state(self, word: str | bytes = "Enabled", age: float = HOUR) -> Extension:
        put(self.path / "config/HandlerState", word, age)
        return self

    def report(self, status: str = "Ready", code: Any = 0, message: str = "Plugin enabled", age: float = HOUR, multi: bool = False) -> Extension:
        put(self.path / "config/HandlerStatus", json.dumps({"name": self.name, "version": self.version, "status": status, "code": code, "message": message,
                                                            "supports_multi_config": multi, "extension_status": None}), age)
        return self

    def settings(self, number: int = 7, age: float = HOUR, protected: Optional[str] = None, extension: str = "",
                 thumbprint: str = "SECRET") -> Extension:
        inner = {"publicSettings": {"taskId": "SECRET"}, "protectedSettings": protected, "protectedSettingsCertThumbprint": thumbprint}
        put(self.path / f"config/{extension and extension + '.'}{number}.settings", json.dumps({"runtimeSettings": [{"handlerSettings": inner}]}), age)
        return self

    def status(self, data: str | bytes, number: int | str = 7, age: float = HOUR) -> Extension:
        put(self.path / f"status/{number}.status", data, age)
        return self

    def old(self, number: int, data: bytes, age: float) -> Extension:
        put(self.path / f"status/{number}_status", data, age)
        return self

    def mrseq(self, number: int) -> Extension:
        put(self.path / "mrseq", str(number))
        return self


def plain(word: str = "success", code: Any = 0, message: str = "done") -> str:
    """A status as most extensions write it."""
    return json.dumps([{"version": 1.0, "timestampUTC": "2025-11-19T12:41:22Z", "status": {
        "name": "X", "operation": "Enable", "status": word, "code": code, "formattedMessage": {"lang": "en-US", "message": message}}}])


class Proc:
    """A /proc with an init, and what is added to it."""

    def __init__(self, root: Path) -> None:
        self.path = root / "proc"
        put(self.path / "uptime", f"{UP:.2f} 1.00\n")
        self.add(1, ["/sbin/init"], comm="systemd")

    def add(self, pid: int, argv: list[str], comm: str = "python3", cwd: Optional[str] = None, age: float = 10.0) -> Proc:
        place = self.path / str(pid)
        put(place / "comm", comm + "\n")
        put(place / "cmdline", "\0".join(argv) + "\0")
        ticks = int((UP - age) * os.sysconf("SC_CLK_TCK"))
        put(place / "stat", f"{pid} ({comm}) S 1 " + "0 " * 17 + f"{ticks} 0 0\n")
        if cwd is not None:
            (place / "cwd").symlink_to(cwd)
        return self
