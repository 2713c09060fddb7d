"""The flows that `gonogo serve` offers in the Prefect UI: run, resume, roll back.

Each is started by Prefect in a process of its own, from names alone: no address and no secret is a parameter.
A run that is cancelled holds (or is rolled back by a run of its own, where its phase says so); one whose process was
killed goes on from the ledger when its flow run is retried, or by the flow *resume*.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial, wraps
from typing import Any, ParamSpec

from prefect import flow, get_run_logger
from prefect.deployments import run_deployment
from prefect.exceptions import TerminationSignal
from prefect.runtime import flow_run as this_run
from prefect.states import Completed, Failed

from flows.flow_run import call_it
from flows.forms import ALL
from flows.phase import ROLLED_BACK, PhaseView, as_state, show_page
from gonogo import monitor as monitoring
from gonogo.core.engine.events import PhaseStarted
from gonogo.core.engine.state import Status
from gonogo.core.text.rehearsal_page import rehearsal_page
from gonogo.errors import BadInput, GonogoError, Refused
from gonogo.planning.load import parse_yaml
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.planning.planner import prepare
from gonogo.planning.prepared import Prepared
from gonogo.postgres.connection import Database
from gonogo.project import find_project
from gonogo.rehearsal import rehearse as rehearsing
from gonogo.run import begin, launch, loop, rollback_request, runs, signatures, targets, votes
from gonogo.run.acquire import LiveRunner, working_on
from gonogo.run.late_end import LateEnd
from gonogo.run.open import found_run
from gonogo.run.votes import Caller

#: who acts, for the ledger, where nobody is named
_UI = "the Prefect UI"
_CANCELLED = "cancelled in Prefect"
RUN, REHEARSE, RESUME, ROLL_BACK = "gonogo-run", "gonogo-rehearse", "gonogo-resume", "gonogo-roll-back"
MONITOR = "gonogo-monitor"
_P = ParamSpec("_P")
_HOW: dict[str, Any] = {"retries": 0, "persist_result": False}


def _require_name(runbook: object) -> None:
    """Refuse all but the name of one of this project's runbooks: whoever reaches Prefect's API may send anything, also a path.

    Raises:
        BadInput: it is none.
    """
    served = [file.stem for file in find_project().runbook_files]
    if runbook not in served:
        raise BadInput(f"there is no runbook of that name here; there are {', '.join(served) or 'none'}")


def _answering(body: Callable[_P, Any]) -> Callable[_P, Any]:
    """Let what stops gonogo end a flow run with its own words, not with a traceback."""

    @wraps(body)
    def answer(*args: _P.args, **kwargs: _P.kwargs) -> Any:
        try:
            _require_name(args[0] if args else kwargs.get("runbook"))
            return body(*args, **kwargs)
        except GonogoError as error:
            get_run_logger().error("%s", error)
            return Failed(name="Refused", message=str(error))

    return answer


@flow(name=RUN, flow_run_name="{runbook}/{phase}@{target}", **_HOW)
@_answering
def run(
    runbook: str,
    target: str,
    phase: str = ALL,
    launched_by: str = "",
    code: str = "",
    override: str = "",
    at_once: bool = False,
    again: bool = False,
    inputs: dict[str, Any] | None = None,
) -> Any:
    """Launch a runbook's next phase, or all that are left."""
    opened, caller = open_runbook(runbook, target), Caller(person=launched_by, code=code)
    database = targets.reach(opened)
    if mine := _mine(database, opened):
        # a retry of the flow run that launched it: the ledger says where it stands
        who = caller.person or _UI
        return _carry(opened, database, mine.run, who, lambda c: launch.go_on(c, mine.events, _here), resumed=True)
    request = begin.LaunchRequest(
        caller=caller,
        otherwise=_UI,
        phase="" if phase == ALL else phase,
        at_once=at_once,
        again=again,
        override=override,
        flow_run=str(this_run.id),
    )
    with database.connect("gonogo/begin") as connection:
        starts = begin.starts_now(connection, opened)
    with launch.granted(opened, database, _prepare(opened, inputs, starts), request) as launched:
        if launched.done:
            return Completed(
                name="Done", message=f"nothing to do: {launched.run} already completed this runbook; set `again` to run it again"
            )
        go = partial(launched.go, run_phase=_here)
        return _carry(opened, database, launched.run, request.actor, go, resumed=False, phase=phase)


