"""The one connection that changes the target, under one epoch: it can be lost and made again, and the watch can stop it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg.pq import Escaping

from gonogo import clock
from gonogo.core.engine.events import Body, Event
from gonogo.core.plan.plan import Plan
from gonogo.errors import Unreachable
from gonogo.ledger import continuity, fence, store
from gonogo.postgres.connection import OWN_PATH, Connection, Database, identify, require_same
from gonogo.postgres.pooled import backend_of, reset_all, reset_role
from gonogo.postgres.sqlstates import LOST, QUERY_CANCELED

#: what outlives a transaction: cursors, prepared statements, advisory locks, temporary tables, settings; and what is listened to
_CLEAR = "CLOSE ALL;DEALLOCATE ALL;DISCARD TEMP;DISCARD SEQUENCES;UNLISTEN *;SELECT pg_catalog.pg_advisory_unlock_all()"

#: so many different warnings of one script are kept, and so many characters of each
_MOST_WARNINGS, _LONGEST_WARNING = 1000, 300


class Stopped(Exception):
    """The watch cancelled the running statement."""


class Overtaken(Exception):
    """While a script rested before its next try, somebody recorded something: what is next may be something else."""


def _silently(_: str) -> None:
    """Tell nobody."""


@dataclass(kw_only=True)
class KeptConnection:
    """The runner's connection; it can be lost and made again."""

    database: Database
    plan: Plan
    run: str
    actor: str
    connection: Connection
    epoch: int
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
        #: what the server warned of since a script began, each text once: a script may be tried, or run twice to be measured
        self._warnings: dict[str, None] = {}
        self._hear_warnings()
        self._stopping = threading.Event()

    @property
    def name(self) -> str:
        """The session's application_name."""
        return f"gonogo/{self.run}/{self.epoch}"

    # what the server warns of

    def _hear_warnings(self) -> None:
        def hear(said: psycopg.errors.Diagnostic) -> None:
            if said.severity_nonlocalized == "WARNING" and len(self._warnings) < _MOST_WARNINGS:
                self._warnings[" ".join((said.message_primary or "").split())[:_LONGEST_WARNING]] = None

        self.connection.add_notice_handler(hear)

    def take_warnings(self) -> tuple[str, ...]:
        """Return what the server warned of since this was asked last, each text once."""
        found = tuple(self._warnings)
        self._warnings.clear()
        return found

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
            self._busy_with = backend_of(self.connection)
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
                    again = (
                        f"{reset_role(self.connection)}{reset_all(self.connection)};LISTEN gonogo;SET search_path = {OWN_PATH}"
                    )
                    named = f"SET application_name = {self._quote(self.name[:63])}"
                    self.connection.execute(f"{_CLEAR};{again};{named}".encode())

    # lost, and made again

    def survive(self, body: Body, once: Callable[[], Event]) -> Event:
        """Do it; where the connection is lost, find out in the ledger whether it happened, and only then do it again."""
        for _ in range(self.plan.sql.tries):
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
        raise Unreachable(f"the connection was lost {self.plan.sql.tries} times in a row")

    def recover(self, known: int) -> list[Event]:
        """Come back after a lost connection, also when it is lost again meanwhile; return the events that are newer.

        Raises:
            Unreachable: the server does not come back.
            Fenced: another runner took over.
        """
        for _ in range(self.plan.sql.tries + 10):
            try:
                self.reconnect()
                return store.read(self.connection, self.run, known)
            except psycopg.OperationalError:
                clock.sleep(0.2)
        raise Unreachable("the connection is lost again and again")

    def lost(self, error: psycopg.Error) -> bool:
        """Say whether an error took the connection with it."""
        return bool(self.connection.closed) or (error.sqlstate or "") in LOST

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
                self._hear_warnings()
                break
            except Unreachable:
                if clock.monotonic() > deadline:
                    raise
                clock.sleep(0.5)
        require_same(identify(self.connection), self.plan.identity)
        fence.require_mine(self.connection, self.run, self.epoch)
        fence.end_holder(self.connection, epoch=self.epoch)
        fence.reclaim(self.connection, self.run, self.epoch)

    def append(self, body: Body) -> Event:
        """Append an event as this run's runner; after a lost connection, only if it is not there yet."""
        return self.survive(
            body, lambda: store.append_fenced(self.connection, self.run, self.epoch, body, self.actor, self.known)
        )

    def _quote(self, text: str) -> str:
        return Escaping(self.connection.pgconn).escape_literal(text.encode()).decode()
