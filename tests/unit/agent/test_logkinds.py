"""Counting by kind gives exactly what reading line by line gives, whatever the lines."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any, Optional

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waguard.agent import extlog, log, logkinds, signatures
from waguard.agent.logkinds import ALIKE, Batch, bare, batches
from waguard.agent.logstate import LogState
from waguard.agent.logtally import WINDOW, Tally
from waguard.agent.record import LevelCounts, Offset, parse
from waguard.agent.signatures import COMMAND, EXTENSION, SIGNATURES, WAAGENT

NOON = 1763553600.0  # 2025-11-19T12:00:00Z
LOG = "/var/log/waagent.log"

_DIGITS = st.integers(0, 9999).map(str)
_TIMES = st.one_of(
    st.integers(0, 599).map(lambda second: f"2025-11-19T12:{second // 60:02}:{second % 60:02}.{second * 1371 % 1000000:06}Z"),
    st.sampled_from(["2025-11-19T12:05:60.000001Z", "2025-02-29T12:00:00.000000Z", "2024-02-29T12:00:00.000000Z", "0000-01-01T00:00:00.000000Z",
                     "1969-12-31T23:59:59.999999Z", "2025-11-31T12:00:00.000000Z", "2025-13-19T12:00:00.000000Z", "2025-11-19T29:00:00.000000Z",
                     "2025-11-19T12:01:07.9999999Z", "2025-11-19T12:01:07Z", "2025-11-19T12:01:07.1234a6Z", "2025-11-19T12:01:07.123456",
                     "2025/11/19 12:01:07.123456", "2025/11/19 12:01:07", "a2025-11-19T12:01:07.123456Z", "2025-11-19T12:01:0.1123456Z"]))
_LEVELS = st.sampled_from(["INFO", "INFO", "INFO", "VERBOSE", "VERBOSE", "WARNING", "ERROR", "", "INF0", "AINFO", "INFOB", "DEBUG", "info"])
_WHO = st.sampled_from([
    "ExtHandler ExtHandler", "ExtHandler ExtHandler", "MonitorHandler ExtHandler", "Daemon Daemon", "ExtHandler", "Daemon", "MainThread",
    "ExtHandler [Microsoft.Azure.Monitor-1.33.1]", "[Microsoft.Azure.Monitor-1.33.1]", "LogCollector LogCollector", "EnvHandler Firewall",
    "ExtHandler ExtHandlerA", "ExtHandler  ExtHandler", "Thread-12 ExtHandler", "ExtHandler [a]", "1 ExtHandler", "", "x" * 70 + " Daemon"])
_HELD = sorted({text for known in SIGNATURES for text in known.holds} | {text for _, text, _ in signatures.BENIGN})
_FOLDED = sorted({known.start + known.holds for known in log.SIGNATURES})
_TEXTS = st.one_of(
    st.sampled_from(["Checking for agent updates", "Checking  for", "", " ", "Agent ", "Event: name=WALinuxAgent, op=HeartBeat, message=1;2;3, duration=0",
                     "Target handler state: enabled [incarnation_2]", "x" * ALIKE, "y" * (ALIKE - 1) + "\r\r", "caf\u00e9", "z" * 5000]),
    st.tuples(st.sampled_from(["HTTP connection [GET] [/machine/?comp=goalstate] ", "eTag: ", ""]), _DIGITS, st.sampled_from([" changed", "", " " + "w" * 150]),
              _DIGITS).map("".join),
    st.tuples(st.sampled_from(["", "Something ", "q" * 118, "7" * 200]), st.sampled_from(_HELD + _FOLDED),
              st.sampled_from(["", " timed out", "WALinuxAgent-2.9.1.1 is permanently disabled", "WALinuxAgent-2.9.1.1 running as process 77"])).map("".join),
    st.sampled_from(["Completed vm agent status report", "Agent WALinuxAgent-2.2.40 is running as the goal state agent",
                     "[HEARTBEAT] Agent WALinuxAgent-2.15.0.1 is running as the goal state agent [DEBUG HeartbeatCounter: 7;HeartbeatId: A]"]))
_ENDS = st.sampled_from([b"", b"", b"", b"", b"\r", b"\r\r", b"\xff", b"\xc3\xa9", b"\x00"])
_RECORDS = st.tuples(_TIMES, _LEVELS, _WHO, _TEXTS, _ENDS).map(
    lambda parts: " ".join(part for part in parts[:4] if part).encode() + parts[4])
_OTHERS = st.one_of(
    st.sampled_from([b"Traceback (most recent call last):", b"  File x, line 1", b"OSError: [Errno 28] No space left on device", b"", b" ", b"\r",
                     b"2019/01/01 00:00:00.123456 INFO ExtHandler text", b"2019-01-01T00:00:00.123456Z INFO text", b"x" * 70_000,
                     b"2019/01/01 00:00:00 [Microsoft.X-1.2] Failed to do it"]),
    st.binary(max_size=40).map(lambda data: data.replace(b"\n", b"")))
_CUT = st.tuples(_RECORDS, st.integers(0, 80)).map(lambda parts: parts[0][:parts[1]])
_RUNS = st.lists(st.tuples(st.one_of(_RECORDS, _RECORDS, _RECORDS, _OTHERS, _CUT), st.integers(1, 9)), max_size=12).map(
    lambda runs: [line for line, times in runs for _ in range(times)])


def flood(few: list[tuple[str, str]], odd: list[bytes], seed: int, step: float) -> list[bytes]:
    """Few kinds of plain lines, many times, as time goes by, and now and then something else."""
    draw = random.Random(seed)
    lines = []
    for number in range(150):
        second = number * step
        at = f"2025-11-19T12:{int(second // 60) % 60:02}:{int(second) % 60:02}.{draw.randrange(1000000):06}Z"
        level, text = draw.choice(few)
        lines.append(f"{at} {level} ExtHandler ExtHandler {text} {draw.randrange(10 ** draw.randrange(1, 9))}".encode())
        if odd and draw.random() < 0.1:
            lines.append(draw.choice(odd))
    return lines


_FLOODS = st.builds(flood, st.lists(st.tuples(st.sampled_from(["INFO", "VERBOSE", "ERROR"]), _TEXTS), min_size=1, max_size=5),
                    st.lists(st.one_of(_RECORDS, _OTHERS), max_size=4), st.integers(0, 999), st.sampled_from([0.01, 1.0, 3.9]))
LINES = st.one_of(_FLOODS, _FLOODS, st.tuples(_RUNS, _RUNS).map(lambda runs: (runs[0] + runs[1]) * 2 + runs[0]))
OFFSETS: st.SearchStrategy[Optional[Offset]] = st.sampled_from([None, lambda at: 7200.0])


def plainly(state: LogState, lines: Iterable[bytes], offset: Optional[Offset]) -> tuple[LogState, LevelCounts]:
    """`log.scan`, line by line. The head of a VERBOSE record is enough to count it, also on a day that there is not."""
    counts = {"VERBOSE": 0, "INFO": 0, "WARNING": 0, "ERROR": 0, "": 0}
    verbose = b""
    for line in lines:
        if line[28:36] == b"VERBOSE " and log._VERBOSE.match(line):
            counts["VERBOSE"] += 1
            verbose = line
            continue
        record = parse(line, offset)
        if record is not None:
            counts[record.level] += 1
            verbose = line if record.level == "VERBOSE" else verbose
            state = state if record.level == "VERBOSE" else log.fold(state, record)
    last = parse(verbose, offset)
    return log.fold(state, last) if last else state, LevelCounts(counts["VERBOSE"], counts["INFO"], counts["WARNING"], counts["ERROR"])


def split(lines: list[bytes], at: list[int]) -> Iterator[list[bytes]]:
    """One visit's lines after another's."""
    edges = [0, *sorted(number % (len(lines) + 1) for number in at), len(lines)]
    for begin, end in zip(edges, edges[1:]):
        yield lines[begin:end]


def told(tally: Tally) -> dict[str, Any]:
    """All that a tally tells, and all that it remembers, in its order."""
    rates = tally.rates()
    kinds = {where: (list(kinds.items()), samples) for where, (kinds, samples) in tally._alike.items()}
    return {"rates": rates, "kinds": kinds, "matches": list(tally.matches.items()), "dump": json.dumps(tally.dump())}


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few dozens of lines have to do for several."""
    monkeypatch.setattr(logkinds, "_LINES", 16)


