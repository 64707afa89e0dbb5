"""The command lines of all programs as plain data, read off their parsers: man pages and completion are made from it."""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass(frozen=True)
class Option:
    """One option. ``flags`` as typed, short ones first; ``value``: the word for its value, "" for a switch."""

    flags: tuple[str, ...]
    help: str
    value: str = ""
    optional_value: bool = False
    """It may stand without its value."""
    repeated: bool = False
    choices: tuple[str, ...] = ()
    ends: bool = False
    """Nothing else counts beside it: --help, --version."""

    @property
    def name(self) -> str:
        """The long flag, if there is one."""
        return self.flags[-1]


@dataclass(frozen=True)
class Operand:
    """A word that is no option. ``value``: the word for it."""

    value: str
    help: str
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Command:
    """A program without verbs, or one verb of waguardctl."""

    name: str
    help: str
    """A line, without a capital and a full stop."""
    options: tuple[Option, ...] = ()
    operands: tuple[Operand, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    """Names of options of which only one may be given."""
    examples: tuple[str, ...] = ()
    exit_status: str = ""
    """Sentences."""

    def rivals(self, option: Option) -> tuple[str, ...]:
        """Names of the options that may not stand beside this one."""
        return tuple(name for group in self.exclusive if option.name in group for name in group if name != option.name)


@dataclass(frozen=True)
class Program:
    """One program: what it takes before a verb, and its verbs, if it has any."""

    command: Command
    verbs: tuple[Command, ...] = field(default=())

    @property
    def name(self) -> str:
        return self.command.name

    @property
    def common(self) -> tuple[Option, ...]:
        """Options that all verbs have."""
        first = self.verbs[0].options if self.verbs else ()
        return tuple(option for option in first if all(option in verb.options for verb in self.verbs))


def waguardctl() -> Program:
    """With all its verbs."""
    from waguard.ctl import main

    os.environ.pop("WAGUARD_RUN_DIR", None)  # its value is the default of --run-dir
    top = main.parser()
    subparsers = next(action for action in top._actions if isinstance(action, argparse._SubParsersAction))
    verbs = []
    for name, parser in subparsers.choices.items():
        module = importlib.import_module(f"waguard.ctl.{name}")
        verbs.append(_command(parser, name, str(module.HELP), tuple(map(str, module.EXAMPLES)), module.run))
    return Program(_command(top, "waguardctl", str(top.description)), tuple(verbs))


def waguardd() -> Program:
    """The guard."""
    from waguard.guard import main

    return Program(_command(main.parser(), "waguardd", str(main.parser().description), run=main.main))


def exporter() -> Program:
    """The exporter."""
    from waguard.exporter import main

    return Program(_command(main.parser(), "waguard-exporter", str(main.parser().description), run=main.main))


def doctor() -> Program:
    """One visit of the doctor."""
    from waguard.doctor import main

    return Program(_command(main.parser(), "waguard-doctor", str(main.parser().description), run=main.main))


def programs() -> tuple[Program, ...]:
    """All of them."""
    return waguardctl(), waguardd(), exporter(), doctor()


def _command(parser: argparse.ArgumentParser, name: str, help: str, examples: tuple[str, ...] = (),
             run: Optional[Callable[..., object]] = None) -> Command:
    actions = [action for action in parser._actions if action.help != argparse.SUPPRESS]
    groups = [[action for action in group._group_actions if action in actions]
              for group in parser._mutually_exclusive_groups]
    return Command(
        name, help, tuple(_options(parser, actions)), tuple(_operands(parser, actions)),
        tuple(tuple(_long(action.option_strings)[-1] for action in group) for group in groups if len(group) > 1),
        examples, exit_status(run) if run else "")


def _options(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> Iterator[Option]:
    for action in actions:
        if action.option_strings:
            takes = action.nargs != 0
            choices = tuple(str(choice) for choice in action.choices or ())
            value = str(action.metavar or ("|".join(choices) if choices else action.dest.upper())) if takes else ""
            yield Option(_long(action.option_strings), _help(parser, action), value, action.nargs == "?",
                         isinstance(action, argparse._AppendAction), choices,
                         isinstance(action, (argparse._HelpAction, argparse._VersionAction)))


def _long(flags: Any) -> tuple[str, ...]:
    """The long ones last."""
    return tuple(sorted(flags, key=lambda flag: flag.startswith("--")))


def _operands(parser: argparse.ArgumentParser, actions: list[argparse.Action]) -> Iterator[Operand]:
    for action in actions:
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction):
            yield Operand(str(action.metavar or action.dest.upper()), _help(parser, action), action.nargs != "?",
                          tuple(str(choice) for choice in action.choices or ()))


def _help(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """With its default filled in. The words of argparse's own options are ours, as they differ between versions of Python."""
    if isinstance(action, argparse._HelpAction):
        return "show what there is, with examples, and end"
    if isinstance(action, argparse._VersionAction):
        return "show the version and end"
    return parser._get_formatter()._expand_help(action)


def exit_status(run: Callable[..., object]) -> str:
    """What a program's or verb's own docstring says of it. Raises ValueError when it says nothing."""
    text = " ".join((inspect.getdoc(run) or "").split())
    found = re.search(r"\bExit status:? (.+)$|(?<=\. )(0: .+)$", text)
    if not found:
        raise ValueError(f"the docstring of {run.__module__}.{run.__qualname__} tells no exit status")
    return (found[1] or found[2]).rstrip(".").replace("``", "`") + "."


def brief(text: str, limit: int = 90) -> str:
    """As much of it as a list in a shell has room for, without examples and defaults."""
    first = re.split(r": (?=[^ ]*[:/{])|; | \(default|\. |, such as ", text, maxsplit=1)[0].strip()
    if len(first) > limit:
        first = first[:limit].rsplit(" ", 1)[0].rstrip(" ,(") + " ..."
    return first
