"""The chart of a watched check, and the same as a line of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from zoneinfo import ZoneInfo

from gonogo.core.engine.events import SampledCheck
from gonogo.core.engine.state import State
from gonogo.core.engine.verdict import number, say
from gonogo.core.plan.plan import Plan

#: of longer series the highest of some samples is drawn
_MOST_POINTS = 400
#: when it was taken, its number if it has one, and whether it is a breach
_Sample = tuple[datetime, float | None, bool]


@dataclass(frozen=True, kw_only=True)
class WatchChart:
    """A watched check over time: in a box of 100 by 100, 0 at the bottom."""

    check: str
    #: which of its numbers, with its unit
    metric: str
    rule: str
    #: an SVG path; and each breach as a point
    path: str
    breaches: tuple[tuple[float, float], ...]
    #: how high the limit, and what was measured before, lie; None where there is none
    limit: float | None
    baseline: float | None
    #: the numbers that belong to them
    highest: str
    limit_says: str
    baseline_says: str
    first: str
    last: str
    #: how many samples there are, how many are breaches, how many had no number, and what the last one said
    samples: int
    beyond: int
    blanks: int
    says: str


@dataclass(kw_only=True)
class Series:
    """The samples of a check, in order."""

    #: which of its numbers they are; older ledgers do not say
    metric: str
    samples: list[_Sample] = field(default_factory=list)
    says: str = ""

    def take_in(self, at: datetime, sample: SampledCheck) -> None:
        """Take in the next sample."""
        self.samples.append((at, as_number(sample.value), sample.verdict == "breach"))
        self.says = sample.says


def as_number(text: str) -> float | None:
    """Return what a sample measured, where that is a number."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if isfinite(found) else None


def watch_chart(plan: Plan, state: State, name: str, series: Series) -> WatchChart:
    """Return the chart of a watched check.

    Args:
        plan: the run's plan.
        state: where it stands, which has what was measured before the change.
        name: the check.
        series: its samples; at least one.
    """
    metric, found = series.metric, series.samples
    check, zone = plan.checks[name], ZoneInfo(plan.zone)
    rule = check.breach
    measured = state.known.baseline.measurements.get(name)
    # older ledgers do not say which number was kept
    before = number(measured.numbers.get(metric)) if measured is not None and metric else None
    line = rule.line(before) if rule is not None and metric == rule.metric else None
    unit = " ms" if check.time is not None else ""
    drawn = _thinned(found)
    values = [value for _, value, _ in drawn if value is not None]
    top = max([*values, *(float(each) for each in (before, line) if each is not None)], default=0.0) * 1.08 or 1.0
    low = min([*values, 0.0])
    first, last = found[0][0], found[-1][0]
    whole = max((last - first).total_seconds(), 0.001)

    def place(at: datetime, value: float) -> tuple[float, float]:
        across = (at - first).total_seconds() / whole * 100 if len(found) > 1 else 50.0
        return round(across, 2), height(value)

    def height(value: float) -> float:
        return round((value - low) / (top - low) * 100, 2)

    return WatchChart(
        check=name,
        metric=f"{metric or 'value'}{f',{unit}' if unit else ''}",
        rule=str(check.roll_back_if or ""),
        path=_path([place(at, value) if value is not None else None for at, value, _ in drawn]),
        breaches=tuple(place(at, value) for at, value, breach in drawn if breach and value is not None),
        limit=height(float(line)) if line is not None else None,
        baseline=height(float(before)) if before is not None else None,
        highest=f"{max(values):,.6g}{unit}" if values else "no number",
        limit_says=f"{say(line)}{unit}" if line is not None else "",
        baseline_says=f"{say(before)}{unit}" if before is not None else "",
        first=f"{first.astimezone(zone):%H:%M:%S}",
        last=f"{last.astimezone(zone):%H:%M:%S %Z}",
        samples=len(found),
        beyond=sum(breach for _, _, breach in found),
        blanks=sum(value is None for _, value, _ in found),
        says=series.says,
    )


def _path(places: Sequence[tuple[float, float] | None]) -> str:
    """Return the line through some places as an SVG path, with a gap where there is none."""
    words, pen = [], "M"
    for place in places:
        words += [f"{pen}{place[0]:g} {100 - place[1]:g}"] if place is not None else []
        pen = "L" if place is not None else "M"
    return " ".join(words)


def _thinned(found: Sequence[_Sample]) -> Sequence[_Sample]:
    """Return a series short enough to be drawn: of each few samples the highest, and none that is a breach is left out."""
    if len(found) <= _MOST_POINTS:
        return found
    size = -(-len(found) // _MOST_POINTS)
    parts = [found[at : at + size] for at in range(0, len(found), size)]
    return [max(part, key=lambda each: (each[2], each[1] if each[1] is not None else float("-inf"))) for part in parts]


#: eight heights of a character
_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], most: int = 40) -> str:
    """Return a series as one line of text, for where nothing can be drawn; a dot is a sample without a number."""
    size = -(-len(values) // most) or 1
    parts = [[v for v in values[at : at + size] if v is not None] for at in range(0, len(values), size)]
    known = [max(part) for part in parts if part]
    low, top = min([*known, 0.0]), max(known, default=0.0)
    if top <= low:
        return "".join(_BLOCKS[0] if part else "·" for part in parts)
    return "".join(_BLOCKS[round((max(part) - low) / (top - low) * 7)] if part else "·" for part in parts)
