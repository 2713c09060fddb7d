"""Open a run in the ledger, or find the one to go on with, and ask one that is at work for something. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from gonogo import clock
from gonogo.core.engine.commands import Record, RunUndo
from gonogo.core.engine.decide import decide, next_to_undo
from gonogo.core.engine.events import Body, ScriptDone, ScriptNotDone, UndoDone, UndoFailed
from gonogo.core.engine.marks import script_done, script_not_done
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status
from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.diff import changes
from gonogo.core.plan.plan import Plan
from gonogo.core.plan.seal import seal
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Refused
from gonogo.ledger import fence, store
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.prepared import Prepared
from gonogo.planning.unchanged import sources_of
from gonogo.postgres.connection import Connection, Database, identify, transaction
from gonogo.postgres.server_clock import server_time
from gonogo.run import runs, targets
from gonogo.run.runs import FoundRun, find
from gonogo.run.votes import Caller

Sign = Callable[[Mapping[str, Any]], str]


@dataclass(frozen=True, kw_only=True)
class LaunchRequest:
    """What somebody asks for as they launch."""

    caller: Caller
    #: who this is, for the ledger, where the caller names nobody
    otherwise: str
    #: only this phase; all that are left without one
    phase: str = ""
    #: do not wait for the clock times of phases and tasks
    at_once: bool = False
    #: run again what was done already
    again: bool = False
    #: why it may start outside its window, or beyond its budgets
    override: str = ""
    #: Prefect's flow run, where one launches it
    flow_run: str = ""

    @property
    def actor(self) -> str:
        """Who this is, for the ledger."""
        return self.caller.person or self.otherwise


def begin(
    connection: Connection, prepared: Prepared, actor: str, *, again: bool = False, sign: Sign | None = None, only: str = ""
) -> tuple[str, FoundRun | None, int]:
    """Open a run, or find the one to go on with; nothing is opened that cannot be launched.

    Returns:
        Its id, what it is when it is not new, and how many phases it goes through.

    Raises:
        TargetBusy: a runner works on the target.
        Refused: a run of the runbook is unfinished, it was done in another form, or the one phase that is named is not the next.
    """
    store.create(connection)
    plan = prepared.plan.model_copy(update={"identity": identify(connection)})
    with transaction(connection):
        fence.reserve(connection)
        run, found = _open_or_find(connection, plan, prepared.texts, actor, again=again, sign=sign)
        state = found.state if found else State()
        phases = 0 if state.status is Status.DONE else phases_to_do(plan, state, only)
        fence.hold(connection, run)
    return run, found, phases


def require_phase(runbook: Runbook, phase: str) -> None:
    """Refuse the name of a phase that is none of a runbook's.

    Raises:
        BadInput: it has none of that name.
    """
    names = [each.phase for each in runbook.phases]
    if phase and phase not in names:
        raise BadInput(f"the runbook has no phase {phase!r}; there are {', '.join(names)}")


def starts_now(connection: Connection, opened: OpenedRunbook) -> datetime | None:
    """Return when a runbook starts, by the target's clock, where it does so now; None where it names its own time."""
    return server_time(connection).replace(microsecond=0) if opened.runbook.schedule.start == "now" else None


def look(opened: OpenedRunbook, database: Database, inputs: Mapping[str, Any]) -> tuple[str, datetime | None]:
    """Look at a target before anything is planned.

    Returns:
        The run that did the runbook already, from these very files, or nothing; and when it starts, where it does so now, by the
        target's clock.
    """
    with targets.connect_recovering(database, "gonogo/begin") as connection:
        identify(connection)
        run, made_from = runs.newest_done(connection, opened.name)
        starts = starts_now(connection, opened)
    return (run if run and sources_of(opened, inputs) == made_from else ""), starts


