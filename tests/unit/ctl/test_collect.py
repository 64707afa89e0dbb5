"""waguardctl collect: what it says, what it refuses, what is left afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import stat
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waguard.bundle import output
from waguard.ctl import collect

from .conftest import SECRET, Ctl, FakeGuard, environment


def _words(machine: Path, *more: str) -> tuple[str, ...]:
    return ("collect", "--settings-dir", str(machine / "settings"), *more)


def _members(path: str) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {info.name.partition("/")[2]: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]


@pytest.mark.usefixtures("quick", "guard")
def test_the_bundle_is_written_and_said_where(ctl: Ctl, machine: Path, run_dir: Path) -> None:
    said = ctl(*_words(machine, "-o", str(machine / "out")))
    (made,) = (machine / "out").iterdir()
    assert said.code == 0 and said.out.splitlines()[0] == str(made) and stat.S_IMODE(made.stat().st_mode) == 0o600
    assert "1 secret (1 sas-signature)" in said.out and "README.txt" in said.out and "hand it over" in said.out
    found = _members(str(made))
    assert json.loads(found["waguard/snapshot.json"])["schema"] == 1 and json.loads(found["waguard/events.json"])
    assert found["waguard/doctor.txt"] == b"healthy\n" and b"Linux" in found["machine/uname.txt"]
    assert SECRET.encode() not in b"".join(found.values())
    # The hint can be typed as it stands.
    command = next(line for line in said.out.splitlines() if "Look into it first" in line).partition(":")[2].replace("| less", "")
    assert b"Support bundle of" in subprocess.run(command, shell=True, check=True, stdout=subprocess.PIPE).stdout


@pytest.mark.usefixtures("quick", "guard")
def test_json_has_it_all(ctl: Ctl, machine: Path) -> None:
    said = ctl(*_words(machine, "-o", str(machine / "out/x.tar.gz"), "--json"))
    result = said.json["result"]
    assert said.code == 0 and said.err == "" and result["path"] == str(machine / "out/x.tar.gz")
    assert result["size"] == (machine / "out/x.tar.gz").stat().st_size and result["masked"] == {"sas-signature": 1}
    assert result["problems"] == ["machine/bad.txt: exit status 1"]
    assert {one["path"]: one["why"] for one in result["left_out"]}[str(machine / "lib/A.prv")] == "may hold keys or certificates"


@pytest.mark.usefixtures("quick")
def test_without_a_guard_the_rest_is_there(ctl: Ctl, machine: Path) -> None:
    said = ctl(*_words(machine, "-o", str(machine / "out"), "--json"))
    left = {one["path"]: one["why"] for one in said.json["result"]["left_out"]}
    assert said.code == 0 and left["waguard/snapshot.json"] == "the guard does not run"


def test_a_dry_run_lists_what_would_be_taken(ctl: Ctl, machine: Path) -> None:
    (machine / "log/azure/big.log").write_bytes(b"x\n" * 1000000)
    said = ctl(*_words(machine, "-o", str(machine / "out"), "--dry-run", "--max-size", "1M"))
    assert said.code == 0 and list((machine / "out").iterdir()) == []
    assert f"{machine}/log/waagent.log" in said.out and "(the newest part of 2.0 MB)" in said.out
    assert f"{machine}/lib/ovf-env.xml: holds what the VM was provisioned with" in said.out and SECRET not in said.out
    told = ctl(*_words(machine, "--dry-run", "--json")).json["result"]
    assert [one["path"] for one in told["files"]][-3:] == [
        f"{machine}/log/waagent.log", f"{machine}/log/azure/big.log", f"{machine}/log/azure/Any.Ext/extension.log"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("target", "message"), [("gone/x", "No such file"), ("gone/", "no such folder"), ("there", "exists already")])
def test_a_place_that_cannot_be_written_is_refused_with_a_hint(ctl: Ctl, machine: Path, target: str, message: str) -> None:
    (machine / "out/there").write_text("mine")
    said = ctl(*_words(machine, "-o", f"{machine}/out/{target}"))
    assert said.code == 1 and message in said.err and "--output" in said.err and said.out == ""
    assert (machine / "out/there").read_text() == "mine"
    told = ctl(*_words(machine, "-o", f"{machine}/out/{target}", "--json")).json
    assert message in told["error"]["message"] and told["result"] is None


@pytest.mark.usefixtures("quick")
def test_a_short_disk_is_refused(ctl: Ctl, machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output.Output, "room", lambda _self: -1)
    said = ctl(*_words(machine, "-o", str(machine / "out")))
    assert said.code == 1 and "MB free" in said.err and "--max-size" in said.err and list((machine / "out").iterdir()) == []


@pytest.mark.usefixtures("quick")
def test_who_may_not_read_everything_is_told(ctl: Ctl, machine: Path, powerless: Callable[[], contextlib.AbstractContextManager[None]],
                                             monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = type("Manifest", (), {"left_out": [{"path": "/x", "why": "Permission denied"}], "user": "nobody"})
    with powerless():
        assert collect._warnings(manifest) == ("1 place may not be read by nobody: as root the bundle holds more",)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert collect._warnings(manifest) == ()


@pytest.mark.usefixtures("quick")
def test_settings_that_cannot_be_used_are_no_reason_to_refuse(ctl: Ctl, machine: Path) -> None:
    (machine / "settings/waguard.yaml").write_text("agent: [\n")
    said = ctl(*_words(machine, "-o", str(machine / "out"), "--json"))
    assert said.code == 0 and any("settings cannot be used" in one for one in said.json["result"]["problems"])


@pytest.mark.parametrize(("text", "size"), [("200M", 200_000_000), ("1G", 10**9), ("5mb", 5_000_000), ("2000000", 2_000_000)])
def test_sizes_as_people_type_them(text: str, size: int) -> None:
    assert collect.parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "1K", "-5M", "lots", "5T", "1e9", "99999999999999999G"])
def test_what_is_no_size_is_wrong_usage(ctl: Ctl, machine: Path, text: str) -> None:
    said = ctl(*_words(machine, "--max-size", text))
    assert said.code == 2 and ("size" in said.err or "expected" in said.err)


def test_the_real_program_with_the_real_doctor_and_the_real_programs(machine: Path, run_dir: Path) -> None:
    program = [sys.executable, "-m", "waguard.ctl.main", *_words(machine, "-o", str(machine / "out"), "--json")]
    ran = subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(run_dir), timeout=300)
    result: Any = json.loads(ran.stdout)["result"]
    assert ran.returncode == 0 and ran.stderr == b""
    found = _members(result["path"])
    assert json.loads(found["waguard/doctor.json"])["result"]["parts"] and b"Looked at" in found["waguard/doctor.txt"]
    assert {"machine/uname.txt", "machine/df.txt", "machine/ps.txt", "waguard/versions.txt", "waguard/metrics.txt", "waguard/settings.txt",
            "machine/proc-self-mountinfo", "machine/etc-os-release"} <= set(found)
    assert f"conf: {machine}".encode() in found["waguard/settings.txt"]
    assert b"guard_up 0" in found["waguard/metrics.txt"]


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_shown_on_a_terminal_only(machine: Path, run_dir: Path, terminal: bool) -> None:
    program = [sys.executable, "-m", "waguard.ctl.main", *_words(machine, "--dry-run", "--json")]
    if not terminal:
        assert subprocess.run(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(run_dir)).stderr == b""
        return
    leader, follower = pty.openpty()
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=follower, env=environment(run_dir)) as process:
        os.close(follower)
        process.communicate()
    assert b"collecting " in os.read(leader, 65536)
    os.close(leader)


def test_a_fake_guard_is_all_that_is_asked(guard: FakeGuard, ctl: Ctl, machine: Path) -> None:
    ctl(*_words(machine, "--dry-run"))
    assert [name for name, _ in guard.calls] == ["GetSnapshot", "GetEvents"]
