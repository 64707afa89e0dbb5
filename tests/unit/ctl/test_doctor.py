"""``waguardctl doctor``, ``check`` and ``explain``: exit status, screen, envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest

from waguard.ctl import doctor
from waguard.judge.catalogue import CATALOGUE

from .conftest import DIAGNOSIS, Ctl, FakeGuard

SCREEN = """\
● backup not ready  a snapshot asked for now would fail: disk-full
  broken link  the backup extension does not come to a result

Cause 4: the snapshot cannot be taken, or its status is not reported
  critical  disk-full: a filesystem that the agent needs is full  since 11:00:03
            /var has 12 MiB free of 20 GiB
            → df -h /var; du -xh --max-depth=2 /var | sort -h | tail

Cause 2: the agent does not work, is out of date or is misconfigured
  warning   agent-behind-distro: the distribution has a newer agent
            waagent 2.7.3.0-4.1 is installed, 2.15.0.1-1 is offered
            → apt-get update && apt-get install --only-upgrade waagent

Looked at
  ✓ Agent         running: last seen working 3s ago by its status file
  ✗ File systems  /var is full
  ? Clock         not known: no time service answers

Cannot be seen from inside a VM
  the backup policy and its schedule
      → portal: Recovery Services vault, Backup items
"""


@pytest.fixture
def diagnosis() -> Any:
    return json.loads(DIAGNOSIS.read_text())


class TestDoctor:
    def test_the_screen(self, guard: FakeGuard, ctl: Ctl) -> None:
        said = ctl("doctor")
        assert (said.code, said.err) == (2, "")
        assert said.out == SCREEN

    def test_as_json(self, guard: FakeGuard, ctl: Ctl, diagnosis: Any) -> None:
        said = ctl("doctor", "--json")
        assert said.code == 2 and said.json == {"schema": 1, "result": diagnosis, "warnings": []}

    @pytest.mark.parametrize(("severity", "code"), [("info", 0), ("warning", 2), ("critical", 2)])
    def test_what_counts_for_the_exit_status(self, guard: FakeGuard, ctl: Ctl, diagnosis: Any, severity: str, code: int) -> None:
        for finding in diagnosis["findings"]:
            finding["severity"] = severity
        guard.answers["Diagnose"] = [{"progress": None, "diagnosis": diagnosis}]
        assert ctl("doctor").code == code

    def test_nothing_to_find(self, guard: FakeGuard, ctl: Ctl, diagnosis: Any) -> None:
        diagnosis["findings"] = []
        diagnosis["backup"] = {"ready": True, "says": "a snapshot asked for now would succeed", "causes": [], "link": None, "unknowns": []}
        guard.answers["Diagnose"] = [{"progress": None, "diagnosis": diagnosis}]
        said = ctl("doctor")
        assert said.code == 0 and said.out.startswith("● backup ready  a snapshot asked for now would succeed\n\nLooked at\n")
        assert "Cannot be seen" not in said.out
        assert "Cannot be seen" in ctl("doctor", "--all").out

    def test_what_is_not_known_is_said(self, guard: FakeGuard, ctl: Ctl, diagnosis: Any) -> None:
        diagnosis["backup"].update(ready=None, says="cannot be told", unknowns=["the network could not be told"])
        diagnosis["privileged"] = False
        guard.answers["Diagnose"] = [{"progress": None, "diagnosis": diagnosis}]
        said = ctl("doctor").out
        assert said.startswith("● backup unknown  cannot be told\n  not known    the network could not be told\n")
        assert said.endswith("Looked at without root: much could not be told.\n")

    def test_a_doctor_that_cannot_look(self, guard: FakeGuard, ctl: Ctl) -> None:
        guard.refuse("Diagnose", "io.waguard.Refused", reason="the doctor hung up", hint="waguardctl doctor --local")
        said = ctl("doctor")
        assert (said.code, said.out) == (1, "")
        assert said.err == "waguardctl: refused: the doctor hung up\n  (waguardctl doctor --local)\n"

    @pytest.mark.parametrize("shut", ["status", "control"])
    def test_who_may_give_orders_asks_where_they_are_given(self, guard: FakeGuard, ctl: Ctl, shut: str) -> None:
        (guard.run_dir / shut).unlink()
        assert ctl("doctor").code == 2 and [name for name, _ in guard.calls] == ["Diagnose"]

    def test_without_a_guard(self, run_dir: object, ctl: Ctl) -> None:
        assert ctl("doctor").code == 1

    def test_no_diagnosis_at_all(self, guard: FakeGuard, ctl: Ctl) -> None:
        guard.answers["Diagnose"] = [{"progress": None, "diagnosis": None}]
        assert ctl("doctor").err.startswith("waguardctl: the guard's answer cannot be used: it has no diagnosis\n")

    def test_texts_of_a_log_cannot_move_the_cursor(self, diagnosis: Any) -> None:
        diagnosis["findings"][0]["evidence"] = "a\x1b[2Jb\nc"
        assert "\x1b" not in doctor.render(diagnosis) and "b; c" in doctor.render(diagnosis)


class TestCheck:
    @pytest.mark.parametrize(("level", "code"), [("ok", 0), ("warning", 1), ("critical", 2), ("unknown", 3), ("odd", 3)])
    def test_one_line(self, guard: FakeGuard, ctl: Ctl, level: str, code: int) -> None:
        guard.snapshot["verdict"] = {"level": level, "summary": "agent is running | 3 s ago"}
        guard.snapshot["findings"][0]["severity"] = "warning"
        said = ctl("check")
        word = level.upper() if code < 3 else "UNKNOWN"
        assert said.out == (f"WAGUARD {word} - agent is running / 3 s ago (agent-autorestart-missing) | "
                            "heartbeat_age=3s agent_exits=1c restarts=1c critical_findings=0 warning_findings=1\n")
        assert (said.code, said.err) == (code, "")

    def test_what_is_not_known_is_left_out(self, guard: FakeGuard, ctl: Ctl) -> None:
        guard.snapshot["agent"]["heartbeat"]["at"] = None
        assert "heartbeat_age" not in ctl("check").out

    def test_without_a_guard(self, run_dir: object, ctl: Ctl) -> None:
        said = ctl("check")
        assert (said.code, said.out, said.err) == (3, "WAGUARD UNKNOWN - the guard does not run\n", "")

    def test_of_a_guard_that_makes_no_sense(self, guard: FakeGuard, ctl: Ctl) -> None:
        guard.snapshot = {"verdict": 3}
        assert ctl("check").code == 3


class TestExplain:
    @pytest.mark.parametrize("name", CATALOGUE)
    def test_every_finding(self, run_dir: object, ctl: Ctl, name: str) -> None:
        said = ctl("explain", name)
        assert (said.code, said.err) == (0, "")
        assert said.out.startswith(f"{name}: {CATALOGUE[name].summary}\n") and f"findings.md#{name}\n" in said.out
        assert CATALOGUE[name].meaning in said.out

    def test_one_that_holds_now_with_its_evidence_and_the_machines_own_remedy(self, guard: FakeGuard, ctl: Ctl) -> None:
        said = ctl("explain", "agent-autorestart-missing")
        assert "walinuxagent.service has Restart=no" in said.out and "waguardctl autorestart enable" in said.out

    def test_json(self, run_dir: object, ctl: Ctl) -> None:
        result = ctl("explain", "disk-full", "--json").json["result"]
        assert (result["id"], result["cause"], result["blocks"], result["evidence"]) == ("disk-full", 4, True, None)

    def test_an_unknown_one_names_the_nearest(self, run_dir: object, ctl: Ctl) -> None:
        said = ctl("explain", "disk-ful")
        assert said.code == 1
        assert said.err == "waguardctl: there is no finding 'disk-ful'\n  (did you mean disk-full? All of them: waguardctl explain --list)\n"

    def test_nothing_near(self, run_dir: object, ctl: Ctl) -> None:
        assert "(all of them: waguardctl explain --list)" in ctl("explain", "\x1b[2J").err

    def test_the_list(self, run_dir: object, ctl: Ctl) -> None:
        assert [line.split()[0] for line in ctl("explain", "--list").out.splitlines()] == list(CATALOGUE)
