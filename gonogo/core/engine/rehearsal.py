"""What a rehearsal showed, and whether it still counts. Pure: evidence and a time in, a sentence out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from zoneinfo import ZoneInfo

from gonogo.core.engine.budgets import why_over_budget
from gonogo.core.engine.events import RehearsalFound, Rehearsed, RehearsedLevel
from gonogo.core.engine.state import SWITCH_LEVELS, State
from gonogo.core.model.duration import say_duration
from gonogo.core.model.threshold import parse_threshold
from gonogo.core.plan.plan import Plan


class Restores(StrEnum):
    """What a rollback was seen to do."""

    EXACTLY = "restores exactly"
    BUT_FOR_ORDER = "restores but for column order"
    NOT = "does not restore"
    FAILS = "fails"
    NO_UNDO = "has no undo"
    NOT_REACHED = "was not reached"
    #: a level of its own scripts is not meant to lead back to the start: its checks pass
    CHECKS_PASS = "passes its checks"  # noqa: S105 - no password
    #: what puts a restore point back acts on the target, and not on a copy; and no backup lies behind a copy that was there
    WITH_BACKUP = "is not rehearsed: it is proved with the backup"


GOOD = frozenset({Restores.EXACTLY, Restores.BUT_FOR_ORDER, Restores.CHECKS_PASS})


def verdict(differing: Sequence[str], misplaced: Sequence[str]) -> Restores:
    """Return what a rollback did, by what differs from before and which columns only stand elsewhere."""
    if differing:
        return Restores.NOT
    return Restores.BUT_FOR_ORDER if misplaced else Restores.EXACTLY


def why_not_ready(plan: Plan, state: State, now: datetime) -> str:
    """Say why a phase must not begin now, by the rehearsal and the clock of the rollback; or nothing."""
    rule, found = plan.rehearsal, state.known.rehearsed
    if rule is not None and not rule.waived and not state.changed:
        if found is None or found.at is None or found.why:
            why = found.why if found else "it was not looked up"
            return f"rehearsal: {why}; rehearse it: gonogo rehearse {plan.arguments}"
        age = now - found.at
        if age > rule.fresh_for:
            return f"rehearsal: it is {say_duration(age)} old, and {say_duration(rule.fresh_for)} is the most"
    if not state.gate.budget_override and (why := why_over_budget(plan, state, now)):
        return why
    return too_late(plan, state, now)


def rollback_takes(plan: Plan, state: State) -> timedelta | None:
    """Return how long a rollback takes: as rehearsed, but not less than planned; None where nobody said."""
    found = state.known.rehearsed
    rehearsed = [timedelta(seconds=level.took) for level in (found.levels.values() if found else ())]
    planned = [plan.rollback.takes] if plan.rollback.takes else []
    return max([*rehearsed, *planned], default=None)


def last_safe_start(plan: Plan, state: State) -> datetime | None:
    """Return the last minute to start a phase, or to begin to roll back, so that the rollback ends in the window."""
    takes = rollback_takes(plan, state)
    return plan.end_by - takes if plan.end_by is not None and takes is not None else None


def too_late(plan: Plan, state: State, now: datetime) -> str:
    """Say with the arithmetic that it is too late to start, or nothing."""
    last, takes = last_safe_start(plan, state), rollback_takes(plan, state)
    if last is None or takes is None or plan.end_by is None or now <= last:
        return ""
    zone = ZoneInfo(plan.zone)
    said = [f"{moment.astimezone(zone):%H:%M}" for moment in (now, plan.end_by, last)]
    return (
        f"it is {said[0]}, the window ends at {said[1]}, and rolling back takes {say_duration(takes)}:"
        f" {said[2]} was the last safe start"
    )


def summary(shown: Rehearsed, seq: int) -> RehearsalFound:
    """Return of a rehearsal what the run itself needs: its age, what each level takes, how long tasks take.

    Args:
        shown: what it showed.
        seq: the number of its event.
    """
    return RehearsalFound(
        at=shown.at,
        event=seq,
        on=shown.on,
        levels={
            each.level: RehearsedLevel(took=each.took, verdict=each.verdict) for each in shown.levels if each.verdict in GOOD
        },
        tasks=shown.tasks,
        down=shown.down,
        seal=shown.seal,
        each_step=shown.each_step,
    )


def shortcomings(plan: Plan, shown: Rehearsed) -> str:
    """Say why a rehearsal does not let a run begin although it is of this very plan, or nothing."""
    if shown.target_changed:
        return f"the target itself changed while it was rehearsed: {'; '.join(shown.target_changed[:3])}"
    if shown.forward.outcome != "done":
        return f"it did not go forward: {shown.forward.why}"
    proved = {each.level for each in shown.levels if each.verdict in GOOD}
    if not proved - SWITCH_LEVELS:
        bad = [f"{each.level} {each.verdict}" for each in shown.levels]
        return f"no rollback level restored what was there ({'; '.join(bad)})"
    elsewhere = {each.level for each in shown.levels if each.verdict == Restores.WITH_BACKUP}
    if unproved := [name for name in plan.rollback.levels if name not in proved | elsewhere]:
        rehearsed = [each for each in shown.levels if each.level == unproved[0]]
        why = "; ".join([rehearsed[0].verdict, *rehearsed[0].differences[:3]]) if rehearsed else "was not rehearsed"
        return f"the rollback by {unproved[0]} {why}"
    slower = [(query.check, query.latency) for query in shown.queries if query.latency is not None and query.latency.slower]
    if slower:
        return f"{slower[0][0]} would roll it back: {slower[0][1].says}"
    if wrong := [phase for phase in shown.phases if phase.verdict not in GOOD]:
        why = "; ".join([wrong[0].verdict, *wrong[0].differences[:3]])
        return f"the rollback of the phase {wrong[0].phase} by itself {why}"
    if shown.drill is not None and shown.drill.differences:
        return f"in the drill, in which the runner died {shown.drill.kills} times, {'; '.join(shown.drill.differences[:3])}"
    if plan.rehearsal is not None and plan.rehearsal.each_step and (why := _shortcomings_of_steps(shown)):
        return why
    return _too_many_blind_spots(plan, shown)


def _too_many_blind_spots(plan: Plan, shown: Rehearsed) -> str:
    rule = plan.rehearsal.blind_spots if plan.rehearsal else None
    if not rule:
        return ""
    if shown.blind is None:
        return f"it did not look for blind spots, and {rule} are asked for (--blind-spots)"
    if not shown.blind.tried:
        return f"{rule} blind spots are asked for, and nothing could be made wrong to look for them"
    if shown.blind.left_out:
        return f"{rule} blind spots are asked for, and there was no time to look for {shown.blind.left_out:,} more"
    threshold, found = parse_threshold(rule), shown.blind.open
    if threshold.bound is None or threshold.holds(Decimal(len(found)), threshold.bound):
        return ""
    first = f": {found[0].what}: {found[0].where}" if found else ""
    return f"there are {len(found):,} blind spots, and {rule} are asked for{first}"


def _shortcomings_of_steps(shown: Rehearsed) -> str:
    if not shown.each_step:
        return "it did not prove each step's undo by itself (--each-step)"
    wrong = [step for step in shown.steps if step.verdict not in {*GOOD, Restores.NO_UNDO}]
    return f"the undo of {wrong[0].step} {wrong[0].verdict}" if wrong else ""


def describe(found: RehearsalFound, now: datetime) -> str:
    """Say what is known of a rehearsal that counts."""
    levels = [f"{level} in {say_duration(known.took)} ({known.verdict})" for level, known in found.levels.items()]
    age = say_duration(max(timedelta(0), now - found.at)) if found.at else "?"
    return f"{age} ago on {found.on}, forward and back: {', '.join(levels)}"
