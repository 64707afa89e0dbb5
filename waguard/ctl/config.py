"""``waguardctl config``: waguard's own settings."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common
from waguard.i18n import message, say, tr

HELP = message("waguard's own settings: show or check them")
EXAMPLES = ("waguardctl config show --origin", "waguardctl config check", "waguardctl config check --settings-dir ./etc")


def add(parser: Any) -> None:
    parser.add_argument("what", choices=("show", "check"), help=tr("the settings in the files, or whether the files are good"))
    parser.add_argument("--origin", action="store_true", help=tr("say where each value comes from"))
    parser.add_argument("--help-text", action="store_true", help=tr("say what each setting is for"))
    parser.add_argument("--settings-dir", default="/etc/waguard", metavar="DIR",
                        help=tr("where the settings are (default: %(default)s)"))


def run(args: Any) -> int:
    """Exit status 0: the files are good; 1: they are not."""
    from pathlib import Path  # costs more than all of status

    from waguard import settings

    try:
        loaded = settings.load(Path(args.settings_dir))
    except settings.SettingsError as error:
        problems = [vars(problem) for problem in error.problems]
        common.emit(args, {"valid": False, "problems": problems}, "\n".join(
            common.plain(f"{one.file}:{one.line}: ") + common.shown(one.message) for one in error.problems))
        if args.json:
            return 1
        raise common.Failure(say("{count} problems in the settings", count=len(problems)) if len(problems) > 1 else
                             say("1 problem in the settings"), say("a running guard keeps its last good ones")) from None
    if args.what == "check":
        common.emit(args, {"valid": True, "problems": []}, tr("{path}: good", path=args.settings_dir))
        return 0
    found = [{"name": name, "value": settings.show_value(value, rules), "origin": origin, "help": rules["help"]}
             for name, value, origin, rules in loaded.items()]
    common.emit(args, found, _yaml(found, args.origin, args.help_text))
    return 0


def _yaml(found: list[dict[str, Any]], origin: bool, help_text: bool) -> str:
    """As one would write it into waguard.yaml."""
    lines, section = [], ""
    for setting in found:
        head, _, key = setting["name"].partition(".")
        if head != section:
            lines.append(f"{head}:")
            section = head
        if help_text:
            lines.append(f"  # {common.shown(setting['help'])}")
        line = f"  {key}: {written(setting['value'])}"
        where = tr("default") if setting["origin"] == "default" else setting["origin"]
        lines.append(f"{line.ljust(44)}  {common.paint('# ' + where, 'dim')}" if origin else line)
    return "\n".join(lines)


def written(value: Any) -> str:
    """A value, as settings.show_value has it, in YAML."""
    if isinstance(value, list):
        return f"[{', '.join(_quoted(word) for word in value)}]"
    return str(value).lower() if isinstance(value, bool) else _quoted(str(value))


def _quoted(word: str) -> str:
    plain = word and not any(char in word for char in "{}[],&*#?|<>=!%@:`\"'\\") and word.strip() == word and word[0] != "-"
    return word if plain else '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'
