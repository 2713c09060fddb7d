"""Each phase, and each step, proved by itself: forward, back, compared, and forward again."""

from __future__ import annotations

from typing import Any

from gonogo import clock
from gonogo.core.engine.events import Kind
from gonogo.core.engine.rehearsal import GOOD, Restores, verdict
from gonogo.core.engine.state import State, Status
from gonogo.core.model.rollback import Rollback
from gonogo.core.plan.plan import Plan
from gonogo.postgres.connection import Connection, Database
from gonogo.postgres.inventory import Snapshot, compare_snapshot, snapshot_differences, take_snapshot
from gonogo.recovery import dump
from gonogo.recovery.manifest import Backup
from gonogo.rehearsal.sandbox import Rehearsal, carried, inspect_copy, on_a_copy
from gonogo.run import launch, loop, rollback_request
from gonogo.run.context import Runner


def rehearse_phases(run: Rehearsal, made: Backup) -> list[dict[str, Any]]:
    """Take each later phase forward, back to its start, compare, and take it forward again."""
    found: list[dict[str, Any]] = []
    run.say("turning back each phase by itself")
    plan = on_a_copy(run.plan)
    with dump.restored(made, run.room, run.say) as (url, _), carried(run, plan, url) as runner:
        # the plan that was signed, without a backup of a copy
        plan = runner.plan = runner.plan.model_copy(update={"backup": None})
        launch.go(runner, 1, launch.run_without_ui, at_once=True)
        for number, phase in list(enumerate(plan.phases))[1:]:
            with inspect_copy(runner.session.database) as looking:
                before = take_snapshot(looking)
                launch.go(runner, 1, launch.run_without_ui, at_once=True)
                if stays := _not_done(runner.state, number):
                    found.append({"phase": phase.name, "took": 0, "verdict": Restores.FAILS, "differences": [stays]})
                    break
                began = clock.monotonic()
                back = rollback_request.Back(
                    kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", back_to=number, accept_loss=True
                )
                rollback_request.begin_rollback(runner, back, by_authority=False)
                loop.run_until_blocked(runner)
                took = round(clock.monotonic() - began, 2)
                differing, misplaced = compare_snapshot(before, looking)
            state = runner.state
            kind = Restores.FAILS if state.held and not differing else verdict(differing, misplaced)
            told = list(filter(None, (*differing, *misplaced, state.held)))
            found.append({"phase": phase.name, "took": took, "verdict": kind, "differences": told})
            if not state.phase_rolled_back:
                break
            launch.go(runner, 1, launch.run_without_ui, at_once=True)
    return found


def _not_done(state: State, number: int) -> str:
    """Say why a phase was not done, or nothing where it was."""
    if state.status is Status.DONE or (state.status is Status.READY and state.phase > number and not state.held):
        return ""
    return f"it did not go forward: {state.held or state.cause or state.status}"


def rehearse_steps(run: Rehearsal, made: Backup) -> dict[str, dict[str, Any]]:
    """Take each step up, undo it, compare, and take it up again, so that a later undo cannot hide what an earlier one misses."""
    found: dict[str, dict[str, Any]] = {}
    run.say("proving each step's undo by itself")
    with dump.restored(made, run.room, run.say) as (url, _):
        for number, step in enumerate(run.plan.steps):
            if step.kind not in ("sql", "backfill"):
                continue
            alone = only_step(on_a_copy(run.plan), number)
            with inspect_copy(Database(url=url, role=run.database.role)) as looking:
                before = take_snapshot(looking)
                if step.undo:
                    with carried(run, alone, url) as runner:
                        found[step.name] = _up_and_back(runner, before, looking)
                    if found[step.name]["verdict"] not in GOOD:
                        break  # the copy is not what it was any more
            with carried(run, alone, url) as runner:
                launch.go(runner, 1, launch.run_without_ui, at_once=True)
                if runner.state.status is not Status.DONE:
                    why = f"after its undo it does not go forward again: {runner.state.held or runner.state.cause}"
                    found[step.name] = {"verdict": Restores.FAILS, "differences": [why]}
                    break
            if step.undo == ():
                with inspect_copy(Database(url=url, role=run.database.role)) as looking:
                    left = snapshot_differences(before, take_snapshot(looking))
                found[step.name] = {"verdict": verdict(left, ()), "differences": left}
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


def up_and_back(run: Rehearsal, alone: Plan, url: str) -> dict[str, Any]:
    """Take one step up and back on a database, and say whether that is as it was.

    Args:
        run: whose scripts.
        alone: the plan that does only this step.
        url: the database.
    """
    with inspect_copy(Database(url=url, role=run.database.role)) as looking:
        before = take_snapshot(looking)
        with carried(run, alone, url) as runner:
            return _up_and_back(runner, before, looking)


def _up_and_back(runner: Runner, before: Snapshot, looking: Connection) -> dict[str, Any]:
    launch.go(runner, 1, launch.run_without_ui, at_once=True)
    if (state := runner.state).status is not Status.DONE:
        return {"verdict": Restores.FAILS, "differences": [state.held or state.cause]}
    back = rollback_request.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", accept_loss=True)
    rollback_request.begin_rollback(runner, back, by_authority=False)
    loop.run_until_blocked(runner)
    differing, misplaced = compare_snapshot(before, looking)
    state = runner.state
    if state.status is Status.ROLLING_BACK or (state.held and not differing):
        return {"verdict": Restores.FAILS, "differences": [state.held]}
    return {"verdict": verdict(differing, misplaced), "differences": [*differing, *misplaced]}
