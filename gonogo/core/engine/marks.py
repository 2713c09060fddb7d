"""What the events of a step say of it: which script, whether it is the last one, and whether the application is down."""

from __future__ import annotations

from gonogo.core.engine.events import ScriptDone, ScriptNotDone, ScriptStarted
from gonogo.core.engine.verdict import Judgement
from gonogo.core.plan.plan import Plan, Script

#: the application is down and stays so; it is up again; or readers were locked out for just so long
DOWN, UP_AGAIN, LOCKED_OUT = "down", "up again", "locked out"


def downtime_mark(plan: Plan, number: int, script: Script | None = None, *, last: bool = False, back: bool = False) -> str:
    """Return what the event of a step says about downtime; nothing where it says nothing.

    Args:
        plan: the plan.
        number: the step.
        script: what it runs, forward or back.
        last: whether the step is done with it.
        back: whether it is undone.
    """
    if plan.task(plan.steps[number].task).downtime:
        return UP_AGAIN if last and not back and not _goes_on(plan, number) else DOWN
    locks = script.locks if script is not None and plan.budgets.downtime is not None else ()
    return LOCKED_OUT if any(lock.startswith("ACCESS EXCLUSIVE") for lock in locks) else ""


def script_done(
    plan: Plan,
    number: int,
    index: int = 0,
    *,
    took: float | None = None,
    judged: tuple[Judgement, ...] = (),
    rows: int = 0,
    since: str = "",
    output: str = "",
    status: int | None = None,
    why: str = "",
) -> ScriptDone:
    """Return the event that ends a script of a step, or all that a step of another kind is.

    Args:
        plan: the plan.
        number: the step.
        index: its script.
        took: seconds, where they were measured.
        judged: the verdicts of a check step.
        rows: how many rows it changed.
        since: a snapshot of just before.
        output: what a program, or a service, answered.
        status: the status that a service answered.
        why: why it is said to be done, where a person said so.
    """
    step = plan.steps[number]
    last = index == step.units - 1
    script = step.scripts[index] if step.row.counts_scripts else None
    return ScriptDone(
        step=number,
        script=index,
        last=last,
        down=downtime_mark(plan, number, script, last=last),
        took=took,
        judged=judged,
        rows=rows,
        since=since,
        output=output,
        status=status,
        why=why,
    )


def script_started(plan: Plan, number: int, index: int = 0) -> ScriptStarted:
    """Return the event that comes before a script that cannot be transactional."""
    done = script_done(plan, number, index)
    return ScriptStarted(step=done.step, script=done.script, last=done.last, down=done.down)


def script_not_done(plan: Plan, number: int, index: int = 0, *, left: bool = False, why: str = "") -> ScriptNotDone:
    """Return the event of a script in doubt that did not happen; `left` where something of it may have stayed."""
    done = script_done(plan, number, index)
    return ScriptNotDone(step=done.step, script=done.script, last=done.last, down=done.down, left=left, why=why)


def _goes_on(plan: Plan, number: int) -> bool:
    """Say whether the application stays down after a step: the next one of the phase is of such a task too."""
    after = number + 1
    return after <= plan.phases[plan.steps[number].phase].last and plan.task(plan.steps[after].task).downtime
