"""``make fleet``: measures, keeps the result, and writes docs/fleet.md."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional

from bench import programs
from bench.fleet import blocks, measure, prometheus, report

RESULT = Path(__file__).with_name("result.json")
PAGE = measure.ROOT / "docs" / "fleet.md"


def machine() -> Mapping[str, Any]:
    """What it was measured on."""
    said = subprocess.run([programs.program("prometheus"), "--version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, check=True).stdout
    return {"cpus": os.cpu_count(), "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "prometheus": said.split()[2].partition("+")[0], "python": ".".join(map(str, sys.version_info[:2]))}


def whole(targets: Sequence[int], interval: int, seconds: float, seed: int) -> Mapping[str, Any]:
    """All runs one after the other. Raises prometheus.Broken or programs.Missing."""
    said, runs = machine(), []
    for count in targets:
        _say(f"{count} VMs, every {interval} s, for {seconds:g} s")
        runs.append(measure.run(count, seed, interval, seconds))
    _say("bytes a sample on the disk")
    with tempfile.TemporaryDirectory(prefix="waguard-fleet-") as folder:
        disk = blocks.measure(Path(folder), seed, interval)
    return {"made": time.strftime("%Y-%m-%d"), "machine": said, "runs": runs, "disk": disk}


def _say(line: str) -> None:
    sys.stderr.write(f"fleet: {line}\n")


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="bench.fleet", description="What a fleet of VMs with waguard costs a Prometheus.")
    parser.add_argument("--targets", type=int, nargs="+", default=[1000, 5000], help="VMs of each run (default: %(default)s)")
    parser.add_argument("--interval", type=int, default=30, help="of scrapes, in seconds (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=270, help="of each run (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another fleet (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="50 VMs for 20 s; prints the result and keeps nothing")
    parser.add_argument("--render", action="store_true", help="only print docs/fleet.md of the result that is kept")
    args = parser.parse_args(argv)
    if args.render:
        sys.stdout.write(report.render(json.loads(RESULT.read_text())))
        return 0
    try:
        if args.quick:
            sys.stdout.write(json.dumps(measure.run(50, args.seed, 2, 20), indent=2) + "\n")
            return 0
        result = whole(args.targets, args.interval, args.seconds, args.seed)
    except (prometheus.Broken, programs.Missing) as error:
        _say(str(error))
        return 1
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    PAGE.write_text(report.render(result))
    _say(f"written: {RESULT.relative_to(measure.ROOT)}, {PAGE.relative_to(measure.ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
