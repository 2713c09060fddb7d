"""Two queries that must agree: `equal: ["SELECT count(*) ...", "SELECT count(*) ..."]`."""

from __future__ import annotations

from decimal import Decimal

from checks.asking import asking, one_number
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement, say
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:
    """Ask both sides in one snapshot; the number is the first minus the second."""
    sides: list[Decimal] = []
    with asking(question, connection, one_snapshot=True, finds="theirs"):
        for text in question.check.equal or ():
            value, _, missing = one_number(connection, text)
            if missing or value is None:
                return Measurement(check=question.name, missing=f"{missing}: {text.strip()[:80]}")
            sides.append(Decimal(str(value)))
    if not all(side.is_finite() for side in sides):
        return Measurement(check=question.name, missing=f"no finite numbers: {sides[0]} and {sides[1]}")
    notes = (f"the first is {say(sides[0])}, the second {say(sides[1])}",)
    return Measurement(check=question.name, numbers={"value": str(sides[0] - sides[1])}, notes=notes)
