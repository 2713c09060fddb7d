"""Commands that ask a target and change nothing: its checks, and the objects of its schema."""

from __future__ import annotations

import json as json_
from collections.abc import Sequence
from pathlib import Path

import typer

from gonogo import clock
from gonogo.cli.output import as_json, say, table
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.verdict import Measurement, Verdict, judge_all, worst
from gonogo.core.text.alerts import look_of
from gonogo.errors import BadInput, Exit, GonogoError, Refused
from gonogo.planning.load import choose_target
from gonogo.postgres.connection import Connection
from gonogo.run import runs, targets
from gonogo.run.open import open_runbook, read_inputs
from gonogo.run.votes import Caller

_STYLE = {Verdict.PASS: "green", Verdict.AMBER: "yellow", Verdict.FAIL: "bold red"}


def check(name: str, names: Sequence[str], target: str, inputs: Sequence[str], json: bool) -> None:
    """Ask checks now, and judge the answers."""
    from checks.kind import CheckEnvironment  # noqa: PLC0415 - what asks is imported where something is asked
    from checks.measure import measure  # noqa: PLC0415 - what asks is imported where something is asked
    from gonogo.planning.planner import prepare  # noqa: PLC0415

    opened = open_runbook(name)
    if unknown := [check for check in names if check not in opened.runbook.checks]:
        raise BadInput(f"the runbook has no check {unknown[0]!r}; there are {', '.join(opened.runbook.checks) or 'none'}")
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=read_inputs(inputs))
    database, plan = targets.reach(opened.runbook, opened.project, target), prepared.plan
    environment = CheckEnvironment(texts=prepared.texts, root=opened.project.files, database=database)
    told = []
    with targets.connect_recovering(database, "gonogo/check") as connection:
        before = _baseline(connection, opened.runbook.runbook)
        if elsewhere := [check for check in names if check not in plan.checks]:
            only = " or ".join(opened.runbook.checks[elsewhere[0]].only_on)
            raise BadInput(f"the check {elsewhere[0]!r} is asked on {only} only, not on {plan.target}")
        for asked in names or plan.checks:
            rule = plan.checks[asked]
            measured = measure(plan, asked, environment, connection, before.get(asked))
            judged = judge_all(rule.expectations, rule.breach, measured, before.get(asked), at_least=rule.least)
            told.append((measured, judged))
    verdict = worst(judged.verdict for _, judged in told)
    if json:
        made = [{**j.model_dump(mode="json"), **m.model_dump(mode="json", exclude={"check", "samples"})} for m, j in told]
        as_json({"target": choose_target(opened.runbook, target), "verdict": verdict, "checks": made})
    else:
        rows = [(judged.check, judged.verdict, judged.sentence, f"{measured.seconds:.3f} s") for measured, judged in told]
        table(f"Checks on {plan.target}", ["check", "verdict", "measured", "took"], rows)
        say(f"worst: {verdict}", _STYLE.get(verdict, "magenta"))
    raise typer.Exit(Exit.DONE if verdict is Verdict.PASS else Exit.NO_GO)


def _baseline(connection: Connection, runbook: str) -> dict[str, Measurement]:
    """Return what the newest run measured before its first change, if there is one."""
    try:
        state = fold(runs.find(connection, runbook=runbook).events)
    except GonogoError:
        return {}
    return {name: Measurement.model_validate(found) for name, found in state.baseline.get("measurements", {}).items()}


def monitor(name: str, target: str, follow: bool, json: bool) -> None:
    """Look at what a runbook monitors."""
    from gonogo.monitor import look  # noqa: PLC0415 - see above
    from gonogo.planning.planner import prepare  # noqa: PLC0415

    opened = open_runbook(name)
    database = targets.reach(opened.runbook, opened.project, target)
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target)
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


def ack(name: str, alert: str, target: str, comment: str, caller: Caller) -> None:
    """Take an alert, or what a run needs people for."""
    from gonogo.cli.run import ask_code  # noqa: PLC0415
    from gonogo.monitor import acknowledge  # noqa: PLC0415 - see above
    from gonogo.planning.planner import prepare  # noqa: PLC0415

    if not caller.person:
        raise BadInput("say who you are with --as PERSON: a name in `people:` of the runbook")
    opened = open_runbook(name)
    with targets.connect_recovering(targets.reach(opened.runbook, opened.project, target), "gonogo/ack") as connection:
        try:
            found = runs.find(connection, runbook=opened.runbook.runbook)
        except Refused:
            found = None
        plan = found.plan if found else prepare(opened.runbook, opened.file, opened.project, target=target).plan
        what = acknowledge(connection, opened, plan, ask_code(plan, caller), alert, comment, found)
    say(f"{caller.person} takes it: {what}", "green")


def objects(name: str, target: str, output: Path | None) -> None:
    """Write down every object of a target's schema."""
    from gonogo.postgres.fingerprint import schema_fingerprint  # noqa: PLC0415

    opened = open_runbook(name)
    with targets.connect_recovering(targets.reach(opened.runbook, opened.project, target), "gonogo/objects") as connection:
        found = schema_fingerprint(connection)
    text = json_.dumps(found, indent=1, ensure_ascii=False, sort_keys=True)
    if output is None:
        typer.echo(text)
        return
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise BadInput(f"--output {output}: {error.strerror}") from None
    say(f"{output}: {len(found)} objects")
