"""Whether two connections lead to one database, however they got there: a copy may have its name, its identifier and all."""

from __future__ import annotations

import secrets

from gonogo.postgres.connection import Connection

_HOLD = "SELECT pg_catalog.pg_advisory_lock(%s, %s)"
_SEEN = """
SELECT FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_database d ON d.oid = l.database
WHERE l.locktype = 'advisory' AND l.classid = %s::pg_catalog.oid AND l.objid = %s::pg_catalog.oid AND l.objsubid = 2
  AND d.datname = pg_catalog.current_database()
"""
_LET_GO = "SELECT pg_catalog.pg_advisory_unlock(%s, %s)"


def is_same_database(one: Connection, other: Connection) -> bool:
    """Say whether two connections lead to the same database of the same running server.

    What the one locks, and no other server can know of, is seen by the other.
    """
    key = [secrets.randbelow(2**31), secrets.randbelow(2**31)]
    one.execute(_HOLD, key)
    try:
        return other.execute(_SEEN, key).fetchone() is not None
    finally:
        one.execute(_LET_GO, key)


__all__ = ["is_same_database"]
