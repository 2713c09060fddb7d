"""Launch a run, carry one on, or turn one back: what the command line and the Prefect flows both do. No Prefect here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gonogo import clock
from gonogo.core.engine.budgets import end_of
from gonogo.core.engine.decide import Record, Undo, decide, next_to_undo
from gonogo.core.engine.events import Event, Kind
from gonogo.core.engine.state import SWITCH_LEVELS, State, Status
from gonogo.core.model.runbook import Runbook
from gonogo.core.plan.diff import changes
from gonogo.core.plan.plan import Plan
from gonogo.core.text.plain import tidy
from gonogo.errors import BadInput, Exit, Refused
from gonogo.ledger import fence, store
from gonogo.planning.sources import Library, digest_sources, own_checks_of, patterns_of, resolve_inputs
from gonogo.postgres.connection import Connection, Database, identify, transaction
from gonogo.project import Project
from gonogo.run import loop
from gonogo.run.context import Runner
from gonogo.run.runs import FoundRun, find

if TYPE_CHECKING:
    from gonogo.planning.planner import Prepared

#: how a phase is shown while it runs: plainly, or as a Prefect flow
Carry = Callable[[Runner], None]
Sign = Callable[[Mapping[str, Any]], str]


def begin(
    connection: Connection, prepared: Prepared, actor: str, *, again: bool = False, sign: Sign | None = None
) -> tuple[str, FoundRun | None]:
    """Open a run, or find the one to go on with; return its id, and what it is when it is not new.

    Raises:
        Occupied: a runner works on the target.
        Refused: a run of the runbook is unfinished, or it was done in another form.
    """
    store.create(connection)
    plan = prepared.plan.model_copy(update={"identity": identify(connection)})
    with transaction(connection):
        fence.reserve(connection)
        run, found = _open_or_find(connection, plan, prepared.texts, actor, again=again, sign=sign)
        fence.hold(connection, run)
    return run, found


def _open_or_find(
    connection: Connection, plan: Plan, texts: Mapping[str, str], actor: str, *, again: bool, sign: Sign | None
) -> tuple[str, FoundRun | None]:
    name = plan.runbook
    if not plan.protected and (protected := store.protected_as(connection)):
        raise Refused(f"this database is protected: runs on it were begun as the target {protected!r}; {plan.target!r} is not")
    if not store.runs(connection, name):
        return store.open_run(connection, plan, texts, actor, sign), None
    found = find(connection, runbook=name)
    state, same = found.state, found.plan.seal == plan.seal
    changed = "" if same else _say_changes(connection, found.plan, plan, texts)
    if state.held or state.status not in (Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
        raise Refused(
            f"the run {found.run} of this runbook is not finished ({'held' if state.held else state.status});"
            f" go on with `gonogo resume {name}`, or turn it back with `gonogo rollback {name}`"
            + (f". The files have changed since, but the run goes on only as it was begun:{changed}" if changed else "")
        )
    if state.status is Status.ROLLED_BACK and state.level in SWITCH_LEVELS:
        deeper = [level for level in state.levels if level not in SWITCH_LEVELS]
        raise Refused(
            f"the run {found.run} was turned back by the level {state.level}, and what it did is still there; go further"
            f" back first: gonogo rollback {name} --level {' or '.join(deeper)}"
        )
    if state.status is Status.ROLLED_BACK or (state.status is Status.NO_GO and not state.changed):
        return store.open_run(connection, plan, texts, actor, sign), None
    if state.status is Status.DONE and again:
        return store.open_run(connection, plan, texts, actor, sign), None
    if not same and state.status is Status.DONE:
        raise Refused(f"this runbook was done here as {found.run}, and has changed since; run it anew with --again{changed}")
    if not same:
        raise Refused(
            f"the runbook, a template, an input or a limit has changed since the run {found.run} began; a run goes on only"
            f" as it was begun. Put it back, or turn the run back with `gonogo rollback {name}`{changed}"
        )
    return found.run, found


def _say_changes(connection: Connection, before: Plan, after: Plan, texts: Mapping[str, str]) -> str:
    hashes = dict.fromkeys(script.sha256 for script in (*before.scripts, *before.questions.values()))
    kept = store.read_texts(connection, list(hashes))
    return "".join(f"\n    {line}" for line in changes(before, after, kept, texts))


def sources_of(runbook: Runbook, file: Path, project: Project, *, target: str, inputs: Mapping[str, Any]) -> str:
    """Return the digest over a runbook's files, without planning it, to know quickly that nothing has changed.

    Raises:
        BadInput: a template is missing or cannot be rendered.
    """
    library = Library(project.template_roots)
    variables = resolve_inputs(runbook, inputs)
    names = [name for pattern in patterns_of(runbook) for name in library.find(pattern, runbook.runbook)]
    library.used.update(map(library.file, names))
    library.used |= own_checks_of(runbook, project.files)
    if templates := [name for name in names if name.endswith(".j2")]:
        from gonogo.planning.templates import Templates  # noqa: PLC0415 - Jinja2 is for those who have templates

        rendering = Templates(project.template_roots)
        for name in templates:
            # rendering shows what it includes
            rendering.render(name, variables)
        library.used |= rendering.used
    return digest_sources(file, library, variables, target)


def phases_to_do(plan: Plan, state: State, only: str) -> int:
    """Return how many phases a launch goes through from where the run stands.

    Raises:
        BadInput: there is no such phase.
        Refused: it is not the next one.
    """
    names = [phase.name for phase in plan.phases]
    if not only:
        deferred = [n for n, phase in enumerate(plan.phases) if phase.deferred and n >= state.phase]
        if deferred and deferred[0] == state.phase:
            raise Refused(f"the next phase, {names[state.phase]}, is deferred: launch it by its name, with --phase")
        return (deferred[0] if deferred else len(names)) - state.phase
    if only not in names:
        raise BadInput(f"the runbook has no phase {only!r}; there are {', '.join(names)}")
    if names[state.phase] != only:
        raise Refused(f"the next phase is {names[state.phase]!r}; {only!r} cannot be launched now")
    return 1


def go(runner: Runner, count: int, carry: Carry, *, at_once: bool = False, said: Mapping[str, Any] | None = None) -> None:
    """Launch the next phases, one after the other, as long as each ends well.

    Args:
        runner: the run.
        count: how many phases.
        carry: how each is shown.
        at_once: whether not to wait for clock times.
        said: what is said of the one who launches (flows.decide.launcher).
    """
    through = runner.state.phase + count - 1
    beyond = {"beyond": said["override"]} if said and said.get("override") else {}
    while runner.state.status in (Status.READY, Status.NO_GO) and runner.state.phase <= through:
        phase = runner.plan.phases[runner.state.phase].name
        runner.append(Kind.PHASE_STARTED, {**(said or {}), **beyond, "phase": phase, "through": through, "at_once": at_once})
        # whoever launches several lets the first one go beyond its budgets, and no other
        beyond = {}
        carry(runner)
        if runner.state.status is not Status.READY or runner.state.phase_rolled_back:
            return


def settlement(found: FoundRun, answer: str) -> tuple[Kind, dict[str, Any]]:
    """Return the fact by which a person settles a step in doubt, or an undo that failed and was done by hand.

    Raises:
        BadInput: the answer is neither `done` nor `not-done`.
        Refused: nothing is in doubt.
    """
    if answer not in ("done", "not-done"):
        raise BadInput(f"--settle {answer!r}: say done or not-done")
    plan, state = found.plan, found.state
    if state.started is not None:
        body = end_of(plan, state.step, state.started)
        return (Kind.DONE if answer == "done" else Kind.NOT_DONE), body
    command = decide(plan, replace(state, held=""), clock.now()) if state.rollback_failed else None
    if isinstance(command, Undo):
        body = {"step": command.step, "script": command.script, "last": command.last}
        return (Kind.UNDONE if answer == "done" else Kind.NOT_DONE), body
    if isinstance(command, Record) and command.kind is Kind.UNDO_FAILED and answer == "done":
        return Kind.UNDONE, {"step": next_to_undo(plan, state), "script": 0, "last": True}
    raise Refused(f"nothing in the run {found.run} waits to be settled as {answer}")


def go_on(runner: Runner, events: Sequence[Event], carry: Carry, settled: tuple[Kind, dict[str, Any]] | None = None) -> None:
    """Carry a run on from where it stands, through the phases that were launched."""
    if settled is not None:
        runner.append(settled[0], {**settled[1], "why": "a person said so"})
    if runner.state.held:
        runner.append(Kind.RESUME)
    carry(runner)
    launched = [event for event in events if event.kind is Kind.PHASE_STARTED]
    through = int(launched[-1].body.get("through", 0)) if launched else -1
    goes_on = runner.state.status is Status.READY and not runner.state.held and not runner.state.phase_rolled_back
    if goes_on and runner.state.phase <= through:
        said = {key: launched[-1].body[key] for key in ("person", "proved", "override") if key in launched[-1].body}
        at_once = bool(launched[-1].body.get("at_once"))
        go(runner, through - runner.state.phase + 1, carry, at_once=at_once, said=said)


def request(database: Database, found: FoundRun, kind: Kind, body: Mapping[str, Any], actor: str) -> None:
    """Append what a person asks for; the runner hears it."""
    with database.connect("gonogo/request") as connection:
        store.append(connection, found.run, kind, body, tidy(actor, 100))


def exit_code(state: State) -> Exit:
    """Return what the command line answers for where a run stands."""
    if state.rollback_failed:
        return Exit.ROLLBACK_FAILED
    if state.held or state.status is Status.DECIDING:
        return Exit.HOLDING
    if state.phase_rolled_back:
        return Exit.ROLLED_BACK
    return {Status.NO_GO: Exit.NO_GO, Status.ROLLED_BACK: Exit.ROLLED_BACK}.get(state.status, Exit.DONE)


def run_without_ui(runner: Runner) -> None:
    """Carry a phase without Prefect."""
    loop.run_until_blocked(runner)
