"""``waguardctl versions``: with a guard and without, from a fake package manager and a feed that is a file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from waguard.agent.versions import LATEST_KNOWN
from waguard.observe import programs, releases, software

from .conftest import Ctl, FakeGuard, Said

APT = "waagent:\n  Installed: {}\n  Candidate: {}\n  Version table:\n"
FEED = [{"tag_name": "v2.99.0.1", "draft": False, "prerelease": False, "published_at": "2030-01-01T00:00:00Z"}]


class Machine:
    """Debian with an apt-cache of the test's own, and a place for waguard's settings."""

    def __init__(self, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.base = base
        self.settings = base / "etc"
        self.settings.mkdir(parents=True)
        self.lib = base / "lib"
        self.lib.mkdir()
        (base / "waagent.conf").write_text(f"Lib.Dir={self.lib}\nAutoUpdate.Enabled=n\n")
        (base / "feed.json").write_text(json.dumps(FEED))
        self.set(f"agent:\n  conf: {base}/waagent.conf\nversions:\n  feed: file://{base}/feed.json\n")
        self.apt("2.7.3.0-4.1", "2.7.3.0-4.1")
        monkeypatch.setattr(programs, "PATH", str(base))
        monkeypatch.setattr(software, "distribution", lambda: ("debian",))

    def set(self, text: str) -> None:
        (self.settings / "waguard.yaml").write_text(text)

    def apt(self, installed: str, candidate: str) -> None:
        (self.base / "apt-cache").write_text(f"#!/bin/sh\nprintf %s {shlex.quote(APT.format(installed, candidate))}\n")
        (self.base / "apt-cache").chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path / "machine", monkeypatch)


def call(ctl: Ctl, machine: Machine, *words: str) -> Said:
    return ctl("versions", *words, "--settings-dir", str(machine.settings))


def shown(said: Said) -> dict[str, str]:
    assert said.code == 0 and said.err == "", said
    return {line[2:20].strip(): line[20:].strip() for line in said.out.splitlines() if line.startswith("  ") and line[20:].strip()}


def test_side_by_side_with_a_guard(ctl: Ctl, machine: Machine, guard: FakeGuard) -> None:
    guard.snapshot["agent"]["versions"] = {"daemon": "2.7.3.0", "goal_state": "2.15.0.1", "distro": None}
    told = shown(call(ctl, machine))
    assert told["Goal state agent"] == "2.15.0.1" and told["Daemon"] == "2.7.3.0"
    assert told["Package"] == "waagent 2.7.3.0-4.1" and told["Distribution"].startswith("2.7.3.0-4.1")
    assert told["Upstream"].startswith("2.99.0.1, released on 2030-01-01 (asked")
    assert told["Supported from"] == "2.2.53.1" and told["Disabled"] == "none"
    out = call(ctl, machine).out
    assert out.endswith("To upgrade, as root: apt-get update && apt-get install --only-upgrade waagent\n")
    assert "agent-behind-upstream" in out and "AutoUpdate.Enabled is off" in out


def test_without_a_guard_the_rest_is_shown(ctl: Ctl, machine: Machine) -> None:
    told = shown(call(ctl, machine))
    assert told["Goal state agent"] == "not known: the guard does not run"
    assert told["Package"] == "waagent 2.7.3.0-4.1"


def test_json(ctl: Ctl, machine: Machine, guard: FakeGuard) -> None:
    machine.apt("2.7.3.0-4.1", "2.9-1")
    result = call(ctl, machine, "--json").json["result"]
    assert result["outdated"] == {"support_floor": False, "distro": True, "upstream": True}
    assert (result["goal_state"], result["installed"], result["candidate"]) == ("2.7.3.0", "2.7.3.0-4.1", "2.9-1")
    assert [finding["id"] for finding in result["findings"]] == ["agent-behind-distro", "agent-behind-upstream"]
    assert result["guard"] is None and result["command"] == result["upgrade"]


def test_a_package_that_is_not_installed_is_to_be_installed_and_not_upgraded(ctl: Ctl, machine: Machine) -> None:
    machine.apt("(none)", "2.7.3.0-4.1")
    said = call(ctl, machine)
    assert shown(said)["Package"] == "not installed as a package"
    assert "To install, as root: apt-get update && apt-get install waagent" in said.out


def test_a_disabled_version_is_named(ctl: Ctl, machine: Machine) -> None:
    (machine.lib / "WALinuxAgent-2.15.0.1").mkdir()
    (machine.lib / "WALinuxAgent-2.15.0.1/error.json").write_text('{"was_fatal": true, "reason": "\\u001b[2J crashed"}')
    said = call(ctl, machine)
    assert shown(said)["Disabled"] == "2.15.0.1" and "\x1b" not in said.out


def with_parts(snapshot: dict[str, Any], facts: Any) -> None:
    snapshot["doctor"] = {"parts": [{"name": "conf", "facts": {}}, {"name": "versions", "facts": facts}]}


def test_what_the_guard_has_fetched_is_not_fetched_again(ctl: Ctl, machine: Machine, guard: FakeGuard,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"upstream": "2.77.0.1", "upstream_released": "2029-01-01", "upstream_source": "feed", "upstream_fetched_at": 1.7e9,
             "upstream_problem": None}
    with_parts(guard.snapshot, facts)
    with monkeypatch.context() as patch:
        patch.delattr(releases, "fetch")
        said = call(ctl, machine)
    assert shown(said)["Upstream"].startswith("2.77.0.1, released on 2029-01-01 (asked ")
    assert "and 2.77.0.1 was released on 2029-01-01" in said.out
    with_parts(guard.snapshot, {**facts, "upstream_source": "table"})
    assert shown(call(ctl, machine))["Upstream"].startswith("2.99.0.1")


@pytest.mark.parametrize("spoil", [
    lambda snapshot: snapshot.update(doctor=None), lambda snapshot: snapshot.update(doctor={"parts": 7}),
    lambda snapshot: with_parts(snapshot, None), lambda snapshot: with_parts(snapshot, {}),
    lambda snapshot: with_parts(snapshot, {"upstream": 7, "upstream_source": "feed", "upstream_released": None,
                                           "upstream_fetched_at": None, "upstream_problem": None}),
    lambda snapshot: snapshot.update(agent={}), lambda snapshot: snapshot.update(agent=None),
])
def test_a_guard_of_another_version_is_lived_with(ctl: Ctl, machine: Machine, guard: FakeGuard,
                                                  spoil: Callable[[dict[str, Any]], None]) -> None:
    spoil(guard.snapshot)
    assert shown(call(ctl, machine))["Upstream"].startswith("2.99.0.1")


def test_offline_is_the_table(ctl: Ctl, machine: Machine) -> None:
    told = shown(call(ctl, machine, "--offline"))
    assert told["Upstream"].startswith(f"{LATEST_KNOWN.version}, released on {LATEST_KNOWN.tagged} (as known when")


def test_a_feed_that_fails_is_told(ctl: Ctl, machine: Machine) -> None:
    (machine.base / "feed.json").write_text("<html>")
    assert shown(call(ctl, machine))["Upstream"].endswith("(as known when this waguard was made); the feed is not JSON")


def test_what_is_not_known_is_said(ctl: Ctl, machine: Machine) -> None:
    (machine.base / "apt-cache").unlink()
    machine.lib.rmdir()
    told = shown(call(ctl, machine))
    assert told["Package"] == "not known" and told["Distribution"] == "not known: there is no apt-cache"
    assert told["Disabled"].startswith("not known: ")


def test_settings_that_cannot_be_used(ctl: Ctl, machine: Machine) -> None:
    machine.set("nonsense: 1\n")
    said = call(ctl, machine)
    assert said.code == 1 and "waguardctl config check" in said.err
