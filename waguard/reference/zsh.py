"""Completion for zsh: specifications for _arguments (zshcompsys(1)), made from a program's parser."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Union

from waguard.reference.commands import Command, Operand, Option, Program, brief
from waguard.reference.hints import Hint, hint


def script(program: Program) -> str:
    """The file for a directory in zsh's fpath."""
    function = f"_{program.name}"
    lines = [f"#compdef {program.name}",
             f"# Completion of {program.name} for zsh. Made by: python3 -m waguard.reference completion",
             "", *_lists(program, function)]
    lines += _with_verbs(program, function) if program.verbs else [
        f"{function}() {{", *_arguments(program.command, function), "}"]
    # The first time the file itself is the body of the function (autoload), so it has to call what it defines.
    return "\n".join([*lines, "", f'{function} "$@"', ""])


def _with_verbs(program: Program, function: str) -> list[str]:
    own = _arguments(program.command, function, ["'1:command:->command'", "'*::argument:->argument'"])
    lines = [f"{function}() {{", "\tlocal curcontext=$curcontext state state_descr line", "\tlocal -A opt_args",
             own[0].replace("_arguments", "_arguments -C"), *own[1:-1], f"{own[-1]} && return", "\tcase $state in",
             f"\tcommand) {function}_commands ;;", "\targument)",
             f"\t\tcurcontext=${{curcontext%:*:*}}:{program.name}-$words[1]:", "\t\tcase $words[1] in"]
    for verb in program.verbs:
        lines += [f"\t\t{verb.name})", *(f"\t\t{line}" for line in _arguments(verb, function)), "\t\t\t;;"]
    return [*lines, "\t\tesac", "\t\t;;", "\tesac", "}"]


def _arguments(command: Command, function: str, more: Sequence[str] = ()) -> list[str]:
    """A call of _arguments, a specification a line."""
    found = [*(_option(option, command, function) for option in command.options),
             *(_operand(number, operand, function) for number, operand in enumerate(command.operands, 1)), *more]
    return ["\t_arguments -S \\", *(f"\t\t{one} \\" for one in found[:-1]), f"\t\t{found[-1]}"]


def _option(option: Option, command: Command, function: str) -> str:
    """One option, in all its spellings: behind a comma in braces the shell makes one specification of each."""
    rivals = [flag for other in command.options if other.name in command.rivals(option) for flag in other.flags]
    without = ["-", "*"] if option.ends else [*rivals, *(() if option.repeated else option.flags)]
    exclusion = f"({' '.join(without)})" if len(without) > 1 else ""
    spelled = [("*" if option.repeated else "") + flag + (("=" if flag.startswith("--") else "+") if option.value else "")
               for flag in option.flags]
    value = _value(option, option.value, ":" if option.optional_value else "", function)
    about = f"[{_escaped(brief(option.help), '[]:')}]{value}"
    if len(spelled) == 1:
        return _quoted(exclusion + spelled[0] + about)
    return _quoted(exclusion) + f"{{{','.join(spelled)}}}" + _quoted(about)


def _operand(number: int, operand: Operand, function: str) -> str:
    name = operand.value if not operand.choices else "word"
    return _quoted(f"{number}" + _value(operand, name, "" if operand.required else ":", function))


def _value(wanted: Union[Option, Operand], name: str, optional: str, function: str) -> str:
    """The end of a specification: `:message:action`."""
    if not name:
        return ""
    name = "value" if "|" in name and isinstance(wanted, Option) and wanted.choices else name
    return f":{optional}{_escaped(name, ':')}:{_action(hint(wanted), wanted, function)}"


def _action(found: Hint, wanted: Union[Option, Operand], function: str) -> str:
    if found.paths:
        return "_files" if found.paths == "files" else "_files -/"
    if not found.words:
        return " "
    if _described(found):
        return _list_name(wanted, function)
    return f"({' '.join(_escaped(word, ':') for word, _ in found.words)})"


def _described(found: Hint) -> bool:
    return any(about for _, about in found.words)


def _list_name(wanted: Union[Option, Operand], function: str) -> str:
    word = wanted.name.lstrip("-") if isinstance(wanted, Option) else wanted.value.lower()
    return f"{function}_{word}"


def _lists(program: Program, function: str) -> Iterator[str]:
    """Functions that offer words with a line about each."""
    if program.verbs:
        yield from _list(f"{function}_commands", "command", [(verb.name, brief(verb.help)) for verb in program.verbs])
    for command in (program.command, *program.verbs):
        wanted: list[Union[Option, Operand]] = [*(option for option in command.options if option.value), *command.operands]
        for one in wanted:
            if _described(hint(one)):
                yield from _list(_list_name(one, function), one.value if isinstance(one, Operand) else one.name.lstrip("-"),
                                 hint(one).words)


def _list(function: str, tag: str, words: Iterable[tuple[str, str]]) -> Iterator[str]:
    yield f"(( $+functions[{function}] )) || {function}() {{"
    yield "\tlocal -a found=("
    yield from (f"\t\t{_quoted(_escaped(word, ':') + ':' + about)}" for word, about in words)
    yield from ("\t)", f"\t_describe -t {tag.lower()}s {tag.lower()} found", "}", "")


def _escaped(text: str, special: str) -> str:
    return re.sub(f"([\\\\{re.escape(special)}])", r"\\\1", text)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"
