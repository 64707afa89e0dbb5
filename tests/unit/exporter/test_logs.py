"""waguard.exporter.logs: one line a record, whatever is in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from waguard.exporter import logs

CODE = """\
import logging, sys
from waguard.exporter import logs
logs.to_stderr("info", sys.argv[1] or None)
logging.getLogger("x").debug("not this")
logging.getLogger("x").warning("%s", sys.argv[2])
try:
    1 // 0
except ZeroDivisionError:
    logging.getLogger("x").exception("failed")
"""
ROOT = Path(__file__).resolve().parents[3]


def said(form: str, message: str) -> list[str]:
    run = subprocess.run([sys.executable, "-c", CODE, form, message], cwd=ROOT, stderr=subprocess.PIPE, text=True, check=True)
    return run.stderr.splitlines()


@pytest.mark.parametrize("message", ["word", "two words", 'say "x"', "a=b", "new\nline", "ü", "\x1b[31m", ""])
def test_json_and_logfmt_keep_a_record_on_one_line(message: str) -> None:
    first, second = map(json.loads, said("json", message))
    assert (first["level"], first["msg"]) == ("WARN", message)
    assert (second["level"], second["msg"]) == ("ERROR", "failed")
    assert "ZeroDivisionError" in second["err"]
    one, two = said("logfmt", message)
    assert one.split(" msg=", 1)[1] in (message, json.dumps(message))
    assert " level=ERROR msg=failed err=" in two
    assert one.isascii()
    assert one.isprintable()


def test_in_the_journal_each_line_has_its_priority(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as stream:
        info = os.fstat(stream.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{info.st_dev}:{info.st_ino}"}
        for form in ("", "logfmt"):
            subprocess.run([sys.executable, "-c", CODE, form, "hello"], cwd=ROOT, stderr=stream, env=environment, check=True)
        stream.seek(0)
        lines = stream.read().splitlines()
    assert lines[0] == "<4>hello"
    assert all(line.startswith("<3>") for line in lines[1:-2])
    assert len(lines) > 4
    assert lines[-2].startswith("<4>time=")
    assert lines[-1].startswith("<3>time=")


def test_the_levels_are_those_of_the_go_exporters() -> None:
    assert list(logs.LEVELS) == ["debug", "info", "warn", "error"]
