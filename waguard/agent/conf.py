"""The grammar of waagent.conf, exactly as the agent reads it, and what it makes of each key.

Source of every rule: azurelinuxagent/common/conf.py (ConfigurationProvider), common/utils/fileutil.py (read_file).
The agent reads the file once at the start of each of its processes; an edit takes effect with a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

from waguard.agent.confkeys import KEYS, Key, Kind, Standing, Value

__all__ = ["KEYS", "Assignment", "Conf", "Effective", "Key", "Kind", "Problem", "Standing", "Value", "lint", "parse"]

# Longer numbers are a ValueError for int() of every supported Python since CVE-2020-10735, hence the default.
_MAX_DIGITS = 4300
_MAX_HINTS = 20


@dataclass(frozen=True)
class Assignment:
    """One line that sets a key: any line with a `=` whose very first character is not `#`."""

    line: int
    """1-based; lines end at LF and nowhere else."""
    key: str
    """What is left of the first `=`, stripped. Case-sensitive, and junk in odd lines: " # Foo=y" sets "# Foo"."""
    value: str | None
    """What the agent keeps; None for the literal `None`, which means: as if the key were not there."""
    comment: str | None
    """The text from the first `#` of the value on, without line end; None without a `#`."""


@dataclass(frozen=True)
class Effective:
    """A value and the line it comes from; None for the default of the code."""

    value: Value
    line: int | None


@dataclass(frozen=True)
class Problem:
    """Something in the file that does not do what its writer will have meant: a 1-based line, an id, a sentence."""

    line: int
    id: str
    message: str


@dataclass(frozen=True)
class Conf:
    """A parsed waagent.conf. Reading it raises nothing; typed getters raise KeyError for keys nobody ever read."""

    data: bytes
    assignments: tuple[Assignment, ...]
    undecodable: bool
    """Some byte is not UTF-8. The agent then refuses the whole file (UnicodeDecodeError; the process exits 0)."""

    @property
    def empty(self) -> bool:
        """Not one byte. The agent refuses that (AgentConfigError; the process exits 0); a blank line would do."""
        return not self.data

    @property
    def error(self) -> str | None:
        """Why the agent would not start with this file, for people; None when it would."""
        if self.empty:
            return "the file is empty, and the agent refuses to start without a configuration"
        if self.undecodable:
            return "the file is not valid UTF-8, and the agent refuses to start with it"
        return None

    def assignment(self, key: str) -> Assignment | None:
        """The last line that sets `key`, which is the one that counts."""
        for found in reversed(self.assignments):
            if found.key == key:
                return found
        return None

    def raw(self, key: str) -> str | None:
        """The text the agent keeps for `key`; None when it is absent or `None`."""
        found = self.assignment(key)
        return found.value if found else None

    def present(self, key: str) -> bool:
        """The agent's is_present()."""
        return self.raw(key) is not None

    def effective(self, key: str) -> Effective:
        """What the agent uses for `key`, with the line it comes from, or None when it is the default of the code.

        A value that the agent cannot use (a switch that is neither y nor n) is the default too. A key that is in no
        table has its text, or None.
        """
        found = self.assignment(key)
        known = KEYS.get(key)
        if known is None:
            return Effective(found.value, found.line) if found and found.value is not None else Effective(None, None)
        used = _convert(known, found.value) if found else None
        if found is not None and used is not None:
            return Effective(used, found.line)
        if known.same_as:
            return Effective(self.effective(known.same_as).value, None)
        return Effective(known.default, None)

    def value(self, key: str) -> Value:
        """What the agent uses for `key`."""
        return self.effective(key).value

    def switch(self, key: str) -> bool:
        """What the agent uses for a key that is a switch."""
        return self.value(_known(key, Kind.SWITCH)) is True

    def integer(self, key: str) -> int | None:
        """What the agent uses for a key that is an integer; None only where the default is none (HttpProxy.Port)."""
        used = self.value(_known(key, Kind.INTEGER))
        return used if isinstance(used, int) else None

    def string(self, key: str) -> str | None:
        """What the agent uses for a key that is a text; None only where the default is none (HttpProxy.Host)."""
        used = self.value(_known(key, Kind.STRING))
        return used if isinstance(used, str) else None


def _known(key: str, kind: Kind) -> str:
    if key not in KEYS:
        raise KeyError(f"{key} is no key of waagent.conf")
    if KEYS[key].kind is not kind:
        raise KeyError(f"{key} is of kind {KEYS[key].kind.value}, not {kind.value}")
    return key


def _convert(key: Key, value: str | None) -> Value:
    """The value in the agent's terms, or None when it uses the default instead."""
    if value is None:
        return None
    if key.kind is Kind.SWITCH:
        return {"y": True, "n": False}.get(value.lower())
    if key.kind is Kind.STRING:
        return value
    if key.name == "Extensions.WaitForCloudInitTimeout":
        # Its getter asks for a switch: True and False are then used as seconds.
        return {"y": 1, "n": 0}.get(value.lower())
    if len(value) > _MAX_DIGITS:
        return None
    try:
        return int(value)
    except ValueError:
        # Its getter asks for a text: junk goes into sshd_config as it stands.
        return value if key.name == "OS.SshClientAliveInterval" else None


