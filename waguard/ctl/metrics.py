"""``waguardctl metrics``: the exposition, for the textfile collector."""

from __future__ import annotations

import sys
from typing import Any

from waguard.ctl import common

HELP = "the Prometheus exposition, for node_exporter's textfile collector"
EXAMPLES = ("waguardctl metrics", "waguardctl metrics > /var/lib/prometheus/node-exporter/waguard.prom.new && "
            "mv /var/lib/prometheus/node-exporter/waguard.prom.new /var/lib/prometheus/node-exporter/waguard.prom")


def add(parser: Any) -> None:
    """No options of its own."""


def run(args: Any) -> int:
    """Exit status 0, also when the guard is gone: then waguard_guard_up is 0."""
    from waguard.exporter import metrics

    try:
        found = common.snapshot(args)
    except common.Failure as error:
        print(f"waguardctl: {error}", file=sys.stderr)
        found = None
    text = metrics.render(found)[0].decode("utf-8")
    common.emit(args, text, text.rstrip("\n"))
    return 0
