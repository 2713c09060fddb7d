"""The first half of the loop: `evolve` takes a fact into the state.

The table of states (`gonogo/core/engine/state.py`) says where each fact leads; here is what else it changes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from gonogo.core.engine.budgets import clocked
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.state import (
    ANYWHERE,
    ENDED,
    NEXT,
    ROLLING_BACK_STATES,
    SWITCH_LEVELS,
    Alarm,
    Asked,
    State,
    Status,
    available_levels,
    takes_effect,
)
from gonogo.core.model.people import Vote

#: what a vote is about, where it is not the gate
ROLLBACK = "roll back"
#: the fields of the state that a fact changes
Fields: TypeAlias = dict[str, Any]


def fold(events: Iterable[Event]) -> State:
    """Return where a run stands after these facts."""
    state = State()
    for event in events:
        state = evolve(state, event)
    return state


def evolve(state: State, event: Event) -> State:
    """Return where a run stands after one more fact."""
    return replace(clocked(_evolve(state, event), event), at=event.at)


def _evolve(state: State, event: Event) -> State:
    target = NEXT.get((state.status, event.kind)) if takes_effect(state, event) else None
    if target is None:
        return _alarmed(_evolve_anywhere(state, event), event, takes_effect=takes_effect(state, event))
    change = _CHANGES.get(event.kind)
    changed: Fields = change(state, event) if change is not None else {}
    if target in ROLLING_BACK_STATES and state.status not in ROLLING_BACK_STATES:
        changed = {**changed, **_rollback_began(state, event)}
    if target in ENDED:
        # a hold that came too late to stop the last step holds nothing any more
        changed = {**changed, "held": ""}
    return _alarmed(replace(state, seq=event.seq, status=target, changed_at=event.at, **changed), event, takes_effect=True)


#: facts that need people, and facts by which they, or the run itself, have dealt with it
_ALARMING = frozenset({Kind.HELD, Kind.TRIPPED, Kind.FAILED, Kind.VERIFY_FAILED, Kind.UNDO_FAILED, Kind.NOT_PROVED})
_ALARMING |= {Kind.OVERRUN}
_ENDS_ALARM = frozenset({Kind.ACKNOWLEDGED, Kind.RESUME, Kind.ROLL_BACK, Kind.ABORT, Kind.PHASE_STARTED})
_ENDS_ALARM |= {Kind.PROVED, Kind.PHASE_PROVED, Kind.RUN_DONE}


def _alarmed(state: State, event: Event, *, takes_effect: bool) -> State:
    """Say what needs people after a fact."""
    if not takes_effect or event.kind not in _ALARMING | _ENDS_ALARM:
        return state
    if event.kind in _ENDS_ALARM:
        return replace(state, alarm=None) if state.alarm is not None else state
    judged = (str(found.get("check")) for found in event.body.get("judged", ()) if found.get("verdict") != "pass")
    checks = (str(event.body["check"]),) if "check" in event.body else tuple(judged)
    return replace(state, alarm=Alarm(seq=event.seq, at=event.at, why=str(event.body.get("why", "")), checks=checks))


def _rollback_began(state: State, event: Event) -> Fields:
    """Return what turning back changes: why, how far, and by which of the runbook's ways."""
    back_to = _how_far(state, event)
    return dict(
        held="",
        cause=str(event.body.get("why") or event.kind),
        switched=0,
        rollback_seq=event.seq,
        rollback_at=state.rollback_at if state.status in ROLLING_BACK_STATES else event.at,
        over_rollback_budget=state.over_rollback_budget and state.status in ROLLING_BACK_STATES,
        back_to=back_to,
        level=_way(state, str(event.body.get("level") or ""), back_to),
        accepts_loss=bool(event.body.get("accept_loss")),
        loss_counted=None,
        rollback_failed=False,
    )


def _how_far(state: State, event: Event) -> int:
    """Return the phase whose start it is turned back to."""
    asked = event.body.get("back_to")
    if event.kind is Kind.ABORT or event.body.get("level") in SWITCH_LEVELS:
        return 0
    if asked is not None:
        return min(int(asked), state.begun)
    return default_reach(state)


def default_reach(state: State) -> int:
    """Return the phase to whose start a run is turned back where nobody says otherwise."""
    if state.status in ROLLING_BACK_STATES or state.status is Status.ROLLED_BACK:
        return state.back_to
    return state.begun if state.reach == "phase" else 0


def _way(state: State, asked: str, back_to: int) -> str:
    if not state.changed:
        return "undo"  # there is nothing to be undone, and nothing else to be done
    return asked if asked in available_levels(state, back_to) else default_level(state, back_to)


#: while a run does one of these, what a level of its own switches off, or puts back, may not be there yet
_UNFINISHED = frozenset({Status.READY, Status.GATING, Status.DECIDING, Status.WORKING, Status.NO_GO})


