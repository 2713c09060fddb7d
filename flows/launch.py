"""Launch a run, carry one on, or turn one back: what the command line and the Prefect flows both do. No Prefect here."""

from __future__ import annotations

import getpass
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gonogo import clock, embedded, fence, ledger
from gonogo.core.budget import end_of
from gonogo.core.changes import changes
from gonogo.core.engine import Record, Undo, decide, undoable
from gonogo.core.event import Event, Kind
from gonogo.core.evolve import fold
from gonogo.core.plain import tidy
from gonogo.core.plan import Plan
from gonogo.core.runbook import Runbook
from gonogo.core.state import SHALLOW, State, Status
from gonogo.database import Connection, Database, identify, resolve_url, transaction
from gonogo.errors import BadInput, Barred, Exit, Refused
from gonogo.house import Project
from gonogo.loader import choose_target
from gonogo.sources import Library, digest_sources, given_inputs, own_checks_of, patterns_of

if TYPE_CHECKING:
    from flows.loop import Conductor
    from gonogo.planning import Prepared

#: how a phase is shown while it runs: plainly, or as a Prefect flow
Carry = Callable[["Conductor"], None]
Sign = Callable[[Mapping[str, Any]], str]


def whoami() -> str:
    """Return who launches, for the ledger."""
    try:
        return f"{getpass.getuser()}@{platform.node()}"
    except (KeyError, OSError):
        return f"uid {os.getuid()}@{platform.node()}"


def reach(runbook: Runbook, project: Project, target: str) -> Database:
    """Return how to reach a target; the embedded PostgreSQL is started.

    Raises:
        BadInput: there is no such target, or its address is not set.
        Unreachable: the embedded PostgreSQL does not start.
    """
    chosen = runbook.targets[choose_target(runbook, target)]
    if chosen.database == "embedded":
        return Database(url=embedded.start(project.state / "postgres", database="target"), role=chosen.role)
    return Database(url=resolve_url(chosen.database), role=chosen.role)


def let_in(database: Database, name: str) -> Connection:
    """Connect; where a restore died as it was about to swap names, finish it first, or take it back.

    Raises:
        Unreachable: the server does not answer, or refuses the login.
        Refused: a restore is under way.
    """
    try:
        return database.connect(name)
    except Barred:
        from gonogo.restore import settle  # noqa: PLC0415 - nobody else needs it

        sys.stderr.write(f"gonogo: {settle(database)}\n")
        return database.connect(name)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A run in the ledger, folded."""

    run: str
    plan: Plan
    events: Sequence[Event]
    state: State
    carried: bool


def find(connection: Connection, *, runbook: str = "", run: str = "", whole: bool = False) -> Found:
    """Return a run with its facts: the one named, else the newest of the runbook.

    Args:
        connection: where.
        runbook: whose newest run.
        run: the run itself.
        whole: every fact, not only those that say where it stands.

    Raises:
        Refused: there is none.
    """
    listed = ledger.runs(connection, runbook) if ledger.exists(connection) else []
    names = [row.id for row in listed if not runbook or row.runbook == runbook]
    if run and run not in names:
        of = f" of {runbook}" if runbook else ""
        raise Refused(f"there is no run {run!r}{of} on this target; there are {', '.join(names[:10]) or 'none'}")
    if not names:
        raise Refused(f"no run of {runbook or 'any runbook'} has begun on this target; begin one with `gonogo run`")
    chosen = run or names[0]
    events = ledger.read(connection, chosen) if whole else ledger.read_state(connection, chosen)
    plan = Plan.model_validate(events[0].body["plan"])
    return Found(run=chosen, plan=plan, events=events, state=fold(events), carried=fence.holder_alive(connection, chosen))


def begin(
    connection: Connection, prepared: Prepared, actor: str, *, again: bool = False, sign: Sign | None = None
) -> tuple[str, Found | None]:
    """Open a run, or find the one to go on with; return its id, and what it is when it is not new.

    Raises:
        Occupied: a runner works on the target.
        Refused: a run of the runbook is unfinished, or it was done in another form.
    """
    ledger.create(connection)
    plan = prepared.plan.model_copy(update={"identity": identify(connection)})
    with transaction(connection):
        fence.reserve(connection)
        run, found = _open_or_find(connection, plan, prepared.texts, actor, again=again, sign=sign)
        fence.hold(connection, run)
    return run, found


def _open_or_find(
    connection: Connection, plan: Plan, texts: Mapping[str, str], actor: str, *, again: bool, sign: Sign | None
) -> tuple[str, Found | None]:
    name = plan.runbook
    if not plan.protected and (protected := ledger.protected_as(connection)):
        raise Refused(f"this database is protected: runs on it were begun as the target {protected!r}; {plan.target!r} is not")
    if not ledger.runs(connection, name):
        return ledger.open_run(connection, plan, texts, actor, sign), None
    found = find(connection, runbook=name)
    state, same = found.state, found.plan.seal == plan.seal
    changed = "" if same else _say_changes(connection, found.plan, plan, texts)
    if state.held or state.status not in (Status.READY, Status.DONE, Status.NO_GO, Status.ROLLED_BACK):
        raise Refused(
            f"the run {found.run} of this runbook is not finished ({'held' if state.held else state.status});"
            f" go on with `gonogo resume {name}`, or turn it back with `gonogo rollback {name}`"
            + (f". The files have changed since, but the run goes on only as it was begun:{changed}" if changed else "")
        )
    if state.status is Status.ROLLED_BACK and state.level in SHALLOW:
        raise Refused(
            f"the run {found.run} was turned back by the level {state.level}, and what it did is still there; go further"
            f" back first: gonogo rollback {name} --level {' or '.join(level for level in state.levels if level not in SHALLOW)}"
        )
    if state.status is Status.ROLLED_BACK or (state.status is Status.NO_GO and not state.changed):
        return ledger.open_run(connection, plan, texts, actor, sign), None
    if state.status is Status.DONE and again:
        return ledger.open_run(connection, plan, texts, actor, sign), None
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
    kept = ledger.read_texts(connection, list(hashes))
    return "".join(f"\n    {line}" for line in changes(before, after, kept, texts))


def newest_done(connection: Connection, runbook: str) -> tuple[str, str]:
    """Return the id of the newest run and the digest over the files it was made from, where it is done; else nothing.

    It reads two facts, however many there are.
    """
    row = connection.execute(_DONE, [runbook]).fetchone() if ledger.exists(connection) else None
    return (str(row[0]), str(row[1])) if row and row[2] else ("", "")


def sources_of(runbook: Runbook, file: Path, project: Project, *, target: str, inputs: Mapping[str, Any]) -> str:
    """Return the digest over a runbook's files, without planning it, to know quickly that nothing has changed.

    Raises:
        BadInput: a template is missing or cannot be rendered.
    """
    library = Library(project.template_roots)
    variables = given_inputs(runbook, inputs)
    names = [name for pattern in patterns_of(runbook) for name in library.find(pattern, runbook.runbook)]
    library.used.update(map(library.file, names))
    library.used |= own_checks_of(runbook, project.files)
    if templates := [name for name in names if name.endswith(".j2")]:
        from gonogo.template import Templates  # noqa: PLC0415 - Jinja2 is for those who have templates

        rendering = Templates(project.template_roots)
        for name in templates:
            # rendering shows what it includes
            rendering.render(name, variables)
        library.used |= rendering.used
    return digest_sources(file, library, variables, target)


_DONE = """
SELECT r.id, e.body->>'sources',
  coalesce((SELECT kind = 'run done' FROM gonogo.event
            WHERE run = r.id AND kind IN ('run done', 'roll back') ORDER BY seq DESC LIMIT 1), false)
