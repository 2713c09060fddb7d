"""Rows that refer to nothing: `orphans: all`, or `orphans: [{child: businesses.owner_id, parent: users.id}]`.

`all` are the foreign keys of the schema, also those that PostgreSQL was told not to validate; where the schema lacks one,
the columns are named.
"""

from __future__ import annotations

from psycopg import sql

from checks.asking import asking, column_of, counted, require_comparable
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

_KEYS = f"""
SELECT k.conrelid::pg_catalog.regclass::text, k.confrelid::pg_catalog.regclass::text, k.conname,
  (SELECT pg_catalog.array_agg(a.attname ORDER BY n) FROM pg_catalog.unnest(k.conkey) WITH ORDINALITY AS c(number, n)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = c.number),
  (SELECT pg_catalog.array_agg(a.attname ORDER BY n) FROM pg_catalog.unnest(k.confkey) WITH ORDINALITY AS c(number, n)
    JOIN pg_catalog.pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = c.number)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE k.contype = 'f' AND k.conparentid = 0 AND {USERS_SCHEMAS}
ORDER BY 1, 3
"""
_COUNT = "SELECT count(*) FROM {child} AS c WHERE {given} AND NOT EXISTS (SELECT FROM {parent} AS p WHERE {same})"


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the rows whose reference leads nowhere; one with a NULL in it refers to nothing on purpose."""
    named = question.check.orphans
    found: dict[str, int] = {}
    with asking(question, connection, one_snapshot=True, finds="types"):
        if named == "all" or named is None:
            for child, parent, name, from_, to in connection.execute(_KEYS).fetchall():
                # a name that regclass wrote is quoted where it has to be
                found[f"{child} ({name})"] = _count(connection, sql.SQL(child), sql.SQL(parent), from_, to)
        else:
            for reference in named:
                (child, column), (parent, key) = column_of(reference.child), column_of(reference.parent)
                found[f"{reference.child} in {reference.parent}"] = _count(connection, child, parent, [column], [key])
    return counted(question.name, found)


def _count(
    connection: Connection,
    child: sql.Composable,
    parent: sql.Composable,
    columns: list[str],
    keys: list[str],
) -> int:
    require_comparable(connection, child, columns)
    require_comparable(connection, parent, keys)
    given = sql.SQL(" AND ").join(sql.SQL("c.{} IS NOT NULL").format(sql.Identifier(column)) for column in columns)
    pairs = [(sql.Identifier(key), sql.Identifier(column)) for column, key in zip(columns, keys, strict=True)]
    same = sql.SQL(" AND ").join(sql.SQL("p.{} = c.{}").format(key, column) for key, column in pairs)
    row = connection.execute(sql.SQL(_COUNT).format(child=child, parent=parent, given=given, same=same)).fetchone()
    return int(row[0]) if row else 0
