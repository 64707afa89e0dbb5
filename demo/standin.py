"""A throw-away VM in a folder: the stand-in agent, waguard's settings for it, a wire server on loopback, and a guard.

Needs no root, no systemd and no Azure. The folder holds:

    etc/waagent.conf    the agent's own, with Lib.Dir and Pid.File below the folder
    etc/waguard/        waguard's settings: command backend, thresholds of seconds instead of minutes
    lib/ waagent.log    what demo/waagent writes
    run/ state/         waguardd's --run-dir and --lib-dir
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Optional, TypeVar

ROOT = Path(__file__).resolve().parents[1]
AGENT = ROOT / "demo" / "waagent"
T = TypeVar("T")
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 12\r\nConnection: close\r\n\r\n<Versions/>\n"

CONF = """\
# A stand-in for /etc/waagent.conf
Provisioning.Agent=auto
Lib.Dir={lib}
Pid.File={pid}
Extension.LogDir={logs}
Extensions.Enabled=y
Extensions.GoalStatePeriod=1
# Turn on when there is trouble
Logs.Verbose=n
"""

SETTINGS: Mapping[str, Any] = {
    "liveness.check_interval": "200ms", "liveness.status_stale": "3s", "liveness.status_stale_periods": 3,
    "liveness.handler_missing": "3s",
    "restart.backoff_first": "300ms", "restart.backoff_cap": "2s", "restart.reset_after": "5s",
    "restart.live_per_hour": 20, "restart.live_per_day": 100, "restart.verify_active": "10s",
    "restart.verify_handler": "20s", "restart.verify_heartbeat": "40s", "restart.command_timeout": "20s",
    "verbose.default_lease": "1m",
    # Said to be on Azure, so every address that would be asked has to be one of its own.
    "network.azure": "yes", "network.probe_interval": "1s", "network.probe_timeout": "2s", "versions.feed": "off",
    "doctor.enabled": False,
}


def wait(found: Callable[[], T], what: str = "it", seconds: float = 30.0) -> T:
    """The first true value of ``found()``, asked for again and again. Raises TimeoutError."""
    until = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not come true within {seconds:g} s")
        time.sleep(0.02)


class WireServer:
    """Answers every request on a loopback port with 200: wire server, host plugin and metadata service in one."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """From now on connections are refused."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(1.0)
                if connection.recv(4096):
                    connection.sendall(_ANSWER)


