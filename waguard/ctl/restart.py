"""``waguardctl restart``: restart the agent, under the guard's own rules."""

from __future__ import annotations

import sys
import time
from typing import Any

from waguard.ctl import common
from waguard.i18n import message, say, tr

HELP = message("restart the agent under the same guards as waguard's own restarts")
EXAMPLES = ("waguardctl restart", "waguardctl restart --force --no-wait")
_WORDS = {"active": message("waiting for the daemon"), "handler": message("waiting for its handler"),
          "heartbeat": message("waiting for a new heartbeat")}


def add(parser: Any) -> None:
    parser.add_argument("--force", action="store_true",
                        help=tr("override ration, pause and gates (never a kernel that holds the agent)"))
    parser.add_argument("--no-wait", action="store_true", help=tr("return as soon as it is under way"))
    parser.add_argument("--timeout", type=common.parse_duration, default=120.0, metavar="TIME",
                        help=tr("how long to wait for the new heartbeat (default: 2m)"))


def run(args: Any) -> int:
    """Exit status 0: under way, or proved when waited for; 1: refused, or not proved in time."""
    reply = common.order(args, "Restart", {"force": args.force})
    if args.no_wait:
        common.emit(args, {"message": reply["message"], "proved": None}, common.shown(reply["message"]))
        return 0
    after = _wait(args)
    daemon = after["agent"]["daemon"]
    common.emit(args, {"message": say("the agent works again"), "proved": True},
                tr("the agent works again as pid {pid}", pid=daemon["pid"]) if daemon else tr("the agent works again"))
    return 0


def _wait(args: Any) -> dict[str, Any]:
    """Until the restart is proved by a new heartbeat. Raises Failure."""
    until, told = time.monotonic() + args.timeout, ""
    while True:
        time.sleep(0.3)
        found = common.snapshot(args)
        policy = found["policy"]
        check, agent = policy["verifying"], found["agent"]
        if check is None and policy["pending_restart"] is None:
            if agent["state"] in ("running", "busy"):
                return found
            if agent["state"] == "resting":
                raise common.Failure(say("the agent was stopped meanwhile: {said_why}",
                                         said_why=common.plain(agent["rests"]["detail"])),
                                     "waguardctl status; waguardctl events")
        word = _WORDS.get(check["stage"], "") if check else message("restarting")
        if not args.json and word != told and sys.stderr.isatty():
            print(f"{tr(word)} …", file=sys.stderr)
            told = word
        if time.monotonic() > until:
            raise common.Failure(say("the agent was restarted but is not proved to work yet: {said_stage}", said_stage=word),
                                 "waguardctl status; waguardctl events")
