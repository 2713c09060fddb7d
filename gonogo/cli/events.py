"""`gonogo events`: what happened in a run, a line of JSON each, and what happens as it does."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from gonogo import clock
from gonogo.cli.options import RunbookOrRunArg, RunOption, TargetOption
from gonogo.core.engine.events import Event, write_body
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import State
from gonogo.core.text.log import log_line
from gonogo.core.text.plain import as_json_line
from gonogo.ledger import fence, store
from gonogo.run.open import found_run

#: seconds between two looks at the ledger
_EVERY = 0.5


def events(
    runbook: RunbookOrRunArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    after: Annotated[int, typer.Option("--after", min=0, help="Only what comes after the event of this number.")] = 0,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what happens, until nothing more happens without a person.")
    ] = False,
) -> None:
    """Write what happened in a run, an event a line, as JSON; with --follow also what happens from now on.

    Example: [bold]gonogo events guardian-multi-credit --follow | jq -r '.says // empty'[/]
    """
    with found_run(runbook, target, run_id, whole=True) as (_, __, connection, found):
        state = State()
        for event in found.events:
            before, state = state, evolve(state, event)
            if event.seq > after:
                _write(found.run, event, log_line(found.plan, before, event, state))
        while follow and fence.holder_alive(connection, found.run) and not state.at_rest:
            clock.sleep(_EVERY)
            for event in store.read(connection, found.run, state.seq):
                before, state = state, evolve(state, event)
                _write(found.run, event, log_line(found.plan, before, event, state))


def _write(run: str, event: Event, says: str) -> None:
    body = {key: value for key, value in write_body(event.body).items() if key != "v"}
    line = {"run": run, "seq": event.seq, "at": event.at, "event": str(event.kind), "by": event.actor, "says": says, "body": body}
    sys.stdout.write(as_json_line(line) + "\n")
    sys.stdout.flush()
