"""The groups of commands: `gonogo people`, `gonogo ledger`, `gonogo backup`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gonogo.cli.options import JsonOption, RunbookArg, RunOption, TargetOption

ledger_app = typer.Typer(no_args_is_help=True, help="Check or export the record of a run.")
people_app = typer.Typer(no_args_is_help=True, help="The people who decide, and the keys that prove them.")
backup_app = typer.Typer(no_args_is_help=True, help="The backups of the project: take, prove, list, prune.")


@people_app.command("enroll")
def people_enroll(
    person: Annotated[str, typer.Argument(help="Their name in `people:` of the runbooks.", show_default=False)],
    again: Annotated[bool, typer.Option("--again", help="Make a new key; the old one then proves nothing.")] = False,
) -> None:
    """Make a person's key, and show it once as a QR code for an authenticator app.

    Example: [bold]gonogo people enroll lead[/]
    """
    from gonogo.cli import people  # noqa: PLC0415

    people.enroll(person, again)


@people_app.command("list")
def people_list(json: JsonOption = False) -> None:
    """List who is enrolled.

    Example: [bold]gonogo people list[/]
    """
    from gonogo.cli import people  # noqa: PLC0415

    people.listed(json)


@people_app.command("remove")
def people_remove(person: Annotated[str, typer.Argument(help="Who.", show_default=False)]) -> None:
    """Forget a person's key: they can prove nothing any more.

    Example: [bold]gonogo people remove lead[/]
    """
    from gonogo.cli import people  # noqa: PLC0415

    people.remove(person)


@ledger_app.command("verify")
def ledger_verify(runbook: RunbookArg, target: TargetOption = "", run_id: RunOption = "", json: JsonOption = False) -> None:
    """Recompute the hash chain of a run: whatever was changed by hand shows.

    Example: [bold]gonogo ledger verify guardian-multi-credit[/]
    """
    from gonogo.cli import status  # noqa: PLC0415

    status.ledger_verify(runbook, target, run_id, json)


@ledger_app.command("export")
def ledger_export(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output by default.")] = None,
) -> None:
    """Write every fact of a run as a line of JSON, with its hash.

    Example: [bold]gonogo ledger export guardian-multi-credit --output run.jsonl[/]
    """
    from gonogo.cli import status  # noqa: PLC0415

    status.ledger_export(runbook, target, run_id, output)


@backup_app.command("take")
def backup_take(runbook: RunbookArg, target: TargetOption = "", json: JsonOption = False) -> None:
    """Take a backup of a target as the runbook says, restore it into a scratch database, and compare.

    Example: [bold]gonogo backup take guardian-multi-credit --target demo[/]
    """
    from gonogo.cli import backup  # noqa: PLC0415

    backup.take(runbook, target, json)


@backup_app.command("prove")
def backup_prove(
    runbook: RunbookArg,
    folder: Annotated[Path, typer.Argument(help="The backup's folder; `gonogo backup list` names them.", show_default=False)],
    target: TargetOption = "",
    json: JsonOption = False,
) -> None:
    """Restore a backup into a scratch database, and compare it with what it was taken of.

    Example: [bold]gonogo backup prove guardian-multi-credit .gonogo/backups/guardian-multi-credit-by-hand-20251012T180000[/]
    """
    from gonogo.cli import backup  # noqa: PLC0415

    backup.prove(runbook, folder, target, json)


@backup_app.command("list")
def backup_list(runbook: RunbookArg, json: JsonOption = False) -> None:
    """List a runbook's backups, the newest first, and which ones have outlived `keep:`.

    Example: [bold]gonogo backup list guardian-multi-credit[/]
    """
    from gonogo.cli import backup  # noqa: PLC0415

    backup.listed(runbook, json)


@backup_app.command("prune")
def backup_prune(
    runbook: RunbookArg,
    yes: Annotated[bool, typer.Option("--yes", help="Remove them; without it they are only named.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove a runbook's backups that are older than `keep:`, but never the newest one, nor one that an unfinished run may need.

    Example: [bold]gonogo backup prune guardian-multi-credit --yes[/]
    """
    from gonogo.cli import backup  # noqa: PLC0415

    backup.prune(runbook, yes, json)
