"""waagent.conf as the agent would read it, and the few values waguard lives by."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

from waguard.agent import conf, confdiff, layout
from waguard.i18n import say
from waguard.observe import files

LIMIT = 1 << 20
_LONGEST = 86400


@dataclass(frozen=True)
class ConfFacts:
    """One reading. ``problem`` is empty when the agent can use the file; else why not, and the values are the defaults.

    ``mark`` changes whenever a byte of the file does. ``period``: seconds of one turn of the agent's loop. ``values``: what the
    file sets, for telling what an edit changed; it may hold a proxy's password and is for nothing else.
    """

    path: Path
    problem: str
    missing: bool
    mark: tuple[int, int]
    verbose: bool
    extensions_enabled: bool
    period: float
    lib_dir: Path
    pid_file: Path
    verbose_line: int = 0
    values: confdiff.Values = field(default=(), repr=False)

    @property
    def valid(self) -> bool:
        return not self.problem


def read(path: Path) -> ConfFacts:
    """Read and parse. A missing or empty file is a fact, not an error; raises files.Unusable when it cannot be told."""
    try:
        data = files.read(path, LIMIT)
    except FileNotFoundError:
        return facts(path, conf.parse(b""), say("{path} is missing", path=path))
    return facts(path, conf.parse(data))


def facts(path: Path, parsed: conf.Conf, problem: str = "") -> ConfFacts:
    """What waguard lives by of a file that was read already."""
    if parsed.error and not problem:
        problem = f"{path}: {parsed.error}"
    data = parsed.data
    enabled = parsed.switch("Extensions.Enabled")
    period = parsed.integer("Extensions.GoalStatePeriod") or 6
    return ConfFacts(
        path=path, problem=problem, missing=problem != "" and not data.strip(), mark=(len(data), zlib.crc32(data)),
        verbose=parsed.switch("Logs.Verbose"), extensions_enabled=enabled,
        # With extensions off the loop turns every 300 s (WALinuxAgent azurelinuxagent/ga/update.py).
        period=float(min(max(1, period), _LONGEST)) if enabled else 300.0,
        lib_dir=Path(parsed.string("Lib.Dir") or layout.LIB_DIR),
        pid_file=Path(parsed.string("Pid.File") or layout.PID_FILE),
        verbose_line=parsed.effective("Logs.Verbose").line or 0, values=confdiff.values(parsed))


def library(setting: str, known: Optional[ConfFacts]) -> Path:
    """The agent's library directory: by setting, by what the conf says, or the usual one while that is not known."""
    if setting != "auto":
        return Path(setting)
    return known.lib_dir if known is not None else Path(layout.LIB_DIR)


def find(setting: str, daemon_says: str = "") -> Path:
    """The conf in use: by setting, by the daemon's own -configuration-path, or the first usual place that has one."""
    if setting != "auto":
        return Path(setting)
    if daemon_says:
        return Path(daemon_says)
    places = [Path(place) for place in layout.conf_places()]
    return next((place for place in places if place.exists()), places[0])
