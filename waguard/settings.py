"""waguard's own settings: every one declared once, here, with its default, range and meaning.

Read from ``/etc/waguard/waguard.yaml`` and then ``/etc/waguard/conf.d/*.yaml`` in sorted order; a later file wins key by key.
An unknown key, a wrong type or a value out of range is an error with file, line and the nearest match; nothing is
half-applied. PyYAML is imported only when there is a file to read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

from waguard import durations
from waguard.i18n import say

if TYPE_CHECKING:
    import yaml

DIRECTORY = Path("/etc/waguard")
MAX_BYTES = 1 << 20
_DEEPEST = 20


def _set(default: Any, help: str, **rules: Any) -> Any:
    """A dataclass field that carries its help and its rules: kind, low, high, choices."""
    return field(default=default, metadata={"help": help, **rules})


def _duration(default: str, help: str, low: str = "0s", high: str = "31d") -> Any:
    rules = {"low": durations.parse(low), "high": durations.parse(high)}
    return _set(durations.parse(default), help, kind="duration", **rules)


def _count(default: int, help: str, low: int = 0, high: int = 1000000) -> Any:
    return _set(default, help, kind="count", low=low, high=high)


def _choice(default: str, help: str, choices: Sequence[str]) -> Any:
    return _set(default, help, kind="choice", choices=tuple(choices))


def _switch(default: bool, help: str) -> Any:
    return _set(default, help, kind="switch")


def _text(default: str, help: str) -> Any:
    return _set(default, help, kind="text")


def _argv(default: Sequence[str], help: str, example: str = "service, waagent, start") -> Any:
    """A list of words; it may be empty where it is by default."""
    return _set(tuple(default), help, kind="argv", example=example, empty=not default)


@dataclass(frozen=True)
class AgentSettings:
    """Where the agent is and how it is started."""

    backend: str = _choice("auto", "how the agent is started and asked after: systemd, or command (SysV, OpenRC)",
                           ("auto", "systemd", "command"))
    unit: str = _text("auto", "the agent's systemd unit or service name; auto probes walinuxagent, then waagent")
    conf: str = _text("auto", "path of waagent.conf; auto takes the daemon's -configuration-path, then the usual places")
    log: str = _text("/var/log/waagent.log", "the agent's log file")
    lib_dir: str = _text("auto", "the agent's library directory; auto takes Lib.Dir from waagent.conf")
    pid_file: str = _text("auto", "the agent's pid file, for the command backend; auto takes Pid.File from waagent.conf")
    start_command: tuple[str, ...] = _argv(("service", "{name}", "start"), "command backend: starts the agent")
    stop_command: tuple[str, ...] = _argv(("service", "{name}", "stop"), "command backend: stops the agent")


@dataclass(frozen=True)
class LivenessSettings:
    """When the agent counts as hung, missing or late."""

    check_interval: float = _duration("15s", "time between two looks at heartbeat, processes and conf", "200ms", "10m")
    status_stale: float = _duration("15m", "age of the status JSON from which the agent is suspect", "1s")
    status_stale_periods: int = _count(20, "the same in goal-state periods; the longer of the two counts", 1, 10000)
    heartbeat_stale: float = _duration("65m", "age of the [HEARTBEAT] line from which it counts as missed", "1s")
    hung_checks: int = _count(2, "suspect looks in a row before the agent is called hung", 1, 100)
    handler_missing: float = _duration("5m", "time a daemon may be without its handler child", "1s")
    provisioning_limit: float = _duration("35m", "time provisioning may take before it is reported", "1s")
    pass_limit: float = _duration("2h", "time an extension pass may hold a restart back", "1m")


@dataclass(frozen=True)
class RestartSettings:
    """The restart policy."""

    enabled: bool = _switch(True, "start and restart the agent at all; off only reports")
    restart_hung: bool = _switch(True, "restart an agent that is alive but hung or without its handler")
    backoff_first: float = _duration("5s", "delay before the second start in a row; the first is at once", "0s", "1h")
    backoff_factor: int = _count(2, "growth of the delay from one start to the next", 1, 10)
    backoff_cap: float = _duration("10m", "longest delay between two starts", "1s", "1d")
    reset_after: float = _duration("10m", "healthy time after which the delay starts from the beginning", "1s", "1d")
    live_per_hour: int = _count(3, "restarts of a live agent in any hour", 0, 100)
    live_per_day: int = _count(6, "restarts of a live agent in any day", 0, 1000)
    systemd_grace: float = _duration("30s", "time systemd's own Restart= is given beyond RestartSec", "1s", "1h")
    boot_grace: float = _duration("5m", "time after boot before an enabled agent that was never started is started", "0s", "1d")
    verify_active: float = _duration("10s", "time from a start to an active unit with its daemon", "1s", "10m")
    verify_handler: float = _duration("3m", "time from a start to a handler child", "1s", "1h")
    verify_heartbeat: float = _duration("15m", "time from a start to a new heartbeat", "1s", "6h")
    command_timeout: float = _duration("2m", "time limit of one service manager command", "1s", "1h")


@dataclass(frozen=True)
class VerboseSettings:
    """The lease on Logs.Verbose."""

    default_lease: float = _duration("2h", "length of a lease when none is asked for", "1s")
    longest_lease: float = _duration("7d", "longest lease that can be asked for, except --forever", "1s", "366d")


@dataclass(frozen=True)
class NetworkSettings:
    """Probes of Azure's own addresses. Never sent off Azure, never through a proxy, at most one a minute."""

    azure: str = _choice("auto", "is this VM on Azure; auto asks the DMI chassis asset tag", ("auto", "yes", "no"))
    wireserver: str = _text("168.63.129.16:80", "address and port of the wire server")
    hostplugin: str = _text("168.63.129.16:32526", "address and port of the host plugin")
    imds: str = _text("169.254.169.254:80", "address and port of the instance metadata service")
    storage: tuple[str, ...] = _argv((), "host[:port] of storage to test; empty takes the host of the agent's status blob",
                                     "account.blob.core.windows.net")
    probe_interval: float = _duration("1m", "least time between two probes of one address", "1s", "1d")
    probe_timeout: float = _duration("5s", "time one probe may take", "100ms", "1m")


