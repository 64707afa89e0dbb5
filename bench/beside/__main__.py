"""``make bench``: measures in the lab, prints the table, and writes dist/bench.json, the curves and docs/performance.md."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

from bench.beside import bundle, commands, following, footprint, growth, hang, peers, plots, recovery, report, scraping, startup
from bench.beside.figures import Comparison, Curve, Figure, NotDone, Result, behind
from bench.beside.vm import VM, booted
from tests.lab.copies import sweep
from tests.lab.lab import Lab
from tests.lab.machine import CommandError
from tests.lab.root import CACHE, cached_root, prepare_host
from tests.lab.waiting import InVainError

TOP = Path(__file__).resolve().parents[2]
DIST = TOP / "dist"
KEPT = Path(__file__).with_name("result.json")
PAGE = TOP / "docs" / "performance.md"
CURVES = TOP / "docs" / "performance"
MACHINES = CACHE / "machines"
Found = Iterable[Union[Comparison, Curve]]
Step = Callable[[VM], Found]


def steps(quick: bool) -> dict[str, Step]:
    """Measurements by name, in their order. What is quick takes two minutes in all, else a quarter of an hour."""
    return {
        "startup": lambda vm: [startup.measure(vm, 2 if quick else 10)],
        "recovery": lambda vm: [recovery.measure(vm, *((1, 4) if quick else (3, 17)))],
        "scraping": lambda vm: _with_exporters(vm, lambda: scraping.measure(vm, *((1, 20, 4) if quick else (3, 60, 12)))),
        "footprint": lambda vm: _with_exporters(vm, lambda: footprint.measure(vm, 20 if quick else 300)),
        "visit": lambda vm: [footprint.visit(vm, 2 if quick else 6)],
        "commands": lambda vm: commands.measure(vm, 5 if quick else 15, 0 if quick else 3),
        "following": lambda vm: following.measure(vm, *((16 << 20, 1) if quick else (32 << 20, 3))),
        "bundle": lambda vm: bundle.measure(vm, *((200_000_000, 0) if quick else (1_000_000_000, 0))),
        "growth": lambda vm: growth.measure(vm, quick),
    }


def _with_exporters(vm: VM, measure: Callable[[], list[Comparison]]) -> list[Comparison]:
    with peers.exporters(vm), peers.monit(vm, peers.MONIT_DEFAULT):
        return measure()


def machine(vm: VM) -> dict[str, Any]:
    """What it is measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": name, "cpus": os.cpu_count(), "memory": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
            "kernel": platform.release().partition("-")[0], "versions": peers.versions(vm)}


class Aside:
    """What takes minutes of waiting, on a machine of its own while the first is left in peace: hangs, and monit as shipped."""

    def __init__(self, lab: Lab) -> None:
        self.slow: Optional[Figure] = None
        self.hang: Optional[Comparison] = None
        self.problem = ""
        self._lab = lab
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add_to(self, result: Result) -> None:
        """Waits, and puts it where it belongs."""
        self._thread.join()
        if self.problem:
            result.failures["aside"] = self.problem
        if self.hang is not None:
            result.comparisons.insert(2, self.hang)
        if self.slow is not None:
            slow = self.slow
            result.comparisons = [replace(one, figures=(*one.figures, slow)) if one.id == "recovery" else one
                                  for one in result.comparisons]

    def _run(self) -> None:
        try:
            with booted(self._lab, hurry=True) as vm:
                self.hang = hang.measure(vm, 2)
                self.slow = recovery.slow_monit(vm, 2)
        except (NotDone, InVainError, CommandError) as error:
            self.problem = str(error)


def _found(vm: VM, name: str, step: Step, gate: bool, say: Callable[[str], None]) -> list[Union[Comparison, Curve]]:
    """What a step finds. Where a gate is behind its goal it is taken once more, and that counts: noise seldom comes twice."""
    found = list(step(vm))
    if gate and behind(found):
        say(f"{name} is behind a goal, and is measured once more")
        found = list(step(vm))
    return found


def measure(lab: Lab, quick: bool, only: Sequence[str], gate: bool) -> Result:
    """All of it, or ``only`` what is named. A measurement that fails is told, and harms no other."""
    began = time.monotonic()
    result = Result(time.strftime("%Y-%m-%d"), quick, {})

    def say(line: str) -> None:
        _say(f"bench: {time.monotonic() - began:4.0f} s  {line}")

    wanted = {name: step for name, step in steps(quick).items() if not only or name in only}
    aside = Aside(lab) if not quick and {"recovery", "footprint"} <= set(wanted) else None
    say("booting")
    with booted(lab) as vm:
        result.machine = machine(vm)
        for name, step in wanted.items():
            say(name)
            if name == "footprint" and aside is not None:
                aside.start()
            try:
                for found in _found(vm, name, step, gate, say):
                    if isinstance(found, Comparison):
                        result.comparisons.append(found)
                        continue
                    result.curves.append(found)
                    if not quick:
                        plots.draw(vm, found, DIST)
            except (NotDone, InVainError, CommandError) as error:
                result.failures[name] = str(error)
                say(f"{name} failed: {str(error).partition(chr(10))[0]}")
    if aside is not None:
        say("hang, and monit with a cycle of 120 s")
        aside.add_to(result)
    result.seconds = time.monotonic() - began
    say("done")
    return result


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _keep(result: Result) -> None:
    """What a whole run leaves: the kept result, the page, and its pictures."""
    KEPT.write_text(json.dumps(result.to_json(), indent=1) + "\n")
    PAGE.write_text(report.page(result))
    for curve in result.curves:
        CURVES.mkdir(exist_ok=True)
        (CURVES / f"{curve.id}.svg").write_bytes((DIST / f"bench-{curve.id}.svg").read_bytes())


def main(argv: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(
        prog="bench.beside", description="waguard beside what people would use instead, measured in the lab.",
        epilog="examples:\n  make bench\n  make bench ARGS=--quick\n  make bench ARGS='--only recovery --only scraping'\n",
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minutes: fewer runs, less load; writes dist/bench.json only")
    parser.add_argument("--gate", action="store_true",
                        help="exit status 1 when a ratio is behind its goal by more than half, twice in a row")
    parser.add_argument("--only", action="append", default=[], choices=list(steps(True)), metavar="NAME",
                        help="only this measurement; may be repeated: %(choices)s")
    parser.add_argument("--render", action="store_true", help="only print docs/performance.md of the result that is kept")
    args = parser.parse_args(argv)
    if args.render:
        sys.stdout.write(report.page(Result.from_json(json.loads(KEPT.read_text()))))
        return 0
    prepare_host()
    sweep(MACHINES)
    result = measure(Lab(cached_root(progress=_say), MACHINES), args.quick, args.only, args.gate)
    sys.stdout.write(report.terminal(result))
    DIST.mkdir(exist_ok=True)
    (DIST / "bench.json").write_text(json.dumps(result.to_json(), indent=1) + "\n")
    if not args.quick and not args.only and not result.failures:
        _keep(result)
    missed = result.missed()
    for line in missed:
        _say(f"bench: behind its goal: {line}")
    return 1 if result.failures or (args.gate and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
