"""Run scripts, each in one transaction with its ledger event, in one round trip; retry what is safe to retry.

Whether a script happened is never guessed from an error: after a lost connection the old backend is ended first,
and then the ledger is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

from gonogo import clock
from gonogo.core.engine.events import BatchDone, Body, Event, Kind, ScriptDone, SwitchDone, UndoDone, WrittenOver, write_body
from gonogo.core.model.threshold import parse_threshold
from gonogo.core.plan.plan import PlannedStep, Script
from gonogo.errors import Refused, RowsWritten, ScriptFailed, Unreachable
from gonogo.ledger import continuity, store
from gonogo.ledger.encoding import encode
from gonogo.postgres.blockers import naming_blockers
from gonogo.postgres.connection import FIND_OURS, milliseconds
from gonogo.postgres.pooled import find_theirs, reset_all, reset_role
from gonogo.postgres.sqlstates import TRANSIENT
from gonogo.recovery import data_loss, measured_loss
from gonogo.recovery.measured_loss import CannotMeasure, Touched, UndoScript
from gonogo.recovery.written_over import Batch, OverNotes, all_written_over
from gonogo.run.explain import explain
from gonogo.run.kept_connection import KeptConnection, Stopped

#: the command tags of what changes rows
_CHANGES = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY"})


def transient(error: BaseException) -> bool:
    """Say whether the server undid the script by itself and it may be tried again."""
    return isinstance(error, psycopg.Error) and (error.sqlstate or "") in TRANSIENT


@dataclass(kw_only=True)
class Session(KeptConnection):
    """The one connection that changes the target: it runs scripts."""

    texts: Mapping[str, str]

    def __post_init__(self) -> None:
        super().__post_init__()
        self._over = OverNotes(self.run)

    # scripts

    def run_script(
        self,
        step: PlannedStep,
        script: Script,
        body: Body,
        *,
        text: str | None = None,
        guard: str = "",
        batch: Batch | None = None,
    ) -> Event:
        """Run a transactional script together with its event.

        Args:
            step: whose limits apply.
            script: what to run.
            body: what its event says.
            text: the SQL, where it is not the script's own (a batch).
            guard: SQL that goes before it in the same transaction.
            batch: the rows that it works through, where it is one.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: somebody wrote after the data loss was counted; nothing of it stayed.
            Stopped: the watch cancelled it; nothing of it stayed.
        """
        sql = self.texts[script.sha256] if text is None else text
        prefix = self._prefix(step) + guard + sees(step) + find_theirs(self.connection)
        counts = step.rows if body.kind is Kind.DONE and step.row.counts_scripts else ""

        def once() -> Event:
            over: tuple[WrittenOver, ...] | None = None
            done = body
            if isinstance(body, ScriptDone | BatchDone):
                over = self._over.before(self.connection, sql, batch, notes=bool(body.since))
            rows, message = 0, f"{prefix}{sql}\n;"
            with self._whole_or_nothing():
                if over is not None:
                    # what it updates is seen before it is recorded
                    rows, _ = _answers(self.connection.execute(f"{message}{FIND_OURS}".encode()))
                    done = body.replace(over=all_written_over(self.connection, over))
                    message = ""
                cursor = self.connection.execute(f"{message}{self._suffix(script, done, commits=not counts)}".encode())
                more, answer = _answers(cursor)
                if counts:
                    self._commit_if(counts, rows + more)
            return store.recorded(answer, done, self.actor)

        return self._told(step, script, sql, len(prefix), body, once)

    def run_undo(
        self,
        step: PlannedStep,
        script: Script,
        body: UndoDone | SwitchDone,
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

        return self._told(step, script, undo.text, len(undo.prefix(self.connection)), body, once)

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
        appended = f"SELECT gonogo.append({quoted}::pg_catalog.json,true);"
        # what a script sets, also inside a function, must not reach the ledger's own statement or the next script
        reset = reset_role(self.connection) if script.sets else ""
        return f"{reset}{FIND_OURS}{appended}{reset_all(self.connection)}{';COMMIT' if commits else ''}"

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

    def naming_blockers(self, found: list[str], *, wanted: bool) -> AbstractContextManager[None]:
        """While a second attempt waits for its lock, see who holds it."""
        return naming_blockers(self.connection, self.database, self.name, found) if wanted else nullcontext()


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
