"""Something that people confirm; the run waits for them."""

from __future__ import annotations

from collections.abc import Iterator

from gonogo.core.engine.marks import script_done
from gonogo.run.context import Context
from gonogo.run.judge import forged
from gonogo.run.steps import Outcome


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Go on, once it is seen that it was they who confirmed it."""
    confirmed = context.state.gate.confirmed
    refused = list(forged(context, [confirmed[item.item] for item in context.plan.steps[number].confirm]))
    yield from refused
    if not refused:
        yield script_done(context.plan, number, index)
