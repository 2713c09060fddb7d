"""Do what the loop decided, and record what came of it. Outcomes become facts; only *cannot proceed* is an exception."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gonogo import clock
from gonogo.core.engine import budgets, decide
from gonogo.core.engine.decide import PASSED
from gonogo.core.engine.events import Kind
from gonogo.core.engine.state import Status
from gonogo.core.engine.verdict import Verdict, worst
from gonogo.errors import ScriptFailed
from gonogo.recovery import data_loss
from gonogo.run import external_steps, gate, rollback
from gonogo.run.backfill import keyset, rematches_own_rows, run_batch
from gonogo.run.context import Runner
from gonogo.run.judge import SETTLE, dump, judge, refuses_forged, say_judged
from gonogo.run.non_transactional import happened, run_non_transactional

#: how long a wait sleeps before it looks around, in seconds
_GLANCE = 1.0


def perform(runner: Runner, command: decide.Command) -> None:
    """Carry out one command."""
    _HOW[type(command)](runner, command)


def _ask(runner: Runner, command: decide.Ask) -> None:
    body: dict[str, Any] = {"items": command.items, "step": command.step}
    if command.step < len(runner.plan.steps):
        body |= budgets.mark(runner.plan, command.step)
    runner.append(Kind.ASKED, body)


def _record(runner: Runner, command: decide.Record) -> None:
    if command.kind in (Kind.PHASE_DONE, Kind.RUN_DONE):
        boxes = [runner.state.confirmed[item.item] for item in runner.plan.phases[runner.state.phase].after]
        if refuses_forged(runner, boxes) or runner.watch_objects():
            return
    body: dict[str, Any] = {"why": command.why, "budget": command.budget}
    known = {word: said for word, said in body.items() if said}
    if command.kind is Kind.RUN_DONE and (asked := _criteria(runner)):
        # whether it was a success is measured, and holds nothing up: all that must hold was verified
        known["judged"] = dump(judge(runner, asked))
    runner.append(command.kind, known)


def _criteria(runner: Runner) -> list[str]:
    """Return the checks of the success criteria that were not asked just now."""
    plan = runner.plan
    return [c.check for c in plan.success if c.check in plan.checks and c.check not in plan.phases[-1].verify]


def _wait(runner: Runner, command: decide.Wait) -> None:
    """Let time pass; a fact that arrives ends it at once, as does the glance at the ledger that follows."""
    if runner.state.status is Status.DECIDING and refuses_forged(runner, [v.seq for v in runner.state.votes]):
        return
    if runner.listen is not None:
        runner.listen(runner)
    seconds = (command.until - clock.now()).total_seconds()
    for _ in runner.session.connection.notifies(timeout=max(0.0, min(seconds, _GLANCE)), stop_after=1):
        pass
    runner.sync()


# steps


def _perform(runner: Runner, command: decide.Perform) -> None:
    number, began = command.step, clock.monotonic()
    step = runner.plan.steps[number]
    try:
        if step.outside is not None and runner.untrusted:
            runner.append(Kind.HELD, {"why": f"{step.name}: {runner.untrusted}"})
        elif step.outside is not None:
            for event in external_steps.act(runner, step, step.outside, budgets.end_of(runner.plan, number)):
                runner.apply_own(event)
        elif step.kind == "wait":
            waited = (clock.now() - (runner.state.changed_at or clock.now())).total_seconds()
            took = 0.0 if runner.state.at_once else round(waited, 3)
            runner.append(Kind.DONE, {**budgets.end_of(runner.plan, number), "took": took})
        elif step.kind == "confirm":
            if not refuses_forged(runner, [runner.state.confirmed[item.item] for item in step.confirm]):
                runner.append(Kind.DONE, budgets.end_of(runner.plan, number))
        elif step.kind == "check":
            _check_step(runner, number)
        elif step.kind == "backfill":
            _backfill(runner, number)
        else:
            _script(runner, number, command.script)
    except ScriptFailed as failure:
        _fail(runner, number, str(failure), left=failure.left, took=round(clock.monotonic() - began, 3))


def _script(runner: Runner, number: int, index: int) -> None:
    step = runner.plan.steps[number]
    script = step.scripts[index]
    body = budgets.end_of(runner.plan, number, index)
    if step.destroys and index == 0:
        # what is written from now on is what its undo would destroy
        body["since"] = data_loss.oldest_running(runner.session.connection)
    if script.transactional:
        runner.apply_own(runner.session.run_script(step, script, Kind.DONE, body))
        return
    for event in run_non_transactional(runner.session, step, script, Kind.STARTED, Kind.DONE, body):
        runner.apply_own(event)


def _backfill(runner: Runner, number: int) -> None:
    """Work through the table until it is done or something else has become more urgent."""
    step, session = runner.plan.steps[number], runner.session
    keys = keyset(session.connection, step)
    began, batches = clock.monotonic(), 0
    # by whatever is more urgent it is left: a hold, a trip, people who agreed to turn back
    while runner.next() == decide.Perform(number, 0):
        body: dict[str, Any] = {"step": number, "of": keys.estimate, "seconds": round(clock.monotonic() - began, 3)}
        body |= budgets.mark(runner.plan, number)
        if step.destroys and runner.state.cursor is None:
            body["since"] = data_loss.oldest_running(session.connection)
        event = run_batch(session, step, batches, keys, runner.state.cursor, body)
        if event is None:
            runner.append(Kind.DONE, {**budgets.end_of(runner.plan, number), "rows": runner.state.rows})
            return
        batches += 1
        runner.apply_own(event)
        if batches % 100 == 0 and rematches_own_rows(session.connection, keys, runner.state.rows, step.batch):
            why = f"{step.name}: its batches took {runner.state.rows:,} rows, more than twice what {step.table} holds"
            runner.append(Kind.HELD, {"why": f"{why}. A batch that changes the key it works by never ends; work by another"})


def _check_step(runner: Runner, number: int) -> None:
    step = runner.plan.steps[number]
    began = clock.monotonic()
    judged = judge(runner, step.checks)
    verdict, why = worst(j.verdict for j in judged), say_judged(judged)
    if verdict is Verdict.PASS:
        took = round(clock.monotonic() - began, 3)
        runner.append(Kind.DONE, {**budgets.end_of(runner.plan, number), "took": took, "judged": dump(judged)})
    elif verdict is Verdict.FAIL:
        _fail(runner, number, why, judged=dump(judged))
    else:
        runner.append(Kind.HELD, {"why": f"{step.name}: {why}", "judged": dump(judged)})


def _fail(runner: Runner, number: int, why: str, *, left: bool = False, **more: Any) -> None:
    """Record that a step failed: the run turns back, or holds where its phase says so."""
    step = runner.plan.steps[number]
    story = f"{step.name} failed: {why}"
    # a script that failed has locked people out all the same
    script = step.scripts[runner.state.script] if step.kind == "sql" else None
    more |= budgets.mark(runner.plan, number, script)
    # an abort or a trip may have come while it ran: then it is turned back whatever its phase says
    runner.sync()
    passed = runner.passed_no_return()
    story += f"; {PASSED.format(passed)}" if passed else ""
    holds = passed or runner.plan.phases[step.phase].on_failure == "hold"
    if holds and runner.state.status is Status.WORKING:
        if runner.state.started is not None and not left:
            runner.append(Kind.NOT_DONE, {"step": number})
        runner.append(Kind.HELD, {"why": story, "step": number, **more})
    else:
        runner.append(Kind.FAILED, {"step": number, "why": story, "left": left, **more})


def _resolve(runner: Runner, command: decide.Resolve) -> None:
    number, index = command.step, command.script
    step = runner.plan.steps[number]
    script = step.scripts[index]
    answer = external_steps.happened(runner, step) if step.outside else happened(runner.session, step, script)
    if answer is None:
        why = (
            f"{step.name} is in doubt: {script.source} line {script.line} had begun, and nobody but you can say whether it"
            f" ended. {SETTLE}"
        )
        runner.append(Kind.HELD, {"why": why})
    elif answer:
        runner.append(Kind.DONE, budgets.end_of(runner.plan, number, index))
    else:
        # that it may be done again does not say that it was not done
        sure = bool(step.done_if) or step.again != "safe" or (step.outside is None and bool(script.act))
        runner.append(Kind.NOT_DONE, budgets.end_of(runner.plan, number, index) | ({} if sure else {"left": True}))


def _verify(runner: Runner, _: decide.Verify) -> None:
    phase = runner.plan.phases[runner.state.phase]
    judged = judge(runner, phase.verify)
    verdict, why = worst(j.verdict for j in judged), say_judged(judged)
    passed = runner.passed_no_return()
    if verdict is Verdict.PASS:
        runner.append(Kind.VERIFIED, {"judged": dump(judged)})
    elif verdict is Verdict.FAIL and phase.on_failure == "roll back" and not passed:
        runner.append(Kind.VERIFY_FAILED, {"why": why, "judged": dump(judged)})
    else:
        told = f"; {PASSED.format(passed)}" if passed else ""
        runner.append(Kind.HELD, {"why": f"verify: {why}{told}", "judged": dump(judged)})


_HOW: Mapping[type, Callable[[Runner, Any], None]] = {
    decide.LookUpRehearsal: gate.look_up_rehearsal,
    decide.TakeBackup: gate.take_backup,
    decide.MeasureBaseline: gate.measure_baseline,
    decide.JudgeGate: gate.judge_gate,
    decide.Perform: _perform,
    decide.Resolve: _resolve,
    decide.Verify: _verify,
    decide.Wait: _wait,
    decide.Record: _record,
    decide.Ask: _ask,
    decide.BeginRollback: rollback.begin_rollback,
    decide.CountLoss: rollback.count_loss,
    decide.Undo: rollback.undo,
    decide.Switch: rollback.switch,
    decide.Restore: rollback.restore,
    decide.Prove: rollback.prove,
}
