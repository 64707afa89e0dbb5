"""The five line formats, heartbeats of all generations, counts."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waguard.agent import record
from waguard.agent.record import Heartbeat, LevelCounts, Record, heartbeat, parse
from waguard.agent.versions import parse as version


def utc(*parts: int) -> float:
    return datetime(*parts, tzinfo=timezone.utc).timestamp()  # type: ignore[arg-type,misc]


T = utc(2025, 11, 19, 12, 41, 22) + 0.123456
OLD = utc(2019, 11, 6, 12, 41, 22) + 0.123456
EXT = "[Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.9216.0]"

Z = "2025-11-19T12:41:22.123456Z"
L = "2019/11/06 12:41:22.123456"
CHILD = (T, "INFO", "ExtHandler", "ExtHandler")
OLD_INFO = ("INFO", "")

LINES = [
    # 2.2.47 and newer: thread and prefix
    (f"{Z} INFO ExtHandler ExtHandler message", (*CHILD, "message")),
    (f"{Z} INFO Daemon Daemon message", (T, "INFO", "Daemon", "Daemon", "message")),
    (f"{Z} INFO ExtHandler {EXT} Target handler state: enabled",
     (T, "INFO", "ExtHandler", EXT, "Target handler state: enabled")),
    (f"{Z} WARNING MonitorHandler ExtHandler m m", (T, "WARNING", "MonitorHandler", "ExtHandler", "m m")),
    (f"{Z} ERROR MainThread LogCollector m", (T, "ERROR", "MainThread", "LogCollector", "m")),
    (f"{Z} INFO Firewall Firewall m", (T, "INFO", "Firewall", "Firewall", "m")),
    (f"{Z} VERBOSE ExtHandler ExtHandler m", (T, "VERBOSE", "ExtHandler", "ExtHandler", "m")),
    (f"{Z} INFO ExtHandler ExtHandler ", (*CHILD, "")),
    (f"{Z} INFO ExtHandler ExtHandler", (*CHILD, "")),
    (f"{Z} INFO ExtHandler ExtHandler [CGW] Disabling", (*CHILD, "[CGW] Disabling")),
    (f"{Z} INFO ExtHandler ExtHandler  two  blanks", (*CHILD, " two  blanks")),
    # before the prefix is set
    (f"{Z} ERROR MainThread Failed to run 'daemon'", (T, "ERROR", "MainThread", "", "Failed to run 'daemon'")),
    # 2.2.46: UTC, no thread
    (f"{Z} INFO ExtHandler message", (T, "INFO", "", "ExtHandler", "message")),
    (f"{Z} INFO Daemon Azure Linux Agent", (T, "INFO", "", "Daemon", "Azure Linux Agent")),
    (f"{Z} INFO {EXT} message", (T, "INFO", "", EXT, "message")),
    (f"{Z} INFO ExtHandler [PERIODIC] Attempts", (T, "INFO", "", "ExtHandler", "[PERIODIC] Attempts")),
    (f"{Z} INFO Examine /proc/net/route", (T, "INFO", "", "", "Examine /proc/net/route")),
    ("2025-11-19T12:41:22Z INFO Daemon Daemon m", (T - 0.123456, "INFO", "Daemon", "Daemon", "m")),
]
LOCAL_LINES = [
    # up to 2.2.45
    (f"{L} INFO ExtHandler message", (*OLD_INFO, "ExtHandler", "message")),
    (f"{L} INFO Daemon Azure Linux Agent Version:2.2.45", (*OLD_INFO, "Daemon", "Azure Linux Agent Version:2.2.45")),
    (f"{L} WARNING {EXT} message", ("WARNING", "", EXT, "message")),
    # oldest: no prefix
    (f"{L} WARNING Disabling guest agent in accordance with ovf-env.xml",
     ("WARNING", "", "", "Disabling guest agent in accordance with ovf-env.xml")),
    (f"{L} INFO [PERIODIC] x", (*OLD_INFO, "", "[PERIODIC] x")),
    # extensions
    (f"{L} [Ext-1.0] message", ("", "", "[Ext-1.0]", "message")),
    (f"{L} [Microsoft.Azure.Monitor.AzureMonitorLinuxAgent-1.7.0] cwd is /",
     ("", "", "[Microsoft.Azure.Monitor.AzureMonitorLinuxAgent-1.7.0]", "cwd is /")),
    (f"{L} Azure Monitoring Agent for Linux started to handle.",
     ("", "", "", "Azure Monitoring Agent for Linux started to handle.")),
]



@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
@pytest.mark.parametrize(("line", "expected"), LINES)
def test_utc_formats(line: str, expected: tuple[float, str, str, str, str], end: str) -> None:
    found = parse((line + end).encode())
    assert found is not None
    assert found.at == pytest.approx(expected[0], abs=1e-6)
    assert found[1:] == (*expected[1:], False)
    assert parse((line + end).encode(), lambda at: 3600.0) == found


@pytest.mark.parametrize(("line", "expected"), LOCAL_LINES)
def test_local_formats(line: str, expected: tuple[str, str, str, str]) -> None:
    assert parse(line.encode()) == Record(None, *expected, True)
    asked: list[float] = []

    def two_hours_east(at: float) -> float:
        asked.append(at)
        return 7200.0

    found = parse(line.encode(), two_hours_east)
    assert found is not None
    assert found.at == pytest.approx(OLD - 7200, abs=1e-6)
    assert asked == [pytest.approx(OLD, abs=1e-6)]
    assert found.local_time


@pytest.mark.parametrize(
    "line",
    [
        "", "\n", "Traceback (most recent call last):", '  File "x", line 1', "[stdout]", "2025", "2025-11-19",
        "2025-11-19T12:41:22.123456Z", "2025-11-19T12:41:22.123456Z ", "2025-11-19T12:41:22.123456Z NOTICE x y z",
        "2025-11-19T12:41:22.123456Z info ExtHandler x", "2025-11-19T12:41:22.123456 INFO ExtHandler x",
        "2025-11-19 12:41:22.123456Z INFO ExtHandler x", "2025-13-19T12:41:22.123456Z INFO ExtHandler x",
        "2025-02-30T12:41:22.123456Z INFO ExtHandler x", "0000-01-01T12:41:22.123456Z INFO ExtHandler x",
        "2025-11-19T12:61:22.123456Z INFO ExtHandler x", "2025-11-19T92:41:22.123456Z INFO ExtHandler x",
        " 2025-11-19T12:41:22.123456Z INFO ExtHandler x", "2019/11/06 12:41:22Z INFO ExtHandler x",
        "2019/11/06T12:41:22 INFO ExtHandler x", "2019/99/06 12:41:22 INFO ExtHandler x", "٢٠٢٥-11-19T12:41:22Z INFO x",
        "\x00" * 100, "2025-11-19T12:41:nanZ INFO ExtHandler x",
    ],
)
def test_lines_that_start_no_record(line: str) -> None:
    assert parse(line.encode()) is None


NEARLY = rb"20\d\d[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d\.\d{6}Z? (INFO|VERBOSE)? ?.*"


@given(st.binary() | st.from_regex(NEARLY, fullmatch=True))
def test_no_bytes_raise(line: bytes) -> None:
    found = parse(line)
    if found:
        assert found.level in ("", "VERBOSE", "INFO", "WARNING", "ERROR")
        assert found.local_time is (found.at is None)
        heartbeat(found)


@given(st.datetimes(datetime(1970, 1, 1), datetime(2999, 1, 1)),
       st.sampled_from(["VERBOSE", "INFO", "WARNING", "ERROR"]),
       st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n")))
def test_what_the_agent_writes_comes_back(moment: datetime, level: str, text: str) -> None:
    stamp = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    found = parse(f"{stamp} {level} ExtHandler ExtHandler {text}\n".encode())
    assert found is not None
    assert found.at == pytest.approx(moment.replace(tzinfo=timezone.utc).timestamp(), abs=1e-5)
    assert found[1:] == (level, "ExtHandler", "ExtHandler", text, False)


def test_bytes_that_are_no_text() -> None:
    found = parse(b"2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler caf\xe9 \x00 \xff")
    assert found is not None
    assert found.text == "caf\\xe9 \x00 \\xff"


def test_a_record_is_bounded() -> None:
    found = parse(b"2025-11-19T12:41:22.123456Z INFO ExtHandler ExtHandler " + b"x" * 10**6)
    assert found is not None
    assert len(found.text) <= record.MAX_TEXT
    for _ in range(200):
        found = record.joined(found, b"y" * 1000)
    assert len(found.text) == record.MAX_TEXT


def test_joining() -> None:
    first = parse(b"2025-11-19T12:41:22.123456Z WARNING Daemon Daemon Agent x failed with exception: \n")
    assert first is not None
    both = record.joined(record.joined(first, b"Traceback:\r\n"), b"  \xff\n")
    assert both.text == "Agent x failed with exception: \nTraceback:\n  \\xff"
    assert both._replace(text=first.text) == first


def test_whose_word_it_is() -> None:
    for line, _ in LOCAL_LINES[5:]:
        found = parse(line.encode())
        assert found is not None
        assert found.of_extension
    assert not any(r.of_extension for r in [parse(LINES[0][0].encode()), parse(LINES[9][0].encode())] if r)
    ours = parse(LINES[2][0].encode())
    assert ours is not None
    assert ours.of_extension


def beat(text: str, prefix: str = "ExtHandler ExtHandler") -> Heartbeat | None:
    found = parse(f"2025-11-19T12:41:22.123456Z INFO {prefix} {text}".encode())
    assert found is not None
    return heartbeat(found)


def test_heartbeats_of_every_generation() -> None:
    assert beat("[HEARTBEAT] Agent WALinuxAgent-2.15.0.1 is running as the goal state agent [DEBUG HeartbeatCounter: 0;"
                "HeartbeatId: 2F8C0A6B;UpdateGSErrors: 3;AutoUpdate: 1;UpdateMode: SelfUpdate;]") == Heartbeat(
        pytest.approx(T, abs=1e-6), version("2.15.0.1"), "2F8C0A6B", 0, 3, None, True, "SelfUpdate")
    assert beat("[HEARTBEAT] Agent WALinuxAgent-2.7.3.0 is running as the goal state agent [DEBUG HeartbeatCounter: 4;"
                "HeartbeatId: 2F8C;DroppedPackets: 7;UpdateGSErrors: 0;AutoUpdate: 0]") == Heartbeat(
        pytest.approx(T, abs=1e-6), version("2.7.3.0"), "2F8C", 4, 0, 7, False, None)
    assert beat("[HEARTBEAT] Agent WALinuxAgent-2.2.48 is running as the goal state agent") == Heartbeat(
        pytest.approx(T, abs=1e-6), version("2.2.48"))
    old = beat("Event: name=WALinuxAgent, op=HeartBeat, message=2;5;2F8C;-1, duration=0", "ExtHandler")
    assert old == Heartbeat(pytest.approx(T, abs=1e-6), None, "2F8C", 5, by_loop=False)
    assert beat("Event: name=WALinuxAgent, op=HeartBeat, message=, duration=0", "ExtHandler") == Heartbeat(
        pytest.approx(T, abs=1e-6), None, by_loop=False)


@pytest.mark.parametrize(
    "text",
    ["Agent WALinuxAgent-2.7.3.0 is running as the goal state agent", "[HEARTBEAT]", "[HEARTBEAT] Agent is running",
     "x [HEARTBEAT] Agent WALinuxAgent-2.7.3.0 is running as the goal state agent",
     "Event: name=WALinuxAgent, op=HeartBeatX, message=1;2;3", "Event: name=Ext, op=HeartBeat, message=1;2;3"],
)
def test_what_is_no_heartbeat(text: str) -> None:
    assert beat(text) is None


def test_odd_details_are_left_out() -> None:
    odd = beat("[HEARTBEAT] Agent WALinuxAgent-x is running as the goal state agent [DEBUG HeartbeatCounter: many;"
               "AutoUpdate: maybe;;UpdateGSErrors;HeartbeatId: ]")
    assert odd == Heartbeat(pytest.approx(T, abs=1e-6), None, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Event: name=WALinuxAgent, op=GoalState, message=a, b, duration=0", "a, b"),
        ("Event: name=WALinuxAgent, op=GoalState, message=a\nb, duration=1, duration=0", "a\nb, duration=1"),
        ("Event: name=WALinuxAgent, op=GoalState, message=cut off", "cut off"),
        ("Event: something else", "Event: something else"),
        ("plain", "plain"),
    ],
)
def test_event_messages(text: str, expected: str) -> None:
    assert record.event_message(text) == expected


def test_counts() -> None:
    records = [r for line, _ in [*LINES, *LOCAL_LINES] if (r := parse(line.encode()))]
    counts = LevelCounts(error=5).plus(records)
    assert counts.as_dict() == {"VERBOSE": 1, "INFO": 17, "WARNING": 3, "ERROR": 7}
    assert LevelCounts().plus([]) == LevelCounts()
    assert counts + counts == LevelCounts(2, 34, 6, 14)
