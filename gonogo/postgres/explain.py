"""What PostgreSQL says of a query: its plan, the buffers that it touched, how long it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gonogo.core.engine.events import PlanOfQuery
from gonogo.postgres.connection import Connection, transaction

#: how long the runs of one query may take before it counts as slow, in ms
_QUICK = 50


def query_plan(connection: Connection, text: str) -> PlanOfQuery:
    """Run a query until it is warm, throw away what it wrote; return its plan's shape, its buffers, and its best time in ms."""
    with transaction(connection, keep=False):
        runs = [explain(connection, text) for _ in range(2)]
        # what is quick is measured more often
        runs += [explain(connection, text) for _ in range(3) if sum(run.ms for run in runs) < _QUICK]
        return runs[-1].replace(ms=min(run.ms for run in runs[1:]))


def explain(connection: Connection, text: str) -> PlanOfQuery:
    """Run a query, and return its plan's shape, the buffers that it touched, and how long it took in ms."""
    row = connection.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY ON, FORMAT JSON) {text}".encode()).fetchone()
    notes = row[0][0] if row else {"Plan": {}}
    touched = int(notes["Plan"].get("Shared Hit Blocks", 0)) + int(notes["Plan"].get("Shared Read Blocks", 0))
    return PlanOfQuery(shape=tuple(_nodes(notes["Plan"])), buffers=touched, ms=float(notes.get("Execution Time", 0)))


def shape_of(connection: Connection, explain_: str) -> str:
    """Return the shape of the plan that an EXPLAIN with FORMAT JSON answers, in one line."""
    row = connection.execute(explain_.encode()).fetchone()
    return " > ".join(_nodes(row[0][0]["Plan"])) if row else ""


def _nodes(plan: Mapping[str, Any]) -> Iterator[str]:
    where = plan.get("Index Name") or plan.get("Relation Name") or plan.get("Function Name")
    yield f"{plan.get('Node Type')}{f' on {where}' if where else ''}"
    for child in plan.get("Plans", ()):
        yield from _nodes(child)
