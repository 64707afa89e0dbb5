"""The pure parts of bench/beside: figures and goals, the corpus, the report. What it measures is measured by `make bench`."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.beside import corpus, following, report
from bench.beside.__main__ import KEPT, PAGE, _found, main, steps
from bench.beside.figures import MET, MISSED, NEAR, OURS, Comparison, Curve, Figure, Goal, Result
from waguard.agent import signatures

pytestmark = pytest.mark.once

MACHINE = {"cpu": "a CPU", "cpus": 2, "memory": 8 << 30, "kernel": "6.1", "versions": {"monit": "5.33"}}


def compared(ours: float, theirs: float, *goals: Goal, more: bool = False) -> Comparison:
    return Comparison("x", "what", "s", (Figure(OURS, (ours,)), Figure("peer", (theirs,))), goals, more_is_better=more)


def result(*comparisons: Comparison, curves: tuple[Curve, ...] = (), failures: Optional[dict[str, str]] = None) -> Result:
    return Result("2026-01-01", True, MACHINE, 61.0, list(comparisons), list(curves), failures or {})


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=50))
def test_percentiles_are_values_that_were_measured(values: list[float]) -> None:
    figure = Figure("x", tuple(values))
    assert figure.percentile(0.99) in values and figure.percentile(1.0) == figure.high
    assert figure.low <= figure.median <= figure.high
    assert sum(value <= figure.percentile(0.99) for value in values) >= 0.99 * len(values)


@pytest.mark.parametrize(("ours", "verdict"), [(0.1, MET), (0.2, MET), (0.25, NEAR), (0.31, MISSED)])
def test_a_goal_is_met_near_or_missed(ours: float, verdict: str) -> None:
    (judged,) = compared(ours, 2.0, Goal("peer", 0.1)).judged()
    assert (judged.verdict, judged.ratio) == (verdict, ours / 2.0)


def test_where_more_is_better_the_ratio_is_the_other_way_round() -> None:
    assert compared(50.0, 10.0, Goal("peer", 1.0), more=True).judged()[0].verdict == MET
    assert compared(10.0, 50.0, Goal("peer", 4.0), more=True).judged()[0].verdict == NEAR
    assert compared(0.0, 50.0, Goal("peer", 4.0), more=True).judged()[0].ratio == math.inf


def test_a_budget_is_a_goal_too_and_one_by_the_clock_fails_nobody() -> None:
    slow = compared(9.0, 1.0, Goal("", 1.0, budget=1.0, gates=False))
    assert slow.judged()[0].verdict == MISSED and result(slow).missed() == []
    assert result(compared(9.0, 1.0, Goal("", 1.0, budget=1.0))).missed() == ["x: what: p50 9 times its budget, goal 1: missed"]


@pytest.mark.parametrize(("gate", "taken", "counts"), [
    (True, [9.0, 1.0], 1.0), (True, [9.0, 8.0], 8.0), (True, [1.0], 1.0), (True, [2.9], 2.9), (False, [9.0], 9.0)])
def test_what_is_behind_is_measured_once_more_and_the_second_time_counts(gate: bool, taken: list[float], counts: float) -> None:
    left, said = list(taken), [""][:0]
    step = lambda _vm: [compared(left.pop(0), 1.0, Goal("peer", 2.0))]
    (found,) = _found(None, "x", step, gate, said.append)  # type: ignore[arg-type]
    assert isinstance(found, Comparison) and found.figures[0].values == (counts,) and not left
    assert len(said) == len(taken) - 1


def test_what_was_not_measured_fails_as_well() -> None:
    assert result(failures={"monit": "it started nobody\nand more"}).missed() == ["monit: not measured: it started nobody"]


@pytest.mark.parametrize(("points", "linear", "verdict"), [
    ([(1, 5.0), (10, 5.1), (100, 4.9)], False, MET), ([(1, 5.0), (10, 30.0)], False, MISSED), ([(1, 0.0), (10, 1.0)], False, MISSED),
    ([(1, 1.0), (10, 10.0), (100, 100.0)], True, MET), ([(1, 1.0), (10, 10.0), (100, 1000.0)], True, MISSED),
    ([(1, 5.0), (10, 5.0), (100, 5.0)], True, MET)])
def test_the_shape_of_a_curve(points: list[tuple[float, float]], linear: bool, verdict: str) -> None:
    assert Curve("c", "what", "things", "ms", {OURS: points}, linear).judged().verdict == verdict


def test_the_slope_is_that_of_the_line() -> None:
    curve = Curve("c", "what", "things", "ms", {OURS: [(0, 1.0), (10, 21.0), (20, 41.0)], "one": [(3, 4.0)]})
    assert curve.slope(OURS) == pytest.approx(2.0) and curve.slope("one") == 0.0


def test_a_result_is_the_same_after_a_journey_through_json() -> None:
    there = result(compared(1.0, 2.0, Goal("peer", 0.1), Goal("", 1.0, "p99", 0.5, False)), failures={"a": "b"},
                   curves=(Curve("c", "what", "things", "ms", {OURS: [(1, 2.0), (3, 4.0)]}),))
    assert Result.from_json(json.loads(json.dumps(there.to_json()))) == there


def test_the_table_says_who_is_better_and_what_became_of_each_goal() -> None:
    told = report.terminal(result(
        compared(0.0384, 0.496, Goal("peer", 0.2)), replace(compared(16.2, 24.0, Goal("", 1.0, budget=20.0)), unit="MB"),
        curves=(Curve("c", "cost", "processes", "ms a second", {OURS: [(10, 8.5), (2000, 6.6)]}),), failures={"aside": "it hung\nlong"}))
    for words in ("38.4 ms", "13 times faster", "+ at least 5 times better than peer: 13, met", "0.67 times",
                  "+ at most 20 MB: 0.81 of it, met", "10: 8.5, 2,000: 6.6 ms a second", "aside: NOT MEASURED"):
        assert words in told, told


def test_every_number_has_a_unit() -> None:
    assert [report.show(value, "s") for value in (4.2e-5, 0.0384, 1.5, 400.0)] == ["42 µs", "38.4 ms", "1.5 s", "400 s"]
    assert [report.show(12.34, unit) for unit in ("MB", "%", "1/s", "MB/s")] == ["12.3 MB", "12.3 %", "12.3 /s", "12.3 MB/s"]


def test_the_page_is_that_of_the_result_that_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--render"]) == 0
    assert capsys.readouterr().out == PAGE.read_text()
    kept = Result.from_json(json.loads(KEPT.read_text()))
    assert not kept.quick and not kept.failures
    for curve in kept.curves:
        assert (PAGE.parent / "performance" / f"{curve.id}.svg").exists()


def test_quick_measures_what_the_whole_does() -> None:
    assert list(steps(True)) == list(steps(False))


def test_the_corpus_has_each_signature_and_says_how_often() -> None:
    text, levels, names = corpus.text(2_000_000)
    assert set(names) == {known.id for known in corpus.followed()} and set(levels) == {"VERBOSE", "INFO", "ERROR"}
    assert text.count(b"\n") == sum(levels.values()) and len(text) < 2_001_000
    assert corpus.text(2_000_000) == (text, levels, names)
    found = [known.id for line in text.decode().splitlines()
             for known in [signatures.match(signatures.WAAGENT, line.split(" ", 4)[4], line.split(" ", 2)[1])] if known is not None]
    assert len(found) == sum(names.values())


def test_mtail_is_told_each_signature() -> None:
    program = following.mtail()
    assert set(re.findall(r'matches\["([^"]+)"\]', program)) == {known.id for known in corpus.followed()}


def test_programs_of_the_machine_need_nothing_of_ours_but_the_reader() -> None:
    for path in Path(corpus.__file__).with_name("inside").glob("*.py"):
        assert ("waguard" in path.read_text()) == (path.name == "follow.py"), path
