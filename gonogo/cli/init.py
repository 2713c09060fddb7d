"""`gonogo init`: a small project that runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gonogo.cli.files import write_file
from gonogo.cli.options import JsonOption
from gonogo.cli.output import as_json, say
from gonogo.core.model.json_schema import schema_text
from gonogo.errors import BadInput

_FILES = {
    "runbooks/hello.yaml": """\
# yaml-language-server: $schema=../runbook.schema.json
runbook: hello
title: A first migration
targets:
  here: {database: embedded}            # gonogo's own PostgreSQL, in .gonogo/
  staging: {database: $STAGING_DATABASE_URL}

inputs:
  greeting: {default: hello, help: What the table says.}

people:
  lead: {name: Release manager, roles: [release_manager]}

phases:
  - phase: migrate
    gate: {go_if: [no_long_transactions]}
    tasks:
      - task: schema
        title: Make the table
        owner: lead
        takes: 5m
        steps:
          - {sql: 010_greetings.sql.j2, undo: 010_greetings.undo.sql}
          - {sql: 020_index.sql, undo: 020_index.undo.sql}
    verify: [greetings_there]

checks:
  no_long_transactions: {sql: checks/long_transactions.sql, expect: "= 0"}
  greetings_there: {sql: checks/greetings.sql, expect: ">= 1"}
""",
    "sql_templates/hello/010_greetings.sql.j2": """\
CREATE TABLE greetings (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, words text NOT NULL);
INSERT INTO greetings (words) VALUES ({{ greeting | literal }});
""",
    "sql_templates/hello/010_greetings.undo.sql": "DROP TABLE greetings;\n",
    "sql_templates/hello/020_index.sql": "CREATE INDEX CONCURRENTLY greetings_words ON greetings (words);\n",
    "sql_templates/hello/020_index.undo.sql": "DROP INDEX CONCURRENTLY IF EXISTS greetings_words;\n",
    "sql_templates/hello/checks/long_transactions.sql": """\
SELECT count(*) FROM pg_stat_activity WHERE xact_start < now() - interval '5 minutes'
""",
    "sql_templates/hello/checks/greetings.sql": "SELECT count(*) FROM greetings\n",
    ".gitignore": ".gonogo/\n",
}


def schema() -> None:
    """Print the JSON Schema of runbooks, for editors.

    Example: [bold]gonogo schema > runbook.schema.json[/]
    """
    typer.echo(schema_text(), nl=False)


def init(folder: Annotated[Path, typer.Argument(help="Where to make it.")] = Path(), json: JsonOption = False) -> None:
    """Make a project: a folder with a small runbook and its templates, ready to run.

    Example: [bold]gonogo init shop && cd shop && gonogo run hello --without-prefect[/]
    """
    files = {**_FILES, "runbook.schema.json": schema_text()}
    if there := [name for name in files if (folder / name).exists() and name != ".gitignore"]:
        raise BadInput(f"{folder / there[0]} is there already; init makes a new project and overwrites nothing")
    for name, text in files.items():
        if not (folder / name).exists():
            write_file(folder / name, text)
    if json:
        as_json({"project": folder.resolve(), "files": list(files)})
        return
    say(f"made a project in {folder.resolve()}")
    go = "" if folder.resolve() == Path.cwd() else f"cd {folder}; "
    say(f"next: {go}gonogo validate hello; gonogo plan hello; gonogo run hello")
