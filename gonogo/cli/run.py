"""Commands that change a target: run, resume, hold, abort, rollback.

What carries a run is imported where one is carried: finding that nothing is left to do needs none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import typer

from gonogo.cli.output import as_json, say
from gonogo.core.engine.events import Kind
from gonogo.core.engine.state import State, Status, outcome
from gonogo.core.model.people import missing_votes
from gonogo.core.plan.plan import Plan
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Exit, Refused
from gonogo.ledger import fence
from gonogo.planning.load import choose_target
from gonogo.postgres.connection import Connection, Database, identify
from gonogo.run import launch, rollback_request, runs, signatures, targets, votes
from gonogo.run.context import Runner
from gonogo.run.open import OpenedRunbook, found_run, open_runbook, read_inputs
from gonogo.run.signatures import keys_of
from gonogo.run.votes import Caller, agree, launcher


def run(
    name: str,
    target: str,
    phase: str,
    inputs: Sequence[str],
    *,
    at_once: bool,
    again: bool,
    wait: bool,
    plainly: bool,
    caller: Caller,
    override: str,
    json: bool,
    hint: bool = True,
) -> None:
    """Launch a run, or its next phases."""
    opened = open_runbook(name)
    chosen, given = choose_target(opened.runbook, target), read_inputs(inputs)
    if phase and phase not in (names := [p.phase for p in opened.runbook.phases]):
        raise BadInput(f"the runbook has no phase {phase!r}; there are {', '.join(names)}")
    database = targets.reach(opened.runbook, opened.project, target)
    who = caller.person or targets.whoami()
    if not again and (done := _done_already(opened, database, chosen, given)):
        if json:
            as_json({"run": done, "runbook": opened.runbook.runbook, "target": chosen, "status": "done", "exit_code": 0})
        else:
            say(f"nothing is left to do: {done} did this already; --again runs it anew")
        return
    from gonogo.cli.foreground import ForegroundRun  # noqa: PLC0415
    from gonogo.planning.planner import prepare  # noqa: PLC0415

    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=given)
    said = launcher(prepared.plan, keys_of(opened.project), ask_code(prepared.plan, caller), override, at_once=at_once)
    foreground = ForegroundRun(plainly, quiet=json, patient=wait, hint=hint)
    with targets.connect_recovering(database, "gonogo/begin") as connection:
        sign = signatures.signer(prepared.plan, keys_of(opened.project))
        run_id, found = launch.begin(connection, prepared, who, again=again, sign=sign)
        count = launch.phases_to_do(prepared.plan, found.state if found else State(), phase)
        # the connection holds the target until the run's own session has claimed it
        foreground.carry(
            opened, database, run_id, who, lambda c: launch.go(c, count, foreground.flow, at_once=at_once, said=said)
        )


def _done_already(opened: OpenedRunbook, database: Database, target: str, inputs: dict[str, Any]) -> str:
    """Return the run that did this already, from these very files; nothing is planned to find out."""
    with targets.connect_recovering(database, "gonogo/begin") as connection:
        identify(connection)
        run_id, made_from = runs.newest_done(connection, opened.runbook.runbook)
    if not run_id:
        return ""
    sources = launch.sources_of(opened.runbook, opened.file, opened.project, target=target, inputs=inputs)
    return run_id if sources == made_from else ""


def resume(
    name: str, target: str, run_id: str, settle: str, take_over: bool, wait: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Carry a run on."""
    from gonogo.cli.foreground import ForegroundRun, answer  # noqa: PLC0415

    with found_run(name, target, run_id) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            answer(found, opened, json, f"nothing to resume: the run {found.run} is over ({found.state.status})")
            raise typer.Exit(launch.exit_code(found.state))
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it with `gonogo run {name}`")
        settled = launch.settlement(found, settle) if settle else None
    who = actor or targets.whoami()
    foreground = ForegroundRun(plainly, quiet=json, patient=wait)
    foreground.carry(
        opened,
        database,
        found.run,
        who,
        lambda c: launch.go_on(c, found.events, foreground.flow, settled),
        take_over=take_over,
        resumed=True,
    )


def hold(name: str, target: str, run_id: str, reason: str, actor: str) -> None:
    """Ask a run to stop before its next step."""
    with found_run(name, target, run_id) as (_, database, connection, found):
        if found.state.at_rest:
            raise Refused(f"the run {found.run} is at rest already ({outcome(found.state)})")
        launch.request(database, found, Kind.HOLD, {"why": tidy(reason)} if reason else {}, actor or targets.whoami())
        say(f"asked {found.run} to hold before its next step")
        if not fence.holder_alive(connection, found.run):
            say("no process carries it now; it stays held until `gonogo resume`")


