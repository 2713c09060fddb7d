"""Launch the phases of a run, or go on with it: what the command line and the Prefect flows both do. No Prefect here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from gonogo.core.engine.events import Event, PhaseStarted, ResumeAsked, ScriptDone, ScriptNotDone, UndoDone
from gonogo.core.engine.state import Status
from gonogo.planning.open import OpenedRunbook
from gonogo.planning.prepared import Prepared
from gonogo.postgres.connection import Database
from gonogo.postgres.server_clock import server_time
from gonogo.run import begin, loop, signatures, targets, votes
from gonogo.run.begin import LaunchRequest
from gonogo.run.runner import Runner
from gonogo.run.votes import LaunchDetails

_R = TypeVar("_R", bound=Runner)


@dataclass(frozen=True, kw_only=True)
class Launch:
    """A launch that was granted: the run is in the ledger, and the target is kept for it."""

    run: str
    #: how many phases it goes through
    phases: int
    #: whether nothing is left to do
    done: bool
    details: LaunchDetails
    at_once: bool

    def go(self, runner: _R, run_phase: Callable[[_R], None]) -> None:
        """Go through the phases; see `go`."""
        go(runner, self.phases, run_phase, at_once=self.at_once, details=self.details)


@contextmanager
def granted(opened: OpenedRunbook, database: Database, prepared: Prepared, request: LaunchRequest) -> Iterator[Launch]:
    """See that a launch may happen, and open its run or find the one to go on with; while in it, no other can launch there.

    Raises:
        BadInput: there is no such phase, or an environment variable is missing.
        Refused: they may not launch, a run of the runbook is unfinished, or another runner works on the target.
    """
    begin.require_phase(opened.runbook, request.phase)
    plan, keys = prepared.plan, signatures.keys_of(opened.project)
    with targets.connect_recovering(database, "gonogo/begin") as connection:
        details = votes.launch_details(
            plan,
            keys,
            request.caller,
            request.override,
            server_time(connection),
            at_once=request.at_once,
            flow_run=request.flow_run,
        )
        # this connection keeps the target until the run's own session has claimed it
        sign = signatures.signer(plan, keys)
        run, found, phases = begin.begin(connection, prepared, request.actor, again=request.again, sign=sign, only=request.phase)
        done = found is not None and found.state.status is Status.DONE
        yield Launch(run=run, phases=phases, done=done, details=details, at_once=request.at_once)


def go(
    runner: _R, count: int, run_phase: Callable[[_R], None], *, at_once: bool = False, details: LaunchDetails | None = None
) -> None:
    """Launch the next phases, one after the other, as long as each ends well.

    Args:
        runner: the run.
        count: how many phases.
        run_phase: runs one, and shows it: plainly, or as a Prefect flow.
        at_once: whether not to wait for clock times.
        details: who launches them, and how.
    """
    who = details or LaunchDetails()
    through = runner.state.phase + count - 1
    # whoever launches several lets the first one go beyond its budgets, and no other
    budget_override = who.override
    while runner.state.status in (Status.READY, Status.NO_GO) and runner.state.phase <= through:
        started = PhaseStarted(
            phase=runner.plan.phases[runner.state.phase].name,
            through=through,
            at_once=at_once,
            person=who.person,
            proved=who.proved,
            override=who.override,
            budget_override=budget_override,
            flow_run=who.flow_run,
        )
        runner.append(started)
        budget_override = ""
        run_phase(runner)
        if runner.state.status is not Status.READY or runner.state.phase_rolled_back:
            return


def go_on(
    runner: _R,
    events: Sequence[Event],
    run_phase: Callable[[_R], None],
    settled: ScriptDone | ScriptNotDone | UndoDone | None = None,
) -> None:
    """Go on with a run from where it stands, through the phases that were launched."""
    if settled is not None:
        runner.append(settled)
    if runner.state.held:
        runner.append(ResumeAsked())
    run_phase(runner)
    launches = [event.body for event in events if isinstance(event.body, PhaseStarted)]
    through = launches[-1].through if launches else -1
    goes_on = runner.state.status is Status.READY and not runner.state.held and not runner.state.phase_rolled_back
    if goes_on and runner.state.phase <= through:
        # what whoever may write to the ledger launched must not get this project's signature
        signatures.require_launched(runner.ledger, runner.run, runner.plan, runner.keys, runner.answered)
        newest = launches[-1]
        details = LaunchDetails(person=newest.person, proved=newest.proved, override=newest.override)
        go(runner, through - runner.state.phase + 1, run_phase, at_once=newest.at_once, details=details)


def run_without_ui(runner: Runner) -> None:
    """Carry a phase without Prefect."""
    loop.run_until_blocked(runner)
