"""From a runbook to a plan: real times, rendered and classified scripts, a seal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from gonogo import clock
from gonogo.core.model.check import Check
from gonogo.core.model.duration import say_duration
from gonogo.core.model.rollback import BACKUP_PROVED, REHEARSAL_FRESH, Backup
from gonogo.core.model.runbook import Gate, Phase, Task
from gonogo.core.model.schedule import Schedule, local_time, opening
from gonogo.core.plan.plan import Plan, PlannedPhase, PlannedStep, PlannedTask, Script
from gonogo.core.plan.seal import seal, what
from gonogo.errors import BadInput, Problem
from gonogo.planning import rules
from gonogo.planning.load import place
from gonogo.planning.migrations import plan_migrations
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.prepared import Prepared
from gonogo.planning.scripts import Draft, check_no_batch, files_of, own_check, program, query, question, request, scripts, words
from gonogo.planning.sources import digest_sources, resolve_inputs, unused_inputs
from gonogo.planning.steps import plan_step
from gonogo.planning.templates import Templates
from gonogo.project import Project, commit_of
from gonogo.sql.parse import meaning

#: the kinds of checks that look at rows
_OF_ROWS = frozenset({"checksum", "orphans", "rows", "values"})


def prepare(opened: OpenedRunbook, *, inputs: Mapping[str, Any] | None = None, start: datetime | None = None) -> Prepared:
    """Make the plan of a runbook for the target that is meant.

    Args:
        opened: what to plan.
        inputs: values for template variables.
        start: when to start, instead of what the runbook says.

    Raises:
        BadInput: with every problem in it and in its templates.
    """
    runbook, file, project, target = opened.runbook, opened.file, opened.project, opened.target
    draft = _draft(opened, inputs or {})
    try:
        work = _plan_work(draft, on_clock(start or start_of(runbook.schedule), runbook.schedule.zone))
    except OverflowError:
        raise BadInput(Problem(file=str(file), message="its times are outside the years 1 to 9999")) from None
    plan = _plan_of(draft, project, work)
    _protect(draft, target)
    # what cannot be rendered is mended first
    for name in unused_inputs(runbook, file, draft.templates) if runbook.inputs and not draft.problems else ():
        message = "no template uses this input, so whoever gives it changes nothing: use it, or leave it out"
        draft.problems.append(Problem(file=str(file), path=f"inputs.{name}", message=message))
    if draft.problems:
        raise BadInput(*place(draft.problems, file))
    _warn(draft, plan.start, plan.phases[-1].end if plan.phases else plan.start, plan.steps)
    signed = plan.model_copy(
        update={"commit": commit_of(file.parent), "sources": digest_sources(file, draft.templates, draft.variables, target)}
    )
    meanings = meanings_of(draft.texts)
    everywhere = {name: check for name, check in plan.checks.items() if not check.only_on}
    asked = [script.sha256 for name, script in plan.questions.items() if name in everywhere]
    asked += [sha for check in everywhere.values() for sha in files_of(draft, check.run)]
    switched = [script.sha256 for scripts in plan.switches.values() for script in scripts]
    done = what(runbook, draft.variables, [*draft.common, *asked, *switched], meanings)
    sealed = signed.model_copy(update={"what": done, "seal": seal(signed, meanings)})
    return Prepared(plan=sealed, texts=draft.texts, warnings=tuple(draft.warnings))


def planned_backup(opened: OpenedRunbook) -> Backup | None:
    """Return the backup that is taken of a runbook's target, with the templates in its programs filled in; None without one.

    Raises:
        BadInput: a template cannot be filled in.
    """
    draft = _draft(opened, {})
    found = rules.backup(draft)
    if draft.problems:
        raise BadInput(*place(draft.problems, opened.file))
    return found


def _draft(opened: OpenedRunbook, inputs: Mapping[str, Any]) -> Draft:
    variables, templates = resolve_inputs(opened.runbook, inputs), Templates(opened.project.template_roots)
    draft = Draft(opened.runbook, opened.file, templates, variables, opened.chosen.protected, opened.target)
    draft.folder = opened.project.files
    return draft


@dataclass(frozen=True, kw_only=True)
class _Work:
    """The phases with their tasks and steps, on the clock."""

    begins: datetime
    phases: tuple[PlannedPhase, ...]
    tasks: tuple[PlannedTask, ...]
    steps: tuple[PlannedStep, ...]


def _plan_work(draft: Draft, begins: datetime) -> _Work:
    steps: list[PlannedStep] = []
    tasks: list[PlannedTask] = []
    phases: list[PlannedPhase] = []
    draft.begins = moment = begins
    for number, phase in enumerate(draft.runbook.phases):
        planned = _plan_phase(draft, number, phase, moment, steps, tasks)
        phases.append(planned)
        moment = planned.end
    return _Work(begins=begins, phases=tuple(phases), tasks=tuple(tasks), steps=tuple(steps))


def _plan_of(draft: Draft, project: Project, work: _Work) -> Plan:
    """Put what was planned, and what the runbook says of the whole run, together."""
    runbook, target = draft.runbook, draft.runbook.targets[draft.target]
    checks = {name: _check(draft, name, runbook.checks[name]) for name in draft.on_target(runbook.checks)} | draft.checks
    questions = {name: script for name, check in checks.items() if (script := _question(draft, name, check, project))}
    return Plan(
        runbook=runbook.runbook,
        title=runbook.title or runbook.runbook,
        risk=runbook.risk,
        target=draft.target,
        protected=target.protected,
        role=target.role,
        zone=runbook.schedule.zone,
        start=work.begins,
        end_by=end_of(runbook.schedule, work.begins),
        windows=runbook.schedule.windows,
        freezes=runbook.schedule.freezes,
        override=runbook.schedule.override,
        budgets=runbook.budgets,
        environment=tuple(dict.fromkeys((*runbook.environment, *target.environment))),
        inputs=draft.variables,
        people=runbook.people,
        updates=runbook.updates,
        sql=runbook.sql,
        backup=rules.backup(draft),
        rehearsal=next(iter(draft.here([runbook.rehearsal])), None),
        rehearse_on=rules.copies(draft, target.rehearse_on),
        accepted_spots=runbook.rehearsal.accepted_spots if runbook.rehearsal else {},
        baseline=draft.on_target(runbook.baseline),
        checks=checks,
        questions=questions,
        phases=work.phases,
        tasks=work.tasks,
        steps=work.steps,
        rollback=rules.rollback(draft),
        success=runbook.success,
        monitor=rules.monitor(draft),
        switches=_switches(draft),
        elsewhere=rules.elsewhere(draft),
        asked_elsewhere=any(draft.target in phase.gate.done_on for phase in runbook.phases),
    )


def _check(draft: Draft, name: str, check: Check) -> Check:
    """Fill the templates that stand in a check itself, and see that its own queries can be read."""
    path = f"checks.{name}"
    filled: dict[str, Any] = {}
    if check.query is not None:
        filled["query"] = query(draft, f"{path}.query", check.query)
    if check.equal is not None:
        filled["equal"] = tuple(query(draft, f"{path}.equal[{i}]", text) for i, text in enumerate(check.equal))
    if check.role:
        filled["role"] = words(draft, f"{path}.role", (check.role,))[0]
    if check.settings:
        values = words(draft, f"{path}.settings", tuple(check.settings.values()))
        filled["settings"] = dict(zip(check.settings, values, strict=True))
    if check.run:
        filled["run"] = program(draft, f"{path}.run", check.run, check.run.argv)
    if check.http:
        filled["http"] = request(draft, f"{path}.http", check.http)
    return check.model_copy(update=filled) if filled else check


def _question(draft: Draft, name: str, check: Check, project: Project) -> Script | None:
    """Return what a check asks with, where that is a file."""
    if check.own:
        return own_check(draft, name, project.files)
    is_query = bool(check.sql or check.time or check.buffers)
    return question(draft, name, check.source, is_query=is_query, is_call=bool(check.calls)) if check.source else None


def _switches(draft: Draft) -> dict[str, tuple[Script, ...]]:
    """Render the scripts of the levels that have their own."""
    found = {}
    for level in ("feature", "data"):
        switch = getattr(draft.runbook.rollback, level)
        if switch is None:
            continue
        path = f"rollback.{level}.sql"
        made, _ = scripts(draft, path, switch.sql)
        check_no_batch(draft, path, made)
        if any(not script.transactional for script in made):
            message = "a statement that cannot run in a transaction is not allowed here: a level is all or nothing"
            draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
        found[level] = tuple(made)
    return found


def _protect(draft: Draft, target: str) -> None:
    """See that people decide about every phase on a protected target, and that a backup and a rehearsal come before."""
    if not draft.protected:
        return
    for word, rule in (("backup", draft.runbook.backup), ("rehearsal", draft.runbook.rehearsal)):
        if rule is None:
            message = f"the target {target!r} is protected, so it needs `{word}:`; where there is to be none, write why:"
            message += f" `{word}: {{waived: ...}}`"
            draft.problems.append(Problem(file=str(draft.file), path="", message=message))
    for p, phase in enumerate(draft.runbook.phases):
        if phase.gate.approve is None:
            message = f"the target {target!r} is protected, so its gate needs `approve:`: who decides, and how many of them"
            draft.problems.append(Problem(file=str(draft.file), path=f"phases[{p}].gate", message=message))


def start_of(schedule: Schedule) -> datetime:
    """Return when a schedule starts, now unless it says another time."""
    if schedule.start == "now":
        return clock.now().astimezone(ZoneInfo(schedule.zone)).replace(microsecond=0)
    return local_time(schedule.start, schedule.zone)


def on_clock(when: datetime, zone: str) -> datetime:
    """Return a moment on a zone's clock, with a fixed offset: so that sums and differences are true when clocks change."""
    local = when.astimezone(UTC).astimezone(ZoneInfo(zone))
    return local.replace(tzinfo=timezone(local.utcoffset() or timedelta(0)), fold=0)


