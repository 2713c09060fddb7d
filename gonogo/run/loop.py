"""The loop: fold the ledger, decide, perform, record; the same with and without Prefect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import psycopg

from gonogo.core.engine import decide
from gonogo.core.engine.events import Kind
from gonogo.core.engine.state import Status
from gonogo.ledger import store
from gonogo.postgres.blockers import describe_error
from gonogo.run import actions
from gonogo.run.context import Runner
from gonogo.run.session import Stopped

Work: TypeAlias = Callable[[], None]


#: shows a stretch of work under a name: a Prefect task, or nothing at all
Stage: TypeAlias = Callable[[str, Work], None]


def plainly(_: str, work: Work) -> None:
    """Do the work, and show it nowhere."""
    work()


def measure_baseline(runner: Runner) -> None:
    """Measure what is compared with later, if that is next."""
    runner.sync()
    while isinstance(command := runner.next(), decide.MeasureBaseline):
        attempt(runner, command)


def run_until_blocked(runner: Runner, stage: Stage = plainly) -> None:
    """Do what is next until nothing is: the run has ended, waits between phases or for people, or is held."""
    runner.sync()
    try:
        while (command := runner.next()) is not None and not _leaves(runner, command):
            name = stage_of(runner, command)
            stage(name, lambda name=name: _within(runner, name))  # type: ignore[misc]
    finally:
        runner.end_watch()


def attempt(runner: Runner, command: decide.Command) -> None:
    """Carry out a command, through a lost connection or a watch that tripped meanwhile."""
    try:
        actions.perform(runner, command)
    except Stopped:
        # the watch recorded why before it cancelled the statement
        runner.sync()
        runner.session.proceed()
    except psycopg.Error as error:
        if runner.session.lost(error):
            for event in runner.session.recover(runner.state.seq):
                runner.take_in(event)
            return
        store.raise_if_fenced(error)
        # nothing of this kind is expected; whatever it is, a person should see it before anything else happens
        runner.append(Kind.HELD, {"why": f"{stage_of(runner, command)}: {describe_error(error, runner.session.connection)}"})


def stage_of(runner: Runner, command: decide.Command) -> str:
    """Name the stretch of work that a command belongs to: its task, or what surrounds the tasks."""
    match command:
        case decide.LookUpRehearsal() | decide.MeasureBaseline() | decide.JudgeGate():
            return "gate"
        case decide.TakeBackup():
            return "backup"
        case decide.Perform(step) | decide.Resolve(step):
            return runner.plan.steps[step].task
        case decide.Undo(step):
            return f"undo {runner.plan.steps[step].task}"
        case decide.CountLoss() | decide.Switch() | decide.Restore():
            return f"roll back by {runner.state.level}"
        case decide.Verify():
            return "verify"
        case decide.Prove():
            return "prove the rollback"
        case decide.Wait() | decide.Ask() if runner.state.status is Status.WORKING:
            return runner.plan.steps[runner.state.step].task
        case decide.Wait() if runner.state.status in (Status.GATING, Status.DECIDING):
            return "gate"
        case _:
            return "soak" if runner.state.status is Status.SOAKING else "record"


def _within(runner: Runner, stage: str) -> None:
    while (command := runner.next()) is not None and stage_of(runner, command) == stage and not _leaves(runner, command):
        attempt(runner, command)


def _leaves(runner: Runner, command: decide.Command) -> bool:
    """Say whether this process goes, and people decide without it."""
    return not runner.patient and isinstance(command, decide.Wait) and runner.state.status is Status.DECIDING
