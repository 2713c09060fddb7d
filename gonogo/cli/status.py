"""Commands that change nothing: validate, status, report."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer

from gonogo import clock
from gonogo.cli.options import InputOption, JsonOption, RunbookArg, RunOption, TargetOption
from gonogo.cli.output import as_json, complain, console, say, schedule_table
from gonogo.core.engine.budgets import describe, spent
from gonogo.core.engine.commands import Wait
from gonogo.core.engine.decide import decide, recent_approvals, waits_for_votes
from gonogo.core.engine.forecast import Row, actual_times, expected_end, forecast, fraction
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import ENDED, ROLLING_BACK_STATES, State, Status, outcome
from gonogo.core.model.people import missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.core.text.next_commands import items_to_confirm, next_commands
from gonogo.core.text.steps import say_stopped
from gonogo.core.text.times import clock as clock_time
from gonogo.errors import BadInput, Exit
from gonogo.ledger import store
from gonogo.planning.open import OpenedRunbook, problems_of
from gonogo.postgres.connection import Connection
from gonogo.postgres.progress import statement_progress
from gonogo.postgres.server_clock import server_time
from gonogo.run import runs
from gonogo.run.open import found_run, read_inputs


def validate(
    runbooks: Annotated[list[str], typer.Argument(help="Runbooks, by name or path.", show_default=False)],
    target: TargetOption = "",
    inputs: InputOption = None,
    json: JsonOption = False,
) -> None:
    """Check runbooks and their templates: every problem at once, with file, line and column. Touches no database.

    Example: [bold]gonogo validate guardian-multi-credit[/]
    """
    from gonogo.planning.planner import prepare  # noqa: PLC0415 - `status` need not wait for Jinja2 and the SQL parser

    answers: list[dict[str, Any]] = []
    for name in runbooks:
        warnings: list[str] = []

        def plan_it(opened: OpenedRunbook, warnings: list[str] = warnings) -> None:
            warnings += prepare(opened, inputs=read_inputs(inputs or [])).warnings

        found = problems_of(name, target, plan_it)
        problems = [vars(problem) | {"text": str(problem)} for problem in found]
        if found and not json:
            complain(BadInput(*found))
        answers.append({"runbook": name, "ok": not problems, "problems": problems, "warnings": warnings})
        if not json:
            for warning in warnings:
                say(f"{name}: warning: {warning}", "yellow")
            if not problems:
                say(f"{name}: good", "green")
    if json:
        as_json(answers)
    if not all(answer["ok"] for answer in answers):
        raise typer.Exit(Exit.BAD_INPUT)


def status(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it until nothing more happens without a person.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Show where a run stands, what is expected when, and what to type next.

    Example: [bold]gonogo status guardian-multi-credit --watch[/]
    """
    with found_run(runbook, target, run_id) as (opened, _, connection, first):
        found = first
        while True:
            now = _as_of(found.state, connection)
            found, unsigned = _as_it_counts(connection, opened, found)
            shown, rows = _status(found, now)
            if found.running and (statement := statement_progress(connection, found.run)):
                shown["statement"] = statement.says
            shown["waits"] = "; ".join(filter(None, (shown["waits"], unsigned)))
            if json:
                as_json(shown)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _print_status(found, shown, rows, now)
            if not watch or found.state.at_rest or not found.running:
                break
            clock.sleep(1.0)
            found = runs.find(connection, runbook=opened.name, run=found.run)
        if watch:
            raise typer.Exit(runs.exit_code(found.state))


def _as_it_counts(connection: Connection, opened: OpenedRunbook, found: runs.FoundRun) -> tuple[runs.FoundRun, str]:
    """Return a run without the votes that its runner will not count, and a word about them."""
    state, plan = found.state, found.plan
    waits = state.gate.votes if state.status is Status.DECIDING else state.approvals
    if not (plan.protected and waits):
        return found, ""
    from gonogo.run.records import RunReader  # noqa: PLC0415 - only votes on a protected target need them
    from gonogo.run.said import counted  # noqa: PLC0415 - as above
    from gonogo.run.signatures import keys_of  # noqa: PLC0415 - as above

    reader = RunReader(connection=connection, run=found.run)
    state, why = counted(reader, found.run, plan, keys_of(opened.project), state)
    return replace(found, state=state), why


def _as_of(state: State, connection: Connection) -> datetime:
    """Return the moment to show a run at: now, by the target's clock, or when it ended."""
    return state.at if state.status in ENDED and state.at is not None else server_time(connection)


