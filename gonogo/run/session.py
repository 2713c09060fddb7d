"""Run scripts, each in one transaction with its ledger event, in one round trip; retry what is safe to retry.

Whether a script happened is never guessed from an error: after a lost connection the old backend is ended first,
and then the ledger is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import psycopg
from psycopg.sql import SQL, Composable
from tenacity import RetryCallState, Retrying, retry_if_exception

from gonogo import clock
from gonogo.core.engine.events import (
    BatchDone,
    Body,
    Event,
    Kind,
    ScriptDone,
    SwitchDone,
    UndoDone,
    Waited,
    WrittenOver,
    write_body,
)
from gonogo.core.model.duration import say_duration
from gonogo.core.model.threshold import parse_threshold
from gonogo.core.plan.plan import LONG_WAIT, PlannedStep, Script
from gonogo.errors import Refused, RowsWritten, ScriptFailed, Unreachable
from gonogo.ledger import continuity, store
from gonogo.ledger.encoding import encode
from gonogo.postgres.blockers import end_if_idle
from gonogo.postgres.connection import FIND_OURS, milliseconds
from gonogo.postgres.lookout import Lookout
from gonogo.postgres.pooled import backend_of, find_theirs, reset_all, reset_role
from gonogo.postgres.sqlstates import NO_LOCK, TRANSIENT
from gonogo.recovery import data_loss, measured_loss
from gonogo.recovery.measured_loss import CannotMeasure, Touched, UndoScript
from gonogo.recovery.written_over import Batch, OverNotes, all_written_over
from gonogo.run.explain import explain
from gonogo.run.kept_connection import KeptConnection, Overtaken, Stopped
from gonogo.run.lock_patience import LockWait

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
        self.lookout = Lookout(self.database, lambda: self.name)
        #: the scripts that wait for their locks, by their digest
        self._waits: dict[str, LockWait] = {}

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
        counts_rows: bool = False,
    ) -> Event:
        """Run a transactional script together with its event.

        Args:
            step: whose limits apply.
            script: what to run.
            body: what its event says.
            text: the SQL, where it is not the script's own (a batch).
            guard: SQL that goes before it in the same transaction.
            batch: the rows that it works through, where it is one.
            counts_rows: whether its event says how many rows it changed.

        Raises:
            ScriptFailed: the server refused it; nothing of it stayed.
            RowsWritten: somebody wrote after the data loss was counted; nothing of it stayed.
            Stopped: the watch cancelled it; nothing of it stayed.
        """
        sql = self.texts[script.sha256] if text is None else text
        prefix = self._prefix(step, script) + guard + sees(step) + find_theirs(self.connection)
        counts = step.rows if body.kind is Kind.DONE and step.row.counts_scripts else ""

        def once() -> Event:
            self.take_warnings()
            over: tuple[WrittenOver, ...] | None = None
            done = self._with_waits(body, script)
            if isinstance(body, ScriptDone | BatchDone):
                over = self._over.before(self.connection, sql, batch, notes=bool(body.since))
            rows, message = 0, f"{prefix}{sql}\n;"
            with self._whole_or_nothing():
                if over is not None:
                    # what it updates is seen before it is recorded
                    rows, _ = _answers(self.connection.execute(f"{message}{FIND_OURS}".encode()))
                    done = done.replace(over=all_written_over(self.connection, over))
                    message = ""
                elif counts_rows:
                    rows, _ = _answers(self.connection.execute(f"{message}{FIND_OURS}".encode()))
                    done, message = done.replace(rows=rows), ""
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
            self.take_warnings()
            with self._whole_or_nothing():
                # a lock is worth nothing under a snapshot that is older than it
                self.connection.execute(self._prefix(step, script, " ISOLATION LEVEL READ COMMITTED").encode())
                known = None if touched is None else [touched]
                (lost,), _ = measured_loss.measure(self.connection, self.run, [undo], touched=known)
                if not allows(lost):
                    raise RowsWritten("it would destroy rows that were written since", rows=lost)
                done = self._with_waits(body.replace(lost=lost), script)
                cursor = self.connection.execute(self._suffix(script, done).encode())
            return store.recorded(_answers(cursor)[1], done, self.actor)

        return self._told(step, script, undo.text, len(undo.prefix(self.connection)), body, once)

    def _told(self, step: PlannedStep, script: Script, sql: str, offset: int, body: Body, once: Callable[[], Event]) -> Event:
        """Do it, again where that is safe; what the server refuses is told with the place in the script."""
        wait = self.wait_of(script)
        try:
            with self.leaving_nothing():
                done = self._retrying(step, wait, lambda: self.survive(body, once))
        except psycopg.Error as error:
            self.forget_wait(script)
            store.raise_if_fenced(error)
            if self.was_stopped(error):
                raise Stopped from None
            if self.lost(error):
                # whether it happened is the ledger's to say, never this error's
                raise Unreachable(f"the connection was lost: {str(error).strip()}") from None
            story = explain(error, script, sql, list(wait.in_the_way.values()), offset=offset)
            failed = RowsWritten if error.sqlstate == data_loss.GREW else ScriptFailed
            raise failed(story, sqlstate=error.sqlstate or "") from None
        except (ScriptFailed, CannotMeasure):
            self.forget_wait(script)
            raise
        self.forget_wait(script)
        return done

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

    def limits(self, step: PlannedStep, script: Script) -> str:
        """Return what sets the limits of one script of a step in its transaction."""
        limits = f"SET LOCAL lock_timeout={milliseconds(step.waits_for_locks(script))};"
        if step.statement_timeout != self.plan.sql.statement_timeout:
            limits += f"SET LOCAL statement_timeout={milliseconds(step.statement_timeout)};"
        return limits

    def vacuum(self, table: Composable) -> None:
        """Run VACUUM on a table, as far as the watch lets it; what goes wrong with it is told and stops nothing."""
        try:
            with self.cancellable():
                self.connection.execute(SQL("VACUUM {}").format(table))
        except psycopg.Error as error:
            if self.lost(error) or self.was_stopped(error):
                raise
            self.say(f"VACUUM failed, and the backfill goes on: {str(error).splitlines()[0]}")

    def _with_waits(self, body: Body, script: Script) -> Body:
        """Return the body of an event with what its script met before this try."""
        wait = self._waits.get(script.sha256)
        if wait is None or not wait.tries or not isinstance(body, Waited):
            return body
        return body.replace(others_waited=round(wait.others_waited, 3), ended=wait.ended)

    def _prefix(self, step: PlannedStep, script: Script, isolation: str = "") -> str:
        follows = "" if self.known == continuity.NOTHING_KNOWN else ",{},{}".format(*self.known)
        # gonogo's own statements wait for locks as the session does
        return f"BEGIN{isolation};SELECT gonogo.enter({self._quote(self.run)},{self.epoch}{follows});{self.limits(step, script)}"

    def _suffix(self, script: Script, body: Body, *, commits: bool = True) -> str:
        written = encode(write_body(body))
        quoted = ",".join(self._quote(text) for text in (self.run, body.kind, self.actor, written))
        appended = f"SELECT gonogo.append({quoted}::pg_catalog.json,true);"
        # what a script sets, also inside a function, must not reach the ledger's own statement or the next script
        reset = reset_role(self.connection) if script.sets else ""
        reset += f"SET LOCAL lock_timeout={milliseconds(LONG_WAIT)};"
        return f"{reset}{FIND_OURS}{appended}{reset_all(self.connection)}{';COMMIT' if commits else ''}"

    # trying again

    def wait_of(self, script: Script) -> LockWait:
        """Return what a script that is not done met while it was tried."""
        return self._waits.setdefault(script.sha256, LockWait(script=script, settings=self.plan.sql))

    def forget_wait(self, script: Script) -> None:
        """Let the next try of a script be its first."""
        self._waits.pop(script.sha256, None)

    def _retrying(self, step: PlannedStep, wait: LockWait, once: Callable[[], Event]) -> Event:
        """Do it; where the server asks for another try, let tenacity pace the others.

        Raises:
            Overtaken: somebody recorded something while it rested.
        """

        def attempt() -> Event:
            self.rest_until(wait.due)
            with self.trying(wait):
                return once()

        def tell(state: RetryCallState) -> None:
            self.tell_rest(step, wait, state.next_action.sleep if state.next_action else 0.0)

        try:
            # of nearly every script the first try is the only one
            return attempt()
        except psycopg.Error as error:
            if not transient(error) or wait.over:
                raise
            self.tell_rest(step, wait, wait.rest())
        retrying = Retrying(
            stop=lambda _: wait.over,
            wait=lambda _: wait.rest(),
            retry=retry_if_exception(transient),
            # each attempt rests first, also one that comes after something else
            sleep=lambda _: None,
            before_sleep=tell,
            reraise=True,
        )
        return retrying(attempt)

    @contextmanager
    def trying(self, wait: LockWait) -> Iterator[None]:
        """See what becomes of a try, and note it where it fails."""
        # a connection that was lost since has no backend to be looked at
        pid = 0 if self.connection.closed else backend_of(self.connection)
        with self.lookout.watching(pid) as seen:
            try:
                yield
            except psycopg.Error as error:
                wait.failed(error, seen)
                raise

    def tell_rest(self, step: PlannedStep, wait: LockWait, pause: float) -> None:
        """Say why a script is tried again, and in how many seconds.

        Raises:
            ScriptFailed: people decide, because others keep it from its lock for so long.
        """
        wait.due = clock.monotonic() + pause
        self.say(f"{step.name}: {wait.says}; tried again in {pause:.1f} s, {wait.until(clock.now())}")
        self.ask_blockers(step, wait)

    def rest_until(self, due: float) -> None:
        """Let the time pass until the next try.

        Raises:
            Overtaken: somebody recorded something meanwhile.
        """
        while (left := due - clock.monotonic()) > 0:
            try:
                for _ in self.connection.notifies(timeout=left, stop_after=1):
                    raise Overtaken
            except psycopg.OperationalError:
                # the next try finds out what became of the connection
                return

    def ask_blockers(self, step: PlannedStep, wait: LockWait) -> None:
        """Do what the runbook says to those who keep a script from its lock for long.

        Raises:
            ScriptFailed: people decide.
        """
        asked = self.plan.sql.ask_blockers
        if asked is None or not wait.by_lock or wait.waited < asked.after:
            return
        if asked.then == "hold":
            why = f"{step.name} has waited {say_duration(wait.waited)} for a lock{wait.who}"
            raise ScriptFailed(why, sqlstate=NO_LOCK, holds=True)
        for pid, name in wait.in_the_way.items():
            was_idle = end_if_idle(self.connection, pid)
            if was_idle:
                wait.ended += (name,)
                self.say(f"{step.name}: ended {name}")
            elif was_idle is None:
                grant = f"GRANT pg_signal_backend, pg_read_all_stats TO {self.connection.info.user}"
                self.say(f"{step.name}: the role may not see and end {name}: {grant}")


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
