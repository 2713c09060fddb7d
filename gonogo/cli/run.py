"""Commands that change a target: run, resume, hold, abort, rollback; and what people say: go, no-go, confirm.

What runs a plan is imported where one runs: finding that nothing is left to do needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from gonogo.cli.callers import ask_code, caller_of, tell_skew
from gonogo.cli.options import (
    ActorOption,
    CodeOption,
    InputOption,
    JsonOption,
    NoWaitOption,
    PlainOption,
    ReasonOption,
    RunbookArg,
    RunOption,
    TakeOverOption,
    TargetOption,
)
from gonogo.cli.output import as_json, say
from gonogo.core.engine.events import HoldAsked
from gonogo.core.engine.state import Status, outcome
from gonogo.core.model.people import missing_votes
from gonogo.core.text.plain import tidy
from gonogo.errors import Exit, Refused
from gonogo.ledger import fence
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.postgres.connection import Connection
from gonogo.run import begin, rollback_request, runs, targets, votes
from gonogo.run.begin import LaunchRequest
from gonogo.run.open import found_run, read_inputs
from gonogo.run.rollback_request import RollbackRequest
from gonogo.run.signatures import is_ours, keys_of
from gonogo.run.votes import Caller


def run(
    runbook: RunbookArg,
    target: TargetOption = "",
    phase: Annotated[str, typer.Option(help="Only this phase; by default all that are left.")] = "",
    inputs: InputOption = None,
    at_once: Annotated[bool, typer.Option("--at-once", help="Do not wait for the clock times of phases and tasks.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Run again what was done already.")] = False,
    no_wait: NoWaitOption = False,
    override: Annotated[
        str, typer.Option(help="Why it may start outside its window or beyond its budgets; by a role that may (--as).")
    ] = "",
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Launch a run: gate, tasks, verify, soak; it rolls back by itself when a threshold trips.

    Example: [bold]gonogo run guardian-multi-credit --target demo --at-once[/]
    """
    request = LaunchRequest(
        caller=caller_of(actor, code),
        otherwise=targets.whoami(),
        phase=phase,
        at_once=at_once,
        again=again,
        override=override,
    )
    launch(open_runbook(runbook, target), inputs or [], request, wait=not no_wait, without_prefect=without_prefect, json=json)


def launch(
    opened: OpenedRunbook,
    inputs: Sequence[str],
    request: LaunchRequest,
    *,
    without_prefect: bool,
    wait: bool = True,
    json: bool = False,
    hint: bool = True,
) -> None:
    """Launch a run, or its next phases; exit as it ends."""
    given = read_inputs(inputs)
    begin.require_phase(opened.runbook, request.phase)
    database = targets.reach(opened)
    done, starts = begin.look(opened, database, given)
    if done and not request.again:
        _say_done(done, opened, json=json)
        return
    from gonogo.cli.foreground import ForegroundRun  # noqa: PLC0415 - see the top
    from gonogo.planning.planner import prepare  # noqa: PLC0415 - see the top
    from gonogo.run.launch import granted  # noqa: PLC0415 - see the top

    prepared = prepare(opened, inputs=given, start=starts)
    request = replace(request, caller=ask_code(prepared.plan, request.caller))
    with granted(opened, database, prepared, request) as launch_:
        foreground = ForegroundRun(without_prefect, quiet=json, patient=wait, hint=hint)
        foreground.work_on(
            # how a phase is shown is known only once the run is worked on
            opened,
            database,
            launch_.run,
            request.actor,
            lambda runner: launch_.go(runner, foreground.run_phase),
        )


