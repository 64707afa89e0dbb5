"""What a person types: how long it takes until the answer is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench.beside import peers
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import UNIT, VM

PYTHON = "python3 -c pass"
COMPLETION = "/usr/share/bash-completion/completions/waguardctl"
NO_PYTHON = "/opt/bench/no-python"
_COMPLETE = (f". {COMPLETION}; COMP_WORDS=(waguardctl verbose ''); COMP_CWORD=2; COMP_LINE='waguardctl verbose '; "
             "COMP_POINT=${#COMP_LINE}; _waguardctl; printf '%s\\n' \"${COMPREPLY[@]}\"")
COMMANDS: Mapping[str, dict[str, Any]] = {
    PYTHON: {"argv": ["python3", "-c", "pass"], "rc": [0]},
    "bash -c :": {"argv": ["bash", "-c", ":"], "rc": [0]},
    "systemctl status": {"argv": ["systemctl", "status", UNIT], "rc": [0]},
    "monit summary": {"argv": ["monit", "-c", peers.MONITRC, "summary"], "rc": [0]},
    "waguardctl status": {"argv": ["waguardctl", "status"], "rc": [0]},
    "waguardctl --help": {"argv": ["waguardctl", "--help"], "rc": [0]},
    "waguardctl check": {"argv": ["waguardctl", "check"], "rc": [0, 1, 2]},
    "completion (bash)": {"argv": ["bash", "-c", _COMPLETE], "rc": [0], "env": {"PATH": f"{NO_PYTHON}:/usr/bin:/bin"}},
}
"""Beside each of ours stands what a shell or Python takes that does nothing."""
_SAYS = {"systemctl status": UNIT, "monit summary": "waagent", "waguardctl status": UNIT, "waguardctl --help": "doctor",
         "waguardctl check": "WAGUARD", "completion (bash)": "status"}
_DOCTOR: Mapping[str, Any] = {"argv": ["waguardctl", "doctor", "--local"], "rc": [0, 2]}


def measure(vm: VM, rounds: int, doctors: int) -> list[Comparison]:
    for name in ("python3", "python"):  # Completion that asks Python for anything ends here.
        vm.machine.write(f"{NO_PYTHON}/{name}", "#!/bin/sh\necho python was asked\nexit 70\n", mode=0o755)
    with peers.monit(vm, peers.MONIT_DEFAULT):
        told = vm.spawn(rounds, list(COMMANDS.values()))
    found = dict(zip(COMMANDS, told))
    for name, word in _SAYS.items():
        if word not in found[name]["text"] or "python was asked" in found[name]["text"]:
            raise NotDone(f"{name} says {found[name]['text']!r}")
    (doctor,) = vm.spawn(doctors, [_DOCTOR])
    wall = {name: tuple(one["wall"]) for name, one in found.items()}
    none = Figure(PYTHON, wall[PYTHON])
    peer = (none, Figure("systemctl status", wall["systemctl status"]), Figure("monit summary", wall["monit summary"]))
    return [
        Comparison("status", "waguardctl status", "s", (Figure(OURS, wall["waguardctl status"]), *peer),
                   (Goal(PYTHON, 5.0), Goal("", 1.0, budget=0.08, gates=False))),
        Comparison("help", "waguardctl --help", "s", (Figure(OURS, wall["waguardctl --help"]), none), (Goal(PYTHON, 5.0),)),
        Comparison("check", "waguardctl check", "s", (Figure(OURS, wall["waguardctl check"]), none), (Goal(PYTHON, 5.0),)),
        Comparison("completion", "completion in bash, of what follows verbose", "s",
                   (Figure(OURS, wall["completion (bash)"]), Figure("bash -c :", wall["bash -c :"]), none), (Goal(PYTHON, 1.0),),
                   "with a python3 first on PATH that fails"),
        Comparison("doctor", "waguardctl doctor --local", "s", (Figure(OURS, tuple(doctor["wall"])), none)),
    ]
