"""The simulated fleet, the sizing, and docs/fleet.md."""

from __future__ import annotations

import asyncio
import json
import re
import time
import zlib
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from bench.fleet import __main__ as program
from bench.fleet import blocks, measure, report, server, sizing
from bench.fleet.body import Exposition
from bench.fleet.life import ANSWERS, REFUSED, SILENT, Life
from waguard import __version__
from waguard.exporter import metrics

pytestmark = pytest.mark.once

BEGIN = 1_800_000_000.0
BUDGET = 150


# -- lives


@pytest.mark.parametrize("accept", ["", server.ACCEPT])
def test_a_patched_exposition_is_the_one_that_waguard_renders(accept: str) -> None:
    rendered = patched = 0
    for number in range(12):
        exposition = Exposition(Life(number, 3, BEGIN))
        before = -1
        for step in range(40):
            body, kind = exposition.at(BEGIN + 47.3 * step, accept)
            wanted, wanted_kind = metrics.render(exposition.life.snapshot(), accept)
            version = f'waguard_build_info{{version="{exposition.life.release}"}}'
            assert body == wanted.replace(f'waguard_build_info{{version="{__version__}"}}'.encode(), version.encode())
            assert kind == wanted_kind
            assert exposition.series == len(re.findall(rb"^[a-z]", body, re.MULTILINE))
            rendered += exposition.life.generation != before
            patched += exposition.life.generation == before
            before = exposition.life.generation
    assert patched > 320 and rendered > 24


def test_each_life_is_another_and_the_same_again() -> None:
    def lived(number: int, seed: int) -> bytes:
        exposition = Exposition(Life(number, seed, BEGIN))
        return b"".join(exposition.at(BEGIN + 600 * step, "")[0] for step in range(12))

    assert lived(4, 1) == lived(4, 1)
    assert len({lived(4, 1), lived(5, 1), lived(4, 2)}) == 3


def test_in_a_fleet_everything_happens_that_happens_to_vms() -> None:
    seen: set[str] = set()
    for number in range(40):
        life = Life(number, 1, BEGIN)
        for step in range(90):
            life.at(BEGIN + 160 * step)
            seen |= {life.reach, f"guard {life.guard_up}", life.release}
            snapshot = life.snapshot()
            if snapshot is not None:
                seen |= {snapshot["agent"]["state"], f"ready {snapshot['backup']['ready']}", f"verbose {snapshot['verbose']['conf']}",
                         f"extensions {all(snapshot['extensions'].values())}", *(finding["id"] for finding in snapshot["findings"])}
    assert seen >= {ANSWERS, SILENT, REFUSED, "guard True", "guard False", "running", "down", "hung", "ready True", "ready False",
                    "verbose True", "verbose False", "extensions True", "extensions False", "disk-full", "agent-not-running", "0.2.0"}


def test_counters_never_fall_while_the_agent_lives_and_no_vm_breaks_the_budget() -> None:
    for number in range(15):
        exposition = Exposition(Life(number, 1, BEGIN))
        before: dict[str, float] = {}
        started = 0.0
        for step in range(200):
            text = exposition.at(BEGIN + 30 * step, "")[0].decode()
            assert exposition.series <= BUDGET
            now = {match[1]: float(match[2]) for match in re.finditer(r"^(\w+_total\S*|waguard_agent_start\w+) (\S+)$", text, re.MULTILINE)}
            start = now.pop("waguard_agent_start_timestamp_seconds", started)
            for name, value in now.items():
                if not (name.startswith("waguard_agent_cpu") and start != started):  # another process
                    assert value >= before.get(name, 0.0), name
            before, started = now or before, start


def test_what_goes_into_blocks_has_the_targets_labels_and_a_time() -> None:
    text = "# HELP a b\n# TYPE a gauge\na 1.0\nb{c=\"d\"} 2.5e+09\n# EOF\n"
    assert blocks._stamped(text, 7, 1800) == ['a{instance="vm-000007",job="waguard"} 1.0 1800\n',
                                              'b{c="d",instance="vm-000007",job="waguard"} 2.5e+09 1800\n']


# -- the server


