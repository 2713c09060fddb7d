"""Checks that must pass at a place in the schedule."""

from __future__ import annotations

from collections.abc import Iterator

from gonogo import clock
from gonogo.core.engine.events import Held
from gonogo.core.engine.marks import script_done
from gonogo.core.engine.verdict import Verdict, worst
from gonogo.run.context import Context
from gonogo.run.judge import describe_judged, judge
from gonogo.run.steps import CheckFailed, Outcome


def perform(context: Context, number: int, index: int) -> Iterator[Outcome]:
    """Ask the checks: done where all pass, held where one has no answer."""
    step, began = context.plan.steps[number], clock.monotonic()
    judged = judge(context, step.checks)
    verdict, why = worst(j.verdict for j in judged), describe_judged(judged)
    if verdict is Verdict.FAIL:
        raise CheckFailed(why, judged)
    if verdict is Verdict.PASS:
        took = round(clock.monotonic() - began, 3)
        yield script_done(context.plan, number, index, took=took, judged=judged)
    else:
        yield Held(why=f"{step.name}: {why}", judged=judged)
