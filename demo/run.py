"""``make demo``: waguard at work on a throw-away VM in a folder. Needs no root, no systemd, no network and no Azure.

A stand-in agent (demo/waagent) runs under waguard's command backend. Each step breaks something and shows how the guard answers.
Without --once it then stays up until Ctrl-C, to be looked at; with --once it ends, with status 1 if any step failed.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from demo.standin import ROOT, StandIn, wait
from waguard import varlink

SETTINGS = {"liveness.status_stale": "2s", "liveness.status_stale_periods": 1, "restart.reset_after": "2s"}
TICK, CROSS = "\x1b[32m✔\x1b[0m", "\x1b[31m✘\x1b[0m"
if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
    TICK, CROSS = "ok", "FAILED"


def say(text: str = "") -> None:
    print(text, flush=True)


class Demo:
    """One run. Each step returns what it saw, for people, or raises."""

    def __init__(self, folder: Path, port: int) -> None:
        self.vm = StandIn(folder, SETTINGS)
        self.port = port
        self.exporter: subprocess.Popen[bytes] | None = None
        self.results: list[tuple[str, bool, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/metrics"

    def steps(self) -> list[tuple[str, Callable[[], str]]]:
        return [
            ("the agent runs, guard and exporter come up beside it", self.up),
            ("kill -9 the agent's daemon: the guard starts it again", self.killed),
            ("stop it by hand: hands off, until it is started by hand", self.stopped),
            ("SIGSTOP its handler: hung, so one restart", self.hung),
            ("waguardctl verbose on --for 4s: one value, and back again", self.verbose),
            ("pause, kill, resume: nothing in between", self.paused),
            ("waguardctl doctor: what would make a backup fail", self.diagnosed),
            ("Prometheus sees it all", self.scraped),
        ]

    def up(self) -> str:
        self.vm.start_agent()
        self.vm.start_guard()
        threading.Thread(target=self._follow, daemon=True).start()
        command = [sys.executable, "-m", "waguard.exporter.main", f"--web.listen-address=127.0.0.1:{self.port}",
                   f"--status-socket={self.vm.run_dir / 'status'}"]
        with (self.vm.folder / "exporter.log").open("ab") as log:
            self.exporter = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
        wait(lambda: self.vm.snapshot()["agent"]["state"] == "running", "the agent to be seen running")
        wait(lambda: self._metric("waguard_agent_up") == 1, "the exporter")
        return f"daemon {self.vm.daemon()}, handler {self.vm.handler()}"

    def killed(self) -> str:
        old, begin = self.vm.daemon(), time.monotonic()
        os.kill(old, signal.SIGKILL)
        wait(lambda: self.vm.daemon() not in (0, old), "a new daemon")
        took = time.monotonic() - begin
        self._proved(1)
        return f"{old} is dead, {self.vm.daemon()} came after {took:.2f} s and was proved by a new heartbeat"

    def stopped(self) -> str:
        actions = self._count("agent-action")
        self.vm.stop_agent()
        wait(lambda: self.vm.snapshot()["agent"]["rests"], "the rest to be seen")
        time.sleep(2)
        assert self._count("agent-action") == actions and self.vm.daemon() == 0, "the guard fought an administrator"
        self.vm.start_agent()
        wait(lambda: self.vm.snapshot()["agent"]["state"] == "running", "the agent to be watched again")
        return "left alone for 2 s, then watched again"

    def hung(self) -> str:
        proved, handler = self._count("agent-proved"), self.vm.handler()
        beat = self.vm.snapshot()["agent"]["heartbeat"]["id"]
        os.kill(handler, signal.SIGSTOP)
        self._proved(proved + 1)
        wait(lambda: self.vm.snapshot()["agent"]["heartbeat"]["id"] not in (None, beat), "a new heartbeat id")
        return f"handler {handler} was found hung; {self.vm.handler()} beats anew"

    def verbose(self) -> str:
        before, actions = self.vm.conf.read_bytes(), self._count("agent-action")
        ran = self.vm.ctl("verbose", "on", "--for", "4s")
        assert ran.returncode == 0, ran.stderr
        changed = [line for line in self.vm.conf.read_bytes().splitlines() if line not in before.splitlines()]
        wait(lambda: " VERBOSE " in self.vm.log.read_text(), "VERBOSE lines")
        wait(lambda: self.vm.conf.read_bytes() == before, "the lease to end")
        wait(lambda: self._count("agent-action") == actions + 2, "a restart at both ends")
        self._proved(self._count("agent-action"))
        return f"the only new line was {changed[0].decode()}; the file is byte for byte what it was"

    def paused(self) -> str:
        actions = self._count("agent-action")
        assert self.vm.ctl("pause").returncode == 0
        os.kill(self.vm.daemon(), signal.SIGKILL)
        wait(lambda: self.vm.snapshot()["agent"]["state"] == "down", "the agent to be seen down")
        time.sleep(2)
        assert self._count("agent-action") == actions, "the guard acted while paused"
        assert self.vm.ctl("resume").returncode == 0
        wait(lambda: self.vm.daemon(), "the agent to be started after the pause")
        self._proved(actions + 1)
        return "down for 2 s, and back when resumed"

    def scraped(self) -> str:
        assert self._metric("waguard_agent_up") == 1
        starts = self._metric('waguard_agent_restarts_total{actor="waguard"}')
        assert starts == self.vm.snapshot()["counters"]["restarts"]["waguard"] > 0
        return f"{self.url}: waguard_agent_up 1, {starts:g} restarts by waguard"

    def diagnosed(self) -> str:
        said = self.vm.ctl("doctor", "--json")
        assert said.returncode in (0, 2), said.stderr
        told = json.loads(said.stdout)["result"]
        assert {part["name"]: part["ok"] for part in told["parts"]}["agent"] is True, "the doctor does not see the agent"
        found = ", ".join(finding["id"] for finding in told["findings"]) or "nothing"
        return f"{len(told['parts'])} parts looked at in {told['took']:.1f} s; found: {found}"

    def run(self) -> bool:
        for number, (what, step) in enumerate(self.steps(), 1):
            say(f"\n{number}. {what}")
            try:
                seen, good = step(), True
            except (AssertionError, OSError, TimeoutError, RuntimeError, LookupError, varlink.VarlinkError) as error:
                seen, good = f"{type(error).__name__}: {error}", False
            self.results.append((what, good, seen))
            say(f"   {TICK if good else CROSS} {seen}")
        return all(good for _, good, _ in self.results)

    def close(self) -> None:
        if self.exporter is not None:
            self.exporter.terminate()
            self.exporter.wait(10)
        if self.vm.guard is not None and self.vm.guard.poll() is None:
            self.vm.stop_guard()
        self.vm.close()

    def _follow(self) -> None:
        """Shows each event as it happens."""
        try:
            events = varlink.stream(self.vm.run_dir / "status", "io.waguard.GetEvents", {"last": 0, "follow": True}, None)
            for reply in events:
                for event in reply["events"]:
                    say(f"     {time.strftime('%H:%M:%S', time.localtime(event['at']))}  {event['message']}")
        except varlink.VarlinkError:
            pass  # The guard has ended, and with it the demo.

    def _count(self, kind: str) -> int:
        return sum(event["id"] == kind for event in self.vm.events())

    def _proved(self, times: int) -> None:
        wait(lambda: self._count("agent-proved") >= times, "a new heartbeat")

    def _metric(self, name: str) -> float:
        try:
            with urllib.request.urlopen(self.url, timeout=5) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return -1.0
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), -1.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="demo", description=__doc__.partition("\n")[0])
    parser.add_argument("--once", action="store_true", help="end after the last step, with status 1 if any failed")
    parser.add_argument("--port", type=int, default=10168, help="of the exporter, on 127.0.0.1 (default: %(default)s)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="waguard-demo-") as folder:
        say(f"A throw-away VM in {folder}")
        demo = Demo(Path(folder), args.port)
        try:
            good = demo.run()
            say("\n" + demo.vm.ctl("status").stdout)
            say(f"Metrics: {demo.url}")
            failed = sum(not fine for _, fine, _ in demo.results)
            say(f"Summary: {len(demo.results) - failed} passed, {failed} failed")
            if not args.once:
                say(f"Still up: waguardctl status --run-dir {demo.vm.run_dir}\nCtrl-C ends it.")
                try:
                    signal.pause()
                except KeyboardInterrupt:
                    say()
        finally:
            demo.close()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
