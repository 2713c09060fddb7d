"""The copies that a rehearsal runs on, and the plan as it runs there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property

from gonogo.core.engine.events import BackupProof, BackupProved
from gonogo.core.model.runbook import Updates
from gonogo.core.model.schedule import Budgets
from gonogo.core.plan.plan import Plan, PlannedStep
from gonogo.ledger import store
from gonogo.postgres import scratch
from gonogo.postgres.connection import Connection, Database, identify, transaction
from gonogo.postgres.stand_in import StandIn, login_of, standing_in
from gonogo.project import Project
from gonogo.rehearsal import lock_recorder
from gonogo.run import loop
from gonogo.run.acquire import LiveRunner, Where, acquire_run
from gonogo.run.runner import Runner
from gonogo.run.signatures import keys_of, signer

Say = Callable[[str], None]
NOTHING, FOR_EVER = timedelta(0), timedelta(days=3650)


@dataclass(kw_only=True)
class RehearsalRun:
    """One rehearsal of a plan."""

    plan: Plan
    texts: dict[str, str]
    database: Database
    project: Project
    actor: str
    say: Say
    each_step: bool = False
    blind_spots: bool = False
    #: who acts on copies that lie on another server than the target's, where that is not who logs in there
    stand_in: StandIn | None = None

    @cached_property
    def search_path(self) -> str:
        """Where the target finds names without a schema: a copy is another database, and has no setting of its own for that."""
        return self.database.own_search_path()

    def copy(self, url: str) -> Database:
        """Return how a copy is reached: as the role, and with the path, of the target."""
        who = self.stand_in
        return Database(
            url=who.at(url) if who else url,
            role=who.role if who else self.database.role,
            search_path=self.search_path,
            copy_of=self.database.url,
        )

    @contextmanager
    def standing_in(self) -> Iterator[RehearsalRun]:
        """Act on copies of a backup with the rights of the target's role, for a while; yield this rehearsal as that one."""
        server, called = self.room.choose()
        if server == self.database.url:
            yield self
            return
        with self.database.connect("gonogo/rehearse") as connection:
            login = login_of(connection)
        with standing_in(server, login, ours=called == scratch.EMBEDDED) as who:
            yield replace(self, stand_in=who)

    @property
    def room(self) -> scratch.ScratchServer:
        """Where its copies may be made."""
        found = self._room
        return replace(found, worker=self.stand_in.role, owns=self.stand_in.owns) if self.stand_in else found

    @property
    def _room(self) -> scratch.ScratchServer:
        beside = scratch.scratch_server_of(self.database, self.plan.rehearse_on, self.project.state)
        if beside.server or not any(script.shared for script in self.plan.scripts):
            return beside
        # what it says of roles and databases would be true of the target's whole server
        return replace(beside, server=beside.spare(), called=scratch.EMBEDDED)


def on_a_copy(plan: Plan) -> Plan:
    """Return the plan as it runs on a copy: the same work and checks, but nobody is asked or told, and no clock waited for."""
    quiet = dict(before=(), approve=None, done_on=(), after=(), watch=(), soak=NOTHING)
    # behind a copy that something else made there is no backup
    taken = plan.backup.as_a_dump if plan.backup and isinstance(plan.rehearse_on, str) else None
    kept = taken.model_copy(update={"after": False, "each_phase": False}) if taken else None
    return plan.model_copy(
        update=dict(
            protected=False,
            identity=None,
            windows=(),
            freezes=(),
            environment=(),
            end_by=None,
            updates=Updates(),
            backup=kept,
            rehearsal=None,
            # counted, and never spent
            budgets=Budgets(downtime=FOR_EVER if plan.budgets.downtime is not None else None),
            rollback=plan.rollback.model_copy(update={"authority": None, "takes": None}),
            phases=tuple(phase.model_copy(update=quiet) for phase in plan.phases),
            steps=tuple(map(_step_on_a_copy, plan.steps)),
        )
    )


def _step_on_a_copy(step: PlannedStep) -> PlannedStep:
    """Return a step as it is rehearsed: nobody is asked, and nothing is done beyond the copy."""
    if step.row.external and not step.in_rehearsal:
        nothing = dict(kind="confirm", scripts=(), undo=(), external=None, undo_external=None)
        return step.model_copy(update={"confirm": (), **nothing})
    return step.model_copy(update={"confirm": ()})


@contextmanager
def run_on_copy(run: RehearsalRun, plan: Plan, url: str) -> Iterator[LiveRunner]:
    """Open a run on a copy, ready to go."""
    copy = run.copy(url)
    with copy.connect("gonogo/rehearse") as connection:
        connection.execute("ANALYZE")
        store.create(connection)
        if connection.execute("SELECT pg_catalog.to_regclass('gonogo.seen_lock')").fetchone() == (None,):
            connection.execute(lock_recorder.MAKE.encode())
        with transaction(connection):
            identity = identify(connection)
            known = plan.model_copy(update={"identity": identity})
            name = store.open_run(connection, known, run.texts, run.actor, signer(known, keys_of(run.project)))
    runner = acquire_run(
        copy,
        name,
        actor=run.actor,
        keys=keys_of(run.project),
        where=Where(state_folder=run.project.state, root=run.project.files, keeps_head=False),
        session_type=lock_recorder.ObservedSession,
    )
    runner.session.say = run.say
    try:
        yield runner
    finally:
        runner.close()


def run_phase_on_copy(runner: Runner, proof: BackupProof | None) -> None:
    """Carry a phase; the backup that the copy was made from is the copy's own."""
    if runner.plan.backup is not None and runner.state.backup is None and proof is not None:
        here = runner.target.oldest_running()
        runner.append(BackupProved(**dict(proof), snapshot=here))
    loop.run_until_blocked(runner)


@contextmanager
def inspect_copy(copy: Database) -> Iterator[Connection]:
    """Look at a copy, for as long as that takes."""
    with copy.connect("gonogo/witness") as connection:
        connection.execute("SET statement_timeout = 0")
        yield connection
