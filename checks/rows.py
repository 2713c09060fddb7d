"""How many rows tables have: `rows: [organizations]`."""

from __future__ import annotations

from checks.asking import asking
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.checksum import count_rows
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:
    """Count the rows of each table; the number is their sum."""
    with asking(question, connection):
        counts = {table: count_rows(connection, table) for table in question.check.rows or ()}
    total = str(sum(counts.values()))
    return Measurement(check=question.name, numbers={"value": total}, facts={t: f"{n} rows" for t, n in counts.items()})
