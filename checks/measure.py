"""Ask a check. Each kind is the module of its name: `checks/http.py` asks `http:`."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import psycopg

from checks.kind import CheckEnvironment, Measure, Question
from gonogo import clock
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check import CHECK_KINDS
from gonogo.core.plan.plan import Plan
from gonogo.errors import StepError
from gonogo.postgres.blockers import describe_error
from gonogo.postgres.connection import Connection


def measure(
    plan: Plan, name: str, environment: CheckEnvironment, connection: Connection, baseline: Measurement | None = None
) -> Measurement:
    """Ask one check; whatever goes wrong is part of the answer.

    Args:
        plan: where the check is defined.
        name: the check.
        environment: what else it may need.
        connection: a connection that is not the one running steps.
        baseline: what it measured before the first change.
    """
    script = plan.questions.get(name)
    question = Question(
        name=name,
        check=plan.checks[name],
        text=environment.texts[script.sha256] if script else "",
        source=(script.source, script.sha256) if script else ("", ""),
        root=environment.root,
        database=environment.database,
        untrusted=environment.untrusted,
        baseline=baseline,
    )
    began = clock.monotonic()
    try:
        if CHECK_KINDS[question.check.kind].external:
            question.require_trust()
        measured = how_to_ask(question.check.kind)(question, connection)
    except psycopg.Error as error:
        measured = Measurement(check=name, error=describe_error(error, connection), sqlstate=error.sqlstate or "")
    except StepError as error:
        measured = Measurement(check=name, error=str(error))
    except Exception as error:  # noqa: BLE001 - whatever a check raises, it has given no answer; silence would be a pass
        measured = Measurement(check=name, error=f"{type(error).__name__}: {str(error)[:200]}")
    return measured.model_copy(update={"seconds": round(clock.monotonic() - began, 3)})


def how_to_ask(kind: str) -> Measure:
    """Return the function that asks a kind of check."""
    return cast(Measure, import_module(f"checks.{kind}").measure)
