"""A phase run as a Prefect flow, its runbook tasks as Prefect tasks: what people see in the UI.

Prefect shows; the ledger is the truth. Whatever Prefect does wrong, the loop goes on without it, and nothing is ever
rolled back or run again because of it. Parameters are names: no address and no secret ever reaches Prefect.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from prefect import flow, get_run_logger, tags, task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext, TagsContext
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.states import Completed, Failed

from flows.flow_run import close_orphans, quiet_traces, send_logs, tag_of
from flows.gate_form import GateForm
from flows.ui_buttons import FlowRunWatcher
from gonogo.core.engine.events import Event
from gonogo.core.engine.state import ROLLING_BACK_STATES, State, Status, outcome
from gonogo.core.plan.plan import Plan
from gonogo.core.text.log import level_of, log_line
from gonogo.core.text.next_commands import next_commands
from gonogo.core.text.plain import data
from gonogo.core.text.plan_page import plan_page
from gonogo.ledger import store
from gonogo.project import find_project, page_of
from gonogo.report import report
from gonogo.run import loop
from gonogo.run.acquire import LiveRunner
from gonogo.run.loop import Work

Say = Callable[[str], None]
#: what a flow run that rolled back is called; it is red where nobody asked it to
ROLLED_BACK = "Rolled back"


def warm_up() -> None:
    """Reach Prefect's API, or start its local one; whatever is wrong with it shows when a phase runs."""
    with suppress(Exception), get_client(sync_client=True) as client:
        client.hello()


def run_phase(runner: LiveRunner, say: Say) -> None:
    """Carry a phase under Prefect; without it, where it fails.

    Args:
        runner: the run.
        say: where it is told that Prefect fails.
    """
    plan, run = runner.plan, runner.session.run
    phase = plan.phases[min(runner.state.phase, len(plan.phases) - 1)].name
    shown = PhaseView(runner, say)

    @flow(
        name="gonogo phase",
        flow_run_name=f"{plan.runbook}/{phase}@{plan.target} {run[-6:]}",
        description=plan.title,
        validate_parameters=False,
        persist_result=False,
        retries=0,
    )
    def phase_run(runbook: str, phase: str, target: str, run: str) -> Any:  # noqa: ARG001 - they are shown
        shown.attempt()
        return as_state(runner.state)

    labels = [plan.runbook, phase, plan.target, tag_of(run)]
    try:
        # its heartbeat would keep every flow waiting for a second at its end
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), tags("gonogo", *labels):
            phase_run(plan.runbook, phase, plan.target, run, return_state=True)
    except (Exception, TerminationSignal) as error:  # noqa: BLE001 - a Prefect failure is never a migration failure
        shown.prefect_failed(error)
    shown.settle()


class PhaseView:
    """The loop inside a flow: its own errors are kept apart from Prefect's."""

    def __init__(self, runner: LiveRunner, say: Say) -> None:
        self.runner, self.say = runner, say
        self.error: BaseException | None = None
        self.form = GateForm(say)

    def attempt(self) -> None:
        """Carry the phase inside the flow run."""
        logger = get_run_logger()
        plan = self.runner.plan

        def log(before: State, event: Event, after: State) -> None:
            if line := log_line(plan, before, event, after):
                with suppress(Exception):
                    logger.log(level_of(event), "%s", line)

        self.runner.listeners.append(log)
        # a local API has no UI in which somebody could answer
        watcher = self._watch_flow_run() if os.environ.get("PREFECT_API_URL") else None
        quiet_traces()
        close_orphans(self.runner.session.run)
        try:
            _artifact(self.say, _show_now, self.runner)
            _artifact(self.say, _show_plan, plan)
            # tags are for the flow run: a task that has some asks the server for a slot before it starts
            with TagsContext(current_tags=set()):
                loop.run_until_blocked(self.runner, self.stage)
            # whatever Prefect takes to hear of it, the next run need not wait
            self.runner.let_go_where_over()
            _artifact(self.say, _show_now, self.runner)
            _artifact(self.say, _show_outcome, self.runner)
        except BaseException as error:
            self.error = error
            raise
        finally:
            if watcher is not None:
                watcher.stop()
            self.form.close()
            self.runner.listen = None
            self.runner.listeners.remove(log)
            send_logs()

    def _watch_flow_run(self) -> FlowRunWatcher | None:
        """Let people answer in the UI, and its buttons reach the run."""
        context = FlowRunContext.get()
        if context is None or context.flow_run is None:
            return None
        self.runner.listen = lambda _: self.form.listen(self.runner)
        served = context.flow_run.deployment_id is not None
        watcher = FlowRunWatcher(self.runner, context.flow_run.id, asking=lambda: self.form.shown, cancels=not served)
        watcher.start()
        return watcher

    def stage(self, name: str, work: Work) -> None:
        """Show a stretch of work as a Prefect task; do it without one where Prefect fails.

        An undo never waits for Prefect: the story tells of it, and the proof that follows is a task again.
        """
        if name == "record" or self.runner.state.status is Status.ROLLING_BACK:
            work()
            return
        done: list[BaseException | None] = []

        def body() -> Any:
            try:
                work()
            except BaseException as error:
                done.append(error)
                raise
            done.append(None)
            return _task_state(self.runner.state)

        titles = {task.name: task.title for task in self.runner.plan.tasks}
        title = titles.get(name, name)
        shown = title.replace("{", "(").replace("}", ")")
        made = task(name=title, task_run_name=shown, retries=0, cache_policy=NO_CACHE, persist_result=False)(body)
        try:
            made(return_state=True)
        except Exception as error:  # noqa: BLE001 - see above
            self.say(f"Prefect failed to show {title!r}: {error}")
        if not done:
            work()
        elif done[0] is not None:
            raise done[0]

    def prefect_failed(self, error: BaseException) -> None:
        """Say that Prefect failed, unless it only passed our own error on."""
        if self.error is None and not isinstance(error, TerminationSignal):
            self.say(f"Prefect failed ({type(error).__name__}: {str(error)[:200]}); the run does not depend on it")
        elif self.error is None:
            self.error = error

    def settle(self) -> None:
        """Raise our own error; go on without Prefect where it never came to the work."""
        if isinstance(self.error, TerminationSignal):
            raise KeyboardInterrupt from None
        if self.error is not None:
            raise self.error
        if not self.runner.state.at_rest:
            loop.run_until_blocked(self.runner)


