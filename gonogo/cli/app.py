"""The commands: where each is, and what it does in one line. Its options stand at its function."""

from __future__ import annotations

from typing import Annotated

import typer

from gonogo import __version__
from gonogo.cli.lazy import CommandRow, group

_RUN, _PEOPLE, _LOOK, _PREPARE, _SERVE = (
    "Run",
    "Decide",
    "Look",
    "Prepare",
    "Serve",
)

COMMANDS = {
    "init": CommandRow(
        module="init",
        function="init",
        panel=_PREPARE,
        help="Make a project: a folder with a small runbook and its templates, ready to run.",
    ),
    "validate": CommandRow(
        module="status",
        function="validate",
        panel=_PREPARE,
        help="Check runbooks and their templates: every problem at once, with file, line and column. Touches no database.",
    ),
    "plan": CommandRow(
        module="plan",
        function="plan",
        panel=_PREPARE,
        help="Show what a run would do (a dry run): tasks on the clock, scripts, gates, watch, rollback. Touches no database.",
    ),
    "rehearse": CommandRow(
        module="rehearse",
        function="rehearse",
        panel=_PREPARE,
        help="Run the plan forward and back on a restored copy, and record what that showed. The target itself is not changed.",
    ),
    "doctor": CommandRow(
        module="imports",
        function="doctor",
        panel=_PREPARE,
        help="Run somebody's migrations on a scratch database: what PostgreSQL refuses, what blocks, what does not roll back.",
    ),
    "grants": CommandRow(
        module="rights",
        function="grants",
        panel=_PREPARE,
        help="Print the SQL that gives gonogo's role what it lacks on a target, for an administrator to run.",
    ),
    "import": CommandRow(
        module="imports",
        function="import_",
        panel=_PREPARE,
        help="Make a runbook of somebody's migrations: a task for each change, its SQL as templates, its rollback if it has one.",
    ),
    "run": CommandRow(
        module="run",
        function="run",
        panel=_RUN,
        help="Launch a run: gate, tasks, verify, soak; it rolls back by itself when a threshold trips.",
    ),
    "resume": CommandRow(
        module="run",
        function="resume",
        panel=_RUN,
        help="Go on with a run that is held, or whose process was lost: from the ledger alone.",
    ),
    "hold": CommandRow(
        module="run",
        function="hold",
        panel=_RUN,
        help="Ask a run to stop before its next step and keep everything.",
    ),
    "pace": CommandRow(
        module="pace",
        function="pace",
        panel=_RUN,
        help="Make the backfill that is under way slower or faster, pause it, or let it go on.",
    ),
    "abort": CommandRow(
        module="run",
        function="abort",
        panel=_RUN,
        help="Stop a run for good and roll it back.",
    ),
    "rollback": CommandRow(
        module="run",
        function="rollback",
        panel=_RUN,
        help="Roll back what a run did: say first what would be lost, then prove that all is as before.",
    ),
    "go": CommandRow(
        module="decide",
        function="go",
        panel=_PEOPLE,
        help="Say go at the gate that waits. A protected target asks for your one-time code.",
    ),
    "no-go": CommandRow(
        module="decide",
        function="no_go",
        panel=_PEOPLE,
        help="Say no-go at the gate that waits: one is enough, and nothing is changed.",
    ),
    "confirm": CommandRow(
        module="decide",
        function="confirm",
        panel=_PEOPLE,
        help="Confirm an item of a checklist: before, during or after a phase.",
    ),
    "ack": CommandRow(
        module="check",
        function="ack",
        panel=_PEOPLE,
        help="Acknowledge an alert, or what a run needs people for: nobody else is called.",
    ),
    "status": CommandRow(
        module="status",
        function="status",
        panel=_LOOK,
        help="Show where a run stands, what is expected when, and what to type next.",
    ),
    "events": CommandRow(
        module="events",
        function="events",
        panel=_LOOK,
        help="Write what happened in a run, an event a line, as JSON; with --follow also what happens from now on.",
    ),
    "report": CommandRow(
        module="status",
        function="report",
        panel=_LOOK,
        help="Write the report of a run, from its ledger alone: schedule, checks, decisions, scripts.",
    ),
    "check": CommandRow(
        module="check",
        function="check",
        panel=_LOOK,
        help="Ask a runbook's checks now, and judge the answers. Changes nothing.",
    ),
    "objects": CommandRow(
        module="check",
        function="objects",
        panel=_LOOK,
        help="Print every object of a target's schema with its definition: what a `structure` check compares with.",
    ),
    "psql": CommandRow(
        module="psql",
        function="psql",
        panel=_LOOK,
        help="Start psql on a target, also on the embedded PostgreSQL. What is typed there is no part of a run.",
    ),
    "monitor": CommandRow(
        module="check",
        function="monitor",
        panel=_LOOK,
        help="Ask what the runbook monitors, and tell people what changed or waits too long.",
    ),
    "up": CommandRow(
        module="serve",
        function="up",
        panel=_SERVE,
        help="Start the control room: Prefect behind a password, the served runbooks, the runs' live pages.",
    ),
    "serve": CommandRow(
        module="serve",
        function="serve",
        panel=_SERVE,
        help="Offer every runbook of the project in the Prefect UI (PREFECT_API_URL), and run what is launched there.",
    ),
    "uninstall": CommandRow(
        module="uninstall",
        function="uninstall",
        panel=_PREPARE,
        help="Say what gonogo left in a target, and with --yes remove it; the ledger is exported first.",
    ),
    "page": CommandRow(
        module="serve",
        function="page",
        panel=_SERVE,
        help="Serve the live pages of the project's runs, behind a password, without Prefect.",
    ),
    "link": CommandRow(
        module="serve",
        function="link",
        panel=_SERVE,
        help="Make a link to a run's live page for those who only look: it needs no password, and ends by itself.",
    ),
    "demo": CommandRow(
        module="demo",
        function="demo",
        help="See it in half a minute: live traffic, a bad function caught and rolled back, then the good run.",
    ),
    "schema": CommandRow(
        module="init",
        function="schema",
        help="Print the JSON Schema of runbooks, for editors.",
    ),
}
LEDGER = {
    "verify": CommandRow(
        module="ledger",
        function="verify",
        help="Recompute the hash chain of a run: whatever was changed by hand shows.",
    ),
    "sign": CommandRow(
        module="ledger",
        function="sign",
        help="Answer for a run on a protected target that this project did not sign.",
    ),
    "export": CommandRow(
        module="ledger",
        function="export",
        help="Write every event of a run as a line of JSON, with its hash.",
    ),
}
PEOPLE = {
    "enroll": CommandRow(
        module="people",
        function="enroll",
        help="Make a person's key, and show it once as a QR code for an authenticator app.",
    ),
    "key": CommandRow(
        module="people",
        function="key",
        help="Make a key of your own, which never leaves your machine, and show the line that the runbook needs.",
    ),
    "list": CommandRow(module="people", function="list_", help="List who is enrolled."),
    "remove": CommandRow(module="people", function="remove", help="Remove a person's key: their codes are no longer accepted."),
}
BACKUP = {
    "take": CommandRow(
        module="backup",
        function="take",
        help="Take a backup of a target as the runbook says, restore it into a scratch database, and compare.",
    ),
    "prove": CommandRow(
        module="backup",
        function="prove",
        help="Restore a backup into a scratch database, and compare it with what it was taken of.",
    ),
    "list": CommandRow(
        module="backup",
        function="list_",
        help="List a runbook's backups, the newest first, and which ones are older than `keep:`.",
    ),
    "prune": CommandRow(
        module="backup",
        function="prune",
        help="Delete a runbook's backups that are older than `keep:`.",
    ),
}

app = typer.Typer(
    name="gonogo",
    cls=group(COMMANDS),
    help="A PostgreSQL migration, run like a launch: gates, a watch, and a rollback that works.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _name, _table, _help in (
    ("ledger", LEDGER, "Check or export the record of a run."),
    ("people", PEOPLE, "The people who decide, and the keys that prove them."),
    ("backup", BACKUP, "The backups of the project: take, prove, list, prune."),
):
    app.add_typer(typer.Typer(cls=group(_table), no_args_is_help=True, help=_help), name=_name)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gonogo {__version__}")
        raise typer.Exit


@app.callback()
def root(
    _: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """A PostgreSQL migration, run like a launch: gates, a watch, and a rollback that works.

    Exit codes: 0 done, 2 bad input, 3 cannot reach / locked / refused, 4 holding for a person,
    10 no-go (nothing changed), 11 rolled back, 12 rollback failed.
    """
