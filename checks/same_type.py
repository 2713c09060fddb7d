"""Columns that a key must be able to join: `same_type: [[users.id, orders.user]]`."""

from __future__ import annotations

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection

_TYPE = """
SELECT pg_catalog.format_type(a.atttypid, NULL) FROM pg_catalog.pg_attribute a
WHERE a.attrelid = pg_catalog.to_regclass(%s) AND a.attname = %s AND NOT a.attisdropped
"""


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the pairs of columns that no key could join, as their types differ."""
    notes = []
    with asking(question, connection):
        for first, second in question.check.same_type or ():
            kinds = [_type(connection, name) for name in (first, second)]
            if missing := [name for name, kind in zip((first, second), kinds, strict=True) if not kind]:
                raise StepError(f"there is no column {missing[0]}")
            if kinds[0] != kinds[1]:
                notes.append(f"{first} is {kinds[0]}, {second} is {kinds[1]}")
    return listed(question.name, notes)


def _type(connection: Connection, name: str) -> str:
    table, _, column = name.rpartition(".")
    row = connection.execute(_TYPE, [table if "." in table else f"public.{table}", column]).fetchone()
    return str(row[0]) if row else ""
