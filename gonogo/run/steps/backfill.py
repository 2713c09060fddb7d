"""Work through a table in batches, until it is done or something else has become more urgent."""

from __future__ import annotations

from collections.abc import Iterator

from gonogo import clock
from gonogo.core.engine.commands import Perform
from gonogo.core.engine.decide import counts_loss
from gonogo.core.engine.events import BatchDone, Held
from gonogo.core.engine.marks import downtime_mark, script_done
from gonogo.run.context import Context
from gonogo.run.steps import Outcome
from gonogo.run.steps.sql import undo

#: how often it is looked whether the batches change their own key, in batches
_OFTEN = 100


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Run batches."""
    del index
    step = context.plan.steps[number]
    batches = context.target.batches(step)
    began, count = clock.monotonic(), 0
    down = downtime_mark(context.plan, number)
    # by whatever is more urgent it is left: a hold, a trip, people who agreed to roll back
    while context.is_next(Perform(number, 0)):
        cursor = context.state.work.cursor
        since = context.target.oldest_running() if counts_loss(step) and cursor is None else ""
        seconds = round(clock.monotonic() - began, 3)
        body = BatchDone(step=number, upto=(), rows=0, seconds=seconds, of=batches.estimate, down=down, since=since)
        event = batches.run_next(count, cursor, body)
        if event is None:
            yield script_done(context.plan, number, rows=context.state.work.rows)
            return
        count += 1
        yield event
        rows = context.state.work.rows
        if count % _OFTEN == 0 and batches.rematches_own_rows(rows):
            table = step.backfill.table if step.backfill else ""
            why = f"{step.name}: its batches took {rows:,} rows, more than twice what {table} holds"
            yield Held(why=f"{why}. A batch that changes the key it works by never ends; work by another")


__all__ = ["perform", "undo"]
