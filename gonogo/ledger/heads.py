"""The newest event of a ledger, by which it is known again elsewhere: in a copy of its database, or in one that was put back."""

from __future__ import annotations

from typing import NamedTuple

from gonogo.ledger import store
from gonogo.postgres.connection import Connection

_NEWEST = """
SELECT run, seq, pg_catalog.encode(hash, 'hex') FROM gonogo.event
WHERE run = %(run)s OR %(run)s = '' ORDER BY at DESC, seq DESC LIMIT 1
"""
_HAS = "SELECT FROM gonogo.event WHERE run = %s AND seq = %s AND hash = pg_catalog.decode(%s, 'hex')"


class Head(NamedTuple):
    """An event: its run, its number, its hash in hexadecimal."""

    run: str
    seq: int
    hash: str


def newest(connection: Connection, run: str = "") -> Head | None:
    """Return the newest event of a run, or of all; None where there is none."""
    row = connection.execute(_NEWEST, {"run": run}).fetchone() if store.exists(connection) else None
    return Head(str(row[0]), int(row[1]), str(row[2])) if row else None


def has(connection: Connection, head: Head) -> bool:
    """Say whether a ledger has an event."""
    return store.exists(connection) and connection.execute(_HAS, head).fetchone() is not None


__all__ = ["Head", "has", "newest"]
