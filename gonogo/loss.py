"""What turning back would destroy: the rows that the application wrote since.

Where a step keeps a journal, that says so. Else it is an estimate, and is called one: a row's xmin names the transaction
that wrote it last, the ledger's own rows name the transactions of the run, and what is newer than the change and not of
the run was written by somebody else. Rows that were deleted since leave no trace.
"""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from gonogo.database import Connection

JOURNAL, ESTIMATE = "by the step's journal", "estimated by transaction numbers"
#: a table whose name ends like this stands for every table of its schema
WHOLE_SCHEMA = ".*"
_TABLES = """
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND (c.oid = pg_catalog.to_regclass(%(name)s) OR n.nspname = %(schema)s
  OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(name)s))))
ORDER BY 1
"""
#: the age of the first transaction of a step, which is that of its first fact
_AGE_OF_STEP = """
SELECT pg_catalog.max(pg_catalog.age(xmin)) FROM gonogo.event
WHERE run = %s AND kind IN ('script done', 'batch done') AND (body->>'step')::int = %s
"""


def age_of_step(connection: Connection, run: str, step: int) -> int | None:
    """Return how many transactions ago a step began to change something; None where it never did."""
    row = connection.execute(_AGE_OF_STEP, [run, step]).fetchone()
    return int(row[0]) if row and row[0] is not None else None


def age_since(connection: Connection, next_xid: int) -> int:
    """Return how many transactions ago a snapshot was taken whose next transaction number is known."""
    row = connection.execute(
        "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - %s", [next_xid]
    ).fetchone()
    return max(0, int(row[0]) if row else 0)


def written_since(connection: Connection, run: str, tables: Sequence[str], age: int) -> dict[str, int]:
    """Return for each table how many rows somebody else than the run wrote in the last so many transactions.

    Args:
        connection: where.
        run: the run whose own transactions do not count.
        tables: the tables to look at; `schema.*` stands for all of a schema. One that is gone is left out.
        age: how many transactions back to look.
    """
    found = {}
    for name in (each for table in tables for each in _expand(connection, table)):
        query = sql.SQL(
            "SELECT pg_catalog.count(*) FROM {} AS t WHERE pg_catalog.age(t.xmin) <= %s AND NOT EXISTS"
            " (SELECT FROM gonogo.event e WHERE e.run = %s AND e.xmin = t.xmin)"
        ).format(sql.SQL(name))
        row = connection.execute(query, [age, run]).fetchone()
        found[name] = int(row[0]) if row else 0
    return found


def _expand(connection: Connection, table: str) -> list[str]:
    schema = table.removesuffix(WHOLE_SCHEMA) if table.endswith(WHOLE_SCHEMA) else None
    rows = connection.execute(_TABLES, {"name": None if schema else table, "schema": schema}).fetchall()
    return [str(row[0]) for row in rows]
