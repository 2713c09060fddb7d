"""`gonogo psql`: look into a target by hand, also into the embedded PostgreSQL, which runs only while a command needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from psycopg.conninfo import conninfo_to_dict

from gonogo import private_files
from gonogo.cli.options import RunbookArg, TargetOption
from gonogo.errors import Refused
from gonogo.planning.open import open_runbook
from gonogo.postgres.tools import without_password
from gonogo.run import targets


def psql(
    runbook: RunbookArg,
    arguments: Annotated[
        list[str] | None, typer.Argument(help="What psql gets, after --: `-- -c 'TABLE orders'`.", show_default=False)
    ] = None,
    target: TargetOption = "",
) -> None:
    """Start psql on a target, also on the embedded PostgreSQL. What is typed there is no part of a run.

    psql itself is not a part of gonogo: install PostgreSQL's client programs (Debian: postgresql-client).

    Example: [bold]gonogo psql hello -- -c 'TABLE greetings'[/]
    """
    program = shutil.which("psql")
    if program is None:
        raise Refused("there is no psql on the PATH; install PostgreSQL's client programs (Debian: postgresql-client)")
    url = targets.reach(open_runbook(runbook, target)).url
    with tempfile.TemporaryDirectory(prefix="gonogo-") as folder:
        environment = dict(os.environ)
        if password := conninfo_to_dict(url).get("password"):
            environment["PGPASSFILE"] = str(private_files.write_password(Path(folder), str(password)))
        done = subprocess.run([program, f"--dbname={without_password(url)}", *(arguments or [])], env=environment, check=False)
    raise typer.Exit(done.returncode)
