"""Records of all kinds of logs, mixed in one file as they are on real machines."""

from __future__ import annotations

from typing import Optional

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from waguard.agent import extlog
from waguard.agent.extlog import Entry, parse, records
from waguard.agent.signatures import COMMAND, EXTENSION, SHELL, SOURCES, WAAGENT

VM = b"Microsoft.Azure.RecoveryServices.VMSnapshotLinux"
AT = 1763556082.0  # 2025-11-19T12:41:22Z
HOUR = 3600.0


def east(local: float) -> float:
    return HOUR


def one(source: str, line: bytes) -> Entry:
    found = parse(source, line, east)
    assert found is not None
    return found


@pytest.mark.parametrize(("line", "at", "level", "text"), [
    (b"2025-11-19T12:41:22.500000Z INFO ExtHandler ExtHandler message", AT + 0.5, "INFO", "message"),
    (b"2025-11-19T12:41:22.500000Z WARNING Daemon Daemon message", AT + 0.5, "WARNING", "message"),
    (b"2025-11-19T12:41:22.500000Z ERROR ExtHandler message", AT + 0.5, "ERROR", "message"),
    (b"2025/11/19 12:41:22.500000 VERBOSE ExtHandler message", AT + 0.5 - HOUR, "VERBOSE", "message"),
    (b"2025/11/19 12:41:22 [Microsoft.OSTCExtensions.VMAccessForLinux-1.5.9] started to handle.", AT - HOUR, "INFO", "started to handle."),
    (b"2025/11/19 12:41:22 [X-1.0] Failed to do it", AT - HOUR, "ERROR", "Failed to do it"),
])
def test_waagent_log(line: bytes, at: float, level: str, text: str) -> None:
    assert one(WAAGENT, line) == Entry(at, level, text, True)


@pytest.mark.parametrize(("line", "at", "level", "text"), [
    (b"2025-11-19 12:41:22.500000 [" + VM + b"-1.0]starting enable", AT + 0.5, "INFO", "starting enable"),
    (b"2025-11-19 12:41:22 [" + VM + b"-1.0]starting enable", AT, "INFO", "starting enable"),
    (b"2025/11/19 12:41:22 [" + VM + b"-1.0]starting enable", AT - HOUR, "INFO", "starting enable"),
    (b"2025/11/19 12:41:22 ERROR:[" + VM + b"-1.0]starting enable", AT - HOUR, "ERROR", "starting enable"),
    (b"2025/11/19 12:41:22.500000  Info  T:S freeze, timeout value 60 ", AT + 0.5, "INFO", "T:S freeze, timeout value 60"),
    (b"2025/11/19 12:41:22.500000  Warning  hm ", AT + 0.5, "WARNING", "hm"),
    (b"2025-11-19 12:41:22.500000  Error  hm ", AT + 0.5, "ERROR", "hm"),
    (b"2025-11-19 12:41:22 Freezing: /", AT - HOUR, "INFO", "Freezing: /"),
    (b"2025-11-19 12:41:22 Failed to FIFREEZE: / with error message: x", AT - HOUR, "ERROR", "Failed to FIFREEZE: / with error message: x"),
    (b"2025-11-19T12:41:22.500000Z WARNING ExtHandler [X-1.0] message", AT + 0.5, "WARNING", "message"),
    (b"2025/11/19 12:41:22.500000  Error  Plugin host file does not exist in the location /etc/azure/x.json ", AT + 0.5, "INFO",
     "Plugin host file does not exist in the location /etc/azure/x.json"),
])
def test_extension_log_of_every_python_and_the_block_after_a_freeze(line: bytes, at: float, level: str, text: str) -> None:
    assert one(EXTENSION, line) == Entry(at, level, text, True)


