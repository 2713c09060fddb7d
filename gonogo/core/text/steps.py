"""What a step does, in a few words."""

from __future__ import annotations

from gonogo.core.engine.state import State
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedStep

#: how many sources are named
_FEW = 5


def describe_step(step: PlannedStep, few: int = _FEW, *, bare: bool = False) -> str:
    """Say what a step does: `backfill orders, 1000 rows a batch: 020_fill.sql`.

    Args:
        step: the step.
        few: how many of its sources are named.
        bare: whether sources are named without their folders.
    """
    names = list(dict.fromkeys(script.source.rsplit("/", 1)[-1] if bare else script.source for script in step.scripts))
    sources = ", ".join(names[:few]) + (f" and {len(names) - few} more" if len(names) > few else "")
    parts = [*step.checks, *(item.item for item in step.confirm)]
    notes = [step.row.verb, ", ".join(parts), say_duration(step.wait) if step.wait is not None else ""]
    if step.backfill is not None:
        notes.append(f"{step.backfill.table}, {step.backfill.batch} rows a batch{':' if sources else ''}")
    notes += [sources, str(step.given) if step.given is not None else ""]
    return " ".join(filter(None, notes))


def say_stopped(plan: Plan, state: State) -> str:
    """Say why the backfill in work does not go on just now, or nothing."""
    work = state.work
    return f"{plan.steps[work.step].name} stops: {work.stopped}" if work.stopped and work.step < len(plan.steps) else ""
