"""Do what the loop decided. An action yields the events that it leads to; the loop alone appends them.

Outcomes are events. Only what makes going on impossible is an exception.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from gonogo import clock
from gonogo.core.engine import commands, events
from gonogo.core.engine.decide import PASSED
from gonogo.core.engine.events import Body, Event
from gonogo.core.engine.marks import downtime_mark, script_done, script_not_done
from gonogo.core.engine.state import Status
from gonogo.core.engine.verdict import Judgement, Verdict, worst
from gonogo.errors import ScriptFailed
from gonogo.run import gate, rollback, steps
from gonogo.run.context import Context
from gonogo.run.judge import SETTLE, describe_judged, forged, judge
from gonogo.run.steps import Outcome

#: how long a wait sleeps before it looks around, in seconds
_POLL = 1.0
Action: TypeAlias = Callable[[Context, Any], Iterator[Body | Event]]


def perform(context: Context, command: commands.Command) -> Iterator[Outcome]:
    """Perform one command; yield the events that it leads to, each before the action goes on."""
    return ACTIONS[type(command)](context, command)


def _ask_people(context: Context, command: commands.AskPeople) -> Iterator[Outcome]:
    plan = context.plan
    down = downtime_mark(plan, command.step) if command.step < len(plan.steps) else ""
    yield events.PeopleAsked(items=command.items, step=command.step, down=down)


def _record(context: Context, command: commands.Record) -> Iterator[Outcome]:
    body = command.body
    if isinstance(body, events.PhaseDone | events.RunDone):
        confirmed = context.state.gate.confirmed
        refused = list(forged(context, [confirmed[item.item] for item in context.plan.phases[context.state.phase].after]))
        if refused:
            yield from refused
            return
        status, why = context.state.status, context.end_watch()
        if context.state.status is not status or context.state.held:
            return
        if why:
            yield events.Held(why=why)
            return
    if isinstance(body, events.RunDone) and (asked := _criteria(context)):
        # whether it was a success is measured, and holds nothing up: all that must hold was verified
        body = events.RunDone(judged=judge(context, asked))
    yield body


def _criteria(context: Context) -> list[str]:
    """Return the checks of the success criteria that were not asked just now."""
    plan = context.plan
    return [c.check for c in plan.success if c.check in plan.checks and c.check not in plan.phases[-1].verify]


def _wait(context: Context, command: commands.Wait) -> Iterator[Outcome]:
    """Let time pass; an event that arrives ends it at once, as does the look at the ledger that follows."""
    if context.state.status is Status.DECIDING:
        refused = list(forged(context, [vote.seq for vote in context.state.gate.votes]))
        yield from refused
        if refused:
            return
    context.listen()
    seconds = (command.until - context.now()).total_seconds()
    context.target.wait(max(0.0, min(seconds, _POLL)))
    context.sync()


def _perform_step(context: Context, command: commands.Perform) -> Iterator[Outcome]:
    step, began = context.plan.steps[command.step], clock.monotonic()
    if step.row.external and context.untrusted:
        yield events.Held(why=f"{step.name}: {context.untrusted}")
        return
    try:
        yield from steps.of(step.kind).perform(context, command.step, command.script)
    except ScriptFailed as failure:
        took = round(clock.monotonic() - began, 3)
        yield from _fail(context, command.step, str(failure), left=failure.left, took=took, people_decide=failure.holds)
    except steps.CheckFailed as failure:
        yield from _fail(context, command.step, str(failure), judged=failure.judged)


def _fail(
    context: Context,
    number: int,
    why: str,
    *,
    left: bool = False,
    took: float | None = None,
    judged: tuple[Judgement, ...] = (),
    people_decide: bool = False,
) -> Iterator[Outcome]:
    """Say that a step failed: the run rolls back, or holds where its phase says so."""
    step = context.plan.steps[number]
    # a script that failed has locked people out all the same
    script = step.scripts[context.state.work.script] if step.row.counts_scripts else None
    down = downtime_mark(context.plan, number, script)
    # an abort or a trip may have come while it ran: then it is rolled back whatever its phase says
    context.sync()
    passed = context.passed_no_return()
    notes = f"{step.name} failed: {why}" + (f"; {PASSED.format(passed)}" if passed else "")
    holds = passed or people_decide or context.plan.phases[step.phase].on_failure == "hold"
    if holds and context.state.status is Status.WORKING:
        if context.state.work.started is not None and not left:
            yield events.ScriptNotDone(step=number)
        yield events.Held(why=notes, step=number, judged=judged, took=took, down=down)
    else:
        yield events.StepFailed(why=notes, step=number, left=left, judged=judged, took=took, down=down)


def _resolve(context: Context, command: commands.Resolve) -> Iterator[Outcome]:
    number, index = command.step, command.script
    step = context.plan.steps[number]
    script = step.scripts[index]
    happened = None if step.row.external else context.target.happened(script)
    if happened is None and step.done_if:
        happened = bool(context.target.answers_yes(step.done_if))
    if happened is None and step.again == "safe":
        happened = False
    if happened is None:
        why = (
            f"{step.name} is in doubt: {script.source} line {script.line} was started, and gonogo cannot find out whether it"
            f" finished. {SETTLE}"
        )
        yield events.Held(why=why)
    elif happened:
        yield script_done(context.plan, number, index)
    else:
        # that it may be done again does not say that it was not done
        sure = bool(step.done_if) or step.again != "safe" or (not step.row.external and bool(script.act))
        yield script_not_done(context.plan, number, index, left=not sure)


def _verify(context: Context, _: commands.Verify) -> Iterator[Outcome]:
    phase = context.plan.phases[context.state.phase]
    judged = judge(context, phase.verify)
    verdict, why = worst(j.verdict for j in judged), describe_judged(judged)
    passed = context.passed_no_return()
    if verdict is Verdict.PASS:
        yield events.Verified(judged=judged)
    elif verdict is Verdict.FAIL and phase.on_failure == "roll back" and not passed:
        yield events.VerifyFailed(why=why, judged=judged)
    else:
        notes = f"; {PASSED.format(passed)}" if passed else ""
        yield events.Held(why=f"verify: {why}{notes}", judged=judged)


#: what performs each command
ACTIONS: Mapping[type[commands.Command], Action] = {
    commands.LookUpRehearsal: gate.look_up_rehearsal,
    commands.TakeBackup: gate.take_backup,
    commands.MeasureBaseline: gate.measure_baseline,
    commands.JudgeGate: gate.judge_gate,
    commands.Perform: _perform_step,
    commands.Resolve: _resolve,
    commands.Verify: _verify,
    commands.Wait: _wait,
    commands.Record: _record,
    commands.AskPeople: _ask_people,
    commands.BeginRollback: rollback.begin,
    commands.CountLoss: rollback.count_loss,
    commands.RunUndo: rollback.undo,
    commands.RunSwitch: rollback.switch,
    commands.RestoreBackup: rollback.restore,
    commands.ProveRollback: rollback.prove,
}
