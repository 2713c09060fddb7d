"""Steps that act beyond the database, by a program or a request: intent before, result after.

What such a step did to the world only it, or a person, can know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gonogo.core.engine.events import Event, Kind
from gonogo.core.model.check_kinds import Http, Run
from gonogo.core.plan.plan import PlannedStep
from gonogo.errors import ScriptFailed, StepError
from gonogo.external.process import Interrupted, NotStarted, run_command
from gonogo.external.request import request
from gonogo.run.context import Runner

#: how much of what was said is kept in the ledger, in characters
_KEPT = 4000


def act(
    runner: Runner, step: PlannedStep, what: Run | Http | None, body: Mapping[str, Any], *, back: bool = False
) -> Iterator[Event]:
    """Do what a step does beyond the database, or what reverses it; yield its facts as they are recorded.

    Args:
        runner: the run.
        step: the step.
        what: the program, or the request.
        body: what its facts say.
        back: whether it reverses the step.

    Raises:
        ScriptFailed: it failed, takes too long, or may not be done; what it did may have stayed.
    """
    session = runner.session
    if what is None or runner.untrusted:
        raise ScriptFailed(runner.untrusted or "there is nothing to do")
    began = session.append(Kind.UNDO_STARTED if back else Kind.STARTED, body)
    yield began
    # what is asked again after a crash is the same to a service that knows the key; what is asked anew is another
    key = f"{session.run}/{began.seq if back else runner.state.attempt}"
    try:
        said = _ask(runner, step, what, key, back=back) if isinstance(what, Http) else _run(runner, step, what, back=back)
    except Interrupted as error:
        runner.sync()
        session.proceed()
        raise ScriptFailed(str(error), left=True) from None
    except StepError as error:
        raise ScriptFailed(str(error), left=not isinstance(error, NotStarted)) from None
    yield session.append(Kind.UNDONE if back else Kind.DONE, {**body, **said})


def _run(runner: Runner, step: PlannedStep, program: Run, *, back: bool) -> dict[str, Any]:
    session = runner.session
    answer = run_command(
        program.argv,
        folder=runner.root / program.folder,
        environment=program.environment,
        url=session.database.url,
        limit=step.within.total_seconds(),
        stopping=session.is_stopping if not back else lambda: False,
    )
    if answer.code:
        raise StepError(f"{program.argv[0]} ended with {answer.code}: {answer.words}")
    return {"took": answer.seconds, "output": (answer.output + answer.errors)[-_KEPT:]}


def _ask(runner: Runner, step: PlannedStep, asked: Http, key: str, *, back: bool) -> dict[str, Any]:
    stopping = runner.session.is_stopping if not back else lambda: False
    reply = request(asked, limit=step.within.total_seconds(), key=key, stopping=stopping)
    return {"took": reply.seconds, "status": reply.status, "output": reply.text[-_KEPT:]}


def happened(runner: Runner, step: PlannedStep) -> bool | None:
    """Say whether a step in doubt did its work: by its `done_if`, else unknown, unless it may be done again."""
    if step.done_if:
        row = runner.session.connection.execute(step.done_if.encode()).fetchone()
        return bool(row[0]) if row else False
    return False if step.again == "safe" else None


__all__ = ["act", "happened"]
