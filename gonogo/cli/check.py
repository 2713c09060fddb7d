"""Commands that ask a target and change nothing: its checks, its alerts, and the objects of its schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.cli.callers import ask_code, caller_of, require_person
from gonogo.cli.options import (
    CodeOption,
    CommentOption,
    InputOption,
    JsonOption,
    PersonOption,
    RunbookArg,
    TargetOption,
)
from gonogo.cli.output import as_json, say, table
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.verdict import Measurement, Verdict, judge_all, worst
from gonogo.core.text import plain
from gonogo.core.text.alerts import look_of
from gonogo.errors import BadInput, Exit, GonogoError, Refused
from gonogo.monitor import acknowledge, look
from gonogo.planning.open import open_runbook
from gonogo.planning.planner import prepare
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import fingerprint
from gonogo.run import runs, targets
from gonogo.run.open import read_inputs

_STYLE = {Verdict.PASS: "green", Verdict.AMBER: "yellow", Verdict.FAIL: "bold red"}


def check(
    runbook: RunbookArg,
    names: Annotated[list[str] | None, typer.Argument(help="Which checks; all of them without one.", show_default=False)] = None,
    target: TargetOption = "",
    inputs: InputOption = None,
    json: JsonOption = False,
) -> None:
    """Ask a runbook's checks now, and judge the answers. Changes nothing.

    Exit 10 where one does not pass. What compares with the baseline is compared with that of the newest run, where there is one.

    Example: [bold]gonogo check guardian-multi-credit credits_consistent[/]
    """
    opened, names = open_runbook(runbook, target), names or []
    if unknown := [check for check in names if check not in opened.runbook.checks]:
        raise BadInput(f"the runbook has no check {unknown[0]!r}; there are {', '.join(opened.runbook.checks) or 'none'}")
    prepared = prepare(opened, inputs=read_inputs(inputs or []))
    database, plan = targets.reach(opened), prepared.plan
    environment = CheckEnvironment(texts=prepared.texts, root=opened.project.files, database=database)
    notes = []
    with targets.connect_recovering(database, "gonogo/check") as connection:
        before = _baseline(connection, opened.name)
        if elsewhere := [check for check in names if check not in plan.checks]:
            only = " or ".join(opened.runbook.checks[elsewhere[0]].only_on)
            raise BadInput(f"the check {elsewhere[0]!r} is asked on {only} only, not on {plan.target}")
        for name in names or plan.checks:
            rule = plan.checks[name]
            measured = measure(plan, name, environment, connection, before.get(name))
            judged = judge_all(rule.expectations, rule.breach, measured, before.get(name), at_least=rule.least)
            notes.append((measured, judged))
    verdict = worst(judged.verdict for _, judged in notes)
    if json:
        made = [{**j.model_dump(mode="json"), **m.model_dump(mode="json", exclude={"check", "samples"})} for m, j in notes]
        as_json({"target": opened.target, "verdict": verdict, "checks": made})
    else:
        rows = [(judged.check, judged.verdict, judged.sentence, f"{measured.seconds:.3f} s") for measured, judged in notes]
        table(f"Checks on {plan.target}", ["check", "verdict", "measured", "took"], rows)
        say(f"worst: {verdict}", _STYLE.get(verdict, "magenta"))
    raise typer.Exit(Exit.DONE if verdict is Verdict.PASS else Exit.NO_GO)


def _baseline(connection: Connection, runbook: str) -> dict[str, Measurement]:
    """Return what the newest run measured before its first change, if there is one."""
    try:
        state = fold(runs.find(connection, runbook=runbook).events)
    except GonogoError:
        return {}
    return dict(state.known.baseline.measurements)


def monitor(
    runbook: RunbookArg,
    target: TargetOption = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Look again and again, as often as the runbook says.")] = False,
    json: JsonOption = False,
) -> None:
    """Ask what the runbook monitors, and tell people what changed or waits too long.

    Exit 10 where an alert is raised.

    Example: [bold]gonogo monitor event-management --follow[/]
    """
    opened = open_runbook(runbook, target)
    database = targets.reach(opened)
    prepared = prepare(opened)
    pause = prepared.plan.monitor.every.total_seconds() if prepared.plan.monitor else 60
    while True:
        try:
            found = look(opened, prepared, database, say)
        except GonogoError as error:
            if not follow:
                raise
            # a target that is gone is what somebody must hear of; it is looked at again
            say(f"🔔 {prepared.plan.target} cannot be looked at: {error}", "bold red")
            clock.sleep(pause)
            continue
        if json:
            rules = {name: {"look": look_of(judged), "says": judged.sentence} for name, judged in found.judged.items()}
            as_json({"target": prepared.plan.target, "alerts": rules, "raised": found.raised, "undelivered": found.undelivered})
        else:
            rows = [(name, "RAISED" if name in found.raised else "-", judged.sentence) for name, judged in found.judged.items()]
            table(f"Monitor of {prepared.plan.target}", ["alert", "", "measured"], rows)
            for lost in found.undelivered:
                say(f"not delivered to Slack: {lost}", "yellow")
        if not follow:
            raise typer.Exit(Exit.NO_GO if found.raised else Exit.DONE)
        clock.sleep(pause)


def ack(
    runbook: RunbookArg,
    alert: Annotated[str, typer.Argument(help="The alert; without one, what the newest run needs people for.")] = "",
    target: TargetOption = "",
    comment: CommentOption = "",
    person: PersonOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Acknowledge an alert, or what a run needs people for: nobody else is called.

    Example: [bold]gonogo ack guardian-multi-credit --as lead[/]
    """
    caller = caller_of(person, code)

    require_person(caller)
    opened = open_runbook(runbook, target)
    with targets.connect_recovering(targets.reach(opened), "gonogo/ack") as connection:
        try:
            found = runs.find(connection, runbook=opened.name)
        except Refused:
            found = None
        plan = found.plan if found else prepare(opened).plan
        what = acknowledge(connection, opened, plan, ask_code(plan, caller), alert, comment, found)
    if json:
        as_json({"person": caller.person, "acknowledged": what, "alert": alert, "run": found.run if found and not alert else ""})
        return
    say(f"{caller.person} acknowledged: {what}", "green")


def objects(
    runbook: RunbookArg,
    target: TargetOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file to write; else it is printed.")] = None,
) -> None:
    """Print every object of a target's schema with its definition: what a `structure` check compares with.

    Example: [bold]gonogo objects guardian-multi-credit --output expected.json[/]
    """
    opened = open_runbook(runbook, target)
    with targets.connect_recovering(targets.reach(opened), "gonogo/objects") as connection:
        found = fingerprint(connection)
    text = plain.as_json(found.model_dump(mode="json", exclude={"shared"}), indent=1, sort_keys=True)
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--output {output}: {error.strerror}") from None
    say(f"{output}: {len(found.objects)} objects")
