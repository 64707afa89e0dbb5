"""``make picture``: the pictures of README, from what waguardctl writes to a terminal on the demo's throw-away VM.

The agent is killed, verbose logging is turned on for a time, and then somebody switches extensions off, which the doctor finds.
Nothing is written by hand: pids, times and paths are those of the run.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from pathlib import Path

from demo.run import SETTINGS
from demo.standin import ROOT, StandIn, wait
from demo.terminal import capture, svg

IMAGES = ROOT / "docs" / "images"
# The rations as they are by default, and not those of the demo.
_RATIONS = {"restart.live_per_hour": 3, "restart.live_per_day": 6}


def shot(vm: StandIn, *words: str) -> str:
    """A command line and what it answers, as a terminal shows it."""
    env = {**os.environ, "WAGUARD_RUN_DIR": str(vm.run_dir), "PYTHONPATH": str(ROOT)}
    env.pop("NO_COLOR", None)
    said = capture([sys.executable, "-m", "waguard.ctl.main", *words], env)
    return f"\x1b[2m$\x1b[0m \x1b[1m{' '.join(('waguardctl', *words))}\x1b[0m\n{said}"


def crash(vm: StandIn) -> None:
    """Kill the agent's daemon and wait until a new one is proved."""
    os.kill(vm.daemon(), signal.SIGKILL)
    wait(lambda: any(event["id"] == "agent-proved" for event in vm.events()), "the proof of a new heartbeat")
    vm.wait_for("running")


def lease(vm: StandIn) -> None:
    """Turn verbose logging on and wait until the restart for it is proved."""
    said = vm.ctl("verbose", "on", "--for", "30m")
    if said.returncode:
        raise RuntimeError(said.stderr)
    wait(lambda: sum(event["id"] == "agent-proved" for event in vm.events()) == 2, "the restart for verbose logging")
    vm.wait_for("running")


def misconfigure(vm: StandIn) -> None:
    """Somebody edits waagent.conf; the guard has seen it when this returns."""
    vm.conf.write_text(vm.conf.read_text().replace("Extensions.Enabled=y", "Extensions.Enabled=n"))
    wait(lambda: any(event["id"] == "conf-changed" for event in vm.events()), "the edit to be noticed")


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="vm-") as folder:
        vm = StandIn(Path(folder), {**SETTINGS, **_RATIONS})
        try:
            vm.start_agent()
            vm.start_guard()
            vm.wait_for("running")
            crash(vm)
            lease(vm)
            pictures = {"status": shot(vm, "status")}
            misconfigure(vm)
            pictures["doctor"] = shot(vm, "doctor")
            vm.stop_guard()
        finally:
            vm.close()
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pictures.items():
        path = IMAGES / f"{name}.svg"
        path.write_text(svg(text, f"waguardctl {name} in a terminal"), "utf-8")
        print(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