def default_level(state: State, back_to: int) -> str:
    """Return the way back that a trip takes: the first one in the runbook's order that the rehearsal proved."""
    there = [way for way in available_levels(state, back_to) if way not in SWITCH_LEVELS or state.status not in _UNFINISHED]
    proved = (state.rehearsed or {}).get("levels", ())
    return next((level for level in (*(way for way in there if way in proved), *there)), "undo")


def _evolve_anywhere(state: State, event: Event) -> State:
    kind = event.kind
    if kind is Kind.RUN_OPENED:
        rollback = event.body.get("plan", {}).get("rollback", {})
        levels = tuple(rollback.get("levels") or ("undo",))
        return replace(
            state,
            seq=event.seq,
            opened_at=event.at,
            authority=bool(rollback.get("authority")),
            levels=levels,
            reach=str(rollback.get("reach") or "run"),
        )
    if state.status in ENDED or kind not in ANYWHERE:
        return replace(state, seq=event.seq)
    if kind in (Kind.HOLD, Kind.HELD):
        why = str(event.body.get("why", "")) or "no reason given"
        held = why if kind is Kind.HELD else f"{event.actor} says hold: {why}"
        over_budget = state.over_budget or event.body.get("budget") == "downtime"
        # what is tried again after a failure is another attempt
        attempt = 0 if "step" in event.body else state.attempt
        return replace(
            state, seq=event.seq, held=held, held_at=state.held_at or event.at, over_budget=over_budget, attempt=attempt
        )
    if kind is Kind.RESUME:
        # time has passed, so what would be lost is counted anew
        accepts = bool(event.body.get("accept_loss"))
        later = _later(state, event.at - state.held_at) if state.held and state.held_at else {}
        changed = dict(held="", held_at=None, rollback_failed=False, accepts_loss=accepts, loss_counted=None)
        return replace(state, seq=event.seq, **{**changed, **later})
    if kind is Kind.TAKEN_OVER:
        later = _later(state, event.at - state.at) if state.at and not state.held else {}
        return replace(state, seq=event.seq, **{"loss_counted": None, "accepts_loss": False, **later})
    return replace(state, seq=event.seq, **_vote_or_tick(state, event))


def _later(state: State, by: timedelta) -> Fields:
    """Move what is waited for by a time in which nobody watched: a hold, or the time between two processes."""
    moved = {name: getattr(state, name) for name in ("soak_from", "changed_at")}
    return {name: moment + by for name, moment in moved.items() if moment is not None}


def _vote_or_tick(state: State, event: Event) -> Fields:
    """Return what a person's vote or confirmation changes, wherever the run stands."""
    body = event.body
    if event.kind is Kind.CONFIRMED:
        return dict(confirmed={**state.confirmed, str(body.get("item")): event.seq})
    if event.kind is Kind.VOTE_REFUSED:
        refused = body.get("vote")
        return dict(
            votes=tuple(vote for vote in state.votes if vote.seq != refused),
            back=tuple(vote for vote in state.back if vote.seq != refused),
            confirmed={item: seq for item, seq in state.confirmed.items() if seq != refused},
        )
    if event.kind is Kind.OVERRUN:
        return dict(over_rollback_budget=True)
    if event.kind is not Kind.VOTE:
        return {}
    vote = Vote(
        seq=event.seq,
        decision=str(body.get("decision")),
        person=str(body.get("person")),
        proved=bool(body.get("proved")),
        at=event.at,
        level=str(body.get("level") or ""),
        back_to=body.get("back_to"),
    )
    if body.get("on") == ROLLBACK:
        return dict(back=(*state.back, vote))
    asked = state.asked if state.status is Status.DECIDING else None
    if asked is None or (body.get("seal"), body.get("asked")) != (asked.seal, asked.seq):
        return {}
    in_time = asked.deadline is None or event.at <= asked.deadline
    return dict(votes=(*state.votes, vote)) if in_time else {}


def _phase_started(state: State, event: Event) -> Fields:
    return dict(
        held="",
        measured=False,
        phase_at=event.at,
        soak_from=None,
        at_once=bool(event.body.get("at_once")),
        launched=event.seq,
        launcher=str(event.body.get("person") or event.actor),
        override=str(event.body.get("override") or ""),
        beyond=str(event.body.get("beyond") or ""),
        over_budget=bool(event.body.get("beyond")),
        # a gate that is launched again begins with a fresh one
        backups={phase: known for phase, known in state.backups.items() if state.changed and phase < state.phase},
        # what the first phase rested on is what the later ones rest on
        rehearsed=state.rehearsed if state.changed else None,
        asked=None,
        votes=(),
        confirmed={},
        go_seq=0,
        # a phase that was rolled back by itself begins anew
        cause="",
        back_to=0,
        lost={},
    )


def _asked(state: State, event: Event) -> Fields:
    deadline, step = event.body.get("deadline"), event.body.get("step")
    asked = Asked(
        seq=event.seq,
        at=event.at,
        seal=str(event.body.get("seal", "")),
        deadline=datetime.fromisoformat(deadline) if deadline else None,
        step=None if step is None else int(step),
    )
    return dict(asked=asked, votes=() if state.status in (Status.GATING, Status.DECIDING) else state.votes)


