"""A visit as a whole: what it takes from the settings and what from waagent.conf."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest

from waguard.doctor import visit


@pytest.mark.parametrize(("setting", "line", "library"), [
    ("auto", "Lib.Dir={conf}\n", "{conf}"), ("{setting}", "Lib.Dir={conf}\n", "{setting}"), ("auto", "", "/var/lib/waagent"),
    ("{setting}", None, "{setting}")])
def test_the_library_directory_is_that_of_the_settings_or_else_of_the_conf(
        tmp_path: Path, setting: str, line: Optional[str], library: str) -> None:
    names = {"conf": str(tmp_path / "by-conf"), "setting": str(tmp_path / "by-setting")}
    conf = tmp_path / "waagent.conf"
    if line is not None:
        conf.write_text(f"Logs.Verbose=n\n{line.format(**names)}")
    (tmp_path / "waguard.yaml").write_text(f"agent: {{lib_dir: {setting.format(**names)}}}\n")
    found = visit.visit({"agent": {"conf": str(conf)}, "settings_dir": str(tmp_path)}, lambda _title: None, everything=())
    assert found["places"]["lib_dir"] == library.format(**names)
