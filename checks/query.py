"""A query with one number: `sql: checks/orphans.sql`, `query: "SELECT count(*) ..."`, and two that must agree: `equal: [...]`.

It answers one row: the number, and optionally how much data it rests on.
"""

from __future__ import annotations

from decimal import Decimal

from checks import Question, measures
from checks.asking import asking, one_number
from gonogo.core.verdict import Measurement, say
from gonogo.database import Connection


@measures("sql")
@measures("query")
def measure_query(question: Question, connection: Connection) -> Measurement:
    """Ask the query, read-only unless the check writes, under its own time limit."""
    with asking(question, connection):
        value, count, missing = one_number(connection, question.text or question.check.query or "")
    if missing:
        return Measurement(check=question.name, missing=missing, count=count)
    return Measurement(check=question.name, numbers={"value": str(value)}, count=count)


@measures("equal")
def measure_equation(question: Question, connection: Connection) -> Measurement:
    """Ask both sides in one snapshot; the number is the first minus the second."""
    sides: list[Decimal] = []
    with asking(question, connection, one_snapshot=True):
        for text in question.check.equal or ():
            value, _, missing = one_number(connection, text)
            if missing or value is None:
                return Measurement(check=question.name, missing=f"{missing}: {text.strip()[:80]}")
            sides.append(Decimal(str(value)))
    if not all(side.is_finite() for side in sides):
        return Measurement(check=question.name, missing=f"no finite numbers: {sides[0]} and {sides[1]}")
    told = (f"the first is {say(sides[0])}, the second {say(sides[1])}",)
    return Measurement(check=question.name, numbers={"value": str(sides[0] - sides[1])}, told=told)
