"""What tables hold: `rows: [organizations]` counts them, `checksum: [credit_actions]` sums them whatever their order.

With `expect: unchanged` a table is compared with what it was before the first change, over the columns it had then.
"""

from __future__ import annotations

from checks import Question, measures
from checks.asking import asking
from gonogo.compare import checksum, columns_of, count_rows
from gonogo.core.verdict import Measurement
from gonogo.database import Connection


@measures("rows")
def measure_rows(question: Question, connection: Connection) -> Measurement:
    """Count the rows of each table; the number is their sum."""
    with asking(question, connection):
        counts = {table: count_rows(connection, table) for table in question.check.rows or ()}
    total = str(sum(counts.values()))
    return Measurement(check=question.name, numbers={"value": total}, facts={t: f"{n} rows" for t, n in counts.items()})


@measures("checksum")
def measure_checksum(question: Question, connection: Connection) -> Measurement:
    """Checksum each table, all in one snapshot; the number is how many tables there are."""
    facts: dict[str, str] = {}
    before = question.baseline.facts if question.baseline else {}
    with asking(question, connection, one_snapshot=True):
        for table in question.check.checksum or ():
            columns = before[table].split(" over ")[1].split(",") if table in before else columns_of(connection, table)
            facts[table] = f"{checksum(connection, table, columns)} over {','.join(columns)}"
    return Measurement(check=question.name, numbers={"value": str(len(facts))}, facts=facts)
