"""The commands. Each imports what it needs when it runs, so that `--help` and `validate` answer at once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gonogo import __version__
from gonogo.cli import groups
from gonogo.cli.options import (
    ActorOption,
    CodeOption,
    CommentOption,
    GateArg,
    InputOption,
    JsonOption,
    NoWaitOption,
    PersonOption,
    PlainOption,
    ReasonOption,
    RunbookArg,
    RunbookOrRunArg,
    RunOption,
    TakeOverOption,
    TargetOption,
)
from gonogo.core.engine.events import Kind

app = typer.Typer(
    name="gonogo",
    help="A PostgreSQL migration, run like a launch: gates, a watch, and a way back that works.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(groups.ledger_app, name="ledger")
app.add_typer(groups.people_app, name="people")
app.add_typer(groups.backup_app, name="backup")


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
    from gonogo.cli.init import make_project  # noqa: PLC0415

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
    from gonogo.cli import status as look  # noqa: PLC0415

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
    from gonogo.cli import status as look  # noqa: PLC0415

    look.plan(runbook, target, inputs or [], start, sql, json)


@app.command()
def check(
    runbook: RunbookArg,
    names: Annotated[list[str] | None, typer.Argument(help="Which checks; all of them without one.", show_default=False)] = None,
    target: TargetOption = "",
    inputs: InputOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a runbook's checks now, and judge the answers; exit 10 where one does not pass. Changes nothing.

    What compares with the baseline is compared with that of the newest run, where there is one.

    Example: [bold]gonogo check guardian-multi-credit credits_consistent[/]
    """
    from gonogo.cli import check as ask  # noqa: PLC0415

    ask.check(runbook, names or [], target, inputs or [], json)


@app.command()
def objects(
    runbook: RunbookArg,
    target: TargetOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; else it is printed.")] = None,
) -> None:
    """Print every object of a target's schema with its definition: what a `structure` check compares with.

    Example: [bold]gonogo objects guardian-multi-credit --output expected.json[/]
    """
    from gonogo.cli import check as ask  # noqa: PLC0415

    ask.objects(runbook, target, output)


