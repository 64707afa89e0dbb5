"""What is asked of programs and of the kernel: each bounded in time and bytes, its failure noted, never fatal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Optional

from waguard import i18n
from waguard.agent import layout
from waguard.bundle import redact
from waguard.observe import files, programs

_PACKAGES = str(Path(__file__).resolve().parents[2])
_OWN = "import sys; sys.path.append(sys.argv.pop(1)); from waguard.ctl.main import main; sys.exit(main())"
_JOURNAL_LINES = "10000"
_JOURNAL_BYTES = 8 << 20
_WEEK = 7 * 86400.0
_WORDS = 5
GUARD_UNITS = ("waguard.service", "waguard-exporter.service", "waguard-exporter.socket", "waguard-doctor.socket",
               "waguard-textfile.service", "waguard-textfile.timer")
_SHOWN = ("cat", "show")
"""Not status: it prints the command lines of all processes."""


@dataclass(frozen=True)
class Said:
    """What a program said, and what went wrong. ``cut``: why something is missing of it, "" if nothing is."""

    text: str
    trouble: str = ""
    cut: str = ""


@dataclass(frozen=True)
class Question:
    """``name``: of the member. ``timeout`` in seconds, ``limit`` in bytes. ``good``: exit statuses that are no failure.

    ``backwards``: it tells the newest first, which is what is left when it says more than ``limit``.
    """

    name: str
    argv: tuple[str, ...]
    timeout: float = 20.0
    limit: int = 1 << 20
    good: tuple[int, ...] = (0,)
    backwards: bool = False

    @property
    def shown(self) -> str:
        """The command line for a person."""
        return " ".join(("waguardctl", *self.argv[_WORDS:]) if self.argv[:_WORDS] == own() else self.argv)

    def said(self) -> Said:
        """Ask. Never raises. Of what was cut, whole lines are taken: half a secret would not be known for one."""
        ran = programs.run(self.argv, self.timeout, self.limit)
        fine = ran.code in self.good and (ran.output or not ran.errors)
        trouble = "" if fine else replace(ran, output=_masked(ran.output), errors=_masked(ran.errors)).trouble
        if not self.backwards:
            return Said(ran.output if ran.code is not None else ran.output[:ran.output.rfind("\n") + 1], trouble)
        text = _turned_round(ran.output)
        if ran.full:
            return Said(text, "", f"only the newest whole lines within {self.limit} bytes: it says more")
        return Said(text, trouble, "only the newest whole lines that came in time" if text and ran.problem else "")


def _turned_round(text: str) -> str:
    """A journal that has the newest entry first, as it reads otherwise. Further lines of an entry are indented, and stay behind
    its first one. What follows the last newline is part of a line, and left out."""
    entries: list[list[str]] = []
    for line in text[:text.rfind("\n") + 1].split("\n")[:-1]:
        if entries and line[:1] == " ":
            entries[-1].append(line)
        else:
            entries.append([line])
    return "".join(f"{line}\n" for entry in reversed(entries) for line in entry)


KERNEL = ("/proc/version", "/proc/uptime", "/proc/loadavg", "/proc/meminfo", "/proc/self/mountinfo", "/proc/pressure/cpu",
          "/proc/pressure/io", "/proc/pressure/memory", "/etc/os-release")
"""Read as files; /etc/os-release is a link on most machines, made by the distribution."""
_FILE_LIMIT = 1 << 20

MACHINE = (
    Question("machine/uname.txt", ("uname", "-a")),
    Question("machine/df.txt", ("df", "-lPT")),
    Question("machine/df-inodes.txt", ("df", "-lPi")),
    Question("machine/ip-address.txt", ("ip", "address")),
    Question("machine/ip-route.txt", ("ip", "route", "show", "table", "all")),
    Question("machine/ip-rule.txt", ("ip", "rule")),
    # Without arguments, where passwords are.
    Question("machine/ps.txt", ("ps", "-eo", "pid,ppid,user,stat,lstart,etimes,time,rss,nlwp,comm"), limit=4 << 20),
    Question("machine/systemctl-failed.txt", ("systemctl", "--no-pager", "--plain", "list-units", "--failed")),
)


def questions(run_dir: str, settings_dir: str, since: Optional[float], packages: Sequence[str]) -> tuple[Question, ...]:
    """All that is asked of programs. ``since``: epoch seconds from which the journal is wanted; a week by default."""
    start = f"--since=@{int(since if since is not None else time.time() - _WEEK)}"
    found = [*MACHINE]
    for name, units in (("agent", layout.UNITS), ("waguard", GUARD_UNITS)):
        found += [Question(f"machine/systemctl-{verb}-{name}.txt", ("systemctl", "--no-pager", verb, *units), good=(0, 1, 3, 4))
                  for verb in _SHOWN]
        found.append(Question(f"machine/journal-{name}.txt", (
            "journalctl", "--no-pager", "--quiet", "-o", "short-iso-precise", "-n", _JOURNAL_LINES, "--reverse", start,
            *(word for unit in units for word in ("-u", unit))), 60.0, _JOURNAL_BYTES, backwards=True))
    found += [*_packages(packages), *_own(run_dir, settings_dir)]
    return tuple(found)


def _packages(names: Sequence[str]) -> list[Question]:
    """State and changed files of the agent's and of waguard's package, those that are installed."""
    if Path("/usr/bin/dpkg-query").exists():
        lister, verifier = ("dpkg-query", "-W", "-f", "${Package} ${Version} ${Architecture} ${Status}\\n"), ("dpkg", "-V")
    elif Path("/usr/bin/rpm").exists():
        lister, verifier = ("rpm", "-q", "--qf", "%{NAME} %{VERSION}-%{RELEASE} %{ARCH} installed\\n"), ("rpm", "-V")
    else:
        return []
    lines = programs.run((*lister, *names), 20.0).output.splitlines()
    installed = dict.fromkeys(line.split()[0] for line in lines if line.endswith(" installed"))
    return [Question("machine/packages.txt", (*lister, *installed))] * bool(installed) + [
        Question(f"machine/verify-{name}.txt", (*verifier, name), 60.0, good=(0, 1)) for name in installed]


def _own(run_dir: str, settings_dir: str) -> list[Question]:
    """waguard's own view, without the network."""
    guard, settings = ("--run-dir", run_dir), ("--settings-dir", settings_dir)
    return [Question("waguard/versions.txt", own("versions", "--offline", *settings, *guard), 60.0),
            Question("waguard/settings.txt", own("config", "show", "--origin", *settings, *guard), good=(0, 1)),
            Question("waguard/metrics.txt", own("metrics", *guard))]


