"""A web service, asked as its users do: `http: {url: https://shop.example/health, field: database.healthy}`.

Without `field` the number is the latency, over `samples` requests; a request without one of the expected statuses counts as an
error, and the metric `errors` is their share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checks import Question, measures
from checks.latency import summarise
from gonogo import clock
from gonogo.command import as_number, in_json
from gonogo.core.question import Http
from gonogo.core.verdict import Measurement
from gonogo.database import Connection
from gonogo.errors import StepError
from gonogo.web import client, filled, in_words

if TYPE_CHECKING:
    import httpx


@measures("http")
def measure_service(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it is asked elsewhere
    """Ask the service, once for a field, else as often as the check has samples."""
    import httpx  # noqa: PLC0415 - only those who ask a service pay for it

    asked = question.check.http
    if asked is None:
        raise StepError("there is no address")
    question.require_trust()
    deadline = clock.monotonic() + question.check.within.total_seconds()
    took: list[float] = []
    asked_times = 0
    wrong: list[str] = []
    answer: httpx.Response | None = None
    with client(asked, question.check.within.total_seconds()) as service:
        for _ in range(1 if asked.field else question.check.samples):
            began = clock.monotonic()
            try:
                answer = service.request(asked.method, filled(asked.url), json=asked.body)
                said = "" if answer.status_code in asked.status else f"it answered {answer.status_code}"
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = in_words(error)
            asked_times += 1
            # how soon it refuses says nothing of how fast it serves
            took += [] if said else [(clock.monotonic() - began) * 1000]
            wrong += [said] if said else []
            if clock.monotonic() > deadline:
                break
    numbers = {**(summarise(took) if took else {}), "errors": f"{len(wrong) / asked_times:.4f}"}
    if answer is not None:
        numbers["status"] = str(answer.status_code)
    told = tuple(dict.fromkeys(wrong))[:3]
    made = Measurement(
        check=question.name, numbers=numbers, count=asked_times, told=told, samples=tuple(round(t, 3) for t in took)
    )
    return _field(made, asked, answer) if asked.field or asked.equals is not None else made


def _field(made: Measurement, asked: Http, answer: httpx.Response | None) -> Measurement:
    if answer is None or made.told:
        return made.model_copy(update={"numbers": {**made.numbers, "value": "NaN"}, "missing": made.told[0]})
    try:
        value: Any = in_json(answer.json(), asked.field)
    except ValueError:
        return made.model_copy(update={"missing": "its answer is no JSON"})
    except LookupError:
        return made.model_copy(update={"missing": f"its answer has no field {asked.field!r}"})
    if asked.equals is not None:
        told = (f"{asked.field} is {value!r}",)
        return made.model_copy(update={"numbers": {**made.numbers, "value": str(int(value == asked.equals))}, "told": told})
    number, why = as_number(value, asked.field)
    return made.model_copy(update={"missing": why} if why else {"numbers": {**made.numbers, "value": number}})


@measures("prometheus")
def measure_prometheus(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it is asked elsewhere
    """Ask a Prometheus server for one number (its HTTP API, /api/v1/query)."""
    import httpx  # noqa: PLC0415 - see above

    asked = question.check.prometheus
    if asked is None:
        raise StepError("there is no query")
    question.require_trust()
    try:
        answer = httpx.get(
            f"{filled(asked.url).rstrip('/')}/api/v1/query",
            params={"query": asked.query},
            timeout=question.check.within.total_seconds(),
        )
        said = answer.json()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StepError(in_words(error)) from None
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
