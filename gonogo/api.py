"""What a program may do with gonogo: load and plan a runbook, launch and follow a run, read a ledger.

`from gonogo import load, launch` and the like; whatever else there is in gonogo is its own and may change. Times are aware
`datetime`s, durations are `timedelta`s, unless a name or a docstring says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from gonogo import clock
from gonogo.core.engine.events import Event
from gonogo.core.engine.evolve import evolve
from gonogo.core.engine.state import State, Status, outcome
from gonogo.core.plan.plan import Plan
from gonogo.errors import Refused
from gonogo.ledger import chain, fence, store
from gonogo.planning import planner
from gonogo.planning.open import OpenedRunbook, open_runbook
from gonogo.planning.prepared import Prepared
from gonogo.postgres.address import resolve_url
from gonogo.postgres.connection import Database
from gonogo.run import begin, runs, targets
from gonogo.run.acquire import LiveRunner, working_on
from gonogo.run.begin import LaunchRequest
from gonogo.run.launch import go_on, granted, run_without_ui
from gonogo.run.votes import Caller

#: what hears each event of a run, as it is recorded
Hear = Callable[[Event], None]


@dataclass(frozen=True, kw_only=True)
class Run:
    """Where a run stood when it was looked at, and all that happened in it."""

    id: str
    plan: Plan
    #: every event, in order; the first one has the plan
    events: tuple[Event, ...]
    state: State
    #: whether a process worked on it
    running: bool

    @property
    def status(self) -> Status:
        """Where it stands."""
        return self.state.status

    @property
    def outcome(self) -> str:
        """How it ended, or where it stands, in words: `done`, `rolled back`, `holding while working`."""
        return outcome(self.state)

    @property
    def exit_code(self) -> int:
        """What the command line answers for it: 0 done, 4 holding, 10 no-go, 11 rolled back, 12 rollback failed."""
        return int(runs.exit_code(self.state))


def load(runbook: str | Path) -> OpenedRunbook:
    """Load and validate a runbook.

    Args:
        runbook: its name in the project's `runbooks/`, or its path. The project is the folder that the file lies in, or the one
            that the working directory lies in.

    Raises:
        BadInput: there is none, or it has problems; `problems` has them all, each with file, line and column.
    """
    return open_runbook(str(runbook))


def plan(
    runbook: OpenedRunbook, *, target: str = "", inputs: Mapping[str, Any] | None = None, start: datetime | None = None
) -> Prepared:
    """Plan a runbook: render its templates, put its tasks on the clock, seal it. This reaches no database.

    Args:
        runbook: the runbook.
        target: one of its targets; its first without one.
        inputs: values of template variables, by name.
        start: when it starts, instead of what the runbook says.

    Returns:
        The plan, the texts of its scripts by their sha256, and the warnings.

    Raises:
        BadInput: with every problem in it and in its templates.
    """
    return planner.prepare(runbook.on(target), inputs=inputs, start=start)


def launch(
    runbook: OpenedRunbook,
    *,
    target: str = "",
    phase: str = "",
    inputs: Mapping[str, Any] | None = None,
    at_once: bool = False,
    again: bool = False,
    wait: bool = True,
    person: str = "",
    code: str = "",
    override: str = "",
    hear: Hear | None = None,
) -> Run:
    """Launch a run, or the next phases of one, in this process and without Prefect; return when nothing more happens.

    It changes the target as `gonogo run` does, and rolls back automatically as that does. Ctrl-C (KeyboardInterrupt) holds
    the run. A killed process leaves a run that `resume` goes on with. A run that is done already, from the same files, is
    returned as it is.

    Args:
        runbook: the runbook.
        target: one of its targets; its first without one.
        phase: only this phase; all that are left without one.
        inputs: values of template variables, by name.
        at_once: do not wait for the clock times of phases and tasks.
        again: run again what was done already.
        wait: wait at a gate for as long as people have; else return, with the status `deciding`.
        person: who launches: one of the runbook's people where it has any.
        code: their one-time code, where they have a key.
        override: why it may start outside its window or beyond its budgets.
        hear: is called with each event as it is recorded, in this thread. Where it raises, it is called no more, and what it
            raised is raised once nothing more happens to the run.

    Raises:
        BadInput: the runbook, a template, an input or the phase is wrong.
        Refused: the target cannot be reached, is held by another runner, or a run of the runbook is unfinished.
    """
    runbook = runbook.on(target)
    begin.require_phase(runbook.runbook, phase)
    database = targets.reach(runbook)
    done, starts = begin.look(runbook, database, dict(inputs or {}))
    if done and not again:
        return _read(database, done)
    request = LaunchRequest(
        caller=Caller(person=person, code=code),
        otherwise=targets.whoami(),
        phase=phase,
        at_once=at_once,
        again=again,
        override=override,
    )
    with (
        granted(runbook, database, plan(runbook, inputs=inputs, start=starts), request) as launched,
        working_on(database, launched.run, runbook, actor=request.actor) as runner,
        _heard(runner, wait, hear),
    ):
        launched.go(runner, run_without_ui)
    return _read(database, launched.run)


def resume(
    runbook: OpenedRunbook, *, target: str = "", run: str = "", wait: bool = True, person: str = "", hear: Hear | None = None
) -> Run:
    """Go on with a run that no process works on, in this process and without Prefect.

    Args:
        runbook: the runbook.
        target: one of its targets; its first without one.
        run: which one; the newest of the runbook without one.
        wait: wait at a gate for as long as people have; else return, with the status `deciding`.
        person: who goes on with it.
        hear: is called with each event as it is recorded, in this thread. Where it raises, it is called no more, and what it
            raised is raised once nothing more happens to the run.

    Raises:
        Refused: there is no such run, it is over, a process works on it, or the target cannot be reached.
    """
    database = targets.reach(runbook.on(target), goes_on=True)
    found = find(runbook, target=target, run=run)
    if found.running:
        raise Refused(f"a process works on the run {found.id}")
    if found.state.at_rest and not found.state.held:
        raise Refused(f"the run {found.id} is {found.outcome}; there is nothing to go on with")
    who = person or targets.whoami()
    with working_on(database, found.id, runbook, actor=who, resumed=True) as runner, _heard(runner, wait, hear):
        go_on(runner, found.events, run_without_ui)
    return _read(database, found.id)


def find(runbook: OpenedRunbook, *, target: str = "", run: str = "") -> Run:
    """Return a run of a runbook, from its target's ledger.

    Args:
        runbook: the runbook.
        target: one of its targets; its first without one.
        run: which one; the newest of the runbook without one.

    Raises:
        Refused: there is none, or the target cannot be reached.
    """
    database = targets.reach(runbook.on(target))
    with targets.connect_recovering(database, "gonogo/look") as connection:
        return _as_run(runs.find(connection, runbook=runbook.name, run=run, whole=True))


def follow(runbook: OpenedRunbook, *, target: str = "", run: str = "", poll: float = 0.5) -> Iterator[Event]:
    """Yield the events of a run that another process works on, from its first, until nothing more happens by itself.

    Args:
        runbook: the runbook.
        target: one of its targets; its first without one.
        run: which one; the newest of the runbook without one.
        poll: seconds between two looks.

    Raises:
        Refused: there is no such run, or the target cannot be reached.
    """
    database = targets.reach(runbook.on(target))
    with targets.connect_recovering(database, "gonogo/look") as connection:
        chosen, state = runs.require(connection, run, runbook.name), State()
        while True:
            new = store.read(connection, chosen, state.seq)
            for event in new:
                state = evolve(state, event)
                yield event
            if not new and (state.at_rest or not fence.holder_alive(connection, chosen)):
                return
            clock.sleep(poll)


def read_ledger(url: str) -> list[str]:
    """Return the ids of the runs in a database's ledger, the newest first; none where it has no ledger.

    Args:
        url: the database, as libpq reads it; or $NAME, for the environment variable that has it.

    Raises:
        BadInput: the URL is none.
        Unreachable: it does not answer.
    """
    with _database(url).connect("gonogo/look") as connection:
        return [row.id for row in store.runs(connection)] if store.exists(connection) else []


def read_run(url: str, run: str) -> Run:
    """Return a run from a database's ledger; the runbook and its files are not needed.

    Args:
        url: the database, as libpq reads it; or $NAME, for the environment variable that has it.
        run: its id.

    Raises:
        BadInput: the URL is none.
        Unreachable: the database does not answer.
        Refused: there is no such run.
    """
    return _read(_database(url), run)


def verify_run(url: str, run: str) -> list[str]:
    """Recompute the hash chain of a run; return what was changed by hand, and nothing where all is as it was recorded.

    Args:
        url: the database, as libpq reads it; or $NAME, for the environment variable that has it.
        run: its id.

    Raises:
        BadInput: the URL is none.
        Unreachable: the database does not answer.
        Refused: there is no such run.
    """
    with _database(url).connect("gonogo/look") as connection:
        runs.require(connection, run)
        return chain.verify(connection, run)[1]


def _database(url: str) -> Database:
    return Database(url=resolve_url(url))


def _read(database: Database, run: str) -> Run:
    with database.connect("gonogo/look") as connection:
        return _as_run(runs.find(connection, run=run, whole=True))


def _as_run(found: runs.FoundRun) -> Run:
    return Run(id=found.run, plan=found.plan, events=tuple(found.events), state=found.state, running=found.running)


@contextmanager
def _heard(runner: LiveRunner, wait: bool, hear: Hear | None) -> Iterator[None]:
    """Let somebody hear the events of a run; what goes wrong there is told only when nothing more happens to the run."""
    runner.patient = wait
    wrong: list[Exception] = []

    def listen(_before: State, event: Event, _after: State) -> None:
        if hear is None or wrong:
            return
        try:
            hear(event)
        except Exception as error:  # noqa: BLE001 - it is not the run's, which must not take it for one of the target's
            wrong.append(error)

    runner.listeners.append(listen)
    try:
        yield
    except (KeyboardInterrupt, SystemExit):
        runner.hold_now("interrupted: the program that launched it was asked to end")
        raise
    if wrong:
        raise wrong[0]
