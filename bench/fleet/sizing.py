"""What follows from a measurement for fleets that do not fit this machine. Pure; every rule of thumb has its source beside it.

Series and samples grow with VMs, and memory and disk with those. The time of the rules is scaled by VMs too, from the largest
run, though it has been seen to grow faster (the page says how much): beyond twice the largest run it is a guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

DAY = 86400
SHARD_MEMORY = 16 << 30
"""Bytes of memory of the machine that a shard is planned for."""
SHARD_FILLED = 0.5
"""Share of it that the head may take: the rest is for queries, the compaction every two hours, and the replay of the log after a
crash."""
SHARD_STEP = 1000
MIMIR_REPLICAS = 3
"""Default of -ingester.ring.replication-factor."""
MIMIR_SAMPLES = 25_000
"""Samples a second that a core and 1 GB of a distributor take. This and all other figures of Mimir, without its extra of 50 % for
peaks: grafana/mimir, docs/sources/mimir/manage/run-production-environment/planning-capacity.md."""
MIMIR_SERIES = 300_000
"""Series in memory that a core, 2.5 GB of memory and 5 GB of disk of an ingester take."""
MIMIR_COMPACTED = 20_000_000
"""Series a compactor: 1 core, 4 GB of memory, 300 GB of disk."""
MIMIR_STORE = 13e9 / 1e6
"""Bytes of disk of the store-gateways for each series: for a year, at a scrape interval of 15 s."""
THANOS_DOWNSAMPLED = 3
"""Raw and both downsampled resolutions together take about three times the raw blocks: thanos-io/thanos,
docs/components/compact.md."""


class Ratios(NamedTuple):
    """Of the largest run."""

    series_per_vm: float
    memory_per_series: float
    bytes_per_sample: float
    wal_bytes_per_sample: float
    cpu_per_sample: float
    """CPU seconds, rules included."""
    rules_per_vm: float
    """Seconds for one evaluation of all groups, one after the other."""
    rules_share_per_vm: float
    """Of the group that is nearest to missing its interval: groups are evaluated side by side."""


class Fleet(NamedTuple):
    """A fleet of ``vms`` at a scrape interval. Totals, unless said otherwise; sizes in bytes."""

    vms: int
    interval: int
    series: int
    samples_per_second: float
    shards: int
    vms_per_shard: int
    memory_per_shard: float
    cores_per_shard: float
    rules_share: float
    """Part of its interval that a shard takes for its slowest group of rules."""
    disk_15d_per_shard: float
    disk_15d: float
    stored_1y: float
    stored_1y_thanos: float


class Mimir(NamedTuple):
    """Sums over all instances of a part; sizes in bytes."""

    distributor_cores: float
    ingester_series: int
    ingester_cores: float
    ingester_memory: float
    ingester_disk: float
    store_disk: float
    compactors: int


def ratios(result: Mapping[str, Any]) -> Ratios:
    largest = max(result["runs"], key=lambda run: int(run["targets"]))
    rules = largest["rules"]["groups"]
    return Ratios(
        largest["series_per_target"], largest["resident_bytes"] / largest["head_series"], result["disk"]["bytes_per_sample"],
        largest["wal_bytes_per_sample"], largest["cpu_seconds_per_second"] / largest["samples_per_second"],
        sum(group["seconds"] for group in rules) / largest["targets"],
        max(group["seconds"] / group["interval"] for group in rules) / largest["targets"])


def vms_per_shard(known: Ratios) -> int:
    """The most that a shard should have, in whole thousands."""
    fits = SHARD_MEMORY * SHARD_FILLED / (known.memory_per_series * known.series_per_vm)
    return max(SHARD_STEP, int(fits // SHARD_STEP * SHARD_STEP))


def fleet(known: Ratios, vms: int, interval: int) -> Fleet:
    series = round(vms * known.series_per_vm)
    samples = series / interval
    shards = math.ceil(vms / vms_per_shard(known))
    each = math.ceil(vms / shards)
    day = samples * known.bytes_per_sample * DAY
    log = 3 * 3600 * samples * known.wal_bytes_per_sample
    return Fleet(vms, interval, series, samples, shards, each, known.memory_per_series * series / shards,
                 known.cpu_per_sample * samples / shards, known.rules_share_per_vm * each,
                 (15 * day + log) / shards, 15 * day + log, 365 * day, 365 * day * THANOS_DOWNSAMPLED)


def mimir(of: Fleet) -> Mimir:
    held = of.series * MIMIR_REPLICAS
    units = held / MIMIR_SERIES
    return Mimir(of.samples_per_second / MIMIR_SAMPLES, held, units, units * 2.5e9, units * 5e9,
                 of.series * MIMIR_STORE * 15 / of.interval, math.ceil(of.series / MIMIR_COMPACTED))
