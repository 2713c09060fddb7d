"""The runs that a ledger holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gonogo.core.engine.events import Event
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import State, Status
from gonogo.core.plan.plan import Plan
from gonogo.errors import Exit, Refused
from gonogo.ledger import fence, standing, store
from gonogo.postgres.connection import Connection


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run in the ledger, folded."""

    run: str
    plan: Plan
    events: Sequence[Event]
    state: State
    running: bool


def find(connection: Connection, *, runbook: str = "", run: str = "", whole: bool = False) -> FoundRun:
    """Return a run with its events: the one named, else the newest of the runbook.

    Args:
        connection: where.
        runbook: whose newest run.
        run: the run itself.
        whole: every event, not only those that say where it stands.

    Raises:
        Refused: there is none.
    """
    chosen = require(connection, run, runbook)
    events = store.read(connection, chosen) if whole else standing.read_state(connection, chosen)
    plan = store.opened_with(chosen, events)
    return FoundRun(run=chosen, plan=plan, events=events, state=fold(events), running=fence.holder_alive(connection, chosen))


def require(connection: Connection, run: str, runbook: str = "") -> str:
    """Return the id of a run that is there: the one named, else the newest of the runbook; its events are not read.

    Raises:
        Refused: there is none.
    """
    listed = store.runs(connection, runbook) if store.exists(connection) else []
    names = [row.id for row in listed if not runbook or row.runbook == runbook]
    if run and run not in names:
        of = f" of {runbook}" if runbook else ""
        raise Refused(f"there is no run {run!r}{of} on this target; there are {', '.join(names[:10]) or 'none'}")
    if not names:
        raise Refused(f"no run of {runbook or 'any runbook'} has begun on this target; begin one with `gonogo run`")
    return run or names[0]


def newest_done(connection: Connection, runbook: str) -> tuple[str, str]:
    """Return the id of the newest run and the digest over the files it was made from, where it is done; else nothing.

    It reads two events, however many there are.
    """
    row = connection.execute(_DONE, [runbook]).fetchone() if store.exists(connection) else None
    return (str(row[0]), str(row[1])) if row and row[2] else ("", "")


_DONE = """
SELECT r.id, e.body->>'sources',
  coalesce((SELECT kind = 'run done' FROM gonogo.event
            WHERE run = r.id AND kind IN ('run done', 'roll back') ORDER BY seq DESC LIMIT 1), false)
FROM (SELECT id FROM gonogo.run WHERE runbook = %s ORDER BY opened DESC LIMIT 1) AS r
JOIN gonogo.event AS e ON e.run = r.id AND e.seq = 1
"""


def exit_code(state: State) -> Exit:
    """Return what the command line answers for where a run stands."""
    if state.rollback.failed:
        return Exit.ROLLBACK_FAILED
    if state.held or state.status is Status.DECIDING:
        return Exit.HOLDING
    if state.phase_rolled_back:
        return Exit.ROLLED_BACK
    return {Status.NO_GO: Exit.NO_GO, Status.ROLLED_BACK: Exit.ROLLED_BACK}.get(state.status, Exit.DONE)
