"""The locks of an undo beside live calls: taken at once, in the order of a call, and given back where a call is in the way.

Whoever holds one lock and waits for the next, while a call holds that one and waits for the first, is half of a deadlock.
PostgreSQL ends whichever of the two looks first, and that is to be no call of the application.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from itertools import count

import psycopg

from gonogo import clock
from gonogo.postgres.connection import FIND_OURS, Connection, full_name
from gonogo.postgres.pooled import to_default
from gonogo.postgres.schemas import USERS_SCHEMAS
from gonogo.sql.locks import in_words

_LOCKS = """
SELECT relation::bigint, mode FROM pg_catalog.pg_locks
WHERE locktype = 'relation' AND pid = pg_catalog.pg_backend_pid() AND granted
  AND mode NOT IN ('AccessShareLock', 'RowShareLock')
"""
#: the locks that keep writers out, the weakest first; readers go on under the first two
_MODES = ("SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")
MODE_OF = {"ShareRowExclusiveLock": _MODES[0], "ExclusiveLock": _MODES[1], "AccessExclusiveLock": _MODES[2]}
#: how long locks are waited for, as parts of deadlock_timeout: the first one, and all the others together; and how often.
#: A call that waits for one of them looks for a deadlock after that time, and is ended where gonogo waits for it then
_FIRST, _OTHERS, _TRIES = 0.3, 0.6, 10
#: in the order in which a call takes them: a view before what it reads, a partitioned table before its partitions
_RELATIONS = f"""
SELECT c.oid::bigint, c.relkind = 'v', pg_catalog.format('%%I.%%I', n.nspname, c.relname),
  pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(c.relowner))
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = ANY (%s::oid[]) AND c.relkind IN ('v', 'p', 'r') AND {USERS_SCHEMAS}
ORDER BY pg_catalog.array_position(ARRAY['v', 'p', 'r'], c.relkind::text),
  CASE c.relkind WHEN 'v' THEN -c.oid::bigint ELSE c.oid::bigint END
"""
_DEADLOCK_TIMEOUT = "SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'deadlock_timeout'"


def strongest(several: Iterable[Mapping[int, str]]) -> dict[int, str]:
    """Return the strongest lock of each table."""
    found: dict[int, str] = {}
    for held in several:
        found |= {oid: max(mode, found.get(oid, mode), key=_MODES.index) for oid, mode in held.items()}
    return found


def held_locks(connection: Connection, only: Container[str] = ()) -> dict[int, str]:
    """Return the strongest lock that this session holds on each relation that it may have changed, and that keeps writers out.

    Args:
        connection: the session.
        only: the locks that count, by the server's names for them; all without it.
    """
    held: dict[int, str] = {}
    for oid, found in connection.execute(_LOCKS.encode()).fetchall():
        if only and found not in only:
            continue
        # who changes rows lets others change theirs: while rows are noted, nobody does
        mode = MODE_OF.get(found, _MODES[0])
        held[int(oid)] = max(mode, held.get(int(oid), mode), key=_MODES.index)
    return held


def known_locks(connection: Connection, locks: Iterable[str]) -> dict[int, str]:
    """Return the locks that the statements of some scripts are known to take on what is there, the strongest of each."""
    found: dict[int, str] = {}
    for mode, name in (lock.split(" on ", 1) for lock in locks):
        if mode not in _MODES or in_words(name):
            continue
        row = connection.execute("SELECT pg_catalog.to_regclass(%s)::oid::bigint", [full_name(connection, name)]).fetchone()
        if row is not None and row[0] is not None:
            found[int(row[0])] = max(mode, found.get(int(row[0]), mode), key=_MODES.index)
    return found


def lock_statements(connection: Connection, wanted: Mapping[int, str]) -> list[str]:
    """Return the statements that take the strongest lock on each relation, in the order in which a call takes them."""
    return [
        # LOCK TABLE of a view locks all that it reads, too: this changes nothing, and locks the view alone
        f"ALTER VIEW {name} OWNER TO {owner}" if is_view else f"LOCK TABLE ONLY {name} IN {wanted[int(oid)]} MODE"
        for oid, is_view, name, owner in connection.execute(_RELATIONS.encode(), [list(wanted)]).fetchall()
        if not is_view or wanted[int(oid)] == _MODES[-1]
    ]


def patience_of(connection: Connection, settings: str) -> float:
    """Return for how many seconds a script may wait for a lock."""
    connection.execute(f"SAVEPOINT gonogo_wait;{settings}{FIND_OURS}".encode())
    row = connection.execute("SELECT setting::int FROM pg_catalog.pg_settings WHERE name = 'lock_timeout'").fetchone()
    connection.execute("ROLLBACK TO SAVEPOINT gonogo_wait;RELEASE SAVEPOINT gonogo_wait")
    return int(row[0]) / 1000 if row and row[0] else float("inf")


def take(connection: Connection, statements: list[str], patience: float) -> list[str]:
    """Take at once every lock that the scripts take, so that none waits for the application while the application waits for it.

    Args:
        connection: in a transaction.
        statements: what takes them.
        patience: for how many seconds it is tried again; some times in any case.

    Returns:
        The statements.

    Raises:
        psycopg.errors.LockNotAvailable: it could not be had, again and again.
    """
    if not statements:
        return statements
    row = connection.execute(_DEADLOCK_TIMEOUT.encode()).fetchone() or (1000,)
    first = max(int(int(row[0]) * _FIRST), 1)
    each = max(min(first, int(int(row[0]) * _OTHERS) // max(len(statements) - 1, 1)), 1)
    waits = [f"SET LOCAL lock_timeout TO '{wait}ms'" for wait in (first, each)]
    attempt = ";".join([waits[0], statements[0], waits[1], *statements[1:], to_default(connection, "lock_timeout")])
    began = clock.monotonic()
    for number in count():
        connection.execute("SAVEPOINT gonogo_lock")
        try:
            connection.execute(attempt.encode())
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected, psycopg.errors.InsufficientPrivilege) as error:
            connection.execute("ROLLBACK TO SAVEPOINT gonogo_lock")
            over = number >= _TRIES - 1 and clock.monotonic() - began > patience
            if over or isinstance(error, psycopg.errors.InsufficientPrivilege):
                raise
            clock.sleep(0.02 * min(number + 1, _TRIES))
        else:
            connection.execute("RELEASE SAVEPOINT gonogo_lock")
            break
    return statements
