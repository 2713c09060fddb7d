"""Whether a ledger still holds what was seen in it.

A server can come back without its newest commits, and somebody can remove events by hand.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from gonogo.core.engine.events import Event
from gonogo.errors import Refused
from gonogo.postgres.connection import Connection

#: an event's number, and its moment in microseconds since 1970
Mark: TypeAlias = tuple[int, int]
NOTHING_KNOWN: Mark = (0, 0)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: the year 9000, in microseconds: what a damaged file says beyond that is no moment
_LATEST = 221_845_392_000_000_000


def mark(event: Event) -> Mark:
    """Return what tells an event from any other that may take its number."""
    return event.seq, (event.at - _EPOCH) // timedelta(microseconds=1)


def moment_of(marked: Mark) -> datetime:
    """Return when a marked event was recorded."""
    return _EPOCH + timedelta(microseconds=max(0, min(marked[1], _LATEST)))


def origin(connection: Connection) -> str:
    """Return what changes when a standby is promoted, an archive is recovered, or the database is made anew from a copy."""
    row = connection.execute(
        "SELECT pg_catalog.left(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 8), oid"
        " FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()"
    ).fetchone()
    return f"timeline {int(str(row[0]), 16)}, database {row[1]}" if row else ""


def log_position(connection: Connection) -> int:
    """Return how far the server's log is written, in bytes; a server that was put back to an earlier moment is less far."""
    row = connection.execute("SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), '0/0')").fetchone()
    return int(row[0]) if row else 0


def holds(connection: Connection, run: str, marked: Mark) -> bool:
    """Say whether a run's ledger still holds an event that was seen in it."""
    row = connection.execute(
        "SELECT 1 FROM gonogo.event WHERE run = %s AND seq = %s AND (extract(epoch FROM at) * 1000000)::bigint = %s",
        [run, *marked],
    ).fetchone()
    return row is not None


def require_whole(connection: Connection, run: str) -> None:
    """Refuse a ledger in which events of a run are missing.

    Raises:
        Refused: some are.
    """
    row = connection.execute(
        "SELECT r.seq, count(e.seq), max(e.seq) FROM gonogo.run r LEFT JOIN gonogo.event e ON e.run = r.id"
        " WHERE r.id = %s GROUP BY 1",
        [run],
    ).fetchone()
    if row is not None and not row[0] == row[1] == (row[2] or 0):
        raise Refused(
            f"the ledger of the run {run} is not whole: it has handed out {row[0]} numbers and holds {row[1]} events, up to"
            f" {row[2] or 0}. Somebody removed some, so where the run stands cannot be known; see `gonogo ledger verify`"
        )
