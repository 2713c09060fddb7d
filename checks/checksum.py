"""What tables hold, whatever the order of their rows: `checksum: [credit_actions]`.

With `expect: unchanged` a table is compared with what it was before the first change, over the columns it had then.
"""

from __future__ import annotations

from checks.asking import asking
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.checksum import checksum, columns_of
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:
    """Checksum each table, all in one snapshot; the number is how many tables there are."""
    facts: dict[str, str] = {}
    before = question.baseline.facts if question.baseline else {}
    with asking(question, connection, one_snapshot=True):
        for table in question.check.checksum or ():
            columns = before[table].split(" over ")[1].split(",") if table in before else columns_of(connection, table)
            facts[table] = f"{checksum(connection, table, columns)} over {','.join(columns)}"
    return Measurement(check=question.name, numbers={"value": str(len(facts))}, facts=facts)
