"""One number of a Prometheus server: `prometheus: {url: ..., query: ...}`, by its HTTP API, /api/v1/query."""

from __future__ import annotations

import httpx

from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.errors import StepError
from gonogo.external.request import describe, filled
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it is asked elsewhere
    """Ask a Prometheus server for one number (its HTTP API, /api/v1/query)."""
    asked = question.check.prometheus
    if asked is None:
        raise StepError("there is no query")
    try:
        answer = httpx.get(
            f"{filled(asked.url).rstrip('/')}/api/v1/query",
            params={"query": asked.query},
            timeout=question.check.within.total_seconds(),
        )
        said = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StepError(describe(error)) from None
    except ValueError:
        raise StepError(f"it answered {answer.status_code}, and no JSON") from None
    if said.get("status") != "success":
        raise StepError(f"{said.get('errorType', 'error')}: {said.get('error', answer.status_code)}")
    data = said["data"]
    found = data["result"] if data["resultType"] == "vector" else [{"value": data["result"]}]
    if not found:
        return Measurement(check=question.name, missing="the query answered no series")
    if len(found) > 1:
        raise StepError(f"the query answered {len(found)} series; one number is asked for")
    return Measurement(check=question.name, numbers={"value": str(found[0]["value"][1])})
