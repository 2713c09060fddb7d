"""How many calls fail: `calls: checks/consume.sql`, `roll_back_if: "> 10% in 2 of 3"`.

A call fails where it raises, the ordinary way of a function to fail, and where its answer is not `true`. Each is taken back by
itself, so that nobody waits for what an earlier one locked.
"""

from __future__ import annotations

from collections import Counter

import psycopg

from checks.asking import FEW, asking
from checks.kind import Question
from gonogo import clock
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.postgres.connection import Connection, transaction

_READ_ONLY = "25006"


def measure(question: Question, connection: Connection) -> Measurement:
    """Make the calls, or as many as its time allows."""
    check, calls, failed = question.check, 0, Counter[str]()
    deadline = clock.monotonic() + check.within.total_seconds()
    with asking(question, connection, finds="theirs"):
        while calls < check.samples and clock.monotonic() < deadline:
            calls += 1
            if why := _why_failed(connection, question.text, read_only=not check.writes):
                failed[why] += 1
    if not calls:
        return Measurement(check=question.name, missing=f"no call was made within {check.within.total_seconds():g} s")
    number = failed.total()
    return Measurement(
        check=question.name,
        numbers={"value": f"{number / calls:.6f}", "failed": str(number)},
        count=calls,
        notes=tuple(f"{count:,} of {calls:,} calls: {why}" for why, count in failed.most_common(FEW)),
    )


def _why_failed(connection: Connection, text: str, *, read_only: bool) -> str:
    """Make one call, and return why it failed; nothing where it did not."""
    try:
        with transaction(connection, read_only=read_only, keep=False):
            cursor = connection.execute(text.encode())
            # of several statements, the last one answers
            while cursor.nextset():
                pass
            rows = cursor.fetchmany(2) if cursor.description is not None else []
    except psycopg.Error as error:
        if connection.closed:
            raise
        if read_only and error.sqlstate == _READ_ONLY:
            raise StepError("the call writes: say `writes: true`; it is taken back") from None
        return f"{error.sqlstate} {str(error).splitlines()[0]}"
    if len(rows) != 1:
        return f"answered {'several rows' if rows else 'no row'}, not true"
    return "" if rows[0][0] is True else f"answered {rows[0][0]!r}, not true"
