"""``waguardctl metrics``: the exposition, printed, or put where node_exporter's textfile collector reads it."""

from __future__ import annotations

import sys
from typing import Any, Optional

from waguard.ctl import common
from waguard.i18n import message, tr

HELP = message("the Prometheus exposition, for node_exporter's textfile collector")
EXAMPLES = ("waguardctl metrics", "waguardctl metrics --textfile", "waguardctl metrics --textfile /srv/collector")


def add(parser: Any) -> None:
    parser.add_argument("--textfile", nargs="?", const="", metavar="DIR|FILE",
                        help=tr("write it, whole or not at all, into this directory (as waguard.prom) or this file instead of"
                                " printing it; without a name: into the directory that node_exporter of this machine reads."
                                " waguard-textfile.timer does so every 30 s once it is enabled"))


def run(args: Any) -> int:
    """Exit status 0, also when the guard is gone: then waguard_guard_up is 0. 1: the file could not be written."""
    from waguard.exporter import metrics

    found: Optional[dict[str, Any]] = None
    trouble = ""
    place = None if args.textfile is None else _place(args.textfile)
    try:
        found = common.snapshot(args)
    except common.Failure as error:
        trouble = str(error)
    body = metrics.render(found)[0]
    if place is None:
        if trouble:
            print(f"waguardctl: {common.shown(trouble)}", file=sys.stderr)
        text = body.decode("utf-8")
        common.emit(args, text, text.rstrip("\n"))
        return 0
    _write(place, body)
    result = {"path": place.path, "found": place.found, "guard": found is not None}
    text = tr("{path}: written ({said_found})", path=common.plain(place.path), said_found=common.shown(place.found))
    if trouble:
        text += "\n" + tr("{said_trouble}: it says waguard_guard_up 0", said_trouble=common.shown(trouble))
    common.emit(args, result, text)
    return 0


def _place(named: str) -> Any:
    from waguard.ctl import textfile

    try:
        return textfile.named(named) if named else textfile.find()
    except textfile.Unusable as error:
        raise common.Failure(common.plain(error), common.plain(error.hint)) from None


def _write(place: Any, body: bytes) -> None:
    from waguard.ctl import textfile

    try:
        textfile.write(place, body)
    except textfile.Unusable as error:
        raise common.Failure(common.plain(error), common.plain(error.hint)) from None
