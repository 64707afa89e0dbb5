"""docs/fleet.md out of a result. The same result gives the same text; another one gives the same text but for the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.fleet import sizing

Result = Mapping[str, Any]
SIZES = (10_000, 100_000)
INTERVALS = (60, 30)

_TOP = """\
<!-- Made by: make fleet (python3 -m bench.fleet --render) -->
# waguard in a fleet

What Prometheus needs for many VMs with waguard: measured on one machine, and what follows from it for 10,000 and 100,000
VMs. The configuration that goes with it is in [monitoring/fleet](../monitoring/fleet/README.md).

## Measured

Measured on {made} on a machine with {cpus} CPUs and {memory} of memory, which Prometheus {prometheus} shared with the
simulator. The simulator is one process that answers for all VMs with waguard's own exposition (OpenMetrics, gzip): each VM
has a life of its own with 1 to 10 extensions, agents crash, hang and come back, findings come and go, guards are gone for a
while, and some targets answer too late, hang up, or are not there at all. The rules are those of `monitoring/`: {rules} in
{groups} groups.

{runs}

- Memory is resident memory at its highest; the live heap is what Go's collector left of it at its lowest towards the end.
- After minutes the head holds all series, but not yet the samples of two hours. Those add a chunk of 120 samples a series,
  about {chunk} by the size on disk below, and what is older lies in files; the sizing fills only half of a machine.
- The rules look back over minutes, so a run of minutes shows their cost. Times of rules are medians of the evaluations seen,
  by the clock: what else the machine had to do ("everything else") is in them. The share of the interval is that of the
  group which takes the most of its own; a group beyond 100 % would miss evaluations.
- Bytes a sample on disk: blocks that `promtool tsdb create-blocks-from openmetrics` made of {disk_vms} VMs over
  {disk_hours} hours at {disk_interval} s, index included, {disk_samples} samples in {disk_bytes}: **{disk_ratio} bytes a
  sample**.

### Rules

One evaluation of each group: the median, and the slowest in brackets.

{rule_table}

From the smallest run to the largest there were {more_vms} times the targets. CPU of Prometheus grew {more_cpu} times, the time
of all rules by the clock {more_rules} times: on few CPUs groups also wait for each other and for scrapes. Why it is just that
much was not looked into. Measure a shard of more VMs than were measured here before you rely on it.

## Ratios

{ratios}

They are ratios of this run. Times of another machine are other times; series and bytes are not.

## Sizing

A shard is a Prometheus that scrapes a part of the VMs (`hashmod`). It is planned for a machine with {shard_memory} of
memory of which the head takes half at most: the rest is for queries, the compaction every two hours, and the replay of the
log after a crash. That makes **{vms_per_shard} VMs a shard** at most. For availability run each shard twice, as replicas
`a` and `b`; the table counts one.

{sizing}

- Rules' share: of the slowest group, as the measured machine would take, scaled by VMs; see above for how far that can be
  trusted. Beyond half, plan smaller shards or a longer interval for that group.
- Disk a shard: 15 days of blocks and three hours of the write-ahead log.
- One year: raw samples in object storage, one replica. Thanos' compactor makes two downsampled resolutions of it, which
  take about three times the raw blocks together (Thanos, compact.md) and make long ranges quick.
- 60 s is enough for every alert: the shortest waits five minutes.

### Mimir

With `remote_write` instead of blocks in object storage the shards keep hours, not days (`--storage.tsdb.retention.time=6h`),
and Mimir holds the rest. By its own planning guide (planning-capacity.md; minimum,
to which it wants 50 % of memory and disk added), with three replicas of each series:

{mimir}

Queries are not counted: queriers, query-frontends and store-gateways grow with those who look. Defaults of Mimir that are
too low for this fleet are raised in [mimir.yml](../monitoring/fleet/mimir.yml).

## Where rules run

Alerts of one VM need nothing but its own series: they run in the shard, and go on when everything behind it is gone. The
recording rules of `monitoring/rules.yml` are sums over the fleet: they run once, in Thanos' or Mimir's ruler, over all
shards.

## Again

```
make fleet
```

