"""waguardctl in another language: nothing stays in English but ids, commands and JSON.

The language is Spanish by its name, its texts are pseudo: each message with its own words between ⟦ and ⟧. So what is left
outside them was never marked for translation, or is not found again by what it was made from.
"""

from __future__ import annotations

import gettext
import json
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from po.messages import messages
from waguard import i18n, varlink
from waguard.agent import vmsnapshot
from waguard.ctl import collect, common, doctor, main, status, textfile
from waguard.judge.catalogue import CATALOGUE

from .conftest import DATA, DIAGNOSIS, Ctl, FakeGuard, FakeSystemd, Said, environment, odd_guard
from .test_versions import Machine

pytestmark = pytest.mark.once

SPANISH = {"LC_ALL": "es_MX.UTF-8"}
ENGLISH = {"LC_ALL": "en_GB.UTF-8"}
_VALUE = re.compile(r"(\{[^{}]*\}|%\([a-z_]+\)[a-z]|%[sr](?![a-z]))")
_PROSE = re.compile(r"""(?<![\w/.=-])(?:a|after|again|agent|ago|all|an|and|another|answer|answers|are|argument|as|asked|at|backup|be|
    been|but|by|can|cannot|cause|could|critical|daemon|did|does|error|examples|fail|file|finding|for|found|from|good|guard|handler|
    has|have|here|if|in|into|is|it|its|known|last|left|logging|looked|looking|may|more|most|no|none|not|nothing|now|of|off|on|one|
    only|options|or|other|out|part|problem|refused|required|said|seen|service|settings|show|since|snapshot|so|that|
    the|their|them|then|there|this|to|today|unknown|until|usage|used|version|waiting|warning|was|were|what|when|where|which|why|
    will|with|without|would|written|you)(?![\w/=-]|\.\w)""", re.VERBOSE | re.IGNORECASE)
_COMMANDS = re.compile(r"^ +waguardctl .*$|\b(?:systemctl|journalctl|apt-get|usermod|rm|tar|du|df|mv) [^\n;)⟦]*|waguardctl [^\n;)⟦]*"
                       r"|(?<=WAGUARD )[A-Z]+|\{[a-z|,]+\}|'[^']*'(?:, '[^']*')+", re.MULTILINE)


def marked(text: str) -> str:
    """A message's translation: its own words in brackets, what is put into it outside them."""
    return "".join(piece if _VALUE.fullmatch(piece) or not re.search("[A-Za-z]", piece) else f"⟦{piece}⟧"
                   for piece in _VALUE.split(text))


def english(shown: str) -> str:
    """What is left of English prose in a text that was shown, "" for none."""
    outside = _COMMANDS.sub(" ", re.sub("⟦[^⟧]*⟧", "¦", re.sub("=⟧no", "=⟧", shown)))
    return ", ".join(f"{found[0]!r} in {outside[max(0, found.start() - 50):found.end() + 50]!r}" for found in _PROSE.finditer(outside)
                     if not found[0].isupper())  # FILE and the like, which stand for what is typed


