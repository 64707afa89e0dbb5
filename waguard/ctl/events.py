"""``waguardctl events``: the history of what was seen and done."""

from __future__ import annotations

import json
import time
from typing import Any

from waguard.ctl import common
from waguard.i18n import message, say, tr

HELP = message("the history of what was seen and done")
EXAMPLES = ("waguardctl events", "waguardctl events --since 1d", "waguardctl events --follow")


def add(parser: Any) -> None:
    parser.add_argument("--since", type=common.parse_duration, metavar="TIME",
                        help=tr("only events of the last TIME, such as 1d"))
    parser.add_argument("-n", "--last", type=int, metavar="N", help=tr("only the last N events (default: 50 without --since)"))
    parser.add_argument("-f", "--follow", action="store_true", help=tr("go on with new events as they happen"))


def run(args: Any) -> int:
    """Exit status 0; 1: the guard did not answer."""
    if args.last is not None and args.last < 0:
        raise common.Failure(say("--last takes a number from 0 on"), code=2)
    parameters: dict[str, Any] = {"last": args.last if args.last is not None or args.since else 50}
    if args.since is not None:
        parameters["since"] = time.time() - args.since
    if args.follow:
        return _follow(args, parameters)
    events = common.read(args, "GetEvents", parameters)["events"]
    common.emit(args, events, "\n".join(_line(event) for event in events) or tr("no events"))
    return 0


def _follow(args: Any, parameters: dict[str, Any]) -> int:
    """With --json one object a line, without the envelope: a stream has no end to close it at."""
    try:
        for reply in common.stream(args, "GetEvents", {**parameters, "follow": True}, timeout=None):
            for event in reply["events"]:
                print(json.dumps(event) if args.json else _line(event), flush=True)
    except KeyboardInterrupt:
        pass
    return 0


def _line(event: dict[str, Any]) -> str:
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    return f"{common.paint(at, 'dim')}  {common.plain(event['id']):<19}  {common.shown(event['message'])}"
