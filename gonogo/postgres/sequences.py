"""Sequences that are behind the columns that they fill: the next value meets a row that is there."""

from __future__ import annotations

import re
from collections.abc import Iterator

from psycopg import sql

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

_MAY_READ = "pg_catalog.has_table_privilege(s.oid, 'SELECT') AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')"
#: a number, and rows that lie here: another server may be down, and has sequences of its own
_COMPARABLE = """a.atttypid IN ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype,
  'numeric'::pg_catalog.regtype) AND c.relkind IN ('r', 'p') AND NOT EXISTS (
  SELECT FROM pg_catalog.pg_partition_tree(c.oid) p JOIN pg_catalog.pg_class f ON f.oid = p.relid WHERE f.relkind = 'f')"""
#: every sequence that a column has as its own, or takes its default from
_SEQUENCES = f"""
SELECT DISTINCT n.nspname, s.relname, t.nspname, c.relname, a.attname, q.seqincrement, pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.deptype IN ('a', 'i') AND {_MAY_READ} AND {_COMPARABLE} AND {USERS_SCHEMAS}
UNION
SELECT n.nspname, s.relname, t.nspname, c.relname, a.attname, q.seqincrement, pg_catalog.row_security_active(c.oid)
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class c ON c.oid = f.adrelid
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
WHERE {_MAY_READ} AND {_COMPARABLE} AND {USERS_SCHEMAS} ORDER BY 1, 2
"""


_NUMBER = re.compile(r"-?\d+")
#: how many sequences are looked at in one query
_AT_ONCE = 100


def of_hidden_rows(connection: Connection) -> tuple[str, ...]:
    """Return the sequences of which nobody can say how far their columns are: a policy hides rows from this role."""
    return tuple(f"{row[0]}.{row[1]}" for row in connection.execute(_SEQUENCES.encode()).fetchall() if row[6])


def behind_their_columns(connection: Connection) -> Iterator[tuple[str, str, int, int]]:
    """Yield each sequence that is behind its column, that column, how far it is, and what the column holds.

    What the role may not read, or not see whole, is left out.
    """
    found = [row[:6] for row in connection.execute(_SEQUENCES.encode()).fetchall() if not row[6]]
    for first in range(0, len(found), _AT_ONCE):
        part = found[first : first + _AT_ONCE]
        query = sql.SQL(" UNION ALL ").join(_look(number, *row) for number, row in enumerate(part))
        for number, at, called, holds in connection.execute(query).fetchall():
            schema, sequence, table_schema, table, column, step = part[number]
            # a column of text may take its default from one, too; what it holds is no number to compare
            if holds is None or not _NUMBER.fullmatch(holds):
                continue
            used = int(holds) > at if step > 0 else int(holds) < at
            if used or (int(holds) == at and not called):
                yield f"{schema}.{sequence}", f"{table_schema}.{table}.{column}", int(at), int(holds)


def _look(number: int, schema: str, sequence: str, table_schema: str, table: str, column: str, step: int) -> sql.Composed:
    """Return the query of how far a sequence is, and of the furthest value of its column; without rows that is nothing."""
    return sql.SQL("SELECT {}, last_value, is_called, (SELECT pg_catalog.{}({})::text FROM {}) FROM {}").format(
        sql.Literal(number),
        sql.SQL("max" if step > 0 else "min"),
        sql.Identifier(column),
        sql.Identifier(table_schema, table),
        sql.Identifier(schema, sequence),
    )
