"""Curves as pictures, by gnuplot of the lab's root: SVG for the docs, PNG for people."""

from __future__ import annotations

from pathlib import Path

from bench.beside.figures import Curve
from bench.beside.vm import VM

_FOLDER = "/var/tmp/bench-plots"
_SCRIPT = """\
set terminal {terminal}
set output "{output}"
set title "{what}" noenhanced
set xlabel "{x}" noenhanced
set ylabel "{unit}" noenhanced
set logscale x 10
set yrange [0:*]
set grid
set key left top noenhanced
plot {lines}
"""
_TERMINALS = {"svg": "svg size 720,400 background rgb 'white' font 'DejaVu Sans,12'",
              "png": "pngcairo size 1080,600 font 'DejaVu Sans,12'"}


def draw(vm: VM, curve: Curve, into: Path) -> list[Path]:
    """Two files below ``into``, named after the curve."""
    made = []
    data = ""
    for who, points in curve.lines.items():
        data += f'"{who}"\n' + "".join(f"{x:g} {y:g}\n" for x, y in points) + "\n\n"
    vm.machine.write(f"{_FOLDER}/{curve.id}.dat", data)
    lines = ", ".join(f'"{_FOLDER}/{curve.id}.dat" index {number} with linespoints linewidth 2 title columnheader(1)'
                      for number in range(len(curve.lines)))
    into.mkdir(parents=True, exist_ok=True)
    for kind, terminal in _TERMINALS.items():
        output = f"{_FOLDER}/{curve.id}.{kind}"
        vm.machine.write(f"{_FOLDER}/{curve.id}.plot", _SCRIPT.format(
            terminal=terminal, output=output, what=curve.what, x=curve.x, unit=curve.unit, lines=lines))
        vm.run("gnuplot", f"{_FOLDER}/{curve.id}.plot")
        picture = into / f"bench-{curve.id}.{kind}"
        picture.write_bytes(vm.machine.seen(output).read_bytes())
        made.append(picture)
    return made