@pytest.mark.once
@settings(max_examples=300, deadline=None)
@given(LINES, OFFSETS)
def test_the_guard_sees_the_same_as_line_by_line(lines: list[bytes], offset: Optional[Offset]) -> None:
    assert log.scan(LogState(), lines, offset) == plainly(LogState(), lines, offset)


@pytest.mark.once
@settings(max_examples=300, deadline=None)
@given(LINES, st.lists(st.integers(0, 500), max_size=2), st.sampled_from([WAAGENT, COMMAND, EXTENSION]), OFFSETS, st.booleans(),
       st.booleans(), st.sampled_from([0.0, 5.0, 65.3, WINDOW + 31.7, 599.0, 5000.0]), st.sampled_from([1, 3, 1000]))
def test_the_doctor_sees_the_same_as_line_by_line(lines: list[bytes], at: list[int], source: str, offset: Optional[Offset], counted: bool, whole: bool,
                                                 ago: float, kinds: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waguard.agent.logtally._KINDS", kinds)
        patch.setattr("waguard.agent.logtally._MANY", 4)
        fast, plain = Tally(None, NOON + ago), Tally(None, NOON + ago)
        for some in split(lines, at):
            fast.read(source, LOG, some, offset, counted, whole)
            plain.add(source, LOG, extlog.records(source, some, offset), counted, whole)
        assert told(fast) == told(plain)


@settings(max_examples=200, deadline=None)
@given(LINES)
def test_no_line_is_lost_or_counted_twice(lines: list[bytes]) -> None:
    sieve = signatures.sieve(WAAGENT)
    for batch in batches(lines):
        before = len(batch.loud)
        batch.sift(sieve)
        assert sum(batch.quiet.values()) + len(batch.loud) == before


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_a_text_is_in_a_line_only_if_its_kind_is_in_the_lines_kind(before: str, text: str, after: str) -> None:
    one, two, three = before.encode(), text.encode(), after.encode()
    assert bare(two) in bare(one + two + three) == bare(one) + bare(two) + bare(three)


@pytest.mark.once
@pytest.mark.parametrize("text", _HELD)
@pytest.mark.parametrize("pad", ["", "x" * (ALIKE - 5), "7" * 300])
def test_what_the_table_holds_is_never_quiet(text: str, pad: str) -> None:
    for source in (WAAGENT, COMMAND):
        level = {known.verbose: "VERBOSE" if known.verbose else "ERROR" for known in SIGNATURES if text in known.holds and source in known.sources}
        for name in level.values():
            line = f"2025-11-19T12:41:22.123456Z {name} ExtHandler ExtHandler {pad}{text}".encode()
            batch = Batch([line, b"2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler x"])
            batch.sift(signatures.sieve(source))
            assert line in batch.loud


@pytest.mark.parametrize("odd", [
    b"2025-02-29T12:01:00.000000Z INFO ExtHandler ExtHandler x", b"2025-11-31T12:01:00.000000Z INFO ExtHandler ExtHandler x",
    b"0000-01-01T12:01:00.000000Z INFO ExtHandler ExtHandler x", b"2025-11-19T12:01:00.12345aZ INFO ExtHandler ExtHandler x",
    b"2025-11-19T12:01:00.123456Z INF0 ExtHandler ExtHandler x", b"2025-11-19T12:01:00.123456Z INFO ExtHandler ExtHandlerA x",
    b"2025-11-19T12:01:00.123456Z INFO ExtHandler ExtHandler x\r", b"2025-11-19T12:01:00.123456 INFO ExtHandler ExtHandler x",
    b"2025/11/19 12:01:00.123456 VERBOSE ExtHandler x", b"2025-02-31T12:01:00.123456Z VERBOSE ExtHandler ExtHandler x", b"  File x, line 1",
    b"OSError: [Errno 28] No space left on device", "2025-11-19T12:01:00.123456Z INFO ExtHandler ExtHandler caf\u00e9".encode()])
@pytest.mark.parametrize("where", [45, 46, 47, 60])
def test_one_odd_line_among_many(odd: bytes, where: int) -> None:
    lines = [f"2025-11-19T12:0{number % 5}:00.000000Z {level} ExtHandler ExtHandler x".encode() for number in range(30) for level in ("INFO", "VERBOSE")]
    lines.insert(where, odd)
    assert log.scan(LogState(), lines) == plainly(LogState(), lines, None)
    fast, plain = Tally(None, NOON + 150), Tally(None, NOON + 150)
    fast.read(WAAGENT, LOG, lines, None, True)
    plain.add(WAAGENT, LOG, extlog.records(WAAGENT, lines), True)
    assert told(fast) == told(plain)


@pytest.mark.parametrize("whole", [True, False])
def test_only_what_is_within_the_window_counts_for_rates(whole: bool) -> None:
    """A batch has lines of both sides of where the window begins, also within ten seconds."""
    lines = [f"2025-11-19T12:0{1 + number % 40 // 20}:{number % 20:02}.000000Z INFO ExtHandler ExtHandler x".encode() for number in range(20, 120)]
    fast, plain = Tally(None, NOON + WINDOW + 65.5), Tally(None, NOON + WINDOW + 65.5)
    fast.read(WAAGENT, LOG, lines, None, True, whole)
    plain.add(WAAGENT, LOG, extlog.records(WAAGENT, lines), True, whole)
    assert told(fast) == told(plain)


def test_a_full_table_of_kinds_takes_no_more() -> None:
    lines = [f"2025-11-19T12:01:00.000000Z INFO ExtHandler ExtHandler {text}".encode() for text in ("x", "y", "z", "x\r") * 30]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waguard.agent.logtally._KINDS", 2)
        fast, plain = Tally(None, NOON + 90), Tally(None, NOON + 90)
        fast.read(WAAGENT, LOG, lines, None, True)
        plain.add(WAAGENT, LOG, extlog.records(WAAGENT, lines), True)
    assert told(fast) == told(plain)


def test_most_of_a_log_is_quiet() -> None:
    """Otherwise all this is for nothing."""
    lines = [f"2025-11-19T12:41:{number % 60:02}.{number:06}Z INFO MonitorHandler ExtHandler Sent {number} events".encode() for number in range(512)]
    read = [line for batch in batches(lines) for _ in [batch.sift(signatures.sieve(WAAGENT))] for line in batch.loud]
    assert len(read) == 32, "only the last line of each batch"


HEAD = b"2025-11-19T12:41:22.123456Z INFO ExtHandler "
HOSTILE = [HEAD[:-12] + b"a-1" * 21000, HEAD + b"[" + b"a-1" * 21000, HEAD + b" " * 65000, HEAD + b"ExtHandler " + b"[" * 65000, b"-" * 65000,
           HEAD + b"ExtHandler " + b"Agent WALinuxAgent-" * 3400, HEAD + b"ExtHandler " + b"Failed to " * 6500, HEAD + b"ExtHandler " + b"f" * 65000,
           HEAD + b"ExtHandler " + b"Event: name=" * 5400]


@pytest.mark.parametrize("line", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_line_costs_no_more_than_its_length(line: bytes) -> None:
    """Twice as long may take about twice the time; four times would be quadratic. The least of several is told, as the machine is shared."""
    sieves = (signatures.sieve(WAAGENT), log._SIEVE)

    def cost(length: int) -> float:
        least = float("inf")
        for _ in range(5):
            began = time.process_time()
            for sieve in sieves:
                for _ in range(4):
                    Batch([line[:length]] * 4).sift(sieve)
            least = min(least, time.process_time() - began)
        return least

    assert cost(64_000) < 3 * cost(32_000) + 0.05
