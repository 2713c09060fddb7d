"""From a runbook to a plan: real times, rendered and classified scripts, a seal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from gonogo import clock
from gonogo.core.people import Approve, Item
from gonogo.core.plan import Plan, PlannedPhase, PlannedStep, PlannedTask, Script
from gonogo.core.runbook import Backup, Phase, Runbook, Step, Task
from gonogo.core.seal import digest, seal
from gonogo.core.window import Schedule, local_time
from gonogo.errors import BadInput, Problem
from gonogo.house import Project
from gonogo.loader import choose_target, place
from gonogo.locks import MODES
from gonogo.sources import digest_sources, given_inputs
from gonogo.sql import Statement, meaning, split
from gonogo.template import Templates


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A plan and the texts that its scripts' sha256 name."""

    plan: Plan
    texts: Mapping[str, str]
    warnings: tuple[str, ...] = ()


_Asked = TypeVar("_Asked", Approve, Item, Backup)


@dataclass
class _Draft:
    runbook: Runbook
    file: Path
    templates: Templates
    variables: Mapping[str, Any]
    #: whether the target that is planned for is protected
    protected: bool = False
    texts: dict[str, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    #: the tables that the run itself makes
    made: set[str] = field(default_factory=set)

    def attempt(self, path: str, work: Any, *args: Any) -> Any:
        """Collect what is wrong with one part, so that all problems show at once."""
        try:
            return work(*args)
        except BadInput as error:
            for problem in error.problems:
                where = problem if problem.file else Problem(file=str(self.file), path=path, message=problem.message)
                self.problems.append(where)
            return None


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
    draft = _Draft(runbook, file, Templates(project.template_roots), given_inputs(runbook, inputs or {}), protected)
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
    questions = {
        name: script
        for name, check in runbook.checks.items()
        if (source := check.sql or check.time) and (script := _question(draft, name, source))
    }
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
        environment=runbook.environment,
        inputs=draft.variables,
        people=runbook.people,
        updates=runbook.updates,
        sql=runbook.sql,
        backup=next(iter(_asked_here(draft, [runbook.backup])), None),
        baseline=runbook.baseline,
        checks=runbook.checks,
        questions=questions,
        phases=tuple(phases),
        tasks=tuple(tasks),
        steps=tuple(steps),
        rollback=runbook.rollback.model_copy(
            update={"authority": next(iter(_asked_here(draft, [runbook.rollback.authority])), None)}
        ),
        sources=digest_sources(file, draft.templates, draft.variables, target),
    )
    meanings = {sha: _meaning(text) for sha, text in draft.texts.items()}
    sealed = plan.model_copy(update={"seal": seal(plan, meanings)})
    return Prepared(plan=sealed, texts=draft.texts, warnings=tuple(draft.warnings))


def _asked_here(draft: _Draft, parts: Sequence[_Asked | None]) -> tuple[_Asked, ...]:
    """Return what people are asked on the target that is planned for."""
    return tuple(part for part in parts if part is not None and (part.targets == "all" or draft.protected))


def _protect(draft: _Draft, target: str) -> None:
    """See that people decide about every phase that runs on a protected target."""
    if not draft.protected:
        return
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


def _later(draft: _Draft, when: datetime, by: timedelta) -> datetime:
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
    draft: _Draft, number: int, phase: Phase, begins: datetime, steps: list[PlannedStep], tasks: list[PlannedTask]
) -> PlannedPhase:
    first, moment = len(steps), begins
    for task in phase.ordered_tasks():
        task_first = len(steps)
        path = f"phases[{number}].tasks[{phase.tasks.index(task)}]"
        for s, step in enumerate(task.steps):
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
        go_if=phase.gate.go_if,
        before=_asked_here(draft, phase.gate.confirm),
        approve=next(iter(_asked_here(draft, [phase.gate.approve])), None),
        after=_asked_here(draft, phase.confirm),
        verify=phase.verify,
        watch=phase.watch,
        every=phase.every,
        soak=phase.soak,
        on_failure=phase.on_failure,
        on_cancel=phase.on_cancel,
        first=first,
        last=len(steps) - 1,
        start=begins,
        end=_later(draft, moment, phase.soak),
    )


def _plan_step(draft: _Draft, path: str, phase: int, task: Task, number: int, step: Step) -> PlannedStep:
    name = f"{task.task}.{step.step or number + 1}"
    forward: list[Script] = []
    sources = 0
    if step.kind == "sql":
        forward, sources = _scripts(draft, f"{path}.sql", step.sql or ())
        _check_no_batch(draft, f"{path}.sql", forward)
    elif step.backfill is not None:
        forward, sources = _scripts(draft, f"{path}.backfill.sql", (step.backfill.sql,))
        _check_batch(draft, f"{path}.backfill.sql", forward, sources)
    undo: tuple[Script, ...] | None = () if step.kind in ("check", "confirm") or step.undo == ("nothing",) else None
    paired = False
    if undo is None and step.undo is not None:
        backward, undo_sources = _scripts(draft, f"{path}.undo", step.undo)
        _check_no_batch(draft, f"{path}.undo", backward)
        paired = sources == undo_sources > 1
        undo = tuple(sorted(backward, key=lambda s: -s.part)) if paired else tuple(backward)
    elif undo is None:
        draft.warnings.append(f"{path}: the step has no undo, so the run cannot be turned back past it; write `undo:`")
    if step.done_if:
        draft.attempt(f"{path}.done_if", split, step.done_if, f"{path}.done_if")
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
    )


