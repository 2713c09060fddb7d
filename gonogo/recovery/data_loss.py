"""What rolling back would destroy: the rows that the application wrote since.

Where a step keeps a journal, that says so. Else it is an estimate, and is called one: a row's xmin names the transaction
that wrote it last, the ledger's own rows name the transactions of the run, and what a snapshot of before the change does
not show and is not of the run was written by somebody else. Rows that were deleted since leave no trace; rows that a
script wrote inside an exception block carry a number of their own and are counted, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import psycopg
from psycopg import sql

from gonogo.postgres.connection import FIND_OURS, Connection, full_name, transaction
from gonogo.postgres.pooled import find_theirs
from gonogo.postgres.schemas import USERS_SCHEMAS

JOURNAL, ESTIMATE = "by the step's journal", "estimated by transaction numbers"
#: the SQLSTATE of a guard that found rows which nobody had counted
GREW = "GN005"
#: a table whose name ends like this stands for every table of its schema
WHOLE_SCHEMA = ".*"
#: what stands for a number that cannot be known
UNKNOWN = -1
_TABLES = f"""
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {USERS_SCHEMAS}
  AND (n.nspname = %(schema)s OR c.oid = pg_catalog.to_regclass(%(name)s)
    OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass(%(name)s)))
    -- a script may have set another search_path: then every table of that name is looked at
    OR (pg_catalog.to_regclass(%(name)s) IS NULL AND c.relname = %(bare)s))
ORDER BY 1
"""
_EVERY_TABLE = f"""
SELECT pg_catalog.format('%I.%I', n.nspname, c.relname)
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND {USERS_SCHEMAS} ORDER BY 1
"""
#: which transaction wrote a row last: the row's 32 bits, with the epoch that they are of; 1 and 2 are older than everything
WROTE = (
    "((next.id >> 32) - CASE WHEN t.xmin::text::bigint > (next.id & 4294967295) THEN 1 ELSE 0 END << 32) + t.xmin::text::bigint"
)
#: whether it was one of the run's own
OF_THE_RUN = "EXISTS (SELECT FROM gonogo.event e WHERE e.run = {run} AND e.xmin = t.xmin)"
#: whether a snapshot does not show it
NOT_SHOWN = (
    f"t.xmin::text::bigint > 2 AND NOT pg_catalog.pg_visible_in_snapshot(({WROTE})::text::xid8,"
    f" {{since}}::pg_catalog.pg_snapshot)"
)
#: the number that the next transaction gets, beside a table: what the two above need
NEXT = "(SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint AS id) AS next"
_WRITTEN_SINCE = f"{NOT_SHOWN} AND NOT {OF_THE_RUN}"
_COUNT = f"SELECT {{what}} FROM {{table}} AS t, {NEXT} WHERE "


def oldest_running(connection: Connection) -> str:
    """Return a snapshot that shows only what had committed before any transaction that runs now began to write."""
    row = connection.execute("SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())::text").fetchone()
    return f"{row[0]}:{row[0]}:" if row else ""


def since_step(connection: Connection, run: str, step: int) -> str:
    """Return the snapshot that was noted as a step began, the last time it did; nothing where it never did."""
    row = connection.execute(
        "SELECT body->>'since' FROM gonogo.event WHERE run = %s AND kind IN ('script done', 'batch done')"
        " AND (body->>'step')::int = %s AND body->>'since' IS NOT NULL ORDER BY seq DESC LIMIT 1",
        [run, step],
    ).fetchone()
    return str(row[0]) if row else ""


def since_run(connection: Connection, run: str) -> str:
    """Return the snapshot that was noted as the first step of a run began; nothing where none was."""
    row = connection.execute(
        "SELECT body->>'since' FROM gonogo.event WHERE run = %s AND kind IN ('script done', 'batch done')"
        " AND body->>'since' IS NOT NULL ORDER BY seq LIMIT 1",
        [run],
    ).fetchone()
    return str(row[0]) if row else ""


def expand(connection: Connection, tables: Iterable[str]) -> list[str]:
    """Return the ordinary tables that some names mean; one that is gone is left out."""
    found: dict[str, None] = {}
    for table in tables:
        schema = table.removesuffix(WHOLE_SCHEMA) if table.endswith(WHOLE_SCHEMA) else None
        bare = table.rsplit('"', 2)[-2].replace('""', '"') if table.endswith('"') else table.rsplit(".", 1)[-1]
        named = {"name": None if schema else full_name(connection, table), "schema": schema, "bare": None if schema else bare}
        found |= {str(row[0]): None for row in connection.execute(_TABLES, named).fetchall()}
    return list(found)


def every_table(connection: Connection) -> list[str]:
    """Return every ordinary table that a restore replaces."""
    return [str(row[0]) for row in connection.execute(_EVERY_TABLE).fetchall()]


def written_since(connection: Connection, run: str, tables: Sequence[str], since: str) -> dict[str, int]:
    """Return for each table how many rows somebody else than the run wrote that a snapshot does not show.

    Args:
        connection: where.
        run: the run whose own transactions do not count.
        tables: the tables to look at, as `expand` names them.
        since: the snapshot.
    """
    found = {}
    for name in tables:
        try:
            with transaction(connection, read_only=True, keep=False):
                # a policy that hides rows would hide their loss
                connection.execute("SET LOCAL row_security = off")
                row = connection.execute(_count(run, name, since)).fetchone()
                found[name] = int(row[0]) if row else 0
        except psycopg.errors.InsufficientPrivilege:
            found[name] = UNKNOWN
    return found


def written_by_others(run: str, table: str, since: str, what: sql.Composable) -> sql.Composed:
    """Write the query that asks something of the rows of a table, as `t`, that somebody wrote since, and not the run."""
    query = sql.SQL(_COUNT + _WRITTEN_SINCE)
    return query.format(what=what, table=sql.SQL(table), run=sql.Literal(run), since=sql.Literal(since))


def _count(run: str, table: str, since: str) -> sql.Composed:
    return written_by_others(run, table, since, sql.SQL("pg_catalog.count(*)"))


def guard(connection: Connection, run: str, tables: Sequence[str], since: str, journal: str = "") -> str:
    """Return SQL that locks some tables and fails where somebody wrote to them since, in the transaction that destroys them.

    What was counted before may have grown: only this makes sure that nothing is destroyed that nobody knew of.
    """
    if not tables and not journal:
        return ""
    counts = [journal.rstrip().rstrip(";")] if journal else [_count(run, table, since).as_string() for table in tables]
    total = " + ".join(f"coalesce(({count}), 0)" for count in counts)
    lock = f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE; " if tables else ""
    raised = f"RAISE EXCEPTION 'rows were written since they were counted' USING ERRCODE = '{GREW}'"
    # a name of a table may hold whatever ends a dollar quote
    block = sql.Literal(f"BEGIN IF {total} OPERATOR(pg_catalog.>) 0 THEN {raised}; END IF; END").as_string()
    check = f"DO {block}; "
    # the session sees all rows, or says that it cannot; a journal is what others wrote
    return f"{lock}{find_theirs(connection) if journal else FIND_OURS}{check}"


def describe(rows: dict[str, int]) -> str:
    """Say how many rows of which tables, or nothing where there are none."""
    return ", ".join(f"{'an unknown number' if count < 0 else f'{count:,}'} of {table}" for table, count in rows.items() if count)
