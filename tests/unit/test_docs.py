"""README and docs: links lead somewhere, every page is found, commands are the programs' own, tables are those of the units."""

from __future__ import annotations

import argparse
import ast
import importlib.util
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from waguard.ctl import main as ctl
from waguard.exporter import main as exporter
from waguard.guard import main as guard
from waguard.judge.catalogue import CATALOGUE

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
SECURITY = (ROOT / "docs/security.md").read_text("utf-8")
TROUBLES = (ROOT / "docs/troubleshooting.md").read_text("utf-8")


def _load(path: Path) -> Any:
    """A module of the lab, whose package imports what only the lab has."""
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


book = _load(ROOT / "tests/lab/commands.py")
PAGES: list[Path] = book.documents(ROOT)
COMMANDS = list(book.commands(ROOT))


# Links

_CODE = re.compile(r"^( *)```.*?^ *```$|`[^`\n]*`", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


def links(path: Path) -> Iterator[str]:
    """Targets of all links and pictures of a page."""
    return iter(_LINK.findall(_CODE.sub("", path.read_text("utf-8"))))


def anchors(text: str) -> set[str]:
    """Those that GitHub makes of headings: letters, digits, - and _ in small letters, blanks as -, a number for one that comes again."""
    found: set[str] = set()
    for title in re.findall(r"^#{1,6} +(.*?) *#*$", re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").replace("*", "")
        anchor = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = 0
        while (name := anchor + (f"-{number}" if number else "")) in found:
            number += 1
        found.add(name)
    return found


def leads(path: Path, target: str) -> Path:
    """The file or folder that a relative link names."""
    name = target.partition("#")[0]
    return (path.parent / name).resolve() if name else path


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in links(path):
        if target.startswith("https://"):
            continue
        assert not re.match(r"[a-z]+:|/", target), f"{target}: neither relative nor https"
        there = leads(path, target)
        assert there.exists(), f"{target}: no such file"
        assert ROOT in there.parents, f"{target}: leads out of the project"
        if "#" in target and there.suffix == ".md":
            assert target.partition("#")[2] in anchors(there.read_text("utf-8")), f"{target}: no such heading"


@pytest.mark.parametrize(("text", "wanted"), [
    ("# A b-c_d", {"a-b-c_d"}), ("## `waguardctl` & co.", {"waguardctl--co"}), ("# No metrics in node_exporter", {"no-metrics-in-node_exporter"}),
    ("# Again\n# Again", {"again", "again-1"}), ("# [web](web.md) of *it*", {"web-of-it"}), ("```\n# no heading\n```", set()),
    ("## Cause 4: a, or b", {"cause-4-a-or-b"}),
], ids=lambda value: str(value)[:30] if isinstance(value, str) else "")
def test_anchors_are_made_as_github_makes_them(text: str, wanted: set[str]) -> None:
    assert anchors(text) == wanted


def test_every_page_and_picture_is_reached_from_the_readme() -> None:
    reached, rest = set(), [ROOT / "README.md"]
    while rest:
        path = rest.pop()
        if path in reached or not path.exists():
            continue
        reached.add(path)
        if path.is_dir():
            rest += path.glob("*.md")
        elif path.suffix == ".md":
            rest += [leads(path, target) for target in links(path) if "://" not in target]
    missing = {path for path in (ROOT / "docs").rglob("*") if path.is_file()} - reached
    assert not missing


def test_the_index_names_every_page_of_the_folder() -> None:
    index = ROOT / "docs/README.md"
    named = {leads(index, target) for target in links(index)}
    assert {path for path in (ROOT / "docs").iterdir() if path.suffix == ".md"} - named == {index}


def test_the_two_commands_of_the_readme_are_there() -> None:
    assert "```\nmake demo\nmake test\n```" in (ROOT / "README.md").read_text("utf-8")


# Commands

@pytest.mark.parametrize("command", [one for one in COMMANDS if not one.form], ids=lambda one: f"{one.file}:{one.line}")
def test_it_is_known_how_every_command_works(command: Any) -> None:
    assert book.how(command.filled) is not None, f"`{command.text}` is neither run by a test nor listed with a reason (tests/lab/commands.py)"


def test_commands_of_waguard_have_no_excuse() -> None:
    for command in COMMANDS:
        if not command.span and re.match("waguardctl |journalctl |systemctl (?!edit )|promtool |systemd-analyze ", command.filled):
            assert book.how(command.filled).lab, f"{command.file}:{command.line}: `{command.text}` is not run in the lab"


def test_no_rule_is_for_a_command_that_is_not_there() -> None:
    for rule in book.HOWS:
        assert any(book.how(one.filled) is rule for one in COMMANDS if not one.form), rule.pattern


def test_what_is_said_to_test_a_command_exists() -> None:
    for rule in book.HOWS:
        for name in re.findall(r"\b(?:tests/[\w/.]+|test_\w+\.py|guard\.py|tools/\w+|\.ci/run|bench/\w+)", rule.why):
            assert (ROOT / name).exists() or (ROOT / "tests/lab" / name).exists(), f"{rule.pattern}: {name}"


def test_targets_of_make_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {word for one in COMMANDS for word in re.findall(r"^make ([a-z]+)", one.text)} <= targets


def test_blocks_without_a_command_have_none_of_ours() -> None:
    for path in PAGES:
        for match in re.finditer(r"^ *```(\w*)\n(.*?)^ *```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL):
            if not book.is_shell(match[1], match[2]):
                assert not re.search(r"^ *(?:sudo )?(?:waguardctl|systemctl|journalctl|promtool) ", match[2], re.MULTILINE), match[2]


@pytest.mark.parametrize(("block", "wanted"), [
    ("waguardctl status    # the verdict\n", ["waguardctl status"]),
    ("# a remark\nopenssl req \\\n  -x509\n", ["openssl req -x509"]),
    ("systemctl edit x.socket\n    [Socket]\n    ListenStream=\n", ["systemctl edit x.socket"]),
    ("grep '#' file\n", ["grep '#' file"]),
])
def test_a_block_is_read_line_by_line(tmp_path: Path, block: str, wanted: list[str]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "CONTRIBUTING.md").write_text("a `waguardctl doctor [--local]` and a `waguardctl doctor`")
    (tmp_path / "README.md").write_text(f"```console\n{block}```\n\n```\nup == 0\n```\n")
    found = list(book.commands(tmp_path))
    assert [one.text for one in found if not one.span] == wanted
    assert [(one.text, one.form) for one in found if one.span] == [("waguardctl doctor [--local]", True), ("waguardctl doctor", False)]


@pytest.mark.parametrize("text", ["apt-mark hold x", "sudo apt-get remove x", "apt install x", "dnf versionlock add x", "tdnf install x", "zypper addlock x",
                                  "gpg --list-secret-keys", "rpm -qi x", "apt-cache show x", "curl -sS x", "dpkg -V x", "waguardd --version"])
def test_a_command_within_a_sentence_is_seen(tmp_path: Path, text: str) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "CONTRIBUTING.md").write_text("")
    (tmp_path / "README.md").write_text(f"say `{text}` or not")
    assert [one.text for one in book.commands(tmp_path)] == [text]


def test_what_installs_is_listed_word_by_word() -> None:
    installing = re.compile(r"(?:apt|apt-get|dnf|tdnf|zypper) (?!install \./)")
    for rule in {book.how(one.filled) for one in COMMANDS if not one.form and installing.match(one.filled)}:
        assert re.escape(re.sub(r"\\(.)", r"\1", rule.pattern)) == rule.pattern, f"not one line, but many: {rule.pattern}"


def verbs() -> dict[str, argparse.ArgumentParser]:
    parser = ctl.parser()
    return next(dict(action.choices) for action in parser._actions if isinstance(action, argparse._SubParsersAction))


@pytest.mark.parametrize("command", [one for one in COMMANDS if re.match(r"(?:sudo )?waguardctl ", one.text)],
                         ids=lambda one: f"{one.file}:{one.line}:{one.text[:40]}")
def test_waguardctl_takes_what_the_pages_type(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(command.filled.partition("|")[0] if not command.form else command.filled)[1:]
    if not command.form:
        if words != ["--version"]:
            ctl.parser().parse_args(words)
        return
    parser = verbs()[words[0]]
    options = {name for action in parser._actions for name in action.option_strings}
    used = re.findall(r"(?<![\w-])--?[a-z][\w-]*", command.text)
    assert set(used) <= options
    choices = [action.choices for action in parser._actions if not action.option_strings and action.choices]
    for word in re.findall(r"(?<![-\w])[a-z]+(?![-\w])", re.sub(r"\[[^]]*\]", "", command.text.partition(words[0])[2])):
        assert any(word in allowed for allowed in choices), f"{word} is nothing that {words[0]} takes"


def test_options_of_the_daemons_are_theirs() -> None:
    known = {name for parser in (guard.parser(), exporter.parser()) for action in parser._actions for name in action.option_strings}
    said = {name for path in PAGES for name in re.findall(r"--web\.[\w.-]*\w|--(?:settings|run|lib)-dir", path.read_text("utf-8"))}
    foreign = {"--web.listen-address", "--web.config.file"}  # node_exporter's and Prometheus' too
    assert said and said - foreign <= known


def test_units_that_are_named_are_shipped() -> None:
    shipped = {path.name for path in UNITS.iterdir()}
    for path in PAGES:
        for name in re.findall(r"(?<![\w./-])waguard[\w-]*@?\.(?:service|socket|timer)\b", path.read_text("utf-8")):
            assert name in shipped, f"{path.name}: {name}"


# docs/security.md

OPENS = ("ReadWritePaths", "CapabilityBoundingSet", "AmbientCapabilities", "SystemCallFilter", "IPAddressAllow", "RestrictAddressFamilies",
         "SupplementaryGroups", "RuntimeDirectory", "StateDirectory", "CacheDirectory", "LogsDirectory", "ConfigurationDirectory",
         "TemporaryFileSystem", "BindPaths", "DeviceAllow", "ListenStream", "ListenDatagram", "SocketMode", "DirectoryMode")
"""Lines that decide how much a unit may. Each one, with its value, has to be in the unit's table."""
CLOSED = {
    "PrivateNetwork": "yes", "PrivateUsers": "yes", "PrivateTmp": "yes", "PrivateDevices": "yes", "PrivateMounts": "yes", "ProtectProc": "invisible",
    "ProcSubset": "pid", "ProtectSystem": "strict", "ProtectHome": "yes", "ProtectClock": "yes", "ProtectControlGroups": "yes",
    "ProtectHostname": "yes", "ProtectKernelLogs": "yes", "ProtectKernelModules": "yes", "ProtectKernelTunables": "yes", "LockPersonality": "yes",
    "MemoryDenyWriteExecute": "yes", "RestrictNamespaces": "yes", "RestrictRealtime": "yes", "RestrictSUIDSGID": "yes", "NoNewPrivileges": "yes",
    "SystemCallArchitectures": "native", "SystemCallErrorNumber": "EPERM", "KeyringMode": "private", "IPAddressDeny": "any", "UMask": "0077",
    "ReadOnlyPaths": "/run", "InaccessiblePaths": "-/dev/shm -/dev/mqueue -/dev/hugepages",
}
"""The tightest value of each protection (systemd.exec(5)). Where a unit has another one, or none, its table has to say why."""


def lines(unit: str) -> list[tuple[str, str]]:
    """The assignments of a unit file."""
    text = (UNITS / unit).read_text()
    return [(name, value) for name, _, value in (line.partition("=") for line in text.splitlines()
                                                 if re.match(r"[A-Z][A-Za-z0-9]*=", line))]


def section(unit: str) -> str:
    found = SECURITY.partition(f"\n### {unit}\n")[2]
    return re.split(r"^##", found, maxsplit=1, flags=re.MULTILINE)[0]


def table(unit: str) -> tuple[set[tuple[str, str]], set[str]]:
    """(lines, what is said to be not set) of the table of a unit."""
    first = [row.split("|")[1] for row in section(unit).splitlines() if row.startswith("| `")]
    absent = {name for cell in first for name in re.findall(r"`(\w+)=` \(not set\)", cell)}
    said = {tuple(text.split("=", 1)) for cell in first for text in re.findall(r"`(\w+=[^`]*)`(?! \(not set\))", cell)}
    return {(name, value) for name, value in said}, absent


SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
SOCKETS = sorted(path.name for path in UNITS.glob("*.socket"))


@pytest.mark.parametrize("unit", [*SERVICES, *SOCKETS])
def test_every_line_that_opens_something_is_justified(unit: str) -> None:
    opening = {(name, value) for name, value in lines(unit) if name in OPENS}
    said, _ = table(unit)
    assert opening <= said, f"not in docs/security.md: {sorted(opening - said)}"
    assert said <= set(lines(unit)), f"not in {unit}: {sorted(said - set(lines(unit)))}"


@pytest.mark.parametrize("unit", SERVICES)
def test_every_protection_that_is_missing_is_justified(unit: str) -> None:
    values = dict(lines(unit))
    said, absent = table(unit)
    for name, tight in CLOSED.items():
        if name not in values:
            assert name in absent, f"{name}= is not set, and docs/security.md does not say why"
        elif values[name] != tight:
            assert (name, values[name]) in said, f"{name}={values[name]} is looser than {tight}, and docs/security.md does not say why"
    if "User" not in values:
        assert "User" in absent
    assert not absent & set(values), f"set after all: {sorted(absent & set(values))}"


def test_every_unit_has_a_table_with_a_reason_in_each_row_and_no_other_unit_has() -> None:
    told = set(re.findall(r"^### (waguard[\w@.-]*)$", SECURITY, re.MULTILINE))
    assert told == {*SERVICES, *SOCKETS}
    for unit in told:
        rows = [row.strip("|").split("|") for row in section(unit).splitlines() if row.startswith("| `")]
        assert rows and all(len(row) == 2 and len(row[1].strip()) > 5 for row in rows), unit


def test_the_network_that_units_reach_is_the_one_in_the_page() -> None:
    for unit in SERVICES:
        if dict(lines(unit)).get("PrivateNetwork") == "yes" or "IPAddressDeny" in dict(lines(unit)):
            continue
        assert unit == "waguard-doctor@.service", f"{unit} reaches every network"


def test_the_proofs_that_the_page_names_exist() -> None:
    proofs = re.findall(r"`((?:tests|tools)/[\w/.]+)`", SECURITY)
    assert len(proofs) > 10
    for name in proofs:
        assert (ROOT / name).exists(), name


def test_only_act_and_the_guards_own_places_are_written() -> None:
    """The page says that one folder has the code that writes outside waguard's own directories."""
    writing = re.compile(r"O_WRONLY|O_RDWR|\.write_(?:text|bytes)\(|\.mkdir\(|os\.(?:rename|replace|chown|chmod|mkdir)\(|open\([^)]*[\"'][wax]b?[\"']")
    found = {str(path.relative_to(ROOT / "waguard")) for path in (ROOT / "waguard").rglob("*.py")
             if path.parts[-2] not in ("act", "bundle", "reference", "ctl") and writing.search(path.read_text("utf-8"))}
    # sockets, lock, events and state: /run/waguard and /var/lib/waguard
    assert found == {"guard/main.py", "guard/sockets.py", "guard/events.py"}, found


# docs/troubleshooting.md

def sources() -> str:
    """All texts of the programs: each string of the code, with … for what is put in."""
    found: list[str] = []
    for path in sorted((ROOT / "waguard").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, (str, bytes)):
                found.append(node.value if isinstance(node.value, str) else node.value.decode("utf-8", "replace"))
    return "\n".join(found)


def quoted() -> list[str]:
    """The words of waguard that the page quotes: code in the first column of its tables."""
    rows = [row for row in re.findall(r"^ *\| (.+?) \| ", TROUBLES, re.MULTILINE)]
    return sorted({text for row in rows for text in re.findall(r"`([^`]+)`", row)} - SAID_BY_OTHERS)


SAID_BY_OTHERS = {"waguard_guard_up 0", "Read-only file system", "cannot be replaced: Read-only file system", "'systemctl show …': …", "paused"}
COMPOSED = {"was not started: …": "was not …ed: …", "was not restarted: …": "was not …ed: …", "backup not ready": "not ready", "backup ready": "ready",
            "backup unknown": "unknown", "looking at mounts": "mounts", "looking at file systems": "file systems",
            "looking at the network": "the network", "looking at installed versions": "installed versions",
            "another waguardd (pid …) holds /run/waguard/lock": "another waguardd…", "no answer within … s": "no answer within … s",
            "does not take writes: …; it is kept in /run/waguard": "does not take writes: …; it is kept in …",
            "cannot be replaced: Read-only file system": "cannot be replaced: …",
            "not writable (waguardd runs as root, see systemctl status waguard)": "not writable (waguardd runs as root, see systemctl status waguard)"}
"""What the program puts together of parts."""


@pytest.fixture(scope="module")
def texts() -> str:
    return sources()


@pytest.mark.parametrize("text", quoted())
def test_words_that_are_quoted_are_the_programs_own(texts: str, text: str) -> None:
    wanted = COMPOSED.get(text, text)
    pattern = re.escape(wanted).replace("…", ".{0,80}?")
    assert re.search(pattern, texts), f"no part of waguard says: {wanted}"


def test_the_broken_links_of_each_cause_are_those_of_the_catalogue() -> None:
    rows = dict(re.findall(r"^ *\| (\d) \| \[.*?\]\(.*?\) \| (.*) \|$", TROUBLES, re.MULTILINE))
    told = {int(cause): set(re.findall(r"`([^`]+)`", cell)) for cause, cell in rows.items()}
    assert told == {cause: {entry.link.value for entry in CATALOGUE.values() if entry.cause == cause and entry.link.value}
                    for cause in (1, 2, 3, 4)}


def test_the_way_from_the_portals_message_is_in_the_page_and_the_readme() -> None:
    message = "Could not communicate with the VM agent for snapshot status"
    flat = [" ".join(path.read_text("utf-8").split()) for path in (ROOT / "README.md", ROOT / "docs/troubleshooting.md")]
    assert all(message in text for text in flat)