def _scripts(draft: _Draft, path: str, patterns: Sequence[str]) -> tuple[list[Script], int]:
    """Render the templates that some names or globs mean; return their scripts and how many sources there are."""
    scripts: list[Script] = []
    sources = 0
    for pattern in patterns:
        for source in draft.attempt(path, draft.templates.find, pattern, draft.runbook.runbook) or ():
            text = draft.attempt(path, draft.templates.render, source, draft.variables)
            if text is not None:
                label = draft.templates.label(source, text)
                statements = draft.attempt(path, split, text, label)
                if statements is not None:
                    scripts += _units(draft, source, label, text, statements, sources)
            sources += 1
    return scripts, sources


def _units(draft: _Draft, source: str, label: str, text: str, statements: list[Statement], part: int) -> list[Script]:
    """Return the scripts of one source: itself, or its statements where one of them must run alone."""
    if not statements:
        draft.problems.append(Problem(file=label, message="holds no SQL; a step that does nothing is a mistake"))
        return []
    if all(statement.transactional for statement in statements):
        sets = any(statement.sets for statement in statements)
        return [Script(source=source, sha256=_keep(draft, text), part=part, sets=sets, locks=_locks(draft, statements))]
    for statement in statements:
        if statement.act == "create index" and not statement.object:
            message = "name the index: without a name, an unfinished one could not be found again"
            draft.problems.append(Problem(file=label, line=statement.line, message=message))
        if statement.sets:
            message = "SET in a script that runs statement by statement would not last to the next; put it in a script of its own"
            draft.problems.append(Problem(file=label, line=statement.line, message=message))
    return [
        Script(
            source=source,
            sha256=_keep(draft, statement.text),
            line=statement.line,
            part=part,
            transactional=statement.transactional,
            act=statement.act,
            object=statement.object,
            locks=_locks(draft, [statement]),
        )
        for statement in statements
    ]


def _locks(draft: _Draft, statements: Sequence[Statement]) -> tuple[str, ...]:
    """Return the strongest lock on each table, but for tables that the run itself makes: those block nobody."""
    draft.made.update(statement.makes for statement in statements if statement.makes)
    strongest: dict[str, str] = {}
    for statement in statements:
        for mode, table in statement.locks:
            if table not in draft.made:
                strongest[table] = max(strongest.get(table, mode), mode, key=MODES.index)
    return tuple(f"{mode} on {table}" for table, mode in strongest.items())


def _check_no_batch(draft: _Draft, path: str, scripts: list[Script]) -> None:
    if any("gonogo.batch(" in draft.texts[script.sha256] for script in scripts):
        message = "{{ batch }} has a meaning in the template of a backfill only"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))


def _check_batch(draft: _Draft, path: str, scripts: list[Script], sources: int) -> None:
    if sources > 1:
        message = f"a batch is one template; these are {sources}"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
    for script in scripts:
        if not script.transactional:
            draft.problems.append(Problem(file=str(draft.file), path=path, message="a batch must be transactional"))
        elif "gonogo.batch(" not in draft.texts[script.sha256]:
            message = "the template of a batch must say WHERE {{ batch }}, or every batch would change the whole table"
            draft.problems.append(Problem(file=str(draft.file), path=path, message=message))


def _question(draft: _Draft, name: str, source: str) -> Script | None:
    """Render the query of a check: one statement."""
    path = f"checks.{name}"
    found = draft.attempt(path, draft.templates.find, source, draft.runbook.runbook)
    if not found:
        return None
    text = draft.attempt(path, draft.templates.render, found[0], draft.variables)
    if text is None:
        return None
    label = draft.templates.label(found[0], text)
    statements = draft.attempt(path, split, text, label)
    if statements is not None and len(statements) != 1:
        message = f"a check is one query; this has {len(statements)} statements"
        draft.problems.append(Problem(file=label, path=path, message=message))
    return Script(source=found[0], sha256=_keep(draft, text))


def _keep(draft: _Draft, text: str) -> str:
    sha256 = digest(text)
    draft.texts[sha256] = text
    return sha256


def _meaning(text: str) -> str:
    try:
        return meaning(text)
    except Exception:  # noqa: BLE001 - what cannot be normalised counts as it is written
        return text


def _warn(draft: _Draft, begins: datetime, ends: datetime, steps: list[PlannedStep]) -> None:
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