def _open_or_find(
    connection: Connection, plan: Plan, texts: Mapping[str, str], actor: str, *, again: bool, sign: Sign | None
) -> tuple[str, FoundRun | None]:
    name, where = plan.runbook, plan.arguments
    if not plan.protected and (protected := store.protected_as(connection)):
        raise Refused(f"this database is protected: runs on it were begun as the target {protected!r}; {plan.target!r} is not")
    found = find(connection, runbook=name) if store.runs(connection, name) else None
    if found is None or _opens_another(found.state, again=again):
        return store.open_run(connection, plan, texts, actor, sign), None
    state, same = found.state, found.plan.seal == plan.seal or _sealed_again(connection, found.plan) == plan.seal
    changed = "" if same else _say_changes(connection, found.plan, plan, texts)
    if state.held or state.status not in (Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
        raise Refused(
            f"the run {found.run} of this runbook is not finished ({'held' if state.held else state.status});"
            f" go on with `gonogo resume {where}`, or roll it back with `gonogo rollback {where}`"
            + (f". The files have changed since, but the run goes on only as it was begun:{changed}" if changed else "")
        )
    if state.status is Status.ROLLED_BACK:
        deeper = [level for level in state.rules.levels if level not in SWITCH_LEVELS]
        raise Refused(
            f"the run {found.run} was rolled back by the level {state.rollback.level}, and what it did is still there; roll it"
            f" back fully first: gonogo rollback {where} --level {' or '.join(deeper)}"
        )
    if not same and state.status is Status.DONE:
        raise Refused(f"this runbook was done here as {found.run}, and has changed since; run it again with --again{changed}")
    if not same:
        raise Refused(
            f"the runbook, a template, an input or a limit has changed since the run {found.run} began; a run goes on only"
            f" as it was begun. Restore the old files, or roll the run back with `gonogo rollback {where}`{changed}"
        )
    return found.run, found


def _opens_another(state: State, *, again: bool) -> bool:
    """Return whether nothing is left of the newest run that another one would meet."""
    if state.held:
        return False
    if state.status is Status.ROLLED_BACK:
        return state.rollback.level not in SWITCH_LEVELS
    return (state.status is Status.NO_GO and not state.changed) or (state.status is Status.DONE and again)


def _sealed_again(connection: Connection, plan: Plan) -> str:
    """Return the seal that this gonogo would give to a plan of the ledger, which an older one may have written."""
    from gonogo.planning.planner import meanings_of  # noqa: PLC0415 - most launches have no older plan

    hashes = dict.fromkeys(script.sha256 for script in (*plan.scripts, *plan.questions.values()))
    kept = store.read_texts(connection, list(hashes))
    return seal(plan.model_copy(update={"identity": None}), meanings_of(kept))


def _say_changes(connection: Connection, before: Plan, after: Plan, texts: Mapping[str, str]) -> str:
    hashes = dict.fromkeys(script.sha256 for script in (*before.scripts, *before.questions.values()))
    kept = store.read_texts(connection, list(hashes))
    return "".join(f"\n    {line}" for line in changes(before, after, kept, texts))


def phases_to_do(plan: Plan, state: State, only: str) -> int:
    """Return how many phases a launch goes through from where the run stands.

    Raises:
        Refused: the one that is named is not the next one.
    """
    names = [phase.name for phase in plan.phases]
    if not only:
        deferred = [n for n, phase in enumerate(plan.phases) if phase.deferred and n >= state.phase]
        if deferred and deferred[0] == state.phase:
            raise Refused(f"the next phase, {names[state.phase]}, is deferred: launch it by its name, with --phase")
        return (deferred[0] if deferred else len(names)) - state.phase
    if names[state.phase] != only:
        raise Refused(f"the next phase is {names[state.phase]!r}; {only!r} cannot be launched now")
    return 1


def settlement(found: FoundRun, answer: str) -> ScriptDone | ScriptNotDone | UndoDone:
    """Return the event by which a person settles a step in doubt, or an undo that failed and was done by hand.

    Raises:
        BadInput: the answer is neither `done` nor `not-done`.
        Refused: nothing is in doubt.
    """
    if answer not in ("done", "not-done"):
        raise BadInput(f"--settle {answer!r}: say done or not-done")
    plan, state, why = found.plan, found.state, "a person said so"
    if (started := state.work.started) is not None:
        if answer == "done":
            return script_done(plan, state.work.step, started, why=why)
        return script_not_done(plan, state.work.step, started, why=why)
    # what would be lost is counted before it is undone, and is no question here
    counted = replace(state.rollback, loss=replace(state.rollback.loss, counted=len(plan.steps), whole=True))
    later = replace(state, held="", rollback=counted)
    command = decide(plan, later, state.at or clock.now()) if state.rollback.failed else None
    if isinstance(command, RunUndo):
        if answer == "done":
            return UndoDone(step=command.step, script=command.script, last=command.last, why=why)
        return ScriptNotDone(step=command.step, script=command.script, last=command.last, why=why)
    step = next_to_undo(plan, state)
    by_hand = isinstance(command, Record) and isinstance(command.body, UndoFailed)
    if by_hand and answer == "done" and step is not None:
        return UndoDone(step=step, last=True, why=why)
    raise Refused(f"nothing in the run {found.run} waits to be settled as {answer}")


def request(database: Database, found: FoundRun, body: Body, actor: str) -> None:
    """Append what a person asks for; the runner hears it."""
    with database.connect("gonogo/request") as connection:
        store.append(connection, found.run, body, tidy(actor, 100))
