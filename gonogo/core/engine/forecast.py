"""The clock of a run: when each task is planned, and when it will be, given how far the run is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo.core.engine.events import BatchDone, Event, PhaseRollbackProved, ScriptDone, ScriptStarted, StepFailed
from gonogo.core.engine.state import ENDED, ROLLING_BACK_STATES, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedTask

NOTHING = timedelta(0)
#: what is late by less is not late
_NOTICED = timedelta(seconds=5)
#: for each task that began, when it did, and when it ended if it has
Times = Mapping[str, tuple[datetime, datetime | None]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task on the clock."""

    task: str
    planned_start: datetime
    planned_end: datetime
    #: what happened, or what is now expected while the run goes forward; None where neither is known
    start: datetime | None
    end: datetime | None
    state: str
    #: by how much it has taken longer than it was expected to, while nothing says how long it still takes
    overdue: timedelta = NOTHING

    @property
    def says(self) -> str:
        """How it stands, in a word or two."""
        return f"overdue by {say_duration(self.overdue)}" if self.overdue >= _NOTICED else self.state


def fraction(plan: Plan, state: State) -> float:
    """Return how much of the planned work is done, from 0 to 1: by the tasks' times where all have one, else by steps."""
    if state.status is Status.ROLLED_BACK:
        return 0.0
    done = total = 0.0
    for task, weight in zip(plan.tasks, plan.weights, strict=True):
        total += weight
        done += weight * _share(plan, state, task.first, task.last, task.phase)
    return 1.0 if total == 0 else done / total


def _share(plan: Plan, state: State, first: int, last: int, phase: int) -> float:
    if state.work.step > last:
        # a task without steps is done as soon as its phase is under way
        under_way = state.phase == phase and state.status not in (Status.READY, Status.GATING, Status.DECIDING, Status.NO_GO)
        return 1.0 if last >= first or state.phase > phase or under_way else 0.0
    if state.work.step < first:
        return 0.0
    units = plan.units_before[last + 1] - plan.units_before[first]
    done = plan.units_before[state.work.step] - plan.units_before[first] + state.work.script + state.work.filled
    return done / units if units else 0.0


def forecast(plan: Plan, state: State, now: datetime, actual: Times) -> list[Row]:
    """Return each task with its planned and its actual or expected times; of a run that is over, only what happened.

    Args:
        plan: the plan.
        state: where the run stands.
        now: the time.
        actual: for each task that began, when it did, and when it ended if it has.
    """
    rows: list[Row] = []
    moved, phase = plan.start, 0
    forward = state.status not in ENDED | ROLLING_BACK_STATES
    for task in plan.tasks:
        while phase < task.phase:
            moved, phase = moved + plan.phases[phase].soak, phase + 1
        share = _share(plan, state, task.first, task.last, task.phase)
        if task.name in actual:
            row = _begun(plan, state, now, task, *actual[task.name])
        elif share == 1.0:
            # it has no steps, so no event says when it was: whoever owns it does it
            row = _row(task, "not tracked")
        elif not forward:
            row = _row(task, "not begun")
        elif share:
            # whoever asks does not know when it began: as much of it is over as is done
            start = now - expected_duration(task, state) * share
            row = _begun(plan, state, now, task, start, None)
        else:
            start = max(moved, _opens(plan, state, task), now)
            row = _row(task, "next", start, start + expected_duration(task, state))
        rows.append(row)
        moved = row.end or moved
    return rows


def _row(
    task: PlannedTask, label: str, start: datetime | None = None, end: datetime | None = None, overdue: timedelta = NOTHING
) -> Row:
    return Row(
        task=task.name,
        planned_start=task.start,
        planned_end=task.end,
        start=start,
        end=end,
        state=label,
        overdue=overdue,
    )


def _begun(plan: Plan, state: State, now: datetime, task: PlannedTask, start: datetime, end: datetime | None) -> Row:
    """Return the row of a task that began."""
    back = state.status in ROLLING_BACK_STATES | {Status.ROLLED_BACK}
    if back and state.work.step <= task.first:
        return _row(task, "undone", start, end)
    if end is not None:
        return _row(task, "done", start, end)
    if back or state.status in ENDED:
        return _row(task, "rolling back" if back else "not done", start)
    paced = _paced_end(plan, state, task)
    end = paced or start + expected_duration(task, state)
    late = max(now - end, NOTHING)
    label = "held" if state.held else "now"
    return _row(task, label, start, max(now, end), late if paced is None else NOTHING)


def _paced_end(plan: Plan, state: State, task: PlannedTask) -> datetime | None:
    """Return when a task ends if its backfill goes on at its pace; None where none is under way."""
    by = state.work.filled_by
    if by is None or not task.first <= state.work.step <= task.last:
        return None
    units = plan.units_before[task.last + 1] - plan.units_before[task.first]
    after = plan.units_before[task.last + 1] - plan.units_before[state.work.step] - state.work.script - 1
    return by + expected_duration(task, state) * (max(0, after) / units)


def _opens(plan: Plan, state: State, task: PlannedTask) -> datetime:
    """Return when the clock lets a task begin."""
    phase = plan.phases[task.phase]
    launched = state.phase_at if state.phase == task.phase else None
    opens = launched or phase.start
    if not state.gate.at_once:
        opens = max(opens, phase.opens or opens)
    return opens + (task.at or NOTHING)


def expected_duration(task: PlannedTask, state: State) -> timedelta:
    """Return how long a task is expected to take: as planned, or longer where the rehearsal took longer."""
    found = state.known.rehearsed
    rehearsed = found.tasks.get(task.name, 0.0) if found else 0.0
    return max(task.end - task.start, timedelta(seconds=rehearsed))


def expected_end(plan: Plan, state: State, rows: list[Row]) -> datetime:
    """Return when the run will end, the last soak included; where something is overdue, it is that at the earliest."""
    last = max((row.end for row in rows if row.end), default=plan.start)
    phase = len(plan.phases) - 1
    soaks_since = state.soak_from if state.phase == phase and state.status is Status.SOAKING else None
    return (soaks_since or last) + plan.phases[-1].soak


class TaskTimes:
    """When each task of a plan that began did, and when it ended if it has: taken in event by event, in order."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.found: dict[str, tuple[datetime, datetime | None]] = {}

    def take_in(self, event: Event) -> None:
        """Take in the next event."""
        body, steps = event.body, self.plan.steps
        if isinstance(body, PhaseRollbackProved):
            # what is launched again is timed again
            again = {step.task for step in steps[body.step :]}
            self.found = {name: found for name, found in self.found.items() if name not in again}
        if not isinstance(body, ScriptStarted | ScriptDone | BatchDone | StepFailed) or body.step is None:
            return
        task = self.plan.task(steps[body.step].task)
        # what is measured is recorded afterwards; a script's transaction began with it
        took = getattr(body, "took", None)
        first = event.began if took is None else event.at - timedelta(seconds=took)
        began, ended = self.found.get(task.name, (first, None))
        if isinstance(body, ScriptDone) and body.last and body.step == task.last:
            ended = event.at
        self.found[task.name] = (began, ended)


def actual_times(plan: Plan, events: Iterable[Event]) -> dict[str, tuple[datetime, datetime | None]]:
    """Return when each task that began did, and when it ended if it has.

    Args:
        plan: the plan.
        events: the run's events, in order.
    """
    times = TaskTimes(plan)
    for event in events:
        times.take_in(event)
    return times.found
