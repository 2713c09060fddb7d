"""Commands that change a target: run, resume, hold, abort, rollback.

What carries a run is imported where one is carried: finding that nothing is left to do needs none of it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import typer

from flows import decide, launch, turning
from flows.decide import Speaker, agree, keys_of, launcher
from flows.opening import Opened, found_run, open_runbook, read_inputs
from gonogo import fence
from gonogo.cli.show import as_json, say
from gonogo.core.event import Kind
from gonogo.core.people import lacking
from gonogo.core.plain import tidy
from gonogo.core.plan import Plan
from gonogo.core.state import State, Status, outcome
from gonogo.database import Connection, Database, identify
from gonogo.errors import BadInput, Exit, Refused
from gonogo.loader import choose_target

if TYPE_CHECKING:
    from flows.loop import Conductor


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
    speaker: Speaker,
    override: str,
    json: bool,
    hint: bool = True,
) -> None:
    """Launch a run, or its next phases."""
    opened = open_runbook(name)
    chosen, given = choose_target(opened.runbook, target), read_inputs(inputs)
    if phase and phase not in (names := [p.phase for p in opened.runbook.phases]):
        raise BadInput(f"the runbook has no phase {phase!r}; there are {', '.join(names)}")
    database = launch.reach(opened.runbook, opened.project, target)
    who = speaker.person or launch.whoami()
    if not again and (done := _done_already(opened, database, chosen, given)):
        if json:
            as_json({"run": done, "runbook": opened.runbook.runbook, "target": chosen, "status": "done", "exit_code": 0})
        else:
            say(f"nothing is left to do: {done} did this already; --again runs it anew")
        return
    from gonogo.cli.carry import Carrier  # noqa: PLC0415
    from gonogo.planning import prepare  # noqa: PLC0415

    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=given)
    said = launcher(prepared.plan, keys_of(opened.project), ask_code(prepared.plan, speaker), override, at_once=at_once)
    carrier = Carrier(plainly, quiet=json, patient=wait, hint=hint)
    with launch.let_in(database, "gonogo/begin") as connection:
        sign = decide.signer(prepared.plan, keys_of(opened.project))
        run_id, found = launch.begin(connection, prepared, who, again=again, sign=sign)
        count = launch.phases_to_do(prepared.plan, found.state if found else State(), phase)
        # the connection holds the target until the run's own session has claimed it
        carrier.carry(opened, database, run_id, who, lambda c: launch.go(c, count, carrier.flow, at_once=at_once, said=said))


def _done_already(opened: Opened, database: Database, target: str, inputs: dict[str, Any]) -> str:
    """Return the run that did this already, from these very files; nothing is planned to find out."""
    with launch.let_in(database, "gonogo/begin") as connection:
        identify(connection)
        run_id, made_from = launch.newest_done(connection, opened.runbook.runbook)
    if not run_id:
        return ""
    sources = launch.sources_of(opened.runbook, opened.file, opened.project, target=target, inputs=inputs)
    return run_id if sources == made_from else ""


def resume(
    name: str, target: str, run_id: str, settle: str, take_over: bool, wait: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Carry a run on."""
    from gonogo.cli.carry import Carrier, answer  # noqa: PLC0415

    with found_run(name, target, run_id) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            answer(found, opened, json, f"nothing to resume: the run {found.run} is over ({found.state.status})")
            raise typer.Exit(launch.exit_code(found.state))
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it with `gonogo run {name}`")
        settled = launch.settlement(found, settle) if settle else None
    who = actor or launch.whoami()
    carrier = Carrier(plainly, quiet=json, patient=wait)
    carrier.carry(
        opened,
        database,
        found.run,
        who,
        lambda c: launch.go_on(c, found.events, carrier.flow, settled),
        take_over=take_over,
        resumed=True,
    )


def hold(name: str, target: str, run_id: str, reason: str, actor: str) -> None:
    """Ask a run to stop before its next step."""
    with found_run(name, target, run_id) as (_, database, connection, found):
        if found.state.at_rest:
            raise Refused(f"the run {found.run} is at rest already ({outcome(found.state)})")
        launch.request(database, found, Kind.HOLD, {"why": tidy(reason)} if reason else {}, actor or launch.whoami())
        say(f"asked {found.run} to hold before its next step")
        if not fence.holder_alive(connection, found.run):
            say("no process carries it now; it stays held until `gonogo resume`")


