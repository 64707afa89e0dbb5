"""The grammar of waagent.conf, exactly as the agent reads it, and what it makes of each key.

Source of every rule: azurelinuxagent/common/conf.py (ConfigurationProvider), common/utils/fileutil.py (read_file).
The agent reads the file once at the start of each of its processes; an edit takes effect with a restart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from waguard.agent.confkeys import KEYS, Key, Kind, Standing, Value
from waguard.agent.shown import MASK, shown
from waguard.i18n import say

__all__ = ["KEYS", "Assignment", "Conf", "Effective", "Key", "Kind", "Problem", "Standing", "Value", "lint", "parse", "refusal"]

# Longer numbers are a ValueError for int() of every supported Python since CVE-2020-10735, hence the default.
_MAX_DIGITS = 4300
_MAX_HINTS = 20
_MAX_PROBLEMS = 5000


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
    """Something in the file that does not do what its writer will have meant: a 1-based line, an id, a sentence, and the key
    as it may be shown. No text holds a secret."""

    line: int
    id: str
    message: str
    key: str = ""


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
        """Why the agent would not start with this file, for people, who see it behind its path; None when it would."""
        if self.empty:
            return _behind(say("{path}: the file is empty, and the agent refuses to start without a configuration", path=""))
        if self.undecodable:
            return _behind(say("{path}: the file is not valid UTF-8, and the agent refuses to start with it", path=""))
        return None

    @cached_property
    def last(self) -> dict[str, Assignment]:
        """The line that counts of each key in the file, which is its last one; in the order of the keys' first ones."""
        return {found.key: found for found in self.assignments}

    def assignment(self, key: str) -> Assignment | None:
        """The last line that sets `key`, which is the one that counts."""
        return self.last.get(key)

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


def _behind(text: str) -> str:
    """What stands behind the path: it is translated together with one."""
    return text.partition(": ")[2]


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
    number = _integer(value)
    if key.name == "OS.SshClientAliveInterval" and str(number) != value:
        return value  # Its getter asks for a text: junk goes into sshd_config as it stands.
    return number


def _integer(value: str) -> int | None:
    """Python's int() with the limit on digits that the agent's own Python has, whatever this one has; None for a ValueError."""
    if len(value) > _MAX_DIGITS and len(value.lstrip("+-").replace("_", "")) > _MAX_DIGITS:
        return None
    try:
        return int(value)
    except ValueError:
        return None


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


def refusal(conf: Conf) -> Problem | None:
    """Why the agent would not start with this file, as a problem with its line; None when it would."""
    if conf.empty:
        return Problem(1, "conf-missing", say("The file is empty, and the agent refuses to start without a configuration."))
    try:
        conf.data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = conf.data.count(b"\n", 0, error.start) + 1
        return Problem(line, "conf-unreadable",
                       say("This line is not valid UTF-8, and the agent refuses to start with the file."))
    return None


def lint(conf: Conf) -> tuple[Problem, ...]:
    """What a person should look at, in the order of the lines. Only lines that count are judged by their value.

    Of a file that is no waagent.conf at all the first 5000 keys or so with a problem will do.
    """
    problems: list[Problem] = []
    earlier: dict[str, list[int]] = {}
    for found in conf.assignments:
        if found is not conf.last[found.key]:
            earlier.setdefault(found.key, []).append(found.line)
    hints = 0
    for found in conf.last.values():
        if len(problems) >= _MAX_PROBLEMS:
            break
        known = KEYS.get(found.key)
        if found.key in earlier:
            problems.append(_duplicate(found, earlier[found.key]))
        if known is None:
            hints += 1
            message = _unknown(found.key, hints <= _MAX_HINTS)
            problems.append(Problem(found.line, "conf-unknown-key", message, shown_key(found.key)))
            continue
        problems += _judge_value(conf, known, found)
    problems += _judge_meaning(conf)
    return tuple(sorted(problems, key=lambda problem: (problem.line, problem.id)))


def _duplicate(found: Assignment, earlier: list[int]) -> Problem:
    lines = ", ".join(str(number) for number in earlier[:5])
    key = shown_key(found.key)
    if len(earlier) == 1:
        message = say("{key} is set more than once; this last one counts and line {line} is ignored: keep one of them.",
                      key=key, line=lines)
    elif len(earlier) <= 5:
        message = say("{key} is set more than once; this last one counts and lines {lines} are ignored: keep one of them.",
                      key=key, lines=lines)
    else:
        message = say("{key} is set more than once; this last one counts and lines {lines} and more are ignored: "
                      "keep one of them.", key=key, lines=lines)
    return Problem(found.line, "conf-duplicate-key", message, key)