def _later(draft: Draft, when: datetime, by: timedelta) -> datetime:
    return on_clock(when + by, draft.runbook.schedule.zone)


def end_of(schedule: Schedule, begins: datetime) -> datetime | None:
    """Return when a run must have ended: the next such clock time after its start."""
    if not schedule.end_by:
        return None
    if len(schedule.end_by) > 5:
        return local_time(schedule.end_by, schedule.zone)
    local = begins.astimezone(ZoneInfo(schedule.zone))
    ends = datetime.combine(local.date(), time.fromisoformat(schedule.end_by), ZoneInfo(schedule.zone))
    return ends if ends > begins else ends + timedelta(days=1)


def _plan_phase(
    draft: Draft, number: int, phase: Phase, begins: datetime, steps: list[PlannedStep], tasks: list[PlannedTask]
) -> PlannedPhase:
    first, zone = len(steps), draft.runbook.schedule.zone
    opens = on_clock(opening(phase.at, draft.begins, zone), zone) if phase.at else None
    if opens is not None and opens < begins:
        later = say_duration(begins - opens)
        draft.warnings.append(f"phases[{number}].at: what comes before it is planned to end {later} later")
    moment = begins = max(begins, opens) if opens is not None else begins
    for task in phase.ordered_tasks():
        path = f"phases[{number}].tasks[{phase.tasks.index(task)}]"
        start = max(moment, _later(draft, begins, task.at)) if task.at is not None else moment
        if task.at is not None and start > begins + task.at:
            late = (start - begins - task.at).total_seconds() / 60
            draft.warnings.append(f"{path}.at: the tasks before it end {late:g} minutes after it is to start")
        tasks.append(_plan_task(draft, number, path, task, start, steps))
        moment = tasks[-1].end
    return PlannedPhase(
        name=phase.phase,
        title=phase.title or phase.phase,
        go_if=_criteria(draft, number, phase),
        before=draft.here(phase.gate.confirm),
        approve=next(iter(draft.here([phase.gate.approve])), None),
        done_on=rules.first_on(draft, phase),
        after=draft.here(phase.confirm),
        verify=(*draft.on_target(phase.verify), *draft.verify.get(number, ())),
        watch=draft.on_target(phase.watch),
        deferred=phase.deferred,
        at=phase.at,
        opens=opens,
        every=phase.every,
        would_trip=phase.would_trip,
        soak=phase.soak,
        on_failure=phase.on_failure,
        on_cancel=phase.on_cancel,
        first=first,
        last=len(steps) - 1,
        start=begins,
        end=_later(draft, moment, phase.soak),
    )