@dataclass(frozen=True)
class DoctorSettings:
    """The regular visits of waguard-doctor."""

    enabled: bool = _switch(True, "look at everything regularly, not only when asked")
    interval: float = _duration("10m", "time between two visits", "2s", "1d")
    deadline: float = _duration("30s", "time one visit may take; what is late is unknown", "1s", "1m")


@dataclass(frozen=True)
class ResourceSettings:
    """When the machine is too busy or too full."""

    cpu_limit: int = _count(90, "percent of all CPUs from which they count as saturated", 1, 100)
    cpu_for: float = _duration("5m", "time over which that is measured; shorter bursts are fine", "1s", "1d")
    memory_limit: int = _count(90, "percent of memory in use (not MemAvailable) from which it counts as short", 1, 100)
    memory_free: int = _count(1024, "available MiB from which memory is not short, whatever share of it is in use", 0, 100000000)
    pressure_limit: int = _count(40, "percent of 5 minutes with tasks stalled for memory (PSI) that counts as pressure", 1, 100)
    disk_free: int = _count(100, "free MiB, but at most a tenth of it, below which a filesystem counts as full", 0, 1000000)
    disk_used: int = _count(98, "percent of a filesystem in use from which it counts as full, if less than 1 GiB is free", 1, 100)
    inodes_free: int = _count(1, "percent of free inodes below which, with fewer than 10000, they count as exhausted", 0, 100)
    mount_timeout: float = _duration("3s", "time a mounted filesystem has to answer", "100ms", "1m")


@dataclass(frozen=True)
class LogSettings:
    """When logs are a trouble of their own."""

    flood: int = _count(1200, "records in a minute, over five minutes, from which a log counts as flooded", 1, 1000000)
    tree_limit: int = _count(1024, "size in MiB of all logs of the agent and its extensions that counts as too large", 1, 1000000)
    file_limit: int = _count(100, "size in MiB of one log that counts as too large", 1, 1000000)


