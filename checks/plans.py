"""Whether the busiest statements still run as they did: `plans: 5`, `expect: unchanged`.

By pg_stat_statements, with PostgreSQL's generic plan of each (EXPLAIN GENERIC_PLAN, from 16 on): the shape alone, so that a
slow machine changes nothing. The number is how many of them run otherwise than before.
"""

from __future__ import annotations

import psycopg

from checks.asking import busiest, listed
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection, transaction
from gonogo.postgres.explain import shape_of
from gonogo.postgres.own_types import why_not_planned
from gonogo.postgres.pooled import find_theirs

_BUSIEST = """
SELECT queryid::text, query FROM {view}
WHERE dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND queryid IS NOT NULL
  AND query ~* '^\\s*(select|insert|update|delete|with|merge)\\M' AND query !~ 'pg_stat_statements'
GROUP BY 1, 2 ORDER BY sum(total_exec_time) DESC LIMIT %s
"""


def measure(question: Question, connection: Connection) -> Measurement:
    """Compare the generic plans of the busiest statements with those of before."""
    if connection.info.server_version < 160000:
        raise StepError("a generic plan is known from PostgreSQL 16 on")
    if why := why_not_planned(connection):
        raise StepError(why)
    before = question.baseline.facts if question.baseline else {}
    most = int(question.check.plans or 1) * (20 if before else 1)
    rows = busiest(question, connection, _BUSIEST, most, needs_texts=True)
    now: dict[str, tuple[str, str]] = {}
    for key, query in rows:
        if not before or str(key) in before:
            now[str(key)] = (_shape(connection, str(query)), " ".join(str(query).split())[:60])
    notes = [
        f"{text}: {before[key]} became {shape}" for key, (shape, text) in now.items() if key in before and shape != before[key]
    ]
    kept = {key: shape for key, (shape, _) in now.items()}
    # a statement that nobody called again is as it was
    return listed(question.name, notes, facts={**before, **kept} if before else kept, count=len(now))


def _shape(connection: Connection, query: str) -> str:
    try:
        with transaction(connection, read_only=True, keep=False):
            connection.execute(find_theirs(connection).encode())
            return shape_of(connection, f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {query}")
    except psycopg.Error as error:
        # what it was asked of may be gone: that is a change, too
        return f"cannot be planned ({error.sqlstate})"
