"""``waguardctl autorestart``: have systemd restart the agent by itself, with or without waguard."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common
from waguard.i18n import message, say, tr

HELP = message("have systemd itself restart the agent when it ends (a drop-in with Restart=always)")
EXAMPLES = ("waguardctl autorestart status", "waguardctl autorestart enable", "waguardctl autorestart disable")


def add(parser: Any) -> None:
    parser.add_argument("what", choices=("status", "enable", "disable"),
                        help=tr("what systemd does when the agent ends; or write the drop-in, or remove it"))
    parser.add_argument("--settings-dir", default="/etc/waguard", metavar="DIR",
                        help=tr("where the settings are (default: %(default)s)"))
    parser.add_argument("--unit-dir", default="/etc/systemd/system", metavar="DIR",
                        help=tr("where the drop-in's folder is (default: %(default)s)"))


def run(args: Any) -> int:
    """Exit status 0: done, or nothing was to be done; 1: it could not be."""
    from waguard.act import dropin

    try:
        return _run(args)
    except dropin.Refused as error:
        raise common.Failure(common.plain(error), common.plain(error.hint)) from None


def _run(args: Any) -> int:
    from pathlib import Path

    from waguard.act import dropin
    from waguard.act.service import service_name

    directory = Path(args.unit_dir)
    names = service_name(_unit(args.settings_dir))
    found = dropin.look(names, directory)
    changed = False
    if args.what != "status":
        act = dropin.write if args.what == "enable" else dropin.remove
        changed = act(found.unit, directory)
        if changed or found.stale:
            dropin.reload()
            found = dropin.look(names, directory)
    path = dropin.path_of(found.unit, directory)
    enabled = dropin.ours(path) is True
    warnings = _warnings(found, enabled)
    result = {"unit": found.unit, "restart": found.restart, "delay": found.delay if found.delay < 1e9 else None,
              "source": found.source or None, "by": found.by, "enabled": enabled, "path": str(path), "changed": changed}
    done = ""
    if changed:
        done = (tr("{path}: written; the agent was not restarted", path=path) if args.what == "enable" else
                tr("{path}: removed; the agent was not restarted", path=path)) + "\n"
    common.emit(args, result, done + common.plain(_says(found)), warnings)
    return 0


def _unit(directory: str) -> str:
    from pathlib import Path

    from waguard import settings

    try:
        return settings.load(Path(directory)).agent.unit
    except settings.SettingsError as error:
        raise common.Failure(common.plain(error), "waguardctl config check") from None


def _says(found: Any) -> str:
    whose = {"waguard": message("by waguard's drop-in {path}"), "unit": message("by the unit itself, {path}"),
             "drop-in": message("by a drop-in that is not waguard's, {path}"), "default": message("by systemd's default")}
    by = tr(whose[found.by], path=found.source)
    if found.restart == "no":
        return tr("{unit}: systemd does not restart the agent (Restart=no, {said_by})", unit=found.unit, said_by=by)
    return tr("{unit}: systemd restarts the agent (Restart={restart} after {delay:g} s, {said_by})", unit=found.unit,
              restart=found.restart, delay=found.delay, said_by=by)


def _warnings(found: Any, enabled: bool) -> tuple[str, ...]:
    warnings = []
    if enabled and found.by != "waguard" and not found.stale:
        warnings.append(say("waguard's drop-in is overridden by {path}", path=common.plain(found.source)) if found.source else
                        say("waguard's drop-in is overridden by another file"))
    if found.stale:
        warnings.append(say("systemd has not read all its files yet: systemctl daemon-reload"))
    if found.masked:
        warnings.append(say("{unit} is masked: it is not started at all", unit=common.plain(found.unit)))
    return tuple(warnings)
