"""Budgets: how long people may be locked out, and how long a rollback may take; with a running total.

Events say for themselves whether the application was down when they happened (`gonogo/core/engine/marks.py`), so the total is
folded with the state, over all phases and whoever ran them. What is counted is the clock: a hold while the application is down
counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo.core.engine.changed import changed
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.marks import LOCKED_OUT, UP_AGAIN
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedTask

_NOTHING = timedelta(0)
_BEGINNINGS = frozenset({Kind.STARTED, Kind.UNDO_STARTED, Kind.BATCH, Kind.ASKED})
_SPEAKS = _BEGINNINGS | {Kind.DONE, Kind.UNDONE, Kind.FAILED, Kind.HELD}
#: what ends a statement that ran alone
_LOCK_ENDS = frozenset({Kind.DONE, Kind.NOT_DONE, Kind.FAILED, Kind.UNDONE, Kind.UNDO_FAILED})
#: when a phase, or its rollback, is over, so is what it did to people
_OVER = frozenset({Kind.WORK_DONE, Kind.PROVED, Kind.PHASE_PROVED})


def clocked(state: State, event: Event) -> State:
    """Take an event into the running total: the time that the application was down, and that others waited for its locks."""
    waited = getattr(event.body, "others_waited", 0.0)
    if waited and state.downtime.since is None:
        state = _add(state, timedelta(seconds=waited))
    return _clocked(state, event)


def _clocked(state: State, event: Event) -> State:
    said = str(getattr(event.body, "down", "")) if event.kind in _SPEAKS else ""
    if state.downtime.locked_since is not None and event.kind in _LOCK_ENDS:
        return _unlocked(state, event)
    down = state.downtime.since is not None
    if not said:
        return _up_again(state, event) if down and event.kind in _OVER else state
    if said == UP_AGAIN and event.kind not in _BEGINNINGS:
        # while it rolls back, it is down until it is proved that all is as before
        return state if down and state.status in ROLLING_BACK_STATES else _up_again(state, event)
    if down:
        return state
    if said != LOCKED_OUT:
        return changed(state, downtime=changed(state.downtime, since=began(event)))
    if event.kind in _BEGINNINGS:
        return changed(state, downtime=changed(state.downtime, locked_since=event.at))
    return _add(state, event.at - began(event))


def _up_again(state: State, event: Event) -> State:
    lasted = event.at - (state.downtime.since or began(event))
    after = _add(state, lasted)
    return changed(after, downtime=changed(after.downtime, since=None))


def began(event: Event) -> datetime:
    """Return when what an event tells of began: its transaction, or as long before it as it took."""
    if event.kind in (Kind.STARTED, Kind.UNDO_STARTED, Kind.ASKED):
        return event.at
    took = getattr(event.body, "took", None)
    return event.began if took is None else event.at - timedelta(seconds=float(took))


def _unlocked(state: State, event: Event) -> State:
    """End the lock of a statement that ran alone; of one that was found not to have happened nobody knows how long it held it."""
    since = state.downtime.locked_since
    held = event.at - since if since is not None and event.kind is not Kind.NOT_DONE else _NOTHING
    after = _add(state, held)
    return changed(after, downtime=changed(after.downtime, locked_since=None))


def _add(state: State, lasted: timedelta) -> State:
    return changed(state, downtime=changed(state.downtime, total=state.downtime.total + max(lasted, _NOTHING)))


def downtime(state: State, now: datetime) -> timedelta:
    """Return how long the application has been down in this run, over all its phases."""
    since = state.downtime.since or state.downtime.locked_since
    return state.downtime.total + (max(now - since, _NOTHING) if since is not None else _NOTHING)


def expected_downtime(plan: Plan, state: State, phase: int) -> timedelta:
    """Return how long a phase is expected to keep the application down: as planned, or as rehearsed where that took longer."""
    planned = sum((task.takes for task in _down(plan, phase) if task.takes is not None), _NOTHING)
    found = state.known.rehearsed
    rehearsed = found.down.get(plan.phases[phase].name, 0.0) if found else 0.0
    return max(planned, timedelta(seconds=rehearsed))


def _down(plan: Plan, phase: int) -> Iterable[PlannedTask]:
    # what nothing is done of on this target takes no time of anybody
    return (task for task in plan.tasks if task.phase == phase and task.downtime and task.last >= task.first)


def downtime_by_phase(plan: Plan, states: Iterable[tuple[Event, State]]) -> dict[str, float]:
    """Return the seconds of downtime of each phase that was done.

    Args:
        plan: the plan.
        states: the events of a run, each with where the run stood after it.
    """
    found: dict[str, float] = {}
    total = _NOTHING
    for event, state in states:
        if event.kind is Kind.VERIFIED:
            found[plan.phases[state.phase].name] = round((state.downtime.total - total).total_seconds(), 2)
            total = state.downtime.total
    return found


def why_over_budget(plan: Plan, state: State, now: datetime) -> str:
    """Say with the arithmetic that a phase would go beyond the budgets, or nothing."""
    budgets = plan.budgets
    if budgets.rollback is not None:
        found = state.known.rehearsed
        took = [timedelta(seconds=level.took) for level in (found.levels.values() if found else ())]
        if took and max(took) > budgets.rollback:
            most = say_duration(budgets.rollback)
            return f"rolling back took {say_duration(max(took))} in the rehearsal; its budget is {most}{_may(plan)}"
    if budgets.downtime is None:
        return ""
    used, expected = downtime(state, now), expected_downtime(plan, state, state.phase)
    if not expected or used + expected <= budgets.downtime:
        return ""
    return (
        f"downtime: {say_duration(used)} are used, and this phase is expected to need {say_duration(expected)};"
        f" the budget is {say_duration(budgets.downtime)} in all{_may(plan)}"
    )


def _may(plan: Plan) -> str:
    return f"; {' or '.join(plan.override)} may --override with a reason" if plan.override else ""


def why_over_downtime(plan: Plan, state: State, now: datetime) -> str:
    """Say that the application has been down for too long, or nothing; once a person goes on all the same, nothing more."""
    budget = plan.budgets.downtime
    if budget is None or state.downtime.over_budget or (used := downtime(state, now)) <= budget:
        return ""
    ongoing = "is still down" if state.downtime.since is not None else "is up"
    return f"downtime: {say_duration(used)} of {say_duration(budget)} are used, and the application {ongoing}"


def why_over_rollback_budget(plan: Plan, state: State, now: datetime) -> str:
    """Say that rolling back takes too long, once, or nothing: it goes on all the same."""
    budget = plan.budgets.rollback
    if budget is None or state.rollback.over_budget or state.rollback.at is None or now - state.rollback.at <= budget:
        return ""
    return f"rolling back has taken {say_duration(now - state.rollback.at)}; its budget is {say_duration(budget)}. It continues"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What of a budget is used, in seconds."""

    used: float
    #: None where there is no budget
    budget: float | None
    #: whether the clock runs
    counting: bool

    @property
    def over(self) -> bool:
        """Whether more is used than there is."""
        return self.budget is not None and self.used > self.budget

    @property
    def says(self) -> str:
        """It in words: `4m of 30m`."""
        of = f" of {say_duration(self.budget)}" if self.budget is not None else ""
        return f"{say_duration(self.used)}{of}{', and counting' if self.counting else ''}{': OVER' if self.over else ''}"

    def as_data(self) -> dict[str, float | bool | None]:
        """Return it for scripts."""
        return {"used": self.used, "budget": self.budget, "counting": self.counting, "over": self.over}


def spent(plan: Plan, state: State, now: datetime) -> dict[str, Spent]:
    """Return what of each budget is used."""
    found: dict[str, Spent] = {}
    down, back = state.downtime, state.rollback
    if plan.budgets.downtime is not None or down.total or down.since:
        found["downtime"] = _used(downtime(state, now), plan.budgets.downtime, bool(down.since or down.locked_since))
    if plan.budgets.rollback is not None and back.at is not None:
        under_way = state.status in ROLLING_BACK_STATES
        if under_way or state.status is Status.ROLLED_BACK:
            ended = now if under_way else state.changed_at or now
            found["rollback"] = _used(ended - back.at, plan.budgets.rollback, under_way)
    return found


def _used(used: timedelta, budget: timedelta | None, counting: bool) -> Spent:
    seconds = None if budget is None else budget.total_seconds()
    return Spent(used=round(used.total_seconds(), 3), budget=seconds, counting=counting)


def describe(name: str, known: Spent) -> str:
    """Say what of a budget is used: `downtime: 4m of 30m`."""
    return f"{name}: {known.says}"
