"""The first half of the loop: `evolve` takes an event into the state.

The table of states (`gonogo/core/engine/state.py`) says where each event leads; here is what else it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from gonogo.core.engine import events
from gonogo.core.engine.budgets import clocked
from gonogo.core.engine.changed import changed
from gonogo.core.engine.events import Body, Event, Kind
from gonogo.core.engine.loss import LossState
from gonogo.core.engine.state import (
    ANYWHERE,
    ENDED,
    NEXT,
    ROLLING_BACK_STATES,
    SWITCH_LEVELS,
    Alarm,
    Asked,
    GateState,
    PlanRules,
    State,
    Status,
    available_levels,
    takes_effect,
)
from gonogo.core.engine.work import WorkState
from gonogo.core.model.people import Vote

#: what a vote is about, where it is not the gate
ROLLBACK = "roll back"
_B = TypeVar("_B", bound=Body)
#: what the body of an event changes, beside the status; where the event has an effect
_CHANGES: dict[type[Body], Callable[[State, Event, Any], State]] = {}


def _changes(*bodies: type[_B]) -> Callable[[Callable[[State, Event, _B], State]], Callable[[State, Event, _B], State]]:
    """Register what some bodies change."""

    def register(change: Callable[[State, Event, _B], State]) -> Callable[[State, Event, _B], State]:
        _CHANGES.update(dict.fromkeys(bodies, change))
        return change

    return register


def fold(events: Iterable[Event]) -> State:
    """Return where a run stands after these events."""
    state = State()
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: State, event: Event) -> State:
    """Return where a run stands after one more event."""
    after = clocked(_evolve(state, event), event)
    return changed(after, seq=event.seq, at=event.at)


def _evolve(state: State, event: Event) -> State:
    effective = takes_effect(state, event)
    target = NEXT.get((state.status, event.kind)) if effective else None
    if target is None:
        return _alarmed(_evolve_anywhere(state, event), event) if effective else _opened(state, event)
    change = _CHANGES.get(type(event.body))
    after = change(state, event, event.body) if change is not None else state
    if target in ROLLING_BACK_STATES and state.status not in ROLLING_BACK_STATES:
        after = _rollback_began(after, event)
    # a hold that came too late to stop the last step holds nothing any more
    held = "" if target in ENDED else after.held
    return _alarmed(changed(after, status=target, changed_at=event.at, held=held), event)


def _opened(state: State, event: Event) -> State:
    body = event.body
    if not isinstance(body, events.RunOpened):
        return state
    rule = body.plan.rollback
    rules = PlanRules(authority=rule.authority is not None, levels=rule.levels, reach=rule.reach)
    return changed(state, opened_at=event.at, rules=rules)


#: events that need people, and events by which they, or the run itself, have dealt with it
_ALARMING = frozenset({Kind.HELD, Kind.TRIPPED, Kind.FAILED, Kind.VERIFY_FAILED, Kind.UNDO_FAILED, Kind.NOT_PROVED, Kind.OVERRUN})
_ENDS_ALARM = frozenset({Kind.ACKNOWLEDGED, Kind.RESUME, Kind.ROLL_BACK, Kind.ABORT, Kind.PHASE_STARTED})
#: and a vote for a rollback: whoever gives it has seen what is wrong
_ENDS_ALARM |= {Kind.VOTE}
_ENDS_ALARM |= {Kind.PROVED, Kind.PHASE_PROVED, Kind.RUN_DONE}


def _alarmed(state: State, event: Event) -> State:
    """Say what needs people after an event that had an effect."""
    if event.kind in _ENDS_ALARM:
        return changed(state, alarm=None) if state.alarm is not None else state
    if event.kind not in _ALARMING:
        return state
    named = getattr(event.body, "check", "")
    failing = tuple(judged.check for judged in getattr(event.body, "judged", ()) if judged.verdict != "pass")
    return changed(state, alarm=Alarm(seq=event.seq, at=event.at, why=event.body.why, checks=(named,) if named else failing))


def _rollback_began(state: State, event: Event) -> State:
    """Note what a rollback is: why, how far, and by which of the runbook's levels."""
    body = event.body
    asked = body if isinstance(body, events.RollbackAsked) else events.RollbackAsked()
    back_to = _how_far(state, event.kind, asked)
    goes_on = state.status in ROLLING_BACK_STATES
    rollback = changed(
        state.rollback,
        seq=event.seq,
        at=state.rollback.at if goes_on else event.at,
        cause=body.why or str(event.kind),
        level=_level(state, asked.level, back_to),
        back_to=back_to,
        switched=0,
        loss=state.rollback.loss.after_answer(event.seq, event.actor, body.why, accepts=asked.accept_loss),
        failed=False,
        over_budget=state.rollback.over_budget and goes_on,
    )
    return changed(state, held="", rollback=rollback)


