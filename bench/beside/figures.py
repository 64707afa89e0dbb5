"""What was measured, against what, and whether that is good enough. Pure; goes to JSON and back.

A goal is a ratio of this run: ours over a peer's, or over a budget. "Met" within it, "near" up to SLACK times it (noise of a
shared machine), "missed" beyond, which fails a gated run. A time by the clock is never a gate.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Optional, Union

SLACK = 1.5
"""How far behind its goal a ratio may fall before a gated run fails."""
MET, NEAR, MISSED = "met", "near", "missed"
OURS = "waguard"


class NotDone(Exception):
    """A contender did not do the work that was to be measured, so there is nothing to compare; the message says what it did."""


@dataclass(frozen=True)
class Figure:
    """What one contender took, in each run. ``note``: what a reader has to know about it."""

    who: str
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)

    def percentile(self, share: float) -> float:
        """By the nearest rank: a value that was measured."""
        ranked = sorted(self.values)
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


@dataclass(frozen=True)
class Goal:
    """Ours over the ``against`` figure, or over ``budget`` where there is none, is to be at most ``limit``.

    ``statistic``: "p50" or "p99". ``gates``: a gated run fails when it is missed.
    """

    against: str
    limit: float
    statistic: str = "p50"
    budget: Optional[float] = None
    gates: bool = True


@dataclass(frozen=True)
class Judged:
    """A goal and what came of it."""

    goal: Goal
    ratio: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """One measurement. ``unit``: s, ms, B, %, 1/s, MB/s …; ``proof``: how it is known that each did the work.

    ``more_is_better``: a goal's ratio is then theirs over ours.
    """

    id: str
    what: str
    unit: str
    figures: tuple[Figure, ...]
    goals: tuple[Goal, ...] = ()
    proof: str = ""
    more_is_better: bool = False

    def of(self, who: str) -> Figure:
        """Raises LookupError."""
        return next(figure for figure in self.figures if figure.who == who)

    def ratio(self, goal: Goal) -> float:
        ours = _statistic(self.of(OURS), goal.statistic)
        theirs = goal.budget if goal.budget is not None else _statistic(self.of(goal.against), goal.statistic)
        over, under = (theirs, ours) if self.more_is_better else (ours, theirs)
        return over / under if under else math.inf

    def judged(self) -> list[Judged]:
        return [judge(goal, self.ratio(goal)) for goal in self.goals]


@dataclass(frozen=True)
class Curve:
    """How a cost grows. ``lines``: who to (x, y) points, x ascending. ``linear``: ours may grow with x, not faster; else flat.

    ``limit`` bounds, for a flat one, the highest of ours over the first; for a linear one, the last of ours over what the
    straight line from the first through the last but one comes to there, or over the first, if that is more.
    """

    id: str
    what: str
    x: str
    unit: str
    lines: Mapping[str, Sequence[tuple[float, float]]]
    linear: bool = False
    limit: float = 1.5
    proof: str = ""

    def slope(self, who: str) -> float:
        """Units a unit of x, by least squares."""
        points = self.lines[who]
        across, up = statistics.fmean(x for x, _ in points), statistics.fmean(y for _, y in points)
        spread = sum((x - across) ** 2 for x, _ in points)
        return sum((x - across) * (y - up) for x, y in points) / spread if spread else 0.0

    def judged(self) -> Judged:
        points = self.lines[OURS]
        goal = Goal("a straight line" if self.linear else "its start", self.limit)
        if not self.linear:
            start = points[0][1]
            return judge(goal, max(y for _, y in points) / start if start else math.inf)
        (first_x, first_y), (middle_x, middle_y), (last_x, last_y) = points[0], points[-2], points[-1]
        expected = max(first_y, first_y + (middle_y - first_y) * (last_x - first_x) / (middle_x - first_x))
        return judge(goal, last_y / expected if expected else math.inf)


def judge(goal: Goal, ratio: float) -> Judged:
    return Judged(goal, ratio, MET if ratio <= goal.limit else NEAR if ratio <= SLACK * goal.limit else MISSED)


def _statistic(figure: Figure, name: str) -> float:
    return figure.percentile(0.99) if name == "p99" else figure.median


@dataclass
class Result:
    """A whole run."""

    made: str
    quick: bool
    machine: Mapping[str, Any]
    seconds: float = 0.0
    comparisons: list[Comparison] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    """Measurement to why there is no figure."""

    def missed(self) -> list[str]:
        """What fails a gated run, a line each."""
        lines = [f"{name}: not measured: {why.partition(chr(10))[0]}" for name, why in self.failures.items()]
        return lines + behind([*self.comparisons, *self.curves])

    def to_json(self) -> dict[str, Any]:
        tree = asdict(self)
        for told_of, one in zip(tree["comparisons"], self.comparisons):
            told_of["judged"] = [asdict(judged) for judged in one.judged()]
        for told_of, curve in zip(tree["curves"], self.curves):
            told_of["judged"] = asdict(curve.judged())
            told_of["slopes"] = {who: curve.slope(who) for who in curve.lines}
        return tree

    @classmethod
    def from_json(cls, tree: Mapping[str, Any]) -> Result:
        """What ``to_json`` made. Raises LookupError or TypeError for anything else."""
        comparisons = [Comparison(**{**_without(one, "judged"), "figures": tuple(
            Figure(**{**figure, "values": tuple(figure["values"])}) for figure in one["figures"]),
            "goals": tuple(Goal(**goal) for goal in one["goals"])}) for one in tree["comparisons"]]
        curves = [Curve(**{**_without(one, "judged", "slopes"), "lines": {
            who: [(point[0], point[1]) for point in points] for who, points in one["lines"].items()}}) for one in tree["curves"]]
        return cls(tree["made"], tree["quick"], tree["machine"], tree["seconds"], comparisons, curves, dict(tree["failures"]))


def _without(tree: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in tree.items() if name not in names}


def behind(found: Iterable[Union[Comparison, Curve]]) -> list[str]:
    """What of these a gated run fails for, a line each."""
    lines = []
    for one in found:
        judged = [one.judged()] if isinstance(one, Curve) else [each for each in one.judged() if each.goal.gates]
        lines += [f"{one.id}: {one.what}: {told(each)}" for each in judged if each.verdict == MISSED]
    return lines


def told(judged: Judged) -> str:
    """A goal and its ratio in words."""
    goal = judged.goal
    against = goal.against if goal.budget is None else "its budget"
    return f"{goal.statistic} {judged.ratio:.3g} times {against}, goal {goal.limit:.3g}: {judged.verdict}"
