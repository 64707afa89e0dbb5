"""Completion for bash, zsh and fish: scripts that hold all they need, so that no TAB starts a Python.

`python3 -m waguard.reference completion DIRECTORY` makes bash/PROGRAM, zsh/_PROGRAM and fish/PROGRAM.fish there.
"""

from __future__ import annotations

from waguard.reference import bash, fish, zsh
from waguard.reference.commands import exporter, waguardctl, waguardd


def files() -> dict[str, str]:
    """Text by path. Not for waguard-doctor, which no person starts."""
    found = {}
    for program in (waguardctl(), waguardd(), exporter()):
        found[f"bash/{program.name}"] = bash.script(program)
        found[f"zsh/_{program.name}"] = zsh.script(program)
        found[f"fish/{program.name}.fish"] = fish.script(program)
    return found
