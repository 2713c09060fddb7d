"""What a step costs, seen on a copy: the locks it took, the tables it rewrote, the WAL it wrote, the plans it changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gonogo.core.engine.events import Body
from gonogo.core.plan.plan import Script
from gonogo.postgres.connection import FIND_OURS, Connection
from gonogo.postgres.schemas import SAID, USERS_SCHEMAS
from gonogo.run.session import Session
from gonogo.sql.locks import MODES

#: where a transaction writes down its own locks before it ends; it lies in the ledger's schema, which nothing compares
MAKE = "CREATE TABLE gonogo.seen_lock (fact text, relation oid, mode text)"
_NOTE = f"""
INSERT INTO gonogo.seen_lock SELECT {{fact}}, l.relation, l.mode
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'm')
  AND {USERS_SCHEMAS};
"""
_FILES = f"""
SELECT c.oid::bigint, {SAID}, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND {USERS_SCHEMAS}
"""


class ObservedSession(Session):
    """A session whose transactions write down the locks they hold, just before they end."""

    def _suffix(self, script: Script, body: Body, *, commits: bool = True) -> str:
        return FIND_OURS + _NOTE.format(fact=self._quote(script.sha256)) + super()._suffix(script, body, commits=commits)


@dataclass(frozen=True)
class File:
    """A table, and the file that it lies in: another one means that it was rewritten."""

    name: str
    node: int


def locks_of(connection: Connection, script: Script, known: Mapping[int, File]) -> list[str]:
    """Return the strongest lock that a script took on each table that was there before it, by the name that it had then.

    Args:
        connection: the copy's.
        script: which.
        known: the tables that were there.
    """
    query = "SELECT DISTINCT relation::bigint, mode FROM gonogo.seen_lock WHERE fact = %s"
    strongest: dict[str, str] = {}
    for oid, mode in connection.execute(query, [script.sha256]).fetchall():
        word = _WORDS.get(mode, "")
        if oid in known and word:
            name = known[oid].name
            strongest[name] = max(strongest.get(name, word), word, key=MODES.index)
    return [f"{mode} on {name}" for name, mode in sorted(strongest.items())]


def files(connection: Connection) -> dict[int, File]:
    """Return the tables by their number, which stays the same when they are renamed."""
    return {int(oid): File(str(name), int(node)) for oid, name, node in connection.execute(_FILES).fetchall()}


def wal_position(connection: Connection) -> int:
    """Return how many bytes of WAL the server has written; others of the same server write to it too."""
    row = connection.execute(
        "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint"
    ).fetchone()
    return int(row[0]) if row else 0


#: pg_locks' names of the locks that block somebody's writes or reads: ACCESS EXCLUSIVE is AccessExclusiveLock there
_WORDS = {f"{mode.title().replace(' ', '')}Lock": mode for mode in MODES}