def _how_far(state: State, kind: Kind, asked: events.RollbackAsked) -> int:
    """Return the phase whose start the run rolls back to."""
    if kind is Kind.ABORT or asked.level in SWITCH_LEVELS:
        return 0
    return default_reach(state) if asked.back_to is None else min(asked.back_to, state.begun)


def default_reach(state: State) -> int:
    """Return the phase to whose start a run rolls back where nobody says otherwise."""
    if state.status in ROLLING_BACK_STATES or state.status is Status.ROLLED_BACK:
        return state.rollback.back_to
    return state.begun if state.rules.reach == "phase" else 0


def _level(state: State, asked: str, back_to: int) -> str:
    if not state.changed:
        return "undo"  # there is nothing to be undone, and nothing else to be done
    return asked if asked in available_levels(state, back_to) else default_level(state, back_to)


#: while a run does one of these, what a level of its own switches off, or puts back, may not be there yet
_UNFINISHED = frozenset({Status.READY, Status.GATING, Status.DECIDING, Status.WORKING, Status.NO_GO})


def default_level(state: State, back_to: int) -> str:
    """Return the level that a trip takes: the first one in the runbook's order that the rehearsal proved."""
    there = [level for level in available_levels(state, back_to) if level not in SWITCH_LEVELS or state.status not in _UNFINISHED]
    proved = state.known.rehearsed.levels if state.known.rehearsed else {}
    return next((level for level in (*(level for level in there if level in proved), *there)), "undo")


def _evolve_anywhere(state: State, event: Event) -> State:
    """Take in an event that is heard in every status and changes none."""
    if event.kind not in ANYWHERE:
        return state
    change = _CHANGES.get(type(event.body))
    return change(state, event, event.body) if change is not None else state


@_changes(events.HoldAsked, events.Held)
def _held(state: State, event: Event, body: Body) -> State:
    why = body.why or "no reason given"
    held = why if isinstance(body, events.Held) else f"{event.actor} says hold: {why}"
    # an earlier hold may have ended without a resume, by a rollback or another launch: it is not what lasts now
    made = changed(state, held=held, held_at=state.held_at if state.held else event.at)
    if isinstance(body, events.Held) and body.budget == "downtime":
        made = changed(made, downtime=changed(made.downtime, over_budget=True))
    if isinstance(body, events.Held) and body.step is not None:
        # what is tried again after a failure is another attempt
        made = changed(made, work=changed(made.work, attempt=0))
    return made


@_changes(events.PaceAsked)
def _pace_asked(state: State, event: Event, body: events.PaceAsked) -> State:
    work = state.work
    match body.says:
        case "slower" | "faster":
            speed = work.speed * (0.5 if body.says == "slower" else 2.0)
            work = changed(work, speed=min(4.0, max(0.01, speed)), paused="")
        case "pause":
            work = changed(work, paused=event.actor)
        case "go on":
            work = changed(work, paused="")
        case "as planned":
            work = changed(work, speed=1.0, most_rows=0, paused="")
        case _:
            work = changed(work, most_rows=body.rows, paused="")
    return changed(state, work=work)


@_changes(events.BackfillPaced)
def _backfill_paced(state: State, _: Event, body: events.BackfillPaced) -> State:
    return changed(state, work=changed(state.work, stopped=body.why if body.stopped else ""))


@_changes(events.ScriptWarned)
def _warned(state: State, _: Event, __: events.ScriptWarned) -> State:
    return state


