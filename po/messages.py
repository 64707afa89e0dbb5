"""Keeps the messages of the code and their translations in step; needs GNU gettext's programs.

    python3 -m po.messages update [FILE.po ...]   es.po gets the code's messages; FILE.po may have translations for them
    python3 -m po.messages missing [PATH ...]     messages without translation, of these files
    python3 -m po.messages check                  exit status 1, and says what, when es.po lacks a message or has one too many
    python3 -m po.messages compile [DIR]          DIR/es/LC_MESSAGES/waguard.mo (default: waguard/locale, for the source tree)

xgettext does not see what is called within an f-string, so the messages are found here, by Python's own parser.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Optional

TOP = Path(__file__).resolve().parents[1]
PO = TOP / "po"
LANGUAGES = ("es",)
_PERCENT = re.compile(r"%(?:\(\w+\))?[sdr]")
"""What argparse's own texts have for words."""
_EVERYWHERE: dict[str, tuple[int, ...]] = {"tr": (0,), "say": (0,), "message": (0,), "trn": (0, 1)}
_TABLES: dict[str, dict[str, tuple[int, ...]]] = {
    "waguard/judge/catalogue.py": {"Entry": (3, 4, 5)},
    "waguard/guard/events.py": {"Kind": (3, 4)},
    "waguard/settings.py": dict.fromkeys(("_argv", "_choice", "_count", "_duration", "_switch", "_text"), (1,)),
}
"""What takes messages, and which of its arguments they are. ``trn``'s are one message in two forms."""


@dataclass
class Message:
    """One message and where it is used, as ``FILE:LINE``."""

    text: str
    plural: Optional[str] = None
    used: list[str] = field(default_factory=list)


class Unfit(Exception):
    """A call whose message cannot be told from the code: an f-string, a name, an expression."""


def messages(paths: Iterable[Path] = ()) -> dict[str, Message]:
    """All messages of the code below ``waguard/``, or of these files, in their order. Raises Unfit."""
    found: dict[str, Message] = {}
    for path in sorted(paths or (TOP / "waguard").rglob("*.py")):
        shown = path.resolve().relative_to(TOP)
        code = path.read_text(encoding="utf-8")
        if "waguard.i18n" not in code and str(shown) not in _TABLES:
            continue
        for line, texts in _calls(list(ast.walk(ast.parse(code))), str(shown)):
            message = found.setdefault(texts[0], Message(texts[0]))
            message.plural = texts[1] if len(texts) > 1 else message.plural
            message.used.append(f"{shown}:{line}")
    return found


def _calls(nodes: list[ast.AST], path: str) -> Iterator[tuple[int, list[str]]]:
    imported = {name.name for node in nodes if isinstance(node, ast.ImportFrom) and node.module == "waguard.i18n"
                for name in node.names}
    places = {**{name: where for name, where in _EVERYWHERE.items() if name in imported}, **_TABLES.get(path, {})}
    for node in nodes:
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in places or path == "waguard/i18n.py":
            continue
        texts = []
        for place in places[name]:
            argument = node.args[place] if place < len(node.args) else None
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                texts.append(argument.value)
            elif name != "tr" or isinstance(argument, ast.JoinedStr):  # tr(module.HELP) shows what was marked elsewhere.
                raise Unfit(f"{path}:{node.lineno}: {name}() takes a plain string")
        if name == "trn":
            yield node.lineno, texts
        else:
            yield from ((node.lineno, [text]) for text in texts if text)


