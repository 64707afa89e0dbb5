"""``waguardctl doctor``: a fresh look at everything that could make a backup fail."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from waguard.ctl import common
from waguard.ctl.common import clock, paint, shown
from waguard.i18n import message, say, tr

HELP = message("look at everything afresh, and say what would make a backup fail and what to type next")
EXAMPLES = ("waguardctl doctor", "waguardctl doctor --local", "waguardctl doctor --json | jq .result.backup")
CAUSES = {
    1: message("Cause 1: the VM cannot reach what it needs"),
    2: message("Cause 2: the agent does not work, is out of date or is misconfigured"),
    3: message("Cause 3: the backup extension cannot be loaded or updated"),
    4: message("Cause 4: the snapshot cannot be taken, or its status is not reported"),
    0: message("Beside the causes of the article"),
}
_COLOURS = {"critical": "red", "warning": "yellow", "info": "blue"}
_TIMEOUT = 120.0


def add(parser: Any) -> None:
    parser.add_argument("--local", action="store_true", help=tr("without a guard: look from here, as the user you are"))
    parser.add_argument("--all", action="store_true",
                        help=tr("show also what cannot be seen from inside a VM, and where to look"))


def run(args: Any) -> int:
    """Exit status 0: nothing found; 2: findings of severity warning or critical; 1: could not look."""
    progress = _Progress()
    try:
        diagnosis = _local(progress) if args.local else _asked(args, progress)
    finally:
        progress.clear()
    common.emit(args, diagnosis, render(diagnosis, args.all))
    return 2 if any(finding["severity"] in ("warning", "critical") for finding in diagnosis["findings"]) else 0


def _asked(args: Any, progress: Any) -> dict[str, Any]:
    found = None
    # Who may give orders is looked for anew, as after a repair; all others may get a diagnosis that is seconds old.
    socket = "control" if os.access(os.path.join(args.run_dir, "control"), os.W_OK) else "status"
    for reply in common.stream(args, "Diagnose", {}, _TIMEOUT, socket):
        if reply.get("diagnosis") is not None:
            found = reply["diagnosis"]
        elif reply.get("progress"):
            progress(str(reply["progress"]))
    if not isinstance(found, dict):
        raise common.unusable(say("it has no diagnosis"))
    return found


def _local(progress: Any) -> dict[str, Any]:
    from waguard.doctor import local
    from waguard.settings import SettingsError

    try:
        return local.diagnose(progress)
    except SettingsError as error:
        raise common.Failure(str(error), "waguardctl config check") from error


class _Progress:
    """One line that is written over, on a terminal only."""

    def __init__(self) -> None:
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._began = time.monotonic()

    def __call__(self, title: str) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K" + tr("looking at {said_title} ...", said_title=shown(title)))
            sys.stderr.flush()

    def clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def render(diagnosis: dict[str, Any], everything: bool = False) -> str:
    """The screen: the verdict first, then findings by the article's causes, the likeliest first, then each part in a line."""
    told = common.tidy(diagnosis)
    lines = [_headline(told["backup"]), *_reasons(told["backup"])]
    for cause in _in_order(told["findings"]):
        lines += ["", paint(tr(CAUSES[cause]) if cause in CAUSES else tr("Cause {number}", number=cause), "bold")]
        lines += [_finding(finding, told["at"]) for finding in told["findings"] if finding["cause"] == cause]
    lines += ["", paint(tr("Looked at"), "bold"), *_parts(told["parts"])]
    if everything or told["backup"]["ready"] is False:
        lines += ["", paint(tr("Cannot be seen from inside a VM"), "bold")]
        lines += [f"  {shown(one['what'])}\n      {paint('→', 'dim')} {shown(one['step'])}" for one in told["beyond"]]
    if not told["privileged"]:
        lines += ["", paint(tr("Looked at without root: much could not be told."), "yellow")]
    return "\n".join(lines)


def _headline(backup: dict[str, Any]) -> str:
    words, colour = {True: (tr("backup ready"), "green"), False: (tr("backup not ready"), "red"),
                     None: (tr("backup unknown"), "yellow")}[backup["ready"]]
    return f"{paint(f'● {words}', colour)}  {paint(shown(backup['says']), 'bold')}"


def _reasons(backup: dict[str, Any]) -> list[str]:
    broken, unknown = tr("broken link"), tr("not known")
    width = max(len(broken), len(unknown))
    link = [(broken, backup["link"])] if backup["link"] and backup["ready"] is False else []
    return [f"  {paint(name, 'dim')}{' ' * (width - len(name))}  {shown(said)}"
            for name, said in (*link, *((unknown, reason) for reason in backup["unknowns"]))]


def _in_order(findings: list[dict[str, Any]]) -> list[int]:
    """Causes in the order of their first finding; the findings come gravest first."""
    return list(dict.fromkeys(finding["cause"] for finding in findings))


def _finding(finding: dict[str, Any], now: float) -> str:
    level = paint(common.level(finding["severity"], aligned=True), _COLOURS.get(finding["severity"], "yellow"))
    since = "" if finding["since"] is None else "  " + paint(tr("since {when}", when=clock(finding["since"], now)), "dim")
    indent = " " * (common.level_width() + 4)
    return f"  {level}  {paint(finding['id'], 'bold')}: {shown(finding['summary'])}{since}\n" \
           f"{indent}{shown(finding['evidence'])}\n{indent}{paint('→', 'dim')} {shown(finding['remedy'])}"


def _parts(parts: list[dict[str, Any]]) -> list[str]:
    marks = {True: paint("✓", "green"), False: paint("✗", "red"), None: paint("?", "yellow")}
    width = max((len(shown(part["title"])) for part in parts), default=0)
    return [f"  {marks[part['ok']]} {shown(part['title']).ljust(width)}  {shown(part['says'])}" for part in parts]
