"""What people say to a run: go, no-go, and the items that they confirm."""

from __future__ import annotations

from typing import Annotated

import typer

from gonogo.cli.callers import ask_code, caller_of, require_person, tell_skew
from gonogo.cli.options import (
    CodeOption,
    CommentOption,
    GateArg,
    JsonOption,
    PersonOption,
    RunbookOrRunArg,
    RunOption,
    TargetOption,
)
from gonogo.cli.output import as_json, say
from gonogo.core.model.people import GO, NO_GO
from gonogo.run import votes
from gonogo.run.open import found_run
from gonogo.run.signatures import keys_of
from gonogo.run.votes import Caller


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
    _vote(GO, runbook, gate, target, run_id, comment, caller_of(actor, code), json)


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
    _vote(NO_GO, runbook, gate, target, run_id, comment, caller_of(actor, code), json)


def _vote(decision: str, name: str, gate: str, target: str, run_id: str, comment: str, caller: Caller, json: bool) -> None:
    require_person(caller)
    with found_run(name, target, run_id) as (opened, _, connection, found):
        tell_skew(connection)
        proven = ask_code(found.plan, caller)
        lacks = votes.vote(connection, found, keys_of(opened.project), proven, decision, gate=gate, comment=comment)
        running = found.running
    proved = "proved" if proven.proves else "not proved"
    if json:
        as_json({"run": found.run, "person": caller.person, "decision": decision, "proved": proven.proves, "lacks": lacks})
        return
    say(f"{caller.person} ({proved}) says {decision}", "bold green" if decision == GO else "bold red")
    if decision == GO and lacks:
        say(f"  {lacks}")
    elif not running:
        command = f"gonogo resume {found.plan.arguments}"
        say(f"  the gate has all it needs, and no process works on the run: {command}")


def confirm(
    runbook: RunbookOrRunArg,
    item: Annotated[str, typer.Argument(help="An item of the phase's checklists.", show_default=False)],
    target: TargetOption = "",
    run_id: RunOption = "",
    actor: PersonOption = "",
    code: CodeOption = "",
    evidence: Annotated[str, typer.Option("--evidence", "-e", help="What shows it (shown in the report).")] = "",
    json: JsonOption = False,
) -> None:
    """Confirm an item of a checklist: before, during or after a phase.

    Example: [bold]gonogo confirm guardian-multi-credit documents_reviewed --as lead --evidence "review 17"[/]
    """
    caller = caller_of(actor, code)
    require_person(caller)
    with found_run(runbook, target, run_id) as (opened, _, connection, found):
        tell_skew(connection)
        votes.confirm(connection, found, keys_of(opened.project), ask_code(found.plan, caller), item, evidence)
        running = found.running
    if json:
        as_json({"run": found.run, "person": caller.person, "confirmed": item, "running": running})
        return
    say(f"{caller.person} confirms {item}", "green")
    if not running:
        say(f"  no process works on the run: gonogo resume {found.plan.arguments}")
