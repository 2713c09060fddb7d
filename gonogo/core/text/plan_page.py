"""The plan as a page of Markdown, as it is shown before anything runs: what, when, with which locks, and the rollback."""

from __future__ import annotations

from datetime import timedelta

from gonogo.core.engine.budgets import expected_downtime
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import State
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedPhase, PlannedStep, PlannedTask
from gonogo.core.text.plain import table
from gonogo.core.text.steps import describe_step
from gonogo.core.text.times import clock

#: characters of a bar
_WIDTH = 30


def plan_page(plan: Plan) -> str:
    """Return the page of a plan."""
    protected = " (protected)" if plan.protected else ""
    change = f", change `{plan.what[:16]}`" if plan.what else ""
    head = f"Target **{plan.target}**{protected}, seal `{plan.seal[:16]}`{change}"
    parts = [f"# {plan.title}", head, *_risk(plan), *_timeline(plan)]
    for number, phase in enumerate(plan.phases):
        parts += ["", f"## {phase.title}", "", *gate_lines(phase), "", *_tasks(plan, number), "", *_watch(plan, phase)]
    return "\n".join([*parts, "", "## Rollback plan", "", *rollback_lines(plan)])


def _timeline(plan: Plan) -> list[str]:
    """Return the tasks on the clock, each phase on a scale of its own: as bars of text, which show in every theme."""
    lines: list[str] = []
    for number, phase in enumerate(plan.phases):
        tasks = [task for task in plan.tasks if task.phase == number]
        first, last = min((t.start for t in tasks), default=phase.start), max((t.end for t in tasks), default=phase.end)
        whole = max((last - first).total_seconds(), 1.0)
        rows = []
        for task in tasks:
            begins = round((task.start - first).total_seconds() / whole * _WIDTH)
            takes = max(1, round((task.end - task.start).total_seconds() / whole * _WIDTH))
            begins = min(begins, _WIDTH - takes)
            bar = "░" * begins + "▓" * takes + "░" * (_WIDTH - begins - takes)
            rows.append([f"{clock(task.start, plan.zone, plan.start)}", _task(task), f"`{bar}`"])
        title = f"{phase.title}, {clock(first, plan.zone, plan.start)} to {clock(last, plan.zone, plan.start)}"
        lines += ["", *table(("clock", "task", title), rows)] if rows else []
    return lines


def gate_lines(phase: PlannedPhase) -> list[str]:
    """Return what a phase's gate asks for, a line each."""
    lines = [f"- gate: {', '.join(phase.go_if)} must pass" if phase.go_if else "- gate: no criterion is measured"]
    if phase.done_on:
        lines.append(f"- the very same must have been done on {' and '.join(phase.done_on)} first")
    lines += [
        f"- to confirm before: **{item.item}** {item.title} {f'({item.owner})' if item.owner else ''}" for item in phase.before
    ]
    if rule := phase.approve:
        excluded = "; the launcher does not decide" if rule.not_launcher else ""
        lines.append(f"- {rule.quorum} of {', '.join(rule.roles)} must say go within {say_duration(rule.within)}{excluded}")
    return lines


def _tasks(plan: Plan, number: int) -> list[str]:
    rows = []
    for task in (t for t in plan.tasks if t.phase == number):
        steps = plan.steps[task.first : task.last + 1]
        locks = dict.fromkeys(lock for step in steps for script in step.scripts for lock in script.locks)
        back = dict.fromkeys(script.source for step in steps for script in (step.undo or ())[:20])
        missing = ["**none**"] if any(step.undo is None for step in steps) else []
        does = [describe_step(step) for step in steps]
        begins = clock(task.start, plan.zone, plan.start)
        about = [" ".join(task.about.split())] if task.about else []
        rows.append([begins, [_task(task), *about], task.owner, does, list(locks)[:10], [*missing, *back]])
    return table(("clock", "task", "owner", "does", "locks", "rollback"), rows)


def _task(task: PlannedTask) -> str:
    return f"{task.title}{f' ({say_duration(task.takes)})' if task.takes else ''}"


