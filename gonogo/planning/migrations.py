"""Steps that another migration tool keeps: each change with its rollback, and with what the tool records of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from gonogo.core.model.check import Check
from gonogo.core.model.runbook import Runbook, Task
from gonogo.core.model.step import MigrationFolder, Step
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.errors import BadInput, Problem
from gonogo.migrations.changes import Change, Migrations, Piece, ended, require_no_placeholder
from gonogo.migrations.choose import between
from gonogo.migrations.folders import read_folder
from gonogo.migrations.tools.record import Record, not_as_it_was, not_recorded
from gonogo.migrations.tools.registry import BY_NAME, RECORDS
from gonogo.planning.alembic_source import alembic_files, is_alembic, read_alembic
from gonogo.planning.scripts import Draft, units
from gonogo.sql.parse import split


def plan_migrations(draft: Draft, path: str, phase: int, task: Task, step: Step, given: MigrationFolder) -> list[PlannedStep]:
    """Return a step for each change that is meant.

    Args:
        draft: the plan in the making; the checks that ask the tool's record are added to it.
        path: where the step stands in the runbook.
        phase: the number of its phase.
        task: its task.
        step: what the runbook says.
        given: of which folder.

    Raises:
        BadInput: the folder cannot be read, or does not have what is meant.
    """
    folder = draft.folder / given.folder
    record, done, chosen, found = _chosen(draft, given, folder)
    draft.templates.used |= files_of(folder, given)
    for file, why in found.left_out:
        draft.warnings.append(f"{path}.migrations: {file} is left out: {why}")
    if record:
        _ask_the_record(draft, path, phase, task, record, done, chosen)
    return [
        _planned(draft, path, phase, task, step, change, before, record)
        for before, change in zip([done[-1] if done else None, *chosen], chosen, strict=False)
    ]


def _chosen(draft: Draft, given: MigrationFolder, folder: Path) -> tuple[Record | None, list[Change], list[Change], Migrations]:
    """Return how the tool records, what is done already, what is to be done, and all that was read."""
    if is_alembic(given, folder):
        found = read_alembic(given, folder, draft.runbook.environment)
        done = [Change(name=found.after)] if found.after else []
        return _record(found, given), done, found.changes, found
    if not folder.is_dir():
        raise BadInput(f"there is no folder {folder}")
    found = read_folder(folder)
    require_no_placeholder(found)
    record = _record(found, given)
    return record, *between(found.changes, given.since, given.to, record.key if record else None), found


def migration_files(runbook: Runbook, folder: Path) -> set[str]:
    """Return the files of the migrations that a runbook's steps name, below a project's folder.

    Raises:
        BadInput: a folder cannot be read.
    """
    steps = (step for phase in runbook.phases for task in phase.tasks for step in task.steps)
    named = {step.migrations.folder: step.migrations for step in steps if step.migrations is not None}
    return {file for each in named.values() for file in files_of(folder / each.folder, each)}


def files_of(folder: Path, given: MigrationFolder) -> set[str]:
    """Return the files that some migrations are made from.

    Raises:
        BadInput: the folder cannot be read.
    """
    if is_alembic(given, folder):
        return alembic_files(folder)
    changes = read_folder(folder).changes
    return {piece.file for change in changes for piece in (*change.forward, *change.back)}


def _record(found: Migrations, given: MigrationFolder) -> Record | None:
    """Return how the tool records what is done, unless nothing is to be recorded.

    Raises:
        BadInput: that is not known.
    """
    if not given.record:
        return None
    if given.tool:
        if given.tool.lower() not in BY_NAME:
            raise BadInput(f"how {given.tool!r} records what is done is not known; {_KNOWN}")
        record = BY_NAME[given.tool.lower()]
        if found.form not in (record.tool, *record.reads_as):
            raise BadInput(f"its files look like {found.form}, not {record.tool}: name their tool, or leave it out")
        return record
    if found.form not in RECORDS:
        raise BadInput(f"the folder looks like {found.form}, and gonogo does not know how that records what is done; {_KNOWN}")
    return RECORDS[found.form]


_KNOWN = (
    f"known are {', '.join(sorted(RECORDS, key=str.lower))}: write `tool:`, or `record: false` where nothing is to be recorded"
)


def _planned(
    draft: Draft, path: str, phase: int, task: Task, step: Step, change: Change, before: Change | None, record: Record | None
) -> PlannedStep:
    settings = draft.runbook.sql
    add = record.add(change, before) if record else ""
    forward = _scripts(draft, path, change, change.forward, add)
    undo: tuple[Script, ...] | None = None
    if change.nothing_to_reverse and not record:
        undo = ()
    elif change.back:
        undo = tuple(_scripts(draft, path, change, change.back, record.drop(change, before) if record else ""))
    else:
        draft.warnings.append(f"{path}: {change.name} has no rollback, so the run cannot be rolled back past it")
    destroys = dict.fromkeys(table for script in undo or () for table in script.destroys)
    keeps = step.keeps
    if record:
        # what the run wrote there is its own, and nobody's rows
        destroys.pop(record.table, None)
        known = keeps if isinstance(keeps, dict) else {}
        keeps = keeps if isinstance(keeps, str) and keeps else {record.table: "it is what the run recorded", **known}
    return PlannedStep(
        name=draft.named(f"{task.task}.{re.sub(r'[^A-Za-z0-9_.-]+', '-', change.name)}"),
        task=task.task,
        phase=phase,
        kind="sql",
        scripts=tuple(forward),
        undo=undo,
        lock_timeout=step.lock_timeout or settings.lock_timeout,
        statement_timeout=step.statement_timeout or settings.statement_timeout,
        again=step.again,
        destroys=tuple(destroys),
        keeps=keeps,
        no_return=step.no_return,
        within=timedelta(minutes=30),
    )


def _scripts(draft: Draft, path: str, change: Change, pieces: Sequence[Piece], recorded: str) -> list[Script]:
    """Return the scripts of one side of a change, with what its tool records: in its transaction, or right after it."""
    # one that holds no SQL is only recorded
    file = pieces[0].file if pieces else str(draft.folder / change.path)
    # the lines stay those of the file
    text = "\n" * (pieces[0].line - 1 if pieces else 0) + "".join(ended(piece.text) for piece in pieces)
    statements = draft.attempt(path, split, text, file)
    if statements is None:
        return []
    inside = Path(file).relative_to(draft.folder) if Path(file).is_relative_to(draft.folder) else Path(file)
    source = inside.as_posix()
    if not recorded or not all(statement.transactional for statement in statements):
        made = units(draft, source, file, text, statements, 0)
        return made + (units(draft, source, file, recorded, split(recorded, source), 0) if recorded else [])
    # before the change: it may set another search path, and the tool's table is found by the role's own
    whole = f"{recorded};\n{text}"
    return [script.model_copy(update={"line": 0}) for script in units(draft, source, file, whole, split(whole, file), 0)]


def _ask_the_record(
    draft: Draft, path: str, phase: int, task: Task, record: Record, done: Sequence[Change], chosen: Sequence[Change]
) -> None:
    """Ask the tool's record at the gate whether it stands where it should, and at the end whether it says that all is done."""
    last = done[-1] if done else None
    before = draft.recorded.setdefault((phase, record.table), set())
    if before and (record.newest_only or (last and record.key(last) in before)):
        message = f"{record.tool}'s record is asked at the gate, before what comes first in this phase: take a phase of its own"
        draft.problems.append(Problem(file=str(draft.file), path=path, message=message))
    before.update(map(record.key, chosen))
    by = f"by {record.tool}'s own record ({record.table})"
    stands = f"{last.name} must be done, and nothing after it" if last else "none of these changes may be done"
    advice = f"see what {record.tool} says, and name the newest that is done in `since:`"
    for word, query, about, of_phase in (
        ("pending", not_as_it_was(record, last, chosen), f"{by} {stands}: {advice}", draft.go_if),
        ("recorded", not_recorded(record, chosen), f"{by} all these changes must be done", draft.verify),
    ):
        plain = name = f"{task.task}_{word}"
        number = 2
        while name in draft.checks:
            name, number = f"{plain}_{number}", number + 1
        if name in draft.runbook.checks:
            message = f"a check {name} is made for the migrations of this task; give the one that is there another name"
            draft.problems.append(Problem(file=str(draft.file), path=f"checks.{name}", message=message))
        draft.checks[name] = Check(about=about, query=query, expect=("= 0",))
        of_phase.setdefault(phase, []).append(name)