def _say_done(done: str, opened: OpenedRunbook, *, json: bool) -> None:
    if json:
        as_json({"run": done, "runbook": opened.name, "target": opened.target, "status": "done", "exit_code": 0})
    else:
        say(f"nothing to do: {done} already completed this runbook; use --again to run it again")


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
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Go on with a run that is held, or whose process was lost: from the ledger alone.

    Example: [bold]gonogo resume guardian-multi-credit --target demo[/]
    """
    from gonogo.cli.foreground import ForegroundRun, answer  # noqa: PLC0415 - see the top
    from gonogo.run.launch import go_on  # noqa: PLC0415 - see the top

    with found_run(runbook, target, run_id, goes_on=True) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            answer(found, opened, json, f"nothing to resume: the run {found.run} is over ({found.state.status})")
            raise typer.Exit(runs.exit_code(found.state))
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it with `gonogo run {found.plan.arguments}`")
        needs, take_over = votes.needs(found, settle=bool(settle), take_over=take_over)
        who = _who(found, opened, caller_of(actor, code), *needs)
        settled = begin.settlement(found, settle) if settle else None
    foreground = ForegroundRun(without_prefect, quiet=json, patient=not no_wait)
    foreground.work_on(
        opened,
        database,
        found.run,
        who,
        lambda runner: go_on(runner, found.events, foreground.run_phase, settled),
        take_over=take_over,
        resumed=True,
    )


def hold(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    reason: ReasonOption = "",
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Ask a run to stop before its next step and keep everything.

    Example: [bold]gonogo hold guardian-multi-credit --reason "support sees errors"[/]
    """
    with found_run(runbook, target, run_id) as (opened, database, connection, found):
        if found.state.at_rest:
            raise Refused(f"nothing to hold: no step of the run {found.run} is running ({outcome(found.state)})")
        who = _who(found, opened, caller_of(actor, code))
        begin.request(database, found, HoldAsked(why=tidy(reason)), who)
        running = fence.holder_alive(connection, found.run)
    if json:
        as_json({"run": found.run, "asked": "hold", "by": who, "running": running})
        return
    say(f"asked {found.run} to hold before its next step")
    if not running:
        say(f"no process works on it now; it stays held until `gonogo resume {found.plan.arguments}`")


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
    request = RollbackRequest(abort=True, reason=reason)
    _roll_back(request, runbook, target, run_id, take_over, without_prefect, caller_of(actor, code), json)


def rollback(
    runbook: RunbookArg,
    target: TargetOption = "",
    run_id: RunOption = "",
    level: Annotated[str, typer.Option("--level", "-l", help="feature, undo, data or restore; else the runbook's first.")] = "",
    phase: Annotated[
        str, typer.Option("--phase", "-p", help="Roll back to the start of this phase; the first phase means the whole run.")
    ] = "",
    reason: ReasonOption = "",
    go_on: Annotated[bool, typer.Option("--continue", help="Go on with a rollback that holds or was lost.")] = False,
    accept_loss: Annotated[
        bool, typer.Option("--accept-loss", help="Accept data loss: rows written since may be destroyed.")
    ] = False,
    take_over: TakeOverOption = False,
    without_prefect: PlainOption = False,
    actor: ActorOption = "",
    code: CodeOption = "",
    json: JsonOption = False,
) -> None:
    """Roll back what a run did: say first what would be lost, then prove that all is as before.

    Also after it was done.

    Example: [bold]gonogo rollback guardian-multi-credit --reason "billing is wrong"[/]
    """
    request = RollbackRequest(reason=reason, level=level, accept_loss=accept_loss, go_on=go_on)
    _roll_back(request, runbook, target, run_id, take_over, without_prefect, caller_of(actor, code), json, phase)


