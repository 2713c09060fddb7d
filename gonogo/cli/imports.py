"""Commands for migrations that others wrote: examine them, and make a runbook of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from gonogo import __version__, clock
from gonogo.cli.options import JsonOption
from gonogo.cli.output import as_json, say
from gonogo.cli.reviews import (
    FailOnOption,
    FormatOption,
    level_of,
    named_for_the_host,
    outcome_of,
    path_for_the_host,
    show_findings,
    wanted_forms,
    write_forms,
)
from gonogo.cli.rights import examine_target
from gonogo.core.model.duration import say_duration
from gonogo.core.model.finding import Finding
from gonogo.core.text.findings.review import Review
from gonogo.core.text.plain import counted
from gonogo.errors import BadInput
from gonogo.importers import kept, write
from gonogo.importers import read as reader
from gonogo.importers.accepted import accept, file_of, read_accepted
from gonogo.importers.doctor import Examined, examine, summary
from gonogo.migrations.changes import Change, Migrations, all_pieces, require_no_placeholder
from gonogo.migrations.choose import between
from gonogo.migrations.tools.registry import RECORDS
from gonogo.project import find_project

SinceOption = Annotated[
    str, typer.Option("--since", help="The newest change that is done already: what comes after it is meant.", show_default=False)
]
ToOption = Annotated[
    str, typer.Option("--to", help="The last change that is meant; the last of all without it.", show_default=False)
]


def doctor(
    path: Annotated[
        Path | None, typer.Argument(help="A plan in Markdown, or a folder of migrations.", show_default=False)
    ] = None,
    target: Annotated[str, typer.Option("--target", "-t", help="Look at a target instead: whether it is ready.")] = "",
    runbook: Annotated[str, typer.Option("--runbook", "-b", help="Whose target, where several have one of the name.")] = "",
    since: SinceOption = "",
    to: ToOption = "",
    schema: Annotated[Path | None, typer.Option("--schema", "-s", help="SQL that creates what the migrations build on.")] = None,
    superuser: Annotated[
        bool,
        typer.Option("--superuser", help="Run them as a superuser: they may then do all that this account may. Read them first."),
    ] = False,
    formats: FormatOption = None,
    fail_on: FailOnOption = "warning",
    anew: Annotated[bool, typer.Option("--anew", help="Examine again, also where nothing has changed.")] = False,
    json: JsonOption = False,
) -> None:
    """Run somebody's migrations on a scratch database: what PostgreSQL refuses, what blocks, what does not roll back.

    Reads plans in Markdown, and folders of golang-migrate, Flyway, dbmate, goose, diesel, sqitch, Alembic or numbered files.
    Exit 10 where something is wrong that nobody accepted (gonogo-doctor.yaml beside the migrations). With --target it examines a
    target: how it is reached, what the role may, which of PostgreSQL's programs fit, where copies are made.

    Example: [bold]gonogo doctor MIGRATION_PLAN.md --schema before.sql[/]
    """
    forms, least = wanted_forms(formats, json=json), level_of(fail_on)
    if target or path is None:
        _examine_target(path, target, runbook, json=json)
        return
    found_changes = reader.read(path)
    done, found_changes.changes = _meant(found_changes, since, to)
    accepted = read_accepted(path)
    quiet = json or any(file is None for _, file in forms)
    found, told = _examined(found_changes, done, _schema(schema), superuser=superuser, anew=anew, quiet=quiet)
    accept(found, accepted, str(file_of(path)), clock.now().astimezone().date())
    told = f"{summary(found)}{told}"
    review = _review(path, found_changes, found.findings, told)
    if json:
        levels = [asdict(f) | {"level": f.level, "path": f_.file} for f, f_ in zip(found.findings, review.findings, strict=True)]
        as_json({**asdict(found), "findings": levels, "summary": told})
        write_forms(review, forms)
    elif not write_forms(review, forms):
        show_findings(f"Examined {path}", review)
    raise typer.Exit(outcome_of(review, least))


def _examined(
    migrations: Migrations, done: list[Change], schema: str, *, superuser: bool, anew: bool, quiet: bool
) -> tuple[Examined, str]:
    """Return what an examination shows, and when it was made: now, or before where nothing has changed since."""
    name = kept.name_of(migrations, done, schema, superuser=superuser)
    if not anew and (known := kept.find(name)):
        return known.found, f"; examined at {known.at.astimezone():%Y-%m-%d %H:%M}, and nothing has changed since (--anew)"

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    began = clock.monotonic()
    found = examine(migrations, tell, done=done, schema=schema, superuser=superuser)
    kept.keep(name, found, clock.now())
    return found, f"; in {say_duration(clock.monotonic() - began)}"


def _schema(file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--schema {file}: {error}") from None


def _meant(migrations: Migrations, since: str, to: str) -> tuple[list[Change], list[Change]]:
    """Return the changes that are done already, and those that are meant."""
    if not (since or to):
        # a plan may hold queries alone
        return [], migrations.changes
    record = RECORDS.get(migrations.form)
    return between(migrations.changes, since, to, record.key if record else None)


def _review(path: Path, migrations: Migrations, findings: list[Finding], told: str) -> Review:
    return Review(
        command="doctor",
        version=__version__,
        subject=path_for_the_host(str(path)),
        summary=told,
        findings=named_for_the_host(findings),
        files=[path_for_the_host(piece.file) for piece in all_pieces(migrations)],
    )


def _examine_target(path: Path | None, target: str, runbook: str, *, json: bool) -> None:
    if path is not None or not target:
        raise BadInput("name a plan in Markdown, a folder of migrations, or a target: --target NAME; one of them")
    examine_target(target, runbook, json=json)


def import_(
    path: Annotated[Path, typer.Argument(help="A plan in Markdown, or a folder of migrations.", show_default=False)],
    name: Annotated[str, typer.Option("--name", "-n", help="The runbook's name; without one, that of the file or folder.")] = "",
    since: SinceOption = "",
    to: ToOption = "",
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Whether each change is recorded in its tool's own table, too.")
    ] = True,
    json: JsonOption = False,
) -> None:
    """Make a runbook of somebody's migrations: a task for each change, its SQL as templates, its rollback if it has one.

    Example: [bold]gonogo import db/migrations --name shop-orders[/]
    """
    found_changes = reader.read(path, own=record)
    done, found_changes.changes = _meant(found_changes, since, to)
    require_no_placeholder(found_changes)
    project = find_project()
    kept_by = RECORDS.get(found_changes.form) if record else None
    book = write.write(
        project.root, write.identifier(name or path.stem), found_changes, record=kept_by, before=done[-1] if done else None
    )
    one_way = [change.name for change in found_changes.changes if not change.back]
    if json:
        made = {"runbook": book.stem, "file": str(book), "form": found_changes.form, "record": kept_by.table if kept_by else ""}
        left_out = [{"file": str(file), "why": why} for file, why in found_changes.left_out]
        thresholds = [{"line": number, "text": text} for number, text in found_changes.thresholds]
        tasks = [change.name for change in found_changes.changes]
        as_json({**made, "tasks": tasks, "no_rollback": one_way, "left_out": left_out, "thresholds": thresholds})
        return
    say(f"{book}: {counted(len(found_changes.changes), 'task')} from {found_changes.form}", "green")
    if kept_by:
        say(f"each is recorded in {kept_by.table}, as {kept_by.tool} does; --no-record leaves that out")
    for file, why in found_changes.left_out:
        say(f"left out: {file}: {why}", "yellow")
    if one_way:
        say(f"{len(one_way)} of them have no rollback: {', '.join(one_way[:5])}{' ...' if len(one_way) > 5 else ''}", "yellow")
    for number, text in found_changes.thresholds[:20]:
        say(f"  a line that draws a threshold, for `checks:` (line {number}): {text[:120]}")
    say(f"next: gonogo validate {book.stem}; gonogo doctor {path}")