def catalogue() -> bytes:
    """All messages of the code, as a .mo file (GNU gettext manual, The Format of GNU MO Files)."""
    header = "Language: es\nContent-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=2; plural=(n != 1);\n"
    pairs = {"": header}
    for one in messages().values():
        plural = one.plural
        pairs[one.text if plural is None else f"{one.text}\0{plural}"] = \
            marked(one.text) if plural is None else f"{marked(one.text)}\0{marked(plural)}"
    texts = [[text.encode() for text in column] for column in zip(*sorted(pairs.items()))]
    at, tables, body = 28 + 16 * len(pairs), b"", b""
    for column in texts:
        for text in column:
            tables += struct.pack("<II", len(text), at + len(body))
            body += text + b"\0"
    return struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0) + tables + body


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the catalogue, as a package has it."""
    folder = tmp_path_factory.mktemp("package")
    file = folder / "locale/es/LC_MESSAGES/waguard.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(catalogue())
    return folder


@pytest.fixture(autouse=True)
def _language(package: Path, monkeypatch: pytest.MonkeyPatch, run_dir: Path) -> Iterator[None]:
    monkeypatch.setattr(i18n, "__file__", str(package / "i18n.py"))
    speak(monkeypatch, SPANISH)
    yield
    i18n.use(i18n.Language())
    gettext.textdomain("messages")
    gettext.bindtextdomain("waguard", gettext.bindtextdomain("messages"))


def speak(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name in ("LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    gettext.textdomain("messages")


def snapshot() -> dict[str, Any]:
    """That of the other tests, with texts as the guard really says them."""
    found: dict[str, Any] = json.loads(DATA.read_text())
    found["verdict"]["summary"] = "agent is running: last seen working 3s ago by its status file"
    found["events"][0]["message"] = "verbose logging is off again: the guard hung up"
    return found


def diagnosis() -> dict[str, Any]:
    """The same of the doctor's."""
    found: dict[str, Any] = json.loads(DIAGNOSIS.read_text())
    found["findings"][0]["evidence"] = found["findings"][1]["evidence"] = "walinuxagent.service has Restart=no"
    for part in found["parts"]:
        part["says"] = "Agent: the guard hung up"
    found["beyond"] = [{"what": "the backup service of the host (code 556)",
                        "step": "nothing on the VM; start another backup, then ask Azure support"}]
    return found


@pytest.fixture
def sensible(guard: FakeGuard) -> FakeGuard:
    """A guard that says such texts."""
    guard.snapshot = snapshot()
    guard.answers["Diagnose"] = [{"progress": "network", "diagnosis": None}, {"progress": None, "diagnosis": diagnosis()}]
    return guard


@pytest.fixture
def spanish() -> Callable[[Said], str]:
    """Asserts that nothing of what was said is in English; returns it."""
    def check(said: Said) -> str:
        shown = said.out + said.err
        assert "⟦" in shown and not english(shown), english(shown) or shown
        return shown

    return check


Check = Callable[[Said], str]


def test_the_test_sees_what_is_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert english("⟦the guard⟧ 7 /run/the/guard --for FILE: systemctl status the") == ""
    assert "'the' in '¦ of the guard'" in english("⟦it⟧ of the guard")
    monkeypatch.setattr(status, "tr", lambda text, **values: text.format(**values))
    i18n.use(i18n.from_environment())
    assert "of CPU" in english(status.render(json.loads(DATA.read_text())))


# The command line


@pytest.mark.parametrize("verb", ["", *main.VERBS])
def test_help(ctl: Ctl, spanish: Check, verb: str) -> None:
    shown = spanish(ctl(*([verb] if verb else []), "--help"))
    assert "⟦usage: ⟧waguardctl" in shown and "⟦examples:⟧\n  waguardctl" in shown


@pytest.mark.parametrize("words", [
    (), ("nonsense",), ("status", "extra"), ("verbose",), ("verbose", "maybe"), ("verbose", "on", "--for", "soon"),
    ("verbose", "on", "--for", "5m", "--forever"), ("pause", "--for"), ("pause", "--for", "99999999999d"), ("config",),
    ("events", "--last", "x"), ("events", "--last", "-1"), ("status", "--yaml"), ("status", "--json=1"), ("verbose", "off", "--forever"),
    ("collect", "--max-size", "7"), ("verbose", "on", "--for=5m", "--fore")])
def test_wrong_usage(ctl: Ctl, spanish: Check, words: tuple[str, ...]) -> None:
    said = ctl(*words)
    assert said.code == 2
    if sys.version_info < (3, 11):  # argparse's own frame was not translated yet
        said = said._replace(err=re.sub(r"argument (\S+): ", "", said.err))
    spanish(said)


# The verbs