def own(*words: str) -> tuple[str, ...]:
    """The command line of waguardctl itself, of this very copy."""
    return (sys.executable, "-I", "-c", _OWN, _PACKAGES, *words)


def doctor(run_dir: str, patience: float = 130.0) -> tuple[str, str, str]:
    """A diagnosis as text and as JSON, and what went wrong. Without a guard it is made here, as who asks."""
    trouble = ""
    for words in (("doctor", "--json"), ("doctor", "--local", "--json")):
        ran = programs.run(own(*words, "--run-dir", run_dir), patience, 8 << 20)
        if ran.code in (0, 2):
            try:
                return _rendered(json.loads(ran.output)["result"]), ran.output, ""
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                trouble = f"its answer cannot be used: {type(error).__name__}"
        else:
            trouble = ran.problem or _message(ran.output) or ran.trouble
    return "", "", trouble


def _rendered(diagnosis: dict[str, object]) -> str:
    """In English, whatever the language of who collects: it is for support."""
    from waguard.ctl import doctor as verb

    i18n.use(i18n.Language())
    try:
        return verb.render(diagnosis, True) + "\n"
    finally:
        i18n.use(i18n.from_environment())


def _message(output: str) -> str:
    try:
        return str(json.loads(output)["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return ""


def _masked(output: str) -> str:
    """Before its last line is cut to be shown: half a secret would not be known for one."""
    return redact.redact(output.encode("utf-8", "replace")).decode("utf-8", "replace")


def kernel(path: str) -> bytes:
    """A small file of the system itself. Raises OSError, files.Unusable."""
    return files.read(Path(path), _FILE_LIMIT)
