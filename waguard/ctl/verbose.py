"""``waguardctl verbose``: Logs.Verbose for a time."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common, status
from waguard.i18n import message, say, tr

HELP = message("turn Logs.Verbose on for a time; it is put back as it was")
EXAMPLES = ("waguardctl verbose on", "waguardctl verbose on --for 30m", "waguardctl verbose off", "waguardctl verbose status")


def add(parser: Any) -> None:
    parser.add_argument("what", choices=("on", "off", "status"), help=tr("begin a lease, end it, or show it"))
    ends = parser.add_mutually_exclusive_group()
    ends.add_argument("--for", dest="seconds", type=common.parse_duration, metavar="TIME",
                      help=tr("length of the lease, such as 30m or 2h (default: 2h)"))
    ends.add_argument("--forever", action="store_true", help=tr("until it is turned off"))
    parser.add_argument("--no-restart", action="store_true",
                        help=tr("leave the agent alone; it reads the change at its next start"))


def run(args: Any) -> int:
    """Exit status 0: done; 1: refused, and why."""
    if args.what == "status":
        found = common.snapshot(args)
        common.emit(args, found["verbose"], status.verbose(common.tidy(found["verbose"]), found["at"]))
        return 0
    if args.what == "off" and (args.seconds is not None or args.forever):
        raise common.Failure(say("--for and --forever go with 'verbose on'"), code=2)
    reply = common.order(args, "SetVerbose", {"on": args.what == "on", "seconds": args.seconds, "forever": args.forever,
                                              "restart": not args.no_restart})
    common.emit(args, {"message": reply["message"]}, common.shown(reply["message"]), tuple(map(common.plain, reply["warnings"])))
    return 0