@flow(name=REHEARSE, flow_run_name="rehearse {runbook}@{target}", **_HOW)
@_answering
def rehearse(runbook: str, target: str, each_step: bool = False, inputs: dict[str, Any] | None = None) -> Any:
    """Run the plan forward and back on a restored copy, and record what that showed; the target itself is not changed."""
    opened, logger = open_runbook(runbook, target), get_run_logger()
    prepared = _prepare(opened, inputs)
    shown = rehearsing.rehearse(
        prepared,
        targets.reach(opened),
        opened.project,
        actor=_UI,
        say=lambda text: logger.info("%s", text),
        each_step=each_step,
    )
    show_page(f"{runbook}-rehearsal", rehearsal_page(prepared.plan.title, shown), "What the rehearsal showed")
    if shown.shortcomings:
        return Failed(name="Rehearsal failed", message=shown.shortcomings)
    return Completed(name="Rehearsed", message="every rollback level restored the original state")


@flow(name=MONITOR, flow_run_name="monitor {runbook}@{target}", **_HOW)
@_answering
def monitor(runbook: str, target: str) -> Any:
    """Look once at what the runbook monitors, and tell people what changed or has waited too long."""
    opened, logger = open_runbook(runbook, target), get_run_logger()
    database = targets.reach(opened)

    def say(text: str) -> None:
        logger.info("%s", text)

    found = monitoring.look(opened, _prepare(opened, None), database, say)
    for name, judged in found.judged.items():
        logger.info("%s: %s", name, judged.sentence)
    if found.raised:
        return Failed(name="Alert", message=", ".join(found.raised))
    return Completed(name="Healthy", message=f"{len(found.judged)} alerts, none raised")


def _prepare(opened: OpenedRunbook, inputs: dict[str, Any] | None, start: datetime | None = None) -> Prepared:
    given = {name: _value(opened, name, value) for name, value in (inputs or {}).items()}
    return prepare(opened, inputs=given, start=start)


