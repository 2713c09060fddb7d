"""The gate in the Prefect UI: the flow run pauses with a form, and what people answer goes to the ledger.

Prefect's pause decides nothing. An answer is judged by the same rules as on the command line; one that does not count
is asked again, with the reason. A decision that is taken elsewhere ends the pause.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Annotated, Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State as PrefectState
from prefect.context import FlowRunContext
from prefect.input.run_input import Keyset, RunInput, keyset_from_paused_state
from prefect.states import Paused, Running
from prefect.utilities.engine import propose_state_sync
from pydantic import Field, create_model

from flows.flow_run import send_logs
from gonogo import clock
from gonogo.core.engine.events import PeopleAsked
from gonogo.core.engine.state import Status
from gonogo.core.model.people import GO, NO_GO
from gonogo.core.text.gate_page import gate_page
from gonogo.core.text.next_commands import items_to_confirm
from gonogo.errors import BadInput, Refused
from gonogo.run import votes
from gonogo.run.acquire import LiveRunner
from gonogo.run.runs import find
from gonogo.run.votes import Caller

#: seconds between two looks at Prefect, and how long a pause without a deadline may last
_EVERY = 1.5
_LONG = timedelta(days=90)
_CONFIRM = "confirm "


class GateForm:
    """Shows what a run waits for as a form of its flow run, and hears the answers."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.say = say
        self._form: type[RunInput] | None = None
        self._keyset: Keyset | None = None
        #: what the open form asks, to see when that has changed
        self._asks: tuple[object, ...] = ()
        self._opened = 0
        self._looked, self._closed = 0.0, 0.0
        #: why the last answer did not count
        self._refused = ""

    def listen(self, runner: LiveRunner) -> None:
        """Show the form while people are awaited, and take their answers; never stop the run over Prefect's failures."""
        if clock.monotonic() - self._looked < _EVERY:
            return
        self._looked = clock.monotonic()
        try:
            asks = _asks(runner)
            if asks != self._asks:
                self.close()
            if asks and self._form is None:
                self._open(runner, asks)
            elif self._form is not None:
                self._take_answer(runner)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with Prefect, the command line still decides
            self.say(f"Prefect does not show the form ({type(error).__name__}: {str(error)[:200]}); decide with `gonogo go`")
            self._looked += 30

    @property
    def shown(self) -> bool:
        """Whether the flow run is paused because it asks people."""
        return self._form is not None or clock.monotonic() - self._closed < _EVERY * 2

    def close(self) -> None:
        """End the pause: what was asked is answered, here or elsewhere."""
        form, self._form, self._asks = self._form, None, ()
        self._closed = clock.monotonic() if form is not None else self._closed
        context = FlowRunContext.get()
        if form is None or context is None or context.flow_run is None:
            return
        with suppress(Exception), get_client(sync_client=True) as client:
            run = client.read_flow_run(context.flow_run.id)
            if run.state and run.state.is_paused():
                client.set_flow_run_state(context.flow_run.id, Running(), force=True)

    def _open(self, runner: LiveRunner, asks: tuple[object, ...]) -> None:
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return
        form = _form(runner, _description(runner, self._refused))
        asked = runner.state.gate.asked
        deadline = asked.deadline if asked else None
        left = (deadline - runner.target.now()) + timedelta(days=1) if deadline else _LONG
        self._opened += 1
        pause: PrefectState[Any] = Paused(
            timeout_seconds=int(left.total_seconds()), pause_key=f"{asked.seq if asked else 0}-{self._opened}"
        )
        keyset = keyset_from_paused_state(pause)
        pause.state_details.run_input_keyset = dict[str, str](**keyset)
        self._form = form
        # the page that shows a paused flow run does not ask for more of its log
        send_logs()
        with get_client(sync_client=True) as client:
            state = propose_state_sync(client=client, state=pause, flow_run_id=context.flow_run.id)
        if state.is_paused():
            form.save(keyset)
            self._keyset, self._asks = keyset, asks
        else:
            self._form = None

    def _take_answer(self, runner: LiveRunner) -> None:
        """Take an answer, where there is one; without a valid one the form is shown again, and nothing has changed."""
        context = FlowRunContext.get()
        if context is None or context.flow_run is None or self._form is None or self._keyset is None:
            return
        with get_client(sync_client=True) as client:
            run = client.read_flow_run(context.flow_run.id)
        if run.state is None or not run.state.is_running():
            return
        form, self._form, self._asks = self._form, None, ()
        try:
            answer = cast(RunInput, form.load(self._keyset)).model_dump()
        except Exception:  # noqa: BLE001 - resumed through the API without the form's answer
            self._refused = "the run was resumed without an answer; that decides nothing"
            return
        self._refused = _judge(runner, answer)


def _asks(runner: LiveRunner) -> tuple[object, ...]:
    """Return what a run asks people now, or nothing."""
    state, plan = runner.state, runner.plan
    if state.held or state.gate.asked is None:
        return ()
    items = items_to_confirm(plan, state)
    if state.status is Status.DECIDING:
        return ("gate", state.gate.asked.seq, items, len(state.gate.votes))
    return ("items", plan.phases[state.phase].name, items) if items else ()


def _form(runner: LiveRunner, description: str) -> type[RunInput]:
    """Return the form: go or no-go, and the items that may be confirmed."""
    plan, state = runner.plan, runner.state
    answers = [f"{_CONFIRM}{item}" for item in items_to_confirm(plan, state)]
    if state.status is Status.DECIDING and plan.phases[state.phase].approve is not None:
        answers = [GO, NO_GO, *answers]
    code = "Your one-time code." if plan.protected else "Your one-time code, if you have one; without it your name is not proved."
    said: dict[str, Any] = {"enum": answers}
    who: dict[str, Any] = {"enum": list(plan.people)}
    fields: dict[str, Any] = {
        # Prefect's UI renders a single-value Literal as an empty field
        "answer": (Annotated[str, Field(json_schema_extra=said)], Field(description="Decision")),
        "who": (Annotated[str, Field(json_schema_extra=who)], Field(description="Your name")),
        "code": (str, Field(default="", description=code)),
        "words": (str, Field(default="", description="Reason or evidence (shown in the report)")),
    }
    return create_model("Answer", __base__=RunInput, **fields).with_initial_data(description=description)


def _description(runner: LiveRunner, refused: str) -> str:
    asked = runner.state.gate.asked
    body = runner.ledger.event(asked.seq).body if asked else None
    shown = body if isinstance(body, PeopleAsked) else PeopleAsked()
    page = gate_page(runner.plan, runner.state, shown, runner.run)
    return f"**The last answer did not count: {refused}.**\n\n{page}" if refused else page


def _judge(runner: LiveRunner, answer: dict[str, Any]) -> str:
    """Put an answer into the ledger by the rules of the command line; return why it does not count, if it does not."""
    session = runner.session
    found = find(session.connection, run=session.run)
    caller = Caller(person=str(answer.get("who", "")), code=str(answer.get("code") or ""))
    said, words = str(answer.get("answer", "")), str(answer.get("words") or "")
    try:
        if said.startswith(_CONFIRM):
            item = said.removeprefix(_CONFIRM)
            votes.confirm(session.connection, found, runner.keys, caller, item, words)
        else:
            votes.vote(session.connection, found, runner.keys, caller, said, comment=words)
    except (Refused, BadInput) as error:
        return str(error)
    return ""
