"""Sequences that are behind the columns that they fill: the next value meets a row that is there."""

from __future__ import annotations

from collections.abc import Iterator

from psycopg import sql

from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

_MAY_READ = "pg_catalog.has_table_privilege(s.oid, 'SELECT') AND pg_catalog.has_column_privilege(c.oid, a.attnum, 'SELECT')"
#: every sequence that a column has as its own, or takes its default from
_SEQUENCES = f"""
SELECT DISTINCT n.nspname, s.relname, t.nspname, c.relname, a.attname, q.seqincrement
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.deptype IN ('a', 'i') AND {_MAY_READ} AND {USERS_SCHEMAS}
UNION
SELECT n.nspname, s.relname, t.nspname, c.relname, a.attname, q.seqincrement
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
JOIN pg_catalog.pg_class c ON c.oid = f.adrelid
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
WHERE {_MAY_READ} AND {USERS_SCHEMAS} ORDER BY 1, 2
"""


def behind_their_columns(connection: Connection) -> Iterator[tuple[str, str, int, int]]:
    """Yield each sequence that is behind its column, that column, how far it is, and what the column holds.

    What the role may not read is left out.
    """
    for schema, sequence, table_schema, table, column, step in connection.execute(_SEQUENCES.encode()).fetchall():
        # a column of text may take its default from one, too; what it holds is no number to compare
        query = sql.SQL("SELECT s.last_value, s.is_called, pg_catalog.{}(t.{}) FROM {} AS s, {} AS t GROUP BY 1, 2").format(
            sql.SQL("max" if step > 0 else "min"),
            sql.Identifier(column),
            sql.Identifier(schema, sequence),
            sql.Identifier(table_schema, table),
        )
        # without rows there is no answer, and no value that the sequence could meet
        row = connection.execute(query).fetchone()
        if row is None or not isinstance(row[2], int):
            continue
        at, called, holds = int(row[0]), bool(row[1]), int(row[2])
        used = holds > at if step > 0 else holds < at
        if used or (holds == at and not called):
            name, of = sql.Identifier(schema, sequence), sql.Identifier(table_schema, table, column)
            yield name.as_string(connection).replace('"', ""), of.as_string(connection).replace('"', ""), at, holds
