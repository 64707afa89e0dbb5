"""``waguardctl autorestart``: have systemd restart the agent by itself, with or without waguard."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common

HELP = "have systemd itself restart the agent when it ends (a drop-in with Restart=always)"
EXAMPLES = ("waguardctl autorestart status", "waguardctl autorestart enable", "waguardctl autorestart disable")


def add(parser: Any) -> None:
    parser.add_argument("what", choices=("status", "enable", "disable"),
                        help="what systemd does when the agent ends; or write the drop-in, or remove it")
    parser.add_argument("--settings-dir", default="/etc/waguard", metavar="DIR",
                        help="where the settings are (default: %(default)s)")
    parser.add_argument("--unit-dir", default="/etc/systemd/system", metavar="DIR",
                        help="where the drop-in's folder is (default: %(default)s)")


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
    done = {"enable": "written", "disable": "removed"}.get(args.what, "") if changed else ""
    result = {"unit": found.unit, "restart": found.restart, "delay": found.delay if found.delay < 1e9 else None,
              "source": found.source or None, "by": found.by, "enabled": enabled, "path": str(path), "changed": changed}
    text = (f"{path}: {done}; the agent was not restarted\n" if done else "") + common.plain(_says(found))
    common.emit(args, result, text, warnings)
    return 0


def _unit(directory: str) -> str:
    from pathlib import Path

    from waguard import settings

    try:
        return settings.load(Path(directory)).agent.unit
    except settings.SettingsError as error:
        raise common.Failure(common.plain(error), "waguardctl config check") from None


def _says(found: Any) -> str:
    whose = {"waguard": f"by waguard's drop-in {found.source}", "unit": f"by the unit itself, {found.source}",
             "drop-in": f"by a drop-in that is not waguard's, {found.source}", "default": "by systemd's default"}[found.by]
    if found.restart == "no":
        return f"{found.unit}: systemd does not restart the agent (Restart=no, {whose})"
    return f"{found.unit}: systemd restarts the agent (Restart={found.restart} after {found.delay:g} s, {whose})"


def _warnings(found: Any, enabled: bool) -> tuple[str, ...]:
    warnings = []
    if enabled and found.by != "waguard" and not found.stale:
        warnings.append(f"waguard's drop-in is overridden by {common.plain(found.source or 'another file')}")
    if found.stale:
        warnings.append("systemd has not read all its files yet: systemctl daemon-reload")
    if found.masked:
        warnings.append(f"{common.plain(found.unit)} is masked: it is not started at all")
    return tuple(warnings)
