"""What is to be looked at in a plan before it is merged: what blocks, what does not roll back, what is likely not meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from gonogo.core.model.finding import Finding, Level
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.planning.prepared import Prepared
from gonogo.sql.blocking import blocking
from gonogo.sql.parse import split


def plan_findings(
    prepared: Prepared, warnings: Iterable[tuple[str, int]], *, runbook: str, file_of: Callable[[str], str]
) -> list[Finding]:
    """Return what is found in a plan.

    Args:
        prepared: the plan with its texts.
        warnings: what planning warned of, each with its line in the runbook.
        runbook: the path of the runbook's file.
        file_of: returns the path of a script's source, or nothing where it stands in the runbook.
    """
    found = [Finding(kind="advice", file=runbook, line=line, what=what) for what, line in warnings]

    def at(script: Script | None, line: int = 1) -> tuple[str, int]:
        file = file_of(script.source) if script else ""
        return (file, script.line + line - 1) if script and file else (runbook, 1)

    new = set[str]()
    for step in prepared.plan.steps:
        if step.undo is None:
            file, line = at(step.scripts[0] if step.scripts else None)
            found.append(Finding(kind="no rollback", file=file, line=line, what=_no_rollback(step)))
        for script, line_in, what, fix, level in _locks(prepared, step, new):
            file, line = at(script, line_in)
            found.append(Finding(kind="blocks", file=file, line=line, what=f"{step.name} {what}", fix=fix, lower=level))
        if step.destroys and not step.keeps:
            file, line = at(step.undo[0] if step.undo else None)
            what = f"the undo of {step.name} destroys what is in {', '.join(step.destroys)}"
            fix = "say in `keeps:` why that loses nothing; otherwise a person is asked, that night"
            found.append(Finding(kind="destroys", file=file, line=line, what=what, fix=fix))
    return found


def _locks(prepared: Prepared, step: PlannedStep, new: set[str]) -> Iterator[tuple[Script, int, str, str, Level | None]]:
    """Yield the locks of a step that block others: script, line in it, what, what to do, and a level where that is lower."""
    for script in step.scripts:
        if not step.row.counts_scripts and step.backfill is None:
            continue  # what a program or a request does is not SQL
        statements = split(prepared.texts[script.sha256], script.source)
        new.update(statement.makes for statement in statements)
        for each in blocking(statements, new, together=script.transactional):
            level = None if each.why else Level.NOTE
            yield script, statements[each.statement].line, each.said, each.fix, level


def _no_rollback(step: PlannedStep) -> str:
    if step.no_return:
        return f"{step.name} is a point of no return: from there on nothing rolls back by itself"
    return f"{step.name} has no undo: the run cannot be rolled back past it"
