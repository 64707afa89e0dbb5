"""A long waagent.log is read to its end: bytes a second, with records counted by level and known signatures found."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bench.beside import corpus
from bench.beside.figures import OURS, Comparison, Figure, Goal, NotDone
from bench.beside.vm import VM
from waguard.agent import log
from waguard.agent.signatures import Signature

LOG = "/var/tmp/bench-waagent.log"
EMPTY = "/var/tmp/bench-empty.log"
PROGRAM = "/etc/bench-mtail/waagent.mtail"
HELD = "/etc/bench-held"
GREP_E, GREP_F, MTAIL, DOCTOR = "grep -E", "grep -F", "mtail", "waguard, doctor"
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
        OURS: {"argv": [*follow, "guard"], "rc": [0]},
        DOCTOR: {"argv": [*follow, "doctor"], "rc": [0]},
        MTAIL: {"argv": ["mtail", "--one_shot", "--one_shot_format=prometheus", "--progs", PROGRAM, "--logs"], "rc": [0]},
        GREP_E: {"argv": ["grep", "-c", "-E", "-f", f"{HELD}.re"], "rc": [0, 1], "env": posix},
        GREP_F: {"argv": ["grep", "-c", "-F", "-f", HELD], "rc": [0, 1], "env": posix},
    }
    vm.machine.write(EMPTY, "")
    started = _run(vm, commands, EMPTY, rounds)
    found = _run(vm, commands, LOG, rounds)
    _check(found, levels, names, sum(any(text in line for text in held) for line in text.decode().splitlines()))
    mb = len(text) / MB
    least = {who: {name: min(one[name]) for name in ("wall", "cpu")} for who, one in started.items()}
    speed = tuple(Figure(who, tuple(mb / (wall - least[who]["wall"]) for wall in one["wall"])) for who, one in found.items())
    cost = tuple(Figure(who, tuple((cpu - least[who]["cpu"]) / mb * 1000 for cpu in one["cpu"])) for who, one in found.items())
    proof = (f"{mb:.0f} MB, {sum(levels.values())} records, {sum(names.values())} of them with one of {len(names)} signatures: "
             f"the guard counts each level and knows {len(log.SIGNATURES)} wordings by which it tells what the agent does; the "
             "doctor and mtail count each level and each signature; grep counts all lines with any signature; and all counts are "
             "right. Whole processes, less what they take for an empty log")
    doctor = tuple(replace(figure, who=OURS) if figure.who == DOCTOR else figure for figure in speed if figure.who != OURS)
    return [
        Comparison("follow", "log following, by the guard", "MB/s", tuple(one for one in speed if one.who != DOCTOR),
                   (Goal(MTAIL, 1.0), Goal(GREP_E, 4.0)), proof, more_is_better=True),
        # Beside counting it redacts, tells rates and what repeats; once in ten minutes, and bounded.
        Comparison("follow-doctor", "log reading, by the doctor", "MB/s", doctor,
                   (Goal(MTAIL, 1.0), Goal(GREP_E, 4.0, gates=False)), proof, more_is_better=True),
        Comparison("follow-cpu", "CPU time of a GB of log", "s", cost, (Goal(MTAIL, 1.0),), proof),
    ]


def _run(vm: VM, commands: Mapping[str, Mapping[str, Any]], log: str, rounds: int) -> dict[str, dict[str, Any]]:
    argvs = [{**command, "argv": [*command["argv"], log]} for command in commands.values()]
    return dict(zip(commands, vm.spawn(rounds, argvs, timeout=600)))


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
    ours = json.loads(found[DOCTOR]["text"])
    follower = json.loads(found[OURS]["text"])["records"]
    told = found[MTAIL]["text"]
    series = r'^(records|matches)\{[^}]*?(?:level|signature)="([^"]+)"[^}]*\} (\d+)'
    theirs: Sequence[tuple[str, str, str]] = re.findall(series, told, re.MULTILINE)
    mtail_levels = {name: int(count) for kind, name, count in theirs if kind == "records"}
    mtail_names = {name: int(count) for kind, name, count in theirs if kind == "matches"}
    for who, levels_told, names_told in ((DOCTOR, ours["records"], ours["signatures"]), (OURS, follower, dict(names)),
                                         (MTAIL, mtail_levels, mtail_names)):
        if {name: count for name, count in levels_told.items() if count} != dict(levels) or names_told != dict(names):
            raise NotDone(f"{who} counted {levels_told} and {names_told}, not {dict(levels)} and {dict(names)}")
    for who in (GREP_E, GREP_F):
        if int(found[who]["text"].split()[0]) != lines:
            raise NotDone(f"{who} counted {found[who]['text'].strip()} lines, not {lines}")
