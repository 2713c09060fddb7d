"""A web service, asked as its users do: `http: {url: https://shop.example/health, field: database.healthy}`.

Without `field` the number is the latency, over `samples` requests; a request without one of the expected statuses counts as an
error, and the metric `errors` is their share.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from checks.kind import Question
from gonogo import clock
from gonogo.core.engine.percentiles import summarise
from gonogo.core.engine.verdict import Measurement
from gonogo.core.model.check_kinds import Http
from gonogo.errors import StepError
from gonogo.external.process import NotStarted, as_number
from gonogo.external.request import Reply, TooSlow, ask, describe, filled, in_short, is_equal, redactor_of, value_in, within
from gonogo.postgres.connection import Connection

if TYPE_CHECKING:
    import httpx


@dataclass(kw_only=True)
class _Heard:
    """What a service answered, sample by sample; what is there counts, also where there is no time for more."""

    asked: Http
    most: int
    took: list[float] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)

    async def listen(self, client: httpx.AsyncClient, deadline: float) -> None:
        """Ask as often as there are samples, and time."""
        for _ in range(self.most):
            try:
                self.replies.append(await ask(client, self.asked))
            except NotStarted as error:
                self.wrong.append(str(error))
            except Exception as error:  # noqa: BLE001 - whatever it is, the service gave no answer
                self.wrong.append(redactor_of(self.asked)(describe(error)))
            else:
                # how soon it refuses says nothing of how fast it serves
                good = self.replies[-1].status in self.asked.status
                self.took += [self.replies[-1].seconds * 1000] if good else []
                self.wrong += [] if good else [f"it answered {self.replies[-1].status}"]
            if clock.monotonic() > deadline:
                break


def measure(question: Question, connection: Connection) -> Measurement:  # noqa: ARG001 - it is asked elsewhere
    """Ask the service, once for a field, else as often as the check has samples and time."""
    asked = question.check.http
    if asked is None:
        raise StepError("there is no address")
    for text in (asked.url, *asked.headers.values()):
        filled(text)  # what cannot be asked is no bad answer
    takes_effect = _Heard(asked=asked, most=1 if asked.field else question.check.samples)
    limit = question.check.within.total_seconds()
    try:
        within(limit, lambda: False, lambda client: takes_effect.listen(client, clock.monotonic() + limit))
    except TooSlow as error:
        takes_effect.wrong.extend([] if takes_effect.took else [str(error)])
    took, wrong, replies = takes_effect.took, takes_effect.wrong, takes_effect.replies
    numbers = {**(summarise(took) if took else {}), "errors": f"{len(wrong) / (len(took) + len(wrong)):.4f}"}
    if replies:
        numbers["status"] = str(replies[-1].status)
    said = tuple(dict.fromkeys(wrong))[:3]
    made = Measurement(
        check=question.name,
        numbers=numbers,
        count=len(took) + len(wrong),
        notes=said,
        samples=tuple(round(t, 3) for t in took),
    )
    return _field(made, asked, replies[-1] if replies else None) if asked.field or asked.equals is not None else made


def _field(made: Measurement, asked: Http, reply: Reply | None) -> Measurement:
    if reply is None or made.notes:
        return made.model_copy(update={"numbers": {**made.numbers, "value": "NaN"}, "missing": made.notes[0]})
    value, why = value_in(reply, asked.field)
    if why:
        return made.model_copy(update={"missing": why})
    if asked.equals is not None:
        said = (f"{asked.field} is {in_short(value)}",)
        return made.model_copy(
            update={"numbers": {**made.numbers, "value": str(int(is_equal(value, asked.equals)))}, "notes": said}
        )
    number, why = as_number(value, asked.field)
    return made.model_copy(update={"missing": why} if why else {"numbers": {**made.numbers, "value": number}})
