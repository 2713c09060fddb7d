"""The real target of a run: PostgreSQL through the runner's session, and what lies beyond it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import psycopg

from checks.kind import CheckEnvironment
from checks.measure import measure
from gonogo import clock
from gonogo.core.engine.events import BackupProved, BackupRestored, Body, Event, StepLoss, SwitchDone, UndoDone
from gonogo.core.engine.state import State
from gonogo.core.engine.verdict import Measurement, Verdict, judge_all
from gonogo.core.model.check_kinds import Http, Program
from gonogo.core.model.rollback import Backup
from gonogo.core.model.step import Pace
from gonogo.core.plan.fingerprint import FORM, Fingerprint
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.errors import GonogoError, Refused, RestoreFailed, ScriptFailed, StepError, Unreachable
from gonogo.external.process import EndedEarly, NotStarted, run_command
from gonogo.external.request import request
from gonogo.keys import Keys
from gonogo.ledger import continuity
from gonogo.ledger.heads import Head
from gonogo.postgres import scratch
from gonogo.postgres.blockers import describe_error
from gonogo.postgres.connection import Connection, Database, as_the_role_sees, milliseconds
from gonogo.postgres.fingerprint import fingerprint
from gonogo.postgres.server_clock import ServerClock
from gonogo.recovery import backups, data_loss, dump, manifest, put_back, restore
from gonogo.recovery.providers import Place
from gonogo.recovery.restore import Restorer
from gonogo.run import non_transactional
from gonogo.run.backfill import TableBatches, keyset, probe
from gonogo.run.beside import Beside, NotLooking
from gonogo.run.done_elsewhere import done_there
from gonogo.run.losses import LossMeter
from gonogo.run.ports import Batches, BesideBackfill
from gonogo.run.session import Session
from gonogo.run.targets import address_of, restore_folder
from gonogo.sql.privileges import missing

#: the seconds for which a check is asked again where its connection is cut off, as a server that restarts does
_PATIENCE = 60.0
#: a backfill of so many batches or fewer is over before a probe beside it says anything
_FEW = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What a program, or a service, answered."""

    seconds: float
    text: str
    status: int | None = None