def begin_rollback(
    back: rollback_request.Back,
    name: str,
    target: str,
    run_id: str,
    take_over: bool,
    plainly: bool,
    caller: Caller,
    json: bool,
    phase: str = "",
) -> None:
    """Roll a run back; where a process carries it, that process does."""
    from gonogo.cli.foreground import ForegroundRun  # noqa: PLC0415

    who = caller.person or targets.whoami()
    with found_run(name, target, run_id) as (opened, database, connection, found):
        back = replace(back, back_to=rollback_request.phase_number(found.plan, phase))
        rollback_request.refuse_rollback_where_over(back, found)
        by_authority = rollback_request.needs_approval(found, back)
        _say_loss(connection, found, back)
        if back.accept_loss and not by_authority:
            votes.accept_loss(found.plan, keys_of(opened.project), ask_code(found.plan, caller))
        if by_authority and (lacks := _agree(connection, found, opened, caller, back)):
            say(f"{caller.person} agrees: {lacks}")
            say(f"next: gonogo rollback {name} --target {found.plan.target} --as PERSON")
            raise typer.Exit(Exit.HOLDING)
        if found.carried and not take_over:
            if not by_authority:
                launch.request(database, found, back.kind, back.body, who)
            say(f"asked {found.run} to {back.kind}; it does so when its running step ends: gonogo status {name} --watch")
            return

    foreground = ForegroundRun(plainly, quiet=json)

    def turn(runner: Runner) -> None:
        rollback_request.begin_rollback(runner, back, by_authority=by_authority)
        foreground.flow(runner)

    foreground.carry(opened, database, found.run, who, turn, take_over=take_over, resumed=True)


def _say_loss(connection: Connection, found: runs.FoundRun, back: rollback_request.Back) -> None:
    """Say beforehand what a way back would destroy."""
    from gonogo.run.rollback import losses  # noqa: PLC0415 - see the top

    for what, told in losses(connection, found.run, found.plan, found.state, back.level, back.back_to):
        say(f"would be lost: {what}: {told}", "yellow")


def _agree(
    connection: Connection, found: runs.FoundRun, opened: OpenedRunbook, caller: Caller, back: rollback_request.Back
) -> str:
    rule = found.plan.rollback.authority
    if not caller.person:
        waits = missing_votes(rule, found.plan.people, found.state.back) if rule else ""
        raise Refused(f"this runbook's rollback needs agreement ({waits}). Say who you are with --as PERSON")
    caller = ask_code(found.plan, caller)
    return agree(connection, found, keys_of(opened.project), caller, back.reason, back.level, back.back_to)


def vote(decision: str, name: str, gate: str, target: str, run_id: str, comment: str, caller: Caller, json: bool) -> None:
    """Say go or no-go at a gate."""
    _require_person(caller)
    with found_run(name, target, run_id) as (opened, _, connection, found):
        asked = ask_code(found.plan, caller)
        lacks = votes.vote(connection, found, keys_of(opened.project), asked, decision, gate=gate, comment=comment)
        carried = found.carried
    proved = "proved" if asked.code else "not proved"
    resume = f"gonogo resume {found.plan.runbook} --target {found.plan.target}"
    if json:
        as_json({"run": found.run, "person": caller.person, "decision": decision, "proved": bool(asked.code), "lacks": lacks})
        return
    say(f"{caller.person} ({proved}) says {decision}", "bold green" if decision == "go" else "bold red")
    if decision == "go" and lacks:
        say(f"  {lacks}")
    elif not carried:
        say(f"  the gate has all it needs, and no process carries the run: {resume}")


def confirm(name: str, item: str, target: str, run_id: str, evidence: str, caller: Caller) -> None:
    """Tick a box of a checklist."""
    _require_person(caller)
    with found_run(name, target, run_id) as (opened, _, connection, found):
        votes.confirm(connection, found, keys_of(opened.project), ask_code(found.plan, caller), item, evidence)
        carried = found.carried
    say(f"{caller.person} confirms {item}", "green")
    if not carried:
        say(f"  no process carries the run: gonogo resume {found.plan.runbook} --target {found.plan.target}")


def _require_person(caller: Caller) -> None:
    if not caller.person:
        raise BadInput("say who you are with --as PERSON: a name in `people:` of the runbook")


def caller(person: str, code: str) -> Caller:
    """Return who speaks on the command line."""
    return Caller(person=tidy(person, 48), code=tidy(code, 20))


def ask_code(plan: Plan, caller: Caller) -> Caller:
    """Ask on a terminal for the one-time code that a protected target needs, where none was given."""
    if caller.code or not caller.person or not plan.protected or not sys.stdin.isatty():
        return caller
    return replace(caller, code=typer.prompt(f"One-time code of {caller.person}", hide_input=True))
