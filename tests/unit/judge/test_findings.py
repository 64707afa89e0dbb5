"""From the verdict to findings: every id of the catalogue is raised here, by the evidence that it is meant for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest

from waguard.judge import findings
from waguard.judge.catalogue import CATALOGUE, Finding, Severity
from waguard.judge.evidence import Evidence
from waguard.judge.findings import Standing
from waguard.judge.liveness import History
from waguard.observe import Unknown
from waguard.observe.azure import Probe
from waguard.observe.unit import UnitState
from waguard.settings import Settings

from .world import (
    DIED,
    NOW,
    RUNNING,
    STOPPED,
    TICK,
    Watch,
    conf,
    daemon,
    down,
    evidence,
    handler,
    hang,
    libdir,
    log,
    look,
    mark,
    seen,
    unseen,
)


def found(shown: Evidence, standing: Optional[Standing] = None, history: Optional[History] = None) -> dict[str, str]:
    """The findings of one look: evidence by id."""
    live = look(shown, history)
    return {item.id: item.evidence for item in findings.judge(shown, live, standing or Standing(), Settings())}


def found_hung() -> dict[str, str]:
    shown = evidence(libdir=seen(libdir(1.0)))
    live = hang(shown)
    return {item.id: item.evidence for item in findings.judge(shown, live, Standing(), Settings())}


def found_unkillable() -> dict[str, str]:
    watch = Watch(evidence(handler=handler(blocked=("ExtHandler",))))
    live = watch.go_on(times=3)
    return {item.id: item.evidence for item in findings.judge(watch.found, live, Standing(), Settings())}


RAISED: dict[str, tuple[Callable[[], dict[str, str]], str]] = {
    "agent-not-installed": (lambda: found(down(UnitState("waagent.service", load="not-found"))), "neither walinuxagent.service"),
    "agent-not-running": (lambda: found(down(DIED)), "killed by signal 9"),
    "agent-hung": (found_hung, "has used no CPU time"),
    "agent-handler-missing": (lambda: found(evidence(handler=None), history=History(handler_missing_since=NOW - 301)), "for 5m1s"),
    "agent-crash-loop": (lambda: found(down(DIED), history=History(exits=(NOW - 800, NOW - 400, NOW))), "3 times"),
    "agent-restart-exhausted": (lambda: found(evidence(), Standing(ration_used_up=True)), "ration is used up"),
    "agent-masked": (lambda: found(down(replace(DIED, load="masked", file_state="masked"))), "is masked"),
    "agent-disabled": (lambda: found(evidence(unit=seen(replace(RUNNING, file_state="disabled")))), "is-enabled waagent.service: disabled"),
    "agent-stopped": (lambda: found(down(STOPPED)), "stopped on request"),
    "agent-autorestart-missing": (lambda: found(evidence(unit=seen(replace(RUNNING, restart="no")))), "Restart=no"),
    "agent-provisioning": (lambda: found(evidence(handler=None, daemon=daemon(age=2101), libdir=seen(libdir(provisioned=False)))),
                           "provisioning for 35m1s"),
    "agent-unkillable": (found_unkillable, "in state D at 3 looks in a row: 101/ExtHandler"),
    "conf-missing": (lambda: found(evidence(conf=seen(conf(problem="/etc/waagent.conf is missing", missing=True)))), "is missing"),
    "conf-unreadable": (lambda: found(evidence(conf=unseen("/etc/waagent.conf: Permission denied"))), "Permission denied"),
    "extensions-disabled": (lambda: found(evidence(conf=seen(conf(extensions_enabled=False)))), "Extensions.Enabled=n"),
    "verbose-left-on": (lambda: found(evidence(conf=seen(conf(verbose=True, verbose_line=12)))), "/etc/waagent.conf:12: Logs.Verbose=y"),
    "wireserver-unreachable": (lambda: found(evidence(wireserver=seen(Probe(False, 5.0, "no answer")))), "no answer"),
    "no-route-to-wireserver": (lambda: found(evidence(wireserver=seen(Probe(False, 0.0, "Network is unreachable", routable=False)))),
                               "Network is unreachable"),
    "status-not-reported": (lambda: found(evidence(libdir=seen(libdir(1000.0)))), "not been written for 16m40s"),
    "filesystem-frozen": (lambda: found(evidence(disk_blocked_for=91.0)), "asleep for 1m31s"),
    "observer-failing": (lambda: found(evidence(), Standing(failing=(("log", "no answer within 5 s"),))), "log: no answer within 5 s"),
}


@pytest.mark.parametrize("name", sorted(RAISED))
def test_is_raised_with_its_evidence(name: str) -> None:
    raise_it, expected = RAISED[name]
    assert expected in raise_it()[name]


def test_the_remedy_names_the_process_that_sleeps() -> None:
    watch = Watch(evidence(handler=handler(blocked=("ExtHandler",))))
    live = watch.go_on(times=3)
    raised = {item.id: dict(item.values) for item in findings.judge(watch.found, live, Standing(), Settings())}
    assert raised["agent-unkillable"] == {"pid": "101"}


def test_every_finding_of_the_guards_own_is_raised_by_something() -> None:
    """Those that the guard leaves to the doctor are raised in tests/unit/judge/parts."""
    assert set(RAISED) - {"status-not-reported", "filesystem-frozen"} == findings.OWN
    assert set(RAISED) <= set(CATALOGUE)


@pytest.mark.parametrize("name", sorted(set(CATALOGUE) - findings.OWN))
def test_every_finding_of_the_doctors_is_raised_by_a_part_and_by_a_test_of_it(name: str) -> None:
    judging = Path(findings.__file__).parent
    parts = "".join(path.read_text() for path in (*(judging / "parts").glob("*.py"), judging.with_name("agent") / "conf.py"))
    tests = "".join(path.read_text() for path in (Path(__file__).parent / "parts").glob("*.py"))
    assert f'"{name}"' in parts and name in tests


def test_a_healthy_agent_has_none() -> None:
    assert found(evidence()) == {}


class TestAnAgentThatRests:
    @pytest.mark.parametrize(("shown", "name"), [
        (down(STOPPED), "agent-stopped"),
        (down(replace(STOPPED, file_state="masked")), "agent-masked"),
        (down(replace(DIED, file_state="disabled")), "agent-disabled"),
        (down(DIED, transaction="a package manager (pid 7) holds it"), "agent-stopped"),
        (down(replace(DIED, condition_failed=True)), "agent-stopped"),
        (evidence(handler=None, libdir=seen(libdir(disable_agent=True))), "agent-stopped"),
    ])
    def test_is_reported_and_not_called_a_fault(self, shown: Evidence, name: str) -> None:
        assert name in found(shown) and "agent-not-running" not in found(shown)
        raised = findings.judge(shown, look(shown), Standing(), Settings())
        assert [one.blocking for one in raised if one.id == name] == [True], "nobody is there to take a snapshot"

    def test_one_that_is_disabled_and_runs_takes_snapshots(self) -> None:
        shown = evidence(unit=seen(replace(RUNNING, file_state="disabled")))
        assert [one.blocking for one in findings.judge(shown, look(shown), Standing(), Settings())] == [False]


class TestAnAgentThatProvisions:
    def test_may_take_its_time(self) -> None:
        assert found(evidence(handler=None, daemon=daemon(age=2000), libdir=seen(libdir(provisioned=False)))) == {}

    def test_a_handler_that_waits_gets_its_own_time(self) -> None:
        waits = evidence(handler=handler(age=2000), log=seen(log(beat_age=None, cloud_init=mark(1990))), libdir=seen(libdir(9000)))
        assert found(waits) == {}


class TestTheUnit:
    def test_a_masked_one_has_no_need_of_restart(self) -> None:
        assert "agent-autorestart-missing" not in found(down(replace(DIED, load="masked", file_state="masked", restart="no")))

    def test_of_another_service_manager_nothing_is_said(self) -> None:
        assert found(evidence(unit=seen(replace(RUNNING, kind="command", restart="", file_state="")))) == {}

    def test_one_that_is_not_known_raises_nothing(self) -> None:
        assert found(evidence(unit=Unknown("no answer", NOW))) == {}


class TestTheConf:
    def test_one_that_was_not_looked_at_yet_raises_nothing(self) -> None:
        assert found(evidence(conf=Unknown("not looked at yet", 0.0))) == {}

    def test_one_that_the_agent_refuses_is_not_judged_by_its_values(self) -> None:
        broken = conf(problem="the file is not valid UTF-8", extensions_enabled=False, verbose=True)
        assert set(found(evidence(conf=seen(broken)))) == {"conf-unreadable"}

    def test_verbose_with_a_lease_is_no_finding(self) -> None:
        assert found(evidence(conf=seen(conf(verbose=True))), Standing(leased=True)) == {}


class TestTheWireServer:
    def test_one_that_is_not_known_raises_nothing(self) -> None:
        assert found(evidence(wireserver=Unknown("this machine is not known to be on Azure", NOW))) == {}

    def test_one_that_does_not_answer_is_no_hung_agent(self) -> None:
        shown = evidence(libdir=seen(libdir(1.0)), wireserver=seen(Probe(False, 5.0, "no answer")))
        raised = {item.id for item in findings.judge(shown, hang(shown), Standing(), Settings())}
        assert raised == {"wireserver-unreachable", "status-not-reported"}

    @pytest.mark.parametrize(("routable", "name"), [
        (False, "no-route-to-wireserver"), (True, "wireserver-unreachable"), (None, "wireserver-unreachable")])
    def test_one_fault_has_one_name(self, routable: Optional[bool], name: str) -> None:
        assert set(found(evidence(wireserver=seen(Probe(False, 0.0, "x", routable=routable))))) == {name}


@pytest.mark.parametrize(("ago", "over"), [(599, False), (601, True)])
def test_a_crash_loop_is_over_when_the_delay_between_starts_begins_anew(ago: float, over: bool) -> None:
    ends = History(exits=(NOW - ago - 200, NOW - ago - 100, NOW - ago))
    assert ("agent-crash-loop" not in found(evidence(), history=ends)) is over
    assert "agent-crash-loop" in found(down(DIED), history=ends), "it has not lived since"


@pytest.mark.parametrize(("shown", "blocks"), [(down(DIED), True), (evidence(handler=None), True), (evidence(), False)],
                         ids=["down", "just started", "seen working"])
def test_a_crash_loop_is_in_the_way_of_a_backup_until_the_agent_works(shown: Evidence, blocks: bool) -> None:
    live = look(shown, History(exits=(NOW - 20, NOW - 10, NOW - 5)))
    raised = findings.judge(shown, live, Standing(), Settings())
    assert [one.blocking for one in raised if one.id == "agent-crash-loop"] == [blocks]


def test_a_write_may_take_as_long_as_a_snapshots_freeze() -> None:
    assert found(evidence(disk_blocked_for=89.0)) == {}


def test_two_ends_are_no_loop_and_old_ones_do_not_count() -> None:
    assert "agent-crash-loop" not in found(down(DIED), history=History(exits=(NOW - 901, NOW - 400, NOW)))


def test_every_failing_observer_is_named() -> None:
    shown = evidence()
    standing = Standing(failing=(("log", "still busy"), ("libdir", "Input/output error")))
    named = [item.evidence for item in findings.judge(shown, look(shown), standing, Settings())]
    assert named == ["log: still busy", "libdir: Input/output error"]


def test_evidence_is_one_line_without_end() -> None:
    for name, (raise_it, _) in RAISED.items():
        text = raise_it()[name]
        assert text and "\n" not in text and len(text) < 400, name


def test_findings_compare_by_value() -> None:
    assert Finding("agent-hung", "x") == Finding("agent-hung", "x")
    assert Finding("agent-hung", "x").entry.severity is Severity.CRITICAL
    assert TICK > 0


@pytest.mark.parametrize(("runs", "blocks"), [(True, False), (False, True)])
def test_a_conf_that_is_gone_stops_nobody_who_has_read_it(runs: bool, blocks: bool) -> None:
    gone = conf(problem="/etc/waagent.conf is missing", missing=True)
    shown = evidence(conf=seen(gone)) if runs else down(DIED, conf=seen(gone))
    told = [one for one in findings.judge(shown, look(shown), Standing(), Settings()) if one.id == "conf-missing"]
    assert [one.blocking for one in told] == [blocks]
