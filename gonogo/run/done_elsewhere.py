"""What another target's ledger says of the very same change: done there, and signed with this project's key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gonogo.core.engine.events import Event
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import State, Status
from gonogo.core.plan.plan import Plan
from gonogo.core.text.times import moment
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import chain, standing, store
from gonogo.postgres.connection import Connection, identify
from gonogo.run.local_head import local_head
from gonogo.run.records import RunReader
from gonogo.run.signatures import is_ours, why_end_invalid


class DoneThere(NamedTuple):
    """Whether the very same was done on another target, and what is known of it."""

    done: bool
    says: str


def done_there(connection: Connection, name: str, plan: Plan, phase: str, keys: Keys, state_folder: Path) -> DoneThere:
    """Say whether a phase of the very same change was done on another target, and not rolled back since.

    Args:
        connection: to the other target.
        name: what the runbook calls it.
        plan: what would be done here.
        phase: the phase.
        keys: the project's.
        state_folder: where this machine keeps the newest event that it recorded of a run.
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
        state = fold(events)
        if known.what != plan.what:
            others += 1
        elif state.status is not Status.NO_GO or state.changed:
            # one that changed nothing says nothing of the one before
            why = _why_another(connection, known, name) or _why_not_done(known, state, phase)
            if why := why or _why_not_ours(connection, row.id, events, keys, state_folder):
                return DoneThere(False, f"{row.id} there {why}")
            return DoneThere(True, f"done there as {row.id} at {moment(events[-1].at, plan.zone)}")
    more = f"; {others} others of {plan.runbook} were, with other scripts, inputs or rules" if others else ""
    return DoneThere(False, f"the very same was never run there{more}")


def _why_not_ours(connection: Connection, run: str, events: Sequence[Event], keys: Keys, state_folder: Path) -> str:
    """Say why what a ledger says of a run is not what this project recorded there, or nothing."""
    if not is_ours(connection, run, keys):
        return "is not signed with this project's key: it was run elsewhere, or made up"
    found = (
        why_end_invalid(RunReader(connection=connection, run=run), run, keys, events),
        *chain.verify(connection, run)[1],
        # its end may have been cut off: this machine knows what it recorded
        local_head(state_folder, run).missing_in(connection, run),
    )
    why = "; ".join(filter(None, found))
    return f"has a ledger that was changed: {why}" if why else ""


def _why_another(connection: Connection, plan: Plan, name: str) -> str:
    """Say why a run in a ledger is not one of that target: its ledger was copied there with its database; or nothing."""
    here, then = identify(connection), plan.identity
    if plan.target != name:
        return f"was run as the target {plan.target}"
    if then is not None and (here.system_identifier, here.database) != (then.system_identifier, then.database):
        return "was run on another database, of which this one is a copy"
    return ""


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
