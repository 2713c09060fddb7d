"""What a role lacks on a target, as SQL to paste; and whether a target is ready for a runbook."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated

import typer

from gonogo.cli.options import JsonOption, RunbookArg, TargetOption
from gonogo.cli.output import as_json, say, table
from gonogo.errors import BadInput, Exit
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.postgres.rights import PURPOSES, Level, lacking
from gonogo.postgres.scratch import scratch_server_of
from gonogo.project import find_project
from gonogo.run import targets
from gonogo.run.fitness import Finding, examine

LevelOption = Annotated[
    Level | None, typer.Option("--level", "-l", help="What is to be done; by default what the runbook needs.")
]


def grants(runbook: RunbookArg, target: TargetOption = "", level: LevelOption = None, json: JsonOption = False) -> None:
    """Print the SQL that gives gonogo's role what it lacks on a target: for an administrator to read, and to run.

    The target is asked, and nothing is changed. Exit 10 where something is missing. The levels: look, run, backup (and rehearse
    on another server), copy (make copies on the target's own server), restore (by a swap of names).

    Example: [bold]gonogo grants guardian-multi-credit --target demo --level restore[/]
    """
    opened = open_runbook(runbook, target)
    wanted = level or needed_level(opened)
    with targets.reach(opened).connect("gonogo/grants") as connection:
        lacks = lacking(connection, wanted)
    if json:
        as_json({"target": opened.target, "level": wanted, "lacks": [asdict(lack) for lack in lacks]})
    else:
        for lack in lacks:
            typer.echo(f"-- {lack.level}: {one_line(lack.what)}\n{lack.grant}")
        if not lacks:
            typer.echo(f"-- nothing is missing on {opened.target} for {wanted}: {PURPOSES[wanted]}")
    raise typer.Exit(Exit.NO_GO if lacks else Exit.DONE)


def one_line(text: str) -> str:
    """Return a text for a comment of SQL: a line break in a name would end it, and an administrator would run the rest."""
    return " ".join(re.split(r"[\x00-\x1f\x7f\x85\u2028\u2029]+", text))


def examine_target(target: str, runbook: str, *, json: bool) -> None:
    """Say whether a target is ready for a runbook.

    Raises:
        BadInput: no runbook has the target, or several mean different ones.
    """
    opened = open_runbook(runbook, target) if runbook else _any_with(target)
    room = scratch_server_of(targets.reach(opened), opened.chosen.rehearse_on, opened.project.state)
    facts = list(examine(room.database, room, needed_level(opened)))
    missing = [fact for fact in facts if fact.finding is Finding.MISSING]
    if json:
        as_json(
            {"target": opened.target, "runbook": opened.name, "ready": not missing, "facts": [asdict(fact) for fact in facts]}
        )
    else:
        table(f"{opened.target}, for {opened.name}", ["what", "", "found"], [(f.what, f.finding, f.said) for f in facts])
        if any(fact.grants for fact in missing):
            say(f"next: gonogo grants {opened.name} --target {opened.target}", "yellow")
        else:
            say("ready" if not missing else "not ready", "green" if not missing else "yellow")
    raise typer.Exit(Exit.NO_GO if missing else Exit.DONE)


def needed_level(opened: OpenedRunbook) -> Level:
    """Return the level that a runbook needs of its target."""
    asked = (opened.runbook.backup, opened.runbook.rehearsal)
    return Level.BACKUP if any(each is not None and not each.waived for each in asked) else Level.RUN


def _any_with(target: str) -> OpenedRunbook:
    """Return a runbook of the project that has a target of a name, where all that have one mean the same."""
    found = dict[str, OpenedRunbook]()
    for file in find_project().runbook_files:
        try:
            opened = open_runbook(file.stem, target)
        except BadInput:
            # it has no such target, or cannot be read
            continue
        found.setdefault(f"{opened.chosen.database} {opened.chosen.direct} {opened.chosen.role}", opened)
    if not found:
        raise BadInput(f"no runbook of this project has a target {target!r}; name one: --runbook NAME")
    if len(found) > 1:
        names = ", ".join(each.name for each in found.values())
        raise BadInput(f"the target {target!r} means different databases in {names}; name one of them: --runbook NAME")
    return next(iter(found.values()))