@pytest.mark.parametrize(("line", "at", "level", "text"), [
    (b"Wed Nov 19 12:41:22 UTC 2025- 1 returned from handle.py", AT, "ERROR", "1 returned from handle.py"),
    (b"Wed Nov 19 12:41:22 PM UTC 2025- 0 returned from handle.py", AT, "INFO", "0 returned from handle.py"),
    (b"Wed Nov 19 12:41:22 AM UTC 2025- x", AT - 12 * HOUR, "INFO", "x"),
    (b"Wed Nov  5 01:02:03 PM UTC 2025- x - y- z", AT + 20 * 60 + 41 - 14 * 24 * HOUR, "INFO", "x - y- z"),
    ("2025年 11月 19日 水曜日 12:41:22 UTC- python version unknown".encode(), None, "ERROR", "python version unknown"),
    (b"mer. 19 nov. 2025 12:41:22 UTC- python path exists", None, "INFO", "python path exists"),
    (b"Mi 19. Nov 12:41:22 UTC 2025- 3 returned from handle.py", None, "ERROR", "3 returned from handle.py"),
    (b"[2025-11-19 12:41:22:123456789] python version unknown", AT, "ERROR", "python version unknown"),
])
def test_shell_log_in_any_language(line: bytes, at: Optional[float], level: str, text: str) -> None:
    assert one(SHELL, line) == Entry(at, level, text, True)


@pytest.mark.parametrize(("line", "at", "level", "text"), [
    (b"2025-11-19T12:41:22.500000Z INFO ExtHandler [" + VM + b"-1.0.9220.0] Command: main/handle.sh enable", AT + 0.5, "INFO", "Command: main/handle.sh enable"),
    (b"2025/11/19 12:41:22.500000 ERROR [" + VM + b"-1.0.9128.0] x", AT + 0.5 - HOUR, "ERROR", "x"),
])
def test_command_execution_log(line: bytes, at: float, level: str, text: str) -> None:
    """Agents before 2.2.46 wrote local time here as well (common/logger.py: datetime.now)."""
    assert one(COMMAND, line) == Entry(at, level, text, True)


@pytest.mark.parametrize("source", [EXTENSION, COMMAND, WAAGENT])
def test_a_local_time_is_not_known_without_the_offset(source: str) -> None:
    found = parse(source, b"2025/11/19 12:41:22 [X-1.0] message")
    assert found is None or found.at is None


@pytest.mark.parametrize(("source", "line"), [
    (EXTENSION, b"Traceback (most recent call last):"), (EXTENSION, b"  File \"x.py\", line 1"), (EXTENSION, b""), (EXTENSION, b"================== Logs during Freeze End =============="),
    (EXTENSION, b"2025-13-19 12:41:22 x"), (EXTENSION, b"2025-11-31 12:41:22 x"), (EXTENSION, b"2025-11-19 25:41:22 x"), (EXTENSION, b"2025-11-19 12:41:22"),
    (SHELL, b"ModuleNotFoundError: No module named 'imp'"), (SHELL, b"12:41:22"), (SHELL, b"a - b"), (SHELL, b"x" * 200 + b"12:41:22 UTC- x"),
    (COMMAND, b"[stdout]"), (WAAGENT, b"[stderr]"), (COMMAND, b"2025-11-19T12:41:22.500000Z no level"),
])
def test_lines_that_begin_no_record(source: str, line: bytes) -> None:
    assert parse(source, line) is None


MIXED = b"""\
ValueError: the end of a record of the last visit
2025-11-19 12:41:22.000001 [Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0]starting enable
2025/11/19 12:41:23 [Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0]of Python 2
2025-11-19 12:41:24.000001 [Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0]Status file creation failed with error: x, stack trace: Traceback (most recent call last):
  File "main/handle.py", line 1, in <module>
OSError: [Errno 28] No space left on device
2025/11/19 12:41:25 ERROR:[Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0]by hutil.error
2025-11-19 12:41:26.000001 [Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0]================== Logs during Freeze Start ==============
2025/11/19 12:41:27.000001  Info  arg : ['safefreeze', '60']
2025/11/19 12:41:28.000001  Info  ============== Binary output traces start =================
2025-11-19 13:41:29 Freezing: /
2025-11-19 13:41:30 Failed to FITHAW: / with error message : Invalid argument
2025/11/19 12:41:31.000001  Error  it went wrong
================== Logs during Freeze End ==============
2025-11-19T12:41:32.000001Z INFO ExtHandler [X-1.0] of the agent
""".splitlines()


