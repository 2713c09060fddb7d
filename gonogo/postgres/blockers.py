"""Who is in the way: the sessions that others wait for, named as a person can find them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import psycopg

from gonogo.errors import Unreachable
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.pooled import backend_of
from gonogo.postgres.schemas import SAID

_WHO = """
SELECT a.pid, a.usename, a.application_name, a.state,
  pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start)::text, pg_catalog.left(a.query, 80)
"""
_BLOCKING = f"""{_WHO}
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) AS b(pid) JOIN pg_catalog.pg_stat_activity a USING (pid)
"""
_LOCKING = f"""{_WHO}, pg_catalog.string_agg(DISTINCT {SAID}, ', ')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm', 'v')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC NULLS LAST LIMIT 3
"""


def blocking(connection: Connection, waiting: int) -> list[str]:
    """Name the sessions that a backend waits for."""
    return [_named(row) for row in connection.execute(_BLOCKING.encode(), [waiting]).fetchall()]


def locking(connection: Connection) -> str:
    """Name, after a statement gave up waiting for a lock, the sessions that let nobody else at a table; or nothing."""
    with suppress(psycopg.Error):
        held = [f"{_named(row)}, holds {row[6]} for itself" for row in connection.execute(_LOCKING.encode()).fetchall()]
        return "; ".join(held)
    return ""


def describe_error(error: psycopg.Error, connection: Connection) -> str:
    """Say what went wrong with a statement; where it was a lock, who held it."""
    story = f"{error.sqlstate or type(error).__name__} {(error.diag.message_primary or str(error)).strip()[:500]}"
    if isinstance(error, psycopg.errors.LockNotAvailable) and (who := locking(connection)):
        story += f"; in the way: {who}. When it is gone, this can be asked again"
    return story


def _named(row: Sequence[Any]) -> str:
    pid, user, name, state, age, query = row[:6]
    said = " ".join((query or "").split())
    return f"backend {pid} ({user or '?'}, {name or 'no name'}), {state or '?'} for {age or '?'}: {said}"


__all__ = ["blocking", "describe_error", "locking"]


@contextmanager
def naming_blockers(waiting: Connection, database: Database, name: str, found: list[str]) -> Iterator[None]:
    """While a connection may wait for a lock, see on another one who holds it.

    Args:
        waiting: the connection.
        database: where it is.
        name: whose it is, as application_name.
        found: where those who hold it are put, the newest look alone.
    """
    over, pid = threading.Event(), backend_of(waiting)
    thread = threading.Thread(target=_look_out, args=(pid, database, name, over, found), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=5)


def _look_out(pid: int, database: Database, name: str, over: threading.Event, found: list[str]) -> None:
    with suppress(psycopg.Error, Unreachable), database.connect(f"{name}/lookout") as connection:
        while not over.wait(0.05):
            if blockers := blocking(connection, pid):
                found[:] = blockers
