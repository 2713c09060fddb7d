"""What is drawn of a run, for its report and its live page: one timeline a phase, one chart a watched check.

Everything here is numbers and words: places are percents of a width, and `charts.html.j2` draws them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from gonogo.core.engine.events import (
    Body,
    Event,
    Go,
    Held,
    HoldAsked,
    NoGo,
    RollbackAsked,
    Sampled,
    StepFailed,
    Tripped,
    VerifyFailed,
)
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.forecast import Row, TaskTimes, forecast
from gonogo.core.engine.state import ENDED, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedTask
from gonogo.report.watch_charts import Series, WatchChart, watch_chart

#: how far two ticks may be apart, in seconds; the first that leaves few enough is taken
_STEPS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800, 2592000)
_MOST_TICKS = 7
#: what was planned is not on the scale where that would be so many times as long: what happened would be a dot
_FAR = 12
_LEAST = timedelta(seconds=1)
#: the states that a stretch of a lane shows, and the words for it
_LANES = {
    Status.GATING: "gate",
    Status.DECIDING: "gate",
    Status.VERIFYING: "soak",
    Status.SOAKING: "soak",
    Status.ROLLING_BACK: "back",
    Status.PROVING: "back",
}
_LANE_NAMES = {"gate": "Gate", "soak": "Verify and watch", "back": "Rollback"}
#: what is marked, with the word for it
_MARKS: Mapping[type[Body], tuple[str, str]] = {
    Go: ("go", "go"),
    NoGo: ("stop", "no-go"),
    Tripped: ("trip", "tripped"),
    StepFailed: ("trip", "failed"),
    VerifyFailed: ("trip", "verification failed"),
    Held: ("hold", "held"),
    HoldAsked: ("hold", "hold"),
    RollbackAsked: ("trip", "roll back"),
}


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stretch of time on a lane."""

    left: float
    width: float
    #: plan, done, now, expected, held, undone, gate, soak, back
    kind: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment, across all lanes."""

    left: float
    #: go, stop, trip, hold, now
    kind: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Lane:
    """A task, or what a phase does beside its tasks."""

    name: str
    owner: str = ""
    #: how it stands, in words
    state: str = ""
    says: str
    planned: Bar | None = None
    actual: tuple[Bar, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A phase on one scale of time: what was planned, what happened, and what is expected."""

    phase: str
    title: str
    #: where a tick is, and its clock time
    ticks: tuple[tuple[float, str], ...]
    lanes: tuple[Lane, ...]
    marks: tuple[Mark, ...]
    #: when all of it was planned, where what happened would be a dot beside it
    planned_apart: str = ""


@dataclass(kw_only=True)
class _Stretch:
    """A stretch of time in which a phase was in a state."""

    phase: int
    kind: str
    began: datetime
    ended: datetime | None = None


@dataclass(kw_only=True)
class _Story:
    """What happened, by phase."""

    stretches: list[_Stretch] = field(default_factory=list)
    marks: list[tuple[int, datetime, str, str]] = field(default_factory=list)
    launched: set[int] = field(default_factory=set)
    state: State = field(default_factory=State)