@app.command()
def run(
    runbook: RunbookArg,
    target: TargetOption = "",
    phase: Annotated[str, typer.Option(help="Only this phase; by default all that are left.")] = "",
    inputs: InputOption = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait for the clock times of phases and tasks.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run anew what was done already.")] = False,
    no_wait: NoWaitOption = False,
    override: Annotated[
        str, typer.Option(help="Why it may start outside its window or beyond its budgets; by a role that may (--as).")
    ] = "",
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Launch a run: gate, tasks, verify, soak; it turns back by itself when a threshold trips.

    Example: [bold]gonogo run guardian-multi-credit --target demo --at-once[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

    act.run(
        runbook,
        target,
        phase,
        inputs or [],
        at_once=at_once,
        again=again,
        wait=not no_wait,
        plainly=without_prefect,
        caller=act.caller(actor, code),
        override=override,
        json=json,
    )


@app.command()
def rehearse(
    runbook: RunbookArg,
    target: TargetOption = "",
    inputs: InputOption = None,
    each_step: Annotated[bool, typer.Option("--each-step", help="Prove every step's undo by itself, right after it.")] = False,
    backup: Annotated[Path | None, typer.Option(help="A backup to rehearse on; by default a new one is taken.")] = None,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Run the plan forward and back on a restored copy, and record what that showed. The target itself is not changed.

    Example: [bold]gonogo rehearse guardian-multi-credit --target demo --each-step[/]
    """
    from gonogo.cli import rehearse as rehearsals  # noqa: PLC0415

    rehearsals.rehearse(runbook, target, inputs or [], each_step=each_step, backup=backup, actor=actor, json=json)


@app.command()
def go(
    runbook: RunbookOrRunArg,
    gate: GateArg = "",
    target: TargetOption = "",
    run_id: RunOption = "",
    actor: PersonOption = "",
    code: CodeOption = "",
    comment: CommentOption = "",
    json: JsonOption = False,
) -> None:
    """Say go at the gate that waits. A protected target asks for your one-time code.

    Example: [bold]gonogo go guardian-multi-credit migrate --as lead --comment "backups are there"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

    act.vote("go", runbook, gate, target, run_id, comment, act.caller(actor, code), json)


@app.command("no-go")
def no_go(
    runbook: RunbookOrRunArg,
    gate: GateArg = "",
    target: TargetOption = "",
    run_id: RunOption = "",
    actor: PersonOption = "",
    code: CodeOption = "",
    comment: CommentOption = "",
    json: JsonOption = False,
) -> None:
    """Say no-go at the gate that waits: one is enough, and nothing is changed.

    Example: [bold]gonogo no-go guardian-multi-credit migrate --as owner --comment "support is not ready"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

    act.vote("no-go", runbook, gate, target, run_id, comment, act.caller(actor, code), json)


@app.command()
def confirm(
    runbook: RunbookOrRunArg,
    item: Annotated[str, typer.Argument(help="A box of the phase's checklists.", show_default=False)],
    target: TargetOption = "",
    run_id: RunOption = "",
    actor: PersonOption = "",
    code: CodeOption = "",
    evidence: Annotated[str, typer.Option("--evidence", "-e", help="What shows it; it stands in the report.")] = "",
) -> None:
    """Tick a box of a checklist: before, during or after a phase.

    Example: [bold]gonogo confirm guardian-multi-credit documents_reviewed --as lead --evidence "review 17"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

    act.confirm(runbook, item, target, run_id, evidence, act.caller(actor, code))


@app.command()
def resume(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    settle: Annotated[
        str, typer.Option(help="What you found out: `done` or `not-done`, for a step in doubt, or an undo that you did by hand.")
    ] = "",
    take_over: TakeOverOption = False,
    no_wait: NoWaitOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    json: JsonOption = False,
) -> None:
    """Go on with a run that is held, or whose process was lost: from the ledger alone.

    Example: [bold]gonogo resume guardian-multi-credit --target demo[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

    act.resume(runbook, target, run_id, settle, take_over, not no_wait, without_prefect, actor, json)


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
    from gonogo.cli import status as look  # noqa: PLC0415

    look.status(runbook, target, run_id, watch, json)


@app.command()
def hold(
    runbook: RunbookArg, target: TargetOption = "", run_id: RunOption = "", reason: ReasonOption = "", actor: ActorOption = ""
) -> None:
    """Ask a run to stop before its next step and keep everything.

    Example: [bold]gonogo hold guardian-multi-credit --reason "support sees errors"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415

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
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Stop a run for good and roll it back.

    Example: [bold]gonogo abort guardian-multi-credit --reason "window is over"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415
    from gonogo.run.rollback_request import Back  # noqa: PLC0415

    back = Back(kind=Kind.ABORT, reason=reason)
    act.begin_rollback(back, runbook, target, run_id, take_over, without_prefect, act.caller(actor, code), json)


@app.command()
def rollback(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    level: Annotated[str, typer.Option("--level", "-l", help="feature, undo, data or restore; else the runbook's first.")] = "",
    phase: Annotated[
        str, typer.Option("--phase", "-p", help="Only back to the start of this phase; the first one's is the whole run's.")
    ] = "",
    reason: ReasonOption = "",
    go_on: Annotated[bool, typer.Option("--continue", help="Go on with a rollback that holds or was lost.")] = False,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Rows written since may be destroyed.")] = False,
    take_over: TakeOverOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Turn back what a run did, say first what would be lost, and prove that all is as before; also after it was done.

    Example: [bold]gonogo rollback guardian-multi-credit --reason "billing is wrong"[/]
    """
    from gonogo.cli import run as act  # noqa: PLC0415
    from gonogo.run.rollback_request import Back  # noqa: PLC0415

    back = Back(kind=Kind.ROLL_BACK, reason=reason, level=level, accept_loss=accept_loss, go_on=go_on)
    act.begin_rollback(back, runbook, target, run_id, take_over, without_prefect, act.caller(actor, code), json, phase)


@app.command()
def monitor(
    runbook: RunbookArg,
    target: TargetOption = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Look again and again, as often as the runbook says.")] = False,
    json: JsonOption = False,
) -> None:
    """Look at what the runbook monitors, tell people what changed or waits too long; exit 10 where an alert is raised.

    Example: [bold]gonogo monitor event-management --follow[/]
    """
    from gonogo.cli import check as ask  # noqa: PLC0415

    ask.monitor(runbook, target, follow, json)


@app.command()
def ack(
    runbook: RunbookArg,
    alert: Annotated[str, typer.Argument(help="The alert; without one, what the newest run needs people for.")] = "",
    target: TargetOption = "",
    comment: CommentOption = "",
    person: PersonOption = "",
    code: CodeOption = "",
) -> None:
    """Say that you take an alert, or what a run needs people for: nobody else is told of it any more.

    Example: [bold]gonogo ack guardian-multi-credit --as lead[/]
    """
    from gonogo.cli import check as ask  # noqa: PLC0415
    from gonogo.cli import run as act  # noqa: PLC0415

    ask.ack(runbook, alert, target, comment, act.caller(person, code))


@app.command()
def doctor(
    path: Annotated[Path, typer.Argument(help="A plan in Markdown, or a folder of migrations.", show_default=False)],
    schema: Annotated[Path | None, typer.Option("--schema", "-s", help="SQL that makes what is there already.")] = None,
    json: JsonOption = False,
) -> None:
    """Run somebody's migrations on a scratch database: what PostgreSQL refuses, what blocks, what does not roll back.

    Reads plans in Markdown, and folders of golang-migrate, Flyway, dbmate, goose, diesel, sqitch or numbered files. Exit 10
    where something is wrong.

    Example: [bold]gonogo doctor MIGRATION_PLAN.md --schema before.sql[/]
    """
    from gonogo.cli import imports  # noqa: PLC0415

    imports.doctor(path, schema, json)


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A plan in Markdown, or a folder of migrations.", show_default=False)],
    name: Annotated[str, typer.Option("--name", "-n", help="The runbook's name; without one, that of the file or folder.")] = "",
) -> None:
    """Make a runbook of somebody's migrations: one task for each change, its SQL as templates, its way back where it has one.

    Example: [bold]gonogo import db/migrations --name shop-orders[/]
    """
    from gonogo.cli import imports  # noqa: PLC0415

    imports.import_(path, name)


@app.command()
def report(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    format_: Annotated[str, typer.Option("--format", "-f", help="md, html or json; by default all three, as files.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file, or a folder for all three.")] = None,
    deliverables: Annotated[
        Path | None, typer.Option("--deliverables", help="A folder for the whole set of documents, with their sha256.")
    ] = None,
) -> None:
    """Write the report of a run, from its ledger alone: schedule, checks, decisions, scripts.

    Example: [bold]gonogo report guardian-multi-credit --format html --output report.html[/]
    """
    from gonogo.cli import status as look  # noqa: PLC0415

    look.report(runbook, target, run_id, format_, output, deliverables)


@app.command()
def schema() -> None:
    """Print the JSON Schema of runbooks, for editors.

    Example: [bold]gonogo schema > runbook.schema.json[/]
    """
    from gonogo.core.model.json_schema import schema_text  # noqa: PLC0415

    typer.echo(schema_text(), nl=False)


@app.command()
def up(port: Annotated[int, typer.Option(min=1024, max=65535, help="The server's port on this machine.")] = 4200) -> None:
    """Bring up the control room: Prefect's server on its own PostgreSQL, behind a password, and the served runbooks.

    What dies is started again; Ctrl-C ends it, and holds the runs in work cleanly.

    Example: [bold]gonogo up[/]
    """
    from gonogo.cli import serve as room  # noqa: PLC0415

    room.up(port)


@app.command()
def serve(
    pool: Annotated[str, typer.Option(help="A Prefect work pool whose workers carry the runs, instead of this process.")] = "",
) -> None:
    """Offer every runbook of the project in the Prefect UI (PREFECT_API_URL), and run what is launched there.

    Example: [bold]PREFECT_API_URL=http://127.0.0.1:4200/api gonogo serve[/]
    """
    from gonogo.cli import serve as room  # noqa: PLC0415

    room.serve(pool)


@app.command()
def demo(
    folder: Annotated[Path | None, typer.Option(help="Where to keep it; by default a folder that is thrown away.")] = None,
    organizations: Annotated[int, typer.Option(min=100, max=1_000_000, help="How many organizations to make.")] = 20_000,
    without_prefect: PlainOption = False,
) -> None:
    """See it in half a minute: live traffic, a bad function caught and rolled back, then the good run.

    Example: [bold]gonogo demo[/]
    """
    from gonogo.cli.demo import show  # noqa: PLC0415

    show(folder, organizations, without_prefect)
