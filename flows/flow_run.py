"""A flow run as people find it in the Prefect UI: its name, its tags, its log; and what became of those whose process died."""

from __future__ import annotations

import logging
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType, FlowRunFilterTags
from prefect.client.schemas.objects import State, StateType
from prefect.context import FlowRunContext
from prefect.states import Crashed

from gonogo.core.plan.plan import Plan


def tag_of(run: str) -> str:
    """Return the tag that every flow run of a run has."""
    return f"run:{run}"


def this_flow_run() -> UUID | None:
    """Return the flow run that this process is in."""
    context = FlowRunContext.get()
    return context.flow_run.id if context is not None and context.flow_run is not None else None


def call_it(what: str, plan: Plan, phase: str, run: str) -> None:
    """Name this flow run after the run that it serves, now that it is known, and tag it; never stop over Prefect's failures.

    Args:
        what: what it does with it: nothing for a launch, else `resume` or `roll back`.
        plan: the run's plan.
        phase: the phase in work; `all` for those that are left.
        run: the run.
    """
    mine = this_flow_run()
    if mine is None:
        return
    name = f"{what} {plan.runbook}/{phase}@{plan.target} {run[-6:]}".strip()
    with suppress(Exception), get_client(sync_client=True) as client:
        known = client.read_flow_run(mine)
        tags = list(dict.fromkeys((*known.tags, "gonogo", plan.runbook, phase, plan.target, tag_of(run))))
        client.update_flow_run(mine, name=name, tags=tags)


def close_orphans(run: str) -> int:
    """Close the flow runs of a run whose processes are gone: this process holds its fence, so no other one works on it.

    Return how many there were; Prefect's failures are nothing that stops a run.
    """
    mine, closed = this_flow_run(), 0
    alive = FlowRunFilter(
        tags=FlowRunFilterTags(all_=[tag_of(run)]),
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PAUSED, StateType.CANCELLING])),
    )
    with suppress(Exception), get_client(sync_client=True) as client:
        for found in client.read_flow_runs(flow_run_filter=alive):
            if found.id != mine:
                gone: State[None] = Crashed(message=f"its process is gone; another one goes on with the run {run}")
                client.set_flow_run_state(found.id, gone, force=True)
                closed += 1
    return closed


def send_logs() -> None:
    """Send what was logged so far: a page that shows a paused or an ended flow run asks for nothing more."""
    with suppress(Exception):
        for handler in logging.getLogger("prefect.flow_runs").handlers:
            handler.flush()


class _NoEmptyTrace(logging.Filter):
    """Takes *NoneType: None* from the lines that Prefect writes of a state that is no exception."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0] is None:
            record.exc_info = None
        return True


def quiet_traces() -> None:
    """Let Prefect write no empty trace."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        if not any(isinstance(each, _NoEmptyTrace) for each in logger.filters):
            logger.addFilter(_NoEmptyTrace())