def _status(found: runs.FoundRun, now: datetime) -> tuple[dict[str, Any], list[Row]]:
    plan, state = found.plan, found.state
    rows = forecast(plan, state, now, actual_times(plan, found.events))
    commands = next_commands(plan, state, running=found.running)
    live = state.status not in ENDED
    shown = {
        "run": found.run,
        "runbook": plan.runbook,
        "target": plan.target,
        "status": str(state.status),
        "held": state.held,
        "cause": state.rollback.cause or state.gate.no_go,
        "rollback_failed": state.rollback.failed,
        "running": found.running,
        "waits": waits_for(plan, state, now),
        "phase": plan.phases[min(state.phase, len(plan.phases) - 1)].name,
        "done": round(fraction(plan, state), 4),
        "events": state.seq,
        "expected_end": expected_end(plan, state, rows) if live and state.status not in ROLLING_BACK_STATES else None,
        "last_safe_start": last_safe_start(plan, state) if live else None,
        "budgets": {name: known.as_data() for name, known in spent(plan, state, now).items()},
        "schedule": [{**vars(row), "state": row.says} for row in rows],
        "ways": [vars(each) for each in commands],
        "next": commands[0].command if commands else "",
        "exit_code": int(runs.exit_code(state)),
        "statement": "",
    }
    return shown, rows


def waits_for(plan: Plan, state: State, now: datetime) -> str:
    """Return what a run waits for people to say, or nothing."""
    notes = []
    if isinstance(waits := decide(plan, state, now), Wait) and state.status is Status.GATING:
        notes.append(f"{waits.why}: {waits.until.astimezone(ZoneInfo(plan.zone)):%Y-%m-%d %H:%M %Z}")
    if state.status is Status.DECIDING and not state.held:
        notes.append(waits_for_votes(plan, state))
    elif not state.held:
        notes += [f"{name} is not confirmed" for name in items_to_confirm(plan, state)]
        notes.append(say_stopped(plan, state))
    given = recent_approvals(plan, state, now)
    if plan.rollback.authority is not None and given and state.status not in ROLLING_BACK_STATES | {Status.ROLLED_BACK}:
        notes.append(f"a rollback: {missing_votes(plan.rollback.authority, plan.people, given)}")
    return "; ".join(filter(None, notes))


def _print_status(found: runs.FoundRun, shown: dict[str, Any], rows: list[Row], now: datetime) -> None:
    plan, state = found.plan, found.state
    lost = not found.running and not state.at_rest and state.status is not Status.DECIDING
    say(f"{plan.title} on {plan.target}", "bold")
    gone = " (its process is gone)" if lost else ""
    say(f"run {found.run}: {outcome(state)}{gone}, {shown['done']:.0%} of the work done")
    no_go = state.gate.no_go if state.status is Status.NO_GO else ""
    for label, text in (("held", state.held), ("rolled back", state.rollback.cause), ("no-go", no_go)):
        if text:
            say(f"{label}: {text}", "yellow")
    if shown["statement"]:
        say(f"now: {shown['statement']}")
    if shown["waits"]:
        say(f"waits: {shown['waits']}", "cyan")
    if shown["expected_end"]:
        late = any(row.overdue for row in rows)
        word = "expected end not before" if late else "expected end"
        say(f"{word} {clock_time(shown['expected_end'], plan.zone, now)}, planned {clock_time(plan.ends, plan.zone, now)}")
    if shown["last_safe_start"]:
        say(f"a rollback must begin by {clock_time(shown['last_safe_start'], plan.zone, now)}")
    for name, known in spent(plan, state, now).items():
        say(describe(name, known), "yellow" if known.over else "")
    schedule_table(plan, rows)
    for each in shown["ways"]:
        say_next(each["command"], each["when"])


def say_next(command: str, when: str) -> None:
    """Say what to type next, and when."""
    say(f"next: {command}" + (f"   ({when})" if when else ""))


def report(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    format_: Annotated[str, typer.Option("--format", "-f", help="md, html or json; by default all three, as files.")] = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file, or a folder for all three.")] = None,
    deliverables: Annotated[
        Path | None, typer.Option("--deliverables", help="A folder for the whole set of documents, with their sha256.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write the report of a run, from its ledger alone: schedule, checks, decisions, scripts.

    Example: [bold]gonogo report guardian-multi-credit --format html --output report.html[/]
    """
    # `status` need not wait for Jinja2
    from gonogo.cli.files import report_text, write_file, write_reports  # noqa: PLC0415
    from gonogo.report.report import report as make_report  # noqa: PLC0415

    format_ = format_ or ("json" if json else "")
    if format_ not in ("", "md", "html", "json"):
        raise BadInput(f"--format {format_!r}: there are md, html and json")
    with found_run(runbook, target, run_id, whole=True) as (opened, _, connection, found):
        if deliverables is not None:
            from gonogo.report.deliverables import write_deliverables  # noqa: PLC0415 - see validate

            texts = store.read_texts(connection, list({script.sha256 for script in found.plan.scripts}))
            for file in write_deliverables(found.plan, found.events, found.run, texts, deliverables):
                say(f"{file}")
            return
        made = make_report(found.plan, found.events, found.run)
        if format_ == "json" and output is None:
            as_json(made)
        elif format_ and output is None:
            typer.echo(report_text(made, format_))
        elif format_ and output is not None:
            write_file(output, report_text(made, format_))
            say(f"{output}")
        else:
            for file in write_reports(made, output or opened.project.state / "reports"):
                say(f"{file}")
