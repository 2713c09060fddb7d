"""The commands. Each imports what it needs when it runs, so that `--help` and `validate` answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gonogo import __version__

app = typer.Typer(
    name="gonogo",
    help="A PostgreSQL migration, run like a launch: gates, a watch, and a way back that works.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
ledger_app = typer.Typer(no_args_is_help=True, help="Check or export the record of a run.")
app.add_typer(ledger_app, name="ledger")

RunbookArg = Annotated[str, typer.Argument(help="A runbook: its name in runbooks/, or a path.", show_default=False)]
TargetOption = Annotated[str, typer.Option("--target", "-t", help="One of the runbook's targets; its first by default.")]
RunOption = Annotated[str, typer.Option("--run", help="A run by its id; the runbook's newest by default.")]
InputOption = Annotated[list[str] | None, typer.Option("--input", "-i", help="An input, as NAME=VALUE; the value is YAML.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
ReasonOption = Annotated[str, typer.Option("--reason", "-r", help="Why; it stands in the report.")]
ActorOption = Annotated[str, typer.Option("--as", help="Who says so; by default you, on this machine.")]
PlainOption = Annotated[bool, typer.Option("--without-prefect", help="Run the same loop in plain Python.")]
TakeOverOption = Annotated[bool, typer.Option("--take-over", help="End a runner that is lost but still holds the target.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gonogo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A PostgreSQL migration, run like a launch: gates, a watch, and a way back that works.

    Exit codes: 0 done, 2 bad input, 3 cannot reach / locked / refused, 4 holding for a person,
    10 no-go (nothing changed), 11 rolled back, 12 rollback failed.
    """


@app.command()
def init(folder: Annotated[Path, typer.Argument(help="Where to make it.")] = Path()) -> None:
    """Make a project: a folder with a small runbook and its templates, ready to run.

    Example: [bold]gonogo init shop && cd shop && gonogo run hello --without-prefect[/]
    """
    from gonogo.cli.project import make_project  # noqa: PLC0415

    make_project(folder)


@app.command()
def validate(
    runbooks: Annotated[list[str], typer.Argument(help="Runbooks, by name or path.", show_default=False)],
    target: TargetOption = "",
    inputs: InputOption = None,
    json: JsonOption = False,
) -> None:
    """Check runbooks and their templates: every problem at once, with file, line and column. Touches no database.

    Example: [bold]gonogo validate guardian-multi-credit[/]
    """
    from gonogo.cli import look  # noqa: PLC0415

    look.validate(runbooks, target, inputs or [], json)


@app.command()
def plan(
    runbook: RunbookArg,
    target: TargetOption = "",
    inputs: InputOption = None,
    start: Annotated[str, typer.Option(help="When it starts, instead of what the runbook says: 2025-10-12T18:53.")] = "",
    sql: Annotated[bool, typer.Option("--sql", help="Print the rendered scripts, forward and back.")] = False,
    json: JsonOption = False,
) -> None:
    """Show what a run would do: tasks on the clock, scripts, gates, watch, and the way back. Touches no database.

    Example: [bold]gonogo plan guardian-multi-credit --start 2025-10-12T18:53[/]
    """
    from gonogo.cli import look  # noqa: PLC0415

    look.plan(runbook, target, inputs or [], start, sql, json)


