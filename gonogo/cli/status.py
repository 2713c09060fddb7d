"""Commands that change nothing: validate, plan, status, report, ledger."""

from __future__ import annotations

from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer

from gonogo import clock
from gonogo.cli.output import as_json, complain, console, plan_table, say, schedule_table
from gonogo.core.engine.budgets import describe, spent
from gonogo.core.engine.decide import Wait, decide, recent_approvals, waits_for_votes
from gonogo.core.engine.forecast import actual_times, expected_end, forecast, fraction
from gonogo.core.engine.rehearsal import last_safe_start
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status, outcome
from gonogo.core.model.people import missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.core.text.messages import clock as clock_time
from gonogo.core.text.next_commands import next_commands, open_boxes
from gonogo.errors import BadInput, Exit, GonogoError
from gonogo.ledger import store
from gonogo.run import launch, runs
from gonogo.run.open import found_run, moment, open_runbook, read_inputs


def validate(names: Sequence[str], target: str, inputs: Sequence[str], json: bool) -> None:
    """Check some runbooks."""
    from gonogo.planning.planner import prepare  # noqa: PLC0415 - `status` need not wait for Jinja2 and the SQL parser

    answers: list[dict[str, Any]] = []
    for name in names:
        problems: list[dict[str, Any]] = []
        warnings: tuple[str, ...] = ()
        try:
            opened = open_runbook(name)
            warnings = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=read_inputs(inputs)).warnings
        except BadInput as error:
            problems = [vars(problem) | {"text": str(problem)} for problem in error.problems]
            if not json:
                complain(error)
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


def plan(name: str, target: str, inputs: Sequence[str], start: str, sql: bool, json: bool) -> None:
    """Show a plan."""
    from gonogo.planning.planner import prepare  # noqa: PLC0415 - see validate

    opened = open_runbook(name)
    begins = moment(start, opened.runbook.schedule.zone)
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=read_inputs(inputs), start=begins)
    made = prepared.plan
    if json:
        as_json({**made.model_dump(mode="json"), "warnings": prepared.warnings, "scripts": dict(prepared.texts) if sql else {}})
        return
    say(f"{made.title}", "bold")
    say(f"runbook {made.runbook} on {made.target}, seal {made.seal[:16]}\n")
    plan_table(made)
    for warning in prepared.warnings:
        say(f"warning: {warning}", "yellow")
    if sql:
        for step in made.steps:
            for word, scripts in (("forward", step.scripts), ("back", step.undo or ())):
                for script in scripts:
                    say(f"\n-- {step.name}, {word}: {script.source} {script.sha256[:12]}", "bold")
                    say(prepared.texts[script.sha256].strip())


def status(name: str, target: str, run: str, watch: bool, json: bool) -> None:
    """Show where a run stands; with watch, until it is at rest."""
    with found_run(name, target, run) as (opened, _, connection, first):
        found = first
        while True:
            shown = _status(found)
            if json:
                as_json(shown)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _print_status(found, shown)
            if not watch or found.state.at_rest or not found.carried:
                break
            clock.sleep(1.0)
            found = runs.find(connection, runbook=opened.runbook.runbook, run=found.run)
        if watch:
            raise typer.Exit(launch.exit_code(found.state))


def _status(found: runs.FoundRun) -> dict[str, Any]:
    plan, state = found.plan, found.state
    rows = forecast(plan, state, clock.now(), actual_times(plan, found.events))
    next_ways = next_commands(plan, state, carried=found.carried)
    live = state.status not in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK)
    return {
        "run": found.run,
        "runbook": plan.runbook,
        "target": plan.target,
        "status": str(state.status),
        "held": state.held,
        "cause": state.cause,
        "rollback_failed": state.rollback_failed,
        "carried": found.carried,
        "waits": waits_for(plan, state),
        "phase": plan.phases[min(state.phase, len(plan.phases) - 1)].name,
        "done": round(fraction(plan, state), 4),
        "facts": state.seq,
        "expected_end": expected_end(plan, rows) if live else None,
        "last_safe_start": last_safe_start(plan, state) if live else None,
        "budgets": spent(plan, state, clock.now()),
        "schedule": [vars(row) for row in rows],
        "ways": [vars(way) for way in next_ways],
        "next": next_ways[0].command,
        "exit_code": int(launch.exit_code(state)),
    }


