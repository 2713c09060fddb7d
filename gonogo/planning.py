"""From a runbook to a plan: real times, rendered and classified scripts, a seal."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from gonogo import clock
from gonogo.core.check import Check
from gonogo.core.people import Approve, Item
from gonogo.core.plan import Plan, PlannedPhase, PlannedStep, PlannedTask, Script
from gonogo.core.question import split_line
from gonogo.core.runbook import Phase, Runbook, Step, Task
from gonogo.core.seal import seal
from gonogo.core.way_back import BACKUP_PROVED, REHEARSAL_FRESH, Backup, Rehearsal, Rollback
from gonogo.core.window import Schedule, local_time
from gonogo.drafts import Draft, check_batch, check_no_batch, own_check, program_script, question, read_query, scripts, words
from gonogo.errors import BadInput, Problem
from gonogo.house import Project, commit_of
from gonogo.loader import choose_target, place
from gonogo.sources import digest_sources, given_inputs
from gonogo.sql import meaning, split
from gonogo.template import Templates


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan and the texts that its scripts' sha256 name."""

    plan: Plan
    texts: Mapping[str, str]
    warnings: tuple[str, ...] = ()


#: a query that changes rows by the way
_CHANGING = re.compile(r"\b(insert\s+into|update|delete\s+from|merge\s+into)\b", re.IGNORECASE)
_Asked = TypeVar("_Asked", Approve, Item, Backup, Rehearsal)


def prepare(
    runbook: Runbook,
    file: Path,
    project: Project,
    *,
    target: str = "",
    inputs: Mapping[str, Any] | None = None,
    start: datetime | None = None,
) -> Prepared:
    """Make the plan of a runbook.

    Args:
        runbook: what to plan.
        file: where it came from, for messages.
        project: whose templates it uses.
        target: the name of the target; the runbook's first without one.
        inputs: values for template variables.
        start: when to start, instead of what the runbook says.

    Raises:
        BadInput: with every problem in it and in its templates.
    """
    target = choose_target(runbook, target)
    protected = runbook.targets[target].protected
    draft = Draft(runbook, file, Templates(project.template_roots), given_inputs(runbook, inputs or {}), protected, target)
    begins = start or start_of(runbook.schedule)
    steps: list[PlannedStep] = []
    tasks: list[PlannedTask] = []
    phases: list[PlannedPhase] = []
    try:
        begins = moment = on_clock(begins, runbook.schedule.zone)
        for number, phase in enumerate(runbook.phases):
            planned = _plan_phase(draft, number, phase, moment, steps, tasks)
            phases.append(planned)
            moment = planned.end
    except OverflowError:
        raise BadInput(Problem(file=str(file), message="its times lead beyond the calendar")) from None
    asked = {name: _check(draft, name, check) for name, check in runbook.checks.items()}
    questions = {name: script for name, check in asked.items() if (script := _question(draft, name, check, project))}
    switches = _switches(draft)
    _protect(draft, target)
    if draft.problems:
        raise BadInput(*place(draft.problems, file))
    _warn(draft, begins, moment, steps)
    plan = Plan(
        runbook=runbook.runbook,
        title=runbook.title or runbook.runbook,
        target=target,
        protected=runbook.targets[target].protected,
        role=runbook.targets[target].role,
        zone=runbook.schedule.zone,
        start=begins,
        end_by=end_of(runbook.schedule, begins),
        windows=runbook.schedule.windows,
        freezes=runbook.schedule.freezes,
        override=runbook.schedule.override,
        environment=tuple(dict.fromkeys((*runbook.environment, *runbook.targets[target].environment))),
        inputs=draft.variables,
        people=runbook.people,
        updates=runbook.updates,
        sql=runbook.sql,
        backup=next(iter(_asked_here(draft, [runbook.backup])), None),
        rehearsal=next(iter(_asked_here(draft, [runbook.rehearsal])), None),
        rehearse_on=runbook.targets[target].rehearse_on,
        baseline=runbook.baseline,
        checks=asked,
        questions=questions,
        phases=tuple(phases),
        tasks=tuple(tasks),
        steps=tuple(steps),
        rollback=_rollback(draft),
        success=runbook.success,
        monitor=runbook.monitor,
        switches=switches,
        commit=commit_of(file.parent),
        sources=digest_sources(file, draft.templates, draft.variables, target),
    )
    meanings = {sha: _meaning(text) for sha, text in draft.texts.items()}
    sealed = plan.model_copy(update={"seal": seal(plan, meanings)})
    return Prepared(plan=sealed, texts=draft.texts, warnings=tuple(draft.warnings))


