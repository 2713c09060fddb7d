"""Budgets: how long people may be locked out, and how long turning back may take; with a running total.

Facts say for themselves whether the application was down when they happened (`mark`), so the total is folded with the state,
over all phases and whoever carried the run. What is counted is the clock: a hold while the application is down counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedTask, Script

_NOTHING = timedelta(0)
#: what a fact says: the application is down and stays so; it is up again; or readers were locked out for just so long
DOWN, UP_AGAIN, LOCKED_OUT = "down", "up again", "locked out"
_BEGINNINGS = frozenset({Kind.STARTED, Kind.UNDO_STARTED, Kind.BATCH, Kind.ASKED})
_SPEAKS = _BEGINNINGS | {Kind.DONE, Kind.UNDONE, Kind.FAILED, Kind.HELD}
#: what ends a statement that ran alone
_LOCK_ENDS = frozenset({Kind.DONE, Kind.NOT_DONE, Kind.FAILED, Kind.UNDONE, Kind.UNDO_FAILED})
#: when a phase, or its way back, is over, so is what it did to people
_OVER = frozenset({Kind.WORK_DONE, Kind.PROVED, Kind.PHASE_PROVED})


def mark(plan: Plan, number: int, script: Script | None = None, *, last: bool = False, back: bool = False) -> dict[str, str]:
    """Return what the fact of a step says about downtime.

    Args:
        plan: the plan.
        number: the step.
        script: what it runs, forward or back.
        last: whether the step is done with it.
        back: whether it is turned back.
    """
    if plan.task(plan.steps[number].task).downtime:
        return {"down": UP_AGAIN if last and not back and not _goes_on(plan, number) else DOWN}
    locks = script.locks if script is not None and plan.budgets.downtime is not None else ()
    return {"down": LOCKED_OUT} if any(lock.startswith("ACCESS EXCLUSIVE") for lock in locks) else {}


def end_of(plan: Plan, number: int, index: int = 0) -> dict[str, Any]:
    """Return what every fact says that ends a script of a step, or all that a step of another kind is.

    Args:
        plan: the plan.
        number: the step.
        index: its script.
    """
    step = plan.steps[number]
    last = index == step.units - 1
    script = step.scripts[index] if step.kind == "sql" else None
    return {"step": number, "script": index, "last": last, **mark(plan, number, script, last=last)}


def _goes_on(plan: Plan, number: int) -> bool:
    """Say whether the application stays down after a step: the next one of the phase is of such a task too."""
    after = number + 1
    return after <= plan.phases[plan.steps[number].phase].last and plan.task(plan.steps[after].task).downtime


def clocked(state: State, event: Event) -> State:
    """Take a fact into the running total."""
    said = event.body.get("down") if event.kind in _SPEAKS else None
    if state.locked_since is not None and event.kind in _LOCK_ENDS:
        return _unlocked(state, event)
    down = state.down_since is not None
    if said is None:
        return _up_again(state, event) if down and event.kind in _OVER else state
    if said == UP_AGAIN and event.kind not in _BEGINNINGS:
        # turned back, it is down until it is proved that all is as before
        return state if down and state.status in ROLLING_BACK_STATES else _up_again(state, event)
    if down:
        return state
    if said != LOCKED_OUT:
        return replace(state, down_since=_began(event))
    return replace(state, locked_since=event.at) if event.kind in _BEGINNINGS else _add(state, event.at - _began(event))


def _up_again(state: State, event: Event) -> State:
    return replace(_add(state, event.at - (state.down_since or _began(event))), down_since=None)


def _began(event: Event) -> datetime:
    """Return when what a fact tells of began: its transaction, or as long before it as it took."""
    if event.kind in (Kind.STARTED, Kind.UNDO_STARTED, Kind.ASKED):
        return event.at
    return event.at - timedelta(seconds=float(event.body["took"])) if "took" in event.body else event.began


def _unlocked(state: State, event: Event) -> State:
    """End the lock of a statement that ran alone; of one that was found not to have happened nobody knows how long it held it."""
    held = event.at - state.locked_since if state.locked_since is not None and event.kind is not Kind.NOT_DONE else _NOTHING
    return replace(_add(state, held), locked_since=None)


def _add(state: State, lasted: timedelta) -> State:
    return replace(state, down=state.down + max(lasted, _NOTHING))


def downtime(state: State, now: datetime) -> timedelta:
    """Return how long the application has been down in this run, over all its phases."""
    since = state.down_since or state.locked_since
    return state.down + (max(now - since, _NOTHING) if since is not None else _NOTHING)


def expected_downtime(plan: Plan, state: State, phase: int) -> timedelta:
    """Return how long a phase is expected to keep the application down: as planned, or as rehearsed where that took longer."""
    planned = sum((task.takes for task in _down(plan, phase) if task.takes is not None), _NOTHING)
    rehearsed = (state.rehearsed or {}).get("down", {}).get(plan.phases[phase].name, 0)
    return max(planned, timedelta(seconds=rehearsed))


def _down(plan: Plan, phase: int) -> Iterable[PlannedTask]:
    # what nothing is done of on this target takes no time of anybody
    return (task for task in plan.tasks if task.phase == phase and task.downtime and task.last >= task.first)


def downtime_by_phase(plan: Plan, states: Iterable[tuple[Event, State]]) -> dict[str, float]:
    """Return the seconds of downtime of each phase that was done.

    Args:
        plan: the plan.
        states: the facts of a run, each with where the run stood after it.
    """
    found: dict[str, float] = {}
    total = _NOTHING
    for event, state in states:
        if event.kind is Kind.VERIFIED:
            found[plan.phases[state.phase].name] = round((state.down - total).total_seconds(), 2)
            total = state.down
    return found


def why_over_budget(plan: Plan, state: State, now: datetime) -> str:
    """Say with the arithmetic that a phase would go beyond the budgets, or nothing."""
    budgets = plan.budgets
    if budgets.rollback is not None:
        took = [timedelta(seconds=known["took"]) for known in (state.rehearsed or {}).get("levels", {}).values()]
        if took and max(took) > budgets.rollback:
            most = say_duration(budgets.rollback)
            return f"turning back took {say_duration(max(took))} in the rehearsal; its budget is {most}{_may(plan)}"
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
    if budget is None or state.over_budget or (used := downtime(state, now)) <= budget:
        return ""
    ongoing = "is still down" if state.down_since is not None else "is up"
    return f"downtime: {say_duration(used)} of {say_duration(budget)} are used, and the application {ongoing}"


def why_over_rollback_budget(plan: Plan, state: State, now: datetime) -> str:
    """Say that turning back takes too long, once, or nothing: it goes on all the same."""
    budget = plan.budgets.rollback
    if budget is None or state.over_rollback_budget or state.rollback_at is None or now - state.rollback_at <= budget:
        return ""
    return f"turning back takes {say_duration(now - state.rollback_at)} already; its budget is {say_duration(budget)}. It goes on"


def spent(plan: Plan, state: State, now: datetime) -> dict[str, dict[str, Any]]:
    """Return of each budget what of it is used, in seconds, for people and for scripts."""
    found: dict[str, dict[str, Any]] = {}
    if plan.budgets.downtime is not None or state.down or state.down_since:
        found["downtime"] = _used(downtime(state, now), plan.budgets.downtime, bool(state.down_since or state.locked_since))
    if plan.budgets.rollback is not None and state.rollback_at is not None:
        under_way = state.status in ROLLING_BACK_STATES
        if under_way or state.status is Status.ROLLED_BACK:
            ended = now if under_way else state.changed_at or now
            found["rollback"] = _used(ended - state.rollback_at, plan.budgets.rollback, under_way)
    return found


def _used(used: timedelta, budget: timedelta | None, counting: bool) -> dict[str, Any]:
    return {
        "used": round(used.total_seconds(), 1),
        "budget": budget.total_seconds() if budget is not None else None,
        "counting": counting,
        "over": budget is not None and used > budget,
    }


def describe(name: str, known: Mapping[str, Any]) -> str:
    """Say what of a budget is used: `downtime: 4m of 30m`."""
    of = f" of {say_duration(known['budget'])}" if known["budget"] is not None else ""
    counting, over = (", and counting" if known["counting"] else ""), (": OVER" if known["over"] else "")
    return f"{name}: {say_duration(known['used'])}{of}{counting}{over}"
