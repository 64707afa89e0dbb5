"""Completion for bash: a small reader of the command line, the same for every program, and tables made from its parser.

The reader needs nothing but bash (4.0 and later) itself: no function of bash-completion, no program, no subshell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Union

from waguard.reference.commands import Command, Operand, Option, Program
from waguard.reference.hints import Hint, hint

_SAFE = re.compile(r"[\w@%+=:,./-]+", re.ASCII)

_SCRIPT = """\
# Completion of @NAME@ for bash. Made by: python3 -m waguard.reference completion
# shellcheck shell=bash

# The options of a command: all of them in $flags, those with a value in $valued, those that may stand without it in $optional.
@F@_options() {
	case $1 in
@OPTIONS@
	*) flags='' valued='' optional='' ;;
	esac
}

# What may stand for the value of an option of a command, or for its operand of that number: $offer, or $paths.
@F@_values() {
	case $1:$2 in
@VALUES@
	esac
}

# Which options an option that was typed leaves no room for.
@F@_gone() {
	case $1:$2 in
@GONE@
	*) gone+="$2 " ;;
	esac
}

# The words up to the cursor as they were typed: bash itself cuts them at = and :.
@F@_read() {
	local line=${COMP_LINE:0:COMP_POINT} piece index
	words=()
	for ((index = 0; index <= COMP_CWORD; index++)); do
		piece=${COMP_WORDS[index]}
		((index < COMP_CWORD)) || piece=${line#"${line%%[![:space:]]*}"}
		if [[ $line == [[:space:]]* || ${#words[@]} -eq 0 ]]; then
			line=${line#"${line%%[![:space:]]*}"}
			words+=("$piece")
		else
			words[${#words[@]}-1]+=$piece
		fi
		line=${line#"$piece"}
	done
}

@F@() {
	local IFS=$' \\t\\n' command='' flags='' valued='' optional='' offer='' paths='' gone=' ' only='' wanted=''
	local current typed before='' cut='' word index
	local -a words
	local -i operand=1
	COMPREPLY=()
	@F@_read
	typed=${words[${#words[@]}-1]}
	current=$typed
	@F@_options ''
	for ((index = 1; index < ${#words[@]} - 1; index++)); do
		word=${words[index]}
		wanted=''
		if [[ -z $only && $word == -- ]]; then
			only=yes
		elif [[ -z $only && $word == -?* ]]; then
			@F@_gone "$command" "${word%%=*}"
			[[ $word == *=* || $valued != *" $word "* ]] || wanted=$word
			if [[ $wanted ]] && ((index < ${#words[@]} - 2)); then
				[[ $optional == *" $wanted "* && ${words[index+1]} == -* ]] || ((index++))
				wanted=''
			fi
@OPERAND@
		fi
	done
	if [[ $wanted && ! ($optional == *" $wanted "* && $current == -*) ]]; then
		@F@_values "$command" "$wanted"
	elif [[ -z $only && $current == --*=* ]]; then
		@F@_values "$command" "${current%%=*}"
		current=${typed#*=}
		before=${typed%%=*}=
	elif [[ -z $only && $current == -* ]]; then
		offer=$flags
	else
		@F@_values "$command" "$operand"
		[[ $offer || $paths || $current || $only ]] || offer=$flags
	fi
	# The files are bash's own business, with their quotes and tildes. The order of words is ours (bash 4.4 and later).
	case $paths in
	files) compopt -o default 2>/dev/null ;;
	directories) compopt -o dirnames 2>/dev/null ;;
	*) compopt -o nosort 2>/dev/null ;;
	esac
	# bash replaces only what stands behind the last place where it cuts.
	for word in = :; do
		if [[ $COMP_WORDBREAKS == *$word* && $typed == *$word* ]]; then
			word=${typed%"${typed##*"$word"}"}
			((${#word} <= ${#cut})) || cut=$word
		fi
	done
	for word in $offer; do
		if [[ $word == "$current"* && $gone != *" $word "* ]]; then
			word=$before$word
			COMPREPLY+=("${word#"$cut"}")
		fi
	done
}

complete -F @F@ @NAME@
"""
_VERB = """\
		elif [[ -z $command ]]; then
			command=$word
			@F@_options "$command"
"""
_OPERAND = """\
		else
			operand+=1"""


def script(program: Program) -> str:
    """The file for /usr/share/bash-completion/completions."""
    function = "_" + re.sub(r"\W", "_", program.name)
    commands = [("", program.command), *((verb.name, verb) for verb in program.verbs)]
    parts = {
        "OPTIONS": _cases(_options(name, command) for name, command in commands),
        "VALUES": _cases(case for name, command in commands for case in _values(name, command, program)),
        "GONE": _cases(case for name, command in commands for case in _gone(name, command, program)),
        "OPERAND": (_VERB if program.verbs else "") + _OPERAND,
        "F": function, "NAME": program.name,
    }
    text = _SCRIPT
    for name, part in parts.items():
        text = text.replace(f"@{name}@", part)
    return text


def _cases(found: Iterable[tuple[str, str]]) -> str:
    """Patterns and what is done for them; those for which the same is done in one."""
    patterns: dict[str, list[str]] = {}
    for pattern, body in found:
        places = patterns.setdefault(body, [])
        if pattern not in places:
            places.append(pattern)
    return "\n".join(f"\t{' | '.join(places)}) {body} ;;" for body, places in patterns.items())


def _words(words: Iterable[str]) -> str:
    """In single quotes, split at blanks. Raises ValueError for a word that the shell would take for more than a word."""
    found = list(words)
    for word in found:
        if not _SAFE.fullmatch(word):
            raise ValueError(f"{word!r} cannot stand in a list of words")
    return f"' {' '.join(found)} '" if found else "''"


def _options(name: str, command: Command) -> tuple[str, str]:
    flags = [flag for option in command.options for flag in option.flags]
    valued = [flag for option in command.options if option.value for flag in option.flags]
    optional = [flag for option in command.options if option.optional_value for flag in option.flags]
    return name or "''", f"flags={_words(flags)} valued={_words(valued)} optional={_words(optional)}"


def _values(name: str, command: Command, program: Program) -> Iterator[tuple[str, str]]:
    if not name and program.verbs:
        yield ":1", f"offer={_words(verb.name for verb in program.verbs)}"
    wanted: list[tuple[str, Union[Option, Operand]]] = [
        (f"{_place(name, option, program)}:{flag}", option)
        for option in command.options if option.value for flag in option.flags]
    wanted += [(f"{name}:{number}", operand) for number, operand in enumerate(command.operands, 1)]
    yield from ((pattern, _offer(hint(one))) for pattern, one in wanted if _offer(hint(one)))


def _place(name: str, option: Option, program: Program) -> str:
    return "*" if option in program.common else name


def _offer(found: Hint) -> str:
    if found.paths:
        return f"paths={found.paths}"
    return f"offer={_words(word for word, _ in found.words)}" if found.words else ""


def _gone(name: str, command: Command, program: Program) -> Iterator[tuple[str, str]]:
    """Of the options that leave no room for more than themselves, or for less."""
    for option in command.options:
        others = [flag for other in command.options if other.name in command.rivals(option) for flag in other.flags]
        others = [*others, *(() if option.repeated else option.flags)]
        if sorted(others) != [option.name]:
            for flag in option.flags:
                yield f"{_place(name, option, program)}:{flag}", f"gone+={_words(sorted(others))}" if others else ":"
