"""A systemctl that answers ``show`` out of unit files and drop-ins in a folder, as of the last ``daemon-reload``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from waguard.observe import programs

UNIT = "walinuxagent.service"
_PROGRAM = '''#!{python} -S
import pathlib, sys
etc = pathlib.Path({etc!r})
base = pathlib.Path({base!r})
with open(base / "calls", "a") as calls:
    calls.write(" ".join(sys.argv[1:]) + "\\n")
if (base / "fails").exists():
    sys.exit((base / "fails").read_text())
if sys.argv[1] == "daemon-reload":
    (base / "stale").unlink(missing_ok=True)
    sys.exit(0)
assert sys.argv[1] == "show", sys.argv
at = sys.argv.index("-p")
blocks = []
for name in sys.argv[at + 2:]:
    unit = etc / name
    told = {{"Id": name, "LoadState": "loaded" if unit.exists() else "not-found", "ActiveState": "active", "SubState": "running",
            "UnitFileState": "enabled", "Restart": "no", "RestartUSec": "100ms", "FragmentPath": str(unit) if unit.exists() else "",
            "NeedDaemonReload": "yes" if (base / "stale").exists() else "no"}}
    dropins = sorted((etc / (name + ".d")).glob("*.conf")) if (etc / (name + ".d")).is_dir() else []
    told["DropInPaths"] = " ".join(map(str, dropins))
    for path in ([unit] if unit.exists() else []) + dropins:
        text = path.read_text()
        if text == "MASKED":
            told["LoadState"], told["UnitFileState"] = "masked", "masked"
        section = ""
        for line in text.splitlines():
            section = line if line.startswith("[") else section
            key, _, value = (word.strip() for word in line.partition("="))
            if section == "[Service]" and key == "Restart":
                told["Restart"] = value
            if section == "[Service]" and key == "RestartSec":
                told["RestartUSec"] = value + "s"
    wanted = sys.argv[at + 1].split(",")
    blocks.append("".join(f"{{key}}={{value}}\\n" for key, value in told.items() if key in wanted))
sys.stdout.write("\\n".join(blocks))
'''


class FakeSystemd:
    """``etc``: the folder of unit files and drop-ins."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = tmp_path / "fake-systemd"
        self.etc = self.base / "system"
        (self.base / "bin").mkdir(parents=True)
        self.etc.mkdir()
        program = self.base / "bin/systemctl"
        program.write_text(_PROGRAM.format(python=sys.executable, etc=str(self.etc), base=str(self.base)))
        program.chmod(0o755)
        monkeypatch.setattr(programs, "PATH", str(self.base / "bin"))

    def unit(self, name: str, text: str) -> Path:
        path = self.etc / name
        path.write_text(text)
        return path

    def add(self, unit: str, name: str, text: str) -> Path:
        path = self.etc / f"{unit}.d" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def stale(self) -> None:
        (self.base / "stale").touch()

    def fail(self, why: str) -> None:
        (self.base / "fails").write_text(why)

    @property
    def calls(self) -> list[str]:
        path = self.base / "calls"
        return path.read_text().splitlines() if path.exists() else []


