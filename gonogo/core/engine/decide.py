"""The other half of the loop: `decide` says what is next.

Waiting, asking a gate, holding, tripping, rolling back and resuming after a crash are answers of `decide`,
not programs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from gonogo.core.engine import budgets
from gonogo.core.engine.events import Kind
from gonogo.core.engine.rehearsal import why_not_ready
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status, goes_further
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import NO_GO, Item, Vote, agreed, missing_votes
from gonogo.core.plan.plan import Plan, PlannedStep

#: what is said where nothing turns back by itself any more
PASSED = "the point of no return ({}) is passed, so nothing turns back by itself"


@dataclass(frozen=True, slots=True)
class MeasureBaseline:
    """Measure the checks and the schema before the first change."""


@dataclass(frozen=True, slots=True)
class TakeBackup:
    """Take a backup before the first change, restore it, and compare."""


@dataclass(frozen=True, slots=True)
class LookUpRehearsal:
    """Look up what is known of the rehearsal of this very plan."""


@dataclass(frozen=True, slots=True)
class JudgeGate:
    """Measure the gate's criteria and say go or no-go."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Let time pass until a moment; facts may arrive meanwhile."""

    until: datetime
    why: str


@dataclass(frozen=True, slots=True)
class Perform:
    """Run one script, the rest of a backfill, or the checks of a step."""

    step: int
    script: int


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find out whether a script in doubt happened."""

    step: int
    script: int


@dataclass(frozen=True, slots=True)
class Verify:
    """Measure the checks that must pass when a phase's work is done."""


@dataclass(frozen=True, slots=True)
class Undo:
    """Run one undo script of a step; `last` when the step is undone with it."""

    step: int
    script: int
    last: bool
    doubtful: bool


@dataclass(frozen=True, slots=True)
class CountLoss:
    """Count the rows that an undo would destroy, or a restore; the rows that were written since."""

    #: the step whose undo is next; past the last one, the whole restore
    step: int


@dataclass(frozen=True, slots=True)
class Switch:
    """Run one script of a level that has its own."""

    level: str
    script: int


@dataclass(frozen=True, slots=True)
class Restore:
    """Put the backup in the place of what is there."""


@dataclass(frozen=True, slots=True)
class Prove:
    """Measure that everything is as it was before the first change."""