@app.command()
def run(
    runbook: RunbookArg,
    target: TargetOption = "",
    phase: Annotated[str, typer.Option(help="Only this phase; by default all that are left.")] = "",
    inputs: InputOption = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait for the tasks' clock times.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run anew what was done already.")] = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Launch a run: gate, tasks, verify, soak; it turns back by itself when a threshold trips.

    Example: [bold]gonogo run guardian-multi-credit --target demo --at-once[/]
    """
    from gonogo.cli import act  # noqa: PLC0415

    act.run(runbook, target, phase, inputs or [], at_once, again, without_prefect, actor, json)


@app.command()
def resume(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    settle: Annotated[
        str, typer.Option(help="What you found out: `done` or `not-done`, for a step in doubt, or an undo that you did by hand.")
    ] = "",
    take_over: TakeOverOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Go on with a run that is held, or whose process was lost: from the ledger alone.

    Example: [bold]gonogo resume guardian-multi-credit --target demo[/]
    """
    from gonogo.cli import act  # noqa: PLC0415

    act.resume(runbook, target, run_id, settle, take_over, without_prefect, actor, json)


@app.command()
def status(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it until it is at rest.")] = False,
    json: JsonOption = False,
) -> None:
    """Show where a run stands, what is expected when, and what to type next.

    Example: [bold]gonogo status guardian-multi-credit --watch[/]
    """
    from gonogo.cli import look  # noqa: PLC0415

    look.status(runbook, target, run_id, watch, json)


@app.command()
def hold(
    runbook: RunbookArg, target: TargetOption = "", run_id: RunOption = "", reason: ReasonOption = "", actor: ActorOption = ""
) -> None:
    """Ask a run to stop before its next step and keep everything.

    Example: [bold]gonogo hold guardian-multi-credit --reason "support sees errors"[/]
    """
    from gonogo.cli import act  # noqa: PLC0415

    act.hold(runbook, target, run_id, reason, actor)


@app.command()
def abort(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    reason: ReasonOption = "",
    take_over: TakeOverOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Stop a run for good and roll it back.

    Example: [bold]gonogo abort guardian-multi-credit --reason "window is over"[/]
    """
    from gonogo.cli import act  # noqa: PLC0415

    act.turn_back("abort", runbook, target, run_id, reason, take_over, without_prefect, actor, json)


@app.command()
def rollback(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    reason: ReasonOption = "",
    take_over: TakeOverOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Undo everything that a run did, newest first, and prove that all is as before; also after it was done.

    Example: [bold]gonogo rollback guardian-multi-credit --reason "billing is wrong"[/]
    """
    from gonogo.cli import act  # noqa: PLC0415

    act.turn_back("roll back", runbook, target, run_id, reason, take_over, without_prefect, actor, json)


@app.command()
def report(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    format_: Annotated[str, typer.Option("--format", "-f", help="md, html or json; by default all three, as files.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file, or a folder for all three.")] = None,
) -> None:
    """Write the report of a run, from its ledger alone: schedule, checks, decisions, scripts.

    Example: [bold]gonogo report guardian-multi-credit --format html --output report.html[/]
    """
    from gonogo.cli import look  # noqa: PLC0415

    look.report(runbook, target, run_id, format_, output)


@app.command()
def schema() -> None:
    """Print the JSON Schema of runbooks, for editors.

    Example: [bold]gonogo schema > runbook.schema.json[/]
    """
    from gonogo.cli.pages import schema_text  # noqa: PLC0415

    typer.echo(schema_text(), nl=False)


@ledger_app.command("verify")
def ledger_verify(runbook: RunbookArg, target: TargetOption = "", run_id: RunOption = "", json: JsonOption = False) -> None:
    """Recompute the hash chain of a run: whatever was changed by hand shows.

    Example: [bold]gonogo ledger verify guardian-multi-credit[/]
    """
    from gonogo.cli import look  # noqa: PLC0415

    look.ledger_verify(runbook, target, run_id, json)


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
    from gonogo.cli import look  # noqa: PLC0415

    look.ledger_export(runbook, target, run_id, output)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where to keep it; by default a folder that is thrown away.")] = None,
    organizations: Annotated[int, typer.Option(min=100, max=1_000_000, help="How many organizations to make.")] = 20_000,
    without_prefect: PlainOption = False,
) -> None:
    """See it in a minute: live traffic, a bad function caught and rolled back, then the good run.

    Example: [bold]gonogo demo[/]
    """
    from gonogo.cli.demo import show  # noqa: PLC0415

    show(folder, organizations, without_prefect)
