"""Do what the loop decided, and record what came of it. Outcomes become facts; only *cannot proceed* is an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flows import back, gate, outside
from flows.judging import PASSED, SETTLE, dump, judge, refuses_forged, say_judged
from gonogo import clock, loss
from gonogo.alone import happened, run_alone
from gonogo.backfill import keyset, makes_its_own_work, run_batch
from gonogo.core import budget, engine
from gonogo.core.event import Kind
from gonogo.core.state import Status
from gonogo.core.verdict import Verdict, worst
from gonogo.errors import ScriptFailed

if TYPE_CHECKING:
    from flows.loop import Conductor

#: how long a wait sleeps before it looks around, in seconds
_GLANCE = 1.0


def perform(conductor: Conductor, command: engine.Command) -> None:
    """Carry out one command."""
    _HOW[type(command)](conductor, command)


def _ask(conductor: Conductor, command: engine.Ask) -> None:
    body: dict[str, Any] = {"items": command.items, "step": command.step}
    if command.step < len(conductor.plan.steps):
        body |= budget.mark(conductor.plan, command.step)
    conductor.append(Kind.ASKED, body)


def _record(conductor: Conductor, command: engine.Record) -> None:
    if command.kind in (Kind.PHASE_DONE, Kind.RUN_DONE):
        boxes = [conductor.state.confirmed[item.item] for item in conductor.plan.phases[conductor.state.phase].after]
        if refuses_forged(conductor, boxes) or conductor.watch_disagrees():
            return
    body: dict[str, Any] = {"why": command.why, "budget": command.budget}
    known = {word: said for word, said in body.items() if said}
    if command.kind is Kind.RUN_DONE and (asked := _criteria(conductor)):
        # whether it was a success is measured, and holds nothing up: all that must hold was verified
        known["judged"] = dump(judge(conductor, asked))
    conductor.append(command.kind, known)


def _criteria(conductor: Conductor) -> list[str]:
    """Return the checks of the success criteria that were not asked just now."""
    plan = conductor.plan
    return [c.check for c in plan.success if c.check in plan.checks and c.check not in plan.phases[-1].verify]


def _wait(conductor: Conductor, command: engine.Wait) -> None:
    """Let time pass; a fact that arrives ends it at once, as does the glance at the ledger that follows."""
    if conductor.state.status is Status.DECIDING and refuses_forged(conductor, [v.seq for v in conductor.state.votes]):
        return
    if conductor.listen is not None:
        conductor.listen(conductor)
    seconds = (command.until - clock.now()).total_seconds()
    for _ in conductor.session.connection.notifies(timeout=max(0.0, min(seconds, _GLANCE)), stop_after=1):
        pass
    conductor.catch_up()


# steps


def _perform(conductor: Conductor, command: engine.Perform) -> None:
    number, began = command.step, clock.monotonic()
    step = conductor.plan.steps[number]
    try:
        if step.outside is not None and conductor.distrust:
            conductor.append(Kind.HELD, {"why": f"{step.name}: {conductor.distrust}"})
        elif step.outside is not None:
            for event in outside.act(conductor, step, step.outside, budget.end_of(conductor.plan, number)):
                conductor.absorb(event)
        elif step.kind == "wait":
            waited = (clock.now() - (conductor.state.changed_at or clock.now())).total_seconds()
            took = 0.0 if conductor.state.at_once else round(waited, 3)
            conductor.append(Kind.DONE, {**budget.end_of(conductor.plan, number), "took": took})
        elif step.kind == "confirm":
            if not refuses_forged(conductor, [conductor.state.confirmed[item.item] for item in step.confirm]):
                conductor.append(Kind.DONE, budget.end_of(conductor.plan, number))
        elif step.kind == "check":
            _check_step(conductor, number)
        elif step.kind == "backfill":
            _backfill(conductor, number)
        else:
            _script(conductor, number, command.script)
    except ScriptFailed as failure:
        _fail(conductor, number, str(failure), left=failure.left, took=round(clock.monotonic() - began, 3))


def _script(conductor: Conductor, number: int, index: int) -> None:
    step = conductor.plan.steps[number]
    script = step.scripts[index]
    body = budget.end_of(conductor.plan, number, index)
    if step.destroys and index == 0:
        # what is written from now on is what its undo would destroy
        body["since"] = loss.oldest_running(conductor.session.connection)
    if script.transactional:
        conductor.absorb(conductor.session.run_script(step, script, Kind.DONE, body))
        return
    for event in run_alone(conductor.session, step, script, Kind.STARTED, Kind.DONE, body):
        conductor.absorb(event)


def _backfill(conductor: Conductor, number: int) -> None:
    """Work through the table until it is done or something else has become more urgent."""
    step, session = conductor.plan.steps[number], conductor.session
    keys = keyset(session.connection, step)
    began, batches = clock.monotonic(), 0
    # by whatever is more urgent it is left: a hold, a trip, people who agreed to turn back
    while conductor.next() == engine.Perform(number, 0):
        body: dict[str, Any] = {"step": number, "of": keys.estimate, "seconds": round(clock.monotonic() - began, 3)}
        body |= budget.mark(conductor.plan, number)
        if step.destroys and conductor.state.cursor is None:
            body["since"] = loss.oldest_running(session.connection)
        event = run_batch(session, step, batches, keys, conductor.state.cursor, body)
        if event is None:
            conductor.append(Kind.DONE, {**budget.end_of(conductor.plan, number), "rows": conductor.state.rows})
            return
        batches += 1
        conductor.absorb(event)
        if batches % 100 == 0 and makes_its_own_work(session.connection, keys, conductor.state.rows, step.batch):
            why = f"{step.name}: its batches took {conductor.state.rows:,} rows, more than twice what {step.table} holds"
            conductor.append(Kind.HELD, {"why": f"{why}. A batch that changes the key it works by never ends; work by another"})


def _check_step(conductor: Conductor, number: int) -> None:
    step = conductor.plan.steps[number]
    began = clock.monotonic()
    judged = judge(conductor, step.checks)
    verdict, why = worst(j.verdict for j in judged), say_judged(judged)
    if verdict is Verdict.PASS:
        took = round(clock.monotonic() - began, 3)
        conductor.append(Kind.DONE, {**budget.end_of(conductor.plan, number), "took": took, "judged": dump(judged)})
    elif verdict is Verdict.FAIL:
        _fail(conductor, number, why, judged=dump(judged))
    else:
        conductor.append(Kind.HELD, {"why": f"{step.name}: {why}", "judged": dump(judged)})


def _fail(conductor: Conductor, number: int, why: str, *, left: bool = False, **more: Any) -> None:
    """Record that a step failed: the run turns back, or holds where its phase says so."""
    step = conductor.plan.steps[number]
    story = f"{step.name} failed: {why}"
    # a script that failed has locked people out all the same
    script = step.scripts[conductor.state.script] if step.kind == "sql" else None
    more |= budget.mark(conductor.plan, number, script)
    # an abort or a trip may have come while it ran: then it is turned back whatever its phase says
    conductor.catch_up()
    passed = conductor.past_return()
    story += f"; {PASSED.format(passed)}" if passed else ""
    holds = passed or conductor.plan.phases[step.phase].on_failure == "hold"
    if holds and conductor.state.status is Status.WORKING:
        if conductor.state.started is not None and not left:
            conductor.append(Kind.NOT_DONE, {"step": number})
        conductor.append(Kind.HELD, {"why": story, "step": number, **more})
    else:
        conductor.append(Kind.FAILED, {"step": number, "why": story, "left": left, **more})


def _resolve(conductor: Conductor, command: engine.Resolve) -> None:
    number, index = command.step, command.script
    step = conductor.plan.steps[number]
    script = step.scripts[index]
    answer = outside.happened(conductor, step) if step.outside else happened(conductor.session, step, script)
    if answer is None:
        why = (
            f"{step.name} is in doubt: {script.source} line {script.line} had begun, and nobody but you can say whether it"
            f" ended. {SETTLE}"
        )
        conductor.append(Kind.HELD, {"why": why})
    elif answer:
        conductor.append(Kind.DONE, budget.end_of(conductor.plan, number, index))
    else:
        # that it may be done again does not say that it was not done
        sure = bool(step.done_if) or step.again != "safe" or (step.outside is None and bool(script.act))
        conductor.append(Kind.NOT_DONE, budget.end_of(conductor.plan, number, index) | ({} if sure else {"left": True}))


def _verify(conductor: Conductor, _: engine.Verify) -> None:
    phase = conductor.plan.phases[conductor.state.phase]
    judged = judge(conductor, phase.verify)
    verdict, why = worst(j.verdict for j in judged), say_judged(judged)
    passed = conductor.past_return()
    if verdict is Verdict.PASS:
        conductor.append(Kind.VERIFIED, {"judged": dump(judged)})
    elif verdict is Verdict.FAIL and phase.on_failure == "roll back" and not passed:
        conductor.append(Kind.VERIFY_FAILED, {"why": why, "judged": dump(judged)})
    else:
        told = f"; {PASSED.format(passed)}" if passed else ""
        conductor.append(Kind.HELD, {"why": f"verify: {why}{told}", "judged": dump(judged)})


_HOW: Mapping[type, Callable[[Conductor, Any], None]] = {
    engine.Recall: gate.recall,
    engine.TakeBackup: gate.take_backup,
    engine.MeasureBaseline: gate.measure_baseline,
    engine.JudgeGate: gate.judge_gate,
    engine.Perform: _perform,
    engine.Resolve: _resolve,
    engine.Verify: _verify,
    engine.Wait: _wait,
    engine.Record: _record,
    engine.Ask: _ask,
    engine.TurnBack: back.turn_back,
    engine.Weigh: back.weigh,
    engine.Undo: back.undo,
    engine.Switch: back.switch,
    engine.Restore: back.restore,
    engine.Prove: back.prove,
}