@dataclass(frozen=True, slots=True)
class Record:
    """Record a fact that follows from the others."""

    kind: Kind
    why: str = ""
    #: the budget that it is about, if it is about one
    budget: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask people to confirm something, and let them know."""

    items: tuple[str, ...]
    #: the step that waits for it; past the last one, the end of the phase
    step: int


@dataclass(frozen=True, slots=True)
class BeginRollback:
    """Roll back, as enough people agreed to."""


Command = (
    MeasureBaseline
    | LookUpRehearsal
    | TakeBackup
    | JudgeGate
    | Wait
    | Perform
    | Resolve
    | Verify
    | CountLoss
    | Undo
    | Switch
    | Restore
    | Prove
    | Record
    | Ask
    | BeginRollback
)


NOTHING, A_LONG_TIME = timedelta(0), timedelta(hours=1)


def decide(plan: Plan, state: State, now: datetime) -> Command | None:
    """Say what is next, or None when nothing is until a person acts.

    Args:
        plan: what was launched.
        state: where the run stands.
        now: the time, with its zone.
    """
    if state.at_rest:
        return None
    if rollback_approved(plan, state, now):
        return BeginRollback()
    if state.status in ROLLING_BACK_STATES and (why := budgets.why_over_rollback_budget(plan, state, now)):
        return Record(Kind.OVERRUN, why, "rollback")
    match state.status:
        case Status.GATING:
            return _next_at_the_gate(plan, state, now)
        case Status.DECIDING:
            return _next_decision(plan, state, now)
        case Status.WORKING:
            return _next_work(plan, state, now)
        case Status.VERIFYING:
            return Verify()
        case Status.SOAKING:
            return _soak(plan, state, now)
        case Status.ROLLING_BACK:
            return _next_back(plan, state)
        case _:
            return Prove()


def _next_at_the_gate(plan: Plan, state: State, now: datetime) -> Command:
    opens = plan.opens(state.phase)
    if opens is not None and now < opens and not state.at_once:
        return Wait(opens, f"the {'run' if state.phase == 0 else 'phase'} starts at its time")
    if plan.rehearsal is not None and not plan.rehearsal.waived and state.rehearsed is None:
        return LookUpRehearsal()
    if not state.measured and (why := why_not_ready(plan, state, now)):
        return Record(Kind.NO_GO, why)
    if wants_backup(plan, state) and state.phase not in state.backups:
        return TakeBackup()
    return JudgeGate() if state.measured else MeasureBaseline()


def wants_backup(plan: Plan, state: State) -> bool:
    """Say whether a backup is taken before the phase in work: before the first change, or before every phase."""
    asked = plan.backup is not None and not plan.backup.waived
    return asked and (not state.changed or bool(plan.backup and plan.backup.each_phase))


def rollback_approved(plan: Plan, state: State, now: datetime) -> bool:
    """Say whether those whose agreement a rollback needs have all given it, and none too long ago."""
    rule, given = plan.rollback.authority, recent_approvals(plan, state, now)
    if rule is None or not given:
        return False
    if state.status in ROLLING_BACK_STATES and not goes_further(state, given[-1].level, given[-1].back_to):
        return False
    return agreed(rule, plan.people, given)


def recent_approvals(plan: Plan, state: State, now: datetime) -> tuple[Vote, ...]:
    """Return who agreed to the way back that was named last, not too long ago, and not before the run turned back."""
    rule = plan.rollback.authority
    given = [vote for vote in state.back if rule is not None and now - vote.at <= rule.within and vote.seq > state.rollback_seq]
    return tuple(vote for vote in given if (vote.level, vote.back_to) == (given[-1].level, given[-1].back_to))


def open_items(state: State, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the boxes that nobody has ticked yet."""
    return tuple(item.item for item in items if item.item not in state.confirmed)


def _next_decision(plan: Plan, state: State, now: datetime) -> Command:
    """Wait for people until enough of them said go and every box is ticked, one said no-go, or their time is over."""
    phase, asked = plan.phases[state.phase], state.asked
    if any(vote.decision == NO_GO for vote in state.votes):
        return JudgeGate()
    waits = waits_for_votes(plan, state)
    if not waits:
        return JudgeGate()
    deadline = asked.deadline if asked else None
    if deadline is not None and now >= deadline:
        within = phase.approve.within if phase.approve else now - asked.at if asked else NOTHING
        return Record(Kind.NO_GO, f"no decision within {say_duration(within)}: {waits}")
    return Wait(deadline or now + A_LONG_TIME, waits)


def waits_for_votes(plan: Plan, state: State) -> str:
    """Say what a gate waits for, or nothing where it has all it needs."""
    phase = plan.phases[state.phase]
    waits = [f"{name} is not confirmed" for name in open_items(state, phase.before)]
    if phase.approve is not None and not agreed(phase.approve, plan.people, state.votes):
        waits.append(missing_votes(phase.approve, plan.people, state.votes))
    return "; ".join(waits)


def _next_work(plan: Plan, state: State, now: datetime) -> Command:
    if state.step > plan.phases[state.phase].last:
        return Record(Kind.WORK_DONE)
    if state.started is not None:
        return Resolve(state.step, state.started)
    if why := budgets.why_over_downtime(plan, state, now):
        return Record(Kind.HELD, why, "downtime")
    task = plan.task(plan.steps[state.step].task)
    begins = state.step == task.first and state.script == 0 and state.cursor is None
    if task.at is not None and begins and not state.at_once:
        opens = (state.phase_at or now) + task.at
        if now < opens:
            return Wait(opens, f"{task.title} starts at its time")
    step = plan.steps[state.step]
    if step.wait is not None and not state.at_once:
        over = (state.changed_at or now) + step.wait
        if now < over:
            return Wait(over, f"{step.name} waits")
    if waits := open_items(state, step.confirm):
        return _wait_for(waits, state, state.step, now)
    return Perform(state.step, state.script)


