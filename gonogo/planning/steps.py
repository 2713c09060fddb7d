"""A step of the plan: what it runs, forward and back, and what is known of that before it runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from gonogo.core.model.check_kinds import Http, Program, split_line
from gonogo.core.model.runbook import Task
from gonogo.core.model.step import STEP_KINDS, Step, UndoBackfill
from gonogo.core.plan.plan import PlannedBackfill, PlannedStep, Script
from gonogo.errors import Problem
from gonogo.planning.scripts import Draft, check_batch, check_no_batch, external_script, program, query, request, scripts
from gonogo.sql.parse import split

#: a query that changes rows by the way
_CHANGING = re.compile(r"\b(insert\s+into|update|delete\s+from|merge\s+into)\b", re.IGNORECASE)


def plan_step(draft: Draft, path: str, phase: int, task: Task, number: int, step: Step) -> PlannedStep:
    """Return a step with its scripts, forward and back.

    Args:
        draft: the plan in the making.
        path: where the step stands in the runbook.
        phase: the number of its phase.
        task: its task.
        number: its number in the task, counted from 0.
        step: what the runbook says.
    """
    external = _external(draft, path, step)
    forward, sources = ([external_script(draft, external)], 0) if external is not None else _forward(draft, path, step)
    back = _way_back(draft, path, step, sources)
    if step.rows and (message := _uncounted(draft, forward)):
        draft.problems.append(Problem(file=str(draft.file), path=f"{path}.rows", message=message))
    settings = draft.runbook.sql
    return PlannedStep(
        name=draft.named(f"{task.task}.{step.step or number + 1}"),
        task=task.task,
        phase=phase,
        kind=step.kind,
        scripts=tuple(forward),
        undo=back.scripts,
        paired=back.paired,
        checks=draft.on_target(step.check or ()),
        confirm=draft.here(step.confirm or ()),
        backfill=_backfill(draft, step),
        lock_timeout=step.lock_timeout or settings.lock_timeout,
        statement_timeout=step.statement_timeout or settings.statement_timeout,
        done_if=query(draft, f"{path}.done_if", step.done_if) if step.done_if else "",
        again=step.again,
        destroys=tuple(dict.fromkeys(table for script in back.scripts or () for table in script.destroys)),
        keeps=step.keeps,
        journal=query(draft, f"{path}.journal", step.journal) if step.journal else "",
        no_return=step.no_return,
        rows=step.rows or "",
        external=external,
        undo_external=back.external,
        within=step.within or timedelta(minutes=30 if step.http is None else 0.5),
        in_rehearsal=step.in_rehearsal,
        wait=step.wait,
        given=_given(step),
    )


def _backfill(draft: Draft, step: Step) -> PlannedBackfill | None:
    given = step.backfill
    if given is None:
        return None
    pace = given.pace.model_copy(update={"goes_on_if": draft.on_target(given.pace.goes_on_if)})
    back = isinstance(step.undo, UndoBackfill)
    return PlannedBackfill(table=given.table, key=given.key, batch=given.batch, pace=pace, undo_in_batches=back)


def _forward(draft: Draft, path: str, step: Step) -> tuple[list[Script], int]:
    """Return the scripts of a step that works in the database, and from how many sources they come."""
    if step.backfill is not None:
        made, sources = scripts(draft, f"{path}.backfill.sql", (step.backfill.sql,))
        check_batch(draft, f"{path}.backfill.sql", made, sources)
    else:
        made, sources = scripts(draft, f"{path}.sql", step.sql or ())
        check_no_batch(draft, f"{path}.sql", made)
    return made, sources


class _Back(NamedTuple):
    """What reverses a step: some scripts, nothing, or None where nobody said."""

    scripts: tuple[Script, ...] | None
    paired: bool = False
    external: Program | Http | None = None


def _way_back(draft: Draft, path: str, step: Step, sources: int) -> _Back:
    """Return what reverses a step that comes from so many sources."""
    if not STEP_KINDS[step.kind].reversible or step.undo == ("nothing",):
        return _Back(())
    if step.undo is None:
        if not step.no_return:
            draft.warnings.append(f"{path}: the step has no undo, so the run cannot be rolled back past it; write `undo:`")
        return _Back(None)
    if isinstance(step.undo, Http):
        http = request(draft, f"{path}.undo", step.undo)
        return _Back((external_script(draft, http),), external=http)
    if isinstance(step.undo, Program):
        undo = program(draft, f"{path}.undo", step.undo, step.undo.argv)
        return _Back((external_script(draft, undo),), external=undo)
    if isinstance(step.undo, UndoBackfill):
        batches, back_sources = scripts(draft, f"{path}.undo.backfill", (step.undo.backfill,))
        check_batch(draft, f"{path}.undo.backfill", batches, back_sources, back=True)
        return _Back(tuple(batches))
    if step.run is not None:
        # where and with what the step's own program runs
        line = split_line(step.undo[0]) if len(step.undo) == 1 else step.undo
        undo = program(draft, f"{path}.undo", step.run, line)
        return _Back((external_script(draft, undo),), external=undo)
    backward, undo_sources = scripts(draft, f"{path}.undo", step.undo)
    check_no_batch(draft, f"{path}.undo", backward)
    paired = sources == undo_sources > 1
    return _Back(tuple(sorted(backward, key=lambda s: -s.part)) if paired else tuple(backward), paired=paired)


def _external(draft: Draft, path: str, step: Step) -> Program | Http | None:
    """Return what a step does beyond the database."""
    if step.run is not None:
        return program(draft, f"{path}.run", step.run, step.run.argv)
    return request(draft, f"{path}.http", step.http) if step.http is not None else None


def _uncounted(draft: Draft, forward: Sequence[Script]) -> str:
    """Say why the rows that a step changes cannot be counted, or nothing."""
    if len(forward) != 1 or not forward[0].transactional:
        return "what it changes is counted in one transaction; this step has none, or several"
    statements = draft.attempt("", split, draft.texts[forward[0].sha256], forward[0].source) or ()
    hidden = [
        s for s in statements if s.node in ("do_stmt", "call_stmt") or (s.node == "select_stmt" and _CHANGING.search(s.text))
    ]
    return "what DO, CALL and WITH ... SELECT change is not counted; write it as INSERT, UPDATE or DELETE" if hidden else ""


def _given(step: Step) -> object:
    """Return what the runbook says of a kind that needs nothing planned, as JSON data."""
    return None if STEP_KINDS[step.kind].planned else step.model_dump(mode="json")[step.kind]