def _roll_back(
    request: RollbackRequest,
    name: str,
    target: str,
    run_id: str,
    take_over: bool,
    without_prefect: bool,
    caller: Caller,
    json: bool,
    phase: str = "",
) -> None:
    """Roll a run back; where a process works on it, that process does."""
    from gonogo.cli.foreground import ForegroundRun  # noqa: PLC0415 - see the top
    from gonogo.run.acquire import LiveRunner  # noqa: PLC0415 - see the top

    with found_run(name, target, run_id) as (opened, database, connection, found):
        request = replace(request, back_to=rollback_request.phase_number(found.plan, phase))
        rollback_request.refuse_rollback_where_over(request, found)
        by_authority = rollback_request.needs_approval(found, request)
        caller, proved = _approve(connection, found, opened, caller, request) if by_authority else (caller, False)
        needs, take_over = votes.needs(found, accept_loss=request.accept_loss, take_over=take_over)
        caller = ask_code(found.plan, caller) if needs and not proved else caller
        who = _who(found, opened, caller, *needs, proved=proved)
        keys = keys_of(opened.project)
        runs_there = found.running and not take_over
        elsewhere = caller.key is not None and found.plan.protected and not is_ours(connection, found.run, keys)
        if runs_there or elsewhere:
            rollback_request.record(database, found, keys, request, who, caller, by_authority=by_authority)
    if runs_there:
        say(f"asked {found.run} to {request.kind}; it does so when its running step ends")
        say(f"next: gonogo status {found.plan.arguments} --watch")
        return
    if elsewhere:
        _say_recorded(found, caller, request, "--as PERSON" if by_authority else "--continue")
        raise typer.Exit(Exit.HOLDING)

    foreground = ForegroundRun(without_prefect, quiet=json)

    def turn(runner: LiveRunner) -> None:
        rollback_request.begin_rollback(runner, request, by_authority=by_authority)
        foreground.run_phase(runner)

    foreground.work_on(opened, database, found.run, who, turn, take_over=take_over, resumed=True)


def _say_recorded(found: runs.FoundRun, caller: Caller, request: RollbackRequest, how: str) -> None:
    """Say what becomes of what a person says on a machine that may not carry it out."""
    say(f"recorded for {found.run}, in {caller.person}'s name: {request.kind}")
    say("this machine does not have the key that the run was signed with, so it carries nothing out. Where that key is:")
    say(f"next: gonogo rollback {found.plan.arguments} {how}")


def _say_loss(connection: Connection, found: runs.FoundRun, request: RollbackRequest) -> None:
    """Say to those who must agree what a rollback may destroy; its runner measures it."""
    from gonogo.run.losses import losses  # noqa: PLC0415 - see the top

    for what, notes in losses(connection, found.run, found.plan, found.state, request.level, request.back_to):
        say(f"may be lost: {what}: {notes}", "yellow")


def _approve(
    connection: Connection, found: runs.FoundRun, opened: OpenedRunbook, caller: Caller, request: RollbackRequest
) -> tuple[Caller, bool]:
    """Say what may be lost, and record that somebody approves; end where others must, too.

    Return who, and whether they proved it.
    """
    rule = found.plan.rollback.authority
    _say_loss(connection, found, request)
    if not caller.person:
        waits = missing_votes(rule, found.plan.people, found.state.approvals) if rule else ""
        raise Refused(f"this runbook's rollback needs approval ({waits}). Say who you are with --as PERSON")
    tell_skew(connection)
    caller = ask_code(found.plan, caller)
    keys = keys_of(opened.project)
    lacks, proved = votes.agree(connection, found, keys, caller, request.reason, request.level, request.back_to)
    if lacks:
        say(f"{caller.person} approves: {lacks}")
        say(f"next: gonogo rollback {found.plan.arguments} --as PERSON")
        raise typer.Exit(Exit.HOLDING)
    return caller, proved


def _who(found: runs.FoundRun, opened: OpenedRunbook, caller: Caller, *needs: str, proved: bool = False) -> str:
    """Return by which name somebody is shown, once it is seen that they may do what they ask for."""
    if needs and not proved:
        caller = ask_code(found.plan, caller)
    proved = proved or votes.allowed(found.plan, keys_of(opened.project), caller, *needs)
    return votes.shown_as(found.plan, caller, proved=proved, otherwise=targets.whoami())