def _watch(plan: Plan, phase: PlannedPhase) -> list[str]:
    lines = [f"- verified: {', '.join(phase.verify) or 'nothing'}"]
    for name in phase.watch:
        does = "only sends an update" if phase.would_trip else _THEN[plan.checks[name].then]
        lines.append(f"- watched every {say_duration(phase.every)}: {name} {does} at `{plan.checks[name].roll_back_if}`")
    if phase.watch:
        lines.append(f"- watched for {say_duration(phase.soak)} after the work")
    lines += [
        f"- to confirm after: **{item.item}** {item.title} {f'({item.owner})' if item.owner else ''}" for item in phase.after
    ]
    return lines


def _risk(plan: Plan) -> list[str]:
    return ["", f"Risk **{plan.risk.level}**: {plan.risk.why}"] if plan.risk else []


def rollback_lines(plan: Plan) -> list[str]:
    """Return how a run is rolled back, and how long that takes, a line each."""
    takes = f", planned to take {say_duration(plan.rollback.takes)}" if plan.rollback.takes else ""
    levels = plan.rollback.levels
    lines = [f"- by {', else '.join(levels)}{takes}: {'; '.join(_LEVELS[level] for level in levels)}"]
    lines += _budgets(plan)
    if (last := last_safe_start(plan, State())) is not None:
        lines.append(f"- the last safe start, of a phase or of the rollback, is {clock(last, plan.zone, plan.start)}")
    lines += _before(plan)
    lines.append(f"- then it is measured: the schema object by object, and {', '.join(plan.proof()) or 'no check'}")
    if without := [step.name for step in plan.steps if step.undo is None and not step.no_return]:
        lines.append(f"- **no rollback** past {', '.join(without)}")
    if returns := [step.name for step in plan.steps if step.no_return]:
        lines.append(f"- **point of no return**: {', '.join(returns)}; from there on nothing rolls back by itself")
    if rule := plan.rollback.authority:
        lines.append(f"- a person's request needs {rule.quorum} of {', '.join(rule.roles)}; a trip needs no approval")
    return lines


def _budgets(plan: Plan) -> list[str]:
    lines = []
    if (most := plan.budgets.downtime) is not None:
        planned = sum((expected_downtime(plan, State(), phase) for phase in range(len(plan.phases))), timedelta(0))
        lines.append(f"- downtime: {say_duration(most)} in all at most; {say_duration(planned)} planned, and what locks take")
    if (most := plan.budgets.rollback) is not None:
        lines.append(f"- a rollback may take {say_duration(most)} at most")
    return lines


_THEN = {"roll back": "rolls the run back", "hold": "holds the run", "tell": "only sends an update"}
_LEVELS = {
    "feature": "it is switched off",
    "undo": "each step is undone, newest first",
    "data": "rows are put back from their copies",
    "restore": "the backup replaces what is there",
}


def _before(plan: Plan) -> list[str]:
    """Say what is saved and what is rehearsed before the first change."""
    lines = []
    if (backup := plan.backup) and backup.waived:
        lines.append(f"- **no backup**: {backup.waived}")
    elif backup:
        within = f", in {say_duration(backup.recover_within)} at most" if backup.recover_within else ""
        lines.append(f"- before the first change a backup is taken, restored and compared{within}")
    if (rehearsal := plan.rehearsal) and rehearsal.waived:
        lines.append(f"- **not rehearsed**: {rehearsal.waived}")
    elif rehearsal:
        lines.append(f"- it must have been rehearsed, forward and back, {say_duration(rehearsal.fresh_for)} ago at most")
    lines += [f"- the undo of {step.name} loses nothing{why}" for step in plan.steps for why in _kept(step)]
    return lines


def _kept(step: PlannedStep) -> list[str]:
    """Return why the undo of a step loses nothing of the tables that it destroys something of, where somebody said so."""
    if isinstance(step.keeps, str):
        return [f": {step.keeps}"] if step.keeps and step.destroys else []
    return [f" of {table}: {why}" for table, why in step.keeps.items() if table in step.destroys]