@dataclass(frozen=True)
class VersionSettings:
    """Where newer versions of the agent are looked for."""

    feed: str = _text("https://api.github.com/repos/Azure/WALinuxAgent/releases",
                      "where WALinuxAgent's releases are, in the form of GitHub's API: https://, http:// or file://, or off")
    interval: float = _duration("1d", "time between two fetches; a part of it is random", "1m", "366d")


@dataclass(frozen=True)
class EventSettings:
    """History."""

    keep: int = _count(2000, "events kept on disk", 10, 10000)


@dataclass(frozen=True)
class Settings:
    """All settings. ``origins`` maps ``section.key`` to ``file:line`` for what a file set."""

    agent: AgentSettings = AgentSettings()
    liveness: LivenessSettings = LivenessSettings()
    restart: RestartSettings = RestartSettings()
    verbose: VerboseSettings = VerboseSettings()
    network: NetworkSettings = NetworkSettings()
    doctor: DoctorSettings = DoctorSettings()
    resources: ResourceSettings = ResourceSettings()
    logs: LogSettings = LogSettings()
    versions: VersionSettings = VersionSettings()
    events: EventSettings = EventSettings()
    origins: Mapping[str, str] = field(default_factory=dict, metadata={"section": False})

    def sections(self) -> list[tuple[str, Any]]:
        """(name, section) in file order."""
        return [(item.name, getattr(self, item.name)) for item in fields(self) if item.metadata.get("section", True)]

    def items(self) -> list[tuple[str, Any, str, Mapping[str, Any]]]:
        """(``section.key``, value, origin, rules) of every setting."""
        return [(f"{name}.{item.name}", getattr(section, item.name), self.origins.get(f"{name}.{item.name}", "default"),
                 item.metadata) for name, section in self.sections() for item in fields(section)]


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a settings file."""

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.message}"


class SettingsError(Exception):
    """The settings cannot be used. ``problems`` holds every fault found, not only the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in problems))


def load(directory: Path = DIRECTORY) -> Settings:
    """Settings of a directory; defaults where there is no file. Raises SettingsError with all problems."""
    problems: list[Problem] = []
    settings = Settings()
    for path in _files(directory, problems):
        settings = _apply(settings, path, problems)
    _check_together(settings, problems)
    if problems:
        raise SettingsError(problems)
    return settings


def show_value(value: Any, rules: Mapping[str, Any]) -> Any:
    """A value as one would write it in YAML, and as ``load`` reads it again."""
    if rules["kind"] == "duration":
        return durations.exact(value)
    return list(value) if rules["kind"] == "argv" else value


def _files(directory: Path, problems: list[Problem]) -> list[Path]:
    found = []
    main = directory / "waguard.yaml"
    if main.exists() or main.is_symlink():
        found.append(main)
    try:
        found += sorted(path for path in (directory / "conf.d").iterdir()
                        if path.suffix == ".yaml" and not path.name.startswith("."))
    except FileNotFoundError:
        pass
    except OSError as error:
        problems.append(Problem(str(directory / "conf.d"), 0, say("cannot be read: {said_error}", said_error=error.strerror)))
    return found


class _Unfit(Exception):
    """What is in a file's place is not read. The text is the problem."""


