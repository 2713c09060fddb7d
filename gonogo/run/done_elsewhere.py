"""What another target's ledger says of the very same change: done there, and signed with this project's key."""

from __future__ import annotations

from typing import NamedTuple

from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import State, Status
from gonogo.core.plan.plan import Plan
from gonogo.core.text.times import moment
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import standing, store
from gonogo.postgres.connection import Connection
from gonogo.run.records import RunReader
from gonogo.run.signatures import is_ours, why_end_invalid


class DoneThere(NamedTuple):
    """Whether the very same was done on another target, and what is known of it."""

    done: bool
    says: str


def done_there(connection: Connection, plan: Plan, phase: str, keys: Keys) -> DoneThere:
    """Say whether a phase of the very same change was done on another target, and not rolled back since.

    Args:
        connection: to the other target.
        plan: what would be done here.
        phase: the phase.
        keys: the project's.
    """
    if not store.exists(connection):
        return DoneThere(False, "nothing was ever run there")
    others = 0
    for row in store.runs(connection, plan.runbook):
        events = standing.read_state(connection, row.id)
        try:
            known = store.opened_with(row.id, events)
        except Refused:
            continue
        if known.what != plan.what:
            others += 1
            continue
        state = fold(events)
        if why := _why_not_done(known, state, phase):
            return DoneThere(False, f"{row.id} there {why}")
        reader = RunReader(connection=connection, run=row.id)
        if not is_ours(connection, row.id, keys):
            return DoneThere(False, f"{row.id} there is not signed with this project's key: it was run elsewhere, or made up")
        if why := why_end_invalid(reader, row.id, keys, events):
            return DoneThere(False, f"{row.id} there: {why}")
        return DoneThere(True, f"done there as {row.id} at {moment(events[-1].at, plan.zone)}")
    more = f"; {others} others of {plan.runbook} were, with other scripts, inputs or rules" if others else ""
    return DoneThere(False, f"the very same was never run there{more}")


def _why_not_done(plan: Plan, state: State, phase: str) -> str:
    """Say why a phase of a run does not count as done, or nothing where it does."""
    names = [each.name for each in plan.phases]
    if phase not in names:
        return "has no such phase"
    if state.held or state.rollback.failed:
        return f"is held: {state.held}"
    if state.status is Status.DONE or (state.status is Status.READY and state.phase > names.index(phase)):
        return ""
    return f"is {state.status}"


__all__ = ["DoneThere", "done_there"]
