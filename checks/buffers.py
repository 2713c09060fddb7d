"""What a query touches, without noise: `buffers: checks/orders_of.sql`, `expect: ["<= baseline + 20%", unchanged]`.

A call touches the same buffers however slow the machine is, so that this alone can roll a run back. `unchanged` compares the
shape of its plan: an index scan that became a sequential scan.
"""

from __future__ import annotations

from checks.asking import asking
from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.postgres.connection import Connection
from gonogo.postgres.explain import explain


def measure(question: Question, connection: Connection) -> Measurement:
    """Run the query twice, and count what the second call touches."""
    with asking(question, connection, finds="theirs"):
        explain(connection, question.text)
        found = explain(connection, question.text)
    shape = " > ".join(found.shape)
    numbers = {"value": str(found.buffers)}
    return Measurement(check=question.name, numbers=numbers, facts={"plan": shape}, notes=(f"plan: {shape}",))