def _asked_here(draft: Draft, parts: Sequence[_Asked | None]) -> tuple[_Asked, ...]:
    """Return what people are asked on the target that is planned for."""
    return tuple(part for part in parts if part is not None and (part.targets == "all" or draft.protected))


def _rollback(draft: Draft) -> Rollback:
    """Return the ways back that there are on the target that is planned for."""
    rollback = draft.runbook.rollback
    backup = next(iter(_asked_here(draft, [draft.runbook.backup])), None)
    levels = tuple(level for level in rollback.levels if level != "restore" or (backup and not backup.waived))
    authority = next(iter(_asked_here(draft, [rollback.authority])), None)
    return rollback.model_copy(update={"levels": levels or ("undo",), "authority": authority})


def _check(draft: Draft, name: str, check: Check) -> Check:
    """Fill the templates that stand in a check itself, and see that its own queries can be read."""
    path = f"checks.{name}"
    for query in (check.query, *(check.equal or ())):
        if query is not None:
            read_query(draft, path, query, path)
    filled: dict[str, Any] = {}
    if check.run:
        filled["run"] = check.run.model_copy(update={"argv": words(draft, f"{path}.run", check.run.argv)})
    if check.http:
        filled["http"] = check.http.model_copy(update={"url": words(draft, f"{path}.http", (check.http.url,))[0]})
    return check.model_copy(update=filled) if filled else check


