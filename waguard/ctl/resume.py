"""``waguardctl resume``: the end of a pause."""

from __future__ import annotations

from typing import Any

from waguard.ctl import common
from waguard.i18n import message

HELP = message("end a pause")
EXAMPLES = ("waguardctl resume",)


def add(parser: Any) -> None:
    """No options of its own."""


def run(args: Any) -> int:
    """Exit status 0: working again; 1: there was no pause."""
    reply = common.order(args, "Resume")
    common.emit(args, reply, common.shown(reply["message"]))
    return 0