def _wait_for(items: tuple[str, ...], state: State, step: int, now: datetime) -> Command:
    """Ask once for what people must confirm, then wait for it."""
    if state.asked is None or state.asked.step != step:
        return Ask(items, step)
    return Wait(now + A_LONG_TIME, f"waits for {', '.join(items)} to be confirmed")


def _soak(plan: Plan, state: State, now: datetime) -> Command:
    ends = (state.soak_from or now) + plan.phases[state.phase].soak
    if now < ends:
        return Wait(ends, "watching what the change does")
    if waits := open_items(state, plan.phases[state.phase].after):
        return _wait_for(waits, state, len(plan.steps), now)
    last = state.phase == len(plan.phases) - 1
    if last and plan.backup is not None and plan.backup.after and not state.backed_up_after:
        return TakeBackup()
    return Record(Kind.RUN_DONE if last else Kind.PHASE_DONE)


def _next_back(plan: Plan, state: State) -> Command:
    everything = len(plan.steps)
    if state.level == "undo":
        return _next_undo(plan, state)
    if state.level == "restore":
        return Restore() if state.loss_counted == everything else CountLoss(everything)
    if state.switched < len(plan.switches[state.level]):
        return Switch(state.level, state.switched)
    return Record(Kind.ALL_UNDONE)


def _next_undo(plan: Plan, state: State) -> Command:
    if state.started is not None:
        return Resolve(state.step, state.started)
    step = next_to_undo(plan, state)
    if step is None:
        return Record(Kind.ALL_UNDONE)
    undo = plan.steps[step].undo
    if undo is None:
        why = f"{plan.steps[step].name} has no undo; undo it by hand, then: gonogo resume --settle done"
        return Record(Kind.UNDO_FAILED, why)
    if needs_loss_count(plan.steps[step]) and state.loss_counted != step:
        return CountLoss(step)
    first = max(state.undo, _first_undo(plan.steps[step], state) if step == state.step else 0)
    return Undo(step, first, first >= len(undo) - 1, state.undo_started)


def needs_loss_count(step: PlannedStep) -> bool:
    """Say whether it must be counted what the undo of a step would destroy."""
    return bool(step.destroys or step.journal) and not step.keeps


def next_to_undo(plan: Plan, state: State) -> int | None:
    """Return the newest step, of those to be turned back, that did something and has something to undo or lacks its undo."""
    touched = state.script > 0 or state.cursor is not None or state.left
    for step in range(state.step if touched else state.step - 1, plan.phases[state.back_to].first - 1, -1):
        if plan.steps[step].undo != ():
            return step
    return None


def passed_no_return(plan: Plan, state: State, first: int = 0) -> str:
    """Return the name of the point of no return that a run has passed, or has begun to; nothing where there is none.

    Args:
        plan: the plan.
        state: where the run stands.
        first: the first step that would be turned back.
    """
    begun = state.script > 0 or state.cursor is not None or state.started is not None or state.left
    last = state.step if begun else state.step - 1
    return next((step.name for step in plan.steps[first : last + 1] if step.no_return), "")


def _first_undo(step: PlannedStep, state: State) -> int:
    """Skip the undo scripts of sources that were never reached, where each source has its own."""
    if not step.paired or step.undo is None:
        return 0
    reached = step.scripts[state.script if state.left else state.script - 1].part
    return next((i for i, script in enumerate(step.undo) if script.part <= reached), 0)
