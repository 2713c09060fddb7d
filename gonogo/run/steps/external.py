"""Steps that act beyond the database, by a program or a request: intent before, result after.

What such a step did to the world only it, or a person, can know.
"""

from __future__ import annotations

from collections.abc import Iterator

from gonogo.core.engine.commands import RunUndo
from gonogo.core.engine.events import UndoDone, UndoStarted
from gonogo.core.engine.marks import downtime_mark, script_done, script_started
from gonogo.core.model.check_kinds import Http, Program
from gonogo.errors import ScriptFailed
from gonogo.run.context import Context
from gonogo.run.steps import Outcome
from gonogo.run.steps.sql import in_doubt

#: how much of what was said is kept in the ledger, in characters
_KEPT = 4000


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Run the program, or make the request."""
    step = context.plan.steps[number]
    what = _require(step.external, context)
    yield script_started(context.plan, number, index)
    # what is asked again after a crash is the same to a service that knows the key; what is asked again is another
    key = f"{context.run}/{context.state.work.attempt}"
    answer = context.target.call(step, what, key, stoppable=True)
    said = answer.text[-_KEPT:]
    yield script_done(context.plan, number, index, took=answer.seconds, status=answer.status, output=said)


def undo(context: Context, command: RunUndo) -> Iterator[Outcome]:
    """Run the program, or make the request, that reverses the step."""
    step = context.plan.steps[command.step]
    if command.in_doubt and step.again != "safe":
        yield in_doubt(context, command)
        return
    what = _require(step.undo_external, context)
    script = (step.undo or ())[command.script]
    down = downtime_mark(context.plan, command.step, script, back=True)
    yield UndoStarted(step=command.step, script=command.script, last=command.last, down=down)
    key = f"{context.run}/{context.state.rollback.undo_attempt}"
    answer = context.target.call(step, what, key, stoppable=False)
    yield UndoDone(
        step=command.step,
        script=command.script,
        last=command.last,
        down=down,
        took=answer.seconds,
        status=answer.status,
        output=answer.text[-_KEPT:],
    )


def _require(what: Program | Http | None, context: Context) -> Program | Http:
    """Return what is to be done, if it may be.

    Raises:
        ScriptFailed: there is nothing to do, or this project did not write it.
    """
    if what is None or context.untrusted:
        raise ScriptFailed(context.untrusted or "there is nothing to do")
    return what
