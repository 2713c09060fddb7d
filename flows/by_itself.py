"""Each phase, and each step, proved by itself: forward, back, compared, and forward again."""

from __future__ import annotations

from typing import Any

from flows import launch, turning
from flows.copies import Rehearsal, carried, looking_at, on_a_copy
from flows.loop import Conductor
from gonogo import backup, clock
from gonogo.core.event import Kind
from gonogo.core.plan import Plan
from gonogo.core.rehearsal import GOOD, Restores, verdict
from gonogo.core.state import State, Status
from gonogo.core.way_back import Rollback
from gonogo.database import Connection, Database
from gonogo.manifest import Backup
from gonogo.stock import Stock, compare_stock, stock_differences, take_stock


def rehearse_phases(run: Rehearsal, made: Backup) -> list[dict[str, Any]]:
    """Take each later phase forward, back to its start, compare, and take it forward again."""
    found: list[dict[str, Any]] = []
    run.say("turning back each phase by itself")
    plan = on_a_copy(run.plan)
    with backup.restored(made, run.room, run.say) as (url, _), carried(run, plan, url) as conductor:
        # the plan that was signed, without a backup of a copy
        plan = conductor.plan = conductor.plan.model_copy(update={"backup": None})
        launch.go(conductor, 1, launch.carry_plainly, at_once=True)
        for number, phase in list(enumerate(plan.phases))[1:]:
            with looking_at(conductor.session.database) as looking:
                before = take_stock(looking)
                launch.go(conductor, 1, launch.carry_plainly, at_once=True)
                if stays := _not_done(conductor.state, number):
                    found.append({"phase": phase.name, "took": 0, "verdict": Restores.FAILS, "differences": [stays]})
                    break
                began = clock.monotonic()
                back = turning.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", back_to=number, accept_loss=True)
                turning.turn_back(conductor, back, by_authority=False)
                conductor.pursue()
                took = round(clock.monotonic() - began, 2)
                differing, misplaced = compare_stock(before, looking)
            state = conductor.state
            kind = Restores.FAILS if state.held and not differing else verdict(differing, misplaced)
            told = list(filter(None, (*differing, *misplaced, state.held)))
            found.append({"phase": phase.name, "took": took, "verdict": kind, "differences": told})
            if not state.came_back:
                break
            launch.go(conductor, 1, launch.carry_plainly, at_once=True)
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
    with backup.restored(made, run.room, run.say) as (url, _):
        for number, step in enumerate(run.plan.steps):
            if step.kind not in ("sql", "backfill"):
                continue
            alone = only_step(on_a_copy(run.plan), number)
            with looking_at(Database(url=url, role=run.database.role)) as looking:
                before = take_stock(looking)
                if step.undo:
                    with carried(run, alone, url) as conductor:
                        found[step.name] = _up_and_back(conductor, before, looking)
                    if found[step.name]["verdict"] not in GOOD:
                        break  # the copy is not what it was any more
            with carried(run, alone, url) as conductor:
                launch.go(conductor, 1, launch.carry_plainly, at_once=True)
                if conductor.state.status is not Status.DONE:
                    why = f"after its undo it does not go forward again: {conductor.state.held or conductor.state.cause}"
                    found[step.name] = {"verdict": Restores.FAILS, "differences": [why]}
                    break
            if step.undo == ():
                with looking_at(Database(url=url, role=run.database.role)) as looking:
                    left = stock_differences(before, take_stock(looking))
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
    with looking_at(Database(url=url, role=run.database.role)) as looking:
        before = take_stock(looking)
        with carried(run, alone, url) as conductor:
            return _up_and_back(conductor, before, looking)


def _up_and_back(conductor: Conductor, before: Stock, looking: Connection) -> dict[str, Any]:
    launch.go(conductor, 1, launch.carry_plainly, at_once=True)
    if (state := conductor.state).status is not Status.DONE:
        return {"verdict": Restores.FAILS, "differences": [state.held or state.cause]}
    back = turning.Back(kind=Kind.ROLL_BACK, reason="rehearsed", level="undo", accept_loss=True)
    turning.turn_back(conductor, back, by_authority=False)
    conductor.pursue()
    differing, misplaced = compare_stock(before, looking)
    state = conductor.state
    if state.status is Status.ROLLING_BACK or (state.held and not differing):
        return {"verdict": Restores.FAILS, "differences": [state.held]}
    return {"verdict": verdict(differing, misplaced), "differences": [*differing, *misplaced]}
