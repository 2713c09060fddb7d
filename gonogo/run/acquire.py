"""Become the runner of a run: from its ledger alone, one at a time, and let go cleanly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psycopg

from gonogo.core.engine.events import Event, Held, TakenOver
from gonogo.core.engine.evolve import fold
from gonogo.core.engine.state import ENDED, State, Status
from gonogo.core.plan.plan import Plan, PlannedPhase
from gonogo.errors import Refused
from gonogo.keys import Keys
from gonogo.ledger import continuity, fence, standing, store
from gonogo.notify.channel import ready
from gonogo.notify.sender import Follower, Sender, finish_all
from gonogo.planning.open import OpenedRunbook
from gonogo.postgres.connection import Database, identify, require_same
from gonogo.run import signatures
from gonogo.run.context import no_return_passed
from gonogo.run.local_head import LocalHead, local_head
from gonogo.run.records import RunLedger
from gonogo.run.runner import Runner
from gonogo.run.session import Session
from gonogo.run.signatures import keys_of
from gonogo.run.target import PostgresTarget
from gonogo.run.watch import Watch
from gonogo.telemetry.follow import telemetry


@dataclass(kw_only=True)
class LiveRunner(Runner):
    """A runner on a real database."""

    session: Session
    postgres: PostgresTarget
    local: LocalHead
    #: what was recorded before anybody listened
    early: list[tuple[State, Event, State]] = field(default_factory=list)
    #: what sends its updates
    senders: list[Follower] = field(default_factory=list)

    def note_locally(self, _before: State, event: Event, _after: State) -> None:
        """Keep what was recorded last beside the ledger, too."""
        self.local.note(continuity.mark(event), self.session.origin, self.session.position, self.beyond)

    def hold_now(self, why: str) -> None:
        """Stop the running statement at once, and hold the run."""
        self.end_watch()
        self.session.reconnect()
        self.sync()
        if not self.state.at_rest:
            self.append(Held(why=why))

    def let_go_where_over(self) -> None:
        """Release the fence of a run that has ended: nothing of it is done any more."""
        if self.state.status in ENDED:
            self.end_watch()
            fence.release(self.session.connection, self.session.run, self.session.epoch)

    def close(self) -> None:
        """Release the fence and close all connections."""
        self.end_watch()
        connection = self.session.connection
        if not connection.closed:
            with suppress(psycopg.Error):
                fence.release(connection, self.session.run, self.session.epoch)
            connection.close()
        self.postgres.close_checks()
        self.local.close()


@dataclass(frozen=True, kw_only=True)
class Where:
    """Where a runner finds what is not in the ledger."""

    #: where backups lie, and the scratch server that may have to prove them
    state_folder: Path = Path(".gonogo")
    #: the project, in which programs run and whose own checks are asked
    root: Path = Path()
    #: whether the newest event is kept beside the ledger, too; not of a copy, which is thrown away
    keeps_head: bool = True
    #: whether the runbook says that the target is protected, whatever the run's plan says; None of a copy, on which nobody signs
    protected: bool | None = None


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
    plan, events, texts = _read_run(database, run, keys, where)
    if where is not None and where.protected is not None:
        # a run goes on as it was begun, whatever its file says now
        database = replace(database, role=plan.role, search_path=plan.sql.search_path)
    connection = database.connect(f"gonogo/{run}", plan.sql)
    session = session_type(database=database, plan=plan, run=run, actor=actor, connection=connection, epoch=0, texts=texts)
    session.epoch = fence.claim(connection, run, take_over=take_over)
    store.create(connection)
    connection.execute("SELECT pg_catalog.set_config('application_name', %s, false)", [session.name[:63]])
    connection.execute("LISTEN gonogo")
    runner = _runner(session, keys, where, events)
    runner.newest = events[-1]
    session.known = continuity.mark(events[-1])
    continuity.require_whole(connection, run)
    _compare_with_local(runner)
    # what was recorded between the first look and the claim
    runner.sync()
    if resumed:
        runner.append(TakenOver(epoch=session.epoch))
    return runner


def _runner(session: Session, keys: Keys, where: Where | None, events: list[Event]) -> LiveRunner:
    untrusted = signatures.why_untrusted(session.connection, session.run, session.plan, keys)
    found = where or Where()
    target = PostgresTarget(session=session, state_folder=found.state_folder, root=found.root, untrusted=untrusted)
    return LiveRunner(
        plan=session.plan,
        run=session.run,
        ledger=RunLedger(session=session),
        target=target,
        keys=keys,
        state=fold(events),
        untrusted=untrusted,
        answered=signatures.answered_for(session.connection, session.run, keys) if session.plan.protected else 0,
        watch_for=partial(_watch, session, target),
        session=session,
        postgres=target,
        local=local_head(where.state_folder, session.run) if where and where.keeps_head else LocalHead(file=None),
    )


def _compare_with_local(runner: LiveRunner) -> None:
    """See whether the ledger still holds what this project's processes recorded in it; keep that up from now on.

    Raises:
        Refused: events were removed by hand.
    """
    session = runner.session
    newest, origin, position, beyond = runner.local.read()
    runner.listeners.append(runner.note_locally)
    runner.beyond = dict(beyond)
    session.origin = continuity.origin(session.connection)
    session.position = continuity.log_position(session.connection)
    if why := runner.local.missing_in(session.connection, runner.run):
        session.origin, session.position = origin, position
        # what is said now is said again to whoever shows the run
        runner.listeners.append(lambda *seen: runner.early.append(seen))
        runner.fold_anew(why, newest[0])
        runner.listeners.pop()


def _read_run(database: Database, run: str, keys: Keys, where: Where | None) -> tuple[Plan, list[Event], dict[str, str]]:
    """Return the plan of a run, the events that say where it stands, and the texts of its scripts and queries."""
    connection = database.connect(f"gonogo/{run}", None)
    try:
        identity = identify(connection)
        if not store.exists(connection):
            raise Refused("the target has no ledger, so there is no run to work on")
        events = standing.read_state(connection, run)
        plan = store.opened_with(run, events)
        if where is not None and where.protected is not None:
            signatures.require_ours(connection, run, plan, keys, protected=where.protected)
        hashes = {script.sha256 for script in (*plan.scripts, *plan.questions.values())}
        texts = store.read_texts(connection, list(hashes))
        require_same(identity, plan.identity)
        return plan, events, texts
    finally:
        connection.close()


def _watch(session: Session, target: PostgresTarget, runner: Runner, phase: PlannedPhase) -> Watch:
    # the point of no return is asked about at each trip
    passed = partial(_passed_no_return, runner)
    return Watch(session, phase, runner.context.baseline, target.environment(), passed, partial(_at_work, runner))


def _at_work(runner: Runner) -> bool:
    return runner.state.status is Status.WORKING


def _passed_no_return(runner: Runner) -> str:
    return no_return_passed(runner.plan, runner.state)


@contextmanager
def working_on(
    database: Database,
    run: str,
    opened: OpenedRunbook,
    *,
    actor: str,
    take_over: bool = False,
    resumed: bool = False,
) -> Iterator[LiveRunner]:
    """Be the runner of a run for a while; its updates go to the channels that it names and whose secrets are there.

    Args:
        database: the target.
        run: the run.
        opened: its runbook: its project's keys prove the people who decide, and it says whether the target is protected, whatever
            the run's plan says.
        actor: who this is, for the ledger.
        take_over: end a runner that is still there.
        resumed: whether another process worked on the run before.

    Raises:
        Refused: the target is not the run's, another runner works on it, or it is protected and the run is not this project's.
    """
    project = opened.project
    where = Where(state_folder=project.state, root=project.files, protected=opened.chosen.protected)
    runner = acquire_run(database, run, actor=actor, keys=keys_of(project), where=where, take_over=take_over, resumed=resumed)

    def say(text: str) -> None:
        runner.session.say(text)  # whoever shows the run may change

    try:
        where_to = (runner.session.database, runner.plan, run, say)
        runner.senders = [
            *(Sender(*where_to, kind) for kind, _ in ready(runner.plan.updates)),
            *telemetry(*where_to, runner.state.seq),
        ]
        for sender in runner.senders:
            sender.start()
        yield runner
    finally:
        finish_all(runner.senders)
        runner.close()
