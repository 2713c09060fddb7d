"""Who is in the way: the sessions that others wait for, named as a person can find them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import SAID

_WHO = """
SELECT a.pid, a.usename, a.application_name, a.state,
  pg_catalog.date_trunc('second', pg_catalog.clock_timestamp() - a.xact_start)::text, pg_catalog.left(a.query, 80)
"""
_BLOCKING = f"""{_WHO}
FROM pg_catalog.unnest(pg_catalog.pg_blocking_pids(%s)) AS b(pid) JOIN pg_catalog.pg_stat_activity a USING (pid)
"""
_WAITING = """
SELECT coalesce(pg_catalog.bool_or(l.pid = %(pid)s), false),
  pg_catalog.count(DISTINCT l.pid) FILTER (WHERE l.pid <> %(pid)s AND %(pid)s = ANY (pg_catalog.pg_blocking_pids(l.pid)))
FROM pg_catalog.pg_locks l WHERE NOT l.granted
"""
_END_IDLE = """
SELECT CASE WHEN a.state LIKE 'idle in transaction%%' THEN pg_catalog.pg_terminate_backend(a.pid)
  WHEN a.state IS NOT NULL THEN false END
FROM pg_catalog.pg_stat_activity a WHERE a.pid = %s
"""
_LOCKING = f"""{_WHO}, pg_catalog.string_agg(DISTINCT {SAID}, ', ')
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a USING (pid)
JOIN pg_catalog.pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p', 'm', 'v')
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 5 DESC NULLS LAST LIMIT 3
"""


def blocking(connection: Connection, waiting: int) -> dict[int, str]:
    """Name the sessions that a backend waits for, by their process."""
    return {int(row[0]): _named(row) for row in connection.execute(_BLOCKING.encode(), [waiting]).fetchall()}


def waiting(connection: Connection, pid: int) -> tuple[bool, int]:
    """Return whether a backend waits for a lock, and how many sessions wait for one that it holds, or waits for before them."""
    row = connection.execute(_WAITING.encode(), {"pid": pid}).fetchone()
    return (bool(row[0]), int(row[1])) if row else (False, 0)


def end_if_idle(connection: Connection, pid: int) -> bool | None:
    """End a session that is idle in a transaction; say whether it was, or None where the role may not see it, or not end it."""
    try:
        row = connection.execute(_END_IDLE.encode(), [pid]).fetchone()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return row[0] if row else False


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
