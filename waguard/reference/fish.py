"""Completion for fish: a `complete` for each option and word, made from a program's parser."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Union

from waguard.reference.commands import Command, Operand, Option, Program, brief
from waguard.reference.hints import hint

_WHERE = """\
# True where the command is $argv[1] ('': there is none yet) and the operand to come is number $argv[2], if that is given.
function @F@
	set -l command ''
	set -l operand 1
	set -l skip 0
	set -l tokens (commandline -opc)
	set -e tokens[1]
	for token in $tokens
		if test $skip = 1
			set skip 0
			continue
		end
		switch "$command:$token"
@VALUED@			case '*:-*'
			case '*'
@OPERAND@
		end
	end
	test "$command" = "$argv[1]"; or return
	test (count $argv) = 1; or test $operand = "$argv[2]"
end
"""
_OPERAND = "set operand (math $operand + 1)"
_VERB = """\
				if test -z "$command"
					set command $token
				else
					@@
				end"""


def script(program: Program) -> str:
    """The file for /usr/share/fish/vendor_completions.d."""
    function = "__" + program.name.replace("-", "_") + "_at"
    lines = [f"# Completion of {program.name} for fish. Made by: python3 -m waguard.reference completion", ""]
    valued = sorted({_pattern(name, flag, option, program) for name, command in _commands(program) for option in command.options
                     if option.value for flag in option.flags})
    cases = f"\t\t\tcase {' '.join(map(_quoted, valued))}\n\t\t\t\tset skip 1\n" if valued else ""
    where = _WHERE.replace("@F@", function).replace("@VALUED@", cases)
    where = where.replace("@OPERAND@", _VERB.replace("@@", _OPERAND) if program.verbs else f"\t\t\t\t{_OPERAND}")
    lines += [where, f"complete -c {program.name} -f"]
    if program.verbs:
        lines += [f"complete -c {program.name} -n {_quoted(_at('', function))} -a {verb.name} -d "
                  f"{_quoted(brief(verb.help))}" for verb in program.verbs]
    for name, command in _commands(program):
        lines += [line for option in command.options for line in _option(name, command, option, program, function)]
        lines += [line for number, operand in enumerate(command.operands, 1)
                  for line in _operand(name, number, operand, program, function)]
    return "\n".join([*lines, ""])


_EMPTY = '""'


def _commands(program: Program) -> list[tuple[str, Command]]:
    return [("", program.command), *((verb.name, verb) for verb in program.verbs)]


def _pattern(name: str, flag: str, option: Option, program: Program) -> str:
    return f"{'*' if option in program.common else name}:{flag}"


def _at(name: str, function: str, more: str = "") -> str:
    return f"{function} {name or _EMPTY}{more}"


def _option(name: str, command: Command, option: Option, program: Program, function: str) -> Iterator[str]:
    rivals = " ".join(other.lstrip("-") for other in command.rivals(option))
    at = _at(name, function, f"; and not __fish_contains_opt {rivals}" if rivals else "")
    flags = " ".join(f"{'-l' if flag.startswith('--') else '-s'} {flag.lstrip('-')}" for flag in option.flags)
    head = f"complete -c {program.name} -n {_quoted(at)} {flags} -d {_quoted(brief(option.help))}"
    if not option.value:
        yield head
        return
    yield from (head + value for value in _values(option))


def _operand(name: str, number: int, operand: Operand, program: Program, function: str) -> Iterator[str]:
    head = f"complete -c {program.name} -n {_quoted(_at(name, function, f' {number}'))}"
    found = hint(operand)
    if found.paths:
        yield f"{head} {_PATHS[found.paths]}"
    elif not any(about for _, about in found.words):
        yield f"{head} -k -a {_quoted(' '.join(word for word, _ in found.words))}"
    else:
        yield from (f"{head} -a {_quoted(word)} -d {_quoted(about)}" for word, about in found.words)


_PATHS = {"files": "-F", "directories": "-a '(__fish_complete_directories)'"}


def _values(wanted: Union[Option, Operand]) -> list[str]:
    """Ends of a `complete` for an option with a value."""
    found = hint(wanted)
    if found.paths == "files":
        return [" -r -F"]
    if found.paths:
        return [f" -x {_PATHS[found.paths]}"]
    return [" -x" + (f" -k -a {_quoted(' '.join(word for word, _ in found.words))}" if found.words else "")]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