def served(ask: Callable[[server.Fleet, asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]) -> None:
    async def run() -> None:
        fleet = server.Fleet(3, 1, time.time())
        listening = await asyncio.start_server(fleet.serve, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        try:
            await asyncio.wait_for(ask(fleet, reader, writer), 20)
        finally:
            writer.close()
            listening.close()

    asyncio.run(run())


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, headers: str = "") -> tuple[int, str, bytes]:
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    length = int(re.search(r"Content-Length: (\d+)", head)[1])  # type: ignore[index]
    return int(head.split()[1]), head, await reader.readexactly(length)


def test_one_connection_serves_all_vms_in_what_was_asked_for() -> None:
    async def ask(fleet: server.Fleet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        status, head, body = await get(reader, writer, "/vm/0/metrics")
        assert status == 200 and "text/plain; version=0.0.4" in head and b"waguard_guard_up 1.0\n" in body
        status, head, body = await get(reader, writer, "/vm/1/metrics", f"Accept: {server.ACCEPT}\r\nAccept-Encoding: gzip\r\n")
        assert "application/openmetrics-text" in head and "Content-Encoding: gzip" in head
        assert zlib.decompress(body, wbits=31).endswith(b"# EOF\n")
        told = json.loads((await get(reader, writer, "/told"))[2])
        assert told == {str(number): fleet.expositions[number].series for number in (0, 1)}

    served(ask)


@pytest.mark.parametrize("path", ["/", "/metrics", "/vm/3/metrics", "/vm/-1/metrics", "/vm//metrics", "/vm/x/metrics", "/vm/1/metrics/"])
def test_what_is_no_vm_is_not_found(path: str) -> None:
    async def ask(_: server.Fleet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert (await get(reader, writer, path))[0] == 404

    served(ask)


@pytest.mark.parametrize("reach", [REFUSED, SILENT])
def test_a_vm_that_does_not_answer_costs_its_own_connection(reach: str) -> None:
    async def ask(fleet: server.Fleet, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fleet.expositions[2].life.reach = reach
        writer.write(b"GET /vm/2/metrics HTTP/1.1\r\n\r\n")
        if reach == REFUSED:
            assert await reader.read() == b""
        else:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.3)
        assert fleet.told == {2: None}

    served(ask)


# -- the sizing


KNOWN = sizing.Ratios(series_per_vm=145.0, memory_per_series=4096.0, bytes_per_sample=1.5, wal_bytes_per_sample=8.0, cpu_per_sample=4e-6,
                      rules_per_vm=2e-5, rules_share_per_vm=3e-5)


def test_a_shard_is_as_large_as_half_its_memory_allows() -> None:
    assert sizing.vms_per_shard(KNOWN) == 14_000  # 8 GiB, 145 times 4 KiB each
    assert sizing.vms_per_shard(KNOWN._replace(memory_per_series=40_960.0)) == 1_000
    assert sizing.vms_per_shard(KNOWN._replace(memory_per_series=1e9)) == 1_000


@pytest.mark.parametrize(("vms", "interval", "shards", "samples"), [(10_000, 60, 1, 24_167), (10_000, 30, 1, 48_333), (14_000, 60, 1, 33_833),
                                                                      (14_001, 60, 2, 33_836), (100_000, 60, 8, 241_667)])
def test_a_fleet_by_its_size(vms: int, interval: int, shards: int, samples: int) -> None:
    found = sizing.fleet(KNOWN, vms, interval)
    assert (found.shards, round(found.samples_per_second)) == (shards, samples)
    assert found.vms_per_shard * shards >= vms
    assert found.memory_per_shard <= sizing.SHARD_MEMORY * sizing.SHARD_FILLED
    assert found.stored_1y == pytest.approx(vms * 145 / interval * 1.5 * 365 * 86400)
    assert found.stored_1y_thanos == 3 * found.stored_1y
    assert found.disk_15d == pytest.approx(vms * 145 / interval * (15 * 86400 * 1.5 + 3 * 3600 * 8))
    assert found.disk_15d_per_shard == pytest.approx(found.disk_15d / shards)
    assert found.cores_per_shard == pytest.approx(vms * 145 / interval * 4e-6 / shards)
    assert found.rules_share == pytest.approx(3e-5 * found.vms_per_shard)


def test_mimirs_own_guide_is_followed() -> None:
    found = sizing.mimir(sizing.fleet(KNOWN, 100_000, 15))
    assert found.ingester_series == 3 * 14_500_000
    assert (found.ingester_cores, found.ingester_memory, found.ingester_disk) == (145.0, 145 * 2.5e9, 145 * 5e9)
    assert found.distributor_cores == pytest.approx(14_500_000 / 15 / 25_000)
    assert found.store_disk == pytest.approx(14.5 * 13e9)
    assert found.compactors == 1


def test_the_ratios_are_those_of_the_largest_run() -> None:
    result = json.loads(program.RESULT.read_text())
    largest = max(result["runs"], key=lambda run: run["targets"])
    found = sizing.ratios({**result, "runs": list(reversed(result["runs"]))})
    assert found == sizing.ratios(result)
    assert found.memory_per_series == largest["resident_bytes"] / largest["head_series"]
    assert found.series_per_vm == largest["series_per_target"]


# -- docs/fleet.md


def test_the_page_is_made_from_the_result_that_is_kept() -> None:
    assert program.PAGE.read_text() == report.render(json.loads(program.RESULT.read_text())), "run: make fleet, or python3 -m bench.fleet --render >docs/fleet.md"


def test_another_result_gives_the_same_text_but_for_the_numbers() -> None:
    result = json.loads(program.RESULT.read_text())

    def other(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: other(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [other(inner) for inner in value]
        return round(value * 1.37, 3) if isinstance(value, (int, float)) else value

    def words(text: str) -> str:
        return re.sub(r"[\s|]*(?:[-+]?[0-9][0-9.,]*(?: ?(?:[KMGT]?i?B|ms|s|%))?)+[\s|]*", " # ", text)

    page, changed = report.render(result), report.render(other(result))
    assert page != changed
    assert set(words(page).split()) == set(words(changed).split())


def test_the_result_that_is_kept_is_a_sound_one() -> None:
    result = json.loads(program.RESULT.read_text())
    assert [run["targets"] - max(1, int((run["targets"]) * measure.NOBODY / (1 + measure.NOBODY))) for run in result["runs"]] == [1000, 5000]
    for run in result["runs"]:
        assert run["rules"]["failures"] == run["rules"]["missed"] == 0 and run["rules"]["unhealthy"] == []
        assert 0.9 * run["targets"] < run["up"] < run["targets"]
        assert run["resident_bytes"] < 8 << 30
        assert run["series_per_target_most"] <= BUDGET + 5


@pytest.mark.parametrize(("value", "text"), [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 40, "1 TiB"), (1 << 52, "4096 TiB"),
                                             (134.4, "134 B"), (16 << 30, "16 GiB")])
def test_sizes_for_people(value: float, text: str) -> None:
    assert report._size(value) == text


@pytest.mark.parametrize(("value", "text"), [(0.0123, "12.3 ms"), (0.00001, "0.0 ms"), (1.0, "1.00 s"), (75.5, "75.50 s")])
def test_times_for_people(value: float, text: str) -> None:
    assert report._time(value) == text