def as_state(state: State) -> Any:
    """Return how a flow run ends: what is not done is not green."""
    if state.rollback.failed:
        return Failed(name="Rollback failed", message=state.held)
    if state.held:
        return Failed(name="Holding", message=state.held)
    if state.status is Status.DECIDING:
        return Failed(name="Deciding", message="people decide; `gonogo resume` goes on")
    if state.status is Status.NO_GO:
        return Failed(name="No-go", message=state.why)
    if state.status is Status.ROLLED_BACK:
        return Failed(name=ROLLED_BACK, message=state.why)
    if state.phase_rolled_back:
        return Failed(name=ROLLED_BACK, message=f"the phase only: {state.rollback.cause}")
    return Completed(name="Done" if state.status is Status.DONE else "Phase done")


def _task_state(state: State) -> Any:
    if state.held or state.status is Status.NO_GO or state.status in ROLLING_BACK_STATES:
        return Failed(message=state.why)
    return Completed()


def _artifact(say: Say, make: Callable[[Any], None], of: Any) -> None:
    try:
        make(of)
    except Exception as error:  # noqa: BLE001 - an artifact is a picture of the run, not a part of it
        say(f"Prefect did not take an artifact: {type(error).__name__}: {str(error)[:200]}")


def show_page(name: str, text: str, about: str) -> None:
    """Show a page in the UI."""
    create_markdown_artifact(key=_key(name), markdown=text, description=about)


def _show_plan(plan: Plan) -> None:
    """Show the plan before anything runs: its tasks on the clock, gates, locks, watch, and the rollback."""
    show_page(f"{plan.runbook}-plan", plan_page(plan), "The plan and its timeline")


def _show_now(runner: LiveRunner) -> None:
    """Show where the run stands, what to do now, and where its own page is."""
    plan, state, run = runner.plan, runner.state, runner.session.run
    ways = next_commands(plan, state, running=not state.at_rest)
    served = page_of(find_project())
    lines = [f"# {plan.title} on {plan.target}: {outcome(state)}", ""]
    lines += [f"**{data(state.why)}**", ""] if state.why else []
    if served is not None:
        lines += [f"Live, with its buttons: [the run's page]({served.of(plan.runbook, plan.target, run)})", ""]
    lines += [f"- `{each.command}`" + (f" ({each.when})" if each.when else "") for each in ways]
    show_page(f"{plan.runbook}-now", "\n".join(lines), "What to do now")


def _show_outcome(runner: LiveRunner) -> None:
    """Show the verdicts, and the report."""
    events = store.read(runner.session.connection, runner.session.run)
    made = report.report(runner.plan, events, runner.session.run)
    if made["checks"]:
        key = _key(f"{runner.plan.runbook}-verdicts")
        create_table_artifact(key=key, table=made["checks"], description="Every check with its numbers")
    show_page(f"{runner.plan.runbook}-report", report.as_markdown(made), f"The report: {made['outcome']}")


def _key(text: str) -> str:
    return "".join(c if c.isalnum() and c.isascii() else "-" for c in text.lower()).strip("-")
