"""How long a query takes: `time: checks/consume_one.sql`, `expect: "p95 <= 200 ms"`.

Many calls and a percentile, not one sample. A call that its time limit cut counts with the time it had:
the true time is at least that.
"""

from __future__ import annotations

import statistics

import psycopg

from checks.asking import asking
from checks.kind import Question
from gonogo import clock
from gonogo.core.engine.percentiles import summarise
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection, milliseconds
from gonogo.postgres.pooled import default_of

#: fewer calls than this say nothing about a percentile
LEAST = 5
#: after each so many calls, one of the yardstick: work in memory, of no table
_STRIDE = 2
_WORK = b"SELECT pg_catalog.count(*) FROM pg_catalog.generate_series(1, 1500)"


def measure(question: Question, connection: Connection) -> Measurement:
    """Call the query until it has its samples, or its time is over."""
    check = question.check
    budget = check.within.total_seconds()
    deadline = clock.monotonic() + budget
    samples: list[float] = []
    pace: list[float] = []
    cut = False
    limit = f"SET statement_timeout = {milliseconds(check.within)}"
    connection.execute(limit.encode())
    try:
        for number in range(check.warm_up + check.samples):
            took, cut = _call(question, connection)
            if number >= check.warm_up or cut:
                samples.append(took)
            if cut or clock.monotonic() > deadline:
                break
            if number % _STRIDE == 0:
                pace.append(_yardstick(connection))
    finally:
        connection.execute(f"SET statement_timeout TO {default_of(connection, 'statement_timeout')}".encode())
    if len(samples) < min(LEAST, check.samples) and not cut:
        return Measurement(check=question.name, missing=f"only {len(samples)} calls in {budget:g} s", count=len(samples))
    # a call that was cut took at least that long: its numbers can show that a line is crossed, never that it is kept
    facts = {"cut": f"a call was cut after {budget:g} s"} if cut else {}
    return Measurement(
        check=question.name,
        numbers=summarise(samples),
        count=len(samples),
        facts=facts,
        samples=tuple(round(sample, 3) for sample in samples),
        yardstick=round(statistics.median(pace), 4) if pace else None,
    )


def _yardstick(connection: Connection) -> float:
    """Return how many milliseconds a fixed piece of work takes, which no change of the database can make slower."""
    began = clock.monotonic()
    connection.execute(_WORK)
    return (clock.monotonic() - began) * 1000


def _call(question: Question, connection: Connection) -> tuple[float, bool]:
    """Return how many milliseconds a call took, and whether its time limit cut it."""
    with asking(question, connection, finds="theirs"):
        began = clock.monotonic()
        try:
            answer = connection.execute(question.text.encode())
            if answer.description is not None:
                answer.fetchall()
        except psycopg.errors.QueryCanceled:
            return (clock.monotonic() - began) * 1000, True
        return (clock.monotonic() - began) * 1000, False