def _read(path: Path) -> bytes:
    """The file's bytes. Opened without blocking, so that a FIFO cannot hold the guard up. Raises _Unfit or OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise _Unfit(say("cannot be read: not a regular file"))
        if info.st_size > MAX_BYTES:
            raise _Unfit(say("cannot be read: larger than {size} KiB", size=MAX_BYTES // 1024))
        return os.read(fd, MAX_BYTES + 1)
    finally:
        os.close(fd)


def _contents(path: Path, problems: list[Problem]) -> str:
    """The file's text; empty when it cannot be had, and then there is a problem more, or when it is all comments."""
    try:
        text = _read(path).decode("utf-8")
    except OSError as error:
        problems.append(Problem(str(path), 0, say("cannot be read: {said_error}", said_error=error.strerror)))
        return ""
    except _Unfit as error:
        problems.append(Problem(str(path), 0, str(error)))
        return ""
    except UnicodeDecodeError as error:
        line = error.object[:error.start].count(b"\n") + 1
        problems.append(Problem(str(path), line, say("is not UTF-8 text")))
        return ""
    # The file as it is shipped says nothing, and need not cost the guard the 3 MB of PyYAML.
    says = any(line.strip() and not line.lstrip().startswith("#") for line in text.splitlines())
    return text if says else ""