def waits_for(plan: Plan, state: State) -> str:
    """Return what a run waits for people to say, or nothing."""
    told = []
    if isinstance(waits := decide(plan, state, clock.now()), Wait) and state.status is Status.GATING:
        told.append(f"{waits.why}: {waits.until.astimezone(ZoneInfo(plan.zone)):%Y-%m-%d %H:%M %Z}")
    if state.status is Status.DECIDING and not state.held:
        told.append(waits_for_votes(plan, state))
    elif not state.held:
        told += [f"{name} is not confirmed" for name in open_boxes(plan, state)]
    given = recent_approvals(plan, state, clock.now())
    if plan.rollback.authority is not None and given and state.status not in ROLLING_BACK_STATES | {Status.ROLLED_BACK}:
        told.append(f"a rollback: {missing_votes(plan.rollback.authority, plan.people, given)}")
    return "; ".join(filter(None, told))


def _print_status(found: runs.FoundRun, shown: dict[str, Any]) -> None:
    plan, state = found.plan, found.state
    lost = not found.carried and not state.at_rest and state.status is not Status.DECIDING
    say(f"{plan.title} on {plan.target}", "bold")
    gone = " (its process is gone)" if lost else ""
    say(f"run {found.run}: {outcome(state)}{gone}, {shown['done']:.0%} of the work done")
    for label, text in (("held", state.held), ("turned back", state.cause)):
        if text:
            say(f"{label}: {text}", "yellow")
    if shown["waits"]:
        say(f"waits: {shown['waits']}", "cyan")
    if shown["expected_end"]:
        say(f"expected end {clock_time(shown['expected_end'], plan.zone)}, planned {clock_time(plan.ends, plan.zone)}")
    if shown["last_safe_start"]:
        say(f"turning back must begin by {clock_time(shown['last_safe_start'], plan.zone)}")
    for name, known in shown["budgets"].items():
        say(describe(name, known), "yellow" if known["over"] else "")
    rows = forecast(plan, state, clock.now(), actual_times(plan, found.events))
    schedule_table(plan, rows)
    for way in shown["ways"]:
        say_way(way["command"], way["when"])


def say_way(command: str, when: str) -> None:
    """Say what to type next, and when."""
    say(f"next: {command}" + (f"   ({when})" if when else ""))


def report(name: str, target: str, run: str, format_: str, output: Path | None, deliverables: Path | None) -> None:
    """Write the report of a run, or the whole set of its documents."""
    from gonogo.report.report import report as make_report  # noqa: PLC0415 - see validate

    if format_ not in ("", "md", "html", "json"):
        raise BadInput(f"--format {format_!r}: there are md, html and json")
    with found_run(name, target, run, whole=True) as (opened, _, connection, found):
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
            typer.echo(_text(made, format_))
        elif format_ and output is not None:
            write_file(output, _text(made, format_))
            say(f"{output}")
        else:
            for file in write_reports(made, output or opened.project.state / "reports"):
                say(f"{file}")


def _text(made: dict[str, Any], format_: str) -> str:
    from gonogo.report.report import as_html, as_markdown  # noqa: PLC0415 - see validate

    if format_ == "json":
        return dumps(made, indent=2, ensure_ascii=False)
    return as_html(made) if format_ == "html" else as_markdown(made)


def write_reports(made: dict[str, Any], folder: Path) -> list[Path]:
    """Write a report in all its forms; return the files.

    Raises:
        BadInput: the folder cannot be written to.
    """
    return [write_report(made, folder, ending) for ending in ("md", "html", "json")]


def write_report(made: dict[str, Any], folder: Path, ending: str) -> Path:
    """Write a report in one form; return the file.

    Raises:
        BadInput: the folder cannot be written to.
    """
    file = folder / f"{made['run']}.{ending}"
    write_file(file, _text(made, ending))
    return file


def write_file(file: Path, text: str) -> None:
    """Write a file whole.

    Raises:
        BadInput: it cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{file} cannot be written: {error.strerror}") from None


def ledger_verify(name: str, target: str, run: str, json: bool) -> None:
    """Check the hash chain of a run."""
    with found_run(name, target, run) as (_, __, connection, found):
        count, problems = store.verify(connection, found.run)
    if json:
        as_json({"run": found.run, "facts": count, "ok": not problems, "problems": problems})
    elif not problems:
        say(f"run {found.run}: {count} facts, each follows from the one before it", "green")
    else:
        for problem in problems:
            complain(GonogoError(f"run {found.run}: {problem}"))
    if problems:
        raise typer.Exit(Exit.REFUSED)


def ledger_export(name: str, target: str, run: str, output: Path | None) -> None:
    """Write the facts of a run as lines of JSON."""
    with found_run(name, target, run) as (_, __, connection, found):
        text = "".join(line + "\n" for line in store.export(connection, found.run))
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_file(output, text)
        say(f"{output}")
