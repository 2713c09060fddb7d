"""Become the runner of a run: from its ledger alone, one at a time, and let go cleanly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg

from gonogo.core.engine.events import Event, Held, TakenOver
from gonogo.core.engine.evolve import fold
from gonogo.core.plan.plan import Plan, PlannedPhase
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import fence, store
from gonogo.notify.channel import ready
from gonogo.notify.sender import Sender
from gonogo.postgres.connection import Database, identify, require_same
from gonogo.project import Project
from gonogo.run import signatures
from gonogo.run.context import no_return_passed
from gonogo.run.records import RunLedger
from gonogo.run.runner import Runner
from gonogo.run.session import Session
from gonogo.run.signatures import keys_of
from gonogo.run.target import PostgresTarget
from gonogo.run.watch import Watch


@dataclass(kw_only=True)
class LiveRunner(Runner):
    """A runner on a real database."""

    session: Session
    postgres: PostgresTarget

    def hold_now(self, why: str) -> None:
        """Stop the running statement at once, and hold the run."""
        self.end_watch()
        self.session.reconnect()
        self.sync()
        if not self.state.at_rest:
            self.append(Held(why=why))

    def close(self) -> None:
        """Release the fence and close all connections."""
        self.end_watch()
        connection = self.session.connection
        if not connection.closed:
            with suppress(psycopg.Error):
                fence.release(connection, self.session.run, self.session.epoch)
            connection.close()
        self.postgres.close_checks()


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a runner finds what is not in the ledger."""

    #: where backups lie, and the scratch server that may have to prove them
    state_folder: Path = Path(".gonogo")
    #: the project, in which programs run and whose own checks are asked
    root: Path = Path()


def acquire_run(
    database: Database,
    run: str,
    *,
    actor: str,
    keys: Keys,
    where: Where | None = None,
    take_over: bool = False,
    resumed: bool = False,
    session_type: type[Session] = Session,
) -> LiveRunner:
    """Become the runner of a run, from the ledger alone.

    Args:
        database: the target.
        run: the run.
        actor: who this is, for the ledger.
        keys: what proves the people who decide.
        where: where its backups, its programs and its own checks are.
        take_over: end a runner that is still there.
        resumed: whether another process worked on the run before.
        session_type: what runs the scripts; a rehearsal's looks on.

    Raises:
        Refused: the target is not the run's, or another runner works on it.
    """
    plan, events, texts = _read_run(database, run)
    connection = database.connect(f"gonogo/{run}", plan.sql)
    session = session_type(database=database, plan=plan, run=run, actor=actor, connection=connection, epoch=0, texts=texts)
    session.epoch = fence.claim(connection, run, take_over=take_over)
    store.create(connection)
    connection.execute("SELECT pg_catalog.set_config('application_name', %s, false)", [session.name[:63]])
    connection.execute("LISTEN gonogo")
    untrusted = signatures.why_untrusted(session.connection, run, plan, keys)
    found = where or Where()
    target = PostgresTarget(session=session, state_folder=found.state_folder, root=found.root, untrusted=untrusted)

    runner = LiveRunner(
        plan=plan,
        run=run,
        ledger=RunLedger(session=session),
        target=target,
        keys=keys,
        state=fold(events),
        untrusted=untrusted,
        watch_for=partial(_watch, session, target),
        session=session,
        postgres=target,
    )
    session.known = runner.state.seq
    # what was recorded between the first look and the claim
    runner.sync()
    if resumed:
        runner.append(TakenOver(epoch=session.epoch))
    return runner


def _read_run(database: Database, run: str) -> tuple[Plan, list[Event], dict[str, str]]:
    """Return the plan of a run, the events that say where it stands, and the texts of its scripts and queries."""
    connection = database.connect(f"gonogo/{run}", None)
    try:
        identity = identify(connection)
        if not store.exists(connection):
            raise Refused("the target has no ledger, so there is no run to work on")
        events = store.read_state(connection, run)
        plan = store.opened_with(run, events)
        require_same(identity, plan.identity)
        hashes = {script.sha256 for script in plan.scripts}
        return plan, events, store.read_texts(connection, [*hashes, *(q.sha256 for q in plan.questions.values())])
    finally:
        connection.close()


def _watch(session: Session, target: PostgresTarget, runner: Runner, phase: PlannedPhase) -> Watch:
    # the point of no return is asked about at each trip
    passed = partial(_passed_no_return, runner)
    return Watch(session, phase, runner.context.baseline, target.environment(), passed)


def _passed_no_return(runner: Runner) -> str:
    return no_return_passed(runner.plan, runner.state)


@contextmanager
def working_on(
    database: Database,
    run: str,
    project: Project,
    *,
    actor: str,
    take_over: bool = False,
    resumed: bool = False,
) -> Iterator[LiveRunner]:
    """Be the runner of a run for a while; its updates go to the channels that it names and whose secrets are there.

    Args:
        database: the target.
        run: the run.
        project: whose keys prove the people who decide.
        actor: who this is, for the ledger.
        take_over: end a runner that is still there.
        resumed: whether another process worked on the run before.

    Raises:
        Refused: the target is not the run's, or another runner works on it.
    """
    where = Where(state_folder=project.state, root=project.files)
    runner = acquire_run(database, run, actor=actor, keys=keys_of(project), where=where, take_over=take_over, resumed=resumed)
    senders: list[Sender] = []

    def say(text: str) -> None:
        runner.session.say(text)  # whoever shows the run may change

    try:
        for kind, _ in ready(runner.plan.updates):
            senders.append(Sender(database, runner.plan, run, say, kind))
            senders[-1].start()
        yield runner
    finally:
        for sender in senders:
            sender.finish()
        runner.close()
