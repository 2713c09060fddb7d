"""The loop: decide, perform, record, until nothing is next; the same with and without Prefect."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from gonogo.core.engine.commands import Command, MeasureBaseline, Wait
from gonogo.core.engine.state import Status
from gonogo.run.runner import Runner

Work: TypeAlias = Callable[[], None]
#: shows a stretch of work under a name: a Prefect task, or nothing at all
Stage: TypeAlias = Callable[[str, Work], None]


def without_ui(_: str, work: Work) -> None:
    """Do the work, and show it nowhere."""
    work()


def measure_baseline(runner: Runner) -> None:
    """Measure what is compared with later, if that is next."""
    runner.sync()
    while isinstance(command := runner.next(), MeasureBaseline):
        runner.attempt(command)


def run_until_blocked(runner: Runner, stage: Stage = without_ui) -> None:
    """Do what is next until nothing is: the run has ended, waits between phases or for people, or is held.

    Args:
        runner: the run.
        stage: shows each stretch of work.
    """
    runner.sync()
    try:
        while (command := runner.next()) is not None and not _leaves(runner, command):
            name = runner.stage_of(command)
            stage(name, lambda name=name: _within(runner, name))  # type: ignore[misc]
    finally:
        runner.end_watch()


def _within(runner: Runner, stage: str) -> None:
    while (command := runner.next()) is not None and runner.stage_of(command) == stage and not _leaves(runner, command):
        runner.attempt(command)


def _leaves(runner: Runner, command: Command) -> bool:
    """Say whether this process goes, and people decide without it."""
    return not runner.patient and isinstance(command, Wait) and runner.state.status is Status.DECIDING
