"""``waguardctl restart``: restart the agent, under the guard's own rules."""

from __future__ import annotations

import sys
import time
from typing import Any

from waguard.ctl import common

HELP = "restart the agent under the same guards as waguard's own restarts"
EXAMPLES = ("waguardctl restart", "waguardctl restart --force --no-wait")
_WORDS = {"active": "waiting for the daemon", "handler": "waiting for its handler", "heartbeat": "waiting for a new heartbeat"}


def add(parser: Any) -> None:
    parser.add_argument("--force", action="store_true",
                        help="override ration, pause and gates (never a kernel that holds the agent)")
    parser.add_argument("--no-wait", action="store_true", help="return as soon as it is under way")
    parser.add_argument("--timeout", type=common.parse_duration, default=120.0, metavar="TIME",
                        help="how long to wait for the new heartbeat (default: 2m)")


def run(args: Any) -> int:
    """Exit status 0: under way, or proved when waited for; 1: refused, or not proved in time."""
    reply = common.order(args, "Restart", {"force": args.force})
    if args.no_wait:
        common.emit(args, {"message": reply["message"], "proved": None}, common.plain(reply["message"]))
        return 0
    after = _wait(args)
    daemon = after["agent"]["daemon"]
    common.emit(args, {"message": "the agent works again", "proved": True},
                f"the agent works again as pid {daemon['pid']}" if daemon else "the agent works again")
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
                raise common.Failure(f"the agent was stopped meanwhile: {common.plain(agent['rests']['detail'])}",
                                     "waguardctl status; waguardctl events")
        word = _WORDS.get(check["stage"], "") if check else "restarting"
        if not args.json and word != told and sys.stderr.isatty():
            print(f"{word} …", file=sys.stderr)
            told = word
        if time.monotonic() > until:
            raise common.Failure(f"the agent was restarted but is not proved to work yet: {word}",
                                 "waguardctl status; waguardctl events")
