"""Each phase, and each step, proved in isolation: forward, back, compared, and forward again."""

from __future__ import annotations

from typing import NamedTuple

from gonogo import clock
from gonogo.core.engine.events import PhaseEvidence, StepEvidence
from gonogo.core.engine.rehearsal import GOOD, Restores, verdict
from gonogo.core.engine.state import State, Status
from gonogo.core.model.rollback import Rollback
from gonogo.core.plan.plan import Plan
from gonogo.postgres.connection import Connection
from gonogo.postgres.inventory import Snapshot, compare_snapshot, snapshot_differences, take_snapshot
from gonogo.rehearsal.copies import Copies
from gonogo.rehearsal.sandbox import RehearsalRun, inspect_copy, on_a_copy, run_on_copy
from gonogo.run import launch, loop, rollback_request
from gonogo.run.runner import Runner


class Undone(NamedTuple):
    """What the undo of a step did: its verdict, and what differs from before."""

    verdict: Restores
    differences: tuple[str, ...]

    def put_into(self, step: StepEvidence) -> StepEvidence:
        """Return what is known of a step, with this."""
        return step.replace(verdict=self.verdict, differences=self.differences)


def rehearse_phases(run: RehearsalRun, copies: Copies) -> tuple[PhaseEvidence, ...]:
    """Take each later phase forward, back to its start, compare, and take it forward again."""
    found: list[PhaseEvidence] = []
    run.say("rolling back each phase by itself")
    plan = on_a_copy(run.plan)
    with copies.fresh() as copy, run_on_copy(run, plan, copy.url) as runner:
        # the plan that was signed, without a backup of a copy
        plan = runner.plan.model_copy(update={"backup": None})
        runner.use_plan(plan)
        launch.go(runner, 1, launch.run_without_ui, at_once=True)
        for number, phase in list(enumerate(plan.phases))[1:]:
            with inspect_copy(runner.session.database) as looking:
                before = take_snapshot(looking)
                launch.go(runner, 1, launch.run_without_ui, at_once=True)
                if stays := _not_done(runner.state, number):
                    found.append(PhaseEvidence(phase=phase.name, verdict=Restores.FAILS, differences=(stays,)))
                    break
                began = clock.monotonic()
                back = rollback_request.RollbackRequest(reason="rehearsed", level="undo", back_to=number, accept_loss=True)
                rollback_request.begin_rollback(runner, back, by_authority=False)
                loop.run_until_blocked(runner)
                took = round(clock.monotonic() - began, 2)
                differing, misplaced = compare_snapshot(before, looking)
            state = runner.state
            kind = Restores.FAILS if state.held and not differing else verdict(differing, misplaced)
            notes = tuple(filter(None, (*differing, *misplaced, state.held)))
            found.append(PhaseEvidence(phase=phase.name, took=took, verdict=kind, differences=notes))
            if not state.phase_rolled_back:
                break
            launch.go(runner, 1, launch.run_without_ui, at_once=True)
    return tuple(found)


def _not_done(state: State, number: int) -> str:
    """Say why a phase was not done, or nothing where it was."""
    if state.status is Status.DONE or (state.status is Status.READY and state.phase > number and not state.held):
        return ""
    return f"it did not go forward: {state.why or state.status}"


def rehearse_steps(run: RehearsalRun, copies: Copies) -> dict[str, Undone]:
    """Take each step up, undo it, compare, and take it up again, so that a later undo cannot hide what an earlier one misses."""
    found: dict[str, Undone] = {}
    run.say("proving each step's undo by itself")
    with copies.fresh() as copy:
        url = copy.url
        for number, step in enumerate(run.plan.steps):
            if not step.row.changes:
                continue
            alone = only_step(on_a_copy(run.plan), number)
            with inspect_copy(run.copy(url)) as looking:
                before = take_snapshot(looking)
                if step.undo:
                    with run_on_copy(run, alone, url) as runner:
                        found[step.name] = _up_and_back(runner, before, looking)
                    if found[step.name].verdict not in GOOD:
                        break  # the copy is not what it was any more
            with run_on_copy(run, alone, url) as runner:
                launch.go(runner, 1, launch.run_without_ui, at_once=True)
                if runner.state.status is not Status.DONE:
                    why = f"after its undo it does not go forward again: {runner.state.why}"
                    found[step.name] = Undone(Restores.FAILS, (why,))
                    break
            if step.undo == ():
                with inspect_copy(run.copy(url)) as looking:
                    left = snapshot_differences(before, take_snapshot(looking))
                found[step.name] = Undone(verdict(left, ()), tuple(left))
    return found


def only_step(plan: Plan, number: int) -> Plan:
    """Return a plan that does one step of another, and checks nothing but what its undo leaves."""
    step = plan.steps[number]
    task = plan.task(step.task)
    bare = dict(go_if=(), verify=(), first=0, last=0)
    return plan.model_copy(
        update=dict(
            phases=(plan.phases[step.phase].model_copy(update=bare),),
            tasks=(task.model_copy(update={"phase": 0, "first": 0, "last": 0}),),
            steps=(step.model_copy(update={"phase": 0}),),
            baseline=(),
            backup=None,
            rollback=Rollback(),
        )
    )


def up_and_back(run: RehearsalRun, alone: Plan, url: str) -> Undone:
    """Take one step up and back on a database, and say whether that is as it was.

    Args:
        run: whose scripts.
        alone: the plan that does only this step.
        url: the database.
    """
    with inspect_copy(run.copy(url)) as looking:
        before = take_snapshot(looking)
        with run_on_copy(run, alone, url) as runner:
            return _up_and_back(runner, before, looking)


def _up_and_back(runner: Runner, before: Snapshot, looking: Connection) -> Undone:
    launch.go(runner, 1, launch.run_without_ui, at_once=True)
    if (state := runner.state).status is not Status.DONE:
        return Undone(Restores.FAILS, (state.why,))
    back = rollback_request.RollbackRequest(reason="rehearsed", level="undo", accept_loss=True)
    rollback_request.begin_rollback(runner, back, by_authority=False)
    loop.run_until_blocked(runner)
    differing, misplaced = compare_snapshot(before, looking)
    state = runner.state
    if state.status is Status.ROLLING_BACK or (state.held and not differing):
        return Undone(Restores.FAILS, (state.held,))
    return Undone(verdict(differing, misplaced), (*differing, *misplaced))
