"""`gonogo psql`: look into a target by hand, also into the embedded PostgreSQL, which runs only while a command needs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Annotated

import typer

from gonogo import private_files
from gonogo.cli.options import RunbookArg, TargetOption
from gonogo.errors import Refused
from gonogo.planning.open import open_runbook
from gonogo.postgres.address import secrets_of, without_secrets
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
    with private_files.for_libpq(secrets := secrets_of(url)) as given:
        # without any, the user's own files count
        environment = {**os.environ, **(given if secrets else {})}
        done = subprocess.run([program, f"--dbname={without_secrets(url)}", *(arguments or [])], env=environment, check=False)
    raise typer.Exit(done.returncode)