It takes about {minutes} minutes and both CPUs, listens on loopback only, ends Prometheus at 8 GiB, and writes
`bench/fleet/result.json` and this page.
"""


def render(result: Result) -> str:
    """The page. Raises LookupError for a result of another shape."""
    runs, known, disk = result["runs"], sizing.ratios(result), result["disk"]
    groups = runs[0]["rules"]["groups"]
    machine = result["machine"]
    small, large = min(runs, key=_targets), max(runs, key=_targets)
    return _TOP.format(
        made=result["made"], cpus=machine["cpus"], memory=_size(machine["memory"]), prometheus=machine["prometheus"],
        rules=sum(group["rules"] for group in groups), groups=len(groups), runs=_runs(runs), rule_table=_rules(runs),
        more_vms=f"{_targets(large) / _targets(small):.1f}", more_rules=f"{_together(large) / _together(small):.1f}",
        more_cpu=f"{large['cpu_seconds_per_second'] / small['cpu_seconds_per_second']:.1f}",
        ratios=_ratios(known), chunk=_size(120 * disk["bytes_per_sample"]),
        disk_vms=disk["vms"], disk_hours=disk["hours"], disk_interval=disk["interval"], disk_samples=_count(disk["samples"]),
        disk_bytes=_size(disk["bytes"]), disk_ratio=f"{disk['bytes_per_sample']:.2f}", shard_memory=_size(sizing.SHARD_MEMORY),
        vms_per_shard=_count(sizing.vms_per_shard(known)), sizing=_sizing(known), mimir=_mimir(known),
        minutes=round(sum(run["seconds"] + 2 * run["interval"] for run in runs) / 60) + 3)


def _targets(run: Mapping[str, Any]) -> int:
    return int(run["targets"])


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        ("Targets", [_count(run["targets"]) for run in runs]),
        ("of which answer", [_count(run["up"]) for run in runs]),
        ("Scrape interval", [f"{run['interval']} s" for run in runs]),
        ("Measured for", [f"{run['seconds']} s" for run in runs]),
        ("Series a target, mean", [f"{run['series_per_target']:.1f}" for run in runs]),
        ("Series a target, most", [_count(run["series_per_target_most"]) for run in runs]),
        ("Series in the head", [_count(run["head_series"]) for run in runs]),
        ("Memory, resident", [_size(run["resident_bytes"]) for run in runs]),
        ("Memory, live heap", [_size(run["live_heap_bytes"]) for run in runs]),
        ("Resident a series", [_size(run["resident_bytes"] / run["head_series"]) for run in runs]),
        ("Resident a VM", [_size(run["resident_bytes"] / run["targets"]) for run in runs]),
        ("Samples a second", [_count(run["samples_per_second"]) for run in runs]),
        ("CPU of Prometheus, cores", [f"{run['cpu_seconds_per_second']:.2f}" for run in runs]),
        ("CPU of the simulator, cores", [f"{run['simulator_cpu']:.2f}" for run in runs]),
        ("CPU of everything else, cores", [f"{run['others_cpu']:.2f}" for run in runs]),
        ("Scrape, p50", [_time(run["scrape_seconds_p50"]) for run in runs]),
        ("Scrape, p99", [_time(run["scrape_seconds_p99"]) for run in runs]),
        ("Write-ahead log a sample", [f"{run['wal_bytes_per_sample']:.1f} B" for run in runs]),
        ("All rules once", [_time(_together(run)) for run in runs]),
        ("Share of the interval", [f"{_share(run):.2%}" for run in runs]),
        ("Rules that failed", [_count(run["rules"]["failures"]) for run in runs]),
        ("Evaluations missed", [_count(run["rules"]["missed"]) for run in runs]),
        ("Alerts pending, firing", [f"{run['alerts']['pending']}, {run['alerts']['firing']}" for run in runs]),
    ]
    return _table(("", *(f"{_count(run['targets'])} targets" for run in runs)), [(name, *values) for name, values in rows])


def _together(run: Mapping[str, Any]) -> float:
    return float(sum(group["seconds"] for group in run["rules"]["groups"]))


def _share(run: Mapping[str, Any]) -> float:
    return max(float(group["seconds"] / group["interval"]) for group in run["rules"]["groups"])


def _rules(runs: Sequence[Mapping[str, Any]]) -> str:
    """The median and the slowest evaluation of each group in each run."""
    rows = []
    for index, group in enumerate(runs[0]["rules"]["groups"]):
        rows.append((f"`{group['name']}`", str(group["rules"]), f"{group['interval']:g} s",
                     *(_both(run["rules"]["groups"][index]) for run in runs)))
    return _table(("Group", "Rules", "Every", *(f"{_count(run['targets'])} targets" for run in runs)), rows)


def _both(group: Mapping[str, Any]) -> str:
    return f"{_time(group['seconds'])} ({_time(group['seconds_most'])})"


def _ratios(known: sizing.Ratios) -> str:
    return _table(("Ratio", "Value"), [
        ("Series a VM", f"{known.series_per_vm:.1f}"),
        ("Memory a series", _size(known.memory_per_series)),
        ("Memory a VM", _size(known.memory_per_series * known.series_per_vm)),
        ("Disk a sample", f"{known.bytes_per_sample:.2f} B"),
        ("Disk a VM and day, at 60 s", _size(known.series_per_vm / 60 * 86400 * known.bytes_per_sample)),
        ("CPU a million samples, rules included", _time(known.cpu_per_sample * 1e6)),
        ("All rules once, a thousand VMs", _time(known.rules_per_vm * 1000)),
    ])


def _sizing(known: sizing.Ratios) -> str:
    found = [sizing.fleet(known, vms, interval) for vms in SIZES for interval in INTERVALS]
    rows = [
        ("Series", [_count(one.series) for one in found]),
        ("Samples a second", [_count(one.samples_per_second) for one in found]),
        ("Shards", [str(one.shards) for one in found]),
        ("VMs a shard", [_count(one.vms_per_shard) for one in found]),
        ("Memory of the head, a shard", [_size(one.memory_per_shard) for one in found]),
        ("Cores, a shard", [f"{one.cores_per_shard:.1f}" for one in found]),
        ("Rules' share of their interval", [f"{one.rules_share:.1%}" for one in found]),
        ("Disk for 15 days, a shard", [_size(one.disk_15d_per_shard) for one in found]),
        ("Disk for 15 days, all shards", [_size(one.disk_15d) for one in found]),
        ("One year, raw", [_size(one.stored_1y) for one in found]),
        ("One year, Thanos downsampled", [_size(one.stored_1y_thanos) for one in found]),
    ]
    heads = [f"{_count(one.vms)} VMs, {one.interval} s" for one in found]
    return _table(("", *heads), [(name, *values) for name, values in rows])


def _mimir(known: sizing.Ratios) -> str:
    fleets = [sizing.fleet(known, vms, interval) for vms in SIZES for interval in INTERVALS]
    found = [sizing.mimir(one) for one in fleets]
    rows = [
        ("Distributors, cores and GB", [f"{one.distributor_cores:.1f}" for one in found]),
        ("Ingesters, series in memory", [_count(one.ingester_series) for one in found]),
        ("Ingesters, cores", [f"{one.ingester_cores:.0f}" for one in found]),
        ("Ingesters, memory", [_size(one.ingester_memory) for one in found]),
        ("Ingesters, disk", [_size(one.ingester_disk) for one in found]),
        ("Store-gateways, disk for a year", [_size(one.store_disk) for one in found]),
        ("Compactors", [str(one.compactors) for one in found]),
        ("Object storage, one year", [_size(one.stored_1y) for one in fleets]),
    ]
    heads = [f"{_count(one.vms)} VMs, {one.interval} s" for one in fleets]
    return _table(("All instances together", *heads), [(name, *values) for name, values in rows])


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _count(value: float) -> str:
    return f"{round(value):,}"


def _size(value: float) -> str:
    """Bytes, in powers of 1024, with three digits that count."""
    units = ["TiB", "GiB", "MiB", "KiB", "B"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop()
    return f"{value:.0f} {units[-1]}" if value >= 100 or value == int(value) else f"{value:.1f} {units[-1]}"


def _time(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1000:.1f} ms"
