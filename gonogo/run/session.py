"""Run scripts, each in one transaction with its ledger event, in one round trip; retry what is safe to retry.

Whether a script happened is never guessed from an error: after a lost connection the old backend is ended first,
and then the ledger is asked.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.pq import Escaping
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from gonogo import clock
from gonogo.core.engine.events import Body, Event, Kind, UndoDone, write_body
from gonogo.core.model.threshold import parse_threshold
from gonogo.core.plan.plan import Plan, PlannedStep, Script
from gonogo.errors import Refused, RowsWritten, ScriptFailed, Unreachable
from gonogo.ledger import continuity, fence, store
from gonogo.ledger.encoding import encode
from gonogo.postgres.blockers import naming_blockers
from gonogo.postgres.connection import Connection, Database, identify, milliseconds, require_same
from gonogo.recovery import data_loss, measured_loss
from gonogo.recovery.measured_loss import CannotMeasure, Touched, UndoScript
from gonogo.run.explain import explain

QUERY_CANCELED = "57014"
#: what the server undoes by itself and a second try may pass: locks, deadlocks, serialization
TRANSIENT = frozenset({"55P03", "40P01", "40001"})
#: the command tags of what changes rows
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})
#: what outlives a transaction: cursors, prepared statements, advisory locks, temporary tables, settings; and what is listened to
_CLEAR = (
    "CLOSE ALL;DEALLOCATE ALL;DISCARD TEMP;DISCARD SEQUENCES;RESET SESSION AUTHORIZATION;RESET ALL;UNLISTEN *;LISTEN gonogo;"
    "SELECT pg_catalog.pg_advisory_unlock_all()"
)
_LOST = frozenset({"57P01", "57P02", "57P03", "08006", "08003", "08000"})


class Stopped(Exception):
    """The watch cancelled the running statement."""


def transient(error: BaseException) -> bool:
    """Say whether the server undid the script by itself and it may be tried again."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "") in TRANSIENT


def _silently(_: str) -> None:
    """Tell nobody."""


