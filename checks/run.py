"""A program's answer: `run: [npm, run, test:database-schema]`, `run: {argv: [k6, run, load.js], field: metrics.p95}`.

Without `field` and `pattern` the number is its exit code, so that `expect: "= 0"` says that it succeeded; with one of them
a program that fails has no number.
"""

from __future__ import annotations

from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.external.process import number_in, run_command
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it has its own
    """Run the program, and read its number."""
    asked = question.check.run
    if asked is None or question.database is None:
        raise StepError("there is no program to run")
    answer = run_command(
        asked.argv,
        folder=question.root / asked.folder,
        environment=asked.environment,
        url=question.database.url,
        url_as=asked.url_as,
        copy_of=question.database.copy_of,
        limit=question.check.within.total_seconds(),
    )
    notes = (answer.words,) if answer.words else ()
    numbers = {"exit": str(answer.code), "seconds": f"{answer.seconds:.3f}"}
    if not (asked.field or asked.pattern):
        return Measurement(check=question.name, numbers={"value": str(answer.code), **numbers}, notes=notes)
    if answer.code:
        return Measurement(check=question.name, numbers=numbers, error=f"it ended with {answer.code}: {answer.words}")
    value, why = number_in(answer.output, asked.field, asked.pattern)
    if why:
        return Measurement(check=question.name, numbers=numbers, missing=why)
    return Measurement(check=question.name, numbers={"value": value, **numbers}, notes=notes)
