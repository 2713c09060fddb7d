"""SQL of templates, script by script: each in its own transaction with its event, or alone where a statement forbids that."""

from __future__ import annotations

from collections.abc import Iterator

from gonogo.core.engine.commands import RunUndo
from gonogo.core.engine.decide import notes_what_was_there
from gonogo.core.engine.events import ScriptWarned, UndoDone, UndoFailed, UndoStarted
from gonogo.core.engine.marks import downtime_mark, script_done, script_started
from gonogo.run.context import Context
from gonogo.run.judge import SETTLE
from gonogo.run.steps import Outcome

#: so many warnings of a script are kept in the ledger; the others are counted
_FEW = 20


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Run one script."""
    step = context.plan.steps[number]
    script = step.scripts[index]
    # what is written from now on is what its undo would destroy
    since = context.target.oldest_running() if notes_what_was_there(step) and index == 0 else ""
    done = script_done(context.plan, number, index, since=since)
    if script.transactional:
        yield context.target.run_script(step, script, done)
        yield from _warned(context, number, index)
        return
    context.target.prepare_alone(script)
    yield script_started(context.plan, number, index)
    context.target.run_alone(step, script)
    yield done
    yield from _warned(context, number, index)


def undo(context: Context, command: RunUndo) -> Iterator[Outcome]:
    """Run one undo script."""
    step = context.plan.steps[command.step]
    script = (step.undo or ())[command.script]
    down = downtime_mark(context.plan, command.step, script, back=True)
    done = UndoDone(step=command.step, script=command.script, last=command.last, down=down)
    if script.transactional:
        yield context.target.undo(context.state, command.step, command.script, script, done)
        yield from _warned(context, command.step, command.script, undo=True)
        return
    done = context.target.with_estimate(command.step, done)
    if command.in_doubt and (happened := context.target.happened(script)) is not False:
        yield done if happened else in_doubt(context, command)
        return
    context.target.prepare_alone(script)
    yield UndoStarted(step=command.step, script=command.script, last=command.last, down=down)
    context.target.run_alone(step, script)
    yield done
    yield from _warned(context, command.step, command.script, undo=True)


def _warned(context: Context, step: int, script: int, *, undo: bool = False) -> Iterator[Outcome]:
    """Yield what the server warned of as a script ran, if it did."""
    if warnings := context.target.warnings():
        yield ScriptWarned(step=step, script=script, undo=undo, warnings=warnings[:_FEW], count=len(warnings))


def in_doubt(context: Context, command: RunUndo) -> UndoFailed:
    """Return the event by which a person is asked about an undo that had begun."""
    step = context.plan.steps[command.step]
    return UndoFailed(step=command.step, why=f"the undo of {step.name} is in doubt: it had begun. {SETTLE}")
