"""What a step costs, seen on a copy: the locks it took, the tables it rewrote, the WAL it wrote, the plans it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gonogo.core.event import Kind
from gonogo.core.plan import Script
from gonogo.database import Connection, transaction
from gonogo.locks import MODES
from gonogo.script import Session

#: where a transaction writes down its own locks before it ends; it lies in the ledger's schema, which nothing compares
MAKE = "CREATE TABLE gonogo.seen_lock (fact text, relation text, mode text)"
_NOTE = """
INSERT INTO gonogo.seen_lock SELECT {fact}, l.relation::pg_catalog.regclass::text, l.mode
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'm')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo');
"""
_FILES = """
SELECT c.oid::pg_catalog.regclass::text, pg_catalog.pg_relation_filenode(c.oid)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')
"""


class ObservedSession(Session):
    """A session whose transactions write down the locks they hold, just before they end."""

    def _suffix(self, script: Script, kind: Kind, body: str) -> str:
        return _NOTE.format(fact=self._quote(script.sha256)) + super()._suffix(script, kind, body)


def locks_of(connection: Connection, script: Script, known: Mapping[str, int]) -> list[str]:
    """Return the strongest lock that a script took on each table that was there before it.

    Args:
        connection: the copy's.
        script: which.
        known: the tables that were there.
    """
    rows = connection.execute("SELECT DISTINCT relation, mode FROM gonogo.seen_lock WHERE fact = %s", [script.sha256]).fetchall()
    strongest: dict[str, str] = {}
    for relation, mode in rows:
        word = _WORDS.get(mode, "")
        if relation in known and word:
            strongest[relation] = max(strongest.get(relation, word), word, key=MODES.index)
    return [f"{mode} on {relation}" for relation, mode in sorted(strongest.items())]


def files(connection: Connection) -> dict[str, int]:
    """Return the file of each table: another one means that it was rewritten."""
    return {str(name): int(node) for name, node in connection.execute(_FILES).fetchall() if node}


def wal_position(connection: Connection) -> int:
    """Return how many bytes of WAL the server has written; others of the same server write to it too."""
    row = connection.execute(
        "SELECT pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint"
    ).fetchone()
    return int(row[0]) if row else 0


def next_transaction(connection: Connection) -> int:
    """Return a number that every later transaction's is not below."""
    row = connection.execute("SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text").fetchone()
    return int(row[0]) if row else 0


def query_plan(connection: Connection, text: str) -> dict[str, Any]:
    """Run a query twice, throw away what it wrote, and return its plan's shape and the buffers that it touched, once warm."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF, FORMAT JSON) {text}"
    for _ in range(2):
        with transaction(connection, keep=False):
            row = connection.execute(explain.encode()).fetchone()
    plan = row[0][0]["Plan"] if row else {}
    touched = int(plan.get("Shared Hit Blocks", 0)) + int(plan.get("Shared Read Blocks", 0))
    return {"shape": list(_nodes(plan)), "buffers": touched}


def _nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    where = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name")
    yield f"{plan.get('Node Type')}{f' on {where}' if where else ''}"
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


#: PostgreSQL's names of the locks that block somebody's writes or reads
_WORDS = {
    "RowExclusiveLock": "ROW EXCLUSIVE",
    "ShareUpdateExclusiveLock": "SHARE UPDATE EXCLUSIVE",
    "ShareLock": "SHARE",
    "ShareRowExclusiveLock": "SHARE ROW EXCLUSIVE",
    "ExclusiveLock": "EXCLUSIVE",
    "AccessExclusiveLock": "ACCESS EXCLUSIVE",
}