def template(found: dict[str, Message]) -> str:
    """The messages as a .pot file."""
    lines = ['msgid ""', 'msgstr ""', '"Project-Id-Version: waguard\\n"', '"MIME-Version: 1.0\\n"',
             '"Content-Type: text/plain; charset=UTF-8\\n"', '"Content-Transfer-Encoding: 8bit\\n"', ""]
    for message in found.values():
        # Files without lines: a line that moves is no change to a translation.
        lines += [f"#: {' '.join(dict.fromkeys(place.partition(':')[0] for place in message.used))}"]
        flag = "python-brace-format" if "{" in message.text else "python-format" if _PERCENT.search(message.text) else ""
        lines += [f"#, {flag}"] if flag else []
        lines += [f"msgid {_quoted(message.text)}"]
        if message.plural is None:
            lines += ['msgstr ""', ""]
        else:
            lines += [f"msgid_plural {_quoted(message.plural)}", 'msgstr[0] ""', 'msgstr[1] ""', ""]
    return "\n".join(lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t") + '"'


def merged(language: str, others: Iterable[Path], pot: str) -> str:
    """The language's file with the messages of ``pot``, nothing guessed, what is no longer used left out."""
    with tempfile.TemporaryDirectory() as folder:
        source, known = Path(folder, "all.pot"), Path(folder, "known.po")
        source.write_text(pot, encoding="utf-8")
        _run("msgcat", "--force-po", "--use-first", "-o", str(known), str(PO / f"{language}.po"), *map(str, others))
        _run("msgmerge", "--force-po", "--quiet", "--no-fuzzy-matching", "--no-wrap", "-o", str(known), str(known), str(source))
        return _run("msgattrib", "--force-po", "--no-obsolete", "--no-wrap", "--sort-by-file", str(known))


def problems(language: str) -> list[str]:
    """What keeps the language's file from being complete and in step; msgfmt --check sees to the words in braces."""
    path = PO / f"{language}.po"
    found = []
    for option, fault in (("--untranslated", "not translated"), ("--only-fuzzy", "fuzzy"), ("--only-obsolete", "no longer used")):
        found += [f"{path.name}: {fault}: {text}" for text in _ids(_run("msgattrib", option, "--no-wrap", str(path)))]
    has = set(_ids(_run("msgattrib", "--no-obsolete", "--no-wrap", str(path))))
    wanted = set(_ids(template(messages())))
    found += [f"{path.name}: not in the code: {text}" for text in sorted(has - wanted)]
    return found + [f"{path.name}: missing: {text}" for text in sorted(wanted - has)]


def _ids(po: str) -> list[str]:
    """The messages of a .po file, as they stand there; lines are not wrapped but at line ends of their own."""
    found: list[list[str]] = []
    inside = False
    for line in po.splitlines():
        line = line[3:] if line.startswith("#~ ") else line
        if line.startswith("msgid "):
            found.append([line[len("msgid "):]])
            inside = True
        elif inside and line.startswith('"'):
            found[-1].append(line)
        else:
            inside = False
    texts = ["".join(part[1:-1] for part in parts) for parts in found]
    return [text for text in texts if text]


def compile_to(folder: Path) -> None:
    """Every language's .mo below ``folder``, checked: words in braces and forms of a plural are those of the message."""
    for language in LANGUAGES:
        to = folder / language / "LC_MESSAGES" / "waguard.mo"
        to.parent.mkdir(parents=True, exist_ok=True)
        new = to.with_name(f"{to.name}.{os.getpid()}")
        _run("msgfmt", "--check", "-o", str(new), str(PO / f"{language}.po"))
        new.replace(to)


def _run(*argv: str) -> str:
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout.decode()


def main(argv: list[str]) -> int:
    """The program."""
    verb, paths = (argv or ["--help"])[0], [Path(name) for name in argv[1:]]
    try:
        if verb == "update":
            for language in LANGUAGES:
                text = merged(language, paths, template(messages()))
                (PO / f"{language}.po").write_text(text, encoding="utf-8")
        elif verb == "missing":
            with tempfile.TemporaryDirectory() as folder:
                of_all = Path(folder, "all.po")
                for language in LANGUAGES:
                    of_all.write_text(merged(language, (), template(messages(paths))), encoding="utf-8")
                    sys.stdout.write(_run("msgattrib", "--untranslated", "--no-wrap", str(of_all)))
        elif verb == "check":
            wrong = [line for language in LANGUAGES for line in problems(language)]
            sys.stderr.write("".join(f"{line}\n" for line in wrong))
            return 1 if wrong else 0
        elif verb == "compile":
            compile_to(paths[0] if paths else TOP / "waguard" / "locale")
        else:
            sys.stderr.write(__doc__ or "")
            return 2
    except Unfit as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
