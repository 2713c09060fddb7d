"""The other half of the loop: `decide` says what is next.

Waiting, asking a gate, holding, tripping, rolling back and resuming after a crash are answers of `decide`,
not programs of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from gonogo.core.engine import budgets, events
from gonogo.core.engine.commands import (
    AskPeople,
    BeginRollback,
    Command,
    CountLoss,
    JudgeGate,
    LookUpRehearsal,
    MeasureBaseline,
    Perform,
    ProveRollback,
    Record,
    Resolve,
    RestoreBackup,
    RunSwitch,
    RunUndo,
    TakeBackup,
    Verify,
    Wait,
)
from gonogo.core.engine.marks import script_started
from gonogo.core.engine.rehearsal import why_not_ready
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status, goes_further
from gonogo.core.model.duration import say_duration
from gonogo.core.model.people import NO_GO, Item, Vote, agreed, missing_votes
from gonogo.core.plan.plan import Plan, PlannedStep

#: what is said where nothing rolls back by itself any more
PASSED = "the point of no return ({}) is passed, so nothing rolls back automatically"


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
        return Record(events.RollbackOverran(why=why))
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
            return ProveRollback()


def _next_at_the_gate(plan: Plan, state: State, now: datetime) -> Command:
    opens = plan.opens(state.phase)
    if opens is not None and now < opens and not state.gate.at_once:
        return Wait(opens, f"the {'run' if state.phase == 0 else 'phase'} starts at its time")
    if plan.rehearsal is not None and not plan.rehearsal.waived and state.known.rehearsed is None:
        return LookUpRehearsal()
    if not state.known.measured and (why := why_not_ready(plan, state, now)):
        return Record(events.NoGo(why=why))
    if wants_backup(plan, state) and state.phase not in state.known.backups:
        return TakeBackup()
    return JudgeGate() if state.known.measured else MeasureBaseline()


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
    """Return who agreed to the rollback that was named last, not too long ago, and not before the rollback began."""
    rule = plan.rollback.authority
    given = [
        vote for vote in state.approvals if rule is not None and now - vote.at <= rule.within and vote.seq > state.rollback.seq
    ]
    return tuple(vote for vote in given if (vote.level, vote.back_to) == (given[-1].level, given[-1].back_to))


def open_items(state: State, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the items that nobody has confirmed yet."""
    return tuple(item.item for item in items if item.item not in state.gate.confirmed)


def _next_decision(plan: Plan, state: State, now: datetime) -> Command:
    """Wait for people until enough of them said go and every item is confirmed, one said no-go, or their time is over."""
    phase, asked = plan.phases[state.phase], state.gate.asked
    if any(vote.decision == NO_GO for vote in state.gate.votes):
        return JudgeGate()
    waits = waits_for_votes(plan, state)
    if not waits:
        return JudgeGate()
    deadline = asked.deadline if asked else None
    if deadline is not None and now >= deadline:
        within = phase.approve.within if phase.approve else now - asked.at if asked else NOTHING
        return Record(events.NoGo(why=f"no decision within {say_duration(within)}: {waits}"))
    return Wait(deadline or now + A_LONG_TIME, waits)


def waits_for_votes(plan: Plan, state: State) -> str:
    """Say what a gate waits for, or nothing where it has all it needs."""
    phase = plan.phases[state.phase]
    waits = [f"{name} is not confirmed" for name in open_items(state, phase.before)]
    if phase.approve is not None and not agreed(phase.approve, plan.people, state.gate.votes):
        waits.append(missing_votes(phase.approve, plan.people, state.gate.votes))
    return "; ".join(waits)


def _next_work(plan: Plan, state: State, now: datetime) -> Command:
    if state.work.step > plan.phases[state.phase].last:
        return Record(events.WorkDone())
    if state.work.started is not None:
        return Resolve(state.work.step, state.work.started)
    if why := budgets.why_over_downtime(plan, state, now):
        return Record(events.Held(why=why, budget="downtime"))
    task = plan.task(plan.steps[state.work.step].task)
    begins = state.work.step == task.first and state.work.script == 0 and state.work.cursor is None
    if task.at is not None and begins and not state.gate.at_once:
        opens = (state.phase_at or now) + task.at
        if now < opens:
            return Wait(opens, f"{task.title} starts at its time")
    step = plan.steps[state.work.step]
    if step.wait is not None and not state.gate.at_once:
        over = (state.changed_at or now) + step.wait
        if now < over:
            return Wait(over, f"{step.name} waits")
    if waits := open_items(state, step.confirm):
        return _wait_for(waits, state, state.work.step, now)
    if state.work.step in state.lost:
        # it acted beyond the database, and the ledger lost that: whether it did is in doubt
        return Record(script_started(plan, state.work.step, state.work.script))
    return Perform(state.work.step, state.work.script)


