"""A query with one number: `sql: checks/orphans.sql`, `expect: "= 0"`.

It answers one row: the number, and optionally how much data it rests on.
"""

from __future__ import annotations

from decimal import Decimal

from checks import Question, measures
from gonogo.core.verdict import Measurement
from gonogo.database import Connection, milliseconds, transaction


@measures("sql")
def measure_query(question: Question, connection: Connection) -> Measurement:
    """Ask the query, read-only unless the check writes, under its own time limit."""
    with transaction(connection, read_only=not question.check.writes, keep=False):
        connection.execute(f"SET LOCAL statement_timeout = {milliseconds(question.check.within)}".encode())
        cursor = connection.execute(question.text.encode())
        if cursor.description is None:
            return Measurement(check=question.name, error="the query answers no rows at all; a check is a SELECT")
        width, rows = len(cursor.description), cursor.fetchmany(2)
    if width > 2:
        return Measurement(check=question.name, error=f"the query has {width} columns; one number, and how much data")
    if not rows:
        return Measurement(check=question.name, missing="the query answered no row")
    if len(rows) > 1:
        return Measurement(check=question.name, error="the query answered more than one row; one number is asked for")
    value, count = rows[0][0], rows[0][1] if width == 2 else None
    if value is None:
        return Measurement(check=question.name, missing="the query answered NULL", count=_count(count))
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        return Measurement(check=question.name, error=f"the query answered {type(value).__name__}, not a number")
    return Measurement(check=question.name, numbers={"value": str(value)}, count=_count(count))


def _count(value: object) -> int | None:
    return int(value) if isinstance(value, (int, float, Decimal)) else None
