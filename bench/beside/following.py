"""A long waagent.log is read to its end: bytes a second, with records counted by level and known signatures found."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from bench.beside import corpus
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import VM
from waguard.agent.signatures import Signature

LOG = "/var/tmp/bench-waagent.log"
PROGRAM = "/etc/bench-mtail/waagent.mtail"
HELD = "/etc/bench-held"
GREP_E, GREP_F, MTAIL, FOLLOWER = "grep -E", "grep -F", "mtail", "waguard, guard"
MB = 1e6


def measure(vm: VM, size: int, rounds: int) -> list[Comparison]:
    """Each reads the same ``size`` bytes in turn. Raises NotDone for one that counts wrong."""
    text, levels, names = corpus.text(size)
    vm.machine.write(LOG, text)
    vm.machine.write(PROGRAM, mtail())
    held = sorted({text for known in corpus.followed() for text in known.holds})
    vm.machine.write(HELD, "".join(f"{text}\n" for text in held))
    vm.machine.write(f"{HELD}.re", "".join(f"{_ere(text)}\n" for text in held))
    follow = ["python3", vm.program("follow")]
    posix = {"LC_ALL": "C"}
    commands: dict[str, dict[str, Any]] = {
        OURS: {"argv": [*follow, "doctor", LOG], "rc": [0]},
        FOLLOWER: {"argv": [*follow, "guard", LOG], "rc": [0]},
        MTAIL: {"argv": ["mtail", "--one_shot", "--one_shot_format=prometheus", "--progs", PROGRAM, "--logs", LOG], "rc": [0]},
        GREP_E: {"argv": ["grep", "-c", "-E", "-f", f"{HELD}.re", LOG], "rc": [0], "env": posix},
        GREP_F: {"argv": ["grep", "-c", "-F", "-f", HELD, LOG], "rc": [0], "env": posix},
    }
    found = dict(zip(commands, vm.spawn(rounds, list(commands.values()), timeout=600)))
    _check(found, levels, names, sum(any(text in line for text in held) for line in text.decode().splitlines()))
    mb = len(text) / MB
    speed = tuple(Figure(who, tuple(mb / wall for wall in one["wall"])) for who, one in found.items())
    cost = tuple(Figure(who, tuple(cpu / mb * 1000 for cpu in one["cpu"])) for who, one in found.items())
    proof = (f"{mb:.0f} MB, {sum(levels.values())} records, {sum(names.values())} of them with one of {len(names)} signatures: "
             "waguard's doctor and mtail count each level and each signature, the guard each level and what the agent does, grep "
             "all lines with any signature, and all counts are right; whole processes, their start included")
    return [
        Comparison("follow", "log reading", "MB/s", speed, (Goal(MTAIL, 1.0), Goal(GREP_E, 4.0)), proof, more_is_better=True),
        Comparison("follow-cpu", "CPU time of a GB of log", "s", cost, (Goal(MTAIL, 1.0),), proof),
    ]


def mtail() -> str:
    """The same table as a program of mtail: a record's level first, so that most lines are done with soon."""
    quiet = "".join(_block(known) for known in corpus.followed() if known.verbose)
    loud = "".join(_block(known) for known in corpus.followed() if not known.verbose)
    return ("counter records by level\ncounter matches by signature\n\n"
            f'/^\\S+ VERBOSE / {{\n  records["VERBOSE"]++\n{quiet}}}\n'
            f"/^\\S+ (?P<level>INFO|WARNING|ERROR) / {{\n  records[$level]++\n{loud}}}\n")


def _block(known: Signature) -> str:
    held = "|".join(_ere(text).replace("/", r"\/") for text in known.holds)
    count = f'matches["{known.id}"]++'
    inner = f"/{known.pattern.pattern.replace('/', chr(92) + '/')}/ {{\n    {count}\n  }}" if known.pattern else count
    return f"  /{held}/ {{\n  {inner}\n  }}\n"


def _ere(text: str) -> str:
    """A literal as a regular expression, for grep -E and Go alike."""
    return re.sub(r"([][\\.^$*+?{}()|])", r"\\\1", text)


def _check(found: dict[str, dict[str, Any]], levels: Counter[str], names: Counter[str], lines: int) -> None:
    ours = json.loads(found[OURS]["text"])
    follower = json.loads(found[FOLLOWER]["text"])["records"]
    told = found[MTAIL]["text"]
    series = r'^(records|matches)\{[^}]*?(?:level|signature)="([^"]+)"[^}]*\} (\d+)'
    theirs: Sequence[tuple[str, str, str]] = re.findall(series, told, re.MULTILINE)
    mtail_levels = {name: int(count) for kind, name, count in theirs if kind == "records"}
    mtail_names = {name: int(count) for kind, name, count in theirs if kind == "matches"}
    for who, levels_told, names_told in ((OURS, ours["records"], ours["signatures"]), (FOLLOWER, follower, dict(names)),
                                         (MTAIL, mtail_levels, mtail_names)):
        if {name: count for name, count in levels_told.items() if count} != dict(levels) or names_told != dict(names):
            raise NotDone(f"{who} counted {levels_told} and {names_told}, not {dict(levels)} and {dict(names)}")
    for who in (GREP_E, GREP_F):
        if int(found[who]["text"].split()[0]) != lines:
            raise NotDone(f"{who} counted {found[who]['text'].strip()} lines, not {lines}")
