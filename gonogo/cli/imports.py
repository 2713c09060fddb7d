"""Commands for migrations that others wrote: examine them, and make a runbook of them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer

from gonogo import clock
from gonogo.cli.output import as_json, say, table
from gonogo.errors import BadInput, Exit
from gonogo.importers import read as migrations
from gonogo.importers import write
from gonogo.project import find_project


def doctor(path: Path, schema: Path | None, json: bool) -> None:
    """Examine migrations on a scratch database."""
    from gonogo.importers.doctor import examine, summary  # noqa: PLC0415 - what runs is imported where something runs

    read = migrations.read(path)
    try:
        made = schema.read_text(encoding="utf-8") if schema else ""
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"--schema {schema}: {error}") from None
    began = clock.monotonic()
    found = examine(read, find_project(), lambda text: None if json else typer.echo(text, err=True), schema=made)
    took = clock.monotonic() - began
    if json:
        as_json({**asdict(found), "summary": summary(found, took)})
    else:
        rows = [
            (
                f"{Path(finding.file).name}:{finding.line}",
                finding.kind,
                finding.what + (f" -> {finding.fix}" if finding.fix else ""),
            )
            for finding in found.findings
        ]
        if rows:
            table(f"Examined {path}", ["where", "", "what, and what to do"], rows)
        say(summary(found, took), "green" if not found.findings else "yellow")
    raise typer.Exit(Exit.NO_GO if found.findings else Exit.DONE)


def import_(path: Path, name: str) -> None:
    """Make a runbook of migrations."""
    read = migrations.read(path)
    project = find_project()
    book = write.write(project.root, write.identifier(name or path.stem), read)
    say(f"{book}: {len(read.changes)} tasks from {read.form}", "green")
    one_way = [change.name for change in read.changes if not change.back]
    if one_way:
        say(f"{len(one_way)} of them have no way back: {', '.join(one_way[:5])}{' ...' if len(one_way) > 5 else ''}", "yellow")
    for number, text in read.thresholds[:20]:
        say(f"  a line that draws a threshold, for `checks:` (line {number}): {text[:120]}")
    say(f"next: gonogo validate {book.stem}; gonogo doctor {path}")
