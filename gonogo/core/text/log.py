"""The run's log, as a story: a line for each fact that someone would want to read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from zoneinfo import ZoneInfo

from gonogo.core.engine.decide import waits_for_votes
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.evolve import ROLLBACK
from gonogo.core.engine.rehearsal import describe
from gonogo.core.engine.state import State, Status, takes_effect
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedStep
from gonogo.core.text.messages import backup_in_words, clock, describe_loss_step

#: steps with more scripts or batches than this tell of every tenth part only
_MANY = 10


def tell(plan: Plan, before: State, event: Event, after: State) -> str:
    """Return the line for a fact, or nothing where it is not worth one."""
    teller = _TELLERS.get(event.kind)
    return teller(plan, before, event, after) if teller and takes_effect(before, event) else ""


def _step(plan: Plan, event: Event) -> PlannedStep:
    return plan.steps[int(event.body["step"])]


def _passed_a_tenth(done: int, total: int) -> bool:
    return total <= _MANY or done == total or (done * 10) // total > ((done - 1) * 10) // total


def _phase_started(plan: Plan, _: State, event: Event, after: State) -> str:
    override = f", by override: {event.body['override']}" if event.body.get("override") else ""
    phase = plan.phases[after.phase]
    opens = plan.opens(after.phase)
    early = opens is not None and opens > event.at and not after.at_once
    waits = f"; it waits until {opens.astimezone(ZoneInfo(plan.zone)):%Y-%m-%d %H:%M %Z}" if opens and early else ""
    return f"phase {phase.name} starts, launched by {event.actor}{override}{waits}"


def _backed_up(_: Plan, __: State, event: Event, ___: State) -> str:
    return f"backup proved: {backup_in_words(event.body)}"


def _asked(plan: Plan, _: State, event: Event, after: State) -> str:
    """Say who is asked for what, and what they type."""
    phase = plan.phases[after.phase]
    again = f"{event.body['why']}; every vote is void. " if event.body.get("why") else ""
    if "items" in event.body:
        items = event.body["items"]
        way = f"gonogo confirm {plan.runbook} {items[0]} --target {plan.target} --as PERSON"
        return f"waits for people to confirm {', '.join(items)}: {way}"
    until = f" by {clock(after.asked.deadline, plan.zone)}" if after.asked and after.asked.deadline else ""
    way = f"gonogo go {plan.runbook} {phase.name} --target {plan.target} --as PERSON"
    return f"ASKED: {again}{waits_for_votes(plan, after)}{until}: {way}"


def _vote(_: Plan, __: State, event: Event, ___: State) -> str:
    body = event.body
    what = "agrees to a rollback" if body.get("on") == ROLLBACK else f"says {body.get('decision')}"
    proved = "proved" if body.get("proved") else "not proved"
    return f"{body.get('person')} ({proved}) {what}" + (f": {body['comment']}" if body.get("comment") else "")


def _confirmed(_: Plan, __: State, event: Event, ___: State) -> str:
    evidence = event.body.get("evidence")
    return f"{event.body.get('person')} confirms {event.body.get('item')}" + (f": {evidence}" if evidence else "")


def _go(event: Event) -> str:
    votes = [str(vote.get("person")) for vote in event.body.get("votes", ())]
    said = f", and {' and '.join(votes)} said go" if votes else ""
    count = len(event.body.get("judged", ()))
    return f"GO: {count} {'criterion passes' if count == 1 else 'criteria pass'}{said}"


def _baseline(_: Plan, __: State, event: Event, ___: State) -> str:
    measured = event.body.get("measurements", {})
    return (
        f"the baseline is measured: {len(measured)} checks, {len(event.body.get('schema', {}))} schema objects"
        if measured
        else ""
    )


def _script_done(plan: Plan, before: State, event: Event, _: State) -> str:
    step = _step(plan, event)
    took = say_duration(event.at - event.began)
    if step.kind == "check":
        return f"{step.name}: every check passes"
    if step.kind in ("confirm", "wait"):
        return f"{step.name}: {'confirmed' if step.confirm else 'done'}"
    if step.outside is not None:
        return f"{step.name}: {step.scripts[0].source} done in {say_duration(float(event.body.get('took', 0)))}"
    if step.kind == "backfill":
        return f"{step.name}: {before.rows:,} rows done"
    number = int(event.body.get("script", 0))
    if before.status is Status.ROLLING_BACK:
        return f"{step.name}: {step.scripts[number].source} is found to have happened"
    if not _passed_a_tenth(number + 1, len(step.scripts)):
        return ""
    progress = f" ({number + 1} of {len(step.scripts)})" if len(step.scripts) > 1 else ""
    how = f"committed in {took}" if step.scripts[number].transactional else "done"
    return f"{step.name}: {step.scripts[number].source} {how}{progress}"


def _batch(plan: Plan, _: State, event: Event, after: State) -> str:
    step, of = _step(plan, event), int(event.body.get("of", 0))
    batches = max(1, of // step.batch)
    if (
        not _passed_a_tenth(int(event.body["batch"]) + 1, max(batches, int(event.body["batch"]) + 1))
        or int(event.body["batch"]) == 0
    ):
        return ""
    pace, eta = backfill_pace(event.body, after.rows)
    return f"{step.name}: {after.rows:,} of about {of:,} rows, {pace:,.0f} rows/s, {say_duration(eta)} to go"


def backfill_pace(body: Mapping[str, Any], rows: int) -> tuple[float, float]:
    """Return a backfill's rows per second, and the seconds that it still needs.

    Args:
        body: the body of its newest batch.
        rows: how many rows it has done.
    """
    # the seconds are those before this batch
    pace = int(body["rows"]) * int(body["batch"]) / max(float(body["seconds"]), 0.001)
    return pace, max(0, int(body.get("of", 0)) - rows) / pace if pace else 0.0


def _undone(plan: Plan, _: State, event: Event, __: State) -> str:
    step = _step(plan, event)
    if not step.undo:
        return f"undone {step.name}: by hand"
    script = step.undo[int(event.body["script"])]
    took = f" in {say_duration(event.at - event.began)}" if script.transactional else ""
    return f"undone {step.name}: {script.source}{took}"


def _loss_counted(plan: Plan, _: State, event: Event, __: State) -> str:
    rows = sum(event.body["rows"].values())
    return f"{describe_loss_step(plan, int(event.body['step']))} destroys {rows:,} rows that were written since" if rows else ""


def _switch(plan: Plan, event: Event) -> str:
    return plan.switches[event.body["level"]][int(event.body["script"])].source


def _restored(_: Plan, __: State, event: Event, ___: State) -> str:
    body = event.body
    kept = f"; what was there is kept as {body['kept']}" if body.get("kept") else ""
    return f"the backup of {body['taken_at'][:16]} UTC stands in the place of what was there ({body['how']}){kept}"


def _verified(plan: Plan, _: State, __: Event, after: State) -> str:
    soak = plan.phases[after.phase].soak
    return f"verified; watching for {say_duration(soak)}" if soak else "verified"


def _why(word: str) -> Callable[[Plan, State, Event, State], str]:
    return lambda _, __, event, ___: f"{word}: {event.body.get('why') or 'no reason given'}"


_TELLERS: Mapping[Kind, Callable[[Plan, State, Event, State], str]] = {
    Kind.PHASE_STARTED: _phase_started,
    Kind.BASELINE: _baseline,
    Kind.REHEARSAL_FOUND: lambda _, __, event, ___: f"rehearsed {describe(event.body, event.at)}" if "at" in event.body else "",
    Kind.BACKED_UP: _backed_up,
    Kind.ASKED: _asked,
    Kind.VOTE: _vote,
    Kind.VOTE_REFUSED: lambda _, __, event, ___: f"not counted: {event.body.get('why')}",
    Kind.CONFIRMED: _confirmed,
    Kind.GO: lambda _, __, event, ___: _go(event),
    Kind.NO_GO: _why("NO-GO"),
    Kind.STARTED: lambda plan, _, event, __: (
        f"{_step(plan, event).name}: running {_step(plan, event).scripts[0].source}"
        if _step(plan, event).outside
        else f"{_step(plan, event).name}: running outside a transaction"
    ),
    Kind.DONE: _script_done,
    Kind.NOT_DONE: lambda *_: "the script in doubt had not happened",
    Kind.BATCH: _batch,
    Kind.FAILED: _why("FAILED"),
    Kind.WORK_DONE: lambda *_: "every step is done; verifying",
    Kind.VERIFIED: _verified,
    Kind.VERIFY_FAILED: _why("VERIFY FAILED"),
    Kind.TRIPPED: _why("TRIPPED"),
    Kind.WOULD_TRIP: _why("WOULD TRIP"),
    Kind.HELD: _why("HOLDING"),
    Kind.HOLD: lambda _, __, event, ___: f"{event.actor} says hold: {event.body.get('why') or 'no reason given'}",
    Kind.RESUME: lambda _, __, event, ___: f"{event.actor} says resume",
    Kind.ACKNOWLEDGED: lambda _, __, event, ___: f"{event.actor} takes it: {event.body.get('comment') or 'no comment'}",
    Kind.ABORT: lambda _, __, event, ___: f"{event.actor} says abort: {event.body.get('why') or 'no reason given'}",
    Kind.ROLL_BACK: lambda _, __, event, ___: f"{event.actor} says roll back: {event.body.get('why') or 'no reason given'}",
    Kind.TAKEN_OVER: lambda _, __, event, ___: f"{event.actor} carries the run on (epoch {event.body.get('epoch')})",
    Kind.LOSS_COUNTED: _loss_counted,
    Kind.UNDONE: _undone,
    Kind.SWITCHED: lambda plan, _, event, __: f"{event.body['level']}: {_switch(plan, event)} committed",
    Kind.RESTORED: _restored,
    Kind.UNDO_FAILED: _why("ROLLBACK FAILED"),
    Kind.ALL_UNDONE: lambda *_: "everything is undone; proving it",
    Kind.OVERRUN: _why("OVERRUN"),
    Kind.PROVED: _why("ROLLED BACK"),
    Kind.PHASE_PROVED: _why("PHASE ROLLED BACK"),
    Kind.NOT_PROVED: _why("ROLLBACK NOT PROVED"),
    Kind.PHASE_DONE: lambda plan, before, _, __: f"phase {plan.phases[before.phase].name} is done",
    Kind.RUN_DONE: lambda *_: "DONE",
}
