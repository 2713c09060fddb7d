"""`gonogo uninstall`: what gonogo left in a target, and taking it away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from psycopg import sql

from gonogo import clock
from gonogo.cli.callers import ask_code, caller_of
from gonogo.cli.files import write_file
from gonogo.cli.options import CodeOption, JsonOption, PersonOption, RunbookArg, TargetOption
from gonogo.cli.output import as_json, say
from gonogo.core.text.plain import counted
from gonogo.errors import Refused
from gonogo.ledger import store
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.postgres.connection import Connection
from gonogo.run import runs, targets
from gonogo.run.signatures import keys_of
from gonogo.run.uninstall import Left, left_in, remove_ledger
from gonogo.run.votes import Caller, may


def uninstall(
    runbook: RunbookArg,
    target: TargetOption = "",
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without it, it is only named.")] = False,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also where a run is not over: then nobody can go on with it.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where the ledger is kept; without it, in .gonogo/exports/.")
    ] = None,
    actor: PersonOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Say what gonogo left in a target, and with --yes remove it; the ledger is exported first.

    Databases that a restore kept, and the project's own files, are named and stay: they are yours.

    Example: [bold]gonogo uninstall guardian-multi-credit --target staging --yes[/]
    """
    opened = open_runbook(runbook, target)
    with targets.connect_recovering(targets.reach(opened), "gonogo/uninstall") as connection:
        found = left_in(connection)
        if yes and found.unfinished and not unfinished:
            raise Refused(
                f"not over yet: {', '.join(found.unfinished[:5])}. End it first (gonogo abort, or gonogo resume), or say"
                " --unfinished: then nobody can go on with it, or roll it back"
            )
        file: Path | None = None
        if yes:
            if opened.chosen.protected or store.protected_as(connection):
                _require_person(connection, opened, caller_of(actor, code))
            file = output or opened.project.state / "exports" / f"{opened.target}-{clock.now():%Y%m%d-%H%M%S}.jsonl"
            remove_ledger(connection, partial(_keep, file))
    if json:
        as_json({"target": opened.target, "removed": yes, "exported": file or "", **asdict(found)})
        return
    _tell(found, opened.target, file)


def _require_person(connection: Connection, opened: OpenedRunbook, caller: Caller) -> None:
    """Let only one of the runbook's people remove the record of a protected target, and have them prove it.

    Raises:
        Refused: they are none of them, or did not prove it.
    """
    newest = runs.find(connection, runbook=opened.name).plan
    # the runbook says who its people are, and not a plan that nobody signed
    plan = newest.model_copy(update={"protected": True, "people": opened.runbook.people})
    may(plan, keys_of(opened.project), ask_code(plan, caller), "remove its record")


def _keep(file: Path, lines: Iterable[str]) -> None:
    write_file(file, (f"{line}\n" for line in lines))


def _tell(found: Left, target: str, file: Path | None) -> None:
    runs = f"the schema gonogo of {target}: {counted(len(found.runs), 'run')}, {counted(found.events, 'event')}"
    say(f"removed {runs}; kept in {file}" if file else runs)
    for name in found.unfinished:
        say(f"  not over: {name}", "yellow")
    for name in found.databases:
        say(f"a restore kept what was there before it: {sql.SQL('DROP DATABASE {};').format(sql.Identifier(name)).as_string()}")
    for name in found.roles:
        say(f"a killed process left a role: {sql.SQL('DROP ROLE {};').format(sql.Identifier(name)).as_string()}")
    say("on this machine: the project's .gonogo/ (backups, reports, keys, the embedded database)")
    if file is None:
        say("use --yes to remove the schema; the rest stays")