@pytest.mark.parametrize("words", [
    ("status",), ("doctor",), ("doctor", "--all"), ("events",), ("verbose", "status"), ("check",), ("explain", "agent-autorestart-missing"),
    ("explain", "--list"), ("explain", "disk-ful"), ("explain", "\x1b"), ("explain", "--code", "99999"), ("metrics", "--textfile", "."),
    ("metrics", "--textfile", "/nowhere/x"), ("metrics", "--textfile", "/nowhere/"), ("metrics", "--textfile", "/tmp/x.txt"),
    ("restart",), ("restart", "--timeout", "1ms"), ("lint", "/nowhere"), ("lint", "/tmp")], ids=" ".join)
def test_verbs(ctl: Ctl, sensible: FakeGuard, spanish: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
               words: tuple[str, ...]) -> None:
    monkeypatch.chdir(tmp_path)
    if "1ms" in words:
        sensible.snapshot["policy"]["verifying"] = {"stage": "handler"}
    spanish(ctl(*words))


def test_orders(ctl: Ctl, guard: FakeGuard, spanish: Check) -> None:
    """What the guard answers is translated, also a part of it."""
    guard.answers["Pause"] = {"message": i18n.say("the guard does not run")}
    guard.answers["SetVerbose"] = {"message": "the guard does not run", "warnings": ["the guard hung up"]}
    assert ctl("pause").out == "⟦the guard does not run⟧\n"
    assert ctl("verbose", "on") == (0, "⟦the guard does not run⟧\n", "⟦warning:⟧ ⟦the guard hung up⟧\n")
    guard.refuse("Resume", "io.waguard.Refused", reason="the guard hung up", hint="the guard does not run")
    assert ctl("resume").err == "waguardctl: ⟦refused: ⟧⟦the guard hung up⟧\n  (⟦the guard does not run⟧)\n"


def test_what_is_said_of_a_place_in_a_file() -> None:
    i18n.use(i18n.from_environment())
    assert common.shown("/etc/x y.yaml:3: the guard hung up") == "/etc/x y.yaml:3: ⟦the guard hung up⟧"
    assert common.shown("a/b: the guard hung up\nc/d:7: never said") == "a/b: ⟦the guard hung up⟧; c/d:7: never said"


@pytest.mark.parametrize("name", CATALOGUE)
def test_explain(ctl: Ctl, spanish: Check, name: str) -> None:
    assert spanish(ctl("explain", name)).startswith(f"{name}: ⟦")


@pytest.mark.parametrize("code", vmsnapshot.CODES)
def test_explain_a_code(ctl: Ctl, spanish: Check, code: int) -> None:
    known = vmsnapshot.CODES[code]
    spanish(Said(*((word.replace(known.name, "").replace(known.portal or known.name, "") if isinstance(word, str) else word)
                   for word in ctl("explain", "--code", str(code)))))


@pytest.mark.parametrize("changes", [
    {"paused": True}, {"paused": True, "paused_until": 1763559812.5}, {"enabled": False},
    {"next_attempt": 1763558000.0, "pending_restart": "the guard hung up"}], ids=str)
def test_policies(changes: dict[str, Any]) -> None:
    i18n.use(i18n.from_environment())
    told_by_guard = snapshot()
    told_by_guard["policy"].update(changes)
    told = dict(status.facts(told_by_guard, told_by_guard["at"]))
    assert "⟦" in told["Policy"] and not english(told["Policy"])
    assert list(told)[:2] == ["Unit", "Daemon"]


@pytest.mark.parametrize("state", [
    {"conf": True, "lease": None}, {"conf": None, "lease": None}, {"conf": False, "lease": None},
    *({"conf": conf, "lease": {"phase": phase, "remaining": left, "expires": 1763559812.0, "by": "root"}}
      for conf in (True, False) for phase in ("active", "granting", "ending") for left in (None, "1h"))], ids=str)
def test_verbose(state: dict[str, Any]) -> None:
    i18n.use(i18n.from_environment())
    assert "⟦" in status.verbose(state, 1763556212.5) and not english(status.verbose(state, 1763556212.5))