class StandIn:
    """The folder and what runs in it. ``settings``: ``{"section.key": value}`` on top of SETTINGS. To be closed."""

    def __init__(self, folder: Path, settings: Optional[Mapping[str, Any]] = None) -> None:
        self.folder = folder
        self.conf, self.log = folder / "etc" / "waagent.conf", folder / "waagent.log"
        self.lib, self.pid_file = folder / "lib", folder / "waagent.pid"
        self.settings_dir = folder / "etc" / "waguard"
        self.run_dir, self.state_dir = folder / "run", folder / "state"
        self.guard: Optional[subprocess.Popen[bytes]] = None
        self.wireserver = WireServer()
        for directory in (self.lib, self.settings_dir):
            directory.mkdir(parents=True, exist_ok=True)
        (self.lib / "provisioned").touch()
        self.conf.write_text(CONF.format(lib=self.lib, pid=self.pid_file, logs=folder / "azure"))
        self.configure(settings or {})

    def configure(self, settings: Mapping[str, Any]) -> None:
        """Write waguard.yaml."""
        agent = {"backend": "command", "conf": str(self.conf), "log": str(self.log),
                 "start_command": self.agent_command("-start"), "stop_command": self.agent_command("-stop")}
        found = {**{f"agent.{key}": value for key, value in agent.items()}, **SETTINGS,
                 **{f"network.{name}": self.wireserver.address for name in ("wireserver", "hostplugin", "imds")}, **settings}
        sections: dict[str, list[str]] = {}
        for name, value in found.items():
            section, _, key = name.partition(".")
            sections.setdefault(section, []).append(f"  {key}: {json.dumps(value)}")
        text = "\n".join("\n".join((f"{name}:", *lines)) for name, lines in sections.items())
        (self.settings_dir / "waguard.yaml").write_text(text + "\n")

    def close(self) -> None:
        """End everything that was started here, by its pid."""
        self.kill_guard()
        self.wireserver.close()
        for _ in range(100):
            pids = self.agent_pids()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not pids:
                return
            time.sleep(0.02)

    # The agent

    def start_agent(self) -> None:
        """As an administrator would: ``service waagent start``."""
        subprocess.run(self.agent_command("-start"), check=True)

    def stop_agent(self) -> None:
        """As an administrator would: ``service waagent stop``."""
        subprocess.run(self.agent_command("-stop"), check=True)

    def daemon(self) -> int:
        """The pid of the agent's daemon; 0 when there is none."""
        try:
            pid = int(self.pid_file.read_text())
        except (OSError, ValueError):
            return 0
        return pid if pid in self.agent_pids() else 0

    def handler(self) -> int:
        """The pid of the daemon's handler; 0 when there is none."""
        daemon, pids = self.daemon(), self.agent_pids()
        try:
            children = Path(f"/proc/{daemon}/task/{daemon}/children").read_text().split() if daemon else []
        except OSError:
            return 0
        return next((int(pid) for pid in children if int(pid) in pids), 0)

    def agent_pids(self) -> list[int]:
        """Pids of the processes that run demo/waagent on this folder's waagent.conf."""
        mark, found = f"-configuration-path:{self.conf}".encode(), []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                    if mark in words and os.fsencode(AGENT) in words:
                        found.append(int(entry.name))
        return found

    def agent_command(self, verb: str) -> list[str]:
        """``-start``, ``-stop``, ``-daemon``."""
        return [sys.executable, str(AGENT), verb, f"-configuration-path:{self.conf}"]

    # The guard

    def guard_command(self) -> list[str]:
        return [sys.executable, "-m", "waguard.guard.main", "--settings-dir", str(self.settings_dir),
                "--run-dir", str(self.run_dir), "--lib-dir", str(self.state_dir)]

    def start_guard(self) -> int:
        """Start waguardd and wait until it answers. Its stderr goes to ``guard.log``. Returns its pid."""
        with (self.folder / "guard.log").open("ab") as log:
            guard = self.guard = subprocess.Popen(
                self.guard_command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
        wait(lambda: guard.poll() is not None or self._answers(), "an answer of waguardd")
        if guard.returncode is not None:
            raise RuntimeError(f"waguardd ended with status {guard.returncode}:\n{self.guard_log()}")
        return guard.pid

    def stop_guard(self) -> int:
        """End it as systemd would. Returns its exit status."""
        assert self.guard is not None
        self.guard.terminate()
        return self.guard.wait(30)

    def kill_guard(self) -> None:
        """``kill -9``; harmless when there is none."""
        if self.guard is not None:
            self.guard.kill()
            self.guard.wait(30)

    def guard_log(self) -> str:
        return (self.folder / "guard.log").read_text()

    # Asking

    def call(self, method: str, parameters: Mapping[str, Any] = {}, socket: str = "control") -> dict[str, Any]:
        """Call a method of io.waguard. Raises varlink.VarlinkError."""
        from waguard import varlink

        return varlink.call(self.run_dir / socket, f"io.waguard.{method}", parameters, 60.0)

    def snapshot(self) -> dict[str, Any]:
        snapshot: dict[str, Any] = self.call("GetSnapshot", socket="status")["snapshot"]
        return snapshot

    def events(self) -> list[dict[str, Any]]:
        """All events that the guard knows of, oldest first."""
        events: list[dict[str, Any]] = self.call("GetEvents", socket="status")["events"]
        return events

    def wait_for(self, state: str, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the agent is in this state and nothing has to be proved any more. Returns the snapshot."""
        def there() -> Optional[dict[str, Any]]:
            found = self.snapshot()
            settled = found["policy"]["verifying"] is None and found["policy"]["pending_restart"] is None
            return found if settled and found["agent"]["state"] == state else None

        found = wait(there, f"an agent that is {state}", seconds)
        assert found is not None
        return found

    def wait_for_looks(self, rounds: int = 8, seconds: float = 60.0) -> dict[str, Any]:
        """Wait until the guard has looked at everything so many times more, for what must not happen. Returns the snapshot."""
        looks: list[Any] = []

        def enough() -> Optional[dict[str, Any]]:
            found = self.snapshot()
            at = found["observers"].get("conf", {}).get("last_success")
            looks.extend([at] if at not in looks else [])
            return found if len(looks) > rounds else None

        found = wait(enough, f"{rounds} more looks", seconds)
        assert found is not None
        return found

    def ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run waguardctl against this guard."""
        command = [sys.executable, "-m", "waguard.ctl.main", *words, "--run-dir", str(self.run_dir)]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, cwd=ROOT)

    def _answers(self) -> bool:
        from waguard import varlink

        try:
            self.snapshot()
        except varlink.VarlinkError:
            return False
        return True
