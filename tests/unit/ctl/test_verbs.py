"""waguardctl, every verb against guards of all kinds: exit status, envelope, messages with what to do."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from waguard.ctl import common, main

from .conftest import Ctl, FakeGuard, Said, odd_guard

READING = {"status": ("status",), "verbose status": ("verbose", "status"), "events": ("events",)}
ORDERS = {
    "verbose on": ("verbose", "on"), "verbose off": ("verbose", "off"), "restart": ("restart", "--no-wait"),
    "pause": ("pause",), "resume": ("resume",),
}
ASKING = {**READING, **ORDERS}
asking = pytest.mark.parametrize("words", ASKING.values(), ids=[name.replace(" ", "-") for name in ASKING])
ordering = pytest.mark.parametrize("words", ORDERS.values(), ids=[name.replace(" ", "-") for name in ORDERS])


def failed(said: Said, message: str, hint: str = "") -> None:
    """One line with what is wrong, one with what to do, exit status 1, no traceback."""
    assert said.code == 1
    assert said.out == ""
    lines = said.err.splitlines()
    assert re.fullmatch(f"waguardctl: {message}", lines[0]), lines
    assert len(lines) == 2 if hint else 1
    assert not hint or re.fullmatch(rf"  \({hint}\)", lines[1]), lines


# Going well


@asking
def test_going_well(guard: FakeGuard, ctl: Ctl, words: tuple[str, ...]) -> None:
    said = ctl(*words)
    assert said.code == 0
    assert said.out.strip()
    assert "\x1b" not in said.out + said.err


@asking
def test_json_is_the_envelope(guard: FakeGuard, ctl: Ctl, words: tuple[str, ...]) -> None:
    said = ctl(*words, "--json")
    assert (said.code, said.err) == (0, "")
    assert list(said.json) == ["schema", "result", "warnings"]
    assert said.json["schema"] == 1
    assert isinstance(said.json["warnings"], list)


def test_what_is_asked_for(guard: FakeGuard, ctl: Ctl) -> None:
    ctl("verbose", "on")
    ctl("verbose", "on", "--for", "30m", "--no-restart")
    ctl("verbose", "on", "--forever")
    ctl("verbose", "off")
    ctl("restart", "--no-wait", "--force")
    ctl("pause", "--for", "1h30m")
    ctl("pause")
    ctl("resume")
    assert guard.calls == [
        ("SetVerbose", {"on": True, "seconds": None, "forever": False, "restart": True}),
        ("SetVerbose", {"on": True, "seconds": 1800.0, "forever": False, "restart": False}),
        ("SetVerbose", {"on": True, "seconds": None, "forever": True, "restart": True}),
        ("SetVerbose", {"on": False, "seconds": None, "forever": False, "restart": True}),
        ("Restart", {"force": True}), ("Pause", {"seconds": 5400.0}), ("Pause", {"seconds": None}), ("Resume", {})]


def test_results(guard: FakeGuard, ctl: Ctl) -> None:
    assert ctl("status", "--json").json["result"] == guard.snapshot
    assert ctl("events", "--json").json["result"] == guard.snapshot["events"]
    assert ctl("verbose", "status", "--json").json["result"] == guard.snapshot["verbose"]
    assert ctl("verbose", "on", "--json").json == {
        "schema": 1, "result": {"message": "verbose logging is on for 2h"}, "warnings": ["tokens in clear"]}
    assert ctl("restart", "--no-wait", "--json").json["result"] == {
        "message": "the agent is being restarted", "proved": None}
    assert ctl("resume", "--json").json["result"] == {"message": "waguard works again"}


def test_messages_and_warnings(guard: FakeGuard, ctl: Ctl) -> None:
    assert ctl("verbose", "on") == (0, "verbose logging is on for 2h\n", "warning: tokens in clear\n")
    assert ctl("resume") == (0, "waguard works again\n", "")
    assert ctl("verbose", "status") == (0, "off\n", "")


# Restart, waited for


def steps(guard: FakeGuard, *found: dict[str, Any]) -> None:
    """The snapshots that come one after another: changes of policy and agent."""
    left = list(found)

    def answer() -> dict[str, Any]:
        changes = left.pop(0) if len(left) > 1 else left[0]
        snapshot = json.loads(json.dumps(guard.snapshot))
        snapshot["policy"].update(changes.get("policy", {}))
        snapshot["agent"].update(changes.get("agent", {}))
        return {"snapshot": snapshot}

    guard.answers["GetSnapshot"] = answer


VERIFYING = {"policy": {"verifying": {"action": "restart", "stage": "heartbeat", "since": 1.0}}}


def test_restart_waits_until_it_is_proved(guard: FakeGuard, ctl: Ctl) -> None:
    steps(guard, {"policy": {"pending_restart": "asked for by root"}}, VERIFYING, {"agent": {"state": "starting"}}, {})
    assert ctl("restart") == (0, "the agent works again as pid 412\n", "")
    assert len(guard.calls) == 5
    assert ctl("restart", "--json").json["result"] == {"message": "the agent works again", "proved": True}


def test_restart_that_is_not_proved_in_time(guard: FakeGuard, ctl: Ctl) -> None:
    steps(guard, VERIFYING)
    failed(ctl("restart", "--timeout", "400ms"),
           "the agent was restarted but is not proved to work yet: waiting for a new heartbeat",
           "waguardctl status; waguardctl events")


def test_restart_of_an_agent_that_is_stopped_meanwhile(guard: FakeGuard, ctl: Ctl) -> None:
    rests = {"by": "stopped", "detail": "it was stopped on request"}
    steps(guard, VERIFYING, {"agent": {"state": "resting", "rests": rests}})
    failed(ctl("restart"), "the agent was stopped meanwhile: it was stopped on request",
           "waguardctl status; waguardctl events")


def test_restart_while_the_guard_goes_away(guard: FakeGuard, ctl: Ctl) -> None:
    guard.refuse("GetSnapshot", "org.varlink.service.MethodNotFound", method="io.waguard.GetSnapshot")
    failed(ctl("restart"), "this guard cannot do that", ".*same version.*")


# Refused, denied, unknown


@ordering
def test_refused_with_reason_and_hint(guard: FakeGuard, ctl: Ctl, words: tuple[str, ...]) -> None:
    for method in ("SetVerbose", "Restart", "Pause", "Resume"):
        guard.refuse(method, "io.waguard.Refused", reason="the ration is used up", hint="wait an hour")
    failed(ctl(*words), "refused: the ration is used up", "wait an hour")
    said = ctl(*words, "--json")
    assert (said.code, said.err) == (1, "")
    assert said.json == {"schema": 1, "result": None, "warnings": [],
                         "error": {"message": "refused: the ration is used up", "hint": "wait an hour"}}


def test_refused_without_a_hint(guard: FakeGuard, ctl: Ctl) -> None:
    guard.refuse("Resume", "io.waguard.Refused", reason="waguard is not paused", hint="")
    failed(ctl("resume"), "refused: waguard is not paused")


@pytest.mark.parametrize(("name", "parameters", "message"), [
    ("org.varlink.service.InvalidParameter", {"parameter": "seconds"},
     "the guard does not take this value of 'seconds'"),
    ("org.varlink.service.MethodNotFound", {"method": "x"}, "this guard cannot do that"),
    ("org.varlink.service.MethodNotImplemented", {"method": "x"}, "this guard cannot do that"),
    ("org.varlink.service.PermissionDenied", {}, "the guard answered org.varlink.service.PermissionDenied"),
    ("io.waguard.OfTheFuture", {"x": [1]}, r'the guard answered io.waguard.OfTheFuture \{"x":\[1\]\}'),
])
def test_other_errors(guard: FakeGuard, ctl: Ctl, name: str, parameters: dict[str, Any], message: str) -> None:
    guard.refuse("Pause", name, **parameters)
    failed(ctl("pause"), message, ".*same version.*")


@asking
def test_permission_denied_by_the_kernel(
    run_dir: Path, ctl: Ctl, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    from waguard import varlink

    def refuse(path: str, *_arguments: object) -> None:
        raise varlink.Unreachable(path, 13)

    monkeypatch.setattr(varlink, "call", refuse)
    monkeypatch.setenv("SUDO_USER", "alice")
    failed(ctl(*words),
           rf"permission denied: {run_dir}/(status|control) is open to root and to members of group waguard only",
           "use sudo, or ask an administrator for: usermod -aG waguard alice")


# No guard, and odd ones


@asking
def test_no_guard(ctl: Ctl, words: tuple[str, ...]) -> None:
    failed(ctl(*words), "the guard does not run", "systemctl start waguard; journalctl -u waguard -n 20")


@asking
def test_a_socket_that_a_dead_guard_left_behind(run_dir: Path, ctl: Ctl, words: tuple[str, ...]) -> None:
    with odd_guard(run_dir, None):
        pass
    failed(ctl(*words), "the guard does not run", ".*systemctl start waguard.*")


@asking
def test_a_silent_guard(run_dir: Path, ctl: Ctl, impatient: None, words: tuple[str, ...]) -> None:
    with odd_guard(run_dir, None):
        failed(ctl(*words), "the guard did not answer in time", "systemctl status waguard")


GARBAGE = {
    "nothing": (b"", "the guard hung up"),
    "half": (b'{"parameters": {"snap', "the guard hung up"),
    "no JSON": (b"hello\0", "the guard's answer cannot be used: .*not JSON.*"),
    "HTTP": (b"HTTP/1.1 400 Bad Request\r\n\r\n\0", "the guard's answer cannot be used: .*not JSON.*"),
    "binary": (bytes(range(1, 256)) + b"\0", "the guard's answer cannot be used: .*"),
    "list": (b"[]\0", "the guard's answer cannot be used: .*not an object.*"),
    "wrong types": (b'{"parameters": 7}\0', "the guard's answer cannot be used: .*"),
    "empty": (b"{}\0", "the guard's answer cannot be used: .*"),
    "null": (b'{"parameters": {"snapshot": null, "events": null, "message": null, "warnings": null}}\0',
             "the guard's answer cannot be used: .*"),
    "escapes": (b'{"error": "\\u001b[31mred", "parameters": {"a": "\\u001b[2J"}}\0',
                "the guard answered \ufffd.31mred .*"),
}


@asking
@pytest.mark.parametrize("kind", GARBAGE)
def test_a_garbage_guard(run_dir: Path, ctl: Ctl, words: tuple[str, ...], kind: str) -> None:
    answer, message = GARBAGE[kind]
    with odd_guard(run_dir, answer):
        said = ctl(*words)
        if kind == "null" and words[0] in ("pause", "resume", "restart"):
            assert said == (0, "None\n", "")
            return
        failed(said, message, ".*")
        assert "\x1b" not in said.err
        again = ctl(*words, "--json")
    assert again.code == 1
    assert again.json["error"]["message"]


@asking
def test_an_old_guard_that_lacks_keys(guard: FakeGuard, ctl: Ctl, words: tuple[str, ...]) -> None:
    guard.answers = {name: {} for name in guard.answers}
    said = ctl(*words)
    failed(said, "the guard's answer cannot be used: .*", ".*same version.*systemctl restart waguard")


# Metrics and config need no guard


def test_metrics(guard: FakeGuard, ctl: Ctl) -> None:
    said = ctl("metrics")
    assert (said.code, said.err) == (0, "")
    assert "waguard_guard_up 1.0\n" in said.out
    assert said.out.endswith("\n")
    assert not said.out.endswith("\n\n")
    assert ctl("metrics", "--json").json["result"].startswith("# HELP")


def test_metrics_without_a_guard(ctl: Ctl) -> None:
    said = ctl("metrics")
    assert (said.code, said.err) == (0, "waguardctl: the guard does not run\n")
    assert "waguard_guard_up 0.0\n" in said.out


@pytest.fixture
def settings_dir(tmp_path: Path) -> Path:
    directory = tmp_path / "settings"
    directory.mkdir()
    text = "restart:\n  backoff_cap: 20m\nagent:\n  start_command: [svc, '{name}', 'a b']\n"
    (directory / "waguard.yaml").write_text(text)
    return directory


def test_config_check(ctl: Ctl, settings_dir: Path) -> None:
    assert ctl("config", "check", "--settings-dir", str(settings_dir)) == (0, f"{settings_dir}: good\n", "")
    assert ctl("config", "check", "--settings-dir", str(settings_dir), "--json").json["result"] == {
        "valid": True, "problems": []}


def test_config_check_of_bad_settings(ctl: Ctl, settings_dir: Path) -> None:
    path = settings_dir / "waguard.yaml"
    path.write_text("restart:\n  backoff_cup: 20m\n  live_per_hour: many\n")
    said = ctl("config", "check", "--settings-dir", str(settings_dir))
    assert said.code == 1
    assert said.out.splitlines() == [
        f"{path}:2: unknown key 'restart.backoff_cup' (did you mean 'backoff_cap'?)",
        f"{path}:3: restart.live_per_hour: 'many' is not a whole number"]
    assert said.err == "waguardctl: 2 problems in the settings\n  (a running guard keeps its last good ones)\n"
    found = ctl("config", "check", "--settings-dir", str(settings_dir), "--json")
    assert (found.code, found.err, found.json["result"]["valid"]) == (1, "", False)
    assert [problem["line"] for problem in found.json["result"]["problems"]] == [2, 3]


def test_config_show_can_be_used_as_the_file(ctl: Ctl, settings_dir: Path) -> None:
    from waguard import settings

    for options in ((), ("--origin",), ("--help-text", "--origin")):
        shown = ctl("config", "show", "--settings-dir", str(settings_dir), *options).out
        before = settings.load(settings_dir)
        other = settings_dir / "other"
        other.mkdir(exist_ok=True)
        (other / "waguard.yaml").write_text(shown)
        assert settings.load(other).sections() == before.sections()
    assert f"  # {settings_dir}/waguard.yaml:2\n" in shown
    assert "  backoff_cap: 20m " in shown


@pytest.mark.parametrize("value", [
    "-x", "- x", "a: b", "#x", "*x", "&x", "`x`", "@x", "%x", "'", '"', "\\", "[x]", "{x}", "null", "true", "1", "~",
    "x # y", "x:", ":", "?", "? x", "|", ">", "!x", "é", "a,b", "=", "<<", "---"])
def test_config_show_quotes_what_yaml_would_misread(ctl: Ctl, settings_dir: Path, value: str) -> None:
    from waguard import settings

    text = json.dumps({"agent": {"unit": value, "start_command": [value, value]}})
    (settings_dir / "waguard.yaml").write_text(text)
    shown = ctl("config", "show", "--settings-dir", str(settings_dir)).out
    (settings_dir / "waguard.yaml").write_text(shown)
    found = settings.load(settings_dir).agent
    assert (found.unit, found.start_command) == (value, (value, value))


# The command line itself


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_verbs_help_has_an_example(ctl: Ctl, verb: str) -> None:
    said = ctl(verb, "--help")
    assert (said.code, said.err) == (0, "")
    examples = said.out.partition("examples:\n")[2].splitlines()
    assert examples
    assert all(line.startswith(("  waguardctl ", "  mv ")) for line in examples)
    assert any(f"waguardctl {verb}" in line for line in examples)
    assert "--json" in said.out


@pytest.mark.parametrize("verb", main.VERBS)
def test_every_example_is_a_command_line(verb: str) -> None:
    parser = main.parser()
    for example in importlib.import_module(f"waguard.ctl.{verb}").EXAMPLES:
        words = re.split(r" [|>&]", example)[0].split()
        assert words[0] == "waguardctl"
        assert parser.parse_args(words[1:]).verb in main.VERBS


def test_help_and_version(ctl: Ctl) -> None:
    said = ctl("--help")
    assert said.code == 0
    assert all(re.search(rf"^    {verb}$|^    {verb} ", said.out, re.MULTILINE) for verb in main.VERBS)
    assert "examples:" in said.out
    assert re.fullmatch(r"waguardctl \d+\.\d+\.\d+\n", ctl("--version").out)


@pytest.mark.parametrize("words", [
    (), ("nonsense",), ("status", "extra"), ("verbose",), ("verbose", "maybe"), ("verbose", "on", "--for", "soon"),
    ("verbose", "on", "--for", "-5"), ("verbose", "on", "--for", "5m", "--forever"), ("pause", "--for"),
    ("pause", "--for", "9" * 400), ("pause", "--for", "99999999999d"), ("config",), ("events", "--last", "x"),
    ("restart", "--timeout", "x"), ("status", "--yaml")])
def test_wrong_usage(ctl: Ctl, words: tuple[str, ...]) -> None:
    said = ctl(*words)
    assert (said.code, said.out) == (2, "")
    assert "usage: waguardctl" in said.err


@pytest.mark.parametrize("words", [("verbose", "off", "--for", "5m"), ("verbose", "off", "--forever"),
                                   ("events", "--last", "-1")])
def test_wrong_usage_that_only_the_verb_can_tell(guard: FakeGuard, ctl: Ctl, words: tuple[str, ...]) -> None:
    said = ctl(*words)
    assert (said.code, said.out, guard.calls) == (2, "", [])
    assert said.err.startswith("waguardctl: ")


def test_the_run_dir_of_the_command_line_wins(guard: FakeGuard, ctl: Ctl, tmp_path: Path) -> None:
    assert ctl("status", "--run-dir", str(tmp_path / "elsewhere")).code == 1
    assert ctl("status", "--run-dir", str(tmp_path)).code == 0


def test_a_path_too_long_for_a_socket(ctl: Ctl) -> None:
    said = ctl("status", "--run-dir", "/" + "x" * 300)
    assert said.code == 1
    assert "cannot be reached" in said.err
    assert "Traceback" not in said.err


# Small parts


@pytest.mark.parametrize(("text", "shown"), [
    ("plain", "plain"), ("two\nlines", "two; lines"), ("\x1b[31mred", "\ufffd[31mred"), ("tab\there", "tab\ufffdhere"),
    ("é●→…", "é●→…"), ("\u202egnp", "\ufffdgnp"), ("a\r\nb\n", "a; b"), (7, "7"), (None, "None")])
def test_plain(text: object, shown: str) -> None:
    assert common.plain(text) == shown


def test_tidy_goes_all_the_way_down() -> None:
    assert common.tidy({"a\x1b": ["\x07", {"b": "x\ny"}], "c": 1.5, "d": None}) == {
        "a\ufffd": ["\ufffd", {"b": "x; y"}], "c": 1.5, "d": None}


@pytest.mark.parametrize(("at", "shown"), [
    (None, "unknown"), (1000.0, "just now"), (999.5, "just now"), (998.0, "2s ago"), (1005.0, "just now"),
    (-80000.0, "22h30m ago")])
def test_ago(at: Any, shown: str) -> None:
    assert common.ago(at, 1000.0) == shown


def test_rows_are_aligned() -> None:
    assert common.rows([("a", "1"), ("long name", "2")]) == "  a          1\n  long name  2"
    assert common.rows([]) == ""