def _tree(path: Path, text: str, problems: list[Problem]) -> Optional[yaml.Node]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # Composing is recursive, in C as well, where too deep a file ends the whole process (SIGSEGV, PyYAML 6.0).
        depth = 0
        for event in yaml.parse(text, Loader=loader):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _DEEPEST:
                line = event.start_mark.line + 1 if event.start_mark is not None else 0
                problems.append(Problem(str(path), line, say("is nested too deeply")))
                return None
        return yaml.compose(text, Loader=loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problems.append(Problem(str(path), mark.line + 1 if mark else 0, say(
            "is not valid YAML: {said_error}", said_error=getattr(error, "problem", None) or say("unreadable"))))
    return None


def _apply(settings: Settings, path: Path, problems: list[Problem]) -> Settings:
    text = _contents(path, problems)
    root = _tree(path, text, problems) if text else None
    if root is None:
        return settings

    def wrong(node: yaml.Node, message: str) -> None:
        problems.append(Problem(str(path), node.start_mark.line + 1, message))

    if _shape(root) != "mapping":
        if root.value != "":  # An empty document is one, too.
            wrong(root, say("has to be sections with keys, such as 'restart:' and below it '  backoff_cap: 10m'"))
        return settings
    known = dict(settings.sections())
    origins = dict(settings.origins)
    seen = set()
    for name_node, section_node in root.value:
        name = _name(name_node)
        if name in seen:
            wrong(name_node, say("section '{name}' is there twice in this file", name=name))
            continue
        seen.add(name)
        if name not in known:
            near = _nearest(name, list(known))
            wrong(name_node, say("unknown section '{name}' (did you mean '{near}'?)", name=name[:60], near=near) if near
                  else say("unknown section '{name}'", name=name[:60]))
        elif _shape(section_node) != "mapping":
            if section_node.value != "":
                wrong(section_node, say("section '{name}' has to hold keys", name=name))
        else:
            changes = _section(known[name], name, section_node, wrong)
            known[name] = replace(known[name], **{key: value for key, (value, _) in changes.items()})
            origins.update({f"{name}.{key}": f"{path}:{line}" for key, (_, line) in changes.items()})
    return replace(settings, origins=origins, **known)


def _section(section: Any, name: str, node: yaml.MappingNode, wrong: Any) -> dict[str, tuple[Any, int]]:
    rules = {item.name: item.metadata for item in fields(section)}
    changes: dict[str, tuple[Any, int]] = {}
    for key_node, value_node in node.value:
        key = _name(key_node)
        if key not in rules:
            near, shown = _nearest(key, list(rules)), f"{name}.{key[:60]}"
            wrong(key_node, say("unknown key '{key}' (did you mean '{near}'?)", key=shown, near=near) if near
                  else say("unknown key '{key}'", key=shown))
            continue
        if key in changes:
            wrong(key_node, say("'{key}' is set twice in this file", key=f"{name}.{key}"))
            continue
        try:
            changes[key] = (_value(f"{name}.{key}", value_node, rules[key]), value_node.start_mark.line + 1)
        except ValueError as error:
            wrong(value_node, str(error))
    return changes


def _name(node: yaml.Node) -> str:
    """The text of a key. One that is a list or a mapping has none: with aliases it can be of any size."""
    return str(node.value) if _shape(node) == "value" else f"({_shape(node)})"


def _value(key: str, node: yaml.Node, rules: Mapping[str, Any]) -> Any:
    """The value of a node under the rules of the setting ``key``. Raises ValueError for a person."""
    kind = rules["kind"]
    shape = _shape(node)
    if kind == "argv":
        words = shape == "list" and all(_shape(item) == "value" for item in node.value)
        if not words or not (node.value or rules["empty"]):
            raise ValueError(say("{key}: has to be a list of words, such as [{example}]", key=key, example=rules["example"]))
        return tuple(str(item.value) for item in node.value)
    if shape != "value":
        raise ValueError(say("{key}: has to be one value, not a list", key=key) if shape == "list" else
                         say("{key}: has to be one value, not a mapping", key=key))
    text = str(node.value)
    if kind == "switch":
        if node.tag != "tag:yaml.org,2002:bool":
            raise ValueError(say("{key}: '{text}' is neither true nor false", key=key, text=text[:40]))
        return text.lower() in ("true", "yes", "on")
    if kind == "choice":
        # YAML 1.1 reads a bare yes or no as a boolean; the text is what was meant.
        if text.lower() not in rules["choices"]:
            near, choices = _nearest(text, rules["choices"]), ", ".join(rules["choices"])
            raise ValueError(say("{key}: '{text}' is not one of {choices} (did you mean '{near}'?)", key=key, text=text[:40],
                                 choices=choices, near=near) if near else
                             say("{key}: '{text}' is not one of {choices}", key=key, text=text[:40], choices=choices))
        return text.lower()
    if kind == "text":
        if not text.strip() or any(ord(char) < 32 for char in text):
            raise ValueError(say("{key}: has to be text without control characters", key=key))
        return text
    return _number(key, text, kind, rules)


def _shape(node: yaml.Node) -> str:
    return {"scalar": "value", "sequence": "list"}.get(str(getattr(node, "id", "")), "mapping")


def _number(key: str, text: str, kind: str, rules: Mapping[str, Any]) -> Any:
    try:
        value: Any = durations.parse(text) if kind == "duration" else int(text)
    except ValueError:
        raise ValueError(say("{key}: '{text}' is not a duration (write 90s, 5m, 1h30m or 2d)", key=key, text=text[:40])
                         if kind == "duration" else
                         say("{key}: '{text}' is not a whole number", key=key, text=text[:40])) from None
    if not rules["low"] <= value <= rules["high"]:
        low, high = ((durations.show(rules[end]) for end in ("low", "high")) if kind == "duration"
                     else (rules["low"], rules["high"]))
        raise ValueError(say("{key}: {text} is out of range ({low} to {high})", key=key, text=text[:40], low=low, high=high))
    return value


def _check_together(settings: Settings, problems: list[Problem]) -> None:
    """Rules between two settings."""
    restart = settings.restart

    def wrong(key: str, message: str, other: str = "") -> None:
        """Where the one stands that was set, if only one was."""
        file, _, line = settings.origins.get(key, settings.origins.get(other, "defaults:0")).rpartition(":")
        problems.append(Problem(file, int(line), message))

    if restart.backoff_first > restart.backoff_cap:
        wrong("restart.backoff_first", say("restart.backoff_first: is longer than restart.backoff_cap"), "restart.backoff_cap")
    if settings.verbose.default_lease > settings.verbose.longest_lease:
        wrong("verbose.default_lease", say("verbose.default_lease: is longer than verbose.longest_lease"),
              "verbose.longest_lease")
    host, _, port = settings.network.wireserver.rpartition(":")
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5) or not 0 < int(port) < 65536:
        wrong("network.wireserver", say("network.wireserver: has to be ADDRESS:PORT"))
    if settings.network.probe_interval < 60 and not host.startswith("127."):
        wrong("network.probe_interval", say(
            "network.probe_interval: may be below 1m only for a wire server on loopback (Azure throttles)"), "network.wireserver")


def _nearest(word: str, choices: Sequence[str]) -> str:
    """What was meant, "" when nothing is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, choices, 1, 0.6)), "")
