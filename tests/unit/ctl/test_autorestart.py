"""``waguardctl autorestart`` with a fake systemctl; nothing here needs a guard."""

from __future__ import annotations

import pytest

from waguard.act import dropin

from .conftest import Ctl, FakeSystemd, Said

WAAGENT = "waagent.service"


def call(ctl: Ctl, systemd: FakeSystemd, *words: str) -> Said:
    return ctl("autorestart", *words, "--unit-dir", str(systemd.etc), "--settings-dir", str(systemd.base / "etc"))


def test_from_none_to_always_and_back(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\nExecStart=x\n")
    path = systemd.etc / f"{WAAGENT}.d/50-waguard.conf"
    before = f"{WAAGENT}: systemd does not restart the agent (Restart=no, by systemd's default)\n"
    after = f"{WAAGENT}: systemd restarts the agent (Restart=always after 5 s, by waguard's drop-in {path})\n"
    assert call(ctl, systemd, "status") == (0, before, "")
    assert call(ctl, systemd, "enable") == (0, f"{path}: written; the agent was not restarted\n{after}", "")
    assert path.read_text() == dropin.TEXT
    assert call(ctl, systemd, "status") == (0, after, "")
    assert call(ctl, systemd, "disable") == (0, f"{path}: removed; the agent was not restarted\n{before}", "")
    assert not path.parent.exists()
    assert systemd.calls.count("daemon-reload") == 2


@pytest.mark.parametrize("what", ["enable", "disable"])
def test_twice_is_as_good_as_once(ctl: Ctl, systemd: FakeSystemd, what: str) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    call(ctl, systemd, what)
    reloads = systemd.calls.count("daemon-reload")
    said = call(ctl, systemd, what)
    assert said.code == 0 and len(said.out.splitlines()) == 1 and systemd.calls.count("daemon-reload") == reloads


def test_a_reload_that_was_missed_is_made_up_for(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    call(ctl, systemd, "enable")
    systemd.stale()
    assert call(ctl, systemd, "status").err == "warning: systemd has not read all its files yet: systemctl daemon-reload\n"
    assert call(ctl, systemd, "enable").err == ""


def test_json(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    path = str(systemd.etc / f"{WAAGENT}.d/50-waguard.conf")
    assert call(ctl, systemd, "enable", "--json").json == {"schema": 1, "warnings": [], "result": {
        "unit": WAAGENT, "restart": "always", "delay": 5.0, "source": path, "by": "waguard", "enabled": True, "path": path, "changed": True}}
    assert call(ctl, systemd, "disable", "--json").json["result"] == {
        "unit": WAAGENT, "restart": "no", "delay": 0.1, "source": None, "by": "default", "enabled": False, "path": path, "changed": True}


def test_the_units_own_is_told_from_waguards(ctl: Ctl, systemd: FakeSystemd) -> None:
    unit = systemd.unit(WAAGENT, "[Service]\nRestart=always\nRestartSec=5\n")
    assert call(ctl, systemd, "status").out == (
        f"{WAAGENT}: systemd restarts the agent (Restart=always after 5 s, by the unit itself, {unit})\n")


def test_an_administrators_drop_in_that_wins_is_named(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    other = systemd.add(WAAGENT, "99-local.conf", "[Service]\nRestart=no\n")
    said = call(ctl, systemd, "enable")
    assert said.code == 0 and f"Restart=no, by a drop-in that is not waguard's, {other}" in said.out
    assert said.err == f"warning: waguard's drop-in is overridden by {other}\n"


def test_a_masked_unit_is_told(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "MASKED")
    assert "is masked" in call(ctl, systemd, "status").err


def test_a_file_that_is_not_waguards_is_an_error_with_a_hint(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    path = systemd.add(WAAGENT, "50-waguard.conf", "[Service]\nRestart=no\n")
    for what in ("enable", "disable"):
        assert call(ctl, systemd, what) == (1, "", f"waguardctl: {path} is not as waguard writes it and was left alone\n"
                                                   f"  (look at it; if it may go: rm {path})\n")
    assert systemd.calls.count("daemon-reload") == 0
    assert call(ctl, systemd, "enable", "--json").json["error"]["hint"] == f"look at it; if it may go: rm {path}"


@pytest.mark.parametrize("what", ["status", "enable", "disable"])
def test_without_the_agent_or_systemd_it_says_so(ctl: Ctl, systemd: FakeSystemd, what: str) -> None:
    assert "there is no walinuxagent.service and no waagent.service" in call(ctl, systemd, what).err
    systemd.fail("Failed to connect to bus: Host is down")
    said = call(ctl, systemd, what)
    assert said.code == 1 and "Host is down" in said.err and "machines that run systemd" in said.err


def test_the_unit_of_the_settings_is_meant(ctl: Ctl, systemd: FakeSystemd) -> None:
    systemd.unit(WAAGENT, "[Service]\n")
    systemd.unit("my-agent.service", "[Service]\n")
    (systemd.base / "etc").mkdir()
    (systemd.base / "etc/waguard.yaml").write_text("agent:\n  unit: my-agent\n")
    assert call(ctl, systemd, "enable", "--json").json["result"]["unit"] == "my-agent.service"
    (systemd.base / "etc/waguard.yaml").write_text("agent:\n  unit: ../../x\n")
    systemd.unit("x", "")
    assert call(ctl, systemd, "enable").code == 1 and not (systemd.base / "x.service.d").exists()
    (systemd.base / "etc/waguard.yaml").write_text("nonsense: 1\n")
    assert "waguardctl config check" in call(ctl, systemd, "status").err