def turn_back(
    back: turning.Back,
    name: str,
    target: str,
    run_id: str,
    take_over: bool,
    plainly: bool,
    speaker: Speaker,
    json: bool,
    phase: str = "",
) -> None:
    """Roll a run back; where a process carries it, that process does."""
    from gonogo.cli.carry import Carrier  # noqa: PLC0415

    who = speaker.person or launch.whoami()
    with found_run(name, target, run_id) as (opened, database, connection, found):
        back = replace(back, back_to=turning.phase_number(found.plan, phase))
        turning.refuse_where_over(back, found)
        by_authority = turning.needs_authority(found, back)
        _say_loss(connection, found, back)
        if back.accept_loss and not by_authority:
            decide.accept_loss(found.plan, keys_of(opened.project), ask_code(found.plan, speaker))
        if by_authority and (lacks := _agree(connection, found, opened, speaker, back)):
            say(f"{speaker.person} agrees: {lacks}")
            say(f"next: gonogo rollback {name} --target {found.plan.target} --as PERSON")
            raise typer.Exit(Exit.HOLDING)
        if found.carried and not take_over:
            if not by_authority:
                launch.request(database, found, back.kind, back.body, who)
            say(f"asked {found.run} to {back.kind}; it does so when its running step ends: gonogo status {name} --watch")
            return

    carrier = Carrier(plainly, quiet=json)

    def turn(conductor: Conductor) -> None:
        turning.turn_back(conductor, back, by_authority=by_authority)
        carrier.flow(conductor)

    carrier.carry(opened, database, found.run, who, turn, take_over=take_over, resumed=True)


def _say_loss(connection: Connection, found: launch.Found, back: turning.Back) -> None:
    """Say beforehand what a way back would destroy."""
    from flows.back import losses  # noqa: PLC0415 - see the top

    for what, told in losses(connection, found.run, found.plan, found.state, back.level, back.back_to):
        say(f"would be lost: {what}: {told}", "yellow")


def _agree(connection: Connection, found: launch.Found, opened: Opened, speaker: Speaker, back: turning.Back) -> str:
    rule = found.plan.rollback.authority
    if not speaker.person:
        waits = lacking(rule, found.plan.people, found.state.back) if rule else ""
        raise Refused(f"this runbook's rollback needs agreement ({waits}). Say who you are with --as PERSON")
    speaker = ask_code(found.plan, speaker)
    return agree(connection, found, keys_of(opened.project), speaker, back.reason, back.level, back.back_to)


def vote(decision: str, name: str, gate: str, target: str, run_id: str, comment: str, speaker: Speaker, json: bool) -> None:
    """Say go or no-go at a gate."""
    _require_person(speaker)
    with found_run(name, target, run_id) as (opened, _, connection, found):
        asked = ask_code(found.plan, speaker)
        lacks = decide.vote(connection, found, keys_of(opened.project), asked, decision, gate=gate, comment=comment)
        carried = found.carried
    proved = "proved" if asked.code else "not proved"
    resume = f"gonogo resume {found.plan.runbook} --target {found.plan.target}"
    if json:
        as_json({"run": found.run, "person": speaker.person, "decision": decision, "proved": bool(asked.code), "lacks": lacks})
        return
    say(f"{speaker.person} ({proved}) says {decision}", "bold green" if decision == "go" else "bold red")
    if decision == "go" and lacks:
        say(f"  {lacks}")
    elif not carried:
        say(f"  the gate has all it needs, and no process carries the run: {resume}")


def confirm(name: str, item: str, target: str, run_id: str, evidence: str, speaker: Speaker) -> None:
    """Tick a box of a checklist."""
    _require_person(speaker)
    with found_run(name, target, run_id) as (opened, _, connection, found):
        decide.confirm(connection, found, keys_of(opened.project), ask_code(found.plan, speaker), item, evidence)
        carried = found.carried
    say(f"{speaker.person} confirms {item}", "green")
    if not carried:
        say(f"  no process carries the run: gonogo resume {found.plan.runbook} --target {found.plan.target}")


def _require_person(speaker: Speaker) -> None:
    if not speaker.person:
        raise BadInput("say who you are with --as PERSON: a name in `people:` of the runbook")


def speaker(person: str, code: str) -> Speaker:
    """Return who speaks on the command line."""
    return Speaker(person=tidy(person, 48), code=tidy(code, 20))


def ask_code(plan: Plan, speaker: Speaker) -> Speaker:
    """Ask on a terminal for the one-time code that a protected target needs, where none was given."""
    if speaker.code or not speaker.person or not plan.protected or not sys.stdin.isatty():
        return speaker
    return replace(speaker, code=typer.prompt(f"One-time code of {speaker.person}", hide_input=True))
