"""The settings as plain data for waguard.yaml(5) and docs/configuration.md, which this module makes:

`python3 -m waguard.reference configuration > docs/configuration.md`. A number that has no unit in here is a KeyError.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from waguard import durations
from waguard.settings import Settings, show_value


class Taken(str, Enum):
    """When a change counts, in words that go on after "counts"."""

    RELOAD = "from systemctl reload waguard on"
    RESTART = "from systemctl restart waguard on"
    VISIT = "from the doctor's next visit on, without a reload"


AT_START = frozenset(("agent.backend", "agent.unit", "agent.start_command", "agent.stop_command", "restart.command_timeout"))
"""What the guard needs to begin with (`Daemon._manager` in guard/main.py); a reload leaves it as it is."""
VISITED = ("network.hostplugin", "network.imds", "network.storage", "resources", "logs", "versions")
"""Settings, and whole sections, that only the doctor reads, and it reads the files anew at each visit (doctor/visit.py)."""

UNITS: Mapping[str, str] = {
    "liveness.status_stale_periods": "goal-state periods", "liveness.hung_checks": "looks", "restart.backoff_factor": "times",
    "restart.live_per_hour": "restarts", "restart.live_per_day": "restarts", "resources.cpu_limit": "percent",
    "resources.memory_limit": "percent", "resources.memory_free": "MiB", "resources.pressure_limit": "percent",
    "resources.disk_free": "MiB", "resources.disk_used": "percent", "resources.inodes_free": "percent",
    "logs.flood": "records a minute", "logs.tree_limit": "MiB", "logs.file_limit": "MiB", "events.keep": "events",
}

KINDS: Mapping[str, str] = {
    "duration": "numbers with a unit, `ms`, `s`, `m`, `h`, `d` or `w`, put together as in `1h30m`; a number alone is seconds",
    "whole number": "without a unit; the unit is fixed and stands with each setting",
    "switch": "`true` or `false`; `yes`, `no`, `on` and `off` are understood, too",
    "one of": "one of the words that stand with the setting",
    "text": "a line without control characters",
    "list of words": "as in `[service, waagent, start]`; of a command, the program and its arguments, without a shell",
}
"""What the kinds of values look like; the first words are those of `Setting.kind`."""

RULES = (
    "`restart.backoff_first` may not be longer than `restart.backoff_cap`, nor `verbose.default_lease` longer than "
    "`verbose.longest_lease`.",
    "`network.probe_interval` may be below 1m only when `network.wireserver` is on loopback: Azure throttles.",
)
"""What has to hold between two settings (`_check_together` in settings.py)."""


@dataclass(frozen=True)
class Setting:
    """One setting, all of it as text. ``default`` as one writes it in YAML; ``limits``: its range or choices, or ""."""

    name: str
    kind: str
    default: str
    limits: str
    meaning: str
    taken: Taken


@dataclass(frozen=True)
class Section:
    """A section of the file and what it is about, a sentence or more."""

    name: str
    about: str
    settings: tuple[Setting, ...]


def sections() -> tuple[Section, ...]:
    """All of them, in the order of settings.py."""
    settings = Settings()
    found = [_setting(name, value, rules) for name, value, _, rules in settings.items()]
    return tuple(Section(name, " ".join((type(section).__doc__ or "").split()),
                         tuple(one for one in found if one.name.partition(".")[0] == name))
                 for name, section in settings.sections())


def _setting(name: str, value: Any, rules: Mapping[str, Any]) -> Setting:
    from waguard.ctl.config import written

    kind, limits = _kind(name, rules)
    return Setting(name, kind, written(show_value(value, rules)), limits, str(rules["help"]), taken(name))


def taken(name: str) -> Taken:
    """When a change of this setting counts."""
    if name in AT_START:
        return Taken.RESTART
    return Taken.VISIT if name in VISITED or name.partition(".")[0] in VISITED else Taken.RELOAD


def _kind(name: str, rules: Mapping[str, Any]) -> tuple[str, str]:
    """Words for the kind of value, and for its range."""
    if rules["kind"] == "duration":
        return "duration", f"{durations.exact(rules['low'])} to {durations.exact(rules['high'])}"
    if rules["kind"] == "count":
        return "whole number", f"{rules['low']} to {rules['high']} {UNITS[name]}"
    if rules["kind"] == "choice":
        return "one of", ", ".join(rules["choices"])
    return {"switch": "switch", "text": "text", "argv": "list of words"}[rules["kind"]], ""


def markdown() -> str:
    """docs/configuration.md."""
    lines = ["<!-- Made by: python3 -m waguard.reference configuration -->", "# Configuration", "", *_INTRODUCTION, "",
             "## Values", ""]
    lines += [f"- **{kind}**: {text}." for kind, text in KINDS.items()]
    lines += ["", *RULES]
    for section in sections():
        lines += ["", f"## {section.name}", "", section.about, "", "| key | type | default | range | meaning | counts |",
                  "|---|---|---|---|---|---|", *_rows(section)]
    return "\n".join([*lines, ""])


_INTRODUCTION = (
    "waguard works without a line of configuration; this is what can be changed. The same is in waguard.yaml(5).",
    "",
    "The settings are read from `/etc/waguard/waguard.yaml` and then from `/etc/waguard/conf.d/*.yaml` in the order of their",
    "names. Files whose names begin with a dot are left out. A later file wins, key by key; what no file sets has its default.",
    "Put your own into a file of your own, such as `/etc/waguard/conf.d/site.yaml`:",
    "",
    "```yaml",
    "restart:",
    "  backoff_cap: 5m",
    "liveness:",
    "  heartbeat_stale: 65m",
    "```",
    "",
    "```console",
    "waguardctl config check",
    "systemctl reload waguard",
    "waguardctl config show --origin",
    "```",
    "",
    "An unknown section or key, a value of the wrong type and one out of its range are errors, told with file and line and",
    "with what may have been meant. With an error nothing of the files is taken: a guard that runs keeps the settings it has and",
    "says so in its events, and a guard that starts ends with exit status 2.",
    "",
    "The exporter has options and a file of its own: [web-config.md](web-config.md) and waguard-exporter(8).",
)


def _rows(section: Section) -> Iterator[str]:
    words = {Taken.RELOAD: "after a reload", Taken.RESTART: "after a restart of the guard",
             Taken.VISIT: "at the doctor's next visit"}
    for one in section.settings:
        cells = (f"`{one.name.partition('.')[2]}`", one.kind, f"`{one.default}`", one.limits, one.meaning, words[one.taken])
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