@_changes(events.ResumeAsked)
def _resumed(state: State, event: Event, body: events.ResumeAsked) -> State:
    held_for = event.at - state.held_at if state.held and state.held_at else timedelta(0)
    # time has passed, so what would be lost is counted again
    loss = state.rollback.loss.after_answer(event.seq, event.actor, body.why, accepts=body.accept_loss)
    rollback = changed(state.rollback, failed=False, loss=loss)
    # whoever goes on with a rollback has seen to what acted beyond the database
    lost = {} if state.status in ROLLING_BACK_STATES else state.lost
    return changed(_later(state, held_for), held="", held_at=None, rollback=rollback, lost=lost)


#: how long an accepted data loss waits for a process; after that the rows are not those that somebody was told of
_ACCEPTED_FOR = timedelta(hours=1)


@_changes(events.TakenOver)
def _taken_over(state: State, event: Event, _: events.TakenOver) -> State:
    nobody_for = event.at - state.at if state.at and not state.held else timedelta(0)
    loss = state.rollback.loss
    # who accepts it where no process works on the run does so for the one that goes on with it
    just_accepted = loss.accepted_at == state.seq and state.at is not None and event.at - state.at <= _ACCEPTED_FOR
    rollback = changed(state.rollback, loss=loss if just_accepted else loss.out_of_date())
    return changed(_later(state, nobody_for), rollback=rollback)


def _later(state: State, by: timedelta) -> State:
    """Move what is waited for by a time in which nobody watched: a hold, or the time between two processes."""
    if not by:
        return state
    soak, since = state.soak_from, state.changed_at
    return changed(state, soak_from=soak + by if soak else None, changed_at=since + by if since else None)


@_changes(events.LedgerLost)
def _ledger_lost(state: State, _: Event, body: events.LedgerLost) -> State:
    # nobody watched, and what was counted may not be so any more
    rollback = changed(state.rollback, loss=state.rollback.loss.out_of_date())
    return changed(state, lost={**state.lost, **dict(body.beyond)}, rollback=rollback)


@_changes(events.RollbackOverran)
def _overran(state: State, _: Event, __: events.RollbackOverran) -> State:
    return changed(state, rollback=changed(state.rollback, over_budget=True))


# what people say


@_changes(events.ItemConfirmed)
def _confirmed(state: State, event: Event, body: events.ItemConfirmed) -> State:
    return changed(state, gate=changed(state.gate, confirmed={**state.gate.confirmed, body.item: event.seq}))


@_changes(events.VoteRefused)
def _refused(state: State, _: Event, body: events.VoteRefused) -> State:
    gate = changed(
        state.gate,
        votes=tuple(vote for vote in state.gate.votes if vote.seq != body.vote),
        confirmed={item: seq for item, seq in state.gate.confirmed.items() if seq != body.vote},
    )
    return changed(state, gate=gate, approvals=tuple(vote for vote in state.approvals if vote.seq != body.vote))


def vote_of(event: Event, body: events.VoteCast) -> Vote:
    """Return the vote that an event holds."""
    return Vote(
        seq=event.seq,
        decision=body.decision,
        person=body.person,
        proved=body.proved,
        at=event.at,
        level=body.level,
        back_to=body.back_to,
    )


@_changes(events.VoteCast)
def _voted(state: State, event: Event, body: events.VoteCast) -> State:
    vote = vote_of(event, body)
    if body.on == ROLLBACK:
        return changed(state, approvals=(*state.approvals, vote))
    asked = state.gate.asked if state.status is Status.DECIDING else None
    if asked is None or (body.seal, body.asked) != (asked.seal, asked.seq):
        return state
    in_time = asked.deadline is None or event.at <= asked.deadline
    return changed(state, gate=changed(state.gate, votes=(*state.gate.votes, vote))) if in_time else state


# the gate


