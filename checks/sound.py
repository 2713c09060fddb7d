"""What PostgreSQL keeps although it is not sound: `sound: [constraints, indexes, sequences]`."""

from __future__ import annotations

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.postgres.schemas import SAID, USERS_SCHEMAS
from gonogo.postgres.sequences import behind_their_columns

_CONSTRAINTS = f"""
SELECT pg_catalog.format('constraint %s of %s is not validated', k.conname,
  CASE WHEN k.conrelid = 0 THEN k.contypid::pg_catalog.regtype::text ELSE {SAID} END)
FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_namespace n ON n.oid = k.connamespace
LEFT JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
WHERE NOT k.convalidated AND {USERS_SCHEMAS} ORDER BY 1
"""
_INDEXES = f"""
SELECT pg_catalog.format('index %s of %s is not valid', x.relname, {SAID})
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE NOT (i.indisvalid AND i.indisready) AND {USERS_SCHEMAS} ORDER BY 1
"""


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the constraints that are not validated, the indexes that are not valid, the sequences behind their columns."""
    found: list[str] = []
    with asking(question, connection, one_snapshot=True):
        for what in question.check.sound or ():
            if what == "sequences":
                found += [
                    f"sequence {name} is at {at}, and {column.partition('.')[2]} holds {holds}"
                    for name, column, at, holds in behind_their_columns(connection)
                ]
            else:
                query = _CONSTRAINTS if what == "constraints" else _INDEXES
                found += [str(row[0]) for row in connection.execute(query.encode()).fetchall()]
    return listed(question.name, found)