FROM (SELECT id FROM gonogo.run WHERE runbook = %s ORDER BY opened DESC LIMIT 1) AS r
JOIN gonogo.event AS e ON e.run = r.id AND e.seq = 1
"""


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


def go(conductor: Conductor, count: int, carry: Carry, *, at_once: bool = False, said: Mapping[str, Any] | None = None) -> None:
    """Launch the next phases, one after the other, as long as each ends well.

    Args:
        conductor: the run.
        count: how many phases.
        carry: how each is shown.
        at_once: whether not to wait for clock times.
        said: what is said of the one who launches (flows.decide.launcher).
    """
    through = conductor.state.phase + count - 1
    beyond = {"beyond": said["override"]} if said and said.get("override") else {}
    while conductor.state.status in (Status.READY, Status.NO_GO) and conductor.state.phase <= through:
        phase = conductor.plan.phases[conductor.state.phase].name
        conductor.append(Kind.PHASE_STARTED, {**(said or {}), **beyond, "phase": phase, "through": through, "at_once": at_once})
        # whoever launches several lets the first one go beyond its budgets, and no other
        beyond = {}
        carry(conductor)
        if conductor.state.status is not Status.READY or conductor.state.came_back:
            return


def settlement(found: Found, answer: str) -> tuple[Kind, dict[str, Any]]:
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
        return Kind.UNDONE, {"step": undoable(plan, state), "script": 0, "last": True}
    raise Refused(f"nothing in the run {found.run} waits to be settled as {answer}")


def go_on(
    conductor: Conductor, events: Sequence[Event], carry: Carry, settled: tuple[Kind, dict[str, Any]] | None = None
) -> None:
    """Carry a run on from where it stands, through the phases that were launched."""
    if settled is not None:
        conductor.append(settled[0], {**settled[1], "why": "a person said so"})
    if conductor.state.held:
        conductor.append(Kind.RESUME)
    carry(conductor)
    launched = [event for event in events if event.kind is Kind.PHASE_STARTED]
    through = int(launched[-1].body.get("through", 0)) if launched else -1
    goes_on = conductor.state.status is Status.READY and not conductor.state.held and not conductor.state.came_back
    if goes_on and conductor.state.phase <= through:
        said = {key: launched[-1].body[key] for key in ("person", "proved", "override") if key in launched[-1].body}
        at_once = bool(launched[-1].body.get("at_once"))
        go(conductor, through - conductor.state.phase + 1, carry, at_once=at_once, said=said)


def request(database: Database, found: Found, kind: Kind, body: Mapping[str, Any], actor: str) -> None:
    """Append what a person asks for; the runner hears it."""
    with database.connect("gonogo/request") as connection:
        ledger.append(connection, found.run, kind, body, tidy(actor, 100))


def exit_code(state: State) -> Exit:
    """Return what the command line answers for where a run stands."""
    if state.rollback_failed:
        return Exit.ROLLBACK_FAILED
    if state.held or state.status is Status.DECIDING:
        return Exit.HOLDING
    if state.came_back:
        return Exit.ROLLED_BACK
    return {Status.NO_GO: Exit.NO_GO, Status.ROLLED_BACK: Exit.ROLLED_BACK}.get(state.status, Exit.DONE)


def carry_plainly(conductor: Conductor) -> None:
    """Carry a phase without Prefect."""
    conductor.pursue()