@flow(name=RESUME, flow_run_name="resume {runbook}@{target}", **_HOW)
@_answering
def resume(runbook: str, target: str, settle: str = "", take_over: bool = False, asked_by: str = "", code: str = "") -> Any:
    """Go on with a run that is held, or whose process was lost: from the ledger alone."""
    caller = Caller(person=asked_by, code=code)
    with found_run(runbook, target, "", goes_on=True) as (opened, database, _, found):
        if found.state.status in (Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
            raise Refused(f"nothing to resume: the run {found.run} is over ({found.state.status})")
        if found.state.status is Status.READY and not found.state.held:
            raise Refused(f"the run {found.run} waits for its next phase; launch it")
        needs, take_over = votes.needs(found, settle=bool(settle), take_over=take_over)
        proved = votes.allowed(found.plan, signatures.keys_of(opened.project), caller, *needs)
        who = votes.shown_as(found.plan, caller, proved=proved, otherwise=_UI)
        settled = begin.settlement(found, settle) if settle else None
    return _carry(
        opened,
        database,
        found.run,
        who,
        lambda c: launch.go_on(c, found.events, _here, settled),
        resumed=True,
        take_over=take_over,
        does="resume",
    )


@flow(name=ROLL_BACK, flow_run_name="roll back {runbook}@{target}", **_HOW)
@_answering
def roll_back(
    runbook: str,
    target: str,
    reason: str = "",
    asked_by: str = "",
    code: str = "",
    take_over: bool = False,
    level: str = "",
    accept_loss: bool = False,
    phase: str = "",
) -> Any:
    """Undo what the newest run did, newest first, and prove it; where a process works on it, that one does."""
    caller = Caller(person=asked_by, code=code)
    with found_run(runbook, target, "") as (opened, database, connection, found):
        back_to = rollback_request.phase_number(found.plan, phase)
        back = rollback_request.RollbackRequest(reason=reason, level=level, back_to=back_to, accept_loss=accept_loss)
        rollback_request.refuse_rollback_where_over(back, found)
        by_authority = rollback_request.needs_approval(found, back)
        keys = signatures.keys_of(opened.project)
        proved = False
        if by_authority:
            lacks, proved = votes.agree(connection, found, keys, caller, reason, level, back_to)
            if lacks:
                return Failed(name="Waiting for approval", message=f"{caller.person} approves: {lacks}")
        # the rollback of a cancelled flow run comes after it by itself, and its process may not be gone yet
        cancelled = found.state.held == _CANCELLED
        needs, take_over = votes.needs(found, accept_loss=accept_loss, take_over=take_over)
        needs = [what for what in needs if not (cancelled and what == votes.TAKE_OVER)]
        if not proved:
            proved = votes.allowed(found.plan, keys, caller, *needs)
        who = votes.shown_as(found.plan, caller, proved=proved, otherwise=_UI)
        if found.running and not take_over:
            rollback_request.record(database, found, keys, back, who, caller, by_authority=by_authority)
            return Completed(
                name="Asked", message=f"{found.run} rolls back when its running step ends; its own flow run shows it"
            )

    def turn(runner: LiveRunner) -> None:
        rollback_request.begin_rollback(runner, back, by_authority=by_authority)
        _here(runner)

    ended = _carry(opened, database, found.run, who, turn, resumed=True, take_over=take_over, does="roll back")
    # it did what somebody asked for, and measured it: that is no failure
    return Completed(name=ended.name, message=ended.message) if ended.name == ROLLED_BACK else ended


def _mine(database: Database, opened: OpenedRunbook) -> runs.FoundRun | None:
    """Return the unfinished run that this very flow run launched, when it was retried after its process was lost."""
    with database.connect("gonogo/look") as connection:
        try:
            found = runs.find(connection, runbook=opened.name)
        except Refused:
            return None
    launched = [event.body for event in found.events if isinstance(event.body, PhaseStarted)]
    mine = bool(launched) and launched[-1].flow_run == str(this_run.id)
    over = found.state.status in (Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK) and not found.state.held
    return found if mine and not over else None


def _value(opened: OpenedRunbook, name: str, value: Any) -> Any:
    """Read an input that the form takes as text because it is a list or a mapping."""
    item = opened.runbook.inputs.get(name)
    structured = item is not None and (item.type in ("list", "mapping") or isinstance(item.default, (list, tuple, Mapping)))
    return parse_yaml(value, f"input {name}")[0] if structured and isinstance(value, str) else value


def _here(runner: LiveRunner) -> None:
    """Carry a phase inside the flow run that Prefect started."""
    shown = PhaseView(runner, runner.session.say)
    try:
        shown.attempt()
    except (Exception, TerminationSignal) as error:  # noqa: BLE001 - Prefect's failures are not the migration's
        shown.prefect_failed(error)
        if shown.error is not None:
            raise shown.error from None
    if not runner.state.at_rest and runner.patient:
        loop.run_until_blocked(runner)


def _carry(
    opened: OpenedRunbook,
    database: Database,
    run_id: str,
    actor: str,
    what: Callable[[LiveRunner], None],
    *,
    resumed: bool,
    take_over: bool = False,
    does: str = "",
    phase: str = "",
) -> Any:
    """Do something with a run as its runner; a cancelled flow run leaves it held, or rolling back in a run of its own."""
    logger = get_run_logger()
    with working_on(database, run_id, opened, actor=actor, take_over=take_over, resumed=resumed) as runner:
        runner.session.say = lambda text: logger.info("%s", text)
        plan = runner.plan
        call_it(does, plan, phase or plan.phases[min(runner.state.phase, len(plan.phases) - 1)].name, run_id)
        if _own_process():
            late = LateEnd(runner, lambda text: sys.stderr.write(f"{text}\n"), lambda: 0)
            runner.listeners.append(late.on_event)
        try:
            what(runner)
        except (TerminationSignal, KeyboardInterrupt):
            _cancelled(runner)
            raise
        except GonogoError as error:
            raise type(error)(f"{error}. When that is fixed, go on with the deployment `resume`") from None
        return as_state(runner.state)


def _own_process() -> bool:
    """Say whether Prefect started this process for this flow run alone: a worker names it, what `serve` starts is its child."""
    named = os.environ.get("PREFECT__FLOW_RUN_ID")
    # which Prefect sets for the processes that it starts for a flow run, and for no others
    child = multiprocessing.parent_process() is not None and "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS" in os.environ
    alone = named == str(this_run.id) if named else child
    return alone and this_run.parent_flow_run_id is None


def _cancelled(runner: LiveRunner) -> None:
    """Stop the statement at once; hold the run, or let a flow run of its own roll it back (Prefect kills this one soon)."""
    plan, state = runner.plan, runner.state
    phase = plan.phases[min(state.phase, len(plan.phases) - 1)]
    runner.hold_now(_CANCELLED)
    if phase.on_cancel == "hold" or plan.rollback.authority is not None:
        return
    parameters = {"runbook": plan.runbook, "target": plan.target, "reason": _CANCELLED, "take_over": True}
    name = f"{ROLL_BACK}/{plan.runbook}: roll back"
    try:
        run_deployment(name, parameters=parameters, timeout=0, as_subflow=False)
    except Exception as error:  # noqa: BLE001 - the run is held, which is safe; a person rolls it back
        runner.session.say(f"Prefect did not start the rollback ({error}); the run is held")
