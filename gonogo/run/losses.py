"""What a rollback would destroy, asked on a connection: by its runner before it acts, and by people before they ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import psycopg

from gonogo.core.engine.decide import needs_loss_count
from gonogo.core.engine.evolve import default_level, default_reach
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status
from gonogo.core.plan.plan import Plan, Script
from gonogo.core.text.messages import describe_loss_step, describe_rows
from gonogo.postgres.connection import Connection
from gonogo.recovery import data_loss


def rows_at_risk(connection: Connection, run: str, plan: Plan, state: State, step: int) -> tuple[dict[str, int], str]:
    """Return the rows, by table, that the application wrote since and that would be lost; and how that is known.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        step: the step whose undo is meant; past the last one, a restore of the backup.
    """
    if step >= len(plan.steps):
        since = state.backup.snapshot if state.backup else ""
        tables = data_loss.every_table(connection)
    elif journal := plan.steps[step].journal:
        what = plan.steps[step].destroys[0] if plan.steps[step].destroys else plan.steps[step].name
        try:
            row = connection.execute(journal.encode()).fetchone()
        except psycopg.errors.InsufficientPrivilege as error:
            # such as rows that a policy hides: what cannot be counted is a loss that nobody knows
            return {what: data_loss.UNKNOWN}, f"{data_loss.JOURNAL}, which cannot be asked: {str(error).splitlines()[0]}"
        return {what: int(row[0] or 0) if row else 0}, data_loss.JOURNAL
    else:
        since = data_loss.since_step(connection, run, step)
        tables = data_loss.expand(connection, plan.steps[step].destroys)
    return (data_loss.written_since(connection, run, tables, since) if since else {}), data_loss.ESTIMATE


def loss_guard(connection: Connection, run: str, plan: Plan, step: int, script: Script) -> str:
    """Return SQL that fails, in the undo's own transaction, where rows were written since they were counted."""
    since = data_loss.since_step(connection, run, step)
    tables = data_loss.expand(connection, script.destroys) if since else []
    return data_loss.guard(run, tables, since, plan.steps[step].journal)


def losses(
    connection: Connection, run: str, plan: Plan, state: State, level: str, back_to: int | None
) -> Iterator[tuple[str, str]]:
    """Yield what a rollback would destroy before it begins: what does it, and the rows.

    Args:
        connection: where.
        run: the run.
        plan: its plan.
        state: where it stands.
        level: the level; the one that a trip would take without it.
        back_to: the phase whose start it leads to; as far as a trip would without it.
    """
    to = default_reach(state) if back_to is None else back_to
    same = state.status in ROLLING_BACK_STATES and to == state.rollback.back_to
    taken = level or (state.rollback.level if same else default_level(state, to))
    state = replace(state, status=Status.ROLLING_BACK, rollback=replace(state.rollback, back_to=to))
    steps: list[int] = []
    if taken == "restore" and state.backup:
        steps = [len(plan.steps)]
    elif taken == "undo":
        first = plan.phases[to].first
        steps = [n for n, step in enumerate(plan.steps[: state.work.step]) if n >= first and needs_loss_count(step)]
    for step in steps:
        rows, how = rows_at_risk(connection, run, plan, state, step)
        if notes := describe_rows(rows):
            yield describe_loss_step(plan, step), f"{notes} ({how})"