def _wait_for(items: tuple[str, ...], state: State, step: int, now: datetime) -> Command:
    """Ask once for what people must confirm, then wait for it."""
    asked = state.gate.asked
    if asked is None or asked.step != step:
        return AskPeople(items, step)
    return Wait(now + A_LONG_TIME, f"waits for {', '.join(items)} to be confirmed")


def _soak(plan: Plan, state: State, now: datetime) -> Command:
    ends = (state.soak_from or now) + plan.phases[state.phase].soak
    if now < ends:
        return Wait(ends, "watching what the change does")
    if waits := open_items(state, plan.phases[state.phase].after):
        return _wait_for(waits, state, len(plan.steps), now)
    last = state.phase == len(plan.phases) - 1
    if last and plan.backup is not None and plan.backup.after and not state.known.backed_up_after:
        return TakeBackup()
    return Record(events.RunDone() if last else events.PhaseDone())


def _next_back(plan: Plan, state: State) -> Command:
    everything = len(plan.steps)
    if state.rollback.level == "undo":
        return _next_undo(plan, state)
    if state.rollback.level == "restore":
        return RestoreBackup() if state.rollback.loss.covers(everything) else CountLoss(everything)
    back = state.rollback
    if back.switched < len(plan.switches[back.level]):
        return RunSwitch(back.level, back.switched)
    return Record(events.AllUndone())


def _next_undo(plan: Plan, state: State) -> Command:
    if state.work.started is not None:
        return Resolve(state.work.step, state.work.started)
    step = next_to_undo(plan, state)
    if ahead := sorted(lost for lost in state.lost if lost > (-1 if step is None else step)):
        named = ", ".join(plan.steps[lost].name for lost in ahead)
        why = f"the ledger lost what it held of {named}, which acted beyond the database: see whether that is there"
        return Record(events.Held(why=f"{why}, undo it by hand, then: gonogo resume {plan.arguments}"))
    if step is None:
        return Record(events.AllUndone())
    undo = plan.steps[step].undo
    if undo is None:
        why = f"{plan.steps[step].name} has no undo; undo it by hand, then: gonogo resume {plan.arguments} --settle done"
        return Record(events.UndoFailed(why=why, step=step))
    if not state.rollback.loss.covers(step) and any(counts_loss(plan.steps[n]) for n in steps_to_undo(plan, state)):
        return CountLoss(step)
    first = first_undo(plan, state, step)
    in_doubt = state.rollback.undo_started or step in state.lost
    return RunUndo(step, first, first >= len(undo) - 1, in_doubt)


def notes_what_was_there(step: PlannedStep) -> bool:
    """Return whether it is noted, as a step begins, what was there before it: whether its undo is SQL."""
    return bool(step.undo) and step.undo_external is None


def counts_loss(step: PlannedStep) -> bool:
    """Return whether the undo of a step can destroy rows of the database: whether it is SQL.

    One in batches takes back only what nobody changed since.
    """
    in_batches = step.backfill is not None and step.backfill.undo_in_batches
    return notes_what_was_there(step) and not in_batches


def steps_to_undo(plan: Plan, state: State) -> Iterator[int]:
    """Yield the steps that a rollback undoes from where it stands, the newest first."""
    newest = state.work.step if state.work.begun else state.work.step - 1
    return (n for n in range(newest, plan.phases[state.rollback.back_to].first - 1, -1) if plan.steps[n].undo != ())


def next_to_undo(plan: Plan, state: State) -> int | None:
    """Return the newest step, of those to be rolled back, that did something and has something to undo or lacks its undo."""
    return next(steps_to_undo(plan, state), None)


def passed_no_return(plan: Plan, state: State, first: int = 0) -> str:
    """Return the name of the point of no return that a run has passed, or has begun to; nothing where there is none.

    Args:
        plan: the plan.
        state: where the run stands.
        first: the first step that would be rolled back.
    """
    begun = state.work.begun or state.work.started is not None
    last = state.work.step if begun else state.work.step - 1
    return next((step.name for step in plan.steps[first : last + 1] if step.no_return), "")


def first_undo(plan: Plan, state: State, number: int) -> int:
    """Return the undo script of a step that is next: none that is done, nor of a source that was never reached."""
    step = plan.steps[number]
    next_to_do = max(state.rollback.undo, 0) if number == next_to_undo(plan, state) else 0
    if number != state.work.step or not step.paired or step.undo is None:
        return next_to_do
    reached = step.scripts[state.work.script if state.work.left else state.work.script - 1].part
    return max(next_to_do, next((i for i, script in enumerate(step.undo) if script.part <= reached), 0))