def _baseline(state: State, event: Event) -> Fields:
    # what was measured before the first change is what later phases compare with too; they themselves are turned back to
    # what was measured as they began
    baseline = state.baseline if state.changed else event.body
    return dict(measured=True, baseline=baseline, starts={**state.starts, state.phase: event.body})


def _go(_: State, event: Event) -> Fields:
    return dict(go_seq=event.seq)


def _rehearsal_found(_: State, event: Event) -> Fields:
    return dict(rehearsed=event.body)


def _backed_up(state: State, event: Event) -> Fields:
    if state.status is Status.SOAKING:
        return dict(backed_up_after=True)
    return dict(backups={**state.backups, state.phase: event.body})


def _started(state: State, event: Event) -> Fields:
    return dict(started=int(event.body["script"]), changed=True, attempt=state.in_doubt_seq or event.seq)


def _done(state: State, event: Event) -> Fields:
    rows = int(event.body.get("rows", 0))
    if event.body["last"]:
        return dict(step=state.step + 1, script=0, cursor=None, rows=0, started=None, left=False, in_doubt_seq=0, changed=True)
    # absolute, so that a state can be folded without every script of a step (ledger.read_state)
    return dict(script=int(event.body["script"]) + 1, rows=state.rows + rows, started=None, changed=True)


def _not_done(state: State, event: Event) -> Fields:
    if event.body.get("left"):
        # it may be done again, and may have been done: whatever comes of that, there is something to undo
        return dict(started=None, undo_started=False, left=True, in_doubt_seq=state.attempt)
    return dict(started=None, undo_started=False)


def _batch(state: State, event: Event) -> Fields:
    cursor = tuple(event.body["upto"])
    return dict(cursor=cursor, rows=state.rows + int(event.body["rows"]), changed=True)


def _failed(state: State, event: Event) -> Fields:
    return dict(started=None, left=state.left or bool(event.body.get("left")), in_doubt_seq=0)


def _verified(_: State, event: Event) -> Fields:
    return dict(soak_from=event.at)


def _phase_done(state: State, _: Event) -> Fields:
    return dict(phase=state.phase + 1, phase_at=None)


def _loss_counted(state: State, event: Event) -> Fields:
    rows = {table: int(count) for table, count in event.body["rows"].items() if count}
    harmless = state.accepts_loss or not rows
    lost = (
        {**state.lost, **{table: state.lost.get(table, 0) + count for table, count in rows.items()}} if harmless else state.lost
    )
    return dict(loss_counted=int(event.body["step"]) if harmless else None, lost=lost)


def _switched(_: State, event: Event) -> Fields:
    return dict(switched=int(event.body["script"]) + 1)


def _restored(_: State, event: Event) -> Fields:
    return dict(
        step=int(event.body.get("step", 0)), script=0, cursor=None, rows=0, started=None, left=False, undo=0, undo_started=False
    )


def _further_back(state: State, event: Event) -> Fields:
    return _rollback_began(state, event) if state.status in ROLLING_BACK_STATES else {}


def _undo_started(_: State, __: Event) -> Fields:
    return dict(undo_started=True)


def _undone(_: State, event: Event) -> Fields:
    if event.body["last"]:
        step = int(event.body["step"])
        return dict(step=step, script=0, cursor=None, rows=0, left=False, undo=0, undo_started=False, loss_counted=None)
    return dict(undo=int(event.body["script"]) + 1, undo_started=False)


def _phase_proved(state: State, event: Event) -> Fields:
    return {**_restored(state, event), "phase": state.back_to, "phase_at": None, "soak_from": None, "held": ""}


def _rollback_failed(_: State, event: Event) -> Fields:
    return dict(held=f"rollback failed: {event.body.get('why', '')}", rollback_failed=True, loss_counted=None, accepts_loss=False)


_CHANGES: Mapping[Kind, Callable[[State, Event], Fields]] = {
    Kind.PHASE_STARTED: _phase_started,
    Kind.REHEARSAL_FOUND: _rehearsal_found,
    Kind.BACKED_UP: _backed_up,
    Kind.ASKED: _asked,
    Kind.VOTE: _vote_or_tick,
    Kind.VOTE_REFUSED: _vote_or_tick,
    Kind.GO: _go,
    Kind.BASELINE: _baseline,
    Kind.STARTED: _started,
    Kind.DONE: _done,
    Kind.NOT_DONE: _not_done,
    Kind.BATCH: _batch,
    Kind.FAILED: _failed,
    Kind.VERIFIED: _verified,
    Kind.PHASE_DONE: _phase_done,
    Kind.LOSS_COUNTED: _loss_counted,
    Kind.SWITCHED: _switched,
    Kind.RESTORED: _restored,
    Kind.ROLL_BACK: _further_back,
    Kind.UNDO_STARTED: _undo_started,
    Kind.UNDONE: _undone,
    Kind.UNDO_FAILED: _rollback_failed,
    Kind.NOT_PROVED: _rollback_failed,
    Kind.PHASE_PROVED: _phase_proved,
}