def _question(draft: Draft, name: str, check: Check, project: Project) -> Script | None:
    """Return what a check asks with, where that is a file."""
    if check.own:
        return own_check(draft, name, project.files)
    is_query = bool(check.sql or check.time or check.buffers)
    return question(draft, name, check.source, is_query=is_query) if check.source else None


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
            message = "what cannot run in a transaction has no place here: a level must be done or not done"
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
    first, moment = len(steps), begins
    for task in phase.ordered_tasks():
        task_first = len(steps)
        path = f"phases[{number}].tasks[{phase.tasks.index(task)}]"
        for s, step in enumerate(task.steps):
            if not step.only_on or draft.target in step.only_on:
                steps.append(_plan_step(draft, f"{path}.steps[{s}]", number, task, s, step))
        start = max(moment, _later(draft, begins, task.at)) if task.at is not None else moment
        if task.at is not None and start > begins + task.at:
            late = (start - begins - task.at).total_seconds() / 60
            draft.warnings.append(f"{path}.at: the tasks before it end {late:g} minutes after it is to start")
        moment = _later(draft, start, task.takes or timedelta(0))
        tasks.append(
            PlannedTask(
                name=task.task,
                title=task.title or task.task,
                about=task.about,
                owner=task.owner,
                concerns=task.concerns,
                phase=number,
                first=task_first,
                last=len(steps) - 1,
                at=task.at,
                takes=task.takes,
                start=start,
                end=moment,
            )
        )
    return PlannedPhase(
        name=phase.phase,
        title=phase.title or phase.phase,
        go_if=tuple(name for name in phase.gate.go_if if name not in (BACKUP_PROVED, REHEARSAL_FRESH)),
        before=_asked_here(draft, phase.gate.confirm),
        approve=next(iter(_asked_here(draft, [phase.gate.approve])), None),
        after=_asked_here(draft, phase.confirm),
        verify=phase.verify,
        watch=phase.watch,
        deferred=phase.deferred,
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


def _plan_step(draft: Draft, path: str, phase: int, task: Task, number: int, step: Step) -> PlannedStep:
    name = f"{task.task}.{step.step or number + 1}"
    forward: list[Script] = []
    sources = 0
    if step.kind == "sql":
        forward, sources = scripts(draft, f"{path}.sql", step.sql or ())
        check_no_batch(draft, f"{path}.sql", forward)
    elif step.backfill is not None:
        forward, sources = scripts(draft, f"{path}.backfill.sql", (step.backfill.sql,))
        check_batch(draft, f"{path}.backfill.sql", forward, sources)
    reverses_nothing = step.kind in ("check", "confirm", "wait") or step.undo == ("nothing",)
    undo: tuple[Script, ...] | None = () if reverses_nothing else None
    paired, program, undo_program = False, None, None
    if step.run is not None:
        program = step.run.model_copy(update={"argv": words(draft, f"{path}.run", step.run.argv)})
        forward = [program_script(draft, program)]
    if step.run is not None and undo is None and step.undo is not None:
        line = split_line(step.undo[0]) if len(step.undo) == 1 else step.undo
        undo_program = step.run.model_copy(update={"argv": words(draft, f"{path}.undo", tuple(line))})
        undo = (program_script(draft, undo_program),)
    elif undo is None and step.undo is not None:
        backward, undo_sources = scripts(draft, f"{path}.undo", step.undo)
        check_no_batch(draft, f"{path}.undo", backward)
        paired = sources == undo_sources > 1
        undo = tuple(sorted(backward, key=lambda s: -s.part)) if paired else tuple(backward)
    elif undo is None and not step.no_return:
        draft.warnings.append(f"{path}: the step has no undo, so the run cannot be turned back past it; write `undo:`")
    for field in ("done_if", "journal"):
        if query := getattr(step, field):
            draft.attempt(f"{path}.{field}", split, query, f"{path}.{field}")
    if step.rows and (message := _uncounted(draft, forward)):
        draft.problems.append(Problem(file=str(draft.file), path=f"{path}.rows", message=message))
    settings = draft.runbook.sql
    backfill = step.backfill
    return PlannedStep(
        name=name,
        task=task.task,
        phase=phase,
        kind=step.kind,
        scripts=tuple(forward),
        undo=undo,
        paired=paired,
        checks=step.check or (),
        confirm=_asked_here(draft, step.confirm or ()),
        table=backfill.table if backfill else "",
        key=backfill.key if backfill else (),
        batch=backfill.batch if backfill else 1000,
        lock_timeout=step.lock_timeout or settings.lock_timeout,
        statement_timeout=step.statement_timeout or settings.statement_timeout,
        done_if=step.done_if,
        again=step.again,
        destroys=tuple(dict.fromkeys(table for script in undo or () for table in script.destroys)),
        keeps=step.keeps,
        journal=step.journal,
        no_return=step.no_return,
        rows=step.rows or "",
        program=program,
        undo_program=undo_program,
        within=step.within,
        in_rehearsal=step.in_rehearsal,
        wait=step.wait,
    )


def _uncounted(draft: Draft, forward: Sequence[Script]) -> str:
    """Say why the rows that a step changes cannot be counted, or nothing."""
    if len(forward) != 1 or not forward[0].transactional:
        return "what it changes is counted in one transaction; this step has none, or several"
    statements = draft.attempt("", split, draft.texts[forward[0].sha256], forward[0].source) or ()
    hidden = [
        s for s in statements if s.node in ("do_stmt", "call_stmt") or (s.node == "select_stmt" and _CHANGING.search(s.text))
    ]
    return "what DO, CALL and WITH ... SELECT change is not counted; write it as INSERT, UPDATE or DELETE" if hidden else ""


def _meaning(text: str) -> str:
    try:
        return meaning(text)
    except Exception:  # noqa: BLE001 - what cannot be normalised counts as it is written
        return text


def _warn(draft: Draft, begins: datetime, ends: datetime, steps: list[PlannedStep]) -> None:
    runbook = draft.runbook
    limit = end_of(runbook.schedule, begins)
    if limit and ends > limit:
        draft.warnings.append(f"schedule.end_by: the tasks end at {ends:%H:%M}, after {limit:%H:%M}")
    used = {name for _, name in runbook.named_checks()}
    draft.warnings += [f"checks.{name}: no one uses this check" for name in runbook.checks if name not in used]
    for p, phase in enumerate(runbook.phases):
        if not (phase.gate.go_if or phase.gate.approve or phase.gate.confirm):
            draft.warnings.append(f"phases[{p}].gate: the gate has no criterion, so it is always go")
    proof = {*runbook.rollback.prove, *runbook.baseline}
    if steps and not any(runbook.checks[name].checksum for name in proof if name in runbook.checks):
        draft.warnings.append("baseline: no checksum check, so a rollback proves the schema and the checks, not the rows")
