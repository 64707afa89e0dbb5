"""A life's exposition, made by waguard's own waguard/exporter/metrics.py.

To render one takes milliseconds, and five thousand each half a minute would leave Prometheus no CPU. So it is rendered when
something has happened, and in between only the numbers that move are put in their places. tests/unit/test_bench_fleet.py checks
that both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Optional

from bench.fleet.life import OBSERVERS, Life, Moving
from waguard import __version__
from waguard.exporter import metrics

_SERIES: Mapping[tuple[str, ...], str] = {
    ("agent", "daemon", "cpu_seconds"): 'waguard_agent_cpu_seconds_total{process="daemon"}',
    ("agent", "handler", "cpu_seconds"): 'waguard_agent_cpu_seconds_total{process="handler"}',
    ("agent", "handler", "resident_bytes"): 'waguard_agent_resident_memory_bytes{process="handler"}',
    ("agent", "heartbeat", "at"): "waguard_agent_heartbeat_timestamp_seconds",
    ("counters", "log_records", "waagent", "INFO"): 'waguard_log_records_total{level="INFO",source="waagent"}',
    ("probes", "wireserver", "duration"): 'waguard_probe_duration_seconds{target="wireserver"}',
    **{("observers", name, "duration"): f'waguard_observer_duration_seconds{{observer="{name}"}}' for name in OBSERVERS},
    **{("observers", name, "last_success"): f'waguard_observer_last_success_timestamp_seconds{{observer="{name}"}}'
       for name in OBSERVERS},
}
"""Place in the snapshot to series. Only where the exposition shows the number as it is."""


class Body:
    """Rendered for one generation of a life; ``fill`` puts the numbers of a moment in."""

    def __init__(self, text: str, moving: Moving) -> None:
        holes = []
        for path in moving:
            start = text.index(f"\n{_SERIES[path]} ") + len(_SERIES[path]) + 2
            holes.append((start, text.index("\n", start), path))
        self._parts: list[bytes] = []
        self._paths: list[tuple[str, ...]] = []
        end = 0
        for start, after, path in sorted(holes):
            self._parts.append(text[end:start].encode())
            self._paths.append(path)
            end = after
        self._rest = text[end:].encode()
        self.series = sum(1 for line in text.splitlines() if line and not line.startswith("#"))

    def fill(self, moving: Moving) -> bytes:
        filled: list[bytes] = []
        for part, path in zip(self._parts, self._paths):
            filled += (part, metrics._utils.floatToGoString(moving[path]).encode())
        return b"".join((*filled, self._rest))


class Exposition:
    """Of one life, kept for as long as it can be."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._key: Optional[tuple[int, str]] = None
        self._body = Body("", {})
        self._kind = ""

    @property
    def series(self) -> int:
        """Of the last one."""
        return self._body.series

    def at(self, now: float, accept: str) -> tuple[bytes, str]:
        """The exposition, and its content type, that a scrape at this moment gets."""
        self.life.at(now)
        key = (self.life.generation, accept)
        moving = self.life.moving()
        if key != self._key:
            rendered, self._kind = metrics.render(self.life.snapshot(), accept)
            text = rendered.decode().replace(f'waguard_build_info{{version="{__version__}"}}',
                                             f'waguard_build_info{{version="{self.life.release}"}}', 1)
            self._body, self._key = Body(text, moving), key
        return self._body.fill(moving), self._kind