@dataclass(kw_only=True)
class Session:
    """The one connection that changes the target, under one epoch; it can be lost and made again."""

    database: Database
    plan: Plan
    run: str
    actor: str
    connection: Connection
    epoch: int
    texts: Mapping[str, str]
    #: where the story of retries and reconnections is told
    say: Callable[[str], None] = _silently
    #: the newest event that the loop knows, as `continuity.mark` tells it; what is newer, and of the kind it waits for, happened
    #: behind a lost connection
    known: continuity.Mark = continuity.NOTHING_KNOWN
    #: where that was recorded, as `continuity.origin` tells it
    origin: str = ""
    #: how far the server's log was written when this runner began
    position: int = 0

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._busy_with: int | None = None
        self._stopping = threading.Event()

    @property
    def name(self) -> str:
        """The session's application_name."""
        return f"gonogo/{self.run}/{self.epoch}"

    # what the watch does to a running statement

    def stop(self, with_connection: Connection) -> None:
        """Cancel the running statement, and let no other one begin until `proceed`."""
        self._stopping.set()
        with self._lock:
            if self._busy_with is not None:
                with_connection.execute("SELECT pg_catalog.pg_cancel_backend(%s)", [self._busy_with])

    def is_stopping(self) -> bool:
        """Say whether the watch wants what runs to end."""
        return self._stopping.is_set()

    def proceed(self) -> None:
        """Let statements begin again: the loop has heard why they were stopped."""
        with self._lock:
            self._stopping.clear()

    def was_stopped(self, error: psycopg.Error) -> bool:
        """Say whether it was the watch that ended a statement."""
        return self._stopping.is_set() and error.sqlstate == QUERY_CANCELED

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """Let the watch cancel what runs inside.

        Raises:
            Stopped: the watch was first.
        """
        with self._lock:
            if self._stopping.is_set():
                raise Stopped
            self._busy_with = self.connection.info.backend_pid
        try:
            yield
        finally:
            with self._lock:
                self._busy_with = None

    @contextmanager
    def leaving_nothing(self) -> Iterator[None]:
        """Clear what a script leaves in the session, so that it reaches no other script, and nobody waits for its locks."""
        # what is prepared by the driver would go with what a script prepared
        self.connection.prepare_threshold = None
        try:
            yield
        finally:
            # a connection that is lost has nothing any more
            with suppress(psycopg.Error):
                if not self.connection.closed:
                    self.connection.execute(f"{_CLEAR};SET application_name = {self._quote(self.name[:63])}".encode())

    # scripts

    def run_script(self, step: PlannedStep, script: Script, body: Body, *, text: str | None = None, guard: str = "") -> Event:
        """Run a transactional script together with its event.

        Args:
            step: whose limits apply.
            script: what to run.
            body: what its event says.
            text: the SQL, where it is not the script's own (a batch).
            guard: SQL that goes before it in the same transaction.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: somebody wrote after the data loss was counted; nothing of it stayed.
            Stopped: the watch cancelled it; nothing of it stayed.
        """
        sql = self.texts[script.sha256] if text is None else text
        prefix = self._prefix(step) + guard + sees(step)
        counts = step.rows if body.kind is Kind.DONE and step.row.counts_scripts else ""
        message = f"{prefix}{sql}\n;{self._suffix(script, body, commits=not counts)}".encode()
        return self._told(step, script, sql, len(prefix), body, lambda: self._send(message, body, counts))

    def run_undo(
        self,
        step: PlannedStep,
        script: Script,
        body: UndoDone,
        undo: UndoScript,
        touched: Touched | None,
        allows: Callable[[Iterable[str]], bool],
    ) -> Event:
        """Run an undo script together with its event, which says what it destroyed of what somebody wrote since.

        Args:
            step: whose limits apply.
            script: what to run.
            body: what its event says beside that.
            undo: the script, as it is measured.
            touched: the tables that it touches, where that is known.
            allows: whether rows of some tables may be destroyed.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: it would have destroyed rows that nobody accepted; nothing of it stayed.
            CannotMeasure: it cannot be measured what it destroys; nothing of it stayed.
            Stopped: the watch cancelled it; nothing of it stayed.
        """

        def once() -> Event:
            with self._whole_or_nothing():
                # a lock is worth nothing under a snapshot that is older than it
                self.connection.execute(self._prefix(step, " ISOLATION LEVEL READ COMMITTED").encode())
                known = None if touched is None else [touched]
                (lost,), _ = measured_loss.measure(self.connection, self.run, [undo], touched=known)
                if not allows(lost):
                    raise RowsWritten("it would destroy rows that were written since", rows=lost)
                done = body.replace(lost=lost)
                cursor = self.connection.execute(self._suffix(script, done).encode())
            return store.recorded(_answers(cursor)[1], done, self.actor)

        return self._told(step, script, undo.text, len(undo.prefix), body, once)

    def _told(self, step: PlannedStep, script: Script, sql: str, offset: int, body: Body, once: Callable[[], Event]) -> Event:
        """Do it, again where that is safe; what the server refuses is told with the place in the script."""
        blockers: list[str] = []
        try:
            with self.leaving_nothing():
                return self._retrying(step, blockers, lambda: self.survive(body, once))
        except psycopg.Error as error:
            store.raise_if_fenced(error)
            if self.was_stopped(error):
                raise Stopped from None
            if self.lost(error):
                # whether it happened is the ledger's to say, never this error's
                raise Unreachable(f"the connection was lost: {str(error).strip()}") from None
            story = explain(error, script, sql, blockers, offset=offset)
            failed = RowsWritten if error.sqlstate == data_loss.GREW else ScriptFailed
            raise failed(story, sqlstate=error.sqlstate or "") from None

    def _send(self, message: bytes, body: Body, counts: str) -> Event:
        with self._whole_or_nothing():
            cursor = self.connection.execute(message)
            rows, answer = _answers(cursor)
            if counts:
                self._commit_if(counts, rows)
        return store.recorded(answer, body, self.actor)

    @contextmanager
    def _whole_or_nothing(self) -> Iterator[None]:
        """Let the watch cancel what runs inside; where it fails, its transaction is rolled back.

        Raises:
            Stopped: the watch was first.
        """
        try:
            with self.cancellable():
                yield
        except (psycopg.Error, CannotMeasure, RowsWritten):
            with suppress(psycopg.Error):
                if not self.connection.closed:
                    self.connection.execute("ROLLBACK")
            raise

    def _commit_if(self, counts: str, rows: int) -> None:
        """Commit what changed as many rows as it must; else nothing of it stays.

        Raises:
            ScriptFailed: it changed another number of rows.
        """
        rule = parse_threshold(counts)
        line = rule.line(None)
        if line is not None and not rule.holds(Decimal(rows), line):
            self.connection.execute("ROLLBACK")
            raise ScriptFailed(f"it changed {rows:,} rows, and {counts} was expected; its transaction was rolled back")
        self.connection.execute("COMMIT")

    def limits(self, step: PlannedStep) -> str:
        """Return what sets a step's own limits in its transaction."""
        limits = ""
        if step.lock_timeout != self.plan.sql.lock_timeout:
            limits += f"SET LOCAL lock_timeout={milliseconds(step.lock_timeout)};"
        if step.statement_timeout != self.plan.sql.statement_timeout:
            limits += f"SET LOCAL statement_timeout={milliseconds(step.statement_timeout)};"
        return limits

    def _prefix(self, step: PlannedStep, isolation: str = "") -> str:
        follows = "" if self.known == continuity.NOTHING_KNOWN else ",{},{}".format(*self.known)
        return f"BEGIN{isolation};{self.limits(step)}SELECT gonogo.enter({self._quote(self.run)},{self.epoch}{follows});"

    def _suffix(self, script: Script, body: Body, *, commits: bool = True) -> str:
        written = encode(write_body(body))
        quoted = ",".join(self._quote(text) for text in (self.run, body.kind, self.actor, written))
        appended = f"SELECT gonogo.append({quoted}::json,true);"
        # what a script sets, also inside a function, must not reach the ledger's own statement or the next script
        reset = "RESET SESSION AUTHORIZATION;RESET ROLE;" if script.sets else ""
        return f"{reset}{appended}RESET ALL{';COMMIT' if commits else ''}"

    def _quote(self, text: str) -> str:
        return Escaping(self.connection.pgconn).escape_literal(text.encode()).decode()

    # trying again

    def _retrying(self, step: PlannedStep, blockers: list[str], once: Callable[[], Event]) -> Event:
        """Do it once; where the server asks for another try, let tenacity pace the others and see who blocks."""
        try:
            return once()
        except psycopg.Error as error:
            attempts = self.plan.sql.attempts - 1
            if not transient(error) or not attempts:
                raise
            self.say(f"{step.name}: {error.sqlstate}, trying again (1 of {attempts})")

        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            why = getattr(error, "sqlstate", None) or "no answer"
            self.say(f"{step.name}: {why}, trying again ({state.attempt_number + 1} of {attempts})")

        retrying = Retrying(
            stop=stop_after_attempt(attempts),
            wait=wait_random_exponential(multiplier=0.05, max=2),
            retry=retry_if_exception(transient),
            sleep=clock.sleep,
            before_sleep=tell,
            reraise=True,
        )
        for attempt in retrying:
            with attempt, self.naming_blockers(blockers, wanted=True):
                return once()
        raise Refused("no attempt was made")  # pragma: no cover - there is at least one

    def survive(self, body: Body, once: Callable[[], Event]) -> Event:
        """Do it; where the connection is lost, find out in the ledger whether it happened, and only then do it again."""
        for _ in range(self.plan.sql.attempts):
            known = self.known[0]
            try:
                return once()
            except psycopg.OperationalError as error:
                if not self.lost(error):
                    raise
                self.say("the connection was lost; the ledger will say whether the script happened")
                newer = self.recover(known)
                if happened := [e for e in newer if e.kind is body.kind and e.actor == self.actor]:
                    return happened[-1]
        raise Unreachable(f"the connection was lost {self.plan.sql.attempts} times in a row")

    def recover(self, known: int) -> list[Event]:
        """Come back after a lost connection, also when it is lost again meanwhile; return the events that are newer.

        Raises:
            Unreachable: the server does not come back.
            Fenced: another runner took over.
        """
        for _ in range(self.plan.sql.attempts + 10):
            try:
                self.reconnect()
                return store.read(self.connection, self.run, known)
            except psycopg.OperationalError:
                clock.sleep(0.2)
        raise Unreachable("the connection is lost again and again")

    def lost(self, error: psycopg.Error) -> bool:
        """Say whether an error took the connection with it."""
        return bool(self.connection.closed) or (error.sqlstate or "") in _LOST

    def reconnect(self, patience: float = 60.0) -> None:
        """Make the connection again, end the old backend, and stay the runner.

        Args:
            patience: how many seconds the server may take to come back.

        Raises:
            Unreachable: it does not.
            Fenced: another runner took over.
        """
        self.connection.close()
        deadline = clock.monotonic() + patience
        while True:
            try:
                self.connection = self.database.connect(self.name, self.plan.sql)
                break
            except Unreachable:
                if clock.monotonic() > deadline:
                    raise
                clock.sleep(0.5)
        require_same(identify(self.connection), self.plan.identity)
        fence.require_mine(self.connection, self.run, self.epoch)
        fence.end_holder(self.connection)
        fence.reclaim(self.connection, self.run, self.epoch)

    def naming_blockers(self, found: list[str], *, wanted: bool) -> AbstractContextManager[None]:
        """While a second attempt waits for its lock, see who holds it."""
        return naming_blockers(self.connection, self.database, self.name, found) if wanted else nullcontext()

    def append(self, body: Body) -> Event:
        """Append an event as this run's runner; after a lost connection, only if it is not there yet."""
        return self.survive(
            body, lambda: store.append_fenced(self.connection, self.run, self.epoch, body, self.actor, self.known)
        )


def sees(step: PlannedStep) -> str:
    """Let a script see what its role sees, as it would by hand; a backfill sees all rows, or says that it cannot."""
    return "" if step.backfill else "SET LOCAL row_security=on;"


def _answers(cursor: psycopg.Cursor[Any]) -> tuple[int, str]:
    """Return how many rows were changed, and what the last statement with an answer said: that of gonogo.append."""
    row, changed = None, 0
    while True:
        if (cursor.statusmessage or "").split(" ")[0] in _CHANGES:
            changed += cursor.rowcount
        if cursor.description is not None:
            row = cursor.fetchone()
        if not cursor.nextset():
            break
    if row is None:  # pragma: no cover - the server answers it or raises
        raise Refused("the server did not answer the ledger's event")
    return changed, str(row[0])
