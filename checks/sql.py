"""A query with one number: `sql: checks/orphans.sql`.

It answers one row: the number, and optionally how much data it rests on.
"""

from __future__ import annotations

from checks.asking import asking, one_number
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:
    """Ask the query, read-only unless the check writes, under its own time limit."""
    with asking(question, connection, finds="theirs"):
        value, count, missing = one_number(connection, question.text or question.check.query or "")
    if missing:
        return Measurement(check=question.name, missing=missing, count=count)
    return Measurement(check=question.name, numbers={"value": str(value)}, count=count)
