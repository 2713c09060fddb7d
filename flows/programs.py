"""Steps that run a program: intent before, result after; what it did to the world only it, or a person, can know."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gonogo.command import Interrupted, NotStarted, run_command
from gonogo.core.event import Event, Kind
from gonogo.core.plan import PlannedStep
from gonogo.core.question import Run
from gonogo.errors import ScriptFailed, StepError

if TYPE_CHECKING:
    from flows.loop import Conductor

#: how much of what a program said is kept in the ledger, in characters
_KEPT = 4000


def run_step(
    conductor: Conductor, step: PlannedStep, program: Run | None, body: Mapping[str, Any], *, back: bool = False
) -> Iterator[Event]:
    """Run the program of a step, or the one that reverses it; yield its facts as they are recorded.

    Args:
        conductor: the run.
        step: the step.
        program: the program.
        body: what its facts say.
        back: whether it reverses the step.

    Raises:
        ScriptFailed: it failed, takes too long, or may not be run; what it did may have stayed.
    """
    session = conductor.session
    if program is None or conductor.distrust:
        raise ScriptFailed(conductor.distrust or "there is no program to run")
    yield session.append(Kind.UNDO_STARTED if back else Kind.STARTED, body)
    try:
        answer = run_command(
            program.argv,
            folder=conductor.root / program.folder,
            environment=program.environment,
            url=session.database.url,
            limit=step.within.total_seconds(),
            stopping=session.is_stopping if not back else lambda: False,
        )
    except Interrupted as error:
        conductor.catch_up()
        session.proceed()
        raise ScriptFailed(str(error), left=True) from None
    except StepError as error:
        raise ScriptFailed(str(error), left=not isinstance(error, NotStarted)) from None
    if answer.code:
        raise ScriptFailed(f"{program.argv[0]} ended with {answer.code}: {answer.words}", left=True)
    said = {"took": answer.seconds, "output": (answer.output + answer.errors)[-_KEPT:]}
    yield session.append(Kind.UNDONE if back else Kind.DONE, {**body, **said})


def happened(conductor: Conductor, step: PlannedStep) -> bool | None:
    """Say whether a program in doubt did its work: by the step's `done_if`, else unknown, unless it may run again."""
    if step.done_if:
        row = conductor.session.connection.execute(step.done_if.encode()).fetchone()
        return bool(row[0]) if row else False
    return False if step.again == "safe" else None


__all__ = ["happened", "run_step"]
