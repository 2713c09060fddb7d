"""The clock of a run: when each task is planned, and when it will be, given how far the run is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo.core.engine.events import BatchDone, Event, PhaseRollbackProved, ScriptDone, ScriptStarted, StepFailed
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.plan.plan import Plan, PlannedTask

NOTHING = timedelta(0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One task on the clock."""

    task: str
    planned_start: datetime
    planned_end: datetime
    #: what is now expected, or what happened; None for what will not happen in this run any more
    start: datetime | None
    end: datetime | None
    state: str


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
    done = plan.units_before[state.work.step] - plan.units_before[first] + state.work.script
    return done / units if units else 0.0


def forecast(plan: Plan, state: State, now: datetime, actual: Mapping[str, tuple[datetime, datetime | None]]) -> list[Row]:
    """Return each task with its planned and its actual or expected times.

    Args:
        plan: the plan.
        state: where the run stands.
        now: the time.
        actual: for each task that began, when it did, and when it ended if it has.
    """
    rows: list[Row] = []
    moved, phase = plan.start, 0
    back = state.status in ROLLING_BACK_STATES | {Status.ROLLED_BACK}
    phase_start = {p: state.phase_at for p in [state.phase] if state.phase_at}
    for task in plan.tasks:
        while phase < task.phase:
            moved, phase = moved + plan.phases[phase].soak, phase + 1
        takes = expected_duration(task, state)
        began, ended = actual.get(task.name, (None, None))
        if began is not None:
            start, end = began, ended or max(now, began + takes)
            going = "rolling back" if back else "held" if state.held else "now"
            label = "undone" if back and state.work.step <= task.first else "done" if ended else going
        else:
            opens = phase_start.get(task.phase, plan.phases[task.phase].start)
            if not state.gate.at_once:
                opens = max(opens, plan.phases[task.phase].opens or opens)
            opens += task.at or NOTHING
            if _share(plan, state, task.first, task.last, task.phase) == 1.0:
                # it has no steps, so no event says when it was; it is over
                start, label = min(max(moved, opens), now), "done"
                end = min(start + takes, now)
            elif share := _share(plan, state, task.first, task.last, task.phase):
                start, label = now - takes * share, "now"
                end = start + takes
            else:
                start, label = max(moved, opens, now), "next"
                end = start + takes
        moved = end
        if back and label == "next":
            rows.append(
                Row(task=task.name, planned_start=task.start, planned_end=task.end, start=None, end=None, state="not begun")
            )
            continue
        rows.append(Row(task=task.name, planned_start=task.start, planned_end=task.end, start=start, end=end, state=label))
    return rows


def expected_duration(task: PlannedTask, state: State) -> timedelta:
    """Return how long a task is expected to take: as planned, or longer where the rehearsal took longer."""
    found = state.known.rehearsed
    rehearsed = found.tasks.get(task.name, 0.0) if found else 0.0
    return max(task.end - task.start, timedelta(seconds=rehearsed))


def expected_end(plan: Plan, rows: list[Row]) -> datetime:
    """Return when the run will end, the last soak included."""
    last = max((row.end for row in rows if row.end), default=plan.start)
    return last + plan.phases[-1].soak


def actual_times(plan: Plan, events: Iterable[Event]) -> dict[str, tuple[datetime, datetime | None]]:
    """Return when each task that began did, and when it ended if it has.

    Args:
        plan: the plan.
        events: the run's events, in order.
    """
    times: dict[str, tuple[datetime, datetime | None]] = {}
    for event in events:
        body = event.body
        if isinstance(body, PhaseRollbackProved):
            # what is launched again is timed again
            again = {step.task for step in plan.steps[body.step :]}
            times = {name: found for name, found in times.items() if name not in again}
        if not isinstance(body, ScriptStarted | ScriptDone | BatchDone | StepFailed) or body.step is None:
            continue
        task = plan.task(plan.steps[body.step].task)
        # what is measured is recorded afterwards; a script's transaction began with it
        took = getattr(body, "took", None)
        first = event.began if took is None else event.at - timedelta(seconds=took)
        began, ended = times.get(task.name, (first, None))
        if isinstance(body, ScriptDone) and body.last and body.step == task.last:
            ended = event.at
        times[task.name] = (began, ended)
    return times
