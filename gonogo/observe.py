"""What a step costs, seen on a copy: the locks it took, the tables it rewrote, the WAL it wrote, the plans it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gonogo.core.event import Kind
from gonogo.core.plan import Script
from gonogo.database import Connection, transaction
from gonogo.locks import MODES
from gonogo.script import Session

#: where a transaction writes down its own locks before it ends; it lies in the ledger's schema, which nothing compares
MAKE = "CREATE TABLE gonogo.seen_lock (fact text, relation oid, mode text)"
_NOTE = """
INSERT INTO gonogo.seen_lock SELECT {fact}, l.relation, l.mode
FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_class c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE l.pid = pg_catalog.pg_backend_pid() AND l.granted AND c.relkind IN ('r', 'p', 'm')
  AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo');
"""
_FILES = """
SELECT c.oid::bigint, c.oid::pg_catalog.regclass::text, coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', 'gonogo')
"""


class ObservedSession(Session):
    """A session whose transactions write down the locks they hold, just before they end."""

    def _suffix(self, script: Script, kind: Kind, body: str, *, commits: bool = True) -> str:
        return _NOTE.format(fact=self._quote(script.sha256)) + super()._suffix(script, kind, body, commits=commits)


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


#: how long the runs of one query may take before it counts as slow, in ms
_QUICK = 50


def query_plan(connection: Connection, text: str) -> dict[str, Any]:
    """Run a query until it is warm, throw away what it wrote; return its plan's shape, its buffers, and its best time in ms."""
    with transaction(connection, keep=False):
        runs = [explain(connection, text) for _ in range(2)]
        # what is quick is measured more often
        runs += [explain(connection, text) for _ in range(3) if sum(run["ms"] for run in runs) < _QUICK]
        return {**runs[-1], "ms": min(run["ms"] for run in runs[1:])}


def explain(connection: Connection, text: str) -> dict[str, Any]:
    """Run a query, and return its plan's shape, the buffers that it touched, and how long it took in ms."""
    row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY ON, FORMAT JSON) {text}".encode()).fetchone()
    told = row[0][0] if row else {"Plan": {}}
    touched = int(told["Plan"].get("Shared Hit Blocks", 0)) + int(told["Plan"].get("Shared Read Blocks", 0))
    return {"shape": list(_nodes(told["Plan"])), "buffers": touched, "ms": float(told.get("Execution Time", 0))}


def shape_of(connection: Connection, explain_: str) -> str:
    """Return the shape of the plan that an EXPLAIN with FORMAT JSON answers, in one line."""
    row = connection.execute(explain_.encode()).fetchone()
    return " > ".join(_nodes(row[0][0]["Plan"])) if row else ""


def _nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    where = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name")
    yield f"{plan.get('Node Type')}{f' on {where}' if where else ''}"
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


#: pg_locks' names of the locks that block somebody's writes or reads: ACCESS EXCLUSIVE is AccessExclusiveLock there
_WORDS = {f"{mode.title().replace(' ', '')}Lock": mode for mode in MODES}
