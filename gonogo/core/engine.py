"""The loop's two halves: `evolve` takes a fact into the state, `decide` says what is next.

Waiting, asking a gate, holding, tripping, rolling back and resuming after a crash are answers of `decide`,
not programs of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from gonogo.core.duration import say_duration
from gonogo.core.event import Event, Kind
from gonogo.core.people import NO_GO, Item, Vote, agreed, lacking
from gonogo.core.plan import Plan, PlannedStep
from gonogo.core.rehearsal import unready
from gonogo.core.state import ANYWHERE, ENDED, NEXT, SHALLOW, TURNING_BACK, Asked, State, Status, goes_further, heard


@dataclass(frozen=True, slots=True)
class MeasureBaseline:
    """Measure the checks and the schema before the first change."""


@dataclass(frozen=True, slots=True)
class TakeBackup:
    """Take a backup before the first change, restore it, and compare."""


@dataclass(frozen=True, slots=True)
class Recall:
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
class Weigh:
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


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask people to confirm something, and let them know."""

    items: tuple[str, ...]
    #: the step that waits for it; past the last one, the end of the phase
    step: int


@dataclass(frozen=True, slots=True)
class TurnBack:
    """Roll back, as enough people agreed to."""


Command = (
    MeasureBaseline
    | Recall
    | TakeBackup
    | JudgeGate
    | Wait
    | Perform
    | Resolve
    | Verify
    | Weigh
    | Undo
    | Switch
    | Restore
    | Prove
    | Record
    | Ask
    | TurnBack
)


NOTHING, A_LONG_TIME = timedelta(0), timedelta(hours=1)
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
    target = NEXT.get((state.status, event.kind)) if heard(state, event) else None
    if target is None:
        return _evolve_anywhere(state, event)
    change = _CHANGES.get(event.kind)
    changed: Fields = change(state, event) if change is not None else {}
    if target in TURNING_BACK and state.status not in TURNING_BACK:
        changed = {**changed, **_turned(state, event)}
    if target in ENDED:
        # a hold that came too late to stop the last step holds nothing any more
        changed = {**changed, "held": ""}
    return replace(state, seq=event.seq, status=target, changed_at=event.at, **changed)


def _turned(state: State, event: Event) -> Fields:
    """Return what turning back changes: why, and by which of the runbook's ways."""
    return dict(
        held="",
        cause=str(event.body.get("why") or event.kind),
        switched=0,
        turned=event.seq,
        level=_way(state, str(event.body.get("level") or "")),
        accepts_loss=bool(event.body.get("accept_loss")),
        weighed=None,
        rollback_failed=False,
    )


def _way(state: State, asked: str) -> str:
    if not state.changed:
        return "undo"  # there is nothing to be undone, and nothing else to be done
    return asked if asked in ways_back(state) else first_way(state)


#: while a run does one of these, what a level of its own switches off, or puts back, may not be there yet
_UNFINISHED = frozenset({Status.READY, Status.GATING, Status.DECIDING, Status.WORKING, Status.NO_GO})


def ways_back(state: State) -> tuple[str, ...]:
    """Return the ways back that there are for a run: only a backup that was proved can be restored."""
    return tuple(level for level in state.levels if level != "restore" or state.backup)


def first_way(state: State) -> str:
    """Return the way back that a trip takes: the first one in the runbook's order that the rehearsal proved."""
    there = [way for way in ways_back(state) if way not in SHALLOW or state.status not in _UNFINISHED]
    proved = (state.rehearsed or {}).get("levels", ())
    return next((level for level in (*(way for way in there if way in proved), *there)), "undo")


def _evolve_anywhere(state: State, event: Event) -> State:
    kind = event.kind
    if kind is Kind.RUN_OPENED:
        rollback = event.body.get("plan", {}).get("rollback", {})
        levels = tuple(rollback.get("levels") or ("undo",))
        return replace(state, seq=event.seq, opened_at=event.at, authority=bool(rollback.get("authority")), levels=levels)
    if state.status in ENDED or kind not in ANYWHERE:
        return replace(state, seq=event.seq)
    if kind in (Kind.HOLD, Kind.HELD):
        why = str(event.body.get("why", "")) or "no reason given"
        return replace(state, seq=event.seq, held=why if kind is Kind.HELD else f"{event.actor} says hold: {why}")
    if kind is Kind.RESUME:
        # time has passed, so what would be lost is counted anew
        accepts = bool(event.body.get("accept_loss"))
        return replace(state, seq=event.seq, held="", rollback_failed=False, accepts_loss=accepts, weighed=None)
    if kind is Kind.TAKEN_OVER:
        return replace(state, seq=event.seq, weighed=None, accepts_loss=False)
    return replace(state, seq=event.seq, **_said(state, event))