@_changes(events.PhaseStarted)
def _phase_started(state: State, event: Event, body: events.PhaseStarted) -> State:
    known = changed(
        state.known,
        measured=False,
        # a gate that is launched again begins with a fresh backup
        backups={phase: proof for phase, proof in state.known.backups.items() if state.changed and phase < state.phase},
        # what the first phase rested on is what the later ones rest on
        rehearsed=state.known.rehearsed if state.changed else None,
    )
    gate = GateState(
        launched=event.seq,
        launcher=body.person or event.actor,
        at_once=body.at_once,
        override=body.override,
        budget_override=body.budget_override,
    )
    return changed(
        state,
        held="",
        phase_at=event.at,
        soak_from=None,
        known=known,
        gate=gate,
        downtime=changed(state.downtime, over_budget=bool(body.budget_override)),
        # a phase that was rolled back by itself begins again
        rollback=changed(state.rollback, cause="", back_to=0, loss=LossState()),
    )


@_changes(events.PeopleAsked)
def _asked(state: State, event: Event, body: events.PeopleAsked) -> State:
    asked = Asked(seq=event.seq, at=event.at, seal=body.seal, deadline=body.deadline, step=body.step)
    votes = () if state.status in (Status.GATING, Status.DECIDING) else state.gate.votes
    return changed(state, gate=changed(state.gate, asked=asked, votes=votes))


@_changes(events.BaselineMeasured)
def _baseline(state: State, _: Event, body: events.BaselineMeasured) -> State:
    # what was measured before the first change is what later phases compare with too; they themselves are rolled back to
    # what was measured as they began
    baseline = state.known.baseline if state.changed else body
    starts = {**state.known.starts, state.phase: body}
    return changed(state, known=changed(state.known, measured=True, baseline=baseline, starts=starts))


@_changes(events.Go)
def _go(state: State, event: Event, _: events.Go) -> State:
    return changed(state, gate=changed(state.gate, go_seq=event.seq))


@_changes(events.NoGo)
def _no_go(state: State, _: Event, body: events.NoGo) -> State:
    return changed(state, gate=changed(state.gate, no_go=body.why))


@_changes(events.RehearsalFound)
def _rehearsal_found(state: State, _: Event, body: events.RehearsalFound) -> State:
    return changed(state, known=changed(state.known, rehearsed=body))


@_changes(events.BackupProved)
def _backed_up(state: State, _: Event, body: events.BackupProved) -> State:
    if state.status is Status.SOAKING:
        return changed(state, known=changed(state.known, backed_up_after=True))
    return changed(state, known=changed(state.known, backups={**state.known.backups, state.phase: body}))


# the work


def _without(lost: Mapping[int, int], step: int) -> Mapping[int, int]:
    return {each: attempt for each, attempt in lost.items() if each != step} if step in lost else lost


@_changes(events.ScriptStarted)
def _started(state: State, event: Event, body: events.ScriptStarted) -> State:
    # what a service was asked before is asked again under the same key
    attempt = state.work.in_doubt_seq or state.lost.get(body.step) or event.seq
    work = changed(state.work, started=body.script, attempt=attempt)
    return changed(state, changed=True, work=work, lost=_without(state.lost, body.step))


@_changes(events.ScriptDone)
def _done(state: State, _: Event, body: events.ScriptDone) -> State:
    if body.last:
        # its own number, not one more than the last: a gap must never shift what comes after it
        work = WorkState(step=body.step + 1, attempt=state.work.attempt)
    else:
        # absolute, so that a state can be folded without every script of a step (ledger.standing.read_state)
        work = changed(state.work, script=body.script + 1, rows=state.work.rows + body.rows, started=None)
    return changed(state, changed=True, work=work)


@_changes(events.ScriptNotDone)
def _not_done(state: State, _: Event, body: events.ScriptNotDone) -> State:
    work = changed(state.work, started=None)
    if body.left:
        # it may be done again, and may have been done: whatever comes of that, there is something to undo
        work = changed(work, left=True, in_doubt_seq=state.work.attempt)
    return changed(state, work=work, rollback=changed(state.rollback, undo_started=False))


@_changes(events.BatchDone)
def _batch(state: State, event: Event, body: events.BatchDone) -> State:
    # an estimate that another process made may be smaller: what is done never becomes less by it
    rows, of = state.work.rows + body.rows, max(state.work.of, body.of)
    pace = backfill_pace(body) or state.work.pace
    work = changed(state.work, cursor=body.upto, rows=rows, of=of, pace=pace, paced_at=event.at, stopped="")
    return changed(state, changed=True, work=work)


