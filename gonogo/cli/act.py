"""Commands that change a target: run, resume, hold, abort, rollback.

What carries a run is imported where one is carried: finding that nothing is left to do needs none of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from flows import launch
from gonogo import fence
from gonogo.cli.opening import Opened, found_run, open_runbook, read_inputs
from gonogo.cli.show import as_json, say
from gonogo.core.event import Kind
from gonogo.core.state import State, Status, outcome
from gonogo.database import Database, identify
from gonogo.errors import BadInput, Refused
from gonogo.loader import choose_target

if TYPE_CHECKING:
    from flows.loop import Conductor


def run(
    name: str, target: str, phase: str, inputs: Sequence[str], at_once: bool, again: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Launch a run, or its next phases."""
    opened = open_runbook(name)
    chosen, given = choose_target(opened.runbook, target), read_inputs(inputs)
    _refuse_protected(opened, chosen)
    if phase and phase not in (names := [p.phase for p in opened.runbook.phases]):
        raise BadInput(f"the runbook has no phase {phase!r}; there are {', '.join(names)}")
    database = launch.reach(opened.runbook, opened.project, target)
    who = actor or launch.whoami()
    if not again and (done := _done_already(opened, database, chosen, given)):
        if json:
            as_json({"run": done, "runbook": opened.runbook.runbook, "target": chosen, "status": "done", "exit_code": 0})
        else:
            say(f"nothing is left to do: {done} did this already; --again runs it anew")
        return
    from gonogo.cli.carry import Carrier  # noqa: PLC0415
    from gonogo.planning import prepare  # noqa: PLC0415

    carrier = Carrier(plainly, quiet=json)
    prepared = prepare(opened.runbook, opened.file, opened.project, target=target, inputs=given)
    with database.connect("gonogo/begin") as connection:
        run_id, found = launch.begin(connection, prepared, who, again=again)
        count = launch.phases_to_do(prepared.plan, found.state if found else State(), phase)
        # the connection holds the target until the run's own session has claimed it
        carrier.carry(opened, database, run_id, who, lambda c: launch.go(c, count, carrier.flow, at_once=at_once))


def _refuse_protected(opened: Opened, target: str) -> None:
    if opened.runbook.targets[target].protected:
        raise Refused(
            f"the target {target!r} is protected: a run on it needs approvals, a proved backup and a rehearsal,"
            " which this version of gonogo cannot take yet. It refuses rather than run without them"
        )


def _done_already(opened: Opened, database: Database, target: str, inputs: dict[str, Any]) -> str:
    """Return the run that did this already, from these very files; nothing is planned to find out."""
    with database.connect("gonogo/begin") as connection:
        identify(connection)
        run_id, made_from = launch.newest_done(connection, opened.runbook.runbook)
    if not run_id:
        return ""
    sources = launch.sources_of(opened.runbook, opened.file, opened.project, target=target, inputs=inputs)
    return run_id if sources == made_from else ""


def resume(name: str, target: str, run_id: str, settle: str, take_over: bool, plainly: bool, actor: str, json: bool) -> None:
    """Carry a run on."""
    from gonogo.cli.carry import Carrier, answer  # noqa: PLC0415

    carrier = Carrier(plainly, quiet=json)
    with found_run(name, target, run_id) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            answer(found, opened, json, f"nothing to resume: the run {found.run} is over ({found.state.status})")
            raise typer.Exit(launch.exit_code(found.state))
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it with `gonogo run {name}`")
        settled = launch.settlement(found, settle) if settle else None
    who = actor or launch.whoami()
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
        launch.request(database, found, Kind.HOLD, reason, actor or launch.whoami())
        say(f"asked {found.run} to hold before its next step")
        if not fence.holder_alive(connection, found.run):
            say("no process carries it now; it stays held until `gonogo resume`")


def turn_back(
    word: str, name: str, target: str, run_id: str, reason: str, take_over: bool, plainly: bool, actor: str, json: bool
) -> None:
    """Roll a run back; where a process carries it, that process does."""
    from gonogo.cli.carry import Carrier  # noqa: PLC0415

    carrier = Carrier(plainly, quiet=json)
    kind = Kind(word)
    who = actor or launch.whoami()
    with found_run(name, target, run_id) as (opened, database, _, found):
        _refuse_where_over(kind, found)
        if found.carried and not take_over:
            launch.request(database, found, kind, reason, who)
            say(f"asked {found.run} to {word}; it does so when its running step ends: gonogo status {name} --watch")
            return

    def back(conductor: Conductor) -> None:
        if conductor.state.status not in (Status.ROLLING_BACK, Status.PROVING):
            conductor.append(kind, {"why": reason} if reason else {})
        elif conductor.state.held:
            conductor.append(Kind.RESUME)
        carrier.flow(conductor)

    carrier.carry(opened, database, found.run, who, back, take_over=take_over, resumed=True)


def _refuse_where_over(kind: Kind, found: launch.Found) -> None:
    state = found.state
    nothing_done = state.status is Status.NO_GO and not state.changed
    if state.status is Status.ROLLED_BACK or nothing_done or (state.status is Status.DONE and kind is Kind.ABORT):
        hint = "; `gonogo rollback` turns it back" if state.status is Status.DONE else ""
        raise Refused(f"the run {found.run} is over ({state.status}), so there is nothing to {kind}{hint}")
