"""What people read before they decide: the evidence of a gate, as Markdown."""

from __future__ import annotations

from gonogo.core.engine.decide import waits_for_votes
from gonogo.core.engine.events import PeopleAsked
from gonogo.core.engine.forecast import expected_duration
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import State, Status
from gonogo.core.model.duration import say_duration
from gonogo.core.plan.plan import Plan, PlannedPhase
from gonogo.core.text.backups import describe_backup
from gonogo.core.text.plain import data, table
from gonogo.core.text.plan_page import rollback_lines
from gonogo.core.text.times import clock


def gate_page(plan: Plan, state: State, asked: PeopleAsked, run: str) -> str:
    """Return the page that a gate's form shows.

    Args:
        plan: what is to be run.
        state: where the run stands.
        asked: what people were asked.
        run: the run.
    """
    phase = plan.phases[state.phase]
    if state.status is not Status.DECIDING:
        return "\n".join([f"# {plan.title}: {phase.title}", f"Run {run} on **{plan.target}**.", *_boxes(plan, state)])
    parts = [
        f"# Go or no-go: {plan.title}, {phase.title}",
        f"Run {run} on **{plan.target}**{' (protected)' if plan.protected else ''}.",
        f"What you decide on has the seal `{asked.seal[:16]}`"
        + (f"; the change, the same on every target, is `{plan.what[:16]}`." if plan.what else "."),
    ]
    if plan.risk:
        parts += [f"**Risk {plan.risk.level}**: {data(plan.risk.why)}"]
    if asked.why:
        parts += [f"**{data(asked.why)}**"]
    judged = [(j.check, j.sentence, str(j.verdict)) for j in asked.judged] or [("none", "", "")]
    parts += ["", "## Criteria", "", *table(("check", "measured", "verdict"), judged)]
    parts += ["", "## What will be done", "", *_work(plan, phase), "", "## Rollback plan", "", *_back(plan, state)]
    parts += ["", "## Who decides", "", *_deciders(plan, state), *_boxes(plan, state)]
    return "\n".join(parts)


def _work(plan: Plan, phase: PlannedPhase) -> list[str]:
    rows = []
    for task in plan.tasks:
        if plan.phases[task.phase].name == phase.name:
            steps = plan.steps[task.first : task.last + 1]
            does = ", ".join(dict.fromkeys(script.source for step in steps for script in step.scripts[:5])) or "-"
            locks = (
                ", ".join(dict.fromkeys(lock for step in steps for script in step.scripts for lock in script.locks[:5])) or "-"
            )
            rows.append((clock(task.start, plan.zone, plan.start), task.title, does, locks))
    return table(("clock", "task", "does", "locks"), rows)


def _back(plan: Plan, state: State) -> list[str]:
    phase = plan.phases[state.phase]
    lines = rollback_lines(plan)
    lines.append(f"- watched: {', '.join(phase.watch) or 'nothing'}, for {say_duration(phase.soak)} after the work")
    proved = describe_backup(state.backup, plan.zone) if state.backup else "gonogo has proved none for this run"
    lines.append(f"- backup: {proved}")
    if (found := state.known.rehearsed) is not None:
        lines += [f"- rehearsed: back by {level} in {say_duration(known.took)}" for level, known in found.levels.items()]
    late = [task for task in plan.tasks if expected_duration(task, state) > task.end - task.start]
    lines += [
        f"- **{task.title}** took {say_duration(expected_duration(task, state))} in the rehearsal, and is planned to take"
        f" {say_duration(task.end - task.start)}"
        for task in late
        if task.takes is not None
    ]
    if (last := last_safe_start(plan, state)) is not None:
        lines.append(f"- a rollback must begin by {clock(last, plan.zone, state.at)}")
    return lines


def _deciders(plan: Plan, state: State) -> list[str]:
    rule = plan.phases[state.phase].approve
    if rule is None:
        return ["Nobody votes; the checklist decides."]
    asked = state.gate.asked
    until = f" until {clock(asked.deadline, plan.zone, state.at)}" if asked and asked.deadline else ""
    launcher = " The launcher does not decide." if rule.not_launcher else ""
    lines = [f"{rule.quorum} of {', '.join(rule.roles)}{until}. One no-go ends it.{launcher}"]
    lines += [f"- {v.person} says {v.decision}{'' if v.proved else ' (not proved)'}" for v in state.gate.votes]
    waits = waits_for_votes(plan, state)
    return [*lines, f"- still missing: {waits}" if waits else "- nothing is missing"]


def _boxes(plan: Plan, state: State) -> list[str]:
    items = plan.items(state.phase).values()
    if not items:
        return []
    lines = ["", "## Checklist", ""]
    for item in items:
        mark = "x" if item.item in state.gate.confirmed else " "
        lines.append(f"- [{mark}] **{item.item}** {' '.join(item.title.split())}{f' ({item.owner})' if item.owner else ''}")
    return lines
