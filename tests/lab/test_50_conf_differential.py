"""The grammar of waagent.conf in waguard/agent/conf.py, against the real agent's own parser: 12,000 files, one run of its Python.

The agent of the lab's root is 2.7.3.0, the tables here are those of 2.15; the parser itself is the same, line by line. So its
getters are asked with our kinds and our defaults.
"""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from waguard.agent import conf
from waguard.agent.conf import KEYS, Conf, Kind, Standing

from .conffiles import Files

HERE = Path(__file__).parent
COUNT, SEED = 12_000, 20_180_108
GETTERS = {Kind.SWITCH: "get_switch", Kind.INTEGER: "get_int", Kind.STRING: "get"}
# Where the agent's getter is of another kind than its table (azurelinuxagent/common/conf.py: get_ssh_client_alive_interval,
# get_wait_for_cloud_init_timeout).
ODD = {"OS.SshClientAliveInterval": "get", "Extensions.WaitForCloudInitTimeout": "get_switch"}

Answers = list[tuple[bytes, Conf, dict[str, Any]]]


@pytest.fixture(scope="module")
def answers(lab_root: Path) -> Answers:
    """Every file, what we make of it, and what the agent makes of it."""
    generator = Files(SEED)
    files = [generator.one() for _ in range(COUNT)]
    keys = [[name, ODD.get(name, GETTERS[key.kind]), key.default, key.same_as] for name, key in KEYS.items()]
    # A tmpfs over its /tmp: the root is everybody's and nobody may change it.
    ran = subprocess.run(
        ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs "$0/tmp" && exec chroot "$0" "$@"', lab_root, "env", "-i", "LANG=C.UTF-8",
         "/usr/bin/python3", "-B", "-c", (HERE / "confreader.py").read_text()],
        input=json.dumps({"files": [data.decode("latin-1") for data in files], "keys": keys}), capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert not (lab_root / "tmp/waagent.conf").exists()
    return list(zip(files, map(conf.parse, files), json.loads(ran.stdout)))


def test_the_files_are_as_odd_as_they_should_be(answers: Answers) -> None:
    """Without this the others would prove nothing: each oddity has to be there, and often enough."""
    seen: Counter[str] = Counter()
    for data, parsed, answer in answers:
        keys = [found.key for found in parsed.assignments]
        seen.update({
            "refused as empty": answer.get("refused") == "AgentConfigError", "refused as no text": answer.get("refused") == "UnicodeDecodeError",
            "duplicates": len(set(keys)) < len(keys), "None": any(found.value is None for found in parsed.assignments),
            "comment": any(found.comment is not None for found in parsed.assignments), "CR": b"\r" in data, "NUL": b"\0" in data,
            "BOM": data.startswith(b"\xef\xbb\xbf"), "quote kept": any('"' in (found.value or "") for found in parsed.assignments),
            "blank before #": any(key.startswith("#") for key in keys), "unknown": any(key not in KEYS for key in keys)})
        for name, (_, default) in zip(KEYS, answer.get("used", ())):
            seen[f"{KEYS[name].kind.value} used"] += not default
            seen[f"{KEYS[name].kind.value} unusable"] += default and name in answer["raw"]
    assert len(answers) == COUNT > 10_000
    assert {what: count for what, count in seen.items() if count < 10} == {}
    assert seen["refused as no text"] < COUNT / 5
    used = {name for _, _, answer in answers for name, (_, default) in zip(KEYS, answer.get("used", ())) if not default}
    assert used == set(KEYS), "every key has to be set to something that counts at least once"


def test_the_same_files_are_refused(answers: Answers) -> None:
    differ = [(data[:200], parsed.error, answer.get("refused")) for data, parsed, answer in answers
              if ("AgentConfigError" if parsed.empty else "UnicodeDecodeError" if parsed.undecodable else None) != answer.get("refused")
              or (parsed.error is None) != (conf.refusal(parsed) is None) or (parsed.error is None) != ("raw" in answer)]
    assert differ == []


def test_every_line_gives_the_same_key_and_text(answers: Answers) -> None:
    differ = []
    for data, parsed, answer in answers:
        if "raw" in answer:
            ours = {key: found.value for key, found in parsed.last.items()}
            if ours != answer["raw"] or any(parsed.raw(key) != value for key, value in answer["raw"].items()):
                differ.append((data, {key for key in {*ours, *answer["raw"]} if ours.get(key) != answer["raw"].get(key)}))
    assert differ == []


def test_every_getter_gives_the_same_value(answers: Answers) -> None:
    differ = []
    for data, parsed, answer in answers:
        for name, (value, default) in zip(KEYS, answer.get("used", ())):
            ours = parsed.effective(name)
            same = str(ours.value) == str(value) if name == "OS.SshClientAliveInterval" else ours.value == value
            if not same or (ours.line is None) is not default or parsed.present(name) is not (answer["raw"].get(name) is not None):
                differ.append((name, answer["raw"].get(name), value, ours, data[:300]))
    assert differ == []


def test_lint_calls_bad_exactly_what_the_agent_cannot_use(answers: Answers) -> None:
    differ = []
    for data, parsed, answer in answers[::4]:  # Looking for the nearest key takes a millisecond.
        if "raw" not in answer:
            continue
        bad = {problem.key for problem in conf.lint(parsed) if problem.id == "conf-bad-value"}
        for name, (_, default) in zip(KEYS, answer["used"]):
            judged = KEYS[name].standing not in (Standing.REMOVED, Standing.UNREAD)
            if judged and (name in bad) is not (default and answer["raw"].get(name) is not None):
                differ.append((name, answer["raw"].get(name), data[:300]))
    assert differ == []
