"""A result as a table on a terminal, and as docs/performance.md. Pure: the same result gives the same text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.beside.figures import OURS, SLACK, Comparison, Curve, Figure, Judged, Result

_UNITS = {"s": "", "MB": " MB", "%": " %", "1/s": " /s", "MB/s": " MB/s"}
_PAGE = """\
<!-- Made by: make bench (python3 -m bench.beside --render) -->
# How fast waguard is, and what it costs

Measured side by side with what people would use instead, in one run of {minutes} minutes on {made}: {cpu}, {cpus} CPUs,
{memory} of memory, kernel {kernel}, in a booted Debian 12 with the real agent and a stand-in for the Azure fabric (the lab).
Versions: {versions}.

`met` is a goal that is met; `near` is within {slack:g} times of it, which on a shared machine may be noise; `missed` is worse.
Times of another machine are other times; ratios are what to go by.

{sections}
## Curves

{curves}
## Again

```
make bench
make bench ARGS=--quick
```

The first takes about {minutes} minutes, root, two CPUs and what the lab needs (Debian's packages); it writes `dist/bench.json`,
the curves and this page. The second takes two, keeps only `dist/bench.json`, and is what CI runs: with `--gate` it fails when a
ratio falls behind its goal by more than half, and does so again when it is measured once more. A peer that did not do its work is
not compared with, and fails the run.
"""


def terminal(result: Result) -> str:
    """For people at a terminal."""
    lines = []
    for one in result.comparisons:
        lines += ["", f"{one.what}"]
        rows = [(figure.who, *_numbers(one, figure), _ratio(one, figure)) for figure in one.figures]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        for row in rows:
            lines.append("  " + "  ".join(text.ljust(width) if column == 0 else text.rjust(width)
                                          for column, (text, width) in enumerate(zip(row, widths))).rstrip())
        lines += [f"  {_sign(judged)} {_goal(one, judged)}" for judged in one.judged()]
    for curve in result.curves:
        lines += ["", curve.what]
        lines += [f"  {who}: " + ", ".join(f"{x:,.0f}: {_plain(y)}" for x, y in points) + f" {curve.unit}; {_slope(curve, who)}"
                  for who, points in curve.lines.items()]
        judged = curve.judged()
        lines.append(f"  {_sign(judged)} {_shape(curve, judged)}")
    lines += [f"\n{name}: NOT MEASURED: {why}" for name, why in result.failures.items()]
    return "\n".join(lines) + "\n"


def page(result: Result) -> str:
    """docs/performance.md."""
    machine = result.machine
    return _PAGE.format(
        minutes=max(1, round(result.seconds / 60)), made=result.made, cpu=machine["cpu"], cpus=machine["cpus"],
        memory=f"{machine['memory'] / 2 ** 30:.0f} GiB", kernel=machine["kernel"], slack=SLACK,
        versions=", ".join(f"{name} {version}" for name, version in machine["versions"].items()),
        sections="\n".join(map(_section, result.comparisons)), curves="\n".join(map(_curve, result.curves)))


def _section(one: Comparison) -> str:
    head = ("", "p50", "p99", "lowest to highest", "waguard is")
    rows = [(figure.who, *_numbers(one, figure), _ratio(one, figure)) for figure in one.figures]
    told = [f"## {_sentence(one.what)}", "", _table(head, rows)]
    told += ["", *(f"- {_goal(one, judged)}" for judged in one.judged())] if one.goals else []
    notes = [f"{figure.who}: {figure.note}" for figure in one.figures if figure.note]
    if one.proof or notes:
        told += ["", f"{_sentence('; '.join([*([one.proof] if one.proof else []), *notes]))}."]
    return "\n".join(told) + "\n"


def _curve(curve: Curve) -> str:
    xs = [x for x, _ in curve.lines[OURS]]
    head = (curve.x, *(f"{x:,.0f}" for x in xs), "slope")
    rows = [(who, *(f"{_plain(y)}" for _, y in points), _slope(curve, who)) for who, points in curve.lines.items()]
    told = [f"### {curve.what}", "", f"![{curve.what}](performance/{curve.id}.svg)", "", f"In {curve.unit}.", "",
            _table(head, rows), "", f"- {_shape(curve, curve.judged())}"]
    return "\n".join([*told, *(["", f"{_sentence(curve.proof)}."] if curve.proof else [])]) + "\n"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _numbers(one: Comparison, figure: Figure) -> tuple[str, str, str]:
    if len(figure.values) == 1:
        return show(figure.median, one.unit), "", ""
    spread = f"{show(figure.low, one.unit)} to {show(figure.high, one.unit)}"
    last = figure.percentile(0.99) if len(figure.values) >= 20 else None
    return show(figure.median, one.unit), "" if last is None else show(last, one.unit), spread


def _ratio(one: Comparison, figure: Figure) -> str:
    """How ours stands to this one, in words that need no thinking."""
    if figure.who == OURS or not figure.median:
        return ""
    ours, theirs = one.of(OURS).median, figure.median
    if one.unit in ("MB", "%", "1/s"):
        return f"{ours / theirs:.2g} times"
    faster = ours / theirs if one.more_is_better else theirs / ours
    return f"{_factor(faster)} times faster" if faster >= 1 else f"{_factor(1 / faster)} times slower"


def _factor(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _goal(one: Comparison, judged: Judged) -> str:
    goal = judged.goal
    which = "p99 " if goal.statistic == "p99" else ""
    if goal.budget is not None:
        return f"{which}at most {show(goal.budget, one.unit)}: {judged.ratio:.2g} of it, {judged.verdict}"
    if goal.limit < 1:
        least = f"{which}at least {1 / goal.limit:.2g} times better than {goal.against}"
        return f"{least}: {_factor(1 / judged.ratio)}, {judged.verdict}"
    return f"{which}at most {goal.limit:.2g} times {goal.against}'s: {judged.ratio:.2g}, {judged.verdict}"


def _shape(curve: Curve, judged: Judged) -> str:
    if curve.linear:
        return f"at most linear: {judged.ratio:.2g} of what a straight line comes to (limit {curve.limit:g}), {judged.verdict}"
    return f"flat: at most {curve.limit:g} times its start: {judged.ratio:.2g} times, {judged.verdict}"


def _slope(curve: Curve, who: str) -> str:
    return f"{_plain(curve.slope(who) * 1000)} {curve.unit} for 1,000 {curve.x.partition('/')[0]}"


def _sign(judged: Judged) -> str:
    return {"met": "+", "near": "~", "missed": "!"}[judged.verdict]


def show(value: float, unit: str) -> str:
    """A figure with its unit, three digits that count."""
    if unit == "s":
        if value < 1e-3:
            return f"{value * 1e6:.3g} µs"
        return f"{value * 1e3:.3g} ms" if value < 1 else f"{value:.3g} s" if value < 100 else f"{value:.0f} s"
    return f"{_plain(value)}{_UNITS[unit]}"


def _plain(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def lines() -> Iterator[Sequence[str]]:
        yield head
        yield ["---", *["---:"] * (len(head) - 1)]
        yield from rows

    return "\n".join(f"| {' | '.join(line)} |" for line in lines())