def _said(state: State, event: Event) -> Fields:
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
    if event.kind is not Kind.VOTE:
        return {}
    vote = Vote(
        seq=event.seq,
        decision=str(body.get("decision")),
        person=str(body.get("person")),
        proved=bool(body.get("proved")),
        at=event.at,
        level=str(body.get("level") or ""),
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
        # a gate that is launched again begins with a fresh one
        backup={} if not state.changed else state.backup,
        # what the first phase rested on is what the later ones rest on
        rehearsed=state.rehearsed if state.changed else None,
        asked=None,
        votes=(),
        confirmed={},
        went=0,
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
    # what was measured before the first change is what a rollback leads back to; later phases compare with it too
    return dict(measured=True, baseline=state.baseline if state.changed else event.body)


def _go(_: State, event: Event) -> Fields:
    return dict(went=event.seq)


def _recalled(_: State, event: Event) -> Fields:
    return dict(rehearsed=event.body)


def _backed_up(state: State, event: Event) -> Fields:
    return dict(backed_up_after=True) if state.status is Status.SOAKING else dict(backup=event.body)


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


def _weighed(state: State, event: Event) -> Fields:
    harmless = state.accepts_loss or not any(event.body["rows"].values())
    return dict(weighed=int(event.body["step"]) if harmless else None)


def _switched(_: State, event: Event) -> Fields:
    return dict(switched=int(event.body["script"]) + 1)


def _restored(_: State, __: Event) -> Fields:
    return dict(step=0, script=0, cursor=None, rows=0, started=None, left=False, undo=0, undo_started=False)


def _further_back(state: State, event: Event) -> Fields:
    return _turned(state, event) if state.status in TURNING_BACK else {}


def _undo_started(_: State, __: Event) -> Fields:
    return dict(undo_started=True)


def _undone(_: State, event: Event) -> Fields:
    if event.body["last"]:
        back = dict(step=int(event.body["step"]), script=0, cursor=None, rows=0, left=False, undo=0, undo_started=False)
        return {**back, "weighed": None}
    return dict(undo=int(event.body["script"]) + 1, undo_started=False)


def _rollback_failed(_: State, event: Event) -> Fields:
    return dict(held=f"rollback failed: {event.body.get('why', '')}", rollback_failed=True, weighed=None, accepts_loss=False)


_CHANGES: Mapping[Kind, Callable[[State, Event], Fields]] = {
    Kind.PHASE_STARTED: _phase_started,
    Kind.RECALLED: _recalled,
    Kind.BACKED_UP: _backed_up,
    Kind.ASKED: _asked,
    Kind.VOTE: _said,
    Kind.VOTE_REFUSED: _said,
    Kind.GO: _go,
    Kind.BASELINE: _baseline,
    Kind.STARTED: _started,
    Kind.DONE: _done,
    Kind.NOT_DONE: _not_done,
    Kind.BATCH: _batch,
    Kind.FAILED: _failed,
    Kind.VERIFIED: _verified,
    Kind.PHASE_DONE: _phase_done,
    Kind.WEIGHED: _weighed,
    Kind.SWITCHED: _switched,
    Kind.RESTORED: _restored,
    Kind.ROLL_BACK: _further_back,
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
    if agreed_to_turn_back(plan, state, now):
        return TurnBack()
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
    if now < plan.start and state.phase == 0 and not state.at_once:
        return Wait(plan.start, "the run starts at its time")
    if plan.rehearsal is not None and not plan.rehearsal.waived and state.rehearsed is None:
        return Recall()
    if not state.measured and (why := unready(plan, state, now)):
        return Record(Kind.NO_GO, why)
    if wants_backup(plan) and not state.backup and not state.changed:
        return TakeBackup()
    return JudgeGate() if state.measured else MeasureBaseline()


def wants_backup(plan: Plan) -> bool:
    """Say whether a backup is taken before the first change."""
    return plan.backup is not None and not plan.backup.waived


def agreed_to_turn_back(plan: Plan, state: State, now: datetime) -> bool:
    """Say whether those whose agreement a rollback needs have all given it, and none too long ago."""
    rule, given = plan.rollback.authority, recent_agreement(plan, state, now)
    if rule is None or not given:
        return False
    if state.status in TURNING_BACK and not goes_further(state, given[-1].level):
        return False
    return agreed(rule, plan.people, given)


def recent_agreement(plan: Plan, state: State, now: datetime) -> tuple[Vote, ...]:
    """Return who agreed to the way back that was named last, not too long ago, and not before the run turned back."""
    rule = plan.rollback.authority
    given = [vote for vote in state.back if rule is not None and now - vote.at <= rule.within and vote.seq > state.turned]
    return tuple(vote for vote in given if vote.level == given[-1].level)


def open_items(state: State, items: Iterable[Item]) -> tuple[str, ...]:
    """Return the boxes that nobody has ticked yet."""
    return tuple(item.item for item in items if item.item not in state.confirmed)


def _next_decision(plan: Plan, state: State, now: datetime) -> Command:
    """Wait for people until enough of them said go and every box is ticked, one said no-go, or their time is over."""
    phase, asked = plan.phases[state.phase], state.asked
    if any(vote.decision == NO_GO for vote in state.votes):
        return JudgeGate()
    waits = awaited(plan, state)
    if not waits:
        return JudgeGate()
    deadline = asked.deadline if asked else None
    if deadline is not None and now >= deadline:
        within = phase.approve.within if phase.approve else now - asked.at if asked else NOTHING
        return Record(Kind.NO_GO, f"no decision within {say_duration(within)}: {waits}")
    return Wait(deadline or now + A_LONG_TIME, waits)


def awaited(plan: Plan, state: State) -> str:
    """Say what a gate waits for, or nothing where it has all it needs."""
    phase = plan.phases[state.phase]
    waits = [f"{name} is not confirmed" for name in open_items(state, phase.before)]
    if phase.approve is not None and not agreed(phase.approve, plan.people, state.votes):
        waits.append(lacking(phase.approve, plan.people, state.votes))
    return "; ".join(waits)


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
    if waits := open_items(state, plan.steps[state.step].confirm):
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
        return Restore() if state.weighed == everything else Weigh(everything)
    if state.switched < len(plan.switches[state.level]):
        return Switch(state.level, state.switched)
    return Record(Kind.ALL_UNDONE)


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
    if weighty(plan.steps[step]) and state.weighed != step:
        return Weigh(step)
    first = max(state.undo, _first_undo(plan.steps[step], state) if step == state.step else 0)
    return Undo(step, first, first >= len(undo) - 1, state.undo_started)


def weighty(step: PlannedStep) -> bool:
    """Say whether it must be counted what the undo of a step would destroy."""
    return bool(step.destroys or step.journal) and not step.keeps


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
