"""What must be in the schema, and what must not: `objects: {exist: [...], absent: [...]}`."""

from __future__ import annotations

from checks.asking import asking, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.postgres.fingerprint import fingerprint


def measure(question: Question, connection: Connection) -> Measurement:
    """Count what is missing, and what is there although it must not be; by the names that the fingerprint gives."""
    asked = question.check.objects
    with asking(question, connection, one_snapshot=True):
        there = fingerprint(connection).objects
    missing = [f"{name} is missing" for name in (asked.exist if asked else ()) if name not in there]
    return listed(question.name, [*missing, *(f"{name} is there" for name in (asked.absent if asked else ()) if name in there)])
