"""Versions of the agent: reading what distributions write, comparing, and what each generation can do."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from enum import Enum

_MAX_TEXT = 256
_NUMBERS = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})+")
_EPOCH = re.compile(r"[0-9]+:")


@dataclass(frozen=True, order=True)
class AgentVersion:
    """A version as four numbers; equality, order and hash are those of the numbers alone (2.2.53 == 2.2.53.0).

    `str()` gives the clean text it was read from, without a distribution's additions ("2.7.3.0" of "2.7.3.0-4.1").
    Source: azurelinuxagent/common/utils/flexible_version.py.
    """

    major: int
    minor: int
    patch: int = 0
    build: int = 0
    text: str = field(default="", compare=False, repr=False)

    def __str__(self) -> str:
        return self.text or f"{self.major}.{self.minor}.{self.patch}.{self.build}"

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """The four numbers."""
        return (self.major, self.minor, self.patch, self.build)

    @property
    def is_placeholder(self) -> bool:
        """Is this 9.9.9.9, which the develop branch and test builds carry and which says nothing of the code's age?"""
        return self.numbers == (9, 9, 9, 9)


def parse(text: str) -> AgentVersion:
    """Read an upstream, Debian, Ubuntu or RPM version: "2.15.0.1", "1:2.7.3.0-4.1", "2.2.46-0ubuntu1~20.04.1".

    An epoch is dropped and everything from the first `-`, `+`, `~` or letter on is cut; two to four numbers
    (further ones are ignored) are padded with zeros. Raises ValueError, with a message for people, on anything else.
    Packages carry patches, so an older number is no proof that a fix is missing.
    """
    clean = text.strip() if len(text) <= _MAX_TEXT else ""
    epoch = _EPOCH.match(clean)
    if epoch:
        clean = clean[epoch.end() :]
    found = _NUMBERS.match(clean)
    if not found:
        raise ValueError(f"not an agent version: {text[:40]!r}")
    rest = clean[found.end() :]
    if rest and not (rest[0] in "-+~" or (rest[0].isascii() and rest[0].isalpha()) or re.match(r"\.[A-Za-z]", rest)):
        raise ValueError(f"not an agent version: {text[:40]!r}")
    major, minor, patch, build = ([int(number) for number in found.group().split(".")] + [0, 0])[:4]
    return AgentVersion(major, minor, patch, build, found.group())


def try_parse(text: str | None) -> AgentVersion | None:
    """`parse`, with None for None and for what is not a version."""
    if text is None:
        return None
    try:
        return parse(text)
    except ValueError:
        return None


def from_name(name: str) -> AgentVersion | None:
    """The version in "WALinuxAgent-2.15.0.1", as folders, log lines and eggs are called; None for any other name.

    Source: azurelinuxagent/common/version.py (AGENT_NAME_PATTERN), makepkg.py.
    """
    prefix, dash, rest = name.partition("-")
    return try_parse(rest) if dash and prefix == "WALinuxAgent" else None


SUPPORT_FLOOR = parse("2.2.53.1")
"""Azure supports a VM whose goal state agent (not package) is at least this, since July 2022 (MSDocs
support-extensions-agent-version.md)."""


class StatusPlace(Enum):
    """Where a generation writes its status JSON (azurelinuxagent/common/protocol/goal_state.py, ga/exthandlers.py)."""

    HISTORY = "history"
    """`history/<goal state>/waagent_status.json`"""
    ROOT_NUMBERED = "root-numbered"
    """`waagent_status.<incarnation>.json` in the lib dir"""
    ROOT = "root"
    """`waagent_status.json` in the lib dir"""
    NONE = "none"


