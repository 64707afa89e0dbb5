"""``waguardctl pause``: maintenance mode."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common
from waguard.i18n import message, tr

HELP = message("maintenance: watch and report, but start and restart nothing")
EXAMPLES = ("waguardctl pause --for 1h", "waguardctl pause", "waguardctl resume")


def add(parser: Any) -> None:
    parser.add_argument("--for", dest="seconds", type=common.parse_duration, metavar="TIME",
                        help=tr("length of the pause, such as 1h (default: until waguardctl resume)"))


def run(args: Any) -> int:
    """Exit status 0: paused; 1: refused."""
    reply = common.order(args, "Pause", {"seconds": args.seconds})
    common.emit(args, reply, common.shown(reply["message"]))
    return 0
