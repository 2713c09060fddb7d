"""What PostgreSQL keeps although it is not sound: `sound: [constraints, indexes, sequences]`."""

from __future__ import annotations

from psycopg import sql

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import USERS_SCHEMAS

_CONSTRAINTS = f"""
SELECT pg_catalog.format('constraint %s of %s is not validated', k.conname, k.conrelid::pg_catalog.regclass)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
WHERE NOT k.convalidated AND {USERS_SCHEMAS} ORDER BY 1
"""
_INDEXES = f"""
SELECT pg_catalog.format('index %s of %s is not valid', c.relname, i.indrelid::pg_catalog.regclass)
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND {USERS_SCHEMAS} ORDER BY 1
"""
#: every sequence that a column has as its own, or takes its default from
_SEQUENCES = f"""
SELECT DISTINCT n.nspname, s.relname, t.nspname, c.relname, a.attname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = d.refobjid AND c.relkind IN ('r', 'p')
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
WHERE d.deptype IN ('a', 'i') AND {USERS_SCHEMAS}
UNION
SELECT n.nspname, s.relname, t.nspname, c.relname, a.attname
FROM pg_catalog.pg_depend d
JOIN pg_catalog.pg_attrdef f ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND f.oid = d.objid
JOIN pg_catalog.pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
JOIN pg_catalog.pg_class c ON c.oid = f.adrelid
JOIN pg_catalog.pg_namespace t ON t.oid = c.relnamespace
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = f.adnum
WHERE {USERS_SCHEMAS} ORDER BY 1, 2
"""


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the constraints that are not validated, the indexes that are not valid, the sequences behind their columns."""
    found: list[str] = []
    with asking(question, connection, one_snapshot=True):
        for what in question.check.sound or ():
            if what == "sequences":
                found += _behind(connection)
            else:
                query = _CONSTRAINTS if what == "constraints" else _INDEXES
                found += [str(row[0]) for row in connection.execute(query.encode()).fetchall()]
    return listed(question.name, found)


def _behind(connection: Connection) -> list[str]:
    notes = []
    for schema, sequence, table_schema, table, column in connection.execute(_SEQUENCES.encode()).fetchall():
        # a column of text may take its default from one, too; what it holds is no number to compare
        query = sql.SQL("SELECT s.last_value, s.is_called, max(t.{}) FROM {} AS s, {} AS t GROUP BY 1, 2").format(
            sql.Identifier(column), sql.Identifier(schema, sequence), sql.Identifier(table_schema, table)
        )
        # without rows there is no answer, and no value that the sequence could meet
        row = connection.execute(query).fetchone()
        if row and isinstance(row[2], int) and int(row[2]) > int(row[0]) - (0 if row[1] else 1):
            notes.append(f"sequence {schema}.{sequence} is at {row[0]}, and {table}.{column} holds {row[2]}")
    return notes