def parse(data: bytes) -> Conf:
    """Read any bytes; never raises.

    Bytes that are not UTF-8 make the agent refuse the whole file: `undecodable` says so, and here each one stands for
    itself as a lone surrogate (surrogateescape), so that the lines can still be told apart and edited.
    """
    text = data.decode("utf-8", "surrogateescape")
    assignments = []
    for number, line in enumerate(text.split("\n"), 1):
        if "=" in line and not line.startswith("#"):
            assignments.append(parse_line(line, number))
    return Conf(data, tuple(assignments), _undecodable(data))


def _undecodable(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return True
    return False


def parse_line(line: str, number: int) -> Assignment:
    """Read one line that is known to set a key; without its LF."""
    key, _, rest = line.partition("=")
    text, mark, comment = rest.partition("#")
    # Quotes and blanks first, all white space after: `"y"` + CR therefore keeps its last quote.
    value = text.strip('" ').strip()
    return Assignment(number, key.strip(), None if value == "None" else value, mark + comment.strip() if mark else None)


def lint(conf: Conf) -> tuple[Problem, ...]:
    """What a person should look at, in the order of the lines. Only lines that count are judged by their value."""
    problems: list[Problem] = []
    earlier: dict[str, list[int]] = {}
    last: dict[str, Assignment] = {}
    for found in conf.assignments:
        if found.key in last:
            earlier.setdefault(found.key, []).append(last[found.key].line)
        last[found.key] = found
    hints = 0
    for found in last.values():
        known = KEYS.get(found.key)
        if found.key in earlier:
            problems.append(_duplicate(found, earlier[found.key]))
        if known is None:
            hints += 1
            problems.append(Problem(found.line, "conf-unknown-key", _unknown(found.key, hints <= _MAX_HINTS)))
            continue
        problems += _judge_value(conf, known, found)
    problems += _judge_meaning(conf)
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.id)))


def _duplicate(found: Assignment, earlier: list[int]) -> Problem:
    lines = ", ".join(str(number) for number in earlier[:5]) + (" and more" if len(earlier) > 5 else "")
    where = f"line {lines} is" if len(earlier) == 1 else f"lines {lines} are"
    message = f"{_shown(found.key)} is set more than once; this last one counts and {where} ignored: keep one of them."
    return Problem(found.line, "conf-duplicate-key", message)


def _judge_value(conf: Conf, known: Key, found: Assignment) -> list[Problem]:
    problems = []
    dead = known.standing in (Standing.REMOVED, Standing.UNREAD)
    if not dead and found.value is not None and _convert(known, found.value) is None:
        used = _spelt(conf.value(found.key))
        wanted = "y or n" if known.kind is Kind.SWITCH else "a whole number"
        what = f"{found.key}={_shown(found.value)} is not {wanted}"
        message = f"{what}, so the agent uses its default, {used}: write {wanted}."
        if known.name == "Extensions.WaitForCloudInitTimeout":
            message = f"{found.key} has no effect: the agent reads it as y or n and so always waits {used} seconds."
        problems.append(Problem(found.line, "conf-bad-value", message))
    if found.comment is not None:
        message = (f"The value of {found.key} ends at the #; agents before 2.2.18 read the comment as part of it: "
                   "put the comment on a line of its own.")
        problems.append(Problem(found.line, "conf-trailing-comment", message))
    return problems


def _judge_meaning(conf: Conf) -> list[Problem]:
    problems = []
    enabled, host, port = (conf.effective(k) for k in ("Extensions.Enabled", "HttpProxy.Host", "HttpProxy.Port"))
    if enabled.value is False and enabled.line is not None:
        message = "Extensions are switched off, so no backup and no other extension runs: set Extensions.Enabled=y."
        problems.append(Problem(enabled.line, "extensions-disabled", message))
    if host.line is not None and port.value is None:
        message = ("HttpProxy.Host is set without a HttpProxy.Port, so the agent uses no proxy at all, "
                   "not even one from its environment: set both or neither.")
        problems.append(Problem(host.line, "proxy-incomplete", message))
    if port.line is not None and host.value is None:
        message = "HttpProxy.Port is set without a HttpProxy.Host and is ignored: set both or neither."
        problems.append(Problem(port.line, "proxy-incomplete", message))
    return problems


def _unknown(key: str, hint: bool) -> str:
    if key.startswith("#"):
        return f"A blank before the # makes this a setting named {_shown(key)}, not a comment: remove the blank."
    if key.startswith("\ufeff"):
        return f"A byte-order mark makes {_shown(key)} another key: save the file without one."
    if not key:
        return "There is no key before the =, so the line has no effect: remove it or name the key."
    near = _nearest(key) if hint and len(key) <= 64 else None
    advice = f"did you mean {near}?" if near else "remove it, or look for the right name in the agent's README."
    return f"{_shown(key)} is no key the agent reads and has no effect: {advice}"


def _nearest(key: str) -> str | None:
    import difflib  # costs more than all of this module and only a linter wants it

    folded = {name.lower(): name for name, known in KEYS.items() if known.standing is not Standing.REMOVED}
    near = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.75)
    return folded[near[0]] if near else None


def _spelt(value: Value) -> str:
    if isinstance(value, bool):
        return "y" if value else "n"
    return "none" if value is None else str(value)


def _shown(text: str) -> str:
    """Text of the file, made safe and short for a terminal."""
    shown = text if text.isprintable() else text.encode("unicode_escape", "backslashreplace").decode("ascii")
    return shown if len(shown) <= 60 else shown[:57] + "..."
