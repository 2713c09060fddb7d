"""One number of a Prometheus server: `prometheus: {url: ..., query: ...}`, by its HTTP API, /api/v1/query."""

from __future__ import annotations

import json
from urllib.parse import urlencode

from checks.kind import Question
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check_kinds import Http
from gonogo.errors import StepError
from gonogo.external.process import NotStarted
from gonogo.external.request import ask, describe, filled, redactor_of, within
from gonogo.postgres.connection import Connection


def measure(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it is asked elsewhere
    """Ask a Prometheus server for one number (its HTTP API, /api/v1/query)."""
    wanted = question.check.prometheus
    if wanted is None:
        raise StepError("there is no query")
    filled(wanted.url)  # what cannot be asked is said as it is
    asked = Http(url=f"{wanted.url.rstrip('/')}/api/v1/query?{urlencode({'query': wanted.query})}")
    try:
        answer = within(question.check.within.total_seconds(), lambda: False, lambda client: ask(client, asked))
    except (NotStarted, StepError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the server gave no answer
        raise StepError(redactor_of(asked)(describe(error))) from None
    try:
        said = json.loads(answer.text)
    except ValueError:
        raise StepError(f"it answered {answer.status}, and no JSON") from None
    if said.get("status") != "success":
        raise StepError(f"{said.get('errorType', 'error')}: {said.get('error', answer.status)}")
    data = said["data"]
    found = data["result"] if data["resultType"] == "vector" else [{"value": data["result"]}]
    if not found:
        return Measurement(check=question.name, missing="the query answered no series")
    if len(found) > 1:
        raise StepError(f"the query answered {len(found)} series; one number is asked for")
    return Measurement(check=question.name, numbers={"value": str(found[0]["value"][1])})