def _criteria(draft: Draft, number: int, phase: Phase) -> tuple[str, ...]:
    """Return the checks of a gate: those that the runbook names, and what the record of a migration tool says."""
    named = (name for name in phase.gate.go_if if name not in (BACKUP_PROVED, REHEARSAL_FRESH))
    return (*draft.on_target(named), *draft.go_if.get(number, ()))


def _plan_task(draft: Draft, phase: int, path: str, task: Task, start: datetime, steps: list[PlannedStep]) -> PlannedTask:
    """Plan a task, and add its steps to those that are there."""
    first = len(steps)
    for s, step in enumerate(task.steps):
        elsewhere, before = bool(step.only_on) and draft.target not in step.only_on, len(steps)
        if step.migrations is not None and not elsewhere:
            where = f"{path}.steps[{s}]"
            steps += draft.attempt(f"{where}.migrations", plan_migrations, draft, where, phase, task, step, step.migrations) or []
        elif not elsewhere and (step.check is None or draft.on_target(step.check)):
            steps.append(plan_step(draft, f"{path}.steps[{s}]", phase, task, s, step))
        if not step.only_on:
            added = steps[before:]
            draft.common += [script.sha256 for each in added for script in (*each.scripts, *(each.undo or ()))]
            draft.common += [
                sha for each in added for what in (each.external, each.undo_external) for sha in files_of(draft, what)
            ]
    return PlannedTask(
        name=task.task,
        title=task.title or task.task,
        about=task.about,
        owner=task.owner,
        concerns=task.concerns,
        phase=phase,
        first=first,
        last=len(steps) - 1,
        at=task.at,
        takes=task.takes,
        downtime=task.downtime,
        start=start,
        end=_later(draft, start, task.takes or timedelta(0)),
    )


