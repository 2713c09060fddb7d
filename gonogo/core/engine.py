"""The loop's two halves: `evolve` takes a fact into the state, `decide` says what is next.

Waiting, asking a gate, holding, tripping, rolling back and resuming after a crash are answers of `decide`,
not programs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeAlias

from gonogo.core.event import Event, Kind
from gonogo.core.plan import Plan, PlannedStep
from gonogo.core.state import ANYWHERE, ENDED, NEXT, TURNING_BACK, State, Status


@dataclass(frozen=True, slots=True)
class MeasureBaseline:
    """Measure the checks and the schema before the first change."""


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
class Prove:
    """Measure that everything is as it was before the first change."""


@dataclass(frozen=True, slots=True)
class Record:
    """Record a fact that follows from the others."""

    kind: Kind
    why: str = ""


Command = MeasureBaseline | JudgeGate | Wait | Perform | Resolve | Verify | Undo | Prove | Record


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
    target = NEXT.get((state.status, event.kind))
    if target is None:
        return _evolve_anywhere(state, event)
    change = _CHANGES.get(event.kind)
    changed: Fields = change(state, event) if change is not None else {}
    if target in TURNING_BACK and state.status not in TURNING_BACK:
        changed = {**changed, "held": "", "cause": str(event.body.get("why") or event.kind), "undo": 0}
    if target in ENDED:
        # a hold that came too late to stop the last step holds nothing any more
        changed = {**changed, "held": ""}
    return replace(state, seq=event.seq, status=target, changed_at=event.at, **changed)


def _evolve_anywhere(state: State, event: Event) -> State:
    kind = event.kind
    if kind is Kind.RUN_OPENED:
        return replace(state, seq=event.seq, opened_at=event.at)
    if state.status in ENDED or kind not in ANYWHERE:
        return replace(state, seq=event.seq)
    if kind in (Kind.HOLD, Kind.HELD):
        why = str(event.body.get("why", "")) or "no reason given"
        return replace(state, seq=event.seq, held=why if kind is Kind.HELD else f"{event.actor} says hold: {why}")
    if kind is Kind.RESUME:
        return replace(state, seq=event.seq, held="", rollback_failed=False)
    return replace(state, seq=event.seq)


def _phase_started(_: State, event: Event) -> Fields:
    return dict(held="", measured=False, phase_at=event.at, soak_from=None, at_once=bool(event.body.get("at_once")))


def _baseline(state: State, event: Event) -> Fields:
    # the first one is what a rollback leads back to; later phases compare with it too
    return dict(measured=True, baseline=state.baseline or event.body)


def _started(_: State, event: Event) -> Fields:
    return dict(started=int(event.body["script"]), changed=True)


def _done(state: State, event: Event) -> Fields:
    rows = int(event.body.get("rows", 0))
    if event.body["last"]:
        return dict(step=state.step + 1, script=0, cursor=None, rows=0, started=None, left=False, changed=True)
    # absolute, so that a state can be folded without every script of a step (ledger.read_state)
    return dict(script=int(event.body["script"]) + 1, rows=state.rows + rows, started=None, changed=True)


def _not_done(_: State, __: Event) -> Fields:
    return dict(started=None, undo_started=False)


def _batch(state: State, event: Event) -> Fields:
    cursor = tuple(event.body["upto"])
    return dict(cursor=cursor, rows=state.rows + int(event.body["rows"]), changed=True)


def _failed(_: State, event: Event) -> Fields:
    return dict(started=None, left=bool(event.body.get("left")))


def _verified(_: State, event: Event) -> Fields:
    return dict(soak_from=event.at)


def _phase_done(state: State, _: Event) -> Fields:
    return dict(phase=state.phase + 1, phase_at=None)


def _undo_started(_: State, __: Event) -> Fields:
    return dict(undo_started=True)


def _undone(_: State, event: Event) -> Fields:
    if event.body["last"]:
        return dict(step=int(event.body["step"]), script=0, cursor=None, rows=0, left=False, undo=0, undo_started=False)
    return dict(undo=int(event.body["script"]) + 1, undo_started=False)


def _rollback_failed(_: State, event: Event) -> Fields:
    return dict(held=f"rollback failed: {event.body.get('why', '')}", rollback_failed=True)


_CHANGES: Mapping[Kind, Callable[[State, Event], Fields]] = {
    Kind.PHASE_STARTED: _phase_started,
    Kind.BASELINE: _baseline,
    Kind.STARTED: _started,
    Kind.DONE: _done,
    Kind.NOT_DONE: _not_done,
    Kind.BATCH: _batch,
    Kind.FAILED: _failed,
    Kind.VERIFIED: _verified,
    Kind.PHASE_DONE: _phase_done,
    Kind.UNDO_STARTED: _undo_started,
    Kind.UNDONE: _undone,
    Kind.UNDO_FAILED: _rollback_failed,
    Kind.NOT_PROVED: _rollback_failed,
}


def decide(plan: Plan, state: State, now: datetime) -> Command | None:
    """Say what is next, or None when nothing is until a person acts.

    Args:
        plan: what was launched.
        state: where the run stands.
        now: the time, with its zone.
    """
    if state.at_rest:
        return None
    match state.status:
        case Status.GATING:
            if now < plan.start and state.phase == 0 and not state.at_once:
                return Wait(plan.start, "the run starts at its time")
            return JudgeGate() if state.measured else MeasureBaseline()
        case Status.WORKING:
            return _next_work(plan, state, now)
        case Status.VERIFYING:
            return Verify()
        case Status.SOAKING:
            return _soak(plan, state, now)
        case Status.ROLLING_BACK:
            return _next_undo(plan, state)
        case _:
            return Prove()


def _next_work(plan: Plan, state: State, now: datetime) -> Command:
    if state.step > plan.phases[state.phase].last:
        return Record(Kind.WORK_DONE)
    if state.started is not None:
        return Resolve(state.step, state.started)
    task = plan.task(plan.steps[state.step].task)
    begins = state.step == task.first and state.script == 0 and state.cursor is None
    if task.at is not None and begins and not state.at_once:
        opens = (state.phase_at or now) + task.at
        if now < opens:
            return Wait(opens, f"{task.title} starts at its time")
    return Perform(state.step, state.script)


def _soak(plan: Plan, state: State, now: datetime) -> Command:
    ends = (state.soak_from or now) + plan.phases[state.phase].soak
    if now < ends:
        return Wait(ends, "watching what the change does")
    last = state.phase == len(plan.phases) - 1
    return Record(Kind.RUN_DONE if last else Kind.PHASE_DONE)


def _next_undo(plan: Plan, state: State) -> Command:
    if state.started is not None:
        return Resolve(state.step, state.started)
    step = undoable(plan, state)
    if step is None:
        return Record(Kind.ALL_UNDONE)
    undo = plan.steps[step].undo
    if undo is None:
        why = f"{plan.steps[step].name} has no undo; undo it by hand, then: gonogo resume --settle done"
        return Record(Kind.UNDO_FAILED, why)
    first = max(state.undo, _first_undo(plan.steps[step], state) if step == state.step else 0)
    return Undo(step, first, first >= len(undo) - 1, state.undo_started)


def undoable(plan: Plan, state: State) -> int | None:
    """Return the newest step that did something and has something to undo or lacks its undo."""
    touched = state.script > 0 or state.cursor is not None or state.left
    for step in range(state.step if touched else state.step - 1, -1, -1):
        if plan.steps[step].undo != ():
            return step
    return None


def _first_undo(step: PlannedStep, state: State) -> int:
    """Skip the undo scripts of sources that were never reached, where each source has its own."""
    if not step.paired or step.undo is None:
        return 0
    reached = step.scripts[state.script if state.left else state.script - 1].part
    return next((i for i, script in enumerate(step.undo) if script.part <= reached), 0)
