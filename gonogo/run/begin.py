"""Open a run in the ledger, or find the one to go on with, and ask one that is at work for something. Nothing runs here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
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
from gonogo.planning.prepared import Prepared
from gonogo.planning.sources import Library, digest_sources, own_checks_of, patterns_of, resolve_inputs
from gonogo.postgres.connection import Connection, Database, identify, transaction
from gonogo.project import Project
from gonogo.run import runs, targets
from gonogo.run.open import OpenedRunbook
from gonogo.run.runs import FoundRun, find

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


def require_phase(names: Sequence[str], phase: str) -> None:
    """Refuse the name of a phase that is none of a runbook's.

    Raises:
        BadInput: it has none of that name.
    """
    if phase and phase not in names:
        raise BadInput(f"the runbook has no phase {phase!r}; there are {', '.join(names)}")


def done_already(opened: OpenedRunbook, database: Database, target: str, inputs: Mapping[str, Any]) -> str:
    """Return the run that did a runbook already, from these very files; nothing is planned to find out."""
    with targets.connect_recovering(database, "gonogo/begin") as connection:
        identify(connection)
        run, made_from = runs.newest_done(connection, opened.runbook.runbook)
    if not run:
        return ""
    sources = sources_of(opened.runbook, opened.file, opened.project, target=target, inputs=inputs)
    return run if sources == made_from else ""


def _open_or_find(
    connection: Connection, plan: Plan, texts: Mapping[str, str], actor: str, *, again: bool, sign: Sign | None
) -> tuple[str, FoundRun | None]:
    name = plan.runbook
    if not plan.protected and (protected := store.protected_as(connection)):
        raise Refused(f"this database is protected: runs on it were begun as the target {protected!r}; {plan.target!r} is not")
    if not store.runs(connection, name):
        return store.open_run(connection, plan, texts, actor, sign), None
    found = find(connection, runbook=name)
    state, same = found.state, found.plan.seal == plan.seal or _sealed_again(connection, found.plan) == plan.seal
    changed = "" if same else _say_changes(connection, found.plan, plan, texts)
    if state.held or state.status not in (Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
        raise Refused(
            f"the run {found.run} of this runbook is not finished ({'held' if state.held else state.status});"
            f" go on with `gonogo resume {name}`, or roll it back with `gonogo rollback {name}`"
            + (f". The files have changed since, but the run goes on only as it was begun:{changed}" if changed else "")
        )
    if state.status is Status.ROLLED_BACK and state.rollback.level in SWITCH_LEVELS:
        deeper = [level for level in state.rules.levels if level not in SWITCH_LEVELS]
        raise Refused(
            f"the run {found.run} was rolled back by the level {state.rollback.level}, and what it did is still there; roll it"
            f" back fully first: gonogo rollback {name} --level {' or '.join(deeper)}"
        )
    if state.status is Status.ROLLED_BACK or (state.status is Status.NO_GO and not state.changed):
        return store.open_run(connection, plan, texts, actor, sign), None
    if state.status is Status.DONE and again:
        return store.open_run(connection, plan, texts, actor, sign), None
    if not same and state.status is Status.DONE:
        raise Refused(f"this runbook was done here as {found.run}, and has changed since; run it again with --again{changed}")
    if not same:
        raise Refused(
            f"the runbook, a template, an input or a limit has changed since the run {found.run} began; a run goes on only"
            f" as it was begun. Restore the old files, or roll the run back with `gonogo rollback {name}`{changed}"
        )
    return found.run, found


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
    require_phase(names, only)
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
    command = decide(plan, replace(state, held=""), clock.now()) if state.rollback.failed else None
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
