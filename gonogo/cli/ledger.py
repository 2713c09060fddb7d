"""Commands for the record of a run: verify it, export it, and answer for one that this project did not sign."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gonogo.cli.callers import ask_code, caller_of, require_person
from gonogo.cli.options import CodeOption, JsonOption, PersonOption, RunbookArg, RunbookOrRunArg, RunOption, TargetOption
from gonogo.cli.output import as_json, complain, say
from gonogo.core.text.plain import counted
from gonogo.errors import Exit, GonogoError, Refused
from gonogo.ledger import chain
from gonogo.run.local_head import local_head
from gonogo.run.open import found_run, named_run
from gonogo.run.signatures import answer_for, keys_of
from gonogo.run.votes import prove


def verify(runbook: RunbookArg, target: TargetOption = "", run_id: RunOption = "", json: JsonOption = False) -> None:
    """Recompute the hash chain of a run: whatever was changed by hand shows.

    Example: [bold]gonogo ledger verify guardian-multi-credit[/]
    """
    with named_run(runbook, target, run_id) as (opened, connection, run):
        count, problems = chain.verify(connection, run)
        problems += chain.wrong_scripts(connection, run)
        if gone := local_head(opened.project.state, run).missing_in(connection, run):
            problems.append(gone)
    if json:
        as_json({"run": run, "events": count, "ok": not problems, "problems": problems})
    elif not problems:
        say(f"run {run}: {counted(count, 'event')}, each follows from the one before it", "green")
    else:
        for problem in problems:
            complain(GonogoError(f"run {run}: {problem}"))
    if problems:
        raise typer.Exit(Exit.REFUSED)


def export(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output by default.")] = None,
) -> None:
    """Write every event of a run as a line of JSON, with its hash.

    Example: [bold]gonogo ledger export guardian-multi-credit --output run.jsonl[/]
    """
    from gonogo.cli.files import write_file  # noqa: PLC0415 - see report

    with found_run(runbook, target, run_id) as (_, __, connection, found):
        lines = (line + "\n" for line in chain.export(connection, found.run))
        if output is None:
            sys.stdout.writelines(lines)
        else:
            write_file(output, lines)
    if output is not None:
        say(f"{output}")


def sign(
    runbook: RunbookOrRunArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    make_key: Annotated[
        bool, typer.Option("--make-key", help="The project's key is lost: make a new one here, for this run and later ones.")
    ] = False,
    actor: PersonOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Answer for a run on a protected target that this project did not sign.

    It was begun elsewhere, or by a gonogo that did not sign yet; or somebody wrote it into the ledger. Look at it first: gonogo
    report.

    Example: [bold]gonogo ledger sign guardian-multi-credit --as lead[/]
    """
    caller = caller_of(actor, code)
    require_person(caller)
    with found_run(runbook, target, run_id) as (opened, _, connection, found):
        people, keys = opened.runbook.people, keys_of(opened.project)
        if not (keys.has_project_key() or make_key):
            raise Refused(
                "this machine does not have the project's key: answer for the run where that is, or name the file of keys with"
                " GONOGO_KEYS. Where it is lost, --make-key makes a new one here"
            )
        if caller.person not in people:
            raise Refused(f"{caller.person!r} is not one of the runbook's people; there are {', '.join(people) or 'none'}")
        # the runbook says who its people are, and not a plan that nobody signed
        ours = found.plan.model_copy(update={"protected": True, "people": people})
        prove(ours, keys, ask_code(ours, caller))
        answer_for(connection, found.run, found.plan, keys, caller.person, found.state.seq)
    if json:
        as_json({"run": found.run, "person": caller.person, "signed_up_to": found.state.seq})
        return
    say(f"{caller.person} answers for the run {found.run}, up to event {found.state.seq}")
