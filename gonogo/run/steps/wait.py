"""A time to wait; the watch goes on meanwhile. The engine waits for it, so that a crash does not begin it again."""

from __future__ import annotations

from collections.abc import Iterator

from gonogo.core.engine.marks import script_done
from gonogo.run.context import Context
from gonogo.run.steps import Outcome


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Say how long it waited."""
    state = context.state
    now = context.now()
    waited = (now - (state.changed_at or now)).total_seconds()
    took = 0.0 if state.gate.at_once else round(waited, 3)
    yield script_done(context.plan, number, index, took=took)