def test_screens_of_a_machine_that_is_not_well() -> None:
    i18n.use(i18n.from_environment())
    told = snapshot()
    agent = told["agent"]
    agent.update(unit=None, unit_unknown="the guard hung up", handler=None, versions={"daemon": None, "goal_state": "2.9"},
                 conf={"valid": None, "error": "the guard hung up"})
    agent["daemon"].update(state="D", resident_bytes=None)
    agent["heartbeat"].update(at=None)
    told["guard"]["settings_valid"] = False
    told["probes"]["wireserver"] = {"success": None, "error": "the guard hung up", "duration": None}
    assert not english(status.render(told))
    assert not english(status.render({}))
    found = diagnosis()
    found["backup"].update(ready=None, unknowns=["the guard hung up"])
    found["privileged"] = False
    for one in found["findings"]:
        one["cause"] = 9
    assert not english(doctor.render(found, True))


def test_columns_are_as_wide_as_the_words_in_them(ctl: Ctl) -> None:
    i18n.use(i18n.from_environment())
    lines = status.render(json.loads(DATA.read_text())).splitlines()
    starts = [re.match("  ⟦[^⟧]+⟧ +", line) for line in lines[2:14]]
    assert len({start.end() for start in starts if start}) == 1 and all(starts)
    finding = next(number for number, line in enumerate(lines) if "agent-autorestart-missing" in line)
    assert lines[finding].startswith("  ⟦info⟧      agent-") and re.match(r" {14}\S", lines[finding + 1])
    told = ctl("explain", "--list").out.splitlines()
    assert len({line.index("⟦", line.index("⟧")) for line in told}) == 1


def test_the_plugins_status_word_and_its_numbers_are_for_a_program(ctl: Ctl, guard: FakeGuard) -> None:
    guard.snapshot["verdict"] = {"level": "critical", "summary": "the guard hung up"}
    guard.snapshot["findings"][0]["severity"] = "warning"
    assert ctl("check").out == ("WAGUARD CRITICAL - ⟦the guard hung up⟧ (agent-autorestart-missing) | heartbeat_age=3s agent_exits=1c "
                                "restarts=1c critical_findings=0 warning_findings=1\n")
    assert ctl("check", "--json").json["result"]["text"] == "the guard hung up (agent-autorestart-missing)"


