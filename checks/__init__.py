"""Every measurement: one kind of check is one small module that registers itself here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import psycopg

from gonogo import clock
from gonogo.core.check import Check
from gonogo.core.plan import Plan
from gonogo.core.verdict import Measurement
from gonogo.database import Connection
from gonogo.errors import StepError


@dataclass(frozen=True, kw_only=True)
class Question:
    """A check, ready to be asked."""

    name: str
    check: Check
    text: str
    #: what it measured before the first change, if that is known
    baseline: Measurement | None = None


Measure: TypeAlias = Callable[[Question, Connection], Measurement]
_KINDS: dict[str, Measure] = {}


def measures(kind: str) -> Callable[[Measure], Measure]:
    """Register the function that measures a kind of check."""

    def register(function: Measure) -> Measure:
        _KINDS[kind] = function
        return function

    return register


def measure(
    plan: Plan, name: str, texts: Mapping[str, str], connection: Connection, baseline: Measurement | None = None
) -> Measurement:
    """Ask one check; whatever goes wrong is part of the answer.

    Args:
        plan: where the check is defined.
        name: the check.
        texts: the SQL of the plan's scripts.
        connection: a connection that is not the one running steps.
        baseline: what it measured before the first change.
    """
    check = plan.checks[name]
    script = plan.questions.get(name)
    question = Question(name=name, check=check, text=texts[script.sha256] if script else "", baseline=baseline)
    began = clock.monotonic()
    try:
        measured = _KINDS[check.kind](question, connection)
    except (psycopg.Error, StepError) as error:
        if isinstance(error, psycopg.Error):
            why = f"{error.sqlstate or type(error).__name__} {(error.diag.message_primary or str(error)).strip()[:500]}"
        else:
            why = str(error)
        measured = Measurement(check=name, error=why)
    return measured.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})


from checks import latency, query, tables  # noqa: E402 - they register themselves

__all__ = ["Question", "latency", "measure", "measures", "query", "tables"]
