"""Bytes a sample on the disk: some lives through half a day, made into blocks by promtool, as Prometheus would make them.

A run of minutes cannot tell: the first blocks are written after two hours.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bench.fleet.body import Exposition
from bench.fleet.life import Life
from bench.fleet.prometheus import Broken
from bench.programs import program

_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
_BEGIN = 20_000 * 86400
"""A midnight: blocks begin at multiples of their length."""


def measure(folder: Path, seed: int, interval: int, vms: int = 8, hours: int = 12) -> Mapping[str, float]:
    """Counts and sizes of the blocks. Raises Broken."""
    source, blocks = folder / "samples.om", folder / "blocks"
    expositions = [Exposition(Life(number, seed, _BEGIN)) for number in range(vms)]
    with open(source, "w", encoding="utf-8") as out:
        for now in range(_BEGIN, _BEGIN + hours * 3600, interval):
            for exposition in expositions:
                out.writelines(_stamped(exposition.at(now, "")[0].decode(), exposition.life.number, now))
        out.write("# EOF\n")
    command = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics", "--max-block-duration=12h", "--quiet",
               str(source), str(blocks)]
    run = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         timeout=900, check=False)
    if run.returncode:
        raise Broken(f"{' '.join(command)}: {run.stdout[-1000:]}")
    stats = [json.loads(path.read_text())["stats"] for path in blocks.glob("*/meta.json")]
    size = sum(path.stat().st_size for path in blocks.rglob("*") if path.is_file())
    samples = sum(stat["numSamples"] for stat in stats)
    return {"vms": vms, "hours": hours, "interval": interval, "samples": samples, "bytes": size,
            "bytes_per_sample": round(size / samples, 3)}


def _stamped(text: str, number: int, now: int) -> list[str]:
    """The samples of an exposition with a target's labels and a time; without HELP and TYPE, which a block does not keep."""
    found = []
    target = f'instance="vm-{number:06d}",job="waguard"'
    for line in text.splitlines():
        sample = _SAMPLE.match(line)
        if sample:
            found.append(f"{sample[1]}{{{sample[2] + ',' if sample[2] else ''}{target}}} {sample[3]} {now}\n")
    return found