@dataclass(frozen=True, kw_only=True)
class _Scale:
    first: datetime
    last: datetime
    zone: ZoneInfo

    def at(self, moment: datetime) -> float:
        """Return where a moment is, in percent."""
        whole = max((self.last - self.first).total_seconds(), 0.001)
        return round(min(100.0, max(0.0, (moment - self.first).total_seconds() / whole * 100)), 2)

    def bar(self, began: datetime, ended: datetime, kind: str) -> Bar:
        """Return a stretch of time as a bar: what takes no time is still to be seen."""
        left = self.at(began)
        return Bar(left=left, width=round(max(0.4, self.at(ended) - left), 2), kind=kind)

    def ticks(self) -> Iterator[tuple[float, str]]:
        """Return the round clock times on it."""
        seconds = (self.last - self.first).total_seconds()
        step = next((step for step in _STEPS if seconds / step <= _MOST_TICKS), _STEPS[-1])
        form = "%H:%M:%S" if step < 60 else "%H:%M" if step < 86400 else "%d %b"
        midnight = datetime.combine(self.first.astimezone(self.zone).date(), time(), self.zone)
        behind = int((self.first - midnight).total_seconds() // step) + 1
        for count in range(_MOST_TICKS + 1):
            moment = midnight + timedelta(seconds=step * (behind + count))
            if moment <= self.last:
                yield self.at(moment), moment.astimezone(self.zone).strftime(form)


class Drawing:
    """What is drawn of a run: its events are taken in one by one, in order, so that a run that goes on is not read anew.

    Args:
        plan: the run's plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.times = TaskTimes(plan)
        self._story = _Story()
        self._series: dict[str, Series] = {}

    @property
    def state(self) -> State:
        """Where the run stands."""
        return self._story.state

    def take_in(self, event: Event) -> None:
        """Take in the next event."""
        self.times.take_in(event)
        _tell(self._story, event)
        if isinstance(event.body, Sampled):
            # what somebody wrote into the ledger by hand may name a check that there is not
            for name, sample in ((name, sample) for name, sample in event.body.samples.items() if name in self.plan.checks):
                self._series.setdefault(name, Series(metric=sample.metric)).take_in(event.at, sample)

    def timelines(self, now: datetime | None = None) -> list[Timeline]:
        """Return the timeline of each phase that was launched; before any was, that of the first as it is planned.

        Args:
            now: the time, while it goes on; None for a report, which shows what happened up to the last event.
        """
        plan, story = self.plan, self._story
        until = now or story.state.at or plan.start
        rows = {row.task: row for row in forecast(plan, story.state, until, self.times.found)}
        return [_timeline(plan, phase, story, rows, until, live=now is not None) for phase in sorted(story.launched) or [0]]

    def watch_charts(self) -> list[WatchChart]:
        """Return the chart of each check that was watched."""
        return [watch_chart(self.plan, self.state, name, series) for name, series in self._series.items()]


def drawing(plan: Plan, events: Iterable[Event]) -> Drawing:
    """Return what is drawn of a run with these events."""
    made = Drawing(plan)
    for event in events:
        made.take_in(event)
    return made


def _tell(story: _Story, event: Event) -> None:
    before, after = story.state, evolve(story.state, event)
    story.state = after
    if after.status is not before.status or after.phase != before.phase:
        if story.stretches and story.stretches[-1].ended is None:
            story.stretches[-1].ended = event.at
        if kind := _LANES.get(after.status):
            # what rolls back several phases shows where it began
            same = bool(story.stretches) and kind == story.stretches[-1].kind and story.stretches[-1].ended == event.at
            if same:
                story.stretches[-1].ended = None
            else:
                story.stretches.append(_Stretch(phase=before.phase if kind == "back" else after.phase, kind=kind, began=event.at))
    if after.status is Status.GATING:
        story.launched.add(after.phase)
    if mark := _MARKS.get(type(event.body)):
        story.marks.append((before.phase, event.at, *mark))


def _timeline(plan: Plan, phase: int, story: _Story, rows: Mapping[str, Row], until: datetime, *, live: bool) -> Timeline:
    tasks = [task for task in plan.tasks if task.phase == phase]
    stretches = [stretch for stretch in story.stretches if stretch.phase == phase]
    scale, apart = _scale(plan, phase, [rows[task.name] for task in tasks], stretches, until)
    lanes = [_of_state("gate", stretches, scale, until)]
    lanes += [_of_task(task, rows[task.name], scale, until, apart=bool(apart)) for task in tasks]
    lanes += [_of_state(kind, stretches, scale, until) for kind in ("soak", "back")]
    marks = [
        Mark(left=scale.at(at), kind=kind, says=f"{says} {at.astimezone(scale.zone):%H:%M:%S}")
        for of, at, kind, says in story.marks
        if of == phase
    ]
    going = story.state.phase == phase and story.state.status not in ENDED
    marks += [Mark(left=scale.at(until), kind="now", says="now")] if live and going else []
    return Timeline(
        phase=plan.phases[phase].name,
        title=plan.phases[phase].title,
        ticks=tuple(scale.ticks()),
        lanes=tuple(lane for lane in lanes if lane is not None),
        marks=tuple(marks),
        planned_apart=apart,
    )


def _scale(plan: Plan, phase: int, rows: Sequence[Row], stretches: Sequence[_Stretch], until: datetime) -> tuple[_Scale, str]:
    """Return the scale that holds what was planned and what happened; and what was planned where that is too far away."""
    zone = ZoneInfo(plan.zone)
    planned = [plan.phases[phase].start, plan.phases[phase].end]
    known = [moment for row in rows for moment in (row.start, row.end) if moment is not None]
    known += [moment for stretch in stretches for moment in (stretch.began, stretch.ended or until)]
    if not known:
        return _Scale(first=min(planned), last=max(planned), zone=zone), ""
    whole = max(known + planned) - min(known + planned)
    if whole > _FAR * max(max(known) - min(known), _LEAST):
        return _Scale(first=min(known), last=max(known), zone=zone), _span(planned[0], planned[1], zone)
    return _Scale(first=min(known + planned), last=max(known + planned), zone=zone), ""


def _span(began: datetime, ended: datetime | None, zone: ZoneInfo) -> str:
    first = began.astimezone(zone)
    if ended is None:
        return f"{first:%H:%M:%S} to -"
    last = ended.astimezone(zone)
    day = f"{last:%a %d %b} " if last.date() != first.date() else ""
    return f"{first:%H:%M:%S} to {day}{last:%H:%M:%S %Z}"


def _of_state(kind: str, stretches: Sequence[_Stretch], scale: _Scale, until: datetime) -> Lane | None:
    of = [stretch for stretch in stretches if stretch.kind == kind]
    if not of:
        return None
    took = sum(((stretch.ended or until) - stretch.began for stretch in of), timedelta(0))
    bars = tuple(scale.bar(stretch.began, stretch.ended or until, kind) for stretch in of)
    state = "now" if of[-1].ended is None else ""
    says = f"{_span(of[0].began, of[-1].ended, scale.zone)} ({say_duration(took)})"
    return Lane(name=_LANE_NAMES[kind], state=state, says=says, actual=bars)


def _of_task(task: PlannedTask, row: Row, scale: _Scale, until: datetime, *, apart: bool) -> Lane:
    planned = None if apart else scale.bar(task.start, task.end, "plan")
    takes = f"planned {say_duration(task.takes)}" if task.takes else "no time planned"
    bars: list[Bar] = []
    says = takes
    if row.start is not None:
        going = row.state in ("now", "held")
        if row.state == "next":
            bars.append(scale.bar(row.start, row.end or row.start, "expected"))
            says = f"expected {_span(row.start, row.end, scale.zone)}; {takes}"
        else:
            ended = until if going or row.end is None else row.end
            kind = {"undone": "undone", "rolling back": "undone", "held": "held"}.get(row.state, "now" if going else "done")
            bars.append(scale.bar(row.start, min(ended, until) if going else ended, kind))
            if going and row.end is not None and row.end > until and not row.overdue:
                bars.append(scale.bar(until, row.end, "expected"))
            took = f" ({say_duration(row.end - row.start)}; {takes})" if row.end and not going else f" ({takes})"
            says = f"{_span(row.start, None if going else row.end, scale.zone)}{took}"
    return Lane(name=task.title, owner=task.owner, state=row.says, says=says, planned=planned, actual=tuple(bars))
