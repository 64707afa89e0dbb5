"""An edit of waagent.conf in words: what the agent will read otherwise, and never a secret."""

from __future__ import annotations

import pytest
from hypothesis import given

from waguard.agent import conf, confdiff

from .strategies import FILES


def changed(before: bytes, after: bytes) -> tuple[confdiff.Change, ...]:
    return confdiff.compare(confdiff.values(conf.parse(before)), confdiff.values(conf.parse(after)))


def told(before: str, after: str) -> list[str]:
    return [str(change) for change in changed(before.encode(), after.encode())]


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("Logs.Verbose=n", "Logs.Verbose=y", ["Logs.Verbose: n -> y"]),
    ("\n", "Logs.Verbose=y", ["Logs.Verbose: n (default) -> y"]),
    ("Extensions.Enabled=n", "\n", ["Extensions.Enabled: n -> y (default)"]),
    ("Extensions.Enabled=n", "Extensions.Enabled=maybe", ["Extensions.Enabled: n -> y (default)"]),
    ("Extensions.Enabled=n", "Extensions.Enabled=n\nExtensions.Enabled=y", ["Extensions.Enabled: n -> y"]),
    ("Extensions.Enabled=n", "#Extensions.Enabled=n", ["Extensions.Enabled: n -> y (default)"]),
    ("Extensions.GoalStatePeriod=6", "Extensions.GoalStatePeriod=30 # slower", ["Extensions.GoalStatePeriod: 6 -> 30"]),
    ("HttpProxy.Port=80", "HttpProxy.Port=None", ["HttpProxy.Port: 80 -> none (default)"]),
    ("Lib.Dir=/a", "Lib.Dir=/b", ["Lib.Dir: /a -> /b"]),
    ("Lib.Dir=/a", "Lib.Dir=", ["Lib.Dir: /a -> "]),
    ("Logs.Verbose=n\nLib.Dir=/a", "Lib.Dir=/b\nLogs.Verbose=y", ["Lib.Dir: /a -> /b", "Logs.Verbose: n -> y"]),
    ("Provisioning.Enabled=n", "Provisioning.Enabled=y", ["Provisioning.Enabled: n -> y"]),
])
def test_a_change_has_key_old_and_new_value(before: str, after: str, expected: list[str]) -> None:
    assert told(before, after) == expected


@pytest.mark.parametrize(("before", "after"), [
    ("Logs.Verbose=n", "Logs.Verbose=n"), ("Logs.Verbose=n", "# now quiet\n  Logs.Verbose = N # was y\r\n"), ("Logs.Verbose=n", "\n"),
    ("Logs.Verbose=n", "Logs.Verbose=y\nLogs.Verbose=n"), ("Extensions.GoalStatePeriod=6", "Extensions.GoalStatePeriod=+06"),
    ("Logs.Verbose=n", "Logs.Verbose=yes"), ("x=None", "\n")])
def test_what_the_agent_reads_the_same_is_no_change(before: str, after: str) -> None:
    assert told(before, after) == []


def test_a_key_that_follows_another_changes_with_its_being_there() -> None:
    """AutoUpdate.Enabled=n alone runs the installed agent; with UpdateToLatestVersion=n the newest one downloaded runs (2.10)."""
    assert told("AutoUpdate.Enabled=n", "AutoUpdate.Enabled=n\nAutoUpdate.UpdateToLatestVersion=n") == [
        "AutoUpdate.UpdateToLatestVersion: n (default) -> n"]
    assert told("AutoUpdate.Enabled=n", "AutoUpdate.Enabled=y") == ["AutoUpdate.Enabled: n -> y"]
    assert told("Extensions.GoalStatePeriod=9\nExtensions.InitialGoalStatePeriod=3", "Extensions.GoalStatePeriod=9") == [
        "Extensions.InitialGoalStatePeriod: 3 -> 9 (default)"]


def test_of_keys_that_the_agent_does_not_read_no_value_is_told() -> None:
    assert told("My.Secret=hunter2\nOld=1", "My.Secret=hunter3\nLogs.Verbose=y\nNew=hunter4") == [
        "Logs.Verbose: n (default) -> y", "My.Secret (not read by the agent): set -> set otherwise",
        "New (not read by the agent): not set -> set", "Old (not read by the agent): set -> not set"]


@pytest.mark.parametrize("host", [
    "user:hunter2@proxy", "hunter2@proxy", "http://user:hunter2@proxy", "user:hun#ter2@proxy", "user:hunter2#x@proxy", "user:hunter2@x@proxy",
    "user:'hunter2'@proxy", "user:hunter2/?@proxy"])
def test_a_proxys_login_is_never_told(host: str) -> None:
    (change,) = changed(b"HttpProxy.Host=other", f"HttpProxy.Host={host}".encode())
    assert str(change) == "HttpProxy.Host: other -> <redacted>@proxy"
    (change,) = changed(f"HttpProxy.Host={host}".encode(), b"HttpProxy.Host=other")
    assert str(change) == "HttpProxy.Host: <redacted>@proxy -> other"


def test_that_only_the_password_changed_is_told() -> None:
    assert told("HttpProxy.Host=u:a@p", "HttpProxy.Host=u:b@p") == ["HttpProxy.Host: <redacted>@p -> <redacted>@p"]


@pytest.mark.parametrize("line", ["user:hunter2=@proxy", "curl https://x/?sig=hunter2", "https://u:hunter2@x=1", "#k=sig=hunter2", " # password=hunter2",
                                  "Lib.Dir=https://x/?sig=hunter2", "HttpProxy.Port=u:hunter2@x", "OS.SshDir=password=hunter2",
                                  "Provisioning.Agent=user:hunter2@x", "OS.SshClientAliveInterval=u:hunter2@x"])
def test_nor_is_anything_else_that_looks_like_a_secret(line: str) -> None:
    said = confdiff.describe(changed(b"\n", line.encode())) + confdiff.describe(changed(line.encode(), b"\n"))
    assert "hunter2" not in said
    assert "hunter2" not in str(conf.lint(conf.parse(line.encode())))


def test_it_is_bounded() -> None:
    junk = b"".join(b"key%d=%s\n" % (number, b"x" * 100) for number in range(5000))
    found = changed(b"\n", junk + b"Lib.Dir=/" + b"x" * 5000)
    assert len(found) == 101
    assert found[0].key == "Lib.Dir" and len(found[0].new) == 60
    assert len(confdiff.describe(found)) < 500


def test_one_line_names_the_first_and_counts_the_rest() -> None:
    found = [confdiff.Change(f"k{number}", "a", "b") for number in range(7)]
    assert confdiff.describe(found[:2]) == "k0: a -> b; k1: a -> b"
    assert confdiff.describe(found[:5]).endswith("k4: a -> b")
    assert confdiff.describe(found) == "k0: a -> b; k1: a -> b; k2: a -> b; k3: a -> b; k4: a -> b; and 2 more"


@given(FILES, FILES)
def test_any_two_files_can_be_compared(before: bytes, after: bytes) -> None:
    old, new = conf.parse(before), conf.parse(after)
    found = changed(before, after)
    told_of = {change.key for change in found}
    for key in conf.KEYS:
        if old.value(key) != new.value(key) and (old.effective(key).line or new.effective(key).line):
            assert key in told_of, "no effective change is left out"
    assert changed(before, before) == ()
    assert all(change.key.isprintable() and change.old.isprintable() and change.new.isprintable() for change in found)
    assert [(change.key, change.old) for change in found if change.key in conf.KEYS] == [
        (change.key, change.new) for change in changed(after, before) if change.key in conf.KEYS], "there and back"