def test_versions(ctl: Ctl, spanish: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(tmp_path / "machine", monkeypatch)
    words = ("versions", "--settings-dir", str(machine.settings))
    spanish(ctl(*words))
    spanish(ctl(*words, "--offline"))
    machine.apt("(none)", "2.7.3.0-4.1")
    (machine.base / "feed.json").write_text("<html>")
    machine.lib.rmdir()
    spanish(ctl(*words))
    (machine.base / "apt-cache").unlink()
    spanish(ctl(*words))
    machine.set("nonsense: 1\n")
    spanish(ctl(*words))


def test_autorestart(ctl: Ctl, spanish: Check, systemd: FakeSystemd) -> None:
    words = ("--unit-dir", str(systemd.etc), "--settings-dir", str(systemd.base / "etc"))
    spanish(ctl("autorestart", "status", *words))
    systemd.unit("waagent.service", "[Service]\n")
    for what in ("status", "enable", "status", "disable"):
        spanish(ctl("autorestart", what, *words))
    other = systemd.add("waagent.service", "99-local.conf", "[Service]\nRestart=no\n")
    assert f"⟦waguard's drop-in is overridden by ⟧{other}" in spanish(ctl("autorestart", "enable", *words))
    systemd.stale()
    spanish(ctl("autorestart", "status", *words))
    systemd.add("waagent.service", "50-waguard.conf", "[Service]\nRestart=no\n")
    spanish(ctl("autorestart", "disable", *words))


def test_config(ctl: Ctl, spanish: Check, tmp_path: Path) -> None:
    spanish(ctl("config", "check", "--settings-dir", str(tmp_path)))
    shown = ctl("config", "show", "--origin", "--help-text", "--settings-dir", str(tmp_path)).out
    assert "  # ⟦restart an agent that is alive" in shown and "# ⟦default⟧" in shown
    assert not english("\n".join(line.partition("#")[2] for line in shown.splitlines()))
    (tmp_path / "waguard.yaml").write_text("restart:\n  backoff_cup: 20m\n  live_per_hour: many\n  enabled: 7\nx: 1\nlogs: [1]\n")
    spanish(ctl("config", "check", "--settings-dir", str(tmp_path)))


def test_lint(ctl: Ctl, spanish: Check, tmp_path: Path) -> None:
    file = tmp_path / "waagent.conf"
    for text in ("Logs.Verbose=n\n", "Logs.Verbos=y\nLogs.Verbos=y\nExtensions.Enabled=yes\nHttpProxy.Host=x\n", ""):
        file.write_text(text)
        spanish(ctl("lint", str(file)))


def test_collect(ctl: Ctl, spanish: Check, machine: Path, quick: None, guard: FakeGuard, capsys: pytest.CaptureFixture[str]) -> None:
    del quick, guard
    words = ("collect", "--settings-dir", str(machine / "settings"), "-o", str(machine / "out"))
    (machine / "log/azure/link").symlink_to("/etc/passwd")
    (machine / "log/azure/big.log").write_bytes(b"x\n" * 1000000)
    (machine / "log/azure/fifo").unlink(missing_ok=True)
    os.mkfifo(machine / "log/azure/fifo")
    spanish(ctl(*words, "--dry-run", "--max-size", "1M", "--since", "1d"))
    assert "README.txt | less" in spanish(ctl(*words))
    for place in ("gone/x", "gone/", "m"):
        (machine / "out/m").touch()
        spanish(ctl(*words[:-1], f"{machine}/out/{place}"))
    progress = collect._Progress()
    progress._shown = True
    progress("the doctor's diagnosis")
    assert "⟦collecting ⟧⟦the doctor's diagnosis⟧" in capsys.readouterr().err


def test_the_bundle_itself_is_in_english(ctl: Ctl, machine: Path, guard: FakeGuard) -> None:
    from waguard.bundle import asked

    i18n.use(i18n.from_environment())
    assert "⟦" not in asked._rendered(json.loads(DIAGNOSIS.read_text())) and i18n.tr("none") == "⟦none⟧"
    told = ctl("collect", "--settings-dir", str(machine / "settings"), "--dry-run", "--json").json["result"]
    assert {"path": f"{machine}/lib/A.prv", "why": "may hold keys or certificates", "count": 1} in told["left_out"]


# What goes wrong


@pytest.mark.parametrize("answer", [None, b"", b"hello\0", b"[]\0", b"{}\0", b'{"error": "org.varlink.service.MethodNotFound"}\0',
                                    b'{"error": "org.varlink.service.InvalidParameter", "parameters": {"parameter": "x"}}\0'], ids=str)
def test_a_guard_that_is_none(run_dir: Path, ctl: Ctl, impatient: None, spanish: Check, answer: Any) -> None:
    del impatient
    with odd_guard(run_dir, answer):
        for words in (("status",), ("check",), ("pause",)):
            spanish(ctl(*words))


def test_no_guard(ctl: Ctl, spanish: Check, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for words in (("status",), ("check",), ("restart",), ("metrics", "--textfile", str(tmp_path)), ("status", "--run-dir", "/" + "x" * 300)):
        spanish(ctl(*words))

    def refuse(path: str, *_arguments: object) -> None:
        raise varlink.Unreachable(path, 13)

    monkeypatch.setattr(varlink, "call", refuse)
    spanish(ctl("status"))


def test_no_directory_for_the_metrics(tmp_path: Path) -> None:
    i18n.use(i18n.from_environment())
    with pytest.raises(textfile.Unusable) as caught:
        textfile.find(str(tmp_path))
    assert not english(common.shown(caught.value)) and not english(common.shown(caught.value.hint))
    denied = textfile._explained(textfile.Place("/x/y", ""), PermissionError(13, "Permission denied"))
    assert common.shown(denied) == "/x/y: ⟦Permission denied⟧" and not english(common.shown(denied.hint))


# Languages


@pytest.mark.parametrize(("variables", "language"), [
    ({"LANG": "es_ES.UTF-8"}, "es"), ({"LC_ALL": "es_MX.UTF-8", "LANG": "C"}, "es"), ({"LANG": "en_US.UTF-8", "LANGUAGE": "es"}, "es"),
    ({"LANG": "es"}, "es"), ({"LC_MESSAGES": "es_AR", "LANG": "de_DE"}, "es"), ({"LANG": "de_DE.UTF-8", "LANGUAGE": "de:es"}, "es"),
    ({}, "en"), ({"LC_ALL": "C", "LANG": "es_ES.UTF-8"}, "en"), ({"LANG": "POSIX", "LANGUAGE": "es"}, "en"),
    ({"LANG": "C.UTF-8", "LANGUAGE": "es"}, "en"), ({"LANG": "en_GB.UTF-8"}, "en"), ({"LANG": "de_DE.UTF-8"}, "en"),
    ({"LANG": "es_ES.UTF-8", "LANGUAGE": "en:es"}, "en"), ({"LC_ALL": "", "LANG": "../../es"}, "en")], ids=str)
def test_which_language(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str) -> None:
    speak(monkeypatch, variables)
    for said, of_argparse in ((ctl("status").err, False), (ctl("pause", "--help").out, True), (ctl("nonsense").err, True)):
        assert ("⟦" in said) is (language == "es")
        assert not of_argparse or ("⟦usage: ⟧" if language == "es" else "usage: ") in said


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[:40], lambda data: b"x" + data[1:], lambda data: data[:-2000]])
def test_a_damaged_catalogue_is_none(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    file = tmp_path / "locale/es/LC_MESSAGES/waguard.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(damage(catalogue()))
    monkeypatch.setattr(i18n, "__file__", str(tmp_path / "i18n.py"))
    assert ctl("status").err.startswith("waguardctl: the guard does not run\n")
    assert ctl("pause", "--help").out.startswith("usage: ")


JSON: tuple[tuple[str, ...], ...] = (
    ("status",), ("doctor",), ("check",), ("events",), ("verbose", "status"), ("verbose", "on"), ("pause",), ("resume",), ("metrics",),
    ("restart", "--no-wait"), ("restart",), ("explain", "--list"), ("explain", "disk-full"), ("explain", "disk-ful"), ("explain", "--code", "121"),
    ("explain", "--code", "99999"), ("config", "show"), ("lint", "/nowhere"), ("lint", "/etc/passwd"), ("events", "--last", "-1"),
    ("autorestart", "status", "--settings-dir", "/nowhere"), ("status", "--run-dir", "/nowhere"), ("check", "--run-dir", "/nowhere"))


@pytest.mark.parametrize("words", JSON, ids=" ".join)
def test_json_is_the_same_in_every_language(ctl: Ctl, guard: FakeGuard, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    del guard
    here = ctl(*words, "--json")
    speak(monkeypatch, ENGLISH)
    assert here == ctl(*words, "--json") and "⟦" not in here.out + here.err


def test_json_of_settings_that_are_wrong(ctl: Ctl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "waguard.yaml").write_text("restart:\n  backoff_cup: 20m\n")
    for words in (("config", "check"), ("versions",), ("autorestart", "status")):
        speak(monkeypatch, SPANISH)
        here = ctl(*words, "--settings-dir", str(tmp_path), "--json")
        speak(monkeypatch, ENGLISH)
        assert here == ctl(*words, "--settings-dir", str(tmp_path), "--json") and "did you mean 'backoff_cap'" in here.out


def test_english_costs_no_catalogue(run_dir: Path) -> None:
    """Nothing of gettext but what argparse itself imports."""
    program = "import sys; from waguard.ctl import main; main.main(['status']); print([name for name in sys.modules if 'usage' in name])"
    ran = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(run_dir), timeout=60)
    assert ran.stdout == b"[]\n" and b"the guard does not run" in ran.stderr