def meanings_of(texts: Mapping[str, str]) -> dict[str, str]:
    """Return the scripts without their comments and layout, by their sha256."""
    return {sha: _meaning(text) for sha, text in texts.items()}


def _meaning(text: str) -> str:
    try:
        return meaning(text)
    except Exception:  # noqa: BLE001 - what cannot be normalised counts as it is written
        return text


def _warn(draft: Draft, begins: datetime, ends: datetime, steps: Sequence[PlannedStep]) -> None:
    runbook = draft.runbook
    limit = end_of(runbook.schedule, begins)
    if limit and ends > limit:
        draft.warnings.append(f"schedule.end_by: the tasks end at {ends:%H:%M}, after {limit:%H:%M}")
    used = {name for _, name in runbook.named_checks()}
    draft.warnings += [f"checks.{name}: no one uses this check" for name in runbook.checks if name not in used]
    for p, phase in enumerate(runbook.phases):
        approves = phase.gate.approve is not None and bool(draft.here([phase.gate.approve]))
        if not (draft.on_target(phase.gate.go_if) or p in draft.go_if or approves or draft.here(phase.gate.confirm)):
            here = f" on {draft.target}" if phase.gate != Gate() else ""
            draft.warnings.append(f"phases[{p}].gate: the gate has no criterion{here}, so it is always go")
    most = runbook.budgets.downtime
    planned = sum((task.takes or timedelta(0) for phase in runbook.phases for task in phase.tasks if task.downtime), timedelta(0))
    if most is not None and planned > most:
        draft.warnings.append(f"budgets.downtime: {say_duration(planned)} are planned, and {say_duration(most)} is the most")
    proof = {*runbook.rollback.prove, *runbook.baseline}
    if steps and not any(runbook.checks[name].kind in _OF_ROWS for name in proof if name in runbook.checks):
        draft.warnings.append(
            "baseline: no check of rows (checksum, orphans, rows, values), so a rollback proves the schema and the checks only"
        )