@dataclass(frozen=True)
class Generation:
    """What agents of one version do; read from every release tag of Azure/WALinuxAgent from 2.2.0 to 2.15.0.1."""

    status_file: StatusPlace
    """Rewritten by the main thread at every turn of the loop (ga/exthandlers.py, ga/update.py)."""
    has_heartbeat_line: bool
    """Writes `[HEARTBEAT]` to the log each 30 minutes from the main loop, 2.2.47 on (ga/update.py)."""
    has_heartbeat_details: bool
    """That line carries HeartbeatId and counter, 2.2.49 on."""
    has_heartbeat_event: bool
    """Writes `op=HeartBeat` each 30 minutes from the monitor thread: proves less. Up to 2.2.26 (ga/monitor.py)."""
    loop_period: float
    """Seconds between turns of the loop with the default conf (ga/update.py, common/conf.py)."""
    loop_period_is_set: bool
    """Extensions.GoalStatePeriod is read and changes `loop_period`, 2.2.49 on."""
    loop_period_disabled: float
    """Seconds between turns with Extensions.Enabled=n."""
    log_is_utc: bool
    """waagent.log has UTC times, 2.2.46 on; local times before (common/logger.py)."""
    log_redacts_sas: bool
    """The logger itself removes SAS tokens, 2.14 on (common/logger.py, PR #3335)."""
    child_failure_disables: bool
    """As a daemon: any child exit code above 0 disables that updated agent for good, before 2.8 (ga/update.py)."""
    tells_daemon_version: bool
    """As a daemon: hands its version to the child, 2.2.53 on (common/version.py)."""


def _status_place(version: AgentVersion) -> StatusPlace:
    if version.numbers >= (2, 8):
        return StatusPlace.HISTORY
    if version.numbers >= (2, 5):
        return StatusPlace.ROOT_NUMBERED
    return StatusPlace.ROOT if version.numbers >= (2, 2, 35) else StatusPlace.NONE


def _loop_period(version: AgentVersion) -> float:
    if version.numbers >= (2, 2, 49):
        return 6.0
    return 3.0 if version.numbers >= (2, 2, 11) else 25.0


def generation(version: AgentVersion) -> Generation:
    """What an agent of `version` does. Versions newer than all known ones are taken to do what the newest does."""
    loop_period = _loop_period(version)
    return Generation(
        status_file=_status_place(version),
        has_heartbeat_line=version.numbers >= (2, 2, 47),
        has_heartbeat_details=version.numbers >= (2, 2, 49),
        has_heartbeat_event=version.numbers < (2, 2, 31),
        loop_period=loop_period,
        loop_period_is_set=version.numbers >= (2, 2, 49),
        loop_period_disabled=300.0 if version.numbers >= (2, 2, 32) else loop_period,
        log_is_utc=version.numbers >= (2, 2, 46),
        log_redacts_sas=version.numbers >= (2, 14),
        child_failure_disables=version.numbers < (2, 8),
        tells_daemon_version=version.numbers >= (2, 2, 53),
    )


@dataclass(frozen=True)
class Release:
    """One full release upstream: its version and the date of its tag."""

    version: AgentVersion
    tagged: date


_RELEASES = """
2.2.20 2018-01-08  2.2.25 2018-03-20  2.2.26 2018-05-10  2.2.31 2018-08-16  2.2.32 2018-09-30  2.2.34 2018-11-18
2.2.36 2019-02-02  2.2.38 2019-03-12  2.2.40 2019-04-15  2.2.41 2019-06-15  2.2.42 2019-08-05  2.2.44 2019-10-16
2.2.45 2019-11-06  2.2.46 2020-01-08  2.2.47 2020-03-09  2.2.48 2020-04-24  2.2.48.1 2020-05-01  2.2.49.2 2020-06-29
2.2.52 2020-09-11  2.2.51 2020-09-29  2.2.53 2021-01-15  2.2.53.1 2021-03-02  2.3.0.2 2021-06-11  2.2.54.2 2021-06-24
2.3.1.1 2021-07-14  2.4.0.2 2021-09-21  2.5.0.2 2021-12-20  2.6.0.2 2022-01-13  2.7.0.6 2022-03-11  2.7.1.0 2022-06-14
2.7.3.0 2022-07-22  2.8.0.11 2022-09-20  2.9.0.4 2023-03-09  2.9.1.1 2023-07-26  2.10.0.8 2024-03-27
2.11.1.4 2024-05-30  2.11.1.12 2024-09-27  2.12.0.2 2024-11-12  2.12.0.4 2024-12-17  2.13.1.1 2025-05-02
2.14.0.1 2025-07-31  2.15.0.1 2025-11-19
"""


def _releases(table: str) -> tuple[Release, ...]:
    words = table.split()
    pairs = zip(words[::2], words[1::2])
    return tuple(sorted((Release(parse(v), date.fromisoformat(d)) for v, d in pairs), key=lambda r: r.version))


RELEASES = _releases(_RELEASES)
"""Full releases upstream, oldest version first, with the date of their tag."""

LATEST_KNOWN = RELEASES[-1]
"""The newest full release when this file was written. A newer agent is fine; an older one is no fault by itself."""