def test_all_formats_of_extension_log_in_one_file() -> None:
    found = list(records(EXTENSION, MIXED, east))
    assert [(entry.level, entry.text.split("\n")[0][:20], entry.begins) for entry in found] == [
        ("INFO", "ValueError: the end ", False), ("INFO", "starting enable", True), ("INFO", "of Python 2", True),
        ("ERROR", "Status file creation", True), ("ERROR", "by hutil.error", True),
        ("INFO", "================== L", True), ("INFO", "arg : ['safefreeze',", True),
        ("INFO", "============== Binar", True), ("INFO", "Freezing: /", True),
        ("INFO", "Failed to FITHAW: / ", True), ("ERROR", "it went wrong", True), ("INFO", "of the agent", True)]
    assert found[3].text.endswith("\nOSError: [Errno 28] No space left on device")
    assert [entry.at and round(entry.at - AT, 3) for entry in found[1:]] == [
        0.0, 1.0 - HOUR, 2.0, 3.0 - HOUR, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]


def test_the_words_of_a_continuation_tell_the_level_too() -> None:
    lines = [b"2025-11-19 12:41:22.000001 [X-1.0]an odd thing", b"Traceback (most recent call last):", b"  x"]
    (found,) = records(EXTENSION, lines)
    assert found.level == "ERROR"
    lines = [b"2025-11-19T12:41:22.500000Z INFO ExtHandler [X-1.0] Command: x", b"[stderr]", b"Traceback (most recent call last):"]
    (found,) = records(COMMAND, lines)
    assert found.level == "INFO", "where the writer gives a level, that is it"


def test_a_record_is_bounded() -> None:
    lines = [b"2025-11-19 12:41:22.000001 [X-1.0]x", *[b"y" * 10_000] * 20, *[b"z"] * 2000, b"2025-11-19 12:41:22.000001 [X-1.0]next"]
    first, second = records(EXTENSION, lines)
    assert len(first.text) <= 65536 and second.text == "next"
    (many,) = records(EXTENSION, [b"2025-11-19 12:41:22.000001 [X-1.0]x", *[b"z"] * 2000])
    assert many.text.count("\n") <= extlog.MAX_LINES


@pytest.mark.parametrize(("text", "level"), [
    ("stack trace: x", "ERROR"), ("it failed with x", "ERROR"), ("[Errno 13] Permission denied", "ERROR"), ("freeze timed-out", "ERROR"),
    ("ModuleNotFoundError: x", "ERROR"), ("StatusCode.FailedRetryableFsFreezeFailed,", "ERROR"), ("Retry to aquire lock count: 1", "WARNING"),
    ("df command executed for process wait time value0", "WARNING"), ("blob failed to write", "INFO"), ("all is well", "INFO"),
    ("Triggering File System Consistent Backup because of error code StatusCode.FailedPrepostPluginConfigNotFound,", "INFO"),
])
def test_the_level_that_words_tell(text: str, level: str) -> None:
    assert extlog.told(EXTENSION, text) == level


_PIECES = st.sampled_from([b"2025-11-19", b"2025/11/19", b" ", b"T", b"12:41:22", b".5", b"Z", b"  Info  ", b" ERROR:", b"[X-1.0]", b"Wed Nov 19 ", b" UTC 2025- ",
                           b" PM", b"- ", b"\xff", b"\x00", b"INFO ", "水曜日".encode()])


@given(st.sampled_from(SOURCES), st.lists(st.one_of(st.binary(max_size=60), st.lists(_PIECES, max_size=8).map(b"".join)), max_size=12))
@hypothesis_settings(max_examples=400, deadline=None)
def test_any_bytes_are_records_or_not(source: str, lines: list[bytes]) -> None:
    found = list(records(source, lines, east))
    assert sum(entry.begins for entry in found) == sum(parse(source, line, east) is not None for line in lines)
    assert all(entry.level in extlog.LEVELS and isinstance(entry.text, str) for entry in found)
    assert all(entry.begins for entry in found[1:])