@dataclass(kw_only=True)
class PostgresTarget:
    """A database that a run changes."""

    session: Session
    #: where backups lie, and the scratch server that may have to prove them
    state_folder: Path
    #: the project, in which programs run and whose own checks are asked
    root: Path
    #: why nothing of the plan may act beyond the database, if it may not
    untrusted: str = ""
    #: restores in place even where databases may be made, as a rehearsal does for a target where they may not
    in_place: bool = False
    _asker: Connection | None = field(default=None, init=False)
    _clock: ServerClock = field(default_factory=ServerClock, init=False)
    _meter: LossMeter = field(init=False)

    def __post_init__(self) -> None:
        self._meter = LossMeter(session=self.session)

    def say(self, text: str) -> None:
        """Tell whoever looks on."""
        self.session.say(text)

    def now(self) -> datetime:
        """Return the time that waits, windows and deadlines are reckoned by: the server's."""
        return self._clock.now(self.session.connection)

    def wait(self, seconds: float) -> None:
        """Let time pass; an event that somebody appends ends it at once."""
        for _ in self.session.connection.notifies(timeout=seconds, stop_after=1):
            pass

    # scripts

    def run_script(self, step: PlannedStep, script: Script, body: Body, *, guard: str = "") -> Event:
        """Run a transactional script together with its event."""
        return self.session.run_script(step, script, body, guard=guard)

    def prepare_alone(self, script: Script) -> None:
        """Make sure that a script which cannot be transactional will make what it says."""
        non_transactional.prepare(self.session, script)

    def run_alone(self, step: PlannedStep, script: Script) -> None:
        """Run a script outside a transaction."""
        non_transactional.run_alone(self.session, step, script)

    def warnings(self) -> tuple[str, ...]:
        """Return what the server warned of as the last script ran."""
        return self.session.take_warnings()

    def happened(self, script: Script) -> bool | None:
        """Ask the catalog whether a script outside a transaction happened; None where it cannot know."""
        return non_transactional.probe(self.session, script)

    def answers_yes(self, query: str) -> bool | None:
        """Ask a query with one boolean; None where it answers nothing."""
        with as_the_role_sees(self.session.connection):
            row = self.session.connection.execute(query.encode()).fetchone()
        return bool(row[0]) if row else None

    def batches(self, step: PlannedStep) -> Batches:
        """Return the table that a backfill works through."""
        return TableBatches(session=self.session, step=step, keys=keyset(self.session.connection, step))

    def beside(self, step: PlannedStep, baseline: Mapping[str, Measurement]) -> BesideBackfill:
        """Begin to look beside a backfill."""
        pace = step.backfill.pace if step.backfill else Pace(mode="flat out")
        if self.session.database.copy_of or (pace.mode == "flat out" and pace.vacuum_at is None):
            return NotLooking()
        session, keys = self.session, keyset(self.session.connection, step)
        environment = self.environment()

        def ask(connection: Connection, name: str) -> str:
            check = session.plan.checks[name]
            measured = measure(session.plan, name, environment, connection, baseline.get(name))
            judged = judge_all(check.expectations, check.breach, measured, baseline.get(name), at_least=check.least)
            return "" if judged.verdict is Verdict.PASS else f"{name}: {judged.sentence}"

        # a few batches are over before a probe says anything
        few = step.backfill is None or keys.estimate <= _FEW * step.backfill.batch
        probes = None if few else probe(session.connection, keys)
        looking = Beside(session.database, session.name, pace, keys.table.as_string(None), probes, ask)
        looking.start()
        looking.wait_for_first(_PATIENCE)
        return looking

    def oldest_running(self) -> str:
        """Return a snapshot that shows only what had committed before any transaction that runs now began to write."""
        return data_loss.oldest_running(self.session.connection)

    # beyond the database

    def call(self, step: PlannedStep, what: Program | Http, key: str, *, stoppable: bool) -> Called:
        """Run a program, or ask a service."""
        stopping = self.session.is_stopping if stoppable else _never
        limit = step.within.total_seconds()
        try:
            if isinstance(what, Http):
                reply = request(what, limit=limit, key=key, stopping=stopping)
                return Called(seconds=reply.seconds, text=reply.text, status=reply.status)
            return self._run(step, what, limit, stopping)
        except EndedEarly as error:
            self.session.proceed()
            raise ScriptFailed(str(error), left=True) from None
        except StepError as error:
            raise ScriptFailed(str(error), left=not isinstance(error, NotStarted)) from None

    def _run(self, step: PlannedStep, program: Program, limit: float, stopping: Callable[[], bool]) -> Called:
        database = self.session.database
        limits = {"lock_timeout": step.waits_for_locks(), "statement_timeout": step.statement_timeout}
        answer = run_command(
            program.argv,
            folder=self.root / program.folder,
            environment=program.environment,
            url=database.url,
            url_as=program.url_as,
            copy_of=database.copy_of,
            options=" ".join(f"-c {name}={milliseconds(value)}" for name, value in limits.items()),
            limit=limit,
            stopping=stopping,
        )
        if answer.code:
            raise StepError(f"{program.argv[0]} ended with {answer.code}: {answer.words}")
        return Called(seconds=answer.seconds, text=answer.output + answer.errors)

    # what is there

    def fingerprint(self, form: int = FORM) -> Fingerprint:
        """Return the definitions of the schema, object by object."""
        return fingerprint(self.session.connection, form, sequences=True)

    def done_on(self, name: str, phase: str, keys: Keys) -> tuple[bool, str]:
        """Ask another target's ledger whether a phase of the very same change was done there, and what is known of it."""
        plan = self.session.plan
        other = plan.elsewhere[name]
        try:
            url = address_of(other.database, self.state_folder)
            with Database(url=url, role=other.role).connect("gonogo/look") as connection:
                return done_there(connection, name, plan, phase, keys, self.state_folder)
        except (GonogoError, psycopg.Error) as error:
            return False, f"it cannot be asked: {str(error).strip()}"

    def missing_privileges(self, needs: Sequence[tuple[str, str]]) -> list[str]:
        """Return which rights the role does not have."""
        return missing(self.session.connection, needs)

    def measure(self, name: str, baseline: Measurement | None) -> Measurement:
        """Ask a check on a connection that runs no steps; where that is cut off, ask again: that is no answer."""
        deadline = clock.monotonic() + _PATIENCE
        while True:
            try:
                if self._asker is None or self._asker.closed:
                    self._asker = self.session.database.connect(f"{self.session.name}/checks", self.session.plan.sql)
                found = measure(self.session.plan, name, self.environment(), self._asker, baseline)
            except Unreachable as error:
                if clock.monotonic() > deadline:
                    return Measurement(check=name, error=str(error))
            else:
                if not (found.error and self._asker.closed) or clock.monotonic() > deadline:
                    return found
            clock.sleep(0.5)

    def environment(self) -> CheckEnvironment:
        """Return what the checks of this run may use."""
        texts, database = self.session.texts, self.session.database
        return CheckEnvironment(texts=texts, root=self.root, database=database, untrusted=self.untrusted)

    # backup and rollback

    def take_backup(self, *, after: bool) -> BackupProved:
        """Take a backup, restore it and compare."""
        session, rule = self.session, self.session.plan.backup
        folder = self.state_folder / "backups" / f"{session.run}-{'after' if after else 'before'}-{dump.stamp()}"
        made, proof = backups.take(self._place, folder, rule or Backup(), self.scratch_server)
        digest = manifest.digest_of(made.folder)
        return BackupProved(**dict(proof), snapshot=made.manifest.snapshot, manifest=digest)

    @property
    def _place(self) -> Place:
        """Where the programs of a restore point run; those of a plan that nobody of this project signed do not.

        Raises:
            BackupFailed: they do not.
        """
        rule = self.session.plan.backup
        if self.untrusted and rule is not None and rule.provider:
            raise manifest.BackupFailed(self.untrusted)
        return Place(database=self.session.database, root=self.root, say=self.session.say)

    def scratch_server(self) -> scratch.ScratchServer:
        """Return where a scratch database may be made."""
        return scratch.scratch_server_of(self.session.database, self.session.plan.rehearse_on, self.state_folder)

    def restore(self, backup: BackupProved, body: BackupRestored, *, accepts_loss: bool) -> None:
        """Replace what is there with a backup, and record it with the very same change."""
        session = self.session
        restorer = Restorer(
            database=session.database,
            connection=session.connection,
            run=session.run,
            epoch=session.epoch,
            actor=session.actor,
            name=session.connection.info.dbname,
            in_place=self.in_place,
            since="" if accepts_loss else backup.snapshot,
        )
        # every connection but the one that runs the steps: the database is about to be swapped
        self.close_checks()
        try:
            manifest.require_same(Path(backup.folder), backup.manifest)
            if backup.provider:
                self._put_back(backup, restorer, body)
            else:
                restore.put_back(manifest.read(Path(backup.folder)), restorer, body, session.say)
        except (manifest.BackupFailed, Refused, psycopg.Error) as error:
            raise RestoreFailed(str(error).strip()) from None
        finally:
            session.reconnect()

    def _put_back(self, backup: BackupProved, restorer: Restorer, body: BackupRestored) -> None:
        """Let what made a restore point put it in the place of the target."""
        session, rule = self.session, self.session.plan.backup
        if rule is None or rule.provider != backup.provider:
            raise manifest.BackupFailed(f"the plan has no {backup.provider} any more that could restore {backup.point}")
        restore.require_as_counted(restorer)
        folder = restore_folder(self.state_folder, session.plan.runbook, session.plan.target)
        restoring = put_back.Restoring(place=self._place, folder=folder)
        newest = manifest.read_manifest(Path(backup.folder)).newest
        work = put_back.Work(
            run=session.run,
            epoch=session.epoch,
            actor=session.actor,
            rule=rule,
            point=backup.point,
            holds=Head(*newest) if newest else None,
        )
        restoring.put_back(session.connection, put_back.Underway.of(session.connection, work, body))

    def losses(self, state: State, step: int) -> Sequence[StepLoss]:
        """Return what every undo of a rollback would destroy of what somebody wrote since."""
        return self._meter.count(state, step)

    def undo(self, state: State, step: int, index: int, script: Script, done: UndoDone) -> Event:
        """Run a transactional undo script together with its event, which says what it destroyed."""
        return self._meter.undo(state, step, index, script, done)

    def switch(self, state: State, step: PlannedStep, script: Script, done: SwitchDone) -> Event:
        """Run a script of a level that has its own together with its event, which says what it destroyed."""
        return self._meter.switch(state, step, script, done)

    def with_estimate(self, step: int, done: UndoDone) -> UndoDone:
        """Return the event of an undo that cannot be transactional, with what it was estimated to destroy."""
        return self._meter.with_estimate(step, done)

    # lost connections, and the end

    def knows(self, event: Event) -> None:
        """Note the newest event that the loop knows; what is newer happened behind a lost connection."""
        self.session.known = continuity.mark(event)

    def proceed(self) -> None:
        """Let statements begin again: the loop has heard why they were stopped."""
        self.session.proceed()

    def may_have_lost(self) -> bool:
        """Say whether another server took this one's place, or it was put back: else it lost nothing that it had answered for."""
        session = self.session
        before, then = session.origin, session.position
        session.origin = continuity.origin(session.connection)
        session.position = continuity.log_position(session.connection)
        return before != session.origin or session.position < then

    def recover(self, error: psycopg.Error, known: int) -> list[Event] | None:
        """Come back after a lost connection, and return the events that are newer; None where it was not lost."""
        return self.session.recover(known) if self.session.lost(error) else None

    def describe(self, error: psycopg.Error) -> str:
        """Say what went wrong with a statement; where it was a lock, who held it."""
        return describe_error(error, self.session.connection)

    def close_checks(self) -> None:
        """Close the connections that ask checks, and look who is in the way."""
        self.session.lookout.close()
        if self._asker is not None:
            self._asker.close()


def _never() -> bool:
    return False