def backfill_pace(body: events.BatchDone) -> float:
    """Return a backfill's rows per second, as of its newest batch; 0 with its process's first one, as nothing is known."""
    # the seconds are those before this batch; an older gonogo did not say how many rows were done in them
    done = body.done or body.rows * body.batch
    return done / max(body.seconds, 0.001)


@_changes(events.StepFailed)
def _failed(state: State, _: Event, body: events.StepFailed) -> State:
    return changed(state, work=changed(state.work, started=None, left=state.work.left or body.left, in_doubt_seq=0))


@_changes(events.Verified)
def _verified(state: State, event: Event, _: events.Verified) -> State:
    return changed(state, soak_from=event.at)


@_changes(events.PhaseDone)
def _phase_done(state: State, _: Event, __: events.PhaseDone) -> State:
    return changed(state, phase=state.phase + 1, phase_at=None)


# the rollback


def _with_loss(state: State, loss: LossState) -> State:
    return changed(state, rollback=changed(state.rollback, loss=loss))


@_changes(events.LossCounted)
def _loss_counted(state: State, _: Event, body: events.LossCounted) -> State:
    return _with_loss(state, state.rollback.loss.after_count(body.step, body.rows, whole=body.whole))


@_changes(events.SwitchDone)
def _switched(state: State, _: Event, body: events.SwitchDone) -> State:
    after = _with_loss(state, state.rollback.loss.after_destroying(body.lost)) if body.lost else state
    return changed(after, rollback=changed(after.rollback, switched=body.script + 1))


def _undone_to(state: State, step: int) -> State:
    """Note that everything from a step on is undone."""
    work = WorkState(step=step, attempt=state.work.attempt, in_doubt_seq=state.work.in_doubt_seq)
    return changed(state, work=work, rollback=changed(state.rollback, undo=0, undo_started=False, undo_attempt=0, undo_batch=0))


@_changes(events.BackupRestored)
def _restored(state: State, _: Event, body: events.BackupRestored) -> State:
    return _undone_to(state, body.step)


@_changes(events.RollbackAsked, events.AbortAsked)
def _asked_back(state: State, event: Event, _: events.RollbackAsked) -> State:
    return _rollback_began(state, event) if state.status in ROLLING_BACK_STATES else state


@_changes(events.UndoStarted)
def _undo_started(state: State, event: Event, body: events.UndoStarted) -> State:
    # what a service was asked before is asked again under the same key
    rollback = changed(state.rollback, undo_started=True, undo_attempt=state.rollback.undo_attempt or event.seq)
    return changed(state, rollback=rollback, lost=_without(state.lost, body.step))


@_changes(events.UndoBatchDone)
def _undo_batch(state: State, _: Event, body: events.UndoBatchDone) -> State:
    return changed(state, rollback=changed(state.rollback, undo_batch=body.batch))


@_changes(events.UndoDone)
def _undone(state: State, _: Event, body: events.UndoDone) -> State:
    if body.lost:
        state = _with_loss(state, state.rollback.loss.after_destroying(body.lost))
    if body.last:
        started = state.work.started
        after = _undone_to(state, body.step)
        loss = after.rollback.loss if after.rollback.loss.whole else changed(after.rollback.loss, counted=None)
        return changed(after, work=changed(after.work, started=started), rollback=changed(after.rollback, loss=loss))
    rollback = changed(state.rollback, undo=body.script + 1, undo_started=False, undo_attempt=0)
    return changed(state, rollback=rollback)


@_changes(events.PhaseRollbackProved)
def _phase_proved(state: State, _: Event, body: events.PhaseRollbackProved) -> State:
    after = _undone_to(state, body.step)
    return changed(after, phase=state.rollback.back_to, phase_at=None, soak_from=None, held="")


@_changes(events.UndoFailed, events.RollbackNotProved)
def _rollback_failed(state: State, _: Event, body: Body) -> State:
    rollback = changed(state.rollback, failed=True, loss=state.rollback.loss.out_of_date())
    return changed(state, held=f"rollback failed: {body.why}", rollback=rollback)