def _judge_value(conf: Conf, known: Key, found: Assignment) -> list[Problem]:
    problems = []
    dead = known.standing in (Standing.REMOVED, Standing.UNREAD)
    default = known.default is not None and found.value == spelt(known.default)
    if not dead and found.value is not None and not default and _convert(known, found.value) is None:
        problems.append(Problem(found.line, "conf-bad-value", _bad_value(conf, known, found), found.key))
    if found.comment is not None:
        message = say("The value of {key} ends at the #; agents before 2.2.18 read the comment as part of it: "
                      "put the comment on a line of its own.", key=found.key)
        problems.append(Problem(found.line, "conf-trailing-comment", message, found.key))
    return problems


def _bad_value(conf: Conf, known: Key, found: Assignment) -> str:
    used = spelt(conf.value(found.key))
    if known.name == "Extensions.WaitForCloudInitTimeout":
        return say("{key} has no effect: the agent reads it as y or n and so always waits {seconds} seconds.",
                   key=found.key, seconds=used)
    if known.kind is Kind.SWITCH:
        return say("{key}={value} is not y or n, so the agent uses its default, {default}: write y or n.",
                   key=found.key, value=shown_value(found), default=used)
    return say("{key}={value} is not a whole number, so the agent uses its default, {said_default}: write a whole number.",
               key=found.key, value=shown_value(found), said_default=used)


def _judge_meaning(conf: Conf) -> list[Problem]:
    problems = []
    enabled, host, port = (conf.effective(k) for k in ("Extensions.Enabled", "HttpProxy.Host", "HttpProxy.Port"))
    if enabled.value is False and enabled.line is not None:
        message = say("Extensions are switched off, so no backup and no other extension runs: set Extensions.Enabled=y.")
        problems.append(Problem(enabled.line, "extensions-disabled", message, "Extensions.Enabled"))
    if host.line is not None and port.value is None:
        message = say("HttpProxy.Host is set without a HttpProxy.Port, so the agent uses no proxy at all, "
                      "not even one from its environment: set both or neither.")
        problems.append(Problem(host.line, "proxy-incomplete", message, "HttpProxy.Host"))
    if port.line is not None and host.value is None:
        message = say("HttpProxy.Port is set without a HttpProxy.Host and is ignored: set both or neither.")
        problems.append(Problem(port.line, "proxy-incomplete", message, "HttpProxy.Port"))
    return problems


def _unknown(key: str, hint: bool) -> str:
    if key.startswith("#"):
        return say("A blank before the # makes this a setting named {key}, not a comment: remove the blank.", key=shown_key(key))
    if key.startswith("\ufeff"):
        return say("A byte-order mark makes {key} another key: save the file without one.", key=shown_key(key))
    if not key:
        return say("There is no key before the =, so the line has no effect: remove it or name the key.")
    near = _nearest(key) if hint and len(key) <= 64 else None
    if near:
        return say("{key} is no key the agent reads and has no effect: did you mean {near}?", key=shown_key(key), near=near)
    return say("{key} is no key the agent reads and has no effect: remove it, or look for the right name in the agent's README.",
               key=shown_key(key))


def _nearest(key: str) -> str | None:
    import difflib  # costs more than all of this module and only a linter wants it

    folded = {name.lower(): name for name, known in KEYS.items() if known.standing is not Standing.REMOVED}
    near = difflib.get_close_matches(key.lower(), folded, n=1, cutoff=0.75)
    return folded[near[0]] if near else None


def spelt(value: Value) -> str:
    """A value as one would write it into the file; "none" for one that is not set."""
    if isinstance(value, bool):
        return "y" if value else "n"
    return say("none") if value is None else str(value)


def shown_key(key: str) -> str:
    """A key as it may be shown. No real one has a colon, but a line that is something else may hold a password behind it."""
    name, colon, _ = key.partition(":")
    return shown(f"{name}:{MASK}" if colon else name)


def shown_value(found: Assignment) -> str:
    """The value of a line as it may be shown: a login is masked also where a # in the password cuts it short."""
    comment = found.comment or ""
    return shown((found.value or "") + (comment if "@" in comment else ""))
